/* Clocks advance, and times are written in UTC with microseconds. */
#include "base/clock.h"
#include "unit.h"

#include <time.h>

static void test_clocks_run(void **state)
{
	(void)state;
	int64_t mono = clock_mono_us(), boot = clock_boot_us();
	nanosleep(&(struct timespec){ .tv_nsec = 3000000 }, NULL);
	assert_in_range(clock_mono_us() - mono, 3000, 10000000);
	assert_in_range(clock_boot_us() - boot, 3000, 10000000);
	assert_in_range(clock_real_us() / 1000000 - time(NULL) + 2, 0, 4);
}

static void test_format(void **state)
{
	(void)state;
	char out[32];
	assert_string_equal(clock_format(0, out), "1970-01-01T00:00:00.000000Z");
	assert_ptr_equal(clock_format(1, out), out);
	assert_string_equal(clock_format(1732300000123456, out), "2024-11-22T18:26:40.123456Z");
	assert_string_equal(clock_format(-1, out), "1969-12-31T23:59:59.999999Z");
	assert_string_equal(clock_format(-1000000, out), "1969-12-31T23:59:59.000000Z");
	assert_string_equal(clock_format(951782400000000, out), "2000-02-29T00:00:00.000000Z");
	assert_true(strlen(clock_format(INT64_MAX, out)) < 32);
	assert_true(strlen(clock_format(INT64_MIN, out)) < 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clocks_run),
		cmocka_unit_test(test_format),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
