/* mqtt.c - publishes messages one by one at an MQTT server, with QoS 1, and reads its acknowledgements as verdicts.
 *
 * The table, here and in sluice.yaml(5):
 *
 *   what the server does                       verdict   why
 *   PUBACK below 0x80, any PUBACK in 3.1.1     DONE      0x10, no subscribers, too: it is the server's now
 *   PUBACK 0x90 0x95 0x99 0x9b                 REFUSED   topic name, packet too large, payload format, QoS: this very message is not wanted
 *   PUBACK 0x87 not authorized                 BLOCKED   for the message's topic alone where the topic has parameters
 *   any other PUBACK                           RETRY     quota exceeded, packet id in use (on a new connection), unspecified
 *   larger than its Maximum Packet Size        REFUSED   never sent
 *   hangs up three times on one message        REFUSED   see mqtt_link.c; BLOCKED where it says not authorized
 *   no PUBACK in time, connection lost         RETRY     what was not acknowledged is published again, on a new connection, as new
 *   CONNACK: busy, unavailable, quota, rate …  RETRY
 *   CONNACK: credentials, client id, version … BLOCKED   and where it takes no QoS 1, or retain is asked for and not to be had
 *   taken over by the same client id           BLOCKED   two that come back at once would throw each other out for ever
 *   no name, no route, silence                 RETRY
 *   a certificate, theirs or ours              BLOCKED
 *
 * Sessions are clean: the truth of what is still to be sent is our own disk, and a server's memory of half of it would only repeat. */
#include "senders/mqtt_parts.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "net/tls.h"

/* ---- what is known of a batch ------------------------------------------------------------------------------------------------- */

static uint32_t keep_words(struct flight *f, const char *words)
{
	uint32_t from = (uint32_t)f->words.len;

	buf_add(&f->words, words, strlen(words) + 1);
	return from;
}

static void known(struct flight *f, uint32_t i, enum fate fate, uint32_t words)
{
	struct sender *s = f->s;

	if (f->fates[i].fate != FATE_OPEN)
		return;
	f->fates[i].fate = (uint8_t)fate;
	f->fates[i].words = words;
	if (--f->left > 0)
		return;
	f->next = NULL;
	*s->judged_end = f;
	s->judged_end = &f->next;
	event_active(s->soon, EV_TIMEOUT, 0);
}

void flight_fate(struct flight *f, uint32_t i, enum fate fate, const char *words)
{
	known(f, i, fate, words ? keep_words(f, words) : 0);
}

void flight_link_failed(struct flight *f, uint32_t i, enum verdict v, const char *words, int status, bool reached, bool absent)
{
	/* Several links of a batch may fail, each in its way: the gravest is told. */
	if (!f->link_words || v == VERDICT_BLOCKED) {
		f->link_words = keep_words(f, words);
		f->link_verdict = v;
		f->status = status;
		f->absent = absent;
	}
	f->reached |= reached;
	known(f, i, FATE_LINK, f->link_words);
}

static struct flight *flight_new(struct sender *s, struct batch *b)
{
	struct flight *f = s->spare_flights;

	if (f)
		s->spare_flights = f->next;
	else
		f = xcalloc(1, sizeof *f);
	if (f->cap < b->n) {
		f->cap = b->n;
		f->fates = xrealloc(f->fates, f->cap * sizeof *f->fates);
		f->each = xrealloc(f->each, f->cap * sizeof *f->each);
	}
	memset(f->fates, 0, b->n * sizeof *f->fates);
	buf_clear(&f->words);
	buf_addc(&f->words, '\0'); /* words 0: none */
	f->s = s;
	f->b = b;
	f->topic = s->d->topic.literals ? s->d->topic.literals[0] : NULL;
	f->n = f->left = b->n;
	f->link_words = 0;
	f->status = 0;
	f->reached = f->absent = false;
	return f;
}

static void flight_free(struct flight *f)
{
	f->next = f->s->spare_flights;
	f->s->spare_flights = f;
}

/* ---- its verdict ----------------------------------------------------------------------------------------------------------------- */

