/* buffer.c - a stream's durable queue, as its sender sees it: spans out, settlements in.
 *
 * The hard idea is the window (inside.h): the refs of an attached buffer that are in memory, in order and without a hole
 * from its oldest outstanding one on. A ref leaves it when the disk knows it as empty, so the head of the window is also the
 * floor from which a restart has to look; or it is let go, because a sender left it behind and many others with it (an address that does
 * not answer, before a long backlog). Then the floor remembers the first of those, and buffer_rewind has the reader begin there again. */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "store/inside.h"

#define DEAD_MAX (256u << 20)
#define DEAD_TTL_US (INT64_C(30) * 86400 * 1000000)

struct buffer *store_buffer(struct store *s, uint32_t number)
{
	uint64_t value;
	if (umap_get(&s->buffers, number, &value))
		return (struct buffer *)(uintptr_t)value;
	struct buffer *b = xcalloc(1, sizeof(*b));
	b->store = s;
	b->number = number;
	b->options = (struct buffer_options){ .full = FULL_BLOCK, .dead_max = DEAD_MAX, .dead_ttl_us = DEAD_TTL_US };
	b->history = umap_get(&s->names_by_number, number, &value) && ((const struct name *)(uintptr_t)value)->kind == NAME_HISTORY;
	umap_put(&s->buffers, number, (uint64_t)(uintptr_t)b);
	return b;
}

void buffer_configure(struct store *s, uint32_t buffer, const char *stream, const struct buffer_options *o)
{
	char *name = xstrdup(stream);
	store_lock(s);
	struct buffer *b = store_buffer(s, buffer);
	free(b->stream);
	b->stream = name;
	b->options = *o;
	b->configured = true;
	store_unlock(s);
}

uint64_t buffer_max(const struct buffer *b)
{
	return b->options.max ? b->options.max : b->store->disk_limit / 4;
}

/* ---- the window */

static bool has_more(const struct ref *r)
{
	for (unsigned w = 0; w < BITS_WORDS; w++)
		if (r->left[w] & ~r->gone[w])
			return true;
	return false;
}

static bool is_empty(const struct ref *r)
{
	return !bits_any(r->left);
}

static void set_state(struct buffer *b, struct ref *r, enum ref_state state)
{
	if (r->state == REF_READY) {
		b->ready -= r->counted;
		b->ready_n--;
	} else if (r->state == REF_PASSED) {
		b->passed -= r->counted;
	}
	r->state = state;
	r->counted = r->block->memory;
	if (r->state == REF_READY) {
		b->ready += r->counted;
		b->ready_n++;
	} else if (r->state == REF_PASSED) {
		b->passed += r->counted;
	}
}

/* In its place by position: at the end, but for the few that are held while the reader goes over the same ground again. */
void window_insert(struct buffer *b, struct ref *r)
{
	struct ref *before = b->last;

	assert(r->buffer == b && r->state == REF_LOOSE);
	while (before && before->block->position > r->block->position)
		before = before->prev;
	r->prev = before;
	r->next = before ? before->next : b->first;
	*(r->next ? &r->next->prev : &b->last) = r;
	*(before ? &before->next : &b->first) = r;
	r->block->users++;
	set_state(b, r, has_more(r) ? REF_READY : REF_PASSED);
	if (r->state != REF_READY)
		return;
	if (!b->cursor || b->cursor->block->position > r->block->position)
		b->cursor = r;
	if (b->hungry)
		buffer_wake(b);
}

void window_remove(struct buffer *b, struct ref *r)
{
	if (b->cursor == r) {
		b->cursor = r->next;
		while (b->cursor && b->cursor->state != REF_READY)
			b->cursor = b->cursor->next;
	}
	if (r->prev)
		r->prev->next = r->next;
	else
		b->first = r->next;
	if (r->next)
		r->next->prev = r->prev;
	else
		b->last = r->prev;
	r->prev = r->next = NULL;
	set_state(b, r, REF_LOOSE);
	block_unuse(b->store, r->block);
}

/* Nothing of it waits to be recorded: the disk says what it owes. */
static bool is_on_disk(const struct ref *r)
{
	for (unsigned w = 0; w < BITS_WORDS; w++)
		if (r->left[w] & r->gone[w])
			return false;
	return true;
}

static void let_go(struct buffer *b, struct ref *r)
{
	if (!b->let_go || r->block->position < b->let_go) {
		b->let_go = r->block->position;
		b->let_go_arrived = r->block->arrived;
	}
	if (r->block->position > b->let_go_last)
		b->let_go_last = r->block->position;
	window_remove(b, r);
}

