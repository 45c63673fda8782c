/* What adapters keep: written with its message or not at all, gone on from in one order only, and never from what did not happen. */
#include <errno.h>

#include "store_bed.h"

#define STREAM 3
#define B 9

static struct bed bed;
static unsigned granted, failed;

static int setup(void **state)
{
	(void)state;
	bed_new(&bed);
	bed_open(&bed);
	granted = failed = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bed_free(&bed);
	return 0;
}

static void on_ready(void *arg, const char *why)
{
	(void)arg;
	if (why)
		failed++;
	else
		granted++;
}

/* A claim on the idents that the letters name, begun; may have to wait. */
static struct claim *begin(const char *letters, bool *now)
{
	struct claim *c = claim_new(bed.store, bed.port);
	for (const char *p = letters; *p; p++)
		claim_add(c, STREAM, p, 1);
	*now = claim_begin(c, on_ready, NULL);
	return c;
}

static struct claim *claim(const char *letters)
{
	bool now;
	unsigned before = granted;
	struct claim *c = begin(letters, &now);
	if (!now)
		BED_UNTIL(&bed, granted > before);
	return c;
}

static const char *text_of(struct claim *c, const char *ident)
{
	static char text[STATE_MAX + 1];
	size_t n;
	const char *p = claim_state(c, STREAM, ident, 1, &n);
	if (!p)
		return "nothing";
	memcpy(text, p, n);
	text[n] = '\0';
	return text;
}

static void stage(struct claim *c, const char *ident, const char *text)
{
	claim_stage(c, STREAM, ident, 1, text, strlen(text));
}

/* A ticket with one message that stages this for each ident. */
static struct ticket *ticket(struct claim *c, const char *idents, const char *text)
{
	struct ticket *t = bed_ticket(&bed);
	bed_message(&bed, t, "{}", "x");
	ticket_want(t, B, 0, 0);
	ticket_claim(t, c);
	for (const char *p = idents; *p; p++)
		stage(c, p, text);
	return t;
}

static enum ticket_result put(const char *ident, const char *text)
{
	return bed_submit(&bed, ticket(claim(ident), ident, text));
}

static void expect(const char *ident, const char *text)
{
	struct claim *c = claim(ident);
	assert_string_equal(text_of(c, ident), text);
	claim_end(c);
}

static void test_a_state_is_there_after_a_crash(void **state)
{
	(void)state;
	expect("a", "nothing");
	assert_int_equal(put("a", "one"), TICKET_TAKEN);
	expect("a", "one");
	bed_reopen(&bed);
	expect("a", "one");
	expect("b", "nothing");
	assert_int_equal(put("a", "two"), TICKET_TAKEN);
	bed_reopen(&bed);
	assert_int_equal(bed_rows(&bed, ROW_STATE), 1);
	expect("a", "two");
	assert_int_equal(put("a", ""), TICKET_TAKEN);
	expect("a", "nothing");
	bed_reopen(&bed);
	expect("a", "nothing");
	assert_int_equal(bed_rows(&bed, ROW_STATE), 0);
}

static void test_a_dropped_ticket_leaves_no_state(void **state)
{
	(void)state;
	assert_int_equal(put("a", "one"), TICKET_TAKEN);
	ticket_drop(ticket(claim("a"), "a", "two"));
	expect("a", "one");
	bed_reopen(&bed);
	expect("a", "one");
}

static void test_within_a_request_each_message_sees_the_one_before(void **state)
{
	(void)state;
	struct claim *c = claim("abab");
	stage(c, "a", "a1");
	stage(c, "b", "b1");
	assert_string_equal(text_of(c, "a"), "a1");
	stage(c, "a", "a2");
	assert_string_equal(text_of(c, "b"), "b1");
	assert_string_equal(text_of(c, "a"), "a2");
	claim_end(c);
	expect("a", "nothing");
}

static void test_a_state_with_a_skip_alone_is_written(void **state)
{
	(void)state;
	struct claim *c = claim("a");
	struct ticket *t = bed_ticket(&bed);
	bed_message(&bed, t, "{}", "a");
	ticket_skip(t, B);
	ticket_claim(t, c);
	stage(c, "a", "one");
	assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
	bed_reopen(&bed);
	expect("a", "one");
}

