/* progress.c - a line that moves while long work is done, on a terminal only; and the signal that ends it between two pages. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/pages.h"
#include "cli/send.h"

#define DRAW_US 150000
#define BAR 24

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

void progress_begin(struct progress *p, const char *what, uint64_t total)
{
	/* Without SA_RESTART, or an answer that is long in coming would keep us; a second signal ends us as it would anyone. */
	const struct sigaction a = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	*p = (struct progress){ .what = what, .total = total, .began_us = clock_mono_us(), .terminal = isatty(STDERR_FILENO) == 1 };
	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
}

bool progress_interrupted(void)
{
	return interrupted != 0;
}

void progress_draw(struct progress *p, uint64_t done)
{
	int64_t now = clock_mono_us();
	double seconds = (double)(now - p->began_us) * 1e-6;
	char number[32], rate[32];

	if (!p->terminal || now - p->drawn_us < DRAW_US)
		return;
	p->drawn_us = now;
	fputc('\r', stderr);
	double part = p->total ? (double)done / (double)p->total : p->part;
	if (p->total || part > 0) {
		char bar[BAR + 1];

		part = part < 1 ? part : 1;
		for (unsigned i = 0; i < BAR; i++)
			bar[i] = i < (unsigned)(part * BAR) ? '#' : '.';
		bar[BAR] = '\0';
		fprintf(stderr, "[%s] %3u%%  ", bar, (unsigned)(part * 100));
	}
	fprintf(stderr, "%s %s  %s/s%s%s\033[K", send_number((double)done, number), p->what, send_number((double)done / (seconds > 0 ? seconds : 1), rate),
		p->note ? "  " : "", p->note ? p->note : "");
	p->drawn = true;
}

void progress_end(struct progress *p)
{
	if (p->drawn)
		fputs("\r\033[K", stderr);
	p->drawn = false;
}
