/* diag.h - what is wrong with a specification, told so that it can be put right at once.
 *
 * Problems are collected, never printed on the way: a run tells all of them, sorted by file and position. Each has
 * a code that never changes its meaning (`sluice help E012` explains it), the place, what was expected and, where a near name
 * exists, "did you mean". A code that begins with E is an error, one with W a warning; warnings never change the exit status. */
#ifndef SLUICE_SPEC_DIAG_H
#define SLUICE_SPEC_DIAG_H

#include "spec/codes.h"
#include "spec/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct buf;
struct diag;
struct problem;

struct diag *diag_new(void);
struct diag *diag_new_quiet(void); /* counts problems and keeps none: for finding out whether something would do */
void diag_free(struct diag *d); /* d may be NULL */

/* Add a problem. `at` may be NULL (in no file); the list keeps a copy of its source. The result belongs to
 * the list and takes the lines that follow. After DIAG_KEPT problems further ones are only counted. */
#define DIAG_KEPT 1000
struct problem *diag_add(struct diag *d, enum diag_code code, const struct mark *at, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* `= did you mean "WORD"?`; word NULL adds nothing, so that the answer of nearest_found() can be passed on. */
void problem_near(struct problem *p, const char *word);
/* `= TEXT`: what was expected, what is allowed, what to do. Lines come in the order given. */
void problem_note(struct problem *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A second place that matters, with what it is: "first given here". One a problem; a later call replaces it. */
void problem_second(struct problem *p, const struct mark *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* s in double quotes, safe to print: control characters and broken UTF-8 escaped, cut at 60 characters. Lives with the list. */
const char *diag_quote(struct diag *d, const char *s, size_t n);

/* From here on only what `wanted` says yes to is a problem; NULL: everything is. */
void diag_only(struct diag *d, bool (*wanted)(void *arg, enum diag_code code), void *arg);

/* Would another problem only be counted? Then nobody needs to look for what was meant. */
bool diag_is_full(const struct diag *d);
unsigned diag_errors(const struct diag *d);
unsigned diag_warnings(const struct diag *d);
/* 0, or EX_DATAERR (65) when something is not YAML or vectors fail, or EX_CONFIG (78) for all else. */
int diag_exit(const struct diag *d);

/* Compiler-style text with source lines and carets. Sorts the list. */
void diag_print(struct diag *d, struct buf *out, bool colour);
/* [{"code","severity","file","line","column","length","message","hint","notes","also"}, …] */
void diag_json(struct diag *d, struct buf *out);
/* Colours only on a terminal, and never with NO_COLOR. */
bool diag_colour(FILE *f);

#endif
