/* The HTTP channel type over real threads: two workers, a main loop that reloads all the time, clients that keep their connections.
 * Every request is answered by the channel it names; the thread sanitizer sees the whole. */
#include "unit.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "channels/channel.h"
#include "fake_options.h"

#define WORKERS 2
#define CLIENTS 4
#define REQUESTS 400
#define PLANS_MAX 400

struct errand { void (*fn)(void *arg); void *arg; struct errand *next; };

struct worker {
	struct intake_loop loop;
	struct event *wake;
	pthread_t thread;
	pthread_mutex_t lock;
	struct errand *first, **last;
	int fd;
	uint64_t submitted;
};

struct rig {
	struct event_base *base;
	struct channel_host host;
	struct channel_type *type;
	struct worker workers[WORKERS];
	struct event *tick;
	struct plan *plans[PLANS_MAX];
	unsigned nplans;
	atomic_uint taken_over, clients_left;
	char listen[64], second[64];
	uint16_t port;
	bool stopping;
};

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct errand *e;
	uint64_t n;

	(void)what;
	(void)!read(fd, &n, sizeof n);
	pthread_mutex_lock(&w->lock);
	e = w->first;
	w->first = NULL;
	w->last = &w->first;
	pthread_mutex_unlock(&w->lock);
	while (e) {
		struct errand *next = e->next;

		e->fn(e->arg);
		free(e);
		e = next;
	}
}

static void post(void *arg, struct intake_loop *l, void (*fn)(void *arg2), void *arg2)
{
	struct worker *w = l->worker;
	struct errand *e = malloc(sizeof *e);
	uint64_t one = 1;

	(void)arg;
	*e = (struct errand){ fn, arg2, NULL };
	pthread_mutex_lock(&w->lock);
	*w->last = e;
	w->last = &e->next;
	pthread_mutex_unlock(&w->lock);
	assert_int_equal(write(w->fd, &one, sizeof one), sizeof one);
}

static struct intake_loop *pick(void *arg)
{
	struct rig *g = arg;

	return &g->workers[atomic_load(&g->workers[1].loop.connections) < atomic_load(&g->workers[0].loop.connections)].loop;
}

struct late { void (*done)(void *arg, const struct intake_result *r); void *arg; };

static void answer(evutil_socket_t fd, short what, void *arg)
{
	struct late l = *(struct late *)arg;

	(void)fd; (void)what;
	free(arg);
	l.done(l.arg, &(struct intake_result){ .outcome = INTAKE_TAKEN, .taken = 1 });
}

static void submit(void *arg, const struct intake *in)
{
	struct worker *w = in->loop->worker;
	struct late *l = malloc(sizeof *l);

	(void)arg;
	assert_string_equal(in->channel->name, "one");
	*l = (struct late){ in->done, in->arg };
	w->submitted++;
	event_base_once(in->loop->base, -1, EV_TIMEOUT, answer, l, &(struct timeval){ 0, 0 });
}

static bool may_read(void *arg, struct intake_loop *l)
{
	(void)arg; (void)l;
	return true;
}

static void *worker_run(void *arg)
{
	event_base_loop(((struct worker *)arg)->loop.base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

static void worker_break(void *arg)
{
	event_base_loopbreak(((struct worker *)arg)->loop.base);
}

/* ---- plans ---- */

static struct plan *plan_new(struct rig *g, bool both)
{
	static const char *const methods[] = { "POST", NULL };
	static struct options options[2]; /* set once: workers read them */
	struct plan *p = calloc(1, sizeof *p);

	if (g->nplans == 0) {
		options[0] = (struct options){ { { .name = "listen", .text = g->listen },
			{ .name = "path", .text = "/one" }, { .name = "methods", .list = methods } } };
		options[1] = (struct options){ { { .name = "listen", .text = g->second },
			{ .name = "path", .text = "/one" }, { .name = "methods", .list = methods } } };
	}
	p->generation = g->nplans + 1;
	p->nchannels = both ? 2 : 1;
	p->channels = calloc(2, sizeof *p->channels);
	p->channels[0] = (struct channel){ .name = "one", .enabled = true, .type = "http", .options = &options[0] };
	p->channels[1] = (struct channel){ .name = "two", .enabled = true, .type = "http", .options = &options[1] };
	p->settings = (struct settings){ .limit_memory = 64 << 20, .limit_body = 1 << 20 };
	g->plans[g->nplans++] = p;
	return p;
}

struct takeover { struct rig *rig; struct worker *worker; const struct plan *plan; };

static void take_over(void *arg)
{
	struct takeover *t = arg;

	t->worker->loop.plan = t->plan;
	atomic_fetch_add(&t->rig->taken_over, 1);
	free(t);
}

static void reload(struct rig *g, struct plan *p)
{
	char why[300];

	if (channel_http.prepare(g->type, p, why, sizeof why) != 0)
		fail_msg("%s", why);
	atomic_store(&g->taken_over, 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		struct takeover *t = malloc(sizeof *t);

		*t = (struct takeover){ g, &g->workers[i], p };
		post(g, &g->workers[i].loop, take_over, t);
	}
	while (atomic_load(&g->taken_over) < WORKERS)
		usleep(50);
	channel_http.commit(g->type, p);
}

static void on_stopped(void *arg)
{
	event_base_loopbreak(((struct rig *)arg)->base);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct rig *g = arg;

	(void)fd; (void)what;
	if (atomic_load(&g->clients_left) == 0) {
		if (!g->stopping)
			channel_http.stop(g->type, on_stopped, g);
		g->stopping = true;
	} else if (g->nplans < PLANS_MAX) {
		reload(g, plan_new(g, g->nplans % 2));
	}
}

static int reach(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&sin, sizeof sin) == 0)
		return fd;
	close(fd);
	return -1;
}

