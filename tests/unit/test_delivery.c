/* test_delivery.c - one lane: batches, holds, refusals, time and room. */
#include "delivery_kit.h"

static void delivers_in_batches_and_in_order(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	w->plan.stream.batch_messages = 10;
	start(w);
	append(w, 7, 3, 7);
	append(w, 18, 3, 7);
	assert_int_equal(w->npending, 1);
	assert_int_equal(w->pending[0]->n, 7); /* a batch goes as soon as the lane is free */
	assert_string_equal(w->pending[0]->url, "http://h/in");
	answer_with(w, VERDICT_DONE);
	assert_int_equal(w->pending[0]->n, 10);
	answer_with(w, VERDICT_DONE);
	assert_int_equal(w->pending[0]->n, 8);
	answer_with(w, VERDICT_DONE);
	assert_int_equal(w->npending, 0);
	assert_int_equal(fake_count(&w->store, OUTCOME_ACCEPTED), 25);
	assert_int_equal(w->store.held, 0);
	check_order(w, true);
	assert_int_equal(state(w), DELIVERY_IDLE);
	struct delivery_status s;
	delivery_status(w->d, &s);
	assert_int_equal(s.accepted, 25);
	assert_int_equal(s.batches, 3);
	end(w);
}

static void batches_are_bounded_by_bytes_and_a_big_message_goes_alone(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	w->plan.stream.batch_bytes = 70; /* three of 22 with their commas */
	start(w);
	char big[200];
	snprintf(big, sizeof big, "{\"ident\":\"d0\",\"pad\":\"%0100d\",\"n\":0}", 0);
	w->n = 1;
	fake_append(&w->store, &(struct fake_message){ .ident = "d0", .bytes = big }, 1);
	append(w, 9, 1, 9);
	assert_int_equal(w->pending[0]->n, 1);
	answer_with(w, VERDICT_DONE);
	while (w->npending) {
		assert_in_range(w->pending[0]->n, 1, 3);
		answer_with(w, VERDICT_DONE);
	}
	assert_int_equal(w->sends, 4);
	end(w);
}

static void retry_waits_between_zero_and_a_doubling_bound_and_keeps_the_batch(void **state_)
{
	(void)state_;
	struct world *w = &world;
	int64_t most[8] = { 0 }, least[8];
	memset(least, 0x7F, sizeof least);
	for (unsigned round = 0; round < 40; round++) {
		begin(w, "http://h/in");
		w->plan.stream.batch_messages = 5;
		start(w);
		append(w, 5, 1, 5);
		append(w, 20, 1, 5);
		char first[sizeof w->bodies];
		strcpy(first, w->bodies);
		for (unsigned k = 0; k < 8; k++) {
			int64_t before = fake_now;
			assert_int_equal(w->pending[0]->attempt, k + 1);
			answer_with(w, VERDICT_RETRY);
			if (!w->npending)
				assert_int_equal(state(w), DELIVERY_RETRYING);
			while (!w->npending)
				assert_true(advance(w));
			int64_t wait = fake_now - before;
			int64_t bound = SECOND << k < 30 * SECOND ? SECOND << k : 30 * SECOND;
			assert_in_range(wait, 0, bound + 1000);
			most[k] = wait > most[k] ? wait : most[k];
			least[k] = wait < least[k] ? wait : least[k];
			assert_string_equal(first, w->bodies);
		}
		answer_with(w, VERDICT_DONE);
		assert_int_equal(w->pending[0]->attempt, 1);
		end(w);
	}
	for (unsigned k = 0; k < 8; k++) { /* the whole width is used */
		int64_t bound = SECOND << k < 30 * SECOND ? SECOND << k : 30 * SECOND;
		assert_true(most[k] > bound * 3 / 4);
		assert_true(least[k] < bound / 4);
	}
}

static void retry_after_is_believed_up_to_ten_minutes(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	start(w);
	append(w, 1, 1, 1);
	static const int64_t asked[] = { 90 * SECOND, 3600 * SECOND };
	static const int64_t least[] = { 90 * SECOND, 600 * SECOND };
	for (unsigned k = 0; k < 2; k++) {
		int64_t before = fake_now;
		answer(w, 0, (struct judgement){ .verdict = VERDICT_RETRY, .reason = "later", .status = 503, .retry_after_us = asked[k] });
		while (!w->npending)
			assert_true(advance(w));
		assert_in_range(fake_now - before, least[k], least[k] + 30 * SECOND);
	}
	answer_with(w, VERDICT_DONE);
	end(w);
}

