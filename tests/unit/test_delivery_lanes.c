/* test_delivery_lanes.c - settings that change, several lanes, and what holds under any verdicts. */
#include "delivery_kit.h"

static void new_settings_disturb_nothing_that_did_not_change(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	start(w);
	append(w, 3, 1, 3);
	struct fake_plan *next = calloc(1, sizeof *next);
	fake_plan_init(next, "http://h/in");
	delivery_update(w->d, &next->plan, &next->stream);
	spin(w);
	assert_int_equal(w->npending, 1);
	assert_int_equal(w->frees, 0);
	assert_int_equal(w->updates, 1);
	assert_int_equal(w->plan.plan.refs, 2); /* the batch under way still has the old one's texts */
	answer_with(w, VERDICT_DONE);
	assert_int_equal(w->plan.plan.refs, 1);
	append(w, 1, 1, 1);
	answer_with(w, VERDICT_DONE);
	delivery_free(w->d);
	fake_plan_fini(next);
	free(next);
	fake_free(&w->store);
	fake_plan_fini(&w->plan);
	event_base_free(w->base);
}

static void an_update_that_touches_the_destination_ends_the_hold(void **state_)
{
	(void)state_;
	for (unsigned touched = 0; touched < 2; touched++) {
		struct world *w = &world;
		begin(w, "http://h/in");
		start(w);
		append(w, 3, 1, 3);
		answer_with(w, VERDICT_BLOCKED);
		struct fake_plan *next = calloc(1, sizeof *next);
		fake_plan_init(next, "http://h/other");
		next->destination.fingerprint += touched;
		delivery_update(w->d, &next->plan, &next->stream);
		spin(w);
		assert_int_equal(w->npending, touched);
		if (touched) {
			assert_string_equal(w->pending[0]->url, "http://h/other");
			answer_with(w, VERDICT_DONE);
			assert_int_equal(fake_outstanding(&w->store), 0);
		} else {
			assert_int_equal(state(w), DELIVERY_BLOCKED);
		}
		delivery_free(w->d);
		fake_plan_fini(next);
		free(next);
		fake_free(&w->store);
		fake_plan_fini(&w->plan);
		event_base_free(w->base);
	}
}

static void other_lanes_or_another_driver_wait_for_all_answers(void **state_)
{
	(void)state_;
	for (unsigned driver_too = 0; driver_too < 2; driver_too++) {
		struct world *w = &world;
		begin(w, "http://h/in");
		w->plan.stream.ordering = ORDER_DEVICE;
		w->plan.stream.in_flight = 4;
		w->plan.stream.batch_messages = 3;
		start(w);
		append(w, 300, 20, 30);
		assert_int_equal(w->npending, 4);
		struct fake_plan *next = calloc(1, sizeof *next);
		fake_plan_init(next, "http://h/in");
		next->stream.batch_messages = 3;
		if (driver_too)
			next->destination.transport = TRANSPORT_NULL;
		delivery_update(w->d, &next->plan, &next->stream);
		spin(w);
		answer_with(w, VERDICT_DONE);
		answer_with(w, VERDICT_RETRY);
		assert_int_equal(w->npending, 2); /* nothing new starts */
		answer_with(w, VERDICT_DONE);
		answer_with(w, VERDICT_SPLIT);
		assert_int_equal(w->frees, driver_too);
		w->script = accept_all;
		w->pending_most = 0;
		assert_true(drive(w));
		assert_int_equal(w->pending_most, 1);
		check_order(w, false);
		assert_int_equal(fake_count(&w->store, OUTCOME_ACCEPTED), 300);
		delivery_free(w->d);
		fake_plan_fini(next);
		free(next);
		fake_free(&w->store);
		fake_plan_fini(&w->plan);
		event_base_free(w->base);
	}
}

static void settings_that_cannot_work_block_and_are_tried_again(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	w->refuse_new = true;
	start(w);
	append(w, 1, 1, 1);
	assert_int_equal(state(w), DELIVERY_BLOCKED);
	struct delivery_status s;
	delivery_status(w->d, &s);
	assert_string_equal(s.reason, "no such file");
	pass_time(w, 130 * SECOND);
	assert_int_equal(w->news, 3);
	w->refuse_new = false;
	delivery_resume(w->d);
	spin(w);
	assert_int_equal(w->npending, 1);
	answer_with(w, VERDICT_DONE);
	assert_int_equal(state(w), DELIVERY_IDLE);
	end(w);
}

static void on_stopped(void *arg)
{
	((struct world *)arg)->stopped = true;
}

static void pause_stop_and_free(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	w->plan.stream.batch_messages = 1;
	start(w);
	append(w, 5, 1, 5);
	delivery_pause(w->d, true);
	spin(w);
	answer_with(w, VERDICT_DONE);
	assert_int_equal(w->npending, 0);
	assert_int_equal(state(w), DELIVERY_PAUSED);
	delivery_pause(w->d, false);
	spin(w);
	assert_int_equal(w->npending, 1);
	delivery_stop(w->d, on_stopped, w);
	assert_false(w->stopped); /* never from inside the call */
	spin(w);
	assert_false(w->stopped);
	assert_int_equal(state(w), DELIVERY_STOPPING);
	answer_with(w, VERDICT_DONE);
	assert_true(w->stopped);
	assert_int_equal(w->npending, 0);
	assert_int_equal(fake_outstanding(&w->store), 3);
	end(w);
	/* freed with a batch under way: it is cancelled, and stays in the buffer */
	begin(w, "http://h/in");
	start(w);
	append(w, 5, 1, 5);
	assert_int_equal(w->npending, 1);
	delivery_free(w->d);
	assert_int_equal(w->npending, 0);
	assert_int_equal(fake_outstanding(&w->store), 5);
	fake_free(&w->store);
	fake_plan_fini(&w->plan);
	event_base_free(w->base);
}


