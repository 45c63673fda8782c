/* Every way to hang, fill or poison a worker, each stopped in bounded time, and the next message fine. The time each took is of the
 * processor, since the machine may be busy with other things. What is printed are the rows of the table in transforms/ATTACKS.md:
 *
 *	make tests/unit/test_transforms_attacks && tests/unit/test_transforms_attacks */
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

/* part: of the error that ends it; NULL: it does no harm, and none is raised. */
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
	{ "rawset of the world", "", "rawset(_ENV, 'x', 1)", "global 'x' is set while a message is being worked on: say local" },
	{ "setmetatable of the world", "", "setmetatable(_ENV, nil)", "protected" },
	{ "json bomb", "", "local t = {1} for i = 1, 60 do t = {t, t} end return {t = t}", "" },
	{ "json of many", "local t = {} for i = 1, 1000 do t[i] = i end", "while true do json.encode(t) end", "too" },
	{ "copies", "", "local t = {} for i = 1, 1e9 do t[i] = msg:copy() end", "too" },
	{ "writes", "", "for i = 1, 1e9 do msg['a' .. i % 1000] = ('x'):rep(i % 1000) end", "too" },
	{ "string.format", "", "while true do string.format('%99.99f', 1e300) end", "too" },
	{ "numbers written as a megabyte, to string.char", "", "local s = ('0'):rep(1000000) .. '65' local t = {} for i = 1, 5000 do t[i] = s end return string.char(table.unpack(t))", "too" },
	{ "numbers written as a megabyte, to utf8.char", "", "local s = ('0'):rep(1000000) .. '65' local t = {} for i = 1, 5000 do t[i] = s end return utf8.char(table.unpack(t))", "too" },
	{ "numbers written as a megabyte, to string.format", "", "local s = ('0'):rep(1000000) .. '65' local t = {} for i = 1, 5000 do t[i] = s end return string.format(('%d'):rep(5000), table.unpack(t))", "too" },
	{ "numbers written as a megabyte, to string.pack", "", "local s = ('0'):rep(1000000) .. '65' local t = {} for i = 1, 3000 do t[i] = s end return string.pack(('b'):rep(3000), table.unpack(t))", "too" },
	{ "numbers written as a megabyte, to math.max", "", "local s = ('0'):rep(1000000) .. '65' local t = {} for i = 1, 5000 do t[i] = s end return tostring(math.max(table.unpack(t)))", "too" },
	{ "numbers written as a megabyte, corners of an area", "", "local s = ('0'):rep(1000000) .. '65' local t = {} for i = 1, 5000 do t[i] = {s, s} end return tostring(geo.inside(1, 1, t))", "" },
	{ "a form of a megabyte, packsize", "", "while true do string.packsize((' '):rep(1000000)) end", "too" },
	{ "a form of a megabyte, unpack", "", "while true do string.unpack((' '):rep(1000000), '') end", "too" },
	{ "comparing texts of zeros", "", "local a = ('\\0'):rep(1000000) local b = a .. 'x' for i = 1, 30 do local c = a < b end return 'x'", "too" },
	{ "string.pack", "", "return string.pack('c2000000000', 'x')", "too much memory" },
	{ "tostring calls back", "", "tostring(setmetatable({}, {__tostring = function() while true do end end}))", "too" },
	{ "gsub calls back", "", "('x'):gsub('.', function() while true do end end)", "too" },
	{ "__index chain", "", "local t = {} for i = 1, 100 do t = setmetatable({}, {__index = t}) end while true do local x = t.x end", "too" },
	{ "error in the hook's time", "", "local function f() local ok, e = pcall(f) return f() end f()", "too" },
	{ "goto", "", "::again:: goto again", "too" },
	{ "empty for", "", "for i = 1, math.maxinteger do end", "too" },
	{ "for with a step of nothing", "", "for i = 1, 2, 0 do end", "step is zero" },
	{ "tail calls", "", "local function f() return f() end return f()", "too" },
	{ "arguments without end", "", "local function f(...) return f(1, ...) end return f()", "" },
	{ "__len loops", "", "return #setmetatable({}, {__len = function() while true do end end})", "too" },
	{ "__index loops", "", "return setmetatable({}, {__index = function() while true do end end}).x", "too" },
	{ "__newindex loops", "", "setmetatable({}, {__newindex = function() while true do end end}).x = 1", "too" },
	{ "__call loops", "", "return setmetatable({}, {__call = function(f) return f() end})()", "too" },
	{ "__call chain", "", "local f = function() end for i = 1, 300 do f = setmetatable({}, {__call = f}) end return f()", "" },
	{ "__index chain that bites its tail", "", "local a, b = {}, {} local m, n = {}, {} m.__index = b n.__index = a setmetatable(a, m) setmetatable(b, n) return a.x", "loop" },
	{ "__pairs without end", "", "for k in pairs(setmetatable({}, {__pairs = function() return function() return 1 end end})) do end", "too" },
	{ "__eq, __lt and __concat loop", "", "local m = {__lt = function() while true do end end} return setmetatable({}, m) < setmetatable({}, m)", "too" },
	{ "sort with a lying comparator", "", "local t = {} for i = 1, 30000 do t[i] = i % 7 end table.sort(t, function() return true end)", "" },
	{ "sort that never agrees with itself", "", "local n, t = 0, {} for i = 1, 30000 do t[i] = i end table.sort(t, function() n = n + 1 return n % 3 == 0 end)", "" },
	{ "error that is nil", "", "error()", "an error that is a nil" },
	{ "error that is a table", "", "error({1})", "an error that is a table" },
	{ "error with a lying message", "", "error({message = {}})", "an error that is a table" },
	{ "an error of a megabyte", "", "error(('x'):rep(1e6))", "xxxxxxx…" },
	{ "error in the error handler", "", "local ok, e = xpcall(error, function() error('again') end) if not ok then error('and again') end", "and again" },
	{ "error handlers for ever", "", "local function h() return (xpcall(error, h)) end while true do xpcall(error, h) end", "too" },
	{ "error in __tostring", "", "return tostring(setmetatable({}, {__tostring = function() return {} end}))", "__tostring" },
	{ "comparing equal strings", "local s = ('x'):rep(1000000)", "local t = ('x'):rep(999999) .. 'x' while true do local b = s == t end", "too" },
	{ "string.byte of much", "local s = ('x'):rep(400000)", "while true do pcall(string.byte, s, 1, -1) end", "too" },
	{ "string.char of much", "", "local t = {} for i = 1, 60000 do t[i] = 65 end while true do pcall(string.char, table.unpack(t)) end", "too" },
	{ "string.unpack of much", "local f, s = ('b'):rep(400000), ('x'):rep(400000)", "while true do pcall(string.unpack, f, s) end", "too" },
	{ "string.format of a million widths", "local f = ('%99d'):rep(100000)", "while true do pcall(string.format, f, table.unpack({}, 1, 60000)) end", "too" },
	{ "string.format with a width it has not", "", "return string.format('%1000d', 1)", "invalid conversion" },
	{ "lower, upper, reverse", "local s = ('x'):rep(900000)", "while true do local a = s:lower():upper():reverse() end", "too" },
	{ "utf8 of much", "local s = ('x'):rep(900000)", "while true do utf8.len(s) utf8.offset(s, -1) end", "too" },
	{ "utf8.codepoint of much", "local s = ('x'):rep(400000)", "while true do pcall(utf8.codepoint, s, 1, -1) end", "too" },
	{ "numbers in base 36", "local s = ('z'):rep(900000)", "while true do local x = tonumber(s, 36) end", "too" },
	{ "sums of a million digits", "local s = ('1'):rep(900000)", "while true do local x = s + 1 end", "too" },
	{ "next over what is gone", "", "local t = {} for i = 1, 60000 do t[i] = 1 end for i = 1, 60000 do t[i] = nil end while true do next(t) end", "too" },
	{ "long keys", "", "local t = {} for i = 1, 1e9 do t[('x'):rep(100000) .. i] = 1 end", "too" },
	{ "concat of many operands", "local s = ('x'):rep(100000)", "while true do local x = s .. s .. s .. s .. s .. s .. s .. s end", "too" },
	{ "table.concat of much", "local t = {} for i = 1, 60000 do t[i] = 'xxxx' end", "while true do table.concat(t) end", "too" },
	{ "select of much", "", "local t = {} for i = 1, 60000 do t[i] = i end while true do select(-1, table.unpack(t)) end", "too" },
	{ "json.decode of depth", "local s = ('['):rep(500000)", "return tostring(json.decode(s))", NULL },
	{ "json.decode of much", "local s = '[' .. ('[],'):rep(200000) .. '[]]'", "while true do json.decode(s) end", "too" },
	{ "json of itself", "", "local t = {} t.t = t return t", "" },
	{ "json.number of a million digits", "local s = ('1'):rep(1000000)", "while true do local x = json.number(s) < json.number(s) end", "too" },
	{ "a list of rows without end", "", "return {n = 1 << 50}", "row 1 is nil" },
	{ "many rows", "", "local t = {n = 20000} for i = 1, t.n do t[i] = msg end return t", NULL },
	{ "names that are not there", "", "local t, s = {}, 'fxx9' for i = 1, 900 do msg['f' .. i] = i end for i = 1, 60000 do t[i] = s end"
		" while true do msg:drop(t) end", "too" },
	{ "renames of what is not there", "", "local t = {} for i = 1, 900 do msg['f' .. i] = i end for i = 1, 30000 do t['g' .. i] = 'x' end"
		" while true do msg:rename(t) end", "too" },
	{ "renames of all lengths", "local t = {} for i = 1, 3000 do t[('x'):rep(i) .. '*'] = 'y*' end for i = 1, 20000 do t['g' .. i] = 'x' end",
		"while true do msg:rename(t) end", "too" },
	{ "wildcards that match nothing", "", "local t = {} for i = 1, 900 do msg['f' .. i] = i end for i = 1, 30000 do t[i] = 'x' .. i .. '*' end msg:pick(t)"
		" while true do msg:pick(t) end", "too" },
	{ "a message of many fields", "", "for i = 1, 1e9 do msg['a' .. i] = i end", "1024 fields" },
	{ "keys of a megabyte", "", "msg[('x'):rep(1000000)] = 1", "longer than" },
	{ "msg beyond its call", "local kept", "if kept then return kept end kept = msg return msg", "after its call" },
	{ "corners without end", "", "local t = {} for i = 1, 60000 do t[i] = {i, i} end while true do geo.inside(1, 1, t) end", "too" },
	{ "signatures", "", "while true do pcall(crypto.sign_rs256, 'none', 'x') end", "too" },
	{ "log", "", "while true do log.info(('x'):rep(1000000)) end", "too" },
	{ "time", "", "while true do time.format(0, ('%Y'):rep(100000)) end", "too" },
	{ "csv of quotes", "local s = ('\"\"'):rep(400000)", "while true do csv.split(s) end", "too" },
	{ "xml of itself", "", "local t = {'a'} t[2] = t return xml.encode(t)", "" },
	{ "state of itself", "", "ctx.state.x = 1", "declares no state" },
};

