/* cases.h - users' own cases: messages, and what a specification must make of them. The file's form stands in schemas/tests.json. */
#ifndef SLUICE_CLI_CASES_H
#define SLUICE_CLI_CASES_H

#include <stdbool.h>

#include "base/buf.h"

struct arena;
struct diag;
struct node;
struct plan;
struct rehearsed;

/* Run the cases of a file against `file`, or against what its `specification` names (then file may be NULL). What fails is told to d, at
 * its place. A file whose `specification` is another than `file` is passed over. Number of cases that were looked at. */
unsigned cases_run(const char *path, const char *file, bool no_secrets, struct diag *d);

/* ---- case_judge.c: one case, when all of it is known ---------------------------------------------------------------------- */

/* What became of a case's messages, copied. */
struct happened {
	struct arena *arena;
	unsigned messages, nrefused, wanted;
	const char **refused;
	struct happened_stream {
		const char *name;
		unsigned n; struct happened_row { const char *bytes; size_t len; } *rows;
		unsigned nodds; struct odd { int fate; const char *why; } *odds;   /* of messages that were meant for it and not sent */
	} *streams;
	unsigned nstreams;
};
void happened_add(struct happened *h, const struct rehearsed *m);
/* Hold it against `expect`, `refused` and `unrouted` of a case. */
void case_judge(const struct node *item, const struct happened *h, struct diag *d);

/* A tree of YAML as JSON text, appended. */
void node_json(struct buf *out, const struct node *n);

#endif
