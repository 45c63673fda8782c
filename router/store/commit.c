/* commit.c - the commit thread, the only writer: everything that waits becomes one atomic, synced write; then all are told.
 *
 * The hard idea is the failed write. LevelDB forgets, or answers OK and forgets, whatever is written after one; and the failed write
 * itself may be on disk or not. So the commit stays undecided: everybody is kept off the database, it is closed and opened anew, and the
 * record of the last commit that is found there says which of the two it was. Only then are its tickets answered. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/commit.h"
#include "store/states.h"
#include "store/pack.h"

#define COMPACT_AT_ONCE 256
#define REOPEN_FIRST_US 50000
#define REOPEN_MAX_US 5000000
#define HEALTHY_US 10000000       /* so long after a reopening a failure is a new one */
#define UNDECIDED_US 3000000     /* so long a source waits to hear whether the failed commit is on disk after all */
#define FAILURES_AT_END 3        /* so often a closing store tries to record what was settled */
#define IDLE_US 60000000         /* dead letters are looked at though nothing happens */
#define STOPPED_US 1000000   /* and so often while the disk is full: is there room again? */
#define ROOM_US 10000        /* and while tickets wait for the disk's room */

void commit_init(struct store *s)
{
	struct commit *c = xcalloc(1, sizeof(*c));
	c->store = s;
	c->batch = db_batch_new();
	c->blocks_end = &c->blocks;
	c->healed = INT64_MIN / 2;
	umap_init(&c->forgotten);
	s->commit = c;
}

void commit_fini(struct store *s)
{
	struct commit *c = s->commit;
	db_batch_free(c->batch);
	buf_fini(&c->row);
	buf_fini(&c->packed);
	umap_fini(&c->forgotten);
	free(c->touched);
	free(c->shrunk);
	free(c);
}

uint64_t commit_position(struct store *s)
{
	uint64_t now = (uint64_t)clock_real_us();
	s->position = s->position + 1 > now ? s->position + 1 : now;
	return s->position;
}

struct ledger *commit_ledger(struct store *s, struct buffer *b)
{
	struct commit *c = s->commit;
	if (!b->changed) {
		b->changed = true;
		b->changed_link = c->changed;
		c->changed = b;
		b->next = b->ledger;
		store_lock(s);
		b->next.floor = buffer_floor(b);
		store_unlock(s);
	}
	return &b->next;
}

void commit_put(struct store *s, const struct key *k, const struct buf *value)
{
	db_put(s->commit->batch, k->p, k->n, value->p, value->len);
	s->commit->anything = true;
}

size_t commit_put_chunk(struct store *s, const struct key *k, const struct buf *value)
{
	struct commit *c = s->commit;
	chunk_pack(&c->packed, value->p, value->len);
	commit_put(s, k, &c->packed);
	c->written += c->packed.len;
	c->packed_chunks += c->packed.len;
	c->unpacked += value->len;
	return c->packed.len;
}

void commit_delete(struct store *s, const struct key *k)
{
	db_delete(s->commit->batch, k->p, k->n);
	s->commit->anything = true;
}

/* ---- what waits */

/* Mono time at which there is something to do; 0: now. */
static int64_t due(const struct store *s)
{
	if (s->stop || (s->tickets && !space_waits(s)) || s->name_asks || s->name_changes || s->dead_drops || s->state_drops || s->history_asked ||
		s->commit->history_more || (s->hurry && s->settlements))
		return 0;
	return s->settle_since ? s->settle_since + SETTLE_WAIT_US : INT64_MAX;
}

static void wait_for_work(struct store *s)
{
	int64_t idle = clock_mono_us() + (space_waits(s) ? ROOM_US : s->counts.intake_stopped ? STOPPED_US : IDLE_US), at;
	for (int64_t now; (at = due(s)) != 0 && (now = clock_mono_us()) < (at < idle ? at : idle);) {
		int64_t until = at < idle ? at : idle;
		struct timespec t = { .tv_sec = until / 1000000, .tv_nsec = until % 1000000 * 1000 };
		pthread_cond_timedwait(&s->work, &s->lock, &t);
	}
}

