/* mqtt_link.c - one connection to the server, and the letters on their way through it.
 *
 * What a link promises: letters leave in the order they came; no more than the window are out; each has its answer in time, or the
 * connection is closed, for on one connection nothing may be sent twice. Where the window is 1, nothing leaves behind a letter that is to be
 * tried again, and nothing for a topic behind one that the server does not allow there: they go back together, in order. When a connection ends, all of its letters go back, and delivery
 * decides when they come again: the next connection begins clean and takes them as new.
 *
 * The hard idea is the suspect. A server of 3.1.1 that does not want a message can only hang up, and a broken connection looks the same.
 * So the oldest letter that was out when the far end hung up is suspected; from then on one letter is out at a time until one is acknowledged.
 * If the far end hangs up on the same one three times in a row, the last two on it alone, it is refused: the others could not go on
 * otherwise. */
#include "senders/mqtt_parts.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/topic.h"
#include "net/tls.h"

#define HANG_UPS 3u
#define IDLE_US INT64_C(60000000)      /* a device's connection that has nothing to do */
#define DEVICES_MAX 1000u              /* connections of devices at a time */
#define CLIENT_ID_MAX 512
#define IDENT_MAX 128u                 /* in a client id */

static void give_place(struct sender *s);

/* ---- lists -------------------------------------------------------------------------------------------------------------------- */

static struct letter *at(const struct link *l, uint32_t k)
{
	return &l->s->letters[k];
}

static void push(const struct link *l, struct letters *list, uint32_t k)
{
	struct letter *x = at(l, k);

	x->next = NONE;
	x->prev = list->n ? list->last : NONE;
	if (list->n)
		at(l, list->last)->next = k;
	else
		list->first = k;
	list->last = k;
	list->n++;
}

static void take_out(const struct link *l, struct letters *list, uint32_t k)
{
	struct letter *x = at(l, k);

	if (x->prev == NONE)
		list->first = x->next;
	else
		at(l, x->prev)->next = x->next;
	if (x->next == NONE)
		list->last = x->prev;
	else
		at(l, x->next)->prev = x->prev;
	list->n--;
}

static const struct entry *entry_of(const struct letter *x)
{
	return &x->f->b->entries[x->i];
}

static const char *topic_of(const struct letter *x)
{
	const struct batch *b = x->f->b;

	return b->topics ? b->topics[x->i] : x->f->topic;
}

static uint64_t id_of(const struct letter *x)
{
	return entry_of(x)->id - entry_of(x)->row;
}

/* ---- time ----------------------------------------------------------------------------------------------------------------------- */

static int64_t timeout_of(const struct letter *x)
{
	return x->f ? x->f->b->timeout_us : 0;
}

static void arm(struct link *l)
{
	int64_t wait;

	if (l->out.n) {
		const struct letter *x = at(l, l->out.first);

		wait = x->sent + timeout_of(x) - clock_mono_us();
	} else if (l->client && l->ident && !l->waiting.n) {
		wait = IDLE_US;
	} else {
		evtimer_del(l->timer);
		return;
	}
	struct timeval tv = { .tv_sec = wait > 0 ? wait / 1000000 : 0, .tv_usec = wait > 0 ? wait % 1000000 : 0 };

	evtimer_add(l->timer, &tv);
}

/* ---- the end of a connection ------------------------------------------------------------------------------------------------------- */

static void hang_up(struct link *l)
{
	if (!l->client)
		return;
	mqtt_client_free(l->client);
	l->client = NULL;
	l->covered = 0;
	l->s->nopen--;
}

static void all_failed(struct link *l, struct letters *list, enum verdict v, const char *words, int status, bool reached, bool absent)
{
	while (list->n) {
		uint32_t k = list->first;
		struct letter x = *at(l, k);

		take_out(l, list, k);
		letter_free(l->s, k);
		if (x.f)
			flight_link_failed(x.f, x.i, v, words, status, reached, absent);
	}
}

