/* window.c - the spans a delivery holds, from the oldest on, and what became of their entries.
 *
 * The hard idea is the pass. Entries for an address that is held are *left*: marked in their slot, in no queue. When such an address
 * works again, its entries must go in order, before newer ones; some lie in slots we hold, others in spans that were given back for
 * lack of room. So a pass puts everything that is queued back among the left, rewinds the buffer if anything was given back, and merges
 * what the buffer hands out with what the window still holds, by position. Until the pass has come to them, newer messages of
 * that address are left too. What a pass costs is reading what is outstanding; it is never made more than once a second, and more
 * seldom when passes are begun again before they end, so that addresses which keep failing cannot starve the others. */
#include "senders/delivery_parts.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"

#define CLEAR_LOOK_US 20000
#define CLEAR_SPANS 64u              /* at a time: they are held in memory, and one commit's work, until they are recorded */
#define PASS_WAIT_US INT64_C(1000000)
#define PASS_WAIT_MAX_US (64 * PASS_WAIT_US)

/* ---- slots ------------------------------------------------------------------------------------------------------------- */

static void slot_insert(struct delivery *d, struct slot *sl)
{
	struct slot *after = d->last;
	while (after && after->span.position > sl->span.position)
		after = after->prev;
	sl->prev = after;
	sl->next = after ? after->next : d->first;
	*(sl->next ? &sl->next->prev : &d->last) = sl;
	*(after ? &after->next : &d->first) = sl;
	d->nslots++;
	d->window_bytes += sl->bytes;
}

/* Settled or not: the buffer has it back. */
static void slot_release(struct delivery *d, struct slot *sl)
{
	*(sl->next ? &sl->next->prev : &d->last) = sl->prev;
	*(sl->prev ? &sl->prev->next : &d->first) = sl->next;
	d->nslots--;
	d->window_bytes -= sl->bytes;
	span_release(d->buffer, &sl->span);
	sl->released = true;
	if (!sl->refs)
		free(sl);
}

void window_unref(struct delivery *d, struct slot *sl)
{
	(void)d;
	if (--sl->refs == 0 && sl->released)
		free(sl);
}

static void enqueue(struct delivery *d, struct slot *sl, unsigned i)
{
	struct entry e;
	chunk_entry(sl->span.chunk, i, &e);
	unsigned q = d->s->ordering == ORDER_DEVICE ? e.ident_hash % d->nqueues : 0;
	sl->refs++;
	queue_push(&d->lanes[q].q, (struct item){ .slot = sl, .len = e.len, .i = (uint16_t)i });
}

bool window_is_full(const struct delivery *d)
{
	/* Batches larger than the window must fit too: twice what all lanes can have under way. */
	uint64_t messages = (2 * (uint64_t)d->s->batch_messages + lanes_depth(d)) * d->nlanes, bytes = 2 * d->s->batch_bytes * d->nlanes;
	if (messages < WINDOW_SPANS)
		messages = WINDOW_SPANS;
	if (bytes < WINDOW_BYTES)
		bytes = WINDOW_BYTES;
	return d->nslots >= SPANS_MAX || d->nslots >= messages || d->window_bytes >= bytes;
}

/* The left entries of slots between where the pass is and `position`. */
static void take_up(struct delivery *d, uint64_t position)
{
	for (struct slot *sl = d->first; sl && sl->span.position < position; sl = sl->next) {
		if (sl->span.position <= d->passed || !sl->nleft)
			continue;
		for (unsigned i = 0; i < sl->span.n; i++)
			if (bit_is(sl->left, i))
				enqueue(d, sl, i);
		sl->nleft = 0;
		memset(sl->left, 0, sizeof sl->left);
	}
	d->passed = position;
}

static size_t entry_len(const struct slot *sl, unsigned i)
{
	struct entry e;
	chunk_entry(sl->span.chunk, i, &e);
	return e.len;
}

