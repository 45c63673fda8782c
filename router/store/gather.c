/* gather.c - which of the waiting tickets there is room for, and what becomes of their blocks.
 *
 * The hard idea: a ticket is taken whole or not at all. Room is looked for in every buffer it matches before a byte of it is
 * written, counting what the tickets before it in the same commit are about to add. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/commit.h"
#include "store/states.h"

/* ---- room */

static uint64_t bytes_soon(const struct buffer *b)
{
	return b->changed ? b->next.bytes : b->ledger.bytes;
}

static const char *stream_of(struct store *s, const struct buffer *b, char *out, size_t n)
{
	store_lock(s);
	if (b->stream)
		snprintf(out, n, "%s", b->stream);
	else
		snprintf(out, n, "buffer %u", b->number);
	store_unlock(s);
	return out;
}

/* May the ticket's messages for b be taken? Sets b->dropping where they are to be left out instead. */
static bool has_room(struct store *s, struct ticket *t, struct buffer *b, const struct buffer *pressed, bool all_pressed)
{
	uint64_t bytes = bytes_soon(b);
	if (b->history) {
		b->dropping = all_pressed;
		return true;
	}
	store_lock(s);
	struct buffer_options o = b->options;
	uint64_t max = buffer_max(b);
	store_unlock(s);
	bool press = b == pressed || all_pressed;
	bool over = bytes && bytes + b->asked > max, waits = t->waits || t->steads;
	char name[128];
	if (!over && !press)
		return true;
	switch (o.full) {
	case FULL_DROP_NEWEST:
		if (waits)
			break; /* what was kept until now is not dropped for being tried again */
		if (!over && space_wants(s))
			break; /* history is about to make room */
		b->dropping = true;
		return true;
	case FULL_DROP_OLDEST:
		/* Its sender drops the oldest; until it has come round to that, the buffer may be somewhat over. But what is owed does not go for what
		 * had its turn. */
		if (!waits && !all_pressed && bytes + b->asked <= max + max / 4 + (1 << 20))
			return true;
		break;
	case FULL_BLOCK:
		break;
	}
	stream_of(s, b, name, sizeof(name));
	if (press)
		snprintf(t->why, sizeof(t->why), "the store has reached limits.disk; stream %s holds %llu bytes of it", name,
			(unsigned long long)bytes);
	else
		snprintf(t->why, sizeof(t->why), "the buffer of stream %s is full (%llu of %llu bytes)", name, (unsigned long long)bytes,
			(unsigned long long)max);
	return false;
}

#define EACH_REF(t, b, r)                                    \
	for (struct block *b = (t)->first; b; b = b->next)   \
		for (struct ref *r = b->refs; r < b->refs + b->nrefs; r++)

static bool check_room(struct store *s, struct ticket *t, const struct buffer *pressed, bool all_pressed)
{
	bool room = true;
	EACH_REF(t, b, r) {
		r->buffer->dropping = false;
		r->buffer->asked += r->bytes;
		r->buffer->asked_n += bits_count(r->left);
	}
	EACH_REF(t, b, r)
		if (room && r->buffer->asked_n) {
			room = has_room(s, t, r->buffer, pressed, all_pressed);
			r->buffer->asked = r->buffer->asked_n = 0;
		}
	EACH_REF(t, b, r)
		r->buffer->asked = r->buffer->asked_n = 0;
	return room;
}

/* ---- blocks */

static void put_block(struct store *s, struct block *b)
{
	struct commit *c = s->commit;
	block_seal(b, commit_position(s), store_elapsed(s));
	for (unsigned i = 0; i < b->nrefs; i++) {
		const struct ref *r = &b->refs[i];
		if (!bits_any(r->left))
			continue;
		struct key k = key_ref(r->number, b->position, r->rendering);
		struct ref_row row = { .arrived = b->arrived, .bytes = r->bytes, .total = r->total };
		memcpy(row.bits, r->left, sizeof(row.bits));
		buf_clear(&c->row);
		ref_encode(&c->row, &k, &row);
		commit_put(s, &k, &c->row);
	}
	for (unsigned i = 0; i < b->nchunks; i++) {
		struct chunk *ch = b->chunks[i];
		bool wanted = ch->rendering == 0;
		for (unsigned k = 0; k < b->nrefs && !wanted; k++)
			wanted = b->refs[k].rendering == ch->rendering && bits_any(b->refs[k].left);
		struct key k = key_chunk(b->position, ch->rendering);
		if (wanted)
			ch->written = commit_put_chunk(s, &k, &ch->value);
	}
	b->next = NULL;
	*c->blocks_end = b;
	c->blocks_end = &b->next;
}

