/* What nobody waits for any more gives its space back: the store takes at most twice what is outstanding, plus what the database
 * needs to work at all. Each test is a way in which a shared chunk could be held by somebody who wants next to nothing of it. */
#include "store_bed.h"

#define QUIET 1
#define BUSY 2
/* Two logs, up to twelve tables that wait for their first compaction, what that writes, and the reserve. */
#define WORKING_SPACE (18u * DB_WRITE_BUFFER)

static struct bed bed;
static char filler[900];
static unsigned rendered; /* 1: what is put is also rendered */

static int setup(void **state)
{
	(void)state;
	bed_new(&bed);
	bed.options.durability = DURABILITY_OS;
	bed_open(&bed);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bed_free(&bed);
	return 0;
}

/* A ticket of n messages; every one is wanted by BUSY, in `rendering`, and those at multiples of `every` by QUIET. */
static void put(unsigned n, unsigned every, uint32_t rendering)
{
	static unsigned number;
	struct ticket *t = bed_ticket(&bed);
	rendered = rendering != 0;
	for (unsigned i = 0; i < n; i++, number++) {
		char text[sizeof(filler) + 32];
		bed_noise(filler, sizeof(filler) - 1);
		snprintf(text, sizeof(text), "%u %s", number, filler);
		bed_message(&bed, t, text, "device");
		unsigned made = rendering ? bed_render(t, rendering, 0, text, "") : 0;
		ticket_want(t, BUSY, rendering, made);
		if (every && number % every == 0)
			ticket_want(t, QUIET, rendering, made);
	}
	ticket_submit(t);
}

static void drain(struct buffer *q)
{
	struct span sp;
	while (buffer_next(q, &sp)) {
		buffer_settle(q, &sp, sp.bits, OUTCOME_ACCEPTED, NULL);
		span_release(q, &sp);
	}
}

static uint64_t disk(void)
{
	struct store_counts c;
	store_counts(bed.store, &c);
	return c.disk_bytes;
}

/* Where streams want a rendering, what is outstanding is that and the source it was made of. */
static uint64_t allowed(void)
{
	return 2 * (1 + rendered) * (bed_counts(&bed, QUIET).bytes + bed_counts(&bed, BUSY).bytes) + WORKING_SPACE;
}

/* Megabytes through the store while BUSY keeps up; what it takes on disk is watched all the time. */
static void flow(struct buffer *busy, unsigned megabytes, unsigned every, uint32_t rendering)
{
	uint64_t most = 0;
	unsigned tickets = megabytes * 1000000u / (sizeof(filler) * 100), before = bed.taken;
	for (unsigned i = 0; i < tickets; i++) {
		put(100, every, rendering);
		while (i + 1 > bed.taken - before + 8) {
			bed_turn(&bed, 20);
			drain(busy);
			if (bed.full || bed.failed)
				fail_msg("not taken: %s", bed.why);
		}
		if (disk() > most)
			most = disk();
		if (i % 50 == 0 && disk() > allowed())
			fail_msg("%llu MB on disk, %llu allowed", (unsigned long long)disk() >> 20, (unsigned long long)allowed() >> 20);
	}
	while (bed_counts(&bed, BUSY).buffered || bed.taken - before < tickets) {
		drain(busy);
		bed_turn(&bed, 20);
	}
	print_message("%u MB through, at most %llu MB on disk\n", megabytes, (unsigned long long)(most >> 20));
}

/* Chunk rows, and how many bytes their values have. */
static unsigned chunks(uint64_t *bytes)
{
	unsigned n = 0;
	struct key from = { .n = 1, .p = { ROW_CHUNK } };
	assert_true(store_db_enter(bed.store));
	struct db_iter *it = db_iter_new(bed.store->db, from.p, from.n);
	const void *key, *value;
	size_t keylen, len;
	for (*bytes = 0; db_iter_row(it, &key, &keylen, &value, &len) && *(const char *)key == ROW_CHUNK; db_iter_next(it), n++)
		*bytes += len;
	db_iter_free(it);
	store_db_leave(bed.store);
	return n;
}

