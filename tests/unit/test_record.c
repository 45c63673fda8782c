/* Rows: FORMAT.md's worked example byte by byte, and no damaged byte is believed. */
#include "base/bytes.h"
#include "base/crc.h"
#include "store/record.h"
#include "unit.h"

#define POSITION UINT64_C(0x0006440000000001)

static void example(struct buf *value)
{
	struct entry_row table[2] = {
		{ .id = 11, .time_us = 5, .offset = 0, .len = 13, .text = 0, .ident_len = 1, .rows = 1, .number = 0 },
		{ .id = 12, .time_us = 6, .offset = 14, .len = 13, .text = 1, .ident_len = 1, .rows = 1, .source = 1, .number = 1 },
	};
	struct ref_name refs[2] = { { 1, 0 }, { 2, 0 } };
	struct buf texts = BUF_INIT;
	struct chunk_head h = { .position = POSITION, .arrived = 99, .n = 2, .total = 2, .nrefs = 2 };
	buf_adds(&texts, "78");
	buf_adds(value, "{\"ident\":\"7\"},{\"ident\":\"8\"}");
	chunk_encode(value, &h, table, &texts, refs);
	assert_ptr_equal(h.table, value->p + 27);
	buf_fini(&texts);
}

static void test_the_worked_example(void **state)
{
	(void)state;
	struct buf v = BUF_INIT;
	struct chunk_head h;
	example(&v);
	assert_int_equal(v.len, 27 + 2 * 48 + 2 + 2 * 8 + 44);
	const char *tail = v.p + v.len - 44;
	assert_int_equal(get_le64(tail), POSITION);
	assert_int_equal(get_le32(tail + 16), 27);
	assert_int_equal(get_le32(tail + 20), 2);
	assert_int_equal(get_le16(tail + 28), 2);
	assert_int_equal(get_le16(tail + 30), 2);
	assert_int_equal(get_le32(tail + 32), 2);
	assert_int_equal(get_le32(tail + 40), crc32c(0, v.p, v.len - 4));
	assert_true(chunk_decode(v.p, v.len, &h));
	assert_int_equal(h.arrived, 99);
	assert_memory_equal(v.p + chunk_row(&h, 1).offset, "{\"ident\":\"8\"}", 13);
	assert_memory_equal(h.texts + chunk_row(&h, 1).text, "8", 1);
	assert_int_equal(chunk_ref(&h, 1).buffer, 2);
	struct key k = key_chunk(POSITION, 0);
	assert_int_equal(k.n, 13);
	assert_memory_equal(k.p, "b\x00\x06\x44\x00\x00\x00\x00\x01\x00\x00\x00\x00", 13);
	k = key_ref(2, POSITION, 0);
	struct ref_row r = { .bytes = 13, .total = 2, .bits = { 2 } };
	assert_memory_equal(k.p, "q\x00\x00\x00\x02\x00\x06\x44\x00\x00\x00\x00\x01\x00\x00\x00\x00", 17);
	buf_clear(&v);
	ref_encode(&v, &k, &r);
	assert_int_equal(v.len, 8 + 4 + 2 + 1 + 4);
	assert_int_equal(v.p[14], 2);
	buf_fini(&v);
}

static void test_numbers_stay_when_entries_go(void **state)
{
	(void)state;
	struct buf v = BUF_INIT, texts = BUF_INIT;
	struct entry_row table[3] = { { .number = 3 }, { .number = 70 }, { .number = 99 } };
	struct chunk_head h = { .n = 3, .total = 100 };
	chunk_encode(&v, &h, table, &texts, NULL);
	assert_true(chunk_decode(v.p, v.len, &h));
	assert_int_equal(chunk_index(&h, 3), 0);
	assert_int_equal(chunk_index(&h, 70), 1);
	assert_int_equal(chunk_index(&h, 99), 2);
	assert_int_equal(chunk_index(&h, 4), -1);
	assert_int_equal(chunk_index(&h, 0), -1);
	buf_fini(&v);
}

static void test_no_damaged_byte_is_believed(void **state)
{
	(void)state;
	struct buf v = BUF_INIT;
	struct chunk_head h;
	example(&v);
	for (size_t i = 0; i < v.len; i++) {
		v.p[i] ^= 1;
		assert_false(chunk_decode(v.p, v.len, &h));
		v.p[i] ^= 1;
	}
	for (size_t n = 0; n < v.len; n++)
		assert_false(chunk_decode(v.p, n, &h));
	struct key k = key_ref(1, 2, 3), other = key_ref(1, 3, 3);
	struct ref_row r = { .bytes = 1, .total = 9, .bits = { 0x1ff } }, out;
	buf_clear(&v);
	ref_encode(&v, &k, &r);
	assert_true(ref_decode(&k, v.p, v.len, &out));
	assert_memory_equal(out.bits, r.bits, sizeof(r.bits));
	assert_false(ref_decode(&other, v.p, v.len, &out)); /* the same bytes in another place */
	for (size_t i = 0; i < v.len; i++) {
		v.p[i] ^= 64;
		assert_false(ref_decode(&k, v.p, v.len, &out));
		v.p[i] ^= 64;
	}
	buf_fini(&v);
}

