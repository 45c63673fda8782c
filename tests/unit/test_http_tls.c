/* HTTP over TLS: records, certificates that are replaced under way, client certificates, faults that name the file. */
#include "http_kit.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "net/tls.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_tls),
		T(test_tls_client_certificates),
		cmocka_unit_test(test_tls_files_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
