/* An MQTT connection against a far end that says what it is told to: what is sent, what is heard, and every way in which it ends. */
#include "mqtt_client_kit.h"

/* ---- connecting -------------------------------------------------------------------------------------------------------------- */

static void test_granted(void **state)
{
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_5);

	s.connect.clean = false;
	s.connect.session_expiry = 100;
	s.connect.receive_maximum = 10;
	s.connect.keep_alive = 60;
	s.window = 100;
	begin(h, &s);
	far_expect(&h->far, "10 17 00 04 'MQTT' 05 00 00 3C 08 11 00 00 00 64 21 00 0A 00 02 'me'");
	assert_false(mqtt_client_has_room(h->c));
	far_say(&h->far, "20 12 01 00 0F 21 00 14 27 00 00 04 00 25 00 11 00 00 00 32");
	far_until(&h->far, h->connected);
	assert_true(h->granted.session_present && !h->granted.retain && h->granted.shared);
	assert_int_equal(h->granted.window, 20);
	assert_int_equal(h->granted.packet_max, 1024);
	assert_int_equal(h->granted.session_expiry, 50);
	assert_int_equal(h->granted.keep_alive, 60);
	assert_int_equal(h->granted.qos, 2);
	assert_true(mqtt_client_has_room(h->c));
	mqtt_client_finish(h->c, MQTT_SUCCESS);
	far_expect(&h->far, "E0 00");
	far_hang_up(&h->far);
	far_until(&h->far, h->ended);
	assert_int_equal(h->end.how, MQTT_CLOSED);
}

static void test_refused(void **state)
{
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_5);

	begin(h, &s);
	far_say(&h->far, "20 08 00 86 05 1F 00 02 'no'");
	far_until(&h->far, h->ended);
	assert_true(h->end.how == MQTT_REFUSED && h->end.reason == MQTT_BAD_CREDENTIALS && !h->end.was_connected);
	assert_string_equal(h->why, "the server refuses us: bad user name or password: no");
}

static void test_closed_before_taken(void **state)
{
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_311);

	begin(h, &s);
	far_until(&h->far, h->far.got.len > 0);
	shutdown(h->far.fd, SHUT_RDWR);
	far_until(&h->far, h->ended);
	assert_true(h->end.how == MQTT_CLOSED && !h->end.was_connected && !h->end.absent);
}

static void test_nobody_there(void **state)
{
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_311);

	close(h->far.listening);
	begin(h, &s);
	h->far.listening = open("/dev/null", O_RDONLY | O_CLOEXEC);
	far_until(&h->far, h->ended);
	assert_true(h->end.how == MQTT_UNREACHABLE && h->end.absent);
}

static void test_silent_at_first(void **state)
{
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_311);

	s.timeout_us = 50000;
	begin(h, &s);
	far_until(&h->far, h->ended);
	assert_int_equal(h->end.how, MQTT_UNREACHABLE);
}

/* ---- our messages -------------------------------------------------------------------------------------------------------------- */

static void test_acks_in_any_order(void **state)
{
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_5);

	begin_taken(h, &s, "20 06 00 00 03 21 00 03");
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(mqtt_client_has_room(h->c));
		publish(h, 100 + i);
	}
	assert_false(mqtt_client_has_room(h->c)); /* the server allows three */
	far_expect(&h->far, "32 07 00 01 't' 00 01 00 'x' 32 07 00 01 't' 00 02 00 'x' 32 07 00 01 't' 00 03 00 'x'");
	far_say(&h->far, "40 02 00 03 40 08 00 01 97 04 1F 00 01 '!' 40 02 00 09");
	far_until(&h->far, h->nacked == 2);
	assert_true(h->acked[0] == 102 && h->reasons[0] == MQTT_SUCCESS && h->acked[1] == 100 && h->reasons[1] == MQTT_QUOTA_EXCEEDED);
	assert_string_equal(h->words, "!");
	assert_int_equal(mqtt_client_in_flight(h->c), 1);
	assert_int_equal(h->rooms, 1); /* once for both */
	far_say(&h->far, "40 02 00 03 40 02 00 02"); /* the first says it again */
	far_until(&h->far, h->nacked == 3);
	assert_int_equal(h->acked[2], 101);
	assert_int_equal(mqtt_client_in_flight(h->c), 0);
}

