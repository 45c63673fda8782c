/* again.c - see again.h.
 *
 * The hard idea is the list. A message that a transform made rows of has a letter for each row that was refused, and the others were accepted: so
 * of what is rendered anew only the row is taken that the letter was, and where the number of rows is another now, the letter stays.
 *
 * Adapters that keep state see a message that comes again as one that comes late: they go on from what the ident's last message left, and what they keep of
 * it is kept. */
#include "again.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "channels/channel.h"
#include "engine.h"
#include "message/message.h"
#include "net/mailbox.h"
#include "pipeline.h"
#include "plan/plan.h"
#include "plan/where.h"
#include "worker.h"

#define TURN_US 10000       /* of rendering in one turn of the loop; the rest waits for the next page */
#define ADDRESS_MAX 3072

/* ---- pages ------------------------------------------------------------------------------------------------------------- */

struct again *again_new(struct engine *e)
{
	struct again *a = xcalloc(1, sizeof *a);

	a->engine = e;
	a->end = &a->first;
	return a;
}

void again_cut(struct again *a, struct again_item **end)
{
	for (struct again_item *it = *end, *next; it; it = next) {
		next = it->next;
		free(it);
	}
	*end = NULL;
	a->end = end;
}

void again_free(struct again *a)
{
	again_cut(a, &a->first);
	free(a->stream);
	free(a->channel);
	free(a);
}

static char *put(char **at, const char *p, size_t n, size_t pad)
{
	char *here = *at;

	if (n)
		memcpy(here, p, n);
	memset(here + n, 0, pad);
	*at = here + n + pad;
	return here;
}

static struct again_item *item_new(struct again *a, const char *ident, size_t ident_len, const char *peer, const char *source, size_t source_len,
	const char *bytes, size_t len)
{
	size_t peer_len = strlen(peer);
	struct again_item *it = xmalloc(sizeof *it + ident_len + 1 + peer_len + 1 + source_len + len + 2 * MESSAGE_PAD);
	char *at = (char *)(it + 1);

	memset(it, 0, sizeof *it);
	it->page = a;
	it->source = put(&at, source, source_len, MESSAGE_PAD);
	it->source_len = source_len;
	it->bytes = put(&at, bytes, len, MESSAGE_PAD);
	it->len = len;
	it->ident = put(&at, ident, ident_len, 1);
	it->peer = put(&at, peer, peer_len, 1);
	*a->end = it;
	a->end = &it->next;
	a->n++;
	a->bytes += source_len + len;
	return it;
}

void again_add_letter(struct again *a, const struct dead_letter *d)
{
	struct again_item *it = item_new(a, d->ident, strlen(d->ident), d->peer, d->source, d->source_len, d->bytes, d->len);

	it->position = d->position;
	it->id = d->id;
	it->time_us = d->time_us;
	it->attempts = d->attempts ? d->attempts : 1;
	it->row = d->row;
	it->rows = d->rows;
	it->raw = d->status == LETTER_RAW;
}

void again_add_kept(struct again *a, const struct kept *k, unsigned entry)
{
	struct entry e, source = { .bytes = NULL };
	struct again_item *it;

	chunk_entry(k->chunk, entry, &e);
	if (!chunk_source(k->chunk, entry, k->source, &source))
		source.len = 0;
	it = item_new(a, e.ident, e.ident_len, "", source.bytes, source.len, e.bytes, e.len);
	it->position = k->position;
	it->entry = entry;
	it->rendering = k->rendering;
	it->id = e.id;
	it->time_us = e.time_us;
	it->row = e.row;
	it->rows = e.rows;
}

void again_add_history(struct again *a, const struct kept *k, unsigned entry, const char *channel)
{
	struct again_item *it;
	struct entry e = { .bytes = "", .ident = "" };

	if (k->chunk)
		chunk_entry(k->chunk, entry, &e);
	it = item_new(a, e.ident, e.ident_len, channel, e.bytes, e.len, "", 0);
	it->position = k->position;
	it->entry = entry;
	it->id = e.id;
	it->time_us = e.time_us;
	it->channel = it->peer;
}

