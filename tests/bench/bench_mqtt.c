/* bench_mqtt.c - what an MQTT message costs on the way out: from entries in memory through batches and the mqtt driver to a server on loopback.
 *
 *   bench_mqtt [window] [messages per batch] [lanes] [seconds] [port] [topic]
 *
 * Port 0 (default): a sink of its own, on another thread, that acknowledges what it has read in one write; else a server that is there,
 * mosquitto for instance. topic: one for all, or with one {ident} in it. Prints the CPU time of the sending thread for each message (user and
 * system, RUSAGE_THREAD). The store is the tests' own, so what is measured is router/senders and router/net. LIMITS: 0.67, 0.2-0.5 and 0.15 us for
 * each message at a window of 20, 200 and 1000 against an acknowledging sink, 7-12 us against mosquitto, for a bare client without a router. */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/log.h"
#include "fake_options.h"
#include "fake_plan.h"
#include "fake_store.h"
#include "net/net.h"
#include "senders/delivery.h"

#define MESSAGE 887
#define BLOCK 100

bool options_bool(const struct options *o, const char *name) { return strcmp(options_text(o, name), "true") == 0; }
bool destination_hides(const struct destination *d, const char *words, size_t n, struct buf *out) { (void)d; (void)words; (void)n; (void)out; return false; }

/* Reads packets, and answers those that want it, all of a read in one write. */
static void *drain(void *arg)
{
	int fd = (int)(intptr_t)arg;
	unsigned char *p = malloc(1 << 20);
	char *acks = malloc(1 << 20);
	size_t have = 0;

	for (ssize_t n; (n = recv(fd, p + have, (1 << 20) - have, 0)) > 0;) {
		size_t at = 0, out = 0;

		have += (size_t)n;
		for (;;) {
			size_t len = 0, head = 1, shift = 0;

			while (at + head < have && (p[at + head] & 0x80))
				len |= (size_t)(p[at + head++] & 0x7F) << shift, shift += 7;
			if (at + head >= have)
				break;
			len |= (size_t)p[at + head++] << shift;
			if (at + head + len > have)
				break;
			if (p[at] >> 4 == 1) {
				memcpy(acks + out, "\x20\x03\0\0\0", 5);
				out += 5;
			} else if (p[at] >> 4 == 3) {
				size_t topic = (size_t)p[at + head] << 8 | p[at + head + 1];

				acks[out++] = 0x40;
				acks[out++] = 2;
				memcpy(acks + out, p + at + head + 2 + topic, 2);
				out += 2;
			}
			at += head + len;
		}
		memmove(p, p + at, have - at);
		have -= at;
		if (out && send(fd, acks, out, MSG_NOSIGNAL) < 0)
			break;
	}
	free(p);
	free(acks);
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

static int own_sink(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof a;
	pthread_t t;

	if (bind(fd, (struct sockaddr *)&a, len) || listen(fd, 64) || getsockname(fd, (struct sockaddr *)&a, &len) ||
		pthread_create(&t, NULL, accept_all, (void *)(intptr_t)fd))
		exit(1);
	return ntohs(a.sin_port);
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
	(void)transport;
	return &sender_mqtt;
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
	unsigned window = argc > 1 ? (unsigned)atoi(argv[1]) : 100, batch = argc > 2 ? (unsigned)atoi(argv[2]) : 100, lanes = argc > 3 ? (unsigned)atoi(argv[3]) : 1;
	double seconds = argc > 4 ? atof(argv[4]) : 3;
	int port = argc > 5 ? atoi(argv[5]) : 0;
	const char *topic = argc > 6 ? argv[6] : "fleet", *param = strstr(topic, "{ident}");
	const char *const params[] = { "ident" };
	static struct options options = { .at = { { .name = "version", .text = "5" }, { .name = "qos", .text = "1" }, { .name = "retain", .text = "false" },
		{ .name = "keep-alive", .text = "60000000" } } };
	static struct store store;
	static struct fake_plan plan;
	char url[64], text[MESSAGE + 1], before_ident[128];

	signal(SIGPIPE, SIG_IGN);
	log_setup(LOG_ERROR, LOG_LOGFMT);
	snprintf(url, sizeof url, "mqtt://127.0.0.1:%d", port ? port : own_sink());
	fake_plan_init(&plan, url);
	plan.stream.ordering = lanes > 1 ? ORDER_NONE : ORDER_STREAM;
	plan.stream.in_flight = lanes;
	plan.stream.batch_messages = batch;
	plan.stream.batch_bytes = 16 << 20;
	plan.destination.transport = TRANSPORT_MQTT;
	plan.destination.window = window;
	plan.destination.options = &options;
	snprintf(before_ident, sizeof before_ident, "%.*s", param ? (int)(param - topic) : (int)strlen(topic), topic);
	const char *literals[] = { before_ident, param ? param + strlen("{ident}") : "" };
	plan.destination.topic = (struct template){ topic, param ? 1 : 0, params, literals };
	for (unsigned k = 0; k < 1 + 4 * lanes * (batch + window) / BLOCK; k++) {
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
	struct delivery_status before = { .accepted = 0 }, after;
	int64_t from = 0;
	double cpu_from = 0;

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
	double n = (double)(after.accepted - before.accepted);
	printf("window %u, batches of %u, %u lanes: %.0f messages/s, %.3f us CPU a message\n", window, batch, lanes, n / took, used / n * 1e6);
	delivery_free(d);
	net_free(net);
	event_base_free(base);
	fake_free(&store);
	return n > 0 ? 0 : 1;
}