void window_settled(struct buffer *b, struct ref *r)
{
	if (is_empty(r)) {
		if (r->state == REF_PASSED || r->state == REF_READY)
			window_remove(b, r);
	} else if (r->state == REF_PASSED && b->passed > b->store->window_passed && is_on_disk(r)) {
		let_go(b, r);
	}
}

void window_returned(struct buffer *b, struct ref *r, const uint64_t bits[BITS_WORDS])
{
	for (unsigned w = 0; w < BITS_WORDS; w++)
		r->gone[w] &= ~bits[w];
	if (r->state != REF_PASSED || !has_more(r))
		return;
	set_state(b, r, REF_READY);
	if (!b->cursor || b->cursor->block->position > r->block->position)
		b->cursor = r;
	if (b->hungry)
		buffer_wake(b);
}

uint64_t buffer_floor(const struct buffer *b)
{
	uint64_t floor = b->store->published + 1;

	if (!b->attached)
		return b->ledger.buffered ? b->floor : floor;
	if (!b->fed && b->read_next < floor)
		floor = b->read_next;
	if (b->first && b->first->block->position < floor)
		floor = b->first->block->position;
	if (b->let_go && b->let_go < floor)
		floor = b->let_go;
	return floor;
}

static int64_t oldest_arrived(const struct buffer *b)
{
	if (b->let_go && (!b->first || b->let_go < b->first->block->position))
		return b->let_go_arrived;
	return b->first ? b->first->block->arrived : b->oldest_arrived;
}

/* ---- waking */

void buffer_wake(struct buffer *b)
{
	if (!b->attached || b->wake_due)
		return;
	b->hungry = false;
	b->wake_due = true;
	b->wake_next = NULL;
	*b->port->wake_end = b;
	b->port->wake_end = &b->wake_next;
	port_dirty(b->port);
}

static void unwake(struct buffer *b)
{
	if (!b->wake_due)
		return;
	struct buffer **at = &b->port->wake_first;
	while (*at != b)
		at = &(*at)->wake_next;
	*at = b->wake_next;
	if (!*at)
		b->port->wake_end = at;
	b->wake_due = false;
}

void reader_ask(struct buffer *b)
{
	if (b->reading || b->fed || !b->attached)
		return;
	struct store *s = b->store;
	b->reading = true;
	b->read_link = NULL;
	if (!s->read_first)
		pthread_cond_signal(&s->read_work);
	*s->read_end = b;
	s->read_end = &b->read_link;
}

/* ---- attaching */

struct buffer *buffer_attach(struct store *s, uint32_t number, struct port *p, void (*wake)(void *arg), void *arg)
{
	store_lock(s);
	struct buffer *b = store_buffer(s, number);
	if (b->attached) {
		store_unlock(s);
		return NULL;
	}
	uint64_t floor = buffer_floor(b);
	b->attached = true;
	b->generation++;
	b->port = p;
	b->wake = wake;
	b->wake_arg = arg;
	b->hungry = false;
	b->waits_for = 0;
	b->fed = b->ledger.buffered == 0;
	b->read_next = floor;
	reader_ask(b);
	store_unlock(s);
	return b;
}

void buffer_detach(struct buffer *b)
{
	if (!b)
		return;
	struct store *s = b->store;
	store_lock(s);
	/* While nobody is attached the floor stands still: what is settled may not be recorded yet. */
	b->floor = buffer_floor(b);
	b->oldest_arrived = oldest_arrived(b);
	b->attached = false;
	b->generation++;
	unwake(b);
	while (b->first) {
		assert(b->first->state != REF_HELD);
		window_remove(b, b->first);
	}
	b->cursor = NULL;
	b->let_go = b->let_go_last = b->again_to = 0;
	b->port = NULL;
	store_unlock(s);
}

/* ---- spans */

bool buffer_next(struct buffer *b, struct span *out)
{
	struct store *s = b->store;
	store_lock(s);
	struct ref *r = b->cursor;
	if (!r) {
		b->hungry = true;
		reader_ask(b);
		store_unlock(s);
		return false;
	}
	out->chunk = block_chunk(r->block, r->rendering);
	out->position = r->block->position;
	out->arrived = r->block->arrived;
	out->n = r->total;
	for (unsigned w = 0; w < BITS_WORDS; w++)
		out->bits[w] = r->left[w] & ~r->gone[w];
	out->hold = r;
	set_state(b, r, REF_HELD);
	do
		b->cursor = b->cursor->next;
	while (b->cursor && b->cursor->state != REF_READY);
	if (b->ready < READ_AHEAD / 2 || b->ready_n < 2)
		reader_ask(b);
	store_unlock(s);
	return true;
}

