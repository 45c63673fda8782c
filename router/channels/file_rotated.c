/* file_rotated.c - which file comes after one that was read to its end: more than one may have been begun and renamed meanwhile.
 *
 * logrotate and its like put digits behind the name (feed.1, feed-20261123, feed.20261123T000000Z), in whatever order, so the order is that of last
 * writing: a file that is renamed is not written to any more, or not for long. What was compressed cannot be read, and is told. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "channels/file_parts.h"

static bool is_later(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec != b->st_mtim.tv_sec ? a->st_mtim.tv_sec > b->st_mtim.tv_sec : a->st_mtim.tv_nsec > b->st_mtim.tv_nsec;
}

enum kind { OTHER, ROTATED, PACKED };

/* Of a name in the folder: is it `base` with a number or a date behind it? */
static enum kind kind_of(const char *name, const char *base)
{
	static const char *const packed[] = { ".gz", ".xz", ".zst", ".bz2" };
	size_t n = strlen(base), k;

	if (strncmp(name, base, n) != 0 || (name[n] != '.' && name[n] != '-'))
		return OTHER;
	k = strspn(name + n, "0123456789.-_:TZ");
	/* ".2.gz": the dot was taken for the number's */
	if (k > 1 && name[n + k] && name[n + k - 1] == '.')
		k--;
	if (k < 2)
		return OTHER;
	for (size_t i = 0; i < sizeof packed / sizeof *packed; i++)
		if (strcmp(name + n + k, packed[i]) == 0)
			return PACKED;
	return name[n + k] ? OTHER : ROTATED;
}

int file_rotated_next(const char *path, int fd, const char *channel)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	char *folder = xstrdup(slash ? path : ".");
	struct stat read, newest, st, best = { 0 };
	int found = -1;
	DIR *d;

	if (slash)
		folder[slash == path ? 1 : slash - path] = '\0';
	d = opendir(folder);
	free(folder);
	if (!d)
		return -1;
	if (fstat(fd, &read) < 0 || stat(path, &newest) < 0) {
		closedir(d);
		return -1;
	}
	for (struct dirent *e; (e = readdir(d));) {
		enum kind kind = kind_of(e->d_name, base);
		int other;

		if (kind == OTHER || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) || !is_later(&st, &read))
			continue;
		if (kind == PACKED) {
			/* It may be the one that was read, and packers keep times to the second. */
			if (st.st_mtim.tv_sec > read.st_mtim.tv_sec)
				log_warn(channel, "passed-over", "path=%s hint=%s", log_quote(e->d_name),
					log_quote("it was rotated and compressed before it could be read: unpack it and bring its lines in by another file"));
			continue;
		}
		if (st.st_ino == read.st_ino || st.st_ino == newest.st_ino || (found >= 0 && !is_later(&best, &st)))
			continue;
		other = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
		if (other < 0)
			continue;
		if (found >= 0)
			close(found);
		found = other;
		best = st;
	}
	closedir(d);
	return found;
}
