/* http1_story.h - what a byte stream means to the HTTP/1.1 parser, told as text: one line a request, and the refusal
 * if there is one. The unit test compares it with what is expected, both it and the fuzz target compare it between splits. */
#ifndef SLUICE_TESTS_HTTP1_STORY_H
#define SLUICE_TESTS_HTTP1_STORY_H

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "net/http1.h"

static inline void story_request(struct buf *out, const struct http_request *r)
{
	buf_addf(out, "%.*s %.*s", (int)r->method.n, r->method.p, (int)r->path.n, r->path.p);
	if (r->query.p)
		buf_addf(out, " ?%.*s", (int)r->query.n, r->query.p);
	if (r->host.p)
		buf_addf(out, " host=%.*s", (int)r->host.n, r->host.p);
	if (r->content_type.p)
		buf_addf(out, " type=%.*s", (int)r->content_type.n, r->content_type.p);
	if (r->content_encoding.p)
		buf_addf(out, " coding=%.*s", (int)r->content_encoding.n, r->content_encoding.p);
	if (r->authorization.p)
		buf_addf(out, " auth=%.*s", (int)r->authorization.n, r->authorization.p);
	buf_adds(out, r->expects ? " expects" : "");
	buf_adds(out, r->minor0 ? " 1.0" : "");
	buf_adds(out, r->keep_alive ? "" : " close");
	if (r->body.n > 0) {
		buf_adds(out, " body=");
		buf_add(out, r->body.p, r->body.n);
	}
	buf_adds(out, "\n");
}

/* Feeds n bytes in pieces; next_piece says how long the next one is (at least 1). */
static inline void story_tell(struct buf *out, const char *bytes, size_t n, const struct http1_limits *limits,
	size_t (*next_piece)(void *arg), void *arg)
{
	struct http1 h;
	struct http_request r;
	char *p = NULL;
	size_t len = 0;

	http1_init(&h, limits);
	while (n > 0) {
		size_t k = next_piece(arg);
		/* exactly as long as what is there, so that a sanitizer sees every step beyond it, and elsewhere each time */
		char *q;

		k = k > n ? n : k;
		q = malloc(len + k);
		if (!q)
			abort();
		if (len)
			memcpy(q, p, len);
		memcpy(q + len, bytes, k);
		free(p);
		p = q;
		len += k;
		bytes += k;
		n -= k;
		for (;;) {
			enum http1_result res = http1_parse(&h, p, &len, &r);

			if (res == HTTP1_HEAD)
				continue;
			if (res == HTTP1_MORE)
				break;
			if (res == HTTP1_BAD) {
				buf_addf(out, "!%d %s\n", h.status, h.reason);
				free(p);
				return;
			}
			story_request(out, &r);
			if (h.used > len)
				abort();
			memmove(p, p + h.used, len - h.used);
			len -= h.used;
			http1_next(&h);
			if (len == 0)
				break;
		}
	}
	free(p);
}

#endif
