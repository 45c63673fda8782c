/* lua/ADAPTERS.md is held to what it says: each line `CALL --> RESULT` of it is run, and each function that scripts are given stands in one. */
#include "transforms_kit.h"

static FILE *source(const char *name)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", getenv("SLUICE_SRC") ? getenv("SLUICE_SRC") : ".", name);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	return f;
}

/* "…" in a text that is wanted stands for any. */
static const char compare[] =
	"local function text(v) if type(v) == 'string' then return string.format('%q', v) end return v == nil and 'nil' or json.encode(v) end\n"
	"local function same(have, want)\n"
	"  for i = 1, math.max(have.n, want.n) do\n"
	"    local h, w = have[i], want[i]\n"
	"    if not (w == '…' and type(h) == 'string') and text(h) ~= text(w) then return text(h) end\n"
	"  end\n"
	"end\n";

static void test_each_example_gives_what_it_says(void **state)
{
	(void)state;
	char line[1024];
	int n = 0, examples = 0;
	FILE *f = source("lua/ADAPTERS.md");
	while (fgets(line, sizeof(line), f)) {
		char *arrow = strstr(line, "-->"), body[2048];
		n++;
		if (!arrow || line[0] == '`' || line[0] == '|' || strncmp(line, "Lua", 3) == 0)
			continue;
		*arrow = '\0';
		struct kit k;
		snprintf(body, sizeof(body), "local got = same(table.pack(%s), table.pack(%s)) return got and 'gives ' .. got or 'fine'", line, arrow + 3);
		kit_open(&k, compare, body);
		if (kit_send(&k, "{}") != RENDER_OK)
			fail_msg("lua/ADAPTERS.md:%d: %s: %s", n, line, k.why);
		if (strcmp(k.rows.bytes.p, "fine") != 0)
			fail_msg("lua/ADAPTERS.md:%d: %s %s", n, line, k.rows.bytes.p);
		kit_close(&k);
		examples++;
	}
	fclose(f);
	assert_true(examples >= 60);
}

static void test_each_function_has_an_example(void **state)
{
	(void)state;
	struct buf text = BUF_INIT;
	struct kit k;
	char line[1024];
	int functions = 0;
	FILE *f = source("lua/ADAPTERS.md");
	while (fgets(line, sizeof(line), f))
		if (strstr(line, "-->"))
			buf_adds(&text, line);
	fclose(f);
	kit_open(&k, "", "local out = {} for name, lib in pairs{json = json, crypto = crypto, time = time, units = units, geo = geo, csv = csv, xml = xml,"
			 " form = form, url = url} do for key, v in pairs(lib) do if type(v) == 'function' then out[#out + 1] = name .. '.' .. key end end end"
			 " return table.concat(out, '\\n')");
	char *names = strdup(kit_out(&k, "{}"));
	for (char *name = strtok(names, "\n"); name; name = strtok(NULL, "\n"), functions++)
		if (!strstr(text.p, name))
			fail_msg("lua/ADAPTERS.md has no example of %s", name);
	assert_true(functions >= 50);
	free(names);
	kit_close(&k);
	buf_fini(&text);
}

/* What editors are told of is what there is. */
static void test_the_annotations_name_what_there_is(void **state)
{
	(void)state;
	struct buf text = BUF_INIT, body = BUF_INIT;
	struct kit k;
	char line[1024];
	int annotated = 0;
	FILE *f = source("lua/meta/sluice.lua");
	buf_adds(&body, "local n = 0\n");
	while (fgets(line, sizeof(line), f)) {
		char *end = strchr(line, '(');
		if (strncmp(line, "function ", 9) != 0 || !end || memchr(line, ':', (size_t)(end - line)))
			continue;
		*end = '\0';
		buf_addf(&text, "%s\n", line + 9);
		buf_addf(&body, "if type(%s) ~= 'function' then return '%s' end\n", line + 9, line + 9);
		annotated++;
	}
	fclose(f);
	buf_addf(&body, "for name, lib in pairs{json = json, crypto = crypto, time = time, units = units, geo = geo, csv = csv, xml = xml, form = form, url = url, log = log} do"
		" for key, v in pairs(lib) do if type(v) == 'function' then n = n + 1 end end end return tostring(n)");
	kit_open(&k, "", body.p);
	snprintf(line, sizeof(line), "%d", annotated);
	assert_string_equal(kit_out(&k, "{}"), line);
	kit_close(&k);
	buf_fini(&text);
	buf_fini(&body);
}

