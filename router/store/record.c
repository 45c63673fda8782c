/* record.c - rows to and from bytes (FORMAT.md).
 *
 * The hard idea is the chunk's shape: body, table, texts, refs, and only then a head of fixed size. A ticket gathers
 * bodies long before it knows position and refs; with the head at the end nothing has to move when they are known. */
#include "store/record.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/crc.h"

#define CHUNK_TAIL 44
#define CRC_LEN 4

static_assert(sizeof(struct entry_row) == 48, "the table on disk has rows of 48 bytes");

/* ---- keys */

static void key_u8(struct key *k, uint8_t v) { k->p[k->n++] = v; }
static void key_u32(struct key *k, uint32_t v) { put_be32(k->p + k->n, v); k->n += 4; }
static void key_u64(struct key *k, uint64_t v) { put_be64(k->p + k->n, v); k->n += 8; }

struct key key_chunk(uint64_t position, uint32_t rendering)
{
	struct key k = { .n = 0 };
	key_u8(&k, ROW_CHUNK);
	key_u64(&k, position);
	key_u32(&k, rendering);
	return k;
}

struct key key_ref(uint32_t buffer, uint64_t position, uint32_t rendering)
{
	struct key k = { .n = 0 };
	key_u8(&k, ROW_REF);
	key_u32(&k, buffer);
	key_u64(&k, position);
	key_u32(&k, rendering);
	return k;
}

struct key key_ledger(uint32_t owner)
{
	struct key k = { .n = 0 };
	key_u8(&k, ROW_LEDGER);
	key_u32(&k, owner);
	return k;
}

struct key key_dead(uint32_t owner, uint64_t position)
{
	struct key k = { .n = 0 };
	key_u8(&k, ROW_DEAD);
	key_u32(&k, owner);
	key_u64(&k, position);
	return k;
}

static struct key key_meta(char what)
{
	struct key k = { .n = 0 };
	key_u8(&k, ROW_META);
	key_u8(&k, (uint8_t)what);
	return k;
}

struct key key_format(void) { return key_meta('f'); }
struct key key_last(void) { return key_meta('l'); }
struct key key_names(void) { return key_meta('n'); }

struct key key_name(uint32_t number)
{
	struct key k = key_meta('n');
	key_u32(&k, number);
	return k;
}

bool key_is_chunk(const void *p, size_t n, uint64_t *position, uint32_t *rendering)
{
	const unsigned char *b = p;
	if (n != 13 || b[0] != ROW_CHUNK)
		return false;
	*position = get_be64(b + 1);
	*rendering = get_be32(b + 9);
	return true;
}

bool key_is_ref(const void *p, size_t n, uint32_t *buffer, uint64_t *position, uint32_t *rendering)
{
	const unsigned char *b = p;
	if (n != 17 || b[0] != ROW_REF)
		return false;
	*buffer = get_be32(b + 1);
	*position = get_be64(b + 5);
	*rendering = get_be32(b + 13);
	return true;
}

bool key_is_ledger(const void *p, size_t n, uint32_t *owner)
{
	const unsigned char *b = p;
	if (n != 5 || b[0] != ROW_LEDGER)
		return false;
	*owner = get_be32(b + 1);
	return true;
}

bool key_is_dead(const void *p, size_t n, uint32_t *owner, uint64_t *position)
{
	const unsigned char *b = p;
	if (n != 13 || b[0] != ROW_DEAD)
		return false;
	*owner = get_be32(b + 1);
	*position = get_be64(b + 5);
	return true;
}

bool key_is_name(const void *p, size_t n, uint32_t *number)
{
	const unsigned char *b = p;
	if (n != 6 || b[0] != ROW_META || b[1] != 'n')
		return false;
	*number = get_be32(b + 2);
	return true;
}

/* ---- little-endian integers appended */

static void add_u16(struct buf *b, unsigned v) { char p[2]; put_le16(p, (uint16_t)v); buf_add(b, p, 2); }
static void add_u32(struct buf *b, uint32_t v) { char p[4]; put_le32(p, v); buf_add(b, p, 4); }
static void add_u64(struct buf *b, uint64_t v) { char p[8]; put_le64(p, v); buf_add(b, p, 8); }

