/* A ticket is taken whole or not at all; who is full is named; and every bound that stops intake lets it go on by itself. */
#include "store_bed.h"

#define BLOCK 1
#define OLDEST 2
#define NEWEST 3
#define OTHER 4

static struct bed bed;
static char kilo[1025];

static int setup(void **state)
{
	(void)state;
	bed_new(&bed);
	bed_open(&bed);
	memset(kilo, 'k', sizeof(kilo) - 1);
	buffer_configure(bed.store, BLOCK, "toll", &(struct buffer_options){ .max = 10240, .full = FULL_BLOCK });
	buffer_configure(bed.store, OLDEST, "lake", &(struct buffer_options){ .max = 10240, .full = FULL_DROP_OLDEST });
	buffer_configure(bed.store, NEWEST, "copy", &(struct buffer_options){ .max = 10240, .full = FULL_DROP_NEWEST });
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bed_free(&bed);
	return 0;
}

static enum ticket_result put_both(uint32_t a, uint32_t b, unsigned n)
{
	struct ticket *t = bed_ticket(&bed);
	for (unsigned i = 0; i < n; i++) {
		bed_message(&bed, t, kilo, "x");
		ticket_want(t, a, 0, 0);
		if (b)
			ticket_want(t, b, 0, 0);
	}
	return bed_submit(&bed, t);
}

static void test_block_takes_whole_or_nothing(void **state)
{
	(void)state;
	assert_int_equal(put_both(BLOCK, OTHER, 9), TICKET_TAKEN);
	assert_int_equal(put_both(BLOCK, OTHER, 2), TICKET_FULL);
	assert_non_null(strstr(bed.why, "toll"));
	assert_int_equal(bed_counts(&bed, BLOCK).matched, 9);
	assert_int_equal(bed_counts(&bed, OTHER).matched, 9);
	/* The other stream goes on by itself, and one that fits still fits. */
	assert_int_equal(put_both(OTHER, 0, 50), TICKET_TAKEN);
	assert_int_equal(put_both(BLOCK, 0, 1), TICKET_TAKEN);
	assert_int_equal(put_both(BLOCK, 0, 1), TICKET_FULL);
	struct buffer *q = buffer_attach(bed.store, BLOCK, bed.port, bed_wake, &bed);
	assert_int_equal(bed_take(&bed, q, 5, OUTCOME_ACCEPTED, NULL), 5);
	bed_record(&bed, q);
	assert_int_equal(put_both(BLOCK, 0, 5), TICKET_TAKEN);
	struct store_counts c;
	store_counts(bed.store, &c);
	assert_int_equal(c.refused_full, 2);
	buffer_detach(q);
}

static void test_tickets_of_one_commit_count_together(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		struct ticket *t = bed_ticket(&bed);
		bed_message(&bed, t, kilo, "x");
		ticket_want(t, BLOCK, 0, 0);
		ticket_submit(t);
	}
	BED_UNTIL(&bed, bed.taken + bed.full == 40);
	assert_int_equal(bed.taken, 10);
	assert_int_equal(bed_counts(&bed, BLOCK).bytes, 10240);
}

static void test_an_empty_buffer_takes_what_is_larger_than_it(void **state)
{
	(void)state;
	/* It would never fit otherwise, and stop its channel for ever. */
	assert_int_equal(put_both(BLOCK, 0, 30), TICKET_TAKEN);
	assert_int_equal(put_both(BLOCK, 0, 1), TICKET_FULL);
}

static void test_drop_newest(void **state)
{
	(void)state;
	assert_int_equal(put_both(NEWEST, OTHER, 10), TICKET_TAKEN);
	assert_int_equal(put_both(NEWEST, OTHER, 3), TICKET_TAKEN);
	struct buffer_counts c = bed_counts(&bed, NEWEST);
	assert_int_equal(c.matched, 13);
	assert_int_equal(c.dropped, 3);
	assert_int_equal(c.buffered, 10);
	assert_int_equal(bed_counts(&bed, OTHER).buffered, 13);
	bed_reopen(&bed);
	assert_int_equal(bed_counts(&bed, NEWEST).dropped, 3);
	assert_int_equal(bed_counts(&bed, NEWEST).buffered, 10);
}

