/* The disk refuses, fills, tears, forgets and rots; nothing that was acknowledged is lost, nothing recorded comes again, the store
 * goes on by itself, and what could not be saved is counted. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include "base/bytes.h"
#include <dirent.h>

#include "store_bed.h"

#define B 1

static struct bed bed;
static char filler[60000];

static int setup(void **state)
{
	(void)state;
	bed_new(&bed);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bed_free(&bed);
	return 0;
}

static struct ticket *numbered(unsigned from, unsigned n, size_t pad)
{
	struct ticket *t = bed_ticket(&bed);
	for (unsigned i = 0; i < n; i++) {
		char head[16];
		size_t start;
		struct message_head h = { .id = store_ids(bed.store, 1), .ident = "x", .ident_len = 1 };
		struct buf *b = ticket_message(t, &start);
		snprintf(head, sizeof(head), "%u ", from + i);
		buf_adds(b, head);
		bed_noise(filler, pad);
		buf_add(b, filler, pad);
		ticket_message_end(t, &h);
		ticket_want(t, B, 0, 0);
	}
	return t;
}

/* The numbers that come out of B, in order; none is settled. */
static unsigned numbers(unsigned *out, unsigned most)
{
	struct buffer *q = buffer_attach(bed.store, B, bed.port, bed_wake, &bed);
	struct span spans[2000];
	unsigned n = 0, held = 0;
	uint64_t buffered = bed_counts(&bed, B).buffered;
	while (n < buffered && bed_next(&bed, q, &spans[held])) {
		const struct span *sp = &spans[held++];
		for (unsigned i = bits_next(sp->bits, 0); i < SPAN_ENTRIES_MAX; i = bits_next(sp->bits, i + 1)) {
			struct entry e;
			chunk_entry(sp->chunk, i, &e);
			assert_true(n < most);
			out[n++] = (unsigned)strtoul(e.bytes, NULL, 10);
		}
		assert_true(held < 2000);
	}
	while (held)
		span_release(q, &spans[--held]);
	buffer_detach(q);
	return n;
}

/* Tickets of which the n-th operation of a kind fails, and the ones after it; then a crash. */
static void fail_at(enum env_op op, unsigned nth, unsigned times, int error)
{
	enum { TICKETS = 24, EACH = 8 };
	enum ticket_result results[TICKETS];
	unsigned found[TICKETS * EACH], accepted = 0;
	/* New files come with large messages only. */
	size_t pad = op == ENV_WRITE || op == ENV_SYNC ? 300 : sizeof(filler);
	bed_open(&bed);
	struct buffer *q = buffer_attach(bed.store, B, bed.port, bed_wake, &bed);
	store_env_fail(bed.env, op, nth, times, error);
	for (unsigned i = 0; i < TICKETS; i++) {
		results[i] = bed_submit(&bed, numbered(i * EACH, EACH, pad));
		assert_int_not_equal(results[i], TICKET_FULL);
		if (results[i] == TICKET_TAKEN && i % 3 == 0)
			accepted += bed_take(&bed, q, EACH, OUTCOME_ACCEPTED, NULL);
		if (i == TICKETS - 4)
			store_env_heal(bed.env);
	}
	bed_record(&bed, q);
	buffer_detach(q);
	struct buffer_counts c = bed_counts(&bed, B);
	assert_int_equal(c.accepted, accepted);
	bed_crash(&bed);
	bed_open(&bed);
	assert_int_equal(bed_counts(&bed, B).accepted, accepted);
	unsigned n = numbers(found, TICKETS * EACH), at = 0, skip = accepted;
	for (unsigned i = 0; i < TICKETS; i++)
		for (unsigned k = 0; k < EACH; k++) {
			if (results[i] != TICKET_TAKEN)
				continue;
			if (skip) {
				skip--;
				continue;
			}
			if (at == n || found[at] != i * EACH + k)
				fail_msg("op %d, %u-th: message %u was taken and is not there", op, nth, i * EACH + k);
			at++;
		}
	/* And what was refused must not appear. */
	assert_int_equal(at, n);
	struct store_counts s;
	store_counts(bed.store, &s);
	assert_int_equal(s.records_lost, 0);
	bed_close(&bed);
	char db[128];
	snprintf(db, sizeof(db), "%s/db", bed.dir);
	bed_erase(db);
}

