/* A message is known only when the first one is durable or its fate is awaited; what is remembered is bounded; forgetting loses nothing. */
#include "dedupe.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "plan/plan.h"
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>

#define WINDOW INT64_C(3600000000)

static struct channel channel = { .name = "in", .dedupe_us = WINDOW };
static struct plan plan = { .settings = { .limit_memory = 64 << 20 }, .channels = &channel, .nchannels = 1 };
static unsigned told, kept;

static void first(struct dedupe_request *waiter, bool durable)
{
	(void)waiter;
	told++;
	kept += durable;
}

static int setup(void **state)
{
	(void)state;
	channel.dedupe_us = WINDOW;
	plan.settings.limit_memory = 64 << 20;
	dedupe_configure(&plan);
	told = kept = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dedupe_fini();
	return 0;
}

static enum dedupe_answer look(struct dedupe_request *r, const char *text)
{
	return dedupe_look(r, dedupe_of("in"), WINDOW, text, strlen(text));
}

static void test_known_when_durable_and_not_before(void **state)
{
	(void)state;
	struct dedupe_request a = { .first = first }, b = { .first = first };

	assert_int_equal(look(&a, "m"), DEDUPE_NEW);
	assert_int_equal(look(&a, "m"), DEDUPE_KNOWN); /* the same request: the same fate */
	assert_int_equal(look(&b, "m"), DEDUPE_AWAITS);
	assert_int_equal(look(&b, "n"), DEDUPE_NEW);
	assert_int_equal(told, 0);
	dedupe_settle(&a, true);
	assert_int_equal(told, 1);
	assert_int_equal(kept, 1);
	assert_int_equal(look(&a, "m"), DEDUPE_KNOWN);
	assert_int_equal(look(&a, "n"), DEDUPE_AWAITS);
	dedupe_settle(&a, true); /* it brought nothing new */
	dedupe_settle(&b, true);
	assert_int_equal(told, 2);
	assert_int_equal(dedupe_remembered(dedupe_of("in")), 2);
	dedupe_request_fini(&a);
	dedupe_request_fini(&b);
}

static void test_a_failed_commit_is_forgotten_and_told(void **state)
{
	(void)state;
	struct dedupe_request a = { .first = first }, b = { .first = first };

	assert_int_equal(look(&a, "m"), DEDUPE_NEW);
	assert_int_equal(look(&b, "m"), DEDUPE_AWAITS);
	dedupe_settle(&a, false);
	assert_int_equal(told, 1);
	assert_int_equal(kept, 0);
	dedupe_settle(&b, false);
	/* It comes again, and is taken. */
	assert_int_equal(look(&b, "m"), DEDUPE_NEW);
	dedupe_settle(&b, true);
	assert_int_equal(look(&a, "m"), DEDUPE_KNOWN);
	dedupe_request_fini(&a);
	dedupe_request_fini(&b);
}

static void test_what_was_not_taken_after_all_is_forgotten(void **state)
{
	(void)state;
	struct dedupe_request a = { .first = first };

	assert_int_equal(look(&a, "m"), DEDUPE_NEW);
	dedupe_forget_last(&a);
	dedupe_forget_last(&a); /* once */
	assert_int_equal(look(&a, "n"), DEDUPE_NEW);
	dedupe_settle(&a, true);
	assert_int_equal(look(&a, "m"), DEDUPE_NEW);
	assert_int_equal(look(&a, "n"), DEDUPE_KNOWN);
	dedupe_settle(&a, true);
	dedupe_request_fini(&a);
}

static void test_two_who_wait_for_each_other(void **state)
{
	(void)state;
	struct dedupe_request a = { .first = first }, b = { .first = first };

	assert_int_equal(look(&a, "m"), DEDUPE_NEW);
	assert_int_equal(look(&b, "n"), DEDUPE_NEW);
	assert_int_equal(look(&a, "n"), DEDUPE_AWAITS);
	assert_int_equal(look(&b, "m"), DEDUPE_AWAITS);
	dedupe_settle(&a, true); /* commits do not wait, answers do */
	dedupe_settle(&b, true);
	assert_int_equal(kept, 2);
	dedupe_request_fini(&a);
	dedupe_request_fini(&b);
}

