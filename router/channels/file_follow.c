/* file_follow.c - lines of a file that others write, as they come; or of standard input to its end.
 *
 * As on a connection (tcp_conn.c), bytes are held until what they say is durable, one piece is with the store at a time, and where there is no
 * room reading waits: the file is the buffer. The hard idea is when a file has ended: never, until another one stands under its name. Then the
 * old one is read to its end, and looked at for a moment longer, because whoever renamed it may still be writing. A file that became
 * shorter than what was read of it, or has another head, was emptied in place and begins anew. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/seldom.h"
#include "channels/file_parts.h"
#include "message/message.h"
#include "plan/plan.h"

#define PIECE (256u << 10)
#define REFUSED_KEPT (64u << 10)
#define LOOK_US 100000                /* how often an ended file is looked at */
#define GRACE_US 1000000              /* for a writer of a file that was renamed */
#define AGAIN_FIRST_US 100000
#define AGAIN_MAX_US 2000000

struct follow {
	struct intake_loop *loop;
	struct follow *next, **at;
	const struct channel_host *host;
	char *channel, *object, *path, *data;
	uint32_t number;
	int fd;
	bool standard;               /* input: no place is kept */
	struct event *timer, *readable;
	struct buf in;               /* from `offset` on */
	uint64_t offset;             /* all before it is durable */
	struct file_place place;
	bool placed;                 /* place is that of this file, at offset */
	size_t submitted, looked;
	const char *refused;
	int64_t replaced_us;         /* since when another file stands under the name; 0: none does */
	int64_t wait_us;
	bool busy, skipping;
	bool idle;                   /* at the end of what was there: it may have been emptied since */
	bool ready;                  /* standard input has something */
	bool at_end, told_end;       /* standard input has ended */
	void (*ended)(void *arg);
	void *ended_arg;
	struct seldom told;
};

struct follow *follow_next(struct follow *f) { return f->next; }

static void look_in(struct follow *f, int64_t us)
{
	const struct timeval tv = { us / 1000000, us % 1000000 };

	evtimer_add(f->timer, &tv);
}

static void tell(struct follow *f, const char *what)
{
	uint64_t n = 1;

	if (seldom(&f->told, clock_mono_us(), &n))
		log_warn(f->object, "cannot-read", "path=%s reason=%s hint=%s", log_quote(f->path), log_quote(what),
			log_quote("it is tried again ten times a second; the user the router runs as must be allowed to read it"));
}

/* ---- files -------------------------------------------------------------------------------------------------------------- */

static void begin(struct follow *f, int fd, uint64_t offset)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = fd;
	f->offset = offset;
	f->replaced_us = 0;
	f->skipping = false;
	f->looked = 0;
	buf_clear(&f->in);
	f->placed = file_place_of(&f->place, fd, offset) == 0;
	log_info(f->object, "reading", "path=%s from=%llu", log_quote(f->path), (unsigned long long)offset);
}

static bool open_path(struct follow *f, uint64_t offset)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0) {
		if (errno != ENOENT)
			tell(f, strerror(errno));
		return false;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		tell(f, "not a regular file");
		close(fd);
		return false;
	}
	begin(f, fd, offset);
	return true;
}

/* Behind one that was read to its end. */
static bool open_next(struct follow *f)
{
	int fd = file_rotated_next(f->path, f->fd, f->object);

	if (fd < 0)
		return open_path(f, 0);
	begin(f, fd, 0);
	return true;
}

/* Where we were, if that is still to be found. */
static bool open_place(struct follow *f)
{
	struct file_place p;
	bool known = file_place_read(&p, f->data, f->number, f->path);
	int fd;

	f->place.serial = p.serial;
	if (!known)
		return false;
	fd = file_place_find(&p, f->path);
	if (fd < 0) {
		log_warn(f->object, "place-lost", "path=%s offset=%llu hint=%s", log_quote(f->path), (unsigned long long)p.offset,
			log_quote("the file that was read last is not in its folder any more, or was emptied: the one that stands there now is read from its beginning"));
		return false;
	}
	begin(f, fd, p.offset);
	return true;
}

/* Somebody may have emptied it since we saw its end, and written as much again. */
static void look_for_emptied(struct follow *f)
{
	struct stat st;
	bool shorter = fstat(f->fd, &st) == 0 && (uint64_t)st.st_size < f->offset + f->in.len;

	if (!shorter && (!f->placed || file_place_is(&f->place, f->fd)))
		return;
	log_info(f->object, "emptied", "path=%s read=%llu unfinished_line=%zu", log_quote(f->path), (unsigned long long)f->offset, f->in.len);
	begin(f, dup(f->fd), 0);
}

