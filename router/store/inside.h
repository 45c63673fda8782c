/* inside.h - what the files of the store share: its structures, and who may touch what.
 *
 * Understand these first:
 *   struct block  lives in memory at most once (store.blocks: position -> block) and then knows the outstanding entries of
 *                 every ref it has. It stays while somebody uses it (users > 0): a place in an attached buffer's window, a settlement
 *                 not yet recorded, the commit or the reader working on it.
 *   struct ref    what is outstanding of one buffer in one block: `left` as recorded on disk, `gone` what was settled since.
 *   window        the refs of an attached buffer that are in memory, from its oldest outstanding one on, without a hole but for those
 *                 *let go*: given back unsettled and more of them than WINDOW_PASSED. Where they lie stands on disk; buffer.let_go is the
 *                 first of them. `fed`: it reaches to the newest commit, and commits are appended to it. Else the buffer *lags*: the
 *                 reader thread puts in from read_next on until it has caught up.
 *
 * One mutex, store.lock, held briefly and never over the disk. "lock" below: read and written with it held. "commit": touched by
 * the commit thread alone. Fields that the commit thread alone writes (with the lock held) it may read without.
 *
 * The database handle is used between store_db_enter and store_db_leave, so that the commit thread can close it under
 * everybody's feet (store_db_park) after a failed write. */
#ifndef SLUICE_STORE_INSIDE_H
#define SLUICE_STORE_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/seldom.h"
#include "store/db.h"
#include "store/record.h"
#include "store/store.h"
#include "store/store_env.h"

#define BLOCK_MESSAGES 100
#define BLOCK_BYTES (128u << 10)
#define BLOCK_ENTRIES (SPAN_ENTRIES_MAX - TICKET_ROWS_MAX)  /* a chunk with more takes no further message */
#define SETTLE_WAIT_US 50000
#define READ_AHEAD (512u << 10)     /* bytes the reader keeps ready for a buffer that lags */
#define COMMIT_BYTES (8u << 20)     /* tickets of one commit */
#define WINDOW_PASSED (1u << 20)    /* bytes that a window keeps of what was given back unsettled; the rest is read again when it is wanted */

/* ---- blocks */

struct chunk {
	struct block *block;
	uint32_t rendering;
	bool present;               /* its bytes are here (not when a block was read for the sake of another rendering) */
	unsigned n, total;          /* entries; entry numbers are below total */
	size_t body_len;
	size_t stored;              /* body bytes that its row on disk has */
	size_t written;                 /* bytes of its row on disk; 0: not known */
	struct buf value;           /* building: the body. sealed: the whole value of the row */
	struct buf table, texts;    /* building: struct entry_row each; idents and addresses */
	struct chunk_head head;     /* sealed */
	unsigned mark_n;            /* as it was before the current message, if mark_message says so */
	size_t mark_len, mark_texts;
	uint64_t mark_message;
};

enum ref_state {
	REF_LOOSE,   /* in no window */
	REF_READY,
	REF_HELD,    /* a span of it is with the sender */
	REF_PASSED,  /* given back, or with nothing left to hand out; in the window until recorded as empty */
};

struct ref {
	struct block *block;
	struct buffer *buffer;      /* once committed or read */
	uint32_t number, rendering;
	unsigned total;
	enum ref_state state;       /* lock */
	uint32_t bytes;             /* of left */
	uint64_t left[BITS_WORDS];
	uint64_t gone[BITS_WORDS];  /* lock */
	struct ref *prev, *next;    /* lock: the window */
	size_t counted;             /* lock: in buffer.ready while READY, in buffer.passed while PASSED */
	bool touched;               /* commit: it has a next */
	uint32_t next_bytes;
	uint64_t next_left[BITS_WORDS];
};

struct block {
	uint64_t position;
	int64_t arrived;
	unsigned users;             /* lock */
	bool mapped;                /* lock: it is in store.blocks */
	bool queued;                /* lock: to be compacted; in store.compact */
	bool partial;               /* not all of its refs could be read: its chunks are never deleted */
	bool touched;               /* commit */
	unsigned nchunks, chunks_cap;
	struct chunk **chunks;      /* [0] is the source once there is one; the structs are reused */
	unsigned nrefs, refs_cap;
	struct ref *refs;
	size_t memory;              /* counted in store.memory while mapped */
	struct block *next;         /* in whatever list it is */
};

