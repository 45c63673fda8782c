/* unrouted.c - see unrouted.h. A ring; an ident that is in it already only costs a look, so a fleet nobody subscribed to stays cheap. */
#include "unrouted.h"

#include <pthread.h>
#include <string.h>

#include "base/buf.h"

#define KEPT 100
#define IDENT_MAX 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { unsigned char len; char text[IDENT_MAX]; } ring[KEPT];
static unsigned head, used;

void unrouted_add(const char *ident, size_t len)
{
	if (len > IDENT_MAX)
		len = IDENT_MAX;
	/* Somebody else is at it: one ident more or less is not worth waiting for. */
	if (pthread_mutex_trylock(&lock) != 0)
		return;
	for (unsigned i = 0; i < used; i++)
		if (ring[i].len == len && memcmp(ring[i].text, ident, len) == 0)
			goto out;
	ring[head].len = (unsigned char)len;
	memcpy(ring[head].text, ident, len);
	head = (head + 1) % KEPT;
	if (used < KEPT)
		used++;
out:
	pthread_mutex_unlock(&lock);
}

void unrouted_write(struct buf *out)
{
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < used; i++) {
		unsigned at = (head + KEPT - 1 - i) % KEPT;

		if (i)
			buf_adds(out, ",");
		buf_addjson(out, ring[at].text, ring[at].len);
	}
	pthread_mutex_unlock(&lock);
}
