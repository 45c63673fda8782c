/* Packets of MQTT 3.1.1 and 5 against bytes written down from the specifications, and what is no packet. */
#include "unit.h"

#include "base/topic.h"
#include "net/mqtt_packet.h"

/* "20 02 00 00" as bytes; 'text' stands for itself. Returns the number. */
static size_t bytes(const char *hex, char *out)
{
	size_t n = 0;

	while (*hex) {
		unsigned v;

		if (*hex == ' ') {
			hex++;
		} else if (*hex == '\'') {
			for (hex++; *hex != '\''; hex++)
				out[n++] = *hex;
			hex++;
		} else {
			assert_int_equal(sscanf(hex, "%2x", &v), 1);
			out[n++] = (char)v;
			hex += 2;
		}
	}
	return n;
}

/* Read from an allocation of exactly that size, so that a sanitizer sees one byte too many. */
static char *held;
static int read_hex(enum mqtt_version v, const char *hex, struct mqtt_packet *m, const char **why)
{
	char raw[4096];
	size_t n = bytes(hex, raw);

	free(held);
	held = malloc(n ? n : 1);
	memcpy(held, raw, n);
	*why = "";
	return mqtt_read(v, held, n, m, why);
}

static struct mqtt_packet good(enum mqtt_version v, const char *hex)
{
	struct mqtt_packet m;
	const char *why;

	if (read_hex(v, hex, &m, &why) != 0)
		fail_msg("%s: %s", hex, why);
	return m;
}

static int text_is(struct mqtt_text t, const char *s)
{
	return t.n == strlen(s) && memcmp(t.p, s, t.n) == 0;
}

static void test_connack(void **state)
{
	struct mqtt_packet m;

	(void)state;
	m = good(MQTT_311, "20 02 00 00");
	assert_int_equal(m.kind, MQTT_CONNACK);
	assert_int_equal(m.reason, MQTT_SUCCESS);
	assert_false(m.session_present);
	assert_true(good(MQTT_311, "20 02 01 00").session_present);
	assert_int_equal(good(MQTT_311, "20 02 00 01").reason, MQTT_UNSUPPORTED_VERSION);
	assert_int_equal(good(MQTT_311, "20 02 00 02").reason, MQTT_BAD_CLIENT_ID);
	assert_int_equal(good(MQTT_311, "20 02 00 03").reason, MQTT_UNAVAILABLE);
	assert_int_equal(good(MQTT_311, "20 02 00 04").reason, MQTT_BAD_CREDENTIALS);
	assert_int_equal(good(MQTT_311, "20 02 00 05").reason, MQTT_NOT_AUTHORIZED);
	assert_int_equal(good(MQTT_311, "20 02 00 09").reason, MQTT_REFUSAL);

	m = good(MQTT_5, "20 03 00 00 00");
	assert_int_equal(m.properties.given, 0);
	assert_int_equal(mqtt_number(&m.properties, MQTT_P_RECEIVE_MAXIMUM, 65535), 65535);
	m = good(MQTT_5, "20 26 01 00 23"
		" 21 00 14" " 27 00 10 00 00" " 22 00 0A" " 24 01" " 25 00" " 13 00 1E" " 11 00 00 0E 10" " 12 00 02 'ab'" " 26 00 01 'k' 00 01 'v'");
	assert_true(m.session_present);
	assert_int_equal(mqtt_number(&m.properties, MQTT_P_RECEIVE_MAXIMUM, 65535), 20);
	assert_int_equal(mqtt_number(&m.properties, MQTT_P_MAXIMUM_PACKET, 0), 1 << 20);
	assert_int_equal(mqtt_number(&m.properties, MQTT_P_TOPIC_ALIAS_MAXIMUM, 0), 10);
	assert_int_equal(mqtt_number(&m.properties, MQTT_P_MAXIMUM_QOS, 2), 1);
	assert_int_equal(mqtt_number(&m.properties, MQTT_P_RETAIN_AVAILABLE, 1), 0);
	assert_int_equal(mqtt_number(&m.properties, MQTT_P_SERVER_KEEP_ALIVE, 60), 30);
	assert_int_equal(mqtt_number(&m.properties, MQTT_P_SESSION_EXPIRY, 0), 3600);
	assert_true(text_is(m.properties.text[MQTT_P_ASSIGNED_ID], "ab"));
	m = good(MQTT_5, "20 08 00 87 05 1F 00 02 'no'");
	assert_int_equal(m.reason, MQTT_NOT_AUTHORIZED);
	assert_true(text_is(m.properties.text[MQTT_P_REASON], "no"));
	/* a server of 3.1.1 that is asked for 5 */
	assert_int_equal(good(MQTT_5, "20 02 00 01").reason, MQTT_UNSUPPORTED_VERSION);
}

