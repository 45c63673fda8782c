/* tls.h - both sides of TLS: certificates that can be replaced while connections last.
 *
 * A struct tls_server is immutable and counted. A listener hands its present one to each new connection; a connection
 * keeps what it was made with. A new certificate is a new struct tls_server: connections that stand are not touched. */
#ifndef SLUICE_NET_TLS_H
#define SLUICE_NET_TLS_H

#include <stdbool.h>
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

/* ---- the client's side (tls_client.c) ------------------------------------------------------------------------------------- */

struct tls_client;
struct tls_client_files {
	const char *ca;         /* PEM to trust in place of the system's; NULL */
	const char *cert, *key; /* our own, or NULL */
	bool verify;            /* the far end's certificate and name */
	const char *alpn;       /* one protocol to ask for, or NULL */
};
/* As tls_server_new. */
struct tls_client *tls_client_new(const struct tls_client_files *f, char *why, size_t whylen);
struct tls_client *tls_client_ref(struct tls_client *t); /* NULL is fine */
void tls_client_unref(struct tls_client *t);             /* NULL is fine; any thread */
/* A session on a non-blocking socket for the far end of this name (SNI, and what its certificate must say) or address; NULL when memory is out. */
SSL *tls_client_session(struct tls_client *t, int fd, const char *host);

/* ---- bytes ---------------------------------------------------------------------------------------------------------------- */

enum tls_io { TLS_IO_OK, TLS_IO_WANT_READ, TLS_IO_WANT_WRITE, TLS_IO_EOF, TLS_IO_ERROR };
/* Like read and write: *done bytes when TLS_IO_OK. */
enum tls_io tls_read(SSL *s, void *p, size_t n, size_t *done);
enum tls_io tls_write(SSL *s, const void *p, size_t n, size_t *done);
enum tls_io tls_handshake(SSL *s);
void tls_session_free(SSL *s); /* NULL is fine */
/* Directly after TLS_IO_ERROR: what happened, for people; *certificate when a certificate, theirs or ours, was the reason. Good until this
 * thread's next call of OpenSSL. */
const char *tls_fault(SSL *s, bool *certificate);

#endif
