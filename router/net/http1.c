/* http1.c - the head and the body of a request.
 *
 * The hard idea: the head is a pure function of a prefix of the buffer. head_parse reads it line by line from its
 * first byte, and a line counts only when its end has arrived, so nothing about it need be remembered between two
 * looks but how far the search for a line end has come. It runs again only when a further line has ended, and once
 * more when a body that came late is whole. That keeps a waiting connection at 80 bytes, and makes every answer the
 * same for every split. */
#include "net/http1.h"

#include <string.h>

enum { S_HEAD, S_LENGTH, S_CHUNK_SIZE, S_CHUNK_DATA, S_CHUNK_END, S_TRAILER, S_DONE, S_BAD };
enum { C_TOKEN = 1, C_TARGET = 2, C_VALUE = 4, C_HOST = 8, C_HEX = 16 };

/* In which places a byte may stand. Values take 0x80-0xff too (obs-text), which go through as they are. */
static const uint8_t class_of[256] = {
	 0,  0,  0,  0,  0,  0,  0,  0,  0,  4,  0,  0,  0,  0,  0,  0, /* 00 */
	 0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0, /* 10 */
	 4, 15,  6,  5, 15, 15, 15, 15, 14, 14, 15, 15, 14, 15, 15,  6, /* 20 */
	31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 14, 14,  6, 14,  6,  6, /* 30 */
	 6, 31, 31, 31, 31, 31, 31, 15, 15, 15, 15, 15, 15, 15, 15, 15, /* 40 */
	15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 14,  6, 14,  7, 15, /* 50 */
	 7, 31, 31, 31, 31, 31, 31, 15, 15, 15, 15, 15, 15, 15, 15, 15, /* 60 */
	15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,  6,  7,  6, 15,  0, /* 70 */
	 4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4, /* 80 */
	 4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4, /* 90 */
	 4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4, /* a0 */
	 4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4, /* b0 */
	 4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4, /* c0 */
	 4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4, /* d0 */
	 4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4, /* e0 */
	 4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4, /* f0 */
};

static size_t span(const char *p, size_t n, int class)
{
	size_t i = 0;

	while (i < n && (class_of[(unsigned char)p[i]] & class))
		i++;
	return i;
}

static enum http1_result bad(struct http1 *h, int status, const char *reason)
{
	h->state = S_BAD;
	h->status = status;
	h->reason = reason;
	return HTTP1_BAD;
}

static bool same_word(const char *p, const char *word, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if (c != (unsigned char)word[i])
			return false;
	}
	return true;
}

bool http_text_is(struct http_text t, const char *word)
{
	size_t n = strlen(word);

	if (!t.p || t.n != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned char a = (unsigned char)t.p[i], b = (unsigned char)word[i];

		a = a >= 'A' && a <= 'Z' ? a | 0x20 : a;
		b = b >= 'A' && b <= 'Z' ? b | 0x20 : b;
		if (a != b)
			return false;
	}
	return true;
}

/* The line at p: its length without CRLF in *n. 1 when it is there, 0 when it may still come, -1 when it can't within
 * `most` bytes, -2 when it ends in a bare LF. */
static int line_at(const char *p, size_t len, size_t most, size_t *n)
{
	const char *lf = memchr(p, '\n', len < most ? len : most);

	if (!lf)
		return len < most ? 0 : -1;
	if (lf == p || lf[-1] != '\r')
		return -2;
	*n = (size_t)(lf - p) - 1;
	return 1;
}

/* What the fields say about the message as a whole. */
struct facts {
	uint64_t length;
	bool has_length, has_coding, chunked, has_host, close, keep;
};

static enum http1_result target_split(struct http1 *h, struct http_request *r)
{
	const char *p = r->target.p, *end = p + r->target.n;
	const char *q;

	if (*p != '/') {
		if (r->target.n == 1 && *p == '*' && http_text_is(r->method, "OPTIONS")) {
			r->path = r->target;
			return HTTP1_DONE;
		}
		if (r->target.n > 7 && same_word(p, "http://", 7))
			p += 7;
		else if (r->target.n > 8 && same_word(p, "https://", 8))
			p += 8;
		else if (r->method.n == 7 && memcmp(r->method.p, "CONNECT", 7) == 0)
			return bad(h, 501, "CONNECT is not served");
		else
			return bad(h, 400, "request target is neither a path nor an absolute URL");
		r->host = (struct http_text){ p, span(p, (size_t)(end - p), C_HOST) };
		p += r->host.n;
		if (r->host.n == 0 || (p < end && *p != '/' && *p != '?'))
			return bad(h, 400, "bad authority in the request target");
	}
	q = p == end ? NULL : memchr(p, '?', (size_t)(end - p));
	r->path = (struct http_text){ p, (size_t)((q ? q : end) - p) };
	if (r->path.n == 0)
		r->path = (struct http_text){ "/", 1 };
	if (q)
		r->query = (struct http_text){ q + 1, (size_t)(end - q) - 1 };
	return HTTP1_DONE;
}

