/* verdict.c - what an answer means for each message of a batch.
 *
 * The hard idea is that a refusal proves nothing by itself: a destination that was configured wrongly refuses everything, in the same
 * words as a good one refuses a bad message. So who is refused becomes a *suspect*: kept, not settled, until the destination accepts
 * something after the suspect's batch was cut. Then the suspects are what they seem, and go (dead letter or drop). If twenty in a row are
 * refused with no acceptance between, the destination is suspected instead: it is blocked, and the suspects are put back in their
 * places and tried again, first, when the hold ends. */
#include "senders/delivery_parts.h"
#include "senders/hush.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"

#define REFUSED_LOG_US (60 * INT64_C(1000000))

struct note {
	unsigned refs;
	struct death death;
};

static char *copy(const char *p, size_t n)
{
	char *out = xmalloc(n + 1);
	if (n)
		memcpy(out, p, n);
	out[n] = '\0';
	return out;
}

static struct note *note_new(const struct judgement *j, const char *reason, unsigned attempts)
{
	struct note *n = xcalloc(1, sizeof *n);
	n->refs = 1;
	n->death = (struct death){ .reason = xstrdup(reason ? reason : "refused"), .status = j->status, .attempts = attempts,
	                           .answer = copy(j->answer, j->answer ? j->answer_len : 0), .answer_len = j->answer ? j->answer_len : 0 };
	return n;
}

static void note_unref(struct note *n)
{
	if (--n->refs)
		return;
	free((char *)(uintptr_t)n->death.reason);
	free((char *)(uintptr_t)n->death.answer);
	free(n);
}

/* ---- refusals --------------------------------------------------------------------------------------------------------------- */

static void settle_refused(struct delivery *d, const struct item *it, const struct note *n)
{
	bool drop = d->s->refused == REFUSED_DROP;
	unsigned count;
	window_settle(d, it, 1, drop ? OUTCOME_DROPPED : OUTCOME_DEAD, drop ? NULL : &n->death, &count);
	if (!count)
		return;
	int64_t now = clock_mono_us();
	if (d->refused_logged && now - d->refused_logged < REFUSED_LOG_US) {
		d->refused_unlogged++;
		return;
	}
	log_warn(d->object, "refused", "destination=%s status=%d reason=%s became=%s unlogged_before=%llu hint=%s", d->s->destination->name,
	         n->death.status, log_quote(n->death.reason), drop ? "dropped" : "dead-letter", (unsigned long long)d->refused_unlogged,
	         log_quote(drop ? "`refused: drop` asks for this" : "the message is kept with the whole answer; see what the destination says of it"));
	d->refused_logged = now;
	d->refused_unlogged = 0;
}

static void suspects_settle(struct delivery *d)
{
	for (unsigned i = 0; i < d->nsuspects; i++) {
		struct suspect *s = &d->suspects[i];
		settle_refused(d, &s->item, s->note);
		window_unref(d, s->item.slot);
		note_unref(s->note);
	}
	d->nsuspects = 0;
	d->refused_run = 0;
}

void suspects_clear(struct delivery *d)
{
	for (unsigned i = 0; i < d->nsuspects; i++) {
		window_leave(d, &d->suspects[i].item);
		note_unref(d->suspects[i].note);
	}
	d->nsuspects = 0;
	d->refused_run = 0;
}

void suspects_block(struct delivery *d)
{
	char reason[256];
	snprintf(reason, sizeof reason, "%u messages in a row were refused and none accepted; the last: %s", d->refused_run,
	         d->nsuspects ? d->suspects[d->nsuspects - 1].note->death.reason : "");
	hold_begin(d, &d->hold, &(struct judgement){ .reason = reason }, true);
	d->want_relay = true;
	delivery_kick(d);
}

static void suspect_add(struct delivery *d, const struct item *it, struct note *n)
{
	if (d->nsuspects == d->suspects_cap) {
		d->suspects_cap = d->suspects_cap ? d->suspects_cap * 2 : 32;
		d->suspects = xrealloc(d->suspects, d->suspects_cap * sizeof *d->suspects);
	}
	it->slot->refs++;
	n->refs++;
	d->doubt_told = false;
	d->suspects[d->nsuspects++] = (struct suspect){ .item = *it, .note = n };
}

/* Nothing is under way that could tell: whoever looks must see why these stay. */
void suspects_tell(struct delivery *d)
{
	const struct death *last = &d->suspects[d->nsuspects - 1].note->death;
	uint64_t n = d->nsuspects;
	delivery_reason(d, "%u refused, kept until the destination accepts another message: %s", d->nsuspects, last->reason);
	if (!d->doubt_told && seldom(&d->told_doubt, clock_mono_us(), &n))
		log_warn(d->object, "in-doubt", "destination=%s refused=%u status=%d reason=%s hint=%s", d->s->destination->name, d->nsuspects,
		         last->status, log_quote(last->reason), log_quote("nothing was accepted since, so it may be the destination rather than the "
		         "messages: they stay in the buffer until it accepts another one, then they are set aside"));
	d->doubt_told = true;
}

