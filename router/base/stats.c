/* stats.c - the registry: a map to find by name, a list to walk without a lock. */
#include "base/stats.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/map.h"

#define CACHE_LINE 64 /* two streams counted by two threads must not share a line */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map streams, channels; /* guarded by lock */
static struct stats_stream *_Atomic first_stream;
static struct stats_channel *_Atomic first_channel;
static struct stats_stream *last_stream;   /* guarded by lock */
static struct stats_channel *last_channel; /* guarded by lock */

static void *aligned_zeroed(size_t size)
{
	size = (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	void *p = aligned_alloc(CACHE_LINE, size);
	if (!p)
		return xcalloc(1, size); /* which ends the process with the message */
	return memset(p, 0, size);
}

struct stats_stream *stats_stream(const char *name)
{
	pthread_mutex_lock(&lock);
	struct stats_stream *s = map_gets(&streams, name);
	if (!s) {
		s = aligned_zeroed(sizeof(*s));
		s->name = xstrdup(name);
		map_put(&streams, s->name, strlen(s->name), s);
		atomic_store(last_stream ? &last_stream->next : &first_stream, s);
		last_stream = s;
	}
	pthread_mutex_unlock(&lock);
	return s;
}

struct stats_channel *stats_channel(const char *name)
{
	pthread_mutex_lock(&lock);
	struct stats_channel *c = map_gets(&channels, name);
	if (!c) {
		c = aligned_zeroed(sizeof(*c));
		c->name = xstrdup(name);
		map_put(&channels, c->name, strlen(c->name), c);
		atomic_store(last_channel ? &last_channel->next : &first_channel, c);
		last_channel = c;
	}
	pthread_mutex_unlock(&lock);
	return c;
}

struct stats_stream *stats_stream_next(const struct stats_stream *after)
{
	return atomic_load(after ? &after->next : &first_stream);
}

struct stats_channel *stats_channel_next(const struct stats_channel *after)
{
	return atomic_load(after ? &after->next : &first_channel);
}
