/* run.c - `sluice run FILE`: in the foreground until SIGTERM. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cli/cli.h"
#include "commands/commands.h"
#include "engine.h"

int cli_run(int argc, char **argv)
{
	if (argc != 2 || argv[1][0] == '-') {
		fputs("usage: sluice run FILE\n", stderr);
		return EX_USAGE;
	}
	return engine_run(argv[1], commands_handle);
}
