/* wildcard.h - patterns in which an asterisk stands for any run of bytes: of parameters' names and of texts. */
#ifndef SLUICE_PLAN_WILDCARD_H
#define SLUICE_PLAN_WILDCARD_H

#include <stdbool.h>
#include <stddef.h>

/* Does the whole text match the pattern, in which the byte `star` stands for any run of bytes? With `fold`, A to Z equal a to z. Takes
 * np * n steps at the worst. */
bool wildcard_matches(const char *pattern, size_t np, char star, const char *text, size_t n, bool fold);

#endif
