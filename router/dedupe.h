/* dedupe.h - `dedupe: 10m`: what was taken already is not taken again.
 *
 * The rules, of which the second is the reason for all the rest:
 *
 *   1. A message is a duplicate of one that the same channel took within its window, byte for byte the same, and with a timestamp of its own.
 *   2. Its source is told "taken" only when the first one is durable. A duplicate of one that is still on its way to the disk waits for that commit;
 *      if the commit fails, the duplicate's source is told to come again, and the first is forgotten.
 *   3. What is remembered is bounded: at the bound the oldest are forgotten before their time, and counted. A message that is forgotten is taken
 *      again: forgetting never loses one.
 *   4. Memory is the process's: shared by all workers (a source that comes again comes to another one), kept over reloads, empty after a start.
 *
 * A message is remembered by 128 bits of keyed hash. The seeds are drawn at the start and known to nobody, so nobody can make two that agree. */
#ifndef SLUICE_DEDUPE_H
#define SLUICE_DEDUPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dedupe;
struct plan;

#define DEDUPE_BYTES 40   /* that a remembered message takes, about */

/* The memory of the channel of this name; made on first use and never freed. Any thread. */
struct dedupe *dedupe_of(const char *channel);
/* How much all channels of a plan may remember: an eighth of limits.memory, shared equally by those with `dedupe:`. Others forget. Main loop. */
void dedupe_configure(const struct plan *p);
/* Messages remembered now. Any thread. */
uint64_t dedupe_remembered(struct dedupe *d);
/* Forget everything, of all channels: at the end, when no request is under way. */
void dedupe_fini(void);

/* One request's part in it; belongs to the request's thread, but for what is said. All zeros is a request that met no dedupe yet. */
struct dedupe_request {
	struct dedupe *table;
	uint32_t number;                  /* of this request among those under way; 0: it remembered nothing */
	uint32_t *places; unsigned n, cap;
	bool last;                        /* the last look added to them */
	struct dedupe_request **waiters; unsigned nwaiters, waiters_cap;  /* the table's lock */
	/* Called once for each DEDUPE_AWAITS, on the thread of the request that had the first: is that durable now? */
	void (*first)(struct dedupe_request *waiter, bool durable);
};

enum dedupe_answer {
	DEDUPE_NEW,       /* not known: take it. It is remembered as this request's */
	DEDUPE_KNOWN,     /* durable, or in this very request */
	DEDUPE_AWAITS,    /* on its way with another request: `first` will be called, and must be before this one's source is answered */
};
enum dedupe_answer dedupe_look(struct dedupe_request *r, struct dedupe *d, int64_t window_us, const void *bytes, size_t n);
/* The message of the last look was not taken after all. Only where that said DEDUPE_NEW. */
void dedupe_forget_last(struct dedupe_request *r);
/* What became of the messages of this request: durable, or not taken. Those who wait are told. It may be used for the next request then. */
void dedupe_settle(struct dedupe_request *r, bool durable);
/* Frees what it holds; only when settled. */
void dedupe_request_fini(struct dedupe_request *r);

#endif
