/* http_client.h - HTTP/1.1 requests to the outside, many at a time, on one event loop (libcurl's multi interface).
 *
 *  - Nothing blocks: names are resolved on libcurl's resolver threads, sockets are libevent's.
 *  - HTTP/1.1 only, http and https only, no redirects, no proxy but the one that is named, TLS 1.2 or newer.
 *  - Connections are kept alive and shared by all peers whose settings are equal *in content*: certificates are read when the
 *    peer is made and compared by their bytes, so a renewed certificate takes effect with the reload that reads it, and a peer made
 *    anew from unchanged files goes on with the old one's connections.
 *  - An answer is bounded: the first 8 KiB of its head and of its body 4 KiB, or as much as the request says, are kept; the rest is read
 *    and dropped so that the connection can be used again, up to 1 MiB; beyond that the connection is closed. The status counts either way.
 *  - Addresses that only a machine itself should ask (link-local, the metadata services of clouds) are refused before a
 *    connection is tried, unless the URL or proxy names the address itself: a name somebody else controls must not lead there. */
#ifndef SLUICE_NET_HTTP_CLIENT_H
#define SLUICE_NET_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct http_client;
struct http_peer;   /* how a far end is talked to */
struct http_call;   /* one request under way */

struct http_client *http_client_new(struct event_base *base);
void http_client_free(struct http_client *c);

struct http_peer_settings {
	const char *ca, *cert, *key;  /* PEM files; NULL: the system's authorities, no client certificate, the key lies in cert's file */
	bool verify;                  /* the far end's certificate and name */
	const char *proxy;            /* URL, or NULL */
	const char *bind;             /* local address or interface, or NULL */
	unsigned connections;         /* that are worth keeping open when idle */
};
/* NULL with words in why when a certificate file cannot be read. Everything is copied. */
struct http_peer *http_peer_new(struct http_client *c, const struct http_peer_settings *s, char *why, size_t whylen);
/* Calls under way end as they began. p may be NULL. */
void http_peer_free(struct http_peer *p);

/* A request. `body` must live until the call has ended; all else is copied. */
struct http_outgoing {
	const char *method, *url;
	unsigned nheaders; const char *const *names; const char *const *values;  /* without CR, LF, NUL. Host, Content-Length and
	                                                                            Content-Encoding are the client's own */
	const char *body; size_t body_len;
	bool gzip;                    /* compress the body */
	bool host_from_outside;       /* part of the URL's host came with a message: an address in it was nobody's intention */
	int64_t timeout_us;           /* from now to the last byte of the answer */
	size_t keep;                  /* bytes of the answer's body, 1 MiB at most; 0: 4 KiB */
};

enum http_trouble {
	HTTP_ANSWERED,       /* status, head and body are there */
	HTTP_UNREACHABLE,    /* no name, no route, refused, reset before an answer, handshake failed */
	HTTP_TIMEOUT,
	HTTP_CUT,            /* the answer ended early or is not HTTP; whether the request was acted on is not known */
	HTTP_CERTIFICATE,    /* theirs is not trusted, or ours was refused */
	HTTP_MISUSE,         /* the URL cannot be used, or its address is refused: asking again will not help */
};
/* Borrowed until the callback returns. */
struct http_reply {
	enum http_trouble trouble;
	const char *why;              /* for people; "" when answered */
	int status;                   /* 0 when none came; may be known for HTTP_CUT too */
	unsigned nheaders; const char *const *names; const char *const *values;  /* of the final answer, names in lower case */
	const char *body; size_t len; /* what was kept of it */
	bool cut;                     /* there was more */
	int64_t took_us;
};
typedef void http_reply_fn(void *arg, const struct http_reply *r);

/* Exactly one callback, later than this returns, unless cancelled. Never NULL. The call is gone when the callback returns. */
struct http_call *http_call(struct http_peer *p, const struct http_outgoing *o, http_reply_fn *done, void *arg);
/* No callback will come. The connection is closed if it was in use. Not from inside a callback of this client. */
void http_cancel(struct http_call *call);

/* The value of the first header of that (lower case) name, or NULL. */
const char *http_reply_header(const struct http_reply *r, const char *name);
/* What its Retry-After asks for, seconds or an HTTP date (RFC 9110, 10.2.3), from now on; 0: nothing that can be read, or it is past. */
int64_t http_reply_retry_after_us(const struct http_reply *r);

/* Connections opened since the client was made, for tests and metrics. */
uint64_t http_client_connections(const struct http_client *c);

#endif