static void print_row(const char *name, int64_t took, const char *said)
{
	const char *file = strstr(said, "t.lua:");
	size_t n = strcspn(said, "\n");

	if (file && file < said + n)
		said = strchr(strchr(file, ':') + 1, ' ') + 1;
	n = strcspn(said, "\n");
	printf("| %s | %.*s%s | %.1f |\n", name, (int)(n < 70 ? n : 70), n ? said : "does no harm", n > 70 ? "…" : "", (double)took / 1000);
}

static void test_attacks(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		const struct attack *a = &attacks[i];
		struct kit k;
		char body[1024];
		snprintf(body, sizeof(body), "if msg.fine then return ('x'):upper() end\n%s", a->body);
		kit_open(&k, a->before, body);
		if (strstr(a->before, "kept"))
			kit_out(&k, "{}");
		int64_t from = cpu_us();
		enum render_result r = kit_send(&k, "{\"ident\":\"d\"}");
		int64_t took = cpu_us() - from;
		print_row(a->name, took, k.why);
		if (r != (a->part ? RENDER_FAILED : RENDER_OK))
			fail_msg("%s: %d: %s", a->name, (int)r, k.why);
		if (a->part && !strstr(k.why, a->part))
			fail_msg("%s: want '%s', got: %s", a->name, a->part, k.why);
		if (took >= BOUND_US)
			fail_msg("%s: took %ld us", a->name, (long)took);
		assert_string_equal(kit_out(&k, "{\"fine\":true}"), "X");
		kit_close(&k);
	}
}

