/* http_conn.c - reading requests, and everything that can end a connection. */
#include "net/http_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/network.h"
#include "net/proxy_header.h"

static bool may_parse(const struct http_conn *c)
{
	return c->state == CONN_OPEN && !c->paused && !c->loop->paused && c->next - c->first < c->service->limits.pipeline;
}

static bool wants_read(const struct http_conn *c)
{
	return c->state == CONN_LINGER || (may_parse(c) && c->out.len - c->sent < OUT_HIGH);
}

/* What the connection holds of the quota follows what it holds of memory. False when that is more than there is. */
static bool account(struct http_conn *c)
{
	size_t now = c->in.cap + (c->sent < c->out.len ? c->out.cap : 0), before = c->accounted;
	struct net_quota *q = c->service->memory;

	c->accounted = now;
	if (!q || now == before)
		return true;
	if (now < before)
		net_quota_give(q, (int64_t)(before - now));
	else if (!net_quota_take(q, (int64_t)(now - before))) {
		atomic_fetch_add_explicit(&q->used, (int64_t)(now - before), memory_order_relaxed);
		return false;
	}
	return true;
}

void conn_close(struct http_conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	if (c->state != CONN_LINGER && (c->waiting > 0 || (c->phase != PHASE_IDLE && c->in.len > 0)))
		c->service->counters.aborted++;
	c->state = CONN_CLOSED;
	event_del(&c->read);
	event_del(&c->write);
	SSL_free(c->ssl);
	c->ssl = NULL;
	free(c->preface);
	c->preface = NULL;
	close(c->fd);
	c->fd = -1;
	loop_buffer_back(c->loop, &c->in);
	buf_fini(&c->out);
	c->sent = 0;
	account(c);
	if (c->service->connections)
		net_quota_give(c->service->connections, 1);
	loop_deadline(c->loop, c, NEVER);
}

static void conn_free(struct http_conn *c)
{
	struct http_service *s = c->service;

	loop_remove(c->loop, c);
	for (unsigned i = 0; i < c->cap; i++)
		buf_fini(&c->slots[i].answer);
	free(c->slots);
	free(c);
	if (s->on_gone)
		s->on_gone(s, s->arg);
	if (--s->connected == 0 && s->draining && s->on_drained)
		s->on_drained(s, s->arg);
}

static void linger(struct http_conn *c)
{
	c->state = CONN_LINGER;
	c->since = clock_mono_us();
	loop_buffer_back(c->loop, &c->in);
	if (c->ssl && SSL_is_init_finished(c->ssl))
		SSL_shutdown(c->ssl);
	if (c->eof || shutdown(c->fd, SHUT_WR) < 0)
		conn_close(c);
}

static int64_t deadline_of(const struct http_conn *c)
{
	const struct http_limits *m = &c->service->limits;
	int64_t d = NEVER, w;

	if (c->state == CONN_LINGER)
		return c->since + LINGER_US;
	if (c->reading) {
		if (c->phase == PHASE_HEAD)
			d = c->since + m->head_us;
		else if (c->phase == PHASE_BODY)
			d = c->since + m->body_us + (m->body_rate ? (int64_t)(c->in.len * 1000000ull / m->body_rate) : 0);
		else if (c->waiting == 0)
			d = c->since + m->idle_us;
	}
	w = c->sent < c->out.len ? c->out_since + m->write_us : NEVER;
	return d < w ? d : w;
}

