/* state.c - adapters' states: in memory while they are used, on disk by the commit of their ticket.
 *
 * The hard idea is what happens when a ticket is not taken: see states.h. All that the commit does to a state (take, fall back, record) is here; who
 * may go on from it is claim.c's. */
#include <assert.h>
#include <stdlib.h>

#include "store/commit.h"
#include "store/states.h"

/* ---- texts */

struct text *text_new(const void *p, size_t n)
{
	if (!n)
		return NULL;
	struct text *t = xmalloc(sizeof(*t) + n);
	atomic_init(&t->refs, 1);
	t->len = (uint32_t)n;
	memcpy(t->bytes, p, n);
	return t;
}

struct text *text_ref(struct text *t)
{
	if (t)
		atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void text_set(struct text **to, struct text *t)
{
	struct text *old = *to;
	*to = t;
	if (old && atomic_fetch_sub_explicit(&old->refs, 1, memory_order_acq_rel) == 1)
		free(old);
}

/* ---- those in memory */

static bool is_order_only(const struct state *st)
{
	return key_is_state_of(st->key, st->key_len, 0);
}

static size_t measure(const struct state *st)
{
	return sizeof(*st) + st->key_len + 3 * sizeof(struct map_slot) / 2 + (st->latest ? sizeof(*st->latest) + st->latest->len : 0);
}

static void unlink_unused(struct states *x, struct state *st)
{
	*(st->older ? &st->older->newer : &x->oldest) = st->newer;
	*(st->newer ? &st->newer->older : &x->newest) = st->older;
	st->older = st->newer = NULL;
}

static void forget(struct states *x, struct state *st)
{
	map_del(&x->all, st->key, st->key_len);
	x->memory -= st->counted;
	text_set(&st->latest, NULL);
	text_set(&st->soon, NULL);
	text_set(&st->durable, NULL);
	free(st);
}

struct state *state_find(struct states *x, const char *key, size_t len)
{
	struct state *st = map_get(&x->all, key, len);
	if (!st) {
		st = xcalloc(1, sizeof(*st) + len);
		st->key_len = (uint32_t)len;
		memcpy(st->key, key, len);
		st->read = is_order_only(st) ? STATE_READ : STATE_UNREAD;
		st->counted = measure(st);
		x->memory += st->counted;
		map_put(&x->all, st->key, len, st);
	} else if (!st->users) {
		unlink_unused(x, st);
	}
	st->users++;
	return st;
}

static void trim(struct states *x)
{
	while (x->memory > x->limit && x->oldest) {
		struct state *st = x->oldest;
		unlink_unused(x, st);
		forget(x, st);
	}
}

void state_unuse(struct states *x, struct state *st)
{
	if (--st->users)
		return;
	assert(!st->first && !st->touched && st->latest == st->durable && st->soon == st->durable);
	if (is_order_only(st) || st->read != STATE_READ) {
		forget(x, st);
		return;
	}
	x->memory -= st->counted;
	st->counted = measure(st);
	x->memory += st->counted;
	st->older = x->newest;
	*(st->older ? &st->older->newer : &x->oldest) = st;
	x->newest = st;
	trim(x);
}

void store_set_state_memory(struct store *s, size_t bytes)
{
	states_lock(s);
	s->states->limit = bytes;
	trim(s->states);
	states_unlock(s);
}

void states_forget_unused(struct states *x, uint32_t stream)
{
	for (struct state *st = x->oldest, *next; st; st = next) {
		next = st->newer;
		if (!key_is_state_of(st->key, st->key_len, stream))
			continue;
		unlink_unused(x, st);
		forget(x, st);
	}
}

/* ---- the commit thread: in this order per commit */

bool states_stand(struct store *s, const struct ticket *t)
{
	const struct claim *c = t->claim;
	bool stand = true;
	states_lock(s);
	for (unsigned i = 0; i < c->nplaces && stand; i++)
		stand = c->places[i].epoch == c->places[i].state->epoch;
	states_unlock(s);
	return stand;
}

void states_take(struct store *s, const struct ticket *t)
{
	const struct claim *c = t->claim;
	struct states *x = s->states;
	states_lock(s);
	for (unsigned i = 0; i < c->nplaces; i++) {
		struct place *p = &c->places[i];
		struct state *st = p->state;
		assert(st->soon == p->base);
		if (!p->changed)
			continue;
		text_set(&st->soon, text_ref(p->staged));
		if (st->touched)
			continue;
		st->touched = true;
		st->users++;
		st->touched_next = x->touched;
		x->touched = st;
	}
	states_unlock(s);
}

void states_refuse(struct store *s, const struct ticket *t)
{
	const struct claim *c = t->claim;
	states_lock(s);
	for (unsigned i = 0; c && i < c->nplaces; i++) {
		struct place *p = &c->places[i];
		struct state *st = p->state;
		if (!p->changed || p->epoch != st->epoch)
			continue;
		text_set(&st->latest, text_ref(st->soon));
		st->epoch++;
	}
	states_unlock(s);
}

void states_write(struct store *s)
{
	struct buf *row = &s->states->row;
	states_drop_some(s);
	for (struct state *st = s->states->touched; st; st = st->touched_next) {
		s->commit->anything = true;
		if (!st->soon) {
			db_delete(s->commit->batch, st->key, st->key_len);
			continue;
		}
		buf_clear(row);
		state_encode(row, st->key, st->key_len, st->soon->bytes, st->soon->len);
		db_put(s->commit->batch, st->key, st->key_len, row->p, row->len);
	}
}

void states_end(struct store *s, bool ok)
{
	struct states *x = s->states;
	states_drops_end(s, ok);
	if (!x->touched)
		return;
	states_lock(s);
	while (x->touched) {
		struct state *st = x->touched;
		x->touched = st->touched_next;
		st->touched = false;
		if (ok) {
			text_set(&st->durable, text_ref(st->soon));
		} else {
			text_set(&st->soon, text_ref(st->durable));
			text_set(&st->latest, text_ref(st->durable));
			st->epoch++;
		}
		state_unuse(x, st);
	}
	states_unlock(s);
}

/* ---- the life */

void states_init(struct store *s)
{
	struct states *x = xcalloc(1, sizeof(*x));
	s->states = x;
	pthread_mutex_init(&x->lock, NULL);
	pthread_cond_init(&x->work, NULL);
	map_init(&x->all);
	x->read_end = &x->read_first;
	x->limit = STATES_MEMORY;
}

void states_fini(struct store *s)
{
	struct states *x = s->states;
	size_t i = 0;
	for (struct map_slot *slot; (i = 0, slot = map_next(&x->all, &i));)
		forget(x, slot->value);
	map_fini(&x->all);
	buf_fini(&x->row);
	pthread_mutex_destroy(&x->lock);
	pthread_cond_destroy(&x->work);
	free(x);
	s->states = NULL;
}

void states_count(struct store *s, struct store_counts *out)
{
	states_lock(s);
	out->states = s->states->all.n;
	out->state_bytes = s->states->memory;
	out->states_read = s->states->reads;
	states_unlock(s);
}