/* At the end of what is there: has another file its name, and for long enough? */
static bool moved_on(struct follow *f)
{
	struct stat mine, theirs;
	int64_t now = clock_mono_us();

	if (fstat(f->fd, &mine) < 0)
		return false;
	if (stat(f->path, &theirs) < 0 || (theirs.st_dev == mine.st_dev && theirs.st_ino == mine.st_ino)) {
		f->replaced_us = 0;
		return false;
	}
	if (!f->replaced_us)
		f->replaced_us = now;
	return now - f->replaced_us >= GRACE_US;
}

/* ---- pieces ---------------------------------------------------------------------------------------------------------------- */

static void done(void *arg, const struct intake_result *r)
{
	struct follow *f = arg;

	f->busy = false;
	if (r->outcome == INTAKE_FULL || r->outcome == INTAKE_FAILED) {
		look_in(f, f->wait_us);
		f->wait_us = f->wait_us * 2 < AGAIN_MAX_US ? f->wait_us * 2 : AGAIN_MAX_US;
	} else {
		f->wait_us = AGAIN_FIRST_US;
		f->offset += f->submitted;
		buf_consume(&f->in, f->submitted);
		f->submitted = 0;
		f->refused = NULL;
		if (!f->standard && (file_place_of(&f->place, f->fd, f->offset) < 0 || file_place_write(&f->place, f->data, f->number, f->path) < 0))
			tell(f, "its place cannot be kept");
		f->placed = true;
		follow_look(f);
		return;
	}
	if (f->ended)
		follow_end(f, f->ended, f->ended_arg);
}

static void submit(struct follow *f, const struct channel *c, size_t n)
{
	bool adapter = c->decoder_options != NULL;
	struct intake_piece piece = { .used = n };

	f->busy = true;
	f->submitted = n;
	f->host->submit(f->host->arg, &(struct intake){ .loop = f->loop, .channel = c, .body = f->in.p, .len = f->refused && n > REFUSED_KEPT ? REFUSED_KEPT : n,
		.peer = f->standard ? "stdin" : f->path, .lines = !adapter, .mute = true, .refuse = f->refused, .piece = adapter && !f->refused ? &piece : NULL,
		.done = done, .arg = f });
	if (!adapter || f->refused)
		return;
	/* A file has no connection: nothing that the adapter might remember of it. What it cannot read is set aside whole. */
	if (piece.conn && f->host->conn_end)
		f->host->conn_end(f->host->arg, f->loop, piece.conn);
	f->submitted = piece.broken ? n : piece.used;
	f->looked = f->submitted ? 0 : n;
}

/* More of the file into the input; false: there is none now. */
static bool read_more(struct follow *f, size_t most)
{
	size_t want = most - f->in.len < PIECE ? most - f->in.len : PIECE;
	ssize_t n;

	buf_reserve(&f->in, want + MESSAGE_PAD);
	do
		n = f->standard ? read(f->fd, f->in.p + f->in.len, want) : pread(f->fd, f->in.p + f->in.len, want, (off_t)(f->offset + f->in.len));
	while (n < 0 && errno == EINTR);
	if (n > 0)
		f->in.len += (size_t)n;
	else if (n < 0 && errno != EAGAIN)
		tell(f, strerror(errno));
	f->at_end |= f->standard && n == 0;
	return n > 0;
}

static void skip_line(struct follow *f)
{
	char *nl = memchr(f->in.p, '\n', f->in.len);
	size_t n = nl ? (size_t)(nl - f->in.p) + 1 : f->in.len;

	f->offset += n;
	f->skipping = !nl;
	buf_consume(&f->in, n);
}

/* A piece to the store, if a whole one is at hand; `last`: no more comes behind it. */
static bool next_piece(struct follow *f, const struct channel *c, size_t most, bool last)
{
	char *nl;
	size_t n = 0;

	if (f->skipping && f->in.len)
		skip_line(f);
	if (f->in.len == 0)
		return false;
	if (f->submitted) {
		submit(f, c, f->submitted);
		return true;
	}
	if (c->decoder_options)
		n = f->in.len > f->looked ? f->in.len : 0;
	else if ((nl = memrchr(f->in.p, '\n', f->in.len)))
		n = (size_t)(nl - f->in.p) + 1;
	if (!n && (last || f->in.len >= most)) {
		f->refused = last ? NULL : "longer than limits.message; its first 64 KiB are here";
		if (last && c->decoder_options)
			f->refused = "the file ended inside a message";
		f->skipping = !last && !c->decoder_options;
		n = f->in.len;
	}
	if (n)
		submit(f, c, n);
	return n > 0;
}