static bool is_expired(struct delivery *d, int64_t arrived, int64_t now)
{
	return d->s->ttl_us > 0 && now - arrived > d->s->ttl_us;
}

bool window_take(struct delivery *d)
{
	if (window_is_full(d))
		return false;
	struct slot *sl = xcalloc(1, sizeof *sl);
	if (!buffer_next(d->buffer, &sl->span)) {
		free(sl);
		if (!d->in_pass || buffer_rewinding(d->buffer))
			return false;
		take_up(d, UINT64_MAX);
		d->in_pass = false;
		d->pass_wait = PASS_WAIT_US;
		return true;
	}
	sl->taken_us = clock_mono_us();
	memcpy(sl->open, sl->span.bits, sizeof sl->open);
	for (unsigned i = 0; i < sl->span.n; i++) {
		if (!bit_is(sl->open, i))
			continue;
		sl->bytes += entry_len(sl, i);
		sl->nopen++;
	}
	slot_insert(d, sl);
	if (!sl->nopen) {
		slot_release(d, sl);
		return true;
	}
	if (d->in_pass)
		take_up(d, sl->span.position);
	for (unsigned i = 0; i < sl->span.n; i++)
		if (bit_is(sl->open, i))
			enqueue(d, sl, i);
	return true;
}

void window_release_all(struct delivery *d)
{
	while (d->first)
		slot_release(d, d->first);
}

/* ---- settling ------------------------------------------------------------------------------------------------------------ */

static uint64_t settle_bits(struct delivery *d, struct slot *sl, const uint64_t bits[WORDS], size_t bytes, enum outcome o, const struct death *death)
{
	uint64_t number = buffer_settle(d->buffer, &sl->span, bits, o, death);
	sl->bytes -= bytes;
	d->window_bytes -= bytes;
	for (unsigned k = 0; k < WORDS; k++) {
		sl->nopen -= (unsigned)__builtin_popcountll(bits[k]);
		sl->nleft -= (unsigned)__builtin_popcountll(bits[k] & sl->left[k]);
		sl->open[k] &= ~bits[k];
		sl->left[k] &= ~bits[k];
	}
	if (!sl->nopen)
		slot_release(d, sl);
	return number;
}

uint64_t window_settle(struct delivery *d, const struct item *items, unsigned n, enum outcome o, const struct death *death, unsigned *count)
{
	uint64_t number = 0;
	if (count)
		*count = 0;
	for (unsigned k = 0; k < n;) {
		struct slot *sl = items[k].slot;
		uint64_t bits[WORDS] = { 0 };
		unsigned here = 0;
		size_t bytes = 0;
		for (; k < n && items[k].slot == sl; k++) {
			if (!bit_is(sl->open, items[k].i))
				continue;
			bit_set(bits, items[k].i);
			bytes += items[k].len;
			here++;
		}
		if (!here)
			continue;
		if (count)
			*count += here;
		number = settle_bits(d, sl, bits, bytes, o, death);
	}
	return number;
}

/* What is settled from the front of the window leaves items behind in the queues: in a long hold they must not pile up. */
static void trim_queues(struct delivery *d)
{
	for (unsigned l = 0; l < d->nqueues; l++) {
		struct queue *q = &d->lanes[l].q;
		for (struct item it; q->n && !bit_is(q->v[q->head].slot->open, q->v[q->head].i);) {
			queue_pop(q, &it);
			window_unref(d, it.slot);
		}
	}
}

static uint64_t count_bits(const uint64_t bits[WORDS])
{
	uint64_t n = 0;
	for (unsigned k = 0; k < WORDS; k++)
		n += (uint64_t)__builtin_popcountll(bits[k]);
	return n;
}

