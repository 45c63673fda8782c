/* send_wire.c - the other ways of `sluice send`: lines over TCP (plain or TLS), over a Unix socket or into a file, and datagrams.
 *
 * With --acknowledge each line is answered (ok, retry and why, refused and why), and what was not is sent again; a line that was put off
 * comes behind those that were not. Without, a message counts as taken when it is written: over TCP the last of them is waited for
 * until the far end's system has it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "cli/send.h"
#include "net/tls.h"
#include "net/wire.h"

#define ANSWER_US (30 * INT64_C(1000000))
#define DATAGRAM_US INT64_C(1000000)    /* then it, or its answer, is taken as lost */
#define SLICE_MS 200

struct send_wire {
	struct send *send;
	int fd;
	SSL *ssl;
	struct tls_client *tls;
	struct buf in, out;
	unsigned *todo, ntodo, cap;         /* messages of the batch that are not settled */
	unsigned taken, listed;
};

static void hang_up(struct send_wire *w)
{
	tls_session_free(w->ssl);
	w->ssl = NULL;
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	buf_clear(&w->in);
}

struct send_wire *send_wire_new(struct send *s)
{
	struct send_wire *w = xcalloc(1, sizeof *w);

	w->send = s;
	w->fd = -1;
	return w;
}

/* What was written is on its way, but the far end's system need not have it yet. */
void send_wire_free(struct send_wire *w)
{
	int64_t until = clock_mono_us() + ANSWER_US;
	int queued = 1;

	if (!w)
		return;
	while (w->fd >= 0 && w->send->way != SEND_FILE && !atomic_load(&w->send->stop) && clock_mono_us() < until &&
		ioctl(w->fd, SIOCOUTQ, &queued) == 0 && queued > 0)
		poll(NULL, 0, 5);
	hang_up(w);
	tls_client_unref(w->tls);
	buf_fini(&w->in);
	buf_fini(&w->out);
	free(w->todo);
	free(w);
}

/* ---- waiting: false when there is no more time, or all is to end ------------------------------------------------------------ */

static bool wait_for(struct send_wire *w, short what, int64_t until)
{
	while (!atomic_load(&w->send->stop) && clock_mono_us() < until) {
		struct pollfd fd = { .fd = w->fd, .events = what };

		if (poll(&fd, 1, SLICE_MS) > 0)
			return true;
	}
	errno = ETIMEDOUT;
	return false;
}

static ssize_t tls_result(struct send_wire *w, enum tls_io io, size_t n, short *what)
{
	bool certificate;

	if (io == TLS_IO_OK)
		return (ssize_t)n;
	*what = io == TLS_IO_WANT_READ ? POLLIN : POLLOUT;
	if (io == TLS_IO_WANT_READ || io == TLS_IO_WANT_WRITE) {
		errno = EAGAIN;
		return -1;
	}
	if (io == TLS_IO_EOF)
		return 0;
	(void)tls_fault(w->ssl, &certificate);
	errno = ECONNRESET;
	return -1;
}

