/* dedupe.c - see dedupe.h.
 *
 * Remembered messages lie in a ring in the order they came, which is the order they go, in blocks that are made and freed as the ring moves on:
 * memory follows what is remembered. A table of places finds them by hash. It doubles and halves a few slots at a time, because it is looked at
 * under a lock by loops that must not stand still: while it does there are two, and a place is in one of them. */
#include "dedupe.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/seldom.h"
#include "base/stats.h"
#include "plan/plan.h"
#include "troubles.h"

#define BLOCK 4096              /* remembered messages in a block of the ring */
#define MOST (1u << 26)         /* in all, whatever the memory */
#define SLOTS_MIN 1024
#define STEPS 8                 /* slots moved, and expired messages forgotten, with each look */
#define TICK_US 100000

/* Place p lies in block p / BLOCK; places only rise, and wrap. Place 0 is never used: it marks an empty slot. */
struct memory {
	uint64_t hash[2];       /* both 0: forgotten */
	uint32_t when;          /* ticks; of the commit, once there was one */
	uint32_t owner;         /* number of the request it is under way with; 0: durable */
};

struct slots { uint32_t *place; uint32_t cap; };

struct dedupe {
	pthread_mutex_t lock;
	char *name;
	struct stats_channel *stats;
	uint32_t max;
	uint32_t head, tail;    /* places in use: from head up to, not including, tail */
	struct memory **blocks;
	uint32_t nblocks;       /* a power of two */
	struct slots now, old;  /* old: being emptied into now; cap 0 when none is */
	uint32_t moved;         /* slots of old that are done */
	uint32_t used;          /* slots taken, both tables */
	struct umap requests;   /* number -> struct dedupe_request, of those under way */
	uint32_t last_request;
	struct seldom told;
	struct dedupe *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct dedupe *all;   /* lock; never freed but at the end */

static uint32_t ticks(void)
{
	return (uint32_t)(clock_mono_us() / TICK_US);
}

/* ---- the ring ------------------------------------------------------------------------------------------------------------- */

static struct memory *memory_at(const struct dedupe *d, uint32_t place)
{
	return &d->blocks[place / BLOCK & (d->nblocks - 1)][place % BLOCK];
}

/* Room for one more block behind the last: the list of blocks is short (16 000 for the most there can be), and is laid anew when it is full. */
static void more_blocks(struct dedupe *d)
{
	uint32_t n = d->nblocks ? 2 * d->nblocks : 4;
	struct memory **blocks = xcalloc(n, sizeof *blocks);

	for (uint32_t i = 0, first = d->head / BLOCK; i < d->nblocks; i++)
		blocks[(first + i) & (n - 1)] = d->blocks[(first + i) & (d->nblocks - 1)];
	free(d->blocks);
	d->blocks = blocks;
	d->nblocks = n;
}

static uint32_t place_new(struct dedupe *d)
{
	struct memory **block;

	if (d->head == d->tail && d->tail == 0)
		d->head = d->tail = 1;
	if (d->nblocks == 0 || ((d->tail / BLOCK - d->head / BLOCK) & (UINT32_MAX / BLOCK)) >= d->nblocks)
		more_blocks(d);
	block = &d->blocks[d->tail / BLOCK & (d->nblocks - 1)];
	if (!*block)
		*block = xcalloc(BLOCK, sizeof **block);
	return d->tail++;
}

/* The oldest place is not needed any more. */
static void head_done(struct dedupe *d)
{
	uint32_t block = d->head / BLOCK;

	d->head++;
	if (d->head == d->tail || d->head / BLOCK != block) {
		struct memory **of = &d->blocks[block & (d->nblocks - 1)];

		if (d->head == d->tail && d->head / BLOCK == block)
			return; /* the next will come into it */
		free(*of);
		*of = NULL;
	}
}

/* ---- the table ---------------------------------------------------------------------------------------------------------------- */

static uint32_t home(const struct slots *s, const uint64_t hash[2])
{
	return (uint32_t)hash[0] & (s->cap - 1);
}

static void slots_put(const struct dedupe *d, struct slots *s, uint32_t place)
{
	uint32_t i = home(s, memory_at(d, place)->hash);

	while (s->place[i] != 0)
		i = (i + 1) & (s->cap - 1);
	s->place[i] = place;
}

static uint32_t slots_find(const struct dedupe *d, const struct slots *s, const uint64_t hash[2])
{
	if (s->cap == 0)
		return 0;
	for (uint32_t i = home(s, hash); s->place[i] != 0; i = (i + 1) & (s->cap - 1)) {
		const struct memory *m = memory_at(d, s->place[i]);

		if (m->hash[0] == hash[0] && m->hash[1] == hash[1])
			return s->place[i];
	}
	return 0;
}

/* As map.c does it: what may fill the hole moves back into it. */
static bool slots_remove(const struct dedupe *d, struct slots *s, uint32_t place)
{
	uint32_t mask = s->cap - 1, hole;

	if (s->cap == 0)
		return false;
	for (hole = home(s, memory_at(d, place)->hash); s->place[hole] != place; hole = (hole + 1) & mask)
		if (s->place[hole] == 0)
			return false;
	for (uint32_t i = (hole + 1) & mask; s->place[i] != 0; i = (i + 1) & mask)
		if (((i - home(s, memory_at(d, s->place[i])->hash)) & mask) >= ((i - hole) & mask)) {
			s->place[hole] = s->place[i];
			hole = i;
		}
	s->place[hole] = 0;
	return true;
}

/* Some steps of the way into a table of another size. Taking a place out may fill its slot from behind, so the mark only passes slots that are
 * empty, and behind it nothing comes to lie again. */
static void slots_move(struct dedupe *d)
{
	for (unsigned i = 0; i < STEPS && d->old.cap != 0; i++) {
		uint32_t place = d->old.place[d->moved];

		if (place != 0) {
			slots_remove(d, &d->old, place);
			slots_put(d, &d->now, place);
		} else if (++d->moved == d->old.cap) {
			free(d->old.place);
			d->old = (struct slots){ NULL, 0 };
		}
	}
}

/* Half full at the most; less than a sixteenth, and it is too large. */
static void slots_fit(struct dedupe *d)
{
	uint32_t cap = d->now.cap;

	if (d->old.cap != 0)
		return;
	if (cap == 0)
		cap = SLOTS_MIN;
	else if (d->used + 1 > cap / 2)
		cap *= 2;
	else if (cap > SLOTS_MIN && d->used < cap / 16)
		cap /= 2;
	if (cap == d->now.cap)
		return;
	d->old = d->now;
	d->moved = 0;
	d->now = (struct slots){ xcalloc(cap, sizeof *d->now.place), cap };
}

static void forget(struct dedupe *d, uint32_t place)
{
	struct memory *m = memory_at(d, place);

	if (!slots_remove(d, &d->now, place))
		slots_remove(d, &d->old, place);
	*m = (struct memory){ .when = 0 };
	d->used--;
}

static bool is_forgotten(const struct memory *m)
{
	return m->hash[0] == 0 && m->hash[1] == 0;
}

static void forgotten(struct dedupe *d)
{
	uint64_t n = 1;

	stats_add(&d->stats->forgotten, 1);
	if (seldom(&d->told, clock_mono_us(), &n))
		troubles_forgotten(d->name, n, d->max);
}

/* A few of those whose time is over, and all at the head that were forgotten before. */
static void expire(struct dedupe *d, uint32_t window)
{
	uint32_t now = ticks();

	for (unsigned i = 0; i < STEPS && d->head != d->tail; i++) {
		const struct memory *m = memory_at(d, d->head);

		if (!is_forgotten(m)) {
			if (m->owner != 0 || (now - m->when < window && d->tail - d->head <= d->max))
				return;
			if (now - m->when < window)
				forgotten(d);
			forget(d, d->head);
		}
		head_done(d);
	}
}

/* ---- a request's part ------------------------------------------------------------------------------------------------------------ */

static void request_begin(struct dedupe *d, struct dedupe_request *r)
{
	do
		d->last_request++;
	while (d->last_request == 0);
	r->number = d->last_request;
	r->table = d;
	umap_put(&d->requests, r->number, (uint64_t)(uintptr_t)r);
}

static void remember(struct dedupe *d, struct dedupe_request *r, const uint64_t hash[2])
{
	uint32_t place;

	if (d->max == 0)
		return;
	/* All that is remembered is under way. */
	if (d->tail - d->head >= d->max && memory_at(d, d->head)->owner != 0) {
		forgotten(d);
		return;
	}
	if (r->number == 0)
		request_begin(d, r);
	if (r->n == r->cap)
		r->places = xrealloc(r->places, (r->cap = r->cap ? 2 * r->cap : 128) * sizeof *r->places);
	slots_fit(d);
	do
		place = place_new(d);
	while (place == 0);
	*memory_at(d, place) = (struct memory){ .hash = { hash[0], hash[1] }, .when = ticks(), .owner = r->number };
	slots_put(d, &d->now, place);
	d->used++;
	r->places[r->n++] = place;
	r->last = true;
}

static void await(struct dedupe *d, struct dedupe_request *r, uint32_t number)
{
	uint64_t value;
	struct dedupe_request *first;
	bool known = umap_get(&d->requests, number, &value);

	assert(known);
	first = (struct dedupe_request *)(uintptr_t)value;
	if (first->nwaiters == first->waiters_cap)
		first->waiters = xrealloc(first->waiters, (first->waiters_cap = first->waiters_cap ? 2 * first->waiters_cap : 4) * sizeof(struct dedupe_request *));
	first->waiters[first->nwaiters++] = r;
}

enum dedupe_answer dedupe_look(struct dedupe_request *r, struct dedupe *d, int64_t window_us, const void *bytes, size_t n)
{
	uint32_t window = (uint32_t)(window_us / TICK_US), place;
	enum dedupe_answer answer = DEDUPE_NEW;
	uint64_t hash[2];

