/* What a slice says: numbers, text, keys and times. */
#include "message/message.h"
#include "unit.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <time.h>

static struct index ix;

/* {"v":VALUE} as a message; the text stays until the next call. */
static struct message with(const char *value)
{
	static char text[2048];
	struct message m;
	const char *stop;
	int n = snprintf(text, sizeof(text) - MESSAGE_PAD, "{\"v\":%s}", value);
	assert_int_equal(message_index(&ix, text, text + n, &m, &stop), JSON_OK);
	return m;
}

static void test_doubles_are_rounded_correctly(void **state)
{
	(void)state;
	static const char *const same_as_strtod[] = { "0", "1", "-1", "0.1", "43.955218", "-0.000001", "1732300000.123456", "9007199254740992",
		"9007199254740993", "9007199254740993.0", "123456789012345678901234567890", "1e22", "1e23", "1.7976931348623157e308", "5e-324",
		"2.2250738585072011e-308", "0.30000000000000004", "3.141592653589793238462643383279", "1e-400", "8.5e15", "179769313486231570000e288",
		"0.0000000000000000000000001", "100000000000000000000000.0", "7205759403792793200001e-5", "-2147483647.792657" };
	for (size_t i = 0; i < sizeof(same_as_strtod) / sizeof(*same_as_strtod); i++) {
		struct message m = with(same_as_strtod[i]);
		double d, want = strtod(same_as_strtod[i], NULL);
		assert_int_equal(slice_double(&m, &m.slices[0], &d), 0);
		assert_memory_equal(&d, &want, sizeof(d));
	}
	struct message m = with("-0");
	double d;
	assert_int_equal(slice_double(&m, &m.slices[0], &d), 0);
	assert_true(d == 0 && signbit(d));
	static const char *const none[] = { "1e400", "-1e400", "\"1\"", "true", "null", "[1]" };
	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++) {
		m = with(none[i]);
		assert_int_equal(slice_double(&m, &m.slices[0], &d), -1);
	}
}

static void test_doubles_do_not_hear_the_locale(void **state)
{
	(void)state;
	const char *const commas[] = { "de_DE.UTF-8", "pl_PL.UTF-8", "fr_FR.UTF-8", "de_DE", "C.UTF-8" };
	for (size_t i = 0; i < 5 && !setlocale(LC_ALL, commas[i]); i++)
		;
	struct message m = with("1.2345678901234567890123");
	double d;
	assert_int_equal(slice_double(&m, &m.slices[0], &d), 0);
	setlocale(LC_ALL, "C");
	assert_true(d == 1.2345678901234567890123);
}

static void test_integers(void **state)
{
	(void)state;
	static const struct { const char *text; int result; int64_t value; } cases[] = {
		{ "0", 0, 0 }, { "-0", 0, 0 }, { "-1", 0, -1 }, { "9223372036854775807", 0, INT64_MAX }, { "-9223372036854775808", 0, INT64_MIN },
		{ "9223372036854775808", -1, 0 }, { "-9223372036854775809", -1, 0 }, { "12345678901234567890", -1, 0 }, { "1.0", -1, 0 },
		{ "1e3", -1, 0 }, { "\"1\"", -1, 0 }, { "true", -1, 0 }, { "99999999999999999999999999", -1, 0 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct message m = with(cases[i].text);
		int64_t v = 0;
		assert_int_equal(slice_int64(&m, &m.slices[0], &v), cases[i].result);
		assert_true(v == cases[i].value);
	}
}

static void test_booleans(void **state)
{
	(void)state;
	bool v = false;
	struct message m = with("true");
	assert_int_equal(slice_bool(&m, &m.slices[0], &v), 0);
	assert_true(v);
	m = with("false");
	assert_int_equal(slice_bool(&m, &m.slices[0], &v), 0);
	assert_false(v);
	m = with("1");
	assert_int_equal(slice_bool(&m, &m.slices[0], &v), -1);
}

static void test_text(void **state)
{
	(void)state;
	static const struct { const char *text, *want; size_t n; } cases[] = {
		{ "\"\"", "", 0 }, { "\"abc\"", "abc", 3 }, { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8 }, { "\"\\u0000x\"", "\0x", 2 },
		{ "\"\\u00e9\\u20AC\"", "\xC3\xA9\xE2\x82\xAC", 5 }, { "\"\\ud83d\\ude00\"", "\xF0\x9F\x98\x80", 4 }, { "\"\\ud800\"", "\xEF\xBF\xBD", 3 },
		{ "\"\\ud800\\ud800\\udc00\"", "\xEF\xBF\xBD\xF0\x90\x80\x80", 7 }, { "\"\\udc00x\"", "\xEF\xBF\xBDx", 4 }, { "\"\\ud800\\n\"", "\xEF\xBF\xBD\n", 4 },
		{ "\"\\udbff\\udfff\"", "\xF4\x8F\xBF\xBF", 4 }, { "\"\\ud83dz\"", "\xEF\xBF\xBDz", 4 }, { "\"\\u007f\\u0080\\u07ff\\u0800\"", "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80", 8 },
	};
	struct buf out = BUF_INIT, scratch = BUF_INIT;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct message m = with(cases[i].text);
		const char *p;
		size_t n;
		buf_clear(&out);
		buf_adds(&out, "=");
		assert_int_equal(slice_text(&m, &m.slices[0], &out), 0);
		assert_int_equal(out.len, cases[i].n + 1);
		assert_memory_equal(out.p + 1, cases[i].want, cases[i].n);
		assert_int_equal(slice_view(&m, &m.slices[0], &scratch, &p, &n), 0);
		assert_int_equal(n, cases[i].n);
		assert_memory_equal(p, cases[i].want, n);
	}
	struct message m = with("12");
	const char *p;
	size_t n;
	assert_int_equal(slice_text(&m, &m.slices[0], &out), -1);
	assert_int_equal(slice_view(&m, &m.slices[0], &scratch, &p, &n), -1);
	m = with("\"plain\"");
	slice_view(&m, &m.slices[0], &scratch, &p, &n);
	assert_ptr_equal(p, m.bytes + m.slices[0].value + 1); /* not copied */
	buf_fini(&out);
	buf_fini(&scratch);
}

