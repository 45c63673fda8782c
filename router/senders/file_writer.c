/* file_writer.c - lines into a file, whole or not at all.
 *
 * 1. A line that was torn by a crash or a full disk was never confirmed and comes again; so what stands behind the last newline when a file
 * is opened is cut off, unless it is a whole message, which gets its newline. 2. A file that was renamed or removed under us (logrotate)
 * is noticed before the next batch; the old one is left as it is. 3. Rotated files carry the time of their rotation, in UTC. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "message/message.h"
#include "senders/file_parts.h"

#define TAIL_MAX ((off_t)64 << 20)  /* looked through for the last newline */
#define PIPE_PIECE 4096             /* what a pipe that can be written to takes without waiting */
#define PATIENCE_MS 200

struct file_writer {
	const _Atomic bool *stop;
	struct file_settings s;
	int fd;
	bool regular, reopen;
	dev_t device;
	ino_t inode;
	off_t size;                 /* of what is whole */
	bool unsynced;              /* something was written since the last sync */
	bool lost;                  /* … and could not be synced when the file was let go */
	bool torn;                  /* something stands behind that, and could not be taken away yet */
	int64_t period;             /* of the last write, for rotation by time */
};

static enum file_result fault(int e, const char *doing, const char *path, char *why, size_t whylen)
{
	bool wrong = e == EACCES || e == EPERM || e == ENOENT || e == ENOTDIR || e == EISDIR || e == EROFS || e == ENAMETOOLONG || e == ELOOP;

	snprintf(why, whylen, "%s %s: %s", doing, path, e == ENXIO ? "nobody reads this pipe" : strerror(e));
	return wrong ? FILE_BLOCKED : FILE_RETRY;
}

/* What was written is not confirmed yet: it is synced before its file goes (rename by others, a reload). */
static void let_go(struct file_writer *w)
{
	if (w->fd >= 0 && w->regular && w->unsynced && fdatasync(w->fd) < 0)
		w->lost = true;
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	w->torn = w->unsynced = false;
}

struct file_writer *file_writer_new(const _Atomic bool *stop)
{
	struct file_writer *w = xcalloc(1, sizeof *w);

	w->stop = stop;
	w->fd = -1;
	return w;
}

void file_writer_free(struct file_writer *w)
{
	let_go(w);
	free(w->s.path);
	free(w);
}

void file_writer_set(struct file_writer *w, const struct file_settings *s)
{
	free(w->s.path);
	w->s = *s;
	w->s.path = xstrdup(s->path);
	w->reopen = true;
}

/* ---- opening ---------------------------------------------------------------------------------------------------------- */

static bool is_whole_message(const char *p, size_t n)
{
	struct buf b = BUF_INIT;
	struct index ix;
	struct message m;
	const char *stop;
	bool whole;

	buf_reserve(&b, n + MESSAGE_PAD);
	buf_add(&b, p, n);
	memset(b.p + n, 0, MESSAGE_PAD);
	index_init(&ix);
	whole = message_index(&ix, b.p, b.p + n, &m, &stop) == JSON_OK && stop == b.p + n;
	index_fini(&ix);
	buf_fini(&b);
	return whole;
}

/* What stands behind the last newline: completed or taken away. */
static int mend_tail(struct file_writer *w)
{
	struct buf tail = BUF_INIT;
	off_t end = w->size, at = end;
	ssize_t n;
	char *nl = NULL;
	int failed = 0;
	char last;

	if (end == 0 || (pread(w->fd, &last, 1, end - 1) == 1 && last == '\n'))
		return 0;
	while (at > 0 && !nl && end - at < TAIL_MAX) {
		off_t step = at < 65536 ? at : 65536;
		struct buf more = BUF_INIT;

		at -= step;
		buf_reserve(&more, (size_t)step);
		n = pread(w->fd, more.p, (size_t)step, at);
		if (n != step) {
			buf_fini(&more);
			buf_fini(&tail);
			return -1;
		}
		more.len = (size_t)n;
		buf_add(&more, tail.p, tail.len);
		buf_fini(&tail);
		tail = more;
		nl = memrchr(tail.p, '\n', tail.len);
	}
	size_t whole = nl ? (size_t)(nl - tail.p) + 1 : 0, rest = tail.len - whole;
	if (rest > 0 && (nl || at == 0)) {
		bool message = is_whole_message(tail.p + whole, rest);

		failed = message ? (write(w->fd, "\n", 1) == 1 ? 0 : -1) : ftruncate(w->fd, end - (off_t)rest);
		if (failed == 0)
			w->size = message ? end + 1 : end - (off_t)rest;
		if (failed == 0 && !message)
			log_warn("sender/file", "torn-line", "path=%s bytes=%zu hint=%s", log_quote(w->s.path), rest,
				log_quote("cut off behind the last newline: it was never confirmed, and is sent again"));
	}
	buf_fini(&tail);
	return failed;
}

static int64_t period_of(const struct file_writer *w, int64_t real_us)
{
	return w->s.rotate_every_us ? real_us / w->s.rotate_every_us : 0;
}

static void sync_folder(const char *path)
{
	char *copy = xstrdup(path), *slash = strrchr(copy, '/');
	int fd;

	if (slash)
		slash[slash == copy] = '\0';
	fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(copy);
}

static enum file_result open_file(struct file_writer *w, char *why, size_t whylen)
{
	struct stat st;
	bool standard = strcmp(w->s.path, "-") == 0;

