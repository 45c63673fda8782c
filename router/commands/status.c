/* status.c - see status.h. Deliveries belong to their workers' threads, so each worker is asked in turn for its own. */
#include "commands/status.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/stats.h"
#include "commands/commands.h"
#include "dedupe.h"
#include "engine.h"
#include "net/mailbox.h"
#include "plan/plan.h"
#include "store/store.h"
#include "types.h"
#include "unrouted.h"
#include "worker.h"

struct said { char *name; bool held; struct delivery_status status; };

struct asking {
	struct engine *engine;
	struct command *command;
	unsigned next;              /* worker that is asked now */
	struct said *said; unsigned n, cap;
};

/* ---- JSON ------------------------------------------------------------------------------------------------------------- */

static void text(struct buf *b, const char *key, const char *value)
{
	buf_addf(b, "\"%s\":", key);
	buf_addjson(b, value, strlen(value));
}

static void number(struct buf *b, const char *key, uint64_t v)
{
	buf_addf(b, ",\"%s\":", key);
	buf_addu64(b, v);
}

static void seconds(struct buf *b, const char *key, int64_t us)
{
	buf_addf(b, ",\"%s\":", key);
	time_us_write(b, us);
}

/* ---- status ------------------------------------------------------------------------------------------------------------ */

static const char *const state_names[] = {
	[DELIVERY_IDLE] = "idle", [DELIVERY_SENDING] = "sending", [DELIVERY_RETRYING] = "retrying",
	[DELIVERY_BLOCKED] = "blocked", [DELIVERY_PAUSED] = "paused", [DELIVERY_STOPPING] = "stopping",
};

static void one_stream(struct buf *b, struct engine *e, const struct stream *s, const struct said *said)
{
	const struct delivery_status *d = said ? &said->status : NULL;
	struct buffer_counts c;
	struct stats_stream *st = stats_stream(s->name);

	memset(&c, 0, sizeof c);
	buffer_counts(e->store, s->buffer, &c);
	buf_adds(b, "{");
	text(b, "name", s->name);
	buf_adds(b, ",");
	text(b, "destination", s->destination->name);
	buf_adds(b, ",");
	text(b, "state", !s->enabled ? "disabled" : !d ? "starting" : state_names[d->state]);
	if (s->enabled && (s->paused || (said && said->held))) {
		buf_adds(b, ",");
		text(b, "paused_by", s->paused ? "specification" : "command");
	}
	number(b, "matched", c.matched);
	number(b, "skipped", c.skipped);
	number(b, "buffered", c.buffered);
	number(b, "accepted", c.accepted);
	number(b, "dead", c.dead);
	number(b, "expired", c.expired);
	number(b, "dropped", c.dropped);
	number(b, "purged", c.purged);
	number(b, "bytes", c.bytes);
	seconds(b, "oldest_age", c.oldest_age_us);
	number(b, "dead_letters", c.dead_kept);
	number(b, "rejected", stats_get(&st->rejected));
	number(b, "retried", stats_get(&st->retried));
	if (stats_get(&st->suspended)) {
		buf_adds(b, ",");
		text(b, "alarm", "an adapter is suspended: it spent its budget again and again, and its messages become dead letters without a call");
	}
	if (d) {
		number(b, "batches", d->batches);
		number(b, "in_flight", d->in_flight);
		number(b, "held_addresses", d->held_addresses);
		seconds(b, "ack_latency", d->ack_us_last);
		/* Also a stream that goes on may have held addresses, or messages that it keeps in doubt. */
		if (d->reason[0]) {
			buf_adds(b, ",");
			text(b, "reason", d->reason);
		}
		if (d->state == DELIVERY_RETRYING || d->state == DELIVERY_BLOCKED) {
			seconds(b, "since", d->since_us);
			number(b, "attempts", d->attempts);
			if (d->next_try_us)
				seconds(b, "next_try", d->next_try_us);
		}
	}
	buf_adds(b, "}");
}

