/* main.c - the options; the work is done elsewhere. */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cli/cli.h"

static const struct command {
	const char *name, *arguments, *summary;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "run", "FILE", "run in the foreground; SIGHUP reloads, SIGTERM stops", cli_run },
	{ "check", "FILE", "validate everything, run the adapters' vectors", cli_check },
	{ "plan", "FILE", "the compiled plan in normal form", cli_plan },
	{ "adapters", "[NAME]", "what a specification may name, and what each takes", cli_adapters },
	{ "new", "adapter NAME | editor", "write an adapter to begin with, or what editors know adapters by", cli_new },
	{ "explain", "FILE", "messages on stdin: where each goes, by which line, as what; and why not", cli_explain },
	{ "test", "[FILE | DIR]", "adapters' vectors, and your own cases in tests/*.yaml", cli_test },
	{ "help", "CODE", "what a problem that check tells means", cli_help },
	{ "schema", "", "the JSON Schema of the language, for editors", cli_schema },
	{ "send", "FILE --to URL", "NDJSON into a channel", cli_send },
	{ "sink", "[--listen ADDRESS]", "a destination to try things on", cli_sink },
	{ "status", "FILE", "look at a running instance", cli_status },
	{ "reload", "FILE", "have it read its file again, and say what came of it", cli_reload },
	{ "pause", "FILE STREAM", "stop sending, go on taking; until resume or the next start", cli_pause },
	{ "resume", "FILE STREAM", "send again; a blocked stream is tried at once", cli_resume },
	{ "purge", "FILE STREAM", "give up what waits in a stream's buffer", cli_purge },
	{ "dead", "VERB FILE NAME", "dead letters: list, show, retry, drop", cli_dead },
	{ "replay", "FILE STREAM", "what history kept of a time, once more to one stream", cli_replay },
	{ "buffers", "VERB FILE NAME", "what waits, also where no stream sends it: list, peek, export, adopt, render, dead, drop", cli_buffers },
};

static void usage(FILE *out)
{
	fputs("usage: sluice COMMAND [OPTION…]\n\n", out);
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		fprintf(out, "  sluice %-7s %-20s %s\n", commands[i].name, commands[i].arguments, commands[i].summary);
	fputs("\n  sluice --version     sluice --help\n", out);
}

int main(int argc, char **argv)
{
	if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0)) {
		puts(PACKAGE_STRING);
		return 0;
	}
	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || (argc == 2 && strcmp(argv[1], "help") == 0))) {
		usage(stdout);
		return 0;
	}
	for (size_t i = 0; argc >= 2 && i < sizeof commands / sizeof commands[0]; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	if (argc >= 2)
		fprintf(stderr, "sluice: no command \"%s\"\n\n", argv[1]);
	usage(stderr);
	return EX_USAGE;
}
