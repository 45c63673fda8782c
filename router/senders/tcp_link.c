/* tcp_link.c - a connection of the TCP sender.
 *
 * Answers carry no name: the k-th belongs to the k-th message of *this* connection. So what was sent is judged strictly in order, an answer
 * too many or one that is not understood makes the whole connection worthless, and what was not judged when it ends is sent again. Up to
 * `window` messages wait at a time; each answer lets the next one go. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/event.h>

#include "base/arena.h"
#include "base/clock.h"
#include "net/tls.h"
#include "plan/plan.h"
#include "senders/tcp_parts.h"

#define ANSWER_MAX 65536u            /* of what is not understood yet */
#define LOOK_FIRST_US 500            /* has the far end's kernel acknowledged? asked after this, then after twice as long, … */
#define LOOK_MAX_US 50000
#define IDLE_US (300 * INT64_C(1000000))

static void arm(struct tcp_link *l);

/* ---- flights ------------------------------------------------------------------------------------------------------------ */

static void flight_free(struct tcp_flight *f)
{
	free(f->each);
	buf_fini(&f->reasons);
	free(f);
}

static struct tcp_flight *flight_take(struct tcp_link *l)
{
	struct tcp_flight *f = l->first;

	l->first = f->next;
	if (!l->first)
		l->end = &l->first;
	l->nflights--;
	l->waiting -= f->sent - f->judged;
	return f;
}

/* What became of all of it, to delivery. Takes the flight off its connection. */
static void tell(struct tcp_link *l, const struct judgement *rest)
{
	struct sender_host host = l->sender->host;
	struct tcp_flight *f = flight_take(l);
	struct judgement j = *rest;
	struct batch *b = f->b;

	for (unsigned i = 0; i < f->judged; i++)
		f->each[i].reason = f->each[i].verdict == VERDICT_DONE ? NULL : f->reasons.p + (uintptr_t)f->each[i].reason;
	for (unsigned i = f->judged; i < b->n; i++)
		f->each[i] = (struct entry_verdict){ VERDICT_RETRY, rest->reason };
	if (f->judged == b->n && !f->mixed) {
		j = (struct judgement){ .verdict = VERDICT_DONE, .reason = "", .answer = "", .reached = true };
	} else if (f->judged > 0) {
		j.each = f->each;
		for (unsigned i = 0; f->judged == b->n && i < b->n; i++)
			if (f->each[i].reason)
				j.reason = f->each[i].reason;
	}
	host.judge(host.arg, b, &j);
	flight_free(f);
}

/* ---- the end of a connection ------------------------------------------------------------------------------------------------ */

static void wire_drop(struct tcp_link *l)
{
	struct sender_host *h = &l->sender->host;

	wire_free(l->wire);
	l->wire = NULL;
	l->ready = l->greeting = false;
	if (l->conn && h->conn_end)
		h->conn_end(h->arg, l->conn);
	l->conn = 0;
}

void tcp_link_free(struct tcp_link *l)
{
	*l->at = l->next;
	if (l->next)
		l->next->at = l->at;
	l->sender->nlinks--;
	wire_drop(l);
	event_free(l->timer);
	free(l->url);
	free(l->key);
	free(l->fault);
	free(l);
}

/* Nothing that was not judged will be: all of it again, over another connection. */
static void broken(struct tcp_link *l, const struct judgement *j)
{
	wire_drop(l);
	while (l->first)
		tell(l, j);
	tcp_link_free(l);
}

static void broken_because(struct tcp_link *l, enum verdict v, const char *why)
{
	char reason[300];

	snprintf(reason, sizeof reason, "%s", why);
	broken(l, &(struct judgement){ .verdict = v, .reason = reason, .answer = "", .reached = true });
}

void tcp_link_cancel(struct tcp_link *l, struct batch *b)
{
	struct tcp_flight **at = &l->first, *f;

	while ((f = *at)->b != b)
		at = &f->next;
	*at = f->next;
	if (!*at)
		l->end = at;
	l->nflights--;
	l->waiting -= f->sent - f->judged;
	flight_free(f);
	/* Answers to come cannot be told apart any more. Its other batches are about to be cancelled too, or time out. */
	wire_drop(l);
	if (!l->first)
		tcp_link_free(l);
}

/* ---- sending ------------------------------------------------------------------------------------------------------------------ */

static void pump(struct tcp_link *l)
{
	struct sender *s = l->sender;
	unsigned window = s->d->window;

	if (!l->ready)
		return;
	for (struct tcp_flight *f = l->first; f; f = f->next)
		while (f->sent < f->b->n) {
			const struct entry *e = &f->b->entries[f->sent];

			if (l->waiting >= window || !wire_has_room(l->wire))
				return;
			wire_write(l->wire, e->bytes, e->len);
			if (!s->framed)
				wire_write(l->wire, "\n", 1);
			f->sent++;
			l->waiting++;
		}
}