/* The connection is gone, or will not be: its letters go back. */
static void fail(struct link *l, enum verdict v, const char *words, int status, bool reached, bool absent)
{
	hang_up(l);
	all_failed(l, &l->out, v, words, status, reached, absent);
	all_failed(l, &l->waiting, v, words, status, reached, absent);
	arm(l);
	give_place(l->s);
}

/* Does the server say that a message was the reason? */
static bool is_about_message(unsigned reason)
{
	switch (reason) {
	case MQTT_MALFORMED: case MQTT_PROTOCOL_ERROR: case MQTT_NOT_AUTHORIZED: case MQTT_BAD_TOPIC: case MQTT_TOO_LARGE: case MQTT_BAD_PAYLOAD:
	case MQTT_NO_RETAIN: case MQTT_NO_QOS:
		return true;
	default:
		return false;
	}
}

/* The far end hung up: on which letter, and how often? One that is found out is taken from the others. */
static void suspect(struct link *l, const struct mqtt_ending *e)
{
	struct letter *x = l->out.n ? at(l, l->out.first) : NULL;
	bool alone = l->out.n == 1;
	char words[400];

	if (!x || !x->f || !(e->how == MQTT_CLOSED || (e->how == MQTT_DISCONNECTED && is_about_message(e->reason))))
		return;
	l->hung_up = l->suspect == id_of(x) && alone ? l->hung_up + 1 : 1;
	l->suspect = id_of(x);
	l->careful = true;
	if (l->hung_up < HANG_UPS)
		return;
	snprintf(words, sizeof words, "the server hung up on this message %u times in a row: %s", l->hung_up, e->why);
	flight_fate(x->f, x->i, e->reason == MQTT_NOT_AUTHORIZED ? FATE_BLOCKED : FATE_REFUSED, words);
	take_out(l, &l->out, l->out.first);
	letter_free(l->s, (uint32_t)(x - l->s->letters));
	l->suspect = 0;
	l->hung_up = 0;
}

static void on_ended(void *arg, const struct mqtt_ending *e)
{
	struct link *l = arg;
	enum verdict v = VERDICT_RETRY;
	const char *hint = "";
	char words[512];
	bool reached = e->was_connected || e->how == MQTT_REFUSED;
	const char *object = l->s->object;
	uint64_t times = 1;

	if (e->how == MQTT_CERTIFICATE) {
		hint = "certificate: ";
		v = VERDICT_BLOCKED;
	}
	if (e->how == MQTT_REFUSED)
		v = mqtt_refusal_passes(e->reason) ? VERDICT_RETRY : VERDICT_BLOCKED;
	snprintf(words, sizeof words, "%s%s", hint, e->why);
	if (e->how == MQTT_DISCONNECTED && e->reason == MQTT_TAKEN_OVER) {
		/* Whoever comes back at once is thrown out again, and throws the other out: wait, and tell. */
		v = VERDICT_BLOCKED;
		snprintf(words, sizeof words, "%s: give one of the two another `client-id`", e->why);
		if (!l->out.n && !l->waiting.n && seldom(&l->s->told_taken_over, clock_mono_us(), &times))
			log_warn(object, "taken-over", "destination=%s times=%llu hint=%s", l->s->d->name, (unsigned long long)times,
				log_quote("another client connects with the same `client-id`: give one of the two another"));
	} else if (e->how == MQTT_CLOSED && e->was_connected && l->s->version == MQTT_311) {
		snprintf(words, sizeof words, "%s, which in 3.1.1 may mean anything: a message it does not want, or another client of the same `client-id`", e->why);
	}
	suspect(l, e);
	fail(l, v, words, (int)e->reason, reached, e->absent);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	const struct letter *x = l->out.n ? at(l, l->out.first) : NULL;
	char words[300];

	(void)fd; (void)what;
	if (!x) {
		hang_up(l); /* idle */
		give_place(l->s);
		return;
	}
	if (x->sent + timeout_of(x) > clock_mono_us()) {
		arm(l);
		return;
	}
	snprintf(words, sizeof words, "no answer to %u messages in %.1f s%s", l->out.n, (double)timeout_of(x) / 1e6,
		l->s->version == MQTT_311 ? "; a server of 3.1.1 may drop without a word what is more than it allows in flight: try a smaller `window`" : "");
	fail(l, VERDICT_RETRY, words, 0, true, false);
}

