/* delivery_kit.h - a delivery against a store in memory, a driver that answers by script, and a clock that the test moves. */
#ifndef SLUICE_TESTS_DELIVERY_KIT_H
#define SLUICE_TESTS_DELIVERY_KIT_H

#include "unit.h"

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "fake_plan.h"
#include "fake_store.h"
#include "senders/delivery_parts.h"

#define SECOND INT64_C(1000000)

struct world;
typedef struct judgement script_fn(struct world *w, struct batch *b);

struct world {
	struct event_base *base;
	struct store store;
	struct fake_plan plan;
	struct delivery *d;
	script_fn *script;
	struct batch *pending[512];
	unsigned npending, pending_most, sends;
	unsigned n;                  /* messages appended */
	unsigned delivered[200000];  /* n of each accepted message, in order */
	unsigned ndelivered;
	char bodies[65536];          /* of the last batch */
	char url[256];
	bool refuse_new, stopped, follows;
	unsigned news, updates, frees;
	uint64_t random;
	struct entry_verdict each[1000];
	unsigned recorded, recorded_accepted, recorded_rejected;
	int mode;
	unsigned bad_every, dead_device;
};

static struct world world, *the;

static inline unsigned draw(struct world *w, unsigned n)
{
	w->random = w->random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(w->random >> 33) % n;
}

static inline unsigned number_of(const struct entry *e)
{
	const char *p = memmem(e->bytes, e->len, "\"n\":", 4);
	assert_non_null(p);
	return (unsigned)atoi(p + 4);
}

static inline struct sender *driver_new(const struct destination *to, const struct sender_host *h, char *why, size_t whylen)
{
	(void)to;
	the->news++;
	if (the->refuse_new) {
		snprintf(why, whylen, "no such file");
		return NULL;
	}
	struct sender_host *copy = malloc(sizeof *copy);
	*copy = *h;
	return (struct sender *)copy;
}

static inline int driver_update(struct sender *s, const struct destination *to, char *why, size_t whylen)
{
	(void)s, (void)to, (void)why, (void)whylen;
	the->updates++;
	return 0;
}

static inline void driver_send(struct sender *s, struct batch *b)
{
	(void)s;
	assert_true(the->npending < 512 && b->n > 0);
	assert_null(b->driver);
	the->pending[the->npending++] = b;
	the->sends++;
	if (the->npending > the->pending_most)
		the->pending_most = the->npending;
	/* the body is what the entries say */
	struct buf body = BUF_INIT;
	buf_adds(&body, "[");
	for (unsigned i = 0; i < b->n; i++) {
		buf_adds(&body, i ? "," : "");
		buf_add(&body, b->entries[i].bytes, b->entries[i].len);
	}
	buf_adds(&body, "]");
	assert_int_equal(body.len, b->body_len);
	assert_memory_equal(body.p, b->body, body.len);
	snprintf(the->bodies, sizeof the->bodies, "%s", body.p);
	snprintf(the->url, sizeof the->url, "%s", b->url);
	buf_fini(&body);
}

static inline void driver_cancel(struct sender *s, struct batch *b)
{
	(void)s;
	for (unsigned i = 0; i < the->npending; i++)
		if (the->pending[i] == b) {
			the->pending[i] = the->pending[--the->npending];
			return;
		}
	fail();
}

static inline void driver_free(struct sender *s)
{
	the->frees++;
	assert_int_equal(the->npending, 0);
	free(s);
}

static const struct sender_ops driver = { .type = "test", .joins = true, .new = driver_new, .update = driver_update,
	.send = driver_send, .cancel = driver_cancel, .free = driver_free };
static const struct sender_ops other_driver = { .type = "other", .joins = true, .new = driver_new, .update = driver_update,
	.send = driver_send, .cancel = driver_cancel, .free = driver_free };

static const struct sender_ops following_driver = { .type = "line", .joins = true, .follows = true, .new = driver_new, .update = driver_update,
	.send = driver_send, .cancel = driver_cancel, .free = driver_free };

static const struct sender_ops *ops_of(int transport)
{
	return transport == TRANSPORT_NULL ? &other_driver : the->follows ? &following_driver : &driver;
}