/* Harm that is done while the file is read, before any message. */
static void test_files(void **state)
{
	(void)state;
	struct buf deep = BUF_INIT, long_line = BUF_INIT;
	for (int i = 0; i < 100000; i++)
		buf_addc(&deep, '(');
	buf_adds(&long_line, "local x = 1");
	for (int i = 0; i < 90000; i++)
		buf_adds(&long_line, " .. 'x'");
	const struct { const char *name, *text, *part; } files[] = {
		{ "file: endless loop", "while true do end", "too" },
		{ "file: endless loop that pcall hides", "while true do pcall(function() while true do end end) end", "too" },
		{ "file: memory", "local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end", "too much" },
		{ "file: a hundred thousand parentheses", deep.p, "overflow" },
		{ "file: ninety thousand operands", long_line.p, "overflow" },
		{ "file: bytecode", "\033Lua", "attempt to load a binary chunk" },
		{ "file: no table", "return 5", "returns a table" },
		{ "file: an error that is nothing", "error()", "an error that is a nil" },
		{ "file: a table that lies", "return setmetatable({}, {__index = function() while true do end end, __pairs = error})", "does nothing" },
		{ "file: options of themselves", "local o = {} o.o = o return {transform = function() end, options = o}", "nested deeper" },
		{ "file: a key that is none", "return {transform = function() end, [setmetatable({}, {__tostring = error})] = 1}", "has a key that is a table" },
	};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct kit k;
		struct buf told = BUF_INIT;
		kit_begin(&k);
		kit_file(&k, "t", files[i].text);
		int64_t from = cpu_us();
		k.a = adapters_open((const char *const[]){ k.dir }, 1, k.d);
		const struct catalogue *c = adapters_catalogue(k.a);
		if (c->find(c->arg, "t"))
			fail_msg("%s: it was taken", files[i].name);
		int64_t took = cpu_us() - from;
		diag_print(k.d, &told, false);
		if (!strstr(told.p, files[i].part))
			fail_msg("%s: want '%s', got: %s", files[i].name, files[i].part, told.p);
		print_row(files[i].name, took, files[i].part);
		if (took >= 4 * BOUND_US)
			fail_msg("%s: took %ld us", files[i].name, (long)took);
		assert_non_null(c->find(c->arg, "thin")); /* the others are as they were */
		buf_fini(&told);
		kit_close(&k);
	}
	buf_fini(&deep);
	buf_fini(&long_line);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_attacks), cmocka_unit_test(test_files) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
