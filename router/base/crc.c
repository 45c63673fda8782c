/* crc.c - CRC-32C, by the processor's instruction or by tables.
 *
 * The hard idea: the instruction takes three cycles and a new one may start in each, so large inputs are taken as
 * three neighbouring blocks whose CRCs are computed side by side and then joined. Joining needs "this CRC, moved over
 * N zero bytes", which is linear over GF(2): a 32 x 32 bit matrix, made by squaring the one for a single byte, kept as
 * four tables of 256. Tables are made once, before main. */
#include "base/crc.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define HAVE_SSE42 1
#endif

#define POLY 0x82F63B78u /* Castagnoli, bits reversed */

static uint32_t slice_table[8][256];

uint32_t crc32c_scalar(uint32_t crc, const void *data, size_t n)
{
	const unsigned char *p = data;
	crc = ~crc;
	for (; n >= 8; p += 8, n -= 8) {
		uint64_t w;
		memcpy(&w, p, 8);
		w ^= crc;
		crc = slice_table[7][w & 0xFF] ^ slice_table[6][(w >> 8) & 0xFF] ^ slice_table[5][(w >> 16) & 0xFF] ^
		      slice_table[4][(w >> 24) & 0xFF] ^ slice_table[3][(w >> 32) & 0xFF] ^ slice_table[2][(w >> 40) & 0xFF] ^
		      slice_table[1][(w >> 48) & 0xFF] ^ slice_table[0][w >> 56];
	}
	for (; n; p++, n--)
		crc = slice_table[0][(crc ^ *p) & 0xFF] ^ (crc >> 8);
	return ~crc;
}

#ifdef HAVE_SSE42

#define LARGE 4096 /* bytes a block; three blocks a turn */
#define SMALL 256

static uint32_t over_large[4][256], over_small[4][256];
static bool have_sse42;

static uint32_t apply(const uint32_t matrix[32], uint32_t v)
{
	uint32_t r = 0;
	for (int i = 0; v; i++, v >>= 1)
		if (v & 1)
			r ^= matrix[i];
	return r;
}

/* Tables that move a CRC over `zeros` zero bytes; a power of two. */
static void shift_init(uint32_t table[4][256], size_t zeros)
{
	uint32_t m[32], square[32];
	for (int i = 0; i < 32; i++) {
		uint32_t c = UINT32_C(1) << i;
		m[i] = slice_table[0][c & 0xFF] ^ (c >> 8);
	}
	for (size_t n = 1; n < zeros; n *= 2) {
		for (int i = 0; i < 32; i++)
			square[i] = apply(m, m[i]);
		memcpy(m, square, sizeof(m));
	}
	for (int k = 0; k < 4; k++)
		for (uint32_t v = 0; v < 256; v++)
			table[k][v] = apply(m, v << (8 * k));
}

static uint32_t shift(uint32_t table[4][256], uint32_t crc)
{
	return table[0][crc & 0xFF] ^ table[1][(crc >> 8) & 0xFF] ^ table[2][(crc >> 16) & 0xFF] ^ table[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static const unsigned char *
three_blocks(uint64_t *crc, const unsigned char *p, size_t block, uint32_t over[4][256])
{
	uint64_t a = *crc, b = 0, c = 0;
	for (const unsigned char *end = p + block; p < end; p += 8) {
		uint64_t x, y, z;
		memcpy(&x, p, 8);
		memcpy(&y, p + block, 8);
		memcpy(&z, p + 2 * block, 8);
		a = _mm_crc32_u64(a, x);
		b = _mm_crc32_u64(b, y);
		c = _mm_crc32_u64(c, z);
	}
	a = shift(over, (uint32_t)a) ^ b;
	*crc = shift(over, (uint32_t)a) ^ c;
	return p + 2 * block;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t start, const void *data, size_t n)
{
	const unsigned char *p = data;
	uint64_t crc = (uint32_t)~start;
	for (; n >= 3 * LARGE; n -= 3 * LARGE)
		p = three_blocks(&crc, p, LARGE, over_large);
	for (; n >= 3 * SMALL; n -= 3 * SMALL)
		p = three_blocks(&crc, p, SMALL, over_small);
	for (; n >= 8; p += 8, n -= 8) {
		uint64_t w;
		memcpy(&w, p, 8);
		crc = _mm_crc32_u64(crc, w);
	}
	for (; n; p++, n--)
		crc = _mm_crc32_u8((uint32_t)crc, *p);
	return ~(uint32_t)crc;
}

#endif

__attribute__((constructor)) static void crc_init(void)
{
	for (uint32_t v = 0; v < 256; v++) {
		uint32_t c = v;
		for (int bit = 0; bit < 8; bit++)
			c = c & 1 ? (c >> 1) ^ POLY : c >> 1;
		slice_table[0][v] = c;
	}
	for (int k = 1; k < 8; k++)
		for (int v = 0; v < 256; v++)
			slice_table[k][v] = slice_table[0][slice_table[k - 1][v] & 0xFF] ^ (slice_table[k - 1][v] >> 8);
#ifdef HAVE_SSE42
	__builtin_cpu_init();
	have_sse42 = __builtin_cpu_supports("sse4.2");
	shift_init(over_large, LARGE);
	shift_init(over_small, SMALL);
#endif
}

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
#ifdef HAVE_SSE42
	if (have_sse42)
		return crc32c_sse42(crc, p, n);
#endif
	return crc32c_scalar(crc, p, n);
}
