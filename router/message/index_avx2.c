/* index_avx2.c - the pass, 32 bytes at a time: chosen at run time where the machine can. */
#include "message/scan.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define WALK(name) avx2_##name
#define WALK_TARGET __attribute__((target("avx2,bmi")))

/* A bit for each of 32 bytes that does not go without thought; signed, a byte of no ASCII is below a blank too. */
static inline WALK_TARGET uint32_t avx2_thought(__m256i x)
{
	__m256i odd = _mm256_or_si256(_mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), x), _mm256_cmpeq_epi8(x, _mm256_set1_epi8('\\')));
	return (uint32_t)_mm256_movemask_epi8(odd);
}

static inline WALK_TARGET uint32_t avx2_quotes(__m256i x)
{
	return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, _mm256_set1_epi8('"')));
}

static inline WALK_TARGET const char *avx2_plain(const char *p, const char *end)
{
	for (; p < end; p += 32) {
		__m256i x = _mm256_loadu_si256((const __m256i *)p);
		uint32_t found = avx2_thought(x) | avx2_quotes(x);
		if (found) {
			p += __builtin_ctz(found);
			break;
		}
	}
	return p < end ? p : end;
}

static inline WALK_TARGET const char *avx2_digits(const char *p, const char *end)
{
	for (; p < end; p += 32) {
		__m256i x = _mm256_sub_epi8(_mm256_loadu_si256((const __m256i *)p), _mm256_set1_epi8('0'));
		uint32_t digits = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(x, _mm256_set1_epi8(9)), x));
		if (digits != UINT32_MAX) {
			p += __builtin_ctz(~digits);
			break;
		}
	}
	return p < end ? p : end;
}

#define WALK_WINDOW

static inline WALK_TARGET uint64_t avx2_window(const char *p, uint64_t *odd)
{
	__m256i low = _mm256_loadu_si256((const __m256i *)p), high = _mm256_loadu_si256((const __m256i *)(p + 32));

	*odd = avx2_thought(low) | (uint64_t)avx2_thought(high) << 32;
	return avx2_quotes(low) | (uint64_t)avx2_quotes(high) << 32;
}

static inline WALK_TARGET const char *avx2_short_number(const char *p)
{
	p += *p == '-';
	__m256i x = _mm256_sub_epi8(_mm256_loadu_si256((const __m256i *)p), _mm256_set1_epi8('0'));
	uint32_t no_digits = ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(x, _mm256_set1_epi8(9)), x));

	return number_by_digits(p, no_digits);
}

#include "message/walk.h"

WALK_TARGET enum json_fault message_index_avx2(struct index *ix, const char *p, const char *end, struct message *m, const char **stop)
{
	return avx2_index(ix, p, end, m, stop);
}

#endif
