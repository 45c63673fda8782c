/* nearest.c - Damerau-Levenshtein over three rows. */
#include "spec/nearest.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 64

static unsigned char folded(char c)
{
	if (c == '_' || c == ' ')
		return '-';
	return (unsigned char)tolower((unsigned char)c);
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

unsigned nearest_distance(const char *a, const char *b)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2], *spare;
	size_t na = strlen(a), nb = strlen(b);

	if (na > WORD_MAX || nb > WORD_MAX)
		return UINT_MAX;
	for (unsigned j = 0; j <= nb; j++)
		above[j] = j;
	for (unsigned i = 1; i <= na; i++) {
		row[0] = i;
		for (unsigned j = 1; j <= nb; j++) {
			unsigned differs = folded(a[i - 1]) != folded(b[j - 1]);

			row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + differs);
			if (i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) && folded(a[i - 2]) == folded(b[j - 1]) && before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[nb];
}

void nearest_begin(struct nearest *n, const char *word)
{
	size_t len = strlen(word);

	n->word = word;
	n->best = NULL;
	/* One slip in three letters, and no more than two in a word of ordinary length: three make another word of it (substring, isstring). */
	n->distance = (unsigned)(len < 6 ? 1 : len < 12 ? 2 : len / 4) + 1;
}

static size_t alike(const char *a, const char *b)
{
	size_t n = 0;

	while (a[n] != '\0' && b[n] != '\0' && folded(a[n]) == folded(b[n]))
		n++;
	return n;
}

bool nearest_same(const char *a, const char *b)
{
	size_t n = alike(a, b);

	return a[n] == '\0' && b[n] == '\0';
}

void nearest_try(struct nearest *n, const char *name)
{
	size_t a = strlen(n->word), b = strlen(name);
	unsigned distance;

	if ((a > b ? a - b : b - a) > n->distance)
		return;
	distance = nearest_distance(n->word, name);
	/* A distance as long as the name means that nothing of it is left. */
	if (distance >= b || distance > n->distance)
		return;
	/* Of two that are equally near the one that begins alike for longer: `of` is more of `off` than of `on`. */
	if (distance < n->distance || (n->best != NULL && alike(n->word, name) > alike(n->word, n->best))) {
		n->best = name;
		n->distance = distance;
	}
}

const char *nearest_found(const struct nearest *n)
{
	return n->best;
}
