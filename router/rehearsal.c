/* rehearsal.c - see rehearsal.h. Understand rehearse() first: it is pipeline_take() with an account in place of a ticket. */
#include "rehearsal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/map.h"
#include "message/body.h"
#include "plan/plan.h"
#include "plan/where.h"
#include "rendering.h"
#include "spec/rule.h"
#include "stamping.h"
#include "store/store.h"

#define PEER "192.0.2.1:40000"   /* of the addresses that belong to nobody */

struct rehearsal {
	const struct plan *plan;
	struct scripts *scripts;
	struct index received, stamped, scratch;
	struct buf text, ident, bytes, address;
	struct rows rows;
	struct decoded decoded;
	struct map states;             /* rendering and ident -> struct state */
	struct map known;              /* what channels with `dedupe` took -> struct known */
	struct arena *kept;            /* of the keys of both */

	/* the run under way */
	struct stamping stamping;
	const struct rehearsal_input *in;
	uint64_t id;
	rehearsed_fn *fn;
	void *arg;

	/* the message in hand */
	struct arena *arena;
	struct rehearsed_step *steps; unsigned nsteps, steps_cap;
	struct rehearsed_line *lines; unsigned nlines, lines_cap;
};

struct state { struct buf bytes; };
struct known { unsigned number; int64_t when_us; };

struct rehearsal *rehearsal_new(struct plan *p, char *why, size_t whylen)
{
	struct rehearsal *r = xcalloc(1, sizeof *r);

	r->plan = p;
	for (unsigned i = 0; !p->sealed && i < p->nchannels; i++)
		p->channels[i].number = i + 1;
	if (!p->sealed)
		plan_seal(p);
	map_init(&r->states);
	map_init(&r->known);
	r->kept = arena_new();
	index_init(&r->received);
	index_init(&r->stamped);
	index_init(&r->scratch);
	rows_init(&r->rows);
	decoded_init(&r->decoded);
	r->scripts = scripts_new(p->scripts, p, why, whylen);
	if (r->scripts)
		return r;
	rehearsal_free(r);
	return NULL;
}

void rehearsal_free(struct rehearsal *r)
{
	struct map_slot *slot;

	if (!r)
		return;
	for (size_t i = 0; (slot = map_next(&r->states, &i));) {
		struct state *s = slot->value;

		buf_fini(&s->bytes);
		free(s);
	}
	map_fini(&r->states);
	map_fini(&r->known);
	arena_free(r->kept);
	scripts_free(r->scripts);
	index_fini(&r->received);
	index_fini(&r->stamped);
	index_fini(&r->scratch);
	rows_fini(&r->rows);
	decoded_fini(&r->decoded);
	buf_fini(&r->text);
	buf_fini(&r->ident);
	buf_fini(&r->bytes);
	buf_fini(&r->address);
	free(r->steps);
	free(r->lines);
	free(r);
}

/* ---- one stream -------------------------------------------------------------------------------------------------------- */

static struct state *state_of(struct rehearsal *r, const struct rendering *rendering, const char *ident, size_t len)
{
	char number[16];
	size_t n = (size_t)snprintf(number, sizeof number, "%u ", rendering->ix);
	char *key = arena_alloc(r->kept, n + len + 1);
	struct state *s;

	memcpy(key, number, n);
	memcpy(key + n, ident, len);
	s = map_get(&r->states, key, n + len);
	if (!s) {
		s = xcalloc(1, sizeof *s);
		map_put(&r->states, key, n + len, s);
	}
	return s;
}

static void made(void *arg, const char *step, unsigned row, const char *bytes, size_t len)
{
	struct rehearsal *r = arg;

	if (r->nsteps == r->steps_cap) {
		r->steps_cap = r->steps_cap ? r->steps_cap * 2 : 8;
		r->steps = xrealloc(r->steps, r->steps_cap * sizeof *r->steps);
	}
	r->steps[r->nsteps++] = (struct rehearsed_step){ step, row, arena_strndup(r->arena, bytes, len), len };
}

static void logged(void *arg, enum log_level level, const char *object, const char *event, const char *pairs)
{
	struct rehearsal *r = arg;

	if (r->nlines == r->lines_cap) {
		r->lines_cap = r->lines_cap ? r->lines_cap * 2 : 8;
		r->lines = xrealloc(r->lines, r->lines_cap * sizeof *r->lines);
	}
	r->lines[r->nlines++] = (struct rehearsed_line){ log_level_name(level), arena_strdup(r->arena, object), arena_strdup(r->arena, event),
		arena_strdup(r->arena, pairs) };
}

