/* pages.h - work that goes over many messages: asked of a running instance page by page, or done on a store that nobody has open.
 *
 * Between two pages nothing is half done, so an interrupted command can simply be given again. */
#ifndef SLUICE_CLI_PAGES_H
#define SLUICE_CLI_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct store;

/* ---- progress.c */

struct progress {
	const char *what, *note;   /* "letters"; borrowed. note may be NULL */
	uint64_t total;            /* 0: not known */
	double part;               /* then: how far it is, 0 to 1; 0: not known either */
	int64_t began_us, drawn_us;
	bool terminal, drawn;
};
void progress_begin(struct progress *p, const char *what, uint64_t total);   /* from here on SIGINT and SIGTERM only ask for the end */
void progress_draw(struct progress *p, uint64_t done);
void progress_end(struct progress *p);
bool progress_interrupted(void);

/* ---- place.c: where the store is, and whether somebody runs on it */

struct place_of_store {
	char data[4096];
	bool running;
	struct store *store;       /* open, when nobody runs */
};
/* `argument` is a specification's file, or with `is_data` the folder itself. An instance that runs is asked; else, if `still` allows it, the
 * store is opened as it lies there. 0, or an exit status after saying why. */
int place_open(struct place_of_store *p, const char *argument, bool is_data, bool still);
void place_close(struct place_of_store *p);

/* ---- streams.c */

/* `purge` or `set-aside` of a stream that is sent, to its end; *cleared counts. 0, or an exit status after saying why. */
int streams_clear(const char *data, const char *command, const char *stream, uint64_t *cleared);

#endif
