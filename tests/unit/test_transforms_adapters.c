/* Adapters' files: what they say of themselves, their vectors, and problems told with their place. */
#include "transforms_kit.h"

#include "base/embedded.h"
#include "spec/tree.h"

static const struct type_info *found(struct kit *k, const char *name)
{
	const struct catalogue *c = adapters_catalogue(k->a);
	return c->find(c->arg, name);
}

static void open_adapters(struct kit *k)
{
	const char *dirs[] = { k->dir };
	k->a = adapters_open(dirs, 1, k->d);
}

static char *problems(struct kit *k)
{
	struct buf out = BUF_INIT;
	diag_print(k->d, &out, false);
	return buf_take(&out);
}

static void test_what_an_adapter_declares(void **state)
{
	(void)state;
	struct kit k;
	kit_begin(&k);
	kit_file(&k, "toll", "return {summary = 'A toll', transport = 'http', form = 2, options = {service = {type = 'string', required = true}},\n"
			     "device = {serial = {type = 'string'}}, defaults = {batch = {messages = 1000}},\n"
			     "body = {open = '[', separator = ',', close = ']', type = 'application/json'},\n"
			     "transform = function(m) return m end, request = function() end}");
	kit_file(&k, "half", "return {transform = function(m) return m end}");
	kit_file(&k, "fmt", "return {decode = function() end}");
	open_adapters(&k);
	const struct type_info *t = found(&k, "toll");
	assert_non_null(t);
	assert_string_equal(t->summary, "A toll");
	assert_true(t->is_destination && !t->is_transform && !t->native && t->has_transform && t->has_request && !t->has_topic);
	assert_int_equal(t->transport, TRANSPORT_HTTP);
	assert_int_equal(t->form_number, 2);
	assert_string_equal(t->body_open, "[");
	assert_string_equal(t->body_type, "application/json");
	assert_true(node_is(node_get(node_get(t->options_schema, "service"), "type"), "string"));
	assert_true(node_is(node_get(node_get(t->options_schema, "service"), "required"), "true"));
	assert_non_null(node_get(t->device_schema, "serial"));
	assert_true(node_is(node_get(node_get(t->defaults, "batch"), "messages"), "1000"));
	assert_true(found(&k, "half")->is_transform);
	assert_true(found(&k, "fmt")->is_format);
	assert_null(found(&k, "none"));
	assert_true(found(&k, "half")->hash != found(&k, "fmt")->hash);
	assert_int_equal(diag_errors(k.d), 0);
	kit_close(&k);
}

static void test_own_file_hides_built_in(void **state)
{
	(void)state;
	struct kit k;
	kit_begin(&k);
	kit_file(&k, "round-positions", "return {summary = 'mine', transform = function(m) return m end}");
	open_adapters(&k);
	assert_string_equal(found(&k, "round-positions")->summary, "mine");
	kit_close(&k);
}

static void test_built_in_vectors_pass(void **state)
{
	(void)state;
	struct kit k;
	kit_begin(&k);
	open_adapters(&k);
	assert_non_null(found(&k, "round-positions"));
	if (adapters_run_vectors(k.a, NULL, k.d))
		fail_msg("%s", problems(&k));
	kit_close(&k);
}

