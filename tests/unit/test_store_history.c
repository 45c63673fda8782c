/* What is kept as history: each message once, until its time is over or its room is wanted, through restarts and kills, and never at
 * the cost of what a stream is owed. */
#include <signal.h>
#include <sys/wait.h>

#include "store_bed.h"

#define A 101
#define B 102
#define LIMIT (128u << 20)
#define HOUR INT64_C(3600000000)

static struct bed bed;
static uint32_t trackers, account;

static void names(void)
{
	trackers = store_name(bed.store, NAME_HISTORY, "trackers");
	account = store_name(bed.store, NAME_HISTORY, "account");
	assert_true(trackers && account && trackers != account);
}

static int setup(void **state)
{
	(void)state;
	bed_new(&bed);
	bed_open(&bed);
	names();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bed_free(&bed);
	return 0;
}

/* Messages first..first+n-1 of a history, each wanted by these buffers (0: none). */
static enum ticket_result put(uint32_t history, unsigned first, unsigned n, uint32_t a, uint32_t b)
{
	struct ticket *t = bed_ticket(&bed);
	for (unsigned i = first; i < first + n; i++) {
		char text[64];
		snprintf(text, sizeof(text), "{\"n\":%u}", i);
		bed_message(&bed, t, text, "7");
		if (history)
			ticket_keep(t, history);
		if (a)
			ticket_want(t, a, 0, 0);
		if (b)
			ticket_want(t, b, 0, 0);
	}
	return bed_submit(&bed, t);
}

static struct history_counts held(void)
{
	struct history_counts h;
	store_history(bed.store, &h);
	assert_int_equal(h.kept, h.held + h.expired + h.dropped);
	return h;
}

static bool add_kept(void *arg, const struct kept *k)
{
	assert_non_null(k->chunk);
	assert_int_equal(k->rendering, 0);
	for (unsigned i = bits_next(k->bits, 0); i < k->n; i = bits_next(k->bits, i + 1)) {
		struct entry e;
		chunk_entry(k->chunk, i, &e);
		assert_true(e.ident_len == 1 && e.ident[0] == '7' && e.id);
		buf_addf(arg, "%.*s ", (int)e.len, e.bytes);
	}
	return true;
}

static void assert_reads(uint32_t history, uint64_t from, const char *expected)
{
	struct buf got = BUF_INIT;
	buf_adds(&got, "");
	store_each_kept(bed.store, history, from, add_kept, &got);
	assert_string_equal(got.p ? got.p : "", expected);
	buf_fini(&got);
}

/* Everything that a buffer is owed is accepted, and that is on disk. */
static unsigned deliver(uint32_t buffer)
{
	struct buffer *q = buffer_attach(bed.store, buffer, bed.port, bed_wake, &bed);
	unsigned n = bed_take(&bed, q, 1000000, OUTCOME_ACCEPTED, NULL);
	bed_record(&bed, q);
	buffer_detach(q);
	return n;
}

/* As if so much time had gone by. */
static void later(int64_t us)
{
	atomic_fetch_add(&bed.store->elapsed_base, us);
}

static void test_stays_when_all_have_it(void **state)
{
	(void)state;
	assert_int_equal(put(trackers, 1, 3, A, B), TICKET_TAKEN);
	assert_int_equal(put(account, 4, 2, B, 0), TICKET_TAKEN);
	assert_int_equal(put(trackers, 6, 1, 0, 0), TICKET_TAKEN); /* no stream wants it */
	assert_int_equal(put(0, 7, 1, A, 0), TICKET_TAKEN);        /* a message that comes again */
	assert_int_equal(bed_rows(&bed, ROW_CHUNK), 4);            /* one copy, whoever wants it */
	assert_int_equal(deliver(A), 4);
	assert_int_equal(deliver(B), 5);
	for (unsigned again = 0; again < 2; again++) {
		struct history_counts h = held();
		assert_int_equal(h.held, 6);
		assert_int_equal(h.bytes, 6 * strlen("{\"n\":1}"));
		assert_true(h.oldest_age_us > 0);
		assert_int_equal(bed_rows(&bed, ROW_CHUNK), 3);
		assert_reads(trackers, 0, "{\"n\":1} {\"n\":2} {\"n\":3} {\"n\":6} ");
		assert_reads(account, 0, "{\"n\":4} {\"n\":5} ");
		assert_int_equal(bed_counts(&bed, A).buffered, 0);
		assert_int_equal(bed_counts(&bed, B).buffered, 0);
		bed_reopen(&bed);
		names();
	}
}

static bool note_position(void *arg, const struct kept *k)
{
	*(uint64_t *)arg = k->position;
	return true;
}

