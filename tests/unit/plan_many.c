/* plan_many FILE… - is the plan of each specification, in normal form, a specification of the same plan? A line on stdout for each: `same FILE`,
 * `refused FILE`, or `differs FILE`; what was printed lies in FILE.plan, what that came to in FILE.again, and on stderr stands why.
 * tests/system/test_normal_form.py feeds it. */
#include "base/buf.h"
#include "plan/plan.h"
#include "reload.h"
#include "spec/diag.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

/* The normal form of a file's plan, in out. False: it is refused, which is told. */
static bool planned(const char *file, struct buf *out)
{
	struct diag *d = diag_new();
	struct buf told = BUF_INIT;
	struct plan *p = reload_compile(file, true, d);

	if (p != NULL)
		plan_print(p, NULL, out);
	else {
		diag_print(d, &told, false);
		fwrite(told.p, 1, told.len, stderr);
	}
	plan_unref(p);
	diag_free(d);
	buf_fini(&told);
	return p != NULL;
}

static void keep(const char *file, const char *suffix, const struct buf *text)
{
	char name[4096];
	FILE *f;

	snprintf(name, sizeof(name), "%s.%s", file, suffix);
	f = fopen(name, "wb");
	if (f == NULL || fwrite(text->p, 1, text->len, f) != text->len || fclose(f) != 0)
		perror(name);
}

int main(int argc, char **argv)
{
	umask(077); /* literals are written as ••• where secrets were, and a file with literals must not be read by others */
	for (int i = 1; i < argc; i++) {
		struct buf first = BUF_INIT, second = BUF_INIT;
		char again[4096];
		bool same;

		if (!planned(argv[i], &first)) {
			printf("refused %s\n", argv[i]);
			continue;
		}
		keep(argv[i], "plan", &first);
		snprintf(again, sizeof(again), "%s.plan", argv[i]);
		same = planned(again, &second) && first.len == second.len && memcmp(first.p, second.p, first.len) == 0;
		if (!same)
			keep(argv[i], "again", &second);
		printf("%s %s\n", same ? "same" : "differs", argv[i]);
		buf_fini(&first);
		buf_fini(&second);
	}
	return fflush(stdout) == 0 ? 0 : EX_IOERR;
}