static void resolve(struct store *s, struct ticket *t)
{
	for (struct block *b = t->first; b; b = b->next)
		for (unsigned i = 0; i < b->nrefs; i++)
			b->refs[i].buffer = store_buffer(s, b->refs[i].number);
	for (unsigned i = 0; i < t->nskips; i++)
		t->skips[i].buffer = store_buffer(s, t->skips[i].number);
}

/* Take over what waits; with the lock. */
static void take(struct store *s)
{
	struct commit *c = s->commit;
	struct ticket **end = &s->tickets;
	for (size_t bytes = 0; *end && bytes < COMMIT_BYTES && (s->stop || !space_waits(s)); end = &(*end)->next) {
		bytes += ticket_size(*end);
		resolve(s, *end);
	}
	struct ticket *rest = *end;
	*end = NULL;
	c->tickets = s->tickets;
	s->tickets = rest;
	if (!s->tickets)
		s->tickets_end = &s->tickets;

	c->settlements = s->settlements;
	s->settlements = NULL;
	s->settlements_end = &s->settlements;
	s->hurry = false;

	struct block **last = &s->compact;
	for (unsigned n = 0; *last && n < COMPACT_AT_ONCE; n++) {
		(*last)->users++;
		last = &(*last)->next;
		s->ncompact--;
	}
	c->compact = s->compact;
	s->compact = *last;
	*last = NULL;
	if (!s->compact)
		s->compact_end = &s->compact;
	/* More than one commit's worth of sparse blocks: the next follows at once, for they are held in memory. */
	s->settle_since = s->compact ? clock_mono_us() - SETTLE_WAIT_US : 0;

	c->history_more = c->history_more || s->history_asked;
	s->history_asked = false;
	c->drops = s->dead_drops;
	s->dead_drops = NULL;
	c->names = s->name_asks;
	s->name_asks = NULL;
	c->changes = s->name_changes;
	s->name_changes = NULL;
}

/* ---- after the write */

static void answer(struct store *s)
{
	struct commit *c = s->commit;
	for (struct ticket *t = c->tickets, *next; t; t = next) {
		next = t->next;
		if (t->result == TICKET_FULL)
			s->counts.refused_full++;
		else if (t->result == TICKET_FAILED)
			s->counts.refused_failed++;
		port_done(t->port, t);
	}
	c->tickets = NULL;
}

static void answer_failed(struct store *s, const char *why)
{
	for (struct ticket *t = s->commit->tickets; t; t = t->next)
		if (t->result != TICKET_FULL) {
			t->result = TICKET_FAILED;
			snprintf(t->why, sizeof(t->why), "the store could not write: %s", why);
		}
	answer(s);
}

/* A committed block goes to the senders that keep up; the others will find it on disk. */
static void publish_block(struct store *s, struct block *b)
{
	b->users = 1;
	block_map(s, b);
	for (unsigned i = 0; i < b->nrefs; i++) {
		struct ref *r = &b->refs[i];
		struct buffer *to = r->buffer;
		if (!bits_any(r->left))
			continue;
		if (!to->newest || !to->ledger.buffered)
			to->oldest_arrived = b->arrived;
		to->newest = b->position;
		if (!to->attached)
			continue;
		bool room = !to->ready_n || (to->ready + b->memory <= s->memory_limit / 4 && s->memory <= s->memory_limit);
		if (to->fed && room) {
			window_insert(to, r);
			continue;
		}
		if (to->fed) {
			to->fed = false;
			to->read_next = b->position;
		}
		if (to->hungry)
			reader_ask(to);
	}
	block_unuse(s, b);
}

static void record_ref(struct ref *r)
{
	memcpy(r->left, r->next_left, sizeof(r->left));
	r->bytes = bits_any(r->left) ? r->next_bytes : 0;
	r->touched = false;
	window_settled(r->buffer, r);
}

