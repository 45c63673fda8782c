/* CRC-32C has the published values, and hardware and table agree on every length, offset and split. */
#include "base/crc.h"
#include "unit.h"

static void test_known_values(void **state)
{
	(void)state;
	unsigned char p[48];
	/* RFC 3720, appendix B.4 */
	memset(p, 0, 32);
	assert_int_equal(crc32c(0, p, 32), 0x8A9136AA);
	memset(p, 0xFF, 32);
	assert_int_equal(crc32c(0, p, 32), 0x62A8AB43);
	for (int i = 0; i < 32; i++)
		p[i] = (unsigned char)i;
	assert_int_equal(crc32c(0, p, 32), 0x46DD794E);
	for (int i = 0; i < 32; i++)
		p[i] = (unsigned char)(31 - i);
	assert_int_equal(crc32c(0, p, 32), 0x113FDB5C);
	/* the check value of the CRC catalogues */
	assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283);
	assert_int_equal(crc32c_scalar(0, "123456789", 9), 0xE3069283);
	assert_int_equal(crc32c(0, "", 0), 0);
}

static void test_twins_agree(void **state)
{
	(void)state;
	enum { SIZE = 40000 };
	unsigned char *p = malloc(SIZE);
	assert_non_null(p);
	uint32_t v = 1;
	for (int i = 0; i < SIZE; i++)
		p[i] = (unsigned char)((v = v * 1664525 + 1013904223) >> 24);
	for (size_t n = 0; n < 2000; n++)
		assert_int_equal(crc32c(0, p + n % 8, n), crc32c_scalar(0, p + n % 8, n));
	static const size_t edges[] = { 767, 768, 769, 1536, 12287, 12288, 12289, 13056, 24576, 36864, SIZE };
	for (size_t i = 0; i < sizeof(edges) / sizeof(*edges); i++) {
		uint32_t whole = crc32c_scalar(0, p, edges[i]);
		assert_int_equal(crc32c(0, p, edges[i]), whole);
		for (size_t split = 0; split < edges[i]; split += 1237)
			assert_int_equal(crc32c(crc32c(0, p, split), p + split, edges[i] - split), whole);
	}
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_values),
		cmocka_unit_test(test_twins_agree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
