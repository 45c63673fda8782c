/* file_place.c - how far a file was read, kept beside the store: one small file for each channel.
 *
 * It is written after the commit of what it stands for. So a crash between the two, or a power cut that takes the newest place, makes the
 * last piece come twice; nothing is ever passed over. Loops must not wait for a disk, so it is not synced; instead the file has two slots, which
 * are written in turn, in place. Each carries a number and a CRC: whatever a power cut leaves of one, the other is whole. */
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
#define SLOT 8192u     /* room for the longest path */

static char *name_of(const char *data, uint32_t channel)
{
	struct buf b = BUF_INIT;

	buf_addf(&b, "%s/place-%" PRIu32, data, channel);
	return buf_take(&b);
}

/* A slot is a line: its CRC, number, and the rest. */
static bool slot_read(int fd, unsigned slot, struct file_place *p, char text[SLOT], const char **path)
{
	ssize_t n = pread(fd, text, SLOT - 1, (off_t)slot * SLOT);
	char *end = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;
	int at = 0, behind = 0;
	uint32_t crc;

	if (!end)
		return false;
	*end = '\0';
	if (sscanf(text, "%8" SCNx32 " %n", &crc, &at) != 1 || !at || crc != crc32c(0, text + at, strlen(text + at)) ||
		sscanf(text + at, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNu32 " %n", &p->serial, &p->device, &p->inode, &p->offset,
			&p->head_len, &p->head_crc, &behind) != 6 || !behind)
		return false;
	*path = text + at + behind;
	return true;
}

bool file_place_read(struct file_place *p, const char *data, uint32_t channel, const char *path)
{
	char *name = name_of(data, channel), text[SLOT];
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	struct file_place one;
	const char *was;
	bool ok = false;

	free(name);
	*p = (struct file_place){ 0 };
	for (unsigned slot = 0; fd >= 0 && slot < 2; slot++)
		if (slot_read(fd, slot, &one, text, &was) && one.serial > p->serial) {
			*p = one;
			ok = strcmp(was, path) == 0;
		}
	if (fd >= 0)
		close(fd);
	return ok;
}

int file_place_write(struct file_place *p, const char *data, uint32_t channel, const char *path)
{
	char *name = name_of(data, channel);
	int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), failed = -1;
	struct buf b = BUF_INIT, line = BUF_INIT;

	free(name);
	if (fd < 0)
		return -1;
	p->serial++;
	buf_addf(&b, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu32 " %" PRIu32 " %s", p->serial, p->device, p->inode, p->offset, p->head_len,
		p->head_crc, path);
	buf_addf(&line, "%08" PRIx32 " %s\n", crc32c(0, b.p, b.len), b.p);
	errno = ENAMETOOLONG;
	if (line.len < SLOT && pwrite(fd, line.p, line.len, (off_t)(p->serial & 1) * SLOT) == (ssize_t)line.len)
		failed = 0;
	close(fd);
	buf_fini(&b);
	buf_fini(&line);
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
	*p = (struct file_place){ .serial = p->serial, .device = (uint64_t)st.st_dev, .inode = (uint64_t)st.st_ino, .offset = offset, .head_len = offset < HEAD_MAX ? (uint32_t)offset : HEAD_MAX };
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
