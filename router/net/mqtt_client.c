/* mqtt_client.c - see mqtt_client.h.
 *
 * The hard idea is in mqtt_ids.h: which packet id is for what. Here is the rest: connecting, keeping alive, handing over, ending. */
#include "net/mqtt_client.h"

#include <assert.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "net/mqtt_ids.h"
#include "net/tls.h"
#include "net/wire.h"

#define MESSAGE_MAX 65536u
#define HEAD_ROOM (4 * MQTT_TEXT_MAX)        /* topic and properties of a message that is skipped */
#define FRONT_MAX 65536u
#define OUTPUT_MAX (1u << 20)
#define GOODBYE_US INT64_C(2000000)
#define OTHERS_MIN 16u                       /* SUBSCRIBE and UNSUBSCRIBE under way, where nobody says how many */

enum asker { OURS, OWNERS };

struct mqtt_client {
	struct mqtt_client_calls calls;
	void *arg;
	struct wire *wire;
	enum mqtt_version version;
	bool connected, held, leaving, over;
	bool *alive;                     /* on the stack of whoever calls back */
	/* ours */
	struct mqtt_ids ids;             /* token: the owner's of a message, the number of filters of a SUBSCRIBE */
	unsigned window, in_flight;
	bool freed;                      /* of the window, in this turn */
	/* theirs */
	unsigned unacknowledged, receive_maximum;
	bool beyond;                     /* more came than that: it waits, unread */
	size_t message_max, whole, skipping;
	struct buf front;                /* of the message that is skipped */
	struct event *more;              /* what is there may be handed over */
	/* time */
	struct event *timer;
	int64_t timeout_us, keep_us, tick, deadline;   /* deadline: 0, or it must have spoken by then */
	int64_t answer_by;               /* 0, or the next of `asked` must be answered by then */
	unsigned asked;                  /* SUBSCRIBE and UNSUBSCRIBE without an answer */
	bool wrote, heard, clean;
	struct buf pings;                /* enum asker of each that was not answered */
	struct buf out;
	uint16_t keep_alive;
	uint32_t session_expiry;
	char why[320];
};

/* ---- the end ---------------------------------------------------------------------------------------------------------------- */

static void release(struct mqtt_client *c)
{
	if (c->alive)
		*c->alive = false;
	event_free(c->timer);
	event_free(c->more);
	buf_fini(&c->front);
	buf_fini(&c->pings);
	buf_fini(&c->out);
	mqtt_ids_fini(&c->ids);
	free(c);
}

static void over(struct mqtt_client *c, enum mqtt_how how, unsigned reason, bool absent, const char *why)
{
	struct mqtt_ending e = { .how = how, .reason = reason, .why = why, .was_connected = c->connected, .absent = absent };

	c->over = true;
	c->connected = false;
	evtimer_del(c->timer);
	wire_free(c->wire);
	c->wire = NULL;
	c->calls.ended(c->arg, &e);
}

static void on_wire_end(void *arg, enum wire_end end, const char *why)
{
	static const enum mqtt_how hows[] = { [WIRE_CLOSED] = MQTT_CLOSED, [WIRE_CUT] = MQTT_CUT, [WIRE_UNREACHABLE] = MQTT_UNREACHABLE,
		[WIRE_CERTIFICATE] = MQTT_CERTIFICATE };
	struct mqtt_client *c = arg;

	if (c->leaving)
		end = WIRE_CLOSED;
	snprintf(c->why, sizeof c->why, "%s%s", why, end == WIRE_CLOSED && !c->connected ? " instead of taking us" : "");
	over(c, hows[end], 0, end == WIRE_UNREACHABLE, c->why);
}

/* ---- packets out -------------------------------------------------------------------------------------------------------------- */

static void send_out(struct mqtt_client *c)
{
	c->wrote = true;
	wire_write(c->wire, c->out.p, c->out.len);
	if (c->out.cap > MESSAGE_MAX)
		buf_fini(&c->out);
	else
		buf_clear(&c->out);
}

bool mqtt_client_is_connected(const struct mqtt_client *c)
{
	return c->connected;
}

unsigned mqtt_client_in_flight(const struct mqtt_client *c)
{
	return c->in_flight;
}

bool mqtt_client_has_room(const struct mqtt_client *c)
{
	return c->connected && c->in_flight < c->window && wire_has_room(c->wire);
}

