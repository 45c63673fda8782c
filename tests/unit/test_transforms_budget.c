/* Every way to hang, fill or poison a worker, each stopped in bounded time, and the next message fine. The time each took is printed: of the
 * processor, since the machine may be busy with other things. */
#include "transforms_kit.h"

#include <time.h>

/* Generous: the machine is shared, and the bound that matters is "not for ever". Budgets are 20 ms. */
#define BOUND_US (250000 * UNIT_PATIENCE)

static int64_t cpu_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct attack { const char *name, *before, *body, *part; };

static const struct attack attacks[] = {
	{ "rep", "", "return ('x'):rep(1 << 30)", "too much memory" },
	{ "rep of nothing", "", "return ('').rep('', 1 << 60)", NULL },
	{ "rep of nothing, separator", "", "return ('').rep('', 1 << 60, 'x')", "too much memory" },
	{ "endless loop", "", "while true do end", "too" },
	{ "pcall swallows", "", "while true do pcall(function() while true do end end) end", "too" },
	{ "nested pcall", "", "local function f() while true do pcall(f) end end f()", "too" },
	{ "xpcall handler loops", "", "xpcall(function() while true do end end, function() while true do end end) while true do end", "too" },
	{ "xpcall handler loops on an ordinary error", "", "xpcall(error, function() while true do end end)", "too" },
	{ "error object loops", "", "error(setmetatable({}, {__tostring = function() while true do end end}))", "an error that is" },
	{ "pattern", "local s = ('a'):rep(3000)", "return s:find(('.-'):rep(4) .. 'b')", "too" },
	{ "pattern in gsub", "local s = ('a'):rep(30000)", "return (s:gsub(('a*'):rep(20) .. 'b', ''))", "too" },
	{ "pattern in gmatch", "local s = ('a'):rep(3000)", "for x in s:gmatch('.-.-.-.-b') do end", "too" },
	{ "pattern frontier and balance", "local s = ('('):rep(200000)", "for i = 1, 1e9 do s:find('%b()') end", "too" },
	{ "plain find", "local s, p = ('a'):rep(500000), ('a'):rep(250000) .. 'b'", "for i = 1, 1e9 do s:find(p, 1, true) end", "too" },
	{ "table.remove with __len", "", "table.remove(setmetatable({}, {__len = function() return 1 << 40 end}), 1)", "metatable" },
	{ "table.insert with a false border", "", "local t = {} for i = 40, 0, -1 do t[1 << i] = 1 end table.insert(t, 1, 1)", "too" },
	{ "table.remove with a false border", "", "local t = {} for i = 40, 0, -1 do t[1 << i] = 1 end table.remove(t, 1)", "too" },
	{ "table.move", "", "table.move({}, 1, 1 << 40, 2)", "too" },
	{ "table.concat", "", "table.concat({}, '', 1, 1 << 40)", "invalid value" },
	{ "table.unpack", "", "while true do pcall(table.unpack, {}, 1, 900000) end", "too" },
	{ "table.sort", "", "local s = ('x'):rep(1000000) local t = {} for i = 1, 30000 do t[i] = s end table.sort(t)", "too" },
	{ "table.sort by a loop", "", "table.sort({3, 2, 1}, function() while true do end end)", "too" },
	{ "comparing long strings", "local s = ('x'):rep(1000000)", "local t = ('x'):rep(1000000) while true do local b = s < t end", "too" },
	{ "numbers of a million digits", "local s = ('1'):rep(1000000)", "while true do local x = tonumber(s) end", "too" },
	{ "concat", "", "local s = 'x' while true do s = s .. s end", "too much memory" },
	{ "garbage", "", "while true do local s = ('x'):rep(100000) end", "too" },
	{ "growing table", "", "local t = {} for i = 1, 1e9 do t[i] = {} end", "too" },
	{ "growing table, error caught", "", "while true do pcall(function() local t = {} for i = 1, 1e9 do t[i] = {} end end) end", "too" },
	{ "recursion", "", "local function f() return 1 + f() end return f()", "too" },
	{ "recursion through metamethods", "", "local t = {} setmetatable(t, {__index = function(x, k) return x[k .. 'x'] end}) return t.a", "" },
	{ "__gc", "", "setmetatable({}, {__gc = function() while true do end end})", "__gc is not available" },
	{ "__close", "", "setmetatable({}, {__close = function() end})", "__close is not available" },
	{ "__mode", "", "setmetatable({}, {__mode = 'k'})", "__mode is not available" },
	{ "__mode given later", "", "local m = {} local t = setmetatable({}, m) m.__mode = 'k' t[{}] = 1 m.__gc = 1 return tostring(getmetatable(t) == m)", NULL },
	{ "__close given later", "", "local m = {} local t = setmetatable({}, m) m.__close = function() end local x <close> = t", "non-closable" },
	{ "string metatable", "", "getmetatable('').__index = nil", "attempt to index a nil" },
	{ "string library", "string.upper = function() return 'poison' end", "return ('x'):upper() .. string.upper('x')", NULL },
	{ "load", "", "return load('return 1')", "attempt to call a nil" },
	{ "bytecode", "", "return string.dump(function() end)", "attempt to call a nil" },
	{ "rawset of the world", "", "rawset(_ENV, 'x', 1) y = 1", "say local" },
	{ "setmetatable of the world", "", "setmetatable(_ENV, nil)", "protected" },
	{ "json bomb", "", "local t = {1} for i = 1, 60 do t = {t, t} end return {t = t}", "" },
	{ "json of many", "local t = {} for i = 1, 1000 do t[i] = i end", "while true do json.encode(t) end", "too" },
	{ "copies", "", "local t = {} for i = 1, 1e9 do t[i] = msg:copy() end", "too" },
	{ "writes", "", "for i = 1, 1e9 do msg['a' .. i % 1000] = ('x'):rep(i % 1000) end", "too" },
	{ "string.format", "", "while true do string.format('%99.99f', 1e300) end", "too" },
	{ "string.pack", "", "return string.pack('c2000000000', 'x')", "too much memory" },
	{ "tostring calls back", "", "tostring(setmetatable({}, {__tostring = function() while true do end end}))", "too" },
	{ "gsub calls back", "", "('x'):gsub('.', function() while true do end end)", "too" },
	{ "__index chain", "", "local t = {} for i = 1, 100 do t = setmetatable({}, {__index = t}) end while true do local x = t.x end", "too" },
	{ "error in the hook's time", "", "local function f() local ok, e = pcall(f) return f() end f()", "too" },
};