struct block *block_new(struct store *s);
void block_pool_fini(struct store *s);
void block_recycle(struct store *s, struct block *b);
struct chunk *block_chunk(const struct block *b, uint32_t rendering);       /* NULL: none */
struct chunk *block_chunk_make(struct block *b, uint32_t rendering);
struct ref *block_ref(const struct block *b, uint32_t number, uint32_t rendering, unsigned *hint);
struct ref *block_ref_make(struct block *b, uint32_t number, uint32_t rendering);
bool block_is_full(const struct block *b);
bool block_takes(const struct block *b, const struct block *more);          /* merging keeps order and bounds */
void block_merge(struct block *b, const struct block *more);
void block_seal(struct block *b, uint64_t position, int64_t arrived);
/* The value for a chunk of the entries in keep only, with the same position and numbers. */
void chunk_compact(const struct chunk *c, const uint64_t *keep, struct buf *value);
/* Take a row read from disk as the chunk's value (swapped); false when it is not what it should be. */
bool chunk_adopt(struct chunk *c, struct buf *value, uint64_t position);
uint32_t chunk_bytes(const struct chunk *c, const uint64_t *bits);          /* bytes of these entries */
/* Entries of chunk c that some ref wants: by what is recorded or, for the commit thread, by what the commit under way makes of it. */
void block_wanted(const struct block *b, const struct chunk *c, bool soon, uint64_t *out);   /* lock */

struct block *block_find(struct store *s, uint64_t position);                /* lock */
void block_map(struct store *s, struct block *b);                            /* lock */
void block_unuse(struct store *s, struct block *b);                          /* lock */
size_t block_measure(const struct block *b);

/* ---- buffers (and channels, as owners of dead letters) */

struct buffer {
	struct store *store;
	uint32_t number;
	char *stream;               /* lock: for people */
	bool configured;            /* lock */
	bool history;               /* of a channel: nobody attaches, nobody waits for it to have room; set as it is made */
	struct buffer_options options;  /* lock */

	struct ledger ledger;       /* as on disk; written by the commit thread with the lock held */
	uint64_t floor;             /* lock: while detached and not empty: no ref lies below it */
	uint64_t newest;            /* lock: position of its newest ref */
	int64_t oldest_arrived;     /* lock: hint, of the oldest outstanding */
	uint64_t gone_bytes;        /* lock: settled, not recorded */
	uint64_t pressed;           /* lock: bytes to drop because the disk is at its limit */

	struct seldom told_dropped; /* commit thread */
	bool attached, fed, hungry, reading;   /* lock; reading: in store.read_first */
	unsigned generation;        /* lock: of attaching, so that the reader sees a change */
	struct port *port;
	void (*wake)(void *arg);
	void *wake_arg;
	bool wake_due;              /* lock: in port->wake_first */
	struct buffer *wake_next;
	struct ref *first, *last, *cursor;     /* lock: the window; cursor: the first READY one or NULL */
	size_t ready, passed;       /* lock: memory of READY and of PASSED refs */
	unsigned ready_n;
	uint64_t let_go, let_go_last;   /* lock: positions of the first and the last ref that was let go; 0: none */
	int64_t let_go_arrived;
	uint64_t again_to;          /* lock: since a rewind: so far the reader goes over what was let go; 0: it has, or need not */
	uint64_t read_next;         /* lock: lagging: where the reader goes on */
	struct buffer *read_link;

	uint64_t settle_last;       /* lock: number of the last settlement */
	_Atomic uint64_t recorded;
	uint64_t waits_for;         /* lock: buffer_hurry wants a wake at this mark; 0: nobody waits */

	/* commit */
	struct ledger next;         /* what the ledger will be */
	bool changed;               /* next is in use */
	uint64_t recorded_next;
	uint64_t asked, asked_n;    /* of the ticket that is being looked at */
	bool dropping;              /* this ticket's messages for it are dropped */
	struct buffer *changed_link;
};

