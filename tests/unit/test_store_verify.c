/* Whatever is planted in a store that lies still is found and told, exactly; mended, the store opens, adds up, and is sound. */
#include "store/pack.h"
#include "store/verify.h"
#include "store_bed.h"

#define A 1
#define B 2

static struct bed bed;
static unsigned faults;
static char told[4000];

static int setup(void **state)
{
	(void)state;
	bed_new(&bed);
	faults = 0;
	told[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bed_free(&bed);
	return 0;
}

static void on_fault(void *arg, const char *words)
{
	(void)arg;
	faults++;
	snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s\n", words);
}

static bool on_progress(void *arg, uint64_t rows)
{
	(void)arg;
	(void)rows;
	return true;
}

static struct verify look(bool mend)
{
	struct verify v = { .path = bed.dir, .mend = mend, .fault = on_fault, .progress = on_progress };
	char why[300] = "";
	faults = 0;
	if (store_verify(&v, why, sizeof(why)) != 0)
		fail_msg("%s", why);
	return v;
}

/* 300 messages for A, every second for B too, a list of two rows each for A; 10 letters. */
static void fill(void)
{
	bed_open(&bed);
	store_name(bed.store, NAME_BUFFER, "a > far > json");
	store_name(bed.store, NAME_BUFFER, "b > far > json");
	for (unsigned done = 0; done < 300;) {
		struct ticket *t = bed_ticket(&bed);
		for (unsigned i = 0; i < 50; i++, done++) {
			bed_message(&bed, t, "{\"ident\":\"7\"}", "7");
			for (unsigned row = 0; row < 2; row++)
				ticket_want(t, A, 9, bed_render(t, 9, row, "row", ""));
			if (done % 2)
				ticket_want(t, B, 0, 0);
			if (done < 10)
				ticket_dead(t, B, "why");
		}
		assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
	}
	bed_close(&bed);
}

/* The first row of a kind, put back with this done to it. */
enum deed { DELETE, GARBLE, TWICE };
static void plant(char kind, enum deed deed)
{
	enum db_result r;
	char why[200] = "", folder[120];
	snprintf(folder, sizeof(folder), "%s/db", bed.dir);
	struct store_env *env = store_env_new();
	store_env_count(env, folder);
	struct db *db = db_open(folder, env, false, 0, &r, why, sizeof(why));
	assert_non_null(db);
	struct db_iter *it = db_iter_new(db, &kind, 1);
	struct db_batch *batch = db_batch_new();
	struct buf k = BUF_INIT, v = BUF_INIT;
	const void *key, *value;
	size_t keylen, len;
	assert_true(db_iter_row(it, &key, &keylen, &value, &len));
	assert_int_equal(*(const char *)key, kind);
	buf_add(&k, key, keylen);
	buf_add(&v, value, len);
	db_iter_free(it);
	if (deed == DELETE) {
		db_delete(batch, k.p, k.len);
	} else if (deed == GARBLE) {
		v.p[v.len / 2] ^= 4;
		db_put(batch, k.p, k.len, v.p, v.len);
	} else {
		k.p[k.len - 5] ^= 1; /* of a chunk: its position, in the key */
		db_put(batch, k.p, k.len, v.p, v.len);
	}
	assert_int_equal(db_write(db, batch, true, why, sizeof(why)), DB_OK);
	buf_fini(&k);
	buf_fini(&v);
	db_batch_free(batch);
	db_close(db);
	store_env_free(env);
}

static void expect_mended(void)
{
	look(true);
	struct verify v = look(false);
	if (!verify_is_sound(&v))
		fail_msg("not sound after mending:\n%s", told);
	bed_open(&bed);
	assert_int_equal(bed.store->counts.records_lost, 0);
	struct buffer *q = buffer_attach(bed.store, A, bed.port, bed_wake, &bed);
	struct buffer_counts c = bed_counts(&bed, A);
	assert_int_equal(c.buffered, v.entries - bed_counts(&bed, B).buffered);
	assert_int_equal(bed_take(&bed, q, 1000, OUTCOME_ACCEPTED, NULL), c.buffered);
	bed_record(&bed, q);
	buffer_detach(q);
	bed_counts(&bed, B);
	bed_close(&bed);
	v = look(false);
	assert_true(verify_is_sound(&v));
}

static void test_a_sound_store_is_told_so_with_what_is_in_it(void **state)
{
	(void)state;
	fill();
	struct verify v = look(false);
	if (!verify_is_sound(&v))
		fail_msg("%s", told);
	assert_int_equal(v.entries, 600 + 150);
	assert_int_equal(v.letters, 10);
	assert_true(v.chunks >= 6 && v.refs >= 6 && v.names == 2 && v.rows > v.chunks + v.refs);
	assert_int_equal(faults, 0);
	expect_mended();
}

static void test_a_missing_chunk_is_counted_to_the_message(void **state)
{
	(void)state;
	fill();
	plant(ROW_CHUNK, DELETE); /* the first block's source: B's, and what A's rows were made of */
	struct verify v = look(false);
	assert_true(v.lost_entries >= 25 && v.lost_entries <= 50);
	assert_non_null(strstr(told, "b > far > json"));
	assert_false(verify_is_sound(&v));
	expect_mended();
	bed_open(&bed);
	assert_int_equal(bed_counts(&bed, B).dropped, v.lost_entries);
	assert_int_equal(bed_counts(&bed, A).accepted, 600);
}

static void test_damaged_rows_of_every_kind_are_found_and_go(void **state)
{
	(void)state;
	const char kinds[] = { ROW_CHUNK, ROW_REF, ROW_LEDGER, ROW_DEAD };
	fill();
	for (unsigned i = 0; i < sizeof(kinds); i++) {
		plant(kinds[i], GARBLE);
		struct verify v = look(false);
		assert_int_equal(v.bad_rows, 1);
		look(true);
		v = look(false);
		if (!verify_is_sound(&v))
			fail_msg("%c: not sound after mending:\n%s", kinds[i], told);
	}
	expect_mended();
}

static void test_a_chunk_in_the_wrong_place_is_no_chunk(void **state)
{
	(void)state;
	fill();
	plant(ROW_CHUNK, TWICE);
	struct verify v = look(false);
	assert_int_equal(v.bad_rows, 1);
	assert_int_equal(v.lost_entries, 0);
	expect_mended();
}

static void test_what_is_owed_but_not_there_leaves_its_chunks_of_no_use(void **state)
{
	(void)state;
	fill();
	plant(ROW_REF, DELETE);
	struct verify v = look(false);
	assert_true(v.orphans >= 1 && v.wrong_counts == 1);
	expect_mended();
}

static void test_a_store_in_use_and_no_store_are_refused(void **state)
{
	(void)state;
	char why[300] = "";
	struct verify v = { .path = bed.dir, .fault = on_fault, .progress = on_progress };
	assert_int_equal(store_verify(&v, why, sizeof(why)), -1);
	assert_non_null(strstr(why, "holds no store"));
	bed_open(&bed);
	assert_int_equal(store_verify(&v, why, sizeof(why)), -1);
	assert_non_null(strstr(why, "in use"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_sound_store_is_told_so_with_what_is_in_it),
		T(test_a_missing_chunk_is_counted_to_the_message),
		T(test_damaged_rows_of_every_kind_are_found_and_go),
		T(test_a_chunk_in_the_wrong_place_is_no_chunk),
		T(test_what_is_owed_but_not_there_leaves_its_chunks_of_no_use),
		T(test_a_store_in_use_and_no_store_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
