/* http_loop.c - what the connections of one event base share.
 *
 * Deadlines cost no system call and almost no work: a connection lies in a wheel at the place of some deadline it once had. A later
 * deadline is only written down; when the wheel comes round, the connection is moved on to where it belongs now. One timer turns the
 * wheel, and only while there are connections. */
#include <assert.h>
#include <stdlib.h>
#include <stdio.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "net/http_conn.h"

static void link_init(struct link *k) { k->next = k->prev = k; }
static void link_out(struct link *k)
{
	k->next->prev = k->prev;
	k->prev->next = k->next;
	link_init(k);
}
static void link_in(struct link *at, struct link *k)
{
	k->prev = at->prev;
	k->next = at;
	at->prev->next = k;
	at->prev = k;
}
#define CONN_OF(k, member) ((struct http_conn *)(void *)((char *)(k) - offsetof(struct http_conn, member)))

/* Receive buffers: the largest part of a connection's cost, so they are lent. */

struct buf loop_buffer(struct http_loop *l)
{
	struct buf b = BUF_INIT;

	if (l->pooled > 0)
		return l->pool[--l->pooled];
	buf_reserve(&b, BUFFER_SIZE - 1);
	return b;
}

void loop_buffer_back(struct http_loop *l, struct buf *b)
{
	if (b->cap >= BUFFER_SIZE && b->cap <= POOL_BUFFER_MAX && l->pooled < sizeof l->pool / sizeof *l->pool) {
		buf_clear(b);
		l->pool[l->pooled++] = *b;
		buf_init(b);
	} else {
		buf_fini(b);
	}
}

static void wheel_put(struct http_loop *l, struct http_conn *c)
{
	int64_t horizon = l->ticked + (WHEEL_SLOTS - 2) * l->tick_us;

	c->due = c->deadline < horizon ? c->deadline : horizon;
	if (c->due <= l->ticked)
		c->due = l->ticked + 1;
	link_in(&l->wheel[(c->due + l->tick_us - 1) / l->tick_us % WHEEL_SLOTS], &c->wheel);
}

void loop_deadline(struct http_loop *l, struct http_conn *c, int64_t deadline)
{
	c->deadline = deadline;
	if (deadline < c->due) {
		link_out(&c->wheel);
		wheel_put(l, c);
	}
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct http_loop *l = arg;
	int64_t now = clock_mono_us(), from = l->ticked / l->tick_us + 1, to = now / l->tick_us;
	struct link turn;

	(void)fd; (void)what;
	if (to - from >= WHEEL_SLOTS)
		from = to - WHEEL_SLOTS + 1;
	l->ticked = to * l->tick_us;
	for (int64_t t = from; t <= to; t++) {
		struct link *head = &l->wheel[t % WHEEL_SLOTS];

		link_init(&turn);
		while (head->next != head) {
			struct link *k = head->next;

			link_out(k);
			link_in(&turn, k);
		}
		while (turn.next != &turn) {
			struct http_conn *c = CONN_OF(turn.next, wheel);

			link_out(&c->wheel);
			c->due = NEVER;
			wheel_put(l, c);
			if (c->deadline <= now)
				conn_expire(c, now); /* may free it */
		}
	}
}

/* Turn at an eighth of the shortest time that matters, between 10 ms and 1 s. */
static void tick_faster(struct http_loop *l, const struct http_limits *m)
{
	int64_t least = m->head_us, tick;
	struct timeval tv;

	least = m->body_us < least ? m->body_us : least;
	least = m->idle_us < least ? m->idle_us : least;
	least = m->write_us < least ? m->write_us : least;
	tick = least / 8 < 10000 ? 10000 : least / 8 > 1000000 ? 1000000 : least / 8;
	if (l->n > 0 && tick >= l->tick_us)
		return;
	l->tick_us = tick;
	l->ticked = clock_mono_us() / tick * tick;
	for (struct link *k = l->conns.next; k != &l->conns; k = k->next) {
		struct http_conn *c = CONN_OF(k, all);

		link_out(&c->wheel);
		wheel_put(l, c);
	}
	tv = (struct timeval){ .tv_sec = tick / 1000000, .tv_usec = tick % 1000000 };
	event_add(&l->tick, &tv);
}

