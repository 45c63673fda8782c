/* hold.c - why nothing goes now, for how long, and who finds out whether it goes again.
 *
 * A hold is on the destination, or where its url has parameters on one address of it. Retry: the wait is drawn from 0 to a bound that
 * doubles with each failure (full jitter: the many that failed together do not come back together), and Retry-After is believed up to ten
 * minutes. Where nobody takes the connection the bound stays at the first: a knock costs nothing, and what waited flows within a second
 * of its coming back. Blocked: one probe a minute, and one alarm. In a hold of the destination one lane probes for all; on the first success all
 * go on at full speed. Addresses probe for themselves, beside the lanes. */
#include "senders/delivery_parts.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"

#define ADDRESS_LOG_US (60 * INT64_C(1000000))

static uint64_t draw(struct delivery *d)
{
	uint64_t z = d->random += 0x9E3779B97F4A7C15; /* splitmix64 */
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
	z = (z ^ z >> 27) * 0x94D049BB133111EB;
	return z ^ z >> 31;
}

int64_t hold_backoff(struct delivery *d, unsigned failures, int64_t retry_after_us)
{
	int64_t bound = d->s->retry_first_us > 0 ? d->s->retry_first_us : 1;
	for (unsigned k = 1; k < failures && bound < d->s->retry_max_us; k++)
		bound *= 2;
	if (d->s->retry_max_us > 0 && bound > d->s->retry_max_us)
		bound = d->s->retry_max_us;
	int64_t wait = (int64_t)(draw(d) % (uint64_t)(bound + 1));
	if (retry_after_us > RETRY_AFTER_MAX_US)
		retry_after_us = RETRY_AFTER_MAX_US;
	return wait > retry_after_us ? wait : retry_after_us;
}

/* ---- the destination --------------------------------------------------------------------------------------------------------- */

static uint64_t waiting(struct delivery *d)
{
	struct buffer_counts c;
	return d->buffer && buffer_counts(d->env.store, d->s->buffer, &c) ? c.buffered : 0;
}

/* One failure more: when to try again. */
static void fail(struct delivery *d, struct hold *h, const struct judgement *j, bool blocked)
{
	int64_t now = clock_mono_us();
	if (!h->on)
		h->since = now;
	h->on = true;
	h->blocked = blocked;
	h->failures++;
	h->next_try = now + (blocked ? BLOCKED_PROBE_US : hold_backoff(d, j->absent ? 1 : h->failures, j->retry_after_us));
}

void hold_begin(struct delivery *d, struct hold *h, const struct judgement *j, bool blocked)
{
	bool was = h->on;
	uint64_t times = was ? 0 : 1;   /* holds, of which one that goes on is told as well */
	fail(d, h, j, blocked);
	delivery_reason(d, "%s", j->reason ? j->reason : "");
	if (blocked && !h->alarmed) {
		h->alarmed = true;
		log_error(d->object, "blocked", "destination=%s reason=%s waiting=%llu hint=%s", d->s->destination->name, log_quote(d->reason),
		          (unsigned long long)waiting(d), log_quote("nothing is lost: mend the destination, which is tried once a minute, or its settings, "
		          "then `sluice reload`"));
	} else if (!blocked && !d->failing_told && seldom(&d->told_failing, clock_mono_us(), &times)) {
		d->failing_told = true;
		log_warn(d->object, "failing", "destination=%s times=%llu reason=%s hint=%s", d->s->destination->name, (unsigned long long)times,
		         log_quote(d->reason),
		         log_quote("messages wait in the buffer and are sent again by themselves; look at the destination if this lasts"));
	} else {
		log_debug(d->object, "retry", "destination=%s reason=%s failures=%u", d->s->destination->name, log_quote(d->reason), h->failures);
	}
}

void hold_end(struct delivery *d, struct hold *h)
{
	if (!h->on)
		return;
	/* One that comes and goes is told of once a minute, not twice a second. */
	if (d->failing_told || h->alarmed)
		log_info(d->object, "recovered", "destination=%s after_s=%.1f failures=%u waiting=%llu", d->s->destination->name,
	         (double)(clock_mono_us() - h->since) / 1e6, h->failures, (unsigned long long)waiting(d));
	d->failing_told = false;
	*h = (struct hold){ .on = false };
	delivery_kick(d);
}

/* ---- addresses ------------------------------------------------------------------------------------------------------------------ */

struct address *address_find(struct delivery *d, const char *key, size_t len)
{
	return d->addresses.n ? map_get(&d->addresses, key, len) : NULL;
}

/* Nothing is known of it any more that the next message would need. */
static void address_forget(struct delivery *d, struct address *a)
{
	map_del(&d->addresses, a->key, a->len);
	free(a->key);
	free(a);
}

static void park(struct address *a, struct work *w)
{
	struct work **at = &a->parked;
	while (*at && !w->side) /* a probe was the first and stays it */
		at = &(*at)->next;
	w->next = *at;
	w->address = a;
	buf_fini(&w->body); /* held for long, perhaps, and many of them */
	*at = w;
}

