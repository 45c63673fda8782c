/* Chunks packed and unpacked: what comes back is what went in, and damage is seen, never followed. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "store/pack.h"

static void round_trip(const char *p, size_t n, size_t most)
{
	struct buf packed = BUF_INIT;

	chunk_pack(&packed, p, n);
	assert_true(packed.len <= most);
	assert_true(chunk_unpack(&packed));
	assert_int_equal(packed.len, n);
	if (n)
		assert_memory_equal(packed.p, p, n);
	buf_fini(&packed);
}

static void what_goes_in_comes_out(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	round_trip("", 0, 1);
	round_trip("x", 1, 2);
	for (unsigned i = 0; i < 2000; i++)
		buf_addf(&b, "{\"ident\":\"%u\",\"position.latitude\":54.%u},", i, i * 7919);
	round_trip(b.p, b.len, b.len / 2);
	buf_clear(&b);
	srand(1);
	for (unsigned i = 0; i < 100000; i++)
		buf_addc(&b, (char)rand());
	round_trip(b.p, b.len, b.len + 1);
	buf_fini(&b);
}

static void damage_is_seen(void **state)
{
	struct buf good = BUF_INIT, text = BUF_INIT;

	(void)state;
	for (unsigned i = 0; i < 300; i++)
		buf_addf(&text, "{\"a\":%u},", i);
	chunk_pack(&good, text.p, text.len);
	srand(2);
	for (unsigned i = 0; i < 20000; i++) {
		struct buf bad = BUF_INIT;

		buf_add(&bad, good.p, i % 3 ? good.len : (size_t)rand() % (good.len + 1));
		if (bad.len)
			bad.p[(size_t)rand() % bad.len] ^= (char)(1 << rand() % 8);
		/* True is allowed (the chunk's own CRC looks next), but only with a sane length. */
		if (chunk_unpack(&bad))
			assert_true(bad.len <= good.len * 255);
		buf_fini(&bad);
	}
	buf_clear(&good);
	assert_false(chunk_unpack(&good));
	buf_add(&good, "\1\377\377\377\377x", 6);
	assert_false(chunk_unpack(&good));
	buf_fini(&good);
	buf_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_goes_in_comes_out),
		cmocka_unit_test(damage_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