static void test_publish(void **state)
{
	struct mqtt_packet m;
	struct mqtt_text name, value;
	size_t at = 0;

	(void)state;
	m = good(MQTT_311, "30 05 00 03 'a/b'");
	assert_int_equal(m.kind, MQTT_PUBLISH);
	assert_int_equal(m.qos, 0);
	assert_int_equal(m.id, 0);
	assert_true(text_is(m.topic, "a/b") && text_is(m.payload, ""));
	m = good(MQTT_311, "3B 0A 00 03 'a/b' 01 02 'xyz'");
	assert_true(m.dup && m.retain);
	assert_int_equal(m.qos, 1);
	assert_int_equal(m.id, 0x0102);
	assert_true(text_is(m.payload, "xyz"));
	m = good(MQTT_5, "32 1A 00 01 't' FF FF 13 01 01 02 00 00 00 05 26 00 01 'k' 00 01 'v' 26 00 00 00 00 '{'");
	assert_int_equal(m.id, 65535);
	assert_true(text_is(m.payload, "{"));
	assert_int_equal(mqtt_number(&m.properties, MQTT_P_MESSAGE_EXPIRY, 0), 5);
	assert_true(mqtt_user_property(&m.properties, &at, &name, &value));
	assert_true(text_is(name, "k") && text_is(value, "v"));
	assert_true(mqtt_user_property(&m.properties, &at, &name, &value));
	assert_true(text_is(name, "") && text_is(value, ""));
	assert_false(mqtt_user_property(&m.properties, &at, &name, &value));
	/* subscription identifiers may repeat, and are variable byte integers */
	m = good(MQTT_5, "32 0B 00 01 't' 00 01 05 0B 01 0B 80 01");
	assert_int_equal(mqtt_number(&m.properties, MQTT_P_SUBSCRIPTION_ID, 0), 128);
}

static void test_answers(void **state)
{
	struct mqtt_packet m;

	(void)state;
	m = good(MQTT_311, "40 02 12 34");
	assert_int_equal(m.kind, MQTT_PUBACK);
	assert_int_equal(m.id, 0x1234);
	assert_int_equal(m.reason, MQTT_SUCCESS);
	assert_int_equal(good(MQTT_5, "40 02 12 34").reason, MQTT_SUCCESS);
	assert_int_equal(good(MQTT_5, "40 03 12 34 97").reason, MQTT_QUOTA_EXCEEDED);
	m = good(MQTT_5, "40 09 12 34 87 05 1F 00 02 'no'");
	assert_int_equal(m.reason, MQTT_NOT_AUTHORIZED);
	assert_true(text_is(m.properties.text[MQTT_P_REASON], "no"));
	m = good(MQTT_311, "90 05 00 07 00 01 80");
	assert_int_equal(m.kind, MQTT_SUBACK);
	assert_true(m.id == 7 && m.codes.n == 3 && (unsigned char)m.codes.p[2] == 0x80);
	m = good(MQTT_5, "90 04 00 07 00 9E");
	assert_true(m.codes.n == 1 && (unsigned char)m.codes.p[0] == MQTT_NO_SHARED);
	assert_int_equal(good(MQTT_311, "B0 02 00 09").id, 9);
	assert_int_equal(good(MQTT_5, "B0 05 00 09 00 00 11").codes.n, 2);
	assert_int_equal(good(MQTT_311, "D0 00").kind, MQTT_PINGRESP);
	assert_int_equal(good(MQTT_5, "E0 00").reason, MQTT_SUCCESS);
	assert_int_equal(good(MQTT_5, "E0 01 8E").reason, MQTT_TAKEN_OVER);
	m = good(MQTT_5, "E0 07 8B 05 1C 00 02 'b:'");
	assert_true(m.reason == MQTT_SHUTTING_DOWN && text_is(m.properties.text[MQTT_P_SERVER_REFERENCE], "b:"));
}

