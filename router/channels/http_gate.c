/* http_gate.c - connections and requests of HTTP channels on one worker's loop.
 *
 * A gate is one listening address on one worker. Which channel a request is for is looked up in the plan that the worker has in force
 * when the request comes; that is how a reload takes effect between two requests of one connection. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "channels/http_parts.h"
#include "message/message.h"
#include "net/tls.h"
#include "plan/plan.h"

_Static_assert(MESSAGE_PAD <= 64, "the HTTP server promises 64 readable bytes behind a body");

struct gate {
	struct part *part;
	struct gate *next;
	uint64_t id;
	char key[HTTP_KEY_MAX];
	struct http_service service;
	const struct plan *plan;    /* what doors were made from; compared, never followed */
	uint64_t generation;
	struct doors doors;
};

/* A request between submit and its answer. */
struct asked {
	struct part *part;
	struct http_conn *conn;
	uint64_t request;
	char *body, *type;          /* the fixed answer, a copy: the plan may go before the commit comes */
	int status;                 /* 0: no fixed answer */
	struct asked *next, *next_all;
};

/* ---- answers ------------------------------------------------------------------------------------------------------- */

#define JSON "Content-Type: application/json\r\n"
#define TEXT "Content-Type: text/plain\r\n"

static void add_error(struct buf *b, int status, const char *reason)
{
	buf_addf(b, "\"errors\":[{\"code\":%d,\"reason\":", status);
	buf_addjson(b, reason, strlen(reason));
	buf_adds(b, "}]");
}

static void add_refused(struct buf *b, const struct intake_result *r)
{
	buf_adds(b, "\"refused\":[");
	for (unsigned i = 0; i < r->ntold; i++) {
		buf_addf(b, "%s{\"index\":%u,\"reason\":", i ? "," : "", r->refused[i].index);
		buf_addjson(b, r->refused[i].reason, strlen(r->refused[i].reason));
		buf_addc(b, '}');
	}
	buf_addc(b, ']');
	if (r->nrefused > r->ntold)
		buf_addf(b, ",\"more\":%u", r->nrefused - r->ntold);
}

static struct http_answer report(struct buf *b, const struct intake_result *r)
{
	struct http_answer a = { .status = 200, .headers = JSON };

	buf_clear(b);
	buf_addc(b, '{');
	switch (r->outcome) {
	case INTAKE_TAKEN:
		buf_addf(b, "\"taken\":%u", r->taken);
		if (r->nrefused > 0) {
			buf_addc(b, ',');
			add_refused(b, r);
		}
		break;
	case INTAKE_REFUSED:
		a.status = 400;
		add_error(b, a.status, r->why ? r->why : "nothing in it can be taken");
		if (!r->malformed) {
			buf_adds(b, ",\"taken\":0,");
			add_refused(b, r);
		}
		break;
	case INTAKE_FULL:
	case INTAKE_FAILED:
		a.status = 503;
		a.headers = r->outcome == INTAKE_FULL ? JSON "Retry-After: 5\r\n" : JSON "Retry-After: 1\r\n";
		add_error(b, a.status, r->why ? r->why : "cannot be stored now");
		break;
	}
	buf_adds(b, "}\n");
	a.body = b->p;
	a.len = b->len;
	return a;
}

