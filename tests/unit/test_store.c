/* The store's promise: what a ticket brought comes out of every buffer that wanted it, in order, once it is settled never
 * again, and what is counted of it adds up, also after a crash. */
#include "store_bed.h"

static struct bed bed;

static int setup(void **state)
{
	(void)state;
	bed_new(&bed);
	bed_open(&bed);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bed_free(&bed);
	return 0;
}

static void test_a_message_goes_through(void **state)
{
	(void)state;
	uint32_t number = store_name(bed.store, NAME_BUFFER, "toll/kas/json");
	assert_int_not_equal(number, 0);
	struct buffer *q = buffer_attach(bed.store, number, bed.port, bed_wake, &bed);
	struct span sp;
	assert_false(buffer_next(q, &sp));
	struct ticket *t = bed_ticket(&bed);
	uint64_t id = bed_message(&bed, t, "{\"ident\":\"352\"}", "352");
	ticket_want(t, number, 0, 0);
	assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
	BED_UNTIL(&bed, bed.woken == 1);
	assert_true(buffer_next(q, &sp));
	struct entry e;
	chunk_entry(sp.chunk, bits_next(sp.bits, 0), &e);
	assert_int_equal(e.len, 15);
	assert_memory_equal(e.bytes, "{\"ident\":\"352\"}", 15);
	assert_int_equal(e.id, id);
	assert_int_equal(e.ident_len, 3);
	assert_memory_equal(e.ident, "352", 3);
	assert_int_equal(e.ident_hash, (uint32_t)hash_stable("352", 3));
	assert_int_equal(e.time_us, 1700000000000000);
	assert_int_equal(e.rows, 1);
	assert_int_equal(e.address_len, 0);
	assert_int_equal(chunk_rendering(sp.chunk), 0);
	assert_true(store_elapsed(bed.store) >= sp.arrived);
	uint64_t mark = buffer_settle(q, &sp, sp.bits, OUTCOME_ACCEPTED, NULL);
	span_release(q, &sp);
	BED_UNTIL(&bed, buffer_recorded(q) >= mark);
	struct buffer_counts c = bed_counts(&bed, number);
	assert_int_equal(c.matched, 1);
	assert_int_equal(c.accepted, 1);
	assert_int_equal(c.bytes, 0);
	assert_int_equal(bed_rows(&bed, ROW_CHUNK), 0);
	assert_int_equal(bed_rows(&bed, ROW_REF), 0);
	buffer_detach(q);
}

static void test_order_and_joined_bytes(void **state)
{
	(void)state;
	struct buffer *q = buffer_attach(bed.store, 1, bed.port, bed_wake, &bed);
	struct buf want = BUF_INIT, got = BUF_INIT;
	/* Tickets of all sizes, several waiting for one commit, some larger than a block. */
	unsigned n = 0, sizes[] = { 1, 1, 7, 99, 100, 101, 250, 3, 1, 60, 60 };
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct ticket *t = bed_ticket(&bed);
		for (unsigned k = 0; k < sizes[i]; k++) {
			char text[32];
			snprintf(text, sizeof(text), "{\"n\":%u}", n++);
			bed_message(&bed, t, text, "x");
			ticket_want(t, 1, 0, 0);
			buf_adds(&want, text);
			buf_addc(&want, ' ');
		}
		ticket_submit(t);
	}
	BED_UNTIL(&bed, bed.taken == sizeof(sizes) / sizeof(*sizes));
	struct span sp;
	uint64_t last = 0;
	while (bed_next(&bed, q, &sp)) {
		struct entry e, before = { .bytes = NULL };
		assert_true(sp.position > last);
		last = sp.position;
		for (unsigned i = 0; i < sp.n; i++) {
			assert_true(bits_has(sp.bits, i));
			chunk_entry(sp.chunk, i, &e);
			if (before.bytes) {
				assert_ptr_equal(e.bytes, before.bytes + before.len + 1);
				assert_int_equal(e.bytes[-1], ',');
			}
			before = e;
			buf_add(&got, e.bytes, e.len);
			buf_addc(&got, ' ');
		}
		buffer_settle(q, &sp, sp.bits, OUTCOME_ACCEPTED, NULL);
		span_release(q, &sp);
		bed_record(&bed, q);
	}
	assert_string_equal(got.p, want.p);
	assert_int_equal(bed_counts(&bed, 1).accepted, n);
	buffer_detach(q);
	buf_fini(&want);
	buf_fini(&got);
}

