/* tcp_conn.c - a connection of a TCP channel.
 *
 * Bytes lie in the wire's input until what they say is durable; only then are they consumed. One piece is with the store at a time: as many
 * whole lines as are there, or what the adapter understood. So nothing that was read is lost while the connection stands, order is
 * kept, and a source that is faster than the disk feels it as TCP's own back-pressure: the input is full, and reading stops. */
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "channels/tcp_parts.h"
#include "net/http_server.h"
#include "net/wire.h"
#include "plan/plan.h"

#define INPUT_SMALL 16384u           /* what every connection may hold */
#define INPUT_BUSY (128u << 10)      /* one that fills it, as long as there is memory for that */
#define REFUSED_KEPT (64u << 10)     /* of a line that is too long */
#define AGAIN_FIRST_US 100000
#define AGAIN_MAX_US 2000000
#define LINGER_US 2000000
#define PENDING_MAX_US (60 * INT64_C(1000000)) /* in a line, with no memory left for the rest of it */

struct tcp_conn {
	struct tcp_conn *next, **at;
	struct tcp_gate *gate;
	struct wire *wire;
	struct event *again;         /* the same piece once more */
	char peer[ADDR_TEXT_MAX];
	int conn;                    /* the adapter's ctx.conn */
	size_t submitted;            /* bytes of the input that are with the store */
	unsigned lines;              /* in them */
	size_t looked;               /* the adapter wants more than these */
	size_t granted;              /* of the quota of memory */
	int64_t heard_us, wait_us;
	bool busy;                   /* a piece is with the store */
	bool waits;                  /* a piece was not taken: `again` is set */
	bool ended;                  /* nothing more comes */
	bool cut;                    /* … nor can anything be answered */
	bool broken;                 /* what comes is none of the format: close after this piece */
	bool draining;               /* no more is read; what was read whole is still taken */
	bool skipping;               /* in the rest of a line that is too long */
	bool finishing;
	const char *refused;         /* why the piece is set aside; static */
};

struct tcp_conn *tcp_conn_next(struct tcp_conn *c) { return c->next; }

/* ---- the end --------------------------------------------------------------------------------------------------------------- */

void tcp_conn_free(struct tcp_conn *c)
{
	struct tcp_gate *g = c->gate;
	struct tcp_part *p = g->part;

	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	if (c->conn && p->host->conn_end)
		p->host->conn_end(p->host->arg, p->loop, c->conn);
	wire_free(c->wire);
	event_free(c->again);
	net_quota_give(p->memory, (int64_t)c->granted);
	net_quota_give(p->connections, 1);
	atomic_fetch_sub_explicit(&p->loop->connections, 1, memory_order_relaxed);
	free(c);
	tcp_gate_left(g);
}

static void finish(struct tcp_conn *c)
{
	/* At a reload or a stop nobody waits for a far end that has all its answers. */
	if (c->cut || (c->draining && wire_unacknowledged(c->wire) == 0)) {
		tcp_conn_free(c);
		return;
	}
	if (!c->finishing)
		wire_finish(c->wire, LINGER_US);
	c->finishing = true;
}

/* ---- memory ------------------------------------------------------------------------------------------------------------------ */

static void room_set(struct tcp_conn *c, size_t more)
{
	net_quota_give(c->gate->part->memory, (int64_t)c->granted);
	c->granted = more && net_quota_take(c->gate->part->memory, (int64_t)more) ? more : 0;
	wire_set_input_max(c->wire, INPUT_SMALL + c->granted);
}

/* The input is full, or nearly so: more of it, if it may be had. False: no. */
static bool room_more(struct tcp_conn *c, size_t n)
{
	size_t want = n < INPUT_BUSY && INPUT_BUSY < c->gate->line_max ? INPUT_BUSY : c->gate->line_max + 1, had = c->granted;

	if (want <= INPUT_SMALL + c->granted)
		return false;
	room_set(c, want - INPUT_SMALL);
	if (!c->granted && had)
		room_set(c, had);
	return c->granted > had;
}

/* ---- a piece -------------------------------------------------------------------------------------------------------------------- */

/* Whole lines in n bytes, all or as many as are answered at once; *lines counts those that are not empty. */
static size_t whole_lines(const struct tcp_conn *c, const char *p, size_t n, unsigned *lines)
{
	const char *last = memrchr(p, '\n', n), *at = p, *nl;

	*lines = 0;
	if (!last || !c->gate->acknowledge)
		return last ? (size_t)(last - p) + 1 : 0;
	while (at <= last && *lines < INTAKE_REFUSALS_MAX) {
		nl = memchr(at, '\n', n - (size_t)(at - p));
		*lines += strspn(at, " \t\r\n") < (size_t)(nl - at);
		at = nl + 1;
	}
	return (size_t)(at - p);
}