static void one_lane_probes_for_all_and_all_go_on_after_a_success(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	w->plan.stream.ordering = ORDER_DEVICE;
	w->plan.stream.in_flight = 4;
	w->plan.stream.batch_messages = 5;
	start(w);
	append(w, 400, 50, 40);
	assert_int_equal(w->npending, 4);
	for (unsigned k = 0; k < 4; k++)
		answer_with(w, VERDICT_RETRY);
	for (unsigned k = 0; k < 5; k++) {
		while (!w->npending)
			assert_true(advance(w));
		assert_int_equal(w->npending, 1);
		answer_with(w, VERDICT_RETRY);
	}
	while (!w->npending)
		assert_true(advance(w));
	answer_with(w, VERDICT_DONE);
	assert_int_equal(w->npending, 4);
	w->script = accept_all;
	assert_true(drive(w));
	check_order(w, false);
	end(w);
}

static void one_batch_that_always_fails_holds_its_lane_alone(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	w->plan.stream.ordering = ORDER_DEVICE;
	w->plan.stream.in_flight = 4;
	w->plan.stream.batch_messages = 5;
	start(w);
	append(w, 2000, 50, 100);
	unsigned poison = number_of(&w->pending[0]->entries[0]), done = 0;
	int64_t before = fake_now;
	while (fake_now - before < 60 * SECOND && done < 1200) {
		if (!w->npending) {
			assert_true(advance(w));
			continue;
		}
		fake_now += 2000;
		bool bad = number_of(&w->pending[0]->entries[0]) == poison;
		done += bad ? 0 : w->pending[0]->n;
		answer_with(w, bad ? VERDICT_RETRY : VERDICT_DONE);
	}
	assert_true(done >= 1200);
	assert_true(fake_now - before < 20 * SECOND);
	end(w);
}

static void property(struct world *w, enum ordering ordering, unsigned in_flight, unsigned seed, const char *url)
{
	begin(w, url);
	w->random = seed;
	w->mode = 1;
	w->bad_every = 41;
	w->plan.stream.ordering = ordering;
	w->plan.stream.in_flight = in_flight;
	w->plan.stream.batch_messages = 1 + draw(w, 60);
	w->store.slow = seed & 1;
	start(w);
	w->d->random = seed;
	w->script = chaos;
	for (unsigned k = 0; k < 30; k++) {
		append(w, 1 + draw(w, 100), 25, 1 + draw(w, 40));
		for (unsigned step = draw(w, 40); step-- && w->npending;) {
			unsigned i = draw(w, w->npending);
			fake_now += 1000;
			answer(w, i, w->script(w, w->pending[i]));
		}
		if (draw(w, 3) == 0)
			fake_record(&w->store);
		if (draw(w, 10) == 0)
			advance(w);
	}
	for (unsigned k = 0; fake_outstanding(&w->store); k++) {
		assert_true(k < 500);
		fake_record(&w->store);
		spin(w);
		if (!drive(w)) { /* suspects wait for an acceptance */
			do
				w->n++;
			while (w->n % w->bad_every == w->bad_every - 1);
			append(w, 1, 1, 1);
		}
	}
	unsigned good = 0, bad = 0;
	for (unsigned k = 0; k < w->store.nchunks; k++)
		for (unsigned i = 0; i < w->store.chunks[k]->n; i++) {
			const struct fake_entry *e = &w->store.chunks[k]->entries[i];
			bool is_bad = number_of(&e->e) % w->bad_every == w->bad_every - 1;
			assert_int_equal(e->outcome, is_bad ? OUTCOME_DEAD : OUTCOME_ACCEPTED);
			good += !is_bad;
			bad += is_bad;
		}
	assert_int_equal(w->ndelivered, good);
	assert_true(bad > 5);
	check_order(w, ordering == ORDER_STREAM && !strchr(url, '{'));
	assert_true(w->pending_most <= 2 * in_flight);
	assert_int_equal(w->store.held, 0);
	end(w);
}

static void each_message_is_settled_once_and_in_order_under_any_verdicts(void **state_)
{
	(void)state_;
	const char *more = getenv("SLUICE_TEST_SEEDS");
	for (unsigned seed = 1, last = more ? (unsigned)atoi(more) : 12; seed <= last; seed++) {
		property(&world, ORDER_STREAM, 1, seed, "http://h/in");
		property(&world, ORDER_DEVICE, 4, seed, "http://h/in");
		property(&world, ORDER_DEVICE, 3, seed, "http://h/{ident}");
		property(&world, ORDER_STREAM, 1, seed, "http://h/{ident}");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_settings_disturb_nothing_that_did_not_change),
		cmocka_unit_test(an_update_that_touches_the_destination_ends_the_hold),
		cmocka_unit_test(other_lanes_or_another_driver_wait_for_all_answers),
		cmocka_unit_test(settings_that_cannot_work_block_and_are_tried_again),
		cmocka_unit_test(pause_stop_and_free),
		cmocka_unit_test(one_lane_probes_for_all_and_all_go_on_after_a_success),
		cmocka_unit_test(one_batch_that_always_fails_holds_its_lane_alone),
		cmocka_unit_test(each_message_is_settled_once_and_in_order_under_any_verdicts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