struct buffer *store_buffer(struct store *s, uint32_t number);  /* lock; made if not known */
void window_insert(struct buffer *b, struct ref *r);            /* lock; READY, or PASSED when nothing is to be handed out */
void window_remove(struct buffer *b, struct ref *r);            /* lock */
void window_settled(struct buffer *b, struct ref *r);           /* lock; what r owes is recorded as less than before */
/* lock; these were to go and do not: whoever attached meanwhile is handed them */
void window_returned(struct buffer *b, struct ref *r, const uint64_t bits[BITS_WORDS]);
void buffer_wake(struct buffer *b);                             /* lock */
uint64_t buffer_floor(const struct buffer *b);                  /* lock */
uint64_t buffer_max(const struct buffer *b);                    /* lock */
void reader_ask(struct buffer *b);                              /* lock */
void buffer_read_on(struct buffer *b, uint64_t next);           /* lock; the reader has put in all below next */

/* ---- settlements on their way to the disk */

struct settlement {
	struct ref *ref;
	enum outcome outcome;
	uint64_t bits[BITS_WORDS];
	uint32_t bytes;             /* of these entries */
	uint64_t number;
	struct death *death;        /* owned, one allocation; NULL unless dead */
	struct settlement *next;
};
struct settlement *settlement_new(struct store *s);             /* lock */

/* ---- tickets */

/* A dead letter that a ticket brings; its value lacks only the position's seal. */
struct dead_draft {
	uint32_t owner;
	bool matched;               /* of a buffer: matched and dead by one */
	struct buf value;
	struct dead_draft *next;
};

/* What a ticket takes the place of: a dead letter, or entries of a buffer that nobody sends. */
struct stead {
	uint32_t owner;
	uint64_t position;
	bool letter, again;         /* again: the letter's message is in the ticket; else it is forgotten */
	size_t len;                 /* commit: of the letter's value */
	uint32_t rendering;         /* from here on: of entries */
	enum outcome outcome;
	uint64_t bits[BITS_WORDS];
	struct death *death;        /* owned, one allocation; NULL unless dead */
	struct ref *ref;            /* commit: its block is in use */
	struct stead *next;
};

struct skip { uint32_t number; uint64_t n; struct buffer *buffer; };

struct ticket {
	struct store *store;
	struct port *port;
	ticket_done_fn *done;
	void *arg;
	void (*on_free)(void *);
	void *on_free_arg;
	struct block *first, *last;
	enum { MESSAGE_NONE, MESSAGE_OPEN, MESSAGE_ENDED } message;
	uint64_t serial;            /* of the current message */
	unsigned wants, entry;      /* of the current message: how many, and its number in the source chunk */
	size_t start, mark;         /* in the source body: where it begins, and the length before its comma */
	unsigned ref_hint, skip_hint;
	struct skip *skips;
	unsigned nskips, skips_cap;
	struct dead_draft *dead, **dead_end;
	size_t dead_size;
	struct stead *steads, **steads_end;
	struct claim *claim;        /* granted, then handed in; NULL: none */
	bool waits;                 /* nothing is dropped for it, and nothing of it */
	enum ticket_result result;
	char why[256];
	struct ticket *next;
};
void ticket_empty(struct ticket *t);                            /* gives back blocks, drafts; calls on_free */
void ticket_free(struct ticket *t);
void ticket_steads_free(struct ticket *t);                      /* stead.c */

/* ---- ports */

struct port {
	struct store *store;
	int fd;
	unsigned refs;              /* lock: the owner's and each ticket's under way */
	bool freed, signalled;      /* lock */
	struct ticket *done_first, **done_end;        /* lock */
	struct claim *claim_first, **claim_end;       /* lock: granted, or never to be */
	struct buffer *wake_first, **wake_end;        /* lock */
	struct port *all_next;      /* lock: in store.ports */
	struct port *dirty_next;    /* lock: to be signalled when the lock is let go */
	bool dirty;
};
void port_unref(struct port *p);                                /* lock */
void port_done(struct port *p, struct ticket *t);               /* lock */
void port_claim(struct port *p, struct claim *c);               /* lock */
void port_claim_undo(struct port *p, struct claim *c);          /* lock */
void ports_fini(struct store *s);                               /* at closing */
void port_dirty(struct port *p);                                /* lock */
void ports_signal(struct store *s);                             /* lock: writes the eventfds of the dirty ones */

