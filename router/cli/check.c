/* check.c - `sluice check FILE`: everything that can be known without opening a port, a store or a connection. Problems go to stdout,
 * which is what was asked for; the exit status says what kind they are of. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "plan/plan.h"
#include "reload.h"
#include "spec/diag.h"

static const char usage[] =
	"usage: sluice check [--json] [--no-secrets] FILE\n"
	"\n"
	"  --json         problems as JSON, for programs\n"
	"  --no-secrets   take ${env:…} and ${file:…} as given, and leave certificates unread\n"
	"\n"
	"Exit status: 0 no errors (warnings do not count), 65 not YAML or an adapter's vectors fail, 78 any other error.\n";

static void summary(const struct diag *d, const char *file, const struct plan *p, struct buf *out)
{
	unsigned errors = diag_errors(d), warnings = diag_warnings(d);

	if (errors == 0 && p != NULL)
		buf_addf(out, "%s: fine: %u channel%s, %u stream%s, %u device%s", file, p->nchannels, p->nchannels == 1 ? "" : "s", p->nstreams,
			p->nstreams == 1 ? "" : "s", p->ndevices, p->ndevices == 1 ? "" : "s");
	else
		buf_addf(out, "%s: %u error%s", file, errors, errors == 1 ? "" : "s");
	if (warnings > 0)
		buf_addf(out, ", %u warning%s", warnings, warnings == 1 ? "" : "s");
	if (errors > 0)
		buf_adds(out, " (sluice help CODE explains one)");
	buf_addc(out, '\n');
}

int cli_check(int argc, char **argv)
{
	const char *file = NULL;
	bool json = false, no_secrets = false;
	struct buf out = BUF_INIT;
	struct plan *p;
	struct diag *d;
	int status;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
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
	if (file == NULL) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	d = diag_new();
	p = reload_compile(file, no_secrets, d);
	if (json) {
		diag_json(d, &out);
	} else {
		diag_print(d, &out, diag_colour(stdout));
		summary(d, file, p, &out);
	}
	fwrite(out.p, 1, out.len, stdout);
	status = diag_exit(d);
	buf_fini(&out);
	plan_unref(p);
	diag_free(d);
	return fflush(stdout) == 0 ? status : EX_IOERR;
}
