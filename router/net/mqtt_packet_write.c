/* mqtt_packet_write.c - packets of a client.
 *
 * Every length is known before the first byte is written, so that a packet is one append to the buffer that goes to the socket. */
#include "net/mqtt_packet.h"

#include <assert.h>
#include <string.h>

static size_t varint_size(uint64_t v)
{
	return v < 128 ? 1 : v < 16384 ? 2 : v < 2097152 ? 3 : 4;
}

static void add_varint(struct buf *out, uint32_t v)
{
	for (; v >= 128; v >>= 7)
		buf_addc(out, (char)(v | 0x80));
	buf_addc(out, (char)v);
}

static void add_number(struct buf *out, uint32_t v, unsigned bytes)
{
	while (bytes-- > 0)
		buf_addc(out, (char)(v >> 8 * bytes));
}

static void add_text(struct buf *out, struct mqtt_text t)
{
	assert(t.n <= MQTT_TEXT_MAX);
	add_number(out, (uint32_t)t.n, 2);
	buf_add(out, t.p, t.n);
}

/* kind and flags, then the length of what follows, for which there is room afterwards. */
static void begin(struct buf *out, unsigned first, uint64_t body)
{
	assert(1 + varint_size(body) + body <= MQTT_PACKET_MAX);
	buf_reserve(out, 5 + (size_t)body);
	buf_addc(out, (char)first);
	add_varint(out, (uint32_t)body);
}

void mqtt_write_connect(struct buf *out, const struct mqtt_connect *c)
{
	size_t properties = (c->session_expiry ? 5u : 0) + (c->receive_maximum ? 3u : 0) + (c->maximum_packet ? 5u : 0);
	unsigned flags = (c->clean ? 2u : 0) | (c->username.p ? 0x80u : 0) | (c->password.p ? 0x40u : 0);
	size_t body = 10 + 2 + c->client_id.n + (c->username.p ? 2 + c->username.n : 0) + (c->password.p ? 2 + c->password.n : 0);

	/* [MQTT-3.1.2-22] of 3.1.1; in 5 a password may stand alone */
	assert(c->username.p || !c->password.p || c->version == MQTT_5);
	if (c->version == MQTT_5)
		body += 1 + properties;
	begin(out, MQTT_CONNECT << 4, body);
	add_text(out, (struct mqtt_text){ "MQTT", 4 });
	buf_addc(out, (char)c->version);
	buf_addc(out, (char)flags);
	add_number(out, c->keep_alive, 2);
	if (c->version == MQTT_5) {
		buf_addc(out, (char)properties);
		if (c->session_expiry) {
			buf_addc(out, MQTT_P_SESSION_EXPIRY);
			add_number(out, c->session_expiry, 4);
		}
		if (c->receive_maximum) {
			buf_addc(out, MQTT_P_RECEIVE_MAXIMUM);
			add_number(out, c->receive_maximum, 2);
		}
		if (c->maximum_packet) {
			buf_addc(out, MQTT_P_MAXIMUM_PACKET);
			add_number(out, c->maximum_packet, 4);
		}
	}
	add_text(out, c->client_id);
	if (c->username.p)
		add_text(out, c->username);
	if (c->password.p)
		add_text(out, c->password);
}

static size_t publish_properties(const struct mqtt_publish *m)
{
	return m->user_name.p ? 1 + 2 + m->user_name.n + 2 + m->user_value.n : 0;
}

static uint64_t publish_body(enum mqtt_version v, const struct mqtt_publish *m)
{
	uint64_t n = 2 + (uint64_t)m->topic.n + (m->qos ? 2 : 0) + m->payload.n;

	if (v == MQTT_5)
		n += varint_size(publish_properties(m)) + publish_properties(m);
	return n;
}

uint64_t mqtt_publish_size(enum mqtt_version v, const struct mqtt_publish *m)
{
	uint64_t body = publish_body(v, m);

	return 1 + varint_size(body) + body;
}

void mqtt_write_publish(struct buf *out, enum mqtt_version v, const struct mqtt_publish *m)
{
	assert(m->qos <= 1 && (m->qos == 0) == (m->id == 0) && !(m->dup && m->qos == 0));
	begin(out, MQTT_PUBLISH << 4 | (m->dup ? 8u : 0) | m->qos << 1 | (m->retain ? 1u : 0), publish_body(v, m));
	add_text(out, m->topic);
	if (m->qos)
		add_number(out, m->id, 2);
	if (v == MQTT_5) {
		add_varint(out, (uint32_t)publish_properties(m));
		if (m->user_name.p) {
			buf_addc(out, MQTT_P_USER);
			add_text(out, m->user_name);
			add_text(out, m->user_value);
		}
	}
	buf_add(out, m->payload.p, m->payload.n);
}

void mqtt_write_puback(struct buf *out, enum mqtt_version v, uint16_t id, unsigned reason)
{
	bool told = v == MQTT_5 && reason != MQTT_SUCCESS;

	begin(out, MQTT_PUBACK << 4, told ? 3 : 2);
	add_number(out, id, 2);
	if (told)
		buf_addc(out, (char)reason);
}

static struct mqtt_text text_of(const char *s)
{
	return (struct mqtt_text){ s, strlen(s) };
}

void mqtt_write_subscribe(struct buf *out, enum mqtt_version v, uint16_t id, const char *const *filters, unsigned n, unsigned qos, bool new_only)
{
	size_t body = 2 + (v == MQTT_5 ? 1u : 0);

	assert(n > 0 && id != 0);
	for (unsigned i = 0; i < n; i++)
		body += 2 + strlen(filters[i]) + 1;
	begin(out, MQTT_SUBSCRIBE << 4 | 2, body);
	add_number(out, id, 2);
	if (v == MQTT_5)
		buf_addc(out, 0);
	for (unsigned i = 0; i < n; i++) {
		add_text(out, text_of(filters[i]));
		buf_addc(out, (char)(qos | (v == MQTT_5 && new_only ? 1u << 4 : 0)));
	}
}

void mqtt_write_unsubscribe(struct buf *out, enum mqtt_version v, uint16_t id, const char *const *filters, unsigned n)
{
	size_t body = 2 + (v == MQTT_5 ? 1u : 0);

	assert(n > 0 && id != 0);
	for (unsigned i = 0; i < n; i++)
		body += 2 + strlen(filters[i]);
	begin(out, MQTT_UNSUBSCRIBE << 4 | 2, body);
	add_number(out, id, 2);
	if (v == MQTT_5)
		buf_addc(out, 0);
	for (unsigned i = 0; i < n; i++)
		add_text(out, text_of(filters[i]));
}

void mqtt_write_pingreq(struct buf *out)
{
	begin(out, MQTT_PINGREQ << 4, 0);
}

void mqtt_write_disconnect(struct buf *out, enum mqtt_version v, unsigned reason)
{
	bool told = v == MQTT_5 && reason != MQTT_SUCCESS;

	begin(out, MQTT_DISCONNECT << 4, told ? 1 : 0);
	if (told)
		buf_addc(out, (char)reason);
}