static void test_any_operation_fails_and_nothing_taken_is_lost(void **state)
{
	(void)state;
	static const struct { enum env_op op; unsigned most; } kinds[] = { { ENV_WRITE, 13 }, { ENV_SYNC, 10 }, { ENV_CREATE, 4 },
		{ ENV_SYNC_DIR, 3 }, { ENV_RENAME, 2 }, { ENV_REMOVE, 2 } };
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		for (unsigned nth = 1; nth <= kinds[i].most; nth += nth > 6 ? 3 : 1)
			fail_at(kinds[i].op, nth, nth % 3 == 0 ? 3 : 1, nth % 2 ? ENOSPC : EIO);
	bed_open(&bed);
}

static void test_a_failed_sync_may_have_been_written(void **state)
{
	(void)state;
	bed_open(&bed);
	assert_int_equal(bed_put(&bed, B, "first"), TICKET_TAKEN);
	/* The bytes are in the file, so the reopened database has them: taken, and not told otherwise. */
	store_env_fail(bed.env, ENV_SYNC, 1, 1, EIO);
	assert_int_equal(bed_put(&bed, B, "second"), TICKET_TAKEN);
	struct store_counts c;
	store_counts(bed.store, &c);
	assert_int_equal(c.reopens, 1);
	assert_int_equal(bed_counts(&bed, B).buffered, 2);
	assert_int_equal(bed_put(&bed, B, "third"), TICKET_TAKEN);
}

static void test_names_change_all_or_none(void **state)
{
	(void)state;
	const struct renaming list[] = { { NAME_BUFFER, "a", "b" }, { NAME_STREAM, "a", "b" } };
	bed_open(&bed);
	uint32_t a = store_name(bed.store, NAME_BUFFER, "a"), s = store_name(bed.store, NAME_STREAM, "a");
	store_env_fail(bed.env, ENV_WRITE, 1, 1, EIO);
	assert_int_equal(store_rename(bed.store, list, 2), -1);
	for (int reopened = 0; reopened < 2; reopened++) {
		assert_int_equal(store_find_name(bed.store, NAME_BUFFER, "a"), a);
		assert_int_equal(store_find_name(bed.store, NAME_STREAM, "a"), s);
		assert_int_equal(store_find_name(bed.store, NAME_STREAM, "b") + store_find_name(bed.store, NAME_BUFFER, "b"), 0);
		bed_reopen(&bed);
	}
	/* Not synced, but written: the reopened database has them, and so it was done. */
	store_env_fail(bed.env, ENV_SYNC, 1, 1, EIO);
	assert_int_equal(store_rename(bed.store, list, 2), 0);
	for (int reopened = 0; reopened < 2; reopened++) {
		assert_int_equal(store_find_name(bed.store, NAME_BUFFER, "b"), a);
		assert_int_equal(store_find_name(bed.store, NAME_STREAM, "b"), s);
		assert_int_equal(store_find_name(bed.store, NAME_STREAM, "a") + store_find_name(bed.store, NAME_BUFFER, "a"), 0);
		bed_reopen(&bed);
	}
}

