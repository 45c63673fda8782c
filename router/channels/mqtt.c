/* mqtt.c - MQTT channels: which there are, on the main loop. Each has one connection, on one worker, for as long as its name lives.
 *
 * An unchanged channel keeps its connection over a reload; a changed one stores and acknowledges what it has read, and connects again. Nothing
 * that can fail happens after prepare: certificates have been read by then, and a broker that is away is no fault of the settings. */
#include <assert.h>
#include <event2/event.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "channels/mqtt_parts.h"
#include "plan/plan.h"

struct known {
	struct known *next;
	char *name;
	struct mqtt_source *source;            /* NULL: prepared only */
	struct mqtt_settings *prepared;        /* NULL: not wanted, or as it is */
	uint64_t fingerprint;                  /* of what is in force */
	bool wanted;                           /* by the plan that is being prepared */
};

struct channel_type {
	const struct channel_host *host;
	struct known *known;
	atomic_uint waiting;                   /* sources that have not gone yet */
	int gone_fd;
	struct event *gone;
	void (*stopped)(void *arg);
	void *stopped_arg;
};

/* ---- to the workers ---------------------------------------------------------------------------------------------------------- */

enum what { START, RENEW, STOP };
struct errand {
	struct mqtt_source *source;
	struct mqtt_settings *settings;
	struct channel_type *type;             /* STOP: who waits for it; NULL: nobody */
	enum what what;
};

/* On a worker. */
static void one_gone(void *arg)
{
	struct channel_type *t = arg;
	uint64_t one = 1;

	if (atomic_fetch_sub(&t->waiting, 1) == 1 && write(t->gone_fd, &one, sizeof one) != sizeof one)
		log_error("channel", "eventfd", NULL);
}

static void run_errand(void *arg)
{
	struct errand *e = arg;

	switch (e->what) {
	case START: mqtt_source_start(e->source); break;
	case RENEW: mqtt_source_renew(e->source, e->settings); break;
	case STOP: mqtt_source_stop(e->source, e->type ? one_gone : NULL, e->type); break;
	}
	mqtt_source_unref(e->source);
	free(e);
}

static void post(struct channel_type *t, struct mqtt_source *s, enum what what, struct mqtt_settings *settings, struct channel_type *waits)
{
	struct errand *e = xcalloc(1, sizeof *e);

	*e = (struct errand){ mqtt_source_ref(s), settings, waits, what };
	t->host->post(t->host->arg, mqtt_source_loop(s), run_errand, e);
}

/* ---- prepare, abort, commit ---------------------------------------------------------------------------------------------------- */

static struct known *find(struct channel_type *t, const char *name)
{
	struct known *k = t->known;

	while (k && strcmp(k->name, name) != 0)
		k = k->next;
	return k;
}

static void known_free(struct known *k)
{
	mqtt_settings_free(k->prepared);
	free(k->name);
	free(k);
}

static int mqtt_prepare(struct channel_type *t, const struct plan *next, char *why, size_t whylen)
{
	for (unsigned i = 0; i < next->nchannels; i++) {
		const struct channel *c = &next->channels[i];
		struct known *k;

		if (!c->enabled || strcmp(c->type, channel_mqtt.type) != 0)
			continue;
		k = find(t, c->name);
		if (!k) {
			k = xcalloc(1, sizeof *k);
			k->name = xstrdup(c->name);
			k->next = t->known;
			t->known = k;
		}
		k->wanted = true;
		if (k->source && k->fingerprint == c->fingerprint)
			continue;
		k->prepared = mqtt_settings_new(c, next, t->host->instance, why, whylen);
		if (!k->prepared)
			return -1;
	}
	return 0;
}

static void mqtt_abort(struct channel_type *t)
{
	for (struct known **at = &t->known, *k; (k = *at);) {
		mqtt_settings_free(k->prepared);
		k->prepared = NULL;
		k->wanted = false;
		if (k->source) {
			at = &k->next;
			continue;
		}
		*at = k->next;
		known_free(k);
	}
}

static void begin(struct channel_type *t, struct known *k)
{
	struct intake_loop *l = t->host->pick(t->host->arg);

	atomic_fetch_add_explicit(&l->connections, 1, memory_order_relaxed);
	k->source = mqtt_source_new(t->host, l, k->name, k->prepared);
	post(t, k->source, START, NULL, NULL);
}

static void mqtt_commit(struct channel_type *t, const struct plan *now)
{
	(void)now;
	for (struct known **at = &t->known, *k; (k = *at);) {
		if (!k->wanted) {
			*at = k->next;
			post(t, k->source, STOP, NULL, NULL);
			mqtt_source_unref(k->source);
			known_free(k);
			continue;
		}
		if (k->prepared)
			k->fingerprint = k->prepared->fingerprint;
		if (!k->source)
			begin(t, k);
		else if (k->prepared)
			post(t, k->source, RENEW, k->prepared, NULL);
		k->prepared = NULL;
		k->wanted = false;
		at = &k->next;
	}
}

/* ---- while it runs --------------------------------------------------------------------------------------------------------------- */

static void mqtt_resume(struct channel_type *t, struct intake_loop *l)
{
	(void)t;
	for (struct mqtt_source *s = mqtt_source_next(l, NULL); s; s = mqtt_source_next(l, s))
		mqtt_source_resume(s);
}

static bool mqtt_status(struct channel_type *t, const struct channel *c, struct channel_status *out)
{
	struct known *k = find(t, c->name);

	if (!k || !k->source)
		return false;
	mqtt_source_status(k->source, out);
	return true;
}

/* ---- the end ------------------------------------------------------------------------------------------------------------------------ */

static void on_gone(evutil_socket_t fd, short what, void *arg)
{
	struct channel_type *t = arg;

	(void)fd; (void)what;
	event_del(t->gone);
	t->stopped(t->stopped_arg);
}

static void mqtt_stop(struct channel_type *t, void (*done)(void *arg), void *arg)
{
	unsigned n = 0;

	for (struct known *k = t->known; k; k = k->next)
		n++;
	t->stopped = done;
	t->stopped_arg = arg;
	if (n == 0) {
		done(arg);
		return;
	}
	atomic_store(&t->waiting, n);
	for (struct known *k = t->known; k; k = k->next)
		post(t, k->source, STOP, NULL, t);
}

static struct channel_type *mqtt_new(const struct channel_host *h)
{
	struct channel_type *t = xcalloc(1, sizeof *t);

	t->host = h;
	t->gone_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert(t->gone_fd >= 0);
	t->gone = event_new(h->base, t->gone_fd, EV_READ, on_gone, t);
	event_add(t->gone, NULL);
	return t;
}

static void mqtt_free(struct channel_type *t)
{
	for (struct known *k; (k = t->known);) {
		t->known = k->next;
		if (k->source) {
			/* Also those that were taken out of the plan and have not gone yet. */
			for (struct intake_loop *l = mqtt_source_loop(k->source); mqtt_source_next(l, NULL);)
				mqtt_source_drop(mqtt_source_next(l, NULL));
			mqtt_source_unref(k->source);
		}
		known_free(k);
	}
	event_free(t->gone);
	close(t->gone_fd);
	free(t);
}

const struct channel_ops channel_mqtt = {
	.type = "mqtt",
	.new = mqtt_new,
	.prepare = mqtt_prepare,
	.abort = mqtt_abort,
	.commit = mqtt_commit,
	.resume = mqtt_resume,
	.status = mqtt_status,
	.stop = mqtt_stop,
	.free = mqtt_free,
};
