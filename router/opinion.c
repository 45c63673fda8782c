/* opinion.c - see opinion.h. The hard idea: a delivery outlives plans, Lua states do not. A batch may have been sent under an earlier plan, so
 * its destination is looked up by name in the plan that the worker's Lua state belongs to; an adapter that is no longer there has no
 * opinion, and the transport's own table decides.
 *
 * The same plan says what a subscription gives for a device: an entry in a buffer does not carry it.
 *
 * An adapter that fails over an answer must not make a message count as delivered: what the transport alone would call done is then tried
 * again, with the error as the reason that status shows. Every other verdict keeps the message anyway. */
#include "opinion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "plan/plan.h"
#include "senders/sender.h"
#include "transforms/host.h"
#include "senders/oauth2.h"
#include "worker.h"

#define ID_MAX 32

struct opinions {
	struct worker *worker;
	struct script_judgement judged;
	struct script_request request;
	struct script_credentials credentials;
	struct oauth2 oauth2;
	const struct stream *stream;    /* whose batch is looked at */
	struct script_item *items;
	char (*ids)[ID_MAX];
	struct entry_verdict *each;
	unsigned cap;
	char reason[1024];
};

struct opinions *opinions_new(struct worker *w)
{
	struct opinions *o = xcalloc(1, sizeof *o);

	o->worker = w;
	script_judgement_init(&o->judged);
	script_request_init(&o->request);
	script_credentials_init(&o->credentials);
	oauth2_init(&o->oauth2);
	return o;
}

void opinions_free(struct opinions *o)
{
	if (!o)
		return;
	script_judgement_fini(&o->judged);
	script_request_fini(&o->request);
	script_credentials_fini(&o->credentials);
	oauth2_fini(&o->oauth2);
	free(o->items);
	free(o->ids);
	free(o->each);
	free(o);
}

/* What the subscriptions in force give this stream for a device; the same whatever channel it came in on. */
static const char *device_data(void *arg, const char *ident, size_t len)
{
	struct opinions *o = arg;
	const struct plan *p = o->worker->loop.plan;
	struct route r;

	if (p->nchannels == 0)
		return NULL;
	r = plan_route(p, &p->channels[0], ident, len, o->worker->routes);
	for (unsigned i = 0; i < r.n; i++)
		if (strcmp(r.targets[i].stream->name, o->stream->name) == 0)
			return r.targets[i].device_data;
	return NULL;
}

static void room_for(struct opinions *o, unsigned n)
{
	if (o->cap >= n)
		return;
	o->cap = n;
	o->items = xrealloc(o->items, o->cap * sizeof *o->items);
	o->ids = xrealloc(o->ids, o->cap * sizeof *o->ids);
	o->each = xrealloc(o->each, o->cap * sizeof *o->each);
}

/* The batch as scripts see it; good until the next call. */
static struct script_batch batch_of(struct opinions *o, const struct stream *s, const struct batch *b)
{
	room_for(o, b->n);
	for (unsigned i = 0; i < b->n; i++) {
		const struct entry *e = &b->entries[i];

		if (e->rows > 1)
			snprintf(o->ids[i], ID_MAX, "%llu-%u", (unsigned long long)e->id, e->row + 1u);
		else
			snprintf(o->ids[i], ID_MAX, "%llu", (unsigned long long)e->id);
		o->items[i] = (struct script_item){ .id = o->ids[i], .ident = e->ident, .ident_len = e->ident_len, .time_us = e->time_us,
			.bytes = e->bytes, .len = e->len };
	}
	o->stream = s;
	return (struct script_batch){ .stream = s->name, .now_us = clock_real_us(), .n = b->n, .items = o->items, .body = b->body ? b->body : "",
		.body_len = b->body_len, .device = device_data, .device_arg = o };
}

