/* From YAML to bytes: options checked and defaulted by the compiler, per-device data, fields before transforms. */
#include "transforms_kit.h"

struct hold { struct adapters *a; };

static const struct catalogue *open_them(void *arg, const char *const *dirs, unsigned ndirs, struct diag *d)
{
	struct hold *h = arg;
	h->a = adapters_open(dirs, ndirs, d);
	return adapters_catalogue(h->a);
}

static void compile(struct kit *k, const char *streams, struct hold *h, struct plan **p)
{
	char path[128];
	kit_begin(k);
	kit_file(k, "mark", "return {options = {with = {type = 'string', default = 'x'}, need = {type = 'integer', required = true}},\n"
			    "transform = function(msg, ctx) msg.mark = ctx.options.with .. ctx.options.need return msg end}");
	kit_file(k, "deep", "return {options = {areas = {type = 'object', additionalProperties = {type = 'array', items = {type = 'array', items = {type = 'number'}}}},\n"
			    "corners = {type = 'array'}}, transform = function(msg, ctx) return ctx.options end}");
	snprintf(path, sizeof(path), "%s/sluice.yaml", k->dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "sluice: 1\nsettings: {data: data, adapters: [.]}\nchannels:\n  in: {type: http, listen: 127.0.0.1:0}\n"
		   "destinations:\n  out: {type: http, url: \"http://127.0.0.1:1/\"}\nstreams:\n  copy:\n    to: out\n%s\nsubscriptions:\n  - {stream: copy, channels: [in]}\n", streams);
	fclose(f);
	*p = plan_compile(path, &loader_files, open_them, h, k->d);
}

static void test_rendered_as_the_specification_says(void **state)
{
	(void)state;
	struct kit k;
	struct hold h = { NULL };
	struct plan *p;
	struct buf text = BUF_INIT;
	compile(&k, "    fields: {rename: {x: position.latitude}}\n    transforms: [{use: round-positions, with: {digits: 2}}, {use: mark, with: {need: 7}}]", &h, &p);
	diag_print(k.d, &text, false);
	if (!p)
		fail_msg("%s", text.p);
	assert_int_equal(adapters_run_vectors(h.a, p, k.d), 0);
	k.s = scripts_new(h.a, p, k.why, sizeof(k.why));
	if (!k.s)
		fail_msg("%s", k.why);
	struct message m;
	const char *stop;
	buf_adds(&k.input, "{\"ident\":\"a\",\"x\":1.23456,\"n\":1.0}");
	buf_reserve(&k.input, MESSAGE_PAD);
	assert_int_equal(message_index(&k.index, k.input.p, k.input.p + k.input.len, &m, &stop), JSON_OK);
	if (scripts_render(k.s, plan_stream(p, "copy")->rendering, &m, &k.call, &k.rows, k.why, sizeof(k.why)) != RENDER_OK)
		fail_msg("%s", k.why);
	assert_string_equal(k.rows.bytes.p, "{\"ident\":\"a\",\"position.latitude\":1.23,\"n\":1.0,\"mark\":\"x7\"}");
	scripts_free(k.s);
	k.s = NULL;
	plan_unref(p);
	adapters_free(h.a);
	buf_fini(&text);
	kit_close(&k);
}

/* Lists of lists, and mappings of what they please. */
static void test_options_reach_scripts_however_deep(void **state)
{
	(void)state;
	struct kit k;
	struct hold h = { NULL };
	struct plan *p;
	struct buf text = BUF_INIT;
	compile(&k, "    transforms: [{use: deep, with: {areas: {depot: [[0, 0], [0, 2.0], [2, 2]], \"no\": []}, corners: [[1, a], {x: {y: \"1\"}}, 5]}}]", &h, &p);
	diag_print(k.d, &text, false);
	if (!p)
		fail_msg("%s", text.p);
	k.s = scripts_new(h.a, p, k.why, sizeof(k.why));
	if (!k.s)
		fail_msg("%s", k.why);
	struct message m;
	const char *stop;
	buf_adds(&k.input, "{\"ident\":\"a\"}");
	buf_reserve(&k.input, MESSAGE_PAD);
	assert_int_equal(message_index(&k.index, k.input.p, k.input.p + k.input.len, &m, &stop), JSON_OK);
	if (scripts_render(k.s, plan_stream(p, "copy")->rendering, &m, &k.call, &k.rows, k.why, sizeof(k.why)) != RENDER_OK)
		fail_msg("%s", k.why);
	assert_string_equal(k.rows.bytes.p, "{\"areas\":{\"depot\":[[0,0],[0,2.0],[2,2]],\"no\":[]},\"corners\":[[1,\"a\"],{\"x\":{\"y\":\"1\"}},5]}");
	scripts_free(k.s);
	k.s = NULL;
	plan_unref(p);
	adapters_free(h.a);
	buf_fini(&text);
	kit_close(&k);
}

