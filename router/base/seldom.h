/* seldom.h - saying a thing at most once a minute, and then of how many.
 *
 * For log lines about what may happen thousands of times a second on a bad night: the first is told at once, the others are counted and
 * told with the first after the minute. Not for two threads at once. */
#ifndef SLUICE_BASE_SELDOM_H
#define SLUICE_BASE_SELDOM_H

#include <stdbool.h>
#include <stdint.h>

#define SELDOM_US (60 * INT64_C(1000000))

struct seldom { int64_t told_us; uint64_t untold; };

/* n more of it, now (mono, not 0). True: say so, of *n of them. */
static inline bool seldom(struct seldom *s, int64_t mono_us, uint64_t *n)
{
	s->untold += *n;
	if (s->told_us && mono_us - s->told_us < SELDOM_US)
		return false;
	*n = s->untold;
	*s = (struct seldom){ .told_us = mono_us };
	return true;
}

#endif
