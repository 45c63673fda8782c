/* dead_change.c - `sluice dead retry` and `drop`: page after page, each durable before the next is asked for. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "cli/dead.h"

#define RETRY_PAGE 100
#define DROP_PAGE 1000
#define LATER_NS 200000000L
#define LATER_MOST 25           /* pages that come to nothing, one after the other, before a retry is given up */

/* How many there are now, and up to which: what becomes a letter again while we are at it is not taken up again. */
static int measure(struct dead *d)
{
	struct lines l;
	int status = dead_command(d, "dead-look", 0, 0, "");

	if (status != 0)
		return status;
	lines_open(&l, &d->answer);
	if (lines_next(&l)) {
		d->kept = lines_number(&l, "letters");
		d->filter.to = lines_number(&l, "position");
	}
	lines_close(&l);
	return 0;
}

static bool is_chosen(const struct dead *d, const char *verb)
{
	if (d->chosen || d->all)
		return true;
	fprintf(stderr, "sluice: %s which? Name letters, or say --ident, --reason, --since, or --all\n", verb);
	return false;
}

struct tally { uint64_t sent, skipped, dead, left, dropped, looked; char why[512], full[512]; unsigned vain; };

static void wait_a_little(void)
{
	static const struct timespec t = { 0, LATER_NS };

	nanosleep(&t, NULL);
}

/* The page's last line; where the next one begins. */
static uint64_t add_up(struct dead *d, struct tally *t)
{
	struct lines l;
	uint64_t next = 0, before = t->sent + t->skipped + t->dead + t->dropped + t->looked;

	lines_open(&l, &d->answer);
	if (lines_next(&l)) {
		t->sent += lines_number(&l, "sent");
		t->skipped += lines_number(&l, "skipped");
		t->dead += lines_number(&l, "dead");
		t->left += lines_number(&l, "left");
		t->dropped += lines_number(&l, "dropped");
		t->looked += lines_number(&l, "looked");
		if (lines_has(&l, "why") && !t->why[0])
			snprintf(t->why, sizeof t->why, "%s", lines_text(&l, "why", NULL));
		snprintf(t->full, sizeof t->full, "%s", lines_has(&l, "full") ? lines_text(&l, "full", NULL) : lines_text(&l, "later", NULL));
		t->vain = before == t->sent + t->skipped + t->dead + t->dropped + t->looked && t->full[0] && !lines_has(&l, "full") ? t->vain + 1 : 0;
		next = lines_number(&l, "next");
	}
	lines_close(&l);
	return next;
}

static int work(struct dead *d, const char *command, unsigned most, const char *more, const char *what, struct tally *t)
{
	struct progress p;
	uint64_t next = 0;
	int status;

	progress_begin(&p, what, d->kept);
	do {
		status = dead_command(d, command, next, most, more);
		if (status != 0)
			break;
		next = add_up(d, t);
		p.note = t->full[0] ? t->full : NULL;
		progress_draw(&p, t->looked);
		if (t->full[0])
			wait_a_little();
	} while (next && !progress_interrupted() && t->vain < LATER_MOST);
	progress_end(&p);
	if (status == 0 && next && progress_interrupted())
		status = 130;
	else if (status == 0 && t->vain == LATER_MOST) {
		fprintf(stderr, "sluice: %s\n", t->full);
		status = EX_TEMPFAIL;
	}
	return status;
}

int dead_retry(struct dead *d)
{
	struct tally t = { .sent = 0 };
	int status;

	if (!is_chosen(d, "retry"))
		return EX_USAGE;
	status = measure(d);
	if (status == 0)
		status = work(d, "dead-retry", RETRY_PAGE, d->as_it_was ? ",\"as_it_was\":true" : "", "letters", &t);
	if (d->json) {
		printf("{\"sent\":%" PRIu64 ",\"skipped\":%" PRIu64 ",\"dead\":%" PRIu64 ",\"left\":%" PRIu64 "}\n", t.sent, t.skipped, t.dead, t.left);
	} else if (status == 0 || t.sent + t.skipped + t.dead) {
		printf("%" PRIu64 " on their way again", t.sent);
		if (t.skipped)
			printf(", %" PRIu64 " skipped this time", t.skipped);
		if (t.dead)
			printf(", %" PRIu64 " could not be rendered this time either", t.dead);
		if (t.left)
			printf(", %" PRIu64 " left as they are", t.left);
		printf("\n");
		if (t.why[0])
			printf("%s\n", t.why);
	}
	if (status == 130)
		fputs("interrupted; the others are as they were\n", stderr);
	return status == 0 && t.sent + t.skipped + t.dead == 0 && t.left > 0 ? EX_DATAERR : status;
}

int dead_drop(struct dead *d)
{
	struct tally t = { .dropped = 0 };
	char line[16] = "";
	int status;

	if (!is_chosen(d, "drop"))
		return EX_USAGE;
	status = measure(d);
	if (status != 0)
		return status;
	if (!d->yes && (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))) {
		fprintf(stderr, "sluice: dropped letters are gone; --yes says that this is meant\n");
		return EX_USAGE;
	}
	if (!d->yes) {
		fprintf(stderr, "Drop %s dead letters of %s (it has %" PRIu64 ")? They are gone then. [y/N] ", d->chosen ? "the chosen" : "all", d->name, d->kept);
		if (!fgets(line, sizeof line, stdin) || (line[0] != 'y' && line[0] != 'Y'))
			return EX_USAGE;
	}
	status = work(d, "dead-drop", DROP_PAGE, "", "letters", &t);
	if (d->json)
		printf("{\"dropped\":%" PRIu64 "}\n", t.dropped);
	else if (status == 0 || t.dropped)
		printf("%" PRIu64 " letters dropped\n", t.dropped);
	return status;
}
