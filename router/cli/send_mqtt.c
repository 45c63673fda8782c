/* send_mqtt.c - `sluice send` to an MQTT server: each message published with QoS 1, to the topic that stands behind the host.
 *
 * {parameter} in the topic is the message's own. What the server acknowledges is taken, what it refuses (MQTT 5) is refused, and what it did
 * not acknowledge when the connection ends is published again. */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "cli/send.h"
#include "net/mqtt_client.h"
#include "net/tls.h"
#include "net/wire.h"

#define ANSWER_US (30 * INT64_C(1000000))
#define TICK_US 100000
#define WINDOW 1000

struct send_mqtt {
	struct send *send;
	struct event_base *base;
	struct event *tick;
	struct mqtt_client *client;
	struct tls_client *tls;
	struct wire_target to;
	struct buf user, password, topic, scratch;
	const char *pattern;                 /* the topic, in the url */
	struct index ix;
	/* the batch in hand */
	const struct send_batch *b;
	unsigned from, n, next, left, taken, listed;
	bool *settled;
	unsigned cap;
	void (*refused)(void *arg, unsigned index, const char *reason);
	void *arg;
	/* of the connection */
	bool connected, over, hopeless;
	char why[300];
	int64_t progress_us;
};

/* ---- what is published ---------------------------------------------------------------------------------------------------------- */

/* The topic of a message; false: it lacks a parameter. */
static bool topic_of(struct send_mqtt *q, const char *p, size_t n)
{
	struct message m;
	const char *stop;

	buf_clear(&q->topic);
	if (strchr(q->pattern, '{') && message_index(&q->ix, p, p + n, &m, &stop) != JSON_OK)
		return false;
	for (const char *at = q->pattern; *at; at++) {
		const char *end = *at == '{' ? strchr(at, '}') : NULL;
		const struct slice *s;
		const char *v;
		size_t len;

		if (!end) {
			buf_addc(&q->topic, *at);
			continue;
		}
		s = message_find(&m, at + 1, (size_t)(end - at) - 1);
		if (!s)
			return false;
		if (slice_view(&m, s, &q->scratch, &v, &len) < 0) {
			v = m.bytes + s->value;
			len = s->vlen;
		}
		buf_add(&q->topic, v, len);
		at = end;
	}
	return q->topic.len > 0 && q->topic.len <= MQTT_TEXT_MAX && !strpbrk(q->topic.p, "+#") && !memchr(q->topic.p, '\0', q->topic.len);
}

static void refuse(struct send_mqtt *q, unsigned i, const char *reason)
{
	q->settled[i] = true;
	q->left--;
	q->listed++;
	q->refused(q->arg, i, reason);
}

static void publish_more(struct send_mqtt *q)
{
	for (; q->next < q->n && mqtt_client_has_room(q->client); q->next++) {
		unsigned i = q->from + q->next;
		size_t start = i ? q->b->items[i - 1].end : 0, len = q->b->items[i].end - start - 1;

		if (q->settled[q->next])
			continue;
		if (!topic_of(q, q->b->bytes.p + start, len)) {
			refuse(q, q->next, "its topic cannot be made: a parameter is missing, or holds what no topic may");
			continue;
		}
		mqtt_client_publish(q->client, &(struct mqtt_publish){ .topic = { q->topic.p, q->topic.len }, .payload = { q->b->bytes.p + start, len }, .qos = 1 },
			q->next);
	}
}

/* ---- what the server says ---------------------------------------------------------------------------------------------------------- */

static void on_connected(void *arg, const struct mqtt_granted *g)
{
	struct send_mqtt *q = arg;

	q->connected = true;
	q->progress_us = clock_mono_us();
	if (g->qos >= 1)
		return;
	q->over = q->hopeless = true;
	snprintf(q->why, sizeof q->why, "the server takes no messages of QoS 1");
}

static void on_acked(void *arg, uint32_t token, unsigned reason, struct mqtt_text words)
{
	struct send_mqtt *q = arg;
	char text[200];

	q->progress_us = clock_mono_us();
	if (token >= q->n || q->settled[token])
		return;
	if (reason >= MQTT_REFUSAL) {
		snprintf(text, sizeof text, "%s%s%.*s", mqtt_reason_text(reason), words.n ? ": " : "", (int)words.n, words.p ? words.p : "");
		refuse(q, token, text);
		return;
	}
	q->settled[token] = true;
	q->left--;
	q->taken++;
}

static void on_ended(void *arg, const struct mqtt_ending *e)
{
	struct send_mqtt *q = arg;

	q->over = true;
	q->hopeless = e->how == MQTT_CERTIFICATE || (e->how == MQTT_REFUSED && e->reason != MQTT_UNAVAILABLE && e->reason != MQTT_BUSY);
	snprintf(q->why, sizeof q->why, "%s", e->why);
}

