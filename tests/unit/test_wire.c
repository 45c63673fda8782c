/* Connections of bytes: back-pressure, half-closed ends, faults by name, TLS, and owners that free a wire from inside its callbacks. */
#include "unit.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "net/addr.h"
#include "net/tls.h"
#include "net/wire.h"

struct side {
	struct wire *w;
	struct buf got;
	size_t consume;             /* at a time; 0: leave it all */
	unsigned opened, rooms, ends;
	enum wire_end how;
	char why[256];
	bool free_on_open, free_on_input, free_on_end;
};

static struct event_base *base;

static void on_open(void *arg)
{
	struct side *s = arg;

	s->opened++;
	if (s->free_on_open) {
		wire_free(s->w);
		s->w = NULL;
	}
}

static void take(struct side *s)
{
	size_t n;
	const char *p = wire_input(s->w, &n);
	volatile char pad = p[n ? n + 63 : 0]; /* promised to be readable */

	(void)pad;
	if (n > s->consume)
		n = s->consume;
	buf_add(&s->got, p, n);
	if (n)
		wire_consume(s->w, n);
}

static void on_input(void *arg)
{
	struct side *s = arg;

	if (s->free_on_input) {
		wire_free(s->w);
		s->w = NULL;
		return;
	}
	take(s);
}

static void on_room(void *arg) { ((struct side *)arg)->rooms++; }

static void on_end(void *arg, enum wire_end how, const char *why)
{
	struct side *s = arg;

	s->ends++;
	s->how = how;
	snprintf(s->why, sizeof s->why, "%s", why);
	if (s->free_on_end) {
		wire_free(s->w);
		s->w = NULL;
	}
}

static const struct wire_calls calls = { on_open, on_input, on_room, on_end };

static void run_until(bool (*done)(void *arg), void *arg)
{
	int64_t end = clock_mono_us() + 10 * 1000000 * UNIT_PATIENCE;

	while (!done(arg)) {
		assert_true(clock_mono_us() < end);
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	}
}

static bool is_open(void *arg) { return ((struct side *)arg)->opened > 0; }
static bool has_ended(void *arg) { return ((struct side *)arg)->ends > 0; }

/* ---- two wires at the ends of one TCP connection ---- */

struct pair { struct side a, b; struct wire_settings as, bs; };

static void pair_open(struct pair *p, struct tls_client *client, struct tls_server *server, const char *host)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof sin;
	struct wire_target to;
	struct addr at;
	char url[300], why[200];
	int fd, listener;

	assert_int_equal(addr_parse(&at, "127.0.0.1:0", why, sizeof why), 0);
	listener = addr_listen(&at, why, sizeof why);
	assert_true(listener >= 0);
	getsockname(listener, (struct sockaddr *)&sin, &len);
	snprintf(url, sizeof url, "tcp://%s:%u", host, ntohs(sin.sin_port));
	assert_int_equal(wire_target_parse(&to, url, NULL, why, sizeof why), 0);
	p->a.w = wire_connect(base, &to, client, &p->as, &calls, &p->a);
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0) {
		assert_int_equal(p->a.ends, 0);
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	}
	close(listener);
	p->b.w = wire_accept(base, fd, server, &p->bs, &calls, &p->b);
}

static void pair_close(struct pair *p)
{
	wire_free(p->a.w);
	wire_free(p->b.w);
	buf_fini(&p->a.got);
	buf_fini(&p->b.got);
}

static char pattern(size_t i) { return (char)(i * 7 + (i >> 9)); }

static void put_pattern(struct wire *w, size_t n)
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < n; i++)
		buf_addc(&b, pattern(i));
	wire_write(w, b.p, n);
	buf_fini(&b);
}