static void test_streams_share_chunks(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		char text[16];
		struct ticket *t = bed_ticket(&bed);
		snprintf(text, sizeof(text), "m%u", i);
		bed_message(&bed, t, text, "x");
		for (uint32_t b = 1; b <= 5; b++)
			ticket_want(t, b, 0, 0);
		unsigned made = bed_render(t, 9, 0, i % 2 ? "odd" : "even", "/url");
		ticket_want(t, 6, 9, made);
		ticket_want(t, 7, 9, made);
		if (i % 2)
			ticket_skip(t, 8);
		ticket_submit(t);
	}
	BED_UNTIL(&bed, bed.taken == 10);
	unsigned commits = bed_rows(&bed, ROW_CHUNK) / 2;
	assert_true(commits >= 1 && commits <= 10);
	assert_int_equal(bed_rows(&bed, ROW_CHUNK), commits * 2);
	assert_int_equal(bed_rows(&bed, ROW_REF), commits * 7);
	assert_int_equal(bed_counts(&bed, 8).skipped, 5);
	for (uint32_t b = 1; b <= 7; b++) {
		struct buf got = BUF_INIT;
		struct buffer *q = buffer_attach(bed.store, b, bed.port, bed_wake, &bed);
		assert_int_equal(bed_take(&bed, q, 100, OUTCOME_ACCEPTED, &got), 10);
		assert_string_equal(got.p, b < 6 ? "m0 m1 m2 m3 m4 m5 m6 m7 m8 m9 " : "even odd even odd even odd even odd even odd ");
		bed_record(&bed, q);
		buffer_detach(q);
		buf_fini(&got);
		/* The sources stay for the renderings' sake until the last stream has left. */
		assert_int_equal(bed_rows(&bed, ROW_CHUNK), b == 7 ? 0 : commits * 2);
	}
}

static void test_rows_of_a_list(void **state)
{
	(void)state;
	struct ticket *t = bed_ticket(&bed);
	bed_message(&bed, t, "first", "a");
	ticket_want(t, 1, 0, 0);
	uint64_t id = bed_message(&bed, t, "second", "b");
	for (unsigned row = 0; row < 3; row++) {
		char text[8];
		snprintf(text, sizeof(text), "r%u", row);
		ticket_want(t, 2, 5, bed_render(t, 5, row, text, "addr"));
	}
	assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
	assert_int_equal(bed_counts(&bed, 2).matched, 3);
	struct buffer *q = buffer_attach(bed.store, 2, bed.port, bed_wake, &bed);
	struct span sp;
	assert_true(bed_next(&bed, q, &sp));
	assert_int_equal(sp.n, 3);
	for (unsigned i = 0; i < 3; i++) {
		struct entry e;
		chunk_entry(sp.chunk, i, &e);
		assert_int_equal(e.row, i);
		assert_int_equal(e.rows, 3);
		assert_int_equal(e.id, id);
		assert_memory_equal(e.ident, "b", 1);
		assert_int_equal(e.address_len, 4);
		assert_memory_equal(e.address, "addr", 4);
	}
	span_release(q, &sp);
	buffer_detach(q);
}

