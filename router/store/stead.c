/* stead.c - what a ticket takes the place of: dead letters that are retried or forgotten, entries of buffers that nobody sends.
 *
 * The hard idea is once and once only. What is read of a letter or a kept entry is old news by the time its ticket is committed: another
 * hand may have retried it, a bound may have trimmed it, a stream may have come back for its buffer. So the commit thread looks again, and a ticket
 * that stands for something gone is refused whole. What it stands for goes in the write that brings what it holds. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/commit.h"
#include "store/pack.h"

/* ---- building */

static struct stead *add(struct ticket *t, uint32_t owner, uint64_t position)
{
	struct stead *st = xcalloc(1, sizeof(*st));
	st->owner = owner;
	st->position = position;
	*t->steads_end = st;
	t->steads_end = &st->next;
	return st;
}

static void stead_free(struct stead *st)
{
	free(st->death);
	free(st);
}

void ticket_steads_free(struct ticket *t)
{
	while (t->steads) {
		struct stead *st = t->steads;
		t->steads = st->next;
		stead_free(st);
	}
	t->steads_end = &t->steads;
}

void ticket_retries(struct ticket *t, uint32_t owner, uint64_t letter)
{
	struct stead *st = add(t, owner, letter);
	st->letter = st->again = true;
}

void ticket_forgets(struct ticket *t, uint32_t owner, uint64_t letter)
{
	add(t, owner, letter)->letter = true;
}

void ticket_settles(struct ticket *t, uint32_t buffer, uint64_t position, uint32_t rendering, const uint64_t bits[BITS_WORDS], enum outcome o,
	const struct death *death)
{
	struct stead *st = add(t, buffer, position);
	assert(o != OUTCOME_DEAD || death);
	st->rendering = rendering;
	st->outcome = o;
	st->death = o == OUTCOME_DEAD ? death_copy(death) : NULL;
	memcpy(st->bits, bits, sizeof(st->bits));
}

/* ---- is it still there? */

bool steads_forgotten(const struct store *s, uint64_t position)
{
	uint64_t value;
	return umap_get(&s->commit->forgotten, position, &value);
}

static bool letter_stands(struct store *s, struct stead *st, const struct ticket *t)
{
	struct buf value = BUF_INIT;
	struct key k = key_dead(st->owner, st->position);
	for (const struct stead *other = t->steads; other != st; other = other->next)
		if (other->letter && other->position == st->position)
			return false;
	bool stands = !steads_forgotten(s, st->position) && db_get(s->db, k.p, k.n, &value, NULL, 0) == DB_OK;
	st->len = value.len;
	buf_fini(&value);
	return stands;
}

/* The block in memory, in use; NULL when it cannot be had. */
static struct block *block_of(struct store *s, const struct stead *st)
{
	enum db_result result;
	store_lock(s);
	struct block *b = block_find(s, st->position);
	if (b)
		b->users++;
	store_unlock(s);
	if (b)
		return b;
	struct block *read = block_load(s, st->owner, st->position, st->rendering, &result);
	if (!read)
		return NULL;
	store_lock(s);
	/* The reader may have brought it meanwhile: there is one of each in memory. */
	b = block_find(s, st->position);
	if (!b) {
		b = read;
		read = NULL;
		for (unsigned i = 0; i < b->nrefs; i++)
			b->refs[i].buffer = store_buffer(s, b->refs[i].number);
		block_map(s, b);
	}
	b->users++;
	store_unlock(s);
	if (read)
		block_recycle(s, read);
	return b;
}

static void let_go(struct store *s, struct ticket *t)
{
	store_lock(s);
	for (struct stead *st = t->steads; st; st = st->next) {
		if (st->ref) {
			window_returned(st->ref->buffer, st->ref, st->bits);
			block_unuse(s, st->ref->block);
		}
		st->ref = NULL;
	}
	store_unlock(s);
}

static bool entries_stand(struct store *s, struct stead *st)
{
	unsigned hint = 0;
	struct block *b = block_of(s, st);
	if (!b)
		return false;
	store_lock(s);
	struct ref *r = block_ref(b, st->owner, st->rendering, &hint);
	bool stands = r && !r->buffer->attached && r->state == REF_LOOSE;
	for (unsigned w = 0; stands && w < BITS_WORDS; w++)
		stands = !(st->bits[w] & ~((r->touched ? r->next_left[w] : r->left[w]) & ~r->gone[w]));
	/* They are gone from here on, in the same breath: a sender that attaches now must not be handed them. */
	for (unsigned w = 0; stands && w < BITS_WORDS; w++)
		r->gone[w] |= st->bits[w];
	if (stands)
		st->ref = r;
	else
		block_unuse(s, b);
	store_unlock(s);
	return stands;
}