static void test_is_found_by_time(void **state)
{
	(void)state;
	put(trackers, 1, 1, 0, 0);
	int64_t between = clock_real_us();
	put(trackers, 2, 1, 0, 0);
	uint64_t last = 0;
	store_each_kept(bed.store, trackers, 0, note_position, &last);
	assert_true(last >= (uint64_t)between && last <= (uint64_t)clock_real_us());
	assert_reads(trackers, (uint64_t)between, "{\"n\":2} ");
	assert_reads(trackers, last + 1, "");
}

static void test_the_source_stays_not_the_rendering(void **state)
{
	(void)state;
	struct ticket *t = bed_ticket(&bed);
	for (unsigned i = 0; i < 20; i++) {
		bed_message(&bed, t, "{\"as\":\"received\"}", "7");
		ticket_keep(t, trackers);
		ticket_want(t, A, 5, bed_render(t, 5, 0, "as sent", ""));
	}
	assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
	assert_int_equal(bed_rows(&bed, ROW_CHUNK), 2);
	assert_int_equal(deliver(A), 20);
	assert_int_equal(bed_rows(&bed, ROW_CHUNK), 1);
	assert_int_equal(held().held, 20);
	store_set_history(bed.store, 0);
	BED_UNTIL(&bed, held().held == 0 && bed_rows(&bed, ROW_CHUNK) == 0);
	assert_int_equal(held().expired, 20);
}

static void test_goes_by_elapsed_time(void **state)
{
	(void)state;
	put(trackers, 1, 3, A, 0);
	later(5 * HOUR);
	put(account, 4, 2, A, 0);
	deliver(A);
	bed_reopen(&bed);
	names();
	/* Nobody has said yet for how long. */
	put(account, 6, 1, 0, 0);
	assert_int_equal(held().held, 6);
	store_set_history(bed.store, 6 * HOUR);
	assert_true(held().oldest_age_us >= 5 * HOUR);
	later(2 * HOUR);
	put(account, 7, 1, 0, 0);
	BED_UNTIL(&bed, (put(account, 0, 0, 0, 0), held().held == 4));
	assert_int_equal(held().expired, 3);
	assert_reads(trackers, 0, "");
	assert_reads(account, 0, "{\"n\":4} {\"n\":5} {\"n\":6} {\"n\":7} ");
	assert_true(held().oldest_age_us >= 2 * HOUR && held().oldest_age_us < 3 * HOUR);
	bed_reopen(&bed);
	names();
	assert_int_equal(held().held, 4);
	assert_int_equal(held().expired, 3);
	store_set_history(bed.store, 6 * HOUR);
	later(7 * HOUR);
	store_set_history(bed.store, 6 * HOUR);
	BED_UNTIL(&bed, held().held == 0);
	assert_int_equal(bed_rows(&bed, ROW_CHUNK), 0);
	assert_int_equal(bed_rows(&bed, ROW_REF), 0);
	put(trackers, 8, 1, 0, 0);
	assert_reads(trackers, 0, "{\"n\":8} ");
}

static void test_more_than_one_commit_lets_go(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(put(i % 3 ? trackers : account, i, 60, 0, 0), TICKET_TAKEN);
	assert_int_equal(held().held, 300 * 60);
	uint64_t newest = 0;
	store_each_kept(bed.store, trackers, 0, note_position, &newest);
	store_set_history(bed.store, 0);
	BED_UNTIL(&bed, held().held == 0);
	assert_int_equal(held().expired, 300 * 60);
	/* Nobody walks over what went. */
	put(trackers, 0, 1, 0, 0);
	store_lock(bed.store);
	uint64_t floor = store_buffer(bed.store, trackers)->floor;
	store_unlock(bed.store);
	assert_true(floor > newest);
	store_set_history(bed.store, 0);
	BED_UNTIL(&bed, held().held == 0);
	assert_int_equal(bed_rows(&bed, ROW_CHUNK), 0);
}

static void test_what_is_owed_outlives_it(void **state)
{
	(void)state;
	put(trackers, 1, 100, A, 0);
	struct buffer *q = buffer_attach(bed.store, A, bed.port, bed_wake, &bed);
	struct span sp;
	assert_true(bed_next(&bed, q, &sp));
	store_set_history(bed.store, 0);
	BED_UNTIL(&bed, held().held == 0);
	assert_int_equal(bed_counts(&bed, A).buffered, 100);
	assert_int_equal(bed_rows(&bed, ROW_CHUNK), 1);
	span_release(q, &sp);
	buffer_detach(q);
	bed_reopen(&bed);
	assert_int_equal(deliver(A), 100);
	assert_int_equal(bed_rows(&bed, ROW_CHUNK), 0);
}

