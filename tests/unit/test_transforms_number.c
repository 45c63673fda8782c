/* Doubles as text: exact, shortest, and the kind kept. */
#include "unit.h"

#include <math.h>

#include "transforms/number.h"

static const char *text(double v)
{
	static char out[NUMBER_TEXT_MAX + 1];
	unsigned n = number_write_double(out, v);
	assert_true(n < NUMBER_TEXT_MAX);
	out[n] = '\0';
	return out;
}

/* Significant digits of a decimal text. */
static int digits_of(const char *s)
{
	int n = 0, zeros = 0;
	bool begun = false;
	for (; *s && *s != 'e'; s++) {
		if (*s < '0' || *s > '9')
			continue;
		begun = begun || *s != '0';
		if (!begun)
			continue;
		if (*s == '0') {
			zeros++;
		} else {
			n += zeros + 1;
			zeros = 0;
		}
	}
	return n;
}

static void check(double v)
{
	const char *s = text(v);
	char shortest[40];
	int digits = 0;
	if (strtod(s, NULL) != v)
		fail_msg("%.17g became %s", v, s);
	assert_non_null(strpbrk(s, ".e"));
	assert_int_equal(signbit(strtod(s, NULL)), signbit(v));
	do
		snprintf(shortest, sizeof(shortest), "%.*e", digits, v);
	while (strtod(shortest, NULL) != v && ++digits < 17);
	if (digits_of(s) > digits_of(shortest))
		fail_msg("%s is not the shortest: %s", s, shortest);
}

static void test_known(void **state)
{
	(void)state;
	static const struct { double v; const char *want; } known[] = { { 1.0, "1.0" }, { 0.0, "0.0" }, { -0.0, "-0.0" }, { 0.1, "0.1" }, { -1.5, "-1.5" }, { 100.0, "100.0" },
		{ 0.1 + 0.2, "0.30000000000000004" }, { 54.687157, "54.687157" }, { 45.452595614, "45.452595614" }, { 1732300000.123, "1732300000.123" }, { 182311.42, "182311.42" },
		{ 27.812, "27.812" }, { 1e15, "1000000000000000.0" }, { 1e22, "1e+22" }, { 123456789.125, "123456789.125" }, { 5e-324, "4.94065645841247e-324" },
		{ 1.7976931348623157e308, "1.7976931348623157e+308" }, { 0.000123, "0.000123" }, { 1e-7, "1e-07" }, { 9007199254740993.0, "9007199254740992.0" },
		{ 62.0 * 0.621371, "38.525002" }, { 1.0 / 3, "0.3333333333333333" }, { 2.0 / 3, "0.6666666666666666" } };
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		assert_string_equal(text(known[i].v), known[i].want);
}

static void test_made_up(void **state)
{
	(void)state;
	uint64_t x = 88172645463325252ull;
	for (int i = 0; i < 30000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		double any;
		memcpy(&any, &x, sizeof(any));
		if (isfinite(any) && fpclassify(any) == FP_NORMAL)
			check(any);
		check((double)(int64_t)x / 1e6);
		check((double)(int32_t)x / 1e7);
		check((double)(x % 1000000) / 997);
		check(ldexp(1, (int)(x % 60) - 20)); /* powers of two: the gap below is half the gap above */
		check(nextafter(ldexp(1, (int)(x % 60) - 20), 0));
		check((double)(x % 100000) * 0.621371);
	}
}

static void test_integers(void **state)
{
	(void)state;
	static const int64_t known[] = { 0, 1, -1, 9, 10, -10, 1234567890123456789, INT64_MAX, INT64_MIN };
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		char out[NUMBER_TEXT_MAX + 1], want[32];
		out[number_write_int(out, known[i])] = '\0';
		snprintf(want, sizeof(want), "%lld", (long long)known[i]);
		assert_string_equal(out, want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_known), cmocka_unit_test(test_made_up), cmocka_unit_test(test_integers) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
