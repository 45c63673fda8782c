/* bench_sender.c - what delivery costs a message: from entries in memory through batches, the http driver and libcurl to a local sink.
 *
 *   bench_sender [messages per batch] [lanes] [seconds] [gzip]
 *
 * Prints CPU time of the sending thread for each message and each POST (user and system, RUSAGE_THREAD). The sink reads on other threads. The
 * store is the tests' own, so what is measured is router/senders and router/net. LIMITS: 1.07 us for each message at 100 a batch on 8 connections. */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/log.h"
#include "fake_plan.h"
#include "fake_store.h"
#include "net/net.h"
#include "senders/delivery.h"

#define MESSAGE 887
#define BLOCK 100

static void *drain(void *arg)
{
	int fd = (int)(intptr_t)arg;
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	size_t want = 0;
	char *p = malloc(1 << 20);
	size_t have = 0;
	for (ssize_t n; (n = recv(fd, p + have, (1 << 20) - have - 1, 0)) > 0;) {
		have += (size_t)n;
		while (have) {
			if (!want) {
				p[have] = '\0';
				char *end = strstr(p, "\r\n\r\n"), *len = strcasestr(p, "content-length:");
				if (!end || !len)
					break;
				want = strtoul(len + 15, NULL, 10) + (size_t)(end - p) + 4;
			}
			size_t take = have < want ? have : want;
			memmove(p, p + take, have - take);
			have -= take;
			want -= take;
			if (!want && send(fd, ok, sizeof ok - 1, MSG_NOSIGNAL) < 0)
				break;
			if (want)
				break;
		}
	}
	free(p);
	close(fd);
	return NULL;
}

static void *accept_all(void *arg)
{
	for (int fd; (fd = accept((int)(intptr_t)arg, NULL, NULL)) >= 0;) {
		pthread_t t;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
		pthread_create(&t, NULL, drain, (void *)(intptr_t)fd);
		pthread_detach(t);
	}
	return NULL;
}

static double cpu(void)
{
	struct rusage r;
	getrusage(RUSAGE_THREAD, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static int64_t wall(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static const struct sender_ops *ops(int transport)
{
	return transport == TRANSPORT_NULL ? &sender_null : &sender_http;
}

/* The same chunks again and again: settled entries become outstanding anew. */
static void refill(struct store *s)
{
	for (unsigned k = 0; k < s->nchunks; k++)
		if (!s->chunks[k]->held)
			for (unsigned i = 0; i < s->chunks[k]->n; i++)
				s->chunks[k]->entries[i].settled = false;
	s->cursor = 0;
}

int main(int argc, char **argv)
{
	unsigned batch = argc > 1 ? (unsigned)atoi(argv[1]) : 100, lanes = argc > 2 ? (unsigned)atoi(argv[2]) : 8;
	double seconds = argc > 3 ? atof(argv[3]) : 3;
	log_setup(LOG_ERROR, LOG_LOGFMT);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	pthread_t t;
	if (bind(fd, (struct sockaddr *)&a, len) || listen(fd, 64) || getsockname(fd, (struct sockaddr *)&a, &len) ||
	    pthread_create(&t, NULL, accept_all, (void *)(intptr_t)fd))
		return 1;
	char url[64];
	snprintf(url, sizeof url, "http://127.0.0.1:%d/in", ntohs(a.sin_port));

	static struct store store;
	static struct fake_plan plan;
	fake_plan_init(&plan, url);
	plan.stream.ordering = ORDER_NONE;
	plan.stream.in_flight = lanes;
	plan.stream.batch_messages = batch;
	plan.stream.batch_bytes = 16 << 20;
	plan.destination.connections = lanes;
	plan.destination.gzip = argc > 4 && strcmp(argv[4], "gzip") == 0;
	plan.destination.transport = argc > 4 && strcmp(argv[4], "null") == 0 ? TRANSPORT_NULL : TRANSPORT_HTTP;
	char text[MESSAGE + 1];
	for (unsigned k = 0; k < 1 + 4 * lanes * batch / BLOCK; k++) {
		struct fake_message m[BLOCK];
		for (unsigned i = 0; i < BLOCK; i++)
			m[i] = (struct fake_message){ .ident = "352093081234567", .bytes = text };
		memset(text, 0, sizeof text);
		size_t n = (size_t)snprintf(text, sizeof text, "{\"ident\":\"352093081234567\"");
		for (unsigned i = 0; n < MESSAGE - 40; i++)
			n += (size_t)snprintf(text + n, sizeof text - n, ",\"can.signal.%u\":%u.%u", i, k * 37 + i * 7919 % 1000, i);
		snprintf(text + n, sizeof text - n, "}");
		fake_append(&store, m, BLOCK);
	}
	struct event_base *base = event_base_new();
	struct net *net = net_new(base);
	struct delivery_env env = { .base = base, .net = net, .store = &store, .ops = ops };
	struct delivery *d = delivery_new(&env, &plan.plan, &plan.stream);

	struct delivery_status before, after;
	int64_t from = 0;
	double cpu_from = 0;
	before.accepted = before.batches = 0;
	for (int64_t start = wall(); wall() - start < (int64_t)(seconds * 1e6) + 500000;) {
		if (!from && wall() - start > 500000) {
			delivery_status(d, &before);
			from = wall();
			cpu_from = cpu();
		}
		if (store.cursor == store.nchunks) {
			refill(&store);
			if (store.said_no) {
				store.said_no = false;
				store.wake(store.arg);
			}
		}
		event_base_loop(base, EVLOOP_ONCE);
	}
	double used = cpu() - cpu_from, took = (double)(wall() - from) / 1e6;
	delivery_status(d, &after);
	double n = (double)(after.accepted - before.accepted), posts = (double)(after.batches - before.batches);
	printf("%.0f messages in %.1f s (%.0f/s), %.0f POSTs: %.3f us CPU a message, %.1f us a POST\n", n, took, n / took, posts, used / n * 1e6, used / posts * 1e6);
	delivery_free(d);
	net_free(net);
	event_base_free(base);
	fake_free(&store);
	return n > 0 ? 0 : 1;
}