/* What luacheck allows is what there is: each name of the list, and each name that Lua or the libraries have. */
static void test_luacheck_knows_what_there_is(void **state)
{
	(void)state;
	struct buf text = BUF_INIT;
	struct kit k;
	char part[1024];
	size_t n;
	FILE *f = source(".luacheckrc");
	while ((n = fread(part, 1, sizeof(part), f)) > 0)
		buf_add(&text, part, n);
	fclose(f);
	buf_adds(&text,
		"\nlocal listed, wrong, fields = {}, {}, 0\n"
		"for k, v in pairs(std.read_globals) do listed[type(k) == 'number' and v or k] = v end\n"
		"for name, v in pairs(listed) do\n"
		"  local there = _ENV[name]\n"
		"  if there == nil then wrong[#wrong + 1] = name .. ' is not there' end\n"
		"  local known = {}\n"
		"  for _, field in ipairs(type(v) == 'table' and v.fields or {}) do\n"
		"    known[field], fields = true, fields + 1\n"
		"    if there[field] == nil then wrong[#wrong + 1] = name .. '.' .. field .. ' is not there' end\n"
		"  end\n"
		"  for field in pairs(type(there) == 'table' and there or {}) do if not known[field] then wrong[#wrong + 1] = name .. '.' .. field .. ' is not listed' end end\n"
		"end\n"
		"for _, name in ipairs{'assert', 'collectgarbage', 'dofile', 'error', 'getmetatable', 'ipairs', 'load', 'loadfile', 'next', 'pairs', 'pcall', 'print',\n"
		"  'rawequal', 'rawget', 'rawlen', 'rawset', 'require', 'select', 'setmetatable', 'tonumber', 'tostring', 'type', 'warn', 'xpcall', '_VERSION', '_G',\n"
		"  'coroutine', 'debug', 'io', 'math', 'os', 'package', 'string', 'table', 'utf8', 'json', 'crypto', 'time', 'units', 'geo', 'csv', 'xml', 'form', 'url', 'log'} do\n"
		"  if _ENV[name] ~= nil and not listed[name] then wrong[#wrong + 1] = name .. ' is not listed' end\n"
		"end\n"
		"return {transform = function() return fields > 100 and table.concat(wrong, ', ') .. '.' or 'few' end}\n");
	kit_begin(&k);
	kit_file(&k, "rc", text.p);
	kit_steps(&k, (const char *const[]){ "rc", NULL });
	assert_string_equal(kit_out(&k, "{}"), ".");
	kit_close(&k);
	buf_fini(&text);
}

static void fails(const char *body, const char *part)
{
	kit_expect_error(body, "{}", part);
}

