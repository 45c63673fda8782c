/* test_delivery_credentials.c - logging in, and requests in an adapter's words: when a provider is asked, and what becomes of its answers.
 * Asking a far end for them needs a network: tests/system/test_adapter_requests.py. */
#include "delivery_kit.h"

static struct {
	unsigned asked;               /* times the provider was */
	enum provided says;
	int64_t lives_us;
	unsigned worded, unworded;    /* times the adapter was asked for its words, and had none */
	bool words, fails, basic;
} provider;

static enum provided provide(void *arg, const struct stream *s, const struct answer *answer, struct provision *out, char *why, size_t whylen)
{
	static char headers[64];
	(void)arg, (void)s;
	assert_null(answer);
	provider.asked++;
	snprintf(why, whylen, "x.lua:7: the secret has gone\nstack traceback: …");
	int n = snprintf(headers, sizeof headers, "X-Token%ct%u", 0, provider.asked);
	headers[n + 1] = '\0';
	*out = (struct provision){ .nheaders = 1, .headers = headers, .lives_us = provider.lives_us };
	if (provider.basic)
		*out = (struct provision){ .username = "Aladdin", .password = "open sesame" };
	return provider.says;
}

static int word(void *arg, const struct stream *s, const struct batch *b, struct wording *out, char *why, size_t whylen)
{
	(void)arg, (void)s;
	assert_non_null(b->body);
	provider.worded++;
	if (provider.fails) {
		provider.unworded++;
		snprintf(why, whylen, "x.lua:3: attempt to index a nil value");
		return -1;
	}
	*out = (struct wording){ .url = "http://words/", .nheaders = 2, .headers = "X-Own\0""1\0x-token\0own" };
	return provider.words;
}

static void log_in(struct world *w)
{
	struct delivery_env env = { .base = w->base, .store = &w->store, .ops = ops_of, .arg = w, .credentials = provide, .adapter_request = word };
	w->d = delivery_new(&env, &w->plan.plan, &w->plan.stream);
	spin(w);
}

static void open_world(struct world *w)
{
	memset(&provider, 0, sizeof provider);
	provider.says = PROVIDED;
	begin(w, "http://h/in");
}

static const char *header(const struct batch *b, const char *name)
{
	const char *value = NULL;
	for (unsigned i = 0; i < b->nheaders; i++)
		if (strcasecmp(b->header_names[i], name) == 0) {
			assert_null(value); /* once */
			value = b->header_values[i];
		}
	return value;
}

static void refuse_401(struct world *w)
{
	answer(w, 0, (struct judgement){ .verdict = VERDICT_BLOCKED, .reason = "HTTP 401", .status = 401, .unauthorized = true, .reached = true });
}

static void they_are_had_before_the_first_batch_and_not_sooner(void **state_)
{
	(void)state_;
	struct world *w = &world;
	open_world(w);
	log_in(w);
	assert_int_equal(provider.asked, 0);
	append(w, 3, 1, 3);
	assert_int_equal(provider.asked, 1);
	assert_string_equal(header(w->pending[0], "X-Token"), "t1");
	assert_int_equal(w->pending[0]->ncredentials, 1);
	assert_string_equal(w->pending[0]->header_names[w->pending[0]->nheaders - 1], "X-Token");
	answer_with(w, VERDICT_DONE);
	append(w, 3, 1, 3);
	answer_with(w, VERDICT_DONE);
	assert_int_equal(provider.asked, 1);
	end(w);
}

static void a_destination_that_wants_none_is_asked_once(void **state_)
{
	(void)state_;
	struct world *w = &world;
	open_world(w);
	provider.says = PROVIDED_NONE;
	log_in(w);
	append(w, 1, 1, 1);
	answer_with(w, VERDICT_DONE);
	append(w, 1, 1, 1);
	assert_int_equal(w->pending[0]->ncredentials, 0);
	refuse_401(w);
	assert_int_equal(state(w), DELIVERY_BLOCKED);
	assert_int_equal(provider.asked, 1);
	end(w);
}

static void they_are_had_anew_before_they_end_and_at_once_when_they_have_ended(void **state_)
{
	(void)state_;
	struct world *w = &world;
	open_world(w);
	provider.lives_us = 3600 * SECOND;
	log_in(w);
	append(w, 1, 1, 1);
	answer_with(w, VERDICT_DONE);
	pass_time(w, 3530 * SECOND);
	append(w, 1, 1, 1);
	assert_string_equal(header(w->pending[0], "X-Token"), "t1");
	answer_with(w, VERDICT_DONE);
	pass_time(w, 20 * SECOND); /* a minute before the end, and something to send */
	append(w, 1, 1, 1);
	assert_string_equal(header(w->pending[0], "X-Token"), "t2");
	answer_with(w, VERDICT_DONE);
	pass_time(w, 9000 * SECOND); /* nothing to send: nobody is asked */
	assert_int_equal(provider.asked, 2);
	append(w, 1, 1, 1);
	assert_string_equal(header(w->pending[0], "X-Token"), "t3");
	end(w);
}

