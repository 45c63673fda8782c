/* explain.h - what `sluice explain` and `sluice test` share: how a rehearsed message is told. */
#ifndef SLUICE_CLI_EXPLAIN_H
#define SLUICE_CLI_EXPLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "rehearsal.h"

struct explainer {
	bool verbose, colour;
	struct buf out;       /* room for what is being written */
	unsigned refused;     /* how many messages the channel does not take */
};

/* For rehearsal_run, arg being a struct explainer: to standard output, a paragraph or a line of JSON. */
void explain_text(void *arg, const struct rehearsed *m);
void explain_json(void *arg, const struct rehearsed *m);

/* The channel of that name, or without a name the only one that is enabled. 0, or -1 after saying why on standard error. */
int explain_channel(const struct plan *p, const char *name, const struct channel **out);
/* Unix seconds or ISO 8601. 0, or -1. */
int explain_time(const char *text, int64_t *us);
/* What became of it, in a word: "sent", "filtered", …; the same in texts, in JSON and in tests. */
const char *explain_fate(enum rehearsed_fate fate);

#endif
