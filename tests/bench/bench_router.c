/* bench_router.c - what a message costs from end to end: CPU seconds of the whole router per million messages.
 *
 *	make tests/bench/bench_router && tests/bench/bench_router [-n messages] [-b batch] [-c connections] [-s streams] [-l (a Lua transform) | -k (one that keeps state)] [-d (dedupe)] [-h (history)]
 *
 * Starts ./sluice (or $SLUICE) on a specification of its own in a temporary folder, posts messages of 38 fields and about 860 bytes of
 * 2 000 devices over keep-alive connections, receives them as a destination, and reads the router's CPU time from /proc. Generator and
 * destination run here, on the same processors, so the rate is a lower bound; the CPU seconds are the figure to compare. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEVICES 2000
#define MARK "\"serial\":"

static unsigned long count = 1000000;
static unsigned batch = 100, connections = 8, streams = 1;
static bool lua, keeps, dedupe, history;
static int in_port, out_port;
static _Atomic unsigned long received, serials;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const char *what)
{
	perror(what);
	exit(71);
}

static int listen_on(int *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 256) < 0 || getsockname(fd, (struct sockaddr *)&a, &n) < 0)
		die("listen");
	*port = ntohs(a.sin_port);
	return fd;
}

/* ---- the destination: counts serials, answers 200 ------------------------------------------------------------------- */

struct peer { int fd; size_t len, cap, need; char *buf; };

static void peer_count(const char *p, size_t n)
{
	const char *end = p + n;
	unsigned long k = 0;

	while ((p = memmem(p, (size_t)(end - p), MARK, sizeof MARK - 1))) {
		p += sizeof MARK - 1;
		k++;
	}
	atomic_fetch_add(&received, k);
}

static bool peer_read(struct peer *c)
{
	static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	ssize_t got;

	if (c->cap - c->len < 65536)
		c->buf = realloc(c->buf, c->cap = c->cap ? c->cap * 2 : 1 << 18);
	got = recv(c->fd, c->buf + c->len, c->cap - c->len - 1, 0);
	if (got <= 0)
		return got < 0 && errno == EAGAIN;
	c->len += (size_t)got;
	for (;;) {
		char *end, *length;

		if (!c->need) {
			c->buf[c->len] = '\0';
			if (!(end = strstr(c->buf, "\r\n\r\n")))
				return true;
			length = strcasestr(c->buf, "content-length:");
			c->need = (size_t)(end + 4 - c->buf) + (length ? strtoul(length + 15, NULL, 10) : 0);
		}
		if (c->len < c->need)
			return true;
		peer_count(c->buf, c->need);
		memmove(c->buf, c->buf + c->need, c->len - c->need);
		c->len -= c->need;
		c->need = 0;
		if (send(c->fd, reply, sizeof reply - 1, MSG_NOSIGNAL) < 0)
			return false;
	}
}

static void *destination(void *arg)
{
	int listener = *(int *)arg, ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = { .events = EPOLLIN };

	epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
	for (;;) {
		struct epoll_event ready[64];
		int n = epoll_wait(ep, ready, 64, -1);

		for (int i = 0; i < n; i++) {
			struct peer *c = ready[i].data.ptr;

			if (!c) {
				c = calloc(1, sizeof *c);
				c->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
				e = (struct epoll_event){ .events = EPOLLIN, .data.ptr = c };
				epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
			} else if (!peer_read(c)) {
				close(c->fd);
				free(c->buf);
				free(c);
			}
		}
	}
	return NULL;
}

/* ---- the source ----------------------------------------------------------------------------------------------------- */