/* ---- out ------------------------------------------------------------------------------------------------------------------------------- */

/* Too large for this server, whatever one does: never sent, for it would hang up. */
static bool fits(struct link *l, const struct mqtt_publish *m, struct letter *x)
{
	uint64_t size = mqtt_publish_size(l->s->version, m);
	char words[160];

	if (size <= l->granted.packet_max)
		return true;
	snprintf(words, sizeof words, "%" PRIu64 " bytes as a packet; the server takes at most %" PRIu64, size, l->granted.packet_max);
	flight_fate(x->f, x->i, FATE_REFUSED, words);
	return false;
}

static void publish(struct link *l, uint32_t k)
{
	struct letter *x = at(l, k);
	const struct entry *e = entry_of(x);
	const char *topic = topic_of(x);
	struct mqtt_publish m = { .topic = { topic, strlen(topic) }, .payload = { e->bytes, e->len }, .qos = l->s->qos, .retain = l->s->retain };
	char id[24];

	if (l->s->d->id_name && l->s->version == MQTT_5) {
		m.user_name = (struct mqtt_text){ l->s->d->id_name, strlen(l->s->d->id_name) };
		m.user_value = (struct mqtt_text){ id, (size_t)snprintf(id, sizeof id, "%" PRIu64, id_of(x)) };
	}
	take_out(l, &l->waiting, k);
	if (!fits(l, &m, x)) {
		letter_free(l->s, k);
		return;
	}
	x->sent = clock_mono_us();
	push(l, &l->out, k);
	mqtt_client_publish(l->client, &m, k);
}

static void pump(struct link *l)
{
	bool was_empty = l->out.n == 0;

	while (l->waiting.n && !l->stale && mqtt_client_has_room(l->client) && !(l->careful && l->out.n))
		publish(l, l->waiting.first);
	/* QoS 0 has no answers; that to a ping says that all before it was read. */
	if (l->s->qos == 0 && l->out.n && !l->covered) {
		l->covered = l->out.n;
		mqtt_client_ping(l->client);
	}
	if (was_empty)
		arm(l);
}

static void settled(struct link *l, uint32_t k, enum fate fate, const char *words, unsigned reason)
{
	struct letter x = *at(l, k);
	bool oldest = l->out.first == k;

	take_out(l, &l->out, k);
	letter_free(l->s, k);
	if (x.f && fate != FATE_DONE)
		x.f->status = (int)reason;
	if (x.f) {
		x.f->reached = true;
		flight_fate(x.f, x.i, fate, words);
	}
	l->careful = false;
	l->suspect = 0;
	l->hung_up = 0;
	if (oldest && !l->out.n)
		arm(l);
}

/* One was not taken: what waits behind it, and must not overtake it, goes back with it, unsent. topic: of those alone; NULL: of all. */
static void turn_back(struct link *l, enum fate fate, const char *topic, const char *words)
{
	for (uint32_t k = l->waiting.n ? l->waiting.first : NONE, next; k != NONE; k = next) {
		struct letter x = *at(l, k);

		next = x.next;
		if (topic && strcmp(topic, topic_of(&x)) != 0)
			continue;
		take_out(l, &l->waiting, k);
		letter_free(l->s, k);
		flight_fate(x.f, x.i, fate, words);
	}
}

static void on_pong(void *arg)
{
	struct link *l = arg;
	unsigned n = l->covered;

	l->covered = 0;
	while (n-- > 0 && l->out.n)
		settled(l, l->out.first, FATE_DONE, NULL, 0);
	link_run(l);
}