static void test_small_rows_come_back(void **state)
{
	(void)state;
	struct buf v = BUF_INIT;
	struct key k = key_ledger(4);
	struct ledger l = { .matched = 10, .accepted = 3, .buffered = 7, .floor = 5, .dead_floor = 6 }, m;
	ledger_encode(&v, &k, &l);
	assert_true(ledger_decode(&k, v.p, v.len, &m));
	assert_memory_equal(&l, &m, sizeof(l));
	buf_clear(&v);
	struct last_row last = { .position = 1, .id = 2, .elapsed = 3, .real_us = 4, .boot_us = 5, .boot_id = "boot" }, got;
	last_encode(&v, &last);
	assert_true(last_decode(v.p, v.len, &got));
	assert_int_equal(got.boot_us, 5);
	assert_string_equal(got.boot_id, "boot");
	buf_clear(&v);
	k = key_dead(7, 8);
	struct dead_letter d = { .id = 1, .ident = "i", .reason = "because", .answer = "", .peer = NULL, .status = -1, .attempts = 2,
		.source = "s\0s", .source_len = 3, .bytes = "b", .len = 1 }, e;
	int64_t made;
	dead_encode(&v, &d, 77);
	dead_seal(&v, &k);
	assert_true(dead_decode(&k, v.p, v.len, &e, &made));
	assert_int_equal(made, 77);
	assert_int_equal(e.position, 8);
	assert_int_equal(e.status, -1);
	assert_string_equal(e.reason, "because");
	assert_string_equal(e.peer, "");
	assert_int_equal(e.source_len, 3);
	assert_memory_equal(e.source, "s\0s", 3);
	assert_memory_equal(e.bytes, "b", 1);
	buf_fini(&v);
}

static void test_a_state_under_another_key_is_none(void **state)
{
	(void)state;
	struct buf key = BUF_INIT, other = BUF_INIT, v = BUF_INIT;
	const char *p;
	size_t n;
	key_state(&key, 3, "dev", 3);
	assert_memory_equal(key.p, "s\0\0\0\3dev", 8);
	assert_true(key_state_is(key.p, key.len, 3, "dev", 3) && key_is_state_of(key.p, key.len, 3));
	assert_false(key_state_is(key.p, key.len, 3, "de", 2) || key_state_is(key.p, key.len, 4, "dev", 3) || key_is_state_of(key.p, 4, 3));
	state_encode(&v, key.p, key.len, "{\"n\":1}", 7);
	assert_int_equal(v.len, 11);
	assert_true(state_decode(key.p, key.len, v.p, v.len, &p, &n));
	assert_int_equal(n, 7);
	assert_memory_equal(p, "{\"n\":1}", 7);
	key_state(&other, 4, "dev", 3);
	assert_false(state_decode(other.p, other.len, v.p, v.len, &p, &n));
	assert_false(state_decode(key.p, key.len, v.p, v.len - 1, &p, &n));
	assert_false(state_decode(key.p, key.len, v.p, 3, &p, &n));
	for (size_t i = 0; i < v.len; i++) {
		v.p[i] ^= 4;
		assert_false(state_decode(key.p, key.len, v.p, v.len, &p, &n));
		v.p[i] ^= 4;
	}
	buf_fini(&key);
	buf_fini(&other);
	buf_fini(&v);
}

static void test_sets(void **state)
{
	(void)state;
	uint64_t b[BITS_WORDS] = { 0 };
	assert_int_equal(bits_next(b, 0), SPAN_ENTRIES_MAX);
	bits_set(b, 0);
	bits_set(b, 63);
	bits_set(b, 64);
	bits_set(b, 511);
	assert_int_equal(bits_count(b), 4);
	assert_int_equal(bits_next(b, 0), 0);
	assert_int_equal(bits_next(b, 1), 63);
	assert_int_equal(bits_next(b, 64), 64);
	assert_int_equal(bits_next(b, 65), 511);
	assert_int_equal(bits_next(b, 512), SPAN_ENTRIES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_worked_example),
		cmocka_unit_test(test_numbers_stay_when_entries_go),
		cmocka_unit_test(test_no_damaged_byte_is_believed),
		cmocka_unit_test(test_small_rows_come_back),
		cmocka_unit_test(test_a_state_under_another_key_is_none),
		cmocka_unit_test(test_sets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