void conn_update(struct http_conn *c)
{
	if (c->busy)
		return;
	if (c->state == CONN_LAST) {
		c->phase = PHASE_IDLE;
		loop_buffer_back(c->loop, &c->in);
		if (c->waiting == 0 && c->out.len == 0)
			linger(c);
	}
	if (c->state == CONN_OPEN && c->service->draining && c->waiting == 0 && c->in.len == 0 && c->out.len == 0)
		linger(c);
	if (c->state != CONN_CLOSED && !account(c) && c->state == CONN_OPEN && c->in.len > 0) {
		c->service->counters.no_memory++;
		conn_refuse(c, NULL, 503, "no memory for the request now, try again later", true);
		loop_buffer_back(c->loop, &c->in);
		c->phase = PHASE_IDLE;
		account(c);
	}
	if (c->state == CONN_CLOSED) {
		if (c->waiting == 0 && !c->dirty)
			conn_free(c);
		return;
	}
	if (wants_read(c) != c->reading) {
		c->reading = !c->reading;
		if (!c->reading) {
			event_del(&c->read);
		} else {
			event_add(&c->read, NULL);
			if (c->state != CONN_LINGER)
				c->since = clock_mono_us();
			if (c->ssl && SSL_has_pending(c->ssl))
				event_active(&c->read, EV_READ, 0);
		}
	}
	if (c->sent < c->out.len && !c->writing) {
		c->writing = true;
		event_add(&c->write, NULL);
	}
	loop_deadline(c->loop, c, deadline_of(c));
}

/* The head is whole. False: the request was refused. */
static bool head_taken(struct http_conn *c, const struct http_request *r)
{
	struct http_service *s = c->service;
	const struct http_answer *a = s->on_head ? s->on_head(c, r, s->arg) : NULL;

	c->phase = PHASE_BODY;
	c->since = clock_mono_us();
	if (c->state != CONN_OPEN)
		return false;
	if (!a && inflate_coding_of(r->content_encoding.p, r->content_encoding.n) == CODING_UNKNOWN) {
		conn_refuse(c, r, 415, "Content-Encoding is neither gzip nor deflate", true);
		return false;
	}
	if (a) {
		struct http_answer copy = *a;

		copy.close |= r->has_body;
		s->counters.requests++;
		slot_answer(c, slot_open(c, r), &copy);
		return false;
	}
	return true;
}

static void request_whole(struct http_conn *c, struct http_request *r)
{
	struct http_loop *l = c->loop;
	struct http_service *s = c->service;
	enum inflate_coding coding = inflate_coding_of(r->content_encoding.p, r->content_encoding.n);

	c->phase = PHASE_IDLE;
	c->want_continue = false;
	s->counters.requests++;
	if (!r->keep_alive || s->draining)
		c->state = CONN_LAST;
	if (coding != CODING_NONE) {
		enum inflate_result got = inflater_run(l->inflater, coding, r->body.p, r->body.n, s->limits.parse.body, &l->inflated);

		if (got != INFLATE_OK) {
			conn_refuse(c, r, got == INFLATE_TOO_BIG ? 413 : 400,
				got == INFLATE_TOO_BIG ? "body too large when decompressed" : "body is not what Content-Encoding says", false);
			return;
		}
		buf_reserve(&l->inflated, BODY_PAD);
		r->body = (struct http_text){ l->inflated.p, l->inflated.len };
	}
	s->on_request(c, slot_open(c, r), r, s->arg);
	if (l->inflated.cap > POOL_BUFFER_MAX)
		buf_fini(&l->inflated);
}

/* What waits for more bytes is kept small, so that a slow client does not hold a big buffer. */
static void put_away(struct http_conn *c)
{
	struct buf small = BUF_INIT;

	if (c->in.len >= PARTIAL_SMALL || c->in.cap < BUFFER_SIZE)
		return;
	if (c->in.len > 0) {
		buf_reserve(&small, c->in.len + BODY_PAD);
		buf_add(&small, c->in.p, c->in.len);
	}
	loop_buffer_back(c->loop, &c->in);
	c->in = small;
}