static void test_time_passes(void **state)
{
	(void)state;
	struct dedupe_request a = { .first = first };
	const int64_t window = 300000;

	assert_int_equal(dedupe_look(&a, dedupe_of("in"), window, "m", 1), DEDUPE_NEW);
	dedupe_settle(&a, true);
	assert_int_equal(dedupe_look(&a, dedupe_of("in"), window, "m", 1), DEDUPE_KNOWN);
	for (int64_t until = clock_mono_us() + 2 * window; clock_mono_us() < until;)
		;
	assert_int_equal(dedupe_look(&a, dedupe_of("in"), window, "m", 1), DEDUPE_NEW);
	dedupe_settle(&a, true);
	dedupe_request_fini(&a);
}

/* More than there is room for: the oldest go, the newest stay, and it is counted. */
static void test_at_the_bound_the_oldest_are_forgotten(void **state)
{
	(void)state;
	struct dedupe_request a = { .first = first };
	uint64_t before = stats_get(&stats_channel("in")->forgotten);
	unsigned room, n, known = 0;
	char text[20];

	plan.settings.limit_memory = 16 << 20;
	dedupe_configure(&plan);
	room = (16 << 20) / 8 / DEDUPE_BYTES;
	n = 3 * room;
	for (unsigned i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "m%u", i);
		assert_int_equal(look(&a, text), DEDUPE_NEW);
		if (i % 50 == 0)
			dedupe_settle(&a, true);
	}
	dedupe_settle(&a, true);
	assert_in_range(dedupe_remembered(dedupe_of("in")), room - 60, room + 60);
	assert_in_range(stats_get(&stats_channel("in")->forgotten) - before, n - room - 60, n - room + 60);
	for (unsigned i = n - room + 60; i < n; i++) {
		snprintf(text, sizeof(text), "m%u", i);
		known += look(&a, text) == DEDUPE_KNOWN;
	}
	assert_int_equal(known, room - 60);
	/* All under way: nothing more is remembered, and nothing is known that is not. */
	dedupe_settle(&a, true);
	for (unsigned i = 0; i < 2 * room; i++) {
		snprintf(text, sizeof(text), "p%u", i);
		assert_int_equal(look(&a, text), DEDUPE_NEW);
	}
	dedupe_settle(&a, false);
	assert_int_equal(look(&a, "p1"), DEDUPE_NEW);
	dedupe_settle(&a, false);
	/* A channel that has no dedupe any more forgets all. */
	channel.dedupe_us = 0;
	dedupe_configure(&plan);
	assert_int_equal(dedupe_remembered(dedupe_of("in")), 0);
	dedupe_request_fini(&a);
}

/* Against a plain list of what was settled, while the table grows, shrinks and the ring goes round. */
static void test_a_long_random_life(void **state)
{
	(void)state;
	enum { TEXTS = 20000 };
	static char durable[TEXTS], under_way[TEXTS];
	struct dedupe_request a = { .first = first };
	unsigned mine[200], n = 0, seed = 7;

	memset(durable, 0, sizeof(durable));
	for (unsigned i = 0; i < 400000; i++) {
		unsigned k, dense = i / 50000 % 2 ? 300 : TEXTS;
		char text[20];
		enum dedupe_answer answer;

		seed = seed * 1103515245 + 12345;
		k = seed / 65536 % dense;
		snprintf(text, sizeof(text), "m%u", k);
		answer = look(&a, text);
		assert_int_equal(answer, durable[k] || under_way[k] ? DEDUPE_KNOWN : DEDUPE_NEW);
		if (answer == DEDUPE_NEW) {
			under_way[k] = 1;
			mine[n++] = k;
			if (seed % 7 == 0) {
				dedupe_forget_last(&a);
				under_way[mine[--n]] = 0;
			}
		}
		if (n == 200 || seed % 191 == 0) {
			bool ok = seed % 3 != 0;

			dedupe_settle(&a, ok);
			while (n > 0) {
				durable[mine[--n]] |= ok;
				under_way[mine[n]] = 0;
			}
		}
	}
	dedupe_settle(&a, true);
	dedupe_request_fini(&a);
}

