/* engine.c - see engine.h. Start-up is a list, shutdown runs it backwards. */
#include "engine.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin/control.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "dedupe.h"
#include "desk.h"
#include "net/mailbox.h"
#include "notify.h"
#include "pipeline.h"
#include "plan/plan.h"
#include "reload.h"
#include "spec/diag.h"
#include "store/store.h"
#include "types.h"
#include "worker.h"

#define STOP_WAIT_S 10

/* ---- what channels are given ------------------------------------------------------------------------------------- */

static struct intake_loop *engine_pick(void *arg)
{
	struct engine *e = arg;
	struct worker *best = &e->workers[0];

	for (unsigned i = 1; i < e->nworkers; i++)
		if (atomic_load_explicit(&e->workers[i].loop.connections, memory_order_relaxed) <
			atomic_load_explicit(&best->loop.connections, memory_order_relaxed))
			best = &e->workers[i];
	return &best->loop;
}

static void engine_post(void *arg, struct intake_loop *l, void (*fn)(void *), void *arg2)
{
	(void)arg;
	worker_post(l->worker, fn, arg2);
}

static void engine_submit(void *arg, const struct intake *in)
{
	(void)arg;
	pipeline_submit(in->loop->worker, in);
}

static void engine_conn_end(void *arg, struct intake_loop *l, int conn)
{
	struct worker *w = l->worker;

	(void)arg;
	scripts_conn_end(w->scripts, conn);
}

static bool engine_may_read(void *arg, struct intake_loop *l)
{
	struct engine *e = arg;

	(void)l;
	if (atomic_load_explicit(&e->pending, memory_order_relaxed) < e->pending_max)
		return true;
	atomic_store(&e->reading_stopped, true);
	/* The last bytes may have gone between the two looks: then nobody would say resume. */
	if (atomic_load(&e->pending) < e->pending_max / 2) {
		atomic_store(&e->reading_stopped, false);
		return true;
	}
	return false;
}

static void resume_loop(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; types_channels[i]; i++)
		if (types_channels[i]->resume)
			types_channels[i]->resume(w->engine->channels[i], &w->loop);
}

void engine_pending_add(struct engine *e, size_t bytes)
{
	atomic_fetch_add_explicit(&e->pending, bytes, memory_order_relaxed);
}

void engine_pending_sub(struct engine *e, size_t bytes)
{
	size_t left = atomic_fetch_sub(&e->pending, bytes) - bytes;

	if (left < e->pending_max / 2 && atomic_exchange(&e->reading_stopped, false))
		for (unsigned i = 0; i < e->nworkers; i++)
			worker_post(&e->workers[i], resume_loop, &e->workers[i]);
}

unsigned *engine_owners(struct engine *e, const struct plan *p)
{
	unsigned *owners = xcalloc(p->nstreams + 1, sizeof *owners);

	for (unsigned i = 0; i < p->nstreams; i++) {
		const char *name = p->streams[i].name;
		uintptr_t owner = (uintptr_t)map_gets(&e->owners, name);

		if (!owner) {
			char *key = xstrdup(name);

			owner = 1 + e->next_owner++ % e->nworkers;
			map_put(&e->owners, key, strlen(key), (void *)owner);
		}
		owners[i] = (unsigned)(owner - 1);
	}
	return owners;
}

void engine_owner_follows(struct engine *e, const char *name, const char *was)
{
	void *owner = map_gets(&e->owners, was);
	char *key;

	if (!owner || map_gets(&e->owners, name))
		return;
	key = xstrdup(name);
	map_put(&e->owners, key, strlen(key), owner);
}

/* Of limits.memory, half is for blocks on their way to destinations, an eighth for requests on their way to the store and an eighth for adapters' states; small shares
 * are enough for full speed, so a backlog does not fill what it may. */
uint64_t engine_store_memory(const struct plan *p)
{
	uint64_t share = p->settings.limit_memory / 2;

	return share < (24u << 20) ? share : 24u << 20;
}

