/* The message as a script sees it, and what becomes of what it returns. */
#define KIT_SCRIPT_US 2000000

#include "transforms_kit.h"

static void test_untouched_message_keeps_its_bytes(void **state)
{
	(void)state;
	const char *m = "{ \"b\" :1.0,\"a\":9007199254740993, \"big\":18446744073709551615,\"n\":null,\"e\":[],\"o\":{},\"l\":[1,null,3],\"x\":1e3}";
	kit_expect("return msg", m, m);
}

static void test_untouched_values_keep_their_bytes_and_order(void **state)
{
	(void)state;
	kit_expect("msg.new = 1 return msg", "{\"z\":1.00,\"a\":18446744073709551615,\"n\":null,\"e\":[],\"o\":{ \"q\":1 }}",
		"{\"z\":1.00,\"a\":18446744073709551615,\"n\":null,\"e\":[],\"o\":{ \"q\":1 },\"new\":1}");
	kit_expect("msg.b = 'x' msg.c = nil return msg", "{\"a\":1.00,\"b\":2,\"c\":3,\"d\":4.0}", "{\"a\":1.00,\"b\":\"x\",\"d\":4.0}");
}

/* Each value read and written back under another name. */
static void test_values_read_and_written(void **state)
{
	(void)state;
	static const char *const same[] = { "1.0", "9007199254740993", "18446744073709551615", "-9223372036854775808", "-9223372036854775809",
		"null", "[]", "{}", "[1,null,3]", "{\"a\":[{}],\"b\":null}", "true", "false", "\"\"", "\"x\\\"\\\\\\n\"", "\"\xc3\xa9\"",
		"27.812", "54.687157", "1732300000.123", "0", "-0.0", "0.1", "1e+300", "45.452595614", "[[],[[]]]", "\"a\\u0000b\"" };
	struct kit k;
	kit_open(&k, "", "msg.y = msg.x; msg.x = nil; return msg");
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		char in[128], want[128];
		snprintf(in, sizeof(in), "{\"x\":%s}", same[i]);
		snprintf(want, sizeof(want), "{\"y\":%s}", same[i]);
		assert_string_equal(kit_out(&k, in), want);
	}
	assert_string_equal(kit_out(&k, "{\"x\":-0}"), "{\"y\":-0.0}");
	assert_string_equal(kit_out(&k, "{\"x\":1e3}"), "{\"y\":1000.0}");
	kit_close(&k);
}

static void test_kinds_as_lua_sees_them(void **state)
{
	(void)state;
	kit_expect("return {msg.ident, math.type(msg['a.i']), math.type(msg['a.f']), tostring(msg.big), tostring(msg.n == json.null),"
		   "type(msg.none), #msg.l, tostring(msg.l[2] == json.null), msg.s, msg.big > 1.0 and 'more', n = nil} and"
		   " table.concat({msg.ident, math.type(msg['a.i']), math.type(msg['a.f']), tostring(msg.big), tostring(msg.n == json.null),"
		   "type(msg.none), #msg.l, tostring(msg.l[2] == json.null), msg.s, msg.big > 1.0 and 'more'}, ' ')",
		"{\"ident\":\"d\",\"a.i\":1,\"a.f\":1.5,\"big\":18446744073709551615,\"n\":null,\"l\":[1,null],\"s\":\"\\u00e9\"}",
		"d integer float 18446744073709551615 true nil 2 true \xc3\xa9 more");
}

static void test_pairs_in_order(void **state)
{
	(void)state;
	kit_expect("local t = {} msg.b = nil msg.d = 4 for k, v in pairs(msg) do t[#t + 1] = k .. '=' .. tostring(v) end return table.concat(t, ',')",
		"{\"c\":1,\"b\":2,\"a\\u0041\":3}", "c=1,aA=3,d=4");
}