static void test_what_nobody_wants_is_not_kept(void **state)
{
	(void)state;
	struct ticket *t = bed_ticket(&bed);
	size_t start;
	bed_message(&bed, t, "unwanted", "a");
	bed_render(t, 3, 0, "also unwanted", "");
	bed_message(&bed, t, "wanted", "a");
	ticket_want(t, 1, 0, 0);
	bed_message(&bed, t, "unwanted", "a");
	buf_adds(ticket_message(t, &start), "broken");
	ticket_message_undo(t);
	bed_message(&bed, t, "wanted too", "a");
	bed_render(t, 3, 0, "undone", "");
	ticket_rendering_undo(t, 3);
	ticket_want(t, 1, 0, 0);
	bed_message(&bed, t, "last unwanted", "a");
	assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
	assert_int_equal(bed_rows(&bed, ROW_CHUNK), 1);
	struct buffer *q = buffer_attach(bed.store, 1, bed.port, bed_wake, &bed);
	struct span sp;
	struct entry e;
	assert_true(bed_next(&bed, q, &sp));
	assert_int_equal(sp.n, 2);
	chunk_entry(sp.chunk, 1, &e);
	assert_memory_equal(e.bytes - 7, "wanted,wanted too", 17);
	span_release(q, &sp);
	buffer_detach(q);
	/* A ticket that leaves nothing is answered without a commit. */
	struct store_counts before, after;
	store_counts(bed.store, &before);
	t = bed_ticket(&bed);
	bed_message(&bed, t, "unwanted", "a");
	assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
	store_counts(bed.store, &after);
	assert_int_equal(before.commits, after.commits);
}

static void test_partly_settled_survives_a_crash(void **state)
{
	(void)state;
	struct ticket *t = bed_ticket(&bed);
	for (unsigned i = 0; i < 10; i++) {
		char text[8];
		snprintf(text, sizeof(text), "m%u", i);
		bed_message(&bed, t, text, "x");
		ticket_want(t, 1, 0, 0);
		ticket_want(t, 2, 0, 0);
	}
	assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
	struct buffer *q = buffer_attach(bed.store, 1, bed.port, bed_wake, &bed);
	struct span sp;
	assert_true(bed_next(&bed, q, &sp));
	uint64_t odd[BITS_WORDS] = { 0x2aa }, seven[BITS_WORDS] = { 0x001 };
	buffer_settle(q, &sp, odd, OUTCOME_ACCEPTED, NULL);
	buffer_settle(q, &sp, seven, OUTCOME_EXPIRED, NULL);
	span_release(q, &sp);
	bed_record(&bed, q);
	buffer_detach(q);
	bed_reopen(&bed);
	struct buffer_counts c = bed_counts(&bed, 1);
	assert_int_equal(c.matched, 10);
	assert_int_equal(c.accepted, 5);
	assert_int_equal(c.expired, 1);
	assert_int_equal(c.buffered, 4);
	assert_int_equal(c.bytes, 8);
	assert_true(c.oldest_age_us > 0);
	assert_int_equal(bed_counts(&bed, 2).buffered, 10);
	struct buf got = BUF_INIT;
	q = buffer_attach(bed.store, 1, bed.port, bed_wake, &bed);
	assert_int_equal(bed_take(&bed, q, 100, OUTCOME_ACCEPTED, &got), 4);
	assert_string_equal(got.p, "m2 m4 m6 m8 ");
	bed_record(&bed, q);
	buffer_detach(q);
	buf_clear(&got);
	q = buffer_attach(bed.store, 2, bed.port, bed_wake, &bed);
	assert_int_equal(bed_take(&bed, q, 100, OUTCOME_PURGED, &got), 10);
	assert_string_equal(got.p, "m0 m1 m2 m3 m4 m5 m6 m7 m8 m9 ");
	bed_record(&bed, q);
	buffer_detach(q);
	assert_int_equal(bed_rows(&bed, ROW_CHUNK), 0);
	buf_fini(&got);
}

static void test_unrecorded_settlements_come_again(void **state)
{
	(void)state;
	assert_int_equal(bed_put(&bed, 1, "m"), TICKET_TAKEN);
	struct buffer *q = buffer_attach(bed.store, 1, bed.port, bed_wake, &bed);
	assert_int_equal(bed_take(&bed, q, 1, OUTCOME_ACCEPTED, NULL), 1);
	buffer_detach(q);
	/* Attached again in the same life it does not come again, recorded or not. */
	q = buffer_attach(bed.store, 1, bed.port, bed_wake, &bed);
	struct span sp;
	for (int i = 0; i < 10; i++) {
		assert_false(buffer_next(q, &sp));
		bed_turn(&bed, 10);
	}
	buffer_detach(q);
	assert_int_equal(bed_counts(&bed, 1).accepted, 1);
}

