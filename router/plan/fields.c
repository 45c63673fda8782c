/* fields.c - fields chosen and renamed, one pass over the slices.
 *
 * What happens to a name is looked up in tables made beforehand: exact names by one byte out of 256 (length, first and last letter), so that
 * most fields are decided without comparing anything; wildcards by what stands before their first asterisk. The hard part is never to write a
 * name twice, whatever it was called before: names are noted as they are written, and compared as they stand in the output. */
#include "plan/fields_names.h"

#include <string.h>

#include "base/buf.h"
#include "base/map.h"
#include "message/message.h"
#include "plan/wildcard.h"

static inline const struct name *names_find(const struct names *s, const char *key, size_t len)
{
	if (s->n == s->nwild)
		return NULL;
	for (unsigned i = s->first[hash_of(key, len)]; i; i = s->all[i - 1].next)
		if (s->all[i - 1].n == len && memcmp(s->all[i - 1].text, key, len) == 0)
			return &s->all[i - 1];
	return NULL;
}

static inline const struct name *names_match(const struct names *s, const char *key, size_t len)
{
	const struct name *name = names_find(s, key, len);

	for (unsigned i = 0; !name && i < s->nwild; i++) {
		const struct name *wild = &s->all[s->wild[i]];
		size_t head = wild->head, tail = wild->n - head - 1;
		if (len < head || (head && (*wild->text != *key || memcmp(wild->text, key, head) != 0)))
			continue;
		if (wild->single ? len >= head + tail && (!tail || (wild->text[wild->n - 1] == key[len - 1] &&
		                                           memcmp(wild->text + head + 1, key + len - tail, tail) == 0)) :
		    wildcard_matches(wild->text + head, tail + 1, '*', key + head, len - head, false))
			name = wild;
	}
	return name;
}

/* Eight bytes at once: 0x80 in each byte of x that is c. */
static inline uint64_t bytes_equal(uint64_t x, unsigned char c)
{
	uint64_t low = UINT64_C(0x7F7F7F7F7F7F7F7F), d = x ^ c * UINT64_C(0x0101010101010101);

	return ~(((d & low) + low) | d | low);
}

static inline void snake_eight(const char *key, char *o)
{
	uint64_t x, at;

	memcpy(&x, key, 8);
	at = bytes_equal(x, '.') | bytes_equal(x, '#');
	at = (at >> 7) * 0xFF;
	x = (x & ~at) | ('_' * UINT64_C(0x0101010101010101) & at);
	memcpy(o, &x, 8);
}

static void snake(const char *key, size_t len, char *o)
{
	size_t i = 0;

	for (; i + 8 <= len; i += 8)
		snake_eight(key + i, o + i);
	if (i < len && len > 8)
		snake_eight(key + len - 8, o + len - 8); /* once more over some: it changes nothing */
	else
		for (; i < len; i++)
			o[i] = key[i] == '.' || key[i] == '#' ? '_' : key[i];
}

/* Without a branch, since where the separators stand can't be guessed. */
static size_t camel(const char *key, size_t len, char *o)
{
	unsigned capital = 1;
	char *from = o;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)key[i];
		unsigned separates = (c == '.') | (c == '#'), lower = (unsigned char)(c - 'a') < 26;
		*o = (char)(c ^ (capital & lower) << 5);
		o += !separates;
		capital = separates;
	}
	return (size_t)(o - from);
}

/* The key's bytes in another notation; no byte that JSON escapes comes or goes. */
static void add_notated(enum notation notation, const char *key, size_t len, struct buf *out)
{
	size_t n = len;
	char *o;

	buf_reserve(out, len);
	o = out->p + out->len;
	if (notation == NOTATION_SNAKE) {
		snake(key, len, o);
	} else {
		n = camel(key, len, o);
		if (n == 0) { /* nothing but separators: better that than no name */
			memcpy(o, key, len);
			n = len;
		}
	}
	out->len += n;
	o[n] = '\0';
}

static void add_name(const struct fields *f, const struct name *renamed, const char *key, size_t len, struct buf *out)
{
	if (renamed) {
		buf_add(out, renamed->before, renamed->nbefore);
		if (renamed->behind) {
			size_t tail = renamed->n - renamed->head - 1;
			buf_add(out, key + renamed->head, len - renamed->head - tail);
			buf_add(out, renamed->behind, renamed->nbehind);
		}
	} else if (f->notation == NOTATION_DOTS) {
		buf_add(out, key, len);
	} else {
		add_notated(f->notation, key, len, out);
	}
}

/* A key that came with escapes is undone, named anew, and escaped again. (What is taken of it may need escapes, so that a new name is made
 * from the text as given, not from the one that is ready as JSON.) */