static void test_broken_files_are_told_when_asked_for(void **state)
{
	(void)state;
	static const struct { const char *text, *part, *place; } broken[] = {
		{ "return {\n transform = function(m) retrun m end }", "syntax error", "bad.lua:2" },
		{ "local x = nil\n\nreturn x.y", "attempt to index", "bad.lua:3" },
		{ "return 5", "returns a table", "bad.lua" },
		{ "return {tranform = function(m) return m end,\ntransform = function() end}", "did you mean \"transform\"", "bad.lua:1" },
		{ "return {\ntransport = 'htpp'}", "expected: http, mqtt or tcp", "bad.lua:2" },
		{ "return {transform = 5}", "transform is a number", "bad.lua:1" },
		{ "return {summary = 'x'}", "does nothing", "bad.lua" },
		{ "return {transport = 'http', body = {opne = '['}}", "body takes", "bad.lua:1" },
		{ "return {transport = 'http',\n topic = function() end}", "topic has no meaning with transport http", "bad.lua:2" },
		{ "return {transport = 'mqtt',\n\n request = function() end}", "request has no meaning with transport mqtt", "bad.lua:3" },
		{ "return {transport = 'tcp', credentials = function() end}", "credentials has no meaning with transport tcp", "bad.lua:1" },
		{ "return {transform = function() end, verdict = function() end}", "verdict has no meaning without a transport", "bad.lua:1" },
		{ "return {decode = function() end, body = {}}", "body has no meaning without a transport", "bad.lua:1" },
		{ "return {transport = 'http', connection = 'device'}", "connection has no meaning with transport http", "bad.lua:1" },
		{ "return {transport = 'http', token = function() end}", "there is no credentials", "bad.lua:1" },
		{ "return {transform = function() end,\nstate = {n = 'int'}}", "state.n is no kind of value", "bad.lua:2" },
		{ "return {transform = function() end, state = {'n'}}", "state.? is no kind", "bad.lua:1" },
		{ "return {transform = function() end, -- k: of the options\n options = {\n  k = {type = 'integer', default = 'x'}}}",
		  "the default of options.k: \"x\" is not a whole number", "bad.lua:3:3" },
		{ "return {transform = function() end, options = {a = {},\n  ['max-age'] = {type = 'duration', default = 12}}}",
		  "the default of options.max-age", "bad.lua:2:5" },
		{ "return {transform = function() end, options = {k = {type = 'integr'}}}", "unknown type", "bad.lua:1:48" },
		{ "return {transform = function() end,\noptions = {k = {type = 'string', least = 1}}}", "keyword \"least\" is not supported", "bad.lua:2:12" },
		{ "return {transform = function() end,\noptions = {k = {type = 'string', default = 1}}}", "the default of options.k is no text", "bad.lua:2:12" },
		{ "return {transform = function() end,\noptions = {k = {type = 'string', enum = {'a'}, default = 'b'}}}", "\"b\" is not allowed", "bad.lua:2:12" },
		{ "return {transform = function() end,\noptions = {type = 'object', properties = {k = {type = 'number', minimum = 2, default = 1}}}}", "at least 2", "bad.lua:2:43" },
		{ "return {transform = function() end,\ndevice = {w = {type = 'boolean', default = 'true'}}}", "the default of device.w", "bad.lua:2:11" },
		{ "while true do end", "too", "bad.lua:1" },
		{ "\x1bLua bytecode", "binary chunk", "bad.lua" },
		{ "return {transform = function() end, options = {f = print, g = function() end}}", "function cannot be written", "bad.lua" },
	};
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct kit k;
		kit_begin(&k);
		kit_file(&k, "bad", broken[i].text);
		open_adapters(&k);
		unsigned n = 0;
		const struct catalogue *c = adapters_catalogue(k.a);
		while (c->next(c->arg, &n))
			;
		assert_int_equal(diag_errors(k.d), 0); /* looking around tells nothing */
		if (found(&k, "bad"))
			fail_msg("taken as fine: %s", broken[i].text);
		assert_null(found(&k, "bad"));
		assert_int_equal(diag_errors(k.d), 1);
		char *text = problems(&k);
		if (!strstr(text, broken[i].part) || !strstr(text, broken[i].place))
			fail_msg("want '%s' at %s in: %s", broken[i].part, broken[i].place, text);
		free(text);
		kit_close(&k);
	}
}

static void test_missing_folder(void **state)
{
	(void)state;
	struct diag *d = diag_new();
	struct adapters *a = adapters_open((const char *const[]){ "/nonexistent/lua" }, 1, d);
	assert_non_null(a);
	assert_int_equal(diag_errors(d), 1);
	adapters_free(a);
	diag_free(d);
}

