/* arena.h - memory that is given back all at once.
 *
 * Everything that lives exactly as long as a plan (or one compilation, or one request) is taken from an
 * arena, so that freeing it cannot be forgotten in parts. Allocation never fails: when the machine has no
 * memory left the process ends with a message (a router that cannot allocate cannot keep a promise either).
 * Not thread-safe; a sealed plan's arena is only read. */
#ifndef SLUICE_BASE_ARENA_H
#define SLUICE_BASE_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a);                 /* a may be NULL */
void *arena_alloc(struct arena *a, size_t size);  /* zeroed, aligned for any type; size 0 gives a valid pointer */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n); /* copies n bytes, adds a NUL */
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t arena_size(const struct arena *a);         /* bytes held, for accounting */

/* malloc family that ends the process instead of returning NULL */
void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);

#endif