static enum http1_result request_line(struct http1 *h, const char *p, size_t n, struct http_request *r)
{
	const char *end = p + n;
	size_t k = span(p, n, C_TOKEN);

	if (k == 0 || k == n || p[k] != ' ')
		return bad(h, 400, "bad request line");
	if (k > HTTP1_METHOD_MAX)
		return bad(h, 501, "unknown method");
	r->method = (struct http_text){ p, k };
	p += k + 1;
	k = span(p, (size_t)(end - p), C_TARGET);
	if (k == 0 || p + k == end || p[k] != ' ')
		return bad(h, 400, "bad request target");
	if (k > h->limits->target)
		return bad(h, 414, "request target too long");
	r->target = (struct http_text){ p, k };
	p += k + 1;
	if (end - p != 8 || memcmp(p, "HTTP/", 5) != 0 || p[5] < '0' || p[5] > '9' || p[6] != '.' || p[7] < '0' || p[7] > '9')
		return bad(h, 400, "bad HTTP version");
	if (p[5] != '1' || p[7] > '1')
		return bad(h, 505, "HTTP/1.1 and HTTP/1.0 only");
	r->minor0 = p[7] == '0';
	return target_split(h, r);
}

static enum http1_result content_length(struct http1 *h, struct http_text v, struct facts *f)
{
	if (f->has_length)
		return bad(h, 400, "more than one Content-Length");
	if (v.n == 0 || v.n > 18)
		return bad(h, 400, "bad Content-Length");
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return bad(h, 400, "bad Content-Length");
		f->length = f->length * 10 + (uint64_t)(v.p[i] - '0'); /* 18 digits never overflow */
	}
	f->has_length = true;
	return HTTP1_DONE;
}

static void connection_options(struct http_text v, struct facts *f)
{
	const char *p = v.p, *end = v.p + v.n;

	while (p < end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		const char *stop = comma ? comma : end;

		while (p < stop && (*p == ' ' || *p == '\t'))
			p++;
		struct http_text word = { p, (size_t)(stop - p) };
		while (word.n > 0 && (word.p[word.n - 1] == ' ' || word.p[word.n - 1] == '\t'))
			word.n--;
		f->close |= http_text_is(word, "close");
		f->keep |= http_text_is(word, "keep-alive");
		p = comma ? comma + 1 : end;
	}
}

static enum http1_result once(struct http1 *h, struct http_text *slot, struct http_text v, const char *reason)
{
	if (slot->p)
		return bad(h, 400, reason);
	*slot = v;
	return HTTP1_DONE;
}

/* Fields that mean something to us, told apart by length first. */
static enum http1_result field_known(struct http1 *h, const struct http_field *x, struct http_request *r, struct facts *f)
{
	switch (x->name.n) {
	case 4:
		if (!same_word(x->name.p, "host", 4))
			break;
		if (f->has_host)
			return bad(h, 400, "more than one Host");
		if (span(x->value.p, x->value.n, C_HOST) != x->value.n)
			return bad(h, 400, "bad Host");
		f->has_host = true;
		if (!r->host.p) /* an absolute target's authority goes first (RFC 9112 3.2.2) */
			r->host = x->value;
		break;
	case 6:
		if (!same_word(x->name.p, "expect", 6))
			break;
		if (!http_text_is(x->value, "100-continue"))
			return bad(h, 417, "only 100-continue can be expected");
		r->expects = true;
		break;
	case 10:
		if (same_word(x->name.p, "connection", 10))
			connection_options(x->value, f);
		break;
	case 12:
		if (same_word(x->name.p, "content-type", 12))
			return once(h, &r->content_type, x->value, "more than one Content-Type");
		break;
	case 13:
		if (same_word(x->name.p, "authorization", 13))
			return once(h, &r->authorization, x->value, "more than one Authorization");
		break;
	case 14:
		if (same_word(x->name.p, "content-length", 14))
			return content_length(h, x->value, f);
		break;
	case 16:
		if (same_word(x->name.p, "content-encoding", 16))
			return once(h, &r->content_encoding, x->value, "more than one Content-Encoding");
		break;
	case 17:
		if (!same_word(x->name.p, "transfer-encoding", 17))
			break;
		if (f->has_coding)
			return bad(h, 400, "more than one Transfer-Encoding");
		f->has_coding = true;
		if (!http_text_is(x->value, "chunked"))
			return bad(h, 501, "only chunked transfer coding is served");
		f->chunked = true;
		break;
	}
	return HTTP1_DONE;
}

