/* Which file comes after one that was read: by the time of last writing, among those with a number or a date behind the name. */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channels/file_parts.h"

static char folder[64];

static char *at(const char *name)
{
	static char path[2][330];
	static unsigned turn;

	turn ^= 1;
	snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
	return path[turn];
}

/* A file of that name, last written at that second. */
static void put(const char *name, time_t when)
{
	const struct timespec times[2] = { { .tv_sec = when }, { .tv_sec = when } };
	int fd = open(at(name), O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

/* The file after this one is that one; NULL: what stands at feed. */
static void expect(const char *read, const char *next)
{
	int fd = open(at(read), O_RDONLY), found = file_rotated_next(at("feed"), fd, "channel/x");
	struct stat mine, theirs;

	assert_true(fd >= 0);
	close(fd);
	if (!next) {
		assert_int_equal(found, -1);
		return;
	}
	assert_true(found >= 0);
	assert_int_equal(fstat(found, &mine), 0);
	assert_int_equal(stat(at(next), &theirs), 0);
	assert_int_equal(mine.st_ino, theirs.st_ino);
	close(found);
}

static void test_the_next_one_written(void **state)
{
	(void)state;
	put("feed", 900);
	put("feed.1", 800);
	put("feed.2", 700);
	put("feed.10", 600);
	put("feed-20261123", 500);
	expect("feed-20261123", "feed.10");
	expect("feed.10", "feed.2");
	expect("feed.2", "feed.1");
	expect("feed.1", NULL);
}

static void test_names_that_are_none_of_it(void **state)
{
	(void)state;
	put("feed", 900);
	put("feed.1", 100);
	put("feed.bak", 200);
	put("feed.2x", 200);
	put("feed.", 200);
	put("feeder.2", 200);
	put("feed2", 200);
	put("feed.2.gz", 200);
	put("other", 200);
	assert_int_equal(mkdir(at("feed.3"), 0700), 0);
	assert_int_equal(symlink("other", at("feed.4")), 0);
	expect("feed.1", NULL);
	put("feed.20261123T101112Z-0001", 300);
	expect("feed.1", "feed.20261123T101112Z-0001");
}

static void test_the_one_that_has_the_name_comes_last(void **state)
{
	(void)state;
	put("feed", 200);
	put("feed.1", 100);
	assert_int_equal(link(at("feed"), at("feed.5")), 0);
	put("feed.6", 300); /* a writer that has not noticed */
	expect("feed.1", "feed.6");
	expect("feed.6", NULL);
	assert_int_equal(unlink(at("feed")), 0);
	expect("feed.1", NULL);
}

static int up(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/sluice-rotated-XXXXXX");
	assert_non_null(mkdtemp(folder));
	return 0;
}

static int down(void **state)
{
	DIR *d = opendir(folder);

	(void)state;
	for (struct dirent *e; (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			remove(at(e->d_name));
	closedir(d);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_next_one_written, up, down),
		cmocka_unit_test_setup_teardown(test_names_that_are_none_of_it, up, down),
		cmocka_unit_test_setup_teardown(test_the_one_that_has_the_name_comes_last, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