static void blocked_holds_all_is_probed_each_minute_and_ends_with_resume(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	w->plan.stream.batch_messages = 2;
	start(w);
	append(w, 6, 1, 2);
	int64_t before = fake_now;
	answer(w, 0, (struct judgement){ .verdict = VERDICT_BLOCKED, .reason = "HTTP 401", .status = 401, .reached = true });
	assert_int_equal(w->npending, 0);
	assert_int_equal(state(w), DELIVERY_BLOCKED);
	struct delivery_status s;
	delivery_status(w->d, &s);
	assert_string_equal(s.reason, "HTTP 401");
	assert_true(s.next_try_us > clock_real_us());
	while (!w->npending)
		assert_true(advance(w));
	assert_int_equal(fake_now - before, 60 * SECOND);
	answer_with(w, VERDICT_BLOCKED);
	assert_int_equal(w->npending, 0);
	delivery_resume(w->d);
	spin(w);
	assert_int_equal(w->npending, 1);
	while (w->npending)
		answer_with(w, VERDICT_DONE);
	assert_int_equal(fake_count(&w->store, OUTCOME_ACCEPTED), 6);
	assert_int_equal(state(w), DELIVERY_IDLE);
	check_order(w, true);
	end(w);
}

static void split_finds_the_bad_ones_and_only_these_become_dead_letters(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	start(w);
	w->bad_every = 37;
	w->script = refuse_bad;
	append(w, 200, 5, 100);
	assert_true(drive(w));
	check_order(w, true);
	assert_int_equal(fake_count(&w->store, OUTCOME_DEAD), 5);
	assert_int_equal(fake_count(&w->store, OUTCOME_ACCEPTED), 195);
	const struct fake_entry *e = entry_of(w, 36);
	assert_int_equal(e->outcome, OUTCOME_DEAD);
	assert_string_equal(e->reason, "HTTP 400: bad");
	assert_true(w->sends < 80);
	assert_int_equal(w->recorded, w->sends);
	assert_int_equal(w->recorded_accepted, 195);
	assert_int_equal(w->recorded_rejected, 5);
	end(w);
}

static void a_refusal_waits_for_an_acceptance(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	start(w);
	append(w, 1, 1, 1);
	answer_with(w, VERDICT_SPLIT);
	assert_int_equal(fake_outstanding(&w->store), 1); /* nothing shows yet that the destination works at all */
	pass_time(w, 3600 * SECOND);
	assert_int_equal(fake_outstanding(&w->store), 1);
	append(w, 1, 1, 1);
	answer_with(w, VERDICT_DONE);
	assert_int_equal(fake_count(&w->store, OUTCOME_DEAD), 1);
	assert_int_equal(fake_outstanding(&w->store), 0);
	end(w);
}

static void twenty_refusals_in_a_row_block_and_lose_nothing(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	w->plan.stream.batch_messages = 8;
	start(w);
	append(w, 60, 3, 10);
	unsigned steps = 0;
	while (state(w) != DELIVERY_BLOCKED) {
		assert_true(w->npending == 1 && steps++ < 200);
		answer_with(w, VERDICT_SPLIT);
	}
	assert_int_equal(fake_outstanding(&w->store), 60);
	struct delivery_status s;
	delivery_status(w->d, &s);
	assert_int_equal(s.rejected, 20);
	assert_non_null(strstr(s.reason, "20 messages in a row"));
	/* somebody mends the destination: everything is delivered, in order, the refused ones first */
	delivery_resume(w->d);
	spin(w);
	while (w->npending)
		answer_with(w, VERDICT_DONE);
	assert_int_equal(fake_count(&w->store, OUTCOME_ACCEPTED), 60);
	check_order(w, true);
	end(w);
}

static void blocked_by_refusals_ends_by_itself_when_a_probe_is_accepted(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	start(w);
	append(w, 50, 3, 25);
	while (state(w) != DELIVERY_BLOCKED)
		answer_with(w, VERDICT_REFUSED);
	assert_int_equal(w->npending, 0);
	while (!w->npending)
		assert_true(advance(w));
	while (w->npending)
		answer_with(w, VERDICT_DONE);
	assert_int_equal(fake_count(&w->store, OUTCOME_ACCEPTED), 50);
	check_order(w, true);
	end(w);
}