void mqtt_client_publish(struct mqtt_client *c, const struct mqtt_publish *m, uint32_t token)
{
	struct mqtt_publish with = *m;

	assert(c->connected);
	if (m->qos) {
		with.id = mqtt_ids_take(&c->ids, MQTT_PUBLISHED, token);
		c->in_flight++;
	}
	mqtt_write_publish(&c->out, c->version, &with);
	send_out(c);
}

void mqtt_client_ack(struct mqtt_client *c, uint16_t id, unsigned reason)
{
	if (c->over)
		return;
	mqtt_write_puback(&c->out, c->version, id, reason);
	send_out(c);
	c->unacknowledged--;
	if (c->beyond)
		event_active(c->more, EV_TIMEOUT, 0);
	c->beyond = false;
}

static void arm(struct mqtt_client *c);

static void asked(struct mqtt_client *c)
{
	c->asked++;
	if (!c->answer_by)
		c->answer_by = clock_mono_us() + c->timeout_us;
	arm(c);
}

void mqtt_client_subscribe(struct mqtt_client *c, const char *const *filters, unsigned n, unsigned qos, bool new_only)
{
	mqtt_write_subscribe(&c->out, c->version, mqtt_ids_take(&c->ids, MQTT_SUBSCRIBING, n), filters, n, qos, new_only);
	send_out(c);
	asked(c);
}

void mqtt_client_unsubscribe(struct mqtt_client *c, const char *const *filters, unsigned n)
{
	mqtt_write_unsubscribe(&c->out, c->version, mqtt_ids_take(&c->ids, MQTT_UNSUBSCRIBING, n), filters, n);
	send_out(c);
	asked(c);
}

/* ---- goodbye ---------------------------------------------------------------------------------------------------------------------- */

static void say_goodbye(struct mqtt_client *c, unsigned reason)
{
	if (!c->connected || c->leaving)
		return;
	mqtt_write_disconnect(&c->out, c->version, reason);
	send_out(c);
}

void mqtt_client_finish(struct mqtt_client *c, unsigned reason)
{
	say_goodbye(c, reason);
	c->leaving = true;
	evtimer_del(c->timer);
	wire_finish(c->wire, GOODBYE_US);
}

void mqtt_client_free(struct mqtt_client *c)
{
	if (!c)
		return;
	if (c->wire) {
		say_goodbye(c, MQTT_SUCCESS);
		wire_flush(c->wire);
		wire_free(c->wire);
	}
	release(c);
}

/* It does not keep to the rules: say so where that can be said. */
static void broken(struct mqtt_client *c, unsigned reason, const char *why)
{
	if (c->version == MQTT_5) {
		say_goodbye(c, reason);
		wire_flush(c->wire);
	}
	snprintf(c->why, sizeof c->why, "not MQTT as it was asked for: %s", why);
	over(c, MQTT_BROKEN, reason, false, c->why);
}

/* ---- time ----------------------------------------------------------------------------------------------------------------------- */

/* Are there packets that we do not look at, so that its silence says nothing? */
static bool deaf(const struct mqtt_client *c)
{
	return c->held || c->beyond;
}

/* Does a message come that was not to be sent yet? 3.1.1 cannot say how many may be, and Mosquitto 2.0 sends more of a fast publisher's than 5 let us
 * say: it waits where it is, for a connection that is ended for it comes back to the same. */
static bool look_beyond(struct mqtt_client *c, const char *p, size_t n)
{
	c->beyond = n > 0 && !c->skipping && c->unacknowledged >= c->receive_maximum && (unsigned char)*p >> 4 == MQTT_PUBLISH && *p & 6;
	return c->beyond;
}

static void arm(struct mqtt_client *c)
{
	int64_t at = c->deadline && (!c->keep_us || c->deadline < c->tick) ? c->deadline : c->keep_us ? c->tick : 0, wait;

	if (c->answer_by && (!at || c->answer_by < at))
		at = c->answer_by;
	wait = at - clock_mono_us();
	struct timeval tv = { .tv_sec = wait > 0 ? wait / 1000000 : 0, .tv_usec = wait > 0 ? wait % 1000000 : 0 };

	if (at)
		evtimer_add(c->timer, &tv);
	else
		evtimer_del(c->timer);
}

static void ping(struct mqtt_client *c, enum asker asker)
{
	mqtt_write_pingreq(&c->out);
	send_out(c);
	buf_addc(&c->pings, (char)asker);
	if (!c->deadline && !deaf(c))
		c->deadline = clock_mono_us() + c->timeout_us;
	arm(c);
}

