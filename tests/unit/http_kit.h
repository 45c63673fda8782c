/* http_kit.h - an HTTP server and a client that take turns on one thread, over real sockets: for the tests of net/http_server.h.
 *
 * The service answers with the target it was asked for, or holds requests back for the test to answer. */
#ifndef SLUICE_TESTS_HTTP_KIT_H
#define SLUICE_TESTS_HTTP_KIT_H

#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "net/addr.h"
#include "net/http_server.h"

#define HELD_MAX 256

struct server {
	struct event_base *base;
	struct http_loop *loop;
	struct http_listener *listener;
	struct http_service service;
	struct net_quota connections, memory;
	struct { struct http_conn *c; uint64_t request; } held[HELD_MAX];
	unsigned nheld, seen, drained;
	bool hold;
	struct buf body; /* of the last request */
	struct http_conn *last;
};

static inline void echo(struct server *s, struct http_conn *c, uint64_t request, const char *body, size_t n)
{
	(void)s;
	http_conn_answer(c, request, &(struct http_answer){ .status = 200, .headers = "Content-Type: text/plain\r\n", .body = body, .len = n });
}

static inline void on_request(struct http_conn *c, uint64_t request, const struct http_request *r, void *arg)
{
	struct server *s = arg;
	volatile char pad = r->body.p[r->body.n + 63]; /* promised to be readable */

	(void)pad;
	s->seen++;
	s->last = c;
	buf_clear(&s->body);
	buf_add(&s->body, r->body.p, r->body.n);
	if (http_text_is(r->path, "/abort")) {
		http_conn_abort(c);
		http_conn_answer(c, request, &(struct http_answer){ .status = 200 });
	} else if (http_text_is(r->path, "/pause")) {
		http_conn_pause(c);
		echo(s, c, request, "paused", 6);
	} else if (http_text_is(r->path, "/big")) {
		char *big = calloc(1, 8u << 20);

		echo(s, c, request, big, 8u << 20);
		free(big);
	} else if (s->hold) {
		assert_true(s->nheld < HELD_MAX);
		s->held[s->nheld].c = c;
		s->held[s->nheld++].request = request;
	} else {
		echo(s, c, request, r->target.p, r->target.n);
	}
}

static inline const struct http_answer *on_head(struct http_conn *c, const struct http_request *r, void *arg)
{
	static const struct http_answer missing = { .status = 404, .body = "no", .len = 2 };

	(void)c; (void)arg;
	return http_text_is(r->path, "/missing") ? &missing : NULL;
}

static inline void on_drained(struct http_service *service, void *arg)
{
	struct server *s = arg;

	assert_ptr_equal(service, &s->service);
	s->drained++;
}

static inline void on_accept(int fd, const char *peer, void *arg)
{
	struct server *s = arg;

	http_conn_new(s->loop, &s->service, fd, peer);
}

static inline int set_up(void **state)
{
	struct server *s = calloc(1, sizeof *s);
	struct addr a;
	char why[200];
	int fd;

	signal(SIGPIPE, SIG_IGN);
	s->base = event_base_new();
	s->loop = http_loop_new(s->base);
	s->service = (struct http_service){ .limits = HTTP_LIMITS_DEFAULT, .connections = &s->connections, .memory = &s->memory,
		.on_head = on_head, .on_request = on_request, .on_drained = on_drained, .arg = s };
	s->connections.max = 100;
	s->memory.max = 64 << 20;
	assert_int_equal(addr_parse(&a, "127.0.0.1:0", why, sizeof why), 0);
	fd = addr_listen(&a, why, sizeof why);
	assert_true(fd >= 0);
	s->listener = http_listener_new(s->base, fd, &(struct http_listener_config){ .object = "channel/test", .connections = &s->connections,
		.on_accept = on_accept, .arg = s });
	*state = s;
	return 0;
}

static inline int tear_down(void **state)
{
	struct server *s = *state;

	http_listener_free(s->listener);
	http_loop_free(s->loop);
	assert_int_equal(s->connections.used, 0);
	assert_int_equal(s->memory.used, 0);
	event_base_free(s->base);
	buf_fini(&s->body);
	free(s);
	return 0;
}

static inline void turn(struct server *s)
{
	event_base_loop(s->base, EVLOOP_NONBLOCK);
}

static inline int dial(struct server *s)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons((uint16_t)http_listener_port(s->listener)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof sin), 0);
	turn(s);
	return fd;
}

/* Everything is sent, the server taking turns. 0, or -1 when the server has gone. */
static inline int say(struct server *s, int fd, const char *p, size_t n)
{
	int64_t end = clock_mono_us() + 5000000;

	while (n > 0) {
		ssize_t k = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (k < 0 && errno != EAGAIN)
			return -1;
		if (k > 0) {
			p += k;
			n -= (size_t)k;
		}
		turn(s);
		assert_true(clock_mono_us() < end);
	}
	return 0;
}

static inline void says(struct server *s, int fd, const char *text)
{
	assert_int_equal(say(s, fd, text, strlen(text)), 0);
}

/* Reads until `until` stands in what was read (NULL: until the end of the stream). Returns the text, good until the next call. */
static inline const char *hear(struct server *s, int fd, const char *until)
{
	static struct buf got;
	int64_t end = clock_mono_us() + 5000000;

	buf_clear(&got);
	buf_reserve(&got, 0);
	for (;;) {
		ssize_t k;

		buf_reserve(&got, 4096);
		k = recv(fd, got.p + got.len, 4096, MSG_DONTWAIT);
		if (k == 0 && !until)
			return got.p;
		if (k == 0)
			fail_msg("closed instead of '%s' after '%s'", until, got.p);
		if (k < 0 && errno == ECONNRESET)
			fail_msg("reset after '%s'", got.p);
		if (k > 0) {
			got.len += (size_t)k;
			got.p[got.len] = '\0';
		}
		if (until && strstr(got.p, until))
			return got.p;
		turn(s);
		if (clock_mono_us() > end)
			fail_msg("waited for '%s' in '%s'", until ? until : "the end", got.p);
		if (k < 0)
			usleep(200);
	}
}

/* Turns for a while, and as long as needed until *n reaches want. */
static inline void wait_for(struct server *s, const uint64_t *n, uint64_t want)
{
	int64_t end = clock_mono_us() + 5000000;

	while (*n < want) {
		turn(s);
		usleep(500);
		if (clock_mono_us() > end)
			fail_msg("waited for %llu, have %llu", (unsigned long long)want, (unsigned long long)*n);
	}
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