static void run_vectors(const char *vectors, unsigned failures, const char *part)
{
	struct kit k;
	struct buf text = BUF_INIT;
	kit_begin(&k);
	buf_addf(&text,
		"local A = {}\n"
		"function A.transform(msg, ctx)\n"
		"  if msg.skip then return nil, msg.skip end\n"
		"  if msg.two then return {msg, 'x', n = 2} end\n"
		"  msg.id = ctx.id msg.factor = ctx.options.factor msg.serial = ctx.device.serial msg.who = ctx.ident\n"
		"  return msg\n"
		"end\n"
		"A.vectors = {\n%s\n}\nreturn A\n", vectors);
	kit_file(&k, "v", text.p);
	open_adapters(&k);
	assert_non_null(found(&k, "v"));
	unsigned failed = 0;
	struct step step = { .adapter = "v" };
	k.rendering.steps = &step;
	k.rendering.nsteps = 1;
	failed = adapters_run_vectors(k.a, &k.plan, k.d);
	char *told = problems(&k);
	if (failed != failures || (part && !strstr(told, part)))
		fail_msg("%u failed, want %u with '%s': %s", failed, failures, part ? part : "", told);
	assert_int_equal(diag_errors(k.d), failures);
	if (failures)
		assert_int_equal(diag_exit(k.d), 65);
	free(told);
	buf_fini(&text);
	kit_close(&k);
}

static void test_vectors(void **state)
{
	(void)state;
	run_vectors("{'all', transform = {ident = 'd', b = 1}, options = {factor = 2.5}, device = {serial = 'S'}, id = '77',"
		    "want = {ident = 'd', b = 1, id = '77', factor = 2.5, serial = 'S', who = 'd'}}", 0, NULL);
	run_vectors("{'bytes', transform = '{\"b\":1.00}', ident = 'z', want = '{\"b\":1.00,\"id\":\"1\",\"who\":\"z\"}'}", 0, NULL);
	run_vectors("{'skip', transform = {skip = 'why'}, skipped = 'why'}", 0, NULL);
	run_vectors("{'rows', transform = {two = true}, want = {{two = true}, 'x', n = 2}}", 0, NULL);
	run_vectors("{'steps', steps = {{'one', transform = {skip = 'a'}, skipped = 'a'}, {'two', transform = {skip = 'b'}, skipped = 'c'}}}", 1, "\"two\"");
	run_vectors("\n{\"wrong\", transform = '{\"a\":1}', want = {a = 2, id = '1', who = ''}}", 1, "want {\"a\":2,\"id\":\"1\",\"who\":\"\"}, got {\"a\":1,\"id\":\"1\",\"who\":\"\"}");
	run_vectors("\n{\"wrong\", transform = {}, want = 'x'}", 1, "v.lua:10");
	run_vectors("{'skip', transform = {skip = 'why'}, skipped = 'else'}", 1, "got skipped why");
	run_vectors("{'two', transform = {two = true}, want = {two = true}}", 1, "got");
	run_vectors("{'err', transform = {skip = {}}, error = 'without a reason'}", 0, NULL);
	run_vectors("{'none', want = 'x'}", 1, "nothing to do");
	run_vectors("{'both', transform = {}, want = 'x', skipped = 'y'}", 1, "exactly one of");
	run_vectors("{'neither', transform = {}}", 1, "exactly one of");
	run_vectors("{'typo', tranform = {}}", 1, "unknown key tranform");
	run_vectors("{'bad', transform = '[1]', want = 'x'}", 1, "its message");
	run_vectors("5", 1, "vector 1: it is a number, and must be a table");
	run_vectors("{'x', transform = {skip = 'a'}, skipped = 'a'}, {transform = {}}", 1, "vector 2: it begins with no name");
	run_vectors("{decode = 'x', want = {}}", 1, "vector 1: it begins with no name");
	run_vectors("{'s', steps = {{'a', transform = {skip = 'a'}, skipped = 'a'}, 5}}", 1, "vector 1, step 2: it is a number");
	run_vectors("{'s', steps = {{'a', transform = {skip = 'a'}, skipped = 'a'}, last = {}}}", 1, "steps is a list, and has [last]");
	run_vectors("{'x', transform = {}, now = 'noon', want = {}}", 1, "now is a string");
	run_vectors("{'x', transform = {}, id = {}, want = {}}", 1, "id is a table");
	run_vectors("name = {'x', transform = {}}", 1, "vectors is a list, and has [name]");
	/* Where a name stands elsewhere too, the place is that of the vector. */
	run_vectors("-- \"twice\"\n{\"twice\", transform = {}, want = 'x'}", 1, "v.lua:10");
}

