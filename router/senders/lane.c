/* lane.c - what goes next, and whether it may go now.
 *
 * A lane cuts from the front of its queue and never looks behind what it cannot send; the one exception is an entry whose address is
 * held, which is left (window.c) so that it holds up nobody else. Works that were held by address do not come back into a lane: they go
 * beside the lanes, a bounded number at a time, so that a dead address costs its lane one timeout and not one per attempt.
 *
 * Where the driver lets batches follow each other, a lane has several works under way. Only whole batches follow, so that a trickle does not
 * fall apart into batches of one; and when one has come back, it goes again before any new one is cut. */
#include "senders/delivery_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"

#define TAKES_PER_TURN 64u    /* spans read for one lane before the loop gets its turn */

/* ---- queues -------------------------------------------------------------------------------------------------------------- */

void queue_push(struct queue *q, struct item it)
{
	if (q->n == q->cap) {
		unsigned cap = q->cap ? q->cap * 2 : 128;
		struct item *v = xmalloc(cap * sizeof *v);
		for (unsigned i = 0; i < q->n; i++)
			v[i] = q->v[(q->head + i) & (q->cap - 1)];
		free(q->v);
		*q = (struct queue){ .v = v, .n = q->n, .cap = cap, .bytes = q->bytes };
	}
	q->v[(q->head + q->n++) & (q->cap - 1)] = it;
	q->bytes += it.len;
}

bool queue_pop(struct queue *q, struct item *it)
{
	if (!q->n)
		return false;
	*it = q->v[q->head];
	q->head = (q->head + 1) & (q->cap - 1);
	q->bytes -= it->len;
	q->n--;
	return true;
}

/* ---- lanes ----------------------------------------------------------------------------------------------------------------- */

void lanes_lay(struct delivery *d)
{
	d->nlanes = d->s->ordering == ORDER_STREAM || !d->s->in_flight ? 1 : d->s->in_flight;
	d->nqueues = d->s->ordering == ORDER_DEVICE ? d->nlanes : 1;
	d->lanes = xcalloc(d->nlanes, sizeof *d->lanes);
	for (unsigned l = 0; l < d->nlanes; l++)
		d->lanes[l].d = d;
	d->turn = 0;
}

/* The window must have been relayed or be about to go: references are given up, entries stay as they are. */
void lanes_drop(struct delivery *d)
{
	for (unsigned l = 0; l < d->nlanes; l++) {
		struct lane *lane = &d->lanes[l];
		for (struct item it; queue_pop(&lane->q, &it);)
			window_leave(d, &it);
		free(lane->q.v);
		for (struct work *w; (w = lane->works);) {
			lane_remove(lane, w);
			work_dissolve(w);
		}
	}
	free(d->lanes);
	d->lanes = NULL;
	d->nlanes = d->nqueues = 0;
}

static void lane_add(struct lane *l, struct work *w)
{
	struct work **at = &l->works;
	while (*at)
		at = &(*at)->next;
	*at = w;
	w->next = NULL;
}

void lane_remove(struct lane *l, struct work *w)
{
	struct work **at = &l->works;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	w->next = NULL;
}

void lane_recorded_later(struct delivery *d, struct lane *l, uint64_t number)
{
	(void)d;
	if (l->nunrecorded > UNRECORDED_MAX) { /* batches beside the lane: the newest five say enough */
		memmove(l->unrecorded, l->unrecorded + 1, UNRECORDED_MAX * sizeof l->unrecorded[0]);
		l->nunrecorded--;
	}
	l->unrecorded[l->nunrecorded++] = number;
}

static bool may_repeat_more(struct delivery *d, struct lane *l)
{
	uint64_t recorded = buffer_recorded(d->buffer);
	unsigned gone = 0;
	while (gone < l->nunrecorded && l->unrecorded[gone] <= recorded)
		gone++;
	l->nunrecorded -= gone;
	memmove(l->unrecorded, l->unrecorded + gone, l->nunrecorded * sizeof l->unrecorded[0]);
	if (l->nunrecorded <= UNRECORDED_MAX)
		return true;
	buffer_hurry(d->buffer);
	return false;
}