/* One connection for all requests: reloads must not cost it. */
static void *client(void *arg)
{
	static const char request[] = "POST /one HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n[]";
	struct rig *g = arg;
	char got[1024];
	uintptr_t faults = 0;
	int fd = reach(g->port);

	for (int i = 0; i < REQUESTS; i++) {
		ssize_t n;

		if (i % 50 == 49) { /* a new one now and then, so that accepting and reloading meet */
			close(fd);
			fd = reach(g->port);
		}
		send(fd, request, sizeof request - 1, MSG_NOSIGNAL);
		n = recv(fd, got, sizeof got - 1, 0);
		faults += n < 12 || memcmp(got, "HTTP/1.1 200", 12) != 0;
	}
	close(fd);
	atomic_fetch_sub(&g->clients_left, 1);
	return (void *)faults;
}

static uint16_t free_port(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof sin;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof sin), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	close(fd);
	return ntohs(sin.sin_port);
}

static void test_reloads_cost_no_request(void **state)
{
	static struct rig g;
	pthread_t clients[CLIENTS];
	uint64_t submitted = 0;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	log_setup(LOG_WARN, LOG_LOGFMT);
	g.base = event_base_new();
	g.port = free_port();
	snprintf(g.listen, sizeof g.listen, "127.0.0.1:%u", g.port);
	snprintf(g.second, sizeof g.second, "127.0.0.1:%u", free_port());
	g.host = (struct channel_host){ .base = g.base, .arg = &g, .pick = pick, .post = post, .submit = submit, .may_read = may_read,
		.connections_max = 100 };
	for (unsigned i = 0; i < WORKERS; i++) {
		struct worker *w = &g.workers[i];

		pthread_mutex_init(&w->lock, NULL);
		w->last = &w->first;
		w->fd = eventfd(0, EFD_NONBLOCK);
		w->loop.base = event_base_new();
		w->loop.worker = w;
		w->wake = event_new(w->loop.base, w->fd, EV_READ | EV_PERSIST, on_wake, w);
		event_add(w->wake, NULL);
		pthread_create(&w->thread, NULL, worker_run, w);
	}
	g.type = channel_http.new(&g.host);
	reload(&g, plan_new(&g, true));
	atomic_store(&g.clients_left, CLIENTS);
	g.tick = event_new(g.base, -1, EV_PERSIST, on_tick, &g);
	event_add(g.tick, &(struct timeval){ .tv_usec = 2000 });
	for (unsigned i = 0; i < CLIENTS; i++)
		pthread_create(&clients[i], NULL, client, &g);
	event_base_dispatch(g.base);
	for (unsigned i = 0; i < CLIENTS; i++) {
		void *faults;

		pthread_join(clients[i], &faults);
		assert_int_equal((uintptr_t)faults, 0);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		struct worker *w = &g.workers[i];

		post(&g, &w->loop, worker_break, w);
		pthread_join(w->thread, NULL);
		submitted += w->submitted;
		assert_true(w->submitted > 0);
		assert_int_equal(w->loop.connections, 0);
	}
	assert_int_equal(submitted, CLIENTS * REQUESTS);
	assert_true(g.nplans > 2);
	channel_http.free(g.type);
	for (unsigned i = 0; i < WORKERS; i++) {
		struct worker *w = &g.workers[i];

		event_free(w->wake);
		event_base_free(w->loop.base);
		close(w->fd);
	}
	for (unsigned i = 0; i < g.nplans; i++) {
		free(g.plans[i]->channels);
		free(g.plans[i]);
	}
	event_free(g.tick);
	event_base_free(g.base);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_reloads_cost_no_request) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