static void test_a_full_disk_refuses_and_recovers(void **state)
{
	(void)state;
	bed_open(&bed);
	assert_int_equal(bed_put(&bed, B, "1 "), TICKET_TAKEN);
	struct buffer *q = buffer_attach(bed.store, B, bed.port, bed_wake, &bed);
	struct span sp;
	assert_true(bed_next(&bed, q, &sp));
	store_env_fail(bed.env, ENV_WRITE, 1, 0, ENOSPC);
	assert_int_equal(bed_put(&bed, B, "2 "), TICKET_FAILED);
	assert_non_null(strstr(bed.why, "space"));
	/* Delivery goes on meanwhile; that it has is recorded when the disk comes back. */
	uint64_t mark = buffer_settle(q, &sp, sp.bits, OUTCOME_ACCEPTED, NULL);
	span_release(q, &sp);
	struct store_counts c;
	store_counts(bed.store, &c);
	assert_true(c.intake_stopped);
	assert_int_equal(bed_put(&bed, B, "3 "), TICKET_FAILED);
	assert_true(buffer_recorded(q) < mark);
	store_env_heal(bed.env);
	BED_UNTIL(&bed, buffer_recorded(q) >= mark);
	BED_UNTIL(&bed, bed_put(&bed, B, "4 ") == TICKET_TAKEN);
	buffer_detach(q);
	bed_reopen(&bed);
	unsigned found[10];
	assert_int_equal(numbers(found, 10), 1);
	assert_int_equal(found[0], 4);
	assert_int_equal(bed_counts(&bed, B).accepted, 1);
}

static unsigned tables(void)
{
	char folder[200];
	unsigned n = 0;
	snprintf(folder, sizeof(folder), "%s/db", bed.dir);
	DIR *d = opendir(folder);
	for (struct dirent *e; (e = readdir(d));)
		n += strstr(e->d_name, ".ldb") != NULL;
	closedir(d);
	return n;
}

/* 3000 messages that do not pack, a megabyte at a time. */
static void put_noise(unsigned *taken)
{
	static char text[12 << 10];
	for (unsigned i = 0; i < 30; i++) {
		struct ticket *t = bed_ticket(&bed);
		for (unsigned k = 0; k < 100; k++) {
			bed_noise(text, sizeof(text) - 1);
			bed_message(&bed, t, text, "x");
			ticket_want(t, B, 0, 0);
		}
		*taken += bed_submit(&bed, t) == TICKET_TAKEN ? 100 : 0;
	}
}

/* LevelDB tells of a compaction that failed only when somebody writes, and on a full disk nobody is let in who would; and what it had
 * written takes the space that opening needs. */
static void test_a_compaction_that_fails_heals_though_nobody_writes(void **state)
{
	(void)state;
	unsigned taken = 0;
	bed_open(&bed);
	put_noise(&taken);
	assert_int_equal(taken, 3000);
	assert_true(store_db_enter(bed.store));
	uint64_t failures = store_env_failures(bed.env);
	store_env_fail(bed.env, ENV_SYNC, 2, 0, ENOSPC);   /* the second table of its output */
	db_compact(bed.store->db, "\0", 1, "\xff", 1);
	assert_true(store_env_failures(bed.env) > failures);
	store_db_leave(bed.store);
	store_env_heal(bed.env);
	struct store_counts c;
	BED_UNTIL(&bed, (store_drop_dead(bed.store, 99, 1, 1), store_counts(bed.store, &c), c.reopens && !c.intake_stopped));
	assert_int_equal(bed_counts(&bed, B).buffered, taken);
	BED_UNTIL(&bed, bed_put(&bed, B, "4 ") == TICKET_TAKEN);
	bed_reopen(&bed);
	assert_int_equal(bed_counts(&bed, B).buffered, taken + 1);
	assert_int_equal((store_counts(bed.store, &c), c.records_lost), 0);
}

