/* Requests and answers over real sockets: order, framing, compressed bodies, refusals that reach the client. */
#include "http_kit.h"

#include <zlib.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_keep_alive),
		T(test_close_and_http10),
		T(test_head_has_no_body),
		T(test_half_closed_client_is_answered),
		T(test_answers_in_order_of_requests),
		T(test_large_bodies),
		T(test_compressed_bodies),
		T(test_expect_continue),
		T(test_refusals_reach_the_client),
		T(test_peer_gone_before_its_answer),
		T(test_abort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
