/* buffers.c - `sluice buffers`: what waits, also where no stream of the plan sends it, and what is to become of that. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "cli/buffers.h"

#define LATER_NS 200000000L
#define LATER_MOST 25           /* pages that come to nothing, one after the other, before it is given up */

static const char usage[] =
	"usage: sluice buffers list   [--json] FILE\n"
	"       sluice buffers peek   [--oldest N] [--json] FILE NAME\n"
	"       sluice buffers export [--as-it-is] FILE NAME\n"
	"       sluice buffers adopt | render [--to STREAM] [--json] FILE NAME\n"
	"       sluice buffers dead   [--json] FILE NAME\n"
	"       sluice buffers drop   [--yes] [--json] FILE NAME\n"
	"       sluice buffers verify | repair [--json] FILE\n"
	"--data FOLDER stands for FILE\n";

int buffers_command(struct buffers *b, const char *command, uint64_t from, const char *more)
{
	struct buf request = BUF_INIT;
	int status;

	buf_addf(&request, "{\"command\":\"%s\",\"from\":%" PRIu64 ",\"name\":", command, from);
	buf_addjson(&request, b->name, strlen(b->name));
	if (b->to_stream) {
		buf_adds(&request, ",\"to_stream\":");
		buf_addjson(&request, b->to_stream, strlen(b->to_stream));
	}
	buf_addf(&request, "%s}", more);
	buf_clear(&b->answer);
	status = client_command(b->place.data, request.p, &b->answer);
	buf_fini(&request);
	return status;
}

/* ---- page after page --------------------------------------------------------------------------------------------------------- */

struct tally { uint64_t sent, skipped, left, settled, states; char why[512], full[512]; unsigned vain; uint64_t next, entry; };

static void add_up(struct buffers *b, struct tally *t)
{
	struct lines l;
	uint64_t before = t->sent + t->skipped + t->left + t->settled;

	t->next = 0;
	lines_open(&l, &b->answer);
	if (lines_next(&l)) {
		t->sent += lines_number(&l, "sent");
		t->skipped += lines_number(&l, "skipped");
		t->left += lines_number(&l, "left");
		t->settled += lines_number(&l, "settled");
		t->states += lines_number(&l, "states");
		if (lines_has(&l, "why") && !t->why[0])
			snprintf(t->why, sizeof t->why, "%s", lines_text(&l, "why", NULL));
		snprintf(t->full, sizeof t->full, "%s", lines_has(&l, "full") ? lines_text(&l, "full", NULL) : lines_text(&l, "later", NULL));
		t->vain = before == t->sent + t->skipped + t->left + t->settled && t->full[0] && !lines_has(&l, "full") ? t->vain + 1 : 0;
		t->next = lines_number(&l, "next");
		t->entry = lines_number(&l, "entry");
	}
	lines_close(&l);
}

static int work(struct buffers *b, const char *command, const char *more, struct tally *t)
{
	static const struct timespec later = { 0, LATER_NS };
	struct progress p;
	int status;

	progress_begin(&p, "messages", b->messages);
	do {
		char all[128];

		snprintf(all, sizeof all, "%s,\"entry\":%" PRIu64, more, t->entry);
		status = buffers_command(b, command, t->next, all);
		if (status != 0)
			break;
		add_up(b, t);
		p.note = t->full[0] ? t->full : NULL;
		progress_draw(&p, t->sent + t->skipped + t->left + t->settled);
		if (t->full[0])
			nanosleep(&later, NULL);
	} while (t->next && !progress_interrupted() && t->vain < LATER_MOST);
	progress_end(&p);
	if (status == 0 && t->next && progress_interrupted()) {
		fputs("interrupted; the others are as they were\n", stderr);
		status = 130;
	} else if (status == 0 && t->vain == LATER_MOST) {
		fprintf(stderr, "sluice: %s\n", t->full);
		status = EX_TEMPFAIL;
	}
	return status;
}

static int move(struct buffers *b, bool as_it_was)
{
	struct tally t = { .sent = 0 };
	int status = work(b, "buffers-move", as_it_was ? ",\"as_it_was\":true" : "", &t);

	if (b->json) {
		printf("{\"sent\":%" PRIu64 ",\"skipped\":%" PRIu64 ",\"left\":%" PRIu64 "}\n", t.sent, t.skipped, t.left);
	} else if (status == 0 || t.sent + t.skipped) {
		printf("%" PRIu64 " on their way", t.sent);
		if (t.skipped)
			printf(", %" PRIu64 " skipped", t.skipped);
		if (t.left)
			printf(", %" PRIu64 " left where they are", t.left);
		printf("\n");
		if (t.why[0])
			printf("%s\n", t.why);
	}
	return status == 0 && t.sent + t.skipped == 0 && t.left > 0 ? EX_DATAERR : status;
}