static void test_where_compaction_has_no_room_it_waits_and_what_is_delivered_makes_room(void **state)
{
	(void)state;
	unsigned taken = 0;
	struct store_counts c;
	bed_open(&bed);
	put_noise(&taken);
	assert_true(store_db_enter(bed.store));
	uint64_t full = store_env_bytes(bed.env);
	store_env_quota(bed.env, full + (10u << 20));
	db_compact(bed.store->db, "\0", 1, "\xff", 1);
	store_db_leave(bed.store);
	BED_UNTIL(&bed, (store_drop_dead(bed.store, 99, 1, 1), store_counts(bed.store, &c), c.reopens && c.intake_stopped && strstr(c.intake_why, "free")));
	assert_true(store_env_holds(bed.env));
	uint64_t failures = store_env_failures(bed.env);
	struct buffer *q = buffer_attach(bed.store, B, bed.port, bed_wake, &bed);
	assert_int_equal(bed_take(&bed, q, 10000, OUTCOME_ACCEPTED, NULL), taken);
	bed_record(&bed, q);
	buffer_detach(q);
	BED_UNTIL(&bed, (store_counts(bed.store, &c), c.disk_bytes < full / 2));
	assert_false(store_env_holds(bed.env));
	BED_UNTIL(&bed, bed_put(&bed, B, "4 ") == TICKET_TAKEN);
	assert_int_equal(store_env_failures(bed.env), failures);
	assert_int_equal((store_counts(bed.store, &c), c.reopens), 1);
}

static void test_what_was_left_unfinished_is_removed_and_nothing_else(void **state)
{
	(void)state;
	unsigned taken = 0;
	char folder[200], why[200];
	snprintf(folder, sizeof(folder), "%s/db", bed.dir);
	bed_open(&bed);
	put_noise(&taken);
	bed_close(&bed);
	db_sweep(folder, bed.env);                      /* of a compaction that closing interrupted */
	enum db_result r;
	struct db *d = db_open(folder, bed.env, false, 0, &r, why, sizeof(why));
	assert_non_null(d);
	store_env_quota(bed.env, store_env_bytes(bed.env) + (12u << 20));   /* of 24 MiB that it would write */
	db_compact(d, "\0", 1, "\xff", 1);
	uint64_t full = store_env_bytes(bed.env);
	db_close(d);
	store_env_heal(bed.env);
	unsigned before = tables();
	uint64_t swept = db_sweep(folder, bed.env);
	assert_true(swept > 8u << 20);
	assert_int_equal(store_env_bytes(bed.env), full - swept);
	assert_true(tables() < before);
	assert_int_equal(db_sweep(folder, bed.env), 0);
	bed_open(&bed);
	struct store_counts c;
	store_counts(bed.store, &c);
	assert_int_equal(bed_counts(&bed, B).buffered, taken);
	struct buffer *q = buffer_attach(bed.store, B, bed.port, bed_wake, &bed);
	assert_int_equal(bed_take(&bed, q, 10000, OUTCOME_ACCEPTED, NULL), taken);
	buffer_detach(q);
	assert_int_equal(c.records_lost, 0);
}

/* ---- power cuts */

static void look_at_picture(const char *picture, unsigned taken, unsigned settled, unsigned recorded)
{
	struct bed other = { .options = bed.options };
	static unsigned found[100000];
	assert_true(strlen(picture) < sizeof(other.dir));
	memcpy(other.dir, picture, strlen(picture) + 1);
	other.env = store_env_new();
	struct bed mine = bed;
	bed = other;
	bed_open(&bed);
	unsigned n = numbers(found, 100000);
	if (n && found[0] > settled)
		fail_msg("%s: message %u is gone, only %u were settled", picture, found[0] - 1, settled);
	if (n && found[0] < recorded)
		fail_msg("%s: message %u came again, though %u were recorded", picture, found[0], recorded);
	for (unsigned i = 1; i < n; i++)
		assert_int_equal(found[i], found[0] + i);
	unsigned reached = n ? found[n - 1] + 1 : settled;
	if (reached < taken)
		fail_msg("%s: %u were taken, %u are there", picture, taken, reached);
	struct store_counts c;
	store_counts(bed.store, &c);
	assert_int_equal(c.records_lost, 0);
	bed_free(&bed);
	bed = mine;
}

