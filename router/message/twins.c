/* twins.c - does a key stand twice in a message?
 *
 * A loop of its own behind the pass: there it costs half of what it would among the pass's many variables, and a message that
 * is no JSON never pays for it. Every key goes into an open table as a whole and under a secret seed, else a sender could
 * choose keys that all fall together and make one message cost milliseconds. */
#include "base/bytes.h"
#include "message/scan.h"

static inline uint64_t mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* May read 8 bytes from any byte of the key, or from behind an empty one. */
static inline uint64_t key_hash(uint64_t seed, const char *key, size_t n)
{
	uint64_t h = seed ^ n, b = 0;

	for (; n > 16; key += 16, n -= 16)
		h = mix(get_le64(key) ^ h, get_le64(key + 8) ^ 0x9E3779B97F4A7C15u);
	uint64_t a = get_le64(key);
	if (n > 8)
		b = get_le64(key + n - 8);
	else
		a = n ? a << (64 - 8 * n) : 0;
	return mix(a ^ h, b ^ 0xD6E8FEB86659FD93u);
}

static bool key_is(const struct slice *s, const char *bytes, const char *key, size_t len)
{
	const struct message m = { .bytes = bytes };

	return slice_key_is(&m, s, key, len);
}

bool index_has_twins(struct index *ix, const char *bytes, unsigned n)
{
	uint64_t mask = (uint64_t)ix->cap * INDEX_SEEN_PER_SLICE - 1, seed = ix->seed;
	uint64_t *seen = ix->seen;

	if (++ix->turn == 0) {
		memset(seen, 0, (mask + 1) * sizeof(*seen));
		ix->turn = 1;
	}
	uint64_t turn = ix->turn;
	for (unsigned k = 0; k < n; k++) {
		const struct slice *s = &ix->slices[k];
		const char *key = bytes + s->key;
		size_t len = s->klen;
		if (__builtin_expect(s->escaped & SLICE_KEY_ESCAPED, 0)) {
			buf_clear(&ix->text);
			buf_reserve(&ix->text, len + 8); /* the hash reads behind the key */
			len = text_unescape(ix->text.p, key, len);
			key = ix->text.p;
		}
		uint64_t hash = key_hash(seed, key, len);
		uint64_t mine = turn << 32 | (hash >> 48) << 16, slot;
		uint64_t i = hash & mask;
		for (; slot = seen[i], __builtin_expect(slot >> 32 == turn, 0); i = (i + 1) & mask)
			if ((slot ^ mine) >> 16 == 0 && key_is(&ix->slices[slot & 0xFFFF], bytes, key, len))
				return true;
		seen[i] = mine | k;
	}
	return false;
}
