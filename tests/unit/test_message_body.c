/* The messages of a body, and what is wrong with it when there is something. */
#include "message/body.h"
#include "unit.h"

#include "base/buf.h"

static struct index ix;

/* What reading the body gives, as text: `m{…}` a message, `!3:reason;` a bad one, `.` the end, `#12:reason` a fault. */
static const char *read_body_n(const char *text, size_t n, const char *at)
{
	static struct buf out = BUF_INIT, bytes = BUF_INIT;
	struct body b;
	struct message m;

	buf_clear(&out);
	buf_clear(&bytes);
	buf_add(&bytes, text, n);
	buf_reserve(&bytes, MESSAGE_PAD);
	memset(bytes.p + n, '}', MESSAGE_PAD);
	body_open(&b, bytes.p, n, at);
	for (unsigned i = 0;; i++) {
		enum body_step step = body_next(&b, &ix, &m);
		if (step == BODY_MESSAGE) {
			assert_int_equal(b.index, i);
			assert_ptr_equal(b.item, m.bytes);
			assert_int_equal(b.item_len, m.len);
			buf_adds(&out, "m");
			buf_add(&out, m.bytes, m.len);
		} else if (step == BODY_BAD_MESSAGE) {
			assert_int_equal(b.index, i);
			buf_addf(&out, "!%u:%s:%.*s;", b.index, b.reason, (int)b.item_len, b.item);
		} else if (step == BODY_END) {
			buf_adds(&out, ".");
			assert_int_equal(body_next(&b, &ix, &m), BODY_END);
			return out.p;
		} else {
			buf_addf(&out, "#%zu:%s", b.position, b.reason);
			assert_true(b.position <= n);
			assert_int_equal(body_next(&b, &ix, &m), BODY_FAULT);
			return out.p;
		}
	}
}

static const char *read_body(const char *text, const char *at)
{
	return read_body_n(text, strlen(text), at);
}

struct body_case { const char *text, *want; };

static void check(const struct body_case *c, size_t n, const char *at)
{
	for (size_t i = 0; i < n; i++)
		assert_string_equal(read_body(c[i].text, at), c[i].want);
}

static void test_objects_arrays_and_lines(void **state)
{
	(void)state;
	static const struct body_case cases[] = {
		{ "{}", "m{}." }, { " {\"a\":1}\n", "m{\"a\":1}." }, { "{\n \"a\": 1\n}\n", "m{\n \"a\": 1\n}." },
		{ "[]", "." }, { " [ ] ", "." }, { "[{}]", "m{}." }, { "[{\"a\":1},{\"b\":2}]", "m{\"a\":1}m{\"b\":2}." }, { "[ {} , {} ]\r\n", "m{}m{}." },
		{ "{\"a\":1}\n{\"b\":2}", "m{\"a\":1}m{\"b\":2}." }, { "{}\r\n\r\n\n{}\n\n", "m{}m{}." }, { "\n{}\n  {}\n", "m{}m{}." },
		/* what is no message stands alone */
		{ "[1,{},\"x\"]", "!0:not a JSON object:1;m{}!2:not a JSON object:\"x\";." }, { "[{\"a\":1,\"a\":2},{}]", "!0:a key stands twice:{\"a\":1,\"a\":2};m{}." },
		{ "[[{}],{}]", "!0:not a JSON object:[{}];m{}." }, { "{}\n[{}]\n{}", "m{}!1:not a JSON object:[{}];m{}." }, { "{\"a\":1,\"a\":2}", "!0:a key stands twice:{\"a\":1,\"a\":2};." },
		/* faults */
		{ "", "#0:the body is empty" }, { " \r\n", "#3:the body is nothing but white space" }, { "\xEF\xBB\xBF{}", "#0:begins with a byte order mark: send UTF-8 without one" },
		{ "\xFF\xFE{", "#0:UTF-16: send UTF-8" }, { "hello", "#0:not JSON: an object or an array was expected" }, { "1", "#0:not JSON: an object or an array was expected" },
		{ "\"a\"", "#0:not JSON: an object or an array was expected" }, { "{}{}", "m{}#2:not JSON: each object must begin on a line of its own" },
		{ "{} {}", "m{}#3:not JSON: each object must begin on a line of its own" }, { "{},{}", "m{}#2:not JSON: each object must begin on a line of its own" },
		{ "[{}]x", "m{}#4:not JSON: something follows the end of the value" }, { "[{}]\n[{}]", "m{}#5:not JSON: something follows the end of the value" },
		{ "[{},]", "m{}#4:not JSON" }, { "[,{}]", "#1:not JSON" }, { "[{}{}]", "m{}#3:not JSON" }, { "[{}", "m{}#3:not JSON: the body ends too early" },
		{ "[{},", "m{}#4:not JSON: the body ends too early" }, { "[", "#1:not JSON: the body ends too early" }, { "{\"a\":1", "#6:not JSON: the body ends too early" },
		{ "{\"a\":1}\n{\"b\":", "m{\"a\":1}#13:not JSON: the body ends too early" }, { "{}\nx", "m{}#3:not JSON" }, { "[{\"a\":\"\xFF\"}]", "#7:not UTF-8" },
		{ "[{\"a\":01}]", "#7:not JSON" }, { "[1,01]", "!0:not a JSON object:1;#4:not JSON" }, { "[{}}", "m{}#3:not JSON" },
	};
	check(cases, sizeof(cases) / sizeof(*cases), NULL);
	assert_string_equal(read_body_n("[{}]\0", 5, NULL), "m{}#4:not JSON: something follows the end of the value");
}

