/* ticket.c - what one request leaves to write, gathered on its worker without touching a lock or malloc per message.
 *
 * The hard idea: a message that nobody wants must not stay. It is known only when the next one begins (or at submit), so every
 * chunk it touched remembers how long it was before, and the last message can always be cut off again. */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "store/states.h"

struct ticket *ticket_new(struct store *s, struct port *p, ticket_done_fn *done, void *arg)
{
	pthread_mutex_lock(&s->pool_lock);
	struct ticket *t = s->free_tickets;
	if (t)
		s->free_tickets = t->next;
	pthread_mutex_unlock(&s->pool_lock);
	struct skip *skips = t ? t->skips : NULL;
	unsigned skips_cap = t ? t->skips_cap : 0;
	if (!t)
		t = xmalloc(sizeof(*t));
	*t = (struct ticket){ .store = s, .port = p, .done = done, .arg = arg, .skips = skips, .skips_cap = skips_cap };
	t->dead_end = &t->dead;
	t->steads_end = &t->steads;
	return t;
}

void ticket_empty(struct ticket *t)
{
	while (t->first) {
		struct block *b = t->first;
		t->first = b->next;
		block_recycle(t->store, b);
	}
	t->last = NULL;
	while (t->dead) {
		struct dead_draft *d = t->dead;
		t->dead = d->next;
		buf_fini(&d->value);
		free(d);
	}
	t->dead_end = &t->dead;
	ticket_steads_free(t);
	t->nskips = 0;
	if (t->on_free)
		t->on_free(t->on_free_arg);
	t->on_free = NULL;
}

void ticket_free(struct ticket *t)
{
	struct store *s = t->store;
	struct claim *c = t->claim;
	t->claim = NULL;
	if (c && c->stage == CLAIM_HANDED_IN)
		claim_let_go(c);
	else
		claim_end(c);
	ticket_empty(t);
	pthread_mutex_lock(&s->pool_lock);
	t->next = s->free_tickets;
	s->free_tickets = t;
	pthread_mutex_unlock(&s->pool_lock);
}

void ticket_drop(struct ticket *t)
{
	if (t)
		ticket_free(t);
}

void ticket_on_free(struct ticket *t, void (*fn)(void *), void *arg)
{
	t->on_free = fn;
	t->on_free_arg = arg;
}

size_t ticket_size(const struct ticket *t)
{
	size_t n = sizeof(*t) + t->dead_size + (t->claim ? claim_size(t->claim) : 0);
	for (const struct block *b = t->first; b; b = b->next)
		for (unsigned i = 0; i < b->nchunks; i++)
			n += b->chunks[i]->value.len + b->chunks[i]->table.len + b->chunks[i]->texts.len;
	return n;
}

/* ---- messages */

static struct entry_row *row_of(const struct chunk *c, unsigned i)
{
	return (struct entry_row *)(void *)c->table.p + i;
}

/* Remember where a chunk was before the current message first touched it. */
static void mark(const struct ticket *t, struct chunk *c)
{
	if (c->mark_message == t->serial)
		return;
	c->mark_message = t->serial;
	c->mark_n = c->n;
	c->mark_len = c->value.len;
	c->mark_texts = c->texts.len;
}

static void cut_back(struct chunk *c)
{
	c->n = c->total = c->mark_n;
	c->value.len = c->mark_len;
	c->table.len = c->n * sizeof(struct entry_row);
	c->texts.len = c->mark_texts;
	c->mark_message = 0;
}

void ticket_message_undo(struct ticket *t)
{
	assert(t->message != MESSAGE_NONE && t->wants == 0);
	for (unsigned i = 0; i < t->last->nchunks; i++)
		if (t->last->chunks[i]->mark_message == t->serial)
			cut_back(t->last->chunks[i]);
	t->message = MESSAGE_NONE;
}

static void settle_message(struct ticket *t)
{
	assert(t->message != MESSAGE_OPEN);
	if (t->message == MESSAGE_ENDED && t->wants == 0)
		ticket_message_undo(t);
	t->message = MESSAGE_NONE;
}

