/* history.c - what came in, kept for a while after everybody has it: how it ages, and how it yields.
 *
 * The hard idea is that there is nothing to it. A history is a buffer that nobody sends: one for each channel, with refs to the source chunks
 * that the buffers of streams have refs to as well. So a message is on disk once, whoever wants it; its chunk goes with whichever ref is the
 * last; a restart, a kill, a failed write and the making smaller of sparse blocks treat it as they treat what is owed. What is
 * left to do here is to let the oldest go, some blocks with each commit. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/commit.h"

#define BLOCKS_AT_ONCE 64
#define BLOCKS_IN_TURN 8            /* of one history, before it is asked again which is the oldest */
#define VAIN_MOST 32                /* blocks, one after the other, that give nothing back since others are owed them */
#define LOOK_US 1000000

struct trim {
	int64_t now, ttl;               /* elapsed; ttl below 0: nothing goes by age */
	uint64_t freed;
	unsigned left;                  /* blocks that may go with this commit yet */
	unsigned vain;                  /* the last so many freed nothing */
	bool stuck;                     /* what should go cannot be had now */
};

static bool is_past(const struct trim *t, int64_t arrived)
{
	return t->ttl >= 0 && t->now - arrived >= t->ttl;
}

/* Where all that is left is owed to a stream as well, letting go of it makes no room. */
static bool wants_room(const struct store *s, const struct trim *t)
{
	return space_wants(s) > t->freed && t->vain < VAIN_MOST;
}

void history_cut(struct store *s, uint64_t n)
{
	if (seldom(&s->commit->history_cut, clock_mono_us(), &n))
		log_warn("store", "history-cut", "messages=%" PRIu64 " hint=%s", n,
			log_quote("what is to be kept of `history` is more than the disk has room for: raise limits.disk, free some space, or shorten history"));
}

/* One block of a history; false: not now. */
static bool let_go(struct store *s, struct trim *t, const struct buffer *b, uint64_t position, const struct ref_row *row)
{
	uint64_t freed;
	if (!steads_take(s, b->number, position, row->bits, is_past(t, row->arrived) ? OUTCOME_EXPIRED : OUTCOME_DROPPED, &freed)) {
		t->stuck = true;
		return false;
	}
	if (!is_past(t, row->arrived))
		history_cut(s, bits_count(row->bits));
	t->freed += freed;
	t->vain = freed ? 0 : t->vain + 1;
	t->left--;
	return true;
}

/* The oldest of one history: what is past its time, and what is wanted for its room. Returns how many blocks went. */
static unsigned trim_one(struct store *s, struct trim *t, struct buffer *b, unsigned most)
{
	struct ledger *l = commit_ledger(s, b);
	struct key k = key_ref(b->number, l->floor, 0);
	struct db_iter *it = db_iter_new(s->db, k.p, k.n);
	const void *key, *value;
	size_t keylen, len;
	uint32_t number, rendering;
	uint64_t position;
	int64_t oldest = t->now;
	unsigned n = 0;
	for (; db_iter_row(it, &key, &keylen, &value, &len); db_iter_next(it)) {
		struct ref_row row;
		if (!key_is_ref(key, keylen, &number, &position, &rendering) || number != b->number)
			break;
		k = key_ref(number, position, rendering);
		if (!ref_decode(&k, value, len, &row)) {
			/* How many they were nobody knows; the count is put right when the store is opened next. */
			commit_delete(s, &k);
			store_lock(s);
			s->counts.records_lost++;
			store_unlock(s);
			l->floor = position + 1;
			continue;
		}
		bool goes = n < most && t->left && (is_past(t, row.arrived) || wants_room(s, t));
		if (!goes || !let_go(s, t, b, position, &row)) {
			oldest = row.arrived;
			break;
		}
		l->floor = position + 1;
		n++;
	}
	db_iter_free(it);
	store_lock(s);
	b->oldest_arrived = oldest;
	store_unlock(s);
	return n;
}

/* With the lock: whose oldest message is the oldest of all; NULL: there is no history. */
static struct buffer *oldest_of_all(struct store *s)
{
	struct buffer *oldest = NULL;
	size_t i = 0;
	for (struct umap_slot *slot; (slot = umap_next(&s->buffers, &i));) {
		struct buffer *b = (struct buffer *)(uintptr_t)slot->value;
		if (b->history && b->ledger.buffered && (!oldest || b->oldest_arrived < oldest->oldest_arrived))
			oldest = b;
	}
	return oldest;
}

void history_trim(struct store *s)
{
	struct commit *c = s->commit;
	struct trim t = { .now = store_elapsed(s), .left = BLOCKS_AT_ONCE };
	if (s->as_it_lies || (!space_wants(s) && !c->history_more && t.now - c->history_look < LOOK_US))
		return;
	c->history_look = t.now;
	c->history_more = false;
	for (;;) {
		store_lock(s);
		struct buffer *b = oldest_of_all(s);
		t.ttl = s->history_ttl;
		bool due = b && (is_past(&t, b->oldest_arrived) || wants_room(s, &t));
		store_unlock(s);
		if (!due)
			break;
		if (!t.left) {
			c->history_more = true;
			break;
		}
		if (!trim_one(s, &t, b, BLOCKS_IN_TURN) && (t.stuck || is_past(&t, b->oldest_arrived) || wants_room(s, &t)))
			break;
	}
	if (t.freed || t.vain == VAIN_MOST)
		space_yielded(s, t.freed, t.vain == VAIN_MOST);
}

void store_set_history(struct store *s, int64_t ttl_us)
{
	store_lock(s);
	s->history_ttl = ttl_us;
	s->history_asked = true;
	pthread_cond_signal(&s->work);
	store_unlock(s);
}

void store_history(struct store *s, struct history_counts *out)
{
	size_t i = 0;
	int64_t now = store_elapsed(s);
	*out = (struct history_counts){ 0 };
	store_lock(s);
	for (struct umap_slot *slot; (slot = umap_next(&s->buffers, &i));) {
		const struct buffer *b = (const struct buffer *)(uintptr_t)slot->value;
		if (!b->history)
			continue;
		out->kept += b->ledger.matched;
		out->held += b->ledger.buffered;
		out->expired += b->ledger.expired;
		out->dropped += b->ledger.dropped;
		out->bytes += b->ledger.bytes;
		if (b->ledger.buffered && now - b->oldest_arrived > out->oldest_age_us)
			out->oldest_age_us = now - b->oldest_arrived;
	}
	store_unlock(s);
}