static void test_a_sparse_block_keeps_it(void **state)
{
	(void)state;
	static char big[600];
	struct buf expected = BUF_INIT;
	struct ticket *t = bed_ticket(&bed);
	for (unsigned i = 0; i < 100; i++) {
		bed_noise(big, sizeof(big) - 1);
		bed_message(&bed, t, big, "7");
		ticket_want(t, A, 0, 0);
		if (i % 20)
			continue;
		ticket_keep(t, trackers);
		buf_addf(&expected, "%s ", big);
	}
	assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
	assert_int_equal(deliver(A), 100);
	struct store_counts c;
	BED_UNTIL(&bed, (store_counts(bed.store, &c), c.blocks_compacted == 1));
	assert_reads(trackers, 0, expected.p);
	bed_reopen(&bed);
	assert_reads(trackers, 0, expected.p);
	buf_fini(&expected);
}

static enum ticket_result put_big(bool for_b)
{
	static char big[8001];
	struct ticket *t = bed_ticket(&bed);
	for (unsigned k = 0; k < 100; k++) {
		bed_noise(big, sizeof(big) - 1);
		bed_message(&bed, t, big, "7");
		ticket_keep(t, trackers);
		ticket_want(t, A, 0, 0);
		if (for_b && k == 0)
			ticket_want(t, B, 0, 0);
	}
	return bed_submit(&bed, t);
}

static void drain(struct buffer *q)
{
	struct span sp;
	while (buffer_next(q, &sp)) {
		buffer_settle(q, &sp, sp.bits, OUTCOME_ACCEPTED, NULL);
		span_release(q, &sp);
	}
}

/* A store whose limit is small, from its opening on. */
static void open_small(void)
{
	bed_close(&bed);
	bed.options.disk_limit = LIMIT;
	bed.options.memory_limit = 16 << 20;
	bed.options.durability = DURABILITY_OS;
	bed_open(&bed);
	names();
	store_set_history(bed.store, 1000 * HOUR);
}

static void test_yields_before_a_policy_acts(void **state)
{
	(void)state;
	uint64_t most = 0;
	unsigned put_in = 0, stopped = 0;
	struct store_counts c;
	open_small();
	buffer_configure(bed.store, B, "lake", &(struct buffer_options){ .max = 32u << 20, .full = FULL_DROP_NEWEST });
	assert_int_equal(put(account, 0, 10, B, 0), TICKET_TAKEN); /* the oldest, and owed */
	struct buffer *q = buffer_attach(bed.store, A, bed.port, bed_wake, &bed);
	for (unsigned i = 0; i < 300; i++, put_in += 100) {
		for (int64_t began = clock_mono_us(); put_big(i % 30 == 0) != TICKET_TAKEN; stopped++) {
			assert_non_null(strstr(bed.why, "limits.disk"));
			assert_true(clock_mono_us() - began < 20000000);
			drain(q);
			bed_turn(&bed, 20);
		}
		BED_UNTIL(&bed, (drain(q), bed_counts(&bed, A).bytes < 16u << 20)); /* a sender that keeps up */
		store_counts(bed.store, &c);
		most = c.disk_bytes > most ? c.disk_bytes : most;
	}
	bed_take(&bed, q, 1000000, OUTCOME_ACCEPTED, NULL);
	bed_record(&bed, q);
	buffer_detach(q);
	print_message("at most %llu MiB on disk, %llu of %u messages held, stopped %u times\n", (unsigned long long)most >> 20,
		(unsigned long long)held().held, put_in, stopped);
	struct history_counts h = held();
	assert_int_equal(h.kept, put_in + 10);
	assert_int_equal(h.expired, 0);
	assert_true(h.dropped > put_in / 5);
	assert_true(h.bytes > LIMIT / 3); /* a good share stays, however the database is at work */
	assert_int_equal(stopped, 0);     /* it waits for the room that history makes, and nobody is refused */
	assert_reads(account, 0, ""); /* oldest first */
	assert_true(most < LIMIT + LIMIT / 2); /* a compaction under way has its old tables and its new ones for a moment */
	assert_int_equal(bed_counts(&bed, A).accepted, put_in);
	assert_int_equal(bed_counts(&bed, B).dropped, 0);
	assert_int_equal(bed_counts(&bed, B).buffered, 20);
	assert_int_equal(deliver(B), 20);
}

static void test_what_is_owed_is_not_given_up_for_its_room(void **state)
{
	(void)state;
	unsigned taken = 0;
	open_small();
	buffer_configure(bed.store, A, "lake", &(struct buffer_options){ .max = 8 * LIMIT, .full = FULL_BLOCK });
	for (; taken < 20; taken++)
		assert_int_equal(put_big(false), TICKET_TAKEN);
	assert_int_equal(deliver(A), 2000);
	/* From here on nobody takes anything out: what is owed fills the store, and then, but not before history gave what it could, intake stops. */
	for (unsigned n = 0; n < 500 && put_big(false) == TICKET_TAKEN; n++)
		taken++;
	assert_non_null(strstr(bed.why, "limits.disk"));
	struct buffer_counts owed = bed_counts(&bed, A);
	assert_true(owed.bytes > LIMIT / 2);
	assert_int_equal(held().kept, 100 * taken);
	assert_true(held().dropped >= 1000); /* of 2000; what it could give is an estimate */
	/* It had nothing else to give: what the stream is owed lies there anyway. */
	assert_true(held().held > owed.buffered / 10 * 9);
	assert_int_equal(deliver(A), owed.buffered);
}