/* Nobody would come back for it after the end. */
static void unsaved(struct tcp_conn *c)
{
	log_warn(c->gate->object, "unsaved", "peer=%s bytes=%zu hint=%s", log_quote(c->peer), c->submitted,
		log_quote("these were read, but there was no room to keep them before the end; a source that must lose nothing wants `acknowledge: line`"));
	finish(c);
}

/* Who was not told must not be forgotten: the same piece once more. */
static void wait(struct tcp_conn *c)
{
	const struct timeval tv = { c->wait_us / 1000000, c->wait_us % 1000000 };

	if (c->draining) {
		unsaved(c);
		return;
	}
	c->waits = true;
	evtimer_add(c->again, &tv);
	c->wait_us = c->wait_us * 2 < AGAIN_MAX_US ? c->wait_us * 2 : AGAIN_MAX_US;
}

static void done(void *arg, const struct intake_result *r)
{
	struct tcp_conn *c = arg;
	struct tcp_gate *g = c->gate;
	struct buf *text = &g->part->text;
	bool taken = r->outcome == INTAKE_TAKEN || r->outcome == INTAKE_REFUSED, told = false;

	c->busy = false;
	if (r->answer) {
		wire_write(c->wire, r->answer, r->answer_len);
		told = true;
	} else if (g->acknowledge && c->lines) {
		tcp_answer_lines(text, r, c->lines);
		wire_write(c->wire, text->p, text->len);
		told = true;
	}
	if (!taken && !told) {
		wait(c);
		return;
	}
	c->wait_us = AGAIN_FIRST_US;
	wire_consume(c->wire, c->submitted);
	c->submitted = 0;
	c->refused = NULL;
	tcp_conn_look(c);
}

static void submit(struct tcp_conn *c, const char *p, size_t n)
{
	struct tcp_gate *g = c->gate;
	struct tcp_part *part = g->part;
	struct intake_piece piece = { .conn = c->conn, .used = n };
	bool repeated = c->submitted > 0, framed = g->adapter && !c->refused;

	c->busy = true;
	c->submitted = n;
	part->host->submit(part->host->arg, &(struct intake){ .loop = part->loop, .channel = g->channel, .body = p,
		.len = c->refused && n > REFUSED_KEPT ? REFUSED_KEPT : n, .peer = c->peer,
		.lines = !g->adapter, .mute = true, .refuse = c->refused, .piece = framed ? &piece : NULL, .done = done, .arg = c });
	if (!framed)
		return;
	c->conn = piece.conn;
	c->broken |= piece.broken;
	c->submitted = piece.used;
	c->looked = piece.used ? 0 : n;
	if (piece.now_len && !repeated)
		wire_write(c->wire, piece.now, piece.now_len);
}

/* The rest of a line of which the beginning was set aside. False: all there is belongs to it. */
static bool skip(struct tcp_conn *c)
{
	size_t n;
	const char *p = wire_input(c->wire, &n), *nl = memchr(p, '\n', n);

	wire_consume(c->wire, nl ? (size_t)(nl - p) + 1 : n);
	c->skipping = !nl;
	return nl != NULL;
}

/* What came is no whole piece, and cannot become one. */
static void set_aside(struct tcp_conn *c, const char *p, size_t n, const char *why)
{
	c->lines = c->gate->acknowledge;
	c->broken |= c->gate->adapter;
	c->refused = why;
	submit(c, p, n);
}

/* The next piece to the store; false: there is none. */
static bool next_piece(struct tcp_conn *c)
{
	struct tcp_gate *g = c->gate;
	size_t n, piece;
	const char *p;

	if (c->skipping && !skip(c))
		return false;
	p = wire_input(c->wire, &n);
	if (n == 0 || c->broken)
		return false;
	if (c->submitted) { /* once more what was not taken */
		submit(c, p, c->submitted);
		return true;
	}
	piece = g->adapter ? (n > c->looked ? n : 0) : whole_lines(c, p, n, &c->lines);
	if (!piece && c->ended) {
		if (g->adapter)
			set_aside(c, p, n, "the connection ended inside a message");
		else {
			c->lines = g->acknowledge;
			submit(c, p, n);
		}
		return true;
	}
	if (!piece && n > g->line_max) {
		set_aside(c, p, n, g->adapter ? "a message longer than limits.body; its first 64 KiB are here" :
			"a line longer than limits.message; its first 64 KiB are here");
		c->skipping = !g->adapter;
		return true;
	}
	if (n >= INPUT_SMALL + c->granted)
		room_more(c, n);
	if (piece)
		submit(c, p, piece);
	return piece > 0;
}

