/* reload.h - load, compare, prepare, commit (cannot fail), settle, report. SIGHUP, `sluice reload` and start-up are this one path. */
#ifndef SLUICE_RELOAD_H
#define SLUICE_RELOAD_H

#include <stdbool.h>

struct diag;
struct engine;
struct plan;

/* The first half of the first step, which touches nothing: read, check, compile, run the vectors. NULL when there are errors in d.
 * Also what `sluice check` does. */
struct plan *reload_compile(const char *file, bool no_secrets, struct diag *d);

/* Put the first plan in force. Workers are made but do not run yet. 0, or -1 with the reason logged. */
int reload_first(struct engine *e, struct plan *p);

/* Begin a reload on the main loop; one that is asked for during another is done once after it. The result is in e->report and the log. */
void reload_begin(struct engine *e);

/* At the end, when no loop runs any more: wait for a load that is under way and drop it. */
void reload_abandon(struct engine *e);

#endif
