/* cli.h - the subcommands: one file each, one table of all (main.c). */
#ifndef SLUICE_CLI_CLI_H
#define SLUICE_CLI_CLI_H

/* argv[0] is the command's name. Each returns an exit status of sysexits.h. */
int cli_send(int argc, char **argv);
int cli_sink(int argc, char **argv);

#endif