void window_expire(struct delivery *d)
{
	if (d->s->ttl_us <= 0)
		return;
	int64_t now = store_elapsed(d->env.store);
	uint64_t gone = 0;
	do {
		struct slot *sl = d->first, *next;
		for (; sl && is_expired(d, sl->span.arrived, now); sl = next) {
			next = sl->next;
			uint64_t bits[WORDS] = { 0 };
			size_t bytes = 0;
			for (unsigned i = 0; i < sl->span.n; i++) {
				if (!bit_is(sl->open, i) || bit_is(sl->flying, i))
					continue;
				bit_set(bits, i);
				bytes += entry_len(sl, i);
			}
			if (!bytes)
				continue;
			gone += count_bits(bits);
			settle_bits(d, sl, bits, bytes, OUTCOME_EXPIRED, NULL);
			d->epoch++;
		}
		trim_queues(d);
		/* Something must be at hand to know when the next one expires. */
	} while ((!d->first || is_expired(d, d->last->span.arrived, now)) && window_take(d));
	if (gone && seldom(&d->told_expired, clock_mono_us(), &gone))
		log_warn(d->object, "expired", "messages=%llu destination=%s hint=%s", (unsigned long long)gone, d->s->destination->name,
		         log_quote("they waited longer than `buffer.ttl` and will not be sent; look at the destination, or make ttl longer"));
	for (struct slot *sl = d->first; sl; sl = sl->next) {
		if (is_expired(d, sl->span.arrived, now))
			continue;
		delivery_by(d, clock_mono_us() + sl->span.arrived + d->s->ttl_us - now + 1);
		break;
	}
	if (d->behind && is_expired(d, d->behind_arrived, now))
		d->want_pass = true;
}

void window_drop_excess(struct delivery *d)
{
	if (d->s->full != SETTING_FULL_DROP_OLDEST || buffer_recorded(d->buffer) < d->dropped_number)
		return;
	uint64_t excess = buffer_excess(d->buffer);
	uint64_t number = 0, gone = 0;
	while (excess) {
		struct slot *sl = d->first, *next;
		for (; sl && excess; sl = next) {
			next = sl->next;
			uint64_t bits[WORDS] = { 0 };
			size_t bytes = 0;
			for (unsigned i = 0; i < sl->span.n && bytes < excess; i++) {
				if (!bit_is(sl->open, i) || bit_is(sl->flying, i))
					continue;
				bit_set(bits, i);
				bytes += entry_len(sl, i);
			}
			excess -= bytes < excess ? bytes : excess;
			if (bytes) {
				gone += count_bits(bits);
				number = settle_bits(d, sl, bits, bytes, OUTCOME_DROPPED, NULL);
				d->epoch++;
			}
		}
		trim_queues(d);
		if (!excess || !window_take(d))
			break;
	}
	if (excess && d->behind)
		d->want_pass = true;
	if (gone && seldom(&d->told_dropped, clock_mono_us(), &gone))
		log_warn(d->object, "dropped", "messages=%llu destination=%s hint=%s", (unsigned long long)gone, d->s->destination->name,
		         log_quote("the buffer is full and `full: drop-oldest` says so; look at the destination, or make `buffer.max` larger"));
	if (number) {
		d->dropped_number = number;
		buffer_hurry(d->buffer);
	}
}

static void clear_slots(struct delivery *d)
{
	const struct death by_command = { .reason = d->clear_why, .answer = "" };
	for (struct slot *sl = d->first, *next; sl && sl->span.position <= d->clear_to; sl = next) {
		next = sl->next;
		uint64_t bits[WORDS] = { 0 };
		size_t bytes = 0;
		for (unsigned i = 0; i < sl->span.n; i++) {
			if (!bit_is(sl->open, i) || bit_is(sl->flying, i))
				continue;
			bit_set(bits, i);
			bytes += entry_len(sl, i);
		}
		if (!bytes)
			continue;
		d->status.cleared += count_bits(bits);
		d->clear_number = settle_bits(d, sl, bits, bytes, d->clear_as, d->clear_as == OUTCOME_DEAD ? &by_command : NULL);
		d->epoch++;
	}
	trim_queues(d);
}