static void on_acked(void *arg, uint32_t k, unsigned reason, struct mqtt_text words)
{
	struct link *l = arg;
	enum fate fate = FATE_RETRY;
	struct letter x = *at(l, k);
	char text[256];

	if (reason < MQTT_REFUSAL) {
		settled(l, k, FATE_DONE, NULL, reason);
		return;
	}
	switch (reason) {
	case MQTT_BAD_TOPIC: case MQTT_BAD_PAYLOAD: case MQTT_TOO_LARGE: case MQTT_NO_QOS: fate = FATE_REFUSED; break;
	case MQTT_NOT_AUTHORIZED: fate = FATE_BLOCKED; break;
	}
	snprintf(text, sizeof text, "PUBACK 0x%02x, %s%s%.*s", reason, mqtt_reason_text(reason), words.n ? ": " : "", words.n < 120 ? (int)words.n : 120, words.p);
	settled(l, k, fate, text, reason);
	if (fate == FATE_BLOCKED && x.f)
		turn_back(l, fate, topic_of(&x), text);
	else if (fate == FATE_RETRY && l->granted.window == 1)
		turn_back(l, fate, NULL, text);
	if (reason == MQTT_ID_IN_USE) /* the two ends do not agree on what is in flight: begin anew */
		fail(l, VERDICT_RETRY, text, (int)reason, true, false);
}

static void on_room(void *arg)
{
	link_run(arg);
}

static void on_connected(void *arg, const struct mqtt_granted *g)
{
	struct link *l = arg;
	const char *cannot = l->s->qos > g->qos ? "the server takes QoS 0 alone, which confirms nothing: `qos: 0` would accept that" :
	                     l->s->retain && !g->retain ? "the server keeps no messages, and `retain: true` asks for it" : NULL;

	l->granted = *g;
	if (cannot) {
		fail(l, VERDICT_BLOCKED, cannot, 0, true, false);
		return;
	}
	link_run(l);
}

/* ---- connecting --------------------------------------------------------------------------------------------------------------------------- */

static void client_id(const struct link *l, char out[CLIENT_ID_MAX])
{
	const char *given = options_text(l->s->d->options, "client-id");
	struct buf b = BUF_INIT;
	uint64_t own;

	buf_addf(&b, "%s %s", l->s->host.instance, l->s->host.stream);
	own = hash_stable(b.p, b.len);
	buf_clear(&b);
	if (given)
		buf_adds(&b, given);
	else
		buf_addf(&b, "sluice-%012" PRIx64, own & UINT64_C(0xFFFFFFFFFFFF));
	/* What is long, or holds what a client id must not, stands there as a number of its own. */
	if (l->ident && (l->ident_len > IDENT_MAX || !topic_text_is_good(l->ident, l->ident_len)))
		buf_addf(&b, "-%016" PRIx64, hash_stable(l->ident, l->ident_len));
	else if (l->ident)
		buf_addf(&b, "-%.*s", (int)l->ident_len, l->ident);
	else if (l->number)
		buf_addf(&b, "-%u", l->number + 1);
	snprintf(out, CLIENT_ID_MAX, "%s", b.p);
	buf_fini(&b);
}

/* An adapter may say what is too long for MQTT; cut, the server does not take it, and says so. */
static struct mqtt_text text_of(const char *s)
{
	return (struct mqtt_text){ s, s ? strnlen(s, MQTT_TEXT_MAX) : 0 };
}

static struct mqtt_text text_option(const struct options *o, const char *name)
{
	return text_of(options_text(o, name));
}

/* May this link have a connection now? The one of a device that has nothing to do makes room. */
static bool has_place(struct link *l)
{
	struct sender *s = l->s;

	if (!l->ident || s->nopen < DEVICES_MAX)
		return true;
	for (struct link *x = s->links; x; x = x->next)
		if (x->client && !x->waiting.n && !x->out.n) {
			hang_up(x);
			return true;
		}
	return false;
}

