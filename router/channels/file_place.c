/* file_place.c - how far a file was read, kept beside the store: one small file for each channel, replaced by rename.
 *
 * It is written after the commit of what it stands for. So a crash between the two, or a power cut that takes the newest place, makes the
 * last piece come twice; nothing is ever passed over. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/crc.h"
#include "channels/file_parts.h"

#define HEAD_MAX 256u

static char *name_of(const char *data, uint32_t channel, const char *end)
{
	struct buf b = BUF_INIT;

	buf_addf(&b, "%s/place-%" PRIu32 "%s", data, channel, end);
	return buf_take(&b);
}

bool file_place_read(struct file_place *p, const char *data, uint32_t channel, const char *path)
{
	char *name = name_of(data, channel, ""), was[4096];
	FILE *f = fopen(name, "re");
	bool ok = false;

	free(name);
	if (!f)
		return false;
	if (fscanf(f, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNu32 " ", &p->device, &p->inode, &p->offset, &p->head_len, &p->head_crc) == 5 &&
		fgets(was, sizeof was, f)) {
		was[strcspn(was, "\n")] = '\0';
		ok = strcmp(was, path) == 0;
	}
	fclose(f);
	return ok;
}

int file_place_write(const struct file_place *p, const char *data, uint32_t channel, const char *path)
{
	char *name = name_of(data, channel, ""), *fresh = name_of(data, channel, ".new");
	struct buf b = BUF_INIT;
	int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), failed = -1;

	buf_addf(&b, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu32 " %" PRIu32 " %s\n", p->device, p->inode, p->offset, p->head_len, p->head_crc, path);
	if (fd >= 0) {
		bool whole = write(fd, b.p, b.len) == (ssize_t)b.len;

		if (close(fd) == 0 && whole)
			failed = rename(fresh, name);
	}
	buf_fini(&b);
	free(name);
	free(fresh);
	return failed;
}

static int head(int fd, uint32_t n, uint32_t *crc)
{
	char bytes[HEAD_MAX];

	if (pread(fd, bytes, n, 0) != (ssize_t)n)
		return -1;
	*crc = crc32c(0, bytes, n);
	return 0;
}

int file_place_of(struct file_place *p, int fd, uint64_t offset)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	*p = (struct file_place){ .device = (uint64_t)st.st_dev, .inode = (uint64_t)st.st_ino, .offset = offset, .head_len = offset < HEAD_MAX ? (uint32_t)offset : HEAD_MAX };
	return head(fd, p->head_len, &p->head_crc);
}

bool file_place_is(const struct file_place *p, int fd)
{
	struct stat st;
	uint32_t crc;

	return fstat(fd, &st) == 0 && (uint64_t)st.st_dev == p->device && (uint64_t)st.st_ino == p->inode && (uint64_t)st.st_size >= p->offset &&
		p->head_len <= HEAD_MAX && head(fd, p->head_len, &crc) == 0 && crc == p->head_crc;
}

int file_place_find(const struct file_place *p, const char *path)
{
	char *folder = xstrdup(path), *slash = strrchr(folder, '/');
	struct dirent *e;
	DIR *d;
	int found = -1;

	if (slash)
		slash[slash == folder] = '\0';
	d = opendir(slash ? folder : ".");
	free(folder);
	while (d && found < 0 && (e = readdir(d))) {
		if ((uint64_t)e->d_ino != p->inode)
			continue;
		found = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (found >= 0 && !file_place_is(p, found)) {
			close(found);
			found = -1;
		}
	}
	if (d)
		closedir(d);
	return found;
}