static void test_rewind_hands_out_again(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		char text[8];
		snprintf(text, sizeof(text), "m%u", i);
		assert_int_equal(bed_put(&bed, 1, text), TICKET_TAKEN);
	}
	struct buffer *q = buffer_attach(bed.store, 1, bed.port, bed_wake, &bed);
	struct span a, b, c;
	assert_true(bed_next(&bed, q, &a));
	assert_true(bed_next(&bed, q, &b));
	uint64_t at_a = a.position, at_b = b.position;
	span_release(q, &a);
	buffer_rewind(q);
	assert_true(buffer_next(q, &c));
	assert_int_equal(c.position, at_a);
	/* b is still held: the next one is the third. */
	assert_true(bed_next(&bed, q, &a));
	assert_true(a.position > at_b);
	span_release(q, &a);
	span_release(q, &b);
	span_release(q, &c);
	buffer_rewind(q);
	assert_int_equal(bed_take(&bed, q, 10, OUTCOME_ACCEPTED, NULL), 4);
	buffer_detach(q);
}

/* A sender that leaves a long backlog behind, since the one address it is for does not answer, does not hold it in memory; and it
 * gets it again, in order, with what it holds on to left out. */
static void test_what_is_given_back_does_not_stay_in_memory(void **state)
{
	(void)state;
	enum { N = 600 };
	static char text[8192];
	struct store_counts counts;
	struct span held = { 0 }, sp;
	uint64_t last = 0;
	unsigned seen = 0;

	memset(text, 'x', sizeof(text) - 1);
	struct buffer *q = buffer_attach(bed.store, 1, bed.port, bed_wake, &bed);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(bed_put(&bed, 1, text), TICKET_TAKEN);
		assert_true(bed_next(&bed, q, &sp));
		if (i == N / 2)
			held = sp;
		else
			span_release(q, &sp);
	}
	store_counts(bed.store, &counts);
	assert_true(counts.memory_bytes < 2 * WINDOW_PASSED);
	assert_int_equal(bed_counts(&bed, 1).buffered, N);
	assert_false(buffer_rewinding(q));
	buffer_rewind(q);
	assert_true(buffer_rewinding(q));
	while (seen < N - 1) {
		assert_true(bed_next(&bed, q, &sp));
		assert_true(sp.position > last && sp.position != held.position);
		last = sp.position;
		buffer_settle(q, &sp, sp.bits, OUTCOME_ACCEPTED, NULL);
		span_release(q, &sp);
		seen++;
	}
	assert_false(buffer_next(q, &sp));
	BED_UNTIL(&bed, !buffer_rewinding(q));
	span_release(q, &held);
	buffer_rewind(q);
	assert_int_equal(bed_take(&bed, q, 10, OUTCOME_ACCEPTED, NULL), 1);
	bed_record(&bed, q);
	assert_int_equal(bed_counts(&bed, 1).buffered, 0);
	assert_int_equal(bed_counts(&bed, 1).accepted, N);
	buffer_detach(q);
}

static void test_one_sender_at_a_time(void **state)
{
	(void)state;
	struct buffer *q = buffer_attach(bed.store, 1, bed.port, bed_wake, &bed);
	assert_non_null(q);
	assert_null(buffer_attach(bed.store, 1, bed.port, bed_wake, &bed));
	buffer_detach(q);
	q = buffer_attach(bed.store, 1, bed.port, bed_wake, &bed);
	assert_non_null(q);
	buffer_detach(q);
}

static void test_names_are_kept(void **state)
{
	(void)state;
	uint32_t a = store_name(bed.store, NAME_BUFFER, "a"), b = store_name(bed.store, NAME_CHANNEL, "a");
	assert_true(a && b && a != b);
	assert_int_equal(store_name(bed.store, NAME_BUFFER, "a"), a);
	bed_reopen(&bed);
	assert_int_equal(store_name(bed.store, NAME_CHANNEL, "a"), b);
	assert_int_equal(store_name(bed.store, NAME_BUFFER, "a"), a);
	uint32_t c = store_name(bed.store, NAME_STREAM, "a");
	assert_true(c && c != a && c != b);
}

