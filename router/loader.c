/* loader.c - the compiler's eyes: files, patterns and the environment, as struct loader wants them. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "plan/plan.h"
#include "types.h"

#define FILE_MAX (64u << 20)

static char *loader_read(void *arg, const char *path, size_t *len, char *why, size_t whylen)
{
	struct stat st;
	char *text = NULL;
	size_t n = 0, cap = 0;
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	(void)arg;
	if (fd < 0 || fstat(fd, &st) < 0) {
		snprintf(why, whylen, "%s", strerror(errno));
		goto out;
	}
	if (S_ISDIR(st.st_mode)) {
		snprintf(why, whylen, "is a directory");
		goto out;
	}
	do {
		if (n + 1 >= cap) {
			cap = cap ? cap * 2 : (size_t)(st.st_size > 0 ? st.st_size : 4096) + 2;
			text = xrealloc(text, cap);
		}
		got = read(fd, text + n, cap - n - 1);
		if (got > 0)
			n += (size_t)got;
	} while (n <= FILE_MAX && (got > 0 || (got < 0 && errno == EINTR)));
	if (got < 0 || n > FILE_MAX) {
		snprintf(why, whylen, "%s", got < 0 ? strerror(errno) : "larger than 64 MiB");
		free(text);
		text = NULL;
		goto out;
	}
	text[n] = '\0';
	*len = n;
out:
	if (fd >= 0)
		close(fd);
	return text;
}

static char **loader_glob(void *arg, const char *pattern)
{
	glob_t g = { 0 };
	char **names;

	(void)arg;
	if (glob(pattern, 0, NULL, &g) != 0)
		g.gl_pathc = 0;
	names = xcalloc(g.gl_pathc + 1, sizeof *names);
	for (size_t i = 0; i < g.gl_pathc; i++)
		names[i] = xstrdup(g.gl_pathv[i]);
	globfree(&g);
	return names;
}

static const char *loader_env(void *arg, const char *name)
{
	(void)arg;
	return getenv(name);
}

/* A file of root's that its group may read is how a daemon without root's rights gets at it. What is no regular file (a pipe) is gone once read. */
static unsigned loader_exposed(void *arg, const char *path)
{
	struct stat st;
	unsigned mode;

	(void)arg;
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	mode = st.st_mode & 0777;
	return (mode & (st.st_uid == 0 ? 0007u : 0077u)) != 0 ? mode : 0;
}

const struct loader loader_files = { .read = loader_read, .glob = loader_glob, .env = loader_env, .exposed = loader_exposed,
	.channel = types_check_channel, .whereabouts = types_whereabouts };
