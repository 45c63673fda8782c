/* listening.c - see listening.h.
 *
 * A listener whose address stays over a reload is not touched: only its certificate is replaced for connections to come. Where an address
 * changes between plain and TLS, or to other files, its old connections end after the request under way, as if another listener had taken over. */
#include <assert.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "channels/listening.h"
#include "net/http_server.h"
#include "net/tls.h"
#include "plan/plan.h"

#define LEAVING_MAX 16u
#define LEAVING_US (60 * INT64_C(1000000))

struct listening {
	struct listening *next;
	struct channel_type *type;
	uint64_t id;
	char key[LISTENING_KEY_MAX], object[128];
	struct http_listener *listener;        /* NULL: prepared, fd is bound */
	int fd;
	struct addr addr;
	struct intake_loop *reader;            /* udp: who reads it; NULL: prepared */
	int read_fd;                           /* its socket, which that worker owns, and keeps at least until it is told to drain it */
	bool wanted;                           /* by the plan that is being prepared */
	bool shared;                           /* it makes room for another one on its port, which will replace it */
	struct tls_server *tls, *tls_next;
	char *files, *files_next;              /* what TLS was told: to see a change of settings */
};

struct channel_type {
	const struct channel_host *host;
	const struct listening_ops *ops;
	struct listening *listenings;
	uint64_t ids;
	struct addr leaving[LEAVING_MAX];      /* sockets of datagrams that workers were told to drain, the newest of them … */
	int64_t left_us[LEAVING_MAX];          /* … and when */
	unsigned nleaving;
	struct intake_loop **loops;            /* that have a part */
	unsigned nloops;
	struct net_quota own, memory;
	struct net_quota *connections;
	/* stopping */
	atomic_uint waiting;
	int drained_fd;
	struct event *drained;
	void (*stopped)(void *arg);
	void *stopped_arg;
};

void listening_key(const struct addr *a, char key[LISTENING_KEY_MAX])
{
	char text[ADDR_TEXT_MAX];

	addr_format((const struct sockaddr *)&a->sa, text);
	/* ":8080" is not "[::]:8080", which is IPv6 alone. */
	snprintf(key, LISTENING_KEY_MAX, "%s%s", a->udp ? "udp://" : "", a->any ? strrchr(text, ':') : text);
}

/* ---- to the workers ---------------------------------------------------------------------------------------------- */

/* What is posted to a worker's loop. */
struct errand {
	struct channel_type *type;
	struct intake_loop *loop;
	void (*run)(struct errand *e, void *part);
	uint64_t id;
	struct tls_server *tls;
	int fd;
	char key[LISTENING_KEY_MAX], peer[ADDR_TEXT_MAX];
};

static void run_errand(void *arg)
{
	struct errand *e = arg;

	const struct listening_ops *ops = e->type->ops;
	void **slot = ops->slot(e->loop);

	if (!*slot)
		*slot = ops->part_new(e->loop, e->type->host, e->type->connections, &e->type->memory);
	e->run(e, *slot);
	free(e);
}

static struct errand *errand_new(struct channel_type *t, struct intake_loop *l, void (*run)(struct errand *e, void *part))
{
	struct errand *e = xcalloc(1, sizeof *e);

	e->type = t;
	e->loop = l;
	e->run = run;
	return e;
}

static void post(struct errand *e)
{
	e->type->host->post(e->type->host->arg, e->loop, run_errand, e);
}

static void run_adopt(struct errand *e, void *part)
{
	e->type->ops->adopt(part, e->id, e->key, e->fd, e->peer, e->tls);
}

static void run_adopt_datagrams(struct errand *e, void *part)
{
	e->type->ops->adopt_datagrams(part, e->id, e->key, e->fd);
}

static void run_drain(struct errand *e, void *part)
{
	e->type->ops->drain(part, e->id);
}

static void run_refresh(struct errand *e, void *part)
{
	e->type->ops->refresh(part);
}

/* This loop has a part from here on. */
static void loop_used(struct channel_type *t, struct intake_loop *loop)
{
	for (unsigned i = 0; i < t->nloops; i++)
		if (t->loops[i] == loop)
			return;
	t->loops = xrealloc(t->loops, (t->nloops + 1) * sizeof(*t->loops));
	t->loops[t->nloops++] = loop;
}