/* The CRC covers the key too: a row that lies where it does not belong is found out. `from` is where the row begins in out. */
static void add_crc(struct buf *out, size_t from, const struct key *k)
{
	add_u32(out, crc32c(crc32c(0, k->p, k->n), out->p + from, out->len - from));
}

static bool crc_holds(const struct key *k, const char *value, size_t len)
{
	return len >= CRC_LEN && get_le32(value + len - CRC_LEN) == crc32c(crc32c(0, k->p, k->n), value, len - CRC_LEN);
}

/* ---- chunks */

void chunk_encode(struct buf *value, struct chunk_head *h, const struct entry_row *table, const struct buf *texts,
	const struct ref_name *refs)
{
	size_t body_len = value->len;
	buf_reserve(value, h->n * sizeof(*table) + texts->len + h->nrefs * sizeof(*refs) + CHUNK_TAIL);
	buf_add(value, table, h->n * sizeof(*table));
	buf_add(value, texts->p, texts->len);
	buf_add(value, refs, h->nrefs * sizeof(*refs));
	add_u64(value, h->position);
	add_u64(value, (uint64_t)h->arrived);
	add_u32(value, (uint32_t)body_len);
	add_u32(value, (uint32_t)texts->len);
	add_u32(value, h->rendering);
	add_u16(value, h->n);
	add_u16(value, h->total);
	add_u32(value, h->nrefs);
	add_u16(value, STORE_FORMAT);
	add_u16(value, ROW_CHUNK);
	add_u32(value, crc32c(0, value->p, value->len));
	h->body_len = body_len;
	h->table = value->p + body_len;
	h->texts = h->table + h->n * sizeof(*table);
	h->refs = h->texts + texts->len;
}

bool chunk_decode(const void *value, size_t len, struct chunk_head *out)
{
	const char *p = value;
	if (len < CHUNK_TAIL || len > UINT32_MAX)
		return false;
	const char *tail = p + len - CHUNK_TAIL;
	size_t body = get_le32(tail + 16), texts = get_le32(tail + 20), nrefs = get_le32(tail + 32);
	unsigned n = get_le16(tail + 28), total = get_le16(tail + 30);
	if (get_le16(tail + 36) != STORE_FORMAT || get_le16(tail + 38) != ROW_CHUNK || total > SPAN_ENTRIES_MAX || n > total ||
		nrefs > len || len - CHUNK_TAIL != body + n * sizeof(struct entry_row) + texts + nrefs * sizeof(struct ref_name) ||
		get_le32(tail + 40) != crc32c(0, p, len - CRC_LEN))
		return false;
	*out = (struct chunk_head){
		.position = get_le64(tail),
		.arrived = (int64_t)get_le64(tail + 8),
		.rendering = get_le32(tail + 24),
		.n = n,
		.total = total,
		.nrefs = (unsigned)nrefs,
		.body_len = body,
		.table = p + body,
		.texts = p + body + n * sizeof(struct entry_row),
		.refs = p + body + n * sizeof(struct entry_row) + texts,
	};
	int before = -1;
	for (unsigned i = 0; i < n; i++) {
		struct entry_row e = chunk_row(out, i);
		if (e.number >= total || (int)e.number <= before || (uint64_t)e.offset + e.len > body ||
			(uint64_t)e.text + e.ident_len + e.address_len > texts || e.source >= SPAN_ENTRIES_MAX)
			return false;
		before = e.number;
	}
	return true;
}

struct entry_row chunk_row(const struct chunk_head *h, unsigned index)
{
	struct entry_row e;
	memcpy(&e, h->table + index * sizeof(e), sizeof(e));
	return e;
}

struct ref_name chunk_ref(const struct chunk_head *h, unsigned index)
{
	struct ref_name r;
	memcpy(&r, h->refs + index * sizeof(r), sizeof(r));
	return r;
}

int chunk_index(const struct chunk_head *h, unsigned number)
{
	if (h->n == h->total)
		return number < h->n ? (int)number : -1;
	unsigned low = 0, high = h->n;
	while (low < high) {
		unsigned mid = (low + high) / 2;
		unsigned at = get_le16(h->table + mid * sizeof(struct entry_row) + offsetof(struct entry_row, number));
		if (at == number)
			return (int)mid;
		if (at < number)
			low = mid + 1;
		else
			high = mid;
	}
	return -1;
}

/* ---- refs */

