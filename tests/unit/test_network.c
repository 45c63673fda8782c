/* Addresses and networks are read strictly, and an IPv4 address is the same inside IPv6. */
#include "base/network.h"
#include "unit.h"

static void test_what_a_network_is(void **state)
{
	(void)state;
	static const char *const good[] = { "0.0.0.0/0", "10.0.0.0/8", "192.0.2.7", "192.0.2.7/32", "::1", "::/0", "fd00::/8", "2001:db8::/33", "::ffff:10.0.0.0/104" };
	static const char *const bad[] = { "", "x", "10", "10.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/8x", "10.0.0.0/-1", "300.0.0.1", "fd00::/129",
		"fd00::1/8", "localhost", "/8", "10.0.0.0 /8", "[::1]", "10.0.0.0/+8" };
	struct network n;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		if (network_parse(&n, good[i]) < 0)
			fail_msg("%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (network_parse(&n, bad[i]) == 0)
			fail_msg("%s", bad[i]);
}

static void test_who_belongs_to_it(void **state)
{
	(void)state;
	static const struct { const char *network, *address; bool holds; } cases[] = {
		{ "10.0.0.0/8", "10.255.0.1", true }, { "10.0.0.0/8", "11.0.0.1", false }, { "10.0.0.0/8", "::ffff:10.1.1.1", true }, { "10.0.0.0/8", "[::ffff:10.1.1.1]:80", true },
		{ "192.0.2.7", "192.0.2.7:40122", true }, { "192.0.2.7", "192.0.2.6", false }, { "0.0.0.0/0", "255.255.255.255", true }, { "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "1.2.3.4", true }, { "fd00::/8", "[fdff::1]:1", true }, { "fd00::/8", "fe00::1", false }, { "2001:db8:8000::/33", "2001:db8:ffff::1", true },
		{ "2001:db8:8000::/33", "2001:db8:7fff::1", false }, { "172.16.0.0/12", "172.31.255.255", true }, { "172.16.0.0/12", "172.32.0.0", false },
	};
	static const char *const bad[] = { "", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "[::1", "[::1]x", ":80", "1.2.3.4 ", "host:80" };
	unsigned char at[16];
	struct network n;
	char text[NETWORK_TEXT_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(network_parse(&n, cases[i].network), 0);
		assert_int_equal(network_address(at, cases[i].address, strlen(cases[i].address)), 0);
		if (network_holds(&n, at) != cases[i].holds)
			fail_msg("%s %s", cases[i].network, cases[i].address);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (network_address(at, bad[i], strlen(bad[i])) == 0)
			fail_msg("%s", bad[i]);
	assert_int_equal(network_address(at, "192.0.2.7:1", 11), 0);
	assert_string_equal(network_text(at, text), "192.0.2.7");
	assert_int_equal(network_address(at, "[2001:DB8:0::1]:1", 17), 0);
	assert_string_equal(network_text(at, text), "2001:db8::1");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_what_a_network_is), cmocka_unit_test(test_who_belongs_to_it) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