static void refused_drop_and_refused_retry(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	w->plan.stream.refused = REFUSED_DROP;
	start(w);
	w->bad_every = 10;
	w->script = refuse_bad;
	append(w, 30, 1, 30);
	append(w, 1, 1, 1);
	assert_true(drive(w));
	assert_int_equal(fake_count(&w->store, OUTCOME_DROPPED), 3);
	assert_int_equal(fake_count(&w->store, OUTCOME_ACCEPTED), 28);
	end(w);

	begin(w, "http://h/in");
	w->plan.stream.refused = REFUSED_RETRY;
	start(w);
	append(w, 2, 1, 2);
	answer_with(w, VERDICT_SPLIT);
	for (unsigned k = 0; k < 30; k++) { /* as often as it takes */
		while (!w->npending)
			assert_true(advance(w));
		assert_int_equal(w->pending[0]->n, 1);
		answer_with(w, VERDICT_SPLIT);
	}
	while (!w->npending)
		assert_true(advance(w));
	answer_with(w, VERDICT_DONE);
	answer_with(w, VERDICT_DONE);
	assert_int_equal(fake_count(&w->store, OUTCOME_ACCEPTED), 2);
	check_order(w, true);
	end(w);
}

static void verdicts_for_each_message_settle_what_is_done(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	start(w);
	append(w, 6, 2, 6);
	static const struct entry_verdict each[] = {
		{ VERDICT_DONE, "" }, { VERDICT_RETRY, "busy" }, { VERDICT_REFUSED, "too old" }, { VERDICT_DONE, "" }, { VERDICT_RETRY, "busy" }, { VERDICT_DONE, "" },
	};
	answer(w, 0, (struct judgement){ .verdict = VERDICT_RETRY, .reason = "in part", .each = each, .reached = true });
	assert_int_equal(fake_count(&w->store, OUTCOME_ACCEPTED), 3);
	assert_int_equal(fake_count(&w->store, OUTCOME_DEAD), 1);
	assert_string_equal(entry_of(w, 2)->reason, "too old");
	while (!w->npending)
		assert_true(advance(w));
	assert_int_equal(w->pending[0]->n, 2);
	assert_int_equal(number_of(&w->pending[0]->entries[0]), 1);
	assert_int_equal(number_of(&w->pending[0]->entries[1]), 4);
	answer_with(w, VERDICT_DONE);
	assert_int_equal(fake_outstanding(&w->store), 0);
	end(w);
}

static void a_lane_stops_at_four_unrecorded_batches_and_hurries(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	w->plan.stream.batch_messages = 1;
	start(w);
	w->store.slow = true;
	append(w, 20, 1, 20);
	unsigned done = 0;
	while (w->npending && done < 20) {
		answer_with(w, VERDICT_DONE);
		done++;
	}
	assert_int_equal(done, 5); /* a crash now repeats five: one that was in flight and four */
	assert_true(w->store.hurried);
	fake_record(&w->store);
	spin(w);
	assert_int_equal(w->npending, 1);
	w->store.slow = false;
	while (w->npending)
		answer_with(w, VERDICT_DONE);
	fake_record(&w->store);
	spin(w);
	while (w->npending)
		answer_with(w, VERDICT_DONE);
	assert_int_equal(fake_outstanding(&w->store), 0);
	end(w);
}

static void linger_waits_for_a_fuller_batch(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	w->plan.stream.batch_messages = 4;
	w->plan.stream.batch_linger_us = 200000;
	start(w);
	append(w, 1, 1, 1);
	assert_int_equal(w->npending, 0);
	pass_time(w, 100000);
	append(w, 1, 1, 1);
	assert_int_equal(w->npending, 0);
	pass_time(w, 99000);
	assert_int_equal(w->npending, 0);
	pass_time(w, 1000); /* since the first came */
	assert_int_equal(w->npending, 1);
	assert_int_equal(w->pending[0]->n, 2);
	answer_with(w, VERDICT_DONE);
	append(w, 4, 1, 4);
	assert_int_equal(w->npending, 1); /* full: at once */
	answer_with(w, VERDICT_DONE);
	end(w);
}