static void test_the_prelude_at_its_edges(void **state)
{
	(void)state;
	kit_expect("return tostring(units.round(0/0)) .. tostring(units.round('1')) .. units.round(2 ^ 60, 2) .. ' ' .. units.round(7, 2) .. ' ' .. units.round(2.675, 1)",
		"{}", "nilnil1.1529215046068e+18 7 2.7");
	kit_expect("return json.encode{time.from_millis(1000), time.from_millis(1500), time.from_micros(1.5)} .. tostring(time.millis()) .. tostring(time.from_millis('1'))",
		"{}", "[1,1.5,1.5e-06]nilnil");
	kit_expect("return tostring(time.scan('310226', '%d%m%y')) .. tostring(time.scan('1x0126', '%d%m%y')) .. tostring(time.scan('0101261', '%d%m%y'))"
		   " .. tostring(time.scan('0101', '%d%m')) .. tostring(time.scan('', '%Y')) .. time.scan('70%.500', '%y%%.%L')", "{}", "nilnilnilnilnil0.5");
	kit_expect("return time.format(0.000001, '%f|%L|%s|%y|%%')", "{}", "000001|000|0|70|%");
	fails("time.format(0, '%Q')", "t.lua");
	fails("time.format(0, '%Q')", "there is no %Q");
	fails("time.scan('1', '%Q')", "there is no %Q");
	kit_expect("return tostring(crypto.unhex('0')) .. tostring(crypto.unhex('0g')) .. '<' .. crypto.unhex('') .. '>'", "{}", "nilnil<>");
	fails("crypto.unhex(5)", "t.lua:3: crypto.unhex takes a text, not a number");
	kit_expect("return json.encode{csv.split(''), csv.split('a,'), csv.split(',\"\"'), csv.split('\"a\"\"b\",c')}", "{}",
		"[[\"\"],[\"a\",\"\"],[\"\",\"\"],[\"a\\\"b\",\"c\"]]");
	kit_expect("return select(2, csv.split('\"a\"b,c'))", "{}", "more text behind the quote at byte 4");
	kit_expect("return csv.join({'a\\nb', 1e15, 9007199254740993, 0.1, nil, 'x', n = 6}, ';') .. csv.join{}", "{}", "\"a\nb\";1000000000000000.0;9007199254740993;0.1;;x");
	/* What is joined is what is split. */
	kit_expect("local t = {'', ',', '\"', 'a', '\\r\\n', '\",\"', 'ü'} local u = csv.split(csv.join(t)) return json.encode(t) == json.encode(u) and 'same' or json.encode(u)",
		"{}", "same");
	kit_expect("return xml.encode{'a', b = '\"<\\n>', 'x\\0y\\127', {'c', json.null}}", "{}", "<a b=\"&quot;&lt;&#10;&gt;\">x\xef\xbf\xbdy\x7f<c></c></a>");
	fails("xml.encode{'a b'}", "an element is");
	fails("xml.encode{'a', ['b c'] = 1}", "no name of an attribute");
	fails("local t = {'a'} t[2] = t xml.encode(t)", "");
	fails("form.encode{1}", "no pair");
	fails("form.encode{[true] = 1}", "a name that is a boolean");
	kit_expect("return form.encode(form.decode('b=2&a=%zz&=x&c&a=%C3%BC+'))", "{}", "=x&a=%C3%BC+&b=2&c=");
	kit_expect("return tostring(geo.in_box(nil, 1, 0, 0, 1, 1)) .. tostring(geo.near(1, nil, 0, 0, 1)) .. tostring(geo.in_box(0, 5, 0, 0, 1, 1))", "{}", "falsefalsefalse");
	/* Its loops are paid for like any other. */
	fails("local s = ('00'):rep(250000) for i = 1, 200 do crypto.unhex(s) end", "too");
	fails("local s = (','):rep(100000) for i = 1, 200 do csv.split(s) end", "too");
	fails("local s = url.escape(('<'):rep(300000)) while true do s = url.unescape(s) s = url.escape(s) end", "too");
	/* An adapter that changes its libraries changes its own. */
	struct kit k;
	kit_begin(&k);
	kit_file(&k, "one", "units.kmh_to_ms = nil time.millis = nil return {transform = function(msg) return msg end}");
	kit_file(&k, "two", "return {transform = function(msg) msg.v = units.kmh_to_ms(36) msg.t = time.millis(1) return msg end}");
	kit_steps(&k, (const char *const[]){ "one", "two", NULL });
	assert_string_equal(kit_out(&k, "{}"), "{\"v\":10.0,\"t\":1000}");
	kit_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_each_example_gives_what_it_says), cmocka_unit_test(test_each_function_has_an_example),
		cmocka_unit_test(test_the_annotations_name_what_there_is), cmocka_unit_test(test_luacheck_knows_what_there_is),
		cmocka_unit_test(test_the_prelude_at_its_edges) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
