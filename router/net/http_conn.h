/* http_conn.h - the inside of the HTTP server: shared by http_loop.c, http_conn.c, http_answer.c and nobody else.
 *
 * Life of a connection: OPEN (reads requests) -> LAST (reads no more; the answers that are due still go out) -> LINGER (our side is
 * shut; what the client still sends is thrown away, so that a reset does not take the answer from it) -> CLOSED (no socket; freed
 * with the last answer). Each step may be skipped, none is ever taken back. */
#ifndef SLUICE_NET_HTTP_CONN_H
#define SLUICE_NET_HTTP_CONN_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/buf.h"
#include "net/http_server.h"
#include "net/inflate.h"
#include "net/tls.h"

#define BUFFER_SIZE (256u << 10) /* a receive buffer; larger ones grow out of it */
#define PARTIAL_SMALL (16u << 10) /* half requests below this give the big buffer back */
#define BODY_PAD 64               /* readable bytes behind a body, as message.h wants them */
#define POOL_BUFFER_MAX (2u << 20)   /* larger ones are not kept */
#define OUT_HIGH (256u << 10)     /* more than this not taken by the client: nothing more is read from it */
#define LINGER_US 2000000
#define NEVER INT64_MAX

enum conn_state { CONN_OPEN, CONN_LAST, CONN_LINGER, CONN_CLOSED };
enum conn_phase { PHASE_IDLE, PHASE_HEAD, PHASE_BODY };

struct link { struct link *next, *prev; };

/* One request that has been given to on_request. */
struct slot {
	struct buf answer; /* given before its turn */
	bool answered, close, head_only, minor0;
};

struct http_conn {
	struct http_loop *loop;
	struct http_service *service;
	struct link all, wheel;
	struct http_conn *next_dirty;
	struct event read, write;
	SSL *ssl;
	int fd;
	uint8_t state, phase;
	bool reading, writing;   /* which events are added */
	bool paused, held;       /* held: `in` may hold whole requests that were not looked at */
	bool busy, dirty, sealed; /* sealed: an answer said Connection: close, no other follows */
	bool eof, want_continue;
	struct http1 parser;
	struct buf in, out;
	size_t sent, accounted;
	struct slot *slots;      /* a ring; request i is at i & (cap - 1) */
	unsigned cap, waiting;   /* waiting: given to on_request and not answered */
	uint64_t first, next;    /* requests from first on have not gone to `out` */
	struct proxy_header *preface; /* what comes before everything else, while it does */
	int64_t since, out_since, deadline, due;
	size_t out_mark;
	char peer[80];
};

#define WHEEL_SLOTS 128

struct http_loop {
	struct event_base *base;
	struct event tick, flush;
	struct link conns, wheel[WHEEL_SLOTS];
	unsigned n;
	int64_t tick_us, ticked;
	struct http_conn *dirty, **dirty_end;
	struct buf pool[8];
	unsigned pooled;
	struct http_request request; /* of the connection that is being read */
	struct inflater *inflater;
	struct buf inflated;
	bool paused;
	int64_t date_s;
	char date[40];
};

/* http_loop.c */
struct buf loop_buffer(struct http_loop *l);
void loop_buffer_back(struct http_loop *l, struct buf *b);
void loop_add(struct http_loop *l, struct http_conn *c);
void loop_remove(struct http_loop *l, struct http_conn *c);
void loop_deadline(struct http_loop *l, struct http_conn *c, int64_t deadline);
void loop_dirty(struct http_conn *c);   /* conn_flush once, when what is active in this turn has run */
const char *loop_date(struct http_loop *l);

/* http_conn.c */
void conn_flush(struct http_conn *c);
void conn_expire(struct http_conn *c, int64_t now);
void conn_close(struct http_conn *c);   /* the socket, at once; c lives until conn_update finds it unused */
void conn_update(struct http_conn *c);  /* after any change: events, deadline, next state, end. c may be gone after it */

/* http_answer.c */
uint64_t slot_open(struct http_conn *c, const struct http_request *r);
void slot_answer(struct http_conn *c, uint64_t request, const struct http_answer *a);
void conn_refuse(struct http_conn *c, const struct http_request *r, int status, const char *reason, bool close);
void conn_write(struct http_conn *c);

#endif
