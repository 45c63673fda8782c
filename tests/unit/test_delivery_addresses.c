/* test_delivery_addresses.c - a url or headers with parameters: one dead device among many. */
#include "delivery_kit.h"

static bool is_dead(struct world *w, const struct batch *b)
{
	return (unsigned)atoi(b->entries[0].ident + 1) == w->dead_device;
}

static struct judgement one_is_dead(struct world *w, struct batch *b)
{
	for (unsigned i = 1; i < b->n; i++)
		assert_int_equal(b->entries[i].ident_hash, b->entries[0].ident_hash);
	char url[64];
	snprintf(url, sizeof url, "http://h/%.*s", (int)b->entries[0].ident_len, b->entries[0].ident);
	assert_string_equal(url, b->url);
	bool dead = w->mode && is_dead(w, b);
	return (struct judgement){ .verdict = !dead ? VERDICT_DONE : w->mode == 1 ? VERDICT_RETRY : VERDICT_BLOCKED, .reason = "dead", .status = dead ? 404 : 200, .reached = true };
}

static void a_dead_address_holds_itself_alone(void **state_)
{
	(void)state_;
	for (unsigned variant = 0; variant < 4; variant++) {
		struct world *w = &world;
		begin(w, "http://h/{ident}");
		w->plan.stream.ordering = variant & 1 ? ORDER_DEVICE : ORDER_STREAM;
		w->plan.stream.in_flight = 4;
		w->plan.stream.batch_messages = 8;
		start(w);
		w->dead_device = 7;
		w->mode = 1 + (variant >> 1);
		w->script = one_is_dead;
		/* far more of the dead one than the window holds */
		unsigned dead = 0;
		for (unsigned k = 0; k < 40; k++) {
			append(w, 100, 20, 10);
			for (unsigned step = 0; step < 100000 && (w->npending || w->d->deadline <= fake_now + 10000); step++) {
				if (!w->npending) {
					advance(w);
					continue;
				}
				fake_now += 100;
				answer(w, 0, w->script(w, w->pending[0]));
			}
			dead = 0;
			for (unsigned c = 0; c < w->store.nchunks; c++)
				for (unsigned i = 0; i < w->store.chunks[c]->n; i++)
					dead += strcmp(w->store.chunks[c]->entries[i].e.ident, "d7") == 0;
			/* all others are through */
			assert_int_equal(fake_outstanding(&w->store), dead);
			fake_now += SECOND;
		}
		assert_true(dead > 100);
		assert_true(w->store.held_most <= 64);
		struct delivery_status s;
		delivery_status(w->d, &s);
		assert_int_equal(s.held_addresses, 1);
		w->mode = 0; /* it lives again */
		assert_true(drive(w));
		assert_int_equal(fake_count(&w->store, OUTCOME_ACCEPTED), 4000);
		check_order(w, false);
		assert_int_equal(w->d->addresses.n, 0);
		end(w);
	}
}

static struct judgement most_are_dead(struct world *w, struct batch *b)
{
	bool dead = w->mode && atoi(b->entries[0].ident + 1) >= 5;
	return (struct judgement){ .verdict = dead ? VERDICT_RETRY : VERDICT_DONE, .reason = "dead", .status = dead ? 503 : 200, .reached = true };
}

static void many_dead_addresses_take_no_more_than_the_window(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/{ident}");
	w->plan.stream.batch_messages = 10;
	start(w);
	w->mode = 1;
	w->script = most_are_dead;
	append(w, 3000, 300, 3);
	unsigned live = 0;
	for (unsigned c = 0; c < w->store.nchunks; c++)
		for (unsigned i = 0; i < w->store.chunks[c]->n; i++)
			live += atoi(w->store.chunks[c]->entries[i].e.ident + 1) < 5;
	for (unsigned step = 0; step < 20000 && w->ndelivered < live; step++) {
		if (!w->npending)
			assert_true(advance(w));
		while (w->npending) {
			fake_now += 1000;
			answer(w, 0, w->script(w, w->pending[0]));
		}
	}
	assert_int_equal(w->ndelivered, live); /* the five that work are through, however many others are not */
	assert_true(w->store.held_most <= 64);
	w->mode = 0;
	assert_true(drive(w));
	assert_int_equal(fake_count(&w->store, OUTCOME_ACCEPTED), 3000);
	check_order(w, false);
	assert_true(w->store.held_most <= 64);
	end(w);
}

static void a_missing_parameter_is_a_dead_letter_that_names_it(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/{device.id}");
	start(w);
	append(w, 2, 1, 2);
	fake_append(&w->store, &(struct fake_message){ .ident = "d0", .bytes = "{\"ident\":\"d0\",\"device.id\":17,\"n\":2}" }, 1);
	spin(w);
	assert_int_equal(fake_count(&w->store, OUTCOME_DEAD), 2);
	assert_non_null(strstr(entry_of(w, 0)->reason, "{device.id}"));
	assert_int_equal(w->npending, 1);
	assert_string_equal(w->url, "http://h/17");
	answer_with(w, VERDICT_DONE);
	end(w);
}