static void test_the_next_goes_on_from_what_is_not_durable_yet(void **state)
{
	(void)state;
	bool now;
	expect("a", "nothing");
	struct claim *first = claim("a"), *second = begin("a", &now);
	assert_false(now);
	bed_turn(&bed, 0);
	assert_int_equal(granted, 1);
	struct ticket *t = ticket(first, "a", "one");
	assert_int_equal(granted, 1);
	ticket_submit(t);
	unsigned before = granted;
	BED_UNTIL(&bed, granted > before);
	assert_string_equal(text_of(second, "a"), "one");
	ticket_submit(ticket(second, "a", "two"));
	BED_UNTIL(&bed, bed.taken == 2);
	bed_reopen(&bed);
	expect("a", "two");
}

static void test_claims_are_granted_as_they_began(void **state)
{
	(void)state;
	bool now;
	struct claim *ab = claim("ab"), *bc = begin("bc", &now), *ca, *c;
	assert_false(now);
	ca = begin("ca", &now);
	assert_false(now);
	c = begin("d", &now);
	if (!now)
		BED_UNTIL(&bed, granted == 2);
	claim_end(c);
	unsigned before = granted;
	claim_end(ab);
	BED_UNTIL(&bed, granted > before);
	assert_int_equal(granted, before + 1);
	stage(bc, "c", "late"); /* of the one that began first */
	claim_end(bc);
	BED_UNTIL(&bed, granted > before + 1);
	assert_string_equal(text_of(ca, "c"), "nothing");
	claim_end(ca);
}

static void test_a_claim_that_waits_can_be_given_up(void **state)
{
	(void)state;
	bool now;
	struct claim *a = claim("a"), *b = begin("ab", &now), *c = begin("b", &now);
	assert_false(now);
	claim_end(b);
	BED_UNTIL(&bed, granted == 2);
	claim_end(c);
	b = begin("a", &now);
	assert_false(now);
	claim_end(a);
	claim_end(b); /* granted, and not told yet */
	assert_false(bed_turn(&bed, 50) && granted > 2);
	expect("a", "nothing");
}

static void test_pairs_of_no_stream_keep_order_only(void **state)
{
	(void)state;
	struct store_counts counts;
	struct claim *one = claim_new(bed.store, bed.port), *two = claim_new(bed.store, bed.port);
	claim_add(one, 0, "peer", 4);
	claim_add(two, 0, "peer", 4);
	assert_true(claim_begin(one, on_ready, NULL));
	assert_false(claim_begin(two, on_ready, NULL));
	claim_end(one);
	BED_UNTIL(&bed, granted == 1);
	claim_end(two);
	store_counts(bed.store, &counts);
	assert_int_equal(counts.states, 0);
	assert_int_equal(counts.states_read, 0);
}

/* ---- what is not taken */

static void test_what_stood_on_a_refused_ticket_is_refused(void **state)
{
	(void)state;
	bool now;
	assert_int_equal(put("a", "zero"), TICKET_TAKEN);
	buffer_configure(bed.store, B, "tiny", &(struct buffer_options){ .max = 1, .full = FULL_BLOCK });
	struct claim *second, *third;
	struct ticket *first = ticket(claim("a"), "a", "one");
	second = begin("a", &now);
	unsigned before = granted;
	ticket_submit(first);
	BED_UNTIL(&bed, granted > before);
	assert_string_equal(text_of(second, "a"), "one");
	BED_UNTIL(&bed, bed.full == 1);
	/* It went on from what never happened: though there is room now. */
	buffer_configure(bed.store, B, "wide", &(struct buffer_options){ .max = 1 << 20, .full = FULL_BLOCK });
	assert_int_equal(bed_submit(&bed, ticket(second, "a", "two")), TICKET_FAILED);
	assert_non_null(strstr(bed.why, "before it"));
	third = claim("a");
	assert_string_equal(text_of(third, "a"), "zero");
	assert_int_equal(bed_submit(&bed, ticket(third, "a", "three")), TICKET_TAKEN);
	bed_reopen(&bed);
	expect("a", "three");
}

static void test_one_that_only_read_what_never_happened_is_refused(void **state)
{
	(void)state;
	bool now;
	buffer_configure(bed.store, B, "tiny", &(struct buffer_options){ .max = 1, .full = FULL_BLOCK });
	bed_put(&bed, B, "x"); /* one message may always lie there */
	struct ticket *first = ticket(claim("a"), "a", "one");
	struct claim *second = begin("a", &now);
	ticket_submit(first);
	BED_UNTIL(&bed, granted == 2 && bed.full == 1);
	buffer_configure(bed.store, B, "wide", &(struct buffer_options){ .max = 1 << 20, .full = FULL_BLOCK });
	assert_int_equal(bed_submit(&bed, ticket(second, "", "")), TICKET_FAILED);
	expect("a", "nothing");
}

