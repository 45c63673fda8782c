/* settle.c - what settlements make of the rows: refs rewritten or deleted, chunks deleted or made smaller.
 *
 * The hard idea: nothing is changed in memory until the write has succeeded. What a ref will be stands in next_left, so that a
 * failed commit is forgotten by forgetting that, and the settlements simply ride with a later one. */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "store/commit.h"

static const uint64_t *after(const struct ref *r)
{
	return r->touched ? r->next_left : r->left;
}

static void touch(struct commit *c, struct ref *r)
{
	if (r->touched)
		return;
	if (c->ntouched == c->touched_cap) {
		c->touched_cap = c->touched_cap ? c->touched_cap * 2 : 64;
		c->touched = xrealloc(c->touched, c->touched_cap * sizeof(*c->touched));
	}
	c->touched[c->ntouched++] = r;
	r->touched = true;
	r->next_bytes = r->bytes;
	memcpy(r->next_left, r->left, sizeof(r->left));
}

/* ---- dead letters */

static void dead_letters(struct store *s, const struct settlement *e)
{
	struct block *b = e->ref->block;
	const struct chunk *c = block_chunk(b, e->ref->rendering), *source = c;
	if (c->rendering != 0)
		source = chunk_load(s, b, 0) == DB_OK ? block_chunk(b, 0) : NULL;
	struct buf value = BUF_INIT, ident = BUF_INIT;
	for (unsigned i = bits_next(e->bits, 0); i < SPAN_ENTRIES_MAX; i = bits_next(e->bits, i + 1)) {
		int at = chunk_index(&c->head, i), from;
		if (at < 0)
			continue;
		struct entry_row row = chunk_row(&c->head, (unsigned)at), made_of;
		buf_clear(&ident);
		buf_add(&ident, c->head.texts + row.text, row.ident_len);
		struct dead_letter d = {
			.id = row.id,
			.when_us = clock_real_us(),
			.time_us = row.time_us,
			.ident = ident.p,
			.reason = e->death->reason,
			.answer = e->death->answer,
			.status = e->death->status,
			.attempts = e->death->attempts + row.attempts,
			.row = row.row,
			.rows = row.rows,
			.bytes = c->value.p + row.offset,
			.len = row.len,
		};
		if (source && (from = chunk_index(&source->head, row.source)) >= 0) {
			made_of = chunk_row(&source->head, (unsigned)from);
			d.source = source->value.p + made_of.offset;
			d.source_len = made_of.len;
		}
		buf_clear(&value);
		dead_encode(&value, &d, store_elapsed(s));
		dead_write(s, e->ref->buffer, &value);
	}
	buf_fini(&value);
	buf_fini(&ident);
}

/* ---- refs and chunks */

void settle_one(struct store *s, const struct settlement *e)
{
	struct commit *c = s->commit;
	struct ref *r = e->ref;
	touch(c, r);
	unsigned n = bits_count(e->bits);
	for (unsigned w = 0; w < BITS_WORDS; w++) {
		assert(!(e->bits[w] & ~r->next_left[w]));
		r->next_left[w] &= ~e->bits[w];
	}
	r->next_bytes -= e->bytes;
	struct ledger *l = commit_ledger(s, r->buffer);
	l->buffered -= n;
	l->bytes -= e->bytes;
	switch (e->outcome) {
	case OUTCOME_ACCEPTED: l->accepted += n; break;
	case OUTCOME_EXPIRED: l->expired += n; break;
	case OUTCOME_DROPPED: l->dropped += n; break;
	case OUTCOME_PURGED: l->purged += n; break;
	case OUTCOME_MOVED: l->matched -= n; break;
	case OUTCOME_DEAD:
		l->dead += n;
		dead_letters(s, e);
		break;
	}
}

