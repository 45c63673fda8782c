/* pipeline.c - see pipeline.h. Understand pipeline_submit() first: it is the whole way of a request on one page.
 *
 * No message is allocated: its bytes go from the receive buffer, stamped, straight into the ticket's block, and everything after that
 * (conditions, transforms, templates) reads them there. */
#include "pipeline_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/stats.h"
#include "channels/channel.h"
#include "engine.h"
#include "plan/plan.h"
#include "plan/where.h"
#include "rendering.h"
#include "stamping.h"
#include "store/store.h"
#include "troubles.h"
#include "unrouted.h"
#include "worker.h"

/* ---- jobs ------------------------------------------------------------------------------------------------------------- */

static void first_settled(struct dedupe_request *waiter, bool durable);

static struct job *job_new(struct worker *w, const struct intake *in)
{
	struct job *j = w->jobs;

	if (j)
		w->jobs = j->next;
	else
		j = xcalloc(1, sizeof *j);
	j->worker = w;
	j->stats = stats_channel(in->channel->name);
	j->done = in->done;
	j->arg = in->arg;
	j->taken = j->nrefused = j->ntold = 0;
	j->bytes = 0;
	j->has_after = j->has_refuse = false;
	j->mute = in->mute;
	j->claim = NULL;
	j->letter = 0;
	j->table = in->channel->dedupe_us ? dedupe_of(in->channel->name) : NULL;
	j->duplicates = j->awaited = 0;
	j->lost = j->end.due = false;
	j->dedupe.first = first_settled;
	return j;
}

static void job_end(struct job *j, enum intake_outcome outcome, const char *why, bool malformed)
{
	struct intake_result r = { .outcome = outcome, .why = why, .malformed = malformed };

	if (outcome == INTAKE_TAKEN || outcome == INTAKE_REFUSED) {
		r.taken = j->taken;
		r.nrefused = j->nrefused;
		r.ntold = j->ntold;
		r.refused = j->told;
		stats_add(&j->stats->taken, j->taken);
		stats_add(&j->stats->duplicates, j->duplicates);
		stats_add(&j->stats->refused, j->nrefused);
	}
	/* Where no is no answer, what was set aside is answered as what was taken. */
	bool well = outcome == INTAKE_TAKEN || (outcome == INTAKE_REFUSED && j->mute && !j->has_refuse);
	const struct buf *own = well ? (j->has_after ? &j->after : NULL) : (j->has_refuse ? &j->refuse : NULL);
	if (own) {
		r.answer = own->p ? own->p : "";
		r.answer_len = own->len;
	}
	j->done(j->arg, &r);
	j->next = j->worker->jobs;
	j->worker->jobs = j;
}

/* What the source will be told, now or when all is known of the messages that others brought before. */
static void job_conclude(struct job *j, enum intake_outcome outcome, const char *why, bool malformed)
{
	dedupe_settle(&j->dedupe, outcome == INTAKE_TAKEN);
	if (j->awaited == 0) {
		job_end(j, outcome, why, malformed);
		return;
	}
	j->end.outcome = outcome;
	j->end.malformed = malformed;
	j->end.due = true;
	snprintf(j->end.why, sizeof j->end.why, "%.*s", (int)sizeof j->end.why - 1, why ? why : "");
}

struct news { struct job *job; bool durable; };

static void news_arrived(void *arg)
{
	struct news *n = arg;
	struct job *j = n->job;

	j->lost |= !n->durable;
	free(n);
	if (--j->awaited > 0 || !j->end.due)
		return;
	if (j->lost && j->end.outcome == INTAKE_TAKEN)
		job_end(j, INTAKE_FAILED, "what a message here repeats could not be kept", false);
	else
		job_end(j, j->end.outcome, j->end.why, j->end.malformed);
}