static void judge(struct flight *f)
{
	struct sender *s = f->s;
	struct judgement j = { .verdict = VERDICT_DONE, .status = f->status, .reached = f->reached, .reason = "", .answer = "" };
	unsigned counts[FATE_LINK + 1] = { 0 };
	enum fate tell = FATE_DONE;

	for (unsigned i = 0; i < f->n; i++)
		counts[f->fates[i].fate]++;
	for (enum fate k = FATE_RETRY; k <= FATE_LINK; k++)
		if (counts[k])
			tell = k; /* of those that stay, the gravest; the refused ones have their own words */
	if (counts[FATE_BLOCKED])
		tell = FATE_BLOCKED;
	for (unsigned i = 0; i < f->n; i++) {
		static const enum verdict verdicts[] = { [FATE_DONE] = VERDICT_DONE, [FATE_RETRY] = VERDICT_RETRY, [FATE_REFUSED] = VERDICT_REFUSED,
			[FATE_BLOCKED] = VERDICT_BLOCKED, [FATE_LINK] = VERDICT_RETRY };
		enum fate fate = (enum fate)f->fates[i].fate;

		f->each[i] = (struct entry_verdict){ verdicts[fate], f->words.p + f->fates[i].words };
		if (fate == FATE_BLOCKED && !f->b->topics)
			f->each[i].verdict = VERDICT_RETRY; /* one topic for all: the whole is held, by the verdict beside these */
		if (fate == tell && !*j.reason)
			j.reason = f->each[i].reason;
	}
	if (counts[FATE_LINK])
		j.verdict = f->link_verdict;
	else if (counts[FATE_BLOCKED] && !f->b->topics)
		j.verdict = VERDICT_BLOCKED;
	else if (counts[FATE_DONE] < f->n)
		j.verdict = VERDICT_RETRY;
	j.absent = counts[FATE_LINK] && f->absent;
	j.unauthorized = counts[FATE_LINK] == f->n && j.verdict == VERDICT_BLOCKED && (f->status == MQTT_BAD_CREDENTIALS || f->status == MQTT_NOT_AUTHORIZED);
	if (counts[FATE_DONE] < f->n && counts[FATE_LINK] < f->n)
		j.each = f->each;
	s->host.judge(s->host.arg, f->b, &j);
	flight_free(f);
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct sender *s = arg;

	(void)fd; (void)what;
	while (s->judged) {
		struct flight *f = s->judged;

		s->judged = f->next;
		if (!s->judged)
			s->judged_end = &s->judged;
		judge(f);
	}
}

/* ---- letters ------------------------------------------------------------------------------------------------------------------------- */

uint32_t letter_new(struct sender *s, struct flight *f, uint32_t i)
{
	uint32_t k = s->spare;

	if (k == NONE) {
		uint32_t more = s->nletters ? s->nletters : 128;

		s->letters = xrealloc(s->letters, (s->nletters + more) * sizeof *s->letters);
		for (uint32_t x = s->nletters + more; x-- > s->nletters;) {
			s->letters[x].next = s->spare;
			s->spare = x;
		}
		s->nletters += more;
		k = s->spare;
	}
	s->spare = s->letters[k].next;
	s->letters[k] = (struct letter){ .f = f, .i = i, .next = NONE, .prev = NONE };
	return k;
}

void letter_free(struct sender *s, uint32_t k)
{
	s->letters[k].f = NULL;
	s->letters[k].next = s->spare;
	s->spare = k;
}

/* ---- settings ------------------------------------------------------------------------------------------------------------------------- */

static const char *text(const char *s)
{
	return s ? s : "";
}

/* All that a connection is made with. */
static char *settings_text(const struct destination *d)
{
	const struct options *o = d->options;
	struct buf b = BUF_INIT;

	buf_addf(&b, "%s\n%s\n%s\n%s\n%s\n%s\n%s\n%lld\n%lld\n%d\n%u\n%s\n%s\n%s\n%d", d->url.literals[0], text(options_text(o, "username")), text(options_text(o, "password")),
		text(options_text(o, "client-id")), text(options_text(o, "version")), text(options_text(o, "bind")), text(options_text(o, "alpn")),
		(long long)options_int(o, "keep-alive"), (long long)options_int(o, "qos"), options_bool(o, "retain"), d->window, text(d->tls_ca), text(d->tls_cert), text(d->tls_key), d->tls_verify);
	return buf_take(&b);
}

/* Secrets may come from files: MQTT counts such texts in 16 bits. */
static int check_lengths(const struct destination *d, char *why, size_t whylen)
{
	static const char *const names[] = { "username", "password" };

	for (unsigned i = 0; i < 2; i++) {
		if (strlen(text(options_text(d->options, names[i]))) <= MQTT_TEXT_MAX)
			continue;
		snprintf(why, whylen, "%s is longer than %u bytes", names[i], MQTT_TEXT_MAX);
		return -1;
	}
	return 0;
}

