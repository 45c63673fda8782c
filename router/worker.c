/* worker.c - see worker.h. The hard idea: streams are live objects that cross a reload by name; settings do not. */
#include "worker.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "again.h"
#include "base/arena.h"
#include "base/log.h"
#include "engine.h"
#include "net/mailbox.h"
#include "net/net.h"
#include "opinion.h"
#include "pipeline.h"
#include "plan/plan.h"
#include "store/store.h"
#include "types.h"

/* ---- the loop ------------------------------------------------------------------------------------------------ */

static void port_ready(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	port_run(w->port);
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;
	char name[16];

	snprintf(name, sizeof name, "worker %u", w->ix);
	pthread_setname_np(pthread_self(), name);
	event_base_loop(w->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

void worker_init(struct worker *w, struct engine *e, unsigned ix)
{
	memset(w, 0, sizeof *w);
	w->engine = e;
	w->ix = ix;
	w->base = event_base_new();
	w->net = w->base ? net_new(w->base) : NULL;
	if (!w->net) {
		fprintf(stderr, "sluice: cannot make an event loop\n");
		exit(71);
	}
	w->mail = mailbox_new(w->base);
	w->port = port_new(e->store);
	w->port_event = event_new(w->base, port_fd(w->port), EV_READ | EV_PERSIST, port_ready, w);
	event_add(w->port_event, NULL);
	w->loop.base = w->base;
	w->loop.worker = w;
	w->opinions = opinions_new(w);
	w->env = (struct delivery_env){
		.base = w->base, .net = w->net, .store = e->store, .port = w->port, .ops = types_sender,
		.adapter_verdict = opinion_verdict, .adapter_request = opinion_request, .credentials = opinion_credentials,
		.hello = opinion_hello, .reply = opinion_reply, .conn_end = opinion_conn_end, .arg = w->opinions,
	};
	w->routes = route_cache_new();
	map_init(&w->streams);
	index_init(&w->received);
	index_init(&w->stamped);
	rows_init(&w->rows);
	decoded_init(&w->decoded);
	buf_init(&w->text);
	buf_init(&w->ident);
	buf_init(&w->request);
}

void worker_start(struct worker *w)
{
	sigset_t all, old;

	/* Signals are the main loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&w->thread, NULL, worker_run, w) != 0) {
		fprintf(stderr, "sluice: cannot start a thread\n");
		exit(71);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void worker_post(struct worker *w, void (*fn)(void *arg), void *arg)
{
	mailbox_post(w->mail, fn, arg);
}

static void worker_break(void *arg)
{
	struct worker *w = arg;

	event_base_loopbreak(w->base);
}

void worker_join(struct worker *w)
{
	worker_post(w, worker_break, w);
	pthread_join(w->thread, NULL);
}

/* ---- streams -------------------------------------------------------------------------------------------------- */

static void live_free(struct live *l)
{
	map_del(&l->worker->streams, l->name, strlen(l->name));
	plan_unref(l->again_plan);
	free(l->name);
	free(l);
}

static void live_start(struct live *l, const struct plan *plan, const struct stream *s)
{
	l->buffer = s->buffer;
	l->delivery = delivery_new(&l->worker->env, plan, s);
	if (s->paused || l->paused)
		delivery_pause(l->delivery, true);
}

static void live_stopped(void *arg)
{
	struct live *l = arg;
	struct worker *w = l->worker;

	delivery_free(l->delivery);
	l->delivery = NULL;
	l->stopping = false;
	w->nstopping--;
	if (l->again) {
		const struct plan *plan = l->again_plan;
		const struct stream *s = l->again;

		l->again = NULL;
		l->again_plan = NULL;
		live_start(l, plan, s);
		plan_unref(plan);
	} else {
		live_free(l);
	}
}

static void live_stop(struct live *l)
{
	if (l->stopping)
		return;
	l->stopping = true;
	l->worker->nstopping++;
	delivery_stop(l->delivery, live_stopped, l);
}

/* Start this one when the flight that is ending has ended. */
static void live_again(struct live *l, const struct plan *plan, const struct stream *s)
{
	plan_unref(l->again_plan);
	l->again_plan = plan_ref(plan);
	l->again = s;
}

static void live_settle(struct worker *w, const struct plan *plan, const struct stream *s)
{
	struct live *l = map_gets(&w->streams, s->name);

	if (!l) {
		l = xcalloc(1, sizeof *l);
		l->name = xstrdup(s->name);
		l->worker = w;
		map_put(&w->streams, l->name, strlen(l->name), l);
		live_start(l, plan, s);
	} else if (l->stopping) {
		live_again(l, plan, s);
	} else if (l->buffer != s->buffer) {
		/* Another destination or form: another buffer. The flight of the old one ends first. */
		live_stop(l);
		live_again(l, plan, s);
	} else {
		delivery_update(l->delivery, plan, s);
		delivery_pause(l->delivery, s->paused || l->paused);
	}
}

void live_pause(struct live *l, bool paused)
{
	l->paused = paused;
	delivery_pause(l->delivery, paused);
}

/* On the main loop. */
static void let_go(void *plan)
{
	plan_unref(plan);
}

struct term *term_use(struct term *t)
{
	t->users++;
	return t;
}

void term_unuse(struct term *t)
{
	if (!t || --t->users > 0)
		return;
	if (t->scripts)
		scripts_free(t->scripts);
	/* The last reference frees a whole fleet's arena: not on a loop that has messages to carry. */
	if (t->worker->ending)
		plan_unref(t->plan);
	else
		mailbox_post(t->worker->engine->mail, let_go, (void *)t->plan);
	free(t);
}

/* The flight of a stream that has a new name ends under the old one; then the new one takes the buffer, which is the same. (Where they are not on one
 * worker, or the new name is just ending another flight, the new one asks for the buffer until it is free.) */
static void live_renamed(struct worker *w, const struct stream *s)
{
	struct live *l = s->was ? map_gets(&w->streams, s->was) : NULL;

	if (!l || l->buffer != s->buffer || map_gets(&w->streams, s->name))
		return;
	map_del(&w->streams, l->name, strlen(l->name));
	free(l->name);
	l->name = xstrdup(s->name);
	map_put(&w->streams, l->name, strlen(l->name), l);
	live_stop(l);
}

void worker_take_plan(struct worker *w, const struct plan *plan, struct scripts *scripts, const unsigned *owners)
{
	struct term *old = w->term;
	struct map_slot *slot;
	struct live **gone = NULL;
	size_t ngone = 0;

	w->loop.plan = plan;
	w->scripts = scripts;
	w->term = xcalloc(1, sizeof *w->term);
	*w->term = (struct term){ w, plan, scripts, 1 };
	route_cache_free(w->routes);
	w->routes = route_cache_new();
	/* Requests that came under an older plan may still need room for its renderings. */
	if (plan->nrenderings > w->nrendered)
		w->nrendered = plan->nrenderings;
	w->rendered = xrealloc(w->rendered, (w->nrendered + 1) * sizeof *w->rendered);
	w->keeps_state = false;
	for (unsigned i = 0; i < plan->nrenderings; i++)
		w->keeps_state |= plan->renderings[i].state;
	memset(w->rendered, 0, w->nrendered * sizeof *w->rendered);

	for (unsigned i = 0; i < plan->nstreams; i++) {
		if (owners[i] != w->ix || !plan->streams[i].enabled)
			continue;
		live_renamed(w, &plan->streams[i]);
		live_settle(w, plan, &plan->streams[i]);
	}
	gone = xcalloc(w->streams.n + 1, sizeof *gone);
	for (size_t i = 0; (slot = map_next(&w->streams, &i));) {
		struct live *l = slot->value;
		const struct stream *s = plan_stream(plan, l->name);

		if (!s || !s->enabled)
			gone[ngone++] = l;
	}
	for (size_t i = 0; i < ngone; i++) {
		plan_unref(gone[i]->again_plan);
		gone[i]->again_plan = NULL;
		gone[i]->again = NULL;
		live_stop(gone[i]);
	}
	free(gone);

	if (old && old->scripts && scripts)
		scripts_take_conns(scripts, old->scripts);
	term_unuse(old);
}

/* ---- the end -------------------------------------------------------------------------------------------------- */

struct waiting { struct worker *worker; void (*done)(void *); void *arg; struct event *timer; };

static void waiting_look(evutil_socket_t fd, short what, void *arg)
{
	struct waiting *x = arg;
	static const struct timeval soon = { 0, 5000 };

	(void)fd;
	(void)what;
	if (x->worker->nstopping > 0) {
		event_add(x->timer, &soon);
		return;
	}
	event_free(x->timer);
	x->done(x->arg);
	free(x);
}

void worker_stop_streams(struct worker *w, void (*done)(void *arg), void *arg)
{
	struct waiting *x = xcalloc(1, sizeof *x);
	struct map_slot *slot;

	for (size_t i = 0; (slot = map_next(&w->streams, &i));) {
		struct live *l = slot->value;

		plan_unref(l->again_plan);
		l->again_plan = NULL;
		l->again = NULL;
		live_stop(l);
	}
	*x = (struct waiting){ w, done, arg, NULL };
	x->timer = event_new(w->base, -1, 0, waiting_look, x);
	waiting_look(-1, 0, x);
}

void worker_fini(struct worker *w)
{
	struct map_slot *slot;

	for (size_t i = 0; (slot = map_next(&w->streams, &i));) {
		struct live *l = slot->value;

		if (l->delivery)
			delivery_free(l->delivery);
		plan_unref(l->again_plan);
		free(l->name);
		free(l);
	}
	map_fini(&w->streams);
	w->ending = true;
	pipeline_fini(w);
	again_fini(w);
	opinions_free(w->opinions);
	term_unuse(w->term);
	route_cache_free(w->routes);
	free(w->rendered);
	index_fini(&w->received);
	index_fini(&w->stamped);
	rows_fini(&w->rows);
	decoded_fini(&w->decoded);
	buf_fini(&w->text);
	buf_fini(&w->ident);
	buf_fini(&w->request);
	event_free(w->port_event);
	port_free(w->port);
	net_free(w->net);
	mailbox_free(w->mail);
	event_base_free(w->base);
}
