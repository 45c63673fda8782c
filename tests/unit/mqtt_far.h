/* mqtt_far.h - the far end of an MQTT connection for tests: says the bytes it is told to, and waits for those it is told to expect. */
#ifndef SLUICE_TESTS_MQTT_FAR_H
#define SLUICE_TESTS_MQTT_FAR_H

#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

struct far {
	struct event_base *base;
	int listening, fd;
	uint16_t port;
	struct buf got;
};

/* "20 02 00 00" as bytes; 'text' stands for itself. Returns the number. */
static size_t far_bytes(const char *hex, char *out)
{
	size_t n = 0;

	while (*hex) {
		unsigned v;

		if (*hex == ' ') {
			hex++;
		} else if (*hex == '\'') {
			for (hex++; *hex != '\''; hex++)
				out[n++] = *hex;
			hex++;
		} else {
			assert_int_equal(sscanf(hex, "%2x", &v), 1);
			out[n++] = (char)v;
			hex += 2;
		}
	}
	return n;
}

static void far_init(struct far *f)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof sin;

	*f = (struct far){ .base = event_base_new(), .fd = -1 };
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listening, (struct sockaddr *)&sin, sizeof sin), 0);
	assert_int_equal(listen(f->listening, 8), 0);
	assert_int_equal(getsockname(f->listening, (struct sockaddr *)&sin, &len), 0);
	f->port = ntohs(sin.sin_port);
}

static void far_hang_up(struct far *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

static void far_fini(struct far *f)
{
	far_hang_up(f);
	close(f->listening);
	buf_fini(&f->got);
	event_base_free(f->base);
}

/* Run the loop a little, and read. */
static void far_turn(struct far *f)
{
	static const struct timeval a_little = { 0, 2000 };
	char raw[65536];
	ssize_t n;

	event_base_loopexit(f->base, &a_little);
	event_base_loop(f->base, 0);
	if (f->fd < 0)
		f->fd = accept4(f->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (f->fd >= 0 && (n = read(f->fd, raw, sizeof raw)) > 0)
		buf_add(&f->got, raw, (size_t)n);
}

#define far_until(f, condition)                                                  \
	do {                                                                     \
		int64_t stop = clock_mono_us() + 10 * INT64_C(1000000) * UNIT_PATIENCE; \
		while (!(condition)) {                                           \
			far_turn(f);                                             \
			if (clock_mono_us() > stop)                              \
				fail_msg("waited in vain: %s", #condition);      \
		}                                                                \
	} while (0)

/* These bytes come next. */
static void far_expect(struct far *f, const char *hex)
{
	char raw[4096];
	size_t n = far_bytes(hex, raw);

	far_until(f, f->got.len >= n);
	if (memcmp(f->got.p, raw, n) != 0) {
		for (size_t i = 0; i < f->got.len; i++)
			print_message("%02X ", (unsigned char)f->got.p[i]);
		fail_msg("expected %s", hex);
	}
	buf_consume(&f->got, n);
}

static void far_say_raw(struct far *f, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = write(f->fd, p, n);

		if (k > 0) {
			p += k;
			n -= (size_t)k;
		} else {
			assert_int_equal(errno, EAGAIN);
			far_turn(f);
		}
	}
}

static void far_say(struct far *f, const char *hex)
{
	char raw[4096];

	far_until(f, f->fd >= 0);
	far_say_raw(f, raw, far_bytes(hex, raw));
}

#endif