size_t engine_state_memory(const struct plan *p)
{
	uint64_t share = p->settings.limit_memory / 8;

	return share < (64u << 20) ? (size_t)share : 64u << 20;
}

static size_t engine_pending_max(const struct plan *p)
{
	uint64_t share = p->settings.limit_memory / 8;

	return share < (24u << 20) ? share : 24u << 20;
}

/* ---- stopping ------------------------------------------------------------------------------------------------------ */

static void stop_loop(struct engine *e)
{
	event_base_loopbreak(e->base);
}

static void streams_stopped(void *arg)
{
	struct engine *e = arg;

	if (--e->waiting == 0)
		stop_loop(e);
}

static void worker_stopped(void *arg)
{
	struct worker *w = arg;

	mailbox_post(w->engine->mail, streams_stopped, w->engine);
}

static void worker_stop(void *arg)
{
	struct worker *w = arg;

	worker_stop_streams(w, worker_stopped, w);
}

/* Sources have their answers: now the deliveries. */
static void intake_stopped(void *arg)
{
	struct engine *e = arg;

	if (--e->waiting > 0)
		return;
	log_info("stop", "intake-stopped", NULL);
	e->waiting = e->nworkers;
	for (unsigned i = 0; i < e->nworkers; i++)
		worker_post(&e->workers[i], worker_stop, &e->workers[i]);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	log_warn("stop", "gave-up-waiting", "after=%ds hint=%s", STOP_WAIT_S,
		log_quote("answers that did not come: these batches will be sent again after the start"));
	stop_loop(arg);
}

static void engine_stop(struct engine *e)
{
	static const struct timeval most = { STOP_WAIT_S, 0 };

	if (e->stopping) {
		stop_loop(e);
		return;
	}
	e->stopping = true;
	notify_stopping();
	log_info("stop", "begin", NULL);
	e->deadline = evtimer_new(e->base, on_deadline, e);
	evtimer_add(e->deadline, &most);
	e->waiting = 1;
	for (unsigned i = 0; types_channels[i]; i++) {
		e->waiting++;
		types_channels[i]->stop(e->channels[i], intake_stopped, e);
	}
	intake_stopped(e);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct engine *e = arg;

	(void)what;
	if (sig == SIGHUP)
		reload_begin(e);
	else
		engine_stop(e);
}

/* ---- the life ------------------------------------------------------------------------------------------------------ */

static const int signal_numbers[] = { SIGHUP, SIGTERM, SIGINT };

/* A signal that comes while everything is being opened waits until there is a loop to hear it. */
static void hold_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < 3; i++)
		sigaddset(&set, signal_numbers[i]);
	pthread_sigmask(how, &set, NULL);
}

static void start_signals(struct engine *e)
{
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < 3; i++) {
		e->signals[i] = evsignal_new(e->base, signal_numbers[i], on_signal, e);
		evsignal_add(e->signals[i], NULL);
	}
}

static int start_store(struct engine *e, const struct plan *p)
{
	struct store_options o = {
		.path = p->settings.data,
		.durability = p->settings.durability == SETTING_OS ? DURABILITY_OS : DURABILITY_FSYNC,
		.disk_limit = p->settings.limit_disk,
		.memory_limit = engine_store_memory(p),
	};
	char why[512] = "";

	e->store = store_open(&o, why, sizeof why);
	if (!e->store) {
		log_error("store", "cannot-open", "path=%s reason=%s hint=%s", log_quote(o.path), log_quote(why),
			log_quote("settings.data must be a folder of this instance alone, which its user may write"));
		return -1;
	}
	return 0;
}

static void start_workers(struct engine *e, const struct plan *p)
{
	e->nworkers = p->settings.workers;
	e->pending_max = engine_pending_max(p);
	e->workers = xcalloc(e->nworkers, sizeof *e->workers);
	for (unsigned i = 0; i < e->nworkers; i++)
		worker_init(&e->workers[i], e, i);
}

