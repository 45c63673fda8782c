/* replay.c - `sluice replay`: what came in a window of time, once more to one stream; page after page, each durable before the next is asked for.
 *
 * A page never begins before the one before it ended, and an instance that says otherwise is not asked again: better a replay that stops than one that
 * sends a destination the same for ever. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/pages.h"
#include "spec/scalar.h"

#define PAGE 100
#define LATER_US 200000
#define LATER_MOST 25           /* pages that come to nothing, one after the other, before it is given up */
#define TELL_AFTER 5            /* pages that find no room, before that is told where nobody watches */
#define PAUSE_MOST_US 1e15

static const char usage[] =
	"usage: sluice replay --from WHEN [--to WHEN] [--device IDENT] [--rate N/s] [--dry-run] [--json] FILE STREAM\n"
	"WHEN: a duration back from now, such as 2h, or a time with its zone, such as 2026-11-22T03:00:00Z; --data FOLDER stands for FILE\n";

struct replay {
	char data[4096];
	const char *stream, *ident;
	int64_t from_us;
	uint64_t to;               /* 0: all that is there by now; the first answer says what that is */
	double rate;               /* messages a second; 0: as fast as can be */
	int64_t due_us;            /* mono: the rate allows the next page then */
	bool dry, json;
	uint64_t position;
	unsigned entry;
	uint64_t begins;           /* of history, as the first page was read; 0: not known */
	bool overtaken;            /* … and later it began behind what was to be sent next */
	uint64_t sent, skipped, unwanted, left;
	unsigned vain, full_n;     /* pages without any progress: that failed, that found no room */
	char why[512], full[512];
};

/* ---- the command line ---------------------------------------------------------------------------------------------------- */

static int wrong(const char *why)
{
	if (why)
		fprintf(stderr, "sluice: %s\n", why);
	else
		fputs(usage, stderr);
	return EX_USAGE;
}

enum { OPT_FROM = 1, OPT_TO, OPT_DEVICE, OPT_RATE, OPT_DRY, OPT_JSON, OPT_DATA, OPT_AS_IT_WAS };

static int options(struct replay *r, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "from", required_argument, NULL, OPT_FROM }, { "to", required_argument, NULL, OPT_TO }, { "device", required_argument, NULL, OPT_DEVICE },
		{ "rate", required_argument, NULL, OPT_RATE }, { "dry-run", no_argument, NULL, OPT_DRY }, { "json", no_argument, NULL, OPT_JSON },
		{ "data", required_argument, NULL, OPT_DATA }, { "as-it-was", no_argument, NULL, OPT_AS_IT_WAS }, { 0 },
	};
	static const char when[] = "a duration back from now such as 2h, or a time with its zone such as 2026-11-22T03:00:00Z or 2026-11-22T04:00:00+01:00";
	int64_t now = clock_real_us(), to = now;
	char why[256];
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case OPT_FROM:
			snprintf(why, sizeof why, "--from: \"%.40s\" is no time; say %s", optarg, when);
			if (read_moment(optarg, &r->from_us) < 0 || r->from_us <= 0)
				return wrong(why);
			break;
		case OPT_TO:
			snprintf(why, sizeof why, "--to: \"%.40s\" is no time; say %s", optarg, when);
			if (read_moment(optarg, &to) < 0 || to <= 0)
				return wrong(why);
			break;
		case OPT_RATE:
			if ((scalar_rate(optarg, &r->rate) < 0 && scalar_number(optarg, &r->rate) < 0) || !(r->rate > 0))
				return wrong("--rate: messages a second, as 200/s or 6000/m");
			break;
		case OPT_AS_IT_WAS:
			return wrong("history keeps messages as they came, not the bytes that were sent: replay always renders them anew, with the plan in force");
		case OPT_DEVICE: r->ident = optarg; break;
		case OPT_DRY: r->dry = true; break;
		case OPT_JSON: r->json = true; break;
		case OPT_DATA: snprintf(r->data, sizeof r->data, "%s", optarg); break;
		default: return wrong(NULL);
		}
	}
	if (optind + (r->data[0] ? 1 : 2) != argc)
		return wrong(NULL);
	if (!r->from_us)
		return wrong("from when? --from 2h, or --from 2026-11-22T03:00:00Z");
	/* What comes while it goes on is sent by itself. */
	if (to < now)
		r->to = (uint64_t)to;
	if (r->from_us >= (to < now ? to : now))
		return wrong("the window is empty: --from is not before --to, or not before now");
	if (!r->data[0] && client_data(argv[optind++], r->data, sizeof r->data) < 0)
		return EX_NOINPUT;
	r->stream = argv[optind];
	return 0;
}