static void those_that_still_serve_are_used_while_others_cannot_be_had(void **state_)
{
	(void)state_;
	struct world *w = &world;
	open_world(w);
	provider.lives_us = 600 * SECOND;
	log_in(w);
	append(w, 1, 1, 1);
	answer_with(w, VERDICT_DONE);
	pass_time(w, 570 * SECOND);
	provider.says = PROVIDED_NOT;
	append(w, 1, 1, 1);
	assert_int_equal(provider.asked, 2);
	assert_string_equal(header(w->pending[0], "X-Token"), "t1");
	answer_with(w, VERDICT_DONE);
	pass_time(w, 40 * SECOND);
	append(w, 1, 1, 1);
	assert_int_equal(w->npending, 0);
	assert_int_equal(state(w), DELIVERY_RETRYING);
	provider.says = PROVIDED;
	pass_time(w, 60 * SECOND);
	assert_int_equal(w->npending, 1);
	end(w);
}

static void a_401_is_answered_by_logging_in_once_and_a_second_one_blocks(void **state_)
{
	(void)state_;
	struct world *w = &world;
	open_world(w);
	log_in(w);
	append(w, 2, 1, 2);
	refuse_401(w);
	assert_int_equal(provider.asked, 2);
	assert_int_equal(w->npending, 1);
	assert_int_equal(state(w), DELIVERY_SENDING);
	assert_string_equal(header(w->pending[0], "X-Token"), "t2");
	assert_int_equal(w->pending[0]->n, 2);
	refuse_401(w);
	assert_int_equal(w->npending, 0);
	assert_int_equal(provider.asked, 2);
	assert_int_equal(state(w), DELIVERY_BLOCKED);
	pass_time(w, 61 * SECOND); /* the probe logs in first */
	assert_int_equal(provider.asked, 3);
	assert_string_equal(header(w->pending[0], "X-Token"), "t3");
	refuse_401(w);
	assert_int_equal(state(w), DELIVERY_BLOCKED);
	pass_time(w, 61 * SECOND);
	answer_with(w, VERDICT_DONE);
	assert_int_equal(state(w), DELIVERY_IDLE);
	append(w, 1, 1, 1); /* an acceptance: the next 401 is a session that ended, again */
	refuse_401(w);
	assert_int_equal(w->npending, 1);
	answer_with(w, VERDICT_DONE);
	assert_int_equal(fake_count(&w->store, OUTCOME_ACCEPTED), 3);
	end(w);
}

static void batches_sent_with_older_ones_go_again_and_prove_nothing(void **state_)
{
	(void)state_;
	struct world *w = &world;
	open_world(w);
	w->plan.stream.ordering = ORDER_NONE;
	w->plan.stream.in_flight = 4;
	w->plan.stream.batch_messages = 1;
	log_in(w);
	append(w, 4, 1, 4);
	assert_int_equal(w->npending, 4);
	for (unsigned i = 0; i < 4; i++)
		refuse_401(w);
	assert_int_equal(provider.asked, 2);
	assert_int_equal(w->npending, 4);
	assert_int_equal(state(w), DELIVERY_SENDING);
	for (unsigned i = 0; i < 4; i++) {
		assert_string_equal(header(w->pending[0], "X-Token"), "t2");
		answer_with(w, VERDICT_DONE);
	}
	assert_int_equal(fake_count(&w->store, OUTCOME_ACCEPTED), 4);
	end(w);
}

static void while_they_cannot_be_had_nothing_goes_and_the_reason_is_shown(void **state_)
{
	(void)state_;
	struct world *w = &world;
	open_world(w);
	provider.says = PROVIDED_NOT;
	log_in(w);
	append(w, 5, 1, 5);
	assert_int_equal(w->npending, 0);
	struct delivery_status s;
	delivery_status(w->d, &s);
	assert_int_equal(s.state, DELIVERY_RETRYING);
	assert_string_equal(s.reason, "no credentials: x.lua:7: the secret has gone");
	unsigned before = provider.asked;
	pass_time(w, 120 * SECOND);
	assert_in_range(provider.asked, before + 3, before + 60); /* as often as any retry */
	provider.says = PROVIDED;
	pass_time(w, 30 * SECOND);
	answer_with(w, VERDICT_DONE);
	assert_int_equal(fake_count(&w->store, OUTCOME_ACCEPTED), 5);
	assert_int_equal(state(w), DELIVERY_IDLE);
	end(w);
}

