/* kill -9 at any moment, again and again: what was acknowledged is there, what was recorded as delivered does not come again, and
 * the order holds. STORE_KILLS says how often (20; a release wants thousands). */
#include <signal.h>
#include <sys/wait.h>

#include "store_bed.h"

#define B 1
#define MOST 2000000

/* What the child tells, each in one write that a kill cannot tear. */
struct word { char kind; unsigned n; };   /* Sent, Taken, Delivered, Recorded */

static int told;

static void tell(char kind, unsigned n)
{
	struct word w;
	memset(&w, 0, sizeof(w));
	w.kind = kind;
	w.n = n;
	if (write(told, &w, sizeof(w)) != sizeof(w))
		_exit(3);
}

struct trip { unsigned first, n; };

static void on_done(void *arg, enum ticket_result r, const char *why)
{
	struct trip *t = arg;
	(void)why;
	if (r == TICKET_TAKEN)
		for (unsigned i = 0; i < t->n; i++)
			tell('T', t->first + i);
	free(t);
}

/* Puts in and delivers until it is killed. */
static void child(const char *dir, unsigned next, uint64_t random)
{
	struct bed bed = { .options = { .path = dir, .durability = random & 1 ? DURABILITY_OS : DURABILITY_FSYNC, .disk_limit = UINT64_C(1) << 30,
		.memory_limit = random & 2 ? 100000 : 64 << 20 } };
	snprintf(bed.dir, sizeof(bed.dir), "%s", dir);
	bed_open(&bed);
	struct buffer *q = buffer_attach(bed.store, B, bed.port, bed_wake, &bed);
	struct { uint64_t mark; unsigned n; } waiting[100000];
	size_t first = 0, last = 0;
	for (;;) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		if ((random >> 33) % 3) {
			struct trip *trip = xmalloc(sizeof(*trip));
			struct ticket *t = ticket_new(bed.store, bed.port, on_done, trip);
			*trip = (struct trip){ .first = next, .n = 1 + (unsigned)(random >> 40) % 30 };
			for (unsigned i = 0; i < trip->n; i++, next++) {
				char text[400];
				snprintf(text, sizeof(text), "%u %0300u", next, 0u);
				bed_message(&bed, t, text, "x");
				ticket_want(t, B, 0, 0);
				tell('S', next);
			}
			ticket_submit(t);
		}
		struct span sp;
		if ((random >> 50) % 4 && buffer_next(q, &sp)) {
			for (unsigned i = bits_next(sp.bits, 0); i < SPAN_ENTRIES_MAX; i = bits_next(sp.bits, i + 1)) {
				struct entry e;
				chunk_entry(sp.chunk, i, &e);
				waiting[last % 100000].n = (unsigned)strtoul(e.bytes, NULL, 10);
				waiting[last++ % 100000].mark = q->settle_last + 1;
				tell('D', (unsigned)strtoul(e.bytes, NULL, 10));
			}
			buffer_settle(q, &sp, sp.bits, OUTCOME_ACCEPTED, NULL);
			span_release(q, &sp);
		}
		for (; first < last && waiting[first % 100000].mark <= buffer_recorded(q); first++)
			tell('R', waiting[first % 100000].n);
		bed_turn(&bed, (random >> 20) % 3 ? 0 : 1);
	}
}

enum { TAKEN = 1, DELIVERED = 2, RECORDED = 4 };

static void hear(int fd, unsigned char *known, unsigned *highest)
{
	struct word w;
	unsigned last = 0;
	while (read(fd, &w, sizeof(w)) == sizeof(w)) {
		assert_true(w.n < MOST);
		if (w.n > *highest)
			*highest = w.n;
		if (w.kind == 'T')
			known[w.n] |= TAKEN;
		if (w.kind == 'R')
			known[w.n] |= RECORDED;
		if (w.kind != 'D')
			continue;
		if (known[w.n] & RECORDED)
			fail_msg("message %u came again after it was recorded", w.n);
		if (w.n <= last)
			fail_msg("message %u came after %u", w.n, last);
		last = w.n;
		known[w.n] |= DELIVERED;
	}
}

static void test_kill_loses_nothing_taken(void **state)
{
	(void)state;
	const char *s = getenv("STORE_KILLS");
	unsigned kills = s ? (unsigned)strtoul(s, NULL, 10) : 20, highest = 0, taken = 0;
	unsigned char *known = xcalloc(MOST, 1);
	struct bed bed;
	bed_new(&bed);
	uint64_t random = (uint64_t)time(NULL) * 2862933555777941757u + (uint64_t)getpid();
	print_message("%u kills, luck %llu\n", kills, (unsigned long long)random);
	for (unsigned i = 0; i < kills; i++) {
		int fds[2];
		random = random * 6364136223846793005u + 1442695040888963407u;
		assert_int_equal(pipe(fds), 0);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			close(fds[0]);
			told = fds[1];
			child(bed.dir, highest + 1, random >> 3);
			_exit(0);
		}
		close(fds[1]);
		pid_t killer = fork();
		if (killer == 0) {
			usleep(10000 + (unsigned)(random >> 40) % 150000);
			kill(pid, SIGKILL);
			_exit(0);
		}
		hear(fds[0], known, &highest);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		waitpid(killer, &status, 0);
		close(fds[0]);
	}
	bed_open(&bed);
	struct buffer *q = buffer_attach(bed.store, B, bed.port, bed_wake, &bed);
	struct span sp;
	unsigned last = 0;
	while (bed_next(&bed, q, &sp)) {
		for (unsigned i = bits_next(sp.bits, 0); i < SPAN_ENTRIES_MAX; i = bits_next(sp.bits, i + 1)) {
			struct entry e;
			chunk_entry(sp.chunk, i, &e);
			unsigned n = (unsigned)strtoul(e.bytes, NULL, 10);
			assert_true(n > last && !(known[n] & RECORDED));
			last = n;
			known[n] |= DELIVERED;
		}
		buffer_settle(q, &sp, sp.bits, OUTCOME_ACCEPTED, NULL);
		span_release(q, &sp);
	}
	for (unsigned n = 1; n <= highest; n++) {
		if (known[n] & TAKEN && !(known[n] & DELIVERED))
			fail_msg("message %u was taken and is lost", n);
		taken += known[n] & TAKEN;
	}
	struct store_counts c;
	store_counts(bed.store, &c);
	assert_int_equal(c.records_lost, 0);
	bed_record(&bed, q);
	bed_counts(&bed, B);
	buffer_detach(q);
	bed_free(&bed);
	print_message("%u messages taken, none lost\n", taken);
	assert_true(taken > 0);
	free(known);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kill_loses_nothing_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
