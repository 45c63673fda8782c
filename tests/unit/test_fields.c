/* `fields:` chooses and renames; values keep their bytes, order stays, no name is ever written twice. */
#include "base/arena.h"
#include "base/buf.h"
#include "message/message.h"
#include "plan/fields.h"
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

static struct fields *compiled(const char *yaml)
{
	struct node *map = tree_read_text(arena, "f.yaml", yaml, strlen(yaml), 0, diag);
	assert_non_null(map);
	return fields_compile(arena, map, diag);
}

static struct message message_of(const char *json, size_t len)
{
	char *room = arena_alloc(arena, len + MESSAGE_PAD);
	struct message m;
	const char *stop;

	memcpy(room, json, len);
	if (message_index(&ix, room, room + len, &m, &stop) != JSON_OK)
		fail_msg("no message: %s", json);
	return m;
}

static const char *applied(const struct fields *f, const char *json)
{
	struct message m = message_of(json, strlen(json));

	buf_clear(&out);
	buf_adds(&out, "before");
	fields_apply(f, &m, &out);
	assert_memory_equal(out.p, "before", 6);
	assert_int_equal(strlen(out.p), out.len);
	return out.p + 6;
}

struct one { const char *yaml, *in, *want; };

static void check_all(const struct one *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct fields *f = compiled(cases[i].yaml);
		if (!f)
			fail_msg("%s is refused", cases[i].yaml);
		if (strcmp(applied(f, cases[i].in), cases[i].want) != 0)
			fail_msg("%s of %s: %s", cases[i].yaml, cases[i].in, out.p + 6);

		/* in normal form it means the same, and prints the same */
		struct buf once = BUF_INIT, twice = BUF_INIT;
		fields_print(f, &once);
		f = compiled(once.p);
		if (!f)
			fail_msg("printed %s", once.p);
		fields_print(f, &twice);
		assert_string_equal(once.p, twice.p);
		assert_string_equal(applied(f, cases[i].in), cases[i].want);
		buf_fini(&once);
		buf_fini(&twice);
	}
}
#define CHECK(cases) check_all(cases, sizeof(cases) / sizeof(*(cases)))

static void test_keep_and_drop(void **state)
{
	(void)state;
	static const struct one cases[] = {
		{ "{}", "{ \"b\" : 1 , \"a\" : [ 1, 2 ] }", "{\"b\":1,\"a\":[ 1, 2 ]}" },
		{ "{keep: [a]}", "{\"b\":1,\"a\":2,\"ab\":3}", "{\"a\":2}" },
		{ "{keep: [x]}", "{\"b\":1,\"a\":2}", "{}" },
		{ "{keep: [a]}", "{}", "{}" },
		{ "{keep: [c, a]}", "{\"a\":1,\"b\":2,\"c\":3}", "{\"a\":1,\"c\":3}" },
		{ "{keep: [\"position.*\"]}", "{\"position\":0,\"position.\":1,\"position.a\":2,\"xposition.a\":3}", "{\"position.\":1,\"position.a\":2}" },
		{ "{keep: [\"*.status\"]}", "{\"status\":0,\"a.status\":1,\"a.status.b\":2}", "{\"a.status\":1}" },
		{ "{keep: [\"a.*.c\"]}", "{\"a.c\":0,\"a.b.c\":1,\"a..c\":2,\"a.b.d\":3}", "{\"a.b.c\":1,\"a..c\":2}" },
		{ "{keep: [\"*a*b*\"]}", "{\"ab\":0,\"xaybz\":1,\"ba\":2}", "{\"ab\":0,\"xaybz\":1}" },
		{ "{keep: [\"*\"]}", "{\"ab\":0,\"\":1}", "{\"ab\":0,\"\":1}" },
		{ "{drop: [a, \"din*\"]}", "{\"a\":1,\"b\":2,\"din\":3,\"din.1\":4,\"di\":5}", "{\"b\":2,\"di\":5}" },
		{ "{keep: [\"a*\"], drop: [ab]}", "{\"a\":1,\"ab\":2,\"abc\":3}", "{\"a\":1,\"abc\":3}" },
		{ "{keep: a}", "{\"a\":1,\"b\":2}", "{\"a\":1}" },
	};
	CHECK(cases);
}

