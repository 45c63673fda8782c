/* What takes the place of a dead letter or of a kept entry comes with the commit that takes it away: it is there once, whatever is in between. */
#include "store_bed.h"

#define A 1
#define B 2
#define CHANNEL 3
#define MADE 4

static struct bed bed;
static const struct death death = { .reason = "given up", .answer = "" };

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

/* ---- letters */

struct found { unsigned n; uint64_t positions[2000], ids[2000]; unsigned attempts, rows, row; };

static bool find_letter(void *arg, const struct dead_letter *d)
{
	struct found *f = arg;
	assert_true(f->n < 2000);
	f->positions[f->n] = d->position;
	f->ids[f->n++] = d->id;
	f->attempts = d->attempts;
	f->rows = d->rows;
	f->row = d->row;
	return true;
}

static struct found letters(uint32_t owner)
{
	struct found f = { 0 };
	store_each_dead(bed.store, owner, 0, find_letter, &f);
	assert_int_equal(f.n, bed_counts(&bed, owner).dead_kept);
	return f;
}

static void make_letters(uint32_t owner, unsigned n)
{
	struct ticket *t = bed_ticket(&bed);
	for (unsigned i = 0; i < n; i++) {
		bed_message(&bed, t, "{}", "7");
		ticket_dead(t, owner, "adapter");
	}
	assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
}

static struct ticket *retry(struct ticket *t, uint32_t owner, uint32_t to, uint64_t position, uint64_t id)
{
	size_t start;
	struct message_head h = { .id = id, .ident = "7", .ident_len = 1 };
	t = t ? t : bed_ticket(&bed);
	buf_adds(ticket_message(t, &start), "{}");
	ticket_message_end(t, &h);
	ticket_attempts(t, 1);
	ticket_want(t, to, 0, 0);
	ticket_retries(t, owner, position);
	return t;
}

static void test_a_retried_letter_is_buffered_and_no_letter_any_more(void **state)
{
	(void)state;
	make_letters(A, 3);
	struct found f = letters(A);
	assert_int_equal(bed_submit(&bed, retry(NULL, A, A, f.positions[0], f.ids[0])), TICKET_TAKEN);
	bed_reopen(&bed);
	struct buffer_counts c = bed_counts(&bed, A);
	assert_int_equal(c.matched, 3);
	assert_int_equal(c.dead, 2);
	assert_int_equal(c.buffered, 1);
	assert_int_equal(c.dead_gone, 0);
	assert_int_equal(letters(A).n, 2);
	assert_true(bed.store->position >= f.positions[2]);
	struct buffer *q = buffer_attach(bed.store, A, bed.port, bed_wake, &bed);
	struct span sp;
	struct entry e;
	assert_true(bed_next(&bed, q, &sp));
	chunk_entry(sp.chunk, 0, &e);
	assert_int_equal(e.id, f.ids[0]);
	/* Refused again: a letter again, which has been tried once more. */
	buffer_settle(q, &sp, sp.bits, OUTCOME_DEAD, &(struct death){ .reason = "no", .attempts = 1 });
	span_release(q, &sp);
	bed_record(&bed, q);
	buffer_detach(q);
	f = letters(A);
	assert_int_equal(f.n, 3);
	assert_int_equal(f.attempts, 2);
	assert_int_equal(bed_counts(&bed, A).dead, 3);
}

static void test_nothing_is_retried_twice(void **state)
{
	(void)state;
	make_letters(A, 2);
	struct found f = letters(A);
	/* Both wait for the same commit, or not: one of them is refused. */
	struct ticket *one = retry(NULL, A, A, f.positions[0], f.ids[0]), *two = retry(NULL, A, A, f.positions[0], f.ids[0]);
	ticket_submit(one);
	ticket_submit(two);
	BED_UNTIL(&bed, bed.taken + bed.failed == 1 + 2);
	assert_int_equal(bed.failed, 1);
	assert_non_null(strstr(bed.why, "is not there any more"));
	/* Not even by itself; and a ticket that stands for one thing gone leaves all of it alone. */
	struct ticket *t = retry(retry(NULL, A, A, f.positions[1], f.ids[1]), A, A, f.positions[1], f.ids[1]);
	assert_int_equal(bed_submit(&bed, t), TICKET_FAILED);
	t = retry(retry(NULL, A, A, f.positions[1], f.ids[1]), A, A, f.positions[0], f.ids[0]);
	assert_int_equal(bed_submit(&bed, t), TICKET_FAILED);
	struct buffer_counts c = bed_counts(&bed, A);
	assert_int_equal(c.buffered, 1);
	assert_int_equal(c.dead, 1);
	assert_int_equal(letters(A).n, 1);
}

