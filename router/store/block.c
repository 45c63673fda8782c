/* block.c - blocks in memory: built by a ticket, merged and sealed by a commit, read back by the reader.
 *
 * The hard idea: a block's buffers are never given back to malloc but kept on a free list with whatever size they have
 * grown to, so that a message on its way through ticket and commit costs no allocation. */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "store/inside.h"

#define POOL_BYTES (8u << 20)        /* kept for reuse */
#define POOL_BUFFER (512u << 10)     /* a larger buffer is not */

/* ---- life */

struct block *block_new(struct store *s)
{
	pthread_mutex_lock(&s->pool_lock);
	struct block *b = s->free_blocks;
	if (b) {
		s->free_blocks = b->next;
		s->free_memory -= b->memory;
	}
	pthread_mutex_unlock(&s->pool_lock);
	if (!b)
		b = xcalloc(1, sizeof(*b));
	b->memory = 0;
	b->next = NULL;
	return b;
}

static void block_free(struct block *b)
{
	for (unsigned i = 0; i < b->chunks_cap; i++) {
		struct chunk *c = b->chunks[i];
		buf_fini(&c->value);
		buf_fini(&c->table);
		buf_fini(&c->texts);
		free(c);
	}
	free(b->chunks);
	free(b->refs);
	free(b);
}

static void buf_trim(struct buf *b)
{
	if (b->cap > POOL_BUFFER)
		buf_fini(b);
	else
		buf_clear(b);
}

void block_recycle(struct store *s, struct block *b)
{
	assert(b->users == 0 && !b->mapped && !b->queued);
	size_t memory = sizeof(*b) + b->refs_cap * sizeof(*b->refs);
	for (unsigned i = 0; i < b->chunks_cap; i++) {
		struct chunk *c = b->chunks[i];
		buf_trim(&c->value);
		buf_trim(&c->table);
		buf_trim(&c->texts);
		memory += sizeof(*c) + c->value.cap + c->table.cap + c->texts.cap;
	}
	b->nchunks = b->nrefs = 0;
	b->touched = b->partial = false;
	b->position = 0;
	pthread_mutex_lock(&s->pool_lock);
	bool keep = s->free_memory + memory <= POOL_BYTES;
	if (keep) {
		b->memory = memory;
		s->free_memory += memory;
		b->next = s->free_blocks;
		s->free_blocks = b;
	}
	pthread_mutex_unlock(&s->pool_lock);
	if (!keep)
		block_free(b);
}

/* Everything on the free list to malloc; at closing. */
void block_pool_fini(struct store *s)
{
	while (s->free_blocks) {
		struct block *b = s->free_blocks;
		s->free_blocks = b->next;
		block_free(b);
	}
}

/* ---- parts */

struct chunk *block_chunk(const struct block *b, uint32_t rendering)
{
	for (unsigned i = 0; i < b->nchunks; i++)
		if (b->chunks[i]->rendering == rendering)
			return b->chunks[i];
	return NULL;
}

struct chunk *block_chunk_make(struct block *b, uint32_t rendering)
{
	struct chunk *c = block_chunk(b, rendering);
	if (c)
		return c;
	if (b->nchunks == b->chunks_cap) {
		b->chunks = xrealloc(b->chunks, (b->chunks_cap + 1) * sizeof(*b->chunks));
		b->chunks[b->chunks_cap++] = xcalloc(1, sizeof(*c));
	}
	c = b->chunks[b->nchunks++];
	buf_clear(&c->value);
	buf_clear(&c->table);
	buf_clear(&c->texts);
	c->block = b;
	c->rendering = rendering;
	c->present = false;
	c->n = c->total = 0;
	c->body_len = c->stored = c->written = 0;
	c->mark_message = 0;
	return c;
}

struct ref *block_ref(const struct block *b, uint32_t number, uint32_t rendering, unsigned *hint)
{
	/* Every message of a ticket asks for much the same buffers in the same order. */
	unsigned first = *hint < b->nrefs ? *hint : 0;
	for (unsigned i = 0; i < b->nrefs; i++) {
		unsigned at = first + i < b->nrefs ? first + i : first + i - b->nrefs;
		if (b->refs[at].number == number && b->refs[at].rendering == rendering) {
			*hint = at + 1 < b->nrefs ? at + 1 : 0;
			return &b->refs[at];
		}
	}
	return NULL;
}

struct ref *block_ref_make(struct block *b, uint32_t number, uint32_t rendering)
{
	if (b->nrefs == b->refs_cap) {
		b->refs_cap = b->refs_cap ? b->refs_cap * 2 : 4;
		b->refs = xrealloc(b->refs, b->refs_cap * sizeof(*b->refs));
	}
	struct ref *r = &b->refs[b->nrefs++];
	*r = (struct ref){ .block = b, .number = number, .rendering = rendering };
	return r;
}

bool block_is_full(const struct block *b)
{
	if (b->nchunks && b->chunks[0]->n >= BLOCK_MESSAGES)
		return true;
	for (unsigned i = 0; i < b->nchunks; i++)
		if (b->chunks[i]->value.len >= BLOCK_BYTES || b->chunks[i]->n >= BLOCK_ENTRIES)
			return true;
	return false;
}

