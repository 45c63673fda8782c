/* record.h - what a row is, byte by byte: FORMAT.md in code. Pure: no database, no threads.
 *
 * Keys are big-endian, so that their order is that of positions; values are little-endian. Every value ends with a
 * CRC-32C over key and value (a chunk: over the value, which names its position itself). Decoding trusts nothing. */
#ifndef SLUICE_STORE_RECORD_H
#define SLUICE_STORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "store/store.h"

#define STORE_FORMAT 1
#define BITS_WORDS (SPAN_ENTRIES_MAX / 64)

/* ---- keys */

enum row_kind { ROW_CHUNK = 'b', ROW_REF = 'q', ROW_LEDGER = 'f', ROW_DEAD = 'd', ROW_STATE = 's', ROW_META = 'm' };

struct key { size_t n; unsigned char p[32]; };

struct key key_chunk(uint64_t position, uint32_t rendering);
struct key key_ref(uint32_t buffer, uint64_t position, uint32_t rendering);
struct key key_ledger(uint32_t owner);
struct key key_dead(uint32_t owner, uint64_t position);
struct key key_format(void);
struct key key_last(void);
struct key key_name(uint32_t number);
struct key key_names(void); /* where the names begin */
bool key_is_ref(const void *p, size_t n, uint32_t *buffer, uint64_t *position, uint32_t *rendering);
bool key_is_chunk(const void *p, size_t n, uint64_t *position, uint32_t *rendering);
bool key_is_ledger(const void *p, size_t n, uint32_t *owner);
bool key_is_dead(const void *p, size_t n, uint32_t *owner, uint64_t *position);
bool key_is_name(const void *p, size_t n, uint32_t *number);

/* ---- chunks: bytes of messages first, so that the buffer they were gathered in becomes the value */

/* One entry as it lies in the table (little-endian, as in memory). */
struct entry_row {
	uint64_t id;
	int64_t time_us;
	uint32_t offset, len;       /* in the body */
	uint32_t ident_hash;
	uint32_t text;              /* where its ident, then its address, lies in the texts */
	uint16_t ident_len, address_len;
	uint16_t row, rows;
	uint16_t source;            /* entry of the source chunk it was made of */
	uint16_t number;            /* its entry number, which never changes */
	uint32_t attempts;          /* before it came into this buffer: of a message that was a dead letter */
};

struct ref_name { uint32_t buffer, rendering; };

struct chunk_head {
	uint64_t position;
	int64_t arrived;
	uint32_t rendering;
	unsigned n;                 /* entries that are in it */
	unsigned total;             /* entry numbers are below this */
	unsigned nrefs;
	size_t body_len;
	const char *table, *texts, *refs;  /* inside the value */
};

/* value holds the body; the rest is appended, and h is completed to what chunk_decode would say of it. */
void chunk_encode(struct buf *value, struct chunk_head *h, const struct entry_row *table, const struct buf *texts,
	const struct ref_name *refs);
bool chunk_decode(const void *value, size_t len, struct chunk_head *out);
struct entry_row chunk_row(const struct chunk_head *h, unsigned index);
struct ref_name chunk_ref(const struct chunk_head *h, unsigned index);
/* Index of the entry with this number, or -1. */
int chunk_index(const struct chunk_head *h, unsigned number);

/* ---- refs: what is outstanding of one buffer in one block */

struct ref_row {
	int64_t arrived;
	uint32_t bytes;             /* of the outstanding entries */
	unsigned total;
	uint64_t bits[BITS_WORDS];
};
void ref_encode(struct buf *out, const struct key *k, const struct ref_row *r);
bool ref_decode(const struct key *k, const void *value, size_t len, struct ref_row *out);

/* ---- ledgers: everything that is counted of a buffer, or of a channel (dead letters only) */

struct ledger {
	uint64_t matched, skipped, buffered, accepted, dead, expired, dropped, purged;
	uint64_t bytes;
	uint64_t dead_kept, dead_bytes, dead_gone;
	uint64_t floor;             /* no ref lies below it */
	uint64_t dead_floor;        /* no dead letter lies below it */
};
void ledger_encode(struct buf *out, const struct key *k, const struct ledger *l);
bool ledger_decode(const struct key *k, const void *value, size_t len, struct ledger *out);

/* ---- the last commit */

struct last_row {
	uint64_t position, id;
	int64_t elapsed, real_us, boot_us;
	char boot_id[40];
};
void last_encode(struct buf *out, const struct last_row *l);
bool last_decode(const void *value, size_t len, struct last_row *out);

/* ---- dead letters; elapsed is the store time of their making, for dead.ttl */

/* Without the CRC, which needs the key: dead_seal adds it. */
void dead_encode(struct buf *out, const struct dead_letter *d, int64_t elapsed);
void dead_seal(struct buf *out, const struct key *k);
/* Strings point into value. */
bool dead_decode(const struct key *k, const void *value, size_t len, struct dead_letter *out, int64_t *elapsed);

/* ---- states of adapters; the key, which has the ident in it, is appended to out */

void key_state(struct buf *out, uint32_t stream, const char *ident, size_t len);
bool key_state_is(const char *key, size_t n, uint32_t stream, const char *ident, size_t len);
bool key_is_state_of(const char *key, size_t n, uint32_t stream);
void state_encode(struct buf *out, const char *key, size_t keylen, const void *p, size_t n);
bool state_decode(const char *key, size_t keylen, const void *value, size_t len, const char **p, size_t *n);

/* ---- bytes under a CRC, for names and the format */

void sealed_encode(struct buf *out, const struct key *k, const void *p, size_t n);
bool sealed_decode(const struct key *k, const void *value, size_t len, const void **p, size_t *n);

/* ---- sets of entry numbers */

static inline unsigned bits_count(const uint64_t *b)
{
	unsigned n = 0;
	for (unsigned i = 0; i < BITS_WORDS; i++)
		n += (unsigned)__builtin_popcountll(b[i]);
	return n;
}
static inline bool bits_any(const uint64_t *b)
{
	uint64_t any = 0;
	for (unsigned i = 0; i < BITS_WORDS; i++)
		any |= b[i];
	return any != 0;
}
static inline void bits_set(uint64_t *b, unsigned i) { b[i / 64] |= UINT64_C(1) << (i % 64); }
static inline bool bits_has(const uint64_t *b, unsigned i) { return b[i / 64] >> (i % 64) & 1; }
/* The first member >= from, or SPAN_ENTRIES_MAX. */
unsigned bits_next(const uint64_t *b, unsigned from);

#endif
