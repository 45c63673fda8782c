/* cli.h - the subcommands: one file each, one table of all (main.c). */
#ifndef SLUICE_CLI_CLI_H
#define SLUICE_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message/message.h"

/* argv[0] is the command's name. Each returns an exit status of sysexits.h. */
int cli_run(int argc, char **argv);
int cli_check(int argc, char **argv);
int cli_plan(int argc, char **argv);
int cli_adapters(int argc, char **argv);
int cli_new(int argc, char **argv);
int cli_explain(int argc, char **argv);
int cli_test(int argc, char **argv);
int cli_help(int argc, char **argv);
int cli_schema(int argc, char **argv);
int cli_status(int argc, char **argv);
int cli_reload(int argc, char **argv);
int cli_pause(int argc, char **argv);
int cli_resume(int argc, char **argv);
int cli_purge(int argc, char **argv);
int cli_dead(int argc, char **argv);
int cli_buffers(int argc, char **argv);
int cli_replay(int argc, char **argv);
int cli_send(int argc, char **argv);
int cli_sink(int argc, char **argv);

/* ---- client.c: the other end of the control socket -------------------------------------------------------------- */

/* The data folder of a specification, which need not be free of mistakes: `settings.data`, resolved against the file. 0, or -1 after saying
 * why on stderr. */
int client_data(const char *file, char *data, size_t n);
/* Ask the instance whose data folder this is; the answer goes to out. 0, or an exit status after saying why on stderr. */
int client_ask(const char *data, const char *request, struct buf *out);
/* The same for commands: an answer that says "error" is told on stderr, and its status returned. */
int client_command(const char *data, const char *request, struct buf *out);

/* ---- answer.c: lines of flat JSON, and how people say what stands in them -------------------------------------------- */

struct lines {
	const char *at, *end;
	struct index ix;
	struct message m;
	struct buf scratch;
};
void lines_open(struct lines *l, struct buf *text);   /* text stays the caller's, and where it is */
void lines_close(struct lines *l);
bool lines_next(struct lines *l);
bool lines_has(const struct lines *l, const char *key);
/* Values of the line at hand; "" or 0 when there is none. A text lives until the next call; len (may be NULL) counts what stands before its
 * last NUL. */
const char *lines_text(struct lines *l, const char *key, size_t *len);
uint64_t lines_number(struct lines *l, const char *key);
double lines_seconds(struct lines *l, const char *key);
bool lines_flag(struct lines *l, const char *key);

/* "2h" ago, or a moment: ISO 8601 with its zone, or Unix seconds; 0, or -1. */
int read_moment(const char *text, int64_t *us);
const char *say_age(double seconds, char *out, size_t n);    /* "12 s", "3 h"; returns out */
const char *say_size(double bytes, char *out, size_t n);     /* "1.5 MiB" */

#endif