void mqtt_client_ping(struct mqtt_client *c)
{
	ping(c, OWNERS);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct mqtt_client *c = arg;
	int64_t now = clock_mono_us();

	(void)fd; (void)what;
	if (deaf(c)) {
		c->deadline = 0;
		c->answer_by = c->answer_by ? now + c->timeout_us : 0;
	}
	if (c->answer_by && now >= c->answer_by) {
		over(c, MQTT_SILENT, 0, false, "no answer to a subscription in time");
		return;
	}
	if (c->deadline && now >= c->deadline) {
		over(c, c->connected ? MQTT_SILENT : MQTT_UNREACHABLE, 0, false, c->connected ? "no answer to a ping in time" : "it did not take us in time");
		return;
	}
	if (c->keep_us && now >= c->tick) {
		bool quiet = !c->wrote || !c->heard;

		c->tick = now + c->keep_us;
		c->wrote = c->heard = false;
		if (quiet) {
			ping(c, OURS);
			return;
		}
	}
	arm(c);
}

/* ---- packets in ------------------------------------------------------------------------------------------------------------------- */

/* The server's own words, for one line. */
static const char *words_of(struct mqtt_text t, char *out, size_t room)
{
	size_t n = 0;

	for (size_t i = 0; i < t.n && n + 1 < room; i++)
		out[n++] = (unsigned char)t.p[i] < 0x20 || t.p[i] == 0x7F ? ' ' : t.p[i];
	while (n && n + 1 == room && ((unsigned char)out[n - 1] & 0x80))
		n--;
	out[n] = '\0';
	return out;
}

static const char *explain(struct mqtt_client *c, const char *what, const struct mqtt_packet *m)
{
	struct mqtt_text words = mqtt_given(&m->properties, MQTT_P_REASON) ? m->properties.text[MQTT_P_REASON] : (struct mqtt_text){ "", 0 };
	struct mqtt_text other = mqtt_given(&m->properties, MQTT_P_SERVER_REFERENCE) ? m->properties.text[MQTT_P_SERVER_REFERENCE] : (struct mqtt_text){ "", 0 };
	char a[120], b[80];

	snprintf(c->why, sizeof c->why, "%s: %s%s%s%s%s", what, mqtt_reason_text(m->reason), words.n ? ": " : "", words_of(words, a, sizeof a),
		other.n ? "; it names " : "", words_of(other, b, sizeof b));
	return c->why;
}

static void take_connack(struct mqtt_client *c, const struct mqtt_packet *m)
{
	const struct mqtt_properties *p = &m->properties;
	unsigned theirs = mqtt_number(p, MQTT_P_RECEIVE_MAXIMUM, 65535);
	struct mqtt_granted g = {
		.session_present = m->session_present, .retain = mqtt_number(p, MQTT_P_RETAIN_AVAILABLE, 1), .shared = mqtt_number(p, MQTT_P_SHARED_AVAILABLE, 1),
		.qos = mqtt_number(p, MQTT_P_MAXIMUM_QOS, 2), .packet_max = mqtt_number(p, MQTT_P_MAXIMUM_PACKET, MQTT_PACKET_MAX),
		.keep_alive = mqtt_number(p, MQTT_P_SERVER_KEEP_ALIVE, c->keep_alive), .session_expiry = mqtt_number(p, MQTT_P_SESSION_EXPIRY, c->session_expiry),
	};

	if (m->reason != MQTT_SUCCESS) {
		over(c, MQTT_REFUSED, m->reason, false, explain(c, "the server refuses us", m));
		return;
	}
	if (m->session_present && c->clean && c->version == MQTT_5) { /* [MQTT-3.2.2-4] */
		broken(c, MQTT_PROTOCOL_ERROR, "it speaks of a session, and a clean start was asked for");
		return;
	}
	if (theirs < c->window)
		c->window = theirs;
	if (g.packet_max > MQTT_PACKET_MAX)
		g.packet_max = MQTT_PACKET_MAX;
	g.window = c->window;
	c->connected = true;
	/* Whatever was written last was written at most two ticks before the next ping: three quarters of what was promised. */
	c->keep_us = g.keep_alive * INT64_C(375000);
	c->tick = clock_mono_us() + c->keep_us;
	c->deadline = 0;
	arm(c);
	c->calls.connected(c->arg, &g);
}