/* All whole requests in `in`. What is left lies at its start. */
static void conn_process(struct http_conn *c)
{
	struct http_request *r = &c->loop->request;
	size_t off = 0;

	c->busy = true;
	while (may_parse(c) && off < c->in.len) {
		size_t len = c->in.len - off;
		enum http1_result res = http1_parse(&c->parser, c->in.p + off, &len, r);
		bool refused = false;

		if (res == HTTP1_HEAD) {
			refused = !head_taken(c, r);
			if (c->state == CONN_OPEN) { /* a refused head without a body goes on to the next request */
				res = http1_parse(&c->parser, c->in.p + off, &len, r);
				c->want_continue |= res == HTTP1_MORE && r->expects;
			}
		}
		if (c->state != CONN_OPEN)
			break;
		c->in.len = off + len;
		if (res == HTTP1_BAD) {
			c->service->counters.malformed++;
			conn_refuse(c, NULL, c->parser.status, c->parser.reason, true);
			break;
		}
		if (res == HTTP1_MORE)
			break;
		off += c->parser.used;
		http1_next(&c->parser);
		if (refused)
			c->phase = PHASE_IDLE;
		else
			request_whole(c, r);
		if (c->state == CONN_OPEN && off < c->in.len) {
			c->phase = PHASE_HEAD;
			c->since = clock_mono_us();
		}
	}
	c->busy = false;
	if (c->state != CONN_OPEN)
		return; /* conn_update gives the buffer back */
	c->held = !may_parse(c);
	if (off > 0 && c->in.len > off)
		memmove(c->in.p, c->in.p + off, c->in.len - off);
	c->in.len -= off;
	put_away(c);
}

/* Room to read into, BODY_PAD kept behind it. A half request that was put away small moves into a big buffer first. */
static size_t make_room(struct http_conn *c)
{
	size_t size = http1_size(&c->parser), room;

	if (c->in.cap < BUFFER_SIZE) {
		struct buf big = loop_buffer(c->loop);

		if (c->in.len > 0)
			buf_add(&big, c->in.p, c->in.len);
		buf_fini(&c->in);
		c->in = big;
	}
	room = c->in.cap - c->in.len - 1;
	if (room < 4096 + BODY_PAD || (size > c->in.cap - BODY_PAD - 1 && room < BUFFER_SIZE / 4)) {
		buf_reserve(&c->in, room + 4096 + BODY_PAD);
		room = c->in.cap - c->in.len - 1;
	}
	return room - BODY_PAD;
}

/* n > 0; 0 at the end of the stream; -1 when nothing is there; -2 when the connection is no more. */
static ssize_t read_some(struct http_conn *c, char *p, size_t n)
{
	if (c->ssl) {
		size_t done = 0;

		switch (tls_read(c->ssl, p, n, &done)) {
		case TLS_IO_OK: return (ssize_t)done;
		case TLS_IO_WANT_READ: return -1;
		case TLS_IO_WANT_WRITE:
			c->writing = true;
			event_add(&c->write, NULL);
			return -1;
		case TLS_IO_EOF: return 0;
		default:
			c->service->counters.tls_failed += !SSL_is_init_finished(c->ssl);
			return -2;
		}
	}
	ssize_t k = recv(c->fd, p, n, 0);

	return k >= 0 ? k : errno == EAGAIN || errno == EINTR ? -1 : -2;
}

static void read_end(struct http_conn *c)
{
	c->eof = true;
	if (c->state == CONN_LINGER || (c->waiting == 0 && c->out.len == 0)) {
		conn_close(c);
		return;
	}
	c->state = CONN_LAST; /* a client may shut its side and still wait for answers */
}

/* False: the rest of it is awaited, or the connection is no more. */
static bool preface_read(struct http_conn *c)
{
	struct http_service *s = c->service;

	switch (proxy_header_read(c->preface, c->fd, c->peer, sizeof c->peer)) {
	case PROXY_MORE:
		return false;
	case PROXY_BAD:
		s->counters.malformed++;
		if (s->on_nameless)
			s->on_nameless(c, s->arg);
		conn_close(c);
		return false;
	case PROXY_PEER:
	case PROXY_OWN:
		break;
	}
	free(c->preface);
	c->preface = NULL;
	return true;
}

