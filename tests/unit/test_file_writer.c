/* Files of lines: whole or not at all, after a crash, on a full disk, over rotation, and when somebody else renames them. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "senders/file_parts.h"

static char folder[64], path[100];
static const _Atomic bool never = false;

static void put(const char *name, const char *text)
{
	FILE *f = fopen(name, "wb");

	assert_non_null(f);
	fwrite(text, 1, strlen(text), f);
	fclose(f);
}

static void expect(const char *name, const char *want)
{
	char got[4096];
	FILE *f = fopen(name, "rb");

	assert_non_null(f);
	got[fread(got, 1, sizeof got - 1, f)] = '\0';
	fclose(f);
	assert_string_equal(got, want);
}

/* Files in the folder whose name begins with path and a dot. */
static unsigned rotated(void)
{
	DIR *d = opendir(folder);
	unsigned n = 0;

	for (struct dirent *e; (e = readdir(d));)
		n += strncmp(e->d_name, "out.", 4) == 0;
	closedir(d);
	return n;
}

/* In place of the library's: what was asked to be on disk, and a disk that says no. */
static ino_t synced[64];
static unsigned nsynced;
static bool disk_fails;

static int note_sync(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	synced[nsynced++ % 64] = st.st_ino;
	errno = EIO;
	return disk_fails ? -1 : 0;
}

int fdatasync(int fd) { return note_sync(fd); }
int fsync(int fd) { return note_sync(fd); }

static bool was_synced(const char *name)
{
	struct stat st;

	assert_int_equal(stat(name, &st), 0);
	for (unsigned i = 0; i < nsynced; i++)
		if (synced[i] == st.st_ino)
			return true;
	return false;
}

static struct file_writer *writer(const struct file_settings *more)
{
	struct file_writer *w = file_writer_new(&never);
	struct file_settings s = more ? *more : (struct file_settings){ 0 };

	if (!s.path)
		s.path = path;
	file_writer_set(w, &s);
	return w;
}

static void append(struct file_writer *w, const char *text)
{
	char why[300] = "";

	if (file_writer_append(w, text, strlen(text), why, sizeof why) != FILE_WRITTEN || file_writer_sync(w, why, sizeof why) != FILE_WRITTEN)
		fail_msg("%s", why);
}

static void test_a_torn_line_is_cut_off_and_a_whole_one_completed(void **state)
{
	static const struct { const char *before, *after; } cases[] = {
		{ "", "new\n" }, { "{\"a\":1}\n", "{\"a\":1}\nnew\n" }, { "{\"a\":1}\n{\"a\":", "{\"a\":1}\nnew\n" }, { "{\"a\":", "new\n" },
		{ "{\"a\":1}\n{\"a\":2}", "{\"a\":1}\n{\"a\":2}\nnew\n" }, { "{\"a\":2}", "{\"a\":2}\nnew\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		put(path, cases[i].before);
		struct file_writer *w = writer(NULL);
		append(w, "new\n");
		file_writer_free(w);
		expect(path, cases[i].after);
	}
}

static void test_a_long_torn_line_is_found_over_pieces(void **state)
{
	struct buf b = BUF_INIT;
	struct stat st;

	(void)state;
	buf_adds(&b, "whole\n{\"a\":\"");
	for (int i = 0; i < 200000; i++)
		buf_addc(&b, 'x');
	put(path, b.p);
	struct file_writer *w = writer(NULL);
	append(w, "new\n");
	file_writer_free(w);
	stat(path, &st);
	assert_int_equal(st.st_size, 10);
	expect(path, "whole\nnew\n");
	buf_fini(&b);
}

static void test_a_full_disk_is_retried_and_leaves_nothing(void **state)
{
	struct file_writer *w = writer(&(struct file_settings){ .path = (char *)(uintptr_t)"/dev/full" });
	char why[300];

	(void)state;
	assert_int_equal(file_writer_append(w, "line\n", 5, why, sizeof why), FILE_RETRY);
	assert_non_null(strstr(why, "No space left on device"));
	file_writer_free(w);
}

static void test_what_waiting_does_not_mend_is_told_as_that(void **state)
{
	static const struct { const char *path, *why; enum file_result result; } cases[] = {
		{ "/nonexistent/folder/out", "No such file or directory", FILE_BLOCKED }, { "/tmp", "Is a directory", FILE_BLOCKED },
	};
	char why[300], fifo[120];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct file_writer *w = writer(&(struct file_settings){ .path = (char *)(uintptr_t)cases[i].path });
		assert_int_equal(file_writer_append(w, "x\n", 2, why, sizeof why), cases[i].result);
		assert_non_null(strstr(why, cases[i].why));
		file_writer_free(w);
	}
	snprintf(fifo, sizeof fifo, "%s/fifo", folder);
	mkfifo(fifo, 0600);
	struct file_writer *w = writer(&(struct file_settings){ .path = fifo });
	assert_int_equal(file_writer_append(w, "x\n", 2, why, sizeof why), FILE_RETRY);
	assert_non_null(strstr(why, "nobody reads this pipe"));
	int reader = open(fifo, O_RDONLY | O_NONBLOCK);
	assert_int_equal(file_writer_append(w, "x\n", 2, why, sizeof why), FILE_WRITTEN);
	file_writer_free(w);
	close(reader);
	unlink(fifo);
}

