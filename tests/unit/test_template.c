/* {parameters} in url, headers and topic: read with their places, filled in without letting a value say more than itself. */
#include "base/arena.h"
#include "base/buf.h"
#include "message/message.h"
#include "plan/plan.h"
#include "plan/template.h"
#include "spec/diag.h"
#include "spec/tree.h"
#include "unit.h"

static struct arena *arena;
static struct diag *diag;
static struct index ix;
static struct buf out;

static int setup(void **state)
{
	(void)state;
	arena = arena_new();
	diag = diag_new();
	index_init(&ix);
	buf_init(&out);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buf_fini(&out);
	index_fini(&ix);
	diag_free(diag);
	arena_free(arena);
	return 0;
}

static bool parse(const char *text, struct template *t)
{
	size_t len = strlen(text);
	unsigned characters = 0;
	struct source *s = source_new(arena, "t", text, len, 0);

	for (size_t i = 0; i < len; i++)
		characters += ((unsigned char)text[i] & 0xc0) != 0x80;
	struct node n = { .kind = NODE_SCALAR, .end_line = 1, .at = { s, 1, 1, characters }, .text = text, .len = len };

	return template_parse(arena, &n, t, diag);
}

static int written(const char *text, const char *json, bool encode, const char **missing)
{
	size_t len = strlen(json);
	char *room = arena_alloc(arena, len + MESSAGE_PAD);
	struct template t;
	struct message m;
	const char *stop;

	memcpy(room, json, len);
	assert_int_equal(message_index(&ix, room, room + len, &m, &stop), JSON_OK);
	assert_true(parse(text, &t));
	buf_clear(&out);
	buf_adds(&out, "before ");
	return template_write(&t, &m, encode, &out, missing);
}

static void test_written(void **state)
{
	(void)state;
	static const struct { const char *text, *json, *want, *plain; } cases[] = {
		{ "https://h/in", "{}", "https://h/in", NULL },
		{ "", "{}", "", NULL },
		{ "https://h/{device.id}/{ident}", "{\"ident\":\"35\",\"device.id\":17}", "https://h/17/35", NULL },
		{ "{a}{a}", "{\"a\":-1.50}", "-1.50-1.50", NULL },
		{ "{t}/{f}", "{\"t\":true,\"f\":false}", "true/false", NULL },
		{ "x{a}y", "{\"a\":\"a b/c?d&e#f%g+h\"}", "xa%20b%2Fc%3Fd%26e%23f%25g%2Bhy", "xa b/c?d&e#f%g+hy" },
		{ "{a}", "{\"a\":\"AZaz09-._~\"}", "AZaz09-._~", NULL },
		{ "{a}", "{\"a\":\"\\u00e4\\r\\n\\u0000\\\"\"}", "%C3%A4%0D%0A%00%22", NULL },
		{ "{a}", "{\"a\":\"\xc3\xa4\"}", "%C3%A4", "\xc3\xa4" },
		{ "{a}!", "{\"a\":\"\"}", "!", NULL },
		{ "{a}", "{\"a\":1e+5}", "1e%2B5", "1e+5" },
		{ "{{a}}{{{a}}}", "{\"a\":1}", "{a}{1}", NULL },
		{ "{ain#1}", "{\"ain#1\":1}", "1", NULL },
		{ "{a}", "{\"\\u0061\":\"b\"}", "b", NULL },
		{ "${env:X}{a}${file:/x{y}", "{\"a\":1}", "${env:X}1${file:/x{y}", NULL },
		{ "$${a}$", "{\"a\":1}", "$${a}$", NULL },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *missing = NULL;
		assert_int_equal(written(cases[i].text, cases[i].json, true, &missing), 0);
		assert_string_equal(out.p, arena_printf(arena, "before %s", cases[i].want));
		if (cases[i].plain) {
			assert_int_equal(written(cases[i].text, cases[i].json, false, &missing), 0);
			assert_string_equal(out.p, arena_printf(arena, "before %s", cases[i].plain));
		}
	}
}

static void test_missing_is_named_and_nothing_is_written(void **state)
{
	(void)state;
	static const char *const json[] = { "{\"a\":1}", "{\"a\":1,\"b\":null}", "{\"a\":1,\"b\":{}}", "{\"a\":1,\"b\":[1]}" };
	for (size_t i = 0; i < sizeof(json) / sizeof(*json); i++) {
		const char *missing = NULL;
		assert_int_equal(written("x{a}y{b}z{c}", json[i], true, &missing), -1);
		assert_string_equal(missing, "b");
		assert_string_equal(out.p, "before ");
		assert_int_equal(out.len, 7);
	}
}

static void test_read(void **state)
{
	(void)state;
	struct template t;

	assert_true(parse("https://{h.x}/{{{i}", &t));
	assert_string_equal(t.source, "https://{h.x}/{{{i}");
	assert_int_equal(t.nparams, 2);
	assert_string_equal(t.params[0], "h.x");
	assert_string_equal(t.params[1], "i");
	assert_string_equal(t.literals[0], "https://");
	assert_string_equal(t.literals[1], "/{");
	assert_string_equal(t.literals[2], "");
}

static void test_problems(void **state)
{
	(void)state;
	static const struct { const char *text; unsigned column; const char *words; } cases[] = {
		{ "ab{c", 3, "the { is never closed by }" }, { "a{b{c}}", 2, "the { is never closed by }" }, { "a{}", 2, "no parameter is named" },
		{ "a}b", 2, "no { stands before this }" }, { "{a b}", 1, "no blanks" }, { "{\"a\"}", 1, "quotes" }, { "\xc3\xa4{", 2, "never closed" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct template t;
		assert_false(parse(cases[i].text, &t));
		buf_clear(&out);
		diag_print(diag, &out, false);
		char place[16];
		snprintf(place, sizeof(place), "t:1:%u:", cases[i].column);
		if (diag_errors(diag) != 1 || strncmp(out.p, place, strlen(place)) != 0 || !strstr(out.p, cases[i].words))
			fail_msg("%s:\n%s", cases[i].text, out.p);
		diag_free(diag);
		diag = diag_new();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing_is_named_and_nothing_is_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_problems, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