/* ---- judging ------------------------------------------------------------------------------------------------------------------- */

/* One answer, to the oldest message without one. */
static void judge_one(struct tcp_link *l, enum verdict v, const char *reason, size_t n)
{
	struct tcp_flight *f = l->first;

	f->each[f->judged].verdict = v;
	f->each[f->judged].reason = (const char *)(uintptr_t)f->reasons.len;
	if (v != VERDICT_DONE) {
		f->mixed = true;
		buf_add(&f->reasons, reason, n);
		buf_addc(&f->reasons, '\0');
	}
	f->judged++;
	l->waiting--;
	l->progress_us = clock_mono_us();
	if (f->judged == f->b->n)
		tell(l, &(struct judgement){ .verdict = VERDICT_RETRY, .reason = "", .answer = "", .reached = true });
}

static bool begins(const char *p, size_t n, const char *word)
{
	size_t k = strlen(word);

	return n >= k && strncasecmp(p, word, k) == 0 && (n == k || !isalnum((unsigned char)p[k]));
}

static const char *words_of(const char *p, size_t *n, size_t skip)
{
	p += skip;
	*n -= skip;
	while (*n && (*p == ' ' || *p == ':')) {
		p++;
		(*n)--;
	}
	return p;
}

/* Lines that have come. False: the connection is no more. */
static bool read_lines(struct tcp_link *l)
{
	char why[300];
	const char *p, *nl;
	size_t n;

	while (p = wire_input(l->wire, &n), (nl = memchr(p, '\n', n))) {
		size_t len = (size_t)(nl - p), shown = len;
		enum verdict v = VERDICT_DONE;

		while (len && (p[len - 1] == '\r' || p[len - 1] == ' '))
			len--;
		if (l->waiting == 0) {
			broken_because(l, VERDICT_RETRY, "an answer came to which there is no message");
			return false;
		}
		shown = len;
		if (begins(p, len, "retry")) {
			v = VERDICT_RETRY;
			p = words_of(p, &shown, 5);
		} else if (begins(p, len, "refused")) {
			v = VERDICT_REFUSED;
			p = words_of(p, &shown, 7);
		} else if (!begins(p, len, "ok")) {
			snprintf(why, sizeof why, "answered '%.*s', where ok, retry or refused is expected; for a far end that answers nothing set "
				"`acknowledge: none`", (int)(len < 80 ? len : 80), p);
			broken_because(l, VERDICT_BLOCKED, why);
			return false;
		}
		judge_one(l, v, shown ? p : "no reason was given", shown ? shown : strlen("no reason was given"));
		wire_consume(l->wire, (size_t)(nl - wire_input(l->wire, &n)) + 1);
	}
	return true;
}

static bool read_replies(struct tcp_link *l)
{
	struct sender *s = l->sender;
	size_t n, used = 1;

	while (used > 0) {
		const char *p = wire_input(l->wire, &n);
		struct tcp_reply r = { .n = 0 };
		char why[300] = "";

		if (n == 0)
			return true;
		if (s->host.reply(s->host.arg, *l->key ? l->key : NULL, &l->conn, p, n, l->waiting, &used, &r, why, sizeof why) < 0) {
			broken_because(l, r.blocked ? VERDICT_BLOCKED : VERDICT_RETRY, why);
			return false;
		}
		for (unsigned i = 0; i < r.n; i++) {
			const char *reason = r.each[i].reason ? r.each[i].reason : "no reason was given";

			judge_one(l, r.each[i].verdict, reason, strlen(reason));
		}
		wire_consume(l->wire, used);
		if (used > 0 && l->greeting) {
			l->greeting = false;
			l->ready = true;
			l->progress_us = clock_mono_us();
		}
	}
	return true;
}

/* Nobody answers: what has been acknowledged by the far end's kernel has gone as far as can be seen. */
static void look_unanswered(struct tcp_link *l)
{
	size_t left = wire_unacknowledged(l->wire);

	if (left == 0) {
		l->look_us = 0;
		while (l->waiting > 0)
			judge_one(l, VERDICT_DONE, "", 0);
	} else {
		l->look_us = !l->look_us ? LOOK_FIRST_US : l->look_us * 2 < LOOK_MAX_US ? l->look_us * 2 : LOOK_MAX_US;
	}
}

/* ---- what the wire tells ----------------------------------------------------------------------------------------------------------- */

static void on_open(void *arg)
{
	struct tcp_link *l = arg;
	struct sender *s = l->sender;
	struct buf hello = BUF_INIT;
	char why[300] = "";
	int said = s->framed && s->host.hello ? s->host.hello(s->host.arg, *l->key ? l->key : NULL, &l->conn, &hello, &l->greeting, why, sizeof why) : 0;

	if (said < 0) {
		buf_fini(&hello);
		broken_because(l, VERDICT_RETRY, why);
		return;
	}
	if (said > 0)
		wire_write(l->wire, hello.p ? hello.p : "", hello.len);
	buf_fini(&hello);
	l->ready = !l->greeting;
	l->progress_us = clock_mono_us();
	pump(l);
	arm(l);
}

