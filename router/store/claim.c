/* claim.c - who may go on from a state, and when.
 *
 * The hard idea is that a claim takes its place in the rows of all its states in one step, under one lock. Then of two claims the earlier stands
 * before the later in every row they share, so the oldest claim of all is never waiting for another, and nothing can lock up. */
#include <assert.h>
#include <stdlib.h>

#include "store/states.h"

struct claim *claim_new(struct store *s, struct port *p)
{
	pthread_mutex_lock(&s->pool_lock);
	struct claim *c = s->free_claims;
	if (c)
		s->free_claims = c->next;
	pthread_mutex_unlock(&s->pool_lock);
	if (!c)
		c = xcalloc(1, sizeof(*c));
	c->store = s;
	c->port = p;
	c->stage = CLAIM_NEW;
	c->waits = c->npairs = c->nplaces = c->hint = 0;
	buf_clear(&c->keys);
	return c;
}

void claims_fini(struct store *s)
{
	while (s->free_claims) {
		struct claim *c = s->free_claims;
		s->free_claims = c->next;
		free(c->pairs);
		free(c->places);
		buf_fini(&c->keys);
		free(c);
	}
}

void claim_add(struct claim *c, uint32_t stream, const char *ident, size_t len)
{
	assert(c->stage == CLAIM_NEW && len <= STATE_IDENT_MAX);
	if (c->npairs == c->pairs_cap) {
		c->pairs_cap = c->pairs_cap ? c->pairs_cap * 2 : 64;
		c->pairs = xrealloc(c->pairs, c->pairs_cap * sizeof(*c->pairs));
		c->places = xrealloc(c->places, c->pairs_cap * sizeof(*c->places));
	}
	size_t at = c->keys.len;
	key_state(&c->keys, stream, ident, len);
	c->pairs[c->npairs].key = at;
	c->pairs[c->npairs++].key_len = (uint32_t)(c->keys.len - at);
}

unsigned claim_pairs(const struct claim *c)
{
	return c->npairs;
}

size_t claim_size(const struct claim *c)
{
	return sizeof(*c) + c->npairs * sizeof(*c->pairs) + c->nplaces * sizeof(*c->places) + c->keys.len;
}

/* ---- rows */

static bool has(const struct place *p)
{
	return p->state->first == p && p->state->read == STATE_READ;
}

static void grant(struct claim *c)
{
	for (unsigned i = 0; i < c->nplaces; i++) {
		struct place *p = &c->places[i];
		p->base = text_ref(p->state->latest);
		p->epoch = p->state->epoch;
	}
	c->stage = CLAIM_GRANTED;
}

/* With store.lock too: whoever waits is told by its port. */
static void nearer(struct claim *c)
{
	if (--c->waits || c->stage != CLAIM_WAITS)
		return;
	grant(c);
	port_claim(c->port, c);
}

void claim_state_read(struct store *s, struct state *st, const char *failed)
{
	struct claim *c = st->first ? st->first->claim : NULL;
	(void)s;
	if (!c)
		return;
	if (!failed) {
		nearer(c);
	} else if (c->stage == CLAIM_WAITS) {
		c->stage = CLAIM_FAILED;
		port_claim(c->port, c);
	}
}

static void step_out(struct states *x, struct place *p)
{
	struct state *st = p->state;
	bool first = st->first == p;
	*(p->before ? &p->before->behind : &st->first) = p->behind;
	*(p->behind ? &p->behind->before : &st->last) = p->before;
	if (!first || !st->first)
		return;
	if (st->read == STATE_READ)
		nearer(st->first->claim);
	else if (st->read == STATE_UNREAD)
		state_ask(x, st);
}

