/* The HTTP server over real sockets: the test's own client and the server take turns on one thread. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "net/addr.h"
#include "net/http_server.h"
#include "net/tls.h"

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

static void echo(struct server *s, struct http_conn *c, uint64_t request, const char *body, size_t n)
{
	(void)s;
	http_conn_answer(c, request, &(struct http_answer){ .status = 200, .headers = "Content-Type: text/plain\r\n", .body = body, .len = n });
}

static void on_request(struct http_conn *c, uint64_t request, const struct http_request *r, void *arg)
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

static const struct http_answer *on_head(struct http_conn *c, const struct http_request *r, void *arg)
{
	static const struct http_answer missing = { .status = 404, .body = "no", .len = 2 };

	(void)c; (void)arg;
	return http_text_is(r->path, "/missing") ? &missing : NULL;
}

static void on_drained(struct http_service *service, void *arg)
{
	struct server *s = arg;

	assert_ptr_equal(service, &s->service);
	s->drained++;
}

static void on_accept(int fd, const char *peer, void *arg)
{
	struct server *s = arg;

	http_conn_new(s->loop, &s->service, fd, peer);
}

static int set_up(void **state)
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

static int tear_down(void **state)
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

static void turn(struct server *s)
{
	event_base_loop(s->base, EVLOOP_NONBLOCK);
}

static int dial(struct server *s)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons((uint16_t)http_listener_port(s->listener)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof sin), 0);
	turn(s);
	return fd;
}

/* Everything is sent, the server taking turns. 0, or -1 when the server has gone. */
static int say(struct server *s, int fd, const char *p, size_t n)
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

static void says(struct server *s, int fd, const char *text)
{
	assert_int_equal(say(s, fd, text, strlen(text)), 0);
}

/* Reads until `until` stands in what was read (NULL: until the end of the stream). Returns the text, good until the next call. */
static const char *hear(struct server *s, int fd, const char *until)
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
static void wait_for(struct server *s, const uint64_t *n, uint64_t want)
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

static void test_keep_alive(void **state)
{
	struct server *s = *state;
	int fd = dial(s);

	says(s, fd, GET("/one"));
	const char *got = hear(s, fd, "/one");
	assert_ptr_equal(strstr(got, "HTTP/1.1 200 OK\r\nDate: "), got);
	assert_non_null(strstr(got, " GMT\r\nContent-Length: 4\r\nContent-Type: text/plain\r\n\r\n/one"));
	says(s, fd, GET("/two"));
	assert_null(strstr(hear(s, fd, "/two"), "Connection:"));
	assert_int_equal(s->service.counters.requests, 2);
	assert_int_equal(s->service.counters.answers[2], 2);
	assert_int_equal(s->service.connected, 1);
	close(fd);
	while (s->service.connected)
		turn(s);
}

