/* Listen strings as people write them, and what they are told when they are wrong. */
#include "unit.h"

#include <netinet/in.h>
#include <unistd.h>

#include "net/addr.h"

static void test_parse(void **state)
{
	static const struct { const char *text, *want; bool udp; } good[] = {
		{ "0.0.0.0:8080", "0.0.0.0:8080", false },
		{ "127.0.0.1:0", "127.0.0.1:0", false },
		{ "localhost:80", "127.0.0.1:80", false },
		{ "[::1]:65535", "[::1]:65535", false },
		{ "[::ffff:192.0.2.7]:1", "192.0.2.7:1", false },
		{ ":20332", "[::]:20332", false },
		{ "tcp://10.0.0.1:5", "10.0.0.1:5", false },
		{ "udp://:20332", "[::]:20332", true },
		{ "udp://[fe80::1]:7", "[fe80::1]:7", true },
		{ "unix:///run/x.sock", "unix:///run/x.sock", false },
	};
	char text[ADDR_TEXT_MAX], why[200];
	struct addr a;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		if (addr_parse(&a, good[i].text, why, sizeof why) != 0)
			fail_msg("%s: %s", good[i].text, why);
		assert_string_equal(addr_format((struct sockaddr *)&a.sa, text), good[i].want);
		assert_int_equal(a.udp, good[i].udp);
	}
}

static void test_faults(void **state)
{
	static const struct { const char *text, *why; } bad[] = {
		{ "", "expected a port" }, { "8080", "expected a port" }, { "[::1]", "expected a port" }, { "[::1]8080", "expected a port" },
		{ "1.2.3.4:", "port" }, { "1.2.3.4:65536", "port" }, { "1.2.3.4:-1", "port" }, { "1.2.3.4:http", "port" },
		{ "1.2.3.4:99999999999999999999", "port" }, { "1.2.3.4: 80", "port" },
		{ "::1:8080", "needs brackets" }, { "[1.2.3.4]:80", "not an IPv6 address" }, { "[::g]:80", "not an IPv6 address" },
		{ "example.com:80", "not a name" }, { "1.2.3:80", "not a name" }, { "http://1.2.3.4:80", "tcp://, udp://" },
		{ "unix://run/x.sock", "whole path" },
		{ "01234567890123456789012345678901234567890123456789012345678901234567890:1", "not an address" },
	};
	char why[200];
	struct addr a;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		strcpy(why, "");
		if (addr_parse(&a, bad[i].text, why, sizeof why) == 0 || !strstr(why, bad[i].why))
			fail_msg("%s: wanted '%s', told '%s'", bad[i].text, bad[i].why, why);
	}
}

static void test_taken_address_is_told(void **state)
{
	char why[200], text[64];
	struct sockaddr_in sin;
	socklen_t len = sizeof sin;
	struct addr a;
	int fd;

	(void)state;
	assert_int_equal(addr_parse(&a, "127.0.0.1:0", why, sizeof why), 0);
	fd = addr_listen(&a, why, sizeof why);
	assert_true(fd >= 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(sin.sin_port));
	assert_int_equal(addr_parse(&a, text, why, sizeof why), 0);
	assert_int_equal(addr_listen(&a, why, sizeof why), -1);
	assert_non_null(strstr(why, text));
	assert_non_null(strstr(why, "another program"));
	close(fd);
	/* ":port" takes IPv4 clients too, and a UDP socket beside a TCP one */
	snprintf(text, sizeof text, ":%u", ntohs(sin.sin_port));
	assert_int_equal(addr_parse(&a, text, why, sizeof why), 0);
	fd = addr_listen(&a, why, sizeof why);
	assert_true(fd >= 0);
	snprintf(text, sizeof text, "udp://:%u", ntohs(sin.sin_port));
	assert_int_equal(addr_parse(&a, text, why, sizeof why), 0);
	int udp = addr_listen(&a, why, sizeof why);
	assert_true(udp >= 0);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(client, (struct sockaddr *)&sin, sizeof sin), 0);
	close(client);
	close(udp);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_taken_address_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
