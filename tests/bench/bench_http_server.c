/* What a POST costs in the HTTP server: CPU of the server's thread per request, for bodies of 1, 10, 100 and 1000 messages.
 *
 *   make tests/bench/bench_http_server && tests/bench/bench_http_server [SECONDS [CONNECTIONS]]
 *   tests/bench/bench_http_server serve PORT      # answers until it is stopped, for other loaders (wrk, curl)
 *
 * A thread of this program is the client: so many connections, one request at a time on each. The server's CPU alone counts, so
 * the figure holds on a busy machine too. The parser's share is measured apart. */
#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "net/addr.h"
#include "net/http_server.h"

struct bench {
	struct event_base *base;
	struct http_loop *loop;
	struct http_service service;
	unsigned port, connections;
	double seconds;
	struct buf request;
	uint64_t answered;
};

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double wall_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void on_request(struct http_conn *c, uint64_t request, const struct http_request *r, void *arg)
{
	(void)r; (void)arg;
	http_conn_answer(c, request, &(struct http_answer){ .status = 200, .headers = "Content-Type: application/json\r\n",
		.body = "{\"taken\":1}", .len = 11 });
}

static void on_accept(int fd, const char *peer, void *arg)
{
	struct bench *b = arg;

	http_conn_new(b->loop, &b->service, fd, peer);
}

static void request_of(struct buf *out, unsigned messages)
{
	static const char message[] = "{\"ident\":\"352093081234567\",\"timestamp\":1732300000.123,\"position.latitude\":54.687157,"
		"\"position.longitude\":25.279652,\"position.altitude\":112,\"position.direction\":231,\"position.speed\":62,\"position.satellites\":14";
	struct buf body = BUF_INIT;

	for (unsigned i = 0; i < messages; i++) {
		size_t start = body.len + 1;

		buf_addc(&body, i ? ',' : '[');
		buf_adds(&body, message);
		for (unsigned k = 0; body.len - start < 860; k++)
			buf_addf(&body, ",\"can.parameter.%02u\":%u.5", k, i * 31 + k * 17);
		buf_addc(&body, '}');
	}
	buf_addc(&body, ']');
	buf_clear(out);
	buf_addf(out, "POST /messages HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench/1\r\nAccept: */*\r\nContent-Type: application/json\r\n"
		"Authorization: Bearer 0123456789abcdef\r\nContent-Length: %zu\r\n\r\n", body.len);
	buf_add(out, body.p, body.len);
	buf_fini(&body);
}

static void *load(void *arg)
{
	struct bench *b = arg;
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons((uint16_t)b->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct pollfd *p = calloc(b->connections, sizeof *p);
	size_t *sent = calloc(b->connections, sizeof *sent);
	char answer[4096];
	int one = 1;
	double end = wall_now() + b->seconds;

	for (unsigned i = 0; i < b->connections; i++) {
		p[i].fd = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(p[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (connect(p[i].fd, (struct sockaddr *)&sin, sizeof sin) < 0) {
			perror("connect");
			exit(1);
		}
		p[i].events = POLLOUT;
	}
	while (wall_now() < end) {
		poll(p, b->connections, 1000);
		for (unsigned i = 0; i < b->connections; i++) {
			if (p[i].revents & POLLIN) {
				if (recv(p[i].fd, answer, sizeof answer, 0) <= 0 || memcmp(answer, "HTTP/1.1 200", 12) != 0) {
					fprintf(stderr, "bad answer\n");
					exit(1);
				}
				b->answered++;
				sent[i] = 0;
			}
			if (p[i].revents & (POLLIN | POLLOUT)) {
				ssize_t k = send(p[i].fd, b->request.p + sent[i], b->request.len - sent[i], MSG_DONTWAIT | MSG_NOSIGNAL);

				sent[i] += k > 0 ? (size_t)k : 0;
				p[i].events = sent[i] == b->request.len ? POLLIN : POLLOUT;
			}
		}
	}
	for (unsigned i = 0; i < b->connections; i++)
		close(p[i].fd);
	free(p);
	free(sent);
	event_base_loopbreak(b->base);
	return NULL;
}

static double parser_us(const struct buf *request)
{
	static const struct http1_limits limits = HTTP1_LIMITS_DEFAULT;
	struct http_request r;
	struct http1 h;
	double begun = cpu_now();
	enum { TIMES = 200000 };

	http1_init(&h, &limits);
	for (int i = 0; i < TIMES; i++) {
		size_t len = request->len;

		if (http1_parse(&h, request->p, &len, &r) != HTTP1_HEAD || http1_parse(&h, request->p, &len, &r) != HTTP1_DONE)
			abort();
		http1_next(&h);
	}
	return (cpu_now() - begun) * 1e6 / TIMES;
}

static void on_signal(evutil_socket_t s, short what, void *arg)
{
	(void)s; (void)what;
	event_base_loopbreak(arg);
}

int main(int argc, char **argv)
{
	static const unsigned sizes[] = { 1, 10, 100, 1000 };
	bool serve = argc == 3 && strcmp(argv[1], "serve") == 0;
	struct bench b = { .seconds = argc > 1 ? atof(argv[1]) : 3, .connections = argc > 2 ? (unsigned)atoi(argv[2]) : 32 };
	char text[64], why[200];
	struct addr a;
	int fd;

	setvbuf(stdout, NULL, _IOLBF, 0);
	b.base = event_base_new();
	b.loop = http_loop_new(b.base);
	b.service = (struct http_service){ .limits = HTTP_LIMITS_DEFAULT, .on_request = on_request, .arg = &b };
	snprintf(text, sizeof text, "127.0.0.1:%s", serve ? argv[2] : "0");
	if (addr_parse(&a, text, why, sizeof why) < 0 || (fd = addr_listen(&a, why, sizeof why)) < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	struct http_listener *l = http_listener_new(b.base, fd, &(struct http_listener_config){ .object = "bench", .on_accept = on_accept, .arg = &b });

	b.port = http_listener_port(l);
	if (serve) {
		struct event *stop = evsignal_new(b.base, SIGTERM, on_signal, b.base), *interrupt = evsignal_new(b.base, SIGINT, on_signal, b.base);

		event_add(stop, NULL);
		event_add(interrupt, NULL);
		event_base_dispatch(b.base);
		printf("%llu requests, %.2f us CPU each\n", (unsigned long long)b.service.counters.requests,
			cpu_now() * 1e6 / (double)(b.service.counters.requests + !b.service.counters.requests));
		event_free(stop);
		event_free(interrupt);
	} else {
		printf("%8s %9s %12s %10s %12s\n", "messages", "bytes", "requests/s", "us CPU", "parser us");
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			pthread_t client;

			request_of(&b.request, sizes[i]);
			b.answered = 0;
			double cpu = cpu_now();

			pthread_create(&client, NULL, load, &b);
			event_base_dispatch(b.base);
			cpu = cpu_now() - cpu;
			pthread_join(client, NULL);
			printf("%8u %9zu %12.0f %10.2f %12.3f\n", sizes[i], b.request.len, (double)b.answered / b.seconds,
				cpu * 1e6 / (double)b.answered, parser_us(&b.request));
		}
	}
	http_listener_free(l);
	http_loop_free(b.loop);
	event_base_free(b.base);
	buf_fini(&b.request);
	return 0;
}
