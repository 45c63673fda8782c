/* test_delivery_store.c - a delivery on the real store: failures, a dead address, crashes; nothing is lost, order holds, few come twice. */
#include "store_bed.h"

#include <event2/event.h>

#include "fake_plan.h"
#include "senders/delivery.h"

#define DEVICES 20
#define LANES 4
#define MESSAGES_MAX 20000

static struct {
	struct bed bed;
	struct event_base *base;
	struct event *port;
	struct fake_plan plan;
	struct delivery *d;
	struct sender_host host;
	struct batch *pending[64];
	struct event *answer;
	unsigned npending;
	unsigned n, device[MESSAGES_MAX], times[MESSAGES_MAX], last[DEVICES];
	unsigned accepted, repeats, bad_every;
	int dead;                /* device, or -1 */
	uint64_t random;
} w;

static unsigned draw(unsigned n)
{
	w.random = w.random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(w.random >> 33) % n;
}

static unsigned number_of(const struct entry *e)
{
	const char *p = memmem(e->bytes, e->len, "\"n\":", 4);
	return (unsigned)atoi(p + 4);
}

static struct sender *new(const struct destination *to, const struct sender_host *h, char *why, size_t whylen)
{
	(void)to, (void)why, (void)whylen;
	w.host = *h;
	return (struct sender *)&w;
}

static int update(struct sender *s, const struct destination *to, char *why, size_t whylen)
{
	(void)s, (void)to, (void)why, (void)whylen;
	return 0;
}

static void send_batch(struct sender *s, struct batch *b)
{
	(void)s;
	assert_true(w.npending < 64);
	w.pending[w.npending++] = b;
	event_active(w.answer, EV_TIMEOUT, 0);
}

static void cancel(struct sender *s, struct batch *b)
{
	(void)s;
	for (unsigned i = 0; i < w.npending; i++)
		if (w.pending[i] == b)
			w.pending[i] = w.pending[--w.npending];
}

static void free_sender(struct sender *s)
{
	(void)s;
	assert_int_equal(w.npending, 0);
}

static void answer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	while (w.npending) {
		unsigned k = draw(w.npending);
		struct batch *b = w.pending[k];
		w.pending[k] = w.pending[--w.npending];
		bool bad = false;
		for (unsigned i = 0; i < b->n; i++)
			bad |= number_of(&b->entries[i]) % w.bad_every == w.bad_every - 1;
		unsigned dice = draw(100);
		struct judgement j = { .reason = "so it is", .answer = "", .status = 500, .reached = true };
		j.verdict = w.dead >= 0 && atoi(b->entries[0].ident + 1) == w.dead ? VERDICT_RETRY : dice < 8 ? VERDICT_RETRY : bad ? VERDICT_SPLIT : VERDICT_DONE;
		if (j.verdict == VERDICT_DONE)
			for (unsigned i = 0; i < b->n; i++) {
				unsigned n = number_of(&b->entries[i]), device = w.device[n];
				w.accepted++;
				if (w.times[n]++) {
					w.repeats++;
					continue;
				}
				assert_true(w.last[device] < n + 1);
				w.last[device] = n + 1;
			}
		w.host.judge(w.host.arg, b, &j);
	}
}

static const struct sender_ops driver = { .type = "test", .joins = true, .new = new, .update = update, .send = send_batch, .cancel = cancel, .free = free_sender };

static const struct sender_ops *ops(int transport)
{
	(void)transport;
	return &driver;
}

static void on_port(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	port_run(w.bed.port);
}

static void begin(void)
{
	struct delivery_env env = { .base = w.base, .store = w.bed.store, .port = w.bed.port, .ops = ops };
	w.port = event_new(w.base, port_fd(w.bed.port), EV_READ | EV_PERSIST, on_port, NULL);
	event_add(w.port, NULL);
	w.d = delivery_new(&env, &w.plan.plan, &w.plan.stream);
}

static void crash(void)
{
	delivery_free(w.d);
	w.npending = 0;
	event_free(w.port);
	bed_crash(&w.bed);
	bed_open(&w.bed);
	begin();
}