/* The page that teaches how to write an adapter, put together as it says. */
static void test_the_adapter_of_the_guide_works(void **state)
{
	(void)state;
	char path[4096];
	struct kit k;
	struct buf text = BUF_INIT, blocks = BUF_INIT;
	char line[1024];
	bool in = false;
	int block = 0;
	snprintf(path, sizeof(path), "%s/lua/ADAPTERS.md", getenv("SLUICE_SRC") ? getenv("SLUICE_SRC") : ".");
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "```", 3) == 0) {
			in = strncmp(line, "```lua", 6) == 0 && ++block <= 3;
			continue;
		}
		if (in && strcmp(line, "return A\n") != 0)
			buf_adds(block == 2 ? &text : &blocks, line);
	}
	fclose(f);
	const char *factor = strstr(text.p, "0.621371");
	assert_non_null(factor);
	buf_add(&blocks, text.p, (size_t)(factor - text.p));
	buf_adds(&blocks, "ctx.options.factor");
	buf_adds(&blocks, factor + 8);
	buf_adds(&blocks, "return A\n");
	kit_begin(&k);
	kit_file(&k, "speed-mph", blocks.p);
	open_adapters(&k);
	if (!found(&k, "speed-mph") || adapters_run_vectors(k.a, NULL, k.d))
		fail_msg("%s", problems(&k));
	buf_fini(&text);
	buf_fini(&blocks);
	kit_close(&k);
}

/* A block that begins with a file's name and returns A is a whole file. */
static void test_whole_files_of_the_guide_pass_their_vectors(void **state)
{
	(void)state;
	char path[4096], line[1024], name[64] = "";
	struct kit k;
	struct buf text = BUF_INIT;
	unsigned files = 0, block = 0;
	bool in = false;
	snprintf(path, sizeof(path), "%s/lua/ADAPTERS.md", getenv("SLUICE_SRC") ? getenv("SLUICE_SRC") : ".");
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	kit_begin(&k);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "```", 3) != 0) {
			if (in && sscanf(line, "-- lua/%63[a-z-].lua", name) == 0)
				buf_adds(&text, line);
			continue;
		}
		/* The first three make one file together, above. */
		if (in && block > 3 && name[0] && text.p && strstr(text.p, "return A\n")) {
			kit_file(&k, name, text.p);
			files++;
		}
		in = strncmp(line, "```lua", 6) == 0;
		block += in;
		name[0] = '\0';
		buf_clear(&text);
	}
	fclose(f);
	open_adapters(&k);
	assert_true(files > 0);
	assert_true(found(&k, "ignition"));
	if (adapters_run_vectors(k.a, NULL, k.d) || diag_errors(k.d))
		fail_msg("%s", problems(&k));
	buf_fini(&text);
	kit_close(&k);
}

