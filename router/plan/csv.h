/* csv.h - rows of comma-separated values (RFC 4180), with the place of each cell. */
#ifndef SLUICE_PLAN_CSV_H
#define SLUICE_PLAN_CSV_H

#include <stdbool.h>

#include "spec/source.h"

struct arena;

struct csv {
	struct arena *arena;
	struct source *source;
	const char *p;
	unsigned line;
	const char *cells[256];    /* NUL-terminated, in the arena */
	struct mark at[256];
	unsigned n;
	const char *fault;         /* why the last row could not be read; `at[n]` is where */
};

void csv_begin(struct csv *c, struct arena *a, struct source *s);
/* The next row that is not empty; false at the end, or with fault set. */
bool csv_row(struct csv *c);

#endif