static void on_input(void *arg)
{
	struct tcp_link *l = arg;
	size_t n;

	if (l->sender->talk == TCP_UNANSWERED) {
		wire_input(l->wire, &n);
		wire_consume(l->wire, n);
		return;
	}
	if (!(l->sender->talk == TCP_LINES ? read_lines(l) : read_replies(l)))
		return;
	wire_input(l->wire, &n);
	if (n >= ANSWER_MAX) {
		broken_because(l, VERDICT_RETRY, "an answer of more than 64 KiB that is not understood");
		return;
	}
	pump(l);
	arm(l);
}

static void on_room(void *arg)
{
	pump(arg);
}

static void on_end(void *arg, enum wire_end how, const char *why)
{
	struct tcp_link *l = arg;
	char reason[300];

	/* It closed in good order after its system had everything: had it not read all of that, this would be a reset. */
	if (how == WIRE_CLOSED && l->sender->talk == TCP_UNANSWERED && l->waiting && wire_unacknowledged(l->wire) == 0)
		look_unanswered(l);
	/* What it said before it went is read already; a last line without its end is no answer. */
	snprintf(reason, sizeof reason, "%s%s", how == WIRE_CERTIFICATE ? "certificate: " : "", why);
	broken(l, &(struct judgement){ .verdict = how == WIRE_CERTIFICATE ? VERDICT_BLOCKED : VERDICT_RETRY, .reason = reason, .answer = "",
		.reached = how == WIRE_CLOSED || how == WIRE_CUT, .absent = how == WIRE_UNREACHABLE });
}

static const struct wire_calls calls = { on_open, on_input, on_room, on_end };

/* ---- time ---------------------------------------------------------------------------------------------------------------------------- */

static int64_t deadline_of(const struct tcp_link *l)
{
	return l->first ? l->progress_us + l->first->b->timeout_us : l->used_us + IDLE_US;
}

static void arm(struct tcp_link *l)
{
	int64_t now = clock_mono_us(), at = l->fault ? now : deadline_of(l);

	if (l->sender->talk == TCP_UNANSWERED && l->waiting && now + l->look_us < at)
		at = now + l->look_us;
	at = at > now ? at - now : 0;
	const struct timeval tv = { at / 1000000, at % 1000000 };
	evtimer_add(l->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct tcp_link *l = arg;
	char why[120];

	(void)fd; (void)what;
	if (l->ready && l->sender->talk == TCP_UNANSWERED && l->waiting) {
		look_unanswered(l);
		pump(l);
	}
	if (l->fault) {
		broken(l, &(struct judgement){ .verdict = VERDICT_BLOCKED, .reason = l->fault, .answer = "" });
	} else if (deadline_of(l) > clock_mono_us()) {
		arm(l);
	} else if (!l->first) {
		tcp_link_free(l);
	} else {
		snprintf(why, sizeof why, "no answer within %.3g s", (double)l->first->b->timeout_us / 1e6);
		broken(l, &(struct judgement){ .verdict = VERDICT_RETRY, .reason = why, .answer = "" });
	}
}

/* ---- for the driver -------------------------------------------------------------------------------------------------------------------- */

struct tcp_link *tcp_link_new(struct sender *s, const char *url, const char *key)
{
	struct tcp_link *l = xcalloc(1, sizeof *l);

	l->sender = s;
	l->serial = s->serial;
	l->url = xstrdup(url);
	l->key = xstrdup(key);
	l->end = &l->first;
	l->next = s->links;
	l->at = &s->links;
	if (l->next)
		l->next->at = &l->next;
	s->links = l;
	s->nlinks++;
	l->timer = evtimer_new(s->host.base, on_timer, l);
	return l;
}

static void dial(struct tcp_link *l, int64_t timeout_us)
{
	struct sender *s = l->sender;
	struct wire_target to;
	char why[300];

	if (wire_target_parse(&to, l->url, NULL, why, sizeof why) < 0) {
		free(l->fault);
		l->fault = xstrdup(why);
		return;
	}
	l->wire = wire_connect(s->host.base, &to, s->tls, &(struct wire_settings){ .input_max = ANSWER_MAX, .connect_us = timeout_us / 10 * 9,
		.bind = options_text(s->d->options, "bind") }, &calls, l);
}

void tcp_link_send(struct tcp_link *l, struct batch *b)
{
	struct tcp_flight *f = xcalloc(1, sizeof *f);

	f->b = b;
	f->link = l;
	f->each = xcalloc(b->n, sizeof *f->each);
	b->driver = f;
	l->used_us = clock_mono_us();
	if (!l->first)
		l->progress_us = l->used_us;
	*l->end = f;
	l->end = &f->next;
	l->nflights++;
	if (!l->wire)
		dial(l, b->timeout_us);
	pump(l);
	arm(l);
}