static void test_close_and_http10(void **state)
{
	struct server *s = *state;
	int fd = dial(s);

	says(s, fd, "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" GET("/b"));
	const char *got = hear(s, fd, NULL);
	assert_non_null(strstr(got, "Connection: close\r\n"));
	assert_null(strstr(got, "/b")); /* what comes after a last request is not read */
	close(fd);
	fd = dial(s);
	says(s, fd, "GET /a HTTP/1.0\r\n\r\n");
	assert_non_null(strstr(hear(s, fd, NULL), "/a"));
	close(fd);
	fd = dial(s);
	says(s, fd, "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	assert_non_null(strstr(hear(s, fd, "/a"), "Connection: keep-alive\r\n"));
	says(s, fd, GET("/b"));
	hear(s, fd, "/b");
	close(fd);
}

static void test_head_has_no_body(void **state)
{
	struct server *s = *state;
	int fd = dial(s);

	says(s, fd, "HEAD /length HTTP/1.1\r\nHost: h\r\n\r\n" GET("/x"));
	const char *got = hear(s, fd, "/x");
	assert_non_null(strstr(got, "Content-Length: 7\r\n"));
	assert_null(strstr(got, "/length"));
	close(fd);
}

static void test_half_closed_client_is_answered(void **state)
{
	struct server *s = *state;
	int fd = dial(s);

	s->hold = true;
	says(s, fd, GET("/a"));
	shutdown(fd, SHUT_WR);
	for (int i = 0; i < 20; i++)
		turn(s);
	assert_int_equal(s->nheld, 1);
	echo(s, s->held[0].c, s->held[0].request, "late", 4);
	assert_non_null(strstr(hear(s, fd, NULL), "late"));
	close(fd);
}

static void test_answers_in_order_of_requests(void **state)
{
	struct server *s = *state;
	struct buf b = BUF_INIT;
	int fd = dial(s);

	s->hold = true;
	for (int i = 0; i < 20; i++)
		buf_adds(&b, GET("/"));
	says(s, fd, b.p);
	while (s->nheld < 20)
		turn(s);
	for (int i = 19; i >= 0; i--) { /* the other way round */
		char text[16];

		echo(s, s->held[i].c, s->held[i].request, text, (size_t)snprintf(text, sizeof text, "<%d>", i));
		turn(s);
	}
	const char *got = hear(s, fd, "<19>"), *at = got;
	for (int i = 0; i < 20; i++) {
		char text[16];

		snprintf(text, sizeof text, "<%d>", i);
		at = strstr(at, text);
		assert_non_null(at);
	}
	buf_fini(&b);
	close(fd);
}

static void test_reading_stops_at_the_pipeline_bound(void **state)
{
	struct server *s = *state;
	struct buf b = BUF_INIT;
	int fd = dial(s);

	s->hold = true;
	for (int i = 0; i < 100; i++)
		buf_adds(&b, GET("/"));
	says(s, fd, b.p);
	for (int i = 0; i < 50; i++)
		turn(s);
	assert_int_equal(s->nheld, 64);
	echo(s, s->held[0].c, s->held[0].request, "x", 1);
	for (int i = 0; i < 50; i++)
		turn(s);
	assert_int_equal(s->nheld, 65);
	s->hold = false;
	for (unsigned i = 1; i < 65; i++)
		echo(s, s->held[i].c, s->held[i].request, i == 64 ? "the 65th" : "x", i == 64 ? 8 : 1);
	while (s->seen < 100)
		turn(s);
	assert_int_equal(s->service.counters.answers[2], 100);
	hear(s, fd, "the 65th");
	buf_fini(&b);
	close(fd);
}

static void test_large_bodies(void **state)
{
	struct server *s = *state;
	size_t n = 3u << 20;
	char *body = malloc(n), head[128];
	int fd = dial(s);

	for (size_t i = 0; i < n; i++)
		body[i] = (char)(i * 7 + (i >> 11));
	snprintf(head, sizeof head, "POST /l HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", n);
	says(s, fd, head);
	assert_int_equal(say(s, fd, body, n), 0);
	hear(s, fd, "/l");
	assert_int_equal(s->body.len, n);
	assert_memory_equal(s->body.p, body, n);

	says(s, fd, "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (size_t at = 0, k = 1; at < n; at += k, k = k * 3 % 100000 + 1) {
		if (k > n - at)
			k = n - at;
		snprintf(head, sizeof head, "%zx\r\n", k);
		says(s, fd, head);
		assert_int_equal(say(s, fd, body + at, k), 0);
		says(s, fd, "\r\n");
	}
	says(s, fd, "0\r\n\r\n");
	hear(s, fd, "/c");
	assert_int_equal(s->body.len, n);
	assert_memory_equal(s->body.p, body, n);
	free(body);
	close(fd);
}

static size_t gzip(const char *p, size_t n, char *out, size_t room, int bits)
{
	z_stream z = { 0 };
	size_t len;

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, bits, 9, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)p;
	z.avail_in = (uInt)n;
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	len = room - z.avail_out;
	deflateEnd(&z);
	return len;
}

static void post(struct server *s, int fd, const char *coding, const char *p, size_t n)
{
	char head[200];

	snprintf(head, sizeof head, "POST /z HTTP/1.1\r\nHost: h\r\nContent-Encoding: %s\r\nContent-Length: %zu\r\n\r\n", coding, n);
	says(s, fd, head);
	assert_int_equal(say(s, fd, p, n), 0);
}

