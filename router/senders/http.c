/* http.c - POSTs a batch as one body, and reads the answer as a verdict.
 *
 * The table, here and in sluice.yaml(5). The first line that fits counts; an adapter's `verdict` comes before it whenever there is
 * an answer at all.
 *
 *   answer                                    verdict   why
 *   a status that `accept:` lists (200)       DONE
 *   another 2xx                               BLOCKED   taken or not? the operator knows: the reason says what to add to `accept:`
 *   3xx                                       BLOCKED   redirects are not followed: the reason says where it points
 *   401 403 404 405 407                       BLOCKED   credentials, path or method are wrong for every message alike
 *   408 425 429, 5xx                          RETRY     after Retry-After, if it is given
 *   other 4xx (400 409 411 413 415 422 …)     SPLIT     something in the body is not acceptable: find out what
 *   anything else (a final 1xx, 600 …)        RETRY
 *   no name, no route, reset, timeout, cut    RETRY     not there, or not known whether it was taken
 *   a certificate, theirs or ours             BLOCKED
 *   the URL cannot be used                    BLOCKED   or its name leads to an address that must not be asked */
#include "senders/sender.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "net/http_client.h"
#include "net/net.h"
#include "plan/plan.h"

#define HEADERS_MAX 64
#define ANSWER_SHOWN 4096u
/* For an adapter, which may be told of each message. A little below the least that a script can hold as one text. */
#define ANSWER_JUDGED ((size_t)255 << 10)

struct sender {
	struct sender_host host;
	const struct destination *d;
	struct http_peer *peer;
};

struct flight {
	struct sender *s;
	struct batch *b;
	struct http_call *call;
};

/* ---- an answer's meaning ------------------------------------------------------------------------------------------------- */

/* The first line of the answer, for people: printable, short. */
static void first_words(const struct http_reply *r, char *out, size_t room)
{
	size_t n = 0;
	for (size_t i = 0; i < r->len && n + 1 < room && r->body[i] != '\n' && r->body[i] != '\r'; i++)
		if ((unsigned char)r->body[i] >= 0x20 && r->body[i] != 0x7F)
			out[n++] = r->body[i];
	/* not in the middle of a UTF-8 sequence */
	while (n && n + 1 == room && ((unsigned char)out[n - 1] & 0x80))
		n--;
	out[n] = '\0';
}

static enum verdict judge_status(const struct destination *d, const struct http_reply *r, char *reason, size_t room)
{
	int status = r->status;
	char words[160];
	first_words(r, words, sizeof words);
	bool accepted = !d->naccept && status == 200;
	for (unsigned i = 0; i < d->naccept; i++)
		accepted |= d->accept[i] == status;
	if (accepted) {
		reason[0] = '\0';
		return VERDICT_DONE;
	}
	snprintf(reason, room, "HTTP %d%s%s", status, *words ? ": " : "", words);
	if (status >= 200 && status < 300) {
		snprintf(reason, room, "HTTP %d: if that means taken, add %d to `accept:` of destination %s", status, status, d->name);
		return VERDICT_BLOCKED;
	}
	if (status >= 300 && status < 400) {
		const char *to = http_reply_header(r, "location");
		snprintf(reason, room, "HTTP %d: redirects are not followed; if %s is meant, write it as url", status, to ? to : "its target");
		return VERDICT_BLOCKED;
	}
	switch (status) {
	case 401: case 403: case 404: case 405: case 407:
		return VERDICT_BLOCKED;
	case 408: case 425: case 429:
		return VERDICT_RETRY;
	}
	return status >= 400 && status < 500 ? VERDICT_SPLIT : VERDICT_RETRY;
}

