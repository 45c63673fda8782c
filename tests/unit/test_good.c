/* Every tests/conf/good/NAME.yaml compiles, to the normal form in NAME.plan, with the warnings in NAME.warn where there are any; the
 * normal form compiles to itself, and as JSON it is the same specification; every warning there is has a file that shows it. SLUICE_WRITE=1
 * writes what is made now. */
#include "plan/plan.h"
#include "spec/diag.h"
#include "base/buf.h"
#include "unit.h"

#include <glob.h>
#include <unistd.h>

/* A loader that knows one file by heart and finds all others on disk. */
struct known { const char *name, *text; };

static char *known_read(void *arg, const char *path, size_t *len, char *why, size_t whylen)
{
	const struct known *k = arg;
	struct buf b = BUF_INIT;

	if (k->name == NULL || strcmp(path, k->name) != 0)
		return loader_files.read(loader_files.arg, path, len, why, whylen);
	buf_adds(&b, k->text);
	*len = b.len;
	return buf_take(&b);
}

static char **known_glob(void *arg, const char *pattern)
{
	(void)arg;
	return loader_files.glob(loader_files.arg, pattern);
}

static const char *known_env(void *arg, const char *name)
{
	(void)arg;
	return loader_files.env(loader_files.arg, name);
}

static struct plan *compiled(const char *path, const char *text, struct buf *told)
{
	struct known k = { text ? path : NULL, text };
	struct loader l = { .arg = &k, .read = known_read, .glob = known_glob, .env = known_env };
	struct diag *d = diag_new();
	struct plan *p = plan_compile(path, &l, NULL, NULL, d);

	diag_print(d, told, false);
	diag_free(d);
	return p;
}

static unsigned compare(const char *path, const char *suffix, const char *got)
{
	char name[300];
	struct buf want = BUF_INIT;
	FILE *f;
	int c;
	unsigned differ = 0;

	snprintf(name, sizeof(name), "%.*s.%s", (int)strlen(path) - 5, path, suffix);
	if (getenv("SLUICE_WRITE") != NULL && *got != '\0') {
		f = fopen(name, "wb");
		assert_non_null(f);
		fputs(got, f);
		fclose(f);
	}
	f = fopen(name, "rb");
	while (f != NULL && (c = fgetc(f)) != EOF)
		buf_addc(&want, (char)c);
	if (f != NULL)
		fclose(f);
	if (strcmp(want.p ? want.p : "", got) != 0) {
		print_error("%s: wanted:\n%s\ngot:\n%s\n", name, want.p ? want.p : "(nothing)", got);
		differ = 1;
	}
	buf_fini(&want);
	return differ;
}

static void test_each_file_has_the_plan_recorded(void **state)
{
	(void)state;
	glob_t files;
	struct buf told = BUF_INIT, again = BUF_INIT, first = BUF_INIT, second = BUF_INIT;
	unsigned differ = 0;
	bool shown[DIAG_CODES] = { false };

	assert_int_equal(glob("*.yaml", 0, NULL, &files), 0);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		const char *path = files.gl_pathv[i];
		struct plan *p;

		buf_clear(&told);
		buf_clear(&first);
		buf_clear(&second);
		p = compiled(path, NULL, &told);
		if (p == NULL)
			fail_msg("%s", told.p);
		plan_print(p, NULL, &first);
		for (unsigned code = 0; code < DIAG_CODES; code++)
			shown[code] = shown[code] || (told.p != NULL && strstr(told.p, code_name(code)) != NULL);
		differ += compare(path, "plan", first.p);
		differ += compare(path, "warn", told.p ? told.p : "");
		buf_clear(&second);
		plan_print_json(p, NULL, &second);
		plan_unref(p);
		for (int json = 0; json < 2; json++) { /* the second time round from JSON */
			struct buf text = BUF_INIT;

			buf_adds(&text, json ? second.p : first.p);
			buf_clear(&again);
			p = compiled("again.yaml", text.p, &again);
			if (p == NULL)
				fail_msg("%s: the normal form does not compile:\n%s%s", path, again.p, text.p);
			buf_clear(&text);
			plan_print(p, NULL, &text);
			assert_string_equal(text.p, first.p);
			plan_unref(p);
			buf_fini(&text);
		}
		assert_null(strstr(first.p, "hunter2"));
		assert_null(strstr(second.p, "hunter2"));
		assert_null(strstr(first.p, "s3cret"));
		assert_null(strstr(second.p, "s3cret"));
	}
	globfree(&files);
	buf_fini(&told);
	buf_fini(&again);
	buf_fini(&first);
	buf_fini(&second);
	assert_int_equal(differ, 0);
	for (unsigned code = 0; code < DIAG_CODES; code++)
		if (!code_is_error(code) && !shown[code])
			fail_msg("no file shows %s", code_name(code));
}

int main(void)
{
	char dir[4096];
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_each_file_has_the_plan_recorded) };

	snprintf(dir, sizeof(dir), "%s/tests/conf/good", getenv("SLUICE_SRC") ? getenv("SLUICE_SRC") : ".");
	if (chdir(dir) < 0) {
		perror(dir);
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