bool steads_check(struct store *s, struct ticket *t)
{
	for (struct stead *st = t->steads; st; st = st->next) {
		if (st->letter ? letter_stands(s, st, t) : entries_stand(s, st))
			continue;
		snprintf(t->why, sizeof(t->why), "%s %llu is not there any more", st->letter ? "dead letter" : "what was kept at",
			(unsigned long long)st->position);
		let_go(s, t);
		return false;
	}
	return true;
}

/* ---- in the same write */

/* Letters at the front that are gone are never walked over again. */
static void floor_forward(struct store *s, struct ledger *l, uint32_t owner)
{
	struct key k = key_dead(owner, l->dead_floor);
	struct db_iter *it = db_iter_new(s->db, k.p, k.n);
	const void *key, *value;
	size_t keylen, len;
	uint32_t number;
	uint64_t position;
	for (; db_iter_row(it, &key, &keylen, &value, &len); db_iter_next(it)) {
		if (!key_is_dead(key, keylen, &number, &position) || number != owner || !steads_forgotten(s, position))
			break;
		l->dead_floor = position + 1;
	}
	db_iter_free(it);
}

static struct ledger *apply_letter(struct store *s, const struct stead *st)
{
	store_lock(s);
	struct buffer *owner = store_buffer(s, st->owner);
	store_unlock(s);
	struct ledger *l = commit_ledger(s, owner);
	struct key k = key_dead(st->owner, st->position);
	commit_delete(s, &k);
	s->commit->garbage += st->len;
	umap_put(&s->commit->forgotten, st->position, 1);
	l->dead_kept -= l->dead_kept > 0;
	l->dead_bytes -= l->dead_bytes > st->len ? st->len : l->dead_bytes;
	if (!st->again) {
		l->dead_gone++;
	} else if (l->dead && l->matched) {
		/* A channel's letters were never matched. */
		l->dead--;
		l->matched--;
	}
	return l;
}

static void apply_entries(struct store *s, struct stead *st)
{
	struct ref *r = st->ref;
	struct settlement e = { .ref = r, .outcome = st->outcome, .bytes = r->touched ? r->next_bytes : r->bytes, .death = st->death };
	memcpy(e.bits, st->bits, sizeof(e.bits));
	if (memcmp(st->bits, r->touched ? r->next_left : r->left, sizeof(st->bits)) != 0 || st->outcome == OUTCOME_DEAD) {
		uint32_t all = e.bytes;
		bool readable = chunk_load(s, r->block, st->rendering) == DB_OK;
		e.bytes = readable ? chunk_bytes(block_chunk(r->block, st->rendering), st->bits) : 0;
		e.bytes = e.bytes < all ? e.bytes : all;
	}
	settle_one(s, &e);
}

void steads_apply(struct store *s, struct ticket *t)
{
	struct commit *c = s->commit;
	struct ledger *l = NULL;
	uint32_t owner = 0;
	for (struct stead *st = t->steads, *next; st; st = next) {
		next = st->next;
		if (!st->letter) {
			apply_entries(s, st);
			st->next = c->moved;
			c->moved = st;
			continue;
		}
		if (l && owner != st->owner)
			floor_forward(s, l, owner);
		owner = st->owner;
		l = apply_letter(s, st);
		stead_free(st);
	}
	if (l)
		floor_forward(s, l, owner);
	t->steads = NULL;
	t->steads_end = &t->steads;
}

static bool is_last(const struct ref *r)
{
	for (unsigned i = 0; i < r->block->nrefs; i++) {
		const struct ref *other = &r->block->refs[i];
		if (other != r && bits_any(other->touched ? other->next_left : other->left))
			return false;
	}
	return !r->block->partial;
}

bool steads_take(struct store *s, uint32_t buffer, uint64_t position, const uint64_t bits[BITS_WORDS], enum outcome o, uint64_t *freed)
{
	struct commit *c = s->commit;
	struct stead *st = xcalloc(1, sizeof(*st));
	st->owner = buffer;
	st->position = position;
	st->outcome = o;
	memcpy(st->bits, bits, sizeof(st->bits));
	*freed = 0;
	if (!entries_stand(s, st)) {
		stead_free(st);
		return false;
	}
	if (is_last(st->ref))
		*freed = block_chunk(st->ref->block, 0)->written;
	apply_entries(s, st);
	st->next = c->moved;
	c->moved = st;
	return true;
}

