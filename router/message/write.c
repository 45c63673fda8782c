/* write.c - stamps.
 *
 * A message has many fields and a set few keys, so the work is to see quickly that a field is none of them: one byte out of
 * a table of 256, chosen by length, first and last letter of the key, says so for almost all. The runs between the
 * values that change are copied whole. */
#include "message/write.h"

#include <stdlib.h>

#include "base/arena.h"
#include "message/scan.h"

struct stamp_key {
	char *text;     /* `"key":`, ready to append, and behind it the key unescaped */
	size_t written; /* length of the first */
	size_t len;     /* length of the second */
	uint8_t next;   /* 1 + the next stamp of the same hash */
};

static inline uint8_t hash_of(const char *key, size_t len)
{
	return len == 0 ? 0 : (uint8_t)(len * 7 + (unsigned char)key[0] * 31 + (unsigned char)key[len - 1] * 113);
}

void stamp_set_init(struct stamp_set *set)
{
	*set = (struct stamp_set){ .keys = NULL };
}

void stamp_set_fini(struct stamp_set *set)
{
	for (unsigned i = 0; i < set->n; i++)
		free(set->keys[i].text);
	free(set->keys);
	stamp_set_init(set);
}

static unsigned set_find(const struct stamp_set *set, const char *key, size_t len)
{
	unsigned i = set->first[hash_of(key, len)];

	while (i && (set->keys[i - 1].len != len || memcmp(set->keys[i - 1].text + set->keys[i - 1].written, key, len) != 0))
		i = set->keys[i - 1].next;
	return i;
}

int stamp_set_add(struct stamp_set *set, const char *key, size_t len)
{
	unsigned had = set_find(set, key, len);

	if (had)
		return (int)had - 1;
	if (set->n == STAMPS_MAX - 1 || len > MESSAGE_KEY_MAX)
		return -1;
	struct buf text = BUF_INIT;
	buf_addjson(&text, key, len);
	buf_addc(&text, ':');
	size_t written = text.len;
	buf_add(&text, key, len);
	set->keys = xrealloc(set->keys, (set->n + 1) * sizeof(*set->keys));
	uint8_t *first = &set->first[hash_of(key, len)];
	set->keys[set->n] = (struct stamp_key){ .text = buf_take(&text), .written = written, .len = len, .next = *first };
	*first = (uint8_t)++set->n;
	return (int)set->n - 1;
}

/* 1 + the stamp for this field, or 0. */
static inline unsigned stamp_of(const struct stamp_set *set, const struct message *m, const struct slice *s)
{
	if (__builtin_expect(s->escaped & SLICE_KEY_ESCAPED, 0)) {
		for (unsigned i = 0; i < set->n; i++)
			if (slice_key_is(m, s, set->keys[i].text + set->keys[i].written, set->keys[i].len))
				return i + 1;
		return 0;
	}
	const char *key = m->bytes + s->key;
	if (set->first[hash_of(key, s->klen)] == 0)
		return 0;
	return set_find(set, key, s->klen);
}

static void blank_out(char *p, char *end, char c)
{
	while ((p = memchr(p, c, (size_t)(end - p))))
		*p++ = ' ';
}

static inline char *put(char *o, const char *p, size_t n)
{
	memcpy(o, p, n);
	return o + n;
}

void message_stamp(struct buf *out, const struct message *m, const struct stamp_set *set, const struct stamp *stamps)
{
	uint64_t done[STAMPS_MAX / 64] = { 0 };
	const char *from = m->bytes; /* copied up to here */
	size_t last = 1;             /* the end of the last field, or of the opening brace */
	size_t most = m->len;

	for (unsigned k = 0; k < set->n; k++)
		most += stamps[k].p ? set->keys[k].written + stamps[k].n + 1 : 0;
	buf_reserve(out, most);
	char *begin = out->p + out->len, *o = begin;
	for (unsigned i = 0; i < m->n; i++) {
		const struct slice *s = &m->slices[i];
		unsigned k = stamp_of(set, m, s);
		if (k-- == 0)
			continue;
		done[k / 64] |= (uint64_t)1 << (k % 64);
		if (!stamps[k].p || stamps[k].keep)
			continue;
		o = put(o, from, (size_t)(m->bytes + s->value - from));
		o = put(o, stamps[k].p, stamps[k].n);
		from = m->bytes + s->value + s->vlen;
	}
	if (m->n > 0)
		last = (size_t)m->slices[m->n - 1].value + m->slices[m->n - 1].vlen;
	o = put(o, from, (size_t)(m->bytes + last - from));
	bool comma = m->n > 0;
	for (unsigned k = 0; k < set->n; k++) {
		if (!stamps[k].p || done[k / 64] >> (k % 64) & 1)
			continue;
		if (comma)
			*o++ = ',';
		o = put(o, set->keys[k].text, set->keys[k].written);
		o = put(o, stamps[k].p, stamps[k].n);
		comma = true;
	}
	o = put(o, m->bytes + last, m->len - last);
	if (m->lines) {
		blank_out(begin, o, '\n');
		blank_out(begin, o, '\r');
	}
	*o = '\0';
	out->len = (size_t)(o - out->p);
}
