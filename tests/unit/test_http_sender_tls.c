/* test_http_sender_tls.c - certificates, and addresses that must not be asked. */
#include "http_sender_kit.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http_address.h"

/* ---- TLS ------------------------------------------------------------------------------------------------------------------------------------- */

static char dir[] = "/tmp/sluice-test-XXXXXX";
static char server_cert[64], server_key[64], client_cert[64], client_key[64], other_cert[64], other_key[64];

static int make_certificates(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	char *const to[] = { server_cert, server_key, client_cert, client_key, other_cert, other_key };
	for (unsigned i = 0; i < 6; i++)
		snprintf(to[i], sizeof server_cert, "%s/%u.pem", dir, i);
	sink_certificate("localhost", server_cert, server_key);
	sink_certificate("client", client_cert, client_key);
	sink_certificate("other", other_cert, other_key);
	return 0;
}

static int drop_certificates(void **state)
{
	(void)state;
	char *const to[] = { server_cert, server_key, client_cert, client_key, other_cert, other_key };
	for (unsigned i = 0; i < 6; i++)
		unlink(to[i]);
	return rmdir(dir);
}

static void tls_needs_the_right_authority_and_the_right_certificate(void **state)
{
	(void)state;
	struct world w;
	begin(&w, sink_new(server_cert, server_key, client_cert));
	struct destination *d = &w.plan.destination;
	char why[256];
	make(&w); /* the system's authorities do not know it */
	ask(&w, "/ok");
	assert_int_equal(w.verdict, VERDICT_BLOCKED);
	assert_non_null(strstr(w.reason, "certificate"));
	d->tls_ca = server_cert;
	assert_int_equal(sender_http.update(w.sender, d, why, sizeof why), 0);
	ask(&w, "/ok"); /* trusted, but we bring none */
	assert_int_equal(w.verdict, VERDICT_BLOCKED);
	d->tls_cert = other_cert;
	d->tls_key = other_key;
	assert_int_equal(sender_http.update(w.sender, d, why, sizeof why), 0);
	ask(&w, "/ok"); /* not the one they want */
	assert_int_equal(w.verdict, VERDICT_BLOCKED);
	d->tls_cert = client_cert;
	d->tls_key = client_key;
	assert_int_equal(sender_http.update(w.sender, d, why, sizeof why), 0);
	ask(&w, "/ok");
	assert_int_equal(w.verdict, VERDICT_DONE);
	uint64_t before = http_client_connections(w.net->http);
	/* unchanged files: the connection goes on; a renewed certificate in the same file: a new one */
	assert_int_equal(sender_http.update(w.sender, d, why, sizeof why), 0);
	ask(&w, "/ok");
	assert_int_equal(http_client_connections(w.net->http), before);
	sink_certificate("client", client_cert, client_key);
	assert_int_equal(sender_http.update(w.sender, d, why, sizeof why), 0);
	ask(&w, "/ok");
	assert_true(http_client_connections(w.net->http) > before);
	assert_int_equal(w.verdict, VERDICT_BLOCKED); /* … which the far end does not know yet */
	/* files that are not there: told at once, and the old settings stay usable */
	d->tls_ca = "/nonexistent/ca.pem";
	assert_int_equal(sender_http.update(w.sender, d, why, sizeof why), -1);
	assert_non_null(strstr(why, "/nonexistent/ca.pem"));
	end(&w);
}

static void the_name_in_the_certificate_counts_unless_verify_is_off(void **state)
{
	(void)state;
	struct world w;
	begin(&w, sink_new(other_cert, other_key, NULL));
	w.plan.destination.tls_ca = other_cert;
	make(&w);
	ask(&w, "/ok");
	assert_int_equal(w.verdict, VERDICT_BLOCKED);
	w.plan.destination.tls_verify = false;
	char why[100];
	assert_int_equal(sender_http.update(w.sender, &w.plan.destination, why, sizeof why), 0);
	ask(&w, "/ok");
	assert_int_equal(w.verdict, VERDICT_DONE);
	w.plan.destination.tls_verify = true; /* a connection that was not verified is not good enough any more */
	assert_int_equal(sender_http.update(w.sender, &w.plan.destination, why, sizeof why), 0);
	ask(&w, "/ok");
	assert_int_equal(w.verdict, VERDICT_BLOCKED);
	end(&w);
}

/* ---- addresses ---------------------------------------------------------------------------------------------------------------------------------- */

static bool internal(const char *text)
{
	struct sockaddr_in a4 = { .sin_family = AF_INET };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6 };
	if (inet_pton(AF_INET, text, &a4.sin_addr) == 1)
		return http_address_is_internal((struct sockaddr *)&a4);
	assert_int_equal(inet_pton(AF_INET6, text, &a6.sin6_addr), 1);
	return http_address_is_internal((struct sockaddr *)&a6);
}

static void metadata_addresses_are_known_in_every_spelling(void **state)
{
	(void)state;
	static const char *const yes[] = { "169.254.169.254", "169.254.0.1", "100.100.100.200", "192.0.0.192", "fe80::1", "febf::1", "fd00:ec2::254",
		"::ffff:169.254.169.254", "::169.254.169.254", "64:ff9b::a9fe:a9fe" };
	static const char *const no[] = { "127.0.0.1", "10.0.0.1", "192.168.1.1", "169.253.1.1", "100.100.100.201", "::1", "fec0::1", "fd00::1",
		"::ffff:10.0.0.1", "2001:db8::1" };
	for (unsigned i = 0; i < 10; i++) {
		assert_true(internal(yes[i]));
		assert_false(internal(no[i]));
	}
	struct sockaddr_in a = { .sin_family = AF_INET };
	inet_pton(AF_INET, "169.254.169.254", &a.sin_addr);
	assert_true(http_address_is_literal("http://169.254.169.254/x", (struct sockaddr *)&a));
	assert_false(http_address_is_literal("http://metadata.internal/x", (struct sockaddr *)&a));
	assert_false(http_address_is_literal("http://169.254.169.253/x", (struct sockaddr *)&a));
}

static void a_message_cannot_lead_to_a_metadata_address(void **state)
{
	(void)state;
	struct world w;
	begin(&w, NULL);
	fake_plan_fini(&w.plan);
	fake_plan_init(&w.plan, "http://{host}/x");
	make(&w);
	struct batch b = { 0 };
	send_to(&w, &b, "http://169.254.169.254/x");
	await(&w, 1);
	assert_int_equal(w.verdict, VERDICT_BLOCKED);
	assert_non_null(strstr(w.reason, "metadata"));
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tls_needs_the_right_authority_and_the_right_certificate),
		cmocka_unit_test(the_name_in_the_certificate_counts_unless_verify_is_off),
		cmocka_unit_test(metadata_addresses_are_known_in_every_spelling),
		cmocka_unit_test(a_message_cannot_lead_to_a_metadata_address),
	};
	return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