static void append(unsigned n)
{
	struct ticket *t = bed_ticket(&w.bed);
	for (unsigned i = 0; i < n; i++) {
		unsigned device = draw(DEVICES);
		char ident[16], text[64];
		assert_true(w.n < MESSAGES_MAX);
		snprintf(ident, sizeof ident, "d%u", device);
		snprintf(text, sizeof text, "{\"ident\":\"%s\",\"n\":%u}", ident, w.n);
		w.device[w.n++] = device;
		bed_message(&w.bed, t, text, ident);
		ticket_want(t, w.plan.stream.buffer, 0, 0);
	}
	assert_int_equal(bed_submit(&w.bed, t), TICKET_TAKEN);
}

static uint64_t buffered(void)
{
	struct buffer_counts c = { 0 };
	return buffer_counts(w.bed.store, w.plan.stream.buffer, &c) ? c.buffered : 0;
}

static void turn(void)
{
	event_base_loop(w.base, EVLOOP_NONBLOCK);
}

static void run(enum ordering ordering, const char *url, unsigned seed)
{
	memset(&w, 0, sizeof w);
	w.random = seed;
	w.bad_every = 83;
	w.dead = strchr(url, '{') ? 3 : -1;
	bed_new(&w.bed);
	bed_open(&w.bed);
	w.base = event_base_new();
	w.answer = evtimer_new(w.base, answer, NULL);
	fake_plan_init(&w.plan, url);
	w.plan.stream.ordering = ordering;
	w.plan.stream.in_flight = ordering == ORDER_STREAM ? 1 : LANES;
	w.plan.stream.batch_messages = 7;
	w.plan.stream.retry_first_us = 500;
	w.plan.stream.retry_max_us = 3000;
	w.plan.stream.buffer = store_name(w.bed.store, NAME_BUFFER, "s there json");
	begin();
	unsigned crashes = 0;
	for (unsigned k = 0; k < 150; k++) {
		append(1 + draw(40));
		for (unsigned i = draw(60); i--;)
			turn();
		if (k % 30 == 29) {
			crash();
			crashes++;
		}
	}
	w.dead = -1;
	int64_t until = clock_mono_us() + 30000000, nudge = clock_mono_us() + 200000;
	while (buffered()) {
		turn();
		assert_true(clock_mono_us() < until);
		if (clock_mono_us() > nudge) { /* the last suspects wait for an acceptance */
			nudge = clock_mono_us() + 200000;
			do
				w.device[w.n++] = 0;
			while (w.n % w.bad_every == w.bad_every - 1);
			append(1);
		}
	}
	unsigned once = 0, bad = 0;
	struct buffer_counts c;
	assert_true(buffer_counts(w.bed.store, w.plan.stream.buffer, &c));
	for (unsigned n = 0; n < w.n; n++)
		once += w.times[n] > 0;
	bad = (unsigned)c.dead;
	assert_int_equal(c.matched, c.accepted + c.dead);
	assert_int_equal(c.accepted, once);
	assert_true(bad > 20);
	/* what promise 4 allows: what was in flight, and four more for each lane; and what goes beside the lanes */
	assert_true(w.repeats <= crashes * (LANES * 5 + LANES) * w.plan.stream.batch_messages);
	delivery_free(w.d);
	event_free(w.port);
	event_free(w.answer);
	bed_free(&w.bed);
	event_base_free(w.base);
	fake_plan_fini(&w.plan);
}

static void one_lane(void **state)
{
	(void)state;
	run(ORDER_STREAM, "http://h/in", 1);
}

static void lanes_by_device(void **state)
{
	(void)state;
	run(ORDER_DEVICE, "http://h/in", 2);
}

static void a_dead_address_and_crashes(void **state)
{
	(void)state;
	run(ORDER_DEVICE, "http://h/{ident}", 3);
	run(ORDER_STREAM, "http://h/{ident}", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_lane),
		cmocka_unit_test(lanes_by_device),
		cmocka_unit_test(a_dead_address_and_crashes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
