/* test_delivery_chaos.c - everything at once: any verdicts, ttl, drop-oldest, pause, resume, reloads with other lanes. */
#include "delivery_kit.h"

#define PLANS 6

static void chaos_with_reloads(struct world *w, unsigned seed, const char *url, bool ordered)
{
	static struct fake_plan plans[PLANS];
	begin(w, url);
	w->random = seed * 7919;
	w->mode = 1;
	w->bad_every = 41;
	w->follows = !ordered && seed % 2;
	bool lossy = seed % 3 == 0;
	for (unsigned i = 0; i < PLANS; i++) {
		fake_plan_init(&plans[i], url);
		struct stream *s = &plans[i].stream;
		s->ordering = !ordered && i & 1 ? ORDER_NONE : i % 3 ? ORDER_DEVICE : ORDER_STREAM;
		s->in_flight = 1 + draw(w, 5);
		s->batch_messages = 1 + draw(w, 40);
		s->batch_linger_us = draw(w, 3) ? 0 : 500000;
		plans[i].destination.fingerprint = 1 + i % 2;
		plans[i].destination.window = 1 + i * 20;
		plans[i].destination.rate = draw(w, 4) ? 0 : 400;
		if (lossy && i) {
			s->ttl_us = (20 + draw(w, 100)) * SECOND;
			s->full = SETTING_FULL_DROP_OLDEST;
		}
	}
	struct delivery_env env = { .base = w->base, .store = &w->store, .ops = ops_of };
	w->d = delivery_new(&env, &plans[0].plan, &plans[0].stream);
	w->d->random = seed;
	spin(w);
	w->script = chaos;
	for (unsigned k = 0; k < 80; k++) {
		append(w, 1 + draw(w, 60), 25, 1 + draw(w, 40));
		if (draw(w, 4) == 0) {
			unsigned i = draw(w, PLANS);
			delivery_update(w->d, &plans[i].plan, &plans[i].stream);
		}
		if (draw(w, 10) == 0)
			delivery_pause(w->d, draw(w, 2));
		if (draw(w, 12) == 0)
			delivery_resume(w->d);
		if (lossy && draw(w, 8) == 0) {
			w->store.excess_max = 2000 + draw(w, 20000);
			delivery_kick(w->d);
		}
		spin(w);
		for (unsigned step = draw(w, 60); step--;) {
			if (w->npending) {
				unsigned i = draw(w, w->npending);
				fake_now += 1000;
				answer(w, i, w->script(w, w->pending[i]));
			} else if (!advance(w)) {
				break;
			}
		}
	}
	w->store.excess_max = 0;
	delivery_update(w->d, &plans[0].plan, &plans[0].stream);
	delivery_pause(w->d, false);
	spin(w);
	for (unsigned k = 0; fake_outstanding(&w->store); k++) {
		assert_true(k < 500);
		if (!drive(w)) { /* suspects wait for an acceptance */
			do
				w->n++;
			while (w->n % w->bad_every == w->bad_every - 1);
			append(w, 1, 1, 1);
		}
	}
	unsigned accepted = 0;
	for (unsigned k = 0; k < w->store.nchunks; k++)
		for (unsigned i = 0; i < w->store.chunks[k]->n; i++) {
			const struct fake_entry *e = &w->store.chunks[k]->entries[i];
			bool bad = number_of(&e->e) % w->bad_every == w->bad_every - 1;
			accepted += e->outcome == OUTCOME_ACCEPTED;
			if (!lossy)
				assert_int_equal(e->outcome, bad ? OUTCOME_DEAD : OUTCOME_ACCEPTED);
			else
				assert_int_not_equal(e->outcome, bad ? OUTCOME_ACCEPTED : OUTCOME_DEAD);
		}
	assert_int_equal(w->ndelivered, accepted);
	if (ordered)
		check_order(w, false);
	while (w->npending)
		answer_with(w, VERDICT_DONE);
	assert_int_equal(w->store.held, 0);
	delivery_free(w->d);
	for (unsigned i = 0; i < PLANS; i++)
		fake_plan_fini(&plans[i]);
	fake_free(&w->store);
	fake_plan_fini(&w->plan);
	event_base_free(w->base);
}

static void each_message_is_settled_once_whatever_happens(void **state_)
{
	(void)state_;
	const char *more = getenv("SLUICE_TEST_SEEDS");
	for (unsigned seed = 1, last = more ? (unsigned)atoi(more) : 12; seed <= last; seed++) {
		chaos_with_reloads(&world, seed, "http://h/in", true);
		chaos_with_reloads(&world, seed, "http://h/{ident}", true);
		chaos_with_reloads(&world, seed, "http://h/in", false);
		chaos_with_reloads(&world, seed, "http://h/{ident}", false);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_message_is_settled_once_whatever_happens),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