static void dial(struct link *l)
{
	static const struct mqtt_client_calls calls = { .connected = on_connected, .acked = on_acked, .pong = on_pong, .room = on_room, .ended = on_ended };
	const struct options *o = l->s->d->options;
	struct login login = l->s->host.login ? l->s->host.login(l->s->host.arg) : (struct login){ NULL, NULL };
	char id[CLIENT_ID_MAX];

	client_id(l, id);
	l->stale = false;
	l->covered = 0;
	l->s->nopen++;
	l->client = mqtt_client_new(l->s->host.base, &(struct mqtt_client_settings){
		.to = &l->s->to, .tls = l->s->tls, .bind = options_text(o, "bind"), .window = l->s->d->window,
		.timeout_us = timeout_of(at(l, l->waiting.first)),
		.connect = { .version = l->s->version, .client_id = { id, strlen(id) },
		             .username = login.username ? text_of(login.username) : text_option(o, "username"),
		             .password = login.username ? text_of(login.password) : text_option(o, "password"), .clean = true, .keep_alive = (uint16_t)(options_int(o, "keep-alive") / 1000000) },
	}, &calls, l);
}

void link_run(struct link *l)
{
	if (l->stale && !l->out.n)
		hang_up(l);
	if (!l->client && l->waiting.n && has_place(l))
		dial(l);
	else if (l->client && mqtt_client_is_connected(l->client))
		pump(l);
	if (l->ident && !l->waiting.n && !l->out.n && l->s->nopen >= DEVICES_MAX)
		give_place(l->s);
}

/* One that waits for a place is looked at when another has nothing more to do. */
static void give_place(struct sender *s)
{
	for (struct link *x = s->links; x && s->d->per_device; x = x->next)
		if (!x->client && x->waiting.n && has_place(x)) {
			dial(x);
			return;
		}
}

/* ---- life ------------------------------------------------------------------------------------------------------------------------------------ */

struct link *link_for(struct sender *s, const struct entry *e)
{
	struct link *l;
	unsigned number = s->d->connections > 1 ? e->ident_hash % s->d->connections : 0;

	if (s->d->per_device) {
		l = map_get(&s->by_ident, e->ident, e->ident_len);
	} else {
		for (l = s->links; l && (l->ident || l->number != number);)
			l = l->next;
	}
	if (l)
		return l;
	l = xcalloc(1, sizeof *l);
	l->s = s;
	l->number = number;
	l->timer = evtimer_new(s->host.base, on_timer, l);
	l->next = s->links;
	s->links = l;
	if (s->d->per_device) {
		l->ident = xmalloc(e->ident_len + 1u);
		memcpy(l->ident, e->ident, e->ident_len);
		l->ident[e->ident_len] = '\0';
		l->ident_len = e->ident_len;
		map_put(&s->by_ident, l->ident, l->ident_len, l);
	}
	return l;
}

void link_add(struct link *l, uint32_t letter)
{
	push(l, &l->waiting, letter);
}

void link_cancel(struct link *l, const struct flight *f)
{
	for (uint32_t k = l->waiting.n ? l->waiting.first : NONE, next; k != NONE; k = next) {
		next = at(l, k)->next;
		if (at(l, k)->f != f)
			continue;
		take_out(l, &l->waiting, k);
		letter_free(l->s, k);
	}
	for (uint32_t k = l->out.n ? l->out.first : NONE; k != NONE; k = at(l, k)->next)
		if (at(l, k)->f == f)
			at(l, k)->f = NULL;
	arm(l);
}

void link_renew(struct link *l)
{
	l->stale = l->client != NULL;
	link_run(l);
}

void link_free(struct link *l)
{
	hang_up(l);
	event_free(l->timer);
	free(l->ident);
	free(l);
}
