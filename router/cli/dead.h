/* dead.h - the inside of `sluice dead`. */
#ifndef SLUICE_CLI_DEAD_H
#define SLUICE_CLI_DEAD_H

#include "admin/letters.h"
#include "cli/cli.h"
#include "cli/pages.h"

struct dead {
	struct place_of_store place;
	const char *name;          /* NULL: none was given */
	uint32_t owner;            /* of a store that lies still */
	struct letters_filter filter;
	struct buf ids;
	const char *to_stream;
	bool json, all, count, as_it_was, yes, chosen;   /* chosen: some filter was given */
	uint64_t newest, oldest;   /* how many to show; 0: not asked for */
	uint64_t kept;             /* letters of this owner, by its counts */
	struct buf answer;
};

/* One page from `from` on: asked for, or read. Its lines, without the last, are in d->answer; *next is where the next one begins, 0 at the end. */
int dead_page(struct dead *d, const char *command, uint64_t from, unsigned most, bool whole);
/* The command with its filter, to a running instance. */
int dead_command(struct dead *d, const char *command, uint64_t from, unsigned most, const char *more);

/* dead_list.c */
int dead_owners(struct dead *d);
int dead_list(struct dead *d);
int dead_show(struct dead *d);
/* dead_change.c */
int dead_retry(struct dead *d);
int dead_drop(struct dead *d);

#endif
