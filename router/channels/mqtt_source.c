/* mqtt_source.c - an MQTT channel's connection: a persistent session, each message acknowledged when it is durable, and not before.
 *
 * What was handed to the store and not acknowledged yet stands in a queue, in the order of coming. Commits may end in another order; but
 * acknowledgements go in the order of coming [MQTT-4.6.0-2], so only the front of the queue is acknowledged. What could not be stored is not
 * acknowledged, and the broker would not send it again on this connection: so the connection ends, and after a while the next one, with the
 * same session, begins with all that was not acknowledged. Nothing is kept here that the broker does not keep too. */
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/seldom.h"
#include "base/topic.h"
#include "channels/mqtt_parts.h"
#include "message/message.h"
#include "net/mqtt_client.h"
#include "plan/plan.h"

#define FILTERS_AT_ONCE 8u                  /* some brokers take no more in one SUBSCRIBE */
#define TIMEOUT_US INT64_C(20000000)
#define AGAIN_FIRST_US 200000
#define AGAIN_MAX_US INT64_C(30000000)
#define MENDING_US INT64_C(60000000)        /* what somebody has to mend is tried once a minute */
#define THROWN_OUT 3u
#define STEADY_US INT64_C(10000000)         /* a connection that stood so long was a good one */

/* A message that is with the store, or waits for those before it. */
struct taken {
	struct taken *next;
	struct mqtt_source *s;
	unsigned epoch;                     /* the connection it came on */
	uint16_t id;                        /* 0: QoS 0, nothing to acknowledge */
	bool durable;
};

struct mqtt_source {
	struct mqtt_source *next;           /* on this loop */
	atomic_uint refs;
	const struct channel_host *host;
	struct intake_loop *loop;
	char *name, *log_name;
	struct mqtt_settings *now, *coming;
	struct mqtt_client *client;
	struct event *timer;
	unsigned epoch, failures, thrown_out;  /* thrown_out: without a word and soon, times in a row */
	int64_t connected_at;               /* mono; 0: not */
	bool known, subscribed;             /* it had a session before; with all the topics that are wanted */
	unsigned answered, refused;         /* filters of this connection */
	char **gone;                        /* filters of earlier settings that are not wanted any more */
	unsigned ngone;
	struct taken *first, **last, *spare;
	bool held, stopping;
	void (*stopped)(void *arg);
	void *stopped_arg;
	/* the channel in the plan that is in force here */
	const struct plan *plan;            /* compared, never followed */
	uint64_t generation, random;
	const struct channel *channel;
	struct buf topic, body;
	struct index index;
	struct seldom told_ended, told_topic;
	pthread_mutex_t lock;               /* guards shown */
	struct channel_status shown;
};

static void leave(struct mqtt_source *s);
static void dial(struct mqtt_source *s);

/* ---- life --------------------------------------------------------------------------------------------------------------------- */

struct mqtt_source *mqtt_source_new(const struct channel_host *h, struct intake_loop *l, const char *name, struct mqtt_settings *settings)
{
	struct mqtt_source *s = xcalloc(1, sizeof *s);
	struct buf object = BUF_INIT;

	atomic_init(&s->refs, 1);
	s->host = h;
	s->loop = l;
	s->name = xstrdup(name);
	buf_addf(&object, "channel/%s", name);
	s->log_name = buf_take(&object);
	s->now = settings;
	s->last = &s->first;
	s->random = (uint64_t)clock_real_us() ^ (uintptr_t)s;
	index_init(&s->index);
	pthread_mutex_init(&s->lock, NULL);
	s->shown = (struct channel_status){ .since_us = clock_real_us(), .reason = "connecting" };
	return s;
}