/* The destination a batch went to, as the worker's scripts know it; NULL: its adapter has gone. */
static const struct destination *destination_now(const struct opinions *o, const struct stream *s)
{
	const struct destination *was = s->destination, *d;

	if (!was->adapter || !o->worker->scripts)
		return NULL;
	d = plan_destination(o->worker->loop.plan, was->name);
	return d && d->adapter && strcmp(d->adapter, was->adapter) == 0 ? d : NULL;
}

static enum verdict verdict_of(enum script_verdict v)
{
	switch (v) {
	case SCRIPT_DONE:
		return VERDICT_DONE;
	case SCRIPT_SPLIT:
		return VERDICT_SPLIT;
	case SCRIPT_REFUSED:
		return VERDICT_REFUSED;
	case SCRIPT_BLOCKED:
		return VERDICT_BLOCKED;
	case SCRIPT_RETRY:
	case SCRIPT_NO_OPINION:
		break;
	}
	return VERDICT_RETRY;
}

/* The adapter's reason; without one the transport's, which has none for what it would have called done. */
static void reason_set(struct opinions *o, const struct destination *d, const char *words, struct judgement *j)
{
	if (*words)
		snprintf(o->reason, sizeof o->reason, "%s", words);
	else if (j->reason && *j->reason)
		snprintf(o->reason, sizeof o->reason, "%s", j->reason);
	else
		snprintf(o->reason, sizeof o->reason, "adapter %s made this of status %d", d->adapter, j->status);
	j->reason = o->reason;
}

bool opinion_verdict(void *arg, const struct stream *s, struct batch *b, const struct answer *a, struct judgement *j)
{
	struct opinions *o = arg;
	const struct destination *d = destination_now(o, s);
	struct script_batch batch;
	char why[900];

	if (!d)
		return false;
	batch = batch_of(o, s, b);
	const struct script_answer answer = { .status = a->status, .body = a->body, .len = a->len, .cut = a->cut, .nheaders = a->nheaders,
		.header_names = a->header_names, .header_values = a->header_values };

	if (scripts_verdict(o->worker->scripts, d, &batch, &answer, &o->judged, why, sizeof why) < 0) {
		if (j->verdict != VERDICT_DONE)
			return false;
		j->verdict = VERDICT_RETRY;
		snprintf(o->reason, sizeof o->reason, "adapter %s failed over the answer: %s", d->adapter, why);
		j->reason = o->reason;
		return true;
	}
	if (o->judged.verdict == SCRIPT_NO_OPINION)
		return false;
	reason_set(o, d, o->judged.has_each ? "" : o->judged.words.p + o->judged.reason, j);
	j->verdict = verdict_of(o->judged.verdict);
	for (unsigned i = 0; o->judged.has_each && i < b->n; i++) {
		const char *words = o->judged.words.p + o->judged.each[i].reason;

		o->each[i] = (struct entry_verdict){ verdict_of(o->judged.each[i].verdict), *words ? words : NULL };
	}
	if (o->judged.has_each)
		j->each = o->each;
	return true;
}

/* ---- requests -------------------------------------------------------------------------------------------------------------- */

static const char *text(bool has, const struct buf *b)
{
	return !has ? NULL : b->p ? b->p : "";
}

static struct wording wording_of(const struct script_request *r)
{
	return (struct wording){ .url = text(r->has_url, &r->url), .body = text(r->has_body, &r->body), .body_len = r->body.len,
		.nheaders = r->nheaders, .headers = r->headers.p };
}

int opinion_request(void *arg, const struct stream *s, const struct batch *b, struct wording *out, char *why, size_t whylen)
{
	struct opinions *o = arg;
	const struct destination *d = destination_now(o, s);
	struct script_batch batch;
	int said;

	if (!d)
		return 0;
	batch = batch_of(o, s, b);
	said = scripts_request(o->worker->scripts, d, &batch, &o->request, o->reason, sizeof o->reason);
	if (said < 0)
		snprintf(why, whylen, "adapter %s cannot word the request: %s", d->adapter, o->reason);
	if (said > 0)
		*out = wording_of(&o->request);
	return said;
}

