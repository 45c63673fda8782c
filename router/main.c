/* main.c - the options; the work is done elsewhere. */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cli/cli.h"

static void usage(FILE *out)
{
	fputs("usage: sluice COMMAND [OPTION...] FILE\n"
	      "       sluice --version | --help\n",
	      out);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts(PACKAGE_STRING);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		usage(stdout);
		return 0;
	}
	if (argc >= 2 && strcmp(argv[1], "check") == 0)
		return cli_check(argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "plan") == 0)
		return cli_plan(argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "send") == 0)
		return cli_send(argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "sink") == 0)
		return cli_sink(argc - 1, argv + 1);
	usage(stderr);
	return EX_USAGE;
}
