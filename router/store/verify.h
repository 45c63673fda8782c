/* verify.h - a store that lies still, read from end to end: is every row what was written, and do they agree? And mended, as far as can be.
 *
 * The store must not be open. What a repair cannot bring back is counted as dropped, so that conservation holds again. */
#ifndef SLUICE_STORE_VERIFY_H
#define SLUICE_STORE_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct verify {
	/* asked for */
	const char *path;
	bool mend;
	void (*fault)(void *arg, const char *words);                /* each one, in words */
	bool (*progress)(void *arg, uint64_t rows);                 /* now and then; false: give up, nothing is mended */
	void *arg;
	/* found */
	uint64_t rows, bytes, chunks, refs, entries, letters, states, names;
	uint64_t bad_rows;         /* bytes that are not what was written, or lie where they do not belong */
	uint64_t lost_entries;     /* messages that wait for a stream, and cannot be read */
	uint64_t orphans;          /* chunks that nobody wants: room, not a loss */
	uint64_t wrong_counts;     /* ledgers that say something else than the rows */
	bool rebuilt;              /* the database itself did not open, or had parts that cannot be read, and was rebuilt */
};
/* 0: it was read (the faults are counted); -1: it could not be, or somebody has it open: words in why. */
int store_verify(struct verify *v, char *why, size_t whylen);
static inline bool verify_is_sound(const struct verify *v)
{
	return !v->bad_rows && !v->lost_entries && !v->orphans && !v->wrong_counts && !v->rebuilt;
}

#endif