static int take_settings(struct sender *s, const struct destination *d, char *why, size_t whylen)
{
	const char *url = d->url.literals[0];
	struct tls_client *tls = NULL;
	struct wire_target to;

	if (check_lengths(d, why, whylen) < 0)
		return -1;
	if (wire_target_parse(&to, url, strncmp(url, "mqtts:", 6) == 0 ? MQTTS_PORT : MQTT_PORT, why, whylen) < 0)
		return -1;
	if (to.tls) {
		tls = tls_client_new(&(struct tls_client_files){ .ca = d->tls_ca, .cert = d->tls_cert, .key = d->tls_key, .verify = d->tls_verify,
			.alpn = options_text(d->options, "alpn") }, why, whylen);
		if (!tls)
			return -1;
	}
	tls_client_unref(s->tls);
	s->tls = tls;
	s->to = to;
	s->version = strcmp(options_text(d->options, "version"), "3.1.1") == 0 ? MQTT_311 : MQTT_5;
	s->qos = (unsigned)options_int(d->options, "qos");
	s->retain = options_bool(d->options, "retain");
	return 0;
}

static struct sender *mqtt_new(const struct destination *d, const struct sender_host *h, char *why, size_t whylen)
{
	struct sender *s = xcalloc(1, sizeof *s);
	struct buf object = BUF_INIT;

	s->host = *h;
	s->d = d;
	if (take_settings(s, d, why, whylen) < 0) {
		free(s);
		return NULL;
	}
	s->fingerprint = d->fingerprint;
	s->settings = settings_text(d);
	s->spare = NONE;
	s->judged_end = &s->judged;
	s->soon = evtimer_new(h->base, on_soon, s);
	buf_addf(&object, "stream/%s", h->stream);
	s->object = buf_take(&object);
	map_init(&s->by_ident);
	return s;
}

/* Connections stay where all they were made with stays; with TLS the files' contents are part of it. */
static int mqtt_update(struct sender *s, const struct destination *d, char *why, size_t whylen)
{
	char *now = settings_text(d);
	bool same = strcmp(now, s->settings) == 0 && (!s->to.tls || d->fingerprint == s->fingerprint);

	s->d = d;
	free(s->settings);
	s->settings = now;
	s->fingerprint = d->fingerprint;
	if (take_settings(s, d, why, whylen) < 0)
		return -1;
	for (struct link *l = s->links; l && !same; l = l->next)
		link_renew(l);
	return 0;
}

/* ---- batches --------------------------------------------------------------------------------------------------------------------------- */

static void mqtt_send(struct sender *s, struct batch *b)
{
	struct flight *f = flight_new(s, b);

	b->driver = f;
	for (uint32_t i = 0; i < b->n; i++)
		link_add(link_for(s, &b->entries[i]), letter_new(s, f, i));
	for (struct link *l = s->links; l; l = l->next)
		if (l->waiting.n)
			link_run(l);
}

static void mqtt_cancel(struct sender *s, struct batch *b)
{
	struct flight *f = b->driver;

	for (struct flight **at = &s->judged; *at; at = &(*at)->next) {
		if (*at != f)
			continue;
		if (s->judged_end == &f->next)
			s->judged_end = at;
		*at = f->next;
		break;
	}
	for (struct link *l = s->links; l; l = l->next)
		link_cancel(l, f);
	flight_free(f);
}

static void mqtt_free(struct sender *s)
{
	for (struct link *l; (l = s->links);) {
		s->links = l->next;
		link_free(l);
	}
	for (struct flight *f; (f = s->spare_flights);) {
		s->spare_flights = f->next;
		buf_fini(&f->words);
		free(f->fates);
		free(f->each);
		free(f);
	}
	map_fini(&s->by_ident);
	event_free(s->soon);
	tls_client_unref(s->tls);
	free(s->settings);
	free(s->letters);
	free(s->object);
	free(s);
}

const struct sender_ops sender_mqtt = {
	.type = "mqtt",
	.joins = false,
	.follows = true,
	.new = mqtt_new,
	.update = mqtt_update,
	.send = mqtt_send,
	.cancel = mqtt_cancel,
	.free = mqtt_free,
};