static void test_at_a_path(void **state)
{
	(void)state;
	static const struct body_case result[] = {
		{ "{\"result\":[{\"a\":1},{}]}", "m{\"a\":1}m{}." }, { "{\"x\":[{}],\"result\":[{\"a\":1}],\"y\":{\"result\":[]}} ", "m{\"a\":1}." },
		{ "{ \"result\" : [ ] , \"n\" : 1 }", "." }, { "{\"result\":{\"a\":1}}", "m{\"a\":1}." }, { "{\"r\\u0065sult\":[{}]}", "m{}." },
		{ "{\"result\":[1,{}]}", "!0:not a JSON object:1;m{}." },
		{ "[{}]", "#0:an object was expected, for `at` to look into" }, { "{}", "#1:the body has nothing where `at` points" },
		{ "{\"a\":1}", "#6:the body has nothing where `at` points" }, { "{\"result\":1}", "#10:`at` points to neither an array nor an object" },
		{ "{\"result\":[{}],\"result\":[]}", "m{}#15:a key of `at` stands twice" }, { "{\"result\":[{}]", "m{}#14:not JSON: the body ends too early" },
		{ "{\"result\":[{}],}", "m{}#15:not JSON" }, { "{\"result\":[{}],\"x\":01}", "m{}#20:not JSON" }, { "{\"x\":\"\xFF\",\"result\":[{}]}", "#6:not UTF-8" },
		{ "{\"result\":[{}]}{}", "m{}#15:not JSON: something follows the end of the value" }, { "{\"result\":", "#10:not JSON: the body ends too early" },
		{ "{\"result\":[{}],\"x\"}", "m{}#18:not JSON" }, { "{x:1}", "#1:not JSON" }, { "{\"x\":1 \"result\":[]}", "#7:not JSON" }, { "{\"x\":1", "#6:not JSON: the body ends too early" },
	};
	static const struct body_case deep[] = {
		{ "{\"data\":{\"list\":[{\"a\":1}]}}", "m{\"a\":1}." }, { "{\"q\":{\"list\":1},\"data\":{\"x\":1,\"list\":[{}],\"y\":[2]},\"z\":null}", "m{}." },
		{ "{\"data\":[]}", "#8:`at` leads through something that is no object" }, { "{\"data\":{}}", "#9:the body has nothing where `at` points" },
		{ "{\"data\":{\"list\":[{}]}", "m{}#21:not JSON: the body ends too early" }, { "{\"data\":{\"list\":[{}]},\"data\":1}", "m{}#22:a key of `at` stands twice" },
		{ "{\"data\":{\"list\":[{}],\"data\":1},\"list\":2}", "m{}." },
	};
	check(result, sizeof(result) / sizeof(*result), "result");
	check(result, sizeof(result) / sizeof(*result), "$.result");
	check(deep, sizeof(deep) / sizeof(*deep), "data.list");
}

static void test_paths(void **state)
{
	(void)state;
	assert_true(body_at_valid("a"));
	assert_true(body_at_valid("a.b"));
	assert_true(body_at_valid("$.a.b"));
	assert_true(body_at_valid("1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16"));
	assert_false(body_at_valid("1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17"));
	assert_false(body_at_valid(""));
	assert_false(body_at_valid("$."));
	assert_false(body_at_valid("."));
	assert_false(body_at_valid("a."));
	assert_false(body_at_valid(".a"));
	assert_false(body_at_valid("a..b"));
}

/* Of 1000 messages each comes out once, in order, whatever their size does to the blocks the pass reads in. */
static void test_long_lists(void **state)
{
	(void)state;
	struct buf text = BUF_INIT;
	for (int lines = 0; lines < 2; lines++) {
		struct body b;
		struct message m;
		buf_clear(&text);
		buf_adds(&text, lines ? "" : "[");
		for (int i = 0; i < 1000; i++)
			buf_addf(&text, "%s{\"n\":%d,\"fill\":\"%.*s\"}", i ? lines ? "\n" : "," : "", i, i % 150, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
		buf_adds(&text, lines ? "" : "]");
		buf_reserve(&text, MESSAGE_PAD);
		memset(text.p + text.len, '"', MESSAGE_PAD);
		body_open(&b, text.p, text.len, NULL);
		for (int i = 0; i < 1000; i++) {
			int64_t v;
			assert_int_equal(body_next(&b, &ix, &m), BODY_MESSAGE);
			assert_int_equal(m.n, 2);
			assert_int_equal(slice_int64(&m, &m.slices[0], &v), 0);
			assert_int_equal(v, i);
		}
		assert_int_equal(body_next(&b, &ix, &m), BODY_END);
	}
	buf_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects_arrays_and_lines),
		cmocka_unit_test(test_at_a_path),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_long_lists),
	};
	index_init(&ix);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	index_fini(&ix);
	return failed;
}