static void test_faults(void **state)
{
	static const struct { enum mqtt_version v; const char *hex, *why; } bad[] = {
		{ MQTT_311, "", "another length" }, { MQTT_311, "20", "another length" }, { MQTT_311, "20 02 00", "another length" },
		{ MQTT_311, "20 02 00 00 00", "another length" }, { MQTT_311, "20 03 00 00 00", "behind its end" },
		{ MQTT_311, "20 01 00", "middle of a number" }, { MQTT_311, "20 02 02 00", "reserved" }, { MQTT_311, "21 02 00 00", "reserved" },
		{ MQTT_311, "20 02 01 05", "speaks of a session" }, { MQTT_5, "20 02 00 00", "length is not written" },
		{ MQTT_311, "20 82 00 00 00", "length is not written" }, { MQTT_311, "30 FF FF FF FF 01", "length is not written" },
		{ MQTT_311, "00 00", "does not send" }, { MQTT_311, "10 00", "does not send" }, { MQTT_311, "50 02 00 01", "does not send" },
		{ MQTT_311, "62 02 00 01", "does not send" }, { MQTT_311, "82 02 00 01", "does not send" }, { MQTT_311, "C0 00", "does not send" },
		{ MQTT_5, "F0 00", "does not send" },
		{ MQTT_311, "D0 01 00", "behind its end" }, { MQTT_311, "E0 00", "3.1.1" },
		/* PUBLISH */
		{ MQTT_311, "30 00", "middle of a number" }, { MQTT_311, "30 02 00 00", "topic is none" }, { MQTT_311, "30 03 00 01 '+'", "topic is none" },
		{ MQTT_311, "30 05 00 03 'a/#'", "topic is none" }, { MQTT_311, "30 03 00 02 'a'", "longer than the packet" },
		{ MQTT_311, "30 03 00 01 00", "UTF-8" }, { MQTT_311, "30 05 00 03 ED A0 80", "UTF-8" }, { MQTT_311, "30 04 00 02 C0 80", "UTF-8" },
		{ MQTT_311, "34 05 00 01 't' 00 01", "QoS 2" }, { MQTT_311, "36 05 00 01 't' 00 01", "QoS 2" }, { MQTT_311, "38 03 00 01 't'", "repetition" },
		{ MQTT_311, "32 05 00 01 't' 00 00", "without a packet id" }, { MQTT_311, "32 03 00 01 't'", "middle of a number" },
		{ MQTT_5, "32 05 00 01 't' 00 01", "length is not written" }, { MQTT_5, "32 06 00 01 't' 00 01 05", "longer than the packet" },
		{ MQTT_5, "32 08 00 01 't' 00 01 02 01 02", "0 or 1" }, { MQTT_5, "32 0A 00 01 't' 00 01 04 01 00 01 00", "twice" },
		{ MQTT_5, "32 0A 00 01 't' 00 01 04 21 00 01 00", "does not have" }, { MQTT_5, "32 08 00 01 't' 00 01 02 7F 00", "does not have" },
		{ MQTT_5, "32 07 00 01 't' 00 01 01 02", "middle of a number" }, { MQTT_5, "32 09 00 01 't' 00 01 03 23 00 01", "alias" },
		{ MQTT_5, "32 09 00 00 00 01 03 23 00 01 'x'", "alias" }, { MQTT_5, "32 08 00 01 't' 00 01 02 0B 00", "must not be 0" },
		{ MQTT_5, "32 0B 00 01 't' 00 01 05 26 00 01 'k' 00", "middle of a number" }, { MQTT_5, "32 0B 00 01 't' 00 01 05 03 00 02 'a' 00", "UTF-8" },
		/* CONNACK's properties */
		{ MQTT_5, "20 06 00 00 03 21 00 00", "must not be 0" }, { MQTT_5, "20 08 00 00 05 27 00 00 00 00", "must not be 0" },
		{ MQTT_5, "20 05 00 00 02 24 02", "0 or 1" }, { MQTT_5, "20 05 00 00 02 01 01", "does not have" },
		{ MQTT_5, "20 04 00 00 00 00", "behind its end" }, { MQTT_5, "20 04 00 00 80 00", "length is not written" },
		/* answers */
		{ MQTT_311, "40 02 00 00", "id of 0" }, { MQTT_311, "40 03 00 01 00", "behind its end" }, { MQTT_311, "42 02 00 01", "reserved" },
		{ MQTT_5, "40 05 00 01 00 00 00", "behind its end" }, { MQTT_5, "40 07 00 01 00 03 11 00 00", "does not have" },
		{ MQTT_311, "90 02 00 01", "no filter" }, { MQTT_311, "90 03 00 01 03", "is none" }, { MQTT_5, "90 03 00 01 00", "no filter" },
		{ MQTT_311, "B0 03 00 01 00", "behind its end" }, { MQTT_5, "B0 02 00 01", "length is not written" },
	};
	struct mqtt_packet m;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (read_hex(bad[i].v, bad[i].hex, &m, &why) == 0 || !strstr(why, bad[i].why))
			fail_msg("%s: wanted '%s', told '%s'", bad[i].hex, bad[i].why, why);
}

