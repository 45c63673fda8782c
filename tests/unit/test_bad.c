/* Every tests/conf/bad/NAME.yaml is refused with exactly the text of NAME.err, and every error code has a file that shows it.
 * A new case is a new pair of files; SLUICE_WRITE=1 writes the .err of what is told now, to be read before it is committed. */
#include "plan/where.h"
#include "spec/diag.h"
#include "spec/schema.h"
#include "spec/tree.h"
#include "base/arena.h"
#include "base/buf.h"
#include "unit.h"

#include <glob.h>
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

static void conditions(struct arena *arena, const struct node *root, struct diag *diag)
{
	const struct node *streams = root != NULL ? node_get(root, "streams") : NULL;

	for (unsigned i = 0; streams != NULL && streams->kind == NODE_MAP && i < streams->n; i++) {
		const struct node *where = node_get(streams->entries[i].value, "where");

		if (where != NULL && where->kind == NODE_SCALAR && where->len > 0)
			where_compile(arena, where, diag);
	}
}

static void told(const char *path, struct buf *out)
{
	struct arena *arena = arena_new();
	struct diag *diag = diag_new();
	size_t len;
	char *text = slurp(path, &len);
	struct node *root = tree_read_text(arena, path, text, len, 0, diag);

	if (root != NULL)
		schema_check(arena, schema_root(schema_builtin()), root, NULL, NULL, diag);
	conditions(arena, root, diag);
	diag_print(diag, out, false);
	buf_addf(out, "exit %d\n", diag_exit(diag));
	free(text);
	diag_free(diag);
	arena_free(arena);
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
		if (code_is_error((enum diag_code)i) && strstr(all.p, mark) == NULL && i != DIAG_TOO_BIG && i != DIAG_UNREADABLE && i != DIAG_BAD_SCHEMA &&
		    i != DIAG_ADAPTER && i != DIAG_VECTOR) {
			print_error("no file shows %s\n", code_at((enum diag_code)i)->name);
			missing++;
		}
	}
	buf_fini(&all);
	buf_fini(&out);
	assert_int_equal(differ, 0);
	assert_int_equal(missing, 0);
}

int main(void)
{
	char dir[4096];
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_each_file_is_told_as_recorded) };

	snprintf(dir, sizeof(dir), "%s/tests/conf/bad", getenv("SLUICE_SRC") ? getenv("SLUICE_SRC") : ".");
	if (chdir(dir) < 0) {
		perror(dir);
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
