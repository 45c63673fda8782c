/* wire_open.c - how a wire comes to be: names, addresses tried in turn, accepted sockets. */
#include "net/wire_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/arena.h"
#include "base/clock.h"
#include "net/lookup.h"

#define DEFAULT_MAX (1u << 20)
#define DEFAULT_CONNECT_US (10 * INT64_C(1000000))

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	(void)fd; (void)what;
	wire_turn(arg);
}

static void watch(struct wire *w)
{
	w->readable = event_new(w->base, w->fd, EV_READ | EV_PERSIST, on_socket, w);
	w->writable = event_new(w->base, w->fd, EV_WRITE | EV_PERSIST, on_socket, w);
}

void wire_arm(struct wire *w, int64_t us)
{
	struct timeval tv = { .tv_sec = us / 1000000, .tv_usec = us % 1000000 };

	evtimer_add(w->timer, &tv);
}

static bool bind_local(struct wire *w, int family)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	if (!w->bind || !*w->bind)
		return true;
	if (inet_pton(AF_INET, w->bind, &v4.sin_addr) == 1)
		return family == AF_INET && bind(w->fd, (struct sockaddr *)&v4, sizeof v4) == 0;
	if (inet_pton(AF_INET6, w->bind, &v6.sin6_addr) == 1)
		return family == AF_INET6 && bind(w->fd, (struct sockaddr *)&v6, sizeof v6) == 0;
	return setsockopt(w->fd, SOL_SOCKET, SO_BINDTODEVICE, w->bind, (socklen_t)strlen(w->bind)) == 0;
}

static void tune(int fd)
{
	static const int one = 1, idle = 60, between = 15, probes = 4;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between, sizeof between);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

/* The next address that does not fail at once; false: there is none left, and why says how the last one failed. */
static bool try_next(struct wire *w)
{
	while (w->next_address < w->naddresses) {
		unsigned i = w->next_address++;
		int family = w->addresses[i].family;

		wire_drop_socket(w);
		w->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, w->addresses[i].protocol);
		if (w->fd < 0 || (family != AF_UNIX && !bind_local(w, family))) {
			snprintf(w->why, sizeof w->why, "%s%s: %s", w->fd < 0 ? "socket" : "bind to ", w->fd < 0 ? "" : w->bind,
				w->fd >= 0 && errno == 0 ? "not of the far end's address family" : strerror(errno));
			continue;
		}
		if (family != AF_UNIX)
			tune(w->fd);
		if (connect(w->fd, (struct sockaddr *)&w->addresses[i].sa, w->addresses[i].len) < 0 && errno != EINPROGRESS) {
			snprintf(w->why, sizeof w->why, "%s", errno == EAGAIN ? "the socket's queue is full" : strerror(errno));
			continue;
		}
		/* Half of the time that is left for each but the last, so that one that swallows everything does not use it all. */
		int64_t left = w->deadline - clock_mono_us();
		wire_arm(w, left < 0 ? 0 : w->next_address < w->naddresses ? left / 2 : left);
		watch(w);
		event_add(w->writable, NULL);
		return true;
	}
	return false;
}

static bool shake(struct wire *w, SSL *ssl)
{
	w->state = SHAKING;
	w->ssl = ssl;
	if (ssl)
		return true;
	wire_end_now(w, WIRE_UNREACHABLE, "no memory for TLS");
	return false;
}

/* The socket says that connecting has ended; true: well. */
bool wire_connected(struct wire *w)
{
	int fault = 0;
	socklen_t len = sizeof fault;

	getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &fault, &len);
	if (fault == 0) {
		int64_t left = w->deadline - clock_mono_us();

		wire_arm(w, left < 0 ? 0 : left);
		if (w->client)
			return shake(w, tls_client_session(w->client, w->fd, w->to.host));
		w->state = SHAKING; /* nothing to shake */
		return true;
	}
	snprintf(w->why, sizeof w->why, "%s", strerror(fault));
	if (!try_next(w))
		wire_end_now(w, WIRE_UNREACHABLE, w->why);
	return false;
}