static void test_keys(void **state)
{
	(void)state;
	struct message m = with("1,\"position.speed\":2,\"\\u0069dent\":3,\"q\\\"\":4,\"\\ud83d\\ude00z\":5,\"\":6");
	assert_int_equal(m.n, 6);
	assert_ptr_equal(message_find(&m, "v", 1), &m.slices[0]);
	assert_ptr_equal(message_find(&m, "position.speed", 14), &m.slices[1]);
	assert_ptr_equal(message_find(&m, "ident", 5), &m.slices[2]);
	assert_ptr_equal(message_find(&m, "q\"", 2), &m.slices[3]);
	assert_ptr_equal(message_find(&m, "\xF0\x9F\x98\x80z", 5), &m.slices[4]);
	assert_ptr_equal(message_find(&m, "", 0), &m.slices[5]);
	assert_null(message_find(&m, "\\u0069dent", 10));
	assert_null(message_find(&m, "iden", 4));
	assert_null(message_find(&m, "identt", 6));
	assert_null(message_find(&m, "position.speet", 14));
	assert_true(slice_key_is(&m, &m.slices[3], "q\"", 2));
	assert_false(slice_key_is(&m, &m.slices[3], "q\"x", 3));
	struct buf scratch = BUF_INIT;
	const char *p;
	size_t n;
	slice_key_view(&m, &m.slices[2], &scratch, &p, &n);
	assert_int_equal(n, 5);
	assert_memory_equal(p, "ident", 5);
	slice_key_view(&m, &m.slices[1], &scratch, &p, &n);
	assert_ptr_equal(p, m.bytes + m.slices[1].key);
	buf_fini(&scratch);
}

#define NONE INT64_MIN

