/* What a message costs in the store: processor time of all its threads, from ticket to recorded settlement.
 *
 *   make tests/bench/bench_store && tests/bench/bench_store [FOLDER [MEGABYTES]]
 *
 * One thread plays worker and sender: it fills tickets of 1, 10, 100 and 1000 messages of 887 bytes for 1 and 10 buffers, keeps some of
 * them under way, takes spans and settles them. Then a backlog is written with nobody reading, opened anew, and read back.
 * Processor time is told per thread, so the figures hold on a busy machine; wall time is told beside it. The yardstick is what a bare LevelDB writer
 * took for chunks of 100 with a synced write each: 1.6 us a message for the writer and 1.35 us for LevelDB's background thread. */
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/inside.h"

#define MESSAGE 887

static const char *folder = "/tmp";
static size_t megabytes = 150;
static char message[MESSAGE];

struct bench {
	char dir[256];
	struct store *store;
	struct port *port;
	unsigned buffers;
	struct buffer *q[10];
	uint64_t answered, settled;
};

static double seconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double of_thread(pthread_t thread)
{
	clockid_t clock;
	return pthread_getcpuclockid(thread, &clock) == 0 ? seconds(clock) : 0;
}

static int erase_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st; (void)kind; (void)ftw;
	return remove(path);
}

static void done(void *arg, enum ticket_result r, const char *why)
{
	struct bench *b = arg;
	if (r != TICKET_TAKEN)
		fprintf(stderr, "not taken: %s\n", why), exit(1);
	b->answered++;
}

static void wake(void *arg)
{
	(void)arg;
}

static void open_store(struct bench *b)
{
	char why[256];
	struct store_options o = { .path = b->dir, .disk_limit = UINT64_C(64) << 30, .memory_limit = 256u << 20 };
	b->store = store_open(&o, why, sizeof(why));
	if (!b->store)
		fprintf(stderr, "%s\n", why), exit(1);
	b->port = port_new(b->store);
}

static void new_bench(struct bench *b, unsigned buffers)
{
	*b = (struct bench){ .buffers = buffers };
	snprintf(b->dir, sizeof(b->dir), "%s/bench-store-XXXXXX", folder);
	if (!mkdtemp(b->dir))
		perror(b->dir), exit(1);
	open_store(b);
}

static void attach(struct bench *b)
{
	for (unsigned i = 0; i < b->buffers; i++)
		b->q[i] = buffer_attach(b->store, i + 1, b->port, wake, b);
}

static void close_store(struct bench *b)
{
	for (unsigned i = 0; i < b->buffers; i++)
		buffer_detach(b->q[i]);
	port_free(b->port);
	store_close(b->store);
}

static void turn(struct bench *b, int ms)
{
	struct pollfd p = { .fd = port_fd(b->port), .events = POLLIN };
	if (poll(&p, 1, ms) > 0)
		port_run(b->port);
}

static void submit(struct bench *b, unsigned n)
{
	struct ticket *t = ticket_new(b->store, b->port, done, b);
	uint64_t id = store_ids(b->store, n);
	for (unsigned i = 0; i < n; i++, id += STORE_ID_STEP) {
		size_t start;
		struct message_head h = { .id = id, .ident = "352093081234567", .ident_len = 15 };
		buf_add(ticket_message(t, &start), message, sizeof(message));
		ticket_message_end(t, &h);
		for (unsigned k = 0; k < b->buffers; k++)
			ticket_want(t, k + 1, 0, 0);
	}
	ticket_submit(t);
}

/* Takes what is at hand, entry by entry, as a sender would. */
static bool deliver(struct bench *b)
{
	struct span sp;
	struct entry e;
	bool any = false;
	for (unsigned i = 0; i < b->buffers; i++)
		while (buffer_next(b->q[i], &sp)) {
			size_t bytes = 0;
			for (unsigned k = bits_next(sp.bits, 0); k < sp.n; k = bits_next(sp.bits, k + 1)) {
				chunk_entry(sp.chunk, k, &e);
				bytes += e.len;
				b->settled++;
			}
			if (bytes == 0)
				abort();
			buffer_settle(b->q[i], &sp, sp.bits, OUTCOME_ACCEPTED, NULL);
			span_release(b->q[i], &sp);
			any = true;
		}
	return any;
}

struct meter { double all, me, commit, read, wall; };

