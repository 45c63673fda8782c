/* Random operations on a store and on a model of it that is too simple to be wrong: after each the two must agree on what comes
 * out, in which order, how it is counted, and what a crash leaves.
 *
 * STORE_MODEL_OPS and STORE_MODEL_SEED choose length and luck; the seed is told when it fails. */
#include <errno.h>

#include "store_bed.h"

#define BUFFERS 6
#define SPANS 8

/* One wanted message in one buffer. */
struct item {
	unsigned message;
	bool taken;                /* its ticket was answered so */
	enum { WAITING, HELD, PASSED, SETTLED, GONE } state;
	enum outcome outcome;
	uint64_t mark;             /* of the settlement */
};

struct queue {
	uint32_t number, rendering;
	struct item *items;
	size_t first, n, cap;      /* items before first are GONE */
	struct buffer *buffer;
	struct held { struct span span; uint64_t left[BITS_WORDS]; } held[SPANS];
	unsigned nheld;
	struct buffer_counts counts;
};

struct trip { unsigned first, n; struct trip *next, **at; };

struct model {
	struct bed bed;
	struct queue queues[BUFFERS];
	struct trip *trips;        /* under way */
	uint64_t random;
	unsigned messages;         /* numbers given */
	unsigned under_way, failed, taken, crashes, spans;
	struct buf text;
};

static struct model m;

static uint64_t dice(uint64_t n)
{
	m.random ^= m.random << 13;
	m.random ^= m.random >> 7;
	m.random ^= m.random << 17;
	return m.random % n;
}

/* ---- putting in */

static void end_trip(struct trip *t)
{
	*t->at = t->next;
	if (t->next)
		t->next->at = t->at;
	free(t);
}

static void on_done(void *arg, enum ticket_result r, const char *why)
{
	struct trip *t = arg;
	(void)why;
	assert_int_not_equal(r, TICKET_FULL);
	m.under_way--;
	if (r == TICKET_TAKEN)
		m.taken++;
	else
		m.failed++;
	for (unsigned b = 0; b < BUFFERS; b++) {
		struct queue *q = &m.queues[b];
		for (size_t i = q->first; i < q->n; i++) {
			struct item *it = &q->items[i];
			if (it->message < t->first || it->message >= t->first + t->n)
				continue;
			if (r == TICKET_TAKEN) {
				it->taken = true;
				q->counts.matched++;
			} else {
				/* What was never taken may never have been handed out. */
				assert_int_equal(it->state, WAITING);
				it->state = GONE;
			}
		}
	}
	end_trip(t);
}

static void add_item(struct queue *q, unsigned message)
{
	if (q->n == q->cap) {
		q->cap = q->cap ? q->cap * 2 : 1024;
		q->items = xrealloc(q->items, q->cap * sizeof(*q->items));
	}
	q->items[q->n++] = (struct item){ .message = message, .state = WAITING };
}

/* The text of a message in a rendering can be told from its number. */
static const char *text_of(unsigned message, uint32_t rendering)
{
	unsigned pad = (message * 2654435761u >> 20) % (message % 50 == 0 ? 20000 : 200);
	buf_clear(&m.text);
	buf_addf(&m.text, "{\"n\":%u,\"r\":%u,\"pad\":\"%0*u\"}", message, rendering, (int)pad, 7u);
	return m.text.p;
}

static void op_put(void)
{
	struct trip *trip = xmalloc(sizeof(*trip));
	unsigned n = dice(4) ? 1 + (unsigned)dice(5) : 1 + (unsigned)dice(130);
	*trip = (struct trip){ .first = m.messages, .n = n, .next = m.trips, .at = &m.trips };
	if (m.trips)
		m.trips->at = &trip->next;
	m.trips = trip;
	struct ticket *t = ticket_new(m.bed.store, m.bed.port, on_done, trip);
	for (unsigned i = 0; i < n; i++) {
		unsigned message = m.messages++, to = (unsigned)dice(1 << BUFFERS), made[3];
		bool rendered[3] = { false };
		bed_message(&m.bed, t, text_of(message, 0), "device");
		for (unsigned b = 0; b < BUFFERS; b++) {
			struct queue *q = &m.queues[b];
			if (!(to >> b & 1))
				continue;
			if (q->rendering && !rendered[q->rendering]) {
				made[q->rendering] = bed_render(t, q->rendering, 0, text_of(message, q->rendering), "");
				rendered[q->rendering] = true;
			}
			ticket_want(t, q->number, q->rendering, q->rendering ? made[q->rendering] : 0);
			add_item(q, message);
		}
	}
	m.under_way++;
	ticket_submit(t);
}

