/* What scripts find and do not find, how an adapter is suspended, and that failures leave nothing behind. */
#include "transforms_kit.h"

#include "base/clock.h"
#include "base/stats.h"

static const char *const absent[] = { "load", "loadstring", "loadfile", "dofile", "require", "package", "debug", "io", "os", "coroutine",
	"collectgarbage", "print", "string.dump", "math.random", "math.randomseed", "_G" };

static void test_what_is_not_there(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
		char body[64];
		snprintf(body, sizeof(body), "return tostring(%s)", absent[i]);
		kit_expect(body, "{}", "nil");
	}
	kit_expect("return tostring(getmetatable('')) .. tostring(getmetatable(msg)) .. tostring(getmetatable(ctx)) .. tostring(getmetatable(_ENV))",
		"{}", "nilnilnilfalse");
}

static void test_own_world_for_each_file(void **state)
{
	(void)state;
	struct kit k;
	kit_begin(&k);
	kit_file(&k, "one", "shared = 1 string.rep = nil json.null = 5 return {transform = function(msg) msg.one = shared return msg end}");
	kit_file(&k, "two", "return {transform = function(msg) msg.two = tostring(shared) .. tostring(string.rep ~= nil) .. tostring(json.null ~= 5) return msg end}");
	kit_steps(&k, (const char *const[]){ "one", "two", NULL });
	assert_string_equal(kit_out(&k, "{}"), "{\"one\":1,\"two\":\"niltruetrue\"}");
	kit_close(&k);
	kit_expect_error("counter = (counter or 0) + 1", "{}", "global 'counter'");
}

static void test_useful_things_work(void **state)
{
	(void)state;
	kit_expect("local ok, e = pcall(error, {code = 5}) local C = {} C.__index = C function C:twice() return self.v * 2 end"
		   " local o = setmetatable({v = 21}, C) local t = {3, 1, 2} table.sort(t) table.insert(t, 4) table.insert(t, 1, 0)"
		   " return tostring(ok) .. e.code .. o:twice() .. table.concat(t, ',') .. tostring(getmetatable(o) == C) .. select('#', table.unpack(t))"
		   " .. table.remove(t) .. string.format('%05.1f', 3.14159) .. utf8.char(233) .. math.tointeger(3.0) .. string.pack('>I2', 258):byte(2)",
		"{}", "false5420,1,2,3,4true54003.1\xc3\xa9" "32");
	kit_expect("local ok, e = xpcall(function() error('x', 0) end, function(m) return m .. '!' end) return e", "{}", "x!");
	kit_expect("local t = json.array{3, 1, 2} table.sort(t) table.insert(t, 9) return t", "{}", "[1,2,3,9]");
	kit_expect("local v = json.decode('{\"a\":[1,{\"b\":null}]}') return json.encode(v) .. tostring(select(2, json.decode('[1')))", "{}",
		"{\"a\":[1,{\"b\":null}]}not JSON at byte 3");
	kit_expect("return {a = json.number('12.50'), b = json.number('123456789012345678901234567890')}", "{}", "{\"a\":12.50,\"b\":123456789012345678901234567890}");
}

/* With the budget that users have, sanitized or not: how fast spent ones are forgotten goes by the clock. */
static void open_looping(struct kit *k)
{
	kit_begin(k);
	k->plan.settings.limit_script_us = 20000;
	kit_file(k, "t", "return {transform = function(msg) if msg.loop then while true do end end return msg end}");
	kit_steps(k, (const char *const[]){ "t", NULL });
}