static void on_accept(int fd, const char *peer, void *arg)
{
	struct listening *l = arg;
	struct channel_type *t = l->type;
	struct intake_loop *loop = t->host->pick(t->host->arg);
	struct errand *e = errand_new(t, loop, run_adopt);

	loop_used(t, loop);
	atomic_fetch_add_explicit(&loop->connections, 1, memory_order_relaxed);
	e->id = l->id;
	e->tls = tls_server_ref(l->tls);
	e->fd = fd;
	memcpy(e->key, l->key, sizeof e->key);
	snprintf(e->peer, sizeof e->peer, "%s", peer);
	post(e);
}

static void drain_everywhere(struct channel_type *t, uint64_t id)
{
	for (unsigned i = 0; i < t->nloops; i++) {
		struct errand *e = errand_new(t, t->loops[i], run_drain);

		e->id = id;
		post(e);
	}
}

/* ---- prepare, abort, commit ----------------------------------------------------------------------------------------- */

static void drop(struct listening *l)
{
	http_listener_free(l->listener);
	if (l->fd >= 0)
		close(l->fd);
	tls_server_unref(l->tls);
	tls_server_unref(l->tls_next);
	free(l->files);
	free(l->files_next);
	free(l);
}

static char *tls_files(const struct channel *c)
{
	const struct options *o = options_map(c->options, "tls");
	struct buf b = BUF_INIT;

	if (!o)
		return xstrdup("");
	buf_addf(&b, "%s\n%s\n%s", options_text(o, "cert"), options_text(o, "key"), options_text(o, "ca") ? options_text(o, "ca") : "");
	return buf_take(&b);
}

static struct listening *listening_find(struct channel_type *t, const char *key)
{
	struct listening *l = t->listenings;

	while (l && strcmp(l->key, key) != 0)
		l = l->next;
	return l;
}

/* The first channel that names this address decides about TLS. */
static int listening_want(struct channel_type *t, const struct channel *c, const struct addr *a, const char *key, char *why, size_t whylen)
{
	const struct options *o = options_map(c->options, "tls");
	struct listening *l = listening_find(t, key);
	char fault[400];

	if (!l) {
		l = xcalloc(1, sizeof *l);
		l->type = t;
		l->id = ++t->ids;
		l->fd = -1;
		l->addr = *a;
		snprintf(l->key, sizeof l->key, "%s", key);
		snprintf(l->object, sizeof l->object, "channel/%s", c->name);
		l->next = t->listenings;
		t->listenings = l;
	}
	l->wanted = true;
	l->files_next = tls_files(c);
	if (o) {
		l->tls_next = tls_server_new(&(struct tls_files){ .cert = options_text(o, "cert"), .key = options_text(o, "key"),
			.ca = options_text(o, "ca") }, fault, sizeof fault);
		if (!l->tls_next) {
			snprintf(why, whylen, "channel '%s': tls: %s", c->name, fault);
			return -1;
		}
	}
	return 0;
}

static int socket_of(const struct listening *l)
{
	return l->listener ? http_listener_fd(l->listener) : l->reader ? l->read_fd : -1;
}

/* A socket of datagrams is closed by its worker, when the last of them is answered. It makes room at once: the next reload may want its address. */
static void leave(struct channel_type *t, const struct listening *l)
{
	unsigned at = t->nleaving++ % LEAVING_MAX;

	addr_share(l->read_fd, true);
	t->leaving[at] = l->addr;
	t->left_us[at] = clock_mono_us();
}

static bool is_leaving(const struct channel_type *t, const struct addr *a)
{
	for (unsigned i = 0; i < t->nleaving && i < LEAVING_MAX; i++)
		if (addr_same_port(&t->leaving[i], a) && clock_mono_us() - t->left_us[i] < LEAVING_US)
			return true;
	return false;
}

/* All that is wanted is known. What is not, and covers this port (0.0.0.0:8080, where 127.0.0.1:8080 is wanted now), makes room. */
static int listening_bind(struct channel_type *t, struct listening *l, char *why, size_t whylen)
{
	bool room = false;
	char fault[400];

	if (l->listener || l->reader || l->fd >= 0)
		return 0;
	l->fd = addr_listen(&l->addr, fault, sizeof fault);
	for (struct listening *o = t->listenings; l->fd < 0 && o; o = o->next) {
		if (o->wanted || socket_of(o) < 0 || !addr_same_port(&o->addr, &l->addr))
			continue;
		addr_share(socket_of(o), true);
		room = o->shared = true;
	}
	if (l->fd < 0 && (room || is_leaving(t, &l->addr)))
		l->fd = addr_listen_beside(&l->addr, fault, sizeof fault);
	if (l->fd >= 0)
		return 0;
	snprintf(why, whylen, "channel '%s': %s", strchr(l->object, '/') + 1, fault);
	return -1;
}

