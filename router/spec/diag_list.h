/* diag_list.h - what diag.c and diag_print.c share; nobody else includes it. */
#ifndef SLUICE_SPEC_DIAG_LIST_H
#define SLUICE_SPEC_DIAG_LIST_H

#include "spec/diag.h"

struct note { const char *text; struct note *next; };

struct problem {
	struct diag *list;
	enum diag_code code;
	struct mark at;
	const char *message;
	const char *near;         /* NULL: no name is near */
	struct note *notes, **tail;
	struct mark second;
	const char *second_text;  /* NULL: there is no second place */
	unsigned seq;
};

struct diag {
	struct arena *arena;
	unsigned long serial;     /* tells this list from all others of the process, past ones included */
	bool quiet;               /* only counts */
	struct problem **items;
	unsigned n, cap;
	unsigned errors, warnings, untold;
	bool not_yaml;            /* something that makes the exit status 65 */
	bool (*wanted)(void *arg, enum diag_code code);
	void *wanted_arg;
	struct problem overflow;     /* takes the lines of problems that are only counted */
};

/* By file, position, then the order in which they were found. The same problem told twice is dropped. */
void diag_sort(struct diag *d);

#endif