/* ---- merging */

bool block_takes(const struct block *b, const struct block *more)
{
	if (b->chunks[0]->n + more->chunks[0]->n > BLOCK_MESSAGES)
		return false;
	for (unsigned i = 0; i < more->nchunks; i++) {
		const struct chunk *c = block_chunk(b, more->chunks[i]->rendering);
		if (c && (c->n + more->chunks[i]->n > SPAN_ENTRIES_MAX || c->value.len + more->chunks[i]->value.len > BLOCK_BYTES))
			return false;
	}
	/* A buffer that changes its rendering does so between blocks: inside one, order holds per rendering only. */
	for (unsigned i = 0; i < more->nrefs; i++)
		for (unsigned k = 0; k < b->nrefs; k++)
			if (b->refs[k].number == more->refs[i].number && b->refs[k].rendering != more->refs[i].rendering)
				return false;
	return true;
}

void block_merge(struct block *b, const struct block *more)
{
	unsigned source_base = b->chunks[0]->n, hint = 0;
	for (unsigned i = 0; i < more->nchunks; i++) {
		const struct chunk *from = more->chunks[i];
		if (!from->n)
			continue;
		struct chunk *to = block_chunk_make(b, from->rendering);
		unsigned base = to->n;
		if (base)
			buf_addc(&to->value, ',');
		uint32_t offset = (uint32_t)to->value.len, text = (uint32_t)to->texts.len;
		buf_add(&to->value, from->value.p, from->value.len);
		buf_add(&to->texts, from->texts.p, from->texts.len);
		size_t at = to->table.len;
		buf_add(&to->table, from->table.p, from->table.len);
		struct entry_row *rows = (struct entry_row *)(void *)(to->table.p + at);
		for (unsigned k = 0; k < from->n; k++) {
			rows[k].offset += offset;
			rows[k].text += text;
			rows[k].number = (uint16_t)(rows[k].number + base);
			rows[k].source = (uint16_t)(rows[k].source + source_base);
		}
		to->n += from->n;
		to->total = to->n;
		for (unsigned k = 0; k < more->nrefs; k++) {
			const struct ref *r = &more->refs[k];
			if (r->rendering != from->rendering || !bits_any(r->left))
				continue;
			struct ref *mine = block_ref(b, r->number, r->rendering, &hint);
			if (!mine)
				mine = block_ref_make(b, r->number, r->rendering);
			mine->buffer = r->buffer;
			mine->bytes += r->bytes;
			for (unsigned e = bits_next(r->left, 0); e < SPAN_ENTRIES_MAX; e = bits_next(r->left, e + 1))
				bits_set(mine->left, base + e);
		}
	}
}

/* ---- sealing and reading back */

/* What a commit keeps in memory for senders should not be mostly room to grow. */
static void chunk_fit(struct chunk *c)
{
	struct buf *v = &c->value;
	if (v->cap <= v->len * 2 + 8192)
		return;
	v->cap = v->len + 1;
	v->p = xrealloc(v->p, v->cap);
	c->head.table = v->p + c->body_len;
	c->head.texts = c->head.table + c->head.n * sizeof(struct entry_row);
	c->head.refs = c->head.texts + c->texts.len;
}

void block_seal(struct block *b, uint64_t position, int64_t arrived)
{
	b->position = position;
	b->arrived = arrived;
	struct ref_name few[64], *names = b->nrefs <= 64 ? few : xmalloc(b->nrefs * sizeof(*names));
	for (unsigned i = 0; i < b->nrefs; i++)
		names[i] = (struct ref_name){ b->refs[i].number, b->refs[i].rendering };
	for (unsigned i = 0; i < b->nchunks; i++) {
		struct chunk *c = b->chunks[i];
		c->head = (struct chunk_head){ .position = position, .arrived = arrived, .rendering = c->rendering, .n = c->n,
			.total = c->total, .nrefs = b->nrefs };
		c->body_len = c->stored = c->value.len;
		chunk_encode(&c->value, &c->head, (const struct entry_row *)(const void *)c->table.p, &c->texts, names);
		chunk_fit(c);
		c->present = true;
	}
	if (names != few)
		free(names);
	for (unsigned i = 0; i < b->nrefs; i++)
		b->refs[i].total = block_chunk(b, b->refs[i].rendering)->total;
}

bool chunk_adopt(struct chunk *c, struct buf *value, uint64_t position)
{
	struct chunk_head h;
	if (!chunk_decode(value->p, value->len, &h) || h.position != position || h.rendering != c->rendering)
		return false;
	struct buf old = c->value;
	c->value = *value;
	*value = old;
	c->head = h;
	c->n = h.n;
	c->total = h.total;
	c->body_len = c->stored = h.body_len;
	c->present = true;
	return true;
}