static void test_a_power_cut_loses_nothing_taken(void **state)
{
	(void)state;
	const char *s = getenv("STORE_POWER_CUTS");
	unsigned cuts = s ? (unsigned)strtoul(s, NULL, 10) : 25, sent = 0, settled = 0, tickets = 0;
	struct { unsigned taken, settled, recorded; } *pictures = xcalloc(cuts, sizeof(*pictures));
	uint64_t random = s ? (uint64_t)time(NULL) : 42, mark = 0, marks[64][2] = { { 0 } };
	char db[128], path[200];
	snprintf(db, sizeof(db), "%s/db", bed.dir);
	store_env_track(bed.env);
	bed_open(&bed);
	struct buffer *q = buffer_attach(bed.store, B, bed.port, bed_wake, &bed);
	unsigned sizes[4096];
	for (unsigned cut = 0; cut < cuts;) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		unsigned n = 1 + (unsigned)(random >> 40) % 20;
		sizes[tickets++ % 4096] = n;
		ticket_submit(numbered(sent, n, (random >> 50) % 8 ? 500 : 20000));
		sent += n;
		bed_turn(&bed, (random >> 33) % 4 ? 0 : 1);
		struct span sp;
		if ((random >> 35) % 3 == 0 && buffer_next(q, &sp)) {
			settled += bits_count(sp.bits);
			mark = buffer_settle(q, &sp, sp.bits, OUTCOME_ACCEPTED, NULL);
			marks[mark % 64][0] = mark;
			marks[mark % 64][1] = settled;
			span_release(q, &sp);
		}
		while (tickets - bed.taken > 100)
			bed_turn(&bed, 10);
		assert_int_equal(bed.full + bed.failed, 0);
		if ((random >> 20) % 40)
			continue;
		unsigned taken = 0;
		/* Tickets are answered in the order they came. */
		static unsigned answered, taken_messages;
		if (cut == 0)
			answered = taken_messages = 0;
		for (; answered < bed.taken; answered++)
			taken_messages += sizes[answered % 4096];
		taken = taken_messages;
		uint64_t recorded = buffer_recorded(q);
		pictures[cut].taken = taken;
		pictures[cut].recorded = recorded && marks[recorded % 64][0] == recorded ? (unsigned)marks[recorded % 64][1] : 0;
		pictures[cut].settled = settled;
		snprintf(path, sizeof(path), "%s/cut-%u", bed.dir, cut);
		assert_int_equal(mkdir(path, 0700), 0);
		snprintf(path, sizeof(path), "%s/cut-%u/db", bed.dir, cut);
		assert_true(store_env_power_cut(bed.env, db, path, random));
		cut++;
	}
	buffer_detach(q);
	for (unsigned i = 0; i < cuts; i++) {
		snprintf(path, sizeof(path), "%s/cut-%u", bed.dir, i);
		look_at_picture(path, pictures[i].taken, pictures[i].settled, pictures[i].recorded);
	}
	print_message("%u cuts, %u messages\n", cuts, sent);
	free(pictures);
}

/* ---- rot */

/* The largest file with this ending. */
static void largest(const char *ending, char *out, size_t outlen, off_t *size)
{
	char db[128];
	struct dirent *e;
	snprintf(db, sizeof(db), "%s/db", bed.dir);
	DIR *d = opendir(db);
	assert_non_null(d);
	*size = 0;
	while ((e = readdir(d))) {
		char path[400];
		struct stat st;
		size_t n = strlen(e->d_name), k = strlen(ending);
		snprintf(path, sizeof(path), "%s/%s", db, e->d_name);
		if (n > k && strcmp(e->d_name + n - k, ending) == 0 && stat(path, &st) == 0 && st.st_size > *size) {
			*size = st.st_size;
			snprintf(out, outlen, "%s", path);
		}
	}
	closedir(d);
	assert_true(*size > 0);
}

static void rot(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	char c;
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= 0x20;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	close(fd);
}