void span_release(struct buffer *b, struct span *sp)
{
	struct ref *r = sp->hold;
	store_lock(b->store);
	assert(r->state == REF_HELD && r->buffer == b);
	if (is_empty(r))
		window_remove(b, r);
	else {
		set_state(b, r, REF_PASSED);
		if (b->passed > b->store->window_passed && is_on_disk(r))
			let_go(b, r);
	}
	sp->hold = NULL;
	sp->chunk = NULL;
	store_unlock(b->store);
}

void buffer_rewind(struct buffer *b)
{
	store_lock(b->store);
	b->cursor = NULL;
	if (b->let_go) {
		/* All that is not held comes again, in order, from the first that was let go; what still waits to be recorded stays where it is. */
		for (struct ref *r = b->first, *next; r; r = next) {
			next = r->next;
			if (r->block->position >= b->let_go && (r->state == REF_READY || (r->state == REF_PASSED && has_more(r))))
				window_remove(b, r);
		}
		b->generation++; /* the reader may be on its way elsewhere */
		if (b->fed || b->let_go < b->read_next)
			b->read_next = b->let_go;
		b->fed = false;
		if (b->again_to < b->let_go_last)
			b->again_to = b->let_go_last;
		b->let_go = b->let_go_last = 0;
		reader_ask(b);
	}
	for (struct ref *r = b->first; r; r = r->next) {
		if (r->state == REF_PASSED && has_more(r))
			set_state(b, r, REF_READY);
		if (r->state == REF_READY && !b->cursor)
			b->cursor = r;
	}
	store_unlock(b->store);
}

bool buffer_rewinding(const struct buffer *b)
{
	store_lock(b->store);
	bool rewinding = b->again_to != 0;
	store_unlock(b->store);
	return rewinding;
}

void buffer_read_on(struct buffer *b, uint64_t next)
{
	b->read_next = next;
	b->fed = b->newest < next;
	if (b->again_to && (b->fed || next > b->again_to)) {
		b->again_to = 0;
		if (b->hungry)
			buffer_wake(b); /* who waits for the end of it must hear of it, also when nothing is left */
	}
}

/* ---- settling */

struct settlement *settlement_new(struct store *s)
{
	struct settlement *e = s->free_settlements;
	if (e)
		s->free_settlements = e->next;
	else
		e = xmalloc(sizeof(*e));
	*e = (struct settlement){ .next = NULL };
	return e;
}

struct death *death_copy(const struct death *d)
{
	size_t reason = d->reason ? strlen(d->reason) : 0, answer = d->answer ? d->answer_len : 0;
	if (answer > 4096)
		answer = 4096;
	struct death *copy = xmalloc(sizeof(*copy) + reason + answer + 2);
	char *text = (char *)(copy + 1);
	*copy = (struct death){ .reason = text, .answer = text + reason + 1, .answer_len = answer, .status = d->status, .attempts = d->attempts };
	memcpy(text, reason ? d->reason : "", reason + 1);
	if (answer)
		memcpy(text + reason + 1, d->answer, answer);
	text[reason + 1 + answer] = '\0';
	return copy;
}

uint64_t buffer_settle(struct buffer *b, struct span *sp, const uint64_t bits[BITS_WORDS], enum outcome o, const struct death *death)
{
	struct store *s = b->store;
	struct ref *r = sp->hold;
	assert(o != OUTCOME_DEAD || death);
	struct death *copy = o == OUTCOME_DEAD ? death_copy(death) : NULL;
	uint64_t outstanding[BITS_WORDS];
	store_lock(s);
	assert(r && r->state == REF_HELD && r->buffer == b);
	for (unsigned w = 0; w < BITS_WORDS; w++) {
		outstanding[w] = r->left[w] & ~r->gone[w];
		assert(!(bits[w] & ~outstanding[w]));
	}
	struct settlement *e = settlement_new(s);
	e->ref = r;
	e->outcome = o;
	e->death = copy;
	memcpy(e->bits, bits, sizeof(e->bits));
	e->number = ++b->settle_last;
	e->bytes = memcmp(bits, outstanding, sizeof(outstanding)) == 0 && memcmp(r->left, bits, sizeof(r->left)) == 0 ?
		r->bytes : chunk_bytes(sp->chunk, bits);
	b->gone_bytes += e->bytes;
	for (unsigned w = 0; w < BITS_WORDS; w++)
		r->gone[w] |= bits[w];
	r->block->users++;
	*s->settlements_end = e;
	s->settlements_end = &e->next;
	if (!s->settle_since) {
		s->settle_since = clock_mono_us();
		pthread_cond_signal(&s->work);
	}
	uint64_t number = e->number;
	store_unlock(s);
	return number;
}