/* ---- the life ------------------------------------------------------------------------------------------------------------------ */

static void tell_end(struct follow *f)
{
	if (!f->told_end)
		log_info(f->object, "ended", "path=%s", log_quote(f->path));
	f->told_end = true;
}

void follow_look(struct follow *f)
{
	const struct channel *c = plan_channel(f->loop->plan, f->channel);
	size_t most;

	if (f->busy)
		return;
	if (f->ended) {
		follow_end(f, f->ended, f->ended_arg);
		return;
	}
	if (!c || evtimer_pending(f->timer, NULL) || !f->host->may_read(f->host->arg, f->loop))
		return;
	most = (size_t)f->loop->plan->settings.limit_message + 1;
	if (most < PIECE)
		most = PIECE;
	if (f->fd < 0 && !open_place(f) && !open_path(f, 0)) {
		look_in(f, LOOK_US);
		return;
	}
	if (f->idle && !f->standard && !f->submitted)
		look_for_emptied(f);
	f->idle = false;
	while (!next_piece(f, c, most, false)) {
		if (f->readable && !f->ready && !f->at_end) {
			event_add(f->readable, NULL);
			return;
		}
		f->ready = false;
		if (!f->at_end && read_more(f, most))
			continue;
		if (f->at_end) {
			if (!next_piece(f, c, most, true))
				tell_end(f);
			return;
		}
		if (!f->standard && moved_on(f)) {
			if (next_piece(f, c, most, true))
				return;
			if (open_next(f))
				continue;
		}
		f->idle = true;
		if (!f->readable)
			look_in(f, LOOK_US);
		else
			event_add(f->readable, NULL);
		return;
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd; (void)what;
	follow_look(arg);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct follow *f = arg;

	(void)fd; (void)what;
	f->ready = true;
	follow_look(f);
}

static void open_standard(struct follow *f)
{
	struct stat st;

	f->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (f->fd < 0 || fstat(f->fd, &st) < 0) {
		f->at_end = true;
		tell_end(f);
	} else if (!S_ISREG(st.st_mode)) {
		f->readable = event_new(f->loop->base, f->fd, EV_READ, on_readable, f);
	}
}

struct follow *follow_new(struct intake_loop *l, const struct channel_host *h, const char *channel, const char *path, const char *data, uint32_t number)
{
	struct follow *f = xcalloc(1, sizeof *f);
	struct buf object = BUF_INIT;

	f->loop = l;
	f->host = h;
	f->channel = xstrdup(channel);
	buf_addf(&object, "channel/%s", channel);
	f->object = buf_take(&object);
	f->path = xstrdup(path);
	f->data = xstrdup(data);
	f->number = number;
	f->fd = -1;
	f->wait_us = AGAIN_FIRST_US;
	f->timer = evtimer_new(l->base, on_timer, f);
	f->next = l->file;
	f->at = (struct follow **)&l->file;
	if (f->next)
		f->next->at = &f->next;
	l->file = f;
	f->standard = strcmp(path, "-") == 0;
	if (f->standard)
		open_standard(f);
	if (!f->at_end)
		look_in(f, 0);
	return f;
}

void follow_end(struct follow *f, void (*ended)(void *arg), void *arg)
{
	f->ended = ended;
	f->ended_arg = arg;
	if (f->busy)
		return;
	if (f->standard && f->in.len)
		log_warn(f->object, "unsaved", "peer=stdin bytes=%zu hint=%s", f->in.len, log_quote("read, but there was no room to keep it before the end"));
	follow_free(f);
	ended(arg);
}

void follow_free(struct follow *f)
{
	*f->at = f->next;
	if (f->next)
		f->next->at = f->at;
	event_free(f->timer);
	if (f->readable)
		event_free(f->readable);
	if (f->fd >= 0)
		close(f->fd);
	free(f->channel);
	free(f->object);
	free(f->path);
	free(f->data);
	buf_fini(&f->in);
	free(f);
}