struct buf *ticket_message(struct ticket *t, size_t *start)
{
	settle_message(t);
	if (!t->last || block_is_full(t->last)) {
		struct block *b = block_new(t->store);
		if (t->last)
			t->last->next = b;
		else
			t->first = b;
		t->last = b;
	}
	struct chunk *c = block_chunk_make(t->last, 0);
	t->serial++;
	mark(t, c);
	if (c->n)
		buf_addc(&c->value, ',');
	t->start = *start = c->value.len;
	t->entry = c->n;
	t->wants = 0;
	t->message = MESSAGE_OPEN;
	return &c->value;
}

static void add_row(struct chunk *c, struct entry_row *e, size_t start)
{
	e->offset = (uint32_t)start;
	e->len = (uint32_t)(c->value.len - start);
	e->number = (uint16_t)c->n;
	buf_add(&c->table, e, sizeof(*e));
	c->total = ++c->n;
}

void ticket_message_end(struct ticket *t, const struct message_head *head)
{
	assert(t->message == MESSAGE_OPEN);
	struct chunk *c = t->last->chunks[0];
	struct entry_row e = {
		.id = head->id,
		.time_us = head->time_us,
		.ident_hash = (uint32_t)hash_stable(head->ident, head->ident_len),
		.text = (uint32_t)c->texts.len,
		.ident_len = head->ident_len,
		.rows = 1,
		.source = (uint16_t)t->entry,
	};
	buf_add(&c->texts, head->ident, head->ident_len);
	add_row(c, &e, t->start);
	t->message = MESSAGE_ENDED;
}

void ticket_attempts(struct ticket *t, unsigned earlier)
{
	assert(t->message == MESSAGE_ENDED);
	row_of(t->last->chunks[0], t->entry)->attempts = earlier;
}

/* ---- renderings */

struct buf *ticket_rendering(struct ticket *t, uint32_t rendering, size_t *start)
{
	assert(t->message == MESSAGE_ENDED && rendering != 0);
	struct chunk *c = block_chunk_make(t->last, rendering);
	mark(t, c);
	/* An entry under way is the one thing behind the last comma; undoing it must take the comma too. */
	t->mark = c->value.len;
	if (c->n)
		buf_addc(&c->value, ',');
	*start = c->value.len;
	return &c->value;
}

unsigned ticket_rendering_end(struct ticket *t, uint32_t rendering, unsigned row, const void *address, size_t address_len)
{
	struct chunk *c = block_chunk(t->last, rendering);
	const struct chunk *source = t->last->chunks[0];
	assert(c && c->mark_message == t->serial && row < TICKET_ROWS_MAX && address_len <= 4096);
	struct entry_row e = *row_of(source, t->entry);
	const char *ident = source->texts.p + e.text;
	e.text = (uint32_t)c->texts.len;
	e.address_len = (uint16_t)address_len;
	e.row = (uint16_t)row;
	e.rows = (uint16_t)(row + 1);
	buf_add(&c->texts, ident, e.ident_len);
	buf_add(&c->texts, address, address_len);
	unsigned number = c->n;
	add_row(c, &e, t->mark + (number ? 1 : 0));
	for (unsigned i = 1; i <= row; i++)
		row_of(c, number - i)->rows = (uint16_t)(row + 1);
	return number;
}

void ticket_rendering_undo(struct ticket *t, uint32_t rendering)
{
	struct chunk *c = block_chunk(t->last, rendering);
	assert(c && c->mark_message == t->serial);
	cut_back(c);
}

/* ---- who gets it */

void ticket_want(struct ticket *t, uint32_t buffer, uint32_t rendering, unsigned entry)
{
	assert(t->message == MESSAGE_ENDED);
	const struct chunk *c = block_chunk(t->last, rendering);
	if (!rendering)
		entry = t->entry;
	assert(c && entry < c->n);
	struct ref *r = block_ref(t->last, buffer, rendering, &t->ref_hint);
	if (!r)
		r = block_ref_make(t->last, buffer, rendering);
	if (bits_has(r->left, entry))
		return;
	bits_set(r->left, entry);
	r->bytes += row_of(c, entry)->len;
	t->wants++;
}

