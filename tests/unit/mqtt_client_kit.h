/* mqtt_client_kit.h - a client against a far end that is told what to say (mqtt_far.h), and all that its callbacks heard. */
#ifndef SLUICE_TESTS_MQTT_CLIENT_KIT_H
#define SLUICE_TESTS_MQTT_CLIENT_KIT_H

#include "unit.h"

#include <signal.h>

#include "mqtt_far.h"
#include "net/mqtt_client.h"
#include "net/wire.h"

#define T(s) { s, sizeof(s) - 1 }

struct heard {
	struct far far;
	struct mqtt_client *c;
	struct mqtt_granted granted;
	unsigned connected, nacked, narrived, ncodes, pongs, rooms, ended;
	uint32_t acked[64];
	unsigned reasons[64];
	char words[64];
	struct { uint16_t id; size_t whole, n; bool cut, dup, retain; char topic[32], first[16]; } arrived[64];
	unsigned char codes[16];
	struct mqtt_ending end;
	char why[320];
	int free_in;           /* free the client in this callback */
};
enum { IN_CONNECTED = 1, IN_ACKED, IN_ARRIVED, IN_ENDED };

static void free_if(struct heard *h, int in)
{
	if (h->free_in != in)
		return;
	mqtt_client_free(h->c);
	h->c = NULL;
}

static void on_connected(void *arg, const struct mqtt_granted *g)
{
	struct heard *h = arg;

	h->connected++;
	h->granted = *g;
	free_if(h, IN_CONNECTED);
}

static void on_acked(void *arg, uint32_t token, unsigned reason, struct mqtt_text words)
{
	struct heard *h = arg;

	if (h->nacked < 64) {
		h->acked[h->nacked] = token;
		h->reasons[h->nacked] = reason;
	}
	h->nacked++;
	snprintf(h->words, sizeof h->words, "%.*s", (int)words.n, words.p);
	free_if(h, IN_ACKED);
}

static void on_arrived(void *arg, const struct mqtt_arrival *m)
{
	struct heard *h = arg;
	unsigned i = h->narrived++;

	if (i < 64) {
		h->arrived[i].id = m->packet->id;
		h->arrived[i].whole = m->whole;
		h->arrived[i].n = m->packet->payload.n;
		h->arrived[i].cut = m->cut;
		h->arrived[i].dup = m->packet->dup;
		h->arrived[i].retain = m->packet->retain;
		snprintf(h->arrived[i].topic, sizeof h->arrived[i].topic, "%.*s", (int)m->packet->topic.n, m->packet->topic.p);
		snprintf(h->arrived[i].first, sizeof h->arrived[i].first, "%.*s", m->packet->payload.n < 15 ? (int)m->packet->payload.n : 15, m->packet->payload.p);
	}
	free_if(h, IN_ARRIVED);
}

static void on_subscribed(void *arg, struct mqtt_text codes)
{
	struct heard *h = arg;

	for (size_t i = 0; i < codes.n; i++)
		h->codes[h->ncodes++] = (unsigned char)codes.p[i];
}

static void on_pong(void *arg)
{
	((struct heard *)arg)->pongs++;
}

static void on_room(void *arg)
{
	((struct heard *)arg)->rooms++;
}

static void on_ended(void *arg, const struct mqtt_ending *e)
{
	struct heard *h = arg;

	h->ended++;
	h->end = *e;
	snprintf(h->why, sizeof h->why, "%s", e->why);
	free_if(h, IN_ENDED);
}

static const struct mqtt_client_calls calls = { on_connected, on_acked, on_arrived, on_subscribed, on_pong, on_room, on_ended };

static struct mqtt_client_settings settings(enum mqtt_version v)
{
	return (struct mqtt_client_settings){ .connect = { .version = v, .client_id = T("me"), .clean = true }, .window = 4, .timeout_us = 5000000 };
}

static void begin(struct heard *h, const struct mqtt_client_settings *s)
{
	struct mqtt_client_settings with = *s;
	struct wire_target to = { .host = "127.0.0.1" };

	snprintf(to.port, sizeof to.port, "%u", h->far.port);
	with.to = &to;
	h->c = mqtt_client_new(h->far.base, &with, &calls, h);
}

/* Connected, with this CONNACK. */
static void begin_taken(struct heard *h, const struct mqtt_client_settings *s, const char *connack)
{
	begin(h, s);
	far_expect(&h->far, s->connect.version == MQTT_5 ? "10" : "10 0E 00 04 'MQTT' 04 02 00 00 00 02 'me'");
	if (s->connect.version == MQTT_5) {
		far_until(&h->far, h->far.got.len && h->far.got.len >= (size_t)h->far.got.p[0] + 1);
		buf_clear(&h->far.got);
	}
	far_say(&h->far, connack);
	far_until(&h->far, h->connected);
}

static int setup(void **state)
{
	struct heard *h = calloc(1, sizeof *h);

	signal(SIGPIPE, SIG_IGN);
	far_init(&h->far);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	struct heard *h = *state;

	mqtt_client_free(h->c);
	far_fini(&h->far);
	free(h);
	return 0;
}

static void publish(struct heard *h, uint32_t token)
{
	mqtt_client_publish(h->c, &(struct mqtt_publish){ .topic = T("t"), .payload = T("x"), .qos = 1 }, token);
}

#endif