static const struct http_answer *refuse(struct part *p, int status, const char *reason, const char *headers)
{
	buf_clear(&p->text);
	buf_addc(&p->text, '{');
	add_error(&p->text, status, reason);
	buf_adds(&p->text, "}\n");
	p->refusal = (struct http_answer){ .status = status, .headers = headers, .body = p->text.p, .len = p->text.len };
	return &p->refusal;
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

static void gate_refresh(struct gate *g)
{
	const struct plan *plan = g->part->loop->plan;

	if (g->plan == plan && g->generation == plan->generation)
		return;
	g->plan = plan;
	g->generation = plan->generation;
	g->service.limits.parse.body = plan->settings.limit_body;
	doors_fill(&g->doors, plan, g->key);
	g->service.nproxies = 0;
	for (unsigned i = 0; i < g->doors.n; i++)
		if (!g->doors.at[i].forwarded && g->doors.at[i].nproxies > 0) { /* all channels of an address say the same: check_pair */
			g->service.proxies = g->doors.at[i].proxies;
			g->service.nproxies = g->doors.at[i].nproxies;
		}
}

static void on_nameless(struct http_conn *c, void *arg)
{
	struct gate *g = arg;
	struct door *d = g->doors.n > 0 ? &g->doors.at[0] : NULL;
	uint64_t n = 1;
	char channel[128];

	if (!d || !seldom(&d->nameless, clock_mono_us(), &n))
		return;
	snprintf(channel, sizeof channel, "channel/%s", d->channel->name);
	log_warn(channel, "no-proxy-header", "connections=%llu peer=%s hint=%s", (unsigned long long)n, log_quote(http_conn_peer(c)),
		log_quote("closed: it does not begin with a PROXY header; let the proxy send one (HAProxy: send-proxy-v2), or take the peer out of behind-proxy.from"));
}

/* A tracker with yesterday's token is a fleet that has gone silent: somebody must be able to read why. */
static void tell_unauthorized(struct door *d, const char *peer)
{
	uint64_t n = 1;
	char channel[128];

	if (!seldom(&d->unauthorized, clock_mono_us(), &n))
		return;
	snprintf(channel, sizeof channel, "channel/%s", d->channel->name);
	log_warn(channel, "unauthorized", "requests=%llu peer=%s hint=%s", (unsigned long long)n, log_quote(peer),
		log_quote("answered 401: what the source shows is not what `auth` of the channel asks for"));
}

static const struct http_answer *refuse_method(struct gate *g, const struct http_request *r)
{
	struct part *p = g->part;

	buf_clear(&p->query);
	buf_adds(&p->query, JSON "Allow: ");
	doors_allow(&g->doors, r, &p->scratch, &p->query);
	buf_adds(&p->query, "\r\n");
	return refuse(p, 405, "the channel does not take this method", p->query.p);
}

/* The door this request goes in by, or NULL and the answer that refuses it. */
static const struct door *admit(struct gate *g, const struct http_conn *c, const struct http_request *r, const struct http_answer **refusal)
{
	struct part *p = g->part;
	struct door *d;
	int status;
	char peer[NETWORK_TEXT_MAX];

	gate_refresh(g);
	d = doors_find(&g->doors, r, &p->scratch, &status);
	if (!d) {
		*refusal = status == 404 ? refuse(p, status, "no channel has this path", JSON) : refuse_method(g, r);
		return NULL;
	}
	if (door_admits(d, r, &p->scratch))
		return d;
	tell_unauthorized(d, door_peer(d, r, http_conn_peer(c), peer));
	*refusal = refuse(p, 401, r->authorization.p || d->auth >= AUTH_QUERY ? "wrong or missing secret" : "no credentials",
		d->auth == AUTH_BEARER ? JSON "WWW-Authenticate: Bearer realm=\"sluice\"\r\n" :
		d->auth == AUTH_BASIC ? JSON "WWW-Authenticate: Basic realm=\"sluice\"\r\n" : JSON);
	return NULL;
}

static const struct http_answer *on_head(struct http_conn *c, const struct http_request *r, void *arg)
{
	const struct http_answer *refusal = NULL;

	admit(arg, c, r, &refusal);
	return refusal;
}

static struct asked *asked_new(struct part *p)
{
	struct asked *q = p->idle;

	if (q) {
		p->idle = q->next;
		return q;
	}
	q = xcalloc(1, sizeof *q);
	q->part = p;
	q->next_all = p->all;
	p->all = q;
	return q;
}

static void asked_back(struct asked *q)
{
	free(q->body);
	free(q->type);
	q->body = q->type = NULL;
	q->status = 0;
	q->next = q->part->idle;
	q->part->idle = q;
}

static void intake_done(void *arg, const struct intake_result *r)
{
	struct asked *q = arg;
	struct http_answer a;

	if (q->status && r->outcome == INTAKE_TAKEN) {
		a = (struct http_answer){ .status = q->status, .headers = q->type, .body = q->body, .len = strlen(q->body) };
	} else {
		a = report(&q->part->text, r);
		if (r->answer) {
			a.headers = r->outcome == INTAKE_FULL ? TEXT "Retry-After: 5\r\n" : r->outcome == INTAKE_FAILED ? TEXT "Retry-After: 1\r\n" : TEXT;
			a.body = r->answer;
			a.len = r->answer_len;
		}
	}
	http_conn_answer(q->conn, q->request, &a);
	asked_back(q);
}

/* What a request says beside its body, as texts that end with a NUL, for an adapter that decodes. */
struct told { const char *names[HTTP1_FIELDS_MAX], *values[HTTP1_FIELDS_MAX]; };

static void add_text(struct buf *b, struct http_text t)
{
	buf_add(b, t.p, t.n);
	buf_addc(b, '\0');
}

static void tell(struct intake *in, const struct http_request *r, struct told *told, struct buf *b)
{
	buf_clear(b);
	add_text(b, r->method);
	add_text(b, r->query);
	for (unsigned i = 0; i < r->n; i++) {
		add_text(b, r->fields[i].name);
		add_text(b, r->fields[i].value);
	}
	const char *p = b->p; /* it stays where it is from here on */
	in->method = p;
	p += r->method.n + 1;
	in->query = r->query.p ? p : NULL;
	p += r->query.n + 1;
	for (unsigned i = 0; i < r->n; i++) {
		told->names[i] = p;
		p += r->fields[i].name.n + 1;
		told->values[i] = p;
		p += r->fields[i].value.n + 1;
	}
	in->nheaders = r->n;
	in->header_names = told->names;
	in->header_values = told->values;
}

static void on_request(struct http_conn *c, uint64_t request, const struct http_request *r, void *arg)
{
	struct gate *g = arg;
	struct part *p = g->part;
	const struct http_answer *refusal = NULL;
	const struct door *d = admit(g, c, r, &refusal); /* again: a reload may have come between head and body */
	struct asked *q;
	struct told told;
	char peer[NETWORK_TEXT_MAX];

	if (!d) {
		http_conn_answer(c, request, refusal);
		return;
	}
	struct http_text body = r->body;
	int query = 0;

	if (body.n == 0) {
		buf_clear(&p->query);
		query = door_query(d, r, &p->query, &p->scratch);
	}
	if (query < 0) {
		http_conn_answer(c, request, refuse(p, 400, "the query is badly written", JSON));
		return;
	}
	if (query > 0) {
		buf_reserve(&p->query, MESSAGE_PAD);
		body = (struct http_text){ p->query.p, p->query.len };
	}
	/* A request without a body asks whether we are well, unless its query may be the message. */
	if (d->fixed && query == 0 && r->body.n == 0 && !(d->channel->decoder_options && r->query.n > 0)) {
		http_conn_answer(c, request, &(struct http_answer){ .status = d->status, .headers = d->type, .body = d->body, .len = strlen(d->body) });
		return;
	}
	q = asked_new(p);
	q->conn = c;
	q->request = request;
	if (d->fixed) {
		q->status = d->status;
		q->body = xstrdup(d->body);
		q->type = xstrdup(d->type);
	}
	struct intake in = { .loop = p->loop, .channel = d->channel, .body = body.p, .len = body.n,
		.peer = door_peer(d, r, http_conn_peer(c), peer),
		.done = intake_done, .arg = q };
	if (d->channel->decoder_options)
		tell(&in, r, &told, &p->scratch);
	p->host->submit(p->host->arg, &in);
	if (!p->host->may_read(p->host->arg, p->loop))
		http_loop_pause(p->http);
}

/* ---- gates ---------------------------------------------------------------------------------------------------------- */

static void gate_free(struct gate *g)
{
	struct part *p = g->part;
	struct gate **at = &p->gates;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	tls_server_unref(g->service.tls);
	doors_fini(&g->doors);
	free(g);
	if (!p->gates && p->emptied)
		p->emptied(p->emptied_arg);
}

static void on_drained(struct http_service *s, void *arg)
{
	(void)s;
	gate_free(arg);
}

static void on_gone(struct http_service *s, void *arg)
{
	struct gate *g = arg;

	(void)s;
	atomic_fetch_sub_explicit(&g->part->loop->connections, 1, memory_order_relaxed);
}

static struct gate *gate_of(struct part *p, uint64_t id, const char *key)
{
	struct gate *g = p->gates;

	while (g && g->id != id)
		g = g->next;
	if (g)
		return g;
	g = xcalloc(1, sizeof *g);
	g->part = p;
	g->id = id;
	snprintf(g->key, sizeof g->key, "%s", key);
	g->service = (struct http_service){ .limits = HTTP_LIMITS_DEFAULT, .connections = p->connections, .memory = p->memory,
		.on_head = on_head, .on_request = on_request, .on_nameless = on_nameless, .on_gone = on_gone, .on_drained = on_drained, .arg = g };
	g->next = p->gates;
	p->gates = g;
	gate_refresh(g);
	return g;
}

void part_adopt(struct part *p, uint64_t id, const char *key, int fd, const char *peer, struct tls_server *tls)
{
	struct gate *g = gate_of(p, id, key);

	tls_server_unref(g->service.tls);
	g->service.tls = tls;
	http_conn_new(p->http, &g->service, fd, peer);
}

void part_drain(struct part *p, uint64_t id)
{
	struct gate *g = p->gates;

	while (g && g->id != id)
		g = g->next;
	if (g && http_service_drain(p->http, &g->service) == 0)
		gate_free(g);
}

void part_refresh(struct part *p)
{
	for (struct gate *g = p->gates; g; g = g->next)
		gate_refresh(g);
}

void part_stop(struct part *p, void (*emptied)(void *arg), void *arg)
{
	struct gate *g, *next;

	if (!p->gates) {
		emptied(arg);
		return;
	}
	p->emptied = emptied;
	p->emptied_arg = arg;
	http_loop_resume(p->http); /* what was read and not looked at must be answered or closed */
	for (g = p->gates; g; g = next) {
		next = g->next;
		if (http_service_drain(p->http, &g->service) == 0)
			gate_free(g);
	}
}

struct part *part_new(struct intake_loop *l, const struct channel_host *h, struct net_quota *connections, struct net_quota *memory)
{
	struct part *p = xcalloc(1, sizeof *p);

	p->loop = l;
	p->host = h;
	p->connections = connections;
	p->memory = memory;
	p->http = http_loop_new(l->base);
	return p;
}

void part_free(struct part *p)
{
	struct asked *q, *next;

	if (!p)
		return;
	p->emptied = NULL;
	http_loop_free(p->http);
	while (p->gates)
		gate_free(p->gates);
	for (q = p->all; q; q = next) {
		next = q->next_all;
		free(q->body);
		free(q->type);
		free(q);
	}
	buf_fini(&p->text);
	buf_fini(&p->scratch);
	buf_fini(&p->query);
	free(p);
}