void ref_encode(struct buf *out, const struct key *k, const struct ref_row *r)
{
	size_t from = out->len;
	add_u64(out, (uint64_t)r->arrived);
	add_u32(out, r->bytes);
	add_u16(out, r->total);
	buf_add(out, r->bits, (r->total + 7) / 8);
	add_crc(out, from, k);
}

bool ref_decode(const struct key *k, const void *value, size_t len, struct ref_row *out)
{
	const char *p = value;
	if (len < 14 + CRC_LEN || !crc_holds(k, p, len))
		return false;
	*out = (struct ref_row){ .arrived = (int64_t)get_le64(p), .bytes = get_le32(p + 8), .total = get_le16(p + 12) };
	size_t n = (out->total + 7) / 8;
	if (out->total > SPAN_ENTRIES_MAX || len != 14 + n + CRC_LEN)
		return false;
	memcpy(out->bits, p + 14, n);
	if (out->total % 8 && (unsigned char)p[14 + n - 1] >> (out->total % 8))
		return false;
	return true;
}

/* ---- ledgers */

#define LEDGER_FIELDS (sizeof(struct ledger) / sizeof(uint64_t))

void ledger_encode(struct buf *out, const struct key *k, const struct ledger *l)
{
	size_t from = out->len;
	buf_add(out, l, sizeof(*l));
	add_crc(out, from, k);
}

bool ledger_decode(const struct key *k, const void *value, size_t len, struct ledger *out)
{
	static_assert(sizeof(struct ledger) == LEDGER_FIELDS * 8, "a ledger is its fields");
	if (len != sizeof(*out) + CRC_LEN || !crc_holds(k, value, len))
		return false;
	memcpy(out, value, sizeof(*out));
	return true;
}

/* ---- the last commit */

void last_encode(struct buf *out, const struct last_row *l)
{
	struct key k = key_last();
	size_t from = out->len;
	add_u64(out, l->position);
	add_u64(out, l->id);
	add_u64(out, (uint64_t)l->elapsed);
	add_u64(out, (uint64_t)l->real_us);
	add_u64(out, (uint64_t)l->boot_us);
	buf_add(out, l->boot_id, sizeof(l->boot_id));
	add_crc(out, from, &k);
}

bool last_decode(const void *value, size_t len, struct last_row *out)
{
	struct key k = key_last();
	const char *p = value;
	if (len != 40 + sizeof(out->boot_id) + CRC_LEN || !crc_holds(&k, p, len))
		return false;
	*out = (struct last_row){
		.position = get_le64(p),
		.id = get_le64(p + 8),
		.elapsed = (int64_t)get_le64(p + 16),
		.real_us = (int64_t)get_le64(p + 24),
		.boot_us = (int64_t)get_le64(p + 32),
	};
	memcpy(out->boot_id, p + 40, sizeof(out->boot_id));
	out->boot_id[sizeof(out->boot_id) - 1] = '\0';
	return true;
}

/* ---- dead letters */

#define DEAD_FIXED 64

static size_t text_len(const char *s, size_t most)
{
	return s ? strnlen(s, most) : 0;
}

void dead_encode(struct buf *out, const struct dead_letter *d, int64_t elapsed)
{
	size_t ident = text_len(d->ident, UINT16_MAX), reason = text_len(d->reason, 4096);
	size_t answer = text_len(d->answer, 4096), peer = text_len(d->peer, 1024);
	add_u64(out, d->id);
	add_u64(out, (uint64_t)d->when_us);
	add_u64(out, (uint64_t)elapsed);
	add_u64(out, (uint64_t)d->time_us);
	add_u32(out, (uint32_t)d->status);
	add_u16(out, d->attempts < UINT16_MAX ? d->attempts : UINT16_MAX);
	buf_addc(out, (char)(uint8_t)d->row);
	buf_addc(out, (char)(uint8_t)(d->rows ? d->rows - 1 : 0));
	add_u32(out, (uint32_t)ident);
	add_u32(out, (uint32_t)reason);
	add_u32(out, (uint32_t)answer);
	add_u32(out, (uint32_t)peer);
	add_u32(out, (uint32_t)d->source_len);
	add_u32(out, (uint32_t)d->len);
	/* Texts keep their NUL, so that a reader can point at them. */
	buf_add(out, d->ident, ident);
	buf_addc(out, '\0');
	buf_add(out, d->reason, reason);
	buf_addc(out, '\0');
	buf_add(out, d->answer, answer);
	buf_addc(out, '\0');
	buf_add(out, d->peer, peer);
	buf_addc(out, '\0');
	buf_add(out, d->source, d->source_len);
	buf_add(out, d->bytes, d->len);
}