bool claim_begin(struct claim *c, void (*ready)(void *arg, const char *why), void *arg)
{
	struct states *x = c->store->states;
	assert(c->stage == CLAIM_NEW);
	c->ready = ready;
	c->arg = arg;
	states_lock(c->store);
	for (unsigned i = 0; i < c->npairs; i++) {
		struct state *st = state_find(x, c->keys.p + c->pairs[i].key, c->pairs[i].key_len);
		if (st->last && st->last->claim == c) {
			c->pairs[i].place = (unsigned)(st->last - c->places);
			st->users--;
			continue;
		}
		struct place *p = &c->places[c->nplaces];
		*p = (struct place){ .state = st, .claim = c, .before = st->last };
		*(st->last ? &st->last->behind : &st->first) = p;
		st->last = p;
		c->pairs[i].place = c->nplaces++;
		if (st->read == STATE_UNREAD)
			state_ask(x, st);
		c->waits += !has(p);
	}
	c->stage = CLAIM_WAITS;
	bool now = c->waits == 0;
	if (now)
		grant(c);
	states_unlock(c->store);
	return now;
}

/* ---- the end */

void claim_let_go(struct claim *c)
{
	struct store *s = c->store;
	states_lock(s);
	for (unsigned i = 0; i < c->nplaces; i++) {
		struct place *p = &c->places[i];
		text_set(&p->base, NULL);
		text_set(&p->staged, NULL);
		state_unuse(s->states, p->state);
	}
	states_unlock(s);
	pthread_mutex_lock(&s->pool_lock);
	c->next = s->free_claims;
	s->free_claims = c;
	pthread_mutex_unlock(&s->pool_lock);
}

void claim_end(struct claim *c)
{
	if (!c)
		return;
	struct store *s = c->store;
	store_lock(s);
	if (c->due)
		port_claim_undo(c->port, c);
	states_lock(s);
	for (unsigned i = 0; i < c->nplaces; i++)
		step_out(s->states, &c->places[i]);
	states_unlock(s);
	ports_signal(s);
	store_unlock(s);
	claim_let_go(c);
}

void claim_hand_in(struct claim *c)
{
	struct store *s = c->store;
	assert(c->stage == CLAIM_GRANTED);
	states_lock(s);
	for (unsigned i = 0; i < c->nplaces; i++) {
		struct place *p = &c->places[i];
		if (p->changed && p->epoch == p->state->epoch)
			text_set(&p->state->latest, text_ref(p->staged));
		step_out(s->states, p);
	}
	c->stage = CLAIM_HANDED_IN;
	states_unlock(s);
}

void ticket_claim(struct ticket *t, struct claim *c)
{
	assert(!t->claim && c->stage == CLAIM_GRANTED);
	t->claim = c;
}

/* ---- while it is granted */

static struct place *place_of(struct claim *c, uint32_t stream, const char *ident, size_t len)
{
	assert(c->stage == CLAIM_GRANTED);
	for (unsigned i = 0; i < c->npairs; i++) {
		unsigned at = c->hint;
		c->hint = at + 1 < c->npairs ? at + 1 : 0;
		if (key_state_is(c->keys.p + c->pairs[at].key, c->pairs[at].key_len, stream, ident, len)) {
			c->hint = at;
			return &c->places[c->pairs[at].place];
		}
	}
	assert(!"a state that was not claimed");
	return NULL;
}

const char *claim_state(struct claim *c, uint32_t stream, const char *ident, size_t len, size_t *n)
{
	const struct place *p = place_of(c, stream, ident, len);
	const struct text *t = p->changed ? p->staged : p->base;
	*n = t ? t->len : 0;
	return t ? t->bytes : NULL;
}

void claim_stage(struct claim *c, uint32_t stream, const char *ident, size_t len, const void *state, size_t n)
{
	struct place *p = place_of(c, stream, ident, len);
	assert(n <= STATE_MAX && stream);
	text_set(&p->staged, text_new(state, n));
	p->changed = true;
}

bool claim_changes(const struct claim *c)
{
	for (unsigned i = 0; c && i < c->nplaces; i++)
		if (c->places[i].changed)
			return true;
	return false;
}
