/* delivery.c - a delivery's life: settings, state, and the order in which its parts look at things.
 *
 * Everything happens in one function, run(), called from the loop whenever something may have changed: an answer came, the buffer has
 * more, a time has come, settings are new. It is never called from inside a driver's callback or the store's, so that neither need be
 * re-entrant; these only ask for it (delivery_kick). */
#include "senders/delivery_parts.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"

#define ATTACH_AGAIN_US INT64_C(1000000)
#define FAR INT64_MAX

void delivery_kick(struct delivery *d)
{
	/* From inside run() through a timer, so that the loop looks at its sockets before we go on. */
	static const struct timeval now = { 0, 0 };
	if (d->running)
		evtimer_add(d->kick, &now);
	else
		event_active(d->kick, EV_TIMEOUT, 0);
}

void delivery_by(struct delivery *d, int64_t mono_us)
{
	if (mono_us < d->deadline)
		d->deadline = mono_us;
}

void delivery_reason(struct delivery *d, const char *fmt, ...)
{
	struct buf hidden = BUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(d->reason, sizeof d->reason, fmt, ap);
	va_end(ap);
	if (destination_hides(d->s->destination, d->reason, strlen(d->reason), &hidden))
		snprintf(d->reason, sizeof d->reason, "%s", hidden.p);
	buf_fini(&hidden);
}

static void wake(void *arg)
{
	delivery_kick(arg);
}

/* ---- status ------------------------------------------------------------------------------------------------------------------ */

static void publish(struct delivery *d)
{
	int64_t mono = clock_mono_us(), real = clock_real_us();
	bool own = false;
	for (unsigned l = 0; l < d->nlanes; l++)
		for (const struct work *w = d->lanes[l].works; w; w = w->next)
			own |= !w->flying && w->not_before > mono;
	enum delivery_state state = d->stopping ? DELIVERY_STOPPING : d->paused ? DELIVERY_PAUSED : d->hold.blocked ? DELIVERY_BLOCKED :
	                            d->hold.on || own ? DELIVERY_RETRYING : d->under_way ? DELIVERY_SENDING : DELIVERY_IDLE;
	bool troubled = state == DELIVERY_RETRYING || state == DELIVERY_BLOCKED;
	struct delivery_status *s = &d->status;
	if (state != s->state || !s->since_us)
		s->since_us = real;
	s->state = state;
	snprintf(s->reason, sizeof s->reason, "%s", troubled || d->nheld || d->nsuspects ? d->reason : "");
	s->next_try_us = d->hold.on && d->hold.next_try > mono ? real + d->hold.next_try - mono : 0;
	s->in_flight = d->under_way;
	s->held_addresses = d->nheld;
	s->clearing = d->clear_to != 0;
	s->retried = stats_get(&d->stats->retried);
	if (!troubled)
		s->attempts = 0;
	pthread_mutex_lock(&d->lock);
	d->shown = *s;
	pthread_mutex_unlock(&d->lock);
}

void delivery_status(const struct delivery *d, struct delivery_status *out)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&d->lock;
	pthread_mutex_lock(lock);
	*out = d->shown;
	pthread_mutex_unlock(lock);
}

/* ---- settings ------------------------------------------------------------------------------------------------------------------- */

static bool adapter_verdict(void *arg, struct batch *b, const struct answer *a, struct judgement *j)
{
	struct delivery *d = arg;
	return d->env.adapter_verdict(d->env.arg, d->s, b, a, j);
}

static int adapter_hello(void *arg, const char *ident, int *conn, struct buf *out, bool *wait, char *why, size_t whylen)
{
	struct delivery *d = arg;
	return d->env.hello ? d->env.hello(d->env.arg, d->s, ident, conn, out, wait, why, whylen) : 0;
}

static int adapter_reply(void *arg, const char *ident, int *conn, const char *bytes, size_t n, unsigned waiting, size_t *used, struct tcp_reply *out,
                         char *why, size_t whylen)
{
	struct delivery *d = arg;
	return d->env.reply ? d->env.reply(d->env.arg, d->s, ident, conn, bytes, n, waiting, used, out, why, whylen) : 0;
}

static void adapter_conn_end(void *arg, int conn)
{
	struct delivery *d = arg;
	if (d->env.conn_end)
		d->env.conn_end(d->env.arg, conn);
}

/* Settings that cannot work block the stream with their own words; they are tried again as a probe would be. */
static void sender_begin(struct delivery *d)
{
	char why[256] = "";
	d->ops = d->env.ops(d->s->destination->transport);
	if (d->sender)
		d->unusable = d->ops->update(d->sender, d->s->destination, why, sizeof why) != 0;
	else
		d->unusable = (d->sender = d->ops->new(d->s->destination, &d->host, why, sizeof why)) == NULL;
	if (d->unusable)
		hold_begin(d, &d->hold, &(struct judgement){ .reason = why }, true);
}

