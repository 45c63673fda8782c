/* again.h - messages that had their turn, on their way once more: dead letters, entries of buffers that nobody sends, and what history kept.
 *
 * They were copied from the store (never on a worker's loop), and are rendered on the stream's worker with the plan in force there. What
 * becomes of each is one ticket with what it takes the place of: durable in the stream's buffer and gone from where it was, or neither. History
 * stays where it is. */
#ifndef SLUICE_AGAIN_H
#define SLUICE_AGAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

struct channel;
struct engine;
struct worker;

enum again_fate {
	AGAIN_LATER,       /* had no turn yet: there was no time or no room */
	AGAIN_LEFT,        /* nothing was changed; `why` of struct again has the first reason */
	AGAIN_SENT,        /* in the stream's buffer; of a channel's letter: taken */
	AGAIN_SKIPPED,     /* a transform left it out this time, with a reason */
	AGAIN_UNWANTED,    /* of history: today's plan does not give it to the stream */
	AGAIN_DEAD,        /* it could not be rendered this time either: a new letter says why */
};

struct again;
struct again_item {
	struct again *page;
	uint64_t position;             /* of the letter, or of the kept entry's block */
	unsigned entry;                /* of the kept entry */
	uint64_t id;
	int64_t time_us;
	unsigned attempts, row, rows;
	bool raw;                      /* of a channel: bytes that no message could be made of */
	uint32_t rendering;            /* of the kept entry */
	enum again_fate fate;
	struct again_item *next;
	/* In one allocation with it; ident and peer end with a NUL, source and bytes have MESSAGE_PAD bytes behind them. */
	const char *ident, *peer, *source, *bytes;
	const char *channel;           /* of history: by which it came */
	size_t source_len, len;
};

/* One page of them. */
struct again {
	struct engine *engine;
	char *stream, *channel;        /* whither: one of them */
	uint32_t owner;                /* the buffer or channel they come from */
	bool letters;                  /* else entries of a kept buffer */
	bool replays, dry;             /* of history; and only to say what would become of it, which no adapter is asked */
	bool as_it_was;                /* the bytes as they are, not rendered anew */
	uint32_t as_it_was_rendering;  /* store_name of such bytes */
	struct again_item *first, **end;
	unsigned n;
	size_t bytes;
	/* How it ended. */
	enum ticket_result result;
	char why[512];
	void (*ended)(struct again *a);   /* on the main loop */
	void *arg;
	unsigned under_way;
	struct worker *worker;
	struct claim *claim;           /* on the states of the idents, where the stream's adapters keep any */
	uint32_t number;               /* of the stream, as claimed */
	struct again *before, *behind; /* in the worker's list of those that wait for their claim */
};

struct again *again_new(struct engine *e);
void again_free(struct again *a);
/* Copies what it is given; any thread. */
void again_add_letter(struct again *a, const struct dead_letter *d);
void again_add_kept(struct again *a, const struct kept *k, unsigned entry);
/* Of a chunk that cannot be read: it will be left, and `why` says so. */
void again_add_history(struct again *a, const struct kept *k, unsigned entry, const char *channel);
/* What lies from *end on is no part of the page; n and bytes are the caller's to set. */
void again_cut(struct again *a, struct again_item **end);
/* Main loop; `ended` comes exactly once. */
void again_begin(struct again *a);

/* On the worker, whose loop has ended: those that wait will not be granted any more. */
void again_fini(struct worker *w);

#endif
