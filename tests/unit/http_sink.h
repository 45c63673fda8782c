/* http_sink.h - a far end for HTTP clients, on its own threads, that behaves as badly as the path asks it to.
 *
 *   /ok 200   /status/NNN that, with the header lines of `extra`   /cut half a body   /neck half a head   /close no answer   /garbage not HTTP
 *   /silent never answers   /early 103 before 200   /big 500 KB   /huge without end   /heads 500 header lines   /rude 400 before reading the body */
#ifndef SLUICE_TESTS_HTTP_SINK_H
#define SLUICE_TESTS_HTTP_SINK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#define SINK_CONNECTIONS 256

struct sink {
	int fd, port;
	SSL_CTX *tls;
	pthread_t thread;
	pthread_t conns[SINK_CONNECTIONS];
	int fds[SINK_CONNECTIONS];
	unsigned nconns;
	bool stopping;
	pthread_mutex_t lock;     /* guards what follows */
	unsigned connections, requests;
	char head[16384];         /* of the last request */
	char *body; size_t len;
	const char *extra;        /* header lines for /status, each with its CRLF; set between requests */
};

/* cert, key: PEM files, or NULL for plain HTTP; ca: clients must bring a certificate it signed, or NULL. */
struct sink *sink_new(const char *cert, const char *key, const char *ca);
void sink_free(struct sink *s);
/* A self-signed certificate for this name and its key, into these files. */
void sink_certificate(const char *name, const char *cert, const char *key);

#endif
