/* tls_client.c - the client's side of TLS: whom to believe, and what to show. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "net/tls.h"

struct tls_client {
	atomic_uint refs;
	SSL_CTX *ctx;
};

static const char *last_error(void)
{
	const char *s = ERR_reason_error_string(ERR_peek_last_error());

	return s ? s : "unknown fault";
}

static int no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf; (void)size; (void)writing; (void)arg;
	return -1;
}

static const char *set_alpn(SSL_CTX *ctx, const char *protocol)
{
	unsigned char wire[256];
	size_t n = strlen(protocol);

	if (n == 0 || n > 255)
		return "no protocol name";
	wire[0] = (unsigned char)n;
	memcpy(wire + 1, protocol, n);
	return SSL_CTX_set_alpn_protos(ctx, wire, (unsigned)n + 1) == 0 ? NULL : last_error();
}

static const char *set_up(SSL_CTX *ctx, const struct tls_client_files *f, const char **file)
{
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	SSL_CTX_set_verify(ctx, f->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	*file = f->ca ? f->ca : "the system's certificates";
	if (f->verify && (f->ca ? SSL_CTX_load_verify_file(ctx, f->ca) : SSL_CTX_set_default_verify_paths(ctx)) != 1)
		return last_error();
	*file = f->cert;
	if (f->cert && SSL_CTX_use_certificate_chain_file(ctx, f->cert) != 1)
		return last_error();
	*file = f->key;
	if (f->key && SSL_CTX_use_PrivateKey_file(ctx, f->key, SSL_FILETYPE_PEM) != 1)
		return last_error();
	if (f->cert && SSL_CTX_check_private_key(ctx) != 1)
		return "not the key of that certificate";
	*file = "ALPN";
	return f->alpn ? set_alpn(ctx, f->alpn) : NULL;
}

struct tls_client *tls_client_new(const struct tls_client_files *f, char *why, size_t whylen)
{
	struct tls_client *t = xcalloc(1, sizeof *t);
	const char *fault, *file = "TLS";

	ERR_clear_error();
	atomic_init(&t->refs, 1);
	t->ctx = SSL_CTX_new(TLS_client_method());
	fault = t->ctx ? set_up(t->ctx, f, &file) : last_error();
	if (!fault)
		return t;
	snprintf(why, whylen, "%s: %s", file, fault);
	ERR_clear_error();
	tls_client_unref(t);
	return NULL;
}

struct tls_client *tls_client_ref(struct tls_client *t)
{
	if (t)
		atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void tls_client_unref(struct tls_client *t)
{
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(t->ctx);
	free(t);
}

/* A certificate names hosts and addresses in different places; SNI knows hosts alone. */
static bool expect(SSL *s, const char *host)
{
	unsigned char address[16];

	if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s), host) == 1;
	SSL_set_hostflags(s, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(s, host) == 1 && SSL_set_tlsext_host_name(s, host) == 1;
}

SSL *tls_client_session(struct tls_client *t, int fd, const char *host)
{
	SSL *s = SSL_new(t->ctx);

	if (s && SSL_set_fd(s, fd) == 1 && (!*host || expect(s, host))) {
		SSL_set_connect_state(s);
		return s;
	}
	SSL_free(s);
	ERR_clear_error();
	return NULL;
}

/* With TLS 1.3 a server says what it thinks of our certificate only after the handshake, as an alert. */
static bool is_about_certificate(int reason)
{
	switch (reason) {
	case SSL_R_CERTIFICATE_VERIFY_FAILED: case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED: case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN: case SSL_R_TLSV1_ALERT_UNKNOWN_CA: case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: case SSL_R_TLSV1_UNRECOGNIZED_NAME:
		return true;
	default:
		return false;
	}
}

const char *tls_fault(SSL *s, bool *certificate)
{
	int saved = errno;
	unsigned long e = ERR_peek_last_error();
	long verified = SSL_get_verify_result(s);
	const char *words;

	*certificate = e != 0 && ERR_GET_LIB(e) == ERR_LIB_SSL && is_about_certificate(ERR_GET_REASON(e));
	if (*certificate && verified != X509_V_OK)
		return X509_verify_cert_error_string(verified);
	words = e ? ERR_reason_error_string(e) : saved ? strerror(saved) : "the connection was cut";
	return words ? words : "unknown fault of TLS";
}