/* ---- names */

struct name { uint32_t number; enum name_kind kind; char *text; struct name *next; bool failed, written; };

/* What store_rename asks for; it lies on the stack of who waits. */
struct name_changes {
	struct name_change { struct name *name; char *text; } *list;
	unsigned n;
	enum { CHANGES_WAIT, CHANGES_MADE, CHANGES_FAILED } state;  /* lock */
};

/* ---- the store */

#define IDENTITY_LEN 16

struct store {
	char *path, *folder;        /* the store's, and the database's inside it */
	char identity[IDENTITY_LEN + 1];
	enum durability durability;
	uint8_t node;
	bool as_it_lies;
	struct store_env *env;
	bool env_owned;

	pthread_mutex_t lock;
	pthread_cond_t work;        /* to the commit thread */
	pthread_cond_t read_work;   /* to the reader thread */
	pthread_cond_t moved;       /* something somebody waits for: names, the database's users */
	pthread_t committer, reader;
	bool stop, abandoned, reader_stop;                          /* lock */

	/* the database, see store_db_enter */
	struct db *db;              /* written by the commit thread while parked */
	uint64_t failures;          /* of the environment, as the database was opened; commit thread */
	size_t write_buffer;        /* as it was opened */
	bool parked;                /* lock */
	unsigned db_users;          /* lock */

	/* from anybody to the commit thread; lock */
	struct ticket *tickets, **tickets_end;
	struct settlement *settlements, **settlements_end, *free_settlements;
	int64_t settle_since;       /* mono, when the first waiting settlement came; 0: none waits */
	bool hurry;
	struct block *compact, **compact_end;
	unsigned ncompact;
	struct name *name_asks;     /* to be written */
	struct name_changes *name_changes; /* likewise */
	struct state_drop {         /* it lies on the stack of who waits */
		uint32_t stream;
		bool last;              /* commit: nothing is left after the one under way */
		enum { DROP_WAITS, DROP_MADE, DROP_FAILED } fate;
		int64_t n;
		struct state_drop *next;
	} *state_drops;
	struct dead_drop { uint32_t owner; uint64_t from, to; struct dead_drop *next; } *dead_drops;

	/* lock */
	struct umap blocks;         /* position -> struct block * */
	struct umap buffers;        /* number -> struct buffer * */
	struct map names;           /* kind and text -> struct name * */
	struct umap names_by_number;
	uint32_t name_last;
	size_t memory;
	uint64_t disk_limit, memory_limit;
	int64_t history_ttl;        /* below 0: not known yet */
	bool history_asked;         /* it has changed */
	size_t window_passed;       /* WINDOW_PASSED but for tests */
	uint64_t published;         /* position of the last commit that senders know of */
	struct buffer *read_first, **read_end;
	struct port *ports, *ports_dirty;
	struct store_counts counts;

	/* free lists, under their own lock: workers come here per ticket, while commits hold the other */
	pthread_mutex_t pool_lock;
	struct block *free_blocks;
	struct ticket *free_tickets;
	struct claim *free_claims;
	size_t free_memory;

	_Atomic uint64_t id_last;
	_Atomic int64_t elapsed_base;   /* elapsed = base + CLOCK_BOOTTIME */
	char boot_id[40];

	/* commit */
	uint64_t position;          /* the last given, written or not */
	struct commit *commit;
	/* space.c */
	struct space *space;
	/* state.c */
	struct states *states;
};

#define TICKET_LIST_INIT(first, end) ((first) = NULL, (end) = &(first))

static inline void store_lock(struct store *s) { pthread_mutex_lock(&s->lock); }
static inline void store_unlock(struct store *s) { pthread_mutex_unlock(&s->lock); }

/* Between the two the handle stays. False: the store is closing or the database is not open. Neither may be called with the lock. */
bool store_db_enter(struct store *s);
void store_db_leave(struct store *s);

/* store.c */
struct store *store_open_with(const struct store_options *o, struct store_env *env, char *why, size_t whylen); /* env: NULL or the caller's */
void store_clock_from(struct store *s, const struct last_row *last);
struct last_row store_clock_row(struct store *s, uint64_t position);