static void test_suspension(void **state)
{
	(void)state;
	struct kit k;
	struct script_counts c;
	open_looping(&k);
	for (int i = 0; i < 5; i++)
		assert_int_equal(kit_send(&k, "{\"loop\":1}"), RENDER_FAILED);
	assert_int_equal(kit_send(&k, "{\"a\":1}"), RENDER_FAILED);
	assert_non_null(strstr(k.why, "suspended"));
	scripts_counts(k.s, &k.rendering, &c);
	assert_int_equal(c.calls, 5);
	assert_int_equal(c.exhausted, 5);
	assert_int_equal(c.suspended, 1);
	usleep(1050000);
	assert_string_equal(kit_out(&k, "{\"a\":1}"), "{\"a\":1}"); /* the trial */
	assert_string_equal(kit_out(&k, "{\"a\":2}"), "{\"a\":2}");
	for (int i = 0; i < 4; i++)
		assert_int_equal(kit_send(&k, "{\"loop\":1}"), RENDER_FAILED);
	assert_string_equal(kit_out(&k, "{\"a\":3}"), "{\"a\":3}"); /* not in a row */
	assert_int_equal(kit_send(&k, "{\"loop\":1}"), RENDER_FAILED);
	assert_string_equal(kit_out(&k, "{\"a\":4}"), "{\"a\":4}");
	kit_close(&k);
}

/* One that does well in between is no better for its neighbours. */
static void test_suspension_of_one_that_does_well_in_between(void **state)
{
	(void)state;
	struct kit k;
	struct script_counts c;
	int failed = 0;
	const int64_t begin = clock_mono_us();
	open_looping(&k);
	while (!strstr(k.why, "suspended")) {
		if (failed++ == 30) {
			/* On a machine so busy thirty budgets may really be no more than a tenth of the time, and nobody feels them. */
			assert_true(clock_mono_us() - begin > 24 * 10 * k.plan.settings.limit_script_us);
			kit_close(&k);
			skip();
		}
		kit_send(&k, "{\"loop\":1}");
		if (!strstr(k.why, "suspended"))
			kit_send(&k, "{\"a\":1}");
	}
	scripts_counts(k.s, &k.rendering, &c);
	assert_in_range(c.exhausted, 6, 30); /* more where the machine is slow: it gave the others that much */
	assert_int_equal(stats_get(&stats_stream("copy")->suspended), 1);
	assert_int_equal(kit_send(&k, "{\"a\":1}"), RENDER_FAILED);
	usleep(1050000);
	assert_string_equal(kit_out(&k, "{\"a\":1}"), "{\"a\":1}");
	assert_int_equal(stats_get(&stats_stream("copy")->suspended), 0);
	/* It is forgotten as slowly as it may go on. */
	for (failed = 0; failed < 100 && !strstr(k.why, "suspended"); failed++)
		kit_send(&k, failed % 2 ? "{\"a\":1}" : "{\"loop\":1}");
	scripts_counts(k.s, &k.rendering, &c);
	assert_in_range(c.exhausted, 7, 80);
	kit_close(&k);
	assert_int_equal(stats_get(&stats_stream("copy")->suspended), 0); /* gone with its plan */
}

static size_t resident(void)
{
	size_t pages = 0, ignored;
	FILE *f = fopen("/proc/self/statm", "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%zu %zu", &ignored, &pages), 2);
	fclose(f);
	return pages * 4096;
}

static void test_failing_calls_leave_nothing(void **state)
{
	(void)state;
	const int calls = 100000 / UNIT_PATIENCE;
	struct kit k;
	kit_open(&k, "", "msg.x = {1, 2, {a = 'b'}} local c = msg:copy() c.y = ('z'):rep(500) if msg.kind == 1 then error(c) elseif msg.kind == 2 then"
			 " return {c, nil, n = 2} else local t = setmetatable({c}, {__index = c}) return t.none.none end");
	size_t before = 0;
	for (int i = 0; i < calls; i++) {
		assert_int_equal(kit_send(&k, i % 3 == 0 ? "{\"kind\":0}" : i % 3 == 1 ? "{\"kind\":1}" : "{\"kind\":2}"), RENDER_FAILED);
		if (i == calls / 10)
			before = resident();
	}
	size_t after = resident();
	printf("%d failing calls: resident %zu -> %zu KB\n", calls, before / 1024, after / 1024);
#ifndef UNIT_SANITIZED /* a sanitizer keeps freed memory for a while */
	assert_true(after < before + (2 << 20));
#endif
	kit_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_not_there),
		cmocka_unit_test(test_own_world_for_each_file),
		cmocka_unit_test(test_useful_things_work),
		cmocka_unit_test(test_suspension),
		cmocka_unit_test(test_suspension_of_one_that_does_well_in_between),
		cmocka_unit_test(test_failing_calls_leave_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