static void record_settlement(struct store *s, struct settlement *e)
{
	struct buffer *b = e->ref->buffer;
	b->gone_bytes -= e->bytes;
	b->recorded_next = e->number;
	atomic_store_explicit(&b->recorded, e->number, memory_order_release);
	if (b->waits_for && b->waits_for <= e->number) {
		b->waits_for = 0;
		buffer_wake(b);
	}
	block_unuse(s, e->ref->block);
	free(e->death);
	e->next = s->free_settlements;
	s->free_settlements = e;
}

static void release_compacted(struct store *s)
{
	struct commit *c = s->commit;
	while (c->compact) {
		struct block *b = c->compact;
		c->compact = b->next;
		b->queued = false;
		block_unuse(s, b);
	}
}

static void look_for_excess(struct buffer *b)
{
	if (b->options.full == FULL_DROP_OLDEST && b->ledger.bytes > b->gone_bytes + buffer_max(b))
		buffer_wake(b);
}

/* The commit is on disk: what it makes of everything becomes true, and everybody is told. With the lock. */
static void succeed(struct store *s)
{
	struct commit *c = s->commit;
	s->published = s->position;
	for (size_t i = 0; i < c->nshrunk; i++) {
		c->shrunk[i].chunk->stored = c->shrunk[i].stored;
		c->shrunk[i].chunk->written = c->shrunk[i].written;
		s->counts.blocks_compacted++;
	}
	for (size_t i = 0; i < c->ntouched; i++)
		record_ref(c->touched[i]);
	while (c->settlements) {
		struct settlement *e = c->settlements;
		c->settlements = e->next;
		record_settlement(s, e);
	}
	release_compacted(s);
	while (c->blocks) {
		struct block *b = c->blocks;
		c->blocks = b->next;
		publish_block(s, b);
	}
	for (struct buffer *b = c->changed; b; b = b->changed_link) {
		b->changed = false;
		b->ledger = b->next;
		if (b->history)
			b->floor = b->next.floor;
		look_for_excess(b);
	}
	steads_end(s, true);
	states_end(s, true);
	names_written(s, true);
	while (c->drops) {
		struct dead_drop *d = c->drops;
		c->drops = d->next;
		free(d);
	}
	space_changed(s, c);
	s->counts.commits++;
	s->counts.bytes_written += db_batch_size(c->batch);
	answer(s);
}

/* The commit never was: its tickets are told so, the rest waits for the next one. With the lock. */
static void fail(struct store *s, const char *why)
{
	struct commit *c = s->commit;
	for (size_t i = 0; i < c->ntouched; i++)
		c->touched[i]->touched = false;
	for (struct buffer *b = c->changed; b; b = b->changed_link)
		b->changed = false;
	while (c->blocks) {
		struct block *b = c->blocks;
		c->blocks = b->next;
		block_recycle(s, b);
	}
	if (c->settlements) {
		/* Before those that came since: a buffer's settlements are recorded in the order they were made. */
		struct settlement **end = &c->settlements;
		while (*end)
			end = &(*end)->next;
		*end = s->settlements;
		if (!s->settlements)
			s->settlements_end = end;
		s->settlements = c->settlements;
		c->settlements = NULL;
		s->settle_since = clock_mono_us();
	}
	while (c->compact) {
		struct block *b = c->compact;
		c->compact = b->next;
		b->next = NULL;
		*s->compact_end = b;
		s->compact_end = &b->next;
		s->ncompact++;
		b->users--;
		s->settle_since = clock_mono_us();
	}
	while (c->drops) {
		struct dead_drop *d = c->drops;
		c->drops = d->next;
		d->next = s->dead_drops;
		s->dead_drops = d;
	}
	steads_end(s, false);
	states_end(s, false);
	names_written(s, false);
	answer_failed(s, why);
}

/* ---- a write failed */