static void test_writing_while_walking(void **state)
{
	(void)state;
	kit_expect("for k, v in pairs(msg) do if v == 2 then msg[k] = nil else msg[k] = v * 10 end end return msg",
		"{\"a\":1,\"b\":2,\"c\":3}", "{\"a\":10,\"c\":30}");
}

static void test_deleted_and_written_again(void **state)
{
	(void)state;
	kit_expect("msg.a = nil msg.a = 5 msg.z = 1 msg.z = nil msg.z = 'long enough to move' return msg", "{\"a\":1,\"b\":2}",
		"{\"a\":5,\"b\":2,\"z\":\"long enough to move\"}");
	kit_expect("for i = 1, 2000 do msg.a = 1000000 - i end return msg", "{\"a\":1}", "{\"a\":998000}");
	kit_expect("msg.a = nil msg.b = nil return msg", "{\"a\":1,\"b\":2}", "{}");
}

static void test_escaped_keys(void **state)
{
	(void)state;
	kit_expect("msg['a\"b'] = msg['a\"b'] + 1 msg['new\"\\n'] = 1 return msg", "{\"a\\\"b\":1}", "{\"a\\\"b\":2,\"new\\\"\\n\":1}");
	kit_expect("return tostring(msg.aA)", "{\"a\\u0041\":7}", "7");
}

static void test_rename(void **state)
{
	(void)state;
	kit_expect("return msg:rename{['position.latitude'] = 'lat', ident = 'imei', none = 'x'}",
		"{\"ident\":\"d\",\"position.latitude\":1.50,\"c\":3}", "{\"imei\":\"d\",\"lat\":1.50,\"c\":3}");
	kit_expect("return msg:rename{a = 'b', b = 'a'}", "{\"a\":1,\"b\":2}", "{\"b\":1,\"a\":2}");
	kit_expect("return msg:rename{a = 'c'}", "{\"a\":1,\"b\":2,\"c\":3}", "{\"c\":1,\"b\":2}");
	kit_expect("return msg:rename{['position.*'] = 'pos.*', ['position.latitude'] = 'lat'}",
		"{\"position.latitude\":1,\"position.speed\":2,\"x\":3}", "{\"lat\":1,\"pos.speed\":2,\"x\":3}");
	kit_expect("return msg:rename{['a.*'] = '*', ['a.b.*'] = 'z.*'}", "{\"a.b.c\":1,\"a.d\":2}", "{\"z.c\":1,\"d\":2}");
	kit_expect_error("return msg:rename{['a.*'] = 'b'}", "{\"a.b\":1}", "*");
	/* a dropped name is free */
	kit_expect("msg.c = nil msg:rename{a = 'c'} msg.a = 9 return msg", "{\"a\":1,\"c\":3}", "{\"c\":1,\"a\":9}");
	kit_expect("msg:rename{a = ''} msg.b = nil msg:rename{[''] = 'b'} return msg", "{\"a\":1,\"b\":2}", "{\"b\":1}");
}

static void test_drop_pick_copy(void **state)
{
	(void)state;
	const char *m = "{\"ident\":\"d\",\"din\":1,\"gsm.mcc\":2,\"gsm.mnc\":3,\"x\":4}";
	kit_expect("return msg:drop{'din', 'gsm.*', 'none'}", m, "{\"ident\":\"d\",\"x\":4}");
	kit_expect("return msg:pick{'x', 'gsm.*'}", m, "{\"gsm.mcc\":2,\"gsm.mnc\":3,\"x\":4}");
	kit_expect("return msg:pick{'x'}:drop{'x'}", m, "{}");
	kit_expect("msg.x = 5 local c = msg:copy() c.x = 6 c.y = 7 return {msg, c, n = 2}", "{\"x\":4}", "{\"x\":5}{\"x\":6,\"y\":7}");
	kit_expect_error("return msg:drop{1}", m, "item 1");
	kit_expect_error("return msg.drop{'x'}", m, "colon");
}

