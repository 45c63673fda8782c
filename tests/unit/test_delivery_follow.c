/* test_delivery_follow.c - a driver whose batches may follow each other: how many, what goes when one of them comes back, and that order holds. */
#include "delivery_kit.h"

static void begin_line(struct world *w, unsigned window, unsigned batch)
{
	begin(w, "line://h");
	w->follows = true;
	w->plan.destination.window = window;
	w->plan.stream.batch_messages = batch;
	start(w);
}

static void as_many_as_keep_the_window_full(void **state_)
{
	(void)state_;
	static const struct { unsigned window, batch, connections, batches; } all[] = {
		{ 1, 10, 1, 1 }, { 5, 10, 1, 2 }, { 10, 10, 1, 2 }, { 95, 10, 1, 11 }, { 10, 100, 1, 2 }, { 20, 10, 3, 7 }, { 60000, 1, 1, FOLLOW_MAX },
	};
	for (unsigned k = 0; k < sizeof all / sizeof *all; k++) {
		struct world *w = &world;
		begin(w, "line://h");
		w->follows = true;
		w->plan.destination.window = all[k].window;
		w->plan.destination.connections = all[k].connections;
		w->plan.stream.batch_messages = all[k].batch;
		start(w);
		append(w, 1000, 1, 100);
		assert_int_equal(w->npending, all[k].batches);
		answer_with(w, VERDICT_DONE);
		assert_int_equal(w->npending, all[k].batches);
		w->script = accept_all;
		assert_true(drive(w));
		assert_int_equal(w->ndelivered, 1000);
		end(w);
	}
}

/* What trickles in while a batch is under way gathers into one. */
static void only_whole_batches_follow(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin_line(w, 100, 10);
	for (unsigned i = 0; i < 9; i++)
		append(w, 1, 1, 1);
	assert_int_equal(w->npending, 1);
	answer_with(w, VERDICT_DONE);
	assert_int_equal(w->npending, 1);
	assert_int_equal(w->pending[0]->n, 8);
	append(w, 9, 1, 9);
	assert_int_equal(w->npending, 1);
	append(w, 1, 1, 1);
	assert_int_equal(w->npending, 2);
	answer_with(w, VERDICT_DONE);
	answer_with(w, VERDICT_DONE);
	assert_int_equal(w->ndelivered, 19);
	end(w);
}

/* The line breaks: one batch finds out, the oldest; then all go again, in order, and nothing new before them. */
static void a_line_that_breaks(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin_line(w, 40, 10);
	append(w, 500, 1, 100);
	assert_int_equal(w->npending, 5);
	answer_with(w, VERDICT_RETRY);
	fake_now += 60 * SECOND;
	delivery_kick(w->d);
	spin(w);
	assert_int_equal(w->npending, 4); /* those that are out are waited for */
	while (w->npending)
		answer_with(w, VERDICT_RETRY);
	assert_int_equal(state(w), DELIVERY_RETRYING);
	while (!w->npending)
		assert_true(advance(w));
	assert_int_equal(w->npending, 1);
	assert_int_equal(number_of(&w->pending[0]->entries[0]), 0);
	answer_with(w, VERDICT_DONE);
	assert_int_equal(w->npending, 5);
	for (unsigned k = 0; k < 5; k++)
		assert_int_equal(number_of(&w->pending[k]->entries[0]), 10 * (k + 1));
	w->script = accept_all;
	while (w->npending)
		answer_with(w, VERDICT_DONE);
	assert_int_equal(w->ndelivered, 500);
	check_order(w, true);
	end(w);
}

/* One comes back alone: those behind it that are out may be accepted, but no new one goes before it is out again. */
static void one_that_comes_back_alone(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin_line(w, 40, 10);
	append(w, 500, 1, 100);
	answer_with(w, VERDICT_DONE);
	assert_int_equal(w->npending, 5);
	answer(w, 1, (struct judgement){ .verdict = VERDICT_DONE, .reason = "" });
	answer_with(w, VERDICT_RETRY);
	unsigned left = w->npending;
	while (w->npending)
		answer_with(w, VERDICT_DONE);
	assert_int_equal(w->ndelivered, 10 * (2 + left));
	assert_true(advance(w));
	assert_int_equal(number_of(&w->pending[0]->entries[0]), 10);
	assert_int_equal(w->npending, 5);
	while (w->npending)
		answer_with(w, VERDICT_DONE);
	assert_int_equal(w->ndelivered, 500);
	end(w);
}

/* New settings while some of them come back and others are still out: what was not accepted goes again in order. */
static void another_destination_meanwhile(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin_line(w, 40, 10);
	append(w, 500, 1, 100);
	answer_with(w, VERDICT_RETRY);
	struct fake_plan *next = calloc(1, sizeof *next);
	fake_plan_init(next, "line://other");
	next->destination.window = 40;
	next->destination.fingerprint = 2;
	next->stream.batch_messages = 10;
	delivery_update(w->d, &next->plan, &next->stream);
	spin(w);
	assert_int_equal(w->npending, 4);
	for (unsigned k = 0; k < 4; k++)
		answer_with(w, VERDICT_RETRY);
	w->script = accept_all;
	for (unsigned k = 0; k < 10000 && fake_outstanding(&w->store); k++) {
		if (w->npending)
			answer_with(w, VERDICT_DONE);
		else
			assert_true(advance(w));
	}
	assert_int_equal(w->ndelivered, 500);
	check_order(w, true);
	delivery_free(w->d);
	fake_plan_fini(next);
	free(next);
	fake_free(&w->store);
	fake_plan_fini(&w->plan);
	event_base_free(w->base);
}