static void test_times(void **state)
{
	(void)state;
	static const struct { const char *text; int64_t us; } cases[] = {
		{ "1732300000", 1732300000000000 }, { "1732300000.123456", 1732300000123456 }, { "1732300000.1234564999", 1732300000123456 },
		{ "1732300000.1234565", 1732300000123457 }, { "0", 0 }, { "-0.0", 0 }, { "-2147483647.792657", -2147483647792657 }, { "-0.5", -500000 },
		{ "1.7323e9", 1732300000000000 }, { "17323E+5", 1732300000000000 }, { "1732300000123456e-6", 1732300000123456 }, { "1e-6", 1 },
		{ "5e-7", 1 }, { "4e-7", 0 }, { "9e-8", 0 }, { "0.00000049", 0 }, { "0e999999999999", 0 }, { "1e999999999999", NONE }, { "1e-999999999999", 0 },
		{ "9223372036854.775807", INT64_MAX }, { "9223372036854.775808", NONE }, { "9223372036854.7758074", INT64_MAX }, { "9223372036854.7758075", NONE },
		{ "-9223372036854.775809", NONE }, { "99999999999999999999", NONE }, { "0.1e1", 1000000 }, { "123.456e-2", 1234560 }, { "0.999999999", 1000000 },
		{ "true", NONE }, { "null", NONE }, { "{}", NONE }, { "\"1732300000\"", NONE }, { "\"\"", NONE },
		{ "\"2026-11-22T22:03:23Z\"", 1795385003000000 }, { "\"2026-11-22 22:03:23Z\"", 1795385003000000 }, { "\"2026-11-22T22:03:23.5Z\"", 1795385003500000 },
		{ "\"2026-11-22T22:03:23,25Z\"", 1795385003250000 }, { "\"2026-11-22T22:03:23.1234567Z\"", 1795385003123457 }, { "\"2026-11-22T22:03:23.9999995Z\"", 1795385004000000 },
		{ "\"2026-11-23T00:03:23+02:00\"", 1795385003000000 }, { "\"2026-11-23T00:03:23+0200\"", 1795385003000000 }, { "\"2026-11-23T00:03:23+02\"", 1795385003000000 },
		{ "\"2026-11-22T17:33:23-04:30\"", 1795385003000000 }, { "\"1970-01-01T00:00:00Z\"", 0 }, { "\"1969-12-31T23:59:59.5Z\"", -500000 },
		{ "\"0000-01-01T00:00:00Z\"", -62167219200000000 }, { "\"9999-12-31T23:59:59Z\"", 253402300799000000 }, { "\"0000-02-29T00:00:00Z\"", -62162121600000000 },
		{ "\"2000-02-29T00:00:00Z\"", 951782400000000 }, { "\"2024-02-29T12:00:00Z\"", 1709208000000000 }, { "\"2016-12-31T23:59:60Z\"", 1483228800000000 },
		{ "\"2017-01-01T01:59:60+02:00\"", 1483228800000000 }, { "\"\\u0032026-11-22T22:03:23Z\"", 1795385003000000 },
		{ "\"2026-11-22T22:03:60Z\"", NONE }, { "\"2026-11-22T22:03:61Z\"", NONE }, { "\"2023-02-29T00:00:00Z\"", NONE }, { "\"1900-02-29T00:00:00Z\"", NONE },
		{ "\"2026-02-30T00:00:00Z\"", NONE }, { "\"2026-04-31T00:00:00Z\"", NONE }, { "\"2026-13-01T00:00:00Z\"", NONE }, { "\"2026-00-01T00:00:00Z\"", NONE },
		{ "\"2026-01-00T00:00:00Z\"", NONE }, { "\"2026-01-01T24:00:00Z\"", NONE }, { "\"2026-01-01T00:60:00Z\"", NONE }, { "\"2026-01-01T00:00:00\"", NONE },
		{ "\"2026-01-01T00:00Z\"", NONE }, { "\"2026-01-01\"", NONE }, { "\"26-01-01T00:00:00Z\"", NONE }, { "\"2026-1-01T00:00:00Z\"", NONE },
		{ "\"2026-01-01T00:00:00.Z\"", NONE }, { "\"2026-01-01T00:00:00Zx\"", NONE }, { "\" 2026-01-01T00:00:00Z\"", NONE }, { "\"2026-01-01T00:00:00+24:00\"", NONE },
		{ "\"2026-01-01T00:00:00+02:60\"", NONE }, { "\"2026-01-01T00:00:00+2\"", NONE }, { "\"2026-01-01T00:00:00+02:\"", NONE }, { "\"2026-01-01T00:00:00z\"", NONE },
		{ "\"2026-01-01_00:00:00Z\"", NONE }, { "\"2026-01-01T00:00:0\"", NONE }, { "\"-026-01-01T00:00:00Z\"", NONE }, { "\"+2026-01-01T00:00:00Z\"", NONE },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct message m = with(cases[i].text);
		int64_t us = NONE;
		int got = slice_time_us(&m, &m.slices[0], &us);
		if (got != (cases[i].us == NONE ? -1 : 0) || us != cases[i].us)
			fail_msg("%s: %d, %" PRId64 ", not %" PRId64, cases[i].text, got, us, cases[i].us);
	}
}

static void test_times_are_written_as_short_as_exact(void **state)
{
	(void)state;
	static const struct { int64_t us; const char *text; } cases[] = {
		{ 0, "0" }, { 1, "0.000001" }, { -1, "-0.000001" }, { 1732300000000000, "1732300000" }, { 1732300000500000, "1732300000.5" },
		{ 1732300000123456, "1732300000.123456" }, { -2147483647792657, "-2147483647.792657" }, { 1000000, "1" }, { 10, "0.00001" },
		{ INT64_MAX, "9223372036854.775807" }, { INT64_MIN, "-9223372036854.775808" }, { 1732300000001000, "1732300000.001" },
	};
	struct buf out = BUF_INIT;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		buf_clear(&out);
		time_us_write(&out, cases[i].us);
		assert_string_equal(out.p, cases[i].text);
		int64_t back;
		if (cases[i].us != INT64_MIN) {
			assert_int_equal(json_time_us(out.p, out.len, &back), 0);
			assert_true(back == cases[i].us);
		}
	}
	buf_fini(&out);
}

/* Every day of eight centuries, against the C library's own calendar. */
static void test_every_day(void **state)
{
	(void)state;
	for (int64_t day = -200000; day < 100000; day++) {
		time_t t = (time_t)(day * 86400);
		struct tm tm;
		char text[80];
		int64_t us;
		gmtime_r(&t, &tm);
		int n = snprintf(text, sizeof(text), "\"%04d-%02d-%02dT00:00:00Z\"", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
		assert_int_equal(json_time_us(text, (size_t)n, &us), 0);
		assert_true(us == day * 86400 * 1000000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_doubles_are_rounded_correctly),
		cmocka_unit_test(test_doubles_do_not_hear_the_locale),
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_booleans),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_times_are_written_as_short_as_exact),
		cmocka_unit_test(test_every_day),
	};
	index_init(&ix);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	index_fini(&ix);
	return failed;
}