static bool write_all(struct send_wire *w, const char *p, size_t n, int64_t until)
{
	while (n > 0) {
		short what = POLLOUT;
		size_t done = 0;
		ssize_t k = w->send->way == SEND_FILE ? write(w->fd, p, n) : w->ssl ? tls_result(w, tls_write(w->ssl, p, n, &done), done, &what) :
			send(w->fd, p, n, MSG_NOSIGNAL);

		if (k < 0 && (errno == EAGAIN || errno == EINTR)) {
			if (!wait_for(w, what, until))
				return false;
			continue;
		}
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

/* More of the answers; false: none came, or the far end has gone. */
static bool read_more(struct send_wire *w, int64_t until)
{
	for (;;) {
		short what = POLLIN;
		size_t done = 0;

		buf_reserve(&w->in, 65536);
		ssize_t k = w->ssl ? tls_result(w, tls_read(w->ssl, w->in.p + w->in.len, 65536, &done), done, &what) :
			recv(w->fd, w->in.p + w->in.len, 65536, 0);
		if (k > 0) {
			w->in.len += (size_t)k;
			return true;
		}
		if (k == 0)
			errno = ECONNRESET;
		if (k == 0 || (errno != EAGAIN && errno != EINTR) || !wait_for(w, what, until))
			return false;
	}
}

/* ---- connecting -------------------------------------------------------------------------------------------------------------- */

static int dial(struct send_wire *w, int family, int kind, const struct sockaddr *sa, socklen_t len, int64_t until)
{
	int fault = 0;
	socklen_t n = sizeof fault;

	w->fd = socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (w->fd < 0)
		return -1;
	if (connect(w->fd, sa, len) == 0)
		return 0;
	if (errno == EINPROGRESS && wait_for(w, POLLOUT, until) && getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &fault, &n) == 0 && fault == 0)
		return 0;
	if (fault)
		errno = fault;
	fault = errno;
	hang_up(w);
	errno = fault;
	return -1;
}

static bool handshake(struct send_wire *w, const char *host, int64_t until, struct buf *why, bool *hopeless)
{
	enum tls_io io;

	w->ssl = tls_client_session(w->tls, w->fd, host);
	while (w->ssl && (io = tls_handshake(w->ssl)) != TLS_IO_OK) {
		if (io == TLS_IO_ERROR || io == TLS_IO_EOF) {
			buf_addf(why, "%s", tls_fault(w->ssl, hopeless));
			return false;
		}
		if (!wait_for(w, io == TLS_IO_WANT_READ ? POLLIN : POLLOUT, until)) {
			buf_adds(why, "the TLS handshake did not end in time");
			return false;
		}
	}
	return w->ssl != NULL;
}

static bool open_inet(struct send_wire *w, const struct wire_target *to, int64_t until, struct buf *why)
{
	const struct addrinfo hints = { .ai_socktype = w->send->way == SEND_DATAGRAMS ? SOCK_DGRAM : SOCK_STREAM };
	struct addrinfo *list = NULL;
	int fault = getaddrinfo(to->host, to->port, &hints, &list), failed = -1;

	if (fault) {
		buf_addf(why, "%s: %s", to->host, gai_strerror(fault));
		return false;
	}
	for (const struct addrinfo *a = list; a && failed; a = a->ai_next)
		failed = dial(w, a->ai_family, a->ai_socktype, a->ai_addr, a->ai_addrlen, until);
	if (failed)
		buf_adds(why, strerror(errno));
	freeaddrinfo(list);
	return !failed;
}

static bool open_it(struct send_wire *w, struct buf *why, bool *hopeless)
{
	struct wire_target to;
	char fault[300];
	int64_t until = clock_mono_us() + ANSWER_US;

	if (w->fd >= 0)
		return true;
	if (w->send->way == SEND_FILE) {
		w->fd = open(w->send->url + strlen("file://"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
		if (w->fd < 0)
			buf_adds(why, strerror(errno));
		*hopeless = w->fd < 0;
		return w->fd >= 0;
	}
	if (wire_target_parse(&to, w->send->url, NULL, fault, sizeof fault) < 0) {
		buf_adds(why, fault);
		*hopeless = true;
		return false;
	}
	if (to.path[0]) {
		struct sockaddr_un sun = { .sun_family = AF_UNIX };

		memcpy(sun.sun_path, to.path, sizeof sun.sun_path);
		if (dial(w, AF_UNIX, SOCK_STREAM, (struct sockaddr *)&sun, sizeof sun, until) < 0)
			buf_adds(why, strerror(errno));
		return w->fd >= 0;
	}
	if (!open_inet(w, &to, until, why))
		return false;
	if (!to.tls)
		return true;
	if (!w->tls)
		w->tls = tls_client_new(&(struct tls_client_files){ .ca = w->send->ca, .verify = true }, fault, sizeof fault);
	if (!w->tls)
		buf_adds(why, fault);
	*hopeless = !w->tls;
	return w->tls && handshake(w, to.host, until, why, hopeless);
}

/* ---- a batch ------------------------------------------------------------------------------------------------------------------- */

static void settle_line(struct send_wire *w, const char *p, size_t n, unsigned index, unsigned *later, struct send_answer *a,
	void (*refused)(void *arg, unsigned index, const char *reason), void *arg)
{
	while (n && (p[n - 1] == '\r' || p[n - 1] == ' '))
		n--;
	if (n >= 5 && strncasecmp(p, "retry", 5) == 0) {
		w->todo[(*later)++] = index;
		buf_clear(&a->why);
		buf_add(&a->why, p, n);
	} else if (n >= 7 && strncasecmp(p, "refused", 7) == 0) {
		char reason[300];

		snprintf(reason, sizeof reason, "%.*s", (int)(n > 8 ? n - 8 : 0), p + 8);
		w->listed++;
		refused(arg, index, *reason ? reason : "no reason was given");
	} else {
		w->taken++;
	}
}

/* An answer for each line that is not settled. False: they did not all come. */
static bool read_answers(struct send_wire *w, int64_t wait_us, struct send_answer *a, void (*refused)(void *arg, unsigned index, const char *reason), void *arg)
{
	unsigned later = 0, at = 0, n = w->ntodo;

	while (at < n) {
		char *nl = w->in.len ? memchr(w->in.p, '\n', w->in.len) : NULL;

		if (nl) {
			settle_line(w, w->in.p, (size_t)(nl - w->in.p), w->todo[at++], &later, a, refused, arg);
			buf_consume(&w->in, (size_t)(nl - w->in.p) + 1);
		} else if (!read_more(w, clock_mono_us() + wait_us)) {
			int fault = errno;

			memmove(w->todo + later, w->todo + at, (n - at) * sizeof *w->todo);
			w->ntodo = later + n - at;
			buf_clear(&a->why);
			buf_adds(&a->why, strerror(fault));
			return false;
		}
	}
	w->ntodo = later;
	return true;
}

static void add_line(struct send_wire *w, const struct send_batch *b, unsigned i)
{
	size_t start = i ? b->items[i - 1].end : 0;

	buf_add(&w->out, b->bytes.p + start, b->items[i].end - start);
	w->out.p[w->out.len - 1] = '\n'; /* the comma */
}

/* Each a datagram, one after the other; those that were not answered stay. */
static bool send_datagrams(struct send_wire *w, const struct send_batch *b, unsigned from, struct send_answer *a,
	void (*refused)(void *arg, unsigned index, const char *reason), void *arg)
{
	while (w->ntodo > 0) {
		unsigned one = w->todo[0], rest = w->ntodo - 1, *all = w->todo;

		buf_clear(&w->out);
		add_line(w, b, from + one);
		if (!write_all(w, w->out.p, w->out.len - 1, clock_mono_us() + ANSWER_US)) {
			buf_adds(&a->why, strerror(errno));
			return false;
		}
		if (!w->send->acknowledge) {
			w->taken++;
			memmove(all, all + 1, rest * sizeof *all);
			w->ntodo = rest;
			continue;
		}
		unsigned kept[1] = { one };
		w->todo = kept;
		w->ntodo = 1;
		bool answered = read_answers(w, DATAGRAM_US, a, refused, arg);
		bool settled = w->ntodo == 0;
		w->todo = all;
		w->ntodo = rest + 1;
		if (!answered || !settled)
			return false;
		memmove(all, all + 1, rest * sizeof *all);
		w->ntodo = rest;
	}
	return true;
}

static bool send_lines(struct send_wire *w, const struct send_batch *b, unsigned from, struct send_answer *a,
	void (*refused)(void *arg, unsigned index, const char *reason), void *arg)
{
	buf_clear(&w->out);
	for (unsigned i = 0; i < w->ntodo; i++)
		add_line(w, b, from + w->todo[i]);
	if (!write_all(w, w->out.p, w->out.len, clock_mono_us() + ANSWER_US)) {
		buf_clear(&a->why);
		buf_adds(&a->why, strerror(errno));
		return false;
	}
	if (w->send->acknowledge && w->send->way != SEND_FILE)
		return read_answers(w, ANSWER_US, a, refused, arg);
	w->taken += w->ntodo;
	w->ntodo = 0;
	return true;
}

enum send_verdict send_wire_try(struct send_wire *w, const struct send_batch *b, unsigned from, unsigned n, bool first, struct send_answer *a,
	void (*refused)(void *arg, unsigned index, const char *reason), void *arg)
{
	bool hopeless = false, whole;

	if (w->cap < n) {
		w->cap = n;
		w->todo = xrealloc(w->todo, n * sizeof *w->todo);
	}
	for (unsigned i = 0; first && i < n; i++)
		w->todo[i] = i;
	if (first) {
		w->ntodo = n;
		w->taken = w->listed = 0;
	}
	buf_clear(&a->why);
	if (!open_it(w, &a->why, &hopeless)) {
		hang_up(w);
		return hopeless ? SEND_NEVER : SEND_AGAIN;
	}
	whole = w->send->way == SEND_DATAGRAMS ? send_datagrams(w, b, from, a, refused, arg) : send_lines(w, b, from, a, refused, arg);
	if (!whole && w->send->way != SEND_DATAGRAMS)
		hang_up(w);
	a->taken = w->taken;
	a->listed = w->listed;
	return w->ntodo == 0 ? SEND_DONE : SEND_AGAIN;
}