static bool is_proxy(const struct http_service *s, const char *peer)
{
	unsigned char at[16];

	if (s->nproxies == 0 || network_address(at, peer, strlen(peer)) < 0)
		return false;
	for (unsigned i = 0; i < s->nproxies; i++)
		if (network_holds(&s->proxies[i], at))
			return true;
	return false;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct http_conn *c = arg;

	(void)fd; (void)what;
	if (c->preface && !preface_read(c)) {
		conn_update(c);
		return;
	}
	/* A plain socket is read once a turn: what is left makes it readable again. TLS may keep bytes where poll can't see them. */
	for (int i = 0; wants_read(c) && i < (c->ssl ? 32 : 1); i++) {
		size_t room = make_room(c);
		ssize_t n = read_some(c, c->in.p + c->in.len, room);

		if (n <= 0) {
			if (n == -2)
				conn_close(c);
			else if (n == 0)
				read_end(c);
			else
				put_away(c);
			break;
		}
		c->service->counters.bytes_in += (uint64_t)n;
		if (c->state == CONN_LINGER)
			continue;
		if (c->phase == PHASE_IDLE) {
			c->phase = PHASE_HEAD;
			c->since = clock_mono_us();
		}
		c->in.len += (size_t)n;
		conn_process(c);
	}
	if (c->ssl && c->state == CONN_OPEN && wants_read(c) && SSL_has_pending(c->ssl))
		event_active(&c->read, EV_READ, 0);
	if (c->state == CONN_LINGER)
		put_away(c);
	if (c->want_continue || (c->ssl && c->out.len > 0))
		loop_dirty(c);
	conn_update(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct http_conn *c = arg;

	(void)fd; (void)what;
	c->writing = false;
	if (c->ssl && c->reading)
		event_active(&c->read, EV_READ, 0); /* a handshake may have waited for this */
	conn_flush(c);
}

void conn_flush(struct http_conn *c)
{
	if (c->state != CONN_CLOSED) {
		if (c->held && may_parse(c)) {
			c->held = false;
			conn_process(c);
		}
		if (c->want_continue && c->waiting == 0 && c->state == CONN_OPEN) {
			c->want_continue = false;
			buf_adds(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
			c->out_since = clock_mono_us();
		}
		if (c->state != CONN_CLOSED)
			conn_write(c);
	}
	conn_update(c);
}

void conn_expire(struct http_conn *c, int64_t now)
{
	struct http_service *s = c->service;

	if (deadline_of(c) > now) {
		/* moved on since it was written down */
	} else if (c->state == CONN_LINGER) {
		conn_close(c);
	} else if (c->sent < c->out.len && c->out_since + s->limits.write_us <= now) {
		s->counters.slow_reader++;
		conn_close(c);
	} else if (c->phase == PHASE_IDLE) {
		linger(c);
	} else {
		s->counters.timed_out++;
		if (c->in.len == 0) { /* came and said nothing: nobody waits for an answer */
			conn_close(c);
		} else {
			conn_refuse(c, NULL, 408, "the request came too slowly", true);
		}
	}
	conn_update(c);
}

void http_conn_new(struct http_loop *l, struct http_service *s, int fd, const char *peer)
{
	struct http_conn *c = xcalloc(1, sizeof *c);
	int one = 1;

	c->loop = l;
	c->service = s;
	c->fd = fd;
	snprintf(c->peer, sizeof c->peer, "%s", peer);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	http1_init(&c->parser, &s->limits.parse);
	event_assign(&c->read, l->base, fd, EV_READ | EV_PERSIST, on_readable, c);
	event_assign(&c->write, l->base, fd, EV_WRITE, on_writable, c);
	if (is_proxy(s, peer))
		c->preface = xcalloc(1, sizeof *c->preface);
	c->phase = PHASE_HEAD;
	c->since = clock_mono_us();
	s->counters.accepted++;
	s->connected++;
	loop_add(l, c);
	if (s->tls) {
		c->ssl = tls_server_session(s->tls, fd);
		if (!c->ssl)
			conn_close(c);
	}
	conn_update(c);
}

void http_conn_abort(struct http_conn *c)
{
	conn_close(c);
	if (!c->busy && c->waiting > 0)
		return; /* its last answer frees it */
	conn_update(c);
}

void http_conn_pause(struct http_conn *c)
{
	c->paused = true;
	conn_update(c);
}

void http_conn_resume(struct http_conn *c)
{
	c->paused = false;
	loop_dirty(c);
}

const char *http_conn_peer(const struct http_conn *c) { return c->peer; }
struct http_service *http_conn_service(const struct http_conn *c) { return c->service; }
