/* inflate.h - gzip and deflate bodies, undone within a bound.
 *
 * One inflater is kept per loop and used again for every body: zlib's state costs 40 KB and 10 us to set up. The bound is
 * on what comes out, so a body of a few kilobytes that would become gigabytes is refused when it passes it. */
#ifndef SLUICE_NET_INFLATE_H
#define SLUICE_NET_INFLATE_H

#include <stddef.h>

struct buf;
struct inflater;

enum inflate_coding { CODING_NONE, CODING_GZIP, CODING_DEFLATE, CODING_UNKNOWN };
enum inflate_result {
	INFLATE_OK,
	INFLATE_BROKEN,  /* not of that coding, cut short, or something lies behind its end */
	INFLATE_TOO_BIG, /* more than `most` would come out */
};

/* The value of Content-Encoding, n bytes (0: none). `identity` is none, `x-gzip` is gzip. */
enum inflate_coding inflate_coding_of(const char *p, size_t n);

struct inflater *inflater_new(void);
void inflater_free(struct inflater *z); /* NULL is fine */
/* The body undone, in place of what out held; at most `most` bytes. `deflate` is taken with and without zlib's wrapper, as
 * clients send both. Several gzip members in a row are one body (RFC 1952 2.2). */
enum inflate_result inflater_run(struct inflater *z, enum inflate_coding coding, const char *p, size_t n, size_t most, struct buf *out);

#endif