struct mqtt_source *mqtt_source_ref(struct mqtt_source *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void mqtt_source_unref(struct mqtt_source *s)
{
	if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (struct taken *t; (t = s->spare);) {
		s->spare = t->next;
		free(t);
	}
	for (unsigned i = 0; i < s->ngone; i++)
		free(s->gone[i]);
	free(s->gone);
	mqtt_settings_free(s->now);
	mqtt_settings_free(s->coming);
	buf_fini(&s->topic);
	buf_fini(&s->body);
	index_fini(&s->index);
	pthread_mutex_destroy(&s->lock);
	free(s->log_name);
	free(s->name);
	free(s);
}

struct intake_loop *mqtt_source_loop(const struct mqtt_source *s)
{
	return s->loop;
}

struct mqtt_source *mqtt_source_next(struct intake_loop *l, struct mqtt_source *after)
{
	return after ? after->next : l->mqtt;
}

static void show(struct mqtt_source *s, bool connected, const char *reason)
{
	pthread_mutex_lock(&s->lock);
	if (s->shown.connected != connected)
		s->shown.since_us = clock_real_us();
	s->shown.connected = connected;
	snprintf(s->shown.reason, sizeof s->shown.reason, "%.*s", (int)sizeof s->shown.reason - 1, reason);
	pthread_mutex_unlock(&s->lock);
}

void mqtt_source_status(struct mqtt_source *s, struct channel_status *out)
{
	pthread_mutex_lock(&s->lock);
	*out = s->shown;
	pthread_mutex_unlock(&s->lock);
}

/* It is over for good: off the loop. */
static void depart(struct mqtt_source *s)
{
	struct mqtt_source **at = (struct mqtt_source **)&s->loop->mqtt;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	event_free(s->timer);
	s->timer = NULL;
	atomic_fetch_sub_explicit(&s->loop->connections, 1, memory_order_relaxed);
	if (s->stopped)
		s->stopped(s->stopped_arg);
	mqtt_source_unref(s);
}

/* The channel as the plan in force has it; NULL: it is not in it any more, and this source is about to be stopped. */
static const struct channel *channel_of(struct mqtt_source *s)
{
	const struct plan *p = s->loop->plan;

	if (s->plan == p && s->generation == p->generation)
		return s->channel;
	s->plan = p;
	s->generation = p->generation;
	s->channel = plan_channel(p, s->name);
	if (s->channel && (!s->channel->enabled || strcmp(s->channel->type, channel_mqtt.type) != 0))
		s->channel = NULL;
	return s->channel;
}

/* ---- what is with the store --------------------------------------------------------------------------------------------------- */

static struct taken *taken_new(struct mqtt_source *s, uint16_t id)
{
	struct taken *t = s->spare;

	if (t)
		s->spare = t->next;
	else
		t = xcalloc(1, sizeof *t);
	*t = (struct taken){ .s = mqtt_source_ref(s), .epoch = s->epoch, .id = id };
	*s->last = t;
	s->last = &t->next;
	return t;
}

static void taken_free(struct taken *t)
{
	struct mqtt_source *s = t->s;

	t->next = s->spare;
	s->spare = t;
	mqtt_source_unref(s);
}

/* The connection is gone: the broker will send again what was not acknowledged. */
static void forget(struct mqtt_source *s)
{
	struct taken *t = s->first;

	s->first = NULL;
	s->last = &s->first;
	s->epoch++;
	for (struct taken *next; t; t = next) {
		next = t->next;
		if (t->durable)
			taken_free(t); /* the others when the store has answered */
	}
}

static void acknowledge(struct mqtt_source *s)
{
	for (struct taken *t; (t = s->first) && t->durable;) {
		if (t->id)
			mqtt_client_ack(s->client, t->id, MQTT_SUCCESS);
		s->first = t->next;
		if (!s->first)
			s->last = &s->first;
		taken_free(t);
		s->failures = 0;
	}
	leave(s);
}

/* ---- connecting again ------------------------------------------------------------------------------------------------------------ */

static uint64_t draw(struct mqtt_source *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	return s->random ^= s->random << 17;
}

static void again_in(struct mqtt_source *s, int64_t us)
{
	struct timeval tv = { .tv_sec = us / 1000000, .tv_usec = us % 1000000 };

	evtimer_add(s->timer, &tv);
}

static void again(struct mqtt_source *s)
{
	int64_t bound = AGAIN_FIRST_US;

	for (unsigned k = 0; k < s->failures && bound < AGAIN_MAX_US; k++)
		bound *= 2;
	if (bound > AGAIN_MAX_US)
		bound = AGAIN_MAX_US;
	s->failures++;
	again_in(s, bound / 2 + (int64_t)(draw(s) % (uint64_t)(bound / 2 + 1)));
}

static void hang_up(struct mqtt_source *s)
{
	mqtt_client_free(s->client);
	s->client = NULL;
	s->connected_at = 0;
	forget(s);
}

/* The store does not take what came: later, from the first that it did not take. */
static void not_stored(struct mqtt_source *s, const char *why)
{
	hang_up(s);
	show(s, false, why);
	if (s->stopping)
		depart(s);
	else
		again(s);
}

static void done(void *arg, const struct intake_result *r)
{
	struct taken *t = arg;
	struct mqtt_source *s = t->s;

	if (t->epoch != s->epoch || !s->client) {
		taken_free(t);
		return;
	}
	t->durable = true;
	if (r->outcome == INTAKE_FULL || r->outcome == INTAKE_FAILED)
		not_stored(s, r->why ? r->why : "the store takes nothing");
	else
		acknowledge(s);
}

/* ---- messages ---------------------------------------------------------------------------------------------------------------------- */

static void look_at_topic(struct mqtt_source *s, struct mqtt_text topic)
{
	uint64_t times = 1;

	for (unsigned i = 0; i < s->now->ntopics; i++)
		if (topic_matches(s->now->topics[i], topic.p, topic.n))
			return;
	if (seldom(&s->told_topic, clock_mono_us(), &times))
		log_warn(s->log_name, "unexpected-topic", "topic=%s messages=%llu hint=%s", log_quote(s->topic.p), (unsigned long long)times,
			log_quote("taken all the same; the broker remembers a subscription of an earlier start that `topics` does not name any more: "
			"remove the session of this client there, or use another `client-id`"));
}

static void on_arrived(void *arg, const struct mqtt_arrival *m)
{
	struct mqtt_source *s = arg;
	const struct channel *c = channel_of(s);
	const struct mqtt_packet *p = m->packet;
	struct intake in = { .loop = s->loop, .channel = c, .body = p->payload.p, .len = p->payload.n, .peer = s->now->peer, .mute = true, .done = done };
	struct mqtt_text ident = { "", 0 };

	if (!c) {
		hang_up(s);
		again_in(s, AGAIN_MAX_US);
		return;
	}
	buf_clear(&s->topic);
	buf_add(&s->topic, p->topic.p, p->topic.n);
	look_at_topic(s, p->topic);
	if (options_has(c->options, "topic-ident"))
		ident = mqtt_level(p->topic, (unsigned)options_int(c->options, "topic-ident"));
	if (m->cut) {
		in.refuse = "larger than limits.body; its first 64 KiB are here";
	} else if (ident.n && mqtt_add_ident(&s->body, &s->index, in.body, in.len, c->ident_field, ident)) {
		in.body = s->body.p;
		in.len = s->body.len;
	}
	in.topic = s->topic.p;
	in.arg = taken_new(s, p->id);
	if (p->payload.n == 0) {
		/* Nothing: it only told the broker to forget a retained message. */
		((struct taken *)in.arg)->durable = true;
		acknowledge(s);
		return;
	}
	s->host->submit(s->host->arg, &in);
	if (s->client && !s->host->may_read(s->host->arg, s->loop)) {
		s->held = true;
		mqtt_client_hold(s->client, true);
	}
}

void mqtt_source_resume(struct mqtt_source *s)
{
	s->held = false;
	if (s->client && !s->stopping && !s->coming)
		mqtt_client_hold(s->client, false);
}

/* ---- the connection ------------------------------------------------------------------------------------------------------------------- */

static void on_connected(void *arg, const struct mqtt_granted *g)
{
	struct mqtt_source *s = arg;
	unsigned n;

	s->connected_at = clock_mono_us();
	s->answered = s->refused = 0;
	if (s->held)
		mqtt_client_hold(s->client, true);
	show(s, true, "");
	log_info(s->log_name, "connected", "server=%s client_id=%s session=%s", log_quote(s->now->peer), log_quote(s->now->client_id),
		g->session_present ? "kept" : "new");
	if (!g->session_present && s->known)
		log_warn(s->log_name, "session-lost", "server=%s client_id=%s hint=%s", log_quote(s->now->peer), log_quote(s->now->client_id),
			log_quote("the broker has forgotten us, and with us what was published since the connection ended: let it keep sessions on its disk, and longer"));
	if (g->session_expiry < s->now->session && s->now->version == MQTT_5)
		log_warn(s->log_name, "short-session", "server=%s seconds=%lu hint=%s", log_quote(s->now->peer), (unsigned long)g->session_expiry,
			log_quote("the broker keeps what comes while we are away for so long only, not for `session`: see its own bound"));
	for (unsigned i = 0; i < s->ngone; i++) {
		mqtt_client_unsubscribe(s->client, (const char *const *)&s->gone[i], 1);
		free(s->gone[i]);
	}
	s->ngone = 0;
	if (g->session_present && s->subscribed)
		return;
	for (unsigned i = 0; i < s->now->ntopics; i += n) {
		n = s->now->ntopics - i < FILTERS_AT_ONCE ? s->now->ntopics - i : FILTERS_AT_ONCE;
		mqtt_client_subscribe(s->client, (const char *const *)s->now->topics + i, n, s->now->qos, true);
	}
}

static void on_subscribed(void *arg, struct mqtt_text codes)
{
	struct mqtt_source *s = arg;
	char words[300];

	for (size_t i = 0; i < codes.n && s->answered < s->now->ntopics; i++) {
		unsigned code = (unsigned char)codes.p[i];
		const char *topic = s->now->topics[s->answered++];

		if (code >= MQTT_REFUSAL) {
			s->refused++;
			snprintf(words, sizeof words, "the broker refuses topic %s: %s", topic, mqtt_reason_text(code));
			show(s, true, words);
			log_error(s->log_name, "not-subscribed", "topic=%s reason=%s hint=%s", log_quote(topic), log_quote(mqtt_reason_text(code)),
				log_quote("nothing comes from there: see what this user may do at the broker; it is asked again with the next connection"));
		} else if (code < s->now->qos) {
			log_warn(s->log_name, "qos-lowered", "topic=%s qos=%u hint=%s", log_quote(topic), code,
				log_quote("the broker delivers from there without waiting for our acknowledgement: what is on its way when a connection breaks is lost"));
		}
	}
	if (s->answered < s->now->ntopics)
		return;
	s->subscribed = s->refused == 0;
	s->known = true;
}

/* Why it ended, what the operator can do, and how long to wait. */
static void after_end(struct mqtt_source *s, const struct mqtt_ending *e, int64_t stood_us)
{
	uint64_t times = 1;
	bool mend = e->how == MQTT_CERTIFICATE || (e->how == MQTT_REFUSED && !mqtt_refusal_passes(e->reason));
	const char *hint = "it connects again by itself, and what was not acknowledged comes again; look at the broker if this lasts";
	char words[400];

	s->thrown_out = e->was_connected && stood_us < STEADY_US && (e->how == MQTT_CLOSED || e->how == MQTT_CUT) ? s->thrown_out + 1 : 0;
	if (e->how == MQTT_DISCONNECTED && e->reason == MQTT_TAKEN_OVER) {
		/* Two that come back at once throw each other out for ever. */
		log_error(s->log_name, "taken-over", "server=%s client_id=%s hint=%s", log_quote(s->now->peer), log_quote(s->now->client_id),
			log_quote("another client connects with the same `client-id`: give one of the two another; tried again in a minute"));
		again_in(s, MENDING_US);
		return;
	}
	if (mend) {
		log_error(s->log_name, "refused-by-broker", "server=%s reason=%s hint=%s", log_quote(s->now->peer), log_quote(e->why),
			log_quote("see to the settings or the broker; it is tried once a minute, and at once after `sluice reload`"));
		again_in(s, MENDING_US);
		return;
	}
	if (s->thrown_out >= THROWN_OUT) {
		/* 3.1.1 has no words for a takeover, and not every broker of 5 finds them. */
		hint = "it connects again by itself; another client may use the same `client-id`: then give one of the two another";
		snprintf(words, sizeof words, "%.200s, soon after it took us, %u times in a row: does another client use the same `client-id`?", e->why, s->thrown_out);
		show(s, false, words);
	}
	if (seldom(&s->told_ended, clock_mono_us(), &times) || s->thrown_out == THROWN_OUT)
		log_warn(s->log_name, "disconnected", "server=%s reason=%s times=%llu hint=%s", log_quote(s->now->peer), log_quote(e->why), (unsigned long long)times,
			log_quote(hint));
	again(s);
}

static void take_settings(struct mqtt_source *s)
{
	struct mqtt_settings *old = s->now;

	s->now = s->coming;
	s->coming = NULL;
	s->subscribed = false;
	s->failures = 0;
	if (strcmp(old->client_id, s->now->client_id) != 0 || strcmp(old->peer, s->now->peer) != 0)
		s->known = false; /* another session: what the old one's knew is nobody's */
	for (unsigned i = 0; i < old->ntopics && s->known; i++) {
		bool wanted = false;

		for (unsigned k = 0; k < s->now->ntopics; k++)
			wanted |= strcmp(old->topics[i], s->now->topics[k]) == 0;
		if (wanted)
			continue;
		s->gone = xrealloc(s->gone, (s->ngone + 1) * sizeof *s->gone);
		s->gone[s->ngone++] = xstrdup(old->topics[i]);
	}
	mqtt_settings_free(old);
}

static void on_ended(void *arg, const struct mqtt_ending *e)
{
	struct mqtt_source *s = arg;
	int64_t stood = s->connected_at ? clock_mono_us() - s->connected_at : 0;
	struct mqtt_ending end = *e;
	char why[320];

	snprintf(why, sizeof why, "%s", e->why);
	end.why = why;
	hang_up(s);
	if (stood > STEADY_US)
		s->failures = 0;
	show(s, false, why);
	if (s->stopping) {
		depart(s);
	} else if (s->coming) {
		take_settings(s);
		dial(s);
	} else {
		after_end(s, &end, stood);
	}
}

static struct mqtt_text text_of(const char *s)
{
	return (struct mqtt_text){ s, s ? strlen(s) : 0 };
}

static void dial(struct mqtt_source *s)
{
	static const struct mqtt_client_calls calls = { .connected = on_connected, .arrived = on_arrived, .subscribed = on_subscribed, .ended = on_ended };
	const struct mqtt_settings *n = s->now;

	s->client = mqtt_client_new(s->loop->base, &(struct mqtt_client_settings){
		.to = &n->to, .tls = n->tls, .window = 1, .others = n->ntopics + s->ngone, .message_max = n->message_max, .timeout_us = TIMEOUT_US,
		.connect = { .version = n->version, .client_id = text_of(n->client_id), .username = text_of(n->username), .password = text_of(n->password),
		             .keep_alive = (uint16_t)n->keep_alive, .session_expiry = n->session, .receive_maximum = (uint16_t)n->window },
	}, &calls, s);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct mqtt_source *s = arg;

	(void)fd; (void)what;
	if (!s->client)
		dial(s);
}

/* Wanted to go, and nothing is owed any more? */
static void leave(struct mqtt_source *s)
{
	if ((!s->stopping && !s->coming) || s->first)
		return;
	if (s->client) {
		if (mqtt_client_is_connected(s->client)) {
			mqtt_client_finish(s->client, MQTT_SUCCESS);
			return;
		}
		hang_up(s);
	}
	if (s->stopping) {
		depart(s);
		return;
	}
	evtimer_del(s->timer);
	take_settings(s);
	dial(s);
}

void mqtt_source_start(struct mqtt_source *s)
{
	mqtt_source_ref(s);
	s->next = s->loop->mqtt;
	s->loop->mqtt = s;
	s->timer = evtimer_new(s->loop->base, on_timer, s);
	dial(s);
}

void mqtt_source_renew(struct mqtt_source *s, struct mqtt_settings *next)
{
	bool leaving = s->coming != NULL;

	mqtt_settings_free(s->coming);
	s->coming = next;
	if (leaving)
		return;
	if (s->client)
		mqtt_client_hold(s->client, true);
	leave(s);
}

void mqtt_source_stop(struct mqtt_source *s, void (*gone)(void *arg), void *arg)
{
	bool leaving = s->coming != NULL && s->client && !s->first;

	s->stopping = true;
	s->stopped = gone;
	s->stopped_arg = arg;
	if (leaving)
		return; /* it says goodbye already */
	if (s->client)
		mqtt_client_hold(s->client, true);
	leave(s);
}

void mqtt_source_drop(struct mqtt_source *s)
{
	if (s->client)
		hang_up(s);
	s->stopped = NULL;
	depart(s);
}