	r->last = false;
	hash_twice(bytes, n, hash);
	pthread_mutex_lock(&d->lock);
	slots_move(d);
	expire(d, window);
	place = slots_find(d, &d->now, hash);
	if (place == 0)
		place = slots_find(d, &d->old, hash);
	if (place != 0) {
		const struct memory *m = memory_at(d, place);

		if (m->owner == 0 && ticks() - m->when >= window) {
			forget(d, place);
		} else if (m->owner == 0 || (m->owner == r->number && r->table == d)) {
			answer = DEDUPE_KNOWN;
		} else {
			await(d, r, m->owner);
			answer = DEDUPE_AWAITS;
		}
	}
	if (answer == DEDUPE_NEW)
		remember(d, r, hash);
	pthread_mutex_unlock(&d->lock);
	return answer;
}

void dedupe_forget_last(struct dedupe_request *r)
{
	if (!r->last)
		return;
	r->last = false;
	pthread_mutex_lock(&r->table->lock);
	forget(r->table, r->places[--r->n]);
	pthread_mutex_unlock(&r->table->lock);
}

void dedupe_settle(struct dedupe_request *r, bool durable)
{
	struct dedupe *d = r->table;
	unsigned n;
	uint32_t now = ticks();

	if (r->number == 0)
		return;
	pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < r->n; i++) {
		if (durable) {
			memory_at(d, r->places[i])->owner = 0;
			memory_at(d, r->places[i])->when = now;
		} else {
			forget(d, r->places[i]);
		}
	}
	umap_del(&d->requests, r->number);
	n = r->nwaiters;
	r->nwaiters = r->n = 0;
	r->number = 0;
	pthread_mutex_unlock(&d->lock);
	/* Nobody finds this request any more, so the list is ours. */
	for (unsigned i = 0; i < n; i++)
		r->waiters[i]->first(r->waiters[i], durable);
}