static bool is_small(const struct block *b)
{
	if (b->chunks[0]->n >= BLOCK_MESSAGES / 2)
		return false;
	for (unsigned i = 0; i < b->nchunks; i++)
		if (b->chunks[i]->value.len >= BLOCK_BYTES / 2 || b->chunks[i]->n >= BLOCK_ENTRIES / 2)
			return false;
	return true;
}

static void close_open(struct store *s)
{
	struct block *b = s->commit->open;
	s->commit->open = NULL;
	if (b)
		put_block(s, b);
}

static void tell_dropped(struct store *s, struct buffer *b, uint64_t n)
{
	char object[144] = "stream/";
	if (!seldom(&b->told_dropped, clock_mono_us(), &n))
		return;
	stream_of(s, b, object + strlen(object), sizeof(object) - strlen(object));
	log_warn(object, "dropped", "messages=%llu hint=%s", (unsigned long long)n, log_quote("the buffer is full and `full: drop-newest` says "
		"so; look at the destination, or make `buffer.max` larger"));
}

static void take_block(struct store *s, struct block *b)
{
	struct commit *c = s->commit;
	bool wanted = false;
	for (unsigned i = 0; i < b->nrefs; i++) {
		struct ref *r = &b->refs[i];
		unsigned n = bits_count(r->left);
		if (!n)
			continue;
		struct ledger *l = commit_ledger(s, r->buffer);
		l->matched += n;
		if (r->buffer->dropping) {
			l->dropped += n;
			if (r->buffer->history)
				history_cut(s, n);
			else
				tell_dropped(s, r->buffer, n);
			memset(r->left, 0, sizeof(r->left));
			r->bytes = 0;
			continue;
		}
		l->buffered += n;
		l->bytes += r->bytes;
		wanted = true;
	}
	if (!wanted) {
		block_recycle(s, b);
		return;
	}
	if (c->open && is_small(b) && block_takes(c->open, b)) {
		block_merge(c->open, b);
		block_recycle(s, b);
		return;
	}
	close_open(s);
	if (is_small(b))
		c->open = b;
	else
		put_block(s, b);
}

static void take_ticket(struct store *s, struct ticket *t)
{
	steads_apply(s, t);
	if (t->claim)
		states_take(s, t);
	for (unsigned i = 0; i < t->nskips; i++) {
		struct ledger *l = commit_ledger(s, t->skips[i].buffer);
		l->matched += t->skips[i].n;
		l->skipped += t->skips[i].n;
	}
	for (struct dead_draft *d = t->dead; d; d = d->next) {
		store_lock(s);
		struct buffer *owner = store_buffer(s, d->owner);
		store_unlock(s);
		struct ledger *l = commit_ledger(s, owner);
		if (d->matched) {
			l->matched++;
			l->dead++;
		}
		dead_write(s, owner, &d->value);
	}
	struct block *b = t->first, *all = b, *next;
	t->first = t->last = NULL;
	for (b = all; b; b = next) {
		next = b->next;
		take_block(s, b);
	}
}

void gather_tickets(struct store *s)
{
	struct commit *c = s->commit;
	bool all_pressed = false;
	const char *refuses = space_refuses(s);
	const struct buffer *pressed = space_pressed(s, &all_pressed);
	for (struct ticket *t = c->tickets; t; t = t->next) {
		if (t->claim && !states_stand(s, t)) {
			snprintf(t->why, sizeof(t->why), "a message of the same device before it could not be taken");
			t->result = TICKET_FAILED;
		} else if (refuses && (t->first || claim_changes(t->claim))) {
			snprintf(t->why, sizeof(t->why), "%s", refuses);
			t->result = TICKET_FULL;
		} else if (!check_room(s, t, pressed, all_pressed)) {
			t->result = TICKET_FULL;
		} else if (!steads_check(s, t)) {
			t->result = TICKET_FAILED;
		} else {
			take_ticket(s, t);
			t->result = TICKET_TAKEN;
			c->anything = true;
		}
		if (t->result != TICKET_TAKEN)
			states_refuse(s, t);
	}
	close_open(s);
}