static void test_message_beyond_its_call(void **state)
{
	(void)state;
	struct kit k;
	kit_open(&k, "local kept", "if kept then return kept end kept = msg return msg");
	kit_out(&k, "{\"a\":1}");
	assert_int_equal(kit_send(&k, "{\"a\":2}"), RENDER_FAILED);
	assert_non_null(strstr(k.why, "after its call"));
	kit_close(&k);
	kit_open(&k, "local c", "local was = c c = ctx if was then return was.id end return msg");
	kit_out(&k, "{\"a\":1}");
	assert_string_equal(kit_out(&k, "{\"a\":2}"), "42"); /* the same object: it tells of the call that runs */
	kit_close(&k);
}

static void test_results(void **state)
{
	(void)state;
	kit_expect("return {b = 1, a = {2, 3}, c = json.array(), d = {}}", "{}", "{\"a\":[2,3],\"b\":1,\"c\":[],\"d\":{}}");
	kit_expect("return 'ready\\0bytes'", "{}", "ready");
	kit_expect("return json.array{1, json.null}", "{}", "[1,null]");
	kit_expect("return {n = 5, x = 1}", "{}", "{\"n\":5,\"x\":1}");
	kit_expect("return {'a', {b = 1}, msg, n = 3}", "{\"m\":1}", "a{\"b\":1}{\"m\":1}");
	struct kit k;
	kit_open(&k, "", "return nil, 'no position'");
	assert_int_equal(kit_send(&k, "{}"), RENDER_SKIPPED);
	assert_string_equal(k.why, "no position");
	assert_int_equal(k.rows.n, 0);
	kit_close(&k);
	kit_open(&k, "", "return {n = 0}");
	assert_int_equal(kit_send(&k, "{}"), RENDER_SKIPPED);
	kit_close(&k);
	kit_expect_error("return nil", "{}", "nil without a reason");
	kit_expect_error("", "{}", "nil without a reason");
	kit_expect_error("return 5", "{}", "returned a number");
	kit_expect_error("return true", "{}", "returned a boolean");
	kit_expect_error("return print", "{}", "nil without a reason");
	kit_expect_error("return {1, 2}", "{}", "without n");
	kit_expect_error("return {msg, nil, msg, n = 3}", "{}", "row 2 is nil");
	kit_expect_error("return {a = function() end}", "{}", "a function cannot be written");
	kit_expect_error("return {a = 0/0}", "{}", "nan");
	kit_expect_error("return {a = '\\xff'}", "{}", "UTF-8");
	kit_expect_error("return {a = {1, x = 2}}", "{}", "neither object nor list");
	kit_expect_error("local t = {} t.t = t return t", "{}", "nested deeper");
	kit_expect_error("msg.x = {1, nil, 3} return msg", "{}", "nil");
}

static void test_errors_say_where(void **state)
{
	(void)state;
	struct kit k;
	kit_open(&k, "local function inner(x) return x.y.z end\n", "local r = inner(msg) return r");
	assert_int_equal(kit_send(&k, "{}"), RENDER_FAILED);
	assert_non_null(strstr(k.why, "t.lua:1: "));
	assert_non_null(strstr(k.why, "in inner"));
	assert_non_null(strstr(k.why, "t.lua:4"));
	kit_close(&k);
	kit_expect_error("error({message = 'told by a table'})", "{}", "told by a table");
	kit_expect_error("error()", "{}", "an error that is a nil");
}

static void test_ctx(void **state)
{
	(void)state;
	struct kit k;
	kit_open(&k, "", "return {i = ctx.ident, id = ctx.id, s = ctx.stream, now = ctx.now, d = ctx.device, o = ctx.options}");
	assert_string_equal(kit_out(&k, "{}"), "{\"d\":{},\"i\":\"dev1\",\"id\":\"42\",\"now\":1732300000.5,\"o\":{},\"s\":\"copy\"}");
	k.call.device_data = "{\"serial\":\"A1\"}";
	assert_non_null(strstr(kit_out(&k, "{}"), "\"d\":{\"serial\":\"A1\"}"));
	k.call.device_data = NULL;
	assert_non_null(strstr(kit_out(&k, "{}"), "\"d\":{}"));
	kit_close(&k);
	kit_expect_error("return {x = ctx.devcie}", "{}", "ctx has no field 'devcie'");
	kit_expect_error("ctx.x = 1", "{}", "cannot be written");
}

