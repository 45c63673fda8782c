/* store_bed.h - a store in a folder of its own, and the few things every test of it does: put messages in, take
 * them out, look at the counts. One thread plays worker and sender. */
#ifndef SLUICE_TESTS_STORE_BED_H
#define SLUICE_TESTS_STORE_BED_H

#include <ftw.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/inside.h"
#include "unit.h"

struct bed {
	char dir[96];
	struct store_env *env;
	struct store *store;
	struct port *port;
	struct store_options options;
	unsigned taken, full, failed, woken;
	char why[256];
};

static inline int bed_unlink(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st; (void)kind; (void)ftw;
	return remove(path);
}

static inline void bed_erase(const char *dir)
{
	nftw(dir, bed_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void bed_open(struct bed *b)
{
	char why[256] = "";
	b->options.path = b->dir;
	b->store = store_open_with(&b->options, b->env, why, sizeof(why));
	if (!b->store)
		fail_msg("store_open: %s", why);
	b->port = port_new(b->store);
}

static inline void bed_new(struct bed *b)
{
	const char *tmp = getenv("TMPDIR");
	*b = (struct bed){ .options = { .durability = DURABILITY_FSYNC, .disk_limit = UINT64_C(1) << 30, .memory_limit = 64 << 20, .node = 7 } };
	snprintf(b->dir, sizeof(b->dir), "%s/sluice-store-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(b->dir));
	b->env = store_env_new();
	log_setup(getenv("VERBOSE") ? LOG_DEBUG : LOG_ERROR + 1, LOG_LOGFMT);
}

static inline void bed_close(struct bed *b)
{
	port_free(b->port);
	store_close(b->store);
	b->store = NULL;
}

/* As kill -9 would leave it: what was not committed is gone. */
static inline void bed_crash(struct bed *b)
{
	port_free(b->port);
	store_abandon(b->store);
	b->store = NULL;
}

static inline void bed_reopen(struct bed *b)
{
	bed_crash(b);
	bed_open(b);
}

static inline void bed_free(struct bed *b)
{
	if (b->store)
		bed_close(b);
	store_env_free(b->env);
	bed_erase(b->dir);
}

/* One turn of the loop; false: nothing came within the time. */
static inline bool bed_turn(struct bed *b, int ms)
{
	struct pollfd p = { .fd = port_fd(b->port), .events = POLLIN };
	if (poll(&p, 1, ms) <= 0)
		return false;
	port_run(b->port);
	return true;
}

/* Runs the loop until the condition holds; a test that waits longer than 20 s has failed. */
#define BED_UNTIL(b, condition)                                                          \
	do {                                                                             \
		int64_t until_ = clock_mono_us() + 20000000;                             \
		while (!(condition)) {                                                   \
			bed_turn((b), 20);                                               \
			if (clock_mono_us() > until_)                                    \
				fail_msg("%s:%d: waited in vain for %s", __FILE__, __LINE__, #condition); \
		}                                                                        \
	} while (0)

static inline void bed_done(void *arg, enum ticket_result r, const char *why)
{
	struct bed *b = arg;
	if (r == TICKET_TAKEN)
		b->taken++;
	else if (r == TICKET_FULL)
		b->full++;
	else
		b->failed++;
	snprintf(b->why, sizeof(b->why), "%s", why ? why : "");
}

static inline void bed_wake(void *arg)
{
	((struct bed *)arg)->woken++;
}

static inline struct ticket *bed_ticket(struct bed *b)
{
	return ticket_new(b->store, b->port, bed_done, b);
}

/* A message into the ticket; its id. */
static inline uint64_t bed_message(struct bed *b, struct ticket *t, const char *text, const char *ident)
{
	size_t start;
	struct message_head h = { .id = store_ids(b->store, 1), .time_us = 1700000000000000, .ident = ident, .ident_len = (uint16_t)strlen(ident) };
	buf_adds(ticket_message(t, &start), text);
	ticket_message_end(t, &h);
	return h.id;
}

static inline unsigned bed_render(struct ticket *t, uint32_t rendering, unsigned row, const char *text, const char *address)
{
	size_t start;
	buf_adds(ticket_rendering(t, rendering, &start), text);
	return ticket_rendering_end(t, rendering, row, address, strlen(address));
}

/* Submits and waits for the answer. */
static inline enum ticket_result bed_submit(struct bed *b, struct ticket *t)
{
	unsigned taken = b->taken, full = b->full, before = taken + full + b->failed;
	ticket_submit(t);
	BED_UNTIL(b, b->taken + b->full + b->failed > before);
	return b->taken > taken ? TICKET_TAKEN : b->full > full ? TICKET_FULL : TICKET_FAILED;
}

/* One message to one buffer. */
/* Text that does not get smaller when it is packed, another each time: where a test counts bytes on the disk. */
static inline void bed_noise(char *p, size_t n)
{
	static uint64_t x = 88172645463325252u;

	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (char)(x % 64 + 48 == 92 ? 112 : x % 64 + 48); /* letters, digits and signs, no backslash */
	}
}

static inline enum ticket_result bed_put(struct bed *b, uint32_t buffer, const char *text)
{
	struct ticket *t = bed_ticket(b);
	bed_message(b, t, text, "ident");
	ticket_want(t, buffer, 0, 0);
	return bed_submit(b, t);
}

static inline bool bed_next(struct bed *b, struct buffer *q, struct span *sp)
{
	int64_t until = clock_mono_us() + 20000000;
	while (!buffer_next(q, sp)) {
		struct buffer_counts c;
		assert_true(buffer_counts(b->store, q->number, &c));
		if (!c.buffered)
			return false;
		bed_turn(b, 20);
		if (clock_mono_us() > until)
			fail_msg("no span, though %llu are buffered", (unsigned long long)c.buffered);
	}
	return true;
}

/* Takes up to `most` messages in order, appends their bytes and a blank each to out, settles them as o. */
static inline unsigned bed_take(struct bed *b, struct buffer *q, unsigned most, enum outcome o, struct buf *out)
{
	static const struct death death = { .reason = "refused", .status = 400, .answer = "no", .answer_len = 2, .attempts = 1 };
	struct span sp;
	struct entry e;
	unsigned n = 0;
	while (n < most && bed_next(b, q, &sp)) {
		uint64_t bits[BITS_WORDS] = { 0 };
		for (unsigned i = bits_next(sp.bits, 0); i < sp.n && n < most; i = bits_next(sp.bits, i + 1), n++) {
			chunk_entry(sp.chunk, i, &e);
			if (out) {
				buf_add(out, e.bytes, e.len);
				buf_addc(out, ' ');
			}
			bits_set(bits, i);
		}
		buffer_settle(q, &sp, bits, o, o == OUTCOME_DEAD ? &death : NULL);
		span_release(q, &sp);
	}
	return n;
}

/* Until everything settled is on disk. */
static inline void bed_record(struct bed *b, struct buffer *q)
{
	uint64_t mark;
	store_lock(b->store);
	mark = q->settle_last;
	store_unlock(b->store);
	buffer_hurry(q);
	BED_UNTIL(b, buffer_recorded(q) >= mark);
}

static inline struct buffer_counts bed_counts(struct bed *b, uint32_t buffer)
{
	struct buffer_counts c = { 0 };
	buffer_counts(b->store, buffer, &c);
	assert_int_equal(c.matched, c.skipped + c.buffered + c.accepted + c.dead + c.expired + c.dropped + c.purged);
	return c;
}

/* Rows of a kind that are in the database. */
static inline unsigned bed_rows(struct bed *b, char kind)
{
	unsigned n = 0;
	assert_true(store_db_enter(b->store));
	struct db_iter *it = db_iter_new(b->store->db, &kind, 1);
	const void *key, *value;
	size_t keylen, len;
	for (; db_iter_row(it, &key, &keylen, &value, &len) && *(const char *)key == kind; db_iter_next(it))
		n++;
	assert_int_equal(db_iter_error(it, NULL, 0), DB_OK);
	db_iter_free(it);
	store_db_leave(b->store);
	return n;
}

#endif
