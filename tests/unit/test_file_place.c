/* How far a file was read: kept in two slots, of which one is whole whatever a crash leaves of the other. */
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "channels/file_parts.h"

static char folder[64], feed[100], kept[100];

static struct file_place place_at(uint64_t offset, uint64_t serial)
{
	struct file_place p = { .serial = serial };
	int fd = open(feed, O_RDONLY);

	assert_int_equal(file_place_of(&p, fd, offset), 0);
	close(fd);
	return p;
}

static uint64_t read_offset(const char *path)
{
	struct file_place p;

	return file_place_read(&p, folder, 7, path) ? p.offset : UINT64_MAX;
}

/* What a power cut may leave of a slot. */
static void spoil(unsigned slot, off_t at, const char *bytes)
{
	int fd = open(kept, O_WRONLY);

	assert_int_equal(pwrite(fd, bytes, strlen(bytes), slot * 8192 + at), (ssize_t)strlen(bytes));
	close(fd);
}

static void test_the_newest_whole_place_counts(void **state)
{
	struct file_place p = place_at(0, 0);

	(void)state;
	assert_int_equal(read_offset(feed), UINT64_MAX);
	for (uint64_t offset = 1; offset <= 9; offset++) {
		p = place_at(offset, p.serial);
		assert_int_equal(file_place_write(&p, folder, 7, feed), 0);
		assert_int_equal(read_offset(feed), offset);
	}
	assert_int_equal(p.serial, 9);
	spoil(1, 9, "x");                                    /* the ninth: the eighth is there still */
	assert_int_equal(read_offset(feed), 8);
	spoil(0, 20, "garbage");
	assert_int_equal(read_offset(feed), UINT64_MAX);
	assert_int_equal(file_place_write(&p, folder, 7, feed), 0);   /* and it goes on from there */
	assert_int_equal(read_offset(feed), 9);
	assert_int_equal(truncate(kept, 0), 0);
	assert_int_equal(read_offset(feed), UINT64_MAX);
}

static void test_a_place_in_another_file_is_none_but_is_older(void **state)
{
	struct file_place p, q;

	(void)state;
	p = place_at(4, 41);
	assert_int_equal(file_place_write(&p, folder, 7, feed), 0);
	assert_false(file_place_read(&q, folder, 7, "/another"));
	assert_int_equal(q.serial, 42);
	q = place_at(1, q.serial);
	assert_int_equal(file_place_write(&q, folder, 7, "/another"), 0);
	assert_int_equal(read_offset("/another"), 1);
	assert_int_equal(read_offset(feed), UINT64_MAX);
}

static int up(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/sluice-place-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(feed, sizeof feed, "%s/feed", folder);
	snprintf(kept, sizeof kept, "%s/place-7", folder);
	int fd = open(feed, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "0123456789", 10), 10);
	return close(fd);
}

static int down(void **state)
{
	(void)state;
	unlink(feed);
	unlink(kept);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_newest_whole_place_counts, up, down),
		cmocka_unit_test_setup_teardown(test_a_place_in_another_file_is_none_but_is_older, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
