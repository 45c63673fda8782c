/* arena.c - a chain of chunks that doubles; what is larger than a chunk gets one of its own.
 *
 * An own chunk for a large block is linked behind the current one, so that the room left in the current
 * chunk is not lost. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define CHUNK_MIN 4096
#define CHUNK_MAX (1024 * 1024)

struct chunk {
	struct chunk *next;
	size_t size, used;
	alignas(max_align_t) unsigned char bytes[];
};

struct arena {
	struct chunk *chunks; /* the head is the one small blocks are cut from */
	size_t next_size;
	size_t held;
};

static struct chunk *chunk_new(struct arena *a, size_t size)
{
	struct chunk *c = xcalloc(1, sizeof(*c) + size); /* zeroed here, so that alloc need not */
	c->size = size;
	a->held += sizeof(*c) + size;
	return c;
}

struct arena *arena_new(void)
{
	struct arena *a = xcalloc(1, sizeof(*a));
	a->next_size = CHUNK_MIN;
	a->held = sizeof(*a);
	return a;
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	for (struct chunk *c = a->chunks, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	free(a);
}

static void no_memory(size_t size)
{
	char line[96];
	int n = snprintf(line, sizeof(line), "sluice: out of memory (%zu bytes wanted)\n", size);
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		_exit(EX_OSERR);
	_exit(EX_OSERR);
}

void *arena_alloc(struct arena *a, size_t size)
{
	const size_t align = alignof(max_align_t);
	if (size > SIZE_MAX / 2)
		no_memory(size);
	size = size ? (size + align - 1) & ~(align - 1) : align;

	struct chunk *c = a->chunks;
	if (!c || c->size - c->used < size) {
		if (c && size > CHUNK_MAX / 4) {
			struct chunk *own = chunk_new(a, size);
			own->used = size;
			own->next = c->next;
			c->next = own;
			return own->bytes;
		}
		c = chunk_new(a, size > a->next_size ? size : a->next_size);
		c->next = a->chunks;
		a->chunks = c;
		if (a->next_size < CHUNK_MAX)
			a->next_size *= 2;
	}
	void *p = c->bytes + c->used;
	c->used += size;
	return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *copy = arena_alloc(a, n + 1);
	if (n)
		memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	char few[128]; /* most texts fit, and are written once */
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(few, sizeof(few), fmt, ap);
	va_end(ap);
	char *s = arena_alloc(a, n < 0 ? 1 : (size_t)n + 1);
	if (n >= 0 && (size_t)n < sizeof(few))
		memcpy(s, few, (size_t)n + 1);
	else if (n >= 0)
		vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
	return s;
}

size_t arena_size(const struct arena *a)
{
	return a->held;
}

void *xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);
	if (!p)
		no_memory(size);
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	void *p = n && size ? calloc(n, size) : calloc(1, 1);
	if (!p)
		no_memory(size && n > SIZE_MAX / size ? SIZE_MAX : n * size);
	return p;
}

void *xrealloc(void *p, size_t size)
{
	p = realloc(p, size ? size : 1);
	if (!p)
		no_memory(size);
	return p;
}

char *xstrdup(const char *s)
{
	size_t n = strlen(s) + 1;
	return memcpy(xmalloc(n), s, n);
}