	let_go(w);
	w->reopen = false;
	/* A pipe opened for reading too would never miss its reader. */
	bool pipe = !standard && stat(w->s.path, &st) == 0 && !S_ISREG(st.st_mode);
	w->fd = standard ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3) :
		open(w->s.path, (pipe ? O_WRONLY : O_RDWR) | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
	if (w->fd < 0 || fstat(w->fd, &st) < 0)
		return fault(errno, "cannot open", w->s.path, why, whylen);
	if (S_ISDIR(st.st_mode))
		return fault(EISDIR, "cannot write to", w->s.path, why, whylen);
	w->regular = S_ISREG(st.st_mode) && !standard;
	w->device = st.st_dev;
	w->inode = st.st_ino;
	w->size = w->regular ? st.st_size : 0;
	w->period = period_of(w, st.st_size ? (int64_t)st.st_mtim.tv_sec * 1000000 : clock_real_us());
	if (w->regular && mend_tail(w) < 0)
		return fault(errno, "cannot read the end of", w->s.path, why, whylen);
	if (w->regular && st.st_size == 0)
		sync_folder(w->s.path); /* what is synced into a new file must not go with its name */
	return FILE_WRITTEN;
}

/* Is this still the file of that name? */
static bool is_same(const struct file_writer *w)
{
	struct stat st;

	return !w->regular || (stat(w->s.path, &st) == 0 && st.st_dev == w->device && st.st_ino == w->inode);
}

/* ---- rotation ------------------------------------------------------------------------------------------------------------- */

/* Names sort by time: the first are the oldest. */
static void drop_oldest(const struct file_writer *w)
{
	struct buf pattern = BUF_INIT;
	glob_t found;

	if (w->s.keep == 0)
		return;
	for (const char *p = w->s.path; *p; p++) {
		if (strchr("*?[\\", *p))
			buf_addc(&pattern, '\\');
		buf_addc(&pattern, *p);
	}
	buf_adds(&pattern, ".[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T[0-9][0-9][0-9][0-9][0-9][0-9]Z*");
	if (glob(pattern.p, 0, NULL, &found) == 0) {
		for (size_t i = 0; i + w->s.keep < found.gl_pathc; i++)
			unlink(found.gl_pathv[i]);
		globfree(&found);
	}
	buf_fini(&pattern);
}

static enum file_result rotate(struct file_writer *w, char *why, size_t whylen)
{
	time_t now = (time_t)(clock_real_us() / 1000000);
	struct buf name = BUF_INIT;
	struct tm tm;
	enum file_result r = FILE_WRITTEN;

	gmtime_r(&now, &tm);
	for (unsigned i = 0; i == 0 || access(name.p, F_OK) == 0; i++) {
		buf_clear(&name);
		buf_addf(&name, "%s.%04d%02d%02dT%02d%02d%02dZ", w->s.path, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
		if (i)
			buf_addf(&name, "-%04u", i);
	}
	if (fdatasync(w->fd) < 0 || rename(w->s.path, name.p) < 0)
		r = fault(errno, "cannot rotate", w->s.path, why, whylen);
	else
		r = open_file(w, why, whylen);
	if (r == FILE_WRITTEN)
		drop_oldest(w);
	buf_fini(&name);
	return r;
}

/* ---- writing --------------------------------------------------------------------------------------------------------------- */

static int write_regular(struct file_writer *w, const char *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t k = write(w->fd, p + done, n - done);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			int saved = k < 0 ? errno : ENOSPC;

			w->torn = done > 0 && ftruncate(w->fd, w->size) < 0;
			errno = saved;
			return -1;
		}
		done += (size_t)k;
	}
	w->size += (off_t)n;
	w->unsynced = true;
	return 0;
}

/* A pipe or a terminal, which whoever reads it may hold up for as long as he likes. */
static int write_waiting(struct file_writer *w, const char *p, size_t n)
{
	for (size_t done = 0; done < n;) {
		struct pollfd fd = { .fd = w->fd, .events = POLLOUT };
		ssize_t k;

		if (atomic_load(w->stop)) {
			errno = EINTR;
			return -1;
		}
		if (poll(&fd, 1, PATIENCE_MS) <= 0)
			continue;
		k = write(w->fd, p + done, n - done < PIPE_PIECE ? n - done : PIPE_PIECE);
		if (k < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (k < 0)
			return -1;
		done += (size_t)k;
	}
	return 0;
}

enum file_result file_writer_append(struct file_writer *w, const char *p, size_t n, char *why, size_t whylen)
{
	enum file_result r = FILE_WRITTEN;
	int64_t now = clock_real_us();

	if (w->fd < 0 || w->reopen || w->torn || !is_same(w))
		r = open_file(w, why, whylen);
	if (r == FILE_WRITTEN && w->regular && w->size > 0 &&
		((w->s.rotate_size && (uint64_t)w->size + n > w->s.rotate_size) || period_of(w, now) != w->period))
		r = rotate(w, why, whylen);
	if (r != FILE_WRITTEN) {
		let_go(w);
		return r;
	}
	w->period = period_of(w, now);
	if ((w->regular ? write_regular(w, p, n) : write_waiting(w, p, n)) == 0)
		return FILE_WRITTEN;
	r = fault(errno, "cannot write to", w->s.path, why, whylen);
	if (!w->regular)
		let_go(w);
	return r;
}

enum file_result file_writer_sync(struct file_writer *w, char *why, size_t whylen)
{
	enum file_result r = FILE_WRITTEN;

	if (w->lost) {
		errno = EIO;
		r = fault(errno, "cannot sync what was written to", w->s.path, why, whylen);
	} else if (w->fd >= 0 && w->regular && w->unsynced && fdatasync(w->fd) < 0) {
		/* What the kernel could not write it may have forgotten: nothing of it counts, and the file is looked at anew. */
		r = fault(errno, "cannot sync", w->s.path, why, whylen);
		w->unsynced = false;
		let_go(w);
	}
	w->lost = w->unsynced = false;
	return r;
}
