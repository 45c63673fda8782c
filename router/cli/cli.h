/* cli.h - the subcommands: one file each, one table of all (main.c). */
#ifndef SLUICE_CLI_CLI_H
#define SLUICE_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* argv[0] is the command's name. Each returns an exit status of sysexits.h. */
int cli_run(int argc, char **argv);
int cli_check(int argc, char **argv);
int cli_plan(int argc, char **argv);
int cli_help(int argc, char **argv);
int cli_schema(int argc, char **argv);
int cli_status(int argc, char **argv);
int cli_reload(int argc, char **argv);
int cli_send(int argc, char **argv);
int cli_sink(int argc, char **argv);

/* ---- client.c: the other end of the control socket -------------------------------------------------------------- */

/* The data folder of a specification, which need not be free of mistakes: `settings.data`, resolved against the file. 0, or -1 after saying
 * why on stderr. */
int client_data(const char *file, char *data, size_t n);
/* Ask the instance whose data folder this is; the answer goes to out. 0, or an exit status after saying why on stderr. */
int client_ask(const char *data, const char *request, struct buf *out);

#endif