uint64_t buffer_recorded(const struct buffer *b)
{
	return atomic_load_explicit(&b->recorded, memory_order_acquire);
}

void buffer_hurry(struct buffer *b)
{
	struct store *s = b->store;
	store_lock(s);
	b->waits_for = b->settle_last;
	if (buffer_recorded(b) >= b->waits_for) {
		b->waits_for = 0;
		buffer_wake(b);
		ports_signal(s);
	} else {
		s->hurry = true;
		pthread_cond_signal(&s->work);
	}
	store_unlock(s);
}

uint64_t buffer_excess(const struct buffer *b)
{
	store_lock(b->store);
	uint64_t excess = 0, bytes = b->ledger.bytes > b->gone_bytes ? b->ledger.bytes - b->gone_bytes : 0;
	if (b->options.full == FULL_DROP_OLDEST) {
		uint64_t max = buffer_max(b);
		excess = bytes > max ? bytes - max : 0;
		if (excess < b->pressed)
			excess = b->pressed < bytes ? b->pressed : bytes;
	}
	store_unlock(b->store);
	return excess;
}

bool buffer_owes(const struct buffer *b, uint64_t position)
{
	store_lock(b->store);
	bool owes = (!b->fed && b->read_next <= position && b->newest >= b->read_next) || (b->let_go && b->let_go <= position);
	for (const struct ref *r = b->first; r && !owes && r->block->position <= position; r = r->next)
		owes = has_more(r);
	store_unlock(b->store);
	return owes;
}

/* ---- counts */

static void count(const struct buffer *b, struct buffer_counts *out)
{
	const struct ledger *l = &b->ledger;
	*out = (struct buffer_counts){
		.matched = l->matched,
		.skipped = l->skipped,
		.buffered = l->buffered,
		.accepted = l->accepted,
		.dead = l->dead,
		.expired = l->expired,
		.dropped = l->dropped,
		.purged = l->purged,
		.bytes = l->bytes,
		.dead_max = b->options.dead_max,
		.dead_kept = l->dead_kept,
		.dead_bytes = l->dead_bytes,
		.dead_gone = l->dead_gone,
	};
	if (l->buffered) {
		int64_t age = store_elapsed(b->store) - oldest_arrived(b);
		out->oldest_age_us = age > 0 ? age : 1;
	}
}

bool buffer_counts(struct store *s, uint32_t buffer, struct buffer_counts *out)
{
	uint64_t value;
	store_lock(s);
	bool known = umap_get(&s->buffers, buffer, &value);
	if (known)
		count((const struct buffer *)(uintptr_t)value, out);
	store_unlock(s);
	return known;
}

void store_each_name(struct store *s, enum name_kind kind, bool (*fn)(void *arg, uint32_t number, const char *name, const struct buffer_counts *),
	void *arg)
{
	struct seen { uint32_t number; char *name; struct buffer_counts counts; } *all;
	size_t n = 0, i = 0;
	store_lock(s);
	all = xcalloc(s->names_by_number.n + 1, sizeof(*all));
	for (struct umap_slot *slot; (slot = umap_next(&s->names_by_number, &i));) {
		const struct name *known = (const struct name *)(uintptr_t)slot->value;
		uint64_t value;
		if (known->kind != kind || !known->written)
			continue;
		all[n].number = known->number;
		all[n].name = xstrdup(known->text + 1); /* behind its kind */
		if (umap_get(&s->buffers, known->number, &value))
			count((const struct buffer *)(uintptr_t)value, &all[n].counts);
		n++;
	}
	store_unlock(s);
	bool more = true;
	for (size_t k = 0; k < n; k++) {
		more = more && fn(arg, all[k].number, all[k].name, &all[k].counts);
		free(all[k].name);
	}
	free(all);
}

struct each_buffer { bool (*fn)(void *arg, uint32_t buffer, const char *name, const struct buffer_counts *); void *arg; };

static bool with_anything(void *arg, uint32_t number, const char *name, const struct buffer_counts *c)
{
	const struct each_buffer *e = arg;
	return (!c->buffered && !c->dead_kept) || e->fn(e->arg, number, name, c);
}

void store_each_buffer(struct store *s, bool (*fn)(void *arg, uint32_t buffer, const char *name, const struct buffer_counts *), void *arg)
{
	store_each_name(s, NAME_BUFFER, with_anything, &(struct each_buffer){ fn, arg });
}