static void test_drop_oldest(void **state)
{
	(void)state;
	struct buffer *q = buffer_attach(bed.store, OLDEST, bed.port, bed_wake, &bed);
	struct span sp;
	assert_int_equal(put_both(OLDEST, 0, 10), TICKET_TAKEN);
	assert_int_equal(buffer_excess(q), 0);
	while (buffer_next(q, &sp))
		span_release(q, &sp);
	unsigned woken = bed.woken;
	assert_int_equal(put_both(OLDEST, 0, 3), TICKET_TAKEN);
	BED_UNTIL(&bed, bed.woken > woken);
	assert_int_equal(buffer_excess(q), 3 * 1024);
	buffer_rewind(q);
	assert_int_equal(bed_take(&bed, q, 3, OUTCOME_DROPPED, NULL), 3);
	assert_int_equal(buffer_excess(q), 0); /* settled counts at once */
	bed_record(&bed, q);
	assert_int_equal(buffer_excess(q), 0);
	assert_int_equal(bed_counts(&bed, OLDEST).dropped, 3);
	/* Nobody there to drop: it does not grow for ever. */
	buffer_detach(q);
	unsigned taken = 0;
	while (taken < 5000 && put_both(OLDEST, 0, 50) == TICKET_TAKEN)
		taken++;
	assert_true(taken < 50);
}

static void test_refused_whole_leaves_no_trace(void **state)
{
	(void)state;
	assert_int_equal(put_both(BLOCK, 0, 10), TICKET_TAKEN);
	struct ticket *t = bed_ticket(&bed);
	bed_message(&bed, t, kilo, "x");
	ticket_want(t, BLOCK, 0, 0);
	ticket_skip(t, OTHER);
	bed_message(&bed, t, kilo, "x");
	ticket_dead(t, OTHER, "r");
	assert_int_equal(bed_submit(&bed, t), TICKET_FULL);
	struct buffer_counts c = bed_counts(&bed, OTHER);
	assert_int_equal(c.matched + c.skipped + c.dead + c.dead_kept, 0);
}

static void test_disk_limit_meets_the_largest_first(void **state)
{
	(void)state;
	static char big[60001];
	store_set_limits(bed.store, 96u << 20, 8 << 20);
	buffer_configure(bed.store, BLOCK, "toll", &(struct buffer_options){ .max = UINT64_C(1) << 40, .full = FULL_BLOCK });
	assert_int_equal(bed_put(&bed, OTHER, "small"), TICKET_TAKEN);
	enum ticket_result r = TICKET_TAKEN;
	for (unsigned i = 0; i < 400 && r == TICKET_TAKEN; i++) {
		struct ticket *t = bed_ticket(&bed);
		for (unsigned k = 0; k < 10; k++) {
			bed_noise(big, sizeof(big) - 1);
			bed_message(&bed, t, big, "x");
			ticket_want(t, BLOCK, 0, 0);
		}
		r = bed_submit(&bed, t);
	}
	assert_int_equal(r, TICKET_FULL);
	assert_non_null(strstr(bed.why, "limits.disk"));
	assert_non_null(strstr(bed.why, "toll"));
	struct store_counts c;
	/* A compaction under way has its old tables and its new ones for a moment. */
	BED_UNTIL(&bed, (store_counts(bed.store, &c), c.disk_bytes < 110u << 20));
	/* Below the limit the others go on, though not before the store has looked again. */
	BED_UNTIL(&bed, bed_put(&bed, OTHER, "small") == TICKET_TAKEN || (store_counts(bed.store, &c), c.disk_bytes >= 96u << 20));
	/* Delivered, it comes back by itself. */
	struct buffer *q = buffer_attach(bed.store, BLOCK, bed.port, bed_wake, &bed);
	bed_take(&bed, q, 100000, OUTCOME_ACCEPTED, NULL);
	bed_record(&bed, q);
	buffer_detach(q);
	BED_UNTIL(&bed, bed_put(&bed, BLOCK, "m") == TICKET_TAKEN);
}

static void test_free_space_stops_intake_and_comes_back(void **state)
{
	(void)state;
	store_env_quota(bed.env, store_env_bytes(bed.env) + (4u << 20)); /* less than the floor */
	usleep(120000);
	assert_int_equal(bed_put(&bed, OTHER, "m"), TICKET_FULL);
	assert_non_null(strstr(bed.why, "free"));
	struct store_counts c;
	store_counts(bed.store, &c);
	assert_true(c.intake_stopped);
	assert_int_equal(c.reopens, 0);
	store_env_quota(bed.env, 0);
	BED_UNTIL(&bed, bed_put(&bed, OTHER, "m") == TICKET_TAKEN);
	store_counts(bed.store, &c);
	assert_false(c.intake_stopped);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_block_takes_whole_or_nothing),
		T(test_tickets_of_one_commit_count_together),
		T(test_an_empty_buffer_takes_what_is_larger_than_it),
		T(test_drop_newest),
		T(test_drop_oldest),
		T(test_refused_whole_leaves_no_trace),
		T(test_disk_limit_meets_the_largest_first),
		T(test_free_space_stops_intake_and_comes_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