void ticket_waits(struct ticket *t)
{
	t->waits = true;
}

void ticket_keep(struct ticket *t, uint32_t history)
{
	ticket_want(t, history, 0, 0);
}

void ticket_skip(struct ticket *t, uint32_t buffer)
{
	for (unsigned i = 0; i < t->nskips; i++) {
		unsigned at = (t->skip_hint + i) % t->nskips;
		if (t->skips[at].number == buffer) {
			t->skips[at].n++;
			t->skip_hint = at + 1;
			return;
		}
	}
	if (t->nskips == t->skips_cap) {
		t->skips_cap = t->skips_cap ? t->skips_cap * 2 : 8;
		t->skips = xrealloc(t->skips, t->skips_cap * sizeof(*t->skips));
	}
	t->skips[t->nskips++] = (struct skip){ .number = buffer, .n = 1 };
}

static void add_dead(struct ticket *t, uint32_t owner, bool matched, const struct dead_letter *letter)
{
	struct dead_draft *d = xcalloc(1, sizeof(*d));
	d->owner = owner;
	d->matched = matched;
	dead_encode(&d->value, letter, store_elapsed(t->store));
	*t->dead_end = d;
	t->dead_end = &d->next;
	t->dead_size += sizeof(*d) + d->value.len;
}

void ticket_dead(struct ticket *t, uint32_t buffer, const char *reason)
{
	assert(t->message == MESSAGE_ENDED);
	const struct chunk *c = t->last->chunks[0];
	const struct entry_row *e = row_of(c, t->entry);
	char *ident = xmalloc(e->ident_len + 1u);
	memcpy(ident, c->texts.p + e->text, e->ident_len);
	ident[e->ident_len] = '\0';
	add_dead(t, buffer, true, &(struct dead_letter){
		.id = e->id,
		.when_us = clock_real_us(),
		.time_us = e->time_us,
		.ident = ident,
		.reason = reason,
		.attempts = e->attempts + 1,
		.source = c->value.p + e->offset,
		.source_len = e->len,
	});
	free(ident);
}

static void refuse(struct ticket *t, uint32_t channel, const char *reason, const void *bytes, size_t n, const char *peer, int status)
{
	add_dead(t, channel, false, &(struct dead_letter){
		.id = store_ids(t->store, 1),
		.when_us = clock_real_us(),
		.reason = reason,
		.peer = peer,
		.status = status,
		.source = bytes,
		.source_len = n,
	});
}

void ticket_refuse(struct ticket *t, uint32_t channel, const char *reason, const void *bytes, size_t n, const char *peer)
{
	refuse(t, channel, reason, bytes, n, peer, 0);
}

void ticket_refuse_raw(struct ticket *t, uint32_t channel, const char *reason, const void *bytes, size_t n, const char *peer)
{
	refuse(t, channel, reason, bytes, n, peer, LETTER_RAW);
}

/* ---- and off */

void ticket_submit(struct ticket *t)
{
	struct store *s = t->store;
	settle_message(t);
	/* Of the blocks only the last can be without messages, after an undo. */
	if (t->last && t->last->chunks[0]->n == 0) {
		struct block **at = &t->first, *before = NULL;
		while (*at != t->last) {
			before = *at;
			at = &(*at)->next;
		}
		*at = NULL;
		block_recycle(s, t->last);
		t->last = before;
	}
	bool nothing = !t->first && !t->nskips && !t->dead && !t->steads && !claim_changes(t->claim);
	if (nothing)
		ticket_empty(t);
	t->next = NULL;
	store_lock(s);
	t->port->refs++;
	if (nothing) {
		t->result = TICKET_TAKEN;
		port_done(t->port, t);
	} else {
		if (!s->tickets)
			pthread_cond_signal(&s->work);
		*s->tickets_end = t;
		s->tickets_end = &t->next;
	}
	if (t->claim)
		claim_hand_in(t->claim);
	ports_signal(s);
	store_unlock(s);
}