/* ---- taking out */

static struct item *find_item(struct queue *q, unsigned message)
{
	size_t low = q->first, high = q->n;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (q->items[mid].message < message)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == q->n || q->items[low].message != message)
		fail_msg("message %u came out of buffer %u, which did not want it", message, q->number);
	return &q->items[low];
}

static struct item *item_of(struct queue *q, const struct span *sp, unsigned entry)
{
	struct entry e;
	unsigned message;
	chunk_entry(sp->chunk, entry, &e);
	assert_int_equal(sscanf(e.bytes, "{\"n\":%u,", &message), 1);
	const char *text = text_of(message, q->rendering);
	assert_int_equal(e.len, strlen(text));
	assert_memory_equal(e.bytes, text, e.len);
	return find_item(q, message);
}

static void advance(struct queue *q)
{
	while (q->first < q->n && q->items[q->first].state == GONE)
		q->first++;
}

static void op_next(struct queue *q)
{
	if (!q->buffer || q->nheld == SPANS)
		return;
	struct held *h = &q->held[q->nheld];
	if (!buffer_next(q->buffer, &h->span))
		return;
	q->nheld++;
	m.spans++;
	memcpy(h->left, h->span.bits, sizeof(h->left));
	assert_true(bits_any(h->left));
	for (unsigned i = bits_next(h->left, 0); i < SPAN_ENTRIES_MAX; i = bits_next(h->left, i + 1)) {
		struct item *it = item_of(q, &h->span, i);
		if (it->state != WAITING)
			fail_msg("message %u of buffer %u handed out in state %d", it->message, q->number, it->state);
		it->state = HELD;
		for (const struct item *before = &q->items[q->first]; before < it; before++)
			if (before->state == WAITING)
				fail_msg("message %u of buffer %u came before %u", it->message, q->number, before->message);
	}
}

static void op_settle(struct queue *q)
{
	static const struct death death = { .reason = "r" };
	if (!q->nheld)
		return;
	unsigned at = (unsigned)dice(q->nheld);
	struct held *h = &q->held[at];
	uint64_t bits[BITS_WORDS];
	bool all = dice(3) != 0;
	for (unsigned w = 0; w < BITS_WORDS; w++)
		bits[w] = h->left[w] & (all ? UINT64_MAX : dice(UINT64_MAX));
	if (bits_any(bits)) {
		enum outcome o = dice(10) ? OUTCOME_ACCEPTED : (enum outcome)dice(5);
		uint64_t mark = buffer_settle(q->buffer, &h->span, bits, o, o == OUTCOME_DEAD ? &death : NULL);
		for (unsigned i = bits_next(bits, 0); i < SPAN_ENTRIES_MAX; i = bits_next(bits, i + 1)) {
			struct item *it = item_of(q, &h->span, i);
			it->state = SETTLED;
			it->outcome = o;
			it->mark = mark;
		}
		for (unsigned w = 0; w < BITS_WORDS; w++)
			h->left[w] &= ~bits[w];
	}
	if (bits_any(h->left))
		return;
	span_release(q->buffer, &h->span);
	*h = q->held[--q->nheld];
}

static void release_all(struct queue *q)
{
	while (q->nheld) {
		struct held *h = &q->held[--q->nheld];
		for (unsigned i = bits_next(h->left, 0); i < SPAN_ENTRIES_MAX; i = bits_next(h->left, i + 1))
			item_of(q, &h->span, i)->state = PASSED;
		span_release(q->buffer, &h->span);
	}
}

static void again(struct queue *q)
{
	for (size_t i = q->first; i < q->n; i++)
		if (q->items[i].state == PASSED)
			q->items[i].state = WAITING;
}

static void op_rewind(struct queue *q)
{
	if (!q->buffer)
		return;
	release_all(q);
	buffer_rewind(q->buffer);
	again(q);
}

static void attach(struct queue *q)
{
	q->buffer = buffer_attach(m.bed.store, q->number, m.bed.port, bed_wake, &m.bed);
	assert_non_null(q->buffer);
}

