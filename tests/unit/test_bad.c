/* Every tests/conf/bad/NAME.yaml is refused with exactly the text of NAME.err, and every error code has a file that shows it.
 * A new case is a new pair of files; SLUICE_WRITE=1 writes the .err of what is told now, to be read before it is committed. */
#include "plan/plan.h"
#include "spec/diag.h"
#include "base/arena.h"
#include "base/buf.h"
#include "unit.h"

#include <errno.h>
#include <glob.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char *slurp(const char *path, size_t *len)
{
	struct buf b = BUF_INIT;
	FILE *f = fopen(path, "rb");
	char part[4096];
	size_t n;

	if (f == NULL)
		return NULL;
	while ((n = fread(part, 1, sizeof(part), f)) > 0)
		buf_add(&b, part, n);
	fclose(f);
	*len = b.len;
	return buf_take(&b);
}

/* A version control keeps no permissions: a file says in its first line which it is to be seen with (`# mode 0640`), else nobody else reads it. */
static unsigned told_mode(void *arg, const char *path)
{
	FILE *f = fopen(path, "rb");
	unsigned mode = 0;

	(void)arg;
	assert_non_null(f);
	if (fscanf(f, "# mode %o", &mode) != 1)
		mode = 0;
	fclose(f);
	return mode;
}

static void told(const char *path, struct buf *out)
{
	struct loader loader = loader_files;
	struct diag *diag = diag_new();
	const struct plan *plan;

	loader.exposed = told_mode;
	plan = plan_compile(path, &loader, NULL, NULL, diag);

	if ((plan == NULL) != (diag_errors(diag) > 0))
		fail_msg("%s: %u errors, but %s plan", path, diag_errors(diag), plan ? "a" : "no");
	plan_unref(plan);
	diag_print(diag, out, false);
	buf_addf(out, "exit %d\n", diag_exit(diag));
	diag_free(diag);
}

/* Shown by tests of their own: a file of 8 MiB, and what needs an adapter or a case. */
static bool elsewhere(enum diag_code code)
{
	return code == DIAG_TOO_BIG || code == DIAG_BAD_SCHEMA || code == DIAG_ADAPTER || code == DIAG_VECTOR || code == DIAG_CASE ||
	       code == DIAG_TWO_VALUES;
}

static void test_each_file_is_told_as_recorded(void **state)
{
	(void)state;
	glob_t files;
	struct buf all = BUF_INIT, out = BUF_INIT;
	unsigned differ = 0, missing = 0;

	assert_int_equal(glob("*.yaml", 0, NULL, &files), 0);
	assert_true(files.gl_pathc >= 60);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		char name[300], *want;
		size_t len;

		snprintf(name, sizeof(name), "%.*s.err", (int)strlen(files.gl_pathv[i]) - 5, files.gl_pathv[i]);
		buf_clear(&out);
		told(files.gl_pathv[i], &out);
		buf_add(&all, out.p, out.len);
		if (strstr(out.p, "exit 0\n") != NULL) {
			print_error("%s is not refused\n", files.gl_pathv[i]);
			differ++;
		}
		if (getenv("SLUICE_WRITE") != NULL) {
			FILE *f = fopen(name, "wb");

			assert_non_null(f);
			fwrite(out.p, 1, out.len, f);
			fclose(f);
		}
		want = slurp(name, &len);
		if (want == NULL || strcmp(want, out.p) != 0) {
			print_error("%s: wanted:\n%s\ngot:\n%s\n", files.gl_pathv[i], want ? want : "(there is no .err file)", out.p);
			differ++;
		}
		free(want);
	}
	globfree(&files);
	for (unsigned i = 0; i < DIAG_CODES; i++) {
		char mark[20];

		snprintf(mark, sizeof(mark), "error[%s]", code_at((enum diag_code)i)->name);
		if (code_is_error((enum diag_code)i) && strstr(all.p, mark) == NULL && !elsewhere((enum diag_code)i)) {
			print_error("no file shows %s\n", code_at((enum diag_code)i)->name);
			missing++;
		}
	}
	buf_fini(&all);
	buf_fini(&out);
	assert_int_equal(differ, 0);
	assert_int_equal(missing, 0);
}