/* The head of a frame is told as soon as it is there, and no sooner. */
static void test_frame(void **state)
{
	static const struct { const char *hex; int want; size_t head, body; } all[] = {
		{ "", 0, 0, 0 }, { "30", 0, 0, 0 }, { "30 80", 0, 0, 0 }, { "30 FF FF FF", 0, 0, 0 }, { "30 00", 1, 2, 0 }, { "30 7F", 1, 2, 127 },
		{ "30 80 01", 1, 3, 128 }, { "30 FF 7F", 1, 3, 16383 }, { "30 80 80 01", 1, 4, 16384 }, { "30 80 80 80 01", 1, 5, 2097152 },
		{ "30 FF FF FF 7F 00", 1, 5, 268435455 }, { "30 80 80 80 80", -1, 0, 0 }, { "30 80 00", -1, 0, 0 }, { "F0", -1, 0, 0 },
	};
	char raw[16];

	(void)state;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		size_t head = 0, body = 0;
		const char *why = "";

		assert_int_equal(mqtt_frame(raw, bytes(all[i].hex, raw), &head, &body, &why), all[i].want);
		assert_true(head == all[i].head && body == all[i].body);
	}
}

/* Of a message that is too large to be kept, the front is enough to know what to answer. */
static void test_part(void **state)
{
	char raw[64];
	size_t n = bytes("32 80 80 04 00 03 'a/b' 00 07 03 26 00 00", raw); /* its properties are cut */
	struct mqtt_packet m;
	const char *why;

	(void)state;
	assert_int_equal(mqtt_read_part(MQTT_5, raw, n, 4 + 65536, &m, &why), 0);
	n = bytes("32 80 80 04 00 03 'a/b' 00 07 00 '{\"x'", raw);
	for (size_t i = 4; i < n; i++)
		assert_int_equal(mqtt_read_part(MQTT_5, raw, i, 4 + 65536, &m, &why), i >= 12);
	assert_int_equal(mqtt_read_part(MQTT_5, raw, n, 4 + 65536, &m, &why), 1);
	assert_int_equal(m.id, 7);
	assert_true(text_is(m.topic, "a/b") && text_is(m.payload, "{\"x"));
	n = bytes("40 80 80 04 00 07", raw);
	assert_int_equal(mqtt_read_part(MQTT_5, raw, n, 4 + 65536, &m, &why), -1);
	/* one that is wrong, and not for want of bytes */
	assert_int_equal(mqtt_read_part(MQTT_311, raw, bytes("32 05 00 01 't' 00 00", raw), 7, &m, &why), -1);
}

