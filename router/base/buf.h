/* buf.h - a growing run of bytes.
 *
 * The one string builder of the project. `p` is NUL-terminated after every call (the NUL is not counted), so a
 * buf of text can be handed to C functions. Growth doubles; it never shrinks by itself. A buf that is reused
 * (buf_clear) costs no allocation once it has reached its working size: this is how the hot path stays off malloc. */
#ifndef SLUICE_BASE_BUF_H
#define SLUICE_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
	char *p;    /* NULL until the first byte */
	size_t len; /* bytes in use */
	size_t cap; /* bytes allocated */
};

#define BUF_INIT { NULL, 0, 0 }

void buf_init(struct buf *b);
void buf_fini(struct buf *b);                  /* frees; b is as after buf_init */
static inline void buf_clear(struct buf *b) { b->len = 0; if (b->p) b->p[0] = '\0'; }
void buf_reserve_slow(struct buf *b, size_t more);
/* Room for `more` bytes and the NUL after len; the pointer p may change. */
static inline void buf_reserve(struct buf *b, size_t more)
{
	if (b->cap - b->len < more + 1)
		buf_reserve_slow(b, more);
}
static inline void buf_add(struct buf *b, const void *s, size_t n)
{
	buf_reserve(b, n);
	if (n)
		memcpy(b->p + b->len, s, n);
	b->len += n;
	b->p[b->len] = '\0';
}
static inline void buf_addc(struct buf *b, char c) { buf_add(b, &c, 1); }
void buf_adds(struct buf *b, const char *s);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_addv(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void buf_addu64(struct buf *b, uint64_t v);    /* decimal, fast */
void buf_addjson(struct buf *b, const char *s, size_t n); /* n bytes of UTF-8 as a quoted JSON string */
void buf_consume(struct buf *b, size_t n);     /* drop n bytes from the front (memmove) */
char *buf_take(struct buf *b);                 /* ownership of p to the caller (never NULL); b is empty after */

#endif