static inline void spin(struct world *w)
{
	for (unsigned i = 0; i < 8 || (w->d && evtimer_pending(w->d->kick, NULL)); i++) {
		assert_true(i < 10000);
		event_base_loop(w->base, EVLOOP_NONBLOCK);
	}
}

static inline void begin(struct world *w, const char *url)
{
	the = w;
	memset(w, 0, sizeof *w);
	log_setup(getenv("SLUICE_TEST_LOG") ? LOG_DEBUG : LOG_ERROR + 1, LOG_LOGFMT);
	w->base = event_base_new();
	w->random = 42;
	fake_plan_init(&w->plan, url);
}

static inline void on_record(void *arg, const struct stream *s, const struct batch *b, const struct judgement *j, unsigned accepted,
                             unsigned rejected, int64_t ack_us)
{
	struct world *w = arg;
	(void)s, (void)j;
	assert_true(ack_us >= 0);
	for (unsigned i = 0; i < b->n; i++)
		number_of(&b->entries[i]); /* they can still be read */
	w->recorded++;
	w->recorded_accepted += accepted;
	w->recorded_rejected += rejected;
}

static inline void start(struct world *w)
{
	struct delivery_env env = { .base = w->base, .store = &w->store, .ops = ops_of, .record = on_record, .arg = w };
	w->d = delivery_new(&env, &w->plan.plan, &w->plan.stream);
	spin(w);
}

static inline void end(struct world *w)
{
	delivery_free(w->d);
	fake_free(&w->store);
	fake_plan_fini(&w->plan);
	event_base_free(w->base);
}

/* n messages of `devices` devices in turn, `per` to a block. */
static inline void append(struct world *w, unsigned n, unsigned devices, unsigned per)
{
	while (n) {
		unsigned here = n < per ? n : per;
		struct fake_message m[SPAN_ENTRIES_MAX];
		char text[SPAN_ENTRIES_MAX][64], ident[SPAN_ENTRIES_MAX][16];
		for (unsigned i = 0; i < here; i++) {
			unsigned device = devices == 1 ? 0 : draw(w, devices);
			snprintf(ident[i], sizeof ident[i], "d%u", device);
			snprintf(text[i], sizeof text[i], "{\"ident\":\"d%u\",\"n\":%u}", device, w->n++);
			m[i] = (struct fake_message){ .ident = ident[i], .bytes = text[i] };
		}
		fake_append(&w->store, m, here);
		n -= here;
	}
	spin(w);
}

static inline void answer(struct world *w, unsigned k, struct judgement j)
{
	struct batch *b = w->pending[k];
	memmove(w->pending + k, w->pending + k + 1, (w->npending - k - 1) * sizeof(struct batch *));
	w->npending--;
	for (unsigned i = 0; i < b->n; i++)
		if (j.each ? j.each[i].verdict == VERDICT_DONE : j.verdict == VERDICT_DONE)
			w->delivered[w->ndelivered++] = number_of(&b->entries[i]);
	struct sender_host *h = &w->d->host;
	h->judge(h->arg, b, &j);
	spin(w);
}

static inline void answer_with(struct world *w, enum verdict v)
{
	answer(w, 0, (struct judgement){ .verdict = v, .reason = "because", .status = v == VERDICT_DONE ? 200 : 500, .reached = true });
}

/* To the next time anything is due; false: nothing ever is. */
static inline bool advance(struct world *w)
{
	if (w->d->deadline == INT64_MAX)
		return false;
	if (w->d->deadline > fake_now)
		fake_now = w->d->deadline;
	event_active(w->d->timer, EV_TIMEOUT, 0);
	spin(w);
	return true;
}

static inline void pass_time(struct world *w, int64_t us)
{
	int64_t until = fake_now + us;
	while (w->d->deadline <= until && !w->npending)
		advance(w);
	fake_now = until;
	event_active(w->d->timer, EV_TIMEOUT, 0);
	spin(w);
}

