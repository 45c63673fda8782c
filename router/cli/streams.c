/* streams.c - `sluice pause`, `resume` and `purge`: a word to streams of a running instance. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/pages.h"

#define LOOK_NS 50000000

/* What the command line says. */
struct words {
	char data[4096];
	bool json, yes;
	int n;
	char **streams;
};

/* FILE or --data FOLDER, then STREAM…. 0, or an exit status. */
static int options(int argc, char **argv, const char *usage, bool may_yes, struct words *w)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { "data", required_argument, NULL, 'd' },
		{ "yes", no_argument, NULL, 'y' }, { 0 } };
	int c;

	memset(w, 0, sizeof *w);
	optind = 1;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'j')
			w->json = true;
		else if (c == 'd')
			snprintf(w->data, sizeof w->data, "%s", optarg);
		else if (c == 'y' && may_yes)
			w->yes = true;
		else
			goto wrong;
	}
	if (optind + (w->data[0] ? 1 : 2) > argc)
		goto wrong;
	if (!w->data[0] && client_data(argv[optind++], w->data, sizeof w->data) < 0)
		return EX_NOINPUT;
	w->n = argc - optind;
	w->streams = argv + optind;
	return 0;
wrong:
	fputs(usage, stderr);
	return EX_USAGE;
}

static int command(const struct words *w, const char *name, const char *stream, const char *more, struct buf *answer)
{
	struct buf request = BUF_INIT;
	int status;

	buf_addf(&request, "{\"command\":\"%s\",\"stream\":", name);
	buf_addjson(&request, stream, strlen(stream));
	buf_addf(&request, "%s}", more);
	buf_clear(answer);
	status = client_command(w->data, request.p, answer);
	buf_fini(&request);
	return status;
}

/* ---- pause and resume ------------------------------------------------------------------------------------------------------- */

static int each(int argc, char **argv, const char *name, const char *usage, const char *done)
{
	struct buf answer = BUF_INIT;
	struct words w;
	int status = options(argc, argv, usage, false, &w);

	for (int i = 0; status == 0 && i < w.n; i++) {
		status = command(&w, name, w.streams[i], "", &answer);
		if (status == 0 && w.json)
			fwrite(answer.p, 1, answer.len, stdout);
		else if (status == 0)
			printf("%s: %s\n", w.streams[i], done);
	}
	buf_fini(&answer);
	return status;
}

int cli_pause(int argc, char **argv)
{
	return each(argc, argv, "pause", "usage: sluice pause [--json] FILE | --data FOLDER STREAM...\n",
		"paused until `sluice resume` or the next start; what comes is kept");
}

int cli_resume(int argc, char **argv)
{
	return each(argc, argv, "resume", "usage: sluice resume [--json] FILE | --data FOLDER STREAM...\n", "sends");
}

/* ---- purge ------------------------------------------------------------------------------------------------------------------- */

struct purge { bool purging; uint64_t purged, buffered, bytes; };

static int look(const char *data, const char *command_name, const char *stream, const char *more, struct purge *p)
{
	struct words w = { .json = false };
	struct buf answer = BUF_INIT;
	struct lines l;
	int status;

	snprintf(w.data, sizeof w.data, "%s", data);
	status = command(&w, command_name, stream, more, &answer);
	if (status == 0) {
		lines_open(&l, &answer);
		while (lines_next(&l))
			*p = (struct purge){ lines_flag(&l, "clearing"), lines_number(&l, "cleared"), lines_number(&l, "buffered"), lines_number(&l, "bytes") };
		lines_close(&l);
	}
	buf_fini(&answer);
	return status;
}

int streams_clear(const char *data, const char *command_name, const char *stream, uint64_t *cleared)
{
	static const struct timespec pause = { 0, LOOK_NS };
	struct purge before = { 0 }, now = { 0 };
	struct progress p;
	int status = look(data, command_name, stream, ",\"look\":true", &before);

	if (status != 0)
		return status;
	progress_begin(&p, "messages", before.buffered);
	for (status = look(data, command_name, stream, "", &now); status == 0 && now.purging && !progress_interrupted();
		status = look(data, command_name, stream, ",\"look\":true", &now)) {
		progress_draw(&p, now.purged - before.purged);
		nanosleep(&pause, NULL);
	}
	progress_end(&p);
	*cleared = now.purged - before.purged;
	if (status == 0 && now.purging) {
		fputs("interrupted; the instance goes on with it\n", stderr);
		status = 130;
	}
	return status;
}

/* It cannot be taken back: a person is asked, a program must have said --yes. */
static bool is_meant(const struct words *w, const char *stream, const struct purge *p)
{
	char size[32], line[16] = "";

	if (w->yes)
		return true;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
		fprintf(stderr, "sluice: %" PRIu64 " messages wait for stream %s and would be given up; --yes says that this is meant\n", p->buffered, stream);
		return false;
	}
	fprintf(stderr, "Give up %" PRIu64 " messages (%s) that wait for stream %s? They will not be sent. [y/N] ", p->buffered,
		say_size((double)p->bytes, size, sizeof size), stream);
	return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static int purge(const struct words *w, const char *stream)
{
	struct purge before = { 0 };
	uint64_t purged = 0;
	int status = look(w->data, "purge", stream, ",\"look\":true", &before);

	if (status != 0)
		return status;
	if (!is_meant(w, stream, &before))
		return EX_USAGE;
	status = streams_clear(w->data, "purge", stream, &purged);
	if (status == 0 && w->json)
		printf("{\"stream\":\"%s\",\"purged\":%" PRIu64 "}\n", stream, purged);
	else if (status == 0)
		printf("%s: %" PRIu64 " messages purged\n", stream, purged);
	return status;
}

int cli_purge(int argc, char **argv)
{
	struct words w;
	int status = options(argc, argv, "usage: sluice purge [--yes] [--json] FILE | --data FOLDER STREAM...\n", true, &w);

	for (int i = 0; status == 0 && i < w.n; i++)
		status = purge(&w, w.streams[i]);
	return status;
}