static void refuse(struct delivery *d, struct work *w, unsigned i, const struct judgement *j, const char *reason)
{
	struct note *n = note_new(j, reason, w->attempts + 1);
	stats_add(&d->stats->rejected, 1);
	d->status.rejected++;
	d->refused_run++;
	if (d->accepts > w->accepts)
		settle_refused(d, &w->items[i], n);
	else
		suspect_add(d, &w->items[i], n);
	note_unref(n);
}

/* ---- acceptance --------------------------------------------------------------------------------------------------------------- */

static void accept(struct delivery *d, struct work *w, unsigned from, unsigned to)
{
	unsigned count;
	uint64_t number = window_settle(d, w->items + from, to - from, OUTCOME_ACCEPTED, NULL, &count);
	if (number)
		lane_recorded_later(d, w->lane, number);
	d->status.accepted += count;
	d->accepts++;
	credentials_accepted(d);
	suspects_settle(d);
	if (w->probe)
		hold_end(d, &d->hold);
}

/* ---- what the work does next --------------------------------------------------------------------------------------------------- */

static void go_on(struct delivery *d, struct work *w)
{
	if (w->side) {
		w->next = d->ready;
		d->ready = w;
	}
	/* A probe that was understood, if not accepted: the next part of it may go at once, but not while blocked. */
	if (w->probe && d->hold.on)
		d->hold.next_try = d->hold.blocked ? clock_mono_us() + BLOCKED_PROBE_US : 0;
}

static void range_done(struct delivery *d, struct work *w)
{
	w->ntodo--;
	w->attempts = 0;
	go_on(d, w);
	if (w->ntodo)
		return;
	if (w->side) {
		d->ready = w->next;
		address_accepted(d, w);
	} else {
		lane_remove(w->lane, w);
	}
	work_free(w);
}

static void split(struct delivery *d, struct work *w)
{
	struct range *top = &w->todo[w->ntodo - 1], first = *top;
	top->from = first.to = first.from + (first.to - first.from) / 2;
	w->todo[w->ntodo++] = first;
	w->attempts = 0;
	go_on(d, w);
}

static void again(struct delivery *d, struct work *w, const struct judgement *j)
{
	bool blocked = j->verdict == VERDICT_BLOCKED;
	w->attempts++;
	d->status.attempts = w->attempts;
	if (w->side || (d->addressed && d->nheld < ADDRESSES_MAX)) {
		if (!w->side)
			lane_remove(w->lane, w);
		address_fail(d, w, j);
	} else if (!blocked && !d->hold.on && d->accepts > w->accepts_sent) {
		/* Others were accepted meanwhile, so it is not the destination that is down: this batch alone waits. */
		w->not_before = clock_mono_us() + hold_backoff(d, j->absent ? 1 : w->attempts, j->retry_after_us);
		delivery_reason(d, "%s", j->reason ? j->reason : "");
	} else if (!d->hold.on || w->probe || (blocked && !d->hold.blocked)) {
		hold_begin(d, &d->hold, j, blocked);
	}
}

/* One message waits for its topic alone; those of other topics go on. */
static bool hold_topic(struct delivery *d, struct work *w, unsigned i, const struct judgement *j, const char *reason)
{
	if (!d->topical || w->side || d->nheld >= ADDRESSES_MAX)
		return false;
	struct work *own = work_new(d, w->lane);
	struct item it = w->items[i];
	const char *topic = w->topics.p + it.topic;
	own->keylen = strlen(topic);
	buf_add(&own->head, topic, own->keylen + 1);
	buf_add(&own->topics, topic, strlen(topic) + 1);
	it.topic = 0;
	it.slot->refs++;
	work_add(own, &it, &w->entries[i]);
	own->attempts = w->attempts + 1;
	address_fail(d, own, &(struct judgement){ .verdict = VERDICT_BLOCKED, .reason = reason ? reason : j->reason, .status = j->status });
	return true;
}