/* Until nothing is outstanding (true) or nothing moves any more. */
static inline bool drive(struct world *w)
{
	for (unsigned step = 0; step < 2000000; step++) {
		if (w->npending) {
			unsigned k = draw(w, w->npending);
			fake_now += 1000;
			answer(w, k, w->script(w, w->pending[k]));
		} else if (!fake_outstanding(&w->store)) {
			return true;
		} else if (!advance(w)) {
			return false;
		}
	}
	fail_msg("still busy after two million steps");
	return false;
}

static inline const struct fake_entry *entry_of(struct world *w, unsigned n)
{
	for (unsigned k = 0; k < w->store.nchunks; k++)
		for (unsigned i = 0; i < w->store.chunks[k]->n; i++)
			if (number_of(&w->store.chunks[k]->entries[i].e) == n)
				return &w->store.chunks[k]->entries[i];
	return NULL;
}

static inline enum delivery_state state(struct world *w)
{
	struct delivery_status s;
	delivery_status(w->d, &s);
	return s.state;
}

/* Of the accepted messages, each device's in order (or all of them); none twice. */
static inline void check_order(struct world *w, bool whole)
{
	unsigned *last = calloc(100000, sizeof *last);
	unsigned previous = 0;
	unsigned char *seen = calloc(w->n + 1, 1);
	unsigned *device = calloc(w->n + 1, sizeof *device);
	for (unsigned k = 0; k < w->store.nchunks; k++)
		for (unsigned i = 0; i < w->store.chunks[k]->n; i++)
			device[number_of(&w->store.chunks[k]->entries[i].e)] = (unsigned)atoi(w->store.chunks[k]->entries[i].e.ident + 1);
	for (unsigned i = 0; i < w->ndelivered; i++) {
		unsigned n = w->delivered[i] + 1;
		assert_false(seen[n - 1]);
		seen[n - 1] = 1;
		assert_true(last[device[n - 1]] < n);
		last[device[n - 1]] = n;
		if (whole)
			assert_true(previous < n);
		previous = n;
	}
	free(last);
	free(seen);
	free(device);
}

static inline struct judgement accept_all(struct world *w, struct batch *b)
{
	(void)w, (void)b;
	return (struct judgement){ .verdict = VERDICT_DONE, .reason = "", .status = 200, .reached = true };
}

static inline struct judgement refuse_bad(struct world *w, struct batch *b)
{
	bool bad = false;
	for (unsigned i = 0; i < b->n; i++)
		bad |= number_of(&b->entries[i]) % w->bad_every == w->bad_every - 1;
	return (struct judgement){ .verdict = bad ? VERDICT_SPLIT : VERDICT_DONE, .reason = bad ? "HTTP 400: bad" : "", .status = bad ? 400 : 200,
	                           .answer = "no", .answer_len = 2, .reached = true };
}

/* Anything may happen; what is bad is never accepted. mode 1: also verdicts for each message, of which a prefix is done. */
static inline struct judgement chaos(struct world *w, struct batch *b)
{
	struct judgement j = { .reason = "chaos", .status = 500, .reached = true };
	bool bad = false;
	for (unsigned i = 0; i < b->n; i++)
		bad |= number_of(&b->entries[i]) % w->bad_every == w->bad_every - 1;
	unsigned dice = draw(w, 100);
	j.verdict = dice < 15 ? VERDICT_RETRY : dice < 17 ? VERDICT_BLOCKED : bad || dice < 22 ? VERDICT_SPLIT : VERDICT_DONE;
	if (j.verdict == VERDICT_SPLIT && b->n == 1 && !bad)
		j.verdict = VERDICT_DONE;
	if (w->mode == 1 && dice >= 90 && b->n <= 1000) {
		/* what is judged one by one: a prefix is done, so that order can be asked for */
		unsigned stop = draw(w, b->n + 1);
		for (unsigned i = 0; i < b->n; i++) {
			bool is_bad = number_of(&b->entries[i]) % w->bad_every == w->bad_every - 1;
			w->each[i] = (struct entry_verdict){ is_bad && i < stop ? VERDICT_REFUSED : i < stop ? VERDICT_DONE : VERDICT_RETRY, "each" };
		}
		j.each = w->each;
	}
	return j;
}

#endif
