/* send_progress.c - the line that moves while `sluice send` works, on a terminal only, and what is told above it. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/send.h"

#define DRAW_US 200000
#define BAR 24

char *send_number(double v, char out[32])
{
	char digits[24];
	size_t n, w = 0;

	snprintf(digits, sizeof digits, "%.0f", v < 0 || v > 1e15 ? 0 : v);
	n = strlen(digits);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			out[w++] = ' ';
		out[w++] = digits[i];
	}
	out[w] = '\0';
	return out;
}

void send_undraw(struct send *s)
{
	if (!s->drawn)
		return;
	fputs("\r\033[K", stderr);
	s->drawn = false;
}

void send_draw(struct send *s)
{
	int64_t now = clock_mono_us();
	uint64_t settled = s->counts.taken + s->counts.refused;
	double seconds = (double)(now - s->began_us) * 1e-6;
	char number[32], rate[32];

	if (!s->terminal || now - s->drawn_us < DRAW_US)
		return;
	s->drawn_us = now;
	fputc('\r', stderr);
	if (s->size > 0) {
		double part = fmin((double)s->seen / (double)s->size, 1);
		char bar[BAR + 1];

		for (int i = 0; i < BAR; i++)
			bar[i] = i < (int)(part * BAR) ? '#' : '.';
		bar[BAR] = '\0';
		fprintf(stderr, "[%s] %3.0f%%  ", bar, part * 100);
	}
	fprintf(stderr, "%s messages  %s/s", send_number((double)settled, number), send_number((double)settled / seconds, rate));
	if (s->counts.refused + s->counts.bad > 0)
		fprintf(stderr, "  %" PRIu64 " refused  %" PRIu64 " bad", s->counts.refused, s->counts.bad);
	if (s->outage)
		fputs("  waiting for the channel", stderr);
	fputs("\033[K", stderr);
	s->drawn = true;
}

void send_tell(struct send *s, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&s->lock);
	send_undraw(s);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	pthread_mutex_unlock(&s->lock);
}
