/* mqtt_packet_read.c - packets of a server, taken apart.
 *
 * One cursor walks over a packet; whoever asks it for more than there is finds it spoilt, and it stays so: faults are looked at once, at
 * the end of each part, and no length that the far end wrote is believed before it was compared with what is there. */
#include "net/mqtt_packet.h"

#include <string.h>

#include "base/topic.h"

struct cursor {
	const char *p;
	size_t n;
	const char *why;     /* NULL: all is well */
};

static void spoil(struct cursor *c, const char *why)
{
	if (!c->why)
		c->why = why;
	c->n = 0;
}

static uint32_t take_number(struct cursor *c, unsigned bytes)
{
	uint32_t v = 0;

	if (c->n < bytes) {
		spoil(c, "it ends in the middle of a number");
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | (unsigned char)c->p[i];
	c->p += bytes;
	c->n -= bytes;
	return v;
}

static struct mqtt_text take_bytes(struct cursor *c)
{
	size_t n = take_number(c, 2);
	struct mqtt_text t = { c->p, n };

	if (n > c->n) {
		spoil(c, "a text is longer than the packet");
		return (struct mqtt_text){ "", 0 };
	}
	c->p += n;
	c->n -= n;
	return t;
}

static struct mqtt_text take_text(struct cursor *c)
{
	struct mqtt_text t = take_bytes(c);

	if (!topic_text_is_good(t.p, t.n))
		spoil(c, "a text is no UTF-8, or has a NUL in it");
	return t;
}

/* A variable byte integer: 1 and its length; 0: it is not whole; -1: it is none, or longer than need be [MQTT-1.5.5-1]. */
static int varint(const char *p, size_t n, uint32_t *v, size_t *len)
{
	*v = 0;
	for (size_t i = 0; i < 4; i++) {
		if (i >= n)
			return 0;
		*v |= (uint32_t)(p[i] & 0x7F) << 7 * i;
		if (!(p[i] & 0x80)) {
			*len = i + 1;
			return i > 0 && p[i] == 0 ? -1 : 1;
		}
	}
	return -1;
}

static uint32_t take_varint(struct cursor *c)
{
	uint32_t v;
	size_t len;

	if (varint(c->p, c->n, &v, &len) != 1) {
		spoil(c, "a length is not written as it must be");
		return 0;
	}
	c->p += len;
	c->n -= len;
	return v;
}

/* ---- properties ------------------------------------------------------------------------------------------------------------- */

enum shape { NONE, BYTE, FLAG, TWO, FOUR, VARINT, TEXT, BYTES, PAIR };
#define IN(kind) (1u << (kind))
#define ANSWERS (IN(MQTT_CONNACK) | IN(MQTT_PUBACK) | IN(MQTT_SUBACK) | IN(MQTT_UNSUBACK) | IN(MQTT_DISCONNECT))

/* MQTT 5, table 2-4, of what a server sends. */
static const struct { enum shape shape; unsigned where; bool repeats, positive; } properties[MQTT_PROPERTIES] = {
	[MQTT_P_PAYLOAD_FORMAT] = { FLAG, IN(MQTT_PUBLISH), false, false },
	[MQTT_P_MESSAGE_EXPIRY] = { FOUR, IN(MQTT_PUBLISH), false, false },
	[MQTT_P_CONTENT_TYPE] = { TEXT, IN(MQTT_PUBLISH), false, false },
	[MQTT_P_RESPONSE_TOPIC] = { TEXT, IN(MQTT_PUBLISH), false, false },
	[MQTT_P_CORRELATION] = { BYTES, IN(MQTT_PUBLISH), false, false },
	[MQTT_P_SUBSCRIPTION_ID] = { VARINT, IN(MQTT_PUBLISH), true, true },
	[MQTT_P_SESSION_EXPIRY] = { FOUR, IN(MQTT_CONNACK), false, false },
	[MQTT_P_ASSIGNED_ID] = { TEXT, IN(MQTT_CONNACK), false, false },
	[MQTT_P_SERVER_KEEP_ALIVE] = { TWO, IN(MQTT_CONNACK), false, false },
	[MQTT_P_AUTH_METHOD] = { TEXT, IN(MQTT_CONNACK), false, false },
	[MQTT_P_AUTH_DATA] = { BYTES, IN(MQTT_CONNACK), false, false },
	[MQTT_P_RESPONSE_INFORMATION] = { TEXT, IN(MQTT_CONNACK), false, false },
	[MQTT_P_SERVER_REFERENCE] = { TEXT, IN(MQTT_CONNACK) | IN(MQTT_DISCONNECT), false, false },
	[MQTT_P_REASON] = { TEXT, ANSWERS, false, false },
	[MQTT_P_RECEIVE_MAXIMUM] = { TWO, IN(MQTT_CONNACK), false, true },
	[MQTT_P_TOPIC_ALIAS_MAXIMUM] = { TWO, IN(MQTT_CONNACK), false, false },
	[MQTT_P_TOPIC_ALIAS] = { TWO, IN(MQTT_PUBLISH), false, true },
	[MQTT_P_MAXIMUM_QOS] = { FLAG, IN(MQTT_CONNACK), false, false },
	[MQTT_P_RETAIN_AVAILABLE] = { FLAG, IN(MQTT_CONNACK), false, false },
	[MQTT_P_USER] = { PAIR, ANSWERS | IN(MQTT_PUBLISH), true, false },
	[MQTT_P_MAXIMUM_PACKET] = { FOUR, IN(MQTT_CONNACK), false, true },
	[MQTT_P_WILDCARD_AVAILABLE] = { FLAG, IN(MQTT_CONNACK), false, false },
	[MQTT_P_SUBSCRIPTION_IDS_AVAILABLE] = { FLAG, IN(MQTT_CONNACK), false, false },
	[MQTT_P_SHARED_AVAILABLE] = { FLAG, IN(MQTT_CONNACK), false, false },
};

static void take_value(struct cursor *c, uint32_t id, struct mqtt_properties *to)
{
	uint32_t v = 0;

	switch (properties[id].shape) {
	case BYTE: case FLAG: v = take_number(c, 1); break;
	case TWO: v = take_number(c, 2); break;
	case FOUR: v = take_number(c, 4); break;
	case VARINT: v = take_varint(c); break;
	case TEXT: to->text[id] = take_text(c); break;
	case BYTES: to->text[id] = take_bytes(c); break;
	case PAIR: take_text(c); take_text(c); break;
	case NONE: break;
	}
	if (properties[id].shape == FLAG && v > 1)
		spoil(c, "a property that is 0 or 1 has another value");
	if (properties[id].positive && v == 0)
		spoil(c, "a property that must not be 0 is");
	to->number[id] = v;
}

static void take_properties(struct cursor *c, enum mqtt_kind kind, struct mqtt_properties *to)
{
	size_t n = take_varint(c);
	struct cursor in = { c->p, n, NULL };

	if (n > c->n) {
		spoil(c, "its properties are longer than the packet");
		return;
	}
	to->all = (struct mqtt_text){ c->p, n };
	while (in.n > 0) {
		uint32_t id = take_varint(&in);

		if (in.why)
			break;
		if (id >= MQTT_PROPERTIES || !(properties[id].where & IN(kind))) {
			spoil(&in, "a property that such a packet does not have");
			break;
		}
		if (mqtt_given(to, (enum mqtt_property)id) && !properties[id].repeats) {
			spoil(&in, "a property stands there twice");
			break;
		}
		to->given |= UINT64_C(1) << id;
		take_value(&in, id, to);
	}
	if (in.why)
		spoil(c, in.why);
	if (c->why)
		return;
	c->p += n;
	c->n -= n;
}

bool mqtt_user_property(const struct mqtt_properties *p, size_t *at, struct mqtt_text *name, struct mqtt_text *value)
{
	struct mqtt_properties skipped;
	struct cursor c = { NULL, 0, NULL };

	if (*at < p->all.n)
		c = (struct cursor){ p->all.p + *at, p->all.n - *at, NULL };
	while (c.n > 0) {
		uint32_t id = take_varint(&c);

		if (id != MQTT_P_USER) {
			take_value(&c, id, &skipped);
			continue;
		}
		*name = take_text(&c);
		*value = take_text(&c);
		*at = p->all.n - c.n;
		return true;
	}
	return false;
}

/* ---- packets ---------------------------------------------------------------------------------------------------------------- */

int mqtt_frame(const char *p, size_t n, size_t *head, size_t *body, const char **why)
{
	uint32_t rest;
	size_t len;

	if (n == 0)
		return 0;
	switch ((unsigned char)p[0] >> 4) {
	case MQTT_PUBLISH:
		break;
	case MQTT_CONNACK: case MQTT_PUBACK: case MQTT_SUBACK: case MQTT_UNSUBACK: case MQTT_PINGRESP: case MQTT_DISCONNECT:
		if ((p[0] & 0x0F) == 0)
			break;
		*why = "a packet with bits that are reserved";
		return -1;
	default:
		*why = "a packet that a server does not send to this client";
		return -1;
	}
	switch (varint(p + 1, n - 1, &rest, &len)) {
	case 0:
		return 0;
	case 1:
		*head = 1 + len;
		*body = rest;
		return 1;
	default:
		*why = "a packet's length is not written as it must be";
		return -1;
	}
}

/* Return codes of 3.1.1, table 3.1. */
static unsigned reason_of_311(unsigned code)
{
	static const unsigned char codes[] = { MQTT_SUCCESS, MQTT_UNSUPPORTED_VERSION, MQTT_BAD_CLIENT_ID, MQTT_UNAVAILABLE, MQTT_BAD_CREDENTIALS, MQTT_NOT_AUTHORIZED };

	return code < sizeof codes ? codes[code] : MQTT_REFUSAL;
}

static void read_connack(struct cursor *c, enum mqtt_version v, struct mqtt_packet *m)
{
	unsigned flags = take_number(c, 1);

	m->reason = take_number(c, 1);
	m->session_present = flags & 1;
	if (flags > 1)
		spoil(c, "a CONNACK with bits that are reserved");
	if (m->session_present && m->reason != MQTT_SUCCESS)
		spoil(c, "a refusal that speaks of a session"); /* [MQTT-3.2.2-4] of 3.1.1, [MQTT-3.2.2-6] of 5 */
	/* A server that does not speak 5 says so in its own way. */
	if (v == MQTT_311 || (c->n == 0 && m->reason != MQTT_SUCCESS && m->reason < MQTT_REFUSAL))
		m->reason = reason_of_311(m->reason);
	else if (!c->why)
		take_properties(c, MQTT_CONNACK, &m->properties);
}

static void read_publish_head(struct cursor *c, enum mqtt_version v, unsigned flags, struct mqtt_packet *m)
{
	m->dup = flags & 8;
	m->qos = flags >> 1 & 3;
	m->retain = flags & 1;
	m->topic = take_text(c);
	if (m->qos > 1)
		spoil(c, "a message of QoS 2, which was not asked for");
	else if (m->dup && m->qos == 0)
		spoil(c, "a message of QoS 0 that says it is a repetition"); /* [MQTT-3.3.1-2] */
	else if (m->qos == 1 && (m->id = (uint16_t)take_number(c, 2)) == 0)
		spoil(c, "a message without a packet id");
	if (v == MQTT_5 && !c->why)
		take_properties(c, MQTT_PUBLISH, &m->properties);
	if (!c->why && mqtt_given(&m->properties, MQTT_P_TOPIC_ALIAS))
		spoil(c, "a topic alias, which was not offered"); /* [MQTT-3.1.2-27] */
	else if (!c->why && !topic_is_name(m->topic.p, m->topic.n))
		spoil(c, "a message whose topic is none");
}

/* A packet id, which is not 0. */
static uint16_t take_id(struct cursor *c)
{
	uint32_t id = take_number(c, 2);

	if (id == 0)
		spoil(c, "a packet id of 0");
	return (uint16_t)id;
}

static void read_puback(struct cursor *c, enum mqtt_version v, struct mqtt_packet *m)
{
	m->id = take_id(c);
	if (v == MQTT_5 && c->n > 0)
		m->reason = take_number(c, 1);
	if (v == MQTT_5 && c->n > 0)
		take_properties(c, MQTT_PUBACK, &m->properties);
}

static void read_suback(struct cursor *c, enum mqtt_version v, struct mqtt_packet *m)
{
	m->id = take_id(c);
	if (v == MQTT_5 && !c->why)
		take_properties(c, m->kind, &m->properties);
	m->codes = (struct mqtt_text){ c->p, c->n };
	if (m->kind == MQTT_UNSUBACK && v == MQTT_311)
		return;
	if (c->n == 0)
		spoil(c, "an answer to no filter");
	for (size_t i = 0; i < c->n && m->kind == MQTT_SUBACK; i++)
		if ((unsigned char)c->p[i] > 2 && (unsigned char)c->p[i] < 0x80)
			spoil(c, "an answer to a filter that is none");
	c->p += c->n;
	c->n = 0;
}

static void read_disconnect(struct cursor *c, enum mqtt_version v, struct mqtt_packet *m)
{
	if (v == MQTT_311) {
		spoil(c, "a DISCONNECT, which a server of 3.1.1 does not send");
		return;
	}
	if (c->n > 0)
		m->reason = take_number(c, 1);
	if (c->n > 0)
		take_properties(c, MQTT_DISCONNECT, &m->properties);
}

/* All but the values of properties, a kilobyte that nobody looks at where `given` does not say so: it would be most of what an acknowledgement costs. */
static void begin(struct mqtt_packet *m, enum mqtt_kind kind)
{
	static const struct mqtt_text none = { "", 0 };

	m->kind = kind;
	m->dup = m->retain = m->session_present = false;
	m->qos = m->reason = 0;
	m->id = 0;
	m->topic = m->payload = m->codes = m->properties.all = none;
	m->properties.given = 0;
}

int mqtt_read(enum mqtt_version v, const char *p, size_t n, struct mqtt_packet *out, const char **why)
{
	struct cursor c = { NULL, 0, NULL };
	size_t head, body;
	int whole = mqtt_frame(p, n, &head, &body, why);

	begin(out, 0);
	if (whole < 0)
		return -1;
	if (whole == 0 || head + body != n) {
		*why = "a packet of another length than it says";
		return -1;
	}
	c.p = p + head;
	c.n = body;
	out->kind = (enum mqtt_kind)((unsigned char)p[0] >> 4);
	switch (out->kind) {
	case MQTT_CONNACK: read_connack(&c, v, out); break;
	case MQTT_PUBACK: read_puback(&c, v, out); break;
	case MQTT_SUBACK: case MQTT_UNSUBACK: read_suback(&c, v, out); break;
	case MQTT_DISCONNECT: read_disconnect(&c, v, out); break;
	case MQTT_PUBLISH:
		read_publish_head(&c, v, (unsigned char)p[0] & 0x0F, out);
		out->payload = (struct mqtt_text){ c.p, c.n };
		c.n = 0;
		break;
	default:
		break;
	}
	if (!c.why && c.n > 0)
		c.why = "a packet with something behind its end";
	if (!c.why)
		return 0;
	*why = c.why;
	return -1;
}

int mqtt_read_part(enum mqtt_version v, const char *p, size_t n, size_t whole, struct mqtt_packet *out, const char **why)
{
	struct cursor c = { NULL, 0, NULL };
	size_t head, body;

	begin(out, MQTT_PUBLISH);
	if (mqtt_frame(p, n, &head, &body, why) != 1 || head + body != whole || (unsigned char)p[0] >> 4 != MQTT_PUBLISH) {
		*why = "a packet that is too large";
		return -1;
	}
	c.p = p + head;
	c.n = n - head;
	read_publish_head(&c, v, (unsigned char)p[0] & 0x0F, out);
	out->payload = (struct mqtt_text){ c.p, c.n };
	if (!c.why)
		return 1;
	*why = c.why;
	/* Whatever is wrong, it may be that the rest is not there yet; a head is at most so long as the texts in it. */
	return n < whole && n < 4 * MQTT_TEXT_MAX ? 0 : -1;
}

/* ---- words ------------------------------------------------------------------------------------------------------------------ */

const char *mqtt_reason_text(unsigned code)
{
	static const char *const texts[256] = {
		[0x00] = "success", [0x04] = "disconnected with its last will", [0x10] = "no subscribers", [0x11] = "no such subscription", [0x80] = "refused without a reason",
		[0x81] = "malformed packet", [0x82] = "protocol error", [0x83] = "refused by the server's own rules",
		[0x84] = "this version of MQTT is not spoken there", [0x85] = "client id not valid", [0x86] = "bad user name or password",
		[0x87] = "not authorized", [0x88] = "server unavailable", [0x89] = "server busy", [0x8A] = "banned", [0x8B] = "server shutting down",
		[0x8C] = "bad authentication method", [0x8D] = "keep alive timeout", [0x8E] = "session taken over by another client of the same id",
		[0x8F] = "topic filter not valid", [0x90] = "topic name not valid", [0x91] = "packet id in use", [0x92] = "packet id not found",
		[0x93] = "more unacknowledged messages than the receive maximum", [0x94] = "topic alias not valid", [0x95] = "packet too large",
		[0x96] = "message rate too high", [0x97] = "quota exceeded", [0x98] = "administrative action", [0x99] = "payload format not valid",
		[0x9A] = "retain not supported", [0x9B] = "QoS not supported", [0x9C] = "use another server", [0x9D] = "server moved",
		[0x9E] = "shared subscriptions not supported", [0x9F] = "connection rate exceeded", [0xA0] = "maximum connect time",
		[0xA1] = "subscription identifiers not supported", [0xA2] = "wildcard subscriptions not supported",
	};

	return code < 256 && texts[code] ? texts[code] : code < 0x80 ? "a code of unknown meaning" : "refused with a code of unknown meaning";
}

bool mqtt_refusal_passes(unsigned code)
{
	switch (code) {
	case MQTT_REFUSAL: case 0x83: case MQTT_UNAVAILABLE: case MQTT_BUSY: case MQTT_SHUTTING_DOWN: case MQTT_KEEP_ALIVE_TIMEOUT: case MQTT_ID_IN_USE:
	case MQTT_RECEIVE_MAXIMUM_EXCEEDED: case MQTT_RATE_TOO_HIGH: case MQTT_QUOTA_EXCEEDED: case MQTT_ADMINISTRATIVE: case MQTT_CONNECTION_RATE: case 0xA0:
		return true;
	default:
		return false;
	}
}