static void expect_pattern(const struct buf *b, size_t n)
{
	assert_int_equal(b->len, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(b->p[i], pattern(i));
}

#define BIG (6u << 20)
/* An owner who takes it piece by piece, whenever it likes. */
static bool has_big(void *arg)
{
	struct side *s = arg;

	if (s->w)
		take(s);
	return s->got.len == BIG;
}

static void carries_megabytes(struct tls_client *client, struct tls_server *server)
{
	struct pair p = { .b = { .consume = 40000 }, .bs = { .input_max = 100000 }, .as = { .output_max = 1000 } };

	pair_open(&p, client, server, "localhost");
	put_pattern(p.a.w, BIG);
	assert_false(wire_has_room(p.a.w));
	run_until(has_big, &p.b);
	expect_pattern(&p.b.got, BIG);
	assert_int_equal(p.a.rooms, 1);
	assert_true(wire_has_room(p.a.w));
	pair_close(&p);
}

static void test_megabytes_through_a_small_window(void **state) { (void)state; carries_megabytes(NULL, NULL); }

/* Nothing is consumed: the sender's kernel and ours fill up, and no more than the bound is held. */
static void test_input_bound_is_a_reading_stop(void **state)
{
	struct pair p = { .bs = { .input_max = 5000 } };
	size_t n;

	(void)state;
	pair_open(&p, NULL, NULL, "127.0.0.1");
	put_pattern(p.a.w, BIG);
	for (int i = 0; i < 2000; i++)
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	wire_input(p.b.w, &n);
	assert_int_equal(n, 5000);
	assert_true(wire_unacknowledged(p.a.w) > 0);
	p.b.consume = BIG;
	take(&p.b);
	run_until(has_big, &p.b);
	expect_pattern(&p.b.got, BIG);
	pair_close(&p);
}

static bool all_acknowledged(void *arg) { return wire_unacknowledged(arg) == 0; }

static void test_held_wire_reads_nothing_and_goes_on(void **state)
{
	struct pair p = { .b = { .consume = BIG } };

	(void)state;
	pair_open(&p, NULL, NULL, "127.0.0.1");
	run_until(is_open, &p.b);
	wire_hold(p.b.w, true);
	put_pattern(p.a.w, 3000);
	run_until(all_acknowledged, p.a.w); /* it lies in the kernel of the far end */
	for (int i = 0; i < 100; i++)
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	assert_int_equal(p.b.got.len, 0);
	wire_hold(p.b.w, false);
	while (p.b.got.len < 3000)
		event_base_loop(base, EVLOOP_ONCE);
	expect_pattern(&p.b.got, 3000);
	pair_close(&p);
}

/* Like `nc -N`: no more is sent, but the answer is still read. */
static void test_answer_to_a_far_end_that_closed_its_half(void **state)
{
	struct pair p = { .a = { .consume = BIG } };
	size_t n;

	(void)state;
	pair_open(&p, NULL, NULL, "127.0.0.1");
	wire_write(p.a.w, "question", 8);
	run_until(is_open, &p.a);
	wire_finish(p.a.w, 10000000);
	run_until(has_ended, &p.b);
	assert_int_equal(p.b.how, WIRE_CLOSED);
	assert_memory_equal(wire_input(p.b.w, &n), "question", 8);
	wire_write(p.b.w, "late", 4);
	p.b.ends = 0;
	wire_finish(p.b.w, 10000000);
	run_until(has_ended, &p.b);
	assert_int_equal(p.b.how, WIRE_CLOSED);
	run_until(has_ended, &p.a);
	pair_close(&p);
}

static void test_finish_brings_out_all_that_was_written(void **state)
{
	struct pair p = { .b = { .consume = BIG } };

	(void)state;
	pair_open(&p, NULL, NULL, "127.0.0.1");
	run_until(is_open, &p.a);
	put_pattern(p.a.w, BIG);
	p.a.free_on_end = true;
	wire_finish(p.a.w, 10000000);
	run_until(has_ended, &p.b);
	expect_pattern(&p.b.got, BIG);
	wire_free(p.b.w);
	p.b.w = NULL;
	run_until(has_ended, &p.a);
	assert_null(p.a.w);
	pair_close(&p);
}

static void test_finish_gives_up_on_who_does_not_read(void **state)
{
	struct pair p = { .bs = { .input_max = 1000 } };

	(void)state;
	pair_open(&p, NULL, NULL, "127.0.0.1");
	run_until(is_open, &p.a);
	put_pattern(p.a.w, BIG);
	wire_finish(p.a.w, 50000);
	run_until(has_ended, &p.a);
	assert_int_equal(p.a.how, WIRE_CUT);
	assert_string_equal(p.a.why, "the far end did not take what was left in time");
	pair_close(&p);
}

static void test_reset_is_a_cut_after_what_was_said(void **state)
{
	struct pair p = { .a = { .consume = 100 } };

	(void)state;
	pair_open(&p, NULL, NULL, "127.0.0.1");
	run_until(is_open, &p.b);
	wire_write(p.a.w, "unread", 6);
	run_until(all_acknowledged, p.a.w);
	wire_write(p.b.w, "bye", 3);
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	wire_hold(p.b.w, true);
	run_until(all_acknowledged, p.b.w);
	wire_free(p.b.w);
	p.b.w = NULL;
	run_until(has_ended, &p.a);
	assert_string_equal(p.a.got.p, "bye");
	pair_close(&p);
}

static void connect_to(struct side *s, const char *url, int64_t connect_us)
{
	struct wire_target to;
	char why[200];

	if (wire_target_parse(&to, url, NULL, why, sizeof why) < 0)
		fail_msg("%s", why);
	s->w = wire_connect(base, &to, NULL, &(struct wire_settings){ .connect_us = connect_us }, &calls, s);
	assert_int_equal(s->ends, 0); /* told from the loop, never from inside */
	run_until(has_ended, s);
	assert_int_equal(s->how, WIRE_UNREACHABLE);
	assert_int_equal(s->opened, 0);
	wire_free(s->w);
}

static void test_nobody_there(void **state)
{
	struct side refused = { 0 }, nowhere = { 0 }, nameless = { 0 };

	(void)state;
	connect_to(&refused, "tcp://127.0.0.1:1", 0);
	assert_string_equal(refused.why, "Connection refused");
	connect_to(&nowhere, "unix:///nonexistent/feed.sock", 0);
	assert_string_equal(nowhere.why, "No such file or directory");
	connect_to(&nameless, "tcp://no-such-name.invalid:80", 20000000);
	assert_non_null(strstr(nameless.why, "no-such-name.invalid"));
}

/* A listener whose queue is full answers nobody. */
static void test_time_to_connect_is_bounded(void **state)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof sin;
	struct side s = { 0 };
	int fd = socket(AF_INET, SOCK_STREAM, 0), fill[4];
	char url[64];

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof sin), 0);
	assert_int_equal(listen(fd, 0), 0);
	getsockname(fd, (struct sockaddr *)&sin, &len);
	for (int i = 0; i < 4; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(fill[i], (struct sockaddr *)&sin, len);
	}
	snprintf(url, sizeof url, "tcp://127.0.0.1:%u", ntohs(sin.sin_port));
	connect_to(&s, url, 100000);
	assert_string_equal(s.why, "nobody answers");
	for (int i = 0; i < 4; i++)
		close(fill[i]);
	close(fd);
}

