/* reload.c - see reload.h.
 *
 * Six steps. Everything that can fail happens in the first three, before anything that runs is touched: `load` on a thread of its own
 * (a large fleet takes its time, and loops never block), `compare` and `prepare` on the main loop, and, where streams have new names, the write that
 * says so, again on a thread: last, because it cannot be taken back. After that nothing can fail: each
 * worker takes the plan between two events, which is between two requests; when all have, the channel types go over; the old plan goes at its last unref. */
#include "reload.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "dedupe.h"
#include "engine.h"
#include "net/mailbox.h"
#include "notify.h"
#include "plan/plan.h"
#include "rename.h"
#include "spec/diag.h"
#include "store/store.h"
#include "transforms/host.h"
#include "types.h"
#include "worker.h"

#define PROBLEMS_MAX 16384   /* bytes of problems that the one who asked is told; the log has all of them */

struct reload {
	struct engine *engine;
	pthread_t thread;
	bool running;                  /* the thread is to be joined */
	struct diag *diag;
	struct plan *plan;
	struct scripts **scripts;      /* one for each worker */
	unsigned *owners;
	char why[512];
	int64_t started_us;
	unsigned waiting;              /* workers that have not taken the plan yet; main loop */
	struct buf difference;
	struct renames *renames;       /* streams that have a new name, NULL: none */
};

/* ---- load ------------------------------------------------------------------------------------------------------ */

struct adapters_hold { struct adapters *adapters; };

static const struct catalogue *load_adapters(void *arg, const char *const *dirs, unsigned n, struct diag *d)
{
	struct adapters_hold *h = arg;

	h->adapters = adapters_open(dirs, n, d);
	return adapters_catalogue(h->adapters);
}

static void free_adapters(void *adapters)
{
	adapters_free(adapters);
}

struct plan *reload_compile(const char *file, bool no_secrets, struct diag *d)
{
	struct loader loader = loader_files;
	struct adapters_hold hold = { NULL };
	struct plan *p;

	loader.no_secrets = no_secrets;
	p = plan_compile(file, &loader, load_adapters, &hold, d);
	if (!p) {
		adapters_free(hold.adapters);
		return NULL;
	}
	p->scripts = hold.adapters;
	p->scripts_free = free_adapters;
	adapters_run_vectors(hold.adapters, p, d);
	if (diag_errors(d) > 0) {
		plan_unref(p);
		return NULL;
	}
	return p;
}

/* Numbers for the names the plan brings; renames_find() has given some their old ones. Names are never taken back, so a reload that fails later has changed nothing that anyone can see. */
static int number_names(struct store *s, struct plan *p, char *why, size_t n)
{
	for (unsigned i = 0; i < p->nchannels; i++)
		if (!(p->channels[i].number = store_name(s, NAME_CHANNEL, p->channels[i].name)))
			goto refused;
	for (unsigned i = 0; p->settings.history_us > 0 && i < p->nchannels; i++)
		if (!(p->channels[i].history = store_name(s, NAME_HISTORY, p->channels[i].name)))
			goto refused;
	for (unsigned i = 1; i < p->nrenderings; i++)
		if (!(p->renderings[i].number = store_name(s, NAME_RENDERING, p->renderings[i].identity)))
			goto refused;
	for (unsigned i = 0; i < p->nstreams; i++) {
		struct stream *st = &p->streams[i];

		if (!st->number && !(st->number = store_name(s, NAME_STREAM, st->name)))
			goto refused;
		if (!st->buffer && !(st->buffer = store_name(s, NAME_BUFFER, st->buffer_name)))
			goto refused;
	}
	return 0;
refused:
	snprintf(why, n, "the store could not record a new name (disk full or failing; see the log)");
	return -1;
}

static int make_scripts(struct reload *r)
{
	struct engine *e = r->engine;

	r->scripts = xcalloc(e->nworkers, sizeof(struct scripts *));
	for (unsigned i = 0; i < e->nworkers; i++) {
		r->scripts[i] = scripts_new(r->plan->scripts, r->plan, r->why, sizeof r->why);
		if (!r->scripts[i])
			return -1;
	}
	return 0;
}

