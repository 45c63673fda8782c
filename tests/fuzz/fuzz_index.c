/* Any bytes: all builds of the index pass agree, a slow validator that knows nothing of them agrees on what is JSON, and what
 * the slices say is what the text says. The first byte chooses what lies behind the end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "message/scan.h"
#include "message/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) do { if (!(x)) abort(); } while (0)

/* The grammar of RFC 8259 as it is written there, a function per rule. Each returns the end of what it matched, or NULL. */
struct text { const unsigned char *end; };
static const unsigned char *rule_value(const struct text *t, const unsigned char *p, int depth);

static const unsigned char *rule_ws(const struct text *t, const unsigned char *p)
{
	while (p < t->end && strchr(" \t\n\r", *p) && *p)
		p++;
	return p;
}

static int code_units(const struct text *t, const unsigned char *p)
{
	static const struct { unsigned least, most; unsigned char mask, lead; int n; } forms[] = {
		{ 0x20, 0x7F, 0x80, 0x00, 1 }, { 0x80, 0x7FF, 0xE0, 0xC0, 2 }, { 0x800, 0xFFFF, 0xF0, 0xE0, 3 }, { 0x10000, 0x10FFFF, 0xF8, 0xF0, 4 } };
	for (int i = 0; i < 4; i++) {
		if ((*p & forms[i].mask) != forms[i].lead)
			continue;
		unsigned c = *p & (unsigned char)~forms[i].mask;
		if (t->end - p < forms[i].n)
			return 0;
		for (int k = 1; k < forms[i].n; k++) {
			if ((p[k] & 0xC0) != 0x80)
				return 0;
			c = c << 6 | (p[k] & 0x3F);
		}
		return c >= forms[i].least && c <= forms[i].most && !(c >= 0xD800 && c <= 0xDFFF) ? forms[i].n : 0;
	}
	return 0;
}

static const unsigned char *rule_string(const struct text *t, const unsigned char *p)
{
	if (p >= t->end || *p++ != '"')
		return NULL;
	for (;;) {
		if (p >= t->end)
			return NULL;
		if (*p == '"')
			return p + 1;
		if (*p == '\\') {
			if (++p >= t->end || !*p || !strchr("\"\\/bfnrtu", *p))
				return NULL;
			if (*p++ == 'u')
				for (int i = 0; i < 4; i++)
					if (p >= t->end || !*p || !strchr("0123456789abcdefABCDEF", *p++))
						return NULL;
			continue;
		}
		int n = code_units(t, p);
		if (!n)
			return NULL;
		p += n;
	}
}

static const unsigned char *some_digits(const struct text *t, const unsigned char *p)
{
	const unsigned char *first = p;
	while (p < t->end && *p >= '0' && *p <= '9')
		p++;
	return p > first ? p : NULL;
}

static const unsigned char *rule_number(const struct text *t, const unsigned char *p)
{
	if (p < t->end && *p == '-')
		p++;
	if (p < t->end && *p == '0') {
		if (++p < t->end && *p >= '0' && *p <= '9')
			return NULL; /* or `01` alone would be 0 and something behind it */
	} else if (!(p = some_digits(t, p)))
		return NULL;
	if (p < t->end && *p == '.' && !(p = some_digits(t, p + 1)))
		return NULL;
	if (p < t->end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < t->end && (*p == '+' || *p == '-'))
			p++;
		p = some_digits(t, p);
	}
	return p;
}

static const unsigned char *rule_list(const struct text *t, const unsigned char *p, int depth, unsigned char close)
{
	if (depth == MESSAGE_DEPTH_MAX)
		return NULL;
	p = rule_ws(t, p + 1);
	if (p < t->end && *p == close)
		return p + 1;
	for (;;) {
		if (close == '}') {
			if (!(p = rule_string(t, p)))
				return NULL;
			p = rule_ws(t, p);
			if (p >= t->end || *p != ':')
				return NULL;
			p = rule_ws(t, p + 1);
		}
		if (!(p = rule_value(t, p, depth + 1)))
			return NULL;
		p = rule_ws(t, p);
		if (p >= t->end)
			return NULL;
		if (*p == close)
			return p + 1;
		if (*p != ',')
			return NULL;
		p = rule_ws(t, p + 1);
	}
}

static const unsigned char *rule_value(const struct text *t, const unsigned char *p, int depth)
{
	static const char *const words[] = { "true", "false", "null" };
	if (p >= t->end)
		return NULL;
	for (int i = 0; i < 3; i++) {
		size_t n = strlen(words[i]);
		if ((size_t)(t->end - p) >= n && memcmp(p, words[i], n) == 0)
			return p + n;
	}
	if (*p == '{')
		return rule_list(t, p, depth, '}');
	if (*p == '[')
		return rule_list(t, p, depth, ']');
	return *p == '"' ? rule_string(t, p) : rule_number(t, p);
}