/* The parameters of a text for people, in place: secrets in it are hidden already. */
static bool expand_shown(struct arena *arena, const char *shown, const struct message *m, struct buf *out, const char **missing)
{
	static const char *const literals[] = { "", "" };

	for (const char *p = shown; *p;) {
		const char *end;

		if ((p[0] == '{' && p[1] == '{') || (p[0] == '}' && p[1] == '}')) {
			buf_addc(out, *p);
			p += 2;
		} else if (p[0] == '$' && p[1] == '{' && (end = strchr(p, '}'))) {
			buf_add(out, p, (size_t)(end + 1 - p));
			p = end + 1;
		} else if (*p == '{' && (end = strchr(p, '}'))) {
			const char *const params[] = { arena_strndup(arena, p + 1, (size_t)(end - p - 1)) };

			if (template_write(&(struct template){ .nparams = 1, .params = params, .literals = literals }, m, true, out, missing) < 0)
				return false;
			p = end + 1;
		} else {
			buf_addc(out, *p++);
		}
	}
	return true;
}

/* A text with parameters as people may see it, in the arena; NULL: the message lacks one, which s then tells. */
static const char *shown(struct rehearsal *r, struct rehearsed_stream *s, const char *source, const struct message *m)
{
	struct buf out = BUF_INIT;
	const char *missing = NULL, *text = NULL;

	if (expand_shown(r->arena, source, m, &out, &missing))
		text = arena_strndup(r->arena, out.p ? out.p : "", out.len);
	else {
		s->fate = FATE_UNADDRESSED;
		s->why = arena_printf(r->arena, "url, headers or topic of destination %s need {%s}, which the message does not have", s->stream->destination->name, missing);
	}
	buf_fini(&out);
	return text;
}

/* Each row's topic, where its adapter has not said one. */
static void address_topics(struct rehearsal *r, struct rehearsed_stream *s, struct rehearsed_row *rows, const struct message *m)
{
	const struct template *t = &s->stream->destination->topic;
	const char *topic = t->source && s->stream->destination->transport == TRANSPORT_MQTT ? shown(r, s, t->source, m) : NULL;

	for (unsigned i = 0; s->fate == FATE_SENT && i < s->nrows; i++) {
		if (!rows[i].topic)
			rows[i].topic = topic;
		if (!rows[i].topic || *rows[i].topic)
			continue;
		s->fate = FATE_UNADDRESSED;
		s->why = "the topic would be empty";
	}
}

/* Where it would go, in what words. */
static void address(struct rehearsal *r, struct rehearsed_stream *s, struct rehearsed_row *rows, const struct message *m)
{
	const struct destination *d = s->stream->destination;
	const struct rendering *rendering = s->stream->rendering;
	const char **headers = arena_alloc(r->arena, (d->nheaders + 1) * sizeof *headers);
	struct message own = *m;
	const char *stop;

	if (rendering->ix != 0) {
		rendering_address(&r->address, rendering, m);
		buf_reserve(&r->address, MESSAGE_PAD);
		if (message_index(&r->scratch, r->address.p, r->address.p + r->address.len, &own, &stop) != JSON_OK)
			own = (struct message){ 0 };
	}
	if (d->url_shown && *d->url_shown)
		s->url = shown(r, s, d->url_shown, &own);
	for (unsigned i = 0; s->fate == FATE_SENT && i < d->nheaders; i++) {
		const char *source = d->header_values[i].source, *value = shown(r, s, source, &own);
		bool secret = sounds_secret(d->header_names[i]) && !reference_in(source);

		if (value)
			headers[s->nheaders++] = arena_printf(r->arena, "%s: %s", d->header_names[i], secret ? "•••" : value);
	}
	s->headers = headers;
	if (s->fate == FATE_SENT)
		address_topics(r, s, rows, &own);
}

static struct rehearsed_row *rows_take(struct rehearsal *r, struct rehearsed_stream *s, const char *id)
{
	struct rehearsed_row *rows = arena_alloc(r->arena, (r->rows.n + 1) * sizeof *rows);
	size_t from = 0, topic = 0;

	for (unsigned i = 0; i < r->rows.n; i++) {
		size_t to = r->rows.ends[i], topic_to = r->rows.topic_ends[i];

		rows[i] = (struct rehearsed_row){ .bytes = arena_strndup(r->arena, r->rows.bytes.p + from, to - from), .len = to - from,
			.id = r->rows.n > 1 ? arena_printf(r->arena, "%s-%u", id, i + 1) : id,
			.topic = topic_to > topic ? arena_strndup(r->arena, r->rows.topics.p + topic, topic_to - topic) : NULL };
		from = to;
		topic = topic_to;
	}
	s->rows = rows;
	s->nrows = r->rows.n;
	return rows;
}