static void a_destination_that_changed_is_logged_in_to_anew(void **state_)
{
	(void)state_;
	struct world *w = &world;
	open_world(w);
	log_in(w);
	append(w, 1, 1, 1);
	answer_with(w, VERDICT_DONE);
	static struct fake_plan other;
	fake_plan_init(&other, "http://h/in");
	delivery_update(w->d, &other.plan, &other.stream);
	spin(w);
	append(w, 1, 1, 1);
	assert_string_equal(header(w->pending[0], "X-Token"), "t1"); /* nothing that matters changed */
	answer_with(w, VERDICT_DONE);
	static struct fake_plan touched;
	fake_plan_init(&touched, "http://h/in");
	touched.destination.fingerprint = 2;
	delivery_update(w->d, &touched.plan, &touched.stream);
	spin(w);
	append(w, 1, 1, 1);
	assert_string_equal(header(w->pending[0], "X-Token"), "t2");
	answer_with(w, VERDICT_DONE);
	end(w);
	fake_plan_fini(&other);
	fake_plan_fini(&touched);
}

static void a_user_and_a_password_are_basic_authentication(void **state_)
{
	(void)state_;
	struct world *w = &world;
	open_world(w);
	provider.basic = true;
	log_in(w);
	append(w, 1, 1, 1);
	assert_string_equal(header(w->pending[0], "Authorization"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="); /* RFC 7617, section 2 */
	end(w);
}

static void a_request_in_the_adapters_words(void **state_)
{
	(void)state_;
	struct world *w = &world;
	open_world(w);
	provider.words = true;
	log_in(w);
	append(w, 2, 1, 2);
	struct batch *b = w->pending[0];
	assert_string_equal(b->url, "http://words/");
	assert_true(b->worded);
	assert_string_equal(header(b, "X-Own"), "1");
	assert_string_equal(header(b, "X-Token"), "t1"); /* credentials have the last word */
	answer_with(w, VERDICT_RETRY);
	pass_time(w, 2 * SECOND);
	assert_string_equal(w->pending[0]->url, "http://words/");
	assert_int_equal(provider.worded, 2);
	end(w);
}

static void an_adapter_that_cannot_word_it_holds_and_loses_nothing(void **state_)
{
	(void)state_;
	struct world *w = &world;
	open_world(w);
	w->plan.stream.ordering = ORDER_NONE;
	w->plan.stream.in_flight = 3;
	w->plan.stream.batch_messages = 10;
	provider.fails = true;
	log_in(w);
	append(w, 40, 1, 40);
	pass_time(w, 300 * SECOND);
	struct delivery_status s;
	delivery_status(w->d, &s);
	assert_int_equal(w->sends, 0);
	assert_int_equal(s.state, DELIVERY_RETRYING);
	assert_string_equal(s.reason, "x.lua:3: attempt to index a nil value");
	assert_in_range(provider.unworded, 10, 1000);
	assert_int_equal(fake_count(&w->store, OUTCOME_DEAD), 0);
	provider.fails = false;
	pass_time(w, 30 * SECOND);
	w->script = accept_all;
	assert_true(drive(w));
	assert_int_equal(fake_count(&w->store, OUTCOME_ACCEPTED), 40);
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_are_had_before_the_first_batch_and_not_sooner),
		cmocka_unit_test(a_destination_that_wants_none_is_asked_once),
		cmocka_unit_test(they_are_had_anew_before_they_end_and_at_once_when_they_have_ended),
		cmocka_unit_test(those_that_still_serve_are_used_while_others_cannot_be_had),
		cmocka_unit_test(a_401_is_answered_by_logging_in_once_and_a_second_one_blocks),
		cmocka_unit_test(batches_sent_with_older_ones_go_again_and_prove_nothing),
		cmocka_unit_test(while_they_cannot_be_had_nothing_goes_and_the_reason_is_shown),
		cmocka_unit_test(a_destination_that_changed_is_logged_in_to_anew),
		cmocka_unit_test(a_user_and_a_password_are_basic_authentication),
		cmocka_unit_test(a_request_in_the_adapters_words),
		cmocka_unit_test(an_adapter_that_cannot_word_it_holds_and_loses_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