static void read_settings(struct delivery *d)
{
	const struct destination *to = d->s->destination;
	d->templated = d->addressed = to->url.nparams > 0 || work_is_personal(to);
	d->topical = to->transport == TRANSPORT_MQTT && (to->topic.nparams > 0 || to->own_topics);
	for (unsigned i = 0; i < to->nheaders; i++)
		d->templated |= to->header_values[i].nparams > 0;
}

static bool same_lanes(const struct stream *a, const struct stream *b)
{
	return a->ordering == b->ordering && (a->ordering == ORDER_STREAM || a->in_flight == b->in_flight);
}

/* Take the settings that wait, if that can be done now. */
static void settle_in(struct delivery *d)
{
	if (!d->next_s)
		return;
	const struct stream *old = d->s, *now = d->next_s;
	bool other = d->env.ops(now->destination->transport) != d->ops;
	bool relay = other || !same_lanes(old, now);
	bool touched = other || old->destination->fingerprint != now->destination->fingerprint;
	if (relay && d->under_way)
		return;
	if (relay) {
		suspects_clear(d);
		addresses_clear(d);
		lanes_drop(d);
	}
	const struct plan *old_plan = d->plan;
	d->plan = d->next_plan;
	d->s = now;
	d->next_plan = NULL;
	d->next_s = NULL;
	read_settings(d);
	if (relay)
		lanes_lay(d);
	if (touched) {
		credentials_forget(d);
		hold_end(d, &d->hold);
	}
	if (other && d->sender) {
		d->ops->free(d->sender);
		d->sender = NULL;
	}
	sender_begin(d);
	plan_unref(old_plan);
	if (relay || touched)
		d->want_relay = true;
}

/* ---- the order of it all ------------------------------------------------------------------------------------------------------------ */

static void forget_spare(struct delivery *d)
{
	for (struct work *w; (w = d->spare);) {
		d->spare = w->next;
		buf_fini(&w->body);
		buf_fini(&w->head);
		buf_fini(&w->topics);
		free(w->topic_list);
		buf_fini(&w->own);
		free(w->items);
		free(w->entries);
		free(w->names);
		free(w->values);
		free(w);
	}
}

/* An idle stream keeps no buffers. */
static void rest(struct delivery *d)
{
	if (d->under_way || d->first || d->hold.on)
		return;
	forget_spare(d);
	for (unsigned l = 0; l < d->nlanes; l++) {
		struct queue *q = &d->lanes[l].q;
		if (q->n || d->lanes[l].works)
			continue;
		free(q->v);
		*q = (struct queue){ .v = NULL };
	}
	buf_fini(&d->scratch);
	buf_fini(&d->padded);
}