static void detach(struct queue *q)
{
	if (!q->buffer)
		return;
	release_all(q);
	buffer_detach(q->buffer);
	q->buffer = NULL;
	again(q);
}

/* ---- agreeing */

static void recorded(struct queue *q, uint64_t mark)
{
	for (size_t i = q->first; i < q->n; i++) {
		struct item *it = &q->items[i];
		if (it->state != SETTLED || it->mark > mark)
			continue;
		it->state = GONE;
		switch (it->outcome) {
		case OUTCOME_ACCEPTED: q->counts.accepted++; break;
		case OUTCOME_DEAD: q->counts.dead++; break;
		case OUTCOME_EXPIRED: q->counts.expired++; break;
		case OUTCOME_DROPPED: q->counts.dropped++; break;
		case OUTCOME_PURGED: q->counts.purged++; break;
		case OUTCOME_MOVED: fail_msg("no sender moves"); break;
		}
	}
	advance(q);
}

static void op_agree(void)
{
	BED_UNTIL(&m.bed, m.under_way == 0);
	for (unsigned b = 0; b < BUFFERS; b++) {
		struct queue *q = &m.queues[b];
		struct buffer *buffer = q->buffer;
		if (!buffer)
			continue;
		bed_record(&m.bed, buffer);
		recorded(q, buffer_recorded(buffer));
		uint64_t buffered = 0;
		for (size_t i = q->first; i < q->n; i++)
			buffered += q->items[i].state != GONE;
		struct buffer_counts c = bed_counts(&m.bed, q->number);
		assert_int_equal(c.buffered, buffered);
		assert_int_equal(c.matched, q->counts.matched);
		assert_int_equal(c.accepted, q->counts.accepted);
		assert_int_equal(c.dead, q->counts.dead);
		assert_int_equal(c.expired, q->counts.expired);
		assert_int_equal(c.dropped, q->counts.dropped);
		assert_int_equal(c.purged, q->counts.purged);
	}
}

/* What a crash left must be what was taken and not settled, and may be what was not answered or not yet recorded. */
static void look_after_crash(struct queue *q)
{
	struct span spans[4096];
	unsigned n = 0;
	uint64_t found = 0;
	size_t at = q->first;
	while (bed_next(&m.bed, q->buffer, &spans[n])) {
		for (unsigned i = bits_next(spans[n].bits, 0); i < SPAN_ENTRIES_MAX; i = bits_next(spans[n].bits, i + 1)) {
			const struct item *it = item_of(q, &spans[n], i);
			for (; &q->items[at] < it; at++) {
				struct item *missing = &q->items[at];
				if (missing->state == WAITING && missing->taken)
					fail_msg("message %u of buffer %u was taken and is lost", missing->message, q->number);
				missing->state = GONE;
			}
			if (it->state == GONE)
				fail_msg("message %u of buffer %u came again", it->message, q->number);
			q->items[at].state = PASSED;
			q->items[at++].taken = true;
			found++;
		}
		n++;
		assert_true(n < 4096);
		struct buffer_counts c = bed_counts(&m.bed, q->number);
		if (found == c.buffered)
			break;
	}
	for (; at < q->n; at++) {
		if (q->items[at].state == WAITING && q->items[at].taken)
			fail_msg("message %u of buffer %u was taken and is lost", q->items[at].message, q->number);
		q->items[at].state = GONE;
	}
	while (n)
		span_release(q->buffer, &spans[--n]);
	buffer_rewind(q->buffer);
	again(q);
	advance(q);
	struct buffer_counts c = bed_counts(&m.bed, q->number);
	assert_int_equal(c.buffered, found);
	assert_true(c.accepted >= q->counts.accepted && c.dead >= q->counts.dead && c.expired >= q->counts.expired);
	q->counts = c;
}

static void op_crash(bool cleanly)
{
	store_env_heal(m.bed.env);
	if (cleanly)
		BED_UNTIL(&m.bed, m.under_way == 0);
	for (unsigned b = 0; b < BUFFERS; b++) {
		struct queue *q = &m.queues[b];
		uint64_t mark = q->buffer ? buffer_recorded(q->buffer) : 0;
		detach(q);
		/* Of a detached buffer nothing says what was recorded; leave it open. */
		recorded(q, cleanly ? UINT64_MAX : mark);
	}
	if (cleanly)
		bed_close(&m.bed);
	else
		bed_crash(&m.bed);
	while (m.trips)
		end_trip(m.trips);
	m.under_way = 0;
	m.crashes++;
	bed_open(&m.bed);
	m.bed.store->window_passed = dice(3) ? 0 : 2048;
	for (unsigned b = 0; b < BUFFERS; b++) {
		attach(&m.queues[b]);
		look_after_crash(&m.queues[b]);
	}
}