static void rate_is_kept(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	w->plan.destination.rate = 50;
	start(w);
	w->script = accept_all;
	append(w, 1000, 1, 100);
	int64_t before = fake_now;
	assert_true(drive(w));
	double took = (double)(fake_now - before) / 1e6;
	assert_true(took > 18 && took < 21);
	end(w);
}

static void ttl_expires_what_waits_but_not_what_is_in_flight(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	w->plan.stream.ttl_us = 100 * SECOND;
	w->plan.stream.batch_messages = 5;
	start(w);
	append(w, 10, 1, 5);
	pass_time(w, 150 * SECOND);
	assert_int_equal(fake_count(&w->store, OUTCOME_EXPIRED), 5); /* the other five are with the destination */
	answer_with(w, VERDICT_DONE);
	assert_int_equal(fake_count(&w->store, OUTCOME_ACCEPTED), 5);
	/* also while held */
	append(w, 1000, 1, 1);
	answer_with(w, VERDICT_BLOCKED);
	for (unsigned k = 0; k < 5; k++) {
		pass_time(w, 30 * SECOND);
		if (w->npending)
			answer_with(w, VERDICT_BLOCKED);
	}
	assert_int_equal(fake_outstanding(&w->store), 0);
	assert_int_equal(fake_count(&w->store, OUTCOME_EXPIRED), 1005);
	append(w, 1, 1, 1);
	delivery_resume(w->d);
	spin(w);
	answer_with(w, VERDICT_DONE);
	assert_int_equal(fake_outstanding(&w->store), 0);
	end(w);
}

static void drop_oldest_drops_the_oldest_that_are_not_in_flight(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	w->plan.stream.full = SETTING_FULL_DROP_OLDEST;
	w->plan.stream.batch_messages = 2;
	start(w);
	append(w, 2, 1, 2);
	w->store.excess_max = 5 * 22;
	append(w, 8, 1, 2);
	delivery_kick(w->d); /* the store wakes its sender */
	spin(w);
	assert_false(entry_of(w, 0)->settled);
	assert_true(entry_of(w, 2)->settled && entry_of(w, 2)->outcome == OUTCOME_DROPPED);
	assert_false(entry_of(w, 9)->settled);
	assert_int_equal(fake_outstanding(&w->store), 5);
	w->script = accept_all;
	assert_true(drive(w));
	check_order(w, true);
	end(w);
}

static void the_window_is_bounded_whatever_the_backlog(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	w->plan.stream.batch_messages = 10;
	start(w);
	append(w, 5000, 10, 1);
	assert_true(w->store.held_most <= 64);
	answer_with(w, VERDICT_RETRY);
	w->script = accept_all;
	assert_true(drive(w));
	assert_true(w->store.held_most <= 64);
	assert_int_equal(w->pending_most, 1);
	check_order(w, true);
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delivers_in_batches_and_in_order),
		cmocka_unit_test(batches_are_bounded_by_bytes_and_a_big_message_goes_alone),
		cmocka_unit_test(retry_waits_between_zero_and_a_doubling_bound_and_keeps_the_batch),
		cmocka_unit_test(retry_after_is_believed_up_to_ten_minutes),
		cmocka_unit_test(blocked_holds_all_is_probed_each_minute_and_ends_with_resume),
		cmocka_unit_test(split_finds_the_bad_ones_and_only_these_become_dead_letters),
		cmocka_unit_test(a_refusal_waits_for_an_acceptance),
		cmocka_unit_test(twenty_refusals_in_a_row_block_and_lose_nothing),
		cmocka_unit_test(blocked_by_refusals_ends_by_itself_when_a_probe_is_accepted),
		cmocka_unit_test(refused_drop_and_refused_retry),
		cmocka_unit_test(verdicts_for_each_message_settle_what_is_done),
		cmocka_unit_test(a_lane_stops_at_four_unrecorded_batches_and_hurries),
		cmocka_unit_test(linger_waits_for_a_fuller_batch),
		cmocka_unit_test(rate_is_kept),
		cmocka_unit_test(ttl_expires_what_waits_but_not_what_is_in_flight),
		cmocka_unit_test(drop_oldest_drops_the_oldest_that_are_not_in_flight),
		cmocka_unit_test(the_window_is_bounded_whatever_the_backlog),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