/* ---- rate -------------------------------------------------------------------------------------------------------------------- */

/* A batch may go when there is a token; it then takes one for each message, on credit if need be. At most a second's worth is saved up,
 * and batches are cut to a second's worth, so that the rate is also kept when looked at second by second. */
static bool rate_allows(struct delivery *d)
{
	double rate = d->s->destination->rate;
	if (rate <= 0)
		return true;
	int64_t now = clock_mono_us();
	d->tokens = fmin(d->tokens + (double)(now - d->tokens_at) / 1e6 * rate, fmax(rate, 1));
	d->tokens_at = now;
	if (d->tokens >= 1)
		return true;
	delivery_by(d, now + (int64_t)((1 - d->tokens) / rate * 1e6) + 1);
	return false;
}

static unsigned messages_max(const struct delivery *d)
{
	double rate = d->s->destination->rate;
	unsigned n = d->s->batch_messages ? d->s->batch_messages : 1;
	return rate > 0 && n > rate ? (unsigned)fmax(rate, 1) : n;
}

/* ---- following ------------------------------------------------------------------------------------------------------------------ */

/* A far end that acknowledges message by message is kept busy over a long line only if the window never runs dry: what it holds, and one batch
 * more, which begins to leave while the oldest is acknowledged. With a window of 1 nothing may be behind a message that is tried again. */
unsigned lanes_depth(const struct delivery *d)
{
	const struct destination *to = d->s->destination;
	return d->ops->follows && to->window > 1 ? to->window * (to->connections > 1 ? to->connections : 1) + messages_max(d) : 0;
}

bool lanes_follow(const struct delivery *d)
{
	for (unsigned l = 0; d->ops->follows && l < d->nlanes; l++)
		for (const struct work *w = d->lanes[l].works; w; w = w->next)
			if (w->flying)
				return true;
	return false;
}

/* ---- cutting ----------------------------------------------------------------------------------------------------------------- */

enum fate { FATE_TAKE, FATE_NEXT, FATE_STOP };

/* Dead letter at once: no destination has anything to do with it. */
static void set_aside(struct delivery *d, struct item *it, const char *missing, const char *why)
{
	char reason[200];
	if (missing)
		snprintf(reason, sizeof reason, "%s of destination %s need%s {%s}, which the message does not have", d->topical ? "topic" : "url or headers",
		         d->s->destination->name, d->topical ? "s" : "", missing);
	else
		snprintf(reason, sizeof reason, "destination %s: %s", d->s->destination->name, why);
	window_settle(d, it, 1, OUTCOME_DEAD, &(struct death){ .reason = reason }, NULL);
	uint64_t n = 1;
	if (seldom(&d->told_unaddressed, clock_mono_us(), &n))
		log_warn(d->object, "unaddressed", "messages=%llu reason=%s hint=%s", (unsigned long long)n, log_quote(reason),
		         log_quote("they are kept as dead letters of the stream; a `where` may leave such messages out"));
	window_unref(d, it->slot);
}