static void on_found(void *arg, const struct addrinfo *list, const char *why)
{
	struct wire *w = arg;

	w->lookup = NULL;
	if (!list) {
		snprintf(w->why, sizeof w->why, "%.160s: %s", w->to.host, why);
		wire_end_now(w, WIRE_UNREACHABLE, w->why);
		return;
	}
	for (const struct addrinfo *a = list; a; a = a->ai_next)
		w->naddresses++;
	w->addresses = xcalloc(w->naddresses, sizeof *w->addresses);
	w->naddresses = 0;
	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		memcpy(&w->addresses[w->naddresses].sa, a->ai_addr, a->ai_addrlen);
		w->addresses[w->naddresses].len = a->ai_addrlen;
		w->addresses[w->naddresses].family = a->ai_family;
		w->addresses[w->naddresses++].protocol = a->ai_protocol;
	}
	w->state = CONNECTING;
	if (!try_next(w))
		wire_end_now(w, WIRE_UNREACHABLE, w->why);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct wire *w = arg;

	(void)fd; (void)what;
	if (w->finishing) {
		wire_end_now(w, WIRE_CUT, "the far end did not take what was left in time");
	} else if (w->state == CONNECTING && w->next_address < w->naddresses && try_next(w)) {
		return;
	} else {
		wire_end_now(w, WIRE_UNREACHABLE, w->state == LOOKING_UP ? "its name was not found in time" : w->state == SHAKING && w->ssl ?
			"the TLS handshake did not end in time" : "nobody answers");
	}
}

static struct wire *wire_new(struct event_base *base, const struct wire_settings *s, const struct wire_calls *calls, void *arg)
{
	struct wire *w = xcalloc(1, sizeof *w);

	w->base = base;
	w->calls = *calls;
	w->arg = arg;
	w->settings = *s;
	w->settings.input_max = s->input_max ? s->input_max : DEFAULT_MAX;
	w->settings.output_max = s->output_max ? s->output_max : DEFAULT_MAX;
	w->bind = s->bind ? xstrdup(s->bind) : NULL;
	w->fd = -1;
	w->flush = event_new(base, -1, 0, wire_on_flush, w);
	w->timer = evtimer_new(base, on_timer, w);
	w->late = evtimer_new(base, wire_on_late, w);
	w->deadline = clock_mono_us() + (s->connect_us ? s->connect_us : DEFAULT_CONNECT_US);
	return w;
}

struct wire *wire_connect(struct event_base *base, const struct wire_target *to, struct tls_client *tls, const struct wire_settings *s,
                          const struct wire_calls *calls, void *arg)
{
	struct wire *w = wire_new(base, s, calls, arg);

	w->to = *to;
	w->client = tls_client_ref(tls);
	if (to->path[0]) {
		struct sockaddr_un sun = { .sun_family = AF_UNIX };

		memcpy(sun.sun_path, to->path, sizeof sun.sun_path);
		w->addresses = xcalloc(1, sizeof *w->addresses);
		memcpy(&w->addresses[0].sa, &sun, sizeof sun);
		w->addresses[0].len = sizeof sun;
		w->addresses[0].family = AF_UNIX;
		w->naddresses = 1;
		w->state = CONNECTING;
		if (!try_next(w))
			wire_end_later(w, WIRE_UNREACHABLE, w->why);
		return w;
	}
	w->state = LOOKING_UP;
	w->lookup = lookup_new(base, to->host, to->port, on_found, w);
	wire_arm(w, w->deadline - clock_mono_us());
	return w;
}

struct wire *wire_accept(struct event_base *base, int fd, struct tls_server *tls, const struct wire_settings *s, const struct wire_calls *calls,
                         void *arg)
{
	struct wire *w = wire_new(base, s, calls, arg);

	w->fd = fd;
	tune(fd);
	watch(w);
	w->state = SHAKING;
	if (tls) {
		w->ssl = tls_server_session(tls, fd);
		if (!w->ssl)
			wire_end_later(w, WIRE_UNREACHABLE, "no memory for TLS");
	}
	wire_arm(w, w->deadline - clock_mono_us());
	if (tls)
		wire_rearm(w);
	else
		event_active(w->readable, EV_READ, 0);
	return w;
}