static int adopt(struct buffers *b)
{
	return move(b, true);
}

static int render(struct buffers *b)
{
	return move(b, false);
}

static int settle(struct buffers *b, bool dead)
{
	struct tally t = { .sent = 0 };
	int status;

	if (b->stream[0] && dead)
		status = streams_clear(b->place.data, "set-aside", b->stream, &t.settled);
	else
		status = work(b, "buffers-settle", dead ? ",\"dead\":true" : "", &t);
	if (b->json && dead)
		printf("{\"dead\":%" PRIu64 "}\n", t.settled);
	else if (b->json)
		printf("{\"dropped\":%" PRIu64 ",\"states\":%" PRIu64 "}\n", t.settled, t.states);
	else if (status == 0 || t.settled)
		printf("%" PRIu64 " messages %s\n", t.settled, dead ? "are dead letters now" : "dropped");
	if (!b->json && t.states)
		printf("what adapters kept of %" PRIu64 " idents is forgotten\n", t.states);
	return status;
}

static int set_aside(struct buffers *b)
{
	return settle(b, true);
}

static int drop(struct buffers *b)
{
	char size[32], line[16] = "";

	if (b->stream[0]) {
		fprintf(stderr, "sluice: stream \"%s\" sends this buffer: `sluice purge` gives up what waits in it\n", b->stream);
		return EX_DATAERR;
	}
	if (!b->yes && (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))) {
		fprintf(stderr, "sluice: %" PRIu64 " messages wait in this buffer and would be given up%s; --yes says that this is meant\n", b->messages,
			b->states ? ", and with the stream's last buffer what adapters kept of its idents" : "");
		return EX_USAGE;
	}
	if (!b->yes) {
		fprintf(stderr, "Give up %" PRIu64 " messages (%s) of %s? They will not be sent. ", b->messages, say_size((double)b->bytes, size, sizeof size), b->name);
		if (b->states)
			fprintf(stderr, "With the stream's last buffer goes what adapters kept of %" PRIu64 " idents. ", b->states);
		fputs("[y/N] ", stderr);
		if (!fgets(line, sizeof line, stdin) || (line[0] != 'y' && line[0] != 'Y'))
			return EX_USAGE;
	}
	return settle(b, false);
}

/* ---- the command line ------------------------------------------------------------------------------------------------------------ */

static int wrong(void)
{
	fputs(usage, stderr);
	return EX_USAGE;
}

int cli_buffers(int argc, char **argv)
{
	static const struct { const char *name; int (*run)(struct buffers *b); bool still, named, kept; } verbs[] = {
		{ "list", buffers_list, true, false, false }, { "peek", buffers_peek, true, true, false }, { "export", buffers_export, true, true, false },
		{ "adopt", adopt, false, true, true }, { "render", render, false, true, true }, { "dead", set_aside, false, true, false },
		{ "drop", drop, false, true, true },
	};
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { "data", required_argument, NULL, 'd' }, { "yes", no_argument, NULL, 'y' },
		{ "to", required_argument, NULL, 't' }, { "oldest", required_argument, NULL, 'o' }, { "as-it-is", no_argument, NULL, 'a' }, { 0 } };
	struct buffers b = { .json = false };
	const char *data = NULL;
	bool mend = argc > 1 && strcmp(argv[1], "repair") == 0, whole = mend || (argc > 1 && strcmp(argv[1], "verify") == 0);
	size_t verb = 0;
	int c, status;

	while (!whole && argc > 1 && verb < sizeof verbs / sizeof verbs[0] && strcmp(argv[1], verbs[verb].name) != 0)
		verb++;
	if (argc < 2 || verb == sizeof verbs / sizeof verbs[0])
		return wrong();
	argc--;
	argv++;
	optind = 1;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'j': b.json = true; break;
		case 'd': data = optarg; break;
		case 'y': b.yes = true; break;
		case 't': b.to_stream = optarg; break;
		case 'a': b.as_it_is = true; break;
		case 'o':
			b.oldest = strtoull(optarg, NULL, 10);
			if (b.oldest == 0)
				return wrong();
			break;
		default: return wrong();
		}
	}
	if (argc - optind != (data ? 0 : 1) + (!whole && verbs[verb].named ? 1 : 0))
		return wrong();
	if (whole && data)
		return buffers_verify(data, mend, b.json);
	if (whole)
		return client_data(argv[optind], b.place.data, sizeof b.place.data) < 0 ? EX_NOINPUT : buffers_verify(b.place.data, mend, b.json);
	status = place_open(&b.place, data ? data : argv[optind++], data != NULL, verbs[verb].still);
	if (status == 0 && verbs[verb].named)
		status = buffers_find(&b, argv[optind], verbs[verb].kept);
	if (status == 0)
		status = verbs[verb].run(&b);
	place_close(&b.place);
	buf_fini(&b.answer);
	return status;
}