static void quiet_stream_pins_nothing(void **state)
{
	(void)state;
	struct buffer *busy = buffer_attach(bed.store, BUSY, bed.port, bed_wake, &bed);
	struct buffer *quiet = buffer_attach(bed.store, QUIET, bed.port, bed_wake, &bed);
	put(100, 50, 0);
	flow(busy, 200, 0, 0);
	assert_int_equal(bed_counts(&bed, QUIET).buffered, 2);
	uint64_t bytes;
	assert_int_equal(chunks(&bytes), 1);
	buffer_detach(quiet);
	/* Nobody has it in a window now: what the quiet one wants is left, and nothing else. */
	BED_UNTIL(&bed, chunks(&bytes) == 1 && bytes < 3 * sizeof(filler));
	BED_UNTIL(&bed, disk() <= allowed());
	buffer_detach(busy);
	bed_reopen(&bed);
	quiet = buffer_attach(bed.store, QUIET, bed.port, bed_wake, &bed);
	struct buf got = BUF_INIT;
	assert_int_equal(bed_take(&bed, quiet, 10, OUTCOME_ACCEPTED, &got), 2);
	assert_memory_equal(got.p, "0 ", 2);
	bed_record(&bed, quiet);
	assert_int_equal(chunks(&bytes), 0);
	buffer_detach(quiet);
	buf_fini(&got);
}

static void transform_changed_over_a_backlog(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++)
		put(100, 0, i < 100 ? 5 : 6);
	BED_UNTIL(&bed, bed.taken == 200);
	bed_reopen(&bed);
	struct buffer *busy = buffer_attach(bed.store, BUSY, bed.port, bed_wake, &bed);
	struct span sp;
	uint32_t last = 0, changes = 0;
	while (bed_next(&bed, busy, &sp)) {
		changes += chunk_rendering(sp.chunk) != last;
		last = chunk_rendering(sp.chunk);
		buffer_settle(busy, &sp, sp.bits, OUTCOME_ACCEPTED, NULL);
		span_release(busy, &sp);
	}
	assert_int_equal(changes, 2);
	bed_record(&bed, busy);
	assert_int_equal(bed_counts(&bed, BUSY).accepted, 200 * 100);
	uint64_t bytes;
	assert_int_equal(chunks(&bytes), 0);
	/* And the database keeps nothing of it either. */
	BED_UNTIL(&bed, disk() <= allowed());
	buffer_detach(busy);
}

static void retired_stream_beside_a_busy_one_of_the_same_rendering(void **state)
{
	(void)state;
	struct buffer *busy = buffer_attach(bed.store, BUSY, bed.port, bed_wake, &bed);
	/* What the retired one had when it left, a tenth of all, stays and costs what it is worth; then it gets nothing more. */
	flow(busy, 50, 10, 5);
	uint64_t bytes, kept = bed_counts(&bed, QUIET).bytes, n = bed_counts(&bed, QUIET).buffered;
	flow(busy, 150, 0, 5);
	assert_int_equal(bed_counts(&bed, QUIET).bytes, kept);
	BED_UNTIL(&bed, (chunks(&bytes), bytes <= 2 * 2 * kept + 1000000)); /* source and rendering */
	BED_UNTIL(&bed, disk() <= allowed());
	buffer_detach(busy);
	bed_reopen(&bed);
	struct buffer *retired = buffer_attach(bed.store, QUIET, bed.port, bed_wake, &bed);
	assert_int_equal(bed_take(&bed, retired, 1000000, OUTCOME_ACCEPTED, NULL), n);
	bed_record(&bed, retired);
	assert_int_equal(chunks(&bytes), 0);
	buffer_detach(retired);
}

static void one_sparse_dead_stream_for_an_hour(void **state)
{
	(void)state;
	/* An hour of a commit of a hundred messages a second, in no time. */
	bed.store->memory_limit = 8 << 20;
	struct buffer *busy = buffer_attach(bed.store, BUSY, bed.port, bed_wake, &bed);
	struct buffer *dead = buffer_attach(bed.store, QUIET, bed.port, bed_wake, &bed);
	struct span held;
	put(100, 100, 0);
	BED_UNTIL(&bed, bed.taken == 1);
	assert_true(bed_next(&bed, dead, &held));
	flow(busy, 324, 100, 0);
	uint64_t bytes, kept = bed_counts(&bed, QUIET).bytes;
	assert_true(bed_counts(&bed, QUIET).buffered >= 3600);
	BED_UNTIL(&bed, disk() <= allowed());
	/* Rows: twice what is outstanding, and what the dead stream's window holds whole in memory. */
	BED_UNTIL(&bed, (chunks(&bytes), bytes <= 2 * kept + bed.store->memory_limit));
	span_release(dead, &held);
	buffer_detach(dead);
	BED_UNTIL(&bed, (chunks(&bytes), bytes <= 2 * kept));
	buffer_detach(busy);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(quiet_stream_pins_nothing),
		T(transform_changed_over_a_backlog),
		T(retired_stream_beside_a_busy_one_of_the_same_rendering),
		T(one_sparse_dead_stream_for_an_hour),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