/* ---- several workers ---------------------------------------------------------------------------------------------------------- */

enum { WORKERS = 4, ROUNDS = 300, BATCH = 20 };
struct player { struct dedupe_request request; _Atomic unsigned awaited, news, lost; unsigned wrong; unsigned ix; };
static _Atomic unsigned taken_once[ROUNDS * BATCH];
static _Atomic bool stored[ROUNDS * BATCH];

static void told_player(struct dedupe_request *waiter, bool durable)
{
	struct player *p = (struct player *)(void *)waiter;

	if (!durable)
		atomic_fetch_add(&p->lost, 1);
	atomic_fetch_add(&p->news, 1);
}

/* Brings the same batches as the others until they are answered; "commits" fail now and then. */
static void *play(void *arg)
{
	struct player *p = arg;
	struct dedupe *d = dedupe_of("in");
	unsigned seed = p->ix * 77 + 1;

	for (unsigned round = 0; round < ROUNDS;) {
		unsigned new[BATCH], n = 0;
		bool ok;

		atomic_store(&p->awaited, 0);
		atomic_store(&p->news, 0);
		atomic_store(&p->lost, 0);
		for (unsigned i = 0; i < BATCH; i++) {
			unsigned k = round * BATCH + (i + p->ix * 5) % BATCH;
			char text[20];
			enum dedupe_answer answer;

			snprintf(text, sizeof(text), "m%u", k);
			answer = dedupe_look(&p->request, d, WINDOW, text, strlen(text));
			if (answer == DEDUPE_NEW)
				new[n++] = k;
			else if (answer == DEDUPE_AWAITS)
				p->awaited++;
			else
				p->wrong += !atomic_load(&stored[k]);
		}
		seed = seed * 1103515245 + 12345;
		ok = seed / 65536 % 4 != 0;
		for (unsigned i = 0; i < n && ok; i++) {
			atomic_fetch_add(&taken_once[new[i]], 1);
			atomic_store(&stored[new[i]], true);
		}
		dedupe_settle(&p->request, ok);
		while (atomic_load(&p->news) < p->awaited)
			sched_yield();
		if (ok && atomic_load(&p->lost) == 0)
			round++;
	}
	return NULL;
}

static void test_workers_take_each_message_once(void **state)
{
	(void)state;
	static struct player players[WORKERS];
	pthread_t threads[WORKERS];

	for (unsigned i = 0; i < WORKERS; i++) {
		players[i] = (struct player){ .request = { .first = told_player }, .ix = i };
		assert_int_equal(pthread_create(&threads[i], NULL, play, &players[i]), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(players[i].wrong, 0);
		dedupe_request_fini(&players[i].request);
	}
	for (unsigned k = 0; k < ROUNDS * BATCH; k++)
		assert_int_equal(taken_once[k], 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_known_when_durable_and_not_before), T(test_a_failed_commit_is_forgotten_and_told), T(test_what_was_not_taken_after_all_is_forgotten),
		T(test_two_who_wait_for_each_other), T(test_time_passes), T(test_at_the_bound_the_oldest_are_forgotten), T(test_a_long_random_life),
		T(test_workers_take_each_message_once),
	};

	log_setup(getenv("VERBOSE") ? LOG_DEBUG : LOG_ERROR + 1, LOG_LOGFMT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