/* ---- kill -9 */

#define MOST 1000000

static int told;

static void on_done(void *arg, enum ticket_result r, const char *why)
{
	unsigned *numbers = arg;
	(void)why;
	if (r == TICKET_TAKEN && write(told, numbers, 2 * sizeof(*numbers)) != 2 * sizeof(*numbers))
		_exit(3);
	free(numbers);
}

/* Takes in, delivers and lets go until it is killed. */
static void child(unsigned next)
{
	bed_open(&bed);
	names();
	struct buffer *q = buffer_attach(bed.store, A, bed.port, bed_wake, &bed);
	for (;;) {
		unsigned *numbers = xmalloc(2 * sizeof(*numbers));
		struct ticket *t = ticket_new(bed.store, bed.port, on_done, numbers);
		numbers[0] = next;
		numbers[1] = next += 1 + next % 17;
		for (unsigned i = numbers[0]; i < next; i++) {
			char text[64];
			snprintf(text, sizeof(text), "%u", i);
			bed_message(&bed, t, text, "7");
			ticket_keep(t, i % 2 ? trackers : account);
			ticket_want(t, A, 0, 0);
		}
		ticket_submit(t);
		bed_turn(&bed, 1);
		struct span sp;
		if (buffer_next(q, &sp)) {
			buffer_settle(q, &sp, sp.bits, OUTCOME_ACCEPTED, NULL);
			span_release(q, &sp);
		}
	}
}

static bool count_kept(void *arg, const struct kept *k)
{
	unsigned char *seen = arg;
	assert_non_null(k->chunk);
	for (unsigned i = bits_next(k->bits, 0); i < k->n; i = bits_next(k->bits, i + 1)) {
		struct entry e;
		char text[16];
		chunk_entry(k->chunk, i, &e);
		snprintf(text, sizeof(text), "%.*s", (int)e.len, e.bytes);
		unsigned n = (unsigned)strtoul(text, NULL, 10);
		assert_true(n < MOST);
		if (seen[n]++)
			fail_msg("message %u is kept twice", n);
	}
	return true;
}

static void test_kills(void **state)
{
	(void)state;
	unsigned char *taken = xcalloc(MOST, 1), *seen = xcalloc(MOST, 1);
	unsigned highest = 0, sum = 0;
	bed_close(&bed);
	for (unsigned kill_n = 0; kill_n < 8; kill_n++) {
		int fds[2];
		assert_int_equal(pipe(fds), 0);
		pid_t pid = fork();
		if (pid == 0) {
			close(fds[0]);
			told = fds[1];
			child(highest + 1000);
			_exit(1);
		}
		close(fds[1]);
		unsigned numbers[2], heard = 0;
		while (read(fds[0], numbers, sizeof(numbers)) == (ssize_t)sizeof(numbers)) {
			for (unsigned i = numbers[0]; i < numbers[1]; i++, sum++)
				taken[i] = 1;
			highest = numbers[1];
			if (++heard == 15 + kill_n * 7)
				kill(pid, SIGKILL);
		}
		close(fds[0]);
		waitpid(pid, NULL, 0);
		bed_open(&bed);
		names();
		memset(seen, 0, MOST);
		store_each_kept(bed.store, trackers, 0, count_kept, seen);
		store_each_kept(bed.store, account, 0, count_kept, seen);
		unsigned found = 0;
		for (unsigned i = 0; i < MOST; i++) {
			if (taken[i] && !seen[i])
				fail_msg("message %u was taken and is not kept", i);
			found += seen[i];
			if (seen[i] && i >= highest)
				highest = i + 1;
		}
		assert_int_equal(held().held, found);
		bed_counts(&bed, A);
		bed_close(&bed);
	}
	assert_true(sum > 500);
	bed_open(&bed);
	deliver(A);
	store_set_history(bed.store, 0);
	BED_UNTIL(&bed, held().held == 0 && bed_rows(&bed, ROW_CHUNK) == 0);
	free(taken);
	free(seen);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_stays_when_all_have_it),
		T(test_is_found_by_time),
		T(test_the_source_stays_not_the_rendering),
		T(test_goes_by_elapsed_time),
		T(test_more_than_one_commit_lets_go),
		T(test_what_is_owed_outlives_it),
		T(test_a_sparse_block_keeps_it),
		T(test_yields_before_a_policy_acts),
		T(test_what_is_owed_is_not_given_up_for_its_room),
		T(test_kills),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