/* Ids go round, never 0, and never one that is in flight; an answer to an earlier round finds nothing. */
static void test_ids_go_round(void **state)
{
	enum { MANY = 900 };
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_311);
	unsigned last = 1, rounds = 0;
	bool round = false;

	s.window = MANY + 1;
	begin_taken(h, &s, "20 02 00 00");
	publish(h, 7); /* id 1 stays in flight */
	far_expect(&h->far, "32 06 00 01 't' 00 01 'x'");
	for (; rounds < 66000 / MANY + 2; rounds++) {
		char acks[MANY][4];

		for (uint32_t i = 0; i < MANY; i++)
			publish(h, i);
		assert_false(mqtt_client_has_room(h->c));
		far_until(&h->far, h->far.got.len == MANY * 8);
		for (unsigned i = 0; i < MANY; i++) {
			const unsigned char *p = (const unsigned char *)h->far.got.p + 8 * i;
			unsigned id = (unsigned)p[5] << 8 | p[6];

			assert_true(id > 1 && (id > last || (last > 65000 && !round)));
			round |= id < last;
			last = id;
			memcpy(acks[MANY - 1 - i], (char[]){ 0x40, 2, (char)(id >> 8), (char)id }, 4);
		}
		buf_clear(&h->far.got);
		far_say_raw(&h->far, acks[0], sizeof acks);
		far_until(&h->far, h->nacked == MANY * (rounds + 1));
	}
	assert_true(round);
	assert_int_equal(mqtt_client_in_flight(h->c), 1);
	far_say(&h->far, "40 02 00 01");
	far_until(&h->far, h->nacked == MANY * rounds + 1);
}

static void test_pong_after_what_was_written(void **state)
{
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_311);

	begin_taken(h, &s, "20 02 00 00");
	mqtt_client_publish(h->c, &(struct mqtt_publish){ .topic = T("t"), .payload = T("x"), .retain = true }, 0);
	mqtt_client_ping(h->c);
	far_expect(&h->far, "31 04 00 01 't' 'x' C0 00");
	far_say(&h->far, "D0 00");
	far_until(&h->far, h->pongs == 1);
}

/* ---- time ------------------------------------------------------------------------------------------------------------------------ */

/* The server's keep alive counts; an answer keeps the connection, silence ends it. */
static void test_keep_alive(void **state)
{
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_5);
	int64_t from;

	s.connect.keep_alive = 600;
	s.timeout_us = 200000 * UNIT_PATIENCE;
	begin_taken(h, &s, "20 06 00 00 03 13 00 01");
	from = clock_mono_us();
	publish(h, 1);
	far_expect(&h->far, "32 07 00 01 't' 00 01 00 'x'");
	far_say(&h->far, "40 02 00 01");
	far_expect(&h->far, "C0 00");
	/* never longer than was promised after what was written last, which was at the very beginning */
	assert_true(clock_mono_us() - from > 370000 && clock_mono_us() - from < 1000000 * UNIT_PATIENCE);
	far_say(&h->far, "D0 00");
	far_expect(&h->far, "C0 00");
	assert_int_equal(h->ended, 0);
	far_until(&h->far, h->ended);
	assert_true(h->end.how == MQTT_SILENT && h->end.was_connected);
}

/* ---- their messages ----------------------------------------------------------------------------------------------------------------- */

static void test_messages(void **state)
{
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_311);
	static const char *const filters[] = { "a/#", "b" };

	begin_taken(h, &s, "20 02 00 00");
	mqtt_client_subscribe(h->c, filters, 2, 1, false);
	far_expect(&h->far, "82 0C 00 01 00 03 'a/#' 01 00 01 'b' 01");
	far_say(&h->far, "90 04 00 01 01 80 3B 08 00 03 'a/b' 00 07 '1' 30 06 00 03 'a/c' '2'");
	far_until(&h->far, h->narrived == 2);
	assert_true(h->ncodes == 2 && h->codes[0] == 1 && h->codes[1] == 0x80);
	assert_string_equal(h->arrived[0].topic, "a/b");
	assert_true(h->arrived[0].id == 7 && h->arrived[0].dup && h->arrived[0].retain && h->arrived[1].id == 0);
	assert_string_equal(h->arrived[1].first, "2");
	assert_int_equal(h->far.got.len, 0); /* nothing is acknowledged by itself */
	mqtt_client_ack(h->c, 7, MQTT_SUCCESS);
	far_expect(&h->far, "40 02 00 07");
	mqtt_client_unsubscribe(h->c, filters, 1);
	far_expect(&h->far, "A2 07 00 02 00 03 'a/#'");
}

/* Hundreds of filters, one a packet, and none of them answered yet. */
static void test_many_filters(void **state)
{
	enum { MANY = 1500 };
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_311);
	static const char *const filters[] = { "a/#" };

	s.others = MANY;
	begin_taken(h, &s, "20 02 00 00");
	for (unsigned i = 0; i < MANY; i++)
		mqtt_client_unsubscribe(h->c, filters, 1);
	far_until(&h->far, h->far.got.len == MANY * 9);
	assert_memory_equal(h->far.got.p + 9 * (MANY - 1) + 2, "\x05\xDC", 2);
}