static void test_vectors_of_other_kinds(void **state)
{
	(void)state;
	static const struct { const char *vectors; unsigned failures; const char *part; } cases[] = {
		{ "{'state', steps = {{'first', transform = {}, state = {n = 4}, want = {n = 5}}, {'second', transform = {}, want = {n = 6}}}}", 0, NULL },
		{ "{'state', transform = {}, want = {n = 1}}, {'afresh', transform = {}, want = {n = 1}}", 0, NULL },
		{ "{'frame', decode = 'a;b;rest', want = {{v = 'a'}, '{ \"v\" : \"b\" }', used = 4, after = 'ok 2'}}", 0, NULL },
		{ "{'frame', decode = 'a;', query = 'k=v', want = {{v = 'a', k = 'v'}}}", 0, NULL },
		{ "{\"frame\", decode = 'a;', want = {{v = 'b'}}}", 1, "want {\"v\":\"b\"}" },
		{ "{'frame', decode = 'a;', want = {{v = 'a'}, used = 1}}", 1, "used=2" },
		{ "{'frame', decode = 'bad', error = 'no separator'}", 0, NULL },
		{ "{'frame', decode = 'a;', error = 'no separator'}", 1, "an error with" },
		{ "{'answer', answer = {status = 401}, want = 'blocked'}", 0, NULL },
		{ "{'answer', answer = {status = 404}, want = 'none'}", 0, NULL },
		{ "{'answer', answer = {status = 200, body = '[1]'}, batch = {{id = 'x'}, {}}, want = {{'refused', 'x'}, 'done'}}", 0, NULL },
		{ "{'answer', answer = {status = 401}, want = 'retry'}", 1, "got blocked" },
		{ "{'answer', answer = 5, want = 'retry'}", 1, "answer is a number, and must be a table" },
		{ "{'answer', answer = {status = 'ok'}, want = 'retry'}", 1, "answer.status is a string" },
		{ "{'answer', answer = {}, batch = 5, want = 'retry'}", 1, "batch is a number" },
		{ "{'answer', answer = {}, batch = {5}, want = 'retry'}", 1, "what batch lists is a number" },
		{ "{'answer', answer = {}, want = 5}", 1, "want is a number" },
		{ "{'answer', answer = {}, bacth = {}, want = 'none'}", 1, "unknown key bacth" },
		{ "{'frame', decode = 'a;', batch = {}, want = {}}", 1, "unknown key batch" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct kit k;
		struct buf text = BUF_INIT;
		kit_begin(&k);
		buf_addf(&text,
			"local A = {state = {n = 'integer'}, transport = 'http'}\n"
			"function A.transform(msg, ctx) ctx.state.n = (ctx.state.n or 0) + 1 msg.n = ctx.state.n return msg end\n"
			"function A.decode(bytes, ctx) local r, used = {}, 0 for v, e in bytes:gmatch('(%%w+);()') do r[#r + 1] = {v = v, k = ctx.query.k} used = e - 1 end\n"
			"  if #r == 0 then error('no separator') end r.used = used r.after = 'ok ' .. #r return r end\n"
			"function A.verdict(answer, batch) if answer.status == 401 then return 'blocked', 'why' end if answer.status == 200 then local r = {}\n"
			"  for i = 1, #batch do r[i] = 'done' end for _, i in ipairs(answer.json()) do r[i] = {'refused', batch[i].id} end return r end end\n"
			"A.vectors = {%s}\nreturn A\n", cases[i].vectors);
		kit_file(&k, "v", text.p);
		open_adapters(&k);
		unsigned failed = adapters_run_vectors(k.a, NULL, k.d);
		char *told = problems(&k);
		if (failed != cases[i].failures || (cases[i].part && !strstr(told, cases[i].part)))
			fail_msg("%u failed, want %u with '%s': %s", failed, cases[i].failures, cases[i].part ? cases[i].part : "", told);
		free(told);
		buf_fini(&text);
		kit_close(&k);
	}
}

/* In vectors and defaults they stand as users write them, and scripts get them as they get those of the specification. */
static void test_durations_sizes_and_rates_are_numbers(void **state)
{
	(void)state;
	struct kit k;
	kit_begin(&k);
	kit_file(&k, "kinds", "local A = {options = {a = {type = 'duration', default = '1.5h'}, b = {type = 'size', default = '2KiB'}, c = {type = 'rate', default = '90/m'},\n"
			      "  d = {type = 'string', default = '1h'}, e = {type = 'duration'}}}\n"
			      "function A.transform(msg, ctx) return ctx.options end\n"
			      "A.vectors = {{'defaults', transform = {}, want = {a = 5400, b = 2048, c = 1.5, d = '1h'}},\n"
			      "  {'given', transform = {}, options = {a = '200ms', e = 5}, want = {a = 0.2, b = 2048, c = 1.5, d = '1h', e = 5}}}\n"
			      "return A");
	open_adapters(&k);
	if (adapters_run_vectors(k.a, NULL, k.d))
		fail_msg("%s", problems(&k));
	kit_close(&k);
}

/* What `sluice new adapter` writes: its vectors pass before anything was changed. */
static void test_what_a_new_adapter_begins_with(void **state)
{
	(void)state;
	static const char *const kinds[] = { "format", "http", "mqtt", "tcp", "transform" };
	struct kit k;
	char path[64];
	kit_begin(&k);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		snprintf(path, sizeof(path), "lua/new/%s.lua", kinds[i]);
		const struct embedded *e = embedded_find(path);
		assert_non_null(e);
		assert_non_null(strstr((const char *)e->bytes, "A.vectors = {\n  {"));
		kit_file(&k, kinds[i], (const char *)e->bytes);
	}
	open_adapters(&k);
	assert_null(found(&k, "new/http")); /* none of them is built in */
	if (adapters_run_vectors(k.a, NULL, k.d))
		fail_msg("%s", problems(&k));
	kit_close(&k);
}

