/* lookup.c - see lookup.h. Two owners, the loop and the thread: the last one frees, so that a resolver which hangs for a minute holds up
 * neither a reload nor the end of the process. */
#include "net/lookup.h"

#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"

#define STACK_BYTES (512u << 10)

struct lookup {
	atomic_uint owners;
	char *host, *port;
	int fd;                     /* the thread says here that it is done */
	int fault, system_fault;    /* of getaddrinfo */
	struct addrinfo *list;
	/* the loop's */
	struct event *answered;
	void (*done)(void *arg, const struct addrinfo *list, const char *why);
	void *arg;
};

static void unref(struct lookup *l)
{
	if (atomic_fetch_sub_explicit(&l->owners, 1, memory_order_acq_rel) != 1)
		return;
	if (l->list)
		freeaddrinfo(l->list);
	if (l->fd >= 0)
		close(l->fd);
	free(l->host);
	free(l->port);
	free(l);
}

static void ask(struct lookup *l, int flags)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV };

	l->fault = getaddrinfo(l->host, l->port, &hints, &l->list);
	l->system_fault = errno;
	/* RFC 6761, 6.3: this name is the loopback address also where no file says so, as in a bare container. */
	if (l->fault && !(flags & AI_NUMERICHOST) && strcasecmp(l->host, "localhost") == 0)
		l->fault = getaddrinfo(NULL, l->port, &hints, &l->list);
}

static void tell(struct lookup *l)
{
	uint64_t one = 1;

	(void)!write(l->fd, &one, sizeof one);
	unref(l);
}

static void *run(void *arg)
{
	struct lookup *l = arg;

	ask(l, AI_ADDRCONFIG);
	tell(l);
	return NULL;
}

static void on_answered(evutil_socket_t fd, short what, void *arg)
{
	struct lookup *l = arg;
	uint64_t times;

	(void)what;
	(void)!read(fd, &times, sizeof times); /* what the thread wrote before is seen from here on */
	event_free(l->answered);
	if (l->list)
		l->done(l->arg, l->list, NULL);
	else
		l->done(l->arg, NULL, l->fault == EAI_SYSTEM ? strerror(l->system_fault) : gai_strerror(l->fault));
	unref(l);
}

static bool start(struct lookup *l)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	bool ok;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ok = pthread_create(&thread, &attr, run, l) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return ok;
}

struct lookup *lookup_new(struct event_base *base, const char *host, const char *port, void (*done)(void *arg, const struct addrinfo *list, const char *why),
                          void *arg)
{
	struct lookup *l = xcalloc(1, sizeof *l);

	atomic_init(&l->owners, 2);
	l->host = xstrdup(host);
	l->port = xstrdup(port);
	l->done = done;
	l->arg = arg;
	l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->answered = event_new(base, l->fd, EV_READ, on_answered, l);
	if (l->fd < 0) {
		l->fault = EAI_SYSTEM;
		l->system_fault = errno;
		event_active(l->answered, EV_READ, 0);
		unref(l);
		return l;
	}
	event_add(l->answered, NULL);
	ask(l, AI_NUMERICHOST);
	if (l->list) {
		tell(l);
	} else if (!start(l)) {
		l->fault = EAI_AGAIN;
		tell(l);
	}
	return l;
}

void lookup_cancel(struct lookup *l)
{
	event_free(l->answered);
	unref(l);
}