static void test_subscription_answered_wrongly(void **state)
{
	static const char *const says[] = { "90 04 00 01 00 01", "90 06 00 01 00 01 01 01", "B0 04 00 01 00 00", "90 05 00 02 00 01 01", "" };
	static const char *const filters[] = { "a/#", "b" };
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_5);

	for (unsigned i = 0; i < sizeof says / sizeof *says; i++) {
		bool ignored = i >= 2; /* of another packet, or none at all: then the time is up */

		s.timeout_us = ignored ? 100000 * UNIT_PATIENCE : 20000000;
		begin_taken(h, &s, "20 03 00 00 00");
		mqtt_client_subscribe(h->c, filters, 2, 1, false);
		far_say(&h->far, says[i]);
		far_until(&h->far, h->ended);
		assert_non_null(strstr(h->why, ignored ? "no answer to a subscription" : "another number of subscriptions"));
		assert_int_equal(h->end.how, ignored ? MQTT_SILENT : MQTT_BROKEN);
		assert_int_equal(h->ncodes, 0);
		mqtt_client_free(h->c);
		h->c = NULL;
		far_hang_up(&h->far);
		buf_clear(&h->far.got);
		h->ended = h->connected = 0;
	}
}

/* 3.1.1 has no words for such a bound, and not every server of MQTT 5 keeps to it: what is beyond it waits, and what is no message does not. */
static void bounded(struct heard *h, enum mqtt_version version, const char *connack, const char *many, const char *another)
{
	struct mqtt_client_settings s = settings(version);

	s.connect.receive_maximum = 2;
	begin_taken(h, &s, connack);
	far_say(&h->far, many);
	far_until(&h->far, h->narrived == 2);
	mqtt_client_ping(h->c);
	far_expect(&h->far, "C0 00");
	far_say(&h->far, another);
	for (int i = 0; i < 10; i++)
		far_turn(&h->far);
	assert_int_equal(h->narrived, 2);
	mqtt_client_ack(h->c, 1, MQTT_SUCCESS);
	far_until(&h->far, h->narrived == 3);
	for (int i = 0; i < 10; i++)
		far_turn(&h->far);
	assert_int_equal(h->narrived, 3);
	mqtt_client_ack(h->c, 2, MQTT_SUCCESS);
	mqtt_client_ack(h->c, 3, MQTT_SUCCESS);
	far_until(&h->far, h->narrived == 4);
	assert_false(h->ended);
}

static void test_bounded_in_311(void **state)
{
	bounded(*state, MQTT_311, "20 02 00 00", "32 05 00 01 't' 00 01 32 05 00 01 't' 00 02 32 05 00 01 't' 00 03", "32 05 00 01 't' 00 04 D0 00");
}

static void test_bounded_in_5(void **state)
{
	bounded(*state, MQTT_5, "20 03 00 00 00", "32 06 00 01 't' 00 01 00 32 06 00 01 't' 00 02 00 32 06 00 01 't' 00 03 00", "32 06 00 01 't' 00 04 00 D0 00");
}

/* What needs no acknowledgement is read also when no more of those may come. */
static void test_bounded_and_heard(void **state)
{
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_5);

	s.connect.receive_maximum = 1;
	begin_taken(h, &s, "20 03 00 00 00");
	far_say(&h->far, "32 06 00 01 't' 00 01 00 30 04 00 01 't' 00");
	far_until(&h->far, h->narrived == 2);
	far_say(&h->far, "E0 01 8B");
	far_until(&h->far, h->ended);
	assert_int_equal(h->end.reason, 0x8B);
}

static void test_hold(void **state)
{
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_5);

	begin_taken(h, &s, "20 03 00 00 00");
	mqtt_client_hold(h->c, true);
	far_say(&h->far, "32 06 00 01 't' 00 01 00");
	for (int i = 0; i < 10; i++)
		far_turn(&h->far);
	assert_int_equal(h->narrived, 0);
	mqtt_client_hold(h->c, false);
	far_until(&h->far, h->narrived == 1);
}