static void test_vectors_of_unused_adapters_are_not_run(void **state)
{
	(void)state;
	struct kit k;
	kit_begin(&k);
	kit_file(&k, "bad", "return {transform = function(m) return m end, vectors = {{'x', transform = {}, want = 'y'}}}");
	open_adapters(&k);
	assert_int_equal(adapters_run_vectors(k.a, &k.plan, k.d), 0);
	assert_int_equal(adapters_run_vectors(k.a, NULL, k.d), 1);
	kit_close(&k);
}

/* What a script tells the log of an example would be taken for news. */
static void test_vectors_say_nothing_to_the_log(void **state)
{
	(void)state;
	struct kit k;
	FILE *told = tmpfile();
	int saved = dup(2);
	assert_non_null(told);
	kit_begin(&k);
	kit_file(&k, "loud", "log.warn('loading') return {transform = function(m) log.warn('hey') return m end, vectors = {{'x', transform = {}, want = {}}}}");
	dup2(fileno(told), 2);
	open_adapters(&k);
	unsigned failed = adapters_run_vectors(k.a, NULL, k.d);
	dup2(saved, 2);
	close(saved);
	assert_int_equal(failed, 0);
	assert_int_equal(ftell(told), 0);
	fclose(told);
	kit_close(&k);
}

static void test_state_for_an_adapter_without_transform(void **state)
{
	(void)state;
	struct kit k;
	kit_begin(&k);
	kit_file(&k, "only", "return {decode = function() end}");
	open_adapters(&k);
	k.steps[0] = (struct step){ .adapter = "only" };
	k.rendering.nsteps = 1;
	assert_null(scripts_new(k.a, &k.plan, k.why, sizeof(k.why)));
	assert_non_null(strstr(k.why, "no function transform"));
	kit_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_an_adapter_declares),
		cmocka_unit_test(test_own_file_hides_built_in),
		cmocka_unit_test(test_built_in_vectors_pass),
		cmocka_unit_test(test_broken_files_are_told_when_asked_for),
		cmocka_unit_test(test_missing_folder),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_the_adapter_of_the_guide_works),
		cmocka_unit_test(test_vectors_of_other_kinds),
		cmocka_unit_test(test_durations_sizes_and_rates_are_numbers),
		cmocka_unit_test(test_what_a_new_adapter_begins_with),
		cmocka_unit_test(test_vectors_of_unused_adapters_are_not_run),
		cmocka_unit_test(test_vectors_say_nothing_to_the_log),
		cmocka_unit_test(test_whole_files_of_the_guide_pass_their_vectors),
		cmocka_unit_test(test_state_for_an_adapter_without_transform),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