static void test_a_failed_write_takes_the_chain_with_it(void **state)
{
	(void)state;
	assert_int_equal(put("a", "zero"), TICKET_TAKEN);
	expect("b", "nothing");
	store_env_fail(bed.env, ENV_SYNC, 1, 1, EIO);
	ticket_submit(ticket(claim("ab"), "ab", "one"));
	ticket_submit(ticket(claim("b"), "b", "two"));
	ticket_submit(ticket(claim("a"), "a", "three"));
	BED_UNTIL(&bed, bed.taken + bed.failed == 4);
	/* A write that failed at the sync may be on disk all the same; then all was taken, else nothing. What memory says is what the disk says. */
	struct claim *c = claim("ab");
	char a[STATE_MAX + 1], b[STATE_MAX + 1];
	snprintf(a, sizeof(a), "%s", text_of(c, "a"));
	snprintf(b, sizeof(b), "%s", text_of(c, "b"));
	claim_end(c);
	store_env_heal(bed.env);
	bed_reopen(&bed);
	expect("a", a);
	expect("b", b);
}

static void test_a_write_that_fails_leaves_the_state(void **state)
{
	(void)state;
	assert_int_equal(put("a", "zero"), TICKET_TAKEN);
	store_env_fail(bed.env, ENV_WRITE, 1, 1, ENOSPC);
	assert_int_equal(put("a", "one"), TICKET_FAILED);
	store_env_heal(bed.env);
	expect("a", "zero");
	assert_int_equal(put("a", "two"), TICKET_TAKEN);
	bed_reopen(&bed);
	expect("a", "two");
}

/* ---- reading and memory */

static void test_a_state_that_cannot_be_read_is_told(void **state)
{
	(void)state;
	bool now;
	assert_int_equal(put("a", "one"), TICKET_TAKEN);
	/* To a table, where it must be read from. */
	db_compact(bed.store->db, "s", 1, "t", 1);
	store_set_state_memory(bed.store, 0);
	store_env_fail(bed.env, ENV_READ, 1, 0, EIO);
	struct claim *c = begin("a", &now), *behind = begin("a", &now);
	assert_false(now);
	BED_UNTIL(&bed, failed == 1);
	store_env_heal(bed.env);
	unsigned before = granted;
	claim_end(c);
	BED_UNTIL(&bed, granted > before);
	assert_string_equal(text_of(behind, "a"), "one");
	claim_end(behind);
}

static void test_a_damaged_state_is_counted(void **state)
{
	(void)state;
	struct store_counts counts;
	struct buf key = BUF_INIT;
	struct db_batch *batch = db_batch_new();
	key_state(&key, STREAM, "a", 1);
	db_put(batch, key.p, key.len, "what is this", 12);
	assert_int_equal(db_write(bed.store->db, batch, true, NULL, 0), DB_OK);
	db_batch_free(batch);
	buf_fini(&key);
	expect("a", "nothing");
	store_counts(bed.store, &counts);
	assert_int_equal(counts.records_lost, 1);
}

static void test_memory_is_bounded_and_what_went_is_read_again(void **state)
{
	(void)state;
	enum { IDENTS = 5000 };
	struct store_counts counts;
	char ident[16], text[200];
	size_t n;
	store_set_state_memory(bed.store, 100000);
	for (unsigned from = 0; from < IDENTS; from += 100) {
		unsigned before = granted;
		struct claim *c = claim_new(bed.store, bed.port);
		for (unsigned i = from; i < from + 100; i++)
			claim_add(c, STREAM, ident, (size_t)snprintf(ident, sizeof(ident), "%u", i));
		if (!claim_begin(c, on_ready, NULL))
			BED_UNTIL(&bed, granted > before);
		for (unsigned i = from; i < from + 100; i++)
			claim_stage(c, STREAM, ident, (size_t)snprintf(ident, sizeof(ident), "%u", i), text,
				(size_t)snprintf(text, sizeof(text), "%0100u", i));
		assert_int_equal(bed_submit(&bed, ticket(c, "", "")), TICKET_TAKEN);
		store_counts(bed.store, &counts);
		assert_true(counts.state_bytes <= 100000);
	}
	uint64_t reads = counts.states_read;
	for (unsigned i = 0; i < IDENTS; i += 500) {
		unsigned before = granted;
		struct claim *c = claim_new(bed.store, bed.port);
		size_t len = (size_t)snprintf(ident, sizeof(ident), "%u", i);
		claim_add(c, STREAM, ident, len);
		if (!claim_begin(c, on_ready, NULL))
			BED_UNTIL(&bed, granted > before);
		snprintf(text, sizeof(text), "%0100u", i);
		const char *p = claim_state(c, STREAM, ident, len, &n);
		assert_int_equal(n, 100);
		assert_memory_equal(p, text, n);
		claim_end(c);
	}
	store_counts(bed.store, &counts);
	assert_true(counts.states_read >= reads + IDENTS / 500 - 1);
}

