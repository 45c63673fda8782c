/* unit.h - what every unit test includes: cmocka and the headers it wants before itself. */
#ifndef SLUICE_TESTS_UNIT_H
#define SLUICE_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Is this a build whose sanitizer replaces malloc? gcc says it with a macro, clang with a feature. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UNIT_SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNIT_SANITIZED 1
#endif

/* Bounds on time are multiplied by this. */
#ifdef UNIT_SANITIZED
#define UNIT_PATIENCE 20
#else
#define UNIT_PATIENCE 1
#endif

#endif
