/* help.c - `sluice help CODE`: what a problem means and what to do about it. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cli/cli.h"
#include "spec/codes.h"

#define WIDTH 96

/* The paragraph, broken at blanks. */
static void fold(const char *text)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t n = strcspn(text, " ");

		if (column > 0 && column + 1 + n > WIDTH) {
			putchar('\n');
			column = 0;
		}
		printf("%s%.*s", column > 0 ? " " : "", (int)n, text);
		column += n + (column > 0);
		text += n;
		text += strspn(text, " ");
	}
	putchar('\n');
}

int cli_help(int argc, char **argv)
{
	const struct code *code = argc == 2 ? code_find(argv[1]) : NULL;

	if (code != NULL) {
		printf("%s: %s\n\n", code->name, code->title);
		fold(code->help);
		return EX_OK;
	}
	fprintf(stderr, "sluice: there is no problem with the code %s; there are:\n", argc == 2 ? argv[1] : "you gave");
	for (unsigned i = 0; i < DIAG_CODES; i++)
		fprintf(stderr, "  %s  %s\n", code_at((enum diag_code)i)->name, code_at((enum diag_code)i)->title);
	return EX_USAGE;
}