static void start_channels(struct engine *e, const struct plan *p)
{
	e->host = (struct channel_host){
		.base = e->base, .arg = e, .pick = engine_pick, .post = engine_post, .submit = engine_submit,
		.may_read = engine_may_read, .conn_end = engine_conn_end, .instance = store_identity(e->store),
		.connections = &e->connections, .connections_max = p->settings.limit_connections,
	};
	for (unsigned i = 0; types_channels[i]; i++)
		e->channels[i] = types_channels[i]->new(&e->host);
}

/* Each connection is a descriptor: ask for as many as the hard limit gives. */
static void raise_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

static void engine_free(struct engine *e)
{
	struct map_slot *slot;

	control_free(e->control);
	for (unsigned i = 0; types_channels[i]; i++)
		if (e->channels[i])
			types_channels[i]->free(e->channels[i]);
	for (unsigned i = 0; i < e->nworkers; i++)
		worker_fini(&e->workers[i]);
	free(e->workers);
	dedupe_fini();
	if (e->store)
		store_close(e->store);
	plan_unref(e->plan);
	buf_fini(&e->report.problems);
	for (size_t i = 0; (slot = map_next(&e->owners, &i));)
		free((char *)slot->key);
	map_fini(&e->owners);
	for (unsigned i = 0; i < 3; i++)
		if (e->signals[i])
			event_free(e->signals[i]);
	if (e->deadline)
		event_free(e->deadline);
	mailbox_free(e->mail);
	event_base_free(e->base);
}

int engine_run(const char *file, engine_control_fn *control_fn)
{
	struct engine e = { .file = file, .exit_status = EX_OK };
	struct diag *d = diag_new();
	struct buf told = BUF_INIT;
	struct plan *p;
	bool running = false;
	char control[4096];

	hold_signals(SIG_BLOCK);
	p = reload_compile(file, false, d);

	diag_print(d, &told, diag_colour(stderr));
	fwrite(told.p ? told.p : "", 1, told.len, stderr);
	buf_fini(&told);
	if (!p) {
		int status = diag_exit(d);

		diag_free(d);
		return status;
	}
	diag_free(d);

	/* Big buffers are kept and reused, not mapped anew for each request. */
	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 32 << 20);
	mallopt(M_ARENA_MAX, 4);
	log_setup((enum log_level)p->settings.log_level, (enum log_format)p->settings.log_format);
	raise_descriptors();
	map_init(&e.owners);
	e.started_us = clock_real_us();
	e.base = event_base_new();
	e.mail = mailbox_new(e.base);
	e.desk = desk_new(e.mail);
	start_signals(&e);
	if (start_store(&e, p) < 0) {
		plan_seal(p);
		plan_unref(p);
		e.exit_status = EX_CANTCREAT;
		goto out;
	}
	start_workers(&e, p);
	start_channels(&e, p);
	if (reload_first(&e, p) < 0) {
		e.exit_status = EX_UNAVAILABLE;
		goto out;
	}
	snprintf(control, sizeof control, "%s/control.sock", e.plan->settings.data);
	e.control = control_new(e.base, control, control_fn, &e);
	if (!e.control) {
		e.exit_status = EX_CANTCREAT;
		goto out;
	}
	for (unsigned i = 0; i < e.nworkers; i++)
		worker_start(&e.workers[i]);
	running = true;
	hold_signals(SIG_UNBLOCK);
	notify_ready();
	log_info("start", "ready", "file=%s generation=%llu channels=%u streams=%u workers=%u pid=%ld", log_quote(file),
		(unsigned long long)e.generation, e.plan->nchannels, e.plan->nstreams, e.nworkers, (long)getpid());
	event_base_loop(e.base, EVLOOP_NO_EXIT_ON_EMPTY);
out:
	if (running)
		for (unsigned i = 0; i < e.nworkers; i++)
			worker_join(&e.workers[i]);
	/* No command is begun any more, for there is nobody left to do it. */
	control_free(e.control);
	e.control = NULL;
	desk_free(e.desk);
	/* What workers posted before they ended: plans to be let go. */
	event_base_loop(e.base, EVLOOP_NONBLOCK);
	reload_abandon(&e);
	engine_free(&e);
	log_info("stop", "done", NULL);
	return e.exit_status;
}