/* One that is larger than may be kept comes with its front, in whatever pieces, and the next one is whole. */
static void test_too_large(void **state)
{
	static const size_t steps[] = { 1, 3, 1000, 100000, 1 << 20 };
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_5);
	struct buf b = BUF_INIT;
	char *payload = malloc(300000);
	size_t whole;

	s.message_max = 1000;
	memset(payload, 'x', 300000);
	mqtt_write_publish(&b, MQTT_5, &(struct mqtt_publish){ .topic = T("a/b"), .payload = { payload, 300000 }, .qos = 1, .id = 5 });
	whole = b.len;
	mqtt_write_publish(&b, MQTT_5, &(struct mqtt_publish){ .topic = T("a/c"), .payload = T("next"), .qos = 1, .id = 6 });
	begin_taken(h, &s, "20 03 00 00 00");
	for (unsigned k = 0; k < 5; k++) {
		for (size_t i = 0; i < b.len; i += steps[k]) {
			far_say_raw(&h->far, b.p + i, b.len - i < steps[k] ? b.len - i : steps[k]);
			if (i < 100 || steps[k] > 1000)
				far_turn(&h->far);
		}
		far_until(&h->far, h->narrived == 2 * (k + 1));
		assert_true(h->arrived[2 * k].cut && h->arrived[2 * k].whole == whole && h->arrived[2 * k].id == 5 && h->arrived[2 * k].n <= 65536);
		assert_string_equal(h->arrived[2 * k].topic, "a/b");
		assert_true(!h->arrived[2 * k + 1].cut && h->arrived[2 * k + 1].id == 6);
		assert_string_equal(h->arrived[2 * k + 1].first, "next");
		mqtt_client_ack(h->c, 5, MQTT_SUCCESS);
		mqtt_client_ack(h->c, 6, MQTT_SUCCESS);
	}
	free(payload);
	buf_fini(&b);
}

/* ---- the end ------------------------------------------------------------------------------------------------------------------------- */

static void test_goodbye(void **state)
{
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_5);

	begin_taken(h, &s, "20 03 00 00 00");
	far_say(&h->far, "E0 01 8E");
	far_until(&h->far, h->ended);
	assert_true(h->end.how == MQTT_DISCONNECTED && h->end.reason == MQTT_TAKEN_OVER && h->end.was_connected);
}

static void test_cut(void **state)
{
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_311);

	begin_taken(h, &s, "20 02 00 00");
	setsockopt(h->far.fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	far_hang_up(&h->far);
	far_until(&h->far, h->ended);
	assert_true(h->end.how == MQTT_CUT && h->end.was_connected);
}

static void test_not_mqtt(void **state)
{
	static const struct { bool taken; const char *say, *answer; } all[] = {
		{ false, "'HTTP/1.1 400'", "" }, { false, "40 02 00 01", "" }, { true, "20 03 00 00 00", "E0 01 82" }, { true, "F0 00", "E0 01 81" },
		{ true, "32 04 00 01 't' 00", "E0 01 81" }, { true, "90 FF FF 7F", "E0 01 95" }, { true, "30 80 80 80 80", "E0 01 81" },
		{ false, "20 03 01 00 00", "" }, { true, "34 06 00 01 't' 00 01 00", "E0 01 81" }, { true, "30 04 00 01 00 00", "E0 01 81" },
		{ true, "30 05 00 02 C3 28 00", "E0 01 81" }, { true, "32 09 00 01 't' 00 01 03 23 00 05", "E0 01 81" }, { true, "62 02 00 01", "E0 01 81" },
	};
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_5);

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		if (all[i].taken)
			begin_taken(h, &s, "20 03 00 00 00");
		else
			begin(h, &s);
		far_say(&h->far, all[i].say);
		far_until(&h->far, h->ended);
		if (h->end.how != MQTT_BROKEN)
			fail_msg("%s: %d %s", all[i].say, h->end.how, h->why);
		if (*all[i].answer)
			far_expect(&h->far, all[i].answer);
		mqtt_client_free(h->c);
		h->c = NULL;
		far_hang_up(&h->far);
		buf_clear(&h->far.got);
		h->ended = h->connected = 0;
	}
}

static void test_freed_in_callback(void **state)
{
	struct heard *h = *state;
	struct mqtt_client_settings s = settings(MQTT_5);

	for (int in = IN_CONNECTED; in <= IN_ENDED; in++) {
		h->free_in = in;
		begin_taken(h, &s, "20 03 00 00 00");
		if (h->c)
			publish(h, 1);
		far_say(&h->far, "40 02 00 01 40 02 00 01 32 06 00 01 't' 00 01 00 32 06 00 01 't' 00 02 00 E0 00");
		far_until(&h->far, !h->c);
		far_turn(&h->far);
		far_hang_up(&h->far);
		buf_clear(&h->far.got);
		h->connected = 0;
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_granted),
		TEST(test_refused),
		TEST(test_closed_before_taken),
		TEST(test_nobody_there),
		TEST(test_silent_at_first),
		TEST(test_acks_in_any_order),
		TEST(test_ids_go_round),
		TEST(test_pong_after_what_was_written),
		TEST(test_keep_alive),
		TEST(test_messages),
		TEST(test_many_filters),
		TEST(test_subscription_answered_wrongly),
		TEST(test_bounded_in_311),
		TEST(test_bounded_in_5),
		TEST(test_bounded_and_heard),
		TEST(test_hold),
		TEST(test_too_large),
		TEST(test_goodbye),
		TEST(test_cut),
		TEST(test_not_mqtt),
		TEST(test_freed_in_callback),
	};

	return cmocka_run_group_tests_name("mqtt_client", tests, NULL, NULL);
}
