/* tcp_datagrams.c - a socket of datagrams: each is a request of its own, and its answer goes back to where it came from.
 *
 * A sender of datagrams hears of nothing, so where there is no room a datagram is lost. That is counted and named, ours (the stream was
 * full) and the kernel's (its buffer was full while we were busy: the kernel counts those itself). */
#include <errno.h>
#include <event2/event.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/seldom.h"
#include "base/stats.h"
#include "channels/tcp_parts.h"
#include "plan/plan.h"

#define A_TURN 16                  /* datagrams read at once */
#define LARGEST 65536
#define PAD 64
#define WAITING_MAX 512            /* with the store; then the kernel's buffer fills */
#define KERNEL_BUFFER (4 << 20)

struct asked {
	struct asked *next, *next_all;
	struct tcp_datagrams *from;
	struct sockaddr_storage sa;
	socklen_t len;
	unsigned lines;
};

struct tcp_datagrams {
	struct tcp_gate *gate;
	int fd;
	struct event *readable;
	bool draining;
	unsigned waiting;
	char *room;                    /* A_TURN datagrams, each with its pad */
	struct asked *idle, *all;
	uint32_t overflowed;           /* as the kernel counted last */
	struct seldom told;
};

static void lost(struct tcp_datagrams *d, uint64_t n, const char *why)
{
	const struct channel *c = tcp_gate_channel(d->gate);
	struct tcp_gate *g = d->gate;

	if (!c)
		return;
	stats_add(&stats_channel(c->name)->lost, n);
	if (!seldom(&d->told, clock_mono_us(), &n))
		return;
	log_warn(g->object, "lost", "datagrams=%llu reason=%s hint=%s", (unsigned long long)n, log_quote(why),
		log_quote("a sender of datagrams can't be told to wait: use tcp where every message counts, or make room"));
}

static bool may_read(struct tcp_datagrams *d)
{
	struct tcp_part *p = d->gate->part;

	return !d->draining && d->waiting < WAITING_MAX && p->host->may_read(p->host->arg, p->loop);
}

static void go_on(struct tcp_datagrams *d)
{
	struct tcp_gate *g = d->gate;

	if (d->draining && d->waiting == 0) {
		g->datagrams = NULL;
		tcp_datagrams_free(d);
		tcp_gate_left(g);
	} else if (may_read(d)) {
		event_add(d->readable, NULL);
	}
}

static void done(void *arg, const struct intake_result *r)
{
	struct asked *q = arg;
	struct tcp_datagrams *d = q->from;
	struct buf *text = &d->gate->part->text;

	d->waiting--;
	if ((r->outcome == INTAKE_FULL || r->outcome == INTAKE_FAILED) && !r->answer && !q->lines)
		lost(d, 1, r->why ? r->why : "cannot be stored now");
	buf_clear(text);
	if (r->answer)
		buf_add(text, r->answer, r->answer_len);
	else if (q->lines)
		tcp_answer_lines(text, r, q->lines);
	if (text->len)
		(void)!sendto(d->fd, text->p, text->len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&q->sa, q->len);
	q->next = d->idle;
	d->idle = q;
	go_on(d);
}

static struct asked *asked_new(struct tcp_datagrams *d)
{
	struct asked *q = d->idle;

	if (q) {
		d->idle = q->next;
		return q;
	}
	q = xcalloc(1, sizeof *q);
	q->from = d;
	q->next_all = d->all;
	d->all = q;
	return q;
}

/* Lines that are not empty: each is answered. */
static unsigned count_lines(const char *p, size_t n)
{
	unsigned lines = 0;

	for (const char *end = p + n, *nl; p < end && lines < INTAKE_REFUSALS_MAX; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(end - p));
		if (!nl)
			nl = end;
		for (const char *q = p; q < nl; q++)
			if (!strchr(" \t\r", *q)) {
				lines++;
				break;
			}
	}
	return lines;
}

/* What the kernel had no room for. Asked once a turn, and so after the last datagram too: SO_RXQ_OVFL would tell it with the next one, which may
 * never come. */
static void count_overflow(struct tcp_datagrams *d)
{
	uint32_t info[SK_MEMINFO_VARS];
	socklen_t len = sizeof info;

	if (getsockopt(d->fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0 || len <= SK_MEMINFO_DROPS * sizeof info[0])
		return;
	if (info[SK_MEMINFO_DROPS] != d->overflowed)
		lost(d, info[SK_MEMINFO_DROPS] - d->overflowed, "the kernel's buffer of the socket was full");
	d->overflowed = info[SK_MEMINFO_DROPS];
}

static void take(struct tcp_datagrams *d, const struct msghdr *m, const char *p, size_t n)
{
	struct tcp_gate *g = d->gate;
	struct tcp_part *part = g->part;
	const struct channel *c = tcp_gate_channel(g);
	char peer[ADDR_TEXT_MAX];
	struct asked *q;

	if (!c || n == 0)
		return;
	q = asked_new(d);
	q->len = m->msg_namelen;
	memcpy(&q->sa, m->msg_name, q->len);
	q->lines = g->acknowledge ? count_lines(p, n) : 0;
	d->waiting++;
	part->host->submit(part->host->arg, &(struct intake){ .loop = part->loop, .channel = c, .body = p, .len = n,
		.peer = addr_format((struct sockaddr *)&q->sa, peer), .lines = !g->adapter, .mute = true, .done = done, .arg = q });
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct tcp_datagrams *d = arg;
	struct mmsghdr m[A_TURN];
	struct iovec io[A_TURN];
	struct sockaddr_storage sa[A_TURN];

	(void)what;
	for (int i = 0; i < A_TURN; i++) {
		io[i] = (struct iovec){ d->room + (size_t)i * (LARGEST + PAD), LARGEST };
		m[i] = (struct mmsghdr){ .msg_hdr = { .msg_name = &sa[i], .msg_namelen = sizeof sa[i], .msg_iov = &io[i], .msg_iovlen = 1 } };
	}
	int n = recvmmsg(fd, m, A_TURN, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		take(d, &m[i].msg_hdr, io[i].iov_base, m[i].msg_len);
	count_overflow(d);
	if (!may_read(d))
		event_del(d->readable);
}

struct tcp_datagrams *tcp_datagrams_new(struct tcp_gate *g, int fd)
{
	static const int size = KERNEL_BUFFER;
	struct tcp_datagrams *d = xcalloc(1, sizeof *d);

	d->gate = g;
	d->fd = fd;
	d->room = xmalloc((size_t)A_TURN * (LARGEST + PAD));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	d->readable = event_new(g->part->loop->base, fd, EV_READ | EV_PERSIST, on_readable, d);
	event_add(d->readable, NULL);
	return d;
}

void tcp_datagrams_resume(struct tcp_datagrams *d)
{
	go_on(d);
}

void tcp_datagrams_drain(struct tcp_datagrams *d)
{
	d->draining = true;
	event_del(d->readable);
	go_on(d);
}

void tcp_datagrams_free(struct tcp_datagrams *d)
{
	struct asked *q, *next;

	for (q = d->all; q; q = next) {
		next = q->next_all;
		free(q);
	}
	event_free(d->readable);
	close(d->fd);
	free(d->room);
	free(d);
}