static void test_compressed_bodies(void **state)
{
	static const struct { const char *coding; int bits; } ways[] = { { "gzip", 31 }, { "X-GZIP", 31 }, { "deflate", 15 }, { "deflate", -15 } };
	struct server *s = *state;
	size_t n = 1u << 20, k;
	char *plain = calloc(1, n), *packed = malloc(n);
	int fd = dial(s);

	for (size_t i = 0; i < n / 2; i++)
		plain[i] = (char)('a' + i % 26 + (i >> 15) % 3);
	s->service.limits.parse.body = n;
	for (size_t i = 0; i < 4; i++) {
		k = gzip(plain, n, packed, n, ways[i].bits);
		post(s, fd, ways[i].coding, packed, k);
		hear(s, fd, "/z");
		assert_int_equal(s->body.len, n);
		assert_memory_equal(s->body.p, plain, n);
	}
	/* two members in a row are one body */
	k = gzip("one ", 4, packed, n, 31);
	k += gzip("two", 3, packed + k, n - k, 31);
	post(s, fd, "gzip", packed, k);
	hear(s, fd, "/z");
	assert_string_equal(s->body.p, "one two");
	/* refused, and the connection stays: its framing is sound */
	k = gzip(plain, n, packed, n, 31);
	post(s, fd, "gzip", packed, k - 1);
	hear(s, fd, "400 Bad Request");
	post(s, fd, "gzip", plain, 100);
	hear(s, fd, "400 Bad Request");
	memcpy(packed + k, "junk", 4);
	post(s, fd, "gzip", packed, k + 4);
	hear(s, fd, "400 Bad Request");
	s->service.limits.parse.body = n - 1;
	post(s, fd, "gzip", packed, k);
	hear(s, fd, "413 Content Too Large");
	says(s, fd, GET("/on"));
	hear(s, fd, "/on");
	says(s, fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc");
	assert_non_null(strstr(hear(s, fd, NULL), "415 "));
	free(plain);
	free(packed);
	close(fd);
}

static void test_expect_continue(void **state)
{
	struct server *s = *state;
	int fd = dial(s);

	says(s, fd, "POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	assert_string_equal(hear(s, fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
	says(s, fd, "abc");
	hear(s, fd, "/e");
	assert_string_equal(s->body.p, "abc");
	/* never before an answer that is due: the client would take it for that request's */
	s->hold = true;
	says(s, fd, GET("/a") "POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	for (int i = 0; i < 20; i++)
		turn(s);
	echo(s, s->held[0].c, s->held[0].request, "first", 5);
	const char *got = hear(s, fd, "100 Continue");
	assert_true(strstr(got, "first") < strstr(got, "100 Continue"));
	s->hold = false;
	says(s, fd, "abc");
	hear(s, fd, "/e");
	/* a body that is there needs none */
	says(s, fd, "POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc");
	assert_null(strstr(hear(s, fd, "/e"), "100 Continue"));
	close(fd);
}

static void test_refusals_reach_the_client(void **state)
{
	struct server *s = *state;
	char *big = calloc(1, 1u << 20);
	int fd = dial(s);

	/* malformed, behind a request that is still being worked on */
	s->hold = true;
	says(s, fd, GET("/a") "GET / HTTP/1.1\r\n\r\n");
	while (s->nheld < 1)
		turn(s);
	echo(s, s->held[0].c, s->held[0].request, "first", 5);
	const char *got = hear(s, fd, NULL);
	assert_true(strstr(got, "first") < strstr(got, "400 Bad Request"));
	assert_non_null(strstr(got, "{\"errors\":[{\"code\":400,\"reason\":\"no Host\"}]}"));
	close(fd);
	assert_int_equal(s->service.counters.malformed, 1);

	/* too large from the head alone, while the client goes on sending */
	s->service.limits.parse.body = 1000;
	fd = dial(s);
	says(s, fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n");
	say(s, fd, big, 1u << 20);
	assert_non_null(strstr(hear(s, fd, NULL), "413 Content Too Large"));
	close(fd);

	/* refused by on_head: without a body the connection stays */
	s->hold = false;
	fd = dial(s);
	says(s, fd, GET("/missing") GET("/there"));
	got = hear(s, fd, "/there");
	assert_non_null(strstr(got, "404 Not Found"));
	says(s, fd, "POST /missing HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc");
	got = hear(s, fd, NULL);
	assert_non_null(strstr(got, "404 Not Found"));
	assert_non_null(strstr(got, "Connection: close"));
	close(fd);
	free(big);
}

static void test_slow_head_is_ended(void **state)
{
	struct server *s = *state;
	int64_t begun = clock_mono_us();
	int fd, i;

	s->service.limits.head_us = 200000;
	fd = dial(s);
	for (i = 0; i < 1000; i++) { /* a byte now and then does not help */
		if (say(s, fd, i < 16 ? &"GET / HTTP/1.1\r\n"[i] : "a", 1) < 0 || s->service.counters.timed_out)
			break;
		usleep(5000);
	}
	assert_int_equal(s->service.counters.timed_out, 1);
	assert_non_null(strstr(hear(s, fd, NULL), "408 Request Timeout"));
	assert_in_range(clock_mono_us() - begun, 200000, 2000000);
	close(fd);
	/* one that says nothing */
	fd = dial(s);
	assert_string_equal(hear(s, fd, NULL), "");
	assert_int_equal(s->service.counters.timed_out, 2);
	close(fd);
}

static void test_slow_body_is_ended(void **state)
{
	struct server *s = *state;
	int fd;

	s->service.limits.body_us = 150000;
	s->service.limits.body_rate = 1000;
	fd = dial(s);
	says(s, fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nabc");
	assert_non_null(strstr(hear(s, fd, NULL), "408 Request Timeout"));
	close(fd);
	/* at ten times the rate it lives on beyond the time */
	fd = dial(s);
	says(s, fd, "POST /fast HTTP/1.1\r\nHost: h\r\nContent-Length: 4000\r\n\r\n");
	for (int i = 0; i < 40; i++) {
		char part[100] = { 0 };

		assert_int_equal(say(s, fd, part, sizeof part), 0);
		usleep(10000);
	}
	hear(s, fd, "/fast");
	close(fd);
}

static void test_idle_connection_is_closed(void **state)
{
	struct server *s = *state;
	int fd;

	s->service.limits.idle_us = 150000;
	fd = dial(s);
	s->hold = true;
	says(s, fd, GET("/a"));
	for (int i = 0; i < 60; i++) { /* one that waits for us is not idle */
		turn(s);
		usleep(5000);
	}
	echo(s, s->held[0].c, s->held[0].request, "done", 4);
	hear(s, fd, "done");
	int64_t begun = clock_mono_us();
	assert_string_equal(hear(s, fd, NULL), "");
	assert_in_range(clock_mono_us() - begun, 100000, 2000000);
	assert_int_equal(s->service.counters.timed_out, 0);
	close(fd);
}

static void test_slow_reader_is_ended(void **state)
{
	struct server *s = *state;
	int fd;

	s->service.limits.write_us = 150000;
	fd = dial(s);
	says(s, fd, GET("/big"));
	wait_for(s, &s->service.counters.slow_reader, 1);
	while (s->service.connected)
		turn(s);
	close(fd);
	/* one that reads gets all 8 MiB */
	fd = dial(s);
	says(s, fd, "GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	size_t total = 0;
	char part[65536];
	for (ssize_t k; (k = recv(fd, part, sizeof part, MSG_DONTWAIT)) != 0; turn(s))
		total += k > 0 ? (size_t)k : 0;
	assert_true(total > 8u << 20);
	assert_int_equal(s->service.counters.slow_reader, 1);
	close(fd);
}

static void test_connection_limit(void **state)
{
	struct server *s = *state;
	int a, b, c;

	s->connections.max = 2;
	a = dial(s);
	b = dial(s);
	c = dial(s);
	assert_non_null(strstr(hear(s, c, NULL), "503 Service Unavailable"));
	assert_int_equal(http_listener_refused(s->listener), 1);
	assert_int_equal(s->service.connected, 2);
	close(c);
	close(a);
	while (s->service.connected > 1)
		turn(s);
	c = dial(s);
	says(s, c, GET("/c"));
	hear(s, c, "/c");
	close(b);
	close(c);
}

static void test_memory_limit(void **state)
{
	struct server *s = *state;
	char *big = calloc(1, 1u << 20);
	int a = dial(s), b = dial(s);

	s->memory.max = 700000;
	says(s, a, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n");
	assert_int_equal(say(s, a, big, 400000), 0);
	says(s, b, "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n");
	say(s, b, big, 400000);
	assert_non_null(strstr(hear(s, b, NULL), "503 Service Unavailable"));
	assert_int_equal(s->service.counters.no_memory, 1);
	s->memory.max = 64 << 20;
	assert_int_equal(say(s, a, big, (1u << 20) - 400000), 0);
	hear(s, a, "/a");
	assert_int_equal(s->memory.used, 0); /* nothing is held for idle connections */
	free(big);
	close(a);
	close(b);
}

static void test_half_requests_hold_little(void **state)
{
	struct server *s = *state;
	int fd[50];

	for (int i = 0; i < 50; i++) {
		fd[i] = dial(s);
		says(s, fd[i], "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\nabc");
	}
	turn(s);
	assert_in_range(s->memory.used, 50, 50 * 1024);
	for (int i = 0; i < 50; i++)
		close(fd[i]);
}

static void test_peer_gone_before_its_answer(void **state)
{
	struct server *s = *state;
	struct linger reset = { 1, 0 };
	int fd = dial(s);

	s->hold = true;
	says(s, fd, GET("/a") GET("/b"));
	while (s->nheld < 2)
		turn(s);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	close(fd);
	wait_for(s, &s->service.counters.aborted, 1);
	assert_int_equal(s->service.connected, 1); /* lives until its last answer */
	echo(s, s->held[1].c, s->held[1].request, "b", 1);
	assert_int_equal(s->service.connected, 1);
	echo(s, s->held[0].c, s->held[0].request, "a", 1);
	assert_int_equal(s->service.connected, 0);
}

static void test_abort(void **state)
{
	struct server *s = *state;
	int fd = dial(s);
	char c;

	says(s, fd, GET("/abort") GET("/never"));
	while (s->service.connected)
		turn(s);
	assert_true(recv(fd, &c, 1, 0) <= 0);
	assert_int_equal(s->seen, 1);
	close(fd);
}

static void test_pause_and_resume(void **state)
{
	struct server *s = *state;
	int a = dial(s), b = dial(s);

	says(s, a, GET("/pause") GET("/held"));
	hear(s, a, "paused");
	for (int i = 0; i < 20; i++)
		turn(s);
	assert_int_equal(s->seen, 1);
	says(s, b, GET("/other"));
	hear(s, b, "/other");
	s->seen = 0;
	says(s, b, GET("/pause"));
	hear(s, b, "paused");
	http_conn_resume(s->last);
	says(s, b, GET("/again"));
	hear(s, b, "/again");

	http_loop_pause(s->loop);
	says(s, b, GET("/all"));
	for (int i = 0; i < 20; i++)
		turn(s);
	assert_int_equal(s->seen, 2);
	http_loop_resume(s->loop);
	hear(s, b, "/all");
	close(a);
	close(b);
}

static void test_drain(void **state)
{
	struct server *s = *state;
	int idle = dial(s), busy = dial(s), half = dial(s);

	s->hold = true;
	says(s, idle, GET("/"));
	while (s->nheld < 1)
		turn(s);
	echo(s, s->held[0].c, s->held[0].request, "x", 1);
	hear(s, idle, "x");
	says(s, busy, GET("/busy"));
	while (s->nheld < 2)
		turn(s);
	says(s, half, "GET /half HTTP/1.1\r\n");
	assert_int_equal(http_service_drain(s->loop, &s->service), 3);
	assert_string_equal(hear(s, idle, NULL), "");
	close(idle);
	assert_int_equal(s->drained, 0);
	echo(s, s->held[1].c, s->held[1].request, "busy", 4);
	assert_non_null(strstr(hear(s, busy, NULL), "Connection: close\r\n"));
	close(busy);
	s->hold = false;
	says(s, half, "Host: h\r\n\r\n");
	assert_non_null(strstr(hear(s, half, NULL), "/half"));
	close(half);
	while (!s->drained)
		turn(s);
	assert_int_equal(s->drained, 1);
	assert_int_equal(s->service.connected, 0);
}

/* --- TLS */

struct cert { char cert[64], key[64]; };

static struct cert make_cert(const char *name)
{
	struct cert made = { "/tmp/sluice-test-cert-XXXXXX", "/tmp/sluice-test-key-XXXXXX" };
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	FILE *f;

	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	f = fdopen(mkstemp(made.cert), "w");
	PEM_write_X509(f, x);
	fclose(f);
	f = fdopen(mkstemp(made.key), "w");
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
	return made;
}

static void drop_cert(const struct cert *c)
{
	unlink(c->cert);
	unlink(c->key);
}

static struct tls_server *load(const struct cert *c, const char *ca)
{
	char why[300];
	struct tls_server *t = tls_server_new(&(struct tls_files){ .cert = c->cert, .key = c->key, .ca = ca }, why, sizeof why);

	if (!t)
		fail_msg("%s", why);
	return t;
}

static SSL *tls_dial(struct server *s, SSL_CTX *ctx, bool *ok)
{
	int fd = dial(s);
	SSL *ssl = SSL_new(ctx);

	evutil_make_socket_nonblocking(fd);
	SSL_set_fd(ssl, fd);
	for (int i = 0; i < 1000; i++) {
		int r = SSL_connect(ssl);

		if (r == 1) {
			*ok = true;
			return ssl;
		}
		if (SSL_get_error(ssl, r) != SSL_ERROR_WANT_READ && SSL_get_error(ssl, r) != SSL_ERROR_WANT_WRITE)
			break;
		turn(s);
		usleep(200);
	}
	*ok = false;
	return ssl;
}

/* One request, one answer; false when the connection ends first. */
static bool tls_ask(struct server *s, SSL *ssl, const char *request, size_t n, const char *want)
{
	char got[8192];
	size_t len = 0, sent = 0, k;

	for (int i = 0; i < 5000; i++) {
		if (sent < n && SSL_write_ex(ssl, request + sent, n - sent, &k) == 1)
			sent += k;
		turn(s);
		int r = SSL_read_ex(ssl, got + len, sizeof got - 1 - len, &k);

		if (r == 1) {
			len += k;
			got[len] = '\0';
			if (strstr(got, want))
				return true;
		} else if (SSL_get_error(ssl, r) != SSL_ERROR_WANT_READ) {
			return false;
		}
		if (r != 1)
			usleep(100);
	}
	return false;
}

static void tls_hang_up(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_free(ssl);
	close(fd);
}

static bool shows(SSL *ssl, const char *name)
{
	char cn[64] = "";
	X509 *x = SSL_get1_peer_certificate(ssl);

	X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, cn, sizeof cn);
	X509_free(x);
	return strcmp(cn, name) == 0;
}

static void test_tls(void **state)
{
	struct server *s = *state;
	struct cert one = make_cert("one"), two = make_cert("two");
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct buf big = BUF_INIT;
	bool ok;

	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	s->service.tls = load(&one, NULL);
	SSL *a = tls_dial(s, ctx, &ok);
	assert_true(ok);
	assert_true(shows(a, "one"));
	assert_true(tls_ask(s, a, GET("/a"), strlen(GET("/a")), "/a"));
	/* a body of many records, which arrive faster than they are read */
	buf_addf(&big, "POST /big-body HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n");
	size_t head = big.len;
	buf_reserve(&big, 2000000);
	memset(big.p + big.len, 'x', 2000000);
	big.len += 2000000;
	assert_true(tls_ask(s, a, big.p, big.len, "/big-body"));
	assert_int_equal(s->body.len, 2000000);
	assert_memory_equal(s->body.p, big.p + head, 2000000);

	/* the certificate is replaced: the old connection goes on, a new one sees the new one */
	struct tls_server *old = s->service.tls;
	s->service.tls = load(&two, NULL);
	tls_server_unref(old);
	SSL *b = tls_dial(s, ctx, &ok);
	assert_true(ok);
	assert_true(shows(b, "two"));
	assert_true(tls_ask(s, a, GET("/a"), strlen(GET("/a")), "/a"));
	assert_true(tls_ask(s, b, GET("/b"), strlen(GET("/b")), "/b"));
	tls_hang_up(a);
	tls_hang_up(b);

	/* plain bytes end the connection; TLS 1.1 is not spoken */
	int fd = dial(s);
	says(s, fd, GET("/"));
	wait_for(s, &s->service.counters.tls_failed, 1);
	close(fd);
	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_min_proto_version(ctx, TLS1_1_VERSION);
	SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
	tls_hang_up(tls_dial(s, ctx, &ok));
	assert_false(ok);
	tls_server_unref(s->service.tls);
	SSL_CTX_free(ctx);
	buf_fini(&big);
	drop_cert(&one);
	drop_cert(&two);
}

static void test_tls_client_certificates(void **state)
{
	struct server *s = *state;
	struct cert server = make_cert("server"), client = make_cert("client"), stranger = make_cert("stranger");
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	bool ok;

	s->service.tls = load(&server, client.cert);
	SSL *ssl = tls_dial(s, ctx, &ok); /* in TLS 1.3 the client learns of it only afterwards */
	assert_false(tls_ask(s, ssl, GET("/a"), strlen(GET("/a")), "/a"));
	tls_hang_up(ssl);
	SSL_CTX_use_certificate_file(ctx, stranger.cert, SSL_FILETYPE_PEM);
	SSL_CTX_use_PrivateKey_file(ctx, stranger.key, SSL_FILETYPE_PEM);
	ssl = tls_dial(s, ctx, &ok);
	assert_false(tls_ask(s, ssl, GET("/a"), strlen(GET("/a")), "/a"));
	tls_hang_up(ssl);
	assert_int_equal(s->seen, 0);
	SSL_CTX_use_certificate_file(ctx, client.cert, SSL_FILETYPE_PEM);
	SSL_CTX_use_PrivateKey_file(ctx, client.key, SSL_FILETYPE_PEM);
	ssl = tls_dial(s, ctx, &ok);
	assert_true(tls_ask(s, ssl, GET("/a"), strlen(GET("/a")), "/a"));
	tls_hang_up(ssl);
	tls_server_unref(s->service.tls);
	SSL_CTX_free(ctx);
	drop_cert(&server);
	drop_cert(&client);
	drop_cert(&stranger);
}

static void test_tls_files_are_named(void **state)
{
	struct cert one = make_cert("one"), two = make_cert("two");
	char why[300] = "";

	(void)state;
	assert_null(tls_server_new(&(struct tls_files){ .cert = "/no/such/file", .key = one.key }, why, sizeof why));
	assert_non_null(strstr(why, "/no/such/file: "));
	assert_null(tls_server_new(&(struct tls_files){ .cert = one.cert, .key = two.key }, why, sizeof why));
	assert_non_null(strstr(why, two.key));
	assert_null(tls_server_new(&(struct tls_files){ .cert = one.cert, .key = one.key, .ca = "/no/ca" }, why, sizeof why));
	assert_non_null(strstr(why, "/no/ca: "));
	drop_cert(&one);
	drop_cert(&two);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_keep_alive),
		T(test_close_and_http10),
		T(test_head_has_no_body),
		T(test_half_closed_client_is_answered),
		T(test_answers_in_order_of_requests),
		T(test_reading_stops_at_the_pipeline_bound),
		T(test_large_bodies),
		T(test_compressed_bodies),
		T(test_expect_continue),
		T(test_refusals_reach_the_client),
		T(test_slow_head_is_ended),
		T(test_slow_body_is_ended),
		T(test_idle_connection_is_closed),
		T(test_slow_reader_is_ended),
		T(test_connection_limit),
		T(test_memory_limit),
		T(test_half_requests_hold_little),
		T(test_peer_gone_before_its_answer),
		T(test_abort),
		T(test_pause_and_resume),
		T(test_drain),
		T(test_tls),
		T(test_tls_client_certificates),
		cmocka_unit_test(test_tls_files_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