static void render(struct rehearsal *r, struct rehearsed_stream *s, const struct message *m, const struct message_head *head, const char *id)
{
	const struct rendering *rendering = s->stream->rendering;
	struct call call = { .stream = s->stream->name, .device_data = s->target->device_data, .id = head->id, .ident = head->ident,
		.ident_len = head->ident_len, .now_us = r->in->now_us };
	struct state *state = NULL;
	char why[1024];
	enum render_result result;

	if (rendering->state) {
		state = state_of(r, rendering, head->ident, head->ident_len);
		call.state = state->bytes.len ? state->bytes.p : NULL;
		call.state_len = state->bytes.len;
	}
	r->nsteps = 0;
	r->nlines = 0;
	log_divert(logged, r);
	result = rendering_run(r->scripts, rendering, m, &call, &r->scratch, &r->rows, why, sizeof why);
	log_divert(NULL, NULL);
	s->nlines = r->nlines;
	s->lines = memcpy(arena_alloc(r->arena, (r->nlines + 1) * sizeof *r->lines), r->lines ? (const void *)r->lines : "", r->nlines * sizeof *r->lines);
	s->nsteps = r->nsteps;
	s->steps = memcpy(arena_alloc(r->arena, (r->nsteps + 1) * sizeof *r->steps), r->steps ? (const void *)r->steps : "", r->nsteps * sizeof *r->steps);
	if (state && result != RENDER_FAILED && r->rows.state_changed) {
		buf_clear(&state->bytes);
		buf_add(&state->bytes, r->rows.state.p, r->rows.state.len);
	}
	s->fate = result == RENDER_FAILED ? FATE_FAILED : result == RENDER_SKIPPED ? FATE_SKIPPED : FATE_SENT;
	if (result != RENDER_OK) {
		s->why = arena_strdup(r->arena, why);
		return;
	}
	address(r, s, rows_take(r, s, id), m);
}

static void offer(struct rehearsal *r, struct rehearsed_stream *s, const struct message *m, const struct message_head *head, const char *id)
{
	struct rehearsed_row *rows;
	struct buf why = BUF_INIT;

	if (s->stream->where && !where_true(s->stream->where, m, r->in->now_us)) {
		where_explain(s->stream->where, m, r->in->now_us, &why);
		s->fate = FATE_FILTERED;
		s->why = arena_strndup(r->arena, why.p, why.len);
		buf_fini(&why);
		return;
	}
	if (s->stream->rendering->ix != 0) {
		render(r, s, m, head, id);
		return;
	}
	rows = arena_alloc(r->arena, sizeof *rows);
	*rows = (struct rehearsed_row){ m->bytes, m->len, id, NULL };
	s->fate = FATE_SENT;
	s->nrows = 1;
	s->rows = rows;
	address(r, s, rows, m);
}

/* ---- one message -------------------------------------------------------------------------------------------------------- */

static void refuse(struct rehearsal *r, unsigned index, const char *why, const char *bytes, size_t len)
{
	const struct rehearsed m = { .index = index, .received = bytes, .received_len = len, .refused = why, .channel = r->in->channel };

	r->fn(r->arg, &m);
}

/* The number of the message that this one repeats; 0: it is to be taken, and *mine (may be NULL) is to say so. What dedupe.c does, without its bounds. */
static unsigned repeated(struct rehearsal *r, const struct message *received, struct known **mine)
{
	uint64_t key[3] = { r->in->channel->ix };
	struct known *k;

	*mine = NULL;
	if (!r->in->channel->dedupe_us || !r->stamping.dated)
		return 0;
	hash_twice(received->bytes, received->len, key + 1);
	k = map_get(&r->known, (const char *)key, sizeof key);
	if (k && k->number && r->in->now_us - k->when_us < r->in->channel->dedupe_us)
		return k->number;
	if (!k) {
		k = arena_alloc(r->kept, sizeof *k);
		map_put(&r->known, memcpy(arena_alloc(r->kept, sizeof key), key, sizeof key), sizeof key, k);
	}
	*mine = k;
	return 0;
}