/* On the loop of the worker that had the first one. */
static void first_settled(struct dedupe_request *waiter, bool durable)
{
	struct job *j = (struct job *)(void *)((char *)waiter - offsetof(struct job, dedupe));
	struct news *n = xmalloc(sizeof *n);

	*n = (struct news){ j, durable };
	worker_post(j->worker, news_arrived, n);
}

static void job_committed(void *arg, enum ticket_result result, const char *why)
{
	struct job *j = arg;
	char both[256];

	engine_pending_sub(j->worker->engine, j->bytes);
	if (result != TICKET_TAKEN) {
		/* Whoever reads the answer or the log must know both ends: the channel that stands still, and what for. */
		snprintf(both, sizeof both, "channel %s: %s", j->stats->name, why);
		why = both;
		stats_add(&j->stats->unavailable, 1);
		troubles_unavailable(j->stats->name, why);
	} else if (j->nrefused > 0) {
		troubles_refused(j->stats->name, j->nrefused, j->told[0].reason);
	}
	switch (result) {
	case TICKET_TAKEN:
		if (j->taken == 0 && j->nrefused > 0)
			job_conclude(j, INTAKE_REFUSED, "no message in it can be taken", false);
		else
			job_conclude(j, INTAKE_TAKEN, NULL, false);
		return;
	case TICKET_FULL:
		job_conclude(j, INTAKE_FULL, why, false);
		return;
	case TICKET_FAILED:
		job_conclude(j, INTAKE_FAILED, why, false);
		return;
	}
}

void pipeline_fini(struct worker *w)
{
	await_fini(w);
	while (w->jobs) {
		struct job *j = w->jobs;

		w->jobs = j->next;
		buf_fini(&j->after);
		buf_fini(&j->refuse);
		buf_fini(&j->words);
		await_free(j);
		dedupe_request_fini(&j->dedupe);
		free(j);
	}
}

/* ---- one message --------------------------------------------------------------------------------------------------------- */

void pipeline_refuse(struct request *q, unsigned index, const char *reason, const char *bytes, size_t len)
{
	struct job *j = q->job;

	j->nrefused++;
	if (j->ntold < INTAKE_REFUSALS_MAX && !(q->lines && j->ntold && j->told[j->ntold - 1].index == index))
		j->told[j->ntold++] = (struct refusal){ index, reason };
	ticket_refuse(q->ticket, q->channel->number, reason, bytes, len, q->peer);
}

/* Was it taken before? A message that has no time of its own is of now, and so never the same as another. */
static bool is_known(struct request *q, const struct message *m)
{
	struct job *j = q->job;

	if (!j->table || !q->stamping.dated)
		return false;
	switch (dedupe_look(&j->dedupe, j->table, q->channel->dedupe_us, m->bytes, m->len)) {
	case DEDUPE_NEW:
		return false;
	case DEDUPE_AWAITS:
		j->awaited++;
		break;
	case DEDUPE_KNOWN:
		break;
	}
	j->duplicates++;
	return true;
}

/* The message through a rendering, once for all streams that share it. */
static const struct rendered *rendered(struct request *q, const struct target *t, const struct message *m, const struct message_head *head)
{
	struct worker *w = q->w;
	const struct rendering *r = t->stream->rendering;
	struct rendered *got = &w->rendered[r->ix];
	struct call call = {
		.stream = t->stream->name, .device_data = t->device_data, .id = head->id,
		.ident = head->ident, .ident_len = head->ident_len, .now_us = q->now_us,
	};
	struct buf *address = &w->text;
	size_t from = 0;

	if (got->serial == w->serial)
		return got;
	got->serial = w->serial;
	got->n = 0;
	if (r->state)
		call.state = claim_state(q->job->claim, t->stream->number, head->ident, head->ident_len, &call.state_len);
	/* What was received has been stamped and is not looked at any more: its index is free. */
	got->result = rendering_run(q->scripts, r, m, &call, &w->received, &w->rows, got->why, sizeof got->why);
	if (r->state && w->rows.state_changed && got->result != RENDER_FAILED)
		claim_stage(q->job->claim, t->stream->number, head->ident, head->ident_len, w->rows.state.p, w->rows.state.len);
	if (got->result != RENDER_OK)
		return got;
	buf_clear(address);
	if (r->naddress > 0)
		rendering_address(address, r, m);
	for (unsigned i = 0; i < w->rows.n; i++) {
		size_t start;
		struct buf *b = ticket_rendering(q->ticket, r->number, &start);
		unsigned entry;

		buf_add(b, w->rows.bytes.p + from, w->rows.ends[i] - from);
		from = w->rows.ends[i];
		if (w->rows.topics.len > 0)
			rendering_row_address(address, r, m, &w->rows, i);
		entry = ticket_rendering_end(q->ticket, r->number, i, address->p, address->len);
		if (i == 0)
			got->first = entry;
		got->n++;
	}
	return got;
}

