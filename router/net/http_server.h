/* http_server.h - the server's side of HTTP/1.1 on libevent events.
 *
 * Four things. A *listener* accepts on the loop it was made on and hands the socket to a callback, which may give it to another
 * loop. A *loop* is what the connections of one event base share: big receive buffers that are lent to a connection only
 * while half a request lies in them, a timer wheel, an inflater. A *service* is what one listening address means on one loop:
 * limits, TLS, callbacks, counters. A *connection* belongs to one service and lives on one loop.
 *
 * 1. Everything here is called on the loop's own thread. 2. Each request given to on_request is answered exactly once,
 * then or later, on that loop, even if its peer has gone meanwhile: a connection lives until its last answer, and the pointer
 * is not to be used after that. 3. Requests that a client sends ahead are given to on_request at once, up to `pipeline` of them,
 * and their answers go out in the order of the requests whatever the order they are given in. 4. Answers given in one turn of
 * the loop leave in one write. 5. The process ignores SIGPIPE (for TLS). */
#ifndef SLUICE_NET_HTTP_SERVER_H
#define SLUICE_NET_HTTP_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/http1.h"

struct addr;
struct event_base;
struct http_conn;
struct http_listener;
struct http_loop;
struct network;
struct tls_server;

/* A bound shared by all loops, channels and threads. */
struct net_quota {
	_Atomic int64_t used;
	_Atomic int64_t max; /* may be changed at any time */
};
static inline bool net_quota_take(struct net_quota *q, int64_t n)
{
	if (atomic_fetch_add_explicit(&q->used, n, memory_order_relaxed) + n <= atomic_load_explicit(&q->max, memory_order_relaxed))
		return true;
	atomic_fetch_sub_explicit(&q->used, n, memory_order_relaxed);
	return false;
}
static inline void net_quota_give(struct net_quota *q, int64_t n)
{
	atomic_fetch_sub_explicit(&q->used, n, memory_order_relaxed);
}

struct http_limits {
	struct http1_limits parse; /* .body bounds what is sent and, of compressed bodies, what comes out */
	unsigned pipeline;         /* requests of one connection that wait for their answers; then reading stops; at most 64 */
	int64_t head_us;           /* from accept, or a request's first byte, to the end of its head */
	int64_t body_us;           /* from the head's end to the body's, and … */
	uint32_t body_rate;        /* … a second more for each so many bytes that have come */
	int64_t idle_us;           /* from the last answer to the next request */
	int64_t write_us;          /* until a client takes another KiB of its answers (or all of them) */
};
#define HTTP_LIMITS_DEFAULT { .parse = HTTP1_LIMITS_DEFAULT, .pipeline = 64, .head_us = 10000000, .body_us = 60000000, \
	.body_rate = 1024, .idle_us = 75000000, .write_us = 30000000 }

/* Written on the loop's thread alone. */
struct http_counters {
	uint64_t accepted, requests, bytes_in, bytes_out;
	uint64_t answers[6];  /* by hundreds: answers[2] = 2xx */
	uint64_t malformed;   /* not HTTP, or beyond a limit of the parser */
	uint64_t timed_out;   /* head or body came too slowly */
	uint64_t slow_reader; /* did not take its answers */
	uint64_t no_memory;   /* 503 because the memory quota was used up */
	uint64_t aborted;     /* peer gone with a request half sent or unanswered */
	uint64_t tls_failed;  /* no handshake */
};

struct http_answer {
	int status;
	const char *headers; /* whole lines, each with its CRLF ("Content-Type: application/json\r\n"), or NULL */
	const char *body;    /* copied */
	size_t len;
	bool close;          /* say Connection: close, and do it */
};

struct http_service {
	/* Set by the owner, who may change them between two events; the struct outlives its connections. */
	struct http_limits limits;
	struct tls_server *tls;        /* for new connections; NULL = plain. The owner's reference */
	struct net_quota *connections; /* given back when a connection ends (taken by the listener); may be NULL */
	struct net_quota *memory;      /* receive buffers that are lent, answers that wait; may be NULL */
	/* Peers that are proxies: their connections begin by telling whose they are (proxy_header.h), and end at once when they don't. Borrowed. */
	const struct network *proxies; unsigned nproxies;
	/* Such a one did not. May be NULL. */
	void (*on_nameless)(struct http_conn *c, void *arg);
	/* The head is there and the body is not yet looked at: NULL to go on, or the answer that refuses it (the connection closes if a
	 * body was to come). May be NULL. */
	const struct http_answer *(*on_head)(struct http_conn *c, const struct http_request *r, void *arg);
	/* A whole request, compressed bodies undone, 64 readable bytes behind the body. All of *r is good until this returns. */
	void (*on_request)(struct http_conn *c, uint64_t request, const struct http_request *r, void *arg);
	/* A connection has gone, with its last answer given. May be NULL. */
	void (*on_gone)(struct http_service *s, void *arg);
	/* After http_service_drain: the last connection has gone. The service may be freed in here, the loop not. May be NULL. */
	void (*on_drained)(struct http_service *s, void *arg);
	void *arg;
	/* Kept here. */
	struct http_counters counters;
	unsigned connected;
	bool draining;
};

struct http_loop *http_loop_new(struct event_base *base);
/* Closes every connection at once; requests not yet answered never will be. NULL is fine. */
void http_loop_free(struct http_loop *l);
/* Reading stops on all connections of the loop, whatever their service; answers go on. */
void http_loop_pause(struct http_loop *l);
void http_loop_resume(struct http_loop *l);

/* A connected socket, as a listener hands it out, becomes a connection of this service. The socket is the connection's from here on. */
void http_conn_new(struct http_loop *l, struct http_service *s, int fd, const char *peer);
/* Idle connections close now, the others after the answers they wait for. Returns how many are left; if any, on_drained follows. */
unsigned http_service_drain(struct http_loop *l, struct http_service *s);

void http_conn_answer(struct http_conn *c, uint64_t request, const struct http_answer *a);
/* Closes without another byte; what was asked must still be "answered", which frees the connection. */
void http_conn_abort(struct http_conn *c);
/* Reading and on_request stop for this connection; not counted, a resume undoes any number of pauses. */
void http_conn_pause(struct http_conn *c);
void http_conn_resume(struct http_conn *c);
const char *http_conn_peer(const struct http_conn *c); /* "192.0.2.7:40122" */
struct http_service *http_conn_service(const struct http_conn *c);

struct http_listener_config {
	const char *object;            /* for the log: "channel/trackers"; borrowed */
	struct net_quota *connections; /* may be NULL; beyond it: 503 and close */
	bool tls;                      /* a plain 503 would not be understood */
	bool silent;                   /* nor would any word of HTTP */
	/* The socket is the callee's. peer is borrowed for the call. */
	void (*on_accept)(int fd, const char *peer, void *arg);
	void *arg;
};
/* fd: a listening socket (addr_listen), the listener's from here on. */
struct http_listener *http_listener_new(struct event_base *base, int fd, const struct http_listener_config *config);
void http_listener_free(struct http_listener *l); /* stops accepting, closes the socket; NULL is fine */
void http_listener_pause(struct http_listener *l);
void http_listener_resume(struct http_listener *l);
uint64_t http_listener_refused(const struct http_listener *l); /* connections beyond the quota */
int http_listener_fd(const struct http_listener *l);           /* the listener's */
unsigned http_listener_port(const struct http_listener *l);    /* the port in use, when 0 was asked for */

#endif