static void test_rename(void **state)
{
	(void)state;
	static const struct one cases[] = {
		{ "{rename: {ident: imei}}", "{\"ident\":\"1\",\"b\":2}", "{\"imei\":\"1\",\"b\":2}" },
		{ "{rename: {\"can.*\": \"bus.*\"}}", "{\"can.a.b\":1,\"can.\":2,\"can\":3,\"xcan.a\":4}", "{\"bus.a.b\":1,\"bus.\":2,\"can\":3,\"xcan.a\":4}" },
		{ "{rename: {\"*.status\": \"is.*\"}}", "{\"a.status\":1,\"status\":2}", "{\"is.a\":1,\"status\":2}" },
		{ "{rename: {\"a.*.c\": \"x.*.z\"}}", "{\"a.b.c\":1,\"a.c\":2}", "{\"x.b.z\":1,\"a.c\":2}" },
		{ "{rename: {\"*\": \"v.*\"}}", "{\"a\":1,\"b\":2}", "{\"v.a\":1,\"v.b\":2}" },
		{ "{rename: {\"*\": \"v.*\", a: first}}", "{\"a\":1,\"b\":2}", "{\"first\":1,\"v.b\":2}" },
		{ "{rename: {\"a*\": \"x*\", \"ab*\": \"y*\"}}", "{\"abc\":1}", "{\"xbc\":1}" },
		{ "{rename: {a: b, b: a}}", "{\"a\":1,\"b\":2}", "{\"b\":1,\"a\":2}" },
		{ "{rename: {a: \"say \\\"hi\\\"\"}}", "{\"a\":1}", "{\"say \\\"hi\\\"\":1}" },
		{ "{keep: [a], rename: {a: b}}", "{\"a\":1,\"b\":2}", "{\"b\":1}" },
		{ "{rename: {a: \"\\L\\P\\u0085\\uFEFF\\x7f\\u0001\"}}", "{\"a\":1}", "{\"\u2028\u2029\xc2\x85\xef\xbb\xbf\x7f\\u0001\":1}" },
		{ "{drop: [b], rename: {a: b}}", "{\"a\":1,\"b\":2}", "{\"b\":1}" },
	};
	CHECK(cases);
}

static void test_notation(void **state)
{
	(void)state;
	static const struct one cases[] = {
		{ "{notation: dots}", "{\"a.b\":1}", "{\"a.b\":1}" },
		{ "{notation: snake}", "{\"ident\":0,\"position.speed\":1,\"ain#1\":2,\"din.1\":3,\"A.b_c\":4}",
			"{\"ident\":0,\"position_speed\":1,\"ain_1\":2,\"din_1\":3,\"A_b_c\":4}" },
		{ "{notation: camel}", "{\"ident\":0,\"position.speed\":1,\"ain#1\":2,\"engine.ignition.status\":3,\"a.B\":4,\"\xc3\xa4.b\":5}",
			"{\"Ident\":0,\"PositionSpeed\":1,\"Ain1\":2,\"EngineIgnitionStatus\":3,\"AB\":4,\"\xc3\xa4" "B\":5}" },
		{ "{notation: camel}", "{\"..\":0,\"\":1,\"a..b\":2,\".c\":3}", "{\"..\":0,\"\":1,\"AB\":2,\"C\":3}" },
		{ "{notation: snake, rename: {position.speed: kmh.now}}", "{\"position.speed\":1,\"position.valid\":true}", "{\"kmh.now\":1,\"position_valid\":true}" },
		{ "{notation: snake, keep: [\"position.*\"]}", "{\"position.speed\":1,\"position_speed\":2}", "{\"position_speed\":1}" },
	};
	CHECK(cases);
}