/* ---- pages ------------------------------------------------------------------------------------------------------------------ */

static void argument(struct buf *b, const char *key, const char *value)
{
	buf_addf(b, ",\"%s\":", key);
	buf_addjson(b, value, strlen(value));
}

static int ask(struct replay *r, struct buf *answer)
{
	struct buf request = BUF_INIT;
	unsigned most = r->rate > 0 && r->rate < PAGE ? r->rate > 1 ? (unsigned)r->rate : 1 : PAGE;
	int status;

	buf_addf(&request, "{\"command\":\"replay\",\"from\":%" PRId64 ",\"to\":%" PRIu64 ",\"position\":%" PRIu64 ",\"entry\":%u,\"most\":%u%s", r->from_us, r->to,
		r->position, r->entry, most, r->dry ? ",\"dry\":true" : "");
	argument(&request, "stream", r->stream);
	if (r->ident)
		argument(&request, "ident", r->ident);
	buf_addc(&request, '}');
	buf_clear(answer);
	status = client_command(r->data, request.p, answer);
	buf_fini(&request);
	return status;
}

/* 0 and the next page's place, position 0 at the end; or an exit status. */
static int add_up(struct replay *r, struct buf *answer)
{
	struct lines l;
	uint64_t n = 0, next = 0, begins;
	unsigned entry = 0;

	lines_open(&l, answer);
	if (lines_next(&l)) {
		n = lines_number(&l, "sent") + lines_number(&l, "skipped") + lines_number(&l, "unwanted") + lines_number(&l, "left");
		r->sent += lines_number(&l, "sent");
		r->skipped += lines_number(&l, "skipped");
		r->unwanted += lines_number(&l, "unwanted");
		r->left += lines_number(&l, "left");
		next = lines_number(&l, "next");
		entry = (unsigned)lines_number(&l, "next_entry");
		if (lines_has(&l, "why") && !r->why[0])
			snprintf(r->why, sizeof r->why, "%s", lines_text(&l, "why", NULL));
		snprintf(r->full, sizeof r->full, "%s", lines_has(&l, "full") ? lines_text(&l, "full", NULL) : lines_text(&l, "later", NULL));
		r->vain = r->full[0] && !lines_has(&l, "full") && n == 0 ? r->vain + 1 : 0;
		r->full_n = lines_has(&l, "full") ? r->full_n + 1 : 0;
		r->to = lines_number(&l, "to");
		begins = lines_number(&l, "begins");
		r->overtaken = r->overtaken || (r->position && (begins > r->position || !begins));
		if (!r->position)
			r->begins = begins;
	}
	lines_close(&l);
	bool on = next > r->position || (next == r->position && entry > r->entry);
	if (next && !on && (n > 0 || !r->full[0])) {
		fputs("sluice: the instance offers the same page again; nothing more is asked of it\n", stderr);
		return EX_PROTOCOL;
	}
	r->position = next;
	r->entry = entry;
	return 0;
}

static void wait_until(int64_t mono_us)
{
	int64_t us = mono_us - clock_mono_us();
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };

	if (us > 0)
		nanosleep(&t, NULL);
}

/* So many were sent by a page that was asked for at began_us. What a full buffer held back is not made up for: the rate is never exceeded. */
static void keep_rate(struct replay *r, uint64_t sent, int64_t began_us)
{
	double us = (double)sent / r->rate * 1e6;

	r->due_us = (r->due_us > began_us ? r->due_us : began_us) + (int64_t)(us < PAUSE_MOST_US ? us : PAUSE_MOST_US);
	wait_until(r->due_us);
}

