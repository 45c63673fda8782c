/* streams.c - see streams.h. A stream lives on its worker: there the word is carried, and the answer back. */
#include "commands/streams.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/arena.h"
#include "base/log.h"
#include "commands/commands.h"
#include "engine.h"
#include "net/mailbox.h"
#include "commands/owners.h"
#include "plan/plan.h"
#include "store/store.h"
#include "worker.h"

/* One command on its way to its stream and back. */
struct hand {
	struct command *command;
	struct worker *worker;
	char *name;
	void (*act)(struct hand *h, struct live *l);
	bool found, held, look;
	struct delivery_status status;
};

static void answered(void *arg)
{
	struct hand *h = arg;
	struct command *c = h->command;
	const struct stream *s = plan_stream(c->engine->plan, h->name);
	struct buffer_counts counts = { 0 };
	struct buf b = BUF_INIT;

	if (!h->found || !s) {
		command_fails(c, EX_TEMPFAIL, "stream \"%s\" is being stopped or started; try again", h->name);
	} else {
		buffer_counts(c->engine->store, s->buffer, &counts);
		buf_addf(&b, "{\"ok\":true,\"clearing\":%s,\"cleared\":%llu,\"buffered\":%llu,\"bytes\":%llu}\n", h->status.clearing ? "true" : "false",
			(unsigned long long)h->status.cleared, (unsigned long long)counts.buffered, (unsigned long long)counts.bytes);
		command_answer(c, b.p, b.len);
		buf_fini(&b);
	}
	free(h->name);
	free(h);
}

static void on_worker(void *arg)
{
	struct hand *h = arg;
	struct live *l = map_gets(&h->worker->streams, h->name);

	if (l && l->delivery && !l->stopping) {
		h->found = true;
		h->act(h, l);
		delivery_status(l->delivery, &h->status);
	}
	mailbox_post(h->worker->engine->mail, answered, h);
}

static void lay_hand(struct command *c, void (*act)(struct hand *h, struct live *l))
{
	const char *name = command_text(c, "stream");
	const struct stream *s = plan_stream(c->engine->plan, name);
	uintptr_t owner = (uintptr_t)map_gets(&c->engine->owners, name);
	struct hand *h;

	if (!s || !owner) {
		command_no_stream(c, name);
	} else if (!s->enabled) {
		command_fails(c, EX_DATAERR, "stream \"%s\" is not enabled (%s:%u)", name, s->place.file, s->place.line);
	} else {
		h = xcalloc(1, sizeof *h);
		*h = (struct hand){ .command = c, .worker = &c->engine->workers[owner - 1], .name = xstrdup(name), .act = act,
			.look = command_flag(c, "look") };
		c->work = h;
		worker_post(h->worker, on_worker, h);
	}
}

/* ---- the words ------------------------------------------------------------------------------------------------------------- */

static void say(const char *name, const char *what)
{
	struct buf b = BUF_INIT;
	const char *object;

	buf_addf(&b, "stream/%s", name);
	object = b.p;
	log_info(object, "commanded", "command=%s", what);
	buf_fini(&b);
}

static void act_pause(struct hand *h, struct live *l)
{
	live_pause(l, true);
	say(h->name, "pause");
}

static void act_resume(struct hand *h, struct live *l)
{
	live_pause(l, false);
	delivery_resume(l->delivery);
	say(h->name, "resume");
}

static void act_purge(struct hand *h, struct live *l)
{
	if (h->look)
		return;
	delivery_clear(l->delivery, OUTCOME_PURGED);
	say(h->name, "purge");
}

static void act_set_aside(struct hand *h, struct live *l)
{
	if (h->look)
		return;
	delivery_clear(l->delivery, OUTCOME_DEAD);
	say(h->name, "buffers-dead");
}

void command_pause(struct command *c)
{
	lay_hand(c, act_pause);
}

void command_resume(struct command *c)
{
	const struct stream *s = plan_stream(c->engine->plan, command_text(c, "stream"));

	if (s && s->enabled && s->paused)
		command_fails(c, EX_CONFIG, "stream \"%s\" is paused by the specification (%s:%u): take `paused: true` away and reload", s->name,
			s->place.file, s->place.line);
	else
		lay_hand(c, act_resume);
}

void command_purge(struct command *c)
{
	lay_hand(c, act_purge);
}

void command_set_aside(struct command *c)
{
	const struct stream *s = plan_stream(c->engine->plan, command_text(c, "stream"));
	struct buffer_counts n = { 0 };
	char why[512];

	if (s && !command_flag(c, "look") && buffer_counts(c->engine->store, s->buffer, &n) && !owner_has_room(&n, why, sizeof why))
		command_fails(c, EX_DATAERR, "%s", why);
	else
		lay_hand(c, act_set_aside);
}