void dedupe_request_fini(struct dedupe_request *r)
{
	free(r->places);
	free(r->waiters);
	r->places = NULL;
	r->waiters = NULL;
}

/* ---- all of them -------------------------------------------------------------------------------------------------------------------- */

struct dedupe *dedupe_of(const char *channel)
{
	struct dedupe *d;

	pthread_mutex_lock(&lock);
	for (d = all; d && strcmp(d->name, channel) != 0; d = d->next)
		;
	if (!d) {
		d = xcalloc(1, sizeof *d);
		pthread_mutex_init(&d->lock, NULL);
		d->name = xstrdup(channel);
		d->stats = stats_channel(channel);
		umap_init(&d->requests);
		d->next = all;
		all = d;
	}
	pthread_mutex_unlock(&lock);
	return d;
}

static void empty(struct dedupe *d)
{
	for (uint32_t i = 0; i < d->nblocks; i++)
		free(d->blocks[i]);
	free(d->blocks);
	free(d->now.place);
	free(d->old.place);
	d->blocks = NULL;
	d->now = d->old = (struct slots){ NULL, 0 };
	d->nblocks = d->used = d->head = d->tail = 0;
}

void dedupe_configure(const struct plan *p)
{
	uint64_t share = p->settings.limit_memory / 8 / DEDUPE_BYTES;
	unsigned n = 0;

	for (unsigned i = 0; i < p->nchannels; i++)
		n += p->channels[i].dedupe_us > 0;
	for (unsigned i = 0; i < p->nchannels; i++)
		if (p->channels[i].dedupe_us > 0)
			dedupe_of(p->channels[i].name);
	pthread_mutex_lock(&lock);
	for (struct dedupe *d = all; d; d = d->next) {
		const struct channel *c = plan_channel(p, d->name);
		bool wanted = c && c->dedupe_us > 0;

		pthread_mutex_lock(&d->lock);
		d->max = !wanted ? 0 : share / n < MOST ? (uint32_t)(share / n) : MOST;
		if (!wanted && d->requests.n == 0)
			empty(d);
		pthread_mutex_unlock(&d->lock);
	}
	pthread_mutex_unlock(&lock);
}

uint64_t dedupe_remembered(struct dedupe *d)
{
	pthread_mutex_lock(&d->lock);
	uint64_t n = d->used;
	pthread_mutex_unlock(&d->lock);
	return n;
}

void dedupe_fini(void)
{
	pthread_mutex_lock(&lock);
	for (struct dedupe *d = all, *next; d; d = next) {
		next = d->next;
		empty(d);
		umap_fini(&d->requests);
		pthread_mutex_destroy(&d->lock);
		free(d->name);
		free(d);
	}
	all = NULL;
	pthread_mutex_unlock(&lock);
}