static void test_owner_frees_from_inside_each_callback(void **state)
{
	struct pair opened = { .a = { .free_on_open = true } }, input = { .b = { .free_on_input = true } }, ended = { .b = { .free_on_end = true } };

	(void)state;
	pair_open(&opened, NULL, NULL, "127.0.0.1");
	run_until(is_open, &opened.a);
	assert_null(opened.a.w);
	pair_close(&opened);
	pair_open(&input, NULL, NULL, "127.0.0.1");
	wire_write(input.a.w, "x", 1);
	while (input.b.w)
		event_base_loop(base, EVLOOP_ONCE);
	pair_close(&input);
	pair_open(&ended, NULL, NULL, "127.0.0.1");
	run_until(is_open, &ended.b);
	wire_free(ended.a.w);
	ended.a.w = NULL;
	run_until(has_ended, &ended.b);
	assert_null(ended.b.w);
	pair_close(&ended);
}

static void test_unix_socket(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct side a = { 0 }, b = { .consume = 100 };
	struct wire_target to;
	char url[200], why[200];
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd;

	(void)state;
	snprintf(sun.sun_path, sizeof sun.sun_path, "/tmp/sluice-wire-%d.sock", (int)getpid());
	unlink(sun.sun_path);
	assert_int_equal(bind(listener, (struct sockaddr *)&sun, sizeof sun), 0);
	assert_int_equal(listen(listener, 5), 0);
	snprintf(url, sizeof url, "unix://%s", sun.sun_path);
	assert_int_equal(wire_target_parse(&to, url, NULL, why, sizeof why), 0);
	a.w = wire_connect(base, &to, NULL, &(struct wire_settings){ 0 }, &calls, &a);
	run_until(is_open, &a);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	wire_write(a.w, "hello", 5);
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	assert_true(wire_unacknowledged(a.w) > 0); /* not read yet */
	b.w = wire_accept(base, fd, NULL, &(struct wire_settings){ 0 }, &calls, &b);
	while (b.got.len < 5)
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(wire_unacknowledged(a.w), 0);
	wire_free(a.w);
	wire_free(b.w);
	buf_fini(&b.got);
	close(listener);
	unlink(sun.sun_path);
}