static void step(bool faults)
{
	struct queue *q = &m.queues[dice(BUFFERS)];
	switch (dice(1000)) {
	case 0:
		op_crash(dice(2));
		return;
	case 1: case 2: case 3:
		op_agree();
		return;
	case 4: case 5:
		detach(q);
		attach(q);
		return;
	case 6:
		detach(q); /* and stay so for a while */
		return;
	case 7: case 8: case 9: case 10:
		op_rewind(q);
		return;
	case 11:
		if (faults && dice(4) == 0) {
			static const enum env_op kinds[] = { ENV_WRITE, ENV_SYNC, ENV_CREATE, ENV_SYNC_DIR, ENV_RENAME };
			store_env_fail(m.bed.env, kinds[dice(5)], 1 + dice(10), 1 + dice(2), dice(2) ? ENOSPC : EIO);
		} else {
			store_env_heal(m.bed.env);
		}
		return;
	}
	if (!q->buffer && dice(20) == 0)
		attach(q);
	uint64_t luck = dice(100), outstanding = q->n - q->first;
	if (luck < (outstanding > 3000 ? 2 : 12))
		op_put();
	else if (luck < 55)
		op_next(q);
	else if (luck < 95)
		op_settle(q);
	else
		bed_turn(&m.bed, 0);
}

static void run(uint64_t seed, unsigned ops, bool faults)
{
	m = (struct model){ .random = seed * 2654435761u + 88172645463325252u };
	bed_new(&m.bed);
	m.bed.options.memory_limit = 400000; /* so that buffers lag */
	bed_open(&m.bed);
	for (unsigned b = 0; b < BUFFERS; b++) {
		m.queues[b] = (struct queue){ .number = b + 1, .rendering = b < 3 ? 0 : b < 5 ? 1 : 2 };
		attach(&m.queues[b]);
	}
	for (unsigned i = 0; i < ops; i++)
		step(faults);
	op_crash(true);
	for (unsigned b = 0; b < BUFFERS; b++) {
		struct queue *q = &m.queues[b];
		for (struct buffer_counts c; c = bed_counts(&m.bed, q->number), c.buffered;) {
			op_next(q);
			op_settle(q);
			bed_turn(&m.bed, 0);
		}
	}
	op_agree();
	assert_int_equal(bed_rows(&m.bed, ROW_REF), 0);
	assert_int_equal(bed_rows(&m.bed, ROW_CHUNK), 0);
	struct store_counts c;
	store_counts(m.bed.store, &c);
	assert_int_equal(c.records_lost, 0);
	print_message("seed %llu: %u messages, %u tickets taken, %u failed, %u spans, %u restarts\n", (unsigned long long)seed, m.messages,
		m.taken, m.failed, m.spans, m.crashes);
	for (unsigned b = 0; b < BUFFERS; b++) {
		detach(&m.queues[b]);
		free(m.queues[b].items);
	}
	buf_fini(&m.text);
	bed_free(&m.bed);
}

static unsigned ops_wanted(unsigned otherwise)
{
	const char *s = getenv("STORE_MODEL_OPS");
	return s ? (unsigned)strtoul(s, NULL, 10) : otherwise;
}

static uint64_t seed_wanted(void)
{
	const char *s = getenv("STORE_MODEL_SEED");
	return s ? strtoull(s, NULL, 10) : (uint64_t)getpid() * 1000003u + (uint64_t)time(NULL);
}

static void test_store_agrees_with_the_model(void **state)
{
	(void)state;
	uint64_t seed = seed_wanted();
	print_message("STORE_MODEL_SEED=%llu\n", (unsigned long long)seed);
	run(seed, ops_wanted(30000), false);
}

static void test_store_agrees_with_the_model_while_the_disk_fails(void **state)
{
	(void)state;
	uint64_t seed = seed_wanted();
	print_message("STORE_MODEL_SEED=%llu\n", (unsigned long long)seed);
	run(seed, ops_wanted(20000), true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_store_agrees_with_the_model),
		cmocka_unit_test(test_store_agrees_with_the_model_while_the_disk_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