static void test_rotation_by_size_keeps_so_many(void **state)
{
	struct file_writer *w = writer(&(struct file_settings){ .rotate_size = 20, .keep = 3 });

	(void)state;
	put(path, "");
	for (int i = 0; i < 10; i++)
		append(w, "0123456789abcde\n");
	assert_int_equal(rotated(), 3);
	expect(path, "0123456789abcde\n");
	file_writer_free(w);
}

static void test_rotation_by_time(void **state)
{
	struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };
	unsigned before = rotated();

	(void)state;
	put(path, "old\n");
	utimensat(AT_FDCWD, path, old, 0);
	struct file_writer *w = writer(&(struct file_settings){ .rotate_every_us = 86400000000 });
	append(w, "new\n");
	append(w, "newer\n");
	file_writer_free(w);
	assert_int_equal(rotated(), before + 1);
	expect(path, "new\nnewer\n");
}

/* Two batches are confirmed by one sync; the first may lie in a file that somebody renamed in between. */
static void test_what_is_confirmed_was_synced_under_whatever_name(void **state)
{
	struct file_writer *w = writer(NULL);
	char why[300] = "", old[120];

	(void)state;
	nsynced = 0;
	assert_int_equal(file_writer_append(w, "1\n", 2, why, sizeof why), FILE_WRITTEN);
	assert_true(was_synced(folder)); /* a new file's name, too */
	assert_false(was_synced(path));
	snprintf(old, sizeof old, "%s.old", path);
	assert_int_equal(rename(path, old), 0);
	assert_int_equal(file_writer_append(w, "2\n", 2, why, sizeof why), FILE_WRITTEN);
	assert_int_equal(file_writer_sync(w, why, sizeof why), FILE_WRITTEN);
	assert_true(was_synced(old) && was_synced(path));
	/* A disk that says no at that moment: neither counts. */
	assert_int_equal(file_writer_append(w, "3\n", 2, why, sizeof why), FILE_WRITTEN);
	assert_int_equal(rename(path, old), 0);
	disk_fails = true;
	assert_int_equal(file_writer_append(w, "4\n", 2, why, sizeof why), FILE_WRITTEN);
	disk_fails = false;
	assert_int_equal(file_writer_sync(w, why, sizeof why), FILE_RETRY);
	assert_int_equal(file_writer_append(w, "3\n4\n", 4, why, sizeof why), FILE_WRITTEN);
	assert_int_equal(file_writer_sync(w, why, sizeof why), FILE_WRITTEN);
	file_writer_free(w);
	unlink(old);
}

static void test_a_file_that_was_renamed_is_left_and_made_anew(void **state)
{
	char other[120];

	(void)state;
	snprintf(other, sizeof other, "%s/other", folder);
	put(path, "");
	struct file_writer *w = writer(NULL);
	append(w, "one\n");
	rename(path, other);
	append(w, "two\n");
	unlink(path);
	append(w, "three\n");
	file_writer_free(w);
	expect(other, "one\n");
	expect(path, "three\n");
	unlink(other);
}

static int up(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/sluice-file-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/out", folder);
	return 0;
}

static int down(void **state)
{
	char name[400];
	DIR *d = opendir(folder);

	(void)state;
	for (struct dirent *e; (e = readdir(d));) {
		snprintf(name, sizeof name, "%s/%s", folder, e->d_name);
		unlink(name);
	}
	closedir(d);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_torn_line_is_cut_off_and_a_whole_one_completed, up, down),
		cmocka_unit_test_setup_teardown(test_a_long_torn_line_is_found_over_pieces, up, down),
		cmocka_unit_test_setup_teardown(test_a_full_disk_is_retried_and_leaves_nothing, up, down),
		cmocka_unit_test_setup_teardown(test_what_waiting_does_not_mend_is_told_as_that, up, down),
		cmocka_unit_test_setup_teardown(test_rotation_by_size_keeps_so_many, up, down),
		cmocka_unit_test_setup_teardown(test_rotation_by_time, up, down),
		cmocka_unit_test_setup_teardown(test_what_is_confirmed_was_synced_under_whatever_name, up, down),
		cmocka_unit_test_setup_teardown(test_a_file_that_was_renamed_is_left_and_made_anew, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