/* recover.c */
void identity_open(struct store *s);
int recover_open(struct store *s, char *why, size_t whylen);    /* opens or repairs or sets aside, then reads */
enum db_result recover_reopen(struct store *s, uint64_t *last_position, char *why, size_t whylen);

/* commit.c */
void commit_init(struct store *s);
void commit_fini(struct store *s);
void *commit_main(void *store);

/* reader.c */
void *reader_main(void *store);
/* Settle a whole ref that cannot be read as dropped; it is counted and told. */
void reader_lost(struct store *s, struct ref *r, const char *why);              /* lock */

/* The block at this position with all its refs, read from disk for the sake of one; see reader.c. Not mapped; NULL: nothing is outstanding
 * for it any more. */
struct block *block_load(struct store *s, uint32_t buffer, uint64_t position, uint32_t rendering, enum db_result *result);
struct death *death_copy(const struct death *d);                /* one allocation */

/* dead.c; commit thread */
void dead_write(struct store *s, struct buffer *owner, struct buf *value);      /* adds a letter to the commit under way */
void dead_trim(struct store *s);                                                 /* the oldest go, by dead.max and dead.ttl */
void dead_drops(struct store *s);                                               /* what store_drop_dead asked for */

/* history.c; commit thread: what is past its time, or in the way, goes with the commit under way */
void history_trim(struct store *s);
/* Commit thread: so many messages of history are not kept as long as was asked, for want of room. */
void history_cut(struct store *s, uint64_t n);

/* state.c */
void states_init(struct store *s);
int states_start(struct store *s);                              /* the thread; -1 with errno */
void states_stop(struct store *s);
void states_fini(struct store *s);
void states_count(struct store *s, struct store_counts *out);
/* Commit thread. Does what the ticket went on from still hold? Then take what it stages; or refuse the ticket, and those that went on from it. */
bool states_stand(struct store *s, const struct ticket *t);
void states_take(struct store *s, const struct ticket *t);
void states_refuse(struct store *s, const struct ticket *t);
void states_write(struct store *s);                             /* what was taken, and what store_drop_states asked for, into the commit under way */
void states_end(struct store *s, bool ok);                      /* lock: and that is on disk now, or never was */
/* claim.c */
void claims_fini(struct store *s);

/* names.c */
void names_write(struct store *s);                                              /* what was asked for, into the commit under way */
void names_written(struct store *s, bool ok);                                   /* lock */
void names_fini(struct store *s);
void names_know(struct store *s, uint32_t number, enum name_kind kind, const char *text, size_t n); /* lock, or alone */

/* space.c */
struct space *space_new(struct store *s);
void space_free(struct space *sp);
void space_look(struct store *s);                               /* commit thread: limits, free space, reserve */
const char *space_refuses(const struct store *s);               /* commit thread: why nothing may be taken in; NULL: it may */
bool space_waits(const struct store *s);                        /* lock: what comes in had better wait: there will be room in a moment */
struct buffer *space_pressed(const struct store *s, bool *all); /* commit thread: whose policy the disk limit calls for */
void space_changed(struct store *s, const struct commit *c);     /* lock: so much was written and deleted */
size_t space_write_buffer(const struct store *s);               /* for the database that is about to be opened */
void space_guess(struct store *s);                              /* at opening */
uint64_t space_taken(const struct store *s);                    /* lock: bytes on disk */
void space_failed(struct store *s);                             /* opening or commit thread, database closed: the disk refused; the reserve goes, and what was left unfinished */
/* Commit thread: bytes on disk that history is to give back; and it has given so many. */
uint64_t space_wants(const struct store *s);
void space_yielded(struct store *s, uint64_t bytes, bool all);   /* all: it has no more to give before the next look */
void space_hold(struct store *s);                               /* as the database is about to be opened anew: no compaction before there is room for it */
bool space_releases(const struct store *s);                     /* commit thread: what space_hold held back may go on, once the database was opened anew */
bool space_tidy(struct store *s);                               /* reader thread, idle: one slice of compaction; false: nothing to do */
/* The chunk's bytes from disk into b, if they are not there. False: they cannot be had. Between db_enter and db_leave. */
enum db_result chunk_load(struct store *s, struct block *b, uint32_t rendering);

#endif