static enum http1_result field_line(struct http1 *h, const char *p, size_t n, struct http_field *x)
{
	size_t k = span(p, n, C_TOKEN), e = n;

	if (*p == ' ' || *p == '\t')
		return bad(h, 400, "folded header line");
	if (k == 0 || k == n || p[k] != ':')
		return bad(h, 400, "bad header field name");
	x->name = (struct http_text){ p, k };
	k++;
	if (span(p + k, n - k, C_VALUE) != n - k)
		return bad(h, 400, "control character in a header field");
	while (k < e && (p[k] == ' ' || p[k] == '\t'))
		k++;
	while (e > k && (p[e - 1] == ' ' || p[e - 1] == '\t'))
		e--;
	x->value = (struct http_text){ p + k, e - k };
	return HTTP1_DONE;
}

static enum http1_result head_end(struct http1 *h, size_t pos, struct http_request *r, const struct facts *f)
{
	if (!f->has_host && !r->minor0)
		return bad(h, 400, "no Host");
	if (f->has_coding && f->has_length)
		return bad(h, 400, "Content-Length beside Transfer-Encoding");
	if (f->has_coding && r->minor0)
		return bad(h, 400, "Transfer-Encoding in HTTP/1.0");
	if (f->has_length && f->length > h->limits->body)
		return bad(h, 413, "body too large");
	r->keep_alive = !f->close && (!r->minor0 || f->keep);
	r->has_body = f->chunked || f->length > 0;
	r->expects &= r->has_body && !r->minor0;
	h->head = pos;
	h->body = f->length;
	if (h->state == S_HEAD) /* else: filled again for a body that came late */
		h->state = f->chunked ? S_CHUNK_SIZE : S_LENGTH;
	return HTTP1_DONE;
}

static enum http1_result head_parse(struct http1 *h, const char *p, size_t len, struct http_request *r)
{
	const struct http1_limits *lim = h->limits;
	size_t pos = 0, n, most;
	struct facts f = { 0 };
	int got;

	memset(r, 0, offsetof(struct http_request, fields));
	if (len > 0 && p[0] != '\r' && !(class_of[(unsigned char)p[0]] & C_TOKEN))
		return bad(h, 400, "not HTTP"); /* at once: a TLS or binary client need not wait for a deadline */
	if (len > 1 && p[0] == '\r')
		pos = 2; /* one empty line before a request is forgiven (RFC 9112 2.2) */
	if (pos && p[1] != '\n')
		return bad(h, 400, "not HTTP");
	most = lim->target + HTTP1_METHOD_MAX + 16;
	if (most > lim->head - pos)
		most = lim->head - pos;
	got = line_at(p + pos, len - pos, most, &n);
	if (got < 0)
		return got == -1 ? bad(h, 414, "request line too long") : bad(h, 400, "line ends without CR");
	if (got == 0)
		return HTTP1_MORE;
	if (request_line(h, p + pos, n, r) == HTTP1_BAD)
		return HTTP1_BAD;
	for (pos += n + 2;; pos += n + 2) {
		got = line_at(p + pos, len - pos, lim->head - pos, &n);
		if (got < 0)
			return got == -1 ? bad(h, 431, "header too large") : bad(h, 400, "line ends without CR");
		if (got == 0)
			return HTTP1_MORE;
		if (n == 0)
			return head_end(h, pos + 2, r, &f);
		if (r->n == HTTP1_FIELDS_MAX)
			return bad(h, 431, "too many header fields");
		if (field_line(h, p + pos, n, &r->fields[r->n]) == HTTP1_BAD || field_known(h, &r->fields[r->n], r, &f) == HTTP1_BAD)
			return HTTP1_BAD;
		r->n++;
	}
}

/* `size[;extension]` before the CRLF. Extensions mean nothing to us; RFC 9112 7.1.1 wants them skipped and bounded. */
static enum http1_result chunk_size(struct http1 *h, const char *p, size_t n)
{
	size_t k = span(p, n, C_HEX), size = 0;

