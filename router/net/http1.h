/* http1.h - HTTP/1.1 requests out of a receive buffer, strictly (RFC 9110, RFC 9112).
 *
 * A pure parser: no I/O, no allocation, no clock. It is shown a connection's contiguous buffer from the first byte
 * of a request on, as often as bytes arrive, and says when a whole request lies there. What it finds are slices of
 * that buffer. The same bytes give the same requests and the same refusal however they were split.
 *
 * Strict means: whatever two readers of one byte stream could understand differently is refused. CRLF only, no folded
 * lines, no blank before a colon, no control characters, exactly one Host on 1.1, one Content-Length of digits, never
 * beside Transfer-Encoding, which is `chunked` or nothing. After a refusal the connection must be closed. */
#ifndef SLUICE_NET_HTTP1_H
#define SLUICE_NET_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

struct http_text { const char *p; size_t n; }; /* p is NULL when absent */
struct http_field { struct http_text name, value; }; /* value without the blanks around it */

#define HTTP1_FIELDS_MAX 64      /* more header fields than this: 431 */
#define HTTP1_METHOD_MAX 16      /* a longer method: 501 */
#define HTTP1_CHUNK_LINE_MAX 256 /* a chunk's size line with its extensions */
#define HTTP1_CHUNK_EXT_MAX 4096 /* chunk extensions of one request altogether */

struct http1_limits {
	uint32_t head;   /* request line, fields and the empty line, in bytes: 431. Trailers get as much again */
	uint32_t target; /* 414; must be less than head */
	uint64_t body;   /* as sent, chunk framing not counted: 413 */
};
#define HTTP1_LIMITS_DEFAULT { .head = 8192, .target = 4096, .body = 16u << 20 }

/* Filled by http1_parse; everything points into the buffer it was given and is good until that is changed. */
struct http_request {
	struct http_text method, target; /* as sent */
	struct http_text path, query;    /* of the target, still percent-encoded; query without `?`, absent when there is none */
	struct http_text host;           /* the target's own authority where it has one */
	struct http_text content_type, content_encoding, authorization; /* absent when not sent */
	struct http_text body;           /* chunks already joined; followed by whatever lies in the buffer */
	bool keep_alive;                 /* the client wants the connection to stay */
	bool minor0;                     /* HTTP/1.0 */
	bool expects;                    /* waits for 100 Continue */
	bool has_body;                   /* a Content-Length above 0, or chunked */
	unsigned n;
	struct http_field fields[HTTP1_FIELDS_MAX];
};

enum http1_result {
	HTTP1_MORE, /* nothing to say until more bytes are there */
	HTTP1_HEAD, /* the head is whole: the request is filled but for its body. Said once; call again to go on */
	HTTP1_DONE, /* the request is whole: `used` bytes of the buffer were it. http1_next before the next one */
	HTTP1_BAD,  /* refused: `status` and `reason`. Said again on every further call */
};

/* What is remembered between two looks at the buffer. */
struct http1 {
	size_t used;        /* HTTP1_DONE: bytes of this request in the buffer */
	int status;         /* HTTP1_BAD */
	const char *reason; /* HTTP1_BAD: static text for the answer and the log */
	/* private */
	const struct http1_limits *limits;
	size_t scanned, head, body, raw, left;
	uint32_t ext, trailer;
	uint8_t state;
	bool fresh;
};

void http1_init(struct http1 *h, const struct http1_limits *limits); /* limits are borrowed for h's life */
void http1_next(struct http1 *h);

/* p[0..*len) are the bytes from the request's first one on; they may lie elsewhere at each call, r may be another at
 * each call but for the one right after HTTP1_HEAD. Chunked bodies are joined in place: bytes may move towards
 * p, and *len shrinks by the framing that is no longer there. */
enum http1_result http1_parse(struct http1 *h, char *p, size_t *len, struct http_request *r);
/* Bytes that the request takes in the buffer when it is whole; 0 while that is not known. */
size_t http1_size(const struct http1 *h);

/* Is this text that word, case aside? */
bool http_text_is(struct http_text t, const char *word);
/* The value of the first field of this name, or an absent text. */
struct http_text http_request_field(const struct http_request *r, const char *name);
/* Percent-encoding undone, appended to out; `+` is a blank where `form` is said. -1 (out as before) for a `%` without two
 * hex digits behind it. */
int http_percent_decode(struct http_text t, bool form, struct buf *out);
/* The first value of a query parameter, decoded, appended to out: 1; 0 when absent; -1 when it is badly encoded. */
int http_query_find(struct http_text query, const char *name, struct buf *out);
/* "Not Found" for 404; "Status" for a number nobody named. */
const char *http_status_text(int status);

#endif