void tcp_conn_look(struct tcp_conn *c)
{
	struct tcp_gate *g = c->gate;
	struct tcp_part *p = g->part;
	size_t n;

	if (c->busy || c->waits || c->finishing)
		return;
	if (!tcp_gate_channel(g)) { /* it was taken out of the plan: this connection is about to be drained */
		finish(c);
		return;
	}
	if (!c->cut && !wire_has_room(c->wire)) { /* the far end does not read its answers */
		if (c->draining)
			finish(c);
		return;
	}
	if (!p->host->may_read(p->host->arg, p->loop))
		return;
	if (next_piece(c))
		return;
	wire_input(c->wire, &n);
	if (c->ended || c->broken || c->draining)
		finish(c);
	else if (n == 0 && c->granted)
		room_set(c, 0);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct tcp_conn *c = arg;

	(void)fd; (void)what;
	c->waits = false;
	tcp_conn_look(c);
}

/* ---- what the wire tells -------------------------------------------------------------------------------------------------------- */

static void on_input(void *arg)
{
	struct tcp_conn *c = arg;

	c->heard_us = clock_mono_us();
	tcp_conn_look(c);
}

static void on_room(void *arg)
{
	struct tcp_conn *c = arg;

	c->heard_us = clock_mono_us();
	tcp_conn_look(c);
}

static void on_end(void *arg, enum wire_end how, const char *why)
{
	struct tcp_conn *c = arg;

	log_debug(c->gate->object, "connection-ended", "peer=%s reason=%s", log_quote(c->peer), log_quote(why));
	c->ended = true;
	c->cut = how != WIRE_CLOSED || c->finishing;
	if (c->finishing)
		tcp_conn_free(c);
	else
		tcp_conn_look(c);
}

static const struct wire_calls calls = { .input = on_input, .room = on_room, .end = on_end };

void tcp_conn_new(struct tcp_gate *g, int fd, const char *peer)
{
	struct tcp_conn *c = xcalloc(1, sizeof *c);

	c->gate = g;
	c->next = g->conns;
	c->at = &g->conns;
	if (c->next)
		c->next->at = &c->next;
	g->conns = c;
	c->wait_us = AGAIN_FIRST_US;
	c->heard_us = clock_mono_us();
	memcpy(c->peer, peer, strlen(peer) + 1);
	c->again = evtimer_new(g->part->loop->base, on_again, c);
	c->wire = wire_accept(g->part->loop->base, fd, g->tls, &(struct wire_settings){ .input_max = INPUT_SMALL, .output_max = INPUT_BUSY }, &calls, c);
	if (g->draining || !tcp_gate_channel(g))
		tcp_conn_drain(c);
}

void tcp_conn_drain(struct tcp_conn *c)
{
	if (c->finishing || c->draining)
		return;
	c->draining = true;
	wire_hold(c->wire, true);
	if (c->waits) {
		evtimer_del(c->again);
		unsaved(c);
	} else {
		tcp_conn_look(c);
	}
}

void tcp_conn_tick(struct tcp_conn *c, int64_t now)
{
	struct tcp_gate *g = c->gate;
	size_t n;

	if (c->busy || c->waits || c->finishing)
		return;
	if (!wire_has_room(c->wire)) {
		if (now - c->heard_us >= g->idle_us) {
			log_debug(g->object, "connection-ended", "peer=%s reason=%s", log_quote(c->peer), log_quote("it does not read its answers"));
			tcp_conn_free(c);
		}
		return;
	}
	if (c->ended)
		return;
	wire_input(c->wire, &n);
	bool full = n >= INPUT_SMALL + c->granted;
	if (full && room_more(c, n)) {
		tcp_conn_look(c);
		return;
	}
	if (now - c->heard_us < (full ? PENDING_MAX_US : g->idle_us))
		return;
	if (full)
		log_warn(g->object, "no-memory", "peer=%s bytes=%zu hint=%s", log_quote(c->peer), n,
			log_quote("a line waits for memory that other connections hold: the connection is closed; raise limits.memory"));
	wire_hold(c->wire, true);
	c->ended = true;
	tcp_conn_look(c);
}