static void test_a_letter_dropped_meanwhile_is_not_counted_twice(void **state)
{
	(void)state;
	make_letters(A, 100);
	struct found f = letters(A);
	struct ticket *t = NULL;
	for (unsigned i = 0; i < 50; i++)
		t = retry(t, A, A, f.positions[i], f.ids[i]);
	ticket_submit(t);
	store_drop_dead(bed.store, A, 0, UINT64_MAX);
	BED_UNTIL(&bed, bed.taken + bed.failed == 2 && bed_counts(&bed, A).dead_kept == 0);
	struct buffer_counts c = bed_counts(&bed, A);
	assert_int_equal(c.matched, 100);
	assert_int_equal(c.buffered + c.dead_gone, 100);
	assert_int_equal(c.dead_bytes, 0);
	assert_int_equal(bed_rows(&bed, ROW_DEAD), 0);
}

static void test_a_letter_that_moves_is_counted_where_it_goes(void **state)
{
	(void)state;
	make_letters(A, 2);
	struct found f = letters(A);
	assert_int_equal(bed_submit(&bed, retry(NULL, A, B, f.positions[1], f.ids[1])), TICKET_TAKEN);
	assert_int_equal(bed_counts(&bed, A).matched, 1);
	assert_int_equal(bed_counts(&bed, A).dead, 1);
	assert_int_equal(bed_counts(&bed, B).matched, 1);
	assert_int_equal(bed_counts(&bed, B).buffered, 1);
}

static void test_forgotten_letters_stay_counted_as_dead(void **state)
{
	(void)state;
	struct ticket *t = bed_ticket(&bed);
	ticket_refuse(t, CHANNEL, "no ident", "{}", 2, "peer");
	assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
	make_letters(A, 2);
	t = bed_ticket(&bed);
	ticket_forgets(t, CHANNEL, letters(CHANNEL).positions[0]);
	ticket_forgets(t, A, letters(A).positions[1]);
	assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
	bed_reopen(&bed);
	assert_int_equal(bed_counts(&bed, A).dead, 2);
	assert_int_equal(bed_counts(&bed, A).dead_kept, 1);
	assert_int_equal(bed_counts(&bed, A).dead_gone, 1);
	assert_int_equal(bed_counts(&bed, CHANNEL).dead_kept, 0);
	assert_int_equal(bed_counts(&bed, CHANNEL).dead_bytes, 0);
}

static void test_a_full_buffer_leaves_the_letter_where_it_is(void **state)
{
	(void)state;
	enum full_policy policies[] = { FULL_BLOCK, FULL_DROP_NEWEST };
	make_letters(A, 1);
	struct found f = letters(A);
	assert_int_equal(bed_put(&bed, A, "xxxxxxxxxx"), TICKET_TAKEN);
	for (unsigned i = 0; i < 2; i++) {
		struct buffer_options o = { .max = 10, .full = policies[i], .dead_max = 1 << 20 };
		buffer_configure(bed.store, A, "a", &o);
		assert_int_equal(bed_submit(&bed, retry(NULL, A, A, f.positions[0], f.ids[0])), TICKET_FULL);
		assert_int_equal(letters(A).n, 1);
		assert_int_equal(bed_counts(&bed, A).dropped, 0);
	}
}

/* Letters before the floor are never walked over again: retried in order from the first, they move it. */
static void test_retried_letters_move_the_floor(void **state)
{
	(void)state;
	make_letters(A, 20);
	struct found f = letters(A);
	for (unsigned i = 0; i < 20; i += 5) {
		struct ticket *t = NULL;
		for (unsigned k = i; k < i + 5; k++)
			t = retry(t, A, A, f.positions[k], f.ids[k]);
		assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
		assert_int_equal(store_buffer(bed.store, A)->ledger.dead_floor, f.positions[i + 4] + 1);
	}
}

static void test_rows_of_a_list_are_told_apart(void **state)
{
	(void)state;
	struct ticket *t = bed_ticket(&bed);
	bed_message(&bed, t, "src", "7");
	for (unsigned i = 0; i < 3; i++)
		ticket_want(t, A, MADE, bed_render(t, MADE, i, "row", ""));
	assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
	struct buffer *q = buffer_attach(bed.store, A, bed.port, bed_wake, &bed);
	assert_int_equal(bed_take(&bed, q, 2, OUTCOME_ACCEPTED, NULL), 2);
	buffer_rewind(q);
	assert_int_equal(bed_take(&bed, q, 1, OUTCOME_DEAD, NULL), 1);
	bed_record(&bed, q);
	buffer_detach(q);
	struct found f = letters(A);
	assert_int_equal(f.rows, 3);
	assert_int_equal(f.row, 2);
}