static void test_no_name_is_written_twice(void **state)
{
	(void)state;
	static const struct one cases[] = {
		{ "{notation: snake}", "{\"a.b\":1,\"a_b\":2,\"a#b\":3,\"c\":4}", "{\"a_b\":1,\"c\":4}" },
		{ "{notation: camel}", "{\"x\":0,\"din.1\":1,\"din1\":2,\"Din1\":3}", "{\"X\":0,\"Din1\":1}" },
		/* what rename named wins, whatever the order */
		{ "{rename: {ident: imei}}", "{\"imei\":1,\"ident\":2,\"z\":3}", "{\"imei\":2,\"z\":3}" },
		{ "{rename: {ident: imei}}", "{\"ident\":2,\"imei\":1,\"z\":3}", "{\"imei\":2,\"z\":3}" },
		{ "{rename: {a: x, b: x}}", "{\"x\":0,\"b\":1,\"a\":2}", "{\"x\":1}" },
		{ "{rename: {a: x, b: x}}", "{\"first\":true,\"x\":0,\"mid\":[1],\"b\":1,\"a\":2,\"last\":{}}", "{\"first\":true,\"mid\":[1],\"x\":1,\"last\":{}}" },
		{ "{rename: {\"a*\": \"b*\"}}", "{\"b1\":1,\"b2\":2,\"a2\":3,\"a1\":4,\"c\":5}", "{\"b2\":3,\"b1\":4,\"c\":5}" },
		{ "{notation: snake, rename: {x: a_b}}", "{\"a.b\":1,\"x\":2}", "{\"a_b\":2}" },
		/* an escape is no way around it */
		{ "{notation: snake}", "{\"a.b\":1,\"a\\u005fb\":2}", "{\"a_b\":1}" },
		{ "{rename: {x: \"q\\\"\"}}", "{\"q\\u0022\":1,\"x\":2}", "{\"q\\\"\":2}" },
	};
	CHECK(cases);
}

static void test_keys_with_escapes(void **state)
{
	(void)state;
	static const struct one cases[] = {
		{ "{keep: [abc]}", "{\"a\\u0062c\":1}", "{\"abc\":1}" },
		{ "{drop: [abc]}", "{\"a\\u0062c\":1}", "{}" },
		{ "{notation: snake}", "{\"a\\\".\\n\":1,\"b\\u002ec\":2}", "{\"a\\\"_\\n\":1,\"b_c\":2}" },
		{ "{rename: {\"a*\": \"b*\"}}", "{\"a\\\\x\":1}", "{\"b\\\\x\":1}" },
		{ "{rename: {\"*\": \"\\\"*\\\"\"}}", "{\"a\\\\\":1,\"c\":2}", "{\"\\\"a\\\\\\\"\":1,\"\\\"c\\\"\":2}" },
	};
	CHECK(cases);
}

static void test_values_keep_their_bytes(void **state)
{
	(void)state;
	static const struct one cases[] = {
		{ "{notation: snake}", "{\"a.a\":1.0,\"a.b\":1e2,\"a.c\":12345678901234567890,\"a.d\":\"\\u00e4\\/\",\"a.e\":{\"x.y\":[1, 2.50]},\"a.f\":-0.0}",
			"{\"a_a\":1.0,\"a_b\":1e2,\"a_c\":12345678901234567890,\"a_d\":\"\\u00e4\\/\",\"a_e\":{\"x.y\":[1, 2.50]},\"a_f\":-0.0}" },
		{ "{drop: [x]}", "{\"a\":\n[1,\r\n2]\n,\n\"x\":1}", "{\"a\":[1,  2]}" }, /* one line */
	};
	CHECK(cases);
}