static void run(struct delivery *d)
{
	d->deadline = FAR;
	d->hungry = false;
	settle_in(d);
	if (!d->buffer) {
		d->buffer = buffer_attach(d->env.store, d->s->buffer, d->env.port, wake, d);
		if (!d->buffer) {
			delivery_by(d, clock_mono_us() + ATTACH_AGAIN_US);
			return;
		}
	}
	/* Of works that follow each other those that are under way land first: else one that comes back would go before older ones. */
	bool relay_later = d->want_relay && lanes_follow(d);
	if (d->want_relay && !relay_later) {
		d->want_relay = false;
		window_relay(d);
	}
	window_expire(d);
	window_drop_excess(d);
	window_clear(d);
	window_pass(d);
	if (d->stopping || d->paused || d->next_s || d->clear_to || relay_later)
		return;
	if (d->unusable && d->hold.next_try <= clock_mono_us()) {
		sender_begin(d);
		d->hold.next_try = d->unusable ? d->hold.next_try : 0;
	}
	if (d->unusable) {
		delivery_by(d, d->hold.next_try);
		return;
	}
	lanes_run(d);
	lanes_judge_unsent(d);
	window_pass(d);
	/* Suspects that fill the window would wait for ever for an acceptance that cannot come. */
	if (!d->under_way && !d->hold.on && d->nsuspects && !d->ready && window_is_full(d))
		suspects_block(d);
	if (!d->under_way && !d->hold.on && d->nsuspects && !d->ready && !d->hungry)
		suspects_tell(d);
	if (d->hungry)
		delivery_kick(d);
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	struct delivery *d = arg;
	d->running = true;
	run(d);
	d->running = false;
	if (d->buffer)
		rest(d);
	publish(d);
	if (d->deadline != d->armed) {
		d->armed = d->deadline;
		if (d->deadline == FAR) {
			evtimer_del(d->timer);
		} else {
			int64_t wait = d->deadline - clock_mono_us();
			if (wait < 0)
				wait = 0;
			const struct timeval tv = { .tv_sec = wait / 1000000, .tv_usec = wait % 1000000 };
			evtimer_add(d->timer, &tv);
		}
	}
	if (d->stopping && !d->under_way && d->done) {
		void (*done)(void *) = d->done;
		d->done = NULL;
		done(d->done_arg); /* may free d */
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct delivery *d = arg;
	d->armed = 0;
	on_kick(fd, what, d);
}

/* ---- life ------------------------------------------------------------------------------------------------------------------------------ */

struct delivery *delivery_new(const struct delivery_env *env, const struct plan *plan, const struct stream *s)
{
	struct delivery *d = xcalloc(1, sizeof *d);
	d->env = *env;
	d->host = (struct sender_host){ .base = env->base, .net = env->net, .stream = NULL, .arg = d, .judge = verdict_judge, .instance = store_identity(env->store),
	                                .adapter_verdict = env->adapter_verdict ? adapter_verdict : NULL,
	                                .hello = adapter_hello, .reply = adapter_reply, .conn_end = adapter_conn_end, .login = credentials_login };
	d->plan = plan_ref(plan);
	d->s = s;
	struct buf object = BUF_INIT;
	buf_addf(&object, "stream/%s", s->name);
	d->object = buf_take(&object);
	d->host.stream = d->object + strlen("stream/");
	d->stats = stats_stream(s->name);
	d->paused = s->paused;
	d->tokens_at = clock_mono_us();
	d->tokens = 1;
	d->armed = FAR;
	d->pass_wait = 1000000;
	d->random = hash_bytes(&d, sizeof d) ^ (uint64_t)clock_real_us();
	pthread_mutex_init(&d->lock, NULL);
	map_init(&d->addresses);
	index_init(&d->index);
	d->kick = evtimer_new(env->base, on_kick, d);
	d->timer = evtimer_new(env->base, on_timer, d);
	read_settings(d);
	lanes_lay(d);
	sender_begin(d);
	publish(d);
	delivery_kick(d);
	return d;
}

void delivery_update(struct delivery *d, const struct plan *plan, const struct stream *s)
{
	assert(s->buffer == d->s->buffer); /* another buffer is another delivery */
	plan_unref(d->next_plan);
	d->next_plan = plan_ref(plan);
	d->next_s = s;
	d->paused = s->paused;
	delivery_kick(d);
}

void delivery_stop(struct delivery *d, void (*done)(void *arg), void *arg)
{
	d->stopping = true;
	d->done = done;
	d->done_arg = arg;
	delivery_kick(d);
}

void delivery_pause(struct delivery *d, bool paused)
{
	d->paused = paused;
	delivery_kick(d);
}

void delivery_clear(struct delivery *d, enum outcome o)
{
	d->clear_to = store_position(d->env.store);
	d->clear_as = o;
	bool held = (d->hold.on || d->nsuspects) && *d->reason;
	snprintf(d->clear_why, sizeof d->clear_why, "set aside by command%s%s", held ? " while held: " : "", held ? d->reason : "");
	d->status.clearing = true;
	pthread_mutex_lock(&d->lock);
	d->shown.clearing = true;
	pthread_mutex_unlock(&d->lock);
	delivery_kick(d);
}

void delivery_resume(struct delivery *d)
{
	if (d->hold.on) {
		d->hold.next_try = 0;
		d->hold.blocked = d->hold.alarmed = false;
	}
	addresses_resume(d);
	for (unsigned l = 0; l < d->nlanes; l++)
		for (struct work *w = d->lanes[l].works; w; w = w->next)
			w->not_before = 0;
	if (d->nsuspects)
		d->want_relay = true;
	delivery_kick(d);
}

static void cancel(struct delivery *d, struct work *w)
{
	d->ops->cancel(d->sender, &w->b);
	plan_unref(w->plan);
	w->flying = false;
	d->under_way--;
}

void delivery_free(struct delivery *d)
{
	if (!d)
		return;
	while (d->beside) {
		struct work *w = d->beside;
		cancel(d, w);
		lane_landed(d, w);
		work_dissolve(w);
	}
	for (unsigned l = 0; l < d->nlanes; l++)
		for (struct work *w = d->lanes[l].works; w; w = w->next)
			if (w->flying)
				cancel(d, w);
	suspects_clear(d);
	addresses_clear(d);
	addresses_free(d);
	lanes_drop(d);
	if (d->buffer) {
		window_release_all(d);
		buffer_detach(d->buffer);
	}
	if (d->sender)
		d->ops->free(d->sender);
	credentials_forget(d);
	forget_spare(d);
	free(d->suspects);
	buf_fini(&d->scratch);
	buf_fini(&d->padded);
	index_fini(&d->index);
	event_free(d->kick);
	event_free(d->timer);
	plan_unref(d->plan);
	plan_unref(d->next_plan);
	pthread_mutex_destroy(&d->lock);
	free(d->object);
	free(d);
}
