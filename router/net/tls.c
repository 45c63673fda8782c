/* tls.c - OpenSSL stays in here and in the sessions it hands out. */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

struct tls_server {
	atomic_uint refs;
	SSL_CTX *ctx;
};

static const char *last_error(void)
{
	const char *s = ERR_reason_error_string(ERR_peek_last_error());

	return s ? s : "unknown fault";
}

/* A key with a passphrase is refused rather than asked for on a terminal that a daemon has not. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf; (void)size; (void)writing; (void)arg;
	return -1;
}

static int choose_http1(SSL *s, const unsigned char **out, unsigned char *outlen, const unsigned char *in, unsigned inlen, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";

	(void)s; (void)arg;
	if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, outlen, ours, sizeof ours - 1, in, inlen) == OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_OK;
	return SSL_TLSEXT_ERR_NOACK;
}

static const char *set_up(SSL_CTX *ctx, const struct tls_files *f, const char **file)
{
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
		SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	SSL_CTX_set_alpn_select_cb(ctx, choose_http1, NULL);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"sluice", 6);
	*file = f->cert;
	if (SSL_CTX_use_certificate_chain_file(ctx, f->cert) != 1)
		return last_error();
	*file = f->key;
	if (SSL_CTX_use_PrivateKey_file(ctx, f->key, SSL_FILETYPE_PEM) != 1)
		return last_error();
	if (SSL_CTX_check_private_key(ctx) != 1)
		return "not the key of that certificate";
	if (f->ca) {
		STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(f->ca);

		*file = f->ca;
		if (!names || SSL_CTX_load_verify_file(ctx, f->ca) != 1) {
			sk_X509_NAME_pop_free(names, X509_NAME_free);
			return last_error();
		}
		SSL_CTX_set_client_CA_list(ctx, names);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	}
	return NULL;
}

struct tls_server *tls_server_new(const struct tls_files *f, char *why, size_t whylen)
{
	struct tls_server *t = xcalloc(1, sizeof *t);
	const char *fault, *file = "TLS";

	ERR_clear_error();
	atomic_init(&t->refs, 1);
	t->ctx = SSL_CTX_new(TLS_server_method());
	fault = t->ctx ? set_up(t->ctx, f, &file) : last_error();
	if (!fault)
		return t;
	snprintf(why, whylen, "%s: %s", file, fault);
	ERR_clear_error();
	tls_server_unref(t);
	return NULL;
}

struct tls_server *tls_server_ref(struct tls_server *t)
{
	if (t)
		atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void tls_server_unref(struct tls_server *t)
{
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(t->ctx);
	free(t);
}

SSL *tls_server_session(struct tls_server *t, int fd)
{
	SSL *s = SSL_new(t->ctx);

	if (s && SSL_set_fd(s, fd) == 1) {
		SSL_set_accept_state(s);
		return s;
	}
	SSL_free(s);
	ERR_clear_error();
	return NULL;
}

static enum tls_io io_result(SSL *s, int ret)
{
	if (ret == 1)
		return TLS_IO_OK;
	switch (SSL_get_error(s, ret)) {
	case SSL_ERROR_WANT_READ: return TLS_IO_WANT_READ;
	case SSL_ERROR_WANT_WRITE: return TLS_IO_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN: return TLS_IO_EOF;
	default: return TLS_IO_ERROR;
	}
}

enum tls_io tls_read(SSL *s, void *p, size_t n, size_t *done)
{
	ERR_clear_error(); /* what another session left in the thread's queue would be taken for ours */
	return io_result(s, SSL_read_ex(s, p, n, done));
}

enum tls_io tls_write(SSL *s, const void *p, size_t n, size_t *done)
{
	ERR_clear_error();
	return io_result(s, SSL_write_ex(s, p, n, done));
}

enum tls_io tls_handshake(SSL *s)
{
	ERR_clear_error();
	return io_result(s, SSL_do_handshake(s));
}

void tls_session_free(SSL *s)
{
	SSL_free(s);
}
