/* states.h - adapters' states in memory, and the claims on them; for the files of the store.
 *
 * Understand these first:
 *   text     the bytes of a state, immutable and counted, so that a claim may read what falls back meanwhile. NULL: nothing.
 *   latest   what the next claim goes on from: the last that was staged and handed in, durable or not.
 *   soon     what it will be by the commit under way; the commit thread's.
 *   durable  what is on disk.
 *   epoch    rises when latest falls back. A ticket stands as long as the epochs of its states are those it was granted in.
 *   row      of a state: its claims in the order in which they began. The first has it, if it has been read from disk.
 *
 * Why a ticket that stands may be written: within an epoch, claims are granted one after the other, and hand in as they are granted; tickets reach
 * the commit in the order they were handed in; and one that stages and is not taken ends the epoch. So what the ticket went on from is `soon`:
 * states_take asserts it.
 *
 * One lock, states.lock, taken after store.lock where both are needed, never held over the disk. */
#ifndef SLUICE_STORE_STATES_H
#define SLUICE_STORE_STATES_H

#include "store/inside.h"

#define STATES_MEMORY (16u << 20)  /* until told otherwise */

struct text { _Atomic unsigned refs; uint32_t len; char bytes[]; };

enum state_read { STATE_UNREAD, STATE_READING, STATE_READ };

struct state {
	struct text *latest, *soon, *durable;
	unsigned epoch;
	unsigned users;             /* places in its row, tickets under way, the reader, the commit */
	enum state_read read;
	struct place *first, *last; /* the row */
	struct state *older, *newer;    /* not in use */
	struct state *next;         /* to be read */
	struct state *touched_next;
	bool touched;               /* commit: soon is not durable yet */
	size_t counted;             /* in states.memory */
	uint32_t key_len;
	char key[];                 /* of its row on disk */
};

/* A claim's place in the row of one state. */
struct place {
	struct state *state;
	struct claim *claim;
	struct place *before, *behind;
	struct text *base, *staged;
	bool changed;
	unsigned epoch;
};

struct claim {
	struct store *store;
	struct port *port;
	void (*ready)(void *arg, const char *why);
	void *arg;
	enum { CLAIM_NEW, CLAIM_WAITS, CLAIM_GRANTED, CLAIM_FAILED, CLAIM_HANDED_IN } stage;    /* states.lock */
	unsigned waits;             /* states.lock: states it is not first in the row of, or that are not read */
	unsigned npairs, pairs_cap, nplaces, hint;
	struct { size_t key; uint32_t key_len; unsigned place; } *pairs;
	struct place *places;
	struct buf keys;
	bool due;                   /* store.lock: in port.claim_first */
	struct claim *next;
};

struct states {
	pthread_mutex_t lock;
	pthread_cond_t work;        /* to the thread that reads */
	pthread_t thread;
	bool runs, stop;
	struct map all;             /* key -> struct state * */
	size_t memory, limit;
	uint64_t reads;
	struct state *oldest, *newest;  /* not in use */
	struct state *read_first, **read_end;
	struct state *touched;      /* commit */
	struct buf row;             /* commit */
};

static inline void states_lock(struct store *s) { pthread_mutex_lock(&s->states->lock); }
static inline void states_unlock(struct store *s) { pthread_mutex_unlock(&s->states->lock); }

struct text *text_new(const void *p, size_t n);                 /* n 0: NULL */
struct text *text_ref(struct text *t);
void text_set(struct text **to, struct text *t);                /* takes over the reference to t */

/* state.c; with states.lock */
struct state *state_find(struct states *x, const char *key, size_t len);    /* made if not in memory; in use once more */
void state_unuse(struct states *x, struct state *st);
void state_ask(struct states *x, struct state *st);             /* to be read from disk */

void states_forget_unused(struct states *x, uint32_t stream);
/* state_disk.c; commit thread */
void states_drop_some(struct store *s);                         /* into the commit under way */
void states_drops_end(struct store *s, bool ok);                /* store.lock */

/* claim.c */
void claim_state_read(struct store *s, struct state *st, const char *failed);   /* store.lock and states.lock */
void claim_hand_in(struct claim *c);                            /* store.lock; the ticket has its place in the row to the commit */
void claim_let_go(struct claim *c);                             /* of a ticket that has been answered */
bool claim_changes(const struct claim *c);
size_t claim_size(const struct claim *c);

#endif