/* How far in the window the next page begins; how many messages that is of how many, nobody has counted. */
static double part_of(const struct replay *r)
{
	uint64_t from = r->begins > (uint64_t)r->from_us ? r->begins : (uint64_t)r->from_us;

	return !r->position || r->position <= from || r->to <= from ? 0 : (double)(r->position - from) / (double)(r->to - from);
}

static int work(struct replay *r)
{
	struct buf answer = BUF_INIT;
	struct progress p;
	int status;

	progress_begin(&p, "messages", 0);
	do {
		int64_t began = clock_mono_us();
		uint64_t before = r->sent;

		status = ask(r, &answer);
		if (status == 0)
			status = add_up(r, &answer);
		if (status != 0)
			break;
		p.note = r->full[0] ? r->full : NULL;
		p.part = part_of(r);
		progress_draw(&p, r->sent);
		if (r->full_n == TELL_AFTER && !p.terminal)
			fprintf(stderr, "sluice: waiting for room: %s\n", r->full);
		if (r->full[0])
			wait_until(clock_mono_us() + LATER_US);
		else if (r->rate > 0 && !r->dry && r->position)
			keep_rate(r, r->sent - before, began);
	} while (r->position && !progress_interrupted() && r->vain < LATER_MOST);
	progress_end(&p);
	buf_fini(&answer);
	if (status == 0 && r->position && progress_interrupted())
		return 130;
	if (status == 0 && r->vain == LATER_MOST) {
		fprintf(stderr, "sluice: %s\n", r->full);
		return EX_TEMPFAIL;
	}
	return status;
}

static const char *say_moment(uint64_t us, char out[48])
{
	time_t t = (time_t)(us / 1000000);
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + strlen(out), 12, ".%06uZ", (unsigned)(us % 1000000));
	return out;
}

static void say_json(const struct replay *r)
{
	printf("{\"%s\":%" PRIu64 ",\"skipped\":%" PRIu64 ",\"unwanted\":%" PRIu64 ",\"left\":%" PRIu64, r->dry ? "would_send" : "sent", r->sent, r->skipped,
		r->unwanted, r->left);
	printf(",\"history_begins\":%.6f,\"overtaken\":%s}\n", (double)r->begins * 1e-6, r->overtaken ? "true" : "false");
}

static void say(const struct replay *r)
{
	if (r->json) {
		say_json(r);
		return;
	}
	printf(r->dry ? "%" PRIu64 " would be sent again" : "%" PRIu64 " on their way again", r->sent);
	if (r->skipped)
		printf(", %" PRIu64 " skipped by the adapter", r->skipped);
	if (r->unwanted)
		printf(", %" PRIu64 " not for this stream", r->unwanted);
	if (r->left)
		printf(", %" PRIu64 " could not be sent", r->left);
	printf("\n");
	if (r->why[0])
		printf("%s\n", r->why);
}

/* What the numbers do not say. */
static void say_more(const struct replay *r, int status)
{
	char from[48], to[48];

	if (r->begins > (uint64_t)r->from_us)
		fprintf(stderr, "sluice: history begins at %s; it holds nothing that came earlier\n", say_moment(r->begins, from));
	if (r->overtaken)
		fputs("sluice: history let go of messages of this window before they had their turn; those are not sent\n", stderr);
	if (status == 130)
		fputs("interrupted; what is counted here is on its way\n", stderr);
	if (status != 0 && r->position && !r->dry)
		fprintf(stderr, "the rest: --from %s --to %s (its first messages may have been sent already)\n", say_moment(r->position, from), say_moment(r->to, to));
}

int cli_replay(int argc, char **argv)
{
	struct replay r = { .stream = NULL };
	int status = options(&r, argc, argv);

	if (status != 0)
		return status;
	status = work(&r);
	uint64_t all = r.sent + r.skipped + r.unwanted + r.left;
	if (status == 0 && all == 0) {
		fprintf(stderr, "sluice: history holds nothing %s%s%sin this window; `sluice status` says how far back it reaches\n", r.ident ? "of device " : "",
			r.ident ? r.ident : "", r.ident ? " " : "");
		return EX_DATAERR;
	}
	if (status == 0 || all)
		say(&r);
	fflush(stdout);
	say_more(&r, status);
	return status == 0 && r.sent + r.skipped == 0 && r.left > 0 ? EX_DATAERR : status;
}
