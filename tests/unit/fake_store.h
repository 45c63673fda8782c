/* fake_store.h - one buffer in memory, with the contract of store.h and nothing behind it: what tests of senders stand on.
 *
 * It fails the test on whatever the contract forbids: settling twice, settling what is not held, releasing twice, reading a span that
 * was released. Time is the test's own: fake_now. */
#ifndef SLUICE_TESTS_FAKE_STORE_H
#define SLUICE_TESTS_FAKE_STORE_H

#include "store/store.h"

struct fake_entry {
	struct entry e;
	bool settled;
	enum outcome outcome;
	char *reason;
	unsigned attempts;
};

struct chunk {
	uint64_t position;
	int64_t arrived;
	uint32_t rendering;
	unsigned n;
	char *bytes;
	struct fake_entry *entries;
	bool held;
};

struct store {
	struct chunk **chunks;
	unsigned nchunks, cap;
	unsigned cursor;          /* next chunk to hand out */
	uint64_t number, recorded;
	bool slow;                /* nothing is recorded until fake_record() or buffer_hurry() */
	bool stuck;               /* not even then */
	bool said_no, attached, hurried;
	uint64_t excess_max;      /* 0: none */
	unsigned held, held_most, rewinds, handed;
	void (*wake)(void *arg);
	void *arg;
};

extern int64_t fake_now;      /* all clocks, in microseconds */

/* A block of messages, one commit. Idents and bytes are copied. address may be NULL. */
struct fake_message { const char *ident, *bytes, *address; unsigned address_len; };
struct chunk *fake_append(struct store *s, const struct fake_message *m, unsigned n);
void fake_record(struct store *s);
void fake_free(struct store *s);
unsigned fake_outstanding(const struct store *s);
unsigned fake_count(const struct store *s, enum outcome o);

#endif