static void test_topics(void **state)
{
	static const char *const names[] = { "a", "/", "a/b c/ä", "$SYS/x", "//" }, *const no_names[] = { "", "+", "a/#", "a+b", "\xFF" };
	static const char *const filters[] = { "#", "+", "a/+/b", "a/#", "/+", "+/+/#", "$share/g/a/+", "$share/g/#", "$SYS/#" };
	static const char *const no_filters[] = { "", "a#", "a/#/b", "a+", "+a", "##", "$share/g", "$share/g/", "$share//a", "$share/+/a", "$share/g/a#", "\xC0\x80" };
	static const struct { const char *filter, *topic; bool want; } pairs[] = {
		{ "a/b", "a/b", true }, { "a/b", "a/c", false }, { "a/+", "a/b", true }, { "a/+", "a/b/c", false }, { "a/+", "a", false }, { "a/+", "a/", true },
		{ "a/#", "a", true }, { "a/#", "a/b/c", true }, { "a/#", "ab", false }, { "#", "a/b", true }, { "#", "$SYS/a", false }, { "+/a", "$SYS/a", false },
		{ "$SYS/#", "$SYS/a", true }, { "+/+", "/a", true }, { "+", "/a", false }, { "/+", "/a", true }, { "$share/g/a/+", "a/b", true },
		{ "$share/g/a/+", "b/b", false }, { "a", "a/", false }, { "a/", "a", false }, { "+", "", true },
	};
	char many[MQTT_TEXT_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		assert_true(topic_is_name(names[i], strlen(names[i])));
	for (size_t i = 0; i < sizeof no_names / sizeof *no_names; i++)
		assert_false(topic_is_name(no_names[i], strlen(no_names[i])));
	assert_false(topic_is_name("a\0b", 3));
	memset(many, 'x', sizeof many);
	assert_true(topic_is_name(many, MQTT_TEXT_MAX));
	assert_false(topic_is_name(many, MQTT_TEXT_MAX + 1));
	for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
		if (!topic_is_filter(filters[i], strlen(filters[i])))
			fail_msg("%s", filters[i]);
	for (size_t i = 0; i < sizeof no_filters / sizeof *no_filters; i++)
		if (topic_is_filter(no_filters[i], strlen(no_filters[i])))
			fail_msg("%s", no_filters[i]);
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		if (topic_matches(pairs[i].filter, pairs[i].topic, strlen(pairs[i].topic)) != pairs[i].want)
			fail_msg("%s %s", pairs[i].filter, pairs[i].topic);
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------- */

static void wrote(struct buf *b, const char *hex)
{
	char raw[4096];
	size_t n = bytes(hex, raw);

	if (b->len != n || memcmp(b->p, raw, n) != 0) {
		for (size_t i = 0; i < b->len; i++)
			print_message("%02X ", (unsigned char)b->p[i]);
		fail_msg("%s", hex);
	}
	buf_clear(b);
}

#define T(s) { s, sizeof(s) - 1 }

static void test_writing(void **state)
{
	static const char *const filters[] = { "a/+", "#" };
	struct buf b = BUF_INIT;

	(void)state;
	mqtt_write_connect(&b, &(struct mqtt_connect){ .version = MQTT_311, .client_id = T("me"), .clean = true, .keep_alive = 60 });
	wrote(&b, "10 0E 00 04 'MQTT' 04 02 00 3C 00 02 'me'");
	mqtt_write_connect(&b, &(struct mqtt_connect){ .version = MQTT_311, .client_id = T(""), .username = T("u"), .password = T("pw"), .keep_alive = 258 });
	wrote(&b, "10 13 00 04 'MQTT' 04 C0 01 02 00 00 00 01 'u' 00 02 'pw'");
	mqtt_write_connect(&b, &(struct mqtt_connect){ .version = MQTT_5, .client_id = T("me"), .username = T("u"), .session_expiry = UINT32_MAX,
		.receive_maximum = 20, .maximum_packet = 65536 });
	wrote(&b, "10 1F 00 04 'MQTT' 05 80 00 00 0D 11 FF FF FF FF 21 00 14 27 00 01 00 00 00 02 'me' 00 01 'u'");
	mqtt_write_connect(&b, &(struct mqtt_connect){ .version = MQTT_5, .client_id = T("me"), .password = T("p"), .clean = true });
	wrote(&b, "10 12 00 04 'MQTT' 05 42 00 00 00 00 02 'me' 00 01 'p'");

	mqtt_write_puback(&b, MQTT_311, 0x1234, MQTT_REFUSAL);
	wrote(&b, "40 02 12 34");
	mqtt_write_puback(&b, MQTT_5, 0x1234, MQTT_SUCCESS);
	wrote(&b, "40 02 12 34");
	mqtt_write_puback(&b, MQTT_5, 0x1234, MQTT_BAD_PAYLOAD);
	wrote(&b, "40 03 12 34 99");
	mqtt_write_subscribe(&b, MQTT_311, 1, filters, 2, 1, true);
	wrote(&b, "82 0C 00 01 00 03 'a/+' 01 00 01 '#' 01");
	mqtt_write_subscribe(&b, MQTT_5, 1, filters, 2, 1, true);
	wrote(&b, "82 0D 00 01 00 00 03 'a/+' 11 00 01 '#' 11");
	mqtt_write_unsubscribe(&b, MQTT_311, 2, filters, 2);
	wrote(&b, "A2 0A 00 02 00 03 'a/+' 00 01 '#'");
	mqtt_write_unsubscribe(&b, MQTT_5, 2, filters, 1);
	wrote(&b, "A2 08 00 02 00 00 03 'a/+'");
	mqtt_write_pingreq(&b);
	wrote(&b, "C0 00");
	mqtt_write_disconnect(&b, MQTT_311, MQTT_PROTOCOL_ERROR);
	wrote(&b, "E0 00");
	mqtt_write_disconnect(&b, MQTT_5, MQTT_SUCCESS);
	wrote(&b, "E0 00");
	mqtt_write_disconnect(&b, MQTT_5, MQTT_PROTOCOL_ERROR);
	wrote(&b, "E0 01 82");
	buf_fini(&b);
}

/* A message reads as it was written, at every length at which the length's own length changes. */
static void test_publish_round(void **state)
{
	static const size_t sizes[] = { 0, 1, 110, 111, 112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 16370, 16371, 16372,
		16373, 16374, 16375, 16376, 16377, 16378, 16379, 16380, 2097140, 2097150 };
	char *payload = malloc(3 << 20);
	struct buf b = BUF_INIT;

	(void)state;
	memset(payload, 'x', 3 << 20);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes * 4; i++) {
		struct mqtt_publish w = { .topic = T("a/b"), .payload = { payload, sizes[i / 4] }, .qos = i & 1, .id = i & 1 ? 258 : 0, .retain = true };
		enum mqtt_version v = i & 2 ? MQTT_5 : MQTT_311;
		struct mqtt_text name, value;
		struct mqtt_packet m;
		const char *why = "";
		size_t at = 0;

		if (v == MQTT_5) {
			w.user_name = (struct mqtt_text)T("id");
			w.user_value = (struct mqtt_text)T("17");
		}
		buf_clear(&b);
		mqtt_write_publish(&b, v, &w);
		assert_int_equal(b.len, mqtt_publish_size(v, &w));
		if (mqtt_read(v, b.p, b.len, &m, &why) != 0)
			fail_msg("%s", why);
		assert_true(text_is(m.topic, "a/b") && m.payload.n == sizes[i / 4] && m.qos == w.qos && m.id == w.id && m.retain && !m.dup);
		assert_int_equal(mqtt_user_property(&m.properties, &at, &name, &value), v == MQTT_5);
		assert_true(v == MQTT_311 || (text_is(name, "id") && text_is(value, "17")));
	}
	buf_fini(&b);
	free(payload);
	free(held);
	held = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connack),
		cmocka_unit_test(test_publish),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_frame),
		cmocka_unit_test(test_part),
		cmocka_unit_test(test_topics),
		cmocka_unit_test(test_writing),
		cmocka_unit_test(test_publish_round),
	};

	return cmocka_run_group_tests_name("mqtt_packet", tests, NULL, NULL);
}