/* Per-message verdicts: settle what can be, bring the rest together at the end of its range, in order. */
static void judge_each(struct delivery *d, struct work *w, const struct judgement *j)
{
	struct range *r = &w->todo[w->ntodo - 1];
	unsigned n = r->to - r->from, left = 0;
	struct item *items = xmalloc(n * sizeof *items);
	struct entry *entries = xmalloc(n * sizeof *entries);
	bool keep_refused = d->s->refused == REFUSED_RETRY, blocked = j->verdict == VERDICT_BLOCKED;
	for (unsigned k = 0; k < n;) {
		unsigned i = r->from + k, run = k;
		enum verdict v = j->each[k].verdict;
		if (v == VERDICT_DONE) {
			while (run < n && j->each[run].verdict == VERDICT_DONE)
				run++;
			accept(d, w, i, r->from + run);
			k = run;
			continue;
		}
		if (v == VERDICT_REFUSED && !keep_refused) {
			refuse(d, w, i, j, j->each[k].reason ? j->each[k].reason : j->reason);
		} else if (v != VERDICT_BLOCKED || !hold_topic(d, w, i, j, j->each[k].reason)) {
			blocked |= v == VERDICT_BLOCKED;
			items[left] = w->items[i];
			entries[left++] = w->entries[i];
		}
		k++;
	}
	/* The settled ones stand in front: they keep their references until the work goes. */
	unsigned front = r->from;
	for (unsigned i = r->from, k = 0; left && i < r->to; i++) {
		if (k < left && w->items[i].slot == items[k].slot && w->items[i].i == items[k].i) {
			k++;
			continue;
		}
		w->items[front] = w->items[i];
		w->entries[front++] = w->entries[i];
	}
	if (left) {
		memcpy(w->items + r->to - left, items, left * sizeof *items);
		memcpy(w->entries + r->to - left, entries, left * sizeof *entries);
		r->from = r->to - left;
	}
	free(items);
	free(entries);
	if (!left)
		range_done(d, w);
	else
		again(d, w, &(struct judgement){ .verdict = blocked ? VERDICT_BLOCKED : VERDICT_RETRY, .reason = j->reason, .status = j->status,
		                                 .retry_after_us = j->retry_after_us, .absent = j->absent });
}

static void judge_range(struct delivery *d, struct work *w, const struct judgement *j)
{
	struct range r = w->todo[w->ntodo - 1];
	enum verdict v = j->verdict;
	if (v == VERDICT_SPLIT && r.to - r.from == 1)
		v = VERDICT_REFUSED;
	if (v == VERDICT_REFUSED && d->s->refused == REFUSED_RETRY)
		v = VERDICT_RETRY;
	switch (v) {
	case VERDICT_DONE:
		accept(d, w, r.from, r.to);
		range_done(d, w);
		break;
	case VERDICT_SPLIT:
		split(d, w);
		break;
	case VERDICT_REFUSED:
		for (unsigned i = r.from; i < r.to; i++)
			refuse(d, w, i, j, j->reason);
		range_done(d, w);
		break;
	case VERDICT_RETRY:
	case VERDICT_BLOCKED:
		again(d, w, j);
		break;
	}
}

/* What an answer says, by the numbers. */
static void record(struct delivery *d, const struct batch *b, const struct judgement *j)
{
	unsigned accepted = 0, rejected = 0;
	bool refuses = d->s->refused != REFUSED_RETRY;
	if (!d->env.record)
		return;
	for (unsigned i = 0; j->each && i < b->n; i++) {
		accepted += j->each[i].verdict == VERDICT_DONE;
		rejected += refuses && j->each[i].verdict == VERDICT_REFUSED;
	}
	if (!j->each && j->verdict == VERDICT_DONE)
		accepted = b->n;
	else if (!j->each && refuses && (j->verdict == VERDICT_REFUSED || (j->verdict == VERDICT_SPLIT && b->n == 1)))
		rejected = b->n;
	d->env.record(d->env.arg, d->s, b, j, accepted, rejected, d->status.ack_us_last);
}

void verdict_judge(void *arg, struct batch *b, const struct judgement *said)
{
	struct delivery *d = arg;
	struct work *w = b->delivery;
	struct hushed hushed;
	const struct judgement *j = hush(&hushed, d->s->destination, said, b->n);
	struct range r = w->todo[w->ntodo - 1];
	for (unsigned i = r.from; i < r.to; i++)
		bit_clear(w->items[i].slot->flying, w->items[i].i);
	w->flying = false;
	d->under_way--;
	if (w->side)
		lane_landed(d, w);
	if (w->probe)
		d->hold.probing = false;
	plan_unref(w->plan);
	w->plan = NULL;
	d->status.batches++;
	d->status.ack_us_last = clock_mono_us() - w->sent;
	if (d->status.ack_us_last > d->status.ack_us_max)
		d->status.ack_us_max = d->status.ack_us_last;
	record(d, b, j);
	if (j->unauthorized && !j->each && (j->verdict == VERDICT_BLOCKED || j->verdict == VERDICT_RETRY) && credentials_refused(d, w))
		go_on(d, w);
	else if (j->each)
		judge_each(d, w, j);
	else
		judge_range(d, w, j);
	if (d->refused_run >= REFUSED_RUN_MAX && !d->want_relay)
		suspects_block(d);
	delivery_kick(d);
	hush_fini(&hushed);
}