/* Give the message to one stream. */
static void offer(struct request *q, const struct target *t, const struct message *m, const struct message_head *head)
{
	const struct stream *s = t->stream;
	const struct rendered *got;

	if (s->rendering->ix == 0) {
		ticket_want(q->ticket, s->buffer, 0, 0);
		return;
	}
	got = rendered(q, t, m, head);
	if (got->result == RENDER_FAILED) {
		ticket_dead(q->ticket, s->buffer, got->why);
		troubles_script(s->name, head->id, head->ident, head->ident_len, got->why);
	} else if (got->result == RENDER_SKIPPED || got->n == 0)
		ticket_skip(q->ticket, s->buffer);
	for (unsigned i = 0; got->result == RENDER_OK && i < got->n; i++)
		ticket_want(q->ticket, s->buffer, s->rendering->number, got->first + i);
}

/* Does any stream of the route look into the message, beyond copying it? */
static bool route_reads(const struct route *r)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->targets[i].stream->where || r->targets[i].stream->rendering->ix != 0)
			return true;
	return false;
}

static void unrouted(struct request *q, const struct message_head *head)
{
	stats_add(&q->job->stats->unrouted, 1);
	unrouted_add(head->ident, head->ident_len);
}

/* What some stream wanted, for `history`: each message as it is taken. A channel's letter was not, until now. */
static void keep(struct request *q)
{
	if (q->channel->history)
		ticket_keep(q->ticket, q->channel->history);
}

void pipeline_take(struct request *q, const struct message *received, unsigned index)
{
	if (!await_message(q, received, index))
		pipeline_take_now(q, received, index);
}

void pipeline_take_now(struct request *q, const struct message *received, unsigned index)
{
	struct worker *w = q->w;
	struct message_head head;
	struct message m;
	struct route route;
	struct buf *b;
	size_t start;
	const char *stop;
	unsigned wanted = 0;
	const char *why = stamping_head(&q->stamping, received, &head);

	if (why) {
		pipeline_refuse(q, index, why, received->bytes, received->len);
		return;
	}
	q->job->taken++;
	route = plan_route(q->plan, q->channel, head.ident, head.ident_len, q->plan == w->loop.plan ? w->routes : NULL);
	if (route.n == 0) {
		unrouted(q, &head);
		return;
	}
	if (is_known(q, received))
		return;
	head.id = store_ids(w->engine->store, 1);
	b = ticket_message(q->ticket, &start);
	stamping_write(&q->stamping, route.device, received, b);
	ticket_message_end(q->ticket, &head);

	if (!route_reads(&route)) {
		for (unsigned i = 0; i < route.n; i++)
			offer(q, &route.targets[i], NULL, &head);
		keep(q);
		return;
	}
	/* Behind the message the block has room that may be read (store.h), as the index needs. */
	w->serial++;
	buf_reserve(b, MESSAGE_PAD);
	if (message_index(&w->stamped, b->p + start, b->p + b->len, &m, &stop) != JSON_OK) {
		/* Only more fields than a message may have: the router's own came on top of the message's. */
		ticket_message_undo(q->ticket);
		q->job->taken--;
		if (q->job->table && q->stamping.dated)
			dedupe_forget_last(&q->job->dedupe);
		pipeline_refuse(q, index, "too many fields", received->bytes, received->len);
		return;
	}
	for (unsigned i = 0; i < route.n; i++) {
		const struct where *where = route.targets[i].stream->where;

		if (where && !where_true(where, &m, q->now_us))
			continue;
		wanted++;
		offer(q, &route.targets[i], &m, &head);
	}
	if (wanted == 0) {
		ticket_message_undo(q->ticket);
		unrouted(q, &head);
		return;
	}
	keep(q);
}

