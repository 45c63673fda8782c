/* http_sender_kit.h - the http driver in a world of its own, with a far end of http_sink.h. */
#ifndef SLUICE_TESTS_HTTP_SENDER_KIT_H
#define SLUICE_TESTS_HTTP_SENDER_KIT_H

#include "unit.h"

#include <event2/event.h>

#include "base/clock.h"
#include "fake_plan.h"
#include "http_sink.h"
#include "net/http_client.h"
#include "net/net.h"
#include "senders/sender.h"

struct world {
	struct event_base *base;
	struct net *net;
	struct sink *sink;
	struct fake_plan plan;
	struct sender_host host;
	struct sender *sender;
	unsigned judged;
	enum verdict verdict;
	int status;
	char reason[500], answer[5000];
	int64_t retry_after_us;
	bool reached, inside;
	bool (*opinion)(struct judgement *j, const struct answer *a);
	char url[200];
};

static inline void judge(void *arg, struct batch *b, const struct judgement *j)
{
	struct world *w = arg;
	(void)b;
	assert_false(w->inside); /* never from inside send() */
	assert_true(j->answer_len <= 4096);
	w->judged++;
	w->verdict = j->verdict;
	w->status = j->status;
	snprintf(w->reason, sizeof w->reason, "%s", j->reason);
	snprintf(w->answer, sizeof w->answer, "%.*s", (int)j->answer_len, j->answer);
	w->retry_after_us = j->retry_after_us;
	w->reached = j->reached;
}

static inline bool adapter(void *arg, struct batch *b, const struct answer *a, struct judgement *j)
{
	struct world *w = arg;
	(void)b;
	return w->opinion && w->opinion(j, a);
}

static inline void begin(struct world *w, struct sink *sink)
{
	memset(w, 0, sizeof *w);
	w->base = event_base_new();
	w->net = net_new(w->base);
	w->sink = sink;
	fake_plan_init(&w->plan, "http://unused/");
	w->host = (struct sender_host){ .base = w->base, .net = w->net, .stream = "s", .arg = w, .judge = judge, .adapter_verdict = adapter };
}

static inline void end(struct world *w)
{
	sender_http.free(w->sender);
	net_free(w->net);
	event_base_free(w->base);
	fake_plan_fini(&w->plan);
	if (w->sink)
		sink_free(w->sink);
}

static inline void make(struct world *w)
{
	char why[256] = "";
	w->sender = sender_http.new(&w->plan.destination, &w->host, why, sizeof why);
	if (!w->sender)
		print_message("%s\n", why);
	assert_non_null(w->sender);
}

static inline void send_to(struct world *w, struct batch *b, const char *url)
{
	b->url = url;
	b->n = 1;
	if (!b->body) {
		b->body = "[{}]";
		b->body_len = 4;
	}
	if (!b->timeout_us)
		b->timeout_us = 5000000;
	w->inside = true;
	sender_http.send(w->sender, b);
	w->inside = false;
}

static inline void await(struct world *w, unsigned n)
{
	int64_t until = clock_mono_us() + 20000000;
	while (w->judged < n && clock_mono_us() < until)
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_int_equal(w->judged, n);
}

static inline void ask(struct world *w, const char *path)
{
	struct batch b = { 0 };
	snprintf(w->url, sizeof w->url, "%s://localhost:%d%s", w->sink->tls ? "https" : "http", w->sink->port, path);
	send_to(w, &b, w->url);
	await(w, w->judged + 1);
}

#endif