/* Against a slow, plain notion of what must come out: every name once, of those that end alike the one named by rename, else the first. */
static void test_many_fields(void **state)
{
	(void)state;
	struct buf json = BUF_INIT;
	struct message m;
	struct index again;
	const char *stop;
	unsigned n = MESSAGE_FIELDS_MAX;
	struct fields *f = compiled("{notation: snake, rename: {\"r.*\": \"a_*\"}}");

	buf_addc(&json, '{');
	for (unsigned i = 0; i < n / 4; i++) /* a.0 a_0 and r.0 all become a_0; r.0 has it */
		buf_addf(&json, "%s\"a.%u\":%u,\"b.%u\":0,\"a_%u\":1,\"r.%u\":\"r%u\"", i ? "," : "", i, i, i, i, i, i);
	buf_addc(&json, '}');
	m = message_of(json.p, json.len);
	buf_clear(&out);
	fields_apply(f, &m, &out);
	index_init(&again);
	buf_reserve(&out, MESSAGE_PAD);
	assert_int_equal(message_index(&again, out.p, out.p + out.len, &m, &stop), JSON_OK); /* which refuses a name given twice */
	assert_int_equal(m.n, n / 2);
	for (unsigned i = 0; i < n / 4; i++) {
		char key[16], want[16];
		snprintf(key, sizeof(key), "a_%u", i);
		snprintf(want, sizeof(want), "\"r%u\"", i);
		const struct slice *s = message_find(&m, key, strlen(key));
		assert_non_null(s);
		assert_int_equal(s->vlen, strlen(want));
		assert_memory_equal(m.bytes + s->value, want, s->vlen);
	}
	index_fini(&again);
	buf_fini(&json);
}

static void test_normal_form(void **state)
{
	(void)state;
	static const char yaml[] = "rename: {\"can.*\": \"bus.*\", ident: \"yes\"}\ndrop: [ \"-x\", din#1]\nkeep: ident\nnotation: camel\n";
	struct buf text = BUF_INIT;

	fields_print(compiled(yaml), &text);
	assert_string_equal(text.p, "{notation: camel, keep: [ident], drop: [\"-x\", din#1], rename: {\"can.*\": \"bus.*\", ident: \"yes\"}}");
	buf_clear(&text);
	fields_print(compiled("{notation: dots}"), &text);
	assert_string_equal(text.p, "{}");
	buf_fini(&text);
}

static void test_problems(void **state)
{
	(void)state;
	static const struct { const char *yaml, *words; } cases[] = {
		{ "[a]", "a mapping is expected, not a list" },
		{ "{notation: Snake}", "did you mean \"snake\"" },
		{ "{notation: [snake]}", "dots, snake or camel is expected, not a list" },
		{ "{kep: [a]}", "did you mean \"keep\"" },
		{ "{keep: {a: 1}}", "a list of parameters is expected, not a mapping" },
		{ "{keep: [[a]]}", "the name of a parameter is expected, not a list" },
		{ "{keep: [\"\"]}", "not an empty text" },
		{ "{rename: [a]}", "old and new names are expected, not a list" },
		{ "{rename: {a: [b]}}", "a new name is expected, not a list" },
		{ "{rename: {a: \"\"}}", "not an empty text" },
		{ "{rename: {\"a*\": b}}", "either both names have one asterisk or neither has" },
		{ "{rename: {a: \"b*\"}}", "either both names have one asterisk or neither has" },
		{ "{rename: {\"a**\": \"b**\"}}", "either both names have one asterisk or neither has" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct diag *d = diag_new();
		struct node *map = tree_read_text(arena, "f.yaml", cases[i].yaml, strlen(cases[i].yaml), 0, d);
		buf_clear(&out);
		if (fields_compile(arena, map, d))
			fail_msg("%s is taken", cases[i].yaml);
		diag_print(d, &out, false);
		if (diag_errors(d) != 1 || !strstr(out.p, cases[i].words))
			fail_msg("%s:\n%s", cases[i].yaml, out.p);
		diag_free(d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_keep_and_drop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rename, setup, teardown),
		cmocka_unit_test_setup_teardown(test_notation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_name_is_written_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_with_escapes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values_keep_their_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(test_normal_form, setup, teardown),
		cmocka_unit_test_setup_teardown(test_problems, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