static void take_puback(struct mqtt_client *c, const struct mqtt_packet *m)
{
	struct mqtt_id *f = mqtt_ids_find(&c->ids, m->id, MQTT_PUBLISHED);

	/* What is not in flight was acknowledged before: a server that says so twice does no harm. */
	if (!f)
		return;
	f->use = MQTT_FREE;
	c->in_flight--;
	c->freed = true;
	if (c->calls.acked)
		c->calls.acked(c->arg, f->token, m->reason, mqtt_given(&m->properties, MQTT_P_REASON) ? m->properties.text[MQTT_P_REASON] : (struct mqtt_text){ "", 0 });
}

static void take_suback(struct mqtt_client *c, const struct mqtt_packet *m)
{
	struct mqtt_id *f = mqtt_ids_find(&c->ids, m->id, m->kind == MQTT_SUBACK ? MQTT_SUBSCRIBING : MQTT_UNSUBSCRIBING);

	if (!f)
		return;
	f->use = MQTT_FREE;
	c->answer_by = --c->asked ? clock_mono_us() + c->timeout_us : 0;
	if (m->codes.n != f->token && (m->kind == MQTT_SUBACK || c->version == MQTT_5)) {
		broken(c, MQTT_PROTOCOL_ERROR, "an answer to another number of subscriptions than were asked for");
		return;
	}
	if (m->kind == MQTT_SUBACK && c->calls.subscribed)
		c->calls.subscribed(c->arg, m->codes);
}

static void take_message(struct mqtt_client *c, const struct mqtt_arrival *a)
{
	if (!c->calls.arrived) {
		broken(c, MQTT_PROTOCOL_ERROR, "a message, and nothing was subscribed to");
		return;
	}
	if (a->packet->qos)
		c->unacknowledged++;
	c->calls.arrived(c->arg, a);
}

static void take_pong(struct mqtt_client *c)
{
	bool owners = c->pings.len && c->pings.p[0] == OWNERS;

	if (c->pings.len)
		buf_consume(&c->pings, 1);
	if (owners && c->calls.pong)
		c->calls.pong(c->arg);
}

static void take(struct mqtt_client *c, const struct mqtt_packet *m, size_t whole)
{
	if (!c->connected && m->kind != MQTT_CONNACK) {
		broken(c, MQTT_PROTOCOL_ERROR, "it speaks before it has taken us");
		return;
	}
	switch (m->kind) {
	case MQTT_CONNACK:
		if (c->connected)
			broken(c, MQTT_PROTOCOL_ERROR, "it takes us twice");
		else
			take_connack(c, m);
		return;
	case MQTT_PUBLISH:
		take_message(c, &(struct mqtt_arrival){ .packet = m, .whole = whole });
		return;
	case MQTT_PUBACK: take_puback(c, m); return;
	case MQTT_SUBACK: case MQTT_UNSUBACK: take_suback(c, m); return;
	case MQTT_PINGRESP: take_pong(c); return;
	case MQTT_DISCONNECT:
		over(c, MQTT_DISCONNECTED, m->reason, false, explain(c, "the server says goodbye", m));
		return;
	default:
		return;
	}
}

/* ---- messages too large to be kept --------------------------------------------------------------------------------------------------- */

/* Keep the front of it, if that is whole by now. */
static bool skip_begin(struct mqtt_client *c, const char *p, size_t n, size_t whole)
{
	struct mqtt_packet m;
	const char *why = "";
	int is = (unsigned char)p[0] >> 4 != MQTT_PUBLISH ? -1 : mqtt_read_part(c->version, p, n, whole, &m, &why);

	if (is < 0)
		broken(c, MQTT_TOO_LARGE, *why ? why : "a packet that is too large");
	if (is != 1)
		return false;
	n = (size_t)(m.payload.p - p) + (m.payload.n < FRONT_MAX ? m.payload.n : FRONT_MAX);
	buf_clear(&c->front);
	buf_reserve(&c->front, n + 64);
	buf_add(&c->front, p, n);
	c->whole = c->skipping = whole;
	return true;
}

static void skip_end(struct mqtt_client *c, bool *alive)
{
	struct mqtt_packet m;
	const char *why;

	mqtt_read_part(c->version, c->front.p, c->front.len, c->whole, &m, &why);
	take_message(c, &(struct mqtt_arrival){ .packet = &m, .whole = c->whole, .cut = true });
	if (*alive)
		buf_fini(&c->front);
}

