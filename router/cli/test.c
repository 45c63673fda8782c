/* test.c - `sluice test [FILE | DIR]`: adapters' vectors, and the user's own cases. */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "cli/cases.h"
#include "cli/cli.h"
#include "plan/plan.h"
#include "reload.h"
#include "spec/diag.h"
#include "transforms/host.h"

#define LOOK_NS 200000000L  /* how often --watch looks for a change */

static const char usage[] =
	"usage: sluice test [--watch] [--no-secrets] [FILE | DIR]\n"
	"\n"
	"FILE, a specification: the vectors of the adapters it uses, and the cases in tests/*.yaml beside it.\n"
	"DIR, a folder of adapters: the vectors of all of them, and the cases in DIR/tests/*.yaml, which name their specification.\n"
	"Default: the folder one is in.\n"
	"\n"
	"  --watch        again whenever a file there changes\n"
	"  --no-secrets   take ${env:…} and ${file:…} as given\n"
	"\n"
	"Exit status: 0 all passed, 65 something failed, 78 the specification itself is wrong.\n";

struct tested { const char *path; bool folder, no_secrets, watch; };

static bool is_yaml(const char *name)
{
	size_t n = strlen(name);

	return n > 5 && strcmp(name + n - 5, ".yaml") == 0;
}

static int only_yaml(const struct dirent *e)
{
	return is_yaml(e->d_name);
}

/* The folder that cases stand in. */
static char *cases_folder(const struct tested *t)
{
	const char *slash = strrchr(t->path, '/');
	struct buf b = BUF_INIT;

	if (t->folder)
		buf_addf(&b, "%s/tests", t->path);
	else if (slash)
		buf_addf(&b, "%.*s/tests", (int)(slash - t->path), t->path);
	else
		buf_adds(&b, "tests");
	return buf_take(&b);
}

static unsigned run_cases(const struct tested *t, unsigned *files, struct diag *d)
{
	char *folder = cases_folder(t);
	struct dirent **names = NULL;
	int n = scandir(folder, &names, only_yaml, alphasort);
	unsigned cases = 0;

	for (int i = 0; i < n; i++) {
		struct buf path = BUF_INIT;

		buf_addf(&path, "%s/%s", folder, names[i]->d_name);
		buf_addc(&path, '\0');
		cases += cases_run(path.p, t->folder ? NULL : t->path, t->no_secrets, d);
		++*files;
		buf_fini(&path);
		free(names[i]);
	}
	free(names);
	free(folder);
	return cases;
}

static int run_once(const struct tested *t)
{
	struct diag *d = diag_new();
	struct buf out = BUF_INIT;
	unsigned files = 0, cases = 0;
	int status;

	if (t->folder) {
		struct adapters *a = adapters_open(&t->path, 1, d);

		adapters_run_vectors(a, NULL, d);
		adapters_free(a);
		cases = run_cases(t, &files, d);
	} else {
		struct plan *p = reload_compile(t->path, t->no_secrets, d);

		if (p)
			cases = run_cases(t, &files, d);
		plan_unref(p);
	}
	diag_print(d, &out, diag_colour(stdout));
	status = diag_exit(d);
	if (status == EX_OK)
		buf_addf(&out, "%s: vectors pass, and %u case%s in %u file%s\n", t->path, cases, cases == 1 ? "" : "s", files, files == 1 ? "" : "s");
	else
		buf_addf(&out, "%s: %u problem%s\n", t->path, diag_errors(d), diag_errors(d) == 1 ? "" : "s");
	fwrite(out.p ? out.p : "", 1, out.len, stdout);
	if (fflush(stdout) != 0)
		status = EX_IOERR;
	buf_fini(&out);
	diag_free(d);
	return status;
}

/* ---- watching -------------------------------------------------------------------------------------------------------------- */

static uint64_t seen;

static int look_at(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	static const char *const endings[] = { ".yaml", ".lua", ".csv", ".json" };
	const char *dot = strrchr(path, '.');

	if (kind == FTW_D && ftw->level > 0 && path[ftw->base] == '.')
		return FTW_SKIP_SUBTREE;
	if (kind != FTW_F || !dot || ftw->level > 4)
		return FTW_CONTINUE;
	for (unsigned i = 0; i < sizeof endings / sizeof *endings; i++)
		if (strcmp(dot, endings[i]) == 0) {
			uint64_t what[] = { (uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec, (uint64_t)st->st_size, st->st_ino };

			seen += hash_stable(path, strlen(path)) ^ hash_stable(what, sizeof what);
		}
	return FTW_CONTINUE;
}

/* A number that changes when a file does that may matter. */
static uint64_t state_of_files(const struct tested *t)
{
	const char *slash = strrchr(t->path, '/');
	char *root = t->folder ? xstrdup(t->path) : slash ? strndup(t->path, (size_t)(slash - t->path + 1)) : xstrdup(".");

	seen = 0;
	nftw(root, look_at, 16, FTW_PHYS | FTW_ACTIONRETVAL);
	free(root);
	return seen;
}

static _Noreturn void watch(const struct tested *t)
{
	for (uint64_t before, now;;) {
		before = state_of_files(t);
		run_once(t);
		do {
			nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
			now = state_of_files(t);
		} while (now == before);
		puts("--- a file has changed");
	}
}

int cli_test(int argc, char **argv)
{
	struct tested t = { .path = NULL };
	struct stat st;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			fputs(usage, stdout);
			return EX_OK;
		}
		if (strcmp(argv[i], "--watch") == 0) {
			t.watch = true;
		} else if (strcmp(argv[i], "--no-secrets") == 0) {
			t.no_secrets = true;
		} else if (argv[i][0] == '-' || t.path) {
			fputs(usage, stderr);
			return EX_USAGE;
		} else {
			t.path = argv[i];
		}
	}
	if (!t.path)
		t.path = ".";
	if (stat(t.path, &st) < 0) {
		fprintf(stderr, "sluice: %s: %s\n", t.path, strerror(errno));
		return EX_NOINPUT;
	}
	t.folder = S_ISDIR(st.st_mode);
	if (t.watch)
		watch(&t);
	return run_once(&t);
}
