/* plan.c - `sluice plan FILE`: what the program made of a specification, as a specification, as JSON, or as a picture. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "plan/plan.h"
#include "reload.h"
#include "spec/diag.h"

static const char usage[] =
	"usage: sluice plan [--json | --dot] [--no-secrets] FILE\n"
	"\n"
	"The compiled plan in normal form, which is a specification of the same meaning: includes merged, defaults filled in, paths absolute,\n"
	"references in place of secrets.\n"
	"\n"
	"  --json         the same as JSON\n"
	"  --dot          a picture for Graphviz: sluice plan --dot FILE | dot -Tsvg >plan.svg\n"
	"  --no-secrets   take ${env:…} and ${file:…} as given\n";

int cli_plan(int argc, char **argv)
{
	const char *file = NULL;
	bool json = false, dot = false, no_secrets = false;
	struct buf out = BUF_INIT;
	struct plan *p;
	char *from;
	struct diag *d;
	int status;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (strcmp(argv[i], "--dot") == 0) {
			dot = true;
		} else if (strcmp(argv[i], "--no-secrets") == 0) {
			no_secrets = true;
		} else if (strcmp(argv[i], "--help") == 0) {
			fputs(usage, stdout);
			return EX_OK;
		} else if (argv[i][0] == '-' || file != NULL) {
			fputs(usage, stderr);
			return EX_USAGE;
		} else {
			file = argv[i];
		}
	}
	if (file == NULL || (json && dot)) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	from = getcwd(NULL, 0); /* NULL where the folder is gone or hidden: relative paths are all there is */
	d = diag_new();
	p = reload_compile(file, no_secrets, d);
	if (p == NULL) {
		diag_print(d, &out, diag_colour(stderr));
		fwrite(out.p, 1, out.len, stderr);
	} else if (json) {
		plan_print_json(p, from, &out);
	} else if (dot) {
		plan_print_dot(p, &out);
	} else {
		plan_print(p, from, &out);
	}
	if (p != NULL)
		fwrite(out.p, 1, out.len, stdout);
	status = diag_exit(d);
	free(from);
	buf_fini(&out);
	plan_unref(p);
	diag_free(d);
	return fflush(stdout) == 0 ? status : EX_IOERR;
}
