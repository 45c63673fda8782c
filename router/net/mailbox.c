/* mailbox.c - see mailbox.h. Two arrays change places: posters fill one while the loop runs the other. */
#include "net/mailbox.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/arena.h"

struct letter { void (*fn)(void *); void *arg; };
struct letters { struct letter *v; unsigned n, cap; };

struct mailbox {
	pthread_mutex_t lock;
	struct letters in;   /* guarded by lock */
	struct letters out;  /* the loop's */
	struct event *event;
	int fd;
};

static void mailbox_run(evutil_socket_t fd, short what, void *arg)
{
	struct mailbox *m = arg;
	uint64_t n;
	struct letters swap;

	(void)what;
	if (read(fd, &n, sizeof n) < 0)
		return;
	pthread_mutex_lock(&m->lock);
	swap = m->in;
	m->in = m->out;
	m->in.n = 0;
	m->out = swap;
	pthread_mutex_unlock(&m->lock);
	for (unsigned i = 0; i < m->out.n; i++)
		m->out.v[i].fn(m->out.v[i].arg);
}

struct mailbox *mailbox_new(struct event_base *base)
{
	struct mailbox *m = xcalloc(1, sizeof *m);

	pthread_mutex_init(&m->lock, NULL);
	m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	m->event = m->fd < 0 ? NULL : event_new(base, m->fd, EV_READ | EV_PERSIST, mailbox_run, m);
	if (!m->event || event_add(m->event, NULL) < 0) {
		perror("sluice: mailbox");
		exit(71);
	}
	return m;
}

void mailbox_free(struct mailbox *m)
{
	if (!m)
		return;
	event_free(m->event);
	close(m->fd);
	free(m->in.v);
	free(m->out.v);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

void mailbox_post(struct mailbox *m, void (*fn)(void *arg), void *arg)
{
	uint64_t one = 1;
	unsigned before;

	pthread_mutex_lock(&m->lock);
	before = m->in.n;
	if (m->in.n == m->in.cap) {
		m->in.cap = m->in.cap ? m->in.cap * 2 : 16;
		m->in.v = xrealloc(m->in.v, m->in.cap * sizeof *m->in.v);
	}
	m->in.v[m->in.n++] = (struct letter){ fn, arg };
	pthread_mutex_unlock(&m->lock);
	/* An eventfd can only refuse when its counter is full, and then the loop is awake already. */
	if (before == 0 && write(m->fd, &one, sizeof one) < 0)
		return;
}
