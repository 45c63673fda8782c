/* clock.c - clock_gettime in microseconds. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t now_us(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_real_us(void)
{
	return now_us(CLOCK_REALTIME);
}

int64_t clock_mono_us(void)
{
	return now_us(CLOCK_MONOTONIC);
}

int64_t clock_boot_us(void)
{
	return now_us(CLOCK_BOOTTIME);
}

char *clock_format(int64_t real_us, char *out)
{
	int64_t us = real_us % 1000000;
	time_t s = (time_t)(real_us / 1000000);
	if (us < 0) { /* rounding is downwards */
		us += 1000000;
		s--;
	}
	struct tm tm;
	gmtime_r(&s, &tm);
	size_t n = strftime(out, 25, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, 32 - n, ".%06dZ", (int)us);
	return out;
}
