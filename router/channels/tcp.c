/* tcp.c - TCP channels: lines of JSON, or whatever the channel's adapter makes of the bytes; over TCP, Unix sockets, or as datagrams.
 *
 * A gate is one listening address on one worker. Which channel it stands for is looked up in the plan that the worker has in force; so a
 * reload takes effect between two pieces of a connection, and a connection whose channel stayed as it was notices nothing. */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "channels/tcp_parts.h"
#include "net/http_server.h"
#include "net/tls.h"
#include "plan/plan.h"

static bool is_tcp(const struct channel *c)
{
	return c->enabled && strcmp(c->type, channel_tcp.type) == 0;
}

static int key_of(const struct channel *c, struct addr *a, char key[LISTENING_KEY_MAX], char *why, size_t whylen)
{
	char fault[300];

	if (addr_parse(a, options_text(c->options, "listen"), fault, sizeof fault) < 0) {
		snprintf(why, whylen, "channel '%s': listen: %s", c->name, fault);
		return -1;
	}
	if (a->udp && options_map(c->options, "tls")) {
		snprintf(why, whylen, "channel '%s': datagrams have no tls", c->name);
		return -1;
	}
	listening_key(a, key);
	return 0;
}

static int check_pair(const struct channel *a, const struct channel *b, char *why, size_t whylen)
{
	snprintf(why, whylen, "channels '%s' and '%s' both listen on %s", a->name, b->name, options_text(a->options, "listen"));
	return -1;
}

void tcp_answer_lines(struct buf *out, const struct intake_result *r, unsigned n)
{
	unsigned k = 0;

	buf_clear(out);
	for (unsigned i = 0; i < n; i++) {
		bool refused = k < r->ntold && r->refused[k].index == i;
		const char *reason = refused ? r->refused[k].reason : r->why ? r->why : "";

		if (r->outcome == INTAKE_FULL || r->outcome == INTAKE_FAILED)
			buf_adds(out, "retry ");
		else if (refused)
			buf_adds(out, "refused ");
		else {
			buf_adds(out, "ok\n");
			continue;
		}
		for (; *reason; reason++)
			buf_addc(out, *reason == '\n' || *reason == '\r' ? ' ' : *reason);
		buf_addc(out, '\n');
		k += refused;
	}
}

/* ---- gates ---------------------------------------------------------------------------------------------------------- */

static void gate_free(struct tcp_gate *g)
{
	struct tcp_part *p = g->part;
	struct tcp_gate **at = &p->gates;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	tls_server_unref(g->tls);
	free(g);
	if (!p->gates && p->emptied) {
		void (*emptied)(void *) = p->emptied;

		p->emptied = NULL;
		emptied(p->emptied_arg);
	}
}

void tcp_gate_left(struct tcp_gate *g)
{
	if (g->draining && !g->conns && !g->datagrams)
		gate_free(g);
}

static void gate_settings(struct tcp_gate *g, const struct plan *plan)
{
	const struct options *o = g->channel->options;
	const char *acknowledge = options_text(o, "acknowledge");

	snprintf(g->object, sizeof g->object, "channel/%s", g->channel->name);
	g->adapter = g->channel->decoder_options != NULL;
	g->acknowledge = acknowledge && strcmp(acknowledge, "line") == 0;
	g->idle_us = options_int(o, "idle");
	g->line_max = (size_t)plan->settings.limit_message;
	if (g->adapter && plan->settings.limit_body > plan->settings.limit_message)
		g->line_max = (size_t)plan->settings.limit_body;
}

static const struct channel *find(const struct tcp_gate *g, const struct plan *plan)
{
	for (unsigned i = 0; i < plan->nchannels; i++) {
		const struct channel *c = &plan->channels[i];
		char its[LISTENING_KEY_MAX], why[400];
		struct addr a;

		if (is_tcp(c) && key_of(c, &a, its, why, sizeof why) == 0 && strcmp(its, g->key) == 0)
			return c;
	}
	return NULL;
}

static void gate_drain(struct tcp_gate *g)
{
	struct tcp_conn *c, *next;

	for (c = g->conns; c; c = next) {
		next = tcp_conn_next(c);
		tcp_conn_drain(c);
	}
	if (g->datagrams)
		tcp_datagrams_drain(g->datagrams);
	g->draining = true; /* only now: the last one that goes takes the gate along */
	tcp_gate_left(g);
}

const struct channel *tcp_gate_channel(struct tcp_gate *g)
{
	const struct plan *plan = g->part->loop->plan;

	if (g->plan == plan && g->generation == plan->generation)
		return g->channel;
	g->plan = plan;
	g->generation = plan->generation;
	g->channel = find(g, plan);
	if (g->channel)
		gate_settings(g, plan);
	return g->channel;
}

/* What an adapter keeps of a connection means nothing to another one, or to the same with other options: such connections begin anew. */
static void gate_refresh(struct tcp_gate *g)
{
	const struct channel *c = tcp_gate_channel(g);
	uint64_t had = g->fingerprint;
	struct tcp_conn *conn, *next;

	g->fingerprint = c ? c->fingerprint : 0;
	if (c && (!g->adapter || g->fingerprint == had || g->datagrams))
		return;
	for (conn = g->conns; conn; conn = next) {
		next = tcp_conn_next(conn);
		tcp_conn_drain(conn);
	}
}

