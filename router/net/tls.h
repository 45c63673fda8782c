/* tls.h - the server's side of TLS: a certificate that can be replaced while connections last.
 *
 * A struct tls_server is immutable and counted. A listener hands its present one to each new connection; a connection
 * keeps what it was made with. A new certificate is a new struct tls_server: connections that stand are not touched. */
#ifndef SLUICE_NET_TLS_H
#define SLUICE_NET_TLS_H

#include <stddef.h>

typedef struct ssl_st SSL; /* OpenSSL's own name */
struct tls_server;

struct tls_files {
	const char *cert; /* PEM, leaf first, then the chain */
	const char *key;  /* PEM, without a passphrase */
	const char *ca;   /* NULL, or PEM: clients must show a certificate that one of these has signed */
};

/* Reads the files. NULL and why, which names the file. The process must ignore SIGPIPE. */
struct tls_server *tls_server_new(const struct tls_files *f, char *why, size_t whylen);
struct tls_server *tls_server_ref(struct tls_server *t); /* NULL is fine */
void tls_server_unref(struct tls_server *t);             /* NULL is fine; any thread */

/* A session on a non-blocking socket; NULL when memory is out. The caller frees it with SSL_free and closes the socket. */
SSL *tls_server_session(struct tls_server *t, int fd);

enum tls_io { TLS_IO_OK, TLS_IO_WANT_READ, TLS_IO_WANT_WRITE, TLS_IO_EOF, TLS_IO_ERROR };
/* Like read and write: *done bytes when TLS_IO_OK. */
enum tls_io tls_read(SSL *s, void *p, size_t n, size_t *done);
enum tls_io tls_write(SSL *s, const void *p, size_t n, size_t *done);

#endif
