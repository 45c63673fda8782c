/* index_sse2.c - the pass, 16 bytes at a time: what every x86-64 can do. */
#include "message/scan.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define WALK(name) sse2_##name
#define WALK_TARGET

/* A bit for each of 16 bytes that does not go without thought; signed, a byte of no ASCII is below a blank too. */
static inline unsigned sse2_thought(__m128i x)
{
	__m128i odd = _mm_or_si128(_mm_cmplt_epi8(x, _mm_set1_epi8(0x20)), _mm_cmpeq_epi8(x, _mm_set1_epi8('\\')));
	return (unsigned)_mm_movemask_epi8(odd);
}

static inline unsigned sse2_quotes(__m128i x)
{
	return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')));
}

static inline const char *sse2_plain(const char *p, const char *end)
{
	for (; p < end; p += 16) {
		__m128i x = _mm_loadu_si128((const __m128i *)p);
		unsigned found = sse2_thought(x) | sse2_quotes(x);
		if (found) {
			p += __builtin_ctz(found);
			break;
		}
	}
	return p < end ? p : end;
}

static inline const char *sse2_digits(const char *p, const char *end)
{
	for (; p < end; p += 16) {
		__m128i x = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)p), _mm_set1_epi8('0'));
		unsigned digits = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(9)), x));
		if (digits != 0xFFFF) {
			p += __builtin_ctz(~digits);
			break;
		}
	}
	return p < end ? p : end;
}

#define WALK_WINDOW

static inline uint64_t sse2_window(const char *p, uint64_t *odd)
{
	uint64_t quotes = 0;

	*odd = 0;
	for (int i = 0; i < 64; i += 16) {
		__m128i x = _mm_loadu_si128((const __m128i *)(p + i));
		*odd |= (uint64_t)sse2_thought(x) << i;
		quotes |= (uint64_t)sse2_quotes(x) << i;
	}
	return quotes;
}

static inline const char *sse2_short_number(const char *p)
{
	p += *p == '-';
	__m128i x = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)p), _mm_set1_epi8('0'));
	uint32_t digits = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(9)), x));

	return number_by_digits(p, ~digits);
}

#include "message/walk.h"

enum json_fault message_index_sse2(struct index *ix, const char *p, const char *end, struct message *m, const char **stop)
{
	return sse2_index(ix, p, end, m, stop);
}

#endif
