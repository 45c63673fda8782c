/* inflate.c - zlib behind one function. */
#include "net/inflate.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "base/arena.h"
#include "base/buf.h"

struct inflater {
	z_stream z;
	int bits; /* what z is set up for; 0 = not yet */
};

enum inflate_coding inflate_coding_of(const char *p, size_t n)
{
	static const struct { const char *name; enum inflate_coding coding; } names[] = {
		{ "gzip", CODING_GZIP }, { "x-gzip", CODING_GZIP }, { "deflate", CODING_DEFLATE }, { "identity", CODING_NONE },
	};

	if (n == 0)
		return CODING_NONE;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strlen(names[i].name) == n && strncasecmp(names[i].name, p, n) == 0)
			return names[i].coding;
	return CODING_UNKNOWN;
}

struct inflater *inflater_new(void)
{
	return xcalloc(1, sizeof(struct inflater));
}

void inflater_free(struct inflater *z)
{
	if (z && z->bits)
		inflateEnd(&z->z);
	free(z);
}

static bool set_up(struct inflater *z, int bits)
{
	if (z->bits == 0) {
		if (inflateInit2(&z->z, bits) != Z_OK)
			return false;
	} else if (inflateReset2(&z->z, bits) != Z_OK) {
		return false;
	}
	z->bits = bits;
	return true;
}

/* RFC 1950: the low nibble of the first byte is 8, and the first two bytes are a multiple of 31. */
static bool has_zlib_wrapper(const char *p, size_t n)
{
	return n >= 2 && (p[0] & 0x0f) == 8 && ((unsigned)(unsigned char)p[0] << 8 | (unsigned char)p[1]) % 31 == 0;
}

enum inflate_result inflater_run(struct inflater *z, enum inflate_coding coding, const char *p, size_t n, size_t most, struct buf *out)
{
	int bits = coding == CODING_GZIP ? 15 + 16 : has_zlib_wrapper(p, n) ? 15 : -15;
	int res;

	buf_clear(out);
	if (n > UINT32_MAX || !set_up(z, bits))
		return INFLATE_BROKEN;
	z->z.next_in = (Bytef *)(uintptr_t)p;
	z->z.avail_in = (uInt)n;
	do {
		/* one byte more than is allowed, so that passing the bound is seen; four times the input is the usual ratio of JSON */
		size_t room = most + 1 - out->len, step = out->len ? out->len : n * 4 + 512;

		if (room > step)
			room = step;
		if (room > UINT32_MAX)
			room = UINT32_MAX;
		buf_reserve(out, room);
		z->z.next_out = (Bytef *)out->p + out->len;
		z->z.avail_out = (uInt)room;
		res = inflate(&z->z, Z_NO_FLUSH);
		out->len += room - z->z.avail_out;
		out->p[out->len] = '\0';
		if (out->len > most)
			return INFLATE_TOO_BIG;
		if (res == Z_STREAM_END && z->z.avail_in > 0 && coding == CODING_GZIP)
			res = inflateReset(&z->z); /* the next member; Z_OK */
	} while (res == Z_OK && (z->z.avail_in > 0 || z->z.avail_out == 0));
	return res == Z_STREAM_END && z->z.avail_in == 0 ? INFLATE_OK : INFLATE_BROKEN;
}