/* While the database is closed nothing can be taken; with the lock. */
static void refuse_waiting(struct store *s, const char *why)
{
	struct ticket *t = s->tickets;
	s->tickets = NULL;
	s->tickets_end = &s->tickets;
	while (t) {
		struct ticket *next = t->next;
		store_unlock(s);
		states_refuse(s, t);
		ticket_empty(t);
		store_lock(s);
		t->result = TICKET_FAILED;
		snprintf(t->why, sizeof(t->why), "the store is being reopened: %s", why);
		s->counts.refused_failed++;
		port_done(t->port, t);
		t = next;
	}
	while (s->name_asks || s->name_changes) {
		struct commit *c = s->commit;
		struct name *mine = c->names;
		struct name_changes *mine_too = c->changes;
		c->names = s->name_asks;
		c->changes = s->name_changes;
		s->name_asks = NULL;
		s->name_changes = NULL;
		names_written(s, false);
		c->names = mine;
		c->changes = mine_too;
	}
	states_drops_end(s, false);
	ports_signal(s);
}

/* Waits, and refuses what comes meanwhile. True: the store is to stop. why: of the write that failed, why_now: what is told to those who come. */
static bool pause_intake(struct store *s, int64_t us, int64_t undecided, const char *why, const char *why_now)
{
	store_lock(s);
	int64_t until = clock_mono_us() + us;
	do {
		int64_t now = clock_mono_us();
		if (now > undecided)
			answer_failed(s, why);
		refuse_waiting(s, why_now);
		int64_t tick = until < now + 20000 ? until : now + 20000;
		struct timespec t = { .tv_sec = tick / 1000000, .tv_nsec = tick % 1000000 * 1000 };
		pthread_cond_timedwait(&s->work, &s->lock, &t);
	} while (!s->stop && clock_mono_us() < until);
	bool stop = s->stop;
	store_unlock(s);
	return stop;
}

static int64_t longer(int64_t pause)
{
	return !pause ? REOPEN_FIRST_US : pause * 2 < REOPEN_MAX_US ? pause * 2 : REOPEN_MAX_US;
}

/* Everybody off the database. */
static void park(struct store *s)
{
	store_lock(s);
	s->parked = true;
	while (s->db_users)
		pthread_cond_wait(&s->moved, &s->lock);
	store_unlock(s);
	db_close(s->db);
	s->db = NULL;
}

/* Opens what was parked, however often it takes. True: the commit under way is on disk. */
static bool open_anew(struct store *s, int64_t undecided, const char *why)
{
	char again[200];
	uint64_t last = 0;
	int64_t pause = 0;
	while (recover_reopen(s, &last, again, sizeof(again)) != DB_OK) {
		pause = longer(pause);
		log_warn("store", "reopen-failed", "why=%s next_ms=%lld", log_quote(again), (long long)(pause / 1000));
		space_failed(s);
		if (pause_intake(s, pause, undecided, why, again))
			break;
	}
	store_lock(s);
	s->parked = false;
	s->counts.intake_stopped = false;
	s->counts.intake_why[0] = '\0';
	pthread_cond_broadcast(&s->moved);
	store_unlock(s);
	return s->db && last == s->position;
}

/* Close, reopen, look. True: the commit is on disk after all. */
static bool heal(struct store *s, const char *why)
{
	struct commit *c = s->commit;
	int64_t began = clock_mono_us(), undecided = began + UNDECIDED_US;
	log_error("store", "write-failed", "why=%s hint=%s", log_quote(why), log_quote("reopening the database; nothing is taken in until it works"));
	store_lock(s);
	s->counts.reopens++;
	s->counts.intake_stopped = true;
	snprintf(s->counts.intake_why, sizeof(s->counts.intake_why), "the database is being reopened: %.80s", why);
	store_unlock(s);
	/* Where it fails again as soon as it is open, what is there can be read meanwhile. */
	c->heal_pause = began - c->healed < HEALTHY_US ? longer(c->heal_pause) : 0;
	if (c->heal_pause)
		pause_intake(s, c->heal_pause, undecided, why, why);
	park(s);
	space_failed(s);
	space_hold(s);
	bool found = open_anew(s, undecided, why);
	if (s->db)
		log_info("store", "reopened", "last_commit=%s", found ? "found" : "absent");
	c->healed = clock_mono_us();
	return found;
}