static void rehearse(struct rehearsal *r, const struct message *received, unsigned index)
{
	struct rehearsed out = { .index = index, .received = received->bytes, .received_len = received->len, .nstreams = r->plan->nstreams,
		.channel = r->in->channel };
	struct rehearsed_stream *streams;
	struct message_head head = { 0 };
	struct message m;
	struct route route;
	struct known *known = NULL;
	const char *stop, *why = stamping_head(&r->stamping, received, &head);

	if (why) {
		refuse(r, index, why, received->bytes, received->len);
		return;
	}
	out.ident = head.ident;
	out.ident_len = head.ident_len;
	out.time_us = head.time_us;
	route = plan_route(r->plan, r->in->channel, head.ident, head.ident_len, NULL);
	out.device = route.device;
	if (route.n > 0 && (out.repeats = repeated(r, received, &known)) > 0) {
		out.nstreams = 0;
		r->fn(r->arg, &out);
		return;
	}
	buf_clear(&r->bytes);
	stamping_write(&r->stamping, route.device, received, &r->bytes);
	buf_reserve(&r->bytes, MESSAGE_PAD);
	if (message_index(&r->stamped, r->bytes.p, r->bytes.p + r->bytes.len, &m, &stop) != JSON_OK) {
		refuse(r, index, "too many fields", received->bytes, received->len);
		return;
	}
	r->arena = arena_new();
	head.id = r->id++;
	if (known)
		*known = (struct known){ index + 1, r->in->now_us };
	out.id = arena_printf(r->arena, "%llu", (unsigned long long)head.id);
	out.stamped = m.bytes;
	out.stamped_len = m.len;
	out.streams = streams = arena_alloc(r->arena, (r->plan->nstreams + 1) * sizeof *streams);
	for (unsigned i = 0, k = 0; i < r->plan->nstreams; i++) {
		struct rehearsed_stream *s = &streams[i];

		s->stream = &r->plan->streams[i];
		if (k < route.n && route.targets[k].stream == s->stream) {
			s->target = &route.targets[k++];
			offer(r, s, &m, &head, out.id);
			out.wanted += s->fate != FATE_FILTERED;
		} else {
			s->fate = s->stream->enabled ? FATE_NOT_SUBSCRIBED : FATE_NOT_ENABLED;
		}
	}
	r->fn(r->arg, &out);
	arena_free(r->arena);
	r->arena = NULL;
}

/* ---- what was given ------------------------------------------------------------------------------------------------------ */

static bool decode(struct rehearsal *r, char *why, size_t whylen)
{
	const struct rehearsal_input *in = r->in;
	const struct arrival arrival = { .peer = PEER, .method = in->query && !in->len ? "GET" : "POST", .query = in->query, .now_us = in->now_us };
	const struct rows *rows = &r->decoded.messages;

	if (scripts_decode(r->scripts, in->channel, &arrival, in->bytes, in->len, &r->decoded, why, whylen) < 0)
		return false;
	if (r->decoded.used < in->len) {
		snprintf(why, whylen, "incomplete: format %s understands %zu of %zu bytes", in->channel->format, r->decoded.used, in->len);
		return false;
	}
	for (unsigned i = 0; i < rows->n; i++) {
		const char *p = rows->bytes.p + (i ? rows->ends[i - 1] : 0), *end = rows->bytes.p + rows->ends[i], *stop;
		struct message m;
		enum json_fault fault = message_index(&r->received, p, end, &m, &stop);

		if (fault == JSON_OK && stop == end)
			rehearse(r, &m, i);
		else
			refuse(r, i, fault == JSON_OK ? "not one object" : json_fault_text(fault), p, (size_t)(end - p));
	}
	return true;
}

/* A body with a fault anywhere is refused whole: nothing of it may be told before it is known to have none. */
static bool read_body(struct rehearsal *r, char *why, size_t whylen)
{
	const struct rehearsal_input *in = r->in;
	struct body body;
	struct message m;
	enum body_step step;

	for (unsigned pass = 0; pass < 2; pass++) {
		body_open(&body, in->bytes, in->len, in->channel->at);
		while ((step = body_next(&body, &r->received, &m)) < BODY_END) {
			if (pass == 0)
				continue;
			if (step == BODY_MESSAGE)
				rehearse(r, &m, body.index);
			else
				refuse(r, body.index, body.reason, body.item, body.item_len);
		}
		if (step == BODY_FAULT) {
			snprintf(why, whylen, "%s at byte %zu", body.reason, body.position);
			return false;
		}
	}
	return true;
}

bool rehearsal_run(struct rehearsal *r, const struct rehearsal_input *in, uint64_t first_id, rehearsed_fn *fn, void *arg, char *why, size_t whylen)
{
	const struct render_watch watch = { made, r };
	bool whole;

	r->in = in;
	r->fn = fn;
	r->arg = arg;
	r->id = first_id;
	stamping_open(&r->stamping, r->plan, in->channel, PEER, in->now_us, &r->text, &r->ident);
	scripts_watch(r->scripts, &watch);
	whole = in->channel->decoder_options ? decode(r, why, whylen) : read_body(r, why, whylen);
	scripts_watch(r->scripts, NULL);
	return whole;
}
