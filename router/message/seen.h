/* seen.h - has the message this key already? Inside router/message only; inlined into each build of the pass. */
#ifndef SLUICE_MESSAGE_SEEN_H
#define SLUICE_MESSAGE_SEEN_H

#include "base/bytes.h"
#include "message/scan.h"

#define SEEN_PER_SLICE 4

static inline uint64_t seen_mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The whole key goes in, under a secret seed: else a sender could make all keys of a message fall together.
 * May read 8 bytes behind the key: a key is always followed by MESSAGE_PAD readable bytes. */
static inline uint64_t seen_hash(uint64_t seed, const char *key, size_t n)
{
	uint64_t h = seed ^ n, a, b = 0;

	for (; n > 16; key += 16, n -= 16)
		h = seen_mix(get_le64(key) ^ h, get_le64(key + 8) ^ 0x9E3779B97F4A7C15u);
	a = get_le64(key);
	if (n > 8)
		b = get_le64(key + n - 8);
	else
		a = n ? a << (64 - 8 * n) : 0;
	return seen_mix(a ^ h, b ^ 0xD6E8FEB86659FD93u);
}

/* A new message begins. */
static inline void index_turn(struct index *ix)
{
	if (++ix->turn == 0) {
		memset(ix->seen, 0, sizeof(*ix->seen) * ix->cap * SEEN_PER_SLICE);
		ix->turn = 1;
	}
}

static inline bool index_seen_text(struct index *ix, const char *bytes, const char *key, size_t len, unsigned n)
{
	uint64_t hash = seen_hash(ix->seed, key, len);
	uint64_t mask = (uint64_t)ix->cap * SEEN_PER_SLICE - 1;
	uint64_t mine = (uint64_t)ix->turn << 32 | (hash >> 48) << 16;

	for (uint64_t i = hash & mask;; i = (i + 1) & mask) {
		uint64_t slot = ix->seen[i];
		if (__builtin_expect(slot >> 32 != ix->turn, 1)) {
			ix->seen[i] = mine | n;
			return false;
		}
		if ((slot ^ mine) >> 16 == 0 && index_same_key(bytes, &ix->slices[slot & 0xFFFF], key, len))
			return true;
	}
}

static inline bool index_seen(struct index *ix, const char *bytes, const struct slice *s, unsigned n)
{
	if (__builtin_expect(s->escaped & SLICE_KEY_ESCAPED, 0))
		return index_seen_escaped(ix, bytes, s, n);
	return index_seen_text(ix, bytes, bytes + s->key, s->klen, n);
}

#endif