/* Compaction goes on. Not by letting it start: what was deleted meanwhile is in the log, which only opening makes a table of, and compaction
 * sees no more than tables. */
static void release(struct store *s)
{
	park(s);
	open_anew(s, INT64_MAX, "compaction begins again");
}

/* ---- one commit */

static void build(struct store *s)
{
	struct commit *c = s->commit;
	db_batch_clear(c->batch);
	c->anything = false;
	c->ntouched = c->nshrunk = 0;
	c->garbage = c->written = c->unpacked = c->packed_chunks = 0;
	c->changed = NULL;
	c->blocks = NULL;
	c->blocks_end = &c->blocks;
	space_look(s);
	settle_apply(s);
	gather_tickets(s);
	history_trim(s);
	states_write(s);
	settle_write(s);
	settle_compact(s);
	names_write(s);
	dead_drops(s);
	dead_trim(s);
	for (struct buffer *b = c->changed; b; b = b->changed_link) {
		struct key k = key_ledger(b->number);
		buf_clear(&c->row);
		ledger_encode(&c->row, &k, &b->next);
		commit_put(s, &k, &c->row);
	}
	if (!c->anything)
		return;
	struct last_row last = store_clock_row(s, commit_position(s));
	struct key k = key_last();
	buf_clear(&c->row);
	last_encode(&c->row, &last);
	commit_put(s, &k, &c->row);
}

/* With nothing to write, what was taken is answered all the same. */
static void nothing(struct store *s)
{
	store_lock(s);
	release_compacted(s);
	names_written(s, true);
	while (s->commit->drops) {
		struct dead_drop *d = s->commit->drops;
		s->commit->drops = d->next;
		free(d);
	}
	answer(s);
	ports_signal(s);
	store_unlock(s);
}

static bool commit(struct store *s)
{
	struct commit *c = s->commit;
	char why[160];
	int64_t began = clock_mono_us();
	build(s);
	/* The memory of what was refused goes now, of what was taken is in blocks; plans are let go outside the lock. */
	for (struct ticket *t = c->tickets; t; t = t->next)
		ticket_empty(t);
	if (!c->anything) {
		nothing(s);
		if (store_env_failures(s->env) != s->failures)
			heal(s, "compaction failed");
		else if (space_releases(s))
			release(s);
		return true;
	}
	bool ok = db_write(s->db, c->batch, s->durability == DURABILITY_FSYNC, why, sizeof(why)) == DB_OK || heal(s, why);
	int64_t took = clock_mono_us() - began;
	store_lock(s);
	if (ok)
		succeed(s);
	else
		fail(s, why);
	s->counts.commit_us_last = (uint64_t)took;
	if ((uint64_t)took > s->counts.commit_us_max)
		s->counts.commit_us_max = (uint64_t)took;
	ports_signal(s);
	store_unlock(s);
	if (ok && space_releases(s))
		release(s);
	return ok;
}

/* What is left when the store closes for good: nobody may wait for ever. With the lock. */
static void give_up(struct store *s)
{
	refuse_waiting(s, "closing");
	pthread_cond_broadcast(&s->moved);
}

void *commit_main(void *store)
{
	struct store *s = store;
	unsigned failures = 0;
	store_lock(s);
	for (;;) {
		wait_for_work(s);
		bool idle = !s->tickets && !s->settlements && !s->compact && !s->name_asks && !s->name_changes && !s->dead_drops && !s->state_drops;
		if (s->stop && (s->abandoned || idle || !s->db || failures >= FAILURES_AT_END))
			break;
		take(s);
		store_unlock(s);
		bool ok = commit(s);
		store_lock(s);
		failures = s->stop && !ok ? failures + 1 : 0;
	}
	give_up(s);
	store_unlock(s);
	return NULL;
}
