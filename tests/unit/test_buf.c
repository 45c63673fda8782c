/* A buf holds what was added, NUL-terminated after every call; JSON strings follow RFC 8259. */
#include "base/buf.h"
#include "unit.h"

#include <inttypes.h>

static void test_adds_are_kept_and_terminated(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	buf_adds(&b, "");
	assert_string_equal(b.p, "");
	for (int i = 0; i < 5000; i++) {
		buf_addc(&b, (char)('a' + i % 26));
		assert_int_equal(b.len, i + 1);
		assert_int_equal(b.p[b.len], '\0');
	}
	for (int i = 0; i < 5000; i++)
		assert_int_equal(b.p[i], 'a' + i % 26);
	buf_clear(&b);
	assert_int_equal(b.len, 0);
	assert_string_equal(b.p, "");
	buf_add(&b, "a\0b", 3);
	assert_memory_equal(b.p, "a\0b", 4);
	buf_fini(&b);
	assert_null(b.p);
	assert_int_equal(b.cap, 0);
}

static void test_no_allocation_at_working_size(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	buf_reserve(&b, 1000);
	char *p = b.p;
	for (int turn = 0; turn < 10; turn++) {
		buf_clear(&b);
		for (int i = 0; i < 1000; i++)
			buf_addc(&b, 'x');
		assert_ptr_equal(b.p, p);
	}
	buf_fini(&b);
}

static void test_formatted(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	buf_addf(&b, "%s=%d", "n", 5);
	buf_addf(&b, "%s", "");
	assert_string_equal(b.p, "n=5");
	for (size_t width = 40; width < 300; width++) { /* over every boundary of growth */
		buf_fini(&b);
		buf_addf(&b, "%*d", (int)width, 7);
		assert_int_equal(b.len, width);
		assert_int_equal(strlen(b.p), width);
		assert_int_equal(b.p[width - 1], '7');
	}
	buf_fini(&b);
}

static void test_u64(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	char want[32];
	uint64_t v = 0;
	for (int i = 0; i < 400; i++) {
		buf_clear(&b);
		buf_addu64(&b, v);
		snprintf(want, sizeof(want), "%" PRIu64, v);
		assert_string_equal(b.p, want);
		v = i < 200 ? v + 1 : v * 3 + 7;
	}
	buf_clear(&b);
	buf_addu64(&b, UINT64_MAX);
	assert_string_equal(b.p, "18446744073709551615");
	buf_fini(&b);
}

static void test_consume_and_take(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	buf_consume(&b, 0);
	buf_adds(&b, "hello world");
	buf_consume(&b, 6);
	assert_string_equal(b.p, "world");
	buf_consume(&b, 5);
	assert_string_equal(b.p, "");
	buf_adds(&b, "x");
	char *p = buf_take(&b);
	assert_string_equal(p, "x");
	free(p);
	assert_null(b.p);
	p = buf_take(&b);
	assert_string_equal(p, "");
	free(p);
}

static void assert_json(const char *in, size_t n, const char *want)
{
	struct buf b = BUF_INIT;
	buf_addjson(&b, in, n);
	assert_string_equal(b.p, want);
	assert_int_equal(b.len, strlen(want));
	buf_fini(&b);
}
#define JSON(in, want) assert_json(in, sizeof(in) - 1, want)
#define R "\xEF\xBF\xBD"

static void test_json(void **state)
{
	(void)state;
	JSON("", "\"\"");
	assert_json(NULL, 0, "\"\"");
	JSON("plain text / 123", "\"plain text / 123\"");
	JSON("a\"b\\c", "\"a\\\"b\\\\c\"");
	JSON("\b\t\n\f\r", "\"\\b\\t\\n\\f\\r\"");
	JSON("\0\x01\x1f\x7f", "\"\\u0000\\u0001\\u001f\x7f\"");
	JSON("za\xC5\xBC\xC3\xB3\xC5\x82\xC4\x87 \xE2\x82\xAC \xF0\x9F\x9A\x9A",
	     "\"za\xC5\xBC\xC3\xB3\xC5\x82\xC4\x87 \xE2\x82\xAC \xF0\x9F\x9A\x9A\"");
	JSON("\xF4\x8F\xBF\xBF\xED\x9F\xBF\xEE\x80\x80", "\"\xF4\x8F\xBF\xBF\xED\x9F\xBF\xEE\x80\x80\"");
}

static void test_json_replaces_what_is_not_utf8(void **state)
{
	(void)state;
	JSON("a\xFFz", "\"a" R "z\"");
	JSON("\x80\xBF", "\"" R R "\"");
	JSON("\xC0\xAF", "\"" R R "\"");             /* overlong */
	JSON("\xE0\x80\xAF", "\"" R R R "\"");       /* overlong */
	JSON("\xF0\x8F\xBF\xBF", "\"" R R R R "\""); /* overlong */
	JSON("\xED\xA0\x80", "\"" R R R "\"");       /* surrogate */
	JSON("\xF4\x90\x80\x80", "\"" R R R R "\""); /* beyond U+10FFFF */
	JSON("\xE2\x82", "\"" R "\"");               /* cut short: one replacement for the part that was right */
	JSON("\xF0\x9F\x9Az", "\"" R "z\"");
	JSON("\xC3\"", "\"" R "\\\"\"");             /* a quote behind half a character still is a quote */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_adds_are_kept_and_terminated),
		cmocka_unit_test(test_no_allocation_at_working_size),
		cmocka_unit_test(test_formatted),
		cmocka_unit_test(test_u64),
		cmocka_unit_test(test_consume_and_take),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_replaces_what_is_not_utf8),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
