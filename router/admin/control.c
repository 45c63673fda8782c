/* control.c - see control.h. A request outlives its connection where it must: it is freed by its answer. */
#include "admin/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "message/message.h"

#define REQUEST_MAX 65536

static const struct timeval patience = { 10, 0 };

struct control {
	struct event_base *base;
	struct evconnlistener *listener;
	char *path;
	void (*handle)(void *arg, const char *line, size_t n, struct control_request *r);
	void *arg;
	struct control_request *requests;
};

struct control_request {
	struct control *control;          /* NULL once the control has gone */
	struct control_request *next, **prev;
	struct bufferevent *bev;          /* NULL once the client has gone */
	bool asked, answered;
};

static void request_free(struct control_request *r)
{
	if (r->control) {
		*r->prev = r->next;
		if (r->next)
			r->next->prev = r->prev;
	}
	if (r->bev)
		bufferevent_free(r->bev);
	free(r);
}

static void client_gone(struct bufferevent *bev, short what, void *arg)
{
	struct control_request *r = arg;

	(void)bev;
	(void)what;
	if (r->asked && !r->answered) {
		bufferevent_free(r->bev);
		r->bev = NULL;
	} else {
		request_free(r);
	}
}

static void client_written(struct bufferevent *bev, void *arg)
{
	struct control_request *r = arg;

	(void)bev;
	if (r->answered)
		request_free(r);
}

static void client_read(struct bufferevent *bev, void *arg)
{
	struct control_request *r = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t n;
	char *line;

	if (r->asked)
		return;
	line = evbuffer_readln(in, &n, EVBUFFER_EOL_LF);
	if (!line) {
		if (evbuffer_get_length(in) > REQUEST_MAX)
			request_free(r);
		return;
	}
	r->asked = true;
	/* From here on it is we who take our time: a commit may be waiting for its disk. */
	bufferevent_set_timeouts(bev, NULL, &patience);
	line = xrealloc(line, n + MESSAGE_PAD);
	memset(line + n, 0, MESSAGE_PAD);
	r->control->handle(r->control->arg, line, n, r);
	free(line);
}

static void client_new(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int len, void *arg)
{
	struct control *c = arg;
	struct control_request *r = xcalloc(1, sizeof *r);

	(void)l;
	(void)a;
	(void)len;
	r->control = c;
	r->bev = bufferevent_socket_new(c->base, fd, BEV_OPT_CLOSE_ON_FREE);
	r->next = c->requests;
	r->prev = &c->requests;
	if (r->next)
		r->next->prev = &r->next;
	c->requests = r;
	bufferevent_setcb(r->bev, client_read, client_written, client_gone, r);
	bufferevent_set_timeouts(r->bev, &patience, &patience);
	bufferevent_enable(r->bev, EV_READ | EV_WRITE);
}

void control_answer(struct control_request *r, const char *json, size_t n)
{
	r->answered = true;
	if (!r->bev) {
		request_free(r);
		return;
	}
	bufferevent_write(r->bev, json, n);
}

struct control *control_new(struct event_base *base, const char *path,
	void (*handle)(void *arg, const char *line, size_t n, struct control_request *r), void *arg)
{
	struct control *c = xcalloc(1, sizeof *c);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	mode_t before;
	int fd;

	if (strlen(path) >= sizeof a.sun_path) {
		log_error("control", "cannot-open", "path=%s reason=%s", log_quote(path),
			log_quote("longer than a unix socket may be; choose a shorter settings.data"));
		free(c);
		return NULL;
	}
	strcpy(a.sun_path, path);
	unlink(path);   /* the store's lock says that nobody else is here */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	before = umask(0177);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 32) < 0) {
		umask(before);
		log_error("control", "cannot-open", "path=%s reason=%s", log_quote(path), log_quote(strerror(errno)));
		if (fd >= 0)
			close(fd);
		free(c);
		return NULL;
	}
	umask(before);
	c->base = base;
	c->path = xstrdup(path);
	c->handle = handle;
	c->arg = arg;
	c->listener = evconnlistener_new(base, client_new, c, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	return c;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	evconnlistener_free(c->listener);
	unlink(c->path);
	while (c->requests) {
		struct control_request *r = c->requests;

		c->requests = r->next;
		if (r->next)
			r->next->prev = &c->requests;
		r->control = NULL;
		if (r->bev)
			bufferevent_free(r->bev);
		r->bev = NULL;
		if (!r->asked || r->answered)
			free(r);
	}
	free(c->path);
	free(c);
}