/* ---- its end ---------------------------------------------------------------------------------------------------------------- */

static void to_store(struct request *q)
{
	q->job->bytes = ticket_size(q->ticket);
	engine_pending_add(q->w->engine, q->job->bytes);
	ticket_submit(q->ticket);
}

/* Nothing could be made of a dead letter this time either. */
static void letter_stays(struct request *q, const char *reason, bool malformed)
{
	char why[1024];

	snprintf(why, sizeof why, "%s", reason);
	ticket_drop(q->ticket);
	q->job->nrefused = q->job->ntold = 0;
	job_end(q->job, INTAKE_REFUSED, why, malformed);
}

void pipeline_end(struct request *q)
{
	struct job *j = q->job;

	if (j->letter) {
		if (j->taken == 0) {
			letter_stays(q, j->ntold ? j->told[0].reason : "no message in it", false);
			return;
		}
		ticket_retries(q->ticket, q->channel->number, j->letter);
		to_store(q);
		return;
	}
	stats_add(&j->stats->received, j->taken + j->nrefused);
	if (q->channel->refuse_whole && j->nrefused > 0) {
		ticket_drop(q->ticket);
		j->taken = 0;
		troubles_malformed(q->channel->name, q->peer, j->told[0].reason);
		job_conclude(j, INTAKE_REFUSED, "refused whole: not every message in it can be taken", false);
		return;
	}
	to_store(q);
}

void pipeline_failed(struct job *j, const char *why)
{
	j->bytes = 0;
	job_committed(j, TICKET_FAILED, why);
}

/* ---- the request ------------------------------------------------------------------------------------------------------------ */

static void request_open(struct request *q, struct worker *w, const struct intake *in)
{
	*q = (struct request){
		.w = w, .plan = in->loop->plan, .scripts = w->scripts, .channel = in->channel, .peer = in->peer, .now_us = clock_real_us(),
	};
	q->job = job_new(w, in);
	q->ticket = ticket_new(w->engine->store, w->port, job_committed, q->job);
	stamping_open(&q->stamping, q->plan, q->channel, q->peer, q->now_us, &w->request, &w->ident);
	await_begin(q);
}

void pipeline_submit(struct worker *w, const struct intake *in)
{
	struct request q;
	char why[1024];

	request_open(&q, w, in);
	stats_add(&q.job->stats->requests, 1);
	if (!pipeline_read(&q, in, why, sizeof why)) {
		await_drop(q.job);
		stats_add(&q.job->stats->received, q.job->taken + q.job->nrefused);
		ticket_drop(q.ticket);
		troubles_malformed(in->channel->name, in->peer, why);
		job_conclude(q.job, INTAKE_REFUSED, why, true);
		return;
	}
	if (!await_end(&q))
		pipeline_end(&q);
}

void pipeline_again(struct worker *w, const struct intake *in, bool raw, uint64_t letter)
{
	struct request q;
	char why[1024];

	request_open(&q, w, in);
	q.job->letter = letter;
	q.job->table = NULL; /* the letter goes with this commit: it must not be taken for one that another commit may lose */
	if (!pipeline_read_again(&q, in, raw, why, sizeof why)) {
		await_drop(q.job);
		letter_stays(&q, why, true);
		return;
	}
	if (!await_end(&q))
		pipeline_end(&q);
}