static void test_options_are_checked_as_yaml_is(void **state)
{
	(void)state;
	struct kit k;
	struct hold h = { NULL };
	struct plan *p;
	struct buf text = BUF_INIT;
	compile(&k, "    transforms: [{use: mark, with: {wiht: 7}}]", &h, &p);
	assert_null(p);
	diag_print(k.d, &text, false);
	if (!strstr(text.p, "did you mean \"with\"") || !strstr(text.p, "need") || !strstr(text.p, "sluice.yaml:10"))
		fail_msg("%s", text.p);
	adapters_free(h.a);
	buf_fini(&text);
	kit_close(&k);
}

/* What a destination of an adapter's type must be given. */
static void test_a_destination_needs_what_its_type_says(void **state)
{
	(void)state;
	static const struct { const char *destination, *want, *stream; } cases[] = {
		{ "{type: guarded, url: 'https://far/'}", "sluice.yaml:7:29: error[E028]: guarded takes messages over https only from clients it knows by their certificate", NULL },
		{ "{type: guarded, tls: {verify: false}, url: 'https://far/'}", "sluice.yaml:7:29: error[E028]", NULL },
		{ "{type: guarded}", "sluice.yaml:7:3: error[E013]: destination \"out\" has no url, and its type guarded makes none", NULL },
		{ "{type: guarded, url: 'http://far/'}", NULL, NULL }, /* for trying it on */
		{ "{type: worded}", NULL, NULL },
		{ "{type: worded}", "sluice.yaml:8:45: error[E016]: worded takes at most 50 messages in a batch", ", batch: {messages: 51}" },
		{ "{type: worded}", NULL, ", batch: {messages: 50}" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kit k;
		struct hold h = { NULL };
		struct buf text = BUF_INIT;
		char path[128];
		kit_begin(&k);
		kit_file(&k, "guarded", "return {transport = 'http', certificate = true}");
		kit_file(&k, "worded", "return {transport = 'http', body = {most = 50}, request = function() return {url = 'https://far/'} end}");
		snprintf(path, sizeof(path), "%s/sluice.yaml", k.dir);
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		fprintf(f, "sluice: 1\nsettings: {data: data, adapters: [.]}\nchannels:\n  in: {type: http, listen: 127.0.0.1:0}\n\ndestinations:\n  out: %s\n"
			   "streams: {copy: {to: out%s}}\nsubscriptions: [{stream: copy, channels: [in]}]\n", cases[i].destination,
			cases[i].stream ? cases[i].stream : "");
		fclose(f);
		struct plan *p = plan_compile(path, &loader_files, open_them, &h, k.d);
		diag_print(k.d, &text, false);
		if (cases[i].want ? p || !strstr(text.p, cases[i].want) : !p)
			fail_msg("%s: %s", cases[i].destination, text.p);
		if (p && strstr(cases[i].destination, "worded"))
			assert_int_equal(plan_stream(p, "copy")->batch_messages, 50);
		plan_unref(p);
		adapters_free(h.a);
		buf_fini(&text);
		kit_close(&k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rendered_as_the_specification_says),
		cmocka_unit_test(test_options_reach_scripts_however_deep), cmocka_unit_test(test_options_are_checked_as_yaml_is),
		cmocka_unit_test(test_a_destination_needs_what_its_type_says) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