static int load(struct reload *r)
{
	struct engine *e = r->engine;

	if (!r->plan)
		r->plan = reload_compile(e->file, false, r->diag);
	if (!r->plan) {
		unsigned n = diag_errors(r->diag);

		snprintf(r->why, sizeof r->why, "%u problem%s in the specification", n, n == 1 ? "" : "s");
		return -1;
	}
	r->renames = renames_find(e->store, r->plan, e->plan);
	if (number_names(e->store, r->plan, r->why, sizeof r->why) < 0 || make_scripts(r) < 0)
		return -1;
	return 0;
}

/* ---- compare ---------------------------------------------------------------------------------------------------- */

static void difference(struct buf *out, const char *kind, unsigned kept, unsigned updated, unsigned started, unsigned retired)
{
	buf_addf(out, "%s%s=kept:%u,updated:%u,started:%u,retired:%u", out->len ? " " : "", kind, kept, updated, started, retired);
}

#define COMPARE(kind, list, count, find)                                                        \
	do {                                                                                    \
		unsigned kept = 0, updated = 0, started = 0, retired = 0;                       \
		for (unsigned i = 0; i < next->count; i++) {                                    \
			const struct kind *was = now ? find(now, next->list[i].name) : NULL;    \
			if (!was)                                                               \
				started++;                                                      \
			else if (was->fingerprint == next->list[i].fingerprint)                 \
				kept++;                                                         \
			else                                                                    \
				updated++;                                                      \
		}                                                                               \
		for (unsigned i = 0; now && i < now->count; i++)                                \
			retired += !find(next, now->list[i].name);                              \
		difference(&r->difference, #list, kept, updated, started, retired);         \
	} while (0)

static void compare(struct reload *r, const struct plan *now, const struct plan *next)
{
	COMPARE(channel, channels, nchannels, plan_channel);
	COMPARE(destination, destinations, ndestinations, plan_destination);
	COMPARE(stream, streams, nstreams, plan_stream);
	if (!now)
		return;
	if (strcmp(now->settings.data, next->settings.data) != 0)
		log_warn("reload", "needs-restart", "setting=data now=%s", log_quote(now->settings.data));
	if (now->settings.workers != next->settings.workers)
		log_warn("reload", "needs-restart", "setting=workers now=%u", now->settings.workers);
	if (now->settings.durability != next->settings.durability)
		log_warn("reload", "needs-restart", "setting=durability");
}

/* ---- prepare ----------------------------------------------------------------------------------------------------- */

static int prepare(struct engine *e, const struct plan *next, char *why, size_t n)
{
	for (unsigned i = 0; types_channels[i]; i++) {
		if (types_channels[i]->prepare(e->channels[i], next, why, n) == 0)
			continue;
		for (unsigned k = 0; k <= i; k++)
			types_channels[k]->abort(e->channels[k]);
		return -1;
	}
	return 0;
}

/* ---- commit ------------------------------------------------------------------------------------------------------ */

static void configure_buffers(struct engine *e, const struct plan *p)
{
	static const enum full_policy full[] = {
		[SETTING_FULL_BLOCK] = FULL_BLOCK,
		[SETTING_FULL_DROP_OLDEST] = FULL_DROP_OLDEST,
		[SETTING_FULL_DROP_NEWEST] = FULL_DROP_NEWEST,
	};

	store_set_limits(e->store, p->settings.limit_disk, engine_store_memory(p));
	store_set_state_memory(e->store, engine_state_memory(p));
	for (unsigned i = 0; i < p->nstreams; i++) {
		const struct stream *s = &p->streams[i];
		struct buffer_options o = {
			.max = s->buffer_max, .full = full[s->full], .dead_max = s->dead_max, .dead_ttl_us = s->dead_ttl_us,
		};

		buffer_configure(e->store, s->buffer, s->name, &o);
	}
}

static void adopt(struct engine *e, struct plan *p)
{
	p->generation = ++e->generation;
	plan_seal(p);
	log_setup((enum log_level)p->settings.log_level, (enum log_format)p->settings.log_format);
	e->host.connections_max = p->settings.limit_connections;
	configure_buffers(e, p);
	store_set_history(e->store, p->settings.history_us);
	dedupe_configure(p);
}

struct handover { struct reload *reload; struct worker *worker; };

static void reload_settled(void *arg);

static void take_over(void *arg)
{
	struct handover *h = arg;
	struct reload *r = h->reload;

	worker_take_plan(h->worker, plan_ref(r->plan), r->scripts[h->worker->ix], r->owners);
	r->scripts[h->worker->ix] = NULL;
	free(h);
	mailbox_post(r->engine->mail, reload_settled, r);
}

static void commit(struct reload *r)
{
	struct engine *e = r->engine;

	adopt(e, r->plan);
	for (unsigned i = 0; i < r->plan->nstreams; i++)
		if (r->plan->streams[i].was)
			engine_owner_follows(e, r->plan->streams[i].name, r->plan->streams[i].was);
	r->owners = engine_owners(e, r->plan);
	r->waiting = e->nworkers;
	for (unsigned i = 0; i < e->nworkers; i++) {
		struct handover *h = xmalloc(sizeof *h);

		*h = (struct handover){ r, &e->workers[i] };
		worker_post(&e->workers[i], take_over, h);
	}
}

/* ---- report ------------------------------------------------------------------------------------------------------ */

static void reload_free(struct reload *r, bool keep_plan)
{
	for (unsigned i = 0; r->scripts && i < r->engine->nworkers; i++)
		if (r->scripts[i])
			scripts_free(r->scripts[i]);
	free(r->scripts);
	free(r->owners);
	if (!keep_plan)
		plan_unref(r->plan);
	buf_fini(&r->difference);
	renames_free(r->renames);
	diag_free(r->diag);
	free(r);
}

/* Bytes of the lines that fit into so many. */
static size_t whole_lines(const struct buf *text, size_t most)
{
	size_t n = text->len;

	if (n > most)
		for (n = most; n > 0 && text->p[n - 1] != '\n'; n--)
			;
	return n;
}

static void reload_end(struct reload *r, bool ok)
{
	struct engine *e = r->engine;
	long long ms = (clock_mono_us() - r->started_us) / 1000;

	buf_clear(&e->report.problems);
	e->report.tried++;
	e->report.ok = ok;
	e->report.when_us = clock_real_us();
	if (ok) {
		snprintf(e->report.text, sizeof e->report.text, "%s", r->difference.p ? r->difference.p : "");
		log_info("reload", "done", "generation=%llu ms=%lld %s", (unsigned long long)e->generation, ms, e->report.text);
	} else {
		struct buf told = BUF_INIT;

		e->report.failed++;
		snprintf(e->report.text, sizeof e->report.text, "%s", r->why);
		diag_print(r->diag, &told, false);
		if (diag_errors(r->diag) > 0)
			buf_add(&e->report.problems, told.p, whole_lines(&told, PROBLEMS_MAX));
		for (char *line = told.p, *end; line && *line; line = end) {
			end = line + strcspn(line, "\n");
			if (*end)
				*end++ = '\0';
			if (*line)
				log_error("reload", "problem", "text=%s", log_quote(line));
		}
		buf_fini(&told);
		log_error("reload", "failed", "generation=%llu in-force=unchanged ms=%lld reason=%s", (unsigned long long)e->generation, ms,
			log_quote(r->why));
	}
	reload_free(r, ok);
	e->reload = NULL;
	notify_ready();
	if (e->reload_again && !e->stopping) {
		e->reload_again = false;
		reload_begin(e);
	}
}

/* One worker has the plan; on the main loop. */
static void reload_settled(void *arg)
{
	struct reload *r = arg;
	struct engine *e = r->engine;

	if (--r->waiting > 0)
		return;
	for (unsigned i = 0; types_channels[i]; i++)
		types_channels[i]->commit(e->channels[i], r->plan);
	plan_unref(e->plan);
	e->plan = r->plan;
	reload_end(r, true);
}

/* ---- the way through ----------------------------------------------------------------------------------------------- */

/* Run a step that blocks beside the loops; `why` is filled when it can't be. */
static void reload_beside(struct reload *r, void *(*step)(void *arg))
{
	sigset_t all, old;
	int failed;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	failed = pthread_create(&r->thread, NULL, step, r);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	r->running = !failed;
	if (failed)
		snprintf(r->why, sizeof r->why, "no thread for it: %s", strerror(failed));
}

static int rename_streams(struct reload *r)
{
	if (!r->renames || renames_write(r->engine->store, r->renames) == 0)
		return 0;
	snprintf(r->why, sizeof r->why, "the store could not record the new name of a stream (disk full or failing; see the log)");
	return -1;
}

static void unprepare(struct engine *e)
{
	for (unsigned i = 0; types_channels[i]; i++)
		types_channels[i]->abort(e->channels[i]);
}

/* The names are written, or not; on the main loop. */
static void reload_renamed(void *arg)
{
	struct reload *r = arg;

	pthread_join(r->thread, NULL);
	r->running = false;
	if (r->engine->stopping && !r->why[0])
		snprintf(r->why, sizeof r->why, "stopping");
	if (r->why[0]) {
		unprepare(r->engine);
		reload_end(r, false);
		return;
	}
	commit(r);
}

static void *rename_thread(void *arg)
{
	struct reload *r = arg;

	rename_streams(r);
	mailbox_post(r->engine->mail, reload_renamed, r);
	return NULL;
}

/* Back on the main loop with what the load made. */
static void reload_loaded(void *arg)
{
	struct reload *r = arg;
	struct engine *e = r->engine;

	pthread_join(r->thread, NULL);
	r->running = false;
	if (e->stopping && !r->why[0])
		snprintf(r->why, sizeof r->why, "stopping");
	if (r->why[0]) {
		reload_end(r, false);
		return;
	}
	compare(r, e->plan, r->plan);
	if (prepare(e, r->plan, r->why, sizeof r->why) < 0) {
		reload_end(r, false);
		return;
	}
	if (!r->renames) {
		commit(r);
		return;
	}
	reload_beside(r, rename_thread);
	if (!r->running) {
		unprepare(e);
		reload_end(r, false);
	}
}

static void *reload_thread(void *arg)
{
	struct reload *r = arg;

	if (load(r) < 0 && !r->why[0])
		snprintf(r->why, sizeof r->why, "cannot be loaded");
	mailbox_post(r->engine->mail, reload_loaded, r);
	return NULL;
}

static struct reload *reload_new(struct engine *e)
{
	struct reload *r = xcalloc(1, sizeof *r);

	r->engine = e;
	r->diag = diag_new();
	r->started_us = clock_mono_us();
	return r;
}

void reload_begin(struct engine *e)
{
	struct reload *r;

	if (e->stopping)
		return;
	if (e->reload) {
		e->reload_again = true;
		return;
	}
	r = e->reload = reload_new(e);
	notify_reloading();
	reload_beside(r, reload_thread);
	if (!r->running)
		reload_end(r, false);
}

int reload_first(struct engine *e, struct plan *p)
{
	struct reload *r = reload_new(e);
	int status = -1;

	r->plan = p;
	if (load(r) < 0 || prepare(e, p, r->why, sizeof r->why) < 0 || rename_streams(r) < 0) {
		log_error("start", "failed", "reason=%s", log_quote(r->why));
		goto out;
	}
	adopt(e, p);
	r->owners = engine_owners(e, p);
	for (unsigned i = 0; i < e->nworkers; i++) {
		worker_take_plan(&e->workers[i], plan_ref(p), r->scripts[i], r->owners);
		r->scripts[i] = NULL;
	}
	e->plan = p;
	for (unsigned i = 0; types_channels[i]; i++)
		types_channels[i]->commit(e->channels[i], p);
	status = 0;
out:
	reload_free(r, status == 0);
	return status;
}

void reload_abandon(struct engine *e)
{
	if (!e->reload)
		return;
	if (e->reload->running)
		pthread_join(e->reload->thread, NULL);
	reload_free(e->reload, false);
	e->reload = NULL;
}