static void test_targets(void **state)
{
	static const struct { const char *url, *host, *port, *path; bool tls; const char *why; } cases[] = {
		{ "tcp://example.com:7000", "example.com", "7000", "", false, NULL },
		{ "tcps://[2001:db8::1]:1", "2001:db8::1", "1", "", true, NULL },
		{ "mqtts://user:p@ss@host:8883/x?y", "host", "8883", "", true, NULL },
		{ "mqtt://host", "host", "1883", "", false, NULL },
		{ "unix:///run/feed.sock", "", "", "/run/feed.sock", false, NULL },
		{ "unix://run/feed.sock", NULL, NULL, NULL, false, "the whole path" },
		{ "tcp://:80", NULL, NULL, NULL, false, "host is missing" },
		{ "tcp://host:0", NULL, NULL, NULL, false, "from 1 to 65535" },
		{ "tcp://host:65536", NULL, NULL, NULL, false, "from 1 to 65535" },
		{ "tcp://host:8x", NULL, NULL, NULL, false, "from 1 to 65535" },
		{ "tcp://[::1:80", NULL, NULL, NULL, false, "brackets" },
		{ "host:80", NULL, NULL, NULL, false, "no URL" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct wire_target t;
		char why[200] = "";
		int got = wire_target_parse(&t, cases[i].url, "1883", why, sizeof why);

		if (cases[i].why) {
			assert_int_equal(got, -1);
			if (!strstr(why, cases[i].why))
				fail_msg("%s: %s", cases[i].url, why);
			continue;
		}
		assert_int_equal(got, 0);
		assert_string_equal(t.host, cases[i].host);
		assert_string_equal(t.port, cases[i].port);
		assert_string_equal(t.path, cases[i].path);
		assert_int_equal(t.tls, cases[i].tls);
	}
	struct wire_target t;
	char why[200];
	assert_int_equal(wire_target_parse(&t, "tcp://host", NULL, why, sizeof why), -1);
	assert_non_null(strstr(why, "the port is missing"));
}

/* ---- TLS ---- */

struct cert { char cert[64], key[64]; };

static struct cert make_cert(const char *names)
{
	struct cert made = { "/tmp/sluice-test-cert-XXXXXX", "/tmp/sluice-test-key-XXXXXX" };
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509V3_CTX v3;
	FILE *f;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"sluice test", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509V3_set_ctx_nodb(&v3);
	X509V3_set_ctx(&v3, x, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &v3, NID_subject_alt_name, names);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
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

static struct tls_client *client_of(const struct tls_client_files *f)
{
	char why[300];
	struct tls_client *t = tls_client_new(f, why, sizeof why);

	if (!t)
		fail_msg("%s", why);
	return t;
}

static struct tls_server *server_of(const struct cert *c, const char *ca)
{
	char why[300];
	struct tls_server *t = tls_server_new(&(struct tls_files){ .cert = c->cert, .key = c->key, .ca = ca }, why, sizeof why);

	if (!t)
		fail_msg("%s", why);
	return t;
}

static enum wire_end tls_end(struct tls_client *client, struct tls_server *server, const char *host, char why[256])
{
	struct pair p = { .b = { .consume = 100 } };

	pair_open(&p, client, server, host);
	run_until(has_ended, &p.a);
	snprintf(why, 256, "%s", p.a.why);
	pair_close(&p);
	return p.a.how;
}

static void test_tls(void **state)
{
	struct cert ours = make_cert("DNS:localhost"), other = make_cert("DNS:elsewhere.example,IP:127.0.0.1");
	struct tls_server *server = server_of(&ours, NULL), *choosy = server_of(&ours, other.cert), *misnamed = server_of(&other, NULL);
	struct tls_client *plain = client_of(&(struct tls_client_files){ .ca = ours.cert, .verify = true });
	struct tls_client *shows = client_of(&(struct tls_client_files){ .ca = ours.cert, .verify = true, .cert = other.cert, .key = other.key });
	struct tls_client *wrong = client_of(&(struct tls_client_files){ .ca = other.cert, .verify = true, .alpn = "mqtt" });
	struct tls_client *any = client_of(&(struct tls_client_files){ .verify = false });
	char why[256];

	(void)state;
	carries_megabytes(plain, server);
	carries_megabytes(shows, choosy);
	carries_megabytes(any, misnamed);
	assert_int_equal(tls_end(wrong, server, "localhost", why), WIRE_CERTIFICATE);
	assert_int_equal(tls_end(plain, server, "127.0.0.1", why), WIRE_CERTIFICATE);
	assert_non_null(strstr(why, "IP address mismatch"));
	assert_int_equal(tls_end(wrong, misnamed, "localhost", why), WIRE_CERTIFICATE);
	assert_non_null(strstr(why, "ostname mismatch"));
	assert_int_equal(tls_end(plain, choosy, "localhost", why), WIRE_CERTIFICATE);
	assert_non_null(strstr(why, "certificate required"));
	assert_null(tls_client_new(&(struct tls_client_files){ .ca = "/nonexistent.pem", .verify = true }, why, sizeof why));
	assert_non_null(strstr(why, "/nonexistent.pem"));
	tls_client_unref(plain);
	tls_client_unref(shows);
	tls_client_unref(wrong);
	tls_client_unref(any);
	tls_server_unref(server);
	tls_server_unref(choosy);
	tls_server_unref(misnamed);
	for (const struct cert *c = &ours; c; c = c == &ours ? &other : NULL) {
		unlink(c->cert);
		unlink(c->key);
	}
}

static int up(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	base = event_base_new();
	return 0;
}

static int down(void **state)
{
	(void)state;
	event_base_free(base);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_targets, up, down),
		cmocka_unit_test_setup_teardown(test_megabytes_through_a_small_window, up, down),
		cmocka_unit_test_setup_teardown(test_input_bound_is_a_reading_stop, up, down),
		cmocka_unit_test_setup_teardown(test_held_wire_reads_nothing_and_goes_on, up, down),
		cmocka_unit_test_setup_teardown(test_answer_to_a_far_end_that_closed_its_half, up, down),
		cmocka_unit_test_setup_teardown(test_finish_brings_out_all_that_was_written, up, down),
		cmocka_unit_test_setup_teardown(test_finish_gives_up_on_who_does_not_read, up, down),
		cmocka_unit_test_setup_teardown(test_reset_is_a_cut_after_what_was_said, up, down),
		cmocka_unit_test_setup_teardown(test_nobody_there, up, down),
		cmocka_unit_test_setup_teardown(test_time_to_connect_is_bounded, up, down),
		cmocka_unit_test_setup_teardown(test_owner_frees_from_inside_each_callback, up, down),
		cmocka_unit_test_setup_teardown(test_unix_socket, up, down),
		cmocka_unit_test_setup_teardown(test_tls, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