void window_clear(struct delivery *d)
{
	if (!d->clear_to)
		return;
	/* Of a reader that comes to the end and finds nothing more nobody hears, so we look. */
	delivery_by(d, clock_mono_us() + CLEAR_LOOK_US);
	if (buffer_recorded(d->buffer) < d->clear_number)
		return;
	unsigned spans = 0;
	uint64_t before = d->clear_number;
	do
		clear_slots(d);
	while (spans++ < CLEAR_SPANS && (!d->last || d->last->span.position <= d->clear_to) && window_take(d));
	if (d->clear_number != before) {
		buffer_hurry(d->buffer);
	} else if (!buffer_owes(d->buffer, d->clear_to)) {
		d->clear_to = 0;
		log_info(d->object, "cleared", "messages=%llu became=%s", (unsigned long long)(d->status.cleared - d->cleared_before),
		         d->clear_as == OUTCOME_DEAD ? "dead-letters" : "purged");
		d->cleared_before = d->status.cleared;
		delivery_resume(d); /* what it was held for is gone */
	} else if (!d->under_way && d->behind) {
		d->want_pass = true;
	}
}

/* ---- left entries -------------------------------------------------------------------------------------------------------------- */

void window_leave(struct delivery *d, const struct item *it)
{
	struct slot *sl = it->slot;
	if (bit_is(sl->open, it->i) && !bit_is(sl->left, it->i)) {
		bit_set(sl->left, it->i);
		sl->nleft++;
	}
	window_unref(d, sl);
}

/* Release what is wholly left; true in *ahead when the pass under way has not come to some of it. */
static bool give_back(struct delivery *d, bool *ahead)
{
	bool any = false;
	*ahead = false;
	for (struct slot *sl = d->first, *next; sl; sl = next) {
		next = sl->next;
		if (sl->nopen != sl->nleft)
			continue;
		*ahead |= d->in_pass && sl->span.position > d->passed;
		if (!d->behind || sl->span.arrived < d->behind_arrived)
			d->behind_arrived = sl->span.arrived;
		d->behind = any = true;
		slot_release(d, sl);
	}
	return any;
}

static void pass_begin(struct delivery *d)
{
	bool ahead;
	int64_t now = clock_mono_us();
	for (unsigned l = 0; l < d->nlanes; l++)
		for (struct item it; queue_pop(&d->lanes[l].q, &it);)
			window_leave(d, &it);
	if (d->in_pass && d->pass_wait < PASS_WAIT_MAX_US)
		d->pass_wait *= 2;
	d->pass_at = now;
	d->want_pass = false;
	d->passed = 0;
	addresses_pass(d);
	/* A pass that had not come to its end leaves spans unread as well. */
	d->in_pass |= d->behind;
	if (d->in_pass)
		give_back(d, &ahead); /* read again in any case: make the room for it */
	d->behind = false;
	if (d->in_pass)
		buffer_rewind(d->buffer);
	else
		take_up(d, UINT64_MAX);
	delivery_kick(d);
}

bool window_let_go(struct delivery *d)
{
	bool ahead;
	if (!window_is_full(d) || !give_back(d, &ahead))
		return false;
	if (ahead)
		pass_begin(d);
	return true;
}

void window_pass(struct delivery *d)
{
	if (!d->want_pass)
		return;
	int64_t due = d->pass_at + d->pass_wait, now = clock_mono_us();
	if ((d->behind || d->in_pass) && d->pass_at && now < due)
		delivery_by(d, due);
	else
		pass_begin(d);
}

void window_relay(struct delivery *d)
{
	suspects_clear(d);
	addresses_clear(d);
	for (unsigned l = 0; l < d->nlanes; l++) {
		for (struct work *w = d->lanes[l].works, *next; w; w = next) {
			next = w->next;
			if (w->flying)
				continue;
			lane_remove(&d->lanes[l], w);
			work_dissolve(w);
		}
	}
	d->epoch++;
	pass_begin(d);
}
