/* http.c - HTTP channels: which they are, and the way from a listener to the gates on the workers.
 *
 * Channels that name one address share its listener and differ by path and method. */
#include <stdio.h>
#include <string.h>

#include "channels/http_parts.h"
#include "plan/plan.h"

/* NULL: connections begin with the first request. */
static const struct options *announced_by(const struct channel *c)
{
	const struct options *o = options_map(c->options, "behind-proxy");

	return o && strcmp(options_text(o, "tells"), "proxy-protocol") == 0 ? o : NULL;
}

/* What a connection must begin with is asked before anybody knows for which channel it is. */
static bool same_beginning(const struct channel *a, const struct channel *b)
{
	const struct options *x = announced_by(a), *y = announced_by(b);

	if (!x || !y)
		return !x && !y;
	if (options_count(x, "from") != options_count(y, "from"))
		return false;
	for (unsigned i = 0; i < options_count(x, "from"); i++)
		if (strcmp(options_item(x, "from", i), options_item(y, "from", i)) != 0)
			return false;
	return true;
}

static int check_pair(const struct channel *a, const struct channel *b, char *why, size_t whylen)
{
	if (!same_beginning(a, b)) {
		snprintf(why, whylen, "channels '%s' and '%s' share %s: behind-proxy with proxy-protocol must be the same for both", a->name, b->name,
			options_text(a->options, "listen"));
		return -1;
	}
	if (strcmp(options_text(a->options, "path"), options_text(b->options, "path")) != 0 ||
		!(http_channel_methods(a) & http_channel_methods(b)))
		return 0;
	snprintf(why, whylen, "channels '%s' and '%s' both take %s on %s", a->name, b->name, options_text(a->options, "path"),
		options_text(a->options, "listen"));
	return -1;
}

static void whereabouts(const struct channel *c, struct buf *front, struct buf *room)
{
	const struct options *announced = announced_by(c);

	for (unsigned i = 0; announced && i < options_count(announced, "from"); i++)
		buf_addf(front, "\n%s", options_item(announced, "from", i));
	if (announced)
		buf_adds(front, "\n.");
	buf_adds(room, options_text(c->options, "path"));
}

static void **slot(struct intake_loop *l) { return &l->http; }
static void *make(struct intake_loop *l, const struct channel_host *h, struct net_quota *connections, struct net_quota *memory)
{
	return part_new(l, h, connections, memory);
}
static void unmake(void *part) { part_free(part); }
static void adopt(void *part, uint64_t id, const char *key, int fd, const char *peer, struct tls_server *tls)
{
	part_adopt(part, id, key, fd, peer, tls);
}
static void drain(void *part, uint64_t id) { part_drain(part, id); }
static void refresh(void *part) { part_refresh(part); }
static void stop(void *part, void (*emptied)(void *arg), void *arg) { part_stop(part, emptied, arg); }

static const struct listening_ops ops = {
	.is = http_channel_is, .key = http_channel_key, .check_pair = check_pair, .whereabouts = whereabouts,
	.slot = slot, .part_new = make, .part_free = unmake, .adopt = adopt, .drain = drain, .refresh = refresh, .stop = stop,
};

static int http_check(const struct channel *c, const struct channel *beside, char *why, size_t whylen)
{
	return listening_check(&ops, c, beside, why, whylen);
}

static void http_whereabouts(const struct channel *c, struct whereabouts *d)
{
	listening_whereabouts(&ops, c, d);
}

static struct channel_type *http_new(const struct channel_host *h)
{
	return listening_new(h, &ops);
}

static void http_resume(struct channel_type *t, struct intake_loop *l)
{
	struct part *p = l->http;

	(void)t;
	if (p)
		http_loop_resume(p->http);
}

const struct channel_ops channel_http = {
	.type = "http",
	.new = http_new,
	.check = http_check,
	.whereabouts = http_whereabouts,
	.prepare = listening_prepare,
	.abort = listening_abort,
	.commit = listening_commit,
	.resume = http_resume,
	.stop = listening_stop,
	.free = listening_free,
};
