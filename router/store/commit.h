/* commit.h - the commit under way, for the files that add to it. Commit thread only. */
#ifndef SLUICE_STORE_COMMIT_H
#define SLUICE_STORE_COMMIT_H

#include "store/inside.h"

struct commit {
	struct store *store;
	struct db_batch *batch;
	struct buf row, packed;         /* scratch for one value */
	struct ticket *tickets;         /* taken from the queue, all answered at the end */
	struct settlement *settlements;
	struct block *compact;          /* blocks to be made smaller */
	struct block *blocks, **blocks_end;    /* new, sealed, in order */
	struct block *open;             /* still taking small ones */
	struct ref **touched;
	size_t ntouched, touched_cap;
	struct buffer *changed;
	struct dead_drop *drops;
	struct umap forgotten;          /* positions of letters whose place tickets took */
	struct stead *moved;            /* entries of buffers that nobody sends, whose place tickets took */
	struct name *names;
	struct name_changes *changes;
	bool anything;                  /* there is something to write */
	uint64_t garbage;               /* bytes of rows that it deletes or replaces; of chunks, letters and states, as */
	uint64_t written, unpacked;     /* of those that it puts; and of its chunks, as they were before packing and after */
	uint64_t packed_chunks;
	struct { struct chunk *chunk; size_t stored, written; } *shrunk;
	size_t nshrunk, shrunk_cap;
	int64_t healed, heal_pause;     /* mono: when the database was last opened anew; how long that was put off */
	int64_t history_look;           /* elapsed time of the last look for history past its time */
	struct seldom history_cut;      /* words about what went before its time */
	bool history_more;              /* and there was more than one commit should take */
	int64_t dead_look;              /* elapsed time of the last look for letters past their ttl */
};

uint64_t commit_position(struct store *s);              /* a fresh one */
struct ledger *commit_ledger(struct store *s, struct buffer *b);  /* what its ledger will be; marks it changed */
void commit_put(struct store *s, const struct key *k, const struct buf *value);
/* Packed on its way; the bytes it takes. */
size_t commit_put_chunk(struct store *s, const struct key *k, const struct buf *value);
void commit_delete(struct store *s, const struct key *k);

/* settle.c: settlements, and making sparse blocks smaller */
void settle_apply(struct store *s);
void settle_one(struct store *s, const struct settlement *e);
void settle_write(struct store *s);                     /* rows of all that was applied */
void settle_compact(struct store *s);

/* stead.c: what tickets take the place of */
bool steads_check(struct store *s, struct ticket *t);    /* is it all still there? Else why of the ticket says so */
void steads_apply(struct store *s, struct ticket *t);
/* These entries of a source chunk leave the buffer, which nobody sends, with the commit under way. False: they cannot now. freed: bytes of the row
 * that goes with them, 0 where others want it. */
bool steads_take(struct store *s, uint32_t buffer, uint64_t position, const uint64_t bits[BITS_WORDS], enum outcome o, uint64_t *freed);
void steads_end(struct store *s, bool ok);               /* lock: the commit is on disk, or never was */
bool steads_forgotten(const struct store *s, uint64_t position);  /* this letter goes with the commit under way */

/* gather.c: which tickets there is room for, and their blocks */
void gather_tickets(struct store *s);

#endif