/* Can these two stand at one address? */
static int check_pair(const struct listening_ops *ops, const struct channel *a, const struct channel *b, char *why, size_t whylen)
{
	char *mine = tls_files(a), *other = tls_files(b);
	bool same = strcmp(mine, other) == 0;

	free(mine);
	free(other);
	if (!same) {
		snprintf(why, whylen, "channels '%s' and '%s' share %s, so their tls must be the same", a->name, b->name, options_text(a->options, "listen"));
		return -1;
	}
	return ops->check_pair(a, b, why, whylen);
}

static bool listens(const struct channel *c)
{
	return c->enabled && (strcmp(c->type, channel_http.type) == 0 || strcmp(c->type, channel_tcp.type) == 0);
}

int listening_check(const struct listening_ops *ops, const struct channel *c, const struct channel *beside, char *why, size_t whylen)
{
	const char *mine = options_text(c->options, "listen"), *its;
	char key[LISTENING_KEY_MAX], other[LISTENING_KEY_MAX], unused[400];
	struct addr a, b;

	if (ops->key(c, &a, key, why, whylen) < 0)
		return -1;
	if (!beside || !listens(beside) || addr_parse(&b, its = options_text(beside->options, "listen"), unused, sizeof unused) < 0)
		return 0;
	listening_key(&b, other);
	if (strcmp(key, other) == 0 && strcmp(c->type, beside->type) == 0)
		return check_pair(ops, beside, c, why, whylen);
	if (!addr_overlaps(&a, &b))
		return 0;
	if (strcmp(key, other) == 0)
		snprintf(why, whylen, "channels '%s' and '%s' are of different types and both listen on %s", beside->name, c->name, its);
	else
		snprintf(why, whylen, "channels '%s' and '%s' cannot listen on %s and %s at once: one address covers the other", beside->name, c->name,
			its, mine);
	return -1;
}

void listening_whereabouts(const struct listening_ops *ops, const struct channel *c, struct whereabouts *d)
{
	char key[LISTENING_KEY_MAX], unused[400], *tls;
	struct addr a;

	if (ops->key(c, &a, key, unused, sizeof unused) < 0)
		return;
	/* Addresses are in each other's way at one port alone. */
	buf_adds(&d->house, a.local ? key : a.udp ? "udp" : "tcp");
	if (!a.local)
		buf_adds(&d->house, strrchr(key, ':'));
	tls = tls_files(c);
	buf_addf(&d->front, "%s\n%s\n%s", c->type, key, tls);
	free(tls);
	if (ops->whereabouts)
		ops->whereabouts(c, &d->front, &d->room);
}

int listening_prepare(struct channel_type *t, const struct plan *next, char *why, size_t whylen)
{
	for (unsigned i = 0; i < next->nchannels; i++) {
		const struct channel *c = &next->channels[i];
		char key[LISTENING_KEY_MAX];
		struct listening *l;
		struct addr a;

		if (!t->ops->is(c))
			continue;
		if (t->ops->key(c, &a, key, why, whylen) < 0)
			return -1;
		l = listening_find(t, key);
		if ((!l || !l->wanted) && listening_want(t, c, &a, key, why, whylen) < 0)
			return -1;
	}
	for (struct listening *l = t->listenings; l; l = l->next)
		if (l->wanted && listening_bind(t, l, why, whylen) < 0)
			return -1;
	return 0;
}

void listening_abort(struct channel_type *t)
{
	struct listening **at = &t->listenings, *l;

	while ((l = *at)) {
		if (!l->listener && !l->reader) {
			*at = l->next;
			drop(l);
			continue;
		}
		tls_server_unref(l->tls_next);
		l->tls_next = NULL;
		free(l->files_next);
		l->files_next = NULL;
		l->wanted = false;
		if (l->shared)
			addr_share(socket_of(l), false);
		l->shared = false;
		at = &l->next;
	}
}