static const char *const absent[] = { "load", "loadstring", "loadfile", "dofile", "require", "package", "debug", "io", "os", "coroutine",
	"collectgarbage", "print", "string.dump", "math.random", "math.randomseed", "_G" };

static void test_attacks(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		const struct attack *a = &attacks[i];
		struct kit k;
		char body[1024];
		snprintf(body, sizeof(body), "if msg.fine then return ('x'):upper() end\n%s", a->body);
		kit_open(&k, a->before, body);
		int64_t from = cpu_us();
		enum render_result r = kit_send(&k, "{\"ident\":\"d\"}");
		int64_t took = cpu_us() - from;
		const char *file = strstr(k.why, "t.lua:"), *said = file ? file : k.why;
		printf("%-44s %7.1f ms  %.*s\n", a->name, (double)took / 1000, (int)strcspn(said, "\n"), said);
		assert_int_equal(r, a->part ? RENDER_FAILED : RENDER_OK);
		if (a->part && !strstr(k.why, a->part))
			fail_msg("%s: want '%s', got: %s", a->name, a->part, k.why);
		assert_true(took < BOUND_US);
		assert_string_equal(kit_out(&k, "{\"fine\":true}"), "X");
		kit_close(&k);
	}
}

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

static void test_suspension(void **state)
{
	(void)state;
	struct kit k;
	struct script_counts c;
	kit_open(&k, "", "if msg.loop then while true do end end return msg");
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
		cmocka_unit_test(test_attacks),
		cmocka_unit_test(test_what_is_not_there),
		cmocka_unit_test(test_own_world_for_each_file),
		cmocka_unit_test(test_useful_things_work),
		cmocka_unit_test(test_suspension),
		cmocka_unit_test(test_failing_calls_leave_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