	if (k == 0 || k > 8)
		return bad(h, 400, "bad chunk size");
	for (size_t i = 0; i < k; i++)
		size = size << 4 | (size_t)(p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
	if (k < n && (p[k] != ';' || span(p + k, n - k, C_VALUE) != n - k))
		return bad(h, 400, "bad chunk size");
	h->ext += (uint32_t)(n - k);
	if (h->ext > HTTP1_CHUNK_EXT_MAX)
		return bad(h, 400, "too many chunk extensions");
	if (size > h->limits->body - h->body)
		return bad(h, 413, "body too large");
	h->left = size;
	h->state = size ? S_CHUNK_DATA : S_TRAILER;
	return HTTP1_DONE;
}

/* The buffer is: head, body as far as it is joined (`body` bytes), a gap, raw bytes from `raw` on. */
static enum http1_result chunks_parse(struct http1 *h, char *p, size_t len)
{
	struct http_field dropped;
	size_t n;
	int got;

	if (h->raw == 0) {
		h->raw = h->head;
		h->body = 0;
	}
	for (;;) {
		char *at = p + h->raw;
		size_t there = len - h->raw;

		switch (h->state) {
		case S_CHUNK_SIZE:
			got = line_at(at, there, HTTP1_CHUNK_LINE_MAX, &n);
			if (got < 0)
				return bad(h, 400, got == -1 ? "chunk size line too long" : "line ends without CR");
			if (got == 0)
				return HTTP1_MORE;
			if (chunk_size(h, at, n) == HTTP1_BAD)
				return HTTP1_BAD;
			h->raw += n + 2;
			break;
		case S_CHUNK_DATA:
			n = there < h->left ? there : h->left;
			memmove(p + h->head + h->body, at, n);
			h->body += n;
			h->raw += n;
			h->left -= n;
			if (h->left > 0)
				return HTTP1_MORE;
			h->state = S_CHUNK_END;
			break;
		case S_CHUNK_END:
			if ((there > 0 && at[0] != '\r') || (there > 1 && at[1] != '\n'))
				return bad(h, 400, "chunk longer than its size");
			if (there < 2)
				return HTTP1_MORE;
			h->raw += 2;
			h->state = S_CHUNK_SIZE;
			break;
		case S_TRAILER:
			got = line_at(at, there, h->limits->head - h->trailer, &n);
			if (got < 0)
				return got == -1 ? bad(h, 431, "trailers too large") : bad(h, 400, "line ends without CR");
			if (got == 0)
				return HTTP1_MORE;
			if (n > 0 && field_line(h, at, n, &dropped) == HTTP1_BAD)
				return HTTP1_BAD;
			h->raw += n + 2;
			h->trailer += (uint32_t)n + 2;
			if (n == 0)
				return HTTP1_DONE;
			break;
		}
	}
}

void http1_init(struct http1 *h, const struct http1_limits *limits)
{
	*h = (struct http1){ .limits = limits };
}

void http1_next(struct http1 *h)
{
	http1_init(h, h->limits);
}

size_t http1_size(const struct http1 *h)
{
	return h->state == S_LENGTH || h->state == S_DONE ? h->head + h->body : 0;
}

static enum http1_result done(struct http1 *h, const char *p, size_t len, size_t used, struct http_request *r)
{
	size_t body = h->body;

	h->state = S_DONE;
	if (!h->fresh && head_parse(h, p, len, r) != HTTP1_DONE)
		return HTTP1_BAD; /* can't be: these bytes passed before */
	h->body = body;
	h->used = used;
	r->body = (struct http_text){ p + h->head, body };
	return HTTP1_DONE;
}

enum http1_result http1_parse(struct http1 *h, char *p, size_t *len, struct http_request *r)
{
	enum http1_result res;
	size_t start = h->scanned;

	switch (h->state) {
	case S_BAD:
		return HTTP1_BAD;
	case S_HEAD:
		h->scanned = *len;
		if (start > 1 && *len < h->limits->target && !memchr(p + start, '\n', *len - start))
			return HTTP1_MORE;
		res = head_parse(h, p, *len, r);
		if (res != HTTP1_DONE)
			return res;
		h->fresh = true;
		return HTTP1_HEAD;
	case S_LENGTH:
		if (*len - h->head >= h->body)
			return done(h, p, *len, h->head + h->body, r);
		h->fresh = false;
		return HTTP1_MORE;
	default:
		res = chunks_parse(h, p, *len);
		if (res == HTTP1_DONE)
			return done(h, p, *len, h->raw, r);
		h->fresh = false;
		if (res == HTTP1_MORE && h->raw > h->head + h->body) {
			size_t to = h->head + h->body, rest = *len - h->raw;

			memmove(p + to, p + h->raw, rest); /* close the gap, so that framing takes no room */
			h->raw = to;
			*len = to + rest;
		}
		return res;
	}
}