void dead_seal(struct buf *out, const struct key *k)
{
	add_crc(out, 0, k);
}

bool dead_decode(const struct key *k, const void *value, size_t len, struct dead_letter *out, int64_t *elapsed)
{
	const char *p = value;
	if (len < DEAD_FIXED + 4 + CRC_LEN || !crc_holds(k, p, len))
		return false;
	uint64_t ident = get_le32(p + 40), reason = get_le32(p + 44), answer = get_le32(p + 48), peer = get_le32(p + 52);
	uint64_t source = get_le32(p + 56), bytes = get_le32(p + 60);
	if (len != DEAD_FIXED + ident + reason + answer + peer + 4 + source + bytes + CRC_LEN)
		return false;
	const char *at = p + DEAD_FIXED;
	uint32_t owner;
	*out = (struct dead_letter){
		.id = get_le64(p),
		.when_us = (int64_t)get_le64(p + 8),
		.time_us = (int64_t)get_le64(p + 24),
		.status = (int)get_le32(p + 32),
		.attempts = get_le16(p + 36),
		.row = (uint8_t)p[38],
		.rows = (unsigned)(uint8_t)p[39] + 1,
		.ident = at,
		.reason = at + ident + 1,
		.answer = at + ident + reason + 2,
		.peer = at + ident + reason + answer + 3,
		.source = at + ident + reason + answer + peer + 4,
		.source_len = source,
		.bytes = at + ident + reason + answer + peer + 4 + source,
		.len = bytes,
	};
	*elapsed = (int64_t)get_le64(p + 16);
	return out->ident[ident] == '\0' && out->reason[reason] == '\0' && out->answer[answer] == '\0' && out->peer[peer] == '\0' &&
		key_is_dead(k->p, k->n, &owner, &out->position);
}

/* ---- states */

void key_state(struct buf *out, uint32_t stream, const char *ident, size_t len)
{
	unsigned char head[5] = { ROW_STATE };
	put_be32(head + 1, stream);
	buf_add(out, head, sizeof(head));
	buf_add(out, ident, len);
}

bool key_is_state_of(const char *key, size_t n, uint32_t stream)
{
	return n >= 5 && key[0] == ROW_STATE && get_be32(key + 1) == stream;
}

bool key_state_is(const char *key, size_t n, uint32_t stream, const char *ident, size_t len)
{
	return n == 5 + len && key_is_state_of(key, n, stream) && memcmp(key + 5, ident, len) == 0;
}

void state_encode(struct buf *out, const char *key, size_t keylen, const void *p, size_t n)
{
	buf_add(out, p, n);
	add_u32(out, crc32c(crc32c(0, key, keylen), p, n));
}

bool state_decode(const char *key, size_t keylen, const void *value, size_t len, const char **p, size_t *n)
{
	if (len < CRC_LEN || get_le32((const char *)value + len - CRC_LEN) != crc32c(crc32c(0, key, keylen), value, len - CRC_LEN))
		return false;
	*p = value;
	*n = len - CRC_LEN;
	return true;
}

/* ---- bytes under a CRC */

void sealed_encode(struct buf *out, const struct key *k, const void *p, size_t n)
{
	size_t from = out->len;
	buf_add(out, p, n);
	add_crc(out, from, k);
}

bool sealed_decode(const struct key *k, const void *value, size_t len, const void **p, size_t *n)
{
	if (!crc_holds(k, value, len))
		return false;
	*p = value;
	*n = len - CRC_LEN;
	return true;
}

/* ---- sets */

unsigned bits_next(const uint64_t *b, unsigned from)
{
	if (from >= SPAN_ENTRIES_MAX)
		return SPAN_ENTRIES_MAX;
	unsigned w = from / 64;
	uint64_t word = b[w] & (~UINT64_C(0) << (from % 64));
	while (!word) {
		if (++w == BITS_WORDS)
			return SPAN_ENTRIES_MAX;
		word = b[w];
	}
	return w * 64 + (unsigned)__builtin_ctzll(word);
}
