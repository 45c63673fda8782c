/* Counters belong to names: asking again gives the same object, counts from many threads add up. */
#include "base/stats.h"
#include "unit.h"

#include <pthread.h>

static void test_a_name_keeps_its_counters(void **state)
{
	(void)state;
	char name[] = "toll";
	struct stats_stream *s = stats_stream(name);
	stats_add(&s->matched, 3);
	name[0] = 'X'; /* the name was copied */
	assert_ptr_equal(stats_stream("toll"), s);
	assert_string_equal(s->name, "toll");
	assert_int_equal(stats_get(&stats_stream("toll")->matched), 3);
	assert_int_equal(stats_get(&s->accepted), 0);
	assert_ptr_not_equal(stats_stream("copy"), s);
	/* A channel of the same name is another object. */
	struct stats_channel *c = stats_channel("toll");
	stats_add(&c->taken, 1);
	assert_int_equal(stats_get(&s->matched), 3);
	assert_ptr_equal(stats_channel("toll"), c);
}

#define THREADS 4
#define ROUNDS 2000

static void *count(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		char name[16];
		snprintf(name, sizeof(name), "s%d", i % 50);
		stats_add(&stats_stream(name)->accepted, 2);
		stats_add(&stats_channel(name)->received, 1);
		for (struct stats_stream *s = stats_stream_next(NULL); s; s = stats_stream_next(s))
			if (!s->name)
				return arg;
	}
	return NULL;
}

static void test_threads_add_up(void **state)
{
	(void)state;
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count, "a name was missing"), 0);
	for (int i = 0; i < THREADS; i++) {
		void *fault;
		pthread_join(threads[i], &fault);
		assert_null(fault);
	}
	uint64_t accepted = 0, received = 0;
	int named = 0;
	for (struct stats_stream *s = stats_stream_next(NULL); s; s = stats_stream_next(s)) {
		accepted += stats_get(&s->accepted);
		named += s->name[0] == 's';
	}
	for (struct stats_channel *c = stats_channel_next(NULL); c; c = stats_channel_next(c))
		received += stats_get(&c->received);
	assert_int_equal(accepted, 2 * THREADS * ROUNDS);
	assert_int_equal(received, THREADS * ROUNDS);
	assert_int_equal(named, 50);
}

static void test_the_list_names_every_counter(void **state)
{
	(void)state;
	/* What walks STATS_STREAM sees each counter of the struct once. */
	size_t fields = 0;
#define COUNT(name, help) fields++;
	STATS_STREAM(COUNT)
	const size_t levels = 1; /* suspended */
	assert_int_equal((fields + levels) * sizeof(uint64_t) + 2 * sizeof(void *), sizeof(struct stats_stream));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_name_keeps_its_counters),
		cmocka_unit_test(test_threads_add_up),
		cmocka_unit_test(test_the_list_names_every_counter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