static void on_reply(void *arg, const struct http_reply *r)
{
	struct flight *f = arg;
	struct sender *s = f->s;
	struct batch *b = f->b;
	char reason[400];
	struct judgement j = { .verdict = VERDICT_RETRY, .status = r->status, .reason = reason,
	                       .answer = r->body, .answer_len = r->len < ANSWER_SHOWN ? r->len : ANSWER_SHOWN,
	                       .reached = r->trouble == HTTP_ANSWERED || r->trouble == HTTP_CUT, .absent = r->trouble == HTTP_UNREACHABLE,
	                       .unauthorized = r->trouble == HTTP_ANSWERED && r->status == 401 };
	snprintf(reason, sizeof reason, "%s", r->why);
	switch (r->trouble) {
	case HTTP_ANSWERED:
		j.retry_after_us = http_reply_retry_after_us(r);
		struct answer a = { .status = r->status, .body = r->body, .len = r->len, .cut = r->cut,
		                    .nheaders = r->nheaders, .header_names = r->names, .header_values = r->values };
		j.verdict = judge_status(s->d, r, reason, sizeof reason);
		if (s->host.adapter_verdict)
			s->host.adapter_verdict(s->host.arg, b, &a, &j);
		break;
	case HTTP_CERTIFICATE:
		snprintf(reason, sizeof reason, "certificate: %s", r->why);
		j.verdict = VERDICT_BLOCKED;
		break;
	case HTTP_MISUSE:
		snprintf(reason, sizeof reason, "url: %s", r->why);
		j.verdict = VERDICT_BLOCKED;
		break;
	case HTTP_UNREACHABLE: case HTTP_TIMEOUT: case HTTP_CUT:
		break;
	}
	free(f);
	s->host.judge(s->host.arg, b, &j);
}

/* ---- the driver -------------------------------------------------------------------------------------------------------------- */

struct http_peer *http_peer_of(struct net *n, const struct destination *d, char *why, size_t whylen)
{
	return http_peer_new(n->http, &(struct http_peer_settings){
		.ca = d->tls_ca, .cert = d->tls_cert, .key = d->tls_key, .verify = d->tls_verify,
		/* other transports have no proxy, and may be asked for a token all the same */
		.proxy = d->options && d->transport == TRANSPORT_HTTP ? options_text(d->options, "proxy") : NULL,
		.bind = d->options ? options_text(d->options, "bind") : NULL,
		.connections = d->connections,
	}, why, whylen);
}

static struct sender *http_new(const struct destination *d, const struct sender_host *h, char *why, size_t whylen)
{
	struct sender *s = xcalloc(1, sizeof *s);
	s->host = *h;
	s->d = d;
	s->peer = http_peer_of(s->host.net, d, why, whylen);
	if (!s->peer) {
		free(s);
		return NULL;
	}
	return s;
}

/* Always a new peer: where nothing has changed, it goes on with the old one's connections. */
static int http_update(struct sender *s, const struct destination *d, char *why, size_t whylen)
{
	s->d = d;
	struct http_peer *p = http_peer_of(s->host.net, d, why, whylen);
	if (!p)
		return -1;
	http_peer_free(s->peer);
	s->peer = p;
	return 0;
}

/* Is the host of a templated URL not wholly written in the configuration? */
static bool host_from_message(const struct destination *d)
{
	if (!d->url.nparams)
		return false;
	const char *authority = strstr(d->url.literals[0], "://");
	return !authority || !strpbrk(authority + 3, "/?#");
}

static const char *method_of(const struct destination *d)
{
	const char *method = !d->adapter && d->options ? options_text(d->options, "method") : NULL;
	return method ? method : "POST";
}

static void http_send(struct sender *s, struct batch *b)
{
	const char *names[HEADERS_MAX], *values[HEADERS_MAX];
	unsigned n = 0;
	bool typed = false;
	for (unsigned i = 0; i < b->nheaders && n < HEADERS_MAX - 1; i++, n++) {
		names[n] = b->header_names[i];
		values[n] = b->header_values[i];
		typed |= strcasecmp(names[n], "Content-Type") == 0;
	}
	if (!typed) {
		names[n] = "Content-Type";
		values[n++] = s->d->body_type ? s->d->body_type : "application/json";
	}
	struct flight *f = xcalloc(1, sizeof *f);
	*f = (struct flight){ .s = s, .b = b };
	b->driver = f;
	f->call = http_call(s->peer, &(struct http_outgoing){
		.method = method_of(s->d), .url = b->url,
		.nheaders = n, .names = names, .values = values,
		.body = b->body, .body_len = b->body_len,
		.gzip = s->d->gzip, .host_from_outside = b->worded || host_from_message(s->d),
		.timeout_us = b->timeout_us, .keep = s->d->adapter ? ANSWER_JUDGED : ANSWER_SHOWN,
	}, on_reply, f);
}

static void http_cancel_batch(struct sender *s, struct batch *b)
{
	(void)s;
	struct flight *f = b->driver;
	http_cancel(f->call);
	free(f);
}

static void http_free(struct sender *s)
{
	http_peer_free(s->peer);
	free(s);
}

const struct sender_ops sender_http = {
	.type = "http",
	.joins = true,
	.new = http_new,
	.update = http_update,
	.send = http_send,
	.cancel = http_cancel_batch,
	.free = http_free,
};