/* ---- what came -------------------------------------------------------------------------------------------------------------------------- */

/* One packet from the n bytes at p: how many of them are done with; 0: more must come, or it is over. */
static size_t take_one(struct mqtt_client *c, const char *p, size_t n, bool *alive)
{
	size_t head, body;
	struct mqtt_packet m;
	const char *why;

	if (c->skipping) {
		size_t step = n < c->skipping ? n : c->skipping;

		c->skipping -= step;
		if (c->skipping == 0)
			skip_end(c, alive);
		return step;
	}
	switch (mqtt_frame(p, n, &head, &body, &why)) {
	case 0:
		return 0;
	case 1:
		break;
	default:
		broken(c, MQTT_MALFORMED, why);
		return 0;
	}
	if (head + body > c->message_max)
		return skip_begin(c, p, n, head + body) ? take_one(c, p, n, alive) : 0;
	if (head + body > n)
		return 0;
	if (mqtt_read(c->version, p, head + body, &m, &why) < 0) {
		broken(c, MQTT_MALFORMED, why);
		return 0;
	}
	take(c, &m, head + body);
	return head + body;
}

static void on_room(void *arg)
{
	struct mqtt_client *c = arg;

	if (c->connected && c->calls.room)
		c->calls.room(c->arg);
}

static void take_all(struct mqtt_client *c)
{
	bool alive = true, *outer = c->alive;
	size_t n, done = 0, step;
	const char *p = wire_input(c->wire, &n);

	c->alive = &alive;
	while (done < n && !c->held && !look_beyond(c, p + done, n - done) && (step = take_one(c, p + done, n - done, &alive)) > 0) {
		done += step;
		if (!alive || c->over)
			break;
	}
	if (!alive) {
		if (outer)
			*outer = false;
		return;
	}
	c->alive = outer;
	if (!c->over && done > 0)
		wire_consume(c->wire, done);
	if (!c->over)
		wire_hold(c->wire, deaf(c)); /* or it would gather what nobody looks at */
	/* Once for all acknowledgements of a turn, so that what follows them leaves in one write. */
	if (!c->over && c->freed) {
		c->freed = false;
		on_room(c);
	}
}

static void on_input(void *arg)
{
	struct mqtt_client *c = arg;

	c->heard = true;
	if (c->connected)
		c->deadline = 0;
	take_all(c);
}

static void on_more(evutil_socket_t fd, short what, void *arg)
{
	struct mqtt_client *c = arg;

	(void)fd; (void)what;
	if (!c->over)
		take_all(c);
}

void mqtt_client_hold(struct mqtt_client *c, bool hold)
{
	if (c->over || c->held == hold)
		return;
	c->held = hold;
	wire_hold(c->wire, hold);
	if (!hold)
		event_active(c->more, EV_TIMEOUT, 0);
}

struct mqtt_client *mqtt_client_new(struct event_base *base, const struct mqtt_client_settings *s, const struct mqtt_client_calls *calls, void *arg)
{
	static const struct wire_calls wire_calls = { .input = on_input, .room = on_room, .end = on_wire_end };
	struct mqtt_client *c = xcalloc(1, sizeof *c);

	c->calls = *calls;
	c->arg = arg;
	c->version = s->connect.version;
	c->window = s->window ? s->window : 1;
	c->receive_maximum = s->connect.receive_maximum ? s->connect.receive_maximum : 65535;
	c->message_max = s->message_max ? s->message_max : MESSAGE_MAX;
	c->timeout_us = s->timeout_us;
	c->keep_alive = s->connect.keep_alive;
	c->session_expiry = s->connect.session_expiry;
	c->clean = s->connect.clean;
	mqtt_ids_init(&c->ids, c->window + (s->others > OTHERS_MIN ? s->others : OTHERS_MIN));
	c->timer = evtimer_new(base, on_timer, c);
	c->more = evtimer_new(base, on_more, c);
	c->deadline = clock_mono_us() + c->timeout_us;
	arm(c);
	c->wire = wire_connect(base, s->to, s->tls, &(struct wire_settings){ .input_max = c->message_max + HEAD_ROOM, .output_max = OUTPUT_MAX,
		.connect_us = s->timeout_us, .bind = s->bind }, &wire_calls, c);
	mqtt_write_connect(&c->out, &s->connect);
	send_out(c);
	return c;
}
