/* nearest.h - "did you mean": of many names the one that a slip of the fingers may have turned into this word.
 *
 *	struct nearest near;
 *	nearest_begin(&near, word);
 *	… nearest_try(&near, name) for every name there is …
 *	problem_near(p, nearest_found(&near));
 */
#ifndef SLUICE_SPEC_NEAREST_H
#define SLUICE_SPEC_NEAREST_H

#include <stdbool.h>

struct nearest {
	const char *word, *best;
	unsigned distance; /* of best; begins at the first one that is too far */
};

void nearest_begin(struct nearest *n, const char *word);
void nearest_try(struct nearest *n, const char *name); /* borrowed until nearest_found() */
const char *nearest_found(const struct nearest *n);    /* NULL: none is near */

/* Letters wrong, missing, added or swapped with their neighbour (optimal string alignment); upper and lower case, and - _ and
 * blank, count as equal. UINT_MAX for words over 64 bytes. */
unsigned nearest_distance(const char *a, const char *b);
bool nearest_same(const char *a, const char *b); /* is that 0? */

#endif