static struct tcp_gate *gate_of(struct tcp_part *p, uint64_t id, const char *key)
{
	struct tcp_gate *g = p->gates;

	while (g && g->id != id)
		g = g->next;
	if (g)
		return g;
	g = xcalloc(1, sizeof *g);
	g->part = p;
	g->id = id;
	snprintf(g->key, sizeof g->key, "%s", key);
	snprintf(g->object, sizeof g->object, "channel/%s", key);
	g->next = p->gates;
	p->gates = g;
	if (tcp_gate_channel(g))
		g->fingerprint = g->channel->fingerprint;
	return g;
}

/* ---- the part: struct listening_ops -------------------------------------------------------------------------------------- */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct tcp_part *p = arg;
	int64_t now = clock_mono_us();
	struct tcp_gate *g, *next_gate;
	struct tcp_conn *c, *next;
	bool any = false;

	(void)fd; (void)what;
	for (g = p->gates; g; g = next_gate) {
		next_gate = g->next; /* the last connection that goes may take its gate along */
		for (c = g->conns; c; c = next) {
			next = tcp_conn_next(c);
			any = true;
			tcp_conn_tick(c, now);
		}
	}
	p->ticking = any;
	if (!any)
		event_del(p->tick);
}

static void **slot(struct intake_loop *l) { return &l->tcp; }

static void *part_new(struct intake_loop *l, const struct channel_host *h, struct net_quota *connections, struct net_quota *memory)
{
	struct tcp_part *p = xcalloc(1, sizeof *p);

	p->loop = l;
	p->host = h;
	p->connections = connections;
	p->memory = memory;
	p->tick = event_new(l->base, -1, EV_PERSIST, on_tick, p);
	return p;
}

static void part_free(void *part)
{
	struct tcp_part *p = part;

	if (!p)
		return;
	p->emptied = NULL;
	while (p->gates) {
		struct tcp_gate *g = p->gates;

		g->draining = false;
		while (g->conns)
			tcp_conn_free(g->conns);
		if (g->datagrams)
			tcp_datagrams_free(g->datagrams);
		gate_free(g);
	}
	event_free(p->tick);
	buf_fini(&p->text);
	free(p);
}

static void adopt(void *part, uint64_t id, const char *key, int fd, const char *peer, struct tls_server *tls)
{
	static const struct timeval second = { 1, 0 };
	struct tcp_part *p = part;
	struct tcp_gate *g = gate_of(p, id, key);

	tls_server_unref(g->tls);
	g->tls = tls;
	if (!p->ticking)
		event_add(p->tick, &second);
	p->ticking = true;
	tcp_conn_new(g, fd, peer);
}

static void adopt_datagrams(void *part, uint64_t id, const char *key, int fd)
{
	struct tcp_gate *g = gate_of(part, id, key);

	g->datagrams = tcp_datagrams_new(g, fd);
}

static void drain(void *part, uint64_t id)
{
	struct tcp_gate *g = ((struct tcp_part *)part)->gates;

	while (g && g->id != id)
		g = g->next;
	if (!g)
		return;
	if (g->conns || g->datagrams)
		gate_drain(g);
	else
		gate_free(g);
}

static void refresh(void *part)
{
	for (struct tcp_gate *g = ((struct tcp_part *)part)->gates, *next; g; g = next) {
		next = g->next;
		gate_refresh(g);
	}
}

static void stop(void *part, void (*emptied)(void *arg), void *arg)
{
	struct tcp_part *p = part;

	if (!p->gates) {
		emptied(arg);
		return;
	}
	p->emptied = emptied;
	p->emptied_arg = arg;
	for (struct tcp_gate *g = p->gates, *next; g; g = next) {
		next = g->next;
		if (g->conns || g->datagrams)
			gate_drain(g);
		else
			gate_free(g);
	}
}

static const struct listening_ops ops = {
	.silent = true, .is = is_tcp, .key = key_of, .check_pair = check_pair, .slot = slot, .part_new = part_new, .part_free = part_free,
	.adopt = adopt, .adopt_datagrams = adopt_datagrams, .drain = drain, .refresh = refresh, .stop = stop,
};

static void tcp_whereabouts(const struct channel *c, struct whereabouts *d)
{
	listening_whereabouts(&ops, c, d);
}

static struct channel_type *tcp_new(const struct channel_host *h)
{
	return listening_new(h, &ops);
}

static int tcp_check(const struct channel *c, const struct channel *beside, char *why, size_t whylen)
{
	return listening_check(&ops, c, beside, why, whylen);
}

/* Memory between channels and store is free again. */
static void tcp_resume(struct channel_type *t, struct intake_loop *l)
{
	struct tcp_part *p = l->tcp;

	(void)t;
	if (!p)
		return;
	for (struct tcp_gate *g = p->gates, *next_gate; g; g = next_gate) {
		next_gate = g->next;
		if (g->datagrams)
			tcp_datagrams_resume(g->datagrams);
		for (struct tcp_conn *c = g->conns, *next; c; c = next) {
			next = tcp_conn_next(c);
			tcp_conn_look(c);
		}
	}
}

const struct channel_ops channel_tcp = {
	.type = "tcp",
	.new = tcp_new,
	.check = tcp_check,
	.whereabouts = tcp_whereabouts,
	.prepare = listening_prepare,
	.abort = listening_abort,
	.commit = listening_commit,
	.resume = tcp_resume,
	.stop = listening_stop,
	.free = listening_free,
};