static void streams(struct buf *b, const struct asking *a)
{
	const struct plan *p = a->engine->plan;

	buf_adds(b, ",\"streams\":[");
	for (unsigned i = 0; i < p->nstreams; i++) {
		const struct said *d = NULL;

		for (unsigned k = 0; k < a->n; k++)
			if (strcmp(a->said[k].name, p->streams[i].name) == 0)
				d = &a->said[k];
		if (i)
			buf_adds(b, ",");
		one_stream(b, a->engine, &p->streams[i], d);
	}
	buf_adds(b, "]");
}

/* How a channel that connects by itself stands. */
static void connection(struct buf *b, const struct engine *e, const struct channel *c)
{
	struct channel_status s;

	for (unsigned i = 0; types_channels[i]; i++) {
		if (!types_channels[i]->status || strcmp(types_channels[i]->type, c->type) != 0 || !types_channels[i]->status(e->channels[i], c, &s))
			continue;
		buf_addf(b, ",\"connected\":%s", s.connected ? "true" : "false");
		seconds(b, "since", s.since_us);
		if (*s.reason) {
			buf_adds(b, ",");
			text(b, "reason", s.reason);
		}
	}
}

static void channels(struct buf *b, const struct engine *e)
{
	const struct plan *p = e->plan;


	buf_adds(b, ",\"channels\":[");
	for (unsigned i = 0; i < p->nchannels; i++) {
		const struct stats_channel *c = stats_channel(p->channels[i].name);

		buf_adds(b, i ? ",{" : "{");
		text(b, "name", p->channels[i].name);
		buf_adds(b, ",");
		text(b, "type", p->channels[i].type);
		number(b, "id", p->channels[i].number);
		number(b, "requests", stats_get(&c->requests));
		number(b, "received", stats_get(&c->received));
		number(b, "taken", stats_get(&c->taken));
		if (p->channels[i].dedupe_us > 0) {
			number(b, "duplicates", stats_get(&c->duplicates));
			number(b, "remembered", dedupe_remembered(dedupe_of(p->channels[i].name)));
			number(b, "forgotten", stats_get(&c->forgotten));
		}
		number(b, "refused", stats_get(&c->refused));
		number(b, "unrouted", stats_get(&c->unrouted));
		number(b, "unavailable", stats_get(&c->unavailable));
		number(b, "lost", stats_get(&c->lost));
		connection(b, e, &p->channels[i]);
		buf_adds(b, "}");
	}
	buf_adds(b, "]");
}

static void store_part(struct buf *b, struct store *s)
{
	struct store_counts c;

	store_counts(s, &c);
	buf_addf(b, ",\"store\":{\"intake\":%s", c.intake_stopped ? "\"stopped\"," : "\"open\"");
	if (c.intake_stopped)
		text(b, "why", c.intake_why);
	number(b, "commits", c.commits);
	number(b, "syncs", c.syncs);
	number(b, "bytes_written", c.bytes_written);
	number(b, "reopens", c.reopens);
	number(b, "refused_full", c.refused_full);
	number(b, "refused_failed", c.refused_failed);
	number(b, "disk_bytes", c.disk_bytes);
	number(b, "memory_bytes", c.memory_bytes);
	number(b, "free_bytes", c.free_bytes);
	number(b, "states", c.states);
	number(b, "state_bytes", c.state_bytes);
	number(b, "states_read", c.states_read);
	seconds(b, "commit_latency", (int64_t)c.commit_us_last);
	seconds(b, "commit_latency_max", (int64_t)c.commit_us_max);
	number(b, "records_lost", c.records_lost);
	buf_adds(b, "}");
}

/* Nothing where nothing is kept, nor anything left of it. */
static void history_part(struct buf *b, struct store *s, int64_t asked_us)
{
	struct history_counts h;

	store_history(s, &h);
	if (asked_us == 0 && h.held == 0)
		return;
	buf_adds(b, ",\"history\":{\"asked\":");
	time_us_write(b, asked_us);
	number(b, "messages", h.held);
	number(b, "bytes", h.bytes);
	if (h.held > 0) {
		seconds(b, "oldest", clock_real_us() - h.oldest_age_us);
		seconds(b, "oldest_age", h.oldest_age_us);
	}
	number(b, "expired", h.expired);
	number(b, "dropped", h.dropped);
	buf_adds(b, "}");
}