static void freed_with_several_under_way(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin_line(w, 40, 10);
	append(w, 500, 1, 100);
	answer_with(w, VERDICT_RETRY);
	assert_int_equal(w->npending, 4);
	delivery_free(w->d);
	assert_int_equal(w->npending, 0);
	assert_int_equal(fake_outstanding(&w->store), 500);
	fake_free(&w->store);
	fake_plan_fini(&w->plan);
	event_base_free(w->base);
}

/* The front of the oldest batch: so many are done or refused, the rest comes back. */
static void front(struct world *w, unsigned stop, const char *why)
{
	struct batch *b = w->pending[0];
	bool all = stop == b->n;
	for (unsigned i = 0; i < b->n; i++) {
		bool bad = number_of(&b->entries[i]) % w->bad_every == w->bad_every - 1;
		w->each[i] = (struct entry_verdict){ i >= stop ? VERDICT_RETRY : bad ? VERDICT_REFUSED : VERDICT_DONE, why };
		all &= !bad;
	}
	answer(w, 0, (struct judgement){ .verdict = all ? VERDICT_DONE : VERDICT_RETRY, .reason = why, .reached = true, .each = all ? NULL : w->each });
}

/* A line that acknowledges in order and breaks anywhere, reloads and resumes between: each message is settled once, and order holds. */
static void order_holds_on_a_line_that_breaks_anywhere(void **state_)
{
	(void)state_;
	const char *more = getenv("SLUICE_TEST_SEEDS");
	for (unsigned seed = 1, last = more ? (unsigned)atoi(more) : 20; seed <= last; seed++) {
		static struct fake_plan others[4];
		struct world *w = &world;
		begin(w, "line://h");
		w->follows = true;
		w->random = seed * 104729;
		w->bad_every = 41;
		w->store.slow = seed & 1;
		for (unsigned i = 0; i < 4; i++) {
			fake_plan_init(&others[i], "line://h");
			others[i].destination.window = 1 + draw(w, 100);
			others[i].destination.fingerprint = 1 + i % 2;
			others[i].stream.batch_messages = 1 + draw(w, 30);
			others[i].stream.ordering = i == 3 ? ORDER_DEVICE : ORDER_STREAM;
			others[i].stream.in_flight = 3;
		}
		struct delivery_env env = { .base = w->base, .store = &w->store, .ops = ops_of };
		w->d = delivery_new(&env, &others[0].plan, &others[0].stream);
		w->d->random = seed;
		spin(w);
		for (unsigned k = 0; k < 3000 && (k < 300 || fake_outstanding(&w->store)); k++) {
			unsigned dice = draw(w, 100);
			if (dice < 20 && k < 300)
				append(w, 1 + draw(w, 60), 25, 1 + draw(w, 40));
			else if (dice < 24)
				delivery_update(w->d, &others[dice % 4].plan, &others[dice % 4].stream);
			else if (dice < 26)
				delivery_resume(w->d);
			else if (dice < 40)
				fake_record(&w->store);
			else if (dice < 50 && w->npending)
				for (front(w, draw(w, w->pending[0]->n + 1), "cut"); w->npending;)
					answer_with(w, VERDICT_RETRY);
			else if (w->npending)
				front(w, w->pending[0]->n, "");
			else
				advance(w);
			fake_now += 1000;
			spin(w);
			if (k > 1000 && !w->npending && fake_outstanding(&w->store) && draw(w, 20) == 0) { /* suspects wait for an acceptance */
				do
					w->n++;
				while (w->n % w->bad_every == w->bad_every - 1);
				append(w, 1, 1, 1);
			}
		}
		assert_int_equal(fake_outstanding(&w->store), 0);
		unsigned accepted = 0;
		for (unsigned k = 0; k < w->store.nchunks; k++)
			for (unsigned i = 0; i < w->store.chunks[k]->n; i++) {
				const struct fake_entry *e = &w->store.chunks[k]->entries[i];
				bool bad = number_of(&e->e) % w->bad_every == w->bad_every - 1;
				assert_int_equal(e->outcome, bad ? OUTCOME_DEAD : OUTCOME_ACCEPTED);
				accepted += !bad;
			}
		assert_int_equal(w->ndelivered, accepted);
		check_order(w, false);
		delivery_free(w->d);
		for (unsigned i = 0; i < 4; i++)
			fake_plan_fini(&others[i]);
		fake_free(&w->store);
		fake_plan_fini(&w->plan);
		event_base_free(w->base);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_many_as_keep_the_window_full),
		cmocka_unit_test(only_whole_batches_follow),
		cmocka_unit_test(a_line_that_breaks),
		cmocka_unit_test(one_that_comes_back_alone),
		cmocka_unit_test(another_destination_meanwhile),
		cmocka_unit_test(freed_with_several_under_way),
		cmocka_unit_test(order_holds_on_a_line_that_breaks_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
