/* What a proxy says first is read to its last byte and not beyond, however it comes in; nonsense is refused. */
#include "net/proxy_header.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static const unsigned char signature[] = "\r\n\r\n\0\r\nQUIT\n";

/* The result of a header that comes in pieces of `step` bytes, "rest" behind it; -1 when more than it was read. */
static int fed(const void *header, size_t len, size_t step, char *peer, size_t peerlen)
{
	struct proxy_header h = { .len = 0 };
	enum proxy_result got = PROXY_MORE;
	int pair[2];
	char rest[16] = "";

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), errno);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	for (size_t at = 0; at < len && got == PROXY_MORE; at += step) {
		size_t n = at + step < len ? step : len - at;

		assert_int_equal(write(pair[1], (const char *)header + at, n), n);
		if (at + n == len)
			assert_int_equal(write(pair[1], "rest", 4), 4);
		got = proxy_header_read(&h, pair[0], peer, peerlen);
	}
	if (got == PROXY_PEER || got == PROXY_OWN) {
		ssize_t n = read(pair[0], rest, sizeof(rest) - 1);

		if (n != 4 || memcmp(rest, "rest", 4) != 0)
			got = (enum proxy_result)-1;
	}
	close(pair[0]);
	close(pair[1]);
	return (int)got;
}

static void v1(const char *line, int want, const char *peer)
{
	char got[80];

	for (size_t step = 1; step < 200; step += 13) {
		snprintf(got, sizeof(got), "socket");
		if (fed(line, strlen(line), step, got, sizeof(got)) != want || strcmp(got, peer) != 0)
			fail_msg("%s in pieces of %zu: %s", line, step, got);
	}
}

static void test_version_1(void **state)
{
	(void)state;
	v1("PROXY TCP4 192.0.2.7 198.51.100.1 40122 443\r\n", PROXY_PEER, "192.0.2.7:40122");
	v1("PROXY TCP6 2001:db8::7 2001:db8::1 40122 443\r\n", PROXY_PEER, "[2001:db8::7]:40122");
	v1("PROXY UNKNOWN\r\n", PROXY_OWN, "socket");
	v1("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", PROXY_OWN, "socket");
	static const char *const bad[] = {
		"PROXY TCP4 192.0.2.7 198.51.100.1 40122\r\n", "PROXY TCP4 192.0.2.7 198.51.100.1 40122 443 5\r\n", "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
		"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 70000 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
		"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP6 [::1] ::1 1 2\r\n", "PROXY UNKNOWNX\r\n", "GET / HTTP/1.1\r\n\r\n", "proxy tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
	};
	char endless[300] = "PROXY UNKNOWN ";

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		v1(bad[i], PROXY_BAD, "socket");
	memset(endless + 14, 'x', sizeof(endless) - 15);
	v1(endless, PROXY_BAD, "socket");
}

static size_t make_v2(unsigned char *out, unsigned char command, unsigned char family, const void *addresses, size_t n, size_t more)
{
	memcpy(out, signature, 12);
	out[12] = command;
	out[13] = family;
	out[14] = (unsigned char)((n + more) >> 8);
	out[15] = (unsigned char)(n + more);
	memcpy(out + 16, addresses, n);
	memset(out + 16 + n, 0xee, more);
	return 16 + n + more;
}

static void test_version_2(void **state)
{
	(void)state;
	static const unsigned char four[12] = { 192, 0, 2, 7, 127, 0, 0, 1, 0x9c, 0xba, 0x01, 0xbb };
	static const unsigned char six[36] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 7, [31] = 1, 0x9c, 0xba, 0x01, 0xbb };
	static const unsigned char mapped[36] = { [10] = 0xff, 0xff, 192, 0, 2, 7, [31] = 1, 0x9c, 0xba, 0x01, 0xbb };
	const struct { unsigned char command, family; const void *addresses; size_t n, more; int want; const char *peer; } cases[] = {
		{ 0x21, 0x11, four, 12, 0, PROXY_PEER, "192.0.2.7:40122" }, { 0x21, 0x11, four, 12, 500, PROXY_PEER, "192.0.2.7:40122" },
		{ 0x21, 0x21, six, 36, 0, PROXY_PEER, "[2001:db8::7]:40122" }, { 0x21, 0x21, six, 36, 70, PROXY_PEER, "[2001:db8::7]:40122" },
		{ 0x21, 0x21, mapped, 36, 0, PROXY_PEER, "192.0.2.7:40122" }, { 0x20, 0x00, four, 0, 0, PROXY_OWN, "socket" }, { 0x20, 0x11, four, 12, 0, PROXY_OWN, "socket" },
		{ 0x21, 0x00, four, 0, 0, PROXY_OWN, "socket" }, { 0x21, 0x31, four, 12, 204, PROXY_OWN, "socket" },
		{ 0x21, 0x11, four, 11, 0, PROXY_BAD, "socket" }, { 0x21, 0x21, six, 35, 0, PROXY_BAD, "socket" }, { 0x11, 0x11, four, 12, 0, PROXY_BAD, "socket" },
		{ 0x22, 0x11, four, 12, 0, PROXY_BAD, "socket" }, { 0x21, 0x11, four, 12, 1000, PROXY_BAD, "socket" },
	};
	unsigned char header[2000];
	char peer[80];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		for (size_t step = 1; step < 2000; step += 97) {
			size_t len = make_v2(header, cases[i].command, cases[i].family, cases[i].addresses, cases[i].n, cases[i].more);
			int got;

			snprintf(peer, sizeof(peer), "socket");
			got = fed(header, len, step, peer, sizeof(peer));
			if (got != cases[i].want || strcmp(peer, cases[i].peer) != 0)
				fail_msg("case %zu in pieces of %zu: %d, %s", i, step, got, peer);
		}
}

static void test_a_cut_header_waits_and_then_is_none(void **state)
{
	(void)state;
	static const char line[] = "PROXY TCP4 192.0.2.7 198.51.100.1 40122 443\r\n";
	char peer[80];

	for (size_t len = 1; len < sizeof(line) - 1; len++) {
		struct proxy_header h = { .len = 0 };
		int pair[2];

		assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), errno);
		fcntl(pair[0], F_SETFL, O_NONBLOCK);
		assert_int_equal(write(pair[1], line, len), len);
		assert_int_equal(proxy_header_read(&h, pair[0], peer, sizeof(peer)), PROXY_MORE);
		close(pair[1]);
		assert_int_equal(proxy_header_read(&h, pair[0], peer, sizeof(peer)), PROXY_BAD);
		close(pair[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_1), cmocka_unit_test(test_version_2), cmocka_unit_test(test_a_cut_header_waits_and_then_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
