/* message_builds.h - every build of the index pass on the same text, which lies at the very edge of readable memory, behind it
 * bytes that would complete it were they believed. All must give one answer. */
#ifndef SLUICE_TESTS_UNIT_MESSAGE_BUILDS_H
#define SLUICE_TESTS_UNIT_MESSAGE_BUILDS_H

#include "message/message.h"
#include "message/scan.h"
#include "unit.h"

#include <sys/mman.h>
#include <unistd.h>

struct edge { char *base, *end; size_t size; };

static inline void edge_init(struct edge *e, size_t room)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	e->size = (room + MESSAGE_PAD + page - 1) / page * page;
	e->base = mmap(NULL, e->size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(e->base != MAP_FAILED);
	assert_int_equal(mprotect(e->base + e->size, page, PROT_NONE), 0);
	e->end = e->base + e->size - MESSAGE_PAD;
}

static inline void edge_fini(struct edge *e)
{
	munmap(e->base, e->size + (size_t)sysconf(_SC_PAGESIZE));
}

/* The text, so that its last byte is the last before the pad; the pad repeats `behind`. */
static inline const char *edge_put(struct edge *e, const char *text, size_t n, const char *behind)
{
	size_t b = strlen(behind);
	assert_true(n <= e->size - MESSAGE_PAD);
	for (size_t i = 0; i < MESSAGE_PAD; i++)
		e->end[i] = behind[i % b];
	return memcpy(e->end - n, text, n);
}

typedef enum json_fault build_fn(struct index *, const char *, const char *, struct message *, const char **);
struct build { const char *name; build_fn *run; };

static inline const struct build *builds(size_t *n)
{
	static struct build all[4];
	size_t k = 0;
	all[k++] = (struct build){ "scalar", message_index_scalar };
	all[k++] = (struct build){ "chosen", message_index };
#if defined(__x86_64__)
	all[k++] = (struct build){ "sse2", message_index_sse2 };
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi"))
		all[k++] = (struct build){ "avx2", message_index_avx2 };
#endif
	*n = k;
	return all;
}

/* The answer all builds give for text at [p, end); fails the test if they differ. ix[] has room for four. */
static inline enum json_fault index_all(struct index *ix, const char *p, const char *end, struct message *m, const char **stop)
{
	size_t n;
	const struct build *b = builds(&n);
	enum json_fault fault = b[0].run(&ix[0], p, end, m, stop);

	assert_true(*stop >= p && *stop <= end);
	for (size_t i = 1; i < n; i++) {
		struct message other = { 0 };
		const char *there = NULL;
		enum json_fault f = b[i].run(&ix[i], p, end, &other, &there);
		bool same = f == fault && there == *stop;
		if (same && f == JSON_OK)
			same = other.bytes == m->bytes && other.len == m->len && other.n == m->n && other.lines == m->lines
				&& memcmp(other.slices, m->slices, m->n * sizeof(*m->slices)) == 0;
		if (!same)
			fail_msg("%s: fault %d at %ld, %u fields; scalar: fault %d at %ld, %u fields; text: %.*s", b[i].name, (int)f,
				there ? (long)(there - p) : -1, other.n, (int)fault, (long)(*stop - p), m->n, (int)(end - p), p);
	}
	return fault;
}

#endif
