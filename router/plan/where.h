/* where.h - conditions: flespi's expression language, compiled once, asked per message without allocation.
 *
 * A missing bare parameter, or any error, makes the whole condition false; what is not evaluated (behind && and ||, the
 * other branch of if) cannot err. Reads the message's slices only. The language is told in EXPRESSIONS.md. (One exception to
 * the first line: texts with JSON escapes that are longer than 1 KiB all together are undone in memory that is allocated.) */
#ifndef SLUICE_PLAN_WHERE_H
#define SLUICE_PLAN_WHERE_H

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct buf;
struct diag;
struct message;
struct node;
struct where;

#define WHERE_LENGTH_MAX 8192 /* bytes of an expression */
#define WHERE_DEPTH_MAX 64    /* operators and functions inside one another; `a && b && c …` is one */
#define WHERE_NAMES_MAX 255   /* different parameters */

/* Compile the text of a YAML scalar; problems are reported at their place inside it. NULL after an error. */
struct where *where_compile(struct arena *a, const struct node *scalar, struct diag *d);
/* now_us: real clock, for the time functions. */
bool where_true(const struct where *w, const struct message *m, long long now_us);
/* The condition in normal form (parses to the same condition). */
void where_print(const struct where *w, struct buf *out);
/* Why it is false for this message, in words that name the part of the text: appended to out. "it is true" when it is. */
void where_explain(const struct where *w, const struct message *m, long long now_us, struct buf *out);

#endif