static void rendered_entries_bring_their_address(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/{device.id}/x");
	static const char *const names[] = { "serial", "device.id" };
	w->plan.rendering = (struct rendering){ .ix = 1, .number = 9, .naddress = 2, .address = names };
	start(w);
	static const char with[] = "{\"device.id\":\"a b\"}", without[] = "{\"serial\":\"z\"}";
	struct fake_message m[2] = {
		{ .ident = "d0", .bytes = "\"n\":0", .address = with, .address_len = sizeof with - 1 },
		{ .ident = "d0", .bytes = "\"n\":1", .address = without, .address_len = sizeof without - 1 },
	};
	w->store.said_no = false;
	fake_append(&w->store, m, 2)->rendering = 9;
	delivery_kick(w->d);
	spin(w);
	assert_int_equal(w->npending, 1);
	assert_string_equal(w->url, "http://h/a%20b/x");
	answer_with(w, VERDICT_DONE);
	assert_int_equal(fake_count(&w->store, OUTCOME_DEAD), 1);
	assert_int_equal(fake_outstanding(&w->store), 0);
	end(w);
}

static void headers_carry_the_id_and_their_parameters(void **state_)
{
	(void)state_;
	struct world *w = &world;
	begin(w, "http://h/in");
	static const char *const names[] = { "X-Key", "X-Ident" };
	static const char *const key[] = { "k" }, *const ident[] = { "<", ">" }, *const params[] = { "ident" };
	static const struct template values[] = { { .source = "k", .literals = key }, { .source = "<{ident}>", .nparams = 1, .params = params, .literals = ident } };
	w->plan.destination.nheaders = 2;
	w->plan.destination.header_names = names;
	w->plan.destination.header_values = values;
	w->plan.destination.id_name = "X-Id";
	start(w);
	append(w, 40, 2, 40);
	char id[24];
	while (w->npending) {
		struct batch *b = w->pending[0];
		assert_int_equal(b->nheaders, 3);
		assert_string_equal(b->header_names[0], "X-Id");
		snprintf(id, sizeof id, "%llu", (unsigned long long)b->entries[0].id);
		assert_string_equal(b->header_values[0], id);
		assert_string_equal(b->header_values[1], "k");
		for (unsigned i = 0; i < b->n; i++)
			assert_int_equal(strncmp(b->header_values[2] + 1, b->entries[i].ident, b->entries[i].ident_len), 0);
		answer_with(w, VERDICT_DONE);
	}
	assert_int_equal(fake_outstanding(&w->store), 0);
	check_order(w, true);
	end(w);
}

static struct judgement cut_now_and_then(struct world *w, struct batch *b)
{
	for (unsigned i = 1; i < b->n; i++)
		assert_int_equal(b->entries[i].ident_hash, b->entries[0].ident_hash);
	bool cut = is_dead(w, b) ? w->mode == 1 : draw(w, 3) == 0;
	return (struct judgement){ .verdict = cut ? VERDICT_RETRY : VERDICT_DONE, .reason = "cut", .reached = true };
}

/* One url for all, and yet each device's connection is an address of its own: what failed on it goes before what is newer. */
static void a_connection_per_device_keeps_each_devices_order(void **state_)
{
	(void)state_;
	for (unsigned variant = 0; variant < 2; variant++) {
		struct world *w = &world;
		begin(w, "tcp://h:1");
		w->plan.destination.transport = TRANSPORT_TCP;
		w->plan.destination.per_device = true;
		w->plan.stream.ordering = variant ? ORDER_DEVICE : ORDER_STREAM;
		w->plan.stream.in_flight = 4;
		w->plan.stream.batch_messages = 8;
		start(w);
		w->dead_device = 3;
		w->mode = 1;
		w->script = cut_now_and_then;
		append(w, 2000, 20, 10);
		uint64_t dead = 0;
		for (unsigned c = 0; c < w->store.nchunks; c++)
			for (unsigned i = 0; i < w->store.chunks[c]->n; i++)
				dead += strcmp(w->store.chunks[c]->entries[i].e.ident, "d3") == 0;
		for (unsigned step = 0; fake_outstanding(&w->store) > dead; step++) {
			assert_true(step < 100000);
			fake_now += 100;
			if (w->npending)
				answer(w, 0, w->script(w, w->pending[0]));
			else
				assert_true(advance(w));
		}
		for (unsigned i = 0; i < w->ndelivered; i++)
			assert_string_not_equal(entry_of(w, w->delivered[i])->e.ident, "d3");
		w->mode = 0;
		assert_true(drive(w));
		assert_int_equal(fake_count(&w->store, OUTCOME_ACCEPTED), 2000);
		check_order(w, false);
		assert_int_equal(w->d->addresses.n, 0);
		end(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dead_address_holds_itself_alone),
		cmocka_unit_test(a_connection_per_device_keeps_each_devices_order),
		cmocka_unit_test(many_dead_addresses_take_no_more_than_the_window),
		cmocka_unit_test(a_missing_parameter_is_a_dead_letter_that_names_it),
		cmocka_unit_test(rendered_entries_bring_their_address),
		cmocka_unit_test(headers_carry_the_id_and_their_parameters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