/* Where a templated entry goes: into this work, nowhere now, or into the next work. */
static enum fate sort(struct delivery *d, struct work *w, struct queue *q, const struct item *it, const struct entry *e, uint32_t *topic)
{
	size_t keylen;
	const char *missing, *why = NULL;
	if (d->topical ? work_topic(d, it->slot, e, &keylen, &missing, &why) : work_expand(d, it->slot, e, &keylen, &missing)) {
		struct item popped;
		queue_pop(q, &popped);
		set_aside(d, &popped, missing, why);
		return FATE_NEXT;
	}
	struct address *a = d->addressed || d->topical ? address_find(d, d->scratch.p, keylen) : NULL;
	bool probe = a && a->due && !a->left; /* it was waiting for this pass: its oldest messages find out */
	if (probe && w->n && w->address != a)
		return FATE_STOP;
	if (a && (a->hold.on || a->left) && !(probe && d->nside < d->nlanes)) {
		struct item popped;
		queue_pop(q, &popped);
		if (a->due && !a->left) {
			a->due = false; /* no room beside the lanes: another time */
			d->addresses_at = 0;
		}
		a->left = true;
		window_leave(d, &popped);
		return FATE_NEXT;
	}
	if (probe)
		w->address = a;
	bool one = !d->topical || w->address;
	if (w->n && one && (w->head.len != d->scratch.len || memcmp(w->head.p, d->scratch.p, w->head.len) != 0))
		return FATE_STOP;
	if (!w->n) {
		buf_add(&w->head, d->scratch.p, d->scratch.len);
		w->keylen = keylen;
	}
	if (d->topical) {
		*topic = (uint32_t)w->topics.len;
		buf_add(&w->topics, d->scratch.p, d->scratch.len);
	}
	return FATE_TAKE;
}

/* From the queue into w, as much as one batch may hold. */
static void cut(struct delivery *d, struct work *w, struct queue *q)
{
	unsigned most = messages_max(d);
	while (q->n && w->n < most) {
		struct item it = q->v[q->head];
		if (!bit_is(it.slot->open, it.i)) {
			queue_pop(q, &it);
			window_unref(d, it.slot);
			continue;
		}
		if (w->n && w->bytes + it.len > d->s->batch_bytes)
			break;
		struct entry e;
		chunk_entry(it.slot->span.chunk, it.i, &e);
		uint32_t topic = 0;
		if (d->templated || d->topical) {
			enum fate fate = sort(d, w, q, &it, &e, &topic);
			if (fate == FATE_STOP)
				break;
			if (fate == FATE_NEXT)
				continue;
		}
		queue_pop(q, &it);
		it.topic = topic;
		work_add(w, &it, &e);
	}
}

static bool is_full(struct delivery *d, const struct queue *q)
{
	return q->n >= messages_max(d) || q->bytes >= d->s->batch_bytes;
}

/* The window is full of what cannot go now: give some of it back. */
static bool make_room(struct delivery *d)
{
	return window_is_full(d) && (window_let_go(d) || (!d->nside && addresses_unpark(d)));
}

/* A work for this lane, or NULL: nothing there, or it still lingers. */
static struct work *next_work(struct delivery *d, struct lane *l)
{
	struct queue *q = d->nqueues == 1 ? &d->lanes[0].q : &l->q;
	for (unsigned takes = 0;;) {
		bool dry = false;
		while (!dry && !is_full(d, q) && takes++ < TAKES_PER_TURN)
			dry = !window_take(d);
		if (l->works && !is_full(d, q))
			return NULL;
		if (q->n && !is_full(d, q) && d->s->batch_linger_us > 0) {
			int64_t until = q->v[q->head].slot->taken_us + d->s->batch_linger_us;
			if (until > clock_mono_us()) {
				delivery_by(d, until);
				return NULL;
			}
		}
		if (q->n) {
			struct work *w = work_new(d, l);
			cut(d, w, q);
			if (w->n)
				return w;
			work_free(w); /* all of it was left, or had been settled */
		}
		if (takes >= TAKES_PER_TURN) {
			d->hungry = true;
			return NULL;
		}
		if (dry && !make_room(d))
			return NULL;
	}
}

/* ---- sending ------------------------------------------------------------------------------------------------------------------ */

static bool may_send(struct delivery *d)
{
	return !d->ops->most || d->under_way < d->ops->most;
}

