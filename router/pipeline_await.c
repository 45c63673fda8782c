/* pipeline_await.c - requests with messages for adapters that keep state: they wait until these states may be gone on from.
 *
 * The hard idea: reading is apart from taking. What a state is needed for is known only when all of a request has been read; so from the first message on that needs
 * one, messages are put by, and taken when the claim on all their states is granted: at once, mostly. A request that has to wait is taken
 * under the plan it came under. Nothing else of its connection overtakes it: the connection is a pair of every claim. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "engine.h"
#include "pipeline_parts.h"
#include "plan/plan.h"
#include "store/store.h"

static size_t peer_len(const char *peer)
{
	return strnlen(peer, STATE_IDENT_MAX);
}

static void begin(struct request *q)
{
	struct job *j = q->job;

	j->claim = claim_new(q->w->engine->store, q->w->port);
	claim_add(j->claim, 0, q->peer, peer_len(q->peer));
	buf_clear(&j->held);
	j->nheld = 0;
}

void await_begin(struct request *q)
{
	for (const struct job *j = q->w->waiting_first; j; j = j->behind)
		if (strcmp(j->peer.p, q->peer) == 0) {
			begin(q);
			return;
		}
}

/* Claims what the message's streams keep of its ident. */
static void claim_states(struct request *q, const struct message_head *head)
{
	struct route route = plan_route(q->plan, q->channel, head->ident, head->ident_len, q->w->routes);

	for (unsigned i = 0; i < route.n; i++) {
		const struct stream *s = route.targets[i].stream;

		if (!s->rendering->state)
			continue;
		if (!q->job->claim)
			begin(q);
		claim_add(q->job->claim, s->number, head->ident, head->ident_len);
	}
}

bool await_message(struct request *q, const struct message *m, unsigned index)
{
	struct job *j = q->job;
	struct message_head head;
	const char *why;

	if (!q->w->keeps_state && !j->claim)
		return false;
	why = stamping_head(&q->stamping, m, &head);
	if (why) {
		pipeline_refuse(q, index, why, m->bytes, m->len);
		return true;
	}
	if (q->w->keeps_state)
		claim_states(q, &head);
	if (!j->claim)
		return false;
	if (j->nheld == j->held_cap) {
		j->held_cap = j->held_cap ? j->held_cap * 2 : 64;
		j->messages = xrealloc(j->messages, j->held_cap * sizeof *j->messages);
	}
	buf_add(&j->held, m->bytes, m->len);
	j->messages[j->nheld++] = (struct held){ j->held.len, index };
	return true;
}

static void take_held(struct request *q)
{
	struct job *j = q->job;

	ticket_claim(q->ticket, j->claim);
	buf_reserve(&j->held, MESSAGE_PAD);
	for (unsigned i = 0; i < j->nheld; i++) {
		const char *p = j->held.p + (i ? j->messages[i - 1].end : 0), *end = j->held.p + j->messages[i].end, *stop;
		struct message m;

		/* It was read before. */
		if (message_index(&q->w->received, p, end, &m, &stop) == JSON_OK)
			pipeline_take_now(q, &m, j->messages[i].index);
	}
	j->nheld = 0;
	pipeline_end(q);
	/* Not j->claim any more: it went with the ticket. */
}

/* ---- those that wait ------------------------------------------------------------------------------------------------------- */

static void unlink_waiting(struct job *j)
{
	struct worker *w = j->worker;

	*(j->before ? &j->before->behind : &w->waiting_first) = j->behind;
	*(j->behind ? &j->behind->before : &w->waiting_last) = j->before;
	engine_pending_sub(w->engine, j->bytes);
}

static void on_ready(void *arg, const char *why)
{
	struct job *j = arg;
	struct term *term = j->term;
	struct request q = {
		.w = j->worker, .plan = term->plan, .scripts = term->scripts, .channel = j->channel, .peer = j->peer.p, .lines = j->lines,
		.ticket = j->ticket, .job = j, .now_us = j->now_us,
	};

	unlink_waiting(j);
	if (why) {
		stats_add(&j->stats->received, j->taken + j->nrefused + j->nheld);
		await_drop(j);
		ticket_drop(q.ticket);
		pipeline_failed(j, why);
	} else {
		stamping_open(&q.stamping, q.plan, q.channel, q.peer, q.now_us, &q.w->request, &q.w->ident);
		take_held(&q);
	}
	term_unuse(term);
}

static void wait(struct request *q)
{
	struct job *j = q->job;
	struct worker *w = q->w;

	buf_clear(&j->peer);
	buf_adds(&j->peer, q->peer);
	j->ticket = q->ticket;
	j->term = term_use(w->term);
	j->channel = q->channel;
	j->now_us = q->now_us;
	j->lines = q->lines;
	j->before = w->waiting_last;
	j->behind = NULL;
	*(w->waiting_last ? &w->waiting_last->behind : &w->waiting_first) = j;
	w->waiting_last = j;
	j->bytes = j->held.len + ticket_size(j->ticket);
	engine_pending_add(w->engine, j->bytes);
}

bool await_end(struct request *q)
{
	struct job *j = q->job;

	if (!j->claim)
		return false;
	if (claim_begin(j->claim, on_ready, j))
		take_held(q);
	else
		wait(q);
	return true;
}

void await_drop(struct job *j)
{
	claim_end(j->claim);
	j->claim = NULL;
}

/* ---- the end ------------------------------------------------------------------------------------------------------------------ */

void await_fini(struct worker *w)
{
	while (w->waiting_first) {
		struct job *j = w->waiting_first;

		unlink_waiting(j);
		await_drop(j);
		ticket_drop(j->ticket);
		term_unuse(j->term);
		j->next = w->jobs;
		w->jobs = j;
	}
}

void await_free(struct job *j)
{
	buf_fini(&j->held);
	buf_fini(&j->peer);
	free(j->messages);
}