/* ---- kept buffers */

struct seen { struct ticket *t; unsigned n, blocks; uint32_t to; enum outcome how; unsigned most; char text[4000]; };

static bool see(void *arg, const struct kept *k)
{
	struct seen *s = arg;
	uint64_t bits[BITS_WORDS] = { 0 };
	unsigned here = 0;
	assert_non_null(k->chunk);
	for (unsigned i = bits_next(k->bits, 0); i < k->n && s->n < s->most; i = bits_next(k->bits, i + 1)) {
		struct entry e, source;
		chunk_entry(k->chunk, i, &e);
		assert_true(chunk_source(k->chunk, i, k->source, &source));
		if (s->n < 100)
			snprintf(s->text + strlen(s->text), sizeof(s->text) - strlen(s->text), "%.*s/%.*s ", (int)e.len, e.bytes, (int)source.len, source.bytes);
		s->n++;
		here++;
		bits_set(bits, i);
		if (!s->t || s->how != OUTCOME_MOVED)
			continue;
		struct message_head h = { .id = e.id, .ident = e.ident, .ident_len = e.ident_len };
		size_t start;
		buf_add(ticket_message(s->t, &start), source.bytes, source.len);
		ticket_message_end(s->t, &h);
		ticket_want(s->t, s->to, 0, 0);
	}
	if (s->t && here)
		ticket_settles(s->t, A, k->position, k->rendering, bits, s->how, &death);
	s->blocks++;
	return s->n < s->most;
}

static void fill(unsigned n, bool shared)
{
	for (unsigned done = 0; done < n;) {
		struct ticket *t = bed_ticket(&bed);
		for (unsigned i = 0; i < 40 && done < n; i++, done++) {
			char text[32];
			snprintf(text, sizeof(text), "%u", done);
			bed_message(&bed, t, text, "7");
			ticket_want(t, A, 0, 0);
			if (shared)
				ticket_want(t, CHANNEL + 10, 0, 0);
		}
		assert_int_equal(bed_submit(&bed, t), TICKET_TAKEN);
	}
}

static void test_kept_entries_move_in_order_and_leave_nothing(void **state)
{
	(void)state;
	fill(100, false);
	for (unsigned left = 100; left; left -= 25) {
		struct seen s = { .t = bed_ticket(&bed), .to = B, .how = OUTCOME_MOVED, .most = 25 };
		store_each_kept(bed.store, A, 0, see, &s);
		assert_int_equal(s.n, 25);
		assert_int_equal(bed_submit(&bed, s.t), TICKET_TAKEN);
		assert_int_equal(bed_counts(&bed, A).buffered, left - 25);
		if (left == 50)
			bed_reopen(&bed);
	}
	assert_int_equal(bed_counts(&bed, A).matched, 0);
	assert_int_equal(bed_counts(&bed, A).bytes, 0);
	assert_int_equal(bed_counts(&bed, B).matched, 100);
	struct buffer *q = buffer_attach(bed.store, B, bed.port, bed_wake, &bed);
	struct buf out = BUF_INIT;
	assert_int_equal(bed_take(&bed, q, 1000, OUTCOME_ACCEPTED, &out), 100);
	unsigned want = 0;
	for (char *p = out.p; want < 100; want++)
		assert_int_equal(strtoul(p, &p, 10), want);
	bed_record(&bed, q);
	assert_int_equal(bed_rows(&bed, ROW_CHUNK), 0);
	assert_int_equal(bed_rows(&bed, ROW_REF), 0);
	buffer_detach(q);
	buf_fini(&out);
}

/* Blocks that others hold in memory, or want too, lose nothing. */
static void test_what_others_want_stays(void **state)
{
	(void)state;
	fill(80, true);
	struct buffer *other = buffer_attach(bed.store, CHANNEL + 10, bed.port, bed_wake, &bed);
	struct span sp;
	assert_true(bed_next(&bed, other, &sp));
	struct seen s = { .t = bed_ticket(&bed), .how = OUTCOME_PURGED, .most = 60 };
	store_each_kept(bed.store, A, 0, see, &s);
	assert_int_equal(bed_submit(&bed, s.t), TICKET_TAKEN);
	assert_int_equal(bed_counts(&bed, A).purged, 60);
	span_release(other, &sp);
	buffer_rewind(other);
	assert_int_equal(bed_take(&bed, other, 100, OUTCOME_ACCEPTED, NULL), 80);
	bed_record(&bed, other);
	buffer_detach(other);
	struct buffer *q = buffer_attach(bed.store, A, bed.port, bed_wake, &bed);
	assert_int_equal(bed_take(&bed, q, 100, OUTCOME_ACCEPTED, NULL), 20);
	bed_record(&bed, q);
	buffer_detach(q);
	assert_int_equal(bed_rows(&bed, ROW_CHUNK), 0);
}