static struct meter read_meter(struct bench *b)
{
	return (struct meter){ seconds(CLOCK_PROCESS_CPUTIME_ID), seconds(CLOCK_THREAD_CPUTIME_ID), of_thread(b->store->committer),
		of_thread(b->store->reader), seconds(CLOCK_MONOTONIC) };
}

static void tell(const char *what, const struct meter *a, const struct meter *z, double n)
{
	double us = 1e6 / n, rest = z->all - a->all - (z->me - a->me) - (z->commit - a->commit) - (z->read - a->read);
	printf("%-36s %7.2f %9.2f %8.2f %8.2f %10.2f %11.0f\n", what, (z->all - a->all) * us, (z->me - a->me) * us, (z->commit - a->commit) * us,
		(z->read - a->read) * us, rest * us, n / (z->wall - a->wall));
	fflush(stdout);
}

static void head(void)
{
	printf("%-36s %7s %9s %8s %8s %10s %11s\n", "cpu, us a message", "sum", "worker", "commit", "reader", "leveldb bg", "wall msg/s");
}

static void through(unsigned per_ticket, unsigned buffers)
{
	struct bench b;
	char what[80];
	new_bench(&b, buffers);
	attach(&b);
	uint64_t n = megabytes * 1000000 / MESSAGE / per_ticket, sent = 0;
	if (per_ticket == 1 && n > 50000)
		n = 50000;
	/* As many tickets under way as connections would have. */
	uint64_t under_way = per_ticket >= 100 ? 32 : 256;
	struct meter before = read_meter(&b);
	while (b.answered < n || b.settled < n * per_ticket * buffers) {
		while (sent < n && sent - b.answered < under_way) {
			submit(&b, per_ticket);
			sent++;
		}
		if (!deliver(&b))
			turn(&b, 100);
		else
			turn(&b, 0);
	}
	for (unsigned i = 0; i < buffers; i++) {
		buffer_hurry(b.q[i]);
		while (buffer_recorded(b.q[i]) < b.q[i]->settle_last)
			turn(&b, 100);
	}
	struct meter after = read_meter(&b);
	snprintf(what, sizeof(what), "%u a ticket, %u buffer%s, settled", per_ticket, buffers, buffers > 1 ? "s" : "");
	tell(what, &before, &after, (double)(n * per_ticket));
	struct store_counts c;
	store_counts(b.store, &c);
	printf("    %.0f messages a commit, %.2f bytes written a byte, %llu us the longest commit\n", (double)(n * per_ticket) / (double)c.commits,
		(double)c.bytes_written / ((double)(n * per_ticket) * MESSAGE), (unsigned long long)c.commit_us_max);
	close_store(&b);
	nftw(b.dir, erase_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void backlog(void)
{
	struct bench b;
	new_bench(&b, 1);
	uint64_t n = 1000000 / 100, sent = 0;
	struct meter before = read_meter(&b), after;
	while (b.answered < n) {
		while (sent < n && sent - b.answered < 32) {
			submit(&b, 100);
			sent++;
		}
		turn(&b, 100);
	}
	after = read_meter(&b);
	tell("backlog of 1 M: write", &before, &after, 1e6);
	store_close(b.store);
	double opening = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	open_store(&b);
	printf("    opened in %.0f ms (%.0f ms cpu)\n", (seconds(CLOCK_MONOTONIC) - opening) * 1e3, (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e3);
	struct rusage u;
	attach(&b);
	before = read_meter(&b);
	while (b.settled < 1000000)
		if (!deliver(&b))
			turn(&b, 100);
	buffer_hurry(b.q[0]);
	while (buffer_recorded(b.q[0]) < b.q[0]->settle_last)
		turn(&b, 100);
	after = read_meter(&b);
	tell("backlog of 1 M: read back, settled", &before, &after, 1e6);
	getrusage(RUSAGE_SELF, &u);
	struct store_counts c;
	store_counts(b.store, &c);
	printf("    %ld MB resident at most, %llu MB on disk\n", u.ru_maxrss >> 10, (unsigned long long)(c.disk_bytes >> 20));
	close_store(&b);
	nftw(b.dir, erase_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		folder = argv[1];
	if (argc > 2)
		megabytes = (size_t)atoi(argv[2]);
	memset(message, 'x', sizeof(message));
	head();
	for (unsigned per_ticket = 1; per_ticket <= 1000; per_ticket *= 10) {
		through(per_ticket, 1);
		through(per_ticket, 10);
	}
	backlog();
	return 0;
}