void loop_add(struct http_loop *l, struct http_conn *c)
{
	tick_faster(l, &c->service->limits);
	link_in(&l->conns, &c->all);
	link_init(&c->wheel);
	c->deadline = NEVER;
	wheel_put(l, c);
	l->n++;
}

void loop_remove(struct http_loop *l, struct http_conn *c)
{
	link_out(&c->all);
	link_out(&c->wheel);
	assert(!c->dirty);
	if (--l->n == 0)
		event_del(&l->tick);
}

void loop_dirty(struct http_conn *c)
{
	struct http_loop *l = c->loop;

	if (c->dirty)
		return;
	c->dirty = true;
	c->next_dirty = NULL;
	if (!l->dirty)
		event_active(&l->flush, EV_WRITE, 0); /* runs after all that is active now: the answers of a turn leave together */
	*l->dirty_end = c;
	l->dirty_end = &c->next_dirty;
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct http_loop *l = arg;
	struct http_conn *c = l->dirty, *next;

	(void)fd; (void)what;
	l->dirty = NULL;
	l->dirty_end = &l->dirty;
	for (; c; c = next) {
		next = c->next_dirty;
		c->dirty = false;
		conn_flush(c);
	}
}

const char *loop_date(struct http_loop *l)
{
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int64_t s = clock_real_us() / 1000000;
	time_t t = (time_t)s;
	struct tm tm;

	if (s != l->date_s) { /* by hand: strftime would speak the user's language */
		gmtime_r(&t, &tm);
		l->date_s = s;
		snprintf(l->date, sizeof l->date, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + 3 * tm.tm_wday, (unsigned)tm.tm_mday % 100,
			months + 3 * tm.tm_mon, (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
			(unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
	}
	return l->date;
}

struct http_loop *http_loop_new(struct event_base *base)
{
	struct http_loop *l = xcalloc(1, sizeof *l);

	l->base = base;
	l->tick_us = 1000000;
	l->dirty_end = &l->dirty;
	link_init(&l->conns);
	for (int i = 0; i < WHEEL_SLOTS; i++)
		link_init(&l->wheel[i]);
	event_assign(&l->tick, base, -1, EV_PERSIST, on_tick, l);
	event_assign(&l->flush, base, -1, 0, on_flush, l);
	l->inflater = inflater_new();
	return l;
}

void http_loop_free(struct http_loop *l)
{
	if (!l)
		return;
	while (l->conns.next != &l->conns) {
		struct http_conn *c = CONN_OF(l->conns.next, all);

		c->dirty = false; /* the list is dropped as a whole below */
		c->waiting = 0;
		conn_close(c);
		conn_update(c);
	}
	event_del(&l->tick);
	event_del(&l->flush);
	while (l->pooled > 0)
		buf_fini(&l->pool[--l->pooled]);
	buf_fini(&l->inflated);
	inflater_free(l->inflater);
	free(l);
}

void http_loop_pause(struct http_loop *l)
{
	l->paused = true; /* each connection notices when it would have read */
}

void http_loop_resume(struct http_loop *l)
{
	l->paused = false;
	for (struct link *k = l->conns.next; k != &l->conns; k = k->next) {
		struct http_conn *c = CONN_OF(k, all);

		if (!c->reading)
			loop_dirty(c);
	}
}

unsigned http_service_drain(struct http_loop *l, struct http_service *s)
{
	struct link *k = l->conns.next, *next;

	s->draining = true;
	for (; k != &l->conns; k = next) {
		struct http_conn *c = CONN_OF(k, all);

		next = k->next; /* conn_update frees this one at most */
		if (c->service == s)
			loop_dirty(c);
	}
	return s->connected;
}
