/* tcp.c - sends each message over a connection, and reads what the far end makes of it.
 *
 * Three ways of talking:
 *   lines       each message is a line of JSON, answered by a line, in order: `ok…` accepted · `retry…` not now · `refused…` never; any
 *               other word holds the stream, with the word as the reason.
 *   adapter     its `hello` begins a connection, its `transform` frames the messages, its `reply` reads what comes back.
 *   unanswered  a message counts as accepted when the far end's kernel has acknowledged its bytes (over a Unix socket: when it was read).
 *               That is the most that can be known where nobody answers: a far end that dies with what it has not read loses it.
 *
 *   what happens                                verdict
 *   no name, no route, refused, no answer, cut  RETRY     for what was not judged; what was judged before counts
 *   a certificate, theirs or ours               BLOCKED
 *   an answer that is none of the protocol      BLOCKED   (lines) or RETRY (an adapter that failed over it)
 *   the URL cannot be used                      BLOCKED */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/arena.h"
#include "net/net.h"
#include "net/tls.h"
#include "plan/plan.h"
#include "senders/tcp_parts.h"

#define LINKS_MAX 1000        /* connections of one stream, where each device has its own */

static bool wants_tls(const struct destination *d)
{
	return strncmp(d->url.literals[0], "tcps://", 7) == 0;
}

static int settings(struct sender *s, const struct destination *d, char *why, size_t whylen)
{
	const char *acknowledge = d->adapter ? NULL : options_text(d->options, "acknowledge");
	struct tls_client *tls = NULL;
	struct wire_target to;

	if (!d->url.nparams && wire_target_parse(&to, d->url.literals[0], NULL, why, whylen) < 0)
		return -1;
	if (wants_tls(d)) {
		tls = tls_client_new(&(struct tls_client_files){ .ca = d->tls_ca, .cert = d->tls_cert, .key = d->tls_key, .verify = d->tls_verify }, why, whylen);
		if (!tls)
			return -1;
	}
	tls_client_unref(s->tls);
	s->tls = tls;
	s->d = d;
	s->framed = d->adapter != NULL;
	s->talk = d->adapter ? (d->replies ? TCP_ADAPTER : TCP_UNANSWERED) : strcmp(acknowledge, "none") == 0 ? TCP_UNANSWERED : TCP_LINES;
	s->serial++;
	return 0;
}

static struct sender *tcp_new(const struct destination *d, const struct sender_host *h, char *why, size_t whylen)
{
	struct sender *s = xcalloc(1, sizeof *s);

	s->host = *h;
	if (settings(s, d, why, whylen) == 0)
		return s;
	free(s);
	return NULL;
}

/* Connections made with other settings go when nothing is under way on them. */
static void drop_old(struct sender *s)
{
	for (struct tcp_link *l = s->links, *next; l; l = next) {
		next = l->next;
		if (l->serial != s->serial && !l->first)
			tcp_link_free(l);
	}
}

static int tcp_update(struct sender *s, const struct destination *d, char *why, size_t whylen)
{
	if (d->fingerprint == s->d->fingerprint) {
		s->d = d;
		return 0;
	}
	if (settings(s, d, why, whylen) < 0)
		return -1;
	drop_old(s);
	return 0;
}

/* Where each device has its own, there may be more than can be kept: the one unused for longest makes room. */
static void make_room(struct sender *s)
{
	struct tcp_link *oldest = NULL;

	for (struct tcp_link *l = s->links; l; l = l->next)
		if (!l->first && (!oldest || l->used_us < oldest->used_us))
			oldest = l;
	if (oldest && s->nlinks >= LINKS_MAX)
		tcp_link_free(oldest);
}

/* One that is free; else a new one, as long as there may be more; else the one with least to do. */
static struct tcp_link *link_for(struct sender *s, const char *url, const char *key)
{
	struct tcp_link *best = NULL;
	unsigned n = 0;

	for (struct tcp_link *l = s->links; l; l = l->next) {
		if (l->serial != s->serial || strcmp(l->url, url) != 0 || strcmp(l->key, key) != 0)
			continue;
		n++;
		if (!best || l->nflights < best->nflights)
			best = l;
	}
	if (best && (!best->nflights || n >= (*key ? 1 : s->d->connections)))
		return best;
	make_room(s);
	return tcp_link_new(s, url, key);
}

static void tcp_send(struct sender *s, struct batch *b)
{
	char key[260] = "";

	drop_old(s);
	/* A batch holds one device's messages where each has a connection of its own. */
	if (s->d->per_device)
		snprintf(key, sizeof key, "%.*s", (int)b->entries[0].ident_len, b->entries[0].ident);
	tcp_link_send(link_for(s, b->url, key), b);
}

static void tcp_cancel(struct sender *s, struct batch *b)
{
	struct tcp_flight *f = b->driver;

	(void)s;
	tcp_link_cancel(f->link, b);
}

static void tcp_free(struct sender *s)
{
	while (s->links)
		tcp_link_free(s->links);
	tls_client_unref(s->tls);
	free(s);
}

const struct sender_ops sender_tcp = {
	.type = "tcp",
	.new = tcp_new,
	.update = tcp_update,
	.send = tcp_send,
	.cancel = tcp_cancel,
	.free = tcp_free,
};