void chunk_compact(const struct chunk *c, const uint64_t *keep, struct buf *value)
{
	struct buf table = BUF_INIT, texts = BUF_INIT;
	struct chunk_head h = c->head;
	h.n = 0;
	for (unsigned i = 0; i < c->head.n; i++) {
		struct entry_row e = chunk_row(&c->head, i);
		if (!bits_has(keep, e.number))
			continue;
		if (h.n++)
			buf_addc(value, ',');
		const char *bytes = c->value.p + e.offset, *text = c->head.texts + e.text;
		e.offset = (uint32_t)value->len;
		e.text = (uint32_t)texts.len;
		buf_add(value, bytes, e.len);
		buf_add(&texts, text, (size_t)e.ident_len + e.address_len);
		buf_add(&table, &e, sizeof(e));
	}
	struct ref_name *names = xmalloc((h.nrefs + 1) * sizeof(*names));
	for (unsigned i = 0; i < h.nrefs; i++)
		names[i] = chunk_ref(&c->head, i);
	chunk_encode(value, &h, (const struct entry_row *)(const void *)table.p, &texts, names);
	free(names);
	buf_fini(&table);
	buf_fini(&texts);
}

uint32_t chunk_bytes(const struct chunk *c, const uint64_t *bits)
{
	uint32_t n = 0;
	for (unsigned e = bits_next(bits, 0); e < SPAN_ENTRIES_MAX; e = bits_next(bits, e + 1)) {
		int i = chunk_index(&c->head, e);
		if (i >= 0)
			n += chunk_row(&c->head, (unsigned)i).len;
	}
	return n;
}

void block_wanted(const struct block *b, const struct chunk *c, bool soon, uint64_t *out)
{
	memset(out, 0, BITS_WORDS * sizeof(*out));
	for (unsigned i = 0; i < b->nrefs; i++) {
		const struct ref *r = &b->refs[i];
		const uint64_t *left = soon && r->touched ? r->next_left : r->left;
		if (r->rendering == c->rendering) {
			for (unsigned w = 0; w < BITS_WORDS; w++)
				out[w] |= left[w];
		} else if (c->rendering == 0) {
			/* The source stays for what was made of it: dead letters and replays render anew. */
			const struct chunk *made = block_chunk(b, r->rendering);
			if (!made || !made->present) {
				if (bits_any(left))
					memset(out, 0xff, BITS_WORDS * sizeof(*out));
				continue;
			}
			for (unsigned e = bits_next(left, 0); e < SPAN_ENTRIES_MAX; e = bits_next(left, e + 1)) {
				int at = chunk_index(&made->head, e);
				if (at >= 0)
					bits_set(out, chunk_row(&made->head, (unsigned)at).source);
			}
		}
	}
}

void chunk_entry(const struct chunk *c, unsigned i, struct entry *out)
{
	int at = chunk_index(&c->head, i);
	assert(at >= 0);
	struct entry_row e = chunk_row(&c->head, (unsigned)at);
	const char *text = c->head.texts + e.text;
	*out = (struct entry){
		.bytes = c->value.p + e.offset,
		.len = e.len,
		.ident_hash = e.ident_hash,
		.id = e.id,
		.time_us = e.time_us,
		.ident = text,
		.ident_len = e.ident_len,
		.row = e.row,
		.rows = e.rows,
		.address = text + e.ident_len,
		.address_len = e.address_len,
	};
}

uint32_t chunk_rendering(const struct chunk *c)
{
	return c->rendering;
}

/* ---- in the map */

size_t block_measure(const struct block *b)
{
	size_t n = sizeof(*b) + b->refs_cap * sizeof(*b->refs);
	for (unsigned i = 0; i < b->nchunks; i++)
		n += b->chunks[i]->value.cap + b->chunks[i]->table.cap + b->chunks[i]->texts.cap;
	return n;
}

struct block *block_find(struct store *s, uint64_t position)
{
	uint64_t value;
	return umap_get(&s->blocks, position, &value) ? (struct block *)(uintptr_t)value : NULL;
}

void block_map(struct store *s, struct block *b)
{
	umap_put(&s->blocks, b->position, (uint64_t)(uintptr_t)b);
	b->mapped = true;
	b->memory = block_measure(b);
	s->memory += b->memory;
}

/* Is less than half of what its rows take on disk still wanted? */
static bool is_sparse(const struct block *b)
{
	size_t stored = 0, wanted = 0;
	for (unsigned i = 0; i < b->nchunks; i++) {
		const struct chunk *c = b->chunks[i];
		uint64_t bits[BITS_WORDS];
		if (!c->present)
			continue;
		block_wanted(b, c, false, bits);
		if (!bits_any(bits))
			continue; /* its row is gone */
		stored += c->stored;
		wanted += chunk_bytes(c, bits);
	}
	return stored > wanted * 2 + 512;
}

void block_unuse(struct store *s, struct block *b)
{
	assert(b->users > 0);
	if (--b->users)
		return;
	if (!b->queued && !b->partial && is_sparse(b)) {
		b->queued = true;
		b->next = NULL;
		*s->compact_end = b;
		s->compact_end = &b->next;
		s->ncompact++;
		if (!s->settle_since)
			s->settle_since = clock_mono_us();
		pthread_cond_signal(&s->work);
	}
	if (b->queued)
		return;
	umap_del(&s->blocks, b->position);
	s->memory -= b->memory;
	b->mapped = false;
	block_recycle(s, b);
}
