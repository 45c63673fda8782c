/* http_listener.c - accepting, within the number of connections allowed. */
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "net/addr.h"
#include "net/http_server.h"

#define ACCEPTS_A_TURN 64
#define BREATH_MS 200 /* how long accepting rests when the process has no file descriptor left */

struct http_listener {
	struct http_listener_config config;
	struct event *readable, *rested;
	int fd;
	bool paused;
	uint64_t refused;
};

static void refuse(struct http_listener *l, int fd)
{
	static const char full[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
		"Content-Type: application/json\r\nContent-Length: 66\r\n\r\n"
		"{\"errors\":[{\"code\":503,\"reason\":\"limits.connections is reached\"}]}";

	if (++l->refused == 1 || l->refused % 1000 == 0)
		log_warn(l->config.object, "connections-full", "refused=%llu hint=%s", (unsigned long long)l->refused,
			log_quote("raise settings.limits.connections, or look for clients that do not keep connections"));
	if (!l->config.tls && !l->config.silent)
		(void)!send(fd, full, sizeof full - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(fd, SHUT_WR);
	close(fd);
}

static void on_rested(evutil_socket_t fd, short what, void *arg)
{
	struct http_listener *l = arg;

	(void)fd; (void)what;
	if (!l->paused)
		event_add(l->readable, NULL);
}

static void on_incoming(evutil_socket_t listen_fd, short what, void *arg)
{
	struct http_listener *l = arg;
	char peer[ADDR_TEXT_MAX];

	(void)what;
	for (int i = 0; i < ACCEPTS_A_TURN && !l->paused; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof sa;
		int fd = accept4(listen_fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
				log_warn(l->config.object, "accept-failed", "error=%s hint=%s", log_quote(strerror(errno)),
					log_quote("raise the limit of open files (LimitNOFILE) above settings.limits.connections"));
				event_del(l->readable);
				event_add(l->rested, &(struct timeval){ .tv_usec = BREATH_MS * 1000 });
				return;
			}
			if (errno == EAGAIN)
				return;
			continue; /* that one has gone again */
		}
		if (l->config.connections && !net_quota_take(l->config.connections, 1))
			refuse(l, fd);
		else
			l->config.on_accept(fd, addr_format((struct sockaddr *)&sa, peer), l->config.arg);
	}
}

struct http_listener *http_listener_new(struct event_base *base, int fd, const struct http_listener_config *config)
{
	struct http_listener *l = xcalloc(1, sizeof *l);

	l->config = *config;
	l->fd = fd;
	l->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_incoming, l);
	l->rested = event_new(base, -1, 0, on_rested, l);
	event_add(l->readable, NULL);
	return l;
}

void http_listener_free(struct http_listener *l)
{
	if (!l)
		return;
	event_free(l->readable);
	event_free(l->rested);
	close(l->fd);
	free(l);
}

void http_listener_pause(struct http_listener *l)
{
	l->paused = true;
	event_del(l->readable);
}

void http_listener_resume(struct http_listener *l)
{
	l->paused = false;
	event_add(l->readable, NULL);
}

int http_listener_fd(const struct http_listener *l) { return l->fd; }

uint64_t http_listener_refused(const struct http_listener *l) { return l->refused; }

unsigned http_listener_port(const struct http_listener *l)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;

	if (getsockname(l->fd, (struct sockaddr *)&sa, &len) < 0)
		return 0;
	return ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port : ((struct sockaddr_in *)&sa)->sin_port);
}