struct retired { struct buf *b; const struct plan *plan; bool any; };

/* Buffers no stream of the plan uses, with something in them. */
static bool retired_buffer(void *arg, uint32_t number_, const char *name, const struct buffer_counts *c)
{
	struct retired *r = arg;

	for (unsigned i = 0; i < r->plan->nstreams; i++)
		if (r->plan->streams[i].buffer == number_)
			return true;
	if (c->buffered == 0)
		return true;
	buf_adds(r->b, r->any ? ",{" : "{");
	r->any = true;
	text(r->b, "name", name);
	number(r->b, "buffered", c->buffered);
	number(r->b, "bytes", c->bytes);
	seconds(r->b, "oldest_age", c->oldest_age_us);
	buf_adds(r->b, "}");
	return true;
}

static void answer(struct asking *a)
{
	struct engine *e = a->engine;
	struct buf b = BUF_INIT;
	struct retired r = { &b, e->plan, false };

	buf_adds(&b, "{");
	text(&b, "file", e->file);
	number(&b, "pid", (uint64_t)getpid());
	number(&b, "generation", e->generation);
	seconds(&b, "started", e->started_us);
	seconds(&b, "now", clock_real_us());
	buf_addf(&b, ",\"reload\":{\"tried\":%llu,\"failed\":%llu,\"ok\":%s,", (unsigned long long)e->report.tried,
		(unsigned long long)e->report.failed, e->report.tried && !e->report.ok ? "false" : "true");
	text(&b, "text", e->report.text);
	if (e->report.problems.len) {
		buf_adds(&b, ",\"problems\":");
		buf_addjson(&b, e->report.problems.p, e->report.problems.len);
	}
	buf_adds(&b, "}");
	number(&b, "pending_bytes", atomic_load(&e->pending));
	store_part(&b, e->store);
	history_part(&b, e->store, e->plan->settings.history_us);
	channels(&b, e);
	streams(&b, a);
	buf_adds(&b, ",\"retired\":[");
	store_each_buffer(e->store, retired_buffer, &r);
	buf_adds(&b, "],\"unrouted\":[");
	unrouted_write(&b);
	buf_adds(&b, "]}\n");
	command_answer(a->command, b.p, b.len);
	buf_fini(&b);
	for (unsigned i = 0; i < a->n; i++)
		free(a->said[i].name);
	free(a->said);
	free(a);
}

static void asking_next(void *arg);

/* On the worker. */
static void asking_worker(void *arg)
{
	struct asking *a = arg;
	struct worker *w = &a->engine->workers[a->next];
	struct map_slot *slot;

	for (size_t i = 0; (slot = map_next(&w->streams, &i));) {
		struct live *l = slot->value;

		if (!l->delivery)
			continue;
		if (a->n == a->cap) {
			a->cap = a->cap ? a->cap * 2 : 16;
			a->said = xrealloc(a->said, a->cap * sizeof *a->said);
		}
		a->said[a->n].name = xstrdup(l->name);
		a->said[a->n].held = l->paused;
		delivery_status(l->delivery, &a->said[a->n].status);
		a->n++;
	}
	a->next++;
	mailbox_post(a->engine->mail, asking_next, a);
}

/* On the main loop. */
static void asking_next(void *arg)
{
	struct asking *a = arg;

	if (a->next < a->engine->nworkers)
		worker_post(&a->engine->workers[a->next], asking_worker, a);
	else
		answer(a);
}

void status_command(struct command *c)
{
	struct asking *a = xcalloc(1, sizeof *a);

	a->engine = c->engine;
	a->command = c;
	c->work = a;
	asking_next(a);
}