/* Rows of chunks that the last ref has left. A chunk's row is there as long as a ref of its rendering is; the source's, as long as any. */
static void drop_chunks(struct store *s, struct block *b)
{
	if (b->partial)
		return;
	for (unsigned i = 0; i < b->nchunks; i++) {
		const struct chunk *c = b->chunks[i];
		bool before = false, now = false;
		for (unsigned k = 0; k < b->nrefs && !now; k++) {
			const struct ref *r = &b->refs[k];
			if (c->rendering && r->rendering != c->rendering)
				continue;
			before = before || bits_any(r->left);
			now = bits_any(after(r));
		}
		if (!before || now)
			continue;
		struct key k = key_chunk(b->position, c->rendering);
		commit_delete(s, &k);
		s->commit->garbage += c->written ? c->written : BLOCK_BYTES / 10;
	}
}

void settle_apply(struct store *s)
{
	struct commit *c = s->commit;
	for (struct settlement *e = c->settlements; e; e = e->next)
		settle_one(s, e);
}

void settle_write(struct store *s)
{
	struct commit *c = s->commit;
	for (size_t i = 0; i < c->ntouched; i++) {
		struct ref *r = c->touched[i];
		struct key k = key_ref(r->number, r->block->position, r->rendering);
		if (bits_any(r->next_left)) {
			struct ref_row row = { .arrived = r->block->arrived, .bytes = r->next_bytes, .total = r->total };
			memcpy(row.bits, r->next_left, sizeof(row.bits));
			buf_clear(&c->row);
			ref_encode(&c->row, &k, &row);
			commit_put(s, &k, &c->row);
		} else {
			commit_delete(s, &k);
			r->block->touched = true;
		}
	}
	for (size_t i = 0; i < c->ntouched; i++) {
		struct block *b = c->touched[i]->block;
		if (b->touched)
			drop_chunks(s, b);
		b->touched = false;
	}
}

/* ---- blocks of which less than half is wanted */

static void shrink(struct store *s, struct chunk *c, const uint64_t *wanted)
{
	struct commit *cm = s->commit;
	if (chunk_bytes(c, wanted) * UINT64_C(2) >= c->stored)
		return;
	struct key k = key_chunk(c->block->position, c->rendering);
	buf_clear(&cm->row);
	chunk_compact(c, wanted, &cm->row);
	size_t written = commit_put_chunk(s, &k, &cm->row);
	if (cm->nshrunk == cm->shrunk_cap) {
		cm->shrunk_cap = cm->shrunk_cap ? cm->shrunk_cap * 2 : 64;
		cm->shrunk = xrealloc(cm->shrunk, cm->shrunk_cap * sizeof(*cm->shrunk));
	}
	cm->shrunk[cm->nshrunk].chunk = c;
	cm->shrunk[cm->nshrunk].written = written;
	cm->shrunk[cm->nshrunk++].stored = chunk_bytes(c, wanted);
	cm->garbage += c->written;
}

void settle_compact(struct store *s)
{
	for (struct block *b = s->commit->compact; b; b = b->next) {
		bool readable = true;
		for (unsigned i = b->nchunks; i-- > 0 && readable;) {
			/* Renderings before the source, which is wanted for what was made of it. */
			struct chunk *c = b->chunks[i];
			bool any = false;
			for (unsigned k = 0; k < b->nrefs; k++)
				any = any || ((!c->rendering || b->refs[k].rendering == c->rendering) && bits_any(after(&b->refs[k])));
			if (any)
				readable = chunk_load(s, b, c->rendering) == DB_OK;
		}
		if (!readable) {
			store_lock(s);
			b->partial = true; /* no use in trying again */
			store_unlock(s);
			continue;
		}
		for (unsigned i = 0; i < b->nchunks; i++) {
			uint64_t wanted[BITS_WORDS];
			store_lock(s);
			bool present = b->chunks[i]->present;
			block_wanted(b, b->chunks[i], true, wanted);
			store_unlock(s);
			if (present && bits_any(wanted))
				shrink(s, b->chunks[i], wanted);
		}
	}
}