static int message(char *p, unsigned long serial)
{
	unsigned d = (unsigned)(serial % DEVICES);

	return sprintf(p,
		"{\"ident\":\"3520930%08u\"," MARK "%lu,\"device.type.id\":546,\"protocol.id\":14,\"timestamp\":%lu.123,"
		"\"position.latitude\":%.6f,\"position.longitude\":%.6f,\"position.altitude\":112,\"position.direction\":%u,"
		"\"position.speed\":%u,\"position.satellites\":14,\"position.hdop\":0.8,\"position.valid\":true,"
		"\"engine.ignition.status\":true,\"movement.status\":true,\"external.powersource.voltage\":27.812,"
		"\"battery.voltage\":4.052,\"battery.current\":0,\"battery.level\":98,\"gsm.signal.level\":80,\"gsm.mcc\":246,\"gsm.mnc\":1,"
		"\"gsm.cellid\":%u,\"gsm.lac\":2321,\"gsm.operator.code\":\"24601\",\"gnss.status\":true,\"din\":1,\"dout\":0,\"ain.1\":0.013,"
		"\"can.engine.rpm\":1420,\"can.fuel.level\":63.5,\"can.vehicle.mileage\":182311.42,\"can.engine.coolant.temperature\":84,"
		"\"ble.sensor.temperature.1\":-4.25,\"event.enum\":0,\"event.priority.enum\":0,\"driver.id\":null,"
		"\"vehicle.registration.number\":\"WX 12345\"}",
		d, serial, 1732300000 + serial / DEVICES, 54.687157 + d * 1e-4, 25.279652 + d * 1e-4, d % 360, 30 + d % 60, 10000 + d);
}

static void post_all(int fd, const char *head, size_t head_len, const char *body, size_t n)
{
	size_t at = 0;

	while (at < head_len + n) {
		ssize_t w = at < head_len ? send(fd, head + at, head_len - at, MSG_NOSIGNAL | MSG_MORE)
		                          : send(fd, body + at - head_len, n - (at - head_len), MSG_NOSIGNAL);

		if (w < 0)
			die("send");
		at += (size_t)w;
	}
}

static void *source(void *arg)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)in_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	unsigned long share = count / connections, done = 0;
	char *body = malloc((size_t)batch * 1100 + 16), head[160], answer[4096];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	(void)arg;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
		die("connect");
	while (done < share) {
		unsigned n = share - done < batch ? (unsigned)(share - done) : batch;
		unsigned long first = atomic_fetch_add(&serials, n);
		size_t len = 0;
		ssize_t got;

		body[len++] = '[';
		for (unsigned i = 0; i < n; i++) {
			if (i)
				body[len++] = ',';
			len += (size_t)message(body + len, first + i);
		}
		body[len++] = ']';
		do {
			int h = snprintf(head, sizeof head, "POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", len);

			post_all(fd, head, (size_t)h, body, len);
			got = recv(fd, answer, sizeof answer - 1, 0);
			if (got < 12)
				die("answer");
			answer[got] = '\0';
			if (!memcmp(answer + 9, "503", 3))
				usleep(20000);
			else if (memcmp(answer + 9, "200", 3)) {
				fprintf(stderr, "answered %s\n", answer);
				exit(70);
			}
		} while (memcmp(answer + 9, "200", 3));
		done += n;
	}
	close(fd);
	free(body);
	return NULL;
}

/* ---- the router -------------------------------------------------------------------------------------------------------- */

static pid_t router(const char *folder)
{
	const char *program = getenv("SLUICE") ? getenv("SLUICE") : "./sluice";
	char path[256];
	FILE *f;
	pid_t pid;

	snprintf(path, sizeof path, "%s/few.lua", folder);
	f = fopen(path, "w");
	fputs("local A = {}\nfunction A.transform(msg, ctx)\n\tmsg[\"position.speed.ms\"] = msg[\"position.speed\"] / 3.6\n"
	      "\tif msg[\"position.valid\"] and msg[\"position.latitude\"] then return msg end\nend\nreturn A\n", f);
	fclose(f);
	snprintf(path, sizeof path, "%s/keeper.lua", folder);
	f = fopen(path, "w");
	fputs("local A = {state = {n = \"integer\", moving = \"boolean\"}}\nfunction A.transform(msg, ctx)\n\tlocal s, moving = ctx.state, msg[\"position.speed\"] > 2\n"
	      "\tif s.moving ~= nil and s.moving ~= moving then msg.edge = moving and \"start\" or \"stop\" end\n"
	      "\ts.n, s.moving = (s.n or 0) + 1, moving\n\tmsg.n = s.n\n\treturn msg\nend\nreturn A\n", f);
	fclose(f);
	snprintf(path, sizeof path, "%s/sluice.yaml", folder);
	f = fopen(path, "w");
	fprintf(f, "sluice: 1\nsettings: {data: %s/data, adapters: [%s]%s}\n", folder, folder, history ? ", history: 1d" : "");
	fprintf(f, "channels: {in: {type: http, listen: '127.0.0.1:%d', path: /messages%s}}\ndestinations:\n", in_port, dedupe ? ", dedupe: 10m" : "");
	for (unsigned i = 0; i < streams; i++)
		fprintf(f, "  d%u: {type: http, url: 'http://127.0.0.1:%d/%u'}\n", i, out_port, i);
	fputs("streams:\n", f);
	for (unsigned i = 0; i < streams; i++)
		fprintf(f, "  s%u: {to: d%u%s}\n", i, i, keeps ? ", transforms: [keeper]" : lua ? ", transforms: [few]" : "");
	fputs("subscriptions:\n", f);
	for (unsigned i = 0; i < streams; i++)
		fprintf(f, "  - {stream: s%u, channels: [in]}\n", i);
	fclose(f);
	pid = fork();
	if (pid == 0) {
		char log[256];
		int fd;

		snprintf(log, sizeof log, "%s/log", folder);
		fd = open(log, O_CREAT | O_WRONLY | O_TRUNC, 0600);
		dup2(fd, 2);
		execl(program, program, "run", path, (char *)NULL);
		_exit(127);
	}
	for (unsigned i = 0; i < 200; i++) {
		struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)in_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ok = connect(fd, (struct sockaddr *)&a, sizeof a);

		close(fd);
		if (ok == 0)
			return pid;
		usleep(20000);
	}
	fprintf(stderr, "the router does not listen; its log is %s/log\n", folder);
	kill(pid, SIGKILL);
	exit(69);
}

