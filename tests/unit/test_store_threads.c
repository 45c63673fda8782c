/* Workers beside each other: each with its port, putting into everybody's buffers and draining its own, while others look at the
 * counts and names come and go. For the thread sanitizer, and for the sums. */
#include "store_bed.h"

#define WORKERS 3
#define TICKETS 300
#define EACH 7

static struct bed bed;

struct worker {
	pthread_t thread;
	uint32_t own;
	struct port *port;
	unsigned taken;
	uint64_t got;
	_Atomic bool ready;
};
static struct worker workers[WORKERS];
static _Atomic unsigned finished;

static void on_done(void *arg, enum ticket_result r, const char *why)
{
	struct worker *w = arg;
	(void)why;
	if (r == TICKET_TAKEN)
		w->taken++;
}

static void on_wake(void *arg)
{
	((struct worker *)arg)->ready = true;
}

static void turn(struct worker *w)
{
	struct pollfd p = { .fd = port_fd(w->port), .events = POLLIN };
	if (poll(&p, 1, 5) > 0)
		port_run(w->port);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	w->port = port_new(bed.store);
	struct buffer *q = buffer_attach(bed.store, w->own, w->port, on_wake, w);
	unsigned sent = 0;
	const uint64_t all = (uint64_t)WORKERS * TICKETS * EACH;
	while (w->taken < TICKETS || w->got < all) {
		if (sent < TICKETS && sent - w->taken < 20) {
			struct ticket *t = ticket_new(bed.store, w->port, on_done, w);
			for (unsigned i = 0; i < EACH; i++) {
				size_t start;
				struct message_head h = { .id = store_ids(bed.store, 1), .ident = "x", .ident_len = 1 };
				buf_adds(ticket_message(t, &start), "{\"ident\":\"x\",\"some\":\"bytes that are not very many but enough\"}");
				ticket_message_end(t, &h);
				for (uint32_t b = 1; b <= WORKERS; b++)
					ticket_want(t, b, 0, 0);
			}
			ticket_submit(t);
			sent++;
		}
		struct span sp;
		if (buffer_next(q, &sp)) {
			w->got += bits_count(sp.bits);
			buffer_settle(q, &sp, sp.bits, OUTCOME_ACCEPTED, NULL);
			span_release(q, &sp);
		} else {
			turn(w);
		}
		if (sent % 50 == 0)
			buffer_hurry(q);
	}
	buffer_detach(q);
	port_free(w->port);
	finished++;
	return NULL;
}

static bool count_one(void *arg, uint32_t buffer, const char *name, const struct buffer_counts *c)
{
	(void)arg; (void)buffer; (void)name;
	assert_int_equal(c->matched, c->skipped + c->buffered + c->accepted + c->dead + c->expired + c->dropped + c->purged);
	return true;
}

static void test_workers_beside_each_other(void **state)
{
	(void)state;
	bed_new(&bed);
	bed.options.memory_limit = 60000; /* some lag at times */
	bed_open(&bed);
	for (uint32_t i = 0; i < WORKERS; i++) {
		char name[8];
		snprintf(name, sizeof(name), "b%u", i);
		workers[i].own = store_name(bed.store, NAME_BUFFER, name);
		assert_int_equal(workers[i].own, i + 1);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	unsigned looks = 0;
	while (finished < WORKERS) {
		struct store_counts c;
		char name[16];
		store_counts(bed.store, &c);
		store_each_buffer(bed.store, count_one, NULL);
		snprintf(name, sizeof(name), "n%u", looks++ % 10);
		assert_int_not_equal(store_name(bed.store, NAME_STREAM, name), 0);
		buffer_configure(bed.store, 1, "one", &(struct buffer_options){ .full = FULL_BLOCK });
		usleep(2000);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
	BED_UNTIL(&bed, bed_rows(&bed, ROW_CHUNK) == 0);
	for (uint32_t i = 1; i <= WORKERS; i++)
		assert_int_equal(bed_counts(&bed, i).accepted, WORKERS * TICKETS * EACH);
	bed_free(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workers_beside_each_other),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