static void note_states(void *arg, const char *stream, uint64_t states)
{
	uint64_t *at = arg;
	assert_string_equal(stream, "");  /* numbers that are nobody's */
	at[at[0] ? 1 : 0] = states;
}

/* A stream that is gone for good; the states of others stay, and so does one in use. */
static void test_the_states_of_a_stream_are_forgotten(void **state)
{
	(void)state;
	enum { IDENTS = 5000, EACH = 500 };
	char ident[16];
	for (unsigned from = 0; from < IDENTS; from += EACH) {
		unsigned before = granted;
		struct claim *c = claim_new(bed.store, bed.port);
		for (unsigned stream = 7; stream <= 8; stream++)
			for (unsigned i = from; i < from + EACH; i++)
				claim_add(c, stream, ident, (size_t)snprintf(ident, sizeof(ident), "%u", i));
		if (!claim_begin(c, on_ready, NULL))
			BED_UNTIL(&bed, granted > before);
		for (unsigned stream = 7; stream <= 8; stream++)
			for (unsigned i = from; i < from + EACH; i++)
				claim_stage(c, stream, ident, (size_t)snprintf(ident, sizeof(ident), "%u", i), "text", 4);
		assert_int_equal(bed_submit(&bed, ticket(c, "", "")), TICKET_TAKEN);
	}
	assert_int_equal(bed_rows(&bed, ROW_STATE), 2 * IDENTS);
	struct claim *held = claim_new(bed.store, bed.port);
	unsigned before = granted;
	claim_add(held, 7, "42", 2);
	if (!claim_begin(held, on_ready, NULL))
		BED_UNTIL(&bed, granted > before);
	store_env_fail(bed.env, ENV_WRITE, 1, 1, EIO);
	assert_int_equal(store_drop_states(bed.store, 7), -1);
	uint64_t here[2] = { 0 };
	while (store_drop_states(bed.store, 7) < 0)
		;
	assert_int_equal(bed_rows(&bed, ROW_STATE), IDENTS + 1);
	store_each_states(bed.store, note_states, here);
	assert_int_equal(here[0], 1);
	assert_int_equal(here[1], IDENTS);
	claim_end(held);
	assert_int_equal(store_drop_states(bed.store, 7), 1);
	assert_int_equal(store_drop_states(bed.store, 7), 0);
	assert_int_equal(bed_rows(&bed, ROW_STATE), IDENTS);
	bed_reopen(&bed);
	assert_int_equal(bed_rows(&bed, ROW_STATE), IDENTS);
	size_t n;
	struct claim *c = claim_new(bed.store, bed.port);
	claim_add(c, 7, "43", 2);
	claim_add(c, 8, "43", 2);
	before = granted;
	if (!claim_begin(c, on_ready, NULL))
		BED_UNTIL(&bed, granted > before);
	assert_null(claim_state(c, 7, "43", 2, &n));
	assert_memory_equal(claim_state(c, 8, "43", 2, &n), "text", 4);
	claim_end(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_state_is_there_after_a_crash, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_dropped_ticket_leaves_no_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_within_a_request_each_message_sees_the_one_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_state_with_a_skip_alone_is_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_next_goes_on_from_what_is_not_durable_yet, setup, teardown),
		cmocka_unit_test_setup_teardown(test_claims_are_granted_as_they_began, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_claim_that_waits_can_be_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pairs_of_no_stream_keep_order_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_stood_on_a_refused_ticket_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_that_only_read_what_never_happened_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_failed_write_takes_the_chain_with_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_write_that_fails_leaves_the_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_state_that_cannot_be_read_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_damaged_state_is_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_states_of_a_stream_are_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_is_bounded_and_what_went_is_read_again, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
