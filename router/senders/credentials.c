/* credentials.c - see credentials.h. When a stream logs in, and what it does when it cannot.
 *
 * The hard idea is when to ask. Not before there is something to send; again when nine tenths of their life are over (a minute before the
 * end at most), while the old ones still serve; and at once when the far end does not take them (401, an MQTT server's no). That alone does
 * not say whether they have ended or are wrong, so the set that follows is *doubted*: refused as well, before anything was accepted, it
 * counts as blocked, and each later probe begins by logging in. What was sent with an older set than the one in hand says nothing about that one and is sent again.
 *
 * Failing to log in is a failing destination: the same hold, the same back-off, the reason in status and log. No secret is in either: of an
 * answer that refuses, only the status and the error code of RFC 6749 (section 5.2) are told. */
#include "senders/delivery_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/auth.h"
#include "net/http_client.h"
#include "net/net.h"

#define ANSWER_KEPT ((size_t)64 << 10)
#define RENEW_EARLY_US (60 * INT64_C(1000000))
#define RENEW_AGAIN_US (5 * INT64_C(1000000))
#define HEADERS_MAX 32
#define LOGIN_MAX 65535u      /* MQTT counts such texts in 16 bits */

static void wipe(struct buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->len);
	buf_fini(b);
}

static void wipe_text(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

static void drop(struct credentials *c)
{
	c->have = false;
	c->nheaders = 0;
	wipe(&c->headers);
	wipe_text(&c->username);
	wipe_text(&c->password);
}

static void cancel(struct credentials *c)
{
	if (c->call)
		http_cancel(c->call);
	c->call = NULL;
	wipe(&c->body);
}

void credentials_forget(struct delivery *d)
{
	struct credentials *c = &d->credentials;
	cancel(c);
	drop(c);
	http_peer_free(c->peer);
	*c = (struct credentials){ .serial = c->serial };
}

/* ---- what was provided ------------------------------------------------------------------------------------------------------- */

static void add_basic(struct credentials *c, const struct provision *p)
{
	struct buf both = BUF_INIT;
	buf_addf(&both, "%s:%s", p->username, p->password ? p->password : "");
	buf_add(&c->headers, "Authorization", sizeof "Authorization");
	buf_adds(&c->headers, "Basic ");
	auth_base64_add(&c->headers, both.p, both.len);
	buf_addc(&c->headers, '\0');
	c->nheaders++;
	wipe(&both);
}

static void take(struct delivery *d, const struct provision *p)
{
	struct credentials *c = &d->credentials;
	int64_t now = clock_mono_us();
	bool authorized = false;
	drop(c);
	const char *at = p->headers;
	for (unsigned i = 0; i < p->nheaders; i++) {
		const char *value = at + strlen(at) + 1;
		authorized |= strcasecmp(at, "Authorization") == 0;
		buf_add(&c->headers, at, (size_t)(value - at));
		buf_add(&c->headers, value, strlen(value) + 1);
		at = value + strlen(value) + 1;
	}
	c->nheaders = p->nheaders;
	if (p->username && !authorized)
		add_basic(c, p);
	c->username = p->username ? xstrdup(p->username) : NULL;
	c->password = p->password ? xstrdup(p->password) : NULL;
	int64_t early = p->lives_us / 10 < RENEW_EARLY_US ? p->lives_us / 10 : RENEW_EARLY_US;
	c->ends = p->lives_us > 0 ? now + p->lives_us : INT64_MAX;
	c->renew = p->lives_us > 0 ? c->ends - early : INT64_MAX;
	c->have = true;
	c->serial++;
	log_debug(d->object, "credentials", "destination=%s lives_s=%.0f", d->s->destination->name, (double)p->lives_us / 1e6);
}

/* ---- asking -------------------------------------------------------------------------------------------------------------------- */

static void failed(struct delivery *d, const char *why, const struct judgement *like, bool blocked)
{
	struct credentials *c = &d->credentials;
	int64_t now = clock_mono_us();
	char reason[512];
	snprintf(reason, sizeof reason, "no credentials: %.*s", (int)strcspn(why, "\n"), why);
	if (c->have && c->ends > now) { /* the old ones still serve */
		log_debug(d->object, "credentials", "destination=%s reason=%s", d->s->destination->name, log_quote(reason));
		c->renew = now + RENEW_AGAIN_US;
		return;
	}
	drop(c);
	hold_begin(d, &d->hold, &(struct judgement){ .reason = reason, .retry_after_us = like->retry_after_us, .absent = like->absent }, blocked);
}

/* "error":"invalid_client": a word of a list that RFC 6749 gives, so that it can be shown. */
static void add_error_code(struct delivery *d, const struct http_reply *r, struct buf *out)
{
	struct message m;
	const char *stop;
	buf_clear(&d->padded);
	buf_reserve(&d->padded, r->len + MESSAGE_PAD);
	buf_add(&d->padded, r->body, r->len);
	memset(d->padded.p + d->padded.len, 0, MESSAGE_PAD);
	if (message_index(&d->index, d->padded.p, d->padded.p + d->padded.len, &m, &stop) != JSON_OK)
		return;
	const struct slice *s = message_find(&m, "error", 5);
	if (!s || s->kind != SLICE_STRING || s->vlen < 3 || s->vlen > 42)
		return;
	for (size_t i = 1; i + 1 < s->vlen; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz_", m.bytes[s->value + i]))
			return;
	buf_addf(out, ", %.*s", (int)s->vlen - 2, m.bytes + s->value + 1);
}

static void go(struct delivery *d, const struct answer *answer);

static void on_reply(void *arg, const struct http_reply *r)
{
	struct delivery *d = arg;
	struct judgement like = { .absent = r->trouble == HTTP_UNREACHABLE, .retry_after_us = http_reply_retry_after_us(r) };
	struct buf why = BUF_INIT;
	d->credentials.call = NULL;
	wipe(&d->credentials.body);
	if (r->trouble == HTTP_ANSWERED && r->status >= 200 && r->status < 300) {
		go(d, &(struct answer){ .status = r->status, .body = r->body, .len = r->len, .cut = r->cut, .nheaders = r->nheaders,
		                        .header_names = r->names, .header_values = r->values });
	} else if (r->trouble == HTTP_ANSWERED) {
		bool later = r->status >= 500 || r->status == 408 || r->status == 425 || r->status == 429;
		buf_addf(&why, "the request for them was answered HTTP %d", r->status);
		add_error_code(d, r, &why);
		failed(d, why.p, &like, !later);
	} else {
		buf_addf(&why, "%s%s", r->trouble == HTTP_CERTIFICATE ? "certificate: " : "", r->why);
		failed(d, why.p, &like, r->trouble == HTTP_CERTIFICATE || r->trouble == HTTP_MISUSE);
	}
	buf_fini(&why);
	delivery_kick(d);
}

static void ask(struct delivery *d, const struct wording *ask)
{
	struct credentials *c = &d->credentials;
	const char *names[HEADERS_MAX], *values[HEADERS_MAX];
	unsigned n = 0;
	char why[256];
	if (!ask->url) {
		failed(d, "the request for them has no url", &(struct judgement){ .status = 0 }, true);
		return;
	}
	if (!c->peer && !(c->peer = http_peer_of(d->env.net, d->s->destination, why, sizeof why))) {
		failed(d, why, &(struct judgement){ .status = 0 }, true);
		return;
	}
	for (const char *at = ask->headers; n < ask->nheaders && n < HEADERS_MAX; n++) {
		names[n] = at;
		values[n] = at + strlen(at) + 1;
		at = values[n] + strlen(values[n]) + 1;
	}
	wipe(&c->body);
	if (ask->body)
		buf_add(&c->body, ask->body, ask->body_len);
	c->call = http_call(c->peer, &(struct http_outgoing){
		.method = ask->body ? "POST" : "GET", .url = ask->url,
		.nheaders = n, .names = names, .values = values,
		.body = ask->body ? c->body.p : NULL, .body_len = c->body.len,
		.timeout_us = d->s->retry_timeout_us, .keep = ANSWER_KEPT,
	}, on_reply, d);
}

static void go(struct delivery *d, const struct answer *answer)
{
	struct provision p = { .lives_us = 0 };
	char why[900] = "";
	switch (d->env.credentials(d->env.arg, d->s, answer, &p, why, sizeof why)) {
	case PROVIDED_NONE:
		d->credentials.none = true;
		break;
	case PROVIDED:
		if ((p.username && strlen(p.username) > LOGIN_MAX) || (p.password && strlen(p.password) > LOGIN_MAX))
			failed(d, "a name or password of more than 65535 bytes", &(struct judgement){ .status = 0 }, false);
		else
			take(d, &p);
		break;
	case PROVIDED_ASK:
		if (answer)
			failed(d, "the answer led to another request", &(struct judgement){ .status = 0 }, false);
		else
			ask(d, &p.ask);
		break;
	case PROVIDED_NOT:
		failed(d, why, &(struct judgement){ .status = 0 }, false);
		break;
	}
}

/* ---- what delivery asks -------------------------------------------------------------------------------------------------------- */

/* Something waits to be sent; if nothing is at hand, the buffer wakes us when there is. */
static bool at_hand(struct delivery *d)
{
	for (unsigned l = 0; l < d->nlanes; l++)
		if (d->lanes[l].works || d->lanes[l].q.n)
			return true;
	return d->ready || d->nheld || window_take(d);
}

bool credentials_ready(struct delivery *d)
{
	struct credentials *c = &d->credentials;
	int64_t now = clock_mono_us();
	if (!d->env.credentials || c->none)
		return true;
	if (c->have && c->ends <= now)
		drop(c);
	if (c->have && c->renew > now)
		return true;
	bool held = d->hold.on && d->hold.next_try > now;
	if (!c->call && (c->have || !held) && at_hand(d))
		go(d, NULL);
	if (c->none || c->have)
		return true;
	if (!c->call && d->hold.on)
		delivery_by(d, d->hold.next_try);
	return false;
}

bool credentials_refused(struct delivery *d, const struct work *w)
{
	struct credentials *c = &d->credentials;
	if (!d->env.credentials || c->none)
		return false;
	bool newest = c->have && w->credentials == c->serial, again = !newest || !c->doubted;
	if (newest) {
		drop(c);
		c->doubted = true;
	}
	return again;
}

struct login credentials_login(void *arg)
{
	const struct credentials *c = &((const struct delivery *)arg)->credentials;
	return (struct login){ c->username, c->password };
}

void credentials_accepted(struct delivery *d)
{
	d->credentials.doubted = false;
}