static void begin(struct channel_type *t, struct listening *l)
{
	if (l->addr.udp) {
		struct errand *e;

		l->reader = t->host->pick(t->host->arg);
		loop_used(t, l->reader);
		e = errand_new(t, l->reader, run_adopt_datagrams);
		e->id = l->id;
		e->fd = l->read_fd = l->fd;
		addr_share(l->fd, false);
		memcpy(e->key, l->key, sizeof e->key);
		post(e);
	} else {
		l->listener = http_listener_new(t->host->base, l->fd, &(struct http_listener_config){ .object = l->object, .silent = t->ops->silent,
			.connections = t->connections, .tls = l->tls != NULL, .on_accept = on_accept, .arg = l });
		addr_share(l->fd, false);
	}
	l->fd = -1;
	log_info(l->object, "listening", "address=%s tls=%s", log_quote(l->key), l->tls ? "on" : "off");
}

void listening_commit(struct channel_type *t, const struct plan *now)
{
	struct listening **at = &t->listenings, *l;

	t->connections->max = t->host->connections_max;
	/* A small share is enough; but a body that is allowed must be taken some time, and while it grows its buffer is up to twice as large. */
	t->memory.max = (int64_t)(now->settings.limit_memory / 8);
	if (t->memory.max < (int64_t)(now->settings.limit_body * 2 + (1 << 20)))
		t->memory.max = (int64_t)(now->settings.limit_body * 2 + (1 << 20));
	while ((l = *at)) {
		if (!l->wanted) {
			*at = l->next;
			if (l->reader)
				leave(t, l);
			drain_everywhere(t, l->id);
			log_info(l->object, "closed", "address=%s", log_quote(l->key));
			drop(l);
			continue;
		}
		if (l->listener && strcmp(l->files, l->files_next) != 0) {
			drain_everywhere(t, l->id);
			l->id = ++t->ids;
		}
		tls_server_unref(l->tls);
		l->tls = l->tls_next;
		l->tls_next = NULL;
		free(l->files);
		l->files = l->files_next;
		l->files_next = NULL;
		if (!l->listener && !l->reader)
			begin(t, l);
		l->wanted = false;
		at = &l->next;
	}
	for (unsigned i = 0; i < t->nloops; i++)
		post(errand_new(t, t->loops[i], run_refresh));
}

/* ---- the end --------------------------------------------------------------------------------------------------------- */

/* On a worker. */
static void part_emptied(void *arg)
{
	struct channel_type *t = arg;
	uint64_t one = 1;

	if (atomic_fetch_sub(&t->waiting, 1) == 1 && write(t->drained_fd, &one, sizeof one) != sizeof one)
		log_error("channel", "eventfd", NULL);
}

static void run_stop(struct errand *e, void *part)
{
	e->type->ops->stop(part, part_emptied, e->type);
}

static void on_all_drained(evutil_socket_t fd, short what, void *arg)
{
	struct channel_type *t = arg;

	(void)fd; (void)what;
	event_del(t->drained);
	t->stopped(t->stopped_arg);
}

void listening_stop(struct channel_type *t, void (*done)(void *arg), void *arg)
{
	while (t->listenings) {
		struct listening *l = t->listenings;

		t->listenings = l->next;
		drop(l);
	}
	t->stopped = done;
	t->stopped_arg = arg;
	if (t->nloops == 0) {
		done(arg);
		return;
	}
	atomic_store(&t->waiting, t->nloops);
	for (unsigned i = 0; i < t->nloops; i++)
		post(errand_new(t, t->loops[i], run_stop));
}

struct channel_type *listening_new(const struct channel_host *h, const struct listening_ops *ops)
{
	struct channel_type *t = xcalloc(1, sizeof *t);

	t->host = h;
	t->ops = ops;
	t->connections = h->connections ? h->connections : &t->own;
	t->drained_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert(t->drained_fd >= 0);
	t->drained = event_new(h->base, t->drained_fd, EV_READ, on_all_drained, t);
	event_add(t->drained, NULL);
	return t;
}

void listening_free(struct channel_type *t)
{
	while (t->listenings) {
		struct listening *l = t->listenings;

		t->listenings = l->next;
		drop(l);
	}
	for (unsigned i = 0; i < t->nloops; i++) {
		void **slot = t->ops->slot(t->loops[i]);

		t->ops->part_free(*slot);
		*slot = NULL;
	}
	free(t->loops);
	event_free(t->drained);
	close(t->drained_fd);
	free(t);
}