void address_fail(struct delivery *d, struct work *w, const struct judgement *j)
{
	struct address *a = w->address;
	bool blocked = j->verdict == VERDICT_BLOCKED;
	if (!a) {
		size_t len = w->keylen;
		a = address_find(d, w->head.p, len);
		if (!a) {
			a = xcalloc(1, sizeof *a);
			a->key = xmalloc(len + 1);
			memcpy(a->key, w->head.p, len);
			a->key[len] = '\0';
			a->len = len;
			map_put(&d->addresses, a->key, a->len, a);
		}
	}
	if (!a->hold.on)
		d->nheld++;
	if (!a->hold.on || w->side || (blocked && !a->hold.blocked)) {
		fail(d, &a->hold, j, blocked);
		if (a->hold.next_try < d->addresses_at)
			d->addresses_at = a->hold.next_try;
		if (w->side)
			a->hold.probing = false;
	}
	park(a, w);
	w->side = false;
	delivery_reason(d, "%s", j->reason ? j->reason : "");
	int64_t now = clock_mono_us();
	if (!d->address_logged || now - d->address_logged > ADDRESS_LOG_US) {
		d->address_logged = now;
		log_warn(d->object, blocked ? "address-blocked" : "address-failing", "destination=%s ident=%.*s reason=%s held=%u hint=%s",
		         d->s->destination->name, (int)w->entries[0].ident_len, w->entries[0].ident ? w->entries[0].ident : "", log_quote(d->reason), d->nheld,
		         log_quote("the others go on; this one is tried again by itself"));
	}
}

/* The rest of what is parked may go, and after that what was left. */
void address_accepted(struct delivery *d, struct work *w)
{
	struct address *a = w->address;
	w->address = NULL;
	if (!a)
		return;
	if (a->hold.on) {
		d->nheld--;
		a->hold = (struct hold){ .on = false };
	}
	if (a->parked) {
		struct work *next = a->parked;
		a->parked = next->next;
		next->attempts = 0;
		next->next = d->ready;
		d->ready = next;
		a->hold.on = true; /* until the last of them has gone, newer ones stay behind */
		a->hold.probing = true;
		a->hold.since = clock_mono_us();
		d->nheld++;
	} else if (a->left) {
		d->want_pass = true;
	} else {
		address_forget(d, a);
	}
	delivery_kick(d);
}

void addresses_due(struct delivery *d)
{
	if (!d->nheld)
		return;
	int64_t now = clock_mono_us();
	/* There may be thousands, and we are asked after every answer: look at them only when one is due. */
	if (d->addresses_at > now) {
		delivery_by(d, d->addresses_at);
		return;
	}
	d->addresses_at = INT64_MAX;
	struct map_slot *s;
	for (size_t i = 0; (s = map_next(&d->addresses, &i));) {
		struct address *a = s->value;
		if (!a->hold.on || a->hold.probing || a->due)
			continue;
		if (a->hold.next_try > now) {
			if (a->hold.next_try < d->addresses_at)
				d->addresses_at = a->hold.next_try;
			continue;
		}
		if (!a->parked) {
			/* One more probe must be possible, or the pass would be for nothing: else when one has landed. */
			if (d->nside < d->nlanes) {
				a->due = true;
				d->want_pass |= a->left;
			} else {
				d->addresses_wait = true;
			}
			continue;
		}
		struct work *w = a->parked;
		a->parked = w->next;
		w->next = d->ready;
		d->ready = w;
		a->hold.probing = true;
	}
	delivery_by(d, d->addresses_at);
}

void addresses_pass(struct delivery *d)
{
	if (!d->addresses.n)
		return;
	struct address **gone = xmalloc(d->addresses.n * sizeof(struct address *));
	size_t n = 0;
	struct map_slot *s;
	for (size_t i = 0; (s = map_next(&d->addresses, &i));) {
		struct address *a = s->value;
		if (!a->hold.on)
			gone[n++] = a;
		else if (a->due)
			a->left = false;
	}
	while (n)
		address_forget(d, gone[--n]);
	free(gone);
}

bool addresses_unpark(struct delivery *d)
{
	bool any = false;
	struct map_slot *s;
	for (size_t i = 0; (s = map_next(&d->addresses, &i));) {
		struct address *a = s->value;
		for (struct work *w; (w = a->parked); any = true) {
			a->parked = w->next;
			a->left = true;
			work_dissolve(w);
		}
	}
	return any;
}

/* Every hold of an address ends; what was parked or ready is left for the pass that the caller begins. */
void addresses_clear(struct delivery *d)
{
	for (struct work *w; (w = d->ready);) {
		d->ready = w->next;
		w->address->hold.probing = false;
		w->address->left = true;
		w->address = NULL;
		work_dissolve(w);
	}
	addresses_unpark(d);
	struct map_slot *s;
	for (size_t i = 0; (s = map_next(&d->addresses, &i));) {
		struct address *a = s->value;
		if (a->hold.probing)
			continue; /* under way: its answer decides */
		if (a->hold.on)
			d->nheld--;
		a->hold = (struct hold){ .on = false };
		a->due = false;
	}
}

void addresses_resume(struct delivery *d)
{
	struct map_slot *s;
	for (size_t i = 0; (s = map_next(&d->addresses, &i));)
		((struct address *)s->value)->hold.next_try = 0;
	d->addresses_at = 0;
}

void addresses_free(struct delivery *d)
{
	struct map_slot *s;
	for (size_t i = 0; (s = map_next(&d->addresses, &i));) {
		struct address *a = s->value;
		free(a->key);
		free(a);
	}
	map_fini(&d->addresses);
}
