/* Adapters on one worker: what one of them hoards, and what many connections keep, harms no other. */
#define KIT_SCRIPT_US 2000000 /* this is about memory */
#include "transforms_kit.h"

#define DECODER "return {decode = function(bytes, ctx)\n" \
	"if bytes == 'size' then return {{n = #(ctx.conn.kept or '')}, used = #bytes} end\n" \
	"if bytes == 'nested' then ctx.conn.me = ctx.conn ctx.conn.too = {ctx.conn, ctx.conn} return {used = #bytes} end\n" \
	"ctx.conn.kept = ('x'):rep(tonumber(bytes) - 10) .. ctx.now return {used = #bytes} end}"

struct two { struct kit k; struct rendering renderings[2]; struct step step[2]; struct stream streams[2]; struct channel channel; };

static void two_open(struct two *t, const char *first, const char *second)
{
	memset(t, 0, sizeof(*t));
	kit_begin(&t->k);
	kit_file(&t->k, "first", first);
	kit_file(&t->k, "second", second);
	for (int i = 0; i < 2; i++) {
		t->step[i].adapter = i ? "second" : "first";
		t->renderings[i] = (struct rendering){ .ix = (unsigned)i, .steps = &t->step[i], .nsteps = 1 };
		t->streams[i] = (struct stream){ .name = t->step[i].adapter, .rendering = &t->renderings[i] };
	}
	t->k.plan.renderings = t->renderings;
	t->k.plan.nrenderings = 2;
	t->k.plan.streams = t->streams;
	t->k.plan.nstreams = 2;
	kit_steps(&t->k, (const char *const[]){ NULL });
}

static enum render_result send_to(struct two *t, int i, const char *json)
{
	struct message m;
	const char *stop;

	buf_clear(&t->k.input);
	buf_adds(&t->k.input, json);
	buf_reserve(&t->k.input, MESSAGE_PAD);
	assert_int_equal(message_index(&t->k.index, t->k.input.p, t->k.input.p + t->k.input.len, &m, &stop), JSON_OK);
	t->k.why[0] = '\0';
	return scripts_render(t->k.s, &t->renderings[i], &m, &t->k.call, &t->k.rows, t->k.why, sizeof(t->k.why));
}

static void test_a_hoarder_harms_itself_alone(void **state)
{
	(void)state;
	struct two t;
	int sent = 0;

	two_open(&t, "local last = {}\nreturn {transform = function(msg) last[#last + 1] = ('x'):rep(20000) .. #last return msg end}",
		"return {transform = function(msg) local big = {} for i = 1, 20 do big[i] = ('y'):rep(100000 + i) end return {count = #big} end}");
	while (send_to(&t, 0, "{\"a\":1}") == RENDER_OK)
		assert_true(++sent < 2000);
	assert_true(sent > 100);
	if (!strstr(t.k.why, "too much memory") || !strstr(t.k.why, "held by what the file keeps in its variables"))
		fail_msg("%s", t.k.why);
	for (int i = 0; !strstr(t.k.why, "suspended"); i++) {
		assert_true(i < 100);
		if (send_to(&t, 1, "{\"a\":1}") != RENDER_OK)
			fail_msg("the neighbour: %s", t.k.why);
		send_to(&t, 0, "{\"a\":1}");
	}
	assert_int_equal(send_to(&t, 1, "{\"a\":1}"), RENDER_OK);
	kit_close(&t.k);
}

/* ---- connections ---------------------------------------------------------------------------------------------------------- */

static void decoder_open(struct two *t, const char *name, const char *text)
{
	memset(t, 0, sizeof(*t));
	kit_begin(&t->k);
	t->k.plan.nrenderings = 0;
	kit_file(&t->k, name, text);
	t->channel = (struct channel){ .name = "door", .format = name };
	t->k.plan.channels = &t->channel;
	t->k.plan.nchannels = 1;
	kit_steps(&t->k, (const char *const[]){ NULL });
}

static int say(struct two *t, const char *bytes, int *conn, struct decoded *d)
{
	struct arrival in = { .now_us = 5000000, .conn = conn };

	t->k.why[0] = '\0';
	return scripts_decode(t->k.s, &t->channel, &in, bytes, strlen(bytes), d, t->k.why, sizeof(t->k.why));
}

static void test_connections_have_a_bound_each_and_none_together(void **state)
{
	(void)state;
	enum { CONNS = 1000 };
	static int conns[CONNS];
	struct two t;
	struct decoded d;

	memset(conns, 0, sizeof(conns));
	decoder_open(&t, "gps", DECODER);
	decoded_init(&d);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < CONNS; i++)
			if (say(&t, "60000", &conns[i], &d) < 0)
				fail_msg("connection %d: %s", i, t.k.why);
		if (round < 2)
			for (int i = 0; i < CONNS; i++) {
				scripts_conn_end(t.k.s, conns[i]);
				conns[i] = 0;
			}
	}
	assert_int_equal(say(&t, "70000", &conns[0], &d), -1);
	assert_non_null(strstr(t.k.why, "ctx.conn holds more than 65536 bytes"));
	assert_int_equal(say(&t, "size", &conns[0], &d), 0); /* it begins anew */
	assert_string_equal(d.messages.bytes.p, "{\"n\":0}");
	assert_int_equal(say(&t, "nested", &conns[1], &d), -1);
	assert_non_null(strstr(t.k.why, "ctx.conn holds more than"));
	assert_int_equal(say(&t, "size", &conns[2], &d), 0);
	assert_int_equal(strncmp(d.messages.bytes.p, "{\"n\":599", 8), 0);
	decoded_fini(&d);
	kit_close(&t.k);
}

/* As many as fit into no heap are carried over to the states of the next plan; also where the adapter's file was renamed. */
static void test_connections_outlive_a_reload(void **state)
{
	(void)state;
	enum { CONNS = 600 };
	static int conns[CONNS];
	struct two t;
	struct decoded d;
	static const char *const names[] = { "gps", "gps2" };

	memset(conns, 0, sizeof(conns));
	decoder_open(&t, "gps", DECODER);
	decoded_init(&d);
	for (int i = 0; i < CONNS; i++)
		assert_int_equal(say(&t, "60000", &conns[i], &d), 0);
	kit_file(&t.k, "gps2", DECODER);
	for (int reload = 0; reload < 2; reload++) {
		const char *dirs[] = { t.k.dir };
		struct scripts *old = t.k.s;
		struct adapters *a = adapters_open(dirs, 1, t.k.d);
		t.channel.format = names[reload];
		t.k.s = scripts_new(a, &t.k.plan, t.k.why, sizeof(t.k.why));
		assert_non_null(t.k.s);
		scripts_take_conns(t.k.s, old);
		scripts_free(old);
		adapters_free(t.k.a);
		t.k.a = a;
		for (int i = 0; i < CONNS; i++) {
			assert_int_equal(say(&t, "size", &conns[i], &d), 0);
			assert_int_equal(strncmp(d.messages.bytes.p, "{\"n\":599", 8), 0);
		}
		int fresh = 0;
		assert_int_equal(say(&t, "100", &fresh, &d), 0);
		assert_int_equal(fresh, CONNS + 1 + reload);
	}
	decoded_fini(&d);
	kit_close(&t.k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_hoarder_harms_itself_alone),
		cmocka_unit_test(test_connections_have_a_bound_each_and_none_together),
		cmocka_unit_test(test_connections_outlive_a_reload),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