static struct index ix[3];

/* What the index says, seen from the outside. */
static void check_message(const struct message *m)
{
	struct text t = { (const unsigned char *)m->bytes + m->len };
	struct buf a = BUF_INIT, b = BUF_INIT, out = BUF_INIT;
	struct stamp_set set;
	struct stamp stamps[2] = { { .p = "0", .n = 1 }, { .p = "\"v\"", .n = 3, .keep = true } };
	struct message again;
	const char *stop;

	stamp_set_init(&set);
	MUST(stamp_set_add(&set, "a", 1) == 0 && stamp_set_add(&set, "ident", 5) == 1);
	for (unsigned i = 0; i < m->n; i++) {
		const struct slice *s = &m->slices[i];
		const char *k, *v;
		size_t klen, vlen;
		double d;
		int64_t n;
		MUST(rule_string(&t, (const unsigned char *)m->bytes + s->key - 1) == (const unsigned char *)m->bytes + s->key + s->klen + 1);
		MUST(rule_value(&t, (const unsigned char *)m->bytes + s->value, 1) == (const unsigned char *)m->bytes + s->value + s->vlen);
		MUST(!!(s->escaped & SLICE_KEY_ESCAPED) == !!memchr(m->bytes + s->key, '\\', s->klen));
		slice_key_view(m, s, &a, &k, &klen);
		MUST(utf8_valid(k, klen, NULL) && slice_key_is(m, s, k, klen) && message_find(m, k, klen) == s);
		if (slice_view(m, s, &b, &v, &vlen) == 0)
			MUST(s->kind == SLICE_STRING && utf8_valid(v, vlen, NULL));
		if (slice_double(m, s, &d) == 0) {
			char text[512];
			if (s->vlen < sizeof(text)) {
				memcpy(text, m->bytes + s->value, s->vlen);
				text[s->vlen] = '\0';
				double want = strtod(text, NULL);
				MUST(memcmp(&d, &want, sizeof(d)) == 0);
			}
		}
		if (slice_int64(m, s, &n) == 0)
			MUST(n == strtoll(m->bytes + s->value, NULL, 10));
		if (slice_time_us(m, s, &n) == 0) {
			int64_t back;
			buf_clear(&b);
			time_us_write(&b, n);
			MUST(json_time_us(b.p, b.len, &back) == 0 && back == n);
		}
	}
	message_stamp(&out, m, &set, stamps);
	stamp_set_fini(&set);
	size_t len = out.len;
	buf_reserve(&out, MESSAGE_PAD);
	memset(out.p + len, '"', MESSAGE_PAD);
	MUST(!memchr(out.p, '\n', len));
	enum json_fault f = message_index_scalar(&ix[1], out.p, out.p + len, &again, &stop);
	MUST(f == JSON_OK || (f == JSON_TOO_MANY && m->n > MESSAGE_FIELDS_MAX - 2));
	MUST(stop == out.p + len);
	if (f == JSON_OK) {
		const struct slice *s = message_find(&again, "a", 1);
		MUST(s && s->vlen == 1 && again.bytes[s->value] == '0');
	}
	buf_fini(&a);
	buf_fini(&b);
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (!ix[0].slices)
		for (int i = 0; i < 3; i++)
			index_init(&ix[i]);
	size_t n = size - 1;
	char *p = malloc(n + MESSAGE_PAD);
	memcpy(p, data + 1, n);
	memset(p + n, data[0], MESSAGE_PAD);

	struct message m, other = { 0 };
	const char *stop, *there;
	enum json_fault fault = message_index_scalar(&ix[0], p, p + n, &m, &stop);
	MUST(stop >= p && stop <= p + n);
#if defined(__x86_64__)
	for (int k = 0; k < 2; k++) {
		MUST((k ? message_index : message_index_sse2)(&ix[2], p, p + n, &other, &there) == fault && there == stop);
		if (fault == JSON_OK)
			MUST(other.bytes == m.bytes && other.len == m.len && other.n == m.n && other.lines == m.lines
				&& memcmp(other.slices, m.slices, m.n * sizeof(*m.slices)) == 0);
	}
#else
	(void)other;
	(void)there;
#endif
	struct text t = { (const unsigned char *)p + n };
	const unsigned char *at = rule_ws(&t, (const unsigned char *)p), *end = rule_value(&t, at, 0);
	MUST((end != NULL) == (fault == JSON_OK || json_fault_is_alone(fault)));
	if (end)
		MUST(end == (const unsigned char *)stop && (*at == '{') == (fault != JSON_NOT_OBJECT));
	if (fault == JSON_OK)
		check_message(&m);
	free(p);
	return 0;
}