static void test_names_change_places_and_what_lies_under_a_number_goes_by_its_new_name(void **state)
{
	(void)state;
	uint32_t a = store_name(bed.store, NAME_BUFFER, "a > x"), b = store_name(bed.store, NAME_BUFFER, "b > x"), s = store_name(bed.store, NAME_STREAM, "a");
	const struct renaming list[] = {
		{ NAME_BUFFER, "a > x", "b > x" }, { NAME_STREAM, "a", "b" }, { NAME_BUFFER, "nobody > x", "c > x" },
	};

	assert_int_equal(bed_put(&bed, a, "m"), TICKET_TAKEN);
	assert_int_equal(store_find_name(bed.store, NAME_STREAM, "b"), 0);
	assert_int_equal(store_rename(bed.store, list, 3), 0);
	for (int reopened = 0; reopened < 2; reopened++) {
		assert_int_equal(store_find_name(bed.store, NAME_BUFFER, "b > x"), a);
		assert_int_equal(store_find_name(bed.store, NAME_BUFFER, "a > x"), b);
		assert_int_equal(store_find_name(bed.store, NAME_STREAM, "b"), s);
		assert_int_equal(store_find_name(bed.store, NAME_STREAM, "a"), 0);
		assert_int_equal(store_find_name(bed.store, NAME_BUFFER, "c > x"), 0);
		assert_int_equal(store_name(bed.store, NAME_BUFFER, "b > x"), a);
		assert_int_equal(bed_counts(&bed, a).buffered, 1);
		bed_reopen(&bed);
	}
	assert_int_equal(store_rename(bed.store, NULL, 0), 0);
}

static void test_ids_and_positions_rise_over_a_restart(void **state)
{
	(void)state;
	uint64_t first = store_ids(bed.store, 100), second = store_ids(bed.store, 1);
	assert_int_equal(first & 255, 7);
	assert_true(second >= first + 100 * STORE_ID_STEP);
	assert_int_equal(bed_put(&bed, 1, "m"), TICKET_TAKEN);
	uint64_t position = bed.store->published;
	int64_t elapsed = store_elapsed(bed.store);
	bed_reopen(&bed);
	assert_true(store_ids(bed.store, 1) > second);
	assert_true(store_elapsed(bed.store) >= elapsed);
	assert_int_equal(bed.store->published, position);
	assert_int_equal(bed_put(&bed, 1, "m"), TICKET_TAKEN);
	assert_true(bed.store->published > position);
}

struct letters { unsigned n; char reasons[400]; uint64_t last; };

static bool each_letter(void *arg, const struct dead_letter *d)
{
	struct letters *l = arg;
	assert_true(d->position > l->last);
	l->last = d->position;
	l->n++;
	size_t at = strlen(l->reasons);
	snprintf(l->reasons + at, sizeof(l->reasons) - at, "%s/%s/%.*s/%.*s/%d/%s/%s ", d->reason, d->ident, (int)d->source_len, d->source,
		(int)d->len, d->bytes, d->status, d->answer, d->peer);
	return true;
}

static void test_dead_letters(void **state)
{
	(void)state;
	uint32_t channel = store_name(bed.store, NAME_CHANNEL, "trackers"), number = store_name(bed.store, NAME_BUFFER, "s");
	struct ticket *t = bed_ticket(&bed);
	ticket_refuse(t, channel, "no ident", "{}", 2, "10.0.0.1");
	bed_message(&bed, t, "src", "352");
	ticket_dead(t, number, "adapter.lua:3: boom");
	ticket_want(t, number, 4, bed_render(t, 4, 0, "made", ""));
	assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
	struct buffer *q = buffer_attach(bed.store, number, bed.port, bed_wake, &bed);
	assert_int_equal(bed_take(&bed, q, 1, OUTCOME_DEAD, NULL), 1);
	bed_record(&bed, q);
	buffer_detach(q);
	bed_reopen(&bed);
	struct buffer_counts c = bed_counts(&bed, number);
	assert_int_equal(c.matched, 2);
	assert_int_equal(c.dead, 2);
	assert_int_equal(c.dead_kept, 2);
	struct letters l = { 0 };
	store_each_dead(bed.store, number, 0, each_letter, &l);
	assert_string_equal(l.reasons, "adapter.lua:3: boom/352/src//0// refused/352/src/made/400/no/ ");
	uint64_t last = l.last;
	l = (struct letters){ 0 };
	store_each_dead(bed.store, number, last, each_letter, &l);
	assert_int_equal(l.n, 1);
	l = (struct letters){ 0 };
	store_each_dead(bed.store, channel, 0, each_letter, &l);
	assert_string_equal(l.reasons, "no ident//{}//0//10.0.0.1 ");
	store_drop_dead(bed.store, number, last, last);
	BED_UNTIL(&bed, bed_counts(&bed, number).dead_kept == 1);
	l = (struct letters){ 0 };
	store_each_dead(bed.store, number, 0, each_letter, &l);
	assert_int_equal(l.n, 1);
	assert_int_equal(bed_counts(&bed, number).dead_gone, 1);
}