static enum diag_code spoken(const char *path, bool no_secrets)
{
	struct loader loader = loader_files;
	struct diag *diag = diag_new();
	struct plan *plan;
	enum diag_code code = DIAG_CODES;
	struct buf out = BUF_INIT;

	loader.no_secrets = no_secrets;
	plan = plan_compile(path, &loader, NULL, NULL, diag);
	diag_print(diag, &out, false);
	if (plan == NULL && strstr(out.p, "error[E058]") != NULL && strstr(out.p, "chmod 600") != NULL)
		code = DIAG_EXPOSED;
	else if (plan == NULL)
		fail_msg("%s", out.p);
	plan_unref(plan);
	buf_fini(&out);
	diag_free(diag);
	return code;
}

static void test_who_may_read_a_file_is_asked_of_its_literal_secrets_only(void **state)
{
	(void)state;
	static const char *const urls[] = { "https://ops:hunter2@lake.example.com/", "https://lake.example.com/${env:HOME}" };
	char path[] = "/tmp/sluice-secret.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	for (int reference = 0; reference < 2; reference++) {
		enum diag_code open = reference ? DIAG_CODES : DIAG_EXPOSED;

		assert_return_code(ftruncate(fd, 0), errno);
		assert_return_code(lseek(fd, 0, SEEK_SET), errno);
		dprintf(fd, "sluice: 1\ndestinations: {out: {type: http, url: \"%s\"}}\n", urls[reference]);
		assert_return_code(fchmod(fd, 0600), errno);
		assert_int_equal(spoken(path, false), DIAG_CODES);
		assert_return_code(fchmod(fd, 0604), errno);
		assert_int_equal(spoken(path, false), open);
		assert_int_equal(spoken(path, true), DIAG_CODES);
		/* The group may read what is root's. */
		assert_return_code(fchmod(fd, 0640), errno);
		assert_int_equal(spoken(path, false), geteuid() == 0 ? DIAG_CODES : open);
		if (geteuid() == 0) {
			assert_return_code(fchown(fd, 65534, 65534), errno);
			assert_int_equal(spoken(path, false), open);
			assert_return_code(fchown(fd, 0, 0), errno);
		}
	}
	close(fd);
	unlink(path);
}

static char *read_line(void *arg, const char *path, size_t *len, char *why, size_t whylen)
{
	const struct buf *line = arg;

	(void)path;
	(void)why;
	(void)whylen;
	*len = line->len;
	return xstrdup(line->p);
}

/* For each of a thousand problems the end of the line was looked for, and for each unknown key what was meant. */
static void test_a_long_line_of_mistakes_takes_no_time(void **state)
{
	(void)state;
	static const char *const forms[][2] = { { "{", "}" }, { "streams: {", "}" }, { "subscriptions: [", "]" } };

	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		struct buf line = BUF_INIT, out = BUF_INIT;
		struct loader loader = loader_files;
		struct diag *diag = diag_new();
		clock_t before = clock();
		char item[40];

		buf_adds(&line, forms[i][0]);
		for (unsigned k = 0; k < 100000; k++) {
			snprintf(item, sizeof(item), i == 0 ? "k%u: 1, " : i == 1 ? "s%u: {}, " : "{a%u}, ", k);
			buf_adds(&line, item);
		}
		buf_adds(&line, forms[i][1]);
		loader.read = read_line;
		loader.arg = &line;
		assert_null(plan_compile("line.yaml", &loader, NULL, NULL, diag));
		diag_print(diag, &out, false);
		assert_true(diag_errors(diag) >= 100000);
		assert_true((clock() - before) / CLOCKS_PER_SEC < 2 * UNIT_PATIENCE);
		diag_free(diag);
		buf_fini(&line);
		buf_fini(&out);
	}
}

int main(void)
{
	char dir[4096];
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_file_is_told_as_recorded), cmocka_unit_test(test_who_may_read_a_file_is_asked_of_its_literal_secrets_only),
		cmocka_unit_test(test_a_long_line_of_mistakes_takes_no_time),
	};

	snprintf(dir, sizeof(dir), "%s/tests/conf/bad", getenv("SLUICE_SRC") ? getenv("SLUICE_SRC") : ".");
	if (chdir(dir) < 0) {
		perror(dir);
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
