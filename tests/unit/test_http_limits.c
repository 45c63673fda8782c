/* Whatever a client does, it ends in time and holds little; and connections end gently when we want them to. */
#include "http_kit.h"

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
	assert_in_range(clock_mono_us() - begun, 200000, 10000000);
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
	assert_in_range(clock_mono_us() - begun, 100000, 10000000);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_reading_stops_at_the_pipeline_bound),
		T(test_slow_head_is_ended),
		T(test_slow_body_is_ended),
		T(test_idle_connection_is_closed),
		T(test_slow_reader_is_ended),
		T(test_connection_limit),
		T(test_memory_limit),
		T(test_half_requests_hold_little),
		T(test_pause_and_resume),
		T(test_drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