static void start(struct delivery *d, struct work *w)
{
	int64_t now = clock_mono_us();
	struct range r = w->todo[w->ntodo - 1];
	for (unsigned i = r.from; i < r.to; i++)
		bit_set(w->items[i].slot->flying, w->items[i].i);
	w->flying = true;
	w->sent = now;
	w->accepts_sent = d->accepts;
	w->probe = d->hold.on;
	w->plan = plan_ref(d->plan);
	d->under_way++;
	d->tokens -= r.to - r.from;
	if (w->attempts)
		stats_add(&d->stats->retried, 1);
	if (w->probe)
		d->hold.probing = true;
	if (work_prepare(w)) {
		d->ops->send(d->sender, &w->b);
	} else {
		w->unsent = d->unsent;
		d->unsent = w;
	}
}

/* A verdict changes lanes: not while one runs. */
void lanes_judge_unsent(struct delivery *d)
{
	for (struct work *w; (w = d->unsent);) {
		struct buf why = w->own;
		d->unsent = w->unsent;
		w->own = (struct buf)BUF_INIT;
		verdict_judge(d, &w->b, &(struct judgement){ .verdict = VERDICT_RETRY, .reason = why.p });
		buf_fini(&why);
	}
}

static void take_off(struct delivery *d, struct work *w)
{
	w->side = true;
	w->next = d->beside;
	d->beside = w;
	d->nside++;
}

void lane_landed(struct delivery *d, struct work *w)
{
	struct work **at = &d->beside;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	w->next = NULL;
	d->nside--;
	if (d->addresses_wait)
		d->addresses_at = 0;
	d->addresses_wait = false;
}

/* One batch from this lane, if it has one that may go. */
static bool lane_run(struct delivery *d, struct lane *l)
{
	struct work *w = NULL;
	unsigned flying = 0, messages = 0;
	for (struct work *x = l->works; x; x = x->next) {
		flying += x->flying;
		messages += x->flying ? x->b.n : 0;
		if (!w && !x->flying)
			w = x;
	}
	if (flying && (d->hold.on || (!w && (messages >= lanes_depth(d) || flying >= FOLLOW_MAX))))
		return false;
	if (!may_send(d) || !rate_allows(d))
		return false;
	if (w) {
		if (w->epoch != d->epoch) {
			work_filter(w);
			if (!w->ntodo) {
				lane_remove(l, w);
				work_free(w);
				return lane_run(d, l);
			}
		}
		if (w->not_before > clock_mono_us()) {
			delivery_by(d, w->not_before);
			return false;
		}
	} else {
		if (!may_repeat_more(d, l))
			return false;
		w = next_work(d, l);
		if (!w)
			return false;
		if (w->address) {
			w->address->due = false;
			w->address->hold.probing = true;
			take_off(d, w);
		} else {
			lane_add(l, w);
		}
	}
	start(d, w);
	return true;
}

static void side_run(struct delivery *d)
{
	while (d->ready && d->nside < d->nlanes && may_send(d) && rate_allows(d)) {
		struct work *w = d->ready;
		if (!may_repeat_more(d, w->lane))
			return;
		d->ready = w->next;
		w->next = NULL;
		work_filter(w);
		if (!w->ntodo) {
			address_accepted(d, w);
			work_free(w);
			continue;
		}
		take_off(d, w);
		start(d, w);
	}
}

void lanes_run(struct delivery *d)
{
	if (!credentials_ready(d))
		return;
	if (d->hold.on) {
		int64_t now = clock_mono_us();
		if (d->hold.probing)
			return;
		if (d->hold.next_try > now) {
			delivery_by(d, d->hold.next_try);
			return;
		}
		for (unsigned k = 0; k < d->nlanes; k++)
			if (lane_run(d, &d->lanes[d->turn++ % d->nlanes]))
				return;
		return;
	}
	addresses_due(d);
	side_run(d);
	unsigned from = d->turn++;
	for (unsigned k = 0; k < d->nlanes; k++)
		while (lane_run(d, &d->lanes[(from + k) % d->nlanes]))
			;
}