/* ---- credentials ------------------------------------------------------------------------------------------------------------ */

enum provided opinion_credentials(void *arg, const struct stream *s, const struct answer *answer, struct provision *out, char *why, size_t whylen)
{
	struct opinions *o = arg;
	const struct destination *d = destination_now(o, s);
	struct script_credentials *c = &o->credentials;
	struct script_answer a;
	int said;

	if (!s->destination->adapter)
		return oauth2_credentials(&o->oauth2, s, answer, out, why, whylen);
	if (!d)
		return PROVIDED_NONE;
	if (answer)
		a = (struct script_answer){ .status = answer->status, .body = answer->body, .len = answer->len, .cut = answer->cut,
			.nheaders = answer->nheaders, .header_names = answer->header_names, .header_values = answer->header_values };
	said = scripts_credentials(o->worker->scripts, d, clock_real_us(), answer ? &a : NULL, c, o->reason, sizeof o->reason);
	if (said < 0) {
		snprintf(why, whylen, "adapter %s: %s", d->adapter, o->reason);
		return PROVIDED_NOT;
	}
	if (said == 0 && answer) {
		snprintf(why, whylen, "adapter %s has no token() to read the answer with", d->adapter);
		return PROVIDED_NOT;
	}
	if (said == 0)
		return PROVIDED_NONE;
	if (c->wanted) {
		*out = (struct provision){ .ask = wording_of(&c->request) };
		return PROVIDED_ASK;
	}
	*out = (struct provision){ .nheaders = c->request.nheaders, .headers = c->request.headers.p, .username = text(c->has_username, &c->username),
		.password = text(c->has_password, &c->password), .lives_us = c->lives_us };
	return PROVIDED;
}

/* ---- connections --------------------------------------------------------------------------------------------------------------- */

int opinion_hello(void *arg, const struct stream *s, const char *ident, int *conn, struct buf *out, bool *wait, char *why, size_t whylen)
{
	struct opinions *o = arg;
	const struct destination *d = destination_now(o, s);

	if (!d) {
		snprintf(why, whylen, "adapter %s has gone", s->destination->adapter ? s->destination->adapter : "");
		return -1;
	}
	return scripts_hello(o->worker->scripts, d, clock_real_us(), ident, conn, out, wait, why, whylen);
}

int opinion_reply(void *arg, const struct stream *s, const char *ident, int *conn, const char *bytes, size_t n, unsigned waiting, size_t *used,
                  struct tcp_reply *out, char *why, size_t whylen)
{
	struct opinions *o = arg;
	const struct destination *d = destination_now(o, s);
	int said;

	*used = 0;
	if (!d) {
		snprintf(why, whylen, "adapter %s has gone", s->destination->adapter ? s->destination->adapter : "");
		return -1;
	}
	said = scripts_reply(o->worker->scripts, d, clock_real_us(), ident, conn, bytes, n, waiting, used, &o->judged, why, whylen);
	if (said < 0)
		return -1;
	if (o->judged.verdict == SCRIPT_BLOCKED) {
		snprintf(why, whylen, "%s", o->judged.words.p + o->judged.reason);
		out->blocked = true;
		return -1;
	}
	if (!o->judged.has_each)
		return said;
	room_for(o, o->judged.n);
	for (unsigned i = 0; i < o->judged.n; i++) {
		const char *words = o->judged.words.p + o->judged.each[i].reason;

		o->each[i] = (struct entry_verdict){ verdict_of(o->judged.each[i].verdict), *words ? words : NULL };
	}
	out->n = o->judged.n;
	out->each = o->each;
	return said;
}

void opinion_conn_end(void *arg, int conn)
{
	struct opinions *o = arg;

	if (o->worker->scripts)
		scripts_conn_end(o->worker->scripts, conn);
}