static void add_escaped_name(const struct fields *f, const struct name *renamed, const char *key, size_t len, struct buf *out)
{
	struct buf plain = BUF_INIT, json = BUF_INIT;

	if (renamed) {
		const char *star = strchr(renamed->to, '*');
		buf_add(&plain, renamed->to, star ? (size_t)(star - renamed->to) : strlen(renamed->to));
		if (star) {
			size_t tail = renamed->n - renamed->head - 1;
			buf_add(&plain, key + renamed->head, len - renamed->head - tail);
			buf_adds(&plain, star + 1);
		}
	} else {
		add_name(f, NULL, key, len, &plain);
	}
	buf_addjson(&json, plain.p, plain.len);
	buf_add(out, json.p + 1, json.len - 2);
	buf_fini(&plain);
	buf_fini(&json);
}

struct emitted { uint32_t start, klen; bool renamed; };

/* What has been written: `,"name":value` one after the other from `begin` on. */
struct writer {
	struct buf *out;
	size_t begin;
	unsigned n, mask;
	struct emitted fields[MESSAGE_FIELDS_MAX];
	uint16_t seen[2 * MESSAGE_FIELDS_MAX]; /* 1 + number of the field */
};

static void writer_begin(struct writer *w, struct buf *out, unsigned fields)
{
	w->out = out;
	w->begin = out->len;
	w->n = 0;
	for (w->mask = 15; w->mask < 2 * fields - 1 && fields; w->mask = w->mask * 2 + 1)
		;
	memset(w->seen, 0, (w->mask + 1) * sizeof(*w->seen));
}

/* Take out a field written before. */
static void writer_remove(struct writer *w, unsigned at)
{
	struct buf *out = w->out;
	size_t from = w->begin + w->fields[at].start, to = w->begin + w->fields[at + 1].start;

	memmove(out->p + from, out->p + to, out->len - to + 1);
	out->len -= to - from;
	for (unsigned i = at + 1; i <= w->n; i++)
		w->fields[i].start -= (uint32_t)(to - from);
}

/* A name stands at the end of the output, from `start` on: may it stay? */
static bool writer_keeps(struct writer *w, size_t start, bool renamed)
{
	struct buf *out = w->out;
	size_t klen = out->len - start - 2;
	const char *key = out->p + start + 2;

	w->fields[w->n] = (struct emitted){ (uint32_t)(start - w->begin), (uint32_t)klen, renamed };
	for (unsigned i = (unsigned)hash_bytes(key, klen) & w->mask;; i = (i + 1) & w->mask) {
		if (!w->seen[i]) {
			w->seen[i] = (uint16_t)(w->n + 1);
			break;
		}
		unsigned other = w->seen[i] - 1u;
		const struct emitted *e = &w->fields[other];
		if (e->klen != klen || memcmp(out->p + w->begin + e->start + 2, key, klen) != 0)
			continue;
		if (e->renamed || !renamed)
			return false;
		w->seen[i] = (uint16_t)(w->n + 1);
		writer_remove(w, other);
		break;
	}
	w->n++;
	return true;
}

/* `":` and the value. */
static void add_value(const struct message *m, const struct slice *s, struct buf *out)
{
	char *o;

	buf_reserve(out, s->vlen + 2);
	o = out->p + out->len;
	memcpy(o, "\":", 2);
	memcpy(o + 2, m->bytes + s->value, s->vlen);
	out->len += s->vlen + 2;
	out->p[out->len] = '\0';
	if (m->lines && (s->kind == SLICE_OBJECT || s->kind == SLICE_ARRAY))
		for (char *p = o; p < out->p + out->len; p++)
			if (*p == '\n' || *p == '\r')
				*p = ' ';
}

void fields_apply(const struct fields *f, const struct message *m, struct buf *out)
{
	struct writer w;
	struct buf scratch = BUF_INIT;
	bool changes = f->notation != NOTATION_DOTS || f->rename.n;

	writer_begin(&w, out, changes ? m->n : 0);
	for (const struct slice *s = m->slices, *last = s + m->n; s < last; s++) {
		const char *key = m->bytes + s->key;
		size_t len = s->klen, start = out->len;
		const struct name *renamed = NULL;
		bool odd = s->escaped & SLICE_KEY_ESCAPED;

		if (odd)
			slice_key_view(m, s, &scratch, &key, &len);
		if (f->keep.n && !names_match(&f->keep, key, len))
			continue;
		if (f->drop.n && names_match(&f->drop, key, len))
			continue;
		if (f->rename.n)
			renamed = names_match(&f->rename, key, len);
		buf_reserve(out, len + s->vlen + 8);
		memcpy(out->p + out->len, ",\"", 2);
		out->len += 2;
		if (odd)
			add_escaped_name(f, renamed, key, len, out);
		else
			add_name(f, renamed, key, len, out);
		if (changes && !writer_keeps(&w, start, renamed != NULL)) {
			out->len = start;
			continue;
		}
		add_value(m, s, out);
	}
	buf_fini(&scratch);
	if (out->len == w.begin)
		buf_addc(out, '{');
	else
		out->p[w.begin] = '{';
	buf_addc(out, '}');
}
