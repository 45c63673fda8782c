/* text.c - text as it was meant: escapes undone.
 *
 * Everything here trusts the pass: a slice holds valid escapes and valid UTF-8, and so an escape never grows. */
#include "message/scan.h"

static unsigned hex4(const char *p)
{
	unsigned v = 0;
	for (int i = 0; i < 4; i++) {
		unsigned c = (unsigned char)p[i];
		v = v << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return v;
}

static char *utf8_put(char *out, unsigned c)
{
	if (c < 0x80) {
		*out++ = (char)c;
	} else if (c < 0x800) {
		*out++ = (char)(0xC0 | c >> 6);
		*out++ = (char)(0x80 | (c & 0x3F));
	} else if (c < 0x10000) {
		*out++ = (char)(0xE0 | c >> 12);
		*out++ = (char)(0x80 | (c >> 6 & 0x3F));
		*out++ = (char)(0x80 | (c & 0x3F));
	} else {
		*out++ = (char)(0xF0 | c >> 18);
		*out++ = (char)(0x80 | (c >> 12 & 0x3F));
		*out++ = (char)(0x80 | (c >> 6 & 0x3F));
		*out++ = (char)(0x80 | (c & 0x3F));
	}
	return out;
}

/* p behind `\u` -> behind the escape, or behind both of a pair. */
static const char *code_point(const char *p, const char *end, unsigned *c)
{
	*c = hex4(p);
	p += 4;
	if (*c < 0xD800 || *c > 0xDFFF)
		return p;
	if (*c < 0xDC00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
		unsigned low = hex4(p + 2);
		if (low >= 0xDC00 && low <= 0xDFFF) {
			*c = 0x10000 + ((*c - 0xD800) << 10) + (low - 0xDC00);
			return p + 6;
		}
	}
	*c = 0xFFFD; /* half a pair: no character, and UTF-8 has no way to write it */
	return p;
}

size_t text_unescape(char *out, const char *p, size_t n)
{
	const char *end = p + n;
	char *o = out;

	while (p < end) {
		if (*p != '\\') {
			*o++ = *p++;
			continue;
		}
		p += 2;
		switch (p[-1]) {
		case 'b': *o++ = '\b'; break;
		case 'f': *o++ = '\f'; break;
		case 'n': *o++ = '\n'; break;
		case 'r': *o++ = '\r'; break;
		case 't': *o++ = '\t'; break;
		case 'u': {
			unsigned c;
			p = code_point(p, end, &c);
			o = utf8_put(o, c);
			break;
		}
		default: *o++ = p[-1]; /* a quote, a slash or a backslash stands for itself */
		}
	}
	return (size_t)(o - out);
}

static void add_unescaped(struct buf *out, const char *p, size_t n)
{
	buf_reserve(out, n);
	out->len += text_unescape(out->p + out->len, p, n);
	out->p[out->len] = '\0';
}

int slice_text(const struct message *m, const struct slice *s, struct buf *out)
{
	if (s->kind != SLICE_STRING)
		return -1;
	if (s->escaped & SLICE_VALUE_ESCAPED)
		add_unescaped(out, m->bytes + s->value + 1, s->vlen - 2);
	else
		buf_add(out, m->bytes + s->value + 1, s->vlen - 2);
	return 0;
}

int slice_view(const struct message *m, const struct slice *s, struct buf *scratch, const char **p, size_t *n)
{
	if (s->kind != SLICE_STRING)
		return -1;
	if (s->escaped & SLICE_VALUE_ESCAPED) {
		buf_clear(scratch);
		add_unescaped(scratch, m->bytes + s->value + 1, s->vlen - 2);
		*p = scratch->p;
		*n = scratch->len;
	} else {
		*p = m->bytes + s->value + 1;
		*n = s->vlen - 2;
	}
	return 0;
}

void slice_key_view(const struct message *m, const struct slice *s, struct buf *scratch, const char **p, size_t *n)
{
	if (s->escaped & SLICE_KEY_ESCAPED) {
		buf_clear(scratch);
		add_unescaped(scratch, m->bytes + s->key, s->klen);
		*p = scratch->p;
		*n = scratch->len;
	} else {
		*p = m->bytes + s->key;
		*n = s->klen;
	}
}

/* Does an escaped key say this text? A character at a time, so that looking for a key never allocates. */
static bool escaped_is(const char *p, size_t klen, const char *key, size_t len)
{
	const char *end = p + klen, *want = key, *want_end = key + len;

	while (p < end) {
		char one[4];
		size_t step = 1, got;
		if (*p == '\\') {
			step = 2;
			if (p[1] == 'u') {
				unsigned c;
				step = (size_t)(code_point(p + 2, end, &c) - p);
				got = (size_t)(utf8_put(one, c) - one);
			} else {
				got = text_unescape(one, p, 2);
			}
		} else {
			one[0] = *p;
			got = 1;
		}
		if ((size_t)(want_end - want) < got || memcmp(want, one, got) != 0)
			return false;
		want += got;
		p += step;
	}
	return want == want_end;
}

bool slice_key_is(const struct message *m, const struct slice *s, const char *key, size_t len)
{
	const char *own = m->bytes + s->key;

	if (s->escaped & SLICE_KEY_ESCAPED)
		return escaped_is(own, s->klen, key, len);
	return s->klen == len && memcmp(own, key, len) == 0;
}

const struct slice *message_find(const struct message *m, const char *key, size_t len)
{
	for (const struct slice *s = m->slices, *last = s + m->n; s < last; s++) {
		if (__builtin_expect(s->escaped & SLICE_KEY_ESCAPED, 0)) {
			if (escaped_is(m->bytes + s->key, s->klen, key, len))
				return s;
		} else if (s->klen == len && memcmp(m->bytes + s->key, key, len) == 0) {
			return s;
		}
	}
	return NULL;
}