static double cpu(pid_t pid)
{
	char path[64], text[1024], *p;
	unsigned long user = 0, system_ = 0;
	FILE *f;
	size_t n;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = '\0';
	p = strrchr(text, ')');
	if (p)
		sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system_);
	return (double)(user + system_) / (double)sysconf(_SC_CLK_TCK);
}

static long resident(pid_t pid)
{
	char path[64], line[256];
	long kb = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		sscanf(line, "VmHWM: %ld", &kb);
	if (f)
		fclose(f);
	return kb;
}

int main(int argc, char **argv)
{
	char folder[] = "/tmp/sluice-bench.XXXXXX", command[300];
	pthread_t t, *sources;
	double began, took, used;
	int listener, c, fd;
	pid_t pid;

	while ((c = getopt(argc, argv, "n:b:c:s:lkdh")) != -1) {
		switch (c) {
		case 'n': count = strtoul(optarg, NULL, 10); break;
		case 'b': batch = (unsigned)atoi(optarg); break;
		case 'c': connections = (unsigned)atoi(optarg); break;
		case 's': streams = (unsigned)atoi(optarg); break;
		case 'l': lua = true; break;
		case 'k': keeps = true; break;
		case 'd': dedupe = true; break;
		case 'h': history = true; break;
		default: fputs("usage: bench_router [-n messages] [-b batch] [-c connections] [-s streams] [-l | -k] [-d] [-h]\n", stderr); return 64;
		}
	}
	count -= count % connections;
	if (!mkdtemp(folder))
		die("mkdtemp");
	listener = listen_on(&out_port);
	fd = listen_on(&in_port);
	close(fd);
	pthread_create(&t, NULL, destination, &listener);
	pid = router(folder);
	sources = calloc(connections, sizeof *sources);
	used = cpu(pid);
	began = now();
	for (unsigned i = 0; i < connections; i++)
		pthread_create(&sources[i], NULL, source, NULL);
	for (unsigned i = 0; i < connections; i++)
		pthread_join(sources[i], NULL);
	while (atomic_load(&received) < count * streams && now() - began < 600)
		usleep(1000);
	took = now() - began;
	usleep(200000);
	used = cpu(pid) - used;
	printf("batch %u, %u connections, %u stream%s%s: %lu messages in %.2f s (%.0f/s), %.2f CPU s per million, %ld MiB at most; %s\n", batch,
		connections, streams, streams == 1 ? "" : "s", keeps ? " with Lua that keeps state" : lua ? " with Lua" : dedupe ? " with dedupe" : history ? " with history" : "", count, took, (double)count / took,
		used * 1e6 / (double)count, resident(pid) >> 10, atomic_load(&received) == count * streams ? "all received" : "NOT ALL RECEIVED");
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command) != 0 || atomic_load(&received) != count * streams;
}
