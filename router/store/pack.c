/* pack.c - see pack.h. What does not get smaller is kept as it is, so that random bytes cost one byte and no more. */
#include "store/pack.h"

#include <lz4.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"

enum { PLAIN = 0, PACKED = 1 };
#define HEAD 5
#define VALUE_MAX (1u << 30)   /* far beyond what a block may be: a length above it is damage */

void chunk_pack(struct buf *out, const void *value, size_t n)
{
	buf_clear(out);
	if (n > HEAD && n < LZ4_MAX_INPUT_SIZE && n < VALUE_MAX) {
		int made;

		buf_reserve(out, n + HEAD);
		/* Room for less than n: what would not fit is not worth packing. */
		made = LZ4_compress_default(value, out->p + HEAD, (int)n, (int)n - HEAD);
		if (made > 0) {
			out->p[0] = PACKED;
			put_le32(out->p + 1, (uint32_t)n);
			out->len = HEAD + (size_t)made;
			return;
		}
	}
	buf_addc(out, PLAIN);
	buf_add(out, value, n);
}

bool chunk_unpack(struct buf *value)
{
	struct buf made = BUF_INIT;
	uint32_t n;

	if (value->len == 0)
		return false;
	if (value->p[0] == PLAIN) {
		buf_consume(value, 1);
		return true;
	}
	if (value->p[0] != PACKED || value->len <= HEAD)
		return false;
	n = get_le32(value->p + 1);
	/* LZ4 makes at most 255 bytes of one. */
	if (n > VALUE_MAX || n / 255 > value->len)
		return false;
	buf_reserve(&made, n);
	if (LZ4_decompress_safe(value->p + HEAD, made.p, (int)(value->len - HEAD), (int)n) != (int)n) {
		buf_fini(&made);
		return false;
	}
	made.len = n;
	made.p[n] = '\0';
	buf_fini(value);
	*value = made;
	return true;
}
