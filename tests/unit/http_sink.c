/* http_sink.c - see http_sink.h. */
#include "unit.h"

#include "http_sink.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

struct conn {
	struct sink *s;
	int fd;
	SSL *ssl;
	char *buf;
	size_t len, cap;
};

static ssize_t conn_read(struct conn *c, void *p, size_t n)
{
	return c->ssl ? SSL_read(c->ssl, p, (int)n) : recv(c->fd, p, n, 0);
}

static bool conn_write(struct conn *c, const char *p, size_t n)
{
	while (n) {
		ssize_t k = c->ssl ? SSL_write(c->ssl, p, (int)n) : send(c->fd, p, n, MSG_NOSIGNAL);
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

static bool more(struct conn *c)
{
	if (c->cap - c->len < 65536)
		c->buf = realloc(c->buf, c->cap = c->cap * 2 + 131072);
	ssize_t k = conn_read(c, c->buf + c->len, c->cap - c->len - 1);
	if (k <= 0)
		return false;
	c->len += (size_t)k;
	c->buf[c->len] = '\0';
	return true;
}

static bool say(struct conn *c, const char *text)
{
	return conn_write(c, text, strlen(text));
}

/* One request answered; false: close. */
static bool serve(struct conn *c)
{
	struct sink *s = c->s;
	char *end;
	while (!c->buf || !(end = memmem(c->buf, c->len, "\r\n\r\n", 4)))
		if (!more(c))
			return false;
	size_t head = (size_t)(end - c->buf) + 4, body = 0;
	char path[256] = "";
	sscanf(c->buf, "%*s %255s", path);
	for (char *p = c->buf; p < c->buf + head; p = strchr(p, '\n') + 1)
		if (strncasecmp(p, "Content-Length:", 15) == 0)
			body = strtoul(p + 15, NULL, 10);
	if (strcmp(path, "/rude") == 0) {
		say(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbad");
		shutdown(c->fd, SHUT_WR);
		while (more(c))
			c->len = 0;
		return false;
	}
	while (c->len < head + body)
		if (!more(c))
			return false;
	pthread_mutex_lock(&s->lock);
	s->requests++;
	size_t keep = head < sizeof s->head - 1 ? head : sizeof s->head - 1;
	memcpy(s->head, c->buf, keep);
	s->head[keep] = '\0';
	s->body = realloc(s->body, body + 1);
	memcpy(s->body, c->buf + head, body);
	s->body[body] = '\0';
	s->len = body;
	const char *extra = s->extra ? s->extra : "";
	pthread_mutex_unlock(&s->lock);
	memmove(c->buf, c->buf + head + body, c->len - head - body);
	c->len -= head + body;
	char text[1024];
	if (strncmp(path, "/status/", 8) == 0) {
		snprintf(text, sizeof text, "HTTP/1.1 %d Said So\r\n%sContent-Length: 11\r\n\r\nit is said\n", atoi(path + 8), extra);
		return say(c, text);
	}
	if (strcmp(path, "/cut") == 0)
		return say(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") && false;
	if (strcmp(path, "/neck") == 0)
		return say(c, "HTTP/1.1 200 OK\r\nConte") && false;
	if (strcmp(path, "/close") == 0)
		return false;
	if (strcmp(path, "/garbage") == 0)
		return say(c, "good morning\r\n\r\n") && false;
	if (strcmp(path, "/silent") == 0) {
		while (more(c))
			;
		return false;
	}
	if (strcmp(path, "/early") == 0)
		say(c, "HTTP/1.1 103 Early Hints\r\nRetry-After: 77\r\n\r\n");
	if (strcmp(path, "/big") == 0 || strcmp(path, "/huge") == 0) {
		size_t n = path[1] == 'b' ? 500000 : 1000000000;
		static const char kilobyte[1000] = "x";
		snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
		if (!say(c, text))
			return false;
		for (; n; n -= 1000)
			if (!conn_write(c, kilobyte, 1000))
				return false;
		return true;
	}
	if (strcmp(path, "/heads") == 0) {
		say(c, "HTTP/1.1 503 Busy\r\nRetry-After: 5\r\n");
		for (unsigned i = 0; i < 500; i++)
			say(c, "X-Header: with some words in it, of no use\r\n");
		return say(c, "Content-Length: 0\r\n\r\n");
	}
	return say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

static void *conn_main(void *arg)
{
	struct conn *c = arg;
	bool ready = true;
	if (c->s->tls) {
		c->ssl = SSL_new(c->s->tls);
		SSL_set_fd(c->ssl, c->fd);
		ready = SSL_accept(c->ssl) == 1;
	}
	while (ready && serve(c))
		;
	if (c->ssl) {
		SSL_shutdown(c->ssl);
		SSL_free(c->ssl);
	}
	shutdown(c->fd, SHUT_RDWR);
	free(c->buf);
	free(c);
	return NULL;
}

static void *sink_main(void *arg)
{
	struct sink *s = arg;
	for (int fd; (fd = accept(s->fd, NULL, NULL)) >= 0;) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
		pthread_mutex_lock(&s->lock);
		if (s->stopping || s->nconns == SINK_CONNECTIONS) {
			pthread_mutex_unlock(&s->lock);
			close(fd);
			continue;
		}
		struct conn *c = calloc(1, sizeof *c);
		c->s = s;
		c->fd = fd;
		s->connections++;
		s->fds[s->nconns] = fd;
		pthread_create(&s->conns[s->nconns++], NULL, conn_main, c);
		pthread_mutex_unlock(&s->lock);
	}
	return NULL;
}

struct sink *sink_new(const char *cert, const char *key, const char *ca)
{
	signal(SIGPIPE, SIG_IGN);
	struct sink *s = calloc(1, sizeof *s);
	pthread_mutex_init(&s->lock, NULL);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	assert_int_equal(bind(s->fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(s->fd, 64), 0);
	getsockname(s->fd, (struct sockaddr *)&a, &len);
	s->port = ntohs(a.sin_port);
	if (cert) {
		s->tls = SSL_CTX_new(TLS_server_method());
		assert_int_equal(SSL_CTX_use_certificate_file(s->tls, cert, SSL_FILETYPE_PEM), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(s->tls, key, SSL_FILETYPE_PEM), 1);
	}
	if (ca) {
		assert_int_equal(SSL_CTX_load_verify_locations(s->tls, ca, NULL), 1);
		SSL_CTX_set_verify(s->tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	}
	pthread_create(&s->thread, NULL, sink_main, s);
	return s;
}

void sink_free(struct sink *s)
{
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_mutex_unlock(&s->lock);
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
	for (unsigned i = 0; i < s->nconns; i++) {
		shutdown(s->fds[i], SHUT_RDWR);
		pthread_join(s->conns[i], NULL);
		close(s->fds[i]);
	}
	SSL_CTX_free(s->tls);
	free(s->body);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void sink_certificate(const char *name, const char *cert, const char *key)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, k);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	assert_true(X509_sign(x, k, EVP_sha256()) > 0);
	FILE *f = fopen(cert, "w");
	PEM_write_X509(f, x);
	fclose(f);
	f = fopen(key, "w");
	PEM_write_PrivateKey(f, k, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(k);
}