static const struct mqtt_client_calls calls = { .connected = on_connected, .acked = on_acked, .ended = on_ended };

/* ---- the lane's side ------------------------------------------------------------------------------------------------------------------ */

static void on_tick(evutil_socket_t fd, short what, void *arg) { (void)fd; (void)what; (void)arg; }

struct send_mqtt *send_mqtt_new(struct send *s)
{
	static const struct timeval tick = { 0, TICK_US };
	struct send_mqtt *q = xcalloc(1, sizeof *q);
	const char *host = strstr(s->url, "://") + 3, *path = strchr(host, '/'), *at, *colon;

	q->send = s;
	q->pattern = path ? path + 1 : "";
	index_init(&q->ix);
	q->base = event_base_new();
	q->tick = event_new(q->base, -1, EV_PERSIST, on_tick, q);
	event_add(q->tick, &tick);
	at = memrchr(host, '@', path ? (size_t)(path - host) : strlen(host));
	if (at) {
		colon = memchr(host, ':', (size_t)(at - host));
		buf_add(&q->user, host, (size_t)((colon ? colon : at) - host));
		if (colon)
			buf_add(&q->password, colon + 1, (size_t)(at - colon) - 1);
	}
	return q;
}

void send_mqtt_free(struct send_mqtt *q)
{
	if (!q)
		return;
	mqtt_client_free(q->client);
	tls_client_unref(q->tls);
	event_free(q->tick);
	event_base_free(q->base);
	index_fini(&q->ix);
	buf_fini(&q->user);
	buf_fini(&q->password);
	buf_fini(&q->topic);
	buf_fini(&q->scratch);
	free(q->settled);
	free(q);
}

static bool open_it(struct send_mqtt *q)
{
	bool secure = strncmp(q->send->url, "mqtts", 5) == 0;

	q->hopeless = true;
	if (!*q->pattern) {
		snprintf(q->why, sizeof q->why, "the url needs a topic behind the host, as in mqtt://host/fleet/{ident}");
		return false;
	}
	if (wire_target_parse(&q->to, q->send->url, secure ? MQTTS_PORT : MQTT_PORT, q->why, sizeof q->why) < 0)
		return false;
	if (secure && !q->tls)
		q->tls = tls_client_new(&(struct tls_client_files){ .ca = q->send->ca, .verify = true }, q->why, sizeof q->why);
	if (secure && !q->tls)
		return false;
	q->hopeless = q->connected = q->over = false;
	q->client = mqtt_client_new(q->base, &(struct mqtt_client_settings){ .to = &q->to, .tls = q->tls, .window = WINDOW, .timeout_us = ANSWER_US,
		.connect = { .version = MQTT_5, .clean = true, .keep_alive = 60, .client_id = { "", 0 },
			.username = { q->user.p, q->user.len }, .password = { q->password.p, q->password.len } } }, &calls, q);
	return true;
}

enum send_verdict send_mqtt_try(struct send_mqtt *q, const struct send_batch *b, unsigned from, unsigned n, bool first, struct send_answer *a,
	void (*refused)(void *arg, unsigned index, const char *reason), void *arg)
{
	if (q->cap < n) {
		q->cap = n;
		q->settled = xrealloc(q->settled, n * sizeof *q->settled);
	}
	if (first) {
		memset(q->settled, 0, n * sizeof *q->settled);
		q->left = n;
		q->taken = q->listed = 0;
	}
	q->b = b;
	q->from = from;
	q->n = n;
	q->next = 0;
	q->refused = refused;
	q->arg = arg;
	q->progress_us = clock_mono_us();
	if (q->client || open_it(q)) {
		while (q->left > 0 && !q->over && !atomic_load(&q->send->stop) && clock_mono_us() - q->progress_us < ANSWER_US) {
			if (q->connected)
				publish_more(q);
			if (q->left > 0)
				event_base_loop(q->base, EVLOOP_ONCE);
		}
		if (!q->over && q->left > 0)
			snprintf(q->why, sizeof q->why, "the server does not acknowledge");
	}
	/* A connection that owes us anything is not used again: its acknowledgements would be taken for others'. */
	if (q->left > 0 || q->over) {
		mqtt_client_free(q->client);
		q->client = NULL;
	}
	a->taken = q->taken;
	a->listed = q->listed;
	buf_clear(&a->why);
	buf_adds(&a->why, q->why);
	return q->left == 0 ? SEND_DONE : q->hopeless ? SEND_NEVER : SEND_AGAIN;
}