void steads_end(struct store *s, bool ok)
{
	struct commit *c = s->commit;
	if (c->forgotten.n) {
		umap_fini(&c->forgotten);
		umap_init(&c->forgotten);
	}
	while (c->moved) {
		struct stead *st = c->moved;
		c->moved = st->next;
		if (!ok)
			window_returned(st->ref->buffer, st->ref, st->bits);
		block_unuse(s, st->ref->block);
		stead_free(st);
	}
}

/* ---- looking in */

#define KEPT_AT_ONCE 64

static enum db_result read_chunk(struct store *s, struct block *b, uint32_t rendering)
{
	struct buf value = BUF_INIT;
	struct key k = key_chunk(b->position, rendering);
	enum db_result r = db_get(s->db, k.p, k.n, &value, NULL, 0);
	if (r == DB_OK && (!chunk_unpack(&value) || !chunk_adopt(block_chunk_make(b, rendering), &value, b->position)))
		r = DB_CORRUPT;
	buf_fini(&value);
	return r;
}

struct look { uint64_t position; uint32_t rendering; struct ref_row row; };

static unsigned read_refs(struct store *s, uint32_t buffer, uint64_t from, struct look *out)
{
	unsigned n = 0;
	uint32_t number;
	const void *key, *value;
	size_t keylen, len;
	struct key k = key_ref(buffer, from, 0);
	struct db_iter *it = db_iter_new(s->db, k.p, k.n);
	for (; n < KEPT_AT_ONCE && db_iter_row(it, &key, &keylen, &value, &len); db_iter_next(it)) {
		struct look *l = &out[n];
		if (!key_is_ref(key, keylen, &number, &l->position, &l->rendering) || number != buffer)
			break;
		struct key found = key_ref(number, l->position, l->rendering);
		/* Rows of one position go together: the next round begins behind it. */
		if (ref_decode(&found, value, len, &l->row) && !(n + 1 == KEPT_AT_ONCE && n && out[n - 1].position == l->position))
			n++;
	}
	db_iter_free(it);
	return n;
}

static bool tell(struct store *s, const struct look *l, bool (*fn)(void *arg, const struct kept *k), void *arg)
{
	struct block *b = block_new(s);
	b->position = l->position;
	bool there = read_chunk(s, b, l->rendering) == DB_OK;
	bool source = there && (l->rendering == 0 || read_chunk(s, b, 0) == DB_OK);
	struct kept k = { .position = l->position, .arrived = l->row.arrived, .rendering = l->rendering, .n = l->row.total, .bits = l->row.bits,
		.chunk = there ? block_chunk(b, l->rendering) : NULL, .source = source ? block_chunk(b, 0) : NULL };
	bool more = fn(arg, &k);
	block_recycle(s, b);
	return more;
}

void store_each_kept(struct store *s, uint32_t buffer, uint64_t from, bool (*fn)(void *arg, const struct kept *k), void *arg)
{
	uint64_t value;
	store_lock(s);
	bool more = umap_get(&s->buffers, buffer, &value);
	if (more) {
		const struct buffer *b = (const struct buffer *)(uintptr_t)value;
		uint64_t floor = b->ledger.buffered ? b->ledger.floor : UINT64_MAX;
		from = from > floor ? from : floor;
	}
	store_unlock(s);
	struct look *looks = xcalloc(KEPT_AT_ONCE, sizeof(*looks));
	while (more && store_db_enter(s)) {
		unsigned n = read_refs(s, buffer, from, looks);
		for (unsigned i = 0; i < n && more; i++)
			more = tell(s, &looks[i], fn, arg);
		store_db_leave(s);
		more = more && n > 0;
		if (n)
			from = looks[n - 1].position + 1;
	}
	free(looks);
}

bool chunk_source(const struct chunk *c, unsigned i, const struct chunk *source, struct entry *out)
{
	int at = chunk_index(&c->head, i);
	if (at < 0 || !source)
		return false;
	unsigned number = c->rendering ? chunk_row(&c->head, (unsigned)at).source : i;
	if (chunk_index(&source->head, number) < 0)
		return false;
	chunk_entry(source, number, out);
	return true;
}