static void leave(struct again *a, struct again_item *it, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void leave(struct again *a, struct again_item *it, const char *fmt, ...)
{
	va_list ap;

	it->fate = AGAIN_LEFT;
	if (a->why[0])
		return;
	va_start(ap, fmt);
	vsnprintf(a->why, sizeof a->why, fmt, ap);
	va_end(ap);
}

/* ---- a stream's ----------------------------------------------------------------------------------------------------------- */

static void address_add(struct buf *out, const struct message *m, const struct template *t)
{
	for (unsigned i = 0; i < t->nparams; i++) {
		const struct slice *s = message_find(m, t->params[i], strlen(t->params[i]));

		if (!s || s->kind == SLICE_OBJECT || s->kind == SLICE_ARRAY || out->len + s->vlen + strlen(t->params[i]) * 6 > ADDRESS_MAX)
			continue;
		if (out->len > 1)
			buf_addc(out, ',');
		buf_addjson(out, t->params[i], strlen(t->params[i]));
		buf_addc(out, ':');
		buf_add(out, m->bytes + s->value, s->vlen);
	}
}

/* What url and headers will need of it, by name, as the pipeline puts it beside an entry that is not the message itself. */
static void address_of(struct buf *out, const struct destination *d, const struct message *m)
{
	buf_clear(out);
	buf_addc(out, '{');
	address_add(out, m, &d->url);
	for (unsigned i = 0; i < d->nheaders; i++)
		address_add(out, m, &d->header_values[i]);
	buf_addc(out, '}');
}

/* Does the plan in force give it to the stream, as if it came now by the channel it came by? */
static bool is_wanted(const struct worker *w, const struct stream *s, const struct again_item *it, const struct message *m)
{
	const struct plan *p = w->loop.plan;
	const struct channel *c = plan_channel(p, it->channel);
	struct route r = { .n = 0 };

	if (c)
		r = plan_route(p, c, it->ident, strlen(it->ident), w->routes);
	for (unsigned k = 0; k < r.n; k++)
		if (r.targets[k].stream == s)
			return !s->where || where_true(s->where, m, clock_real_us());
	return false;
}

/* Per-device data does not depend on the channel: a stream has it from a subscription of the device or its group. */
static const char *device_data(const struct worker *w, const struct stream *s, const struct again_item *it)
{
	const struct plan *p = w->loop.plan;

	for (unsigned i = 0; i < p->nchannels; i++) {
		struct route r = plan_route(p, &p->channels[i], it->ident, strlen(it->ident), w->routes);

		for (unsigned k = 0; k < r.n; k++)
			if (r.targets[k].stream == s && r.targets[k].device_data)
				return r.targets[k].device_data;
	}
	return NULL;
}

/* The bytes as they are. */
static void as_it_was(struct again *a, struct ticket *t, const struct stream *s, struct again_item *it, const struct message *m)
{
	struct buf *address = &a->worker->text;
	size_t start;
	unsigned entry;

	if (it->len == 0) {
		leave(a, it, "%llu never was rendered", (unsigned long long)it->position);
		return;
	}
	it->fate = AGAIN_SENT;
	if (s->rendering->ix == 0 && it->len == it->source_len && memcmp(it->bytes, it->source, it->len) == 0) {
		ticket_want(t, s->buffer, 0, 0);
		return;
	}
	address_of(address, s->destination, m);
	buf_add(ticket_rendering(t, a->as_it_was_rendering, &start), it->bytes, it->len);
	entry = ticket_rendering_end(t, a->as_it_was_rendering, 0, address->p, address->len);
	ticket_want(t, s->buffer, a->as_it_was_rendering, entry);
}

static void render(struct again *a, struct ticket *t, const struct stream *s, struct again_item *it, const struct message *m)
{
	struct worker *w = a->worker;
	struct rows *rows = &w->rows;
	char why[1024] = "";
	struct call call = { .stream = s->name, .device_data = device_data(w, s, it), .id = it->id, .ident = it->ident,
		.ident_len = strlen(it->ident), .now_us = clock_real_us() };

	if (a->claim)
		call.state = claim_state(a->claim, a->number, call.ident, call.ident_len, &call.state_len);

	enum render_result result = scripts_render(w->scripts, s->rendering, m, &call, rows, why, sizeof why);
	size_t from = 0;

	if (result == RENDER_OK && rows->n > TICKET_ROWS_MAX) {
		result = RENDER_FAILED;
		snprintf(why, sizeof why, "a list of %u rows; %d is the most a message may become", rows->n, TICKET_ROWS_MAX);
	}
	bool state = a->claim && rows->state_changed && result != RENDER_FAILED;
	if (result == RENDER_FAILED && (it->rows > 1 || !a->letters)) {
		leave(a, it, "%s", why);
	} else if (result == RENDER_FAILED) {
		it->fate = AGAIN_DEAD;
		ticket_dead(t, s->buffer, why);
	} else if (result == RENDER_SKIPPED || rows->n == 0) {
		it->fate = AGAIN_SKIPPED;
		ticket_skip(t, s->buffer);
	} else if (it->rows > 1 && rows->n != it->rows) {
		leave(a, it, "%llu is row %u of %u; rendered anew its message has %u rows, so nobody can say which it is", (unsigned long long)it->position,
			it->row + 1, it->rows, rows->n);
	} else {
		unsigned first = 0;

		it->fate = AGAIN_SENT;
		address_of(&w->text, s->destination, m);
		for (unsigned i = 0; i < rows->n; i++) {
			size_t start;
			unsigned entry;

			buf_add(ticket_rendering(t, s->rendering->number, &start), rows->bytes.p + from, rows->ends[i] - from);
			entry = ticket_rendering_end(t, s->rendering->number, i, w->text.p, w->text.len);
			from = rows->ends[i];
			first = i == 0 ? entry : first;
		}
		for (unsigned i = 0; i < rows->n; i++)
			if (it->rows <= 1 || it->row == i)
				ticket_want(t, s->buffer, s->rendering->number, first + i);
	}
	if (state && it->fate != AGAIN_LEFT)
		claim_stage(a->claim, a->number, call.ident, call.ident_len, rows->state.p, rows->state.len);
}

static void give_up_place(struct again *a, struct ticket *t, const struct again_item *it)
{
	uint64_t bits[SPAN_ENTRIES_MAX / 64] = { 0 };

	if (a->letters) {
		ticket_retries(t, a->owner, it->position);
		return;
	}
	bits[it->entry / 64] |= UINT64_C(1) << (it->entry % 64);
	ticket_settles(t, a->owner, it->position, it->rendering, bits, OUTCOME_MOVED, NULL);
}

static void offer(struct again *a, struct ticket *t, const struct stream *s, struct again_item *it)
{
	struct worker *w = a->worker;
	/* A row that goes as it was goes by the id it was told with. */
	struct message_head head = { .id = it->id - (a->as_it_was ? it->row : 0), .time_us = it->time_us, .ident = it->ident, .ident_len = (uint16_t)strlen(it->ident) };
	struct message m;
	const char *stop;
	struct buf *b;
	size_t start;

	if (message_index(&w->stamped, it->source, it->source + it->source_len, &m, &stop) != JSON_OK) {
		leave(a, it, "%llu %s", (unsigned long long)it->position,
			a->replays ? "cannot be read from the disk any more" : "has no message any more that could be sent");
		return;
	}
	if (a->replays && !is_wanted(w, s, it, &m)) {
		it->fate = AGAIN_UNWANTED;
		return;
	}
	if (a->dry) {
		it->fate = AGAIN_SENT;
		return;
	}
	b = ticket_message(t, &start);
	buf_add(b, it->source, it->source_len);
	ticket_message_end(t, &head);
	ticket_attempts(t, it->attempts);
	if (a->as_it_was)
		as_it_was(a, t, s, it, &m);
	else if (s->rendering->ix == 0)
		it->fate = AGAIN_SENT, ticket_want(t, s->buffer, 0, 0);
	else
		render(a, t, s, it, &m);
	if (it->fate == AGAIN_LEFT)
		ticket_message_undo(t);
	else if (!a->replays)
		give_up_place(a, t, it);
}

/* ---- the way there and back ------------------------------------------------------------------------------------------------- */

static void back(void *arg)
{
	struct again *a = arg;

	for (struct again_item *it = a->first; it && a->stream && a->result != TICKET_TAKEN; it = it->next)
		it->fate = AGAIN_LATER;
	a->ended(a);
}

static void end(struct again *a, enum ticket_result result, const char *why)
{
	a->result = result;
	if (result != TICKET_TAKEN)
		snprintf(a->why, sizeof a->why, "%s", why);
	mailbox_post(a->engine->mail, back, a);
}

static void committed(void *arg, enum ticket_result result, const char *why)
{
	end(arg, result, why);
}

static const struct stream *stream_of(struct again *a)
{
	const struct stream *s = plan_stream(a->worker->loop.plan, a->stream);

	if (s && s->enabled)
		return s;
	end(a, TICKET_FAILED, "the stream is not there any more");
	return NULL;
}

static void offer_all(struct again *a, const struct stream *s)
{
	struct worker *w = a->worker;
	int64_t until = clock_mono_us() + TURN_US;
	struct ticket *t = a->dry ? NULL : ticket_new(a->engine->store, w->port, committed, a);

	if (t)
		ticket_waits(t);
	if (a->claim)
		ticket_claim(t, a->claim);
	for (struct again_item *it = a->first; it && (it == a->first || clock_mono_us() < until); it = it->next)
		offer(a, t, s, it);
	a->claim = NULL;
	if (t)
		ticket_submit(t);
	else
		end(a, TICKET_TAKEN, "");
}

static void on_claim(void *arg, const char *why)
{
	struct again *a = arg;
	const struct stream *s = why ? NULL : stream_of(a);

	*(a->before ? &a->before->behind : &a->worker->again) = a->behind;
	if (a->behind)
		a->behind->before = a->before;
	if (s && s->number == a->number && s->rendering->state) {
		offer_all(a, s);
		return;
	}
	claim_end(a->claim);
	a->claim = NULL;
	if (why)
		end(a, TICKET_FAILED, why);
	else if (s)
		end(a, TICKET_FAILED, "a reload came between; try again");
}

static void to_stream(void *arg)
{
	struct again *a = arg;
	struct worker *w = a->worker;
	const struct stream *s = stream_of(a);

	if (s && s->rendering->state && !a->as_it_was && !a->dry) {
		a->number = s->number;
		a->claim = claim_new(a->engine->store, w->port);
		for (const struct again_item *it = a->first; it; it = it->next)
			claim_add(a->claim, s->number, it->ident, strlen(it->ident));
		if (!claim_begin(a->claim, on_claim, a)) {
			a->before = NULL;
			a->behind = w->again;
			if (a->behind)
				a->behind->before = a;
			w->again = a;
			return;
		}
	}
	if (s)
		offer_all(a, s);
}

void again_fini(struct worker *w)
{
	for (; w->again; w->again = w->again->behind) {
		claim_end(w->again->claim);
		w->again->claim = NULL;
	}
}

/* ---- a channel's: through its intake once more ------------------------------------------------------------------------------- */

static void one_less(struct again *a)
{
	if (--a->under_way == 0)
		mailbox_post(a->engine->mail, back, a);
}

static void went_in(void *arg, const struct intake_result *r)
{
	struct again_item *it = arg;

	switch (r->outcome) {
	case INTAKE_TAKEN:
		it->fate = AGAIN_SENT;
		break;
	case INTAKE_REFUSED:
		leave(it->page, it, "%s", r->why ? r->why : "");
		break;
	case INTAKE_FULL:
	case INTAKE_FAILED:
		it->page->result = r->outcome == INTAKE_FULL ? TICKET_FULL : TICKET_FAILED;
		snprintf(it->page->why, sizeof it->page->why, "%s", r->why);
		break;
	}
	one_less(it->page);
}

static void to_channel(void *arg)
{
	struct again *a = arg;
	struct worker *w = a->worker;
	const struct channel *c = plan_channel(w->loop.plan, a->channel);
	int64_t until = clock_mono_us() + TURN_US;

	a->under_way = 1;
	if (!c) {
		a->result = TICKET_FAILED;
		snprintf(a->why, sizeof a->why, "the channel is not there any more");
	}
	for (struct again_item *it = a->first; it && c && (it == a->first || clock_mono_us() < until); it = it->next) {
		const struct intake in = { .loop = &w->loop, .channel = c, .body = it->source, .len = it->source_len, .peer = it->peer,
			.done = went_in, .arg = it };

		a->under_way++;
		pipeline_again(w, &in, it->raw, it->position);
	}
	one_less(a);
}

void again_begin(struct again *a)
{
	uintptr_t owner = a->stream ? (uintptr_t)map_gets(&a->engine->owners, a->stream) : 1;

	a->worker = &a->engine->workers[owner - 1];
	worker_post(a->worker, a->stream ? to_stream : to_channel, a);
}