static void test_steps_follow_one_another(void **state)
{
	(void)state;
	struct kit k;
	kit_begin(&k);
	kit_file(&k, "twice", "return {transform = function(msg) local c = msg:copy() c.k = 2 msg.k = 1 return {msg, c, n = 2} end}");
	kit_file(&k, "mark", "return {transform = function(msg, ctx) if msg.k == msg.skip then return nil, 'k' .. msg.k end msg.id = ctx.id return msg end}");
	kit_file(&k, "ready", "return {transform = function() return 'ready' end}");
	kit_steps(&k, (const char *const[]){ "twice", "mark", NULL });
	assert_string_equal(kit_out(&k, "{\"a\":1.0}"), "{\"a\":1.0,\"k\":1,\"id\":\"42-1\"}{\"a\":1.0,\"k\":2,\"id\":\"42-2\"}");
	assert_int_equal(k.rows.n, 2);
	assert_string_equal(kit_out(&k, "{\"skip\":1}"), "{\"skip\":1,\"k\":2,\"id\":\"42-2\"}");
	struct script_counts counts;
	scripts_counts(k.s, &k.rendering, &counts);
	assert_int_equal(counts.calls, 6);
	assert_int_equal(counts.errors, 0);
	scripts_free(k.s);
	adapters_free(k.a);
	k.rendering.nsteps = 0;
	kit_steps(&k, (const char *const[]){ "ready", "mark", NULL });
	assert_int_equal(kit_send(&k, "{}"), RENDER_FAILED);
	assert_non_null(strstr(k.why, "what ready made"));
	kit_close(&k);
}

static void test_pass_through(void **state)
{
	(void)state;
	struct kit k;
	kit_begin(&k);
	kit_steps(&k, (const char *const[]){ NULL });
	assert_string_equal(kit_out(&k, "{\"a\": 1.0}"), "{\"a\": 1.0}");
	kit_close(&k);
}

static void test_more_than_a_message_may_hold(void **state)
{
	(void)state;
	kit_expect_error("for i = 1, 2000 do msg['k' .. i] = i end return msg", "{}", "more than 1024 fields");
	kit_expect_error("local s = ('x'):rep(1000000) msg.a = s msg.b = s return msg", "{}", "limits.message");
	kit_expect_error("local s = ('x'):rep(1000) local t = {} for i = 1, 20000 do t[i] = s end return {t = t}", "{}", "limits.message");
	kit_expect_error("msg[('k'):rep(70000)] = 1 return msg", "{}", "key is longer");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_untouched_message_keeps_its_bytes),
		cmocka_unit_test(test_untouched_values_keep_their_bytes_and_order),
		cmocka_unit_test(test_values_read_and_written),
		cmocka_unit_test(test_kinds_as_lua_sees_them),
		cmocka_unit_test(test_pairs_in_order),
		cmocka_unit_test(test_writing_while_walking),
		cmocka_unit_test(test_deleted_and_written_again),
		cmocka_unit_test(test_escaped_keys),
		cmocka_unit_test(test_rename),
		cmocka_unit_test(test_drop_pick_copy),
		cmocka_unit_test(test_message_beyond_its_call),
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_errors_say_where),
		cmocka_unit_test(test_ctx),
		cmocka_unit_test(test_steps_follow_one_another),
		cmocka_unit_test(test_pass_through),
		cmocka_unit_test(test_more_than_a_message_may_hold),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