static void test_a_buffer_that_is_sent_is_left_alone(void **state)
{
	(void)state;
	fill(10, false);
	struct seen s = { .t = bed_ticket(&bed), .to = B, .how = OUTCOME_MOVED, .most = 10 };
	store_each_kept(bed.store, A, 0, see, &s);
	struct buffer *q = buffer_attach(bed.store, A, bed.port, bed_wake, &bed);
	assert_int_equal(bed_submit(&bed, s.t), TICKET_FAILED);
	assert_int_equal(bed_take(&bed, q, 100, OUTCOME_ACCEPTED, NULL), 10);
	buffer_detach(q);
	assert_int_equal(bed_counts(&bed, B).matched, 0);
}

/* A stream that comes back for its buffer right behind the word to move it never meets what was moved. */
static void test_attached_meanwhile(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 30; round++) {
		unsigned failed = bed.failed, answered = bed.taken + bed.failed;
		fill(40, false);
		answered = bed.taken + bed.failed;
		struct seen s = { .t = bed_ticket(&bed), .to = B, .how = OUTCOME_MOVED, .most = 40 };
		store_each_kept(bed.store, A, 0, see, &s);
		ticket_submit(s.t);
		if (round % 3)
			usleep(round * 60);
		struct buffer *q = buffer_attach(bed.store, A, bed.port, bed_wake, &bed);
		unsigned got = bed_take(&bed, q, 100, OUTCOME_ACCEPTED, NULL);
		BED_UNTIL(&bed, bed.taken + bed.failed > answered);
		got += bed_take(&bed, q, 100, OUTCOME_ACCEPTED, NULL);
		assert_int_equal(got, bed.failed > failed ? 40 : 0);
		bed_record(&bed, q);
		buffer_detach(q);
	}
	assert_int_equal(bed_counts(&bed, A).accepted + bed_counts(&bed, B).matched, 30 * 40);
}

static void test_kept_entries_become_letters(void **state)
{
	(void)state;
	fill(10, false);
	struct seen s = { .t = bed_ticket(&bed), .how = OUTCOME_DEAD, .most = 10 };
	store_each_kept(bed.store, A, 0, see, &s);
	assert_int_equal(bed_submit(&bed, s.t), TICKET_TAKEN);
	assert_int_equal(letters(A).n, 10);
	assert_int_equal(bed_counts(&bed, A).dead, 10);
}

/* ---- kill -9 anywhere */

static void test_killed_between_nothing_is_lost_or_there_twice(void **state)
{
	(void)state;
	make_letters(A, 600);
	fill(600, false);
	unsigned commits = 0;
	for (unsigned round = 0; round < 60; round++) {
		struct found f = letters(A);
		struct ticket *t = bed_ticket(&bed);
		struct seen s = { .t = t, .to = B, .how = OUTCOME_MOVED, .most = 7 };
		store_each_kept(bed.store, A, 0, see, &s);
		for (unsigned i = 0; i < 7 && i < f.n; i++)
			retry(t, A, B, f.positions[i], f.ids[i]);
		uint64_t before = bed_counts(&bed, B).matched;
		ticket_submit(t);
		usleep(round % 6 * 700);
		bed_reopen(&bed);
		uint64_t after = bed_counts(&bed, B).matched;
		assert_true(after == before || after == before + 7 + s.n);
		commits += after > before;
		f = letters(A);
		s = (struct seen){ .most = 2000 };
		store_each_kept(bed.store, A, 0, see, &s);
		assert_int_equal(s.n, bed_counts(&bed, A).buffered);
		assert_int_equal(f.n + s.n + after, 1200);
		assert_int_equal(bed_counts(&bed, B).buffered, after);
	}
	assert_true(commits > 5);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_retried_letter_is_buffered_and_no_letter_any_more),
		T(test_nothing_is_retried_twice),
		T(test_a_letter_dropped_meanwhile_is_not_counted_twice),
		T(test_a_letter_that_moves_is_counted_where_it_goes),
		T(test_forgotten_letters_stay_counted_as_dead),
		T(test_a_full_buffer_leaves_the_letter_where_it_is),
		T(test_retried_letters_move_the_floor),
		T(test_rows_of_a_list_are_told_apart),
		T(test_kept_entries_move_in_order_and_leave_nothing),
		T(test_what_others_want_stays),
		T(test_a_buffer_that_is_sent_is_left_alone),
		T(test_attached_meanwhile),
		T(test_kept_entries_become_letters),
		T(test_killed_between_nothing_is_lost_or_there_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