static void test_a_rotten_chunk_is_counted_and_the_rest_delivered(void **state)
{
	(void)state;
	bed_open(&bed);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(bed_submit(&bed, numbered(i * 10, 10, 2000)), TICKET_TAKEN);
	bed_close(&bed);
	bed_open(&bed); /* the log becomes a table */
	bed_close(&bed);
	char path[400];
	off_t size;
	largest(".ldb", path, sizeof(path), &size);
	rot(path, size / 2);
	bed_open(&bed);
	struct buffer *q = buffer_attach(bed.store, B, bed.port, bed_wake, &bed);
	struct buf got = BUF_INIT;
	unsigned n = bed_take(&bed, q, 1000, OUTCOME_ACCEPTED, &got);
	bed_record(&bed, q);
	struct buffer_counts c = bed_counts(&bed, B);
	assert_int_equal(c.accepted, n);
	assert_int_equal(c.accepted + c.dropped, 500);
	assert_int_equal(c.dropped, 10);
	struct store_counts s;
	store_counts(bed.store, &s);
	assert_true(s.records_lost > 0);
	buffer_detach(q);
	buf_fini(&got);
}

static void test_a_database_that_does_not_open_is_repaired_or_set_aside(void **state)
{
	(void)state;
	char path[400];
	off_t size;
	static const char *const victims[] = { "CURRENT", "MANIFEST", ".ldb" };
	for (unsigned i = 0; i < 3; i++) {
		bed_open(&bed);
		for (unsigned k = 0; k < 5; k++)
			assert_int_equal(bed_submit(&bed, numbered(k, 1, 2000)), TICKET_TAKEN);
		bed_close(&bed);
		bed_open(&bed);
		bed_close(&bed);
		if (i == 1) {
			char db[128];
			snprintf(db, sizeof(db), "%s/db", bed.dir);
			DIR *d = opendir(db);
			for (struct dirent *e; (e = readdir(d));)
				if (strncmp(e->d_name, "MANIFEST", 8) == 0)
					snprintf(path, sizeof(path), "%s/%s", db, e->d_name);
			closedir(d);
			assert_int_equal(truncate(path, 20), 0);
		} else if (i == 0) {
			snprintf(path, sizeof(path), "%s/db/CURRENT", bed.dir);
			assert_int_equal(truncate(path, 3), 0);
		} else {
			largest(victims[i], path, sizeof(path), &size);
			assert_int_equal(unlink(path), 0);
		}
		bed_open(&bed);
		bed_counts(&bed, B); /* it adds up */
		assert_int_equal(bed_put(&bed, B, "9 "), TICKET_TAKEN);
		unsigned found[100];
		unsigned n = numbers(found, 100);
		assert_true(n >= 1);
		assert_int_equal(found[n - 1], 9);
		bed_close(&bed);
	}
	bed_open(&bed);
}

static void test_a_newer_format_is_refused_with_a_sentence(void **state)
{
	(void)state;
	bed_open(&bed);
	struct key k = key_format();
	struct buf value = BUF_INIT;
	char number[4], why[256];
	put_le32(number, STORE_FORMAT + 1);
	sealed_encode(&value, &k, number, 4);
	struct db_batch *batch = db_batch_new();
	db_put(batch, k.p, k.n, value.p, value.len);
	assert_int_equal(db_write(bed.store->db, batch, true, why, sizeof(why)), DB_OK);
	db_batch_free(batch);
	buf_fini(&value);
	bed_close(&bed);
	assert_null(store_open(&bed.options, why, sizeof(why)));
	assert_non_null(strstr(why, "newer version"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_any_operation_fails_and_nothing_taken_is_lost),
		T(test_a_failed_sync_may_have_been_written),
		T(test_names_change_all_or_none),
		T(test_a_full_disk_refuses_and_recovers),
		T(test_a_compaction_that_fails_heals_though_nobody_writes),
		T(test_where_compaction_has_no_room_it_waits_and_what_is_delivered_makes_room),
		T(test_what_was_left_unfinished_is_removed_and_nothing_else),
		T(test_a_power_cut_loses_nothing_taken),
		T(test_a_rotten_chunk_is_counted_and_the_rest_delivered),
		T(test_a_database_that_does_not_open_is_repaired_or_set_aside),
		T(test_a_newer_format_is_refused_with_a_sentence),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
