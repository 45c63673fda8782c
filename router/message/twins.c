/* twins.c - does a key stand twice in a message?
 *
 * A loop of its own behind the pass, which has no registers to spare, over an open table of field numbers. A sender who could
 * choose keys that all fall together could make one message cost milliseconds. So the whole key goes in, multiplied by
 * odd numbers drawn at start: of that, the top bits collide for two keys no more often than chance wants (multiply-shift,
 * Dietzfelbinger 1997), unless one knows the numbers. */
#include "base/bytes.h"
#include "message/scan.h"

/* May read 8 bytes from any byte of the key, or from behind an empty one. */
static inline uint64_t key_hash(const uint64_t secret[3], const char *key, size_t n)
{
	if (n <= 8)
		return n ? (get_le64(key) << (64 - 8 * n)) * secret[0] : 0;
	uint64_t h = get_le64(key) * secret[0] + get_le64(key + n - 8) * secret[1];
	for (size_t i = 8; i + 8 < n; i += 8)
		h = (h ^ h >> 32) * secret[2] + get_le64(key + i) * secret[0];
	return h;
}

bool index_has_twins(struct index *ix, const char *bytes, unsigned n)
{
	const uint64_t secret[3] = { ix->secret[0], ix->secret[1], ix->secret[2] };
	const struct message m = { .bytes = bytes };
	uint32_t *seen = ix->seen, mask = ix->cap * INDEX_SEEN_PER_SLICE - 1;

	_Static_assert(MESSAGE_FIELDS_MAX <= 1 << INDEX_FIELD_BITS, "a slot holds a turn and a field");
	if (++ix->turn >> (32 - INDEX_FIELD_BITS)) {
		memset(seen, 0, ((size_t)mask + 1) * sizeof(*seen));
		ix->turn = 1;
	}
	uint32_t turn = ix->turn << INDEX_FIELD_BITS; /* a slot below it is of an earlier message, and free */
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
		uint32_t i = (uint32_t)(key_hash(secret, key, len) >> 32) >> ix->shift;
		for (; __builtin_expect(seen[i] >= turn, 0); i = (i + 1) & mask)
			if (slice_key_is(&m, &ix->slices[seen[i] - turn], key, len))
				return true;
		seen[i] = turn + k;
	}
	return false;
}