static void test_dead_letters_keep_to_their_bounds(void **state)
{
	(void)state;
	struct buffer_options o = { .dead_max = 4000 };
	buffer_configure(bed.store, 1, "s", &o);
	char text[200];
	memset(text, 'x', sizeof(text));
	text[199] = '\0';
	for (unsigned i = 0; i < 50; i++) {
		struct ticket *t = bed_ticket(&bed);
		bed_message(&bed, t, text, "x");
		ticket_dead(t, 1, "r");
		assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
	}
	struct buffer_counts c = bed_counts(&bed, 1);
	assert_true(c.dead_bytes <= 4000 && c.dead_bytes > 3000);
	assert_int_equal(c.dead_kept + c.dead_gone, 50);
	struct letters l = { 0 };
	store_each_dead(bed.store, 1, 0, each_letter, &l);
	assert_int_equal(l.n, c.dead_kept);
}

static bool each_buffer(void *arg, uint32_t buffer, const char *name, const struct buffer_counts *c)
{
	struct buf *out = arg;
	buf_addf(out, "%u=%s:%llu ", buffer, name, (unsigned long long)c->buffered);
	return true;
}

static void test_buffers_are_listed(void **state)
{
	(void)state;
	uint32_t a = store_name(bed.store, NAME_BUFFER, "a"), b = store_name(bed.store, NAME_BUFFER, "b");
	buffer_configure(bed.store, b, "b", &(struct buffer_options){ .full = FULL_BLOCK });
	assert_int_equal(bed_put(&bed, a, "m"), TICKET_TAKEN);
	bed_reopen(&bed);
	struct buf got = BUF_INIT;
	store_each_buffer(bed.store, each_buffer, &got);
	assert_string_equal(got.p, "1=a:1 ");
	buf_fini(&got);
}

static void count_free(void *arg)
{
	++*(unsigned *)arg;
}

static void test_a_ticket_lets_go_of_its_plan(void **state)
{
	(void)state;
	unsigned freed = 0;
	struct ticket *t = bed_ticket(&bed);
	ticket_on_free(t, count_free, &freed);
	ticket_drop(t);
	assert_int_equal(freed, 1);
	t = bed_ticket(&bed);
	ticket_on_free(t, count_free, &freed);
	bed_message(&bed, t, "m", "x");
	ticket_want(t, 1, 0, 0);
	assert_true(ticket_size(t) > 1);
	assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
	assert_int_equal(freed, 2);
}

static void test_two_processes_do_not_share(void **state)
{
	(void)state;
	char why[256];
	assert_null(store_open(&bed.options, why, sizeof(why)));
	assert_non_null(strstr(why, "in use"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_message_goes_through),
		T(test_order_and_joined_bytes),
		T(test_streams_share_chunks),
		T(test_rows_of_a_list),
		T(test_what_nobody_wants_is_not_kept),
		T(test_partly_settled_survives_a_crash),
		T(test_unrecorded_settlements_come_again),
		T(test_rewind_hands_out_again),
		T(test_what_is_given_back_does_not_stay_in_memory),
		T(test_one_sender_at_a_time),
		T(test_names_are_kept),
		T(test_names_change_places_and_what_lies_under_a_number_goes_by_its_new_name),
		T(test_ids_and_positions_rise_over_a_restart),
		T(test_dead_letters),
		T(test_dead_letters_keep_to_their_bounds),
		T(test_buffers_are_listed),
		T(test_a_ticket_lets_go_of_its_plan),
		T(test_two_processes_do_not_share),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
