/* dead.c - see dead.h. What is read is read at the desk; what changes something is a ticket from a worker. */
#include "commands/dead.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "admin/letters.h"
#include "again.h"
#include "base/arena.h"
#include "base/buf.h"
#include "commands/commands.h"
#include "desk.h"
#include "engine.h"
#include "net/mailbox.h"
#include "commands/owners.h"
#include "plan/plan.h"
#include "store/store.h"
#include "worker.h"

#define LIST_MOST 1000
#define RETRY_MOST 100
#define RETRY_BYTES (2u << 20)

/* A command that looks for letters. */
struct search {
	struct command *command;
	struct store *store;
	struct owner owner;
	struct letters_filter filter;
	unsigned most;
	uint64_t looked, next;
	struct buf out;
	struct again *again;
};

static const char *given(const struct command *c, const char *key)
{
	const char *text = command_text(c, key);

	return *text ? text : NULL;
}

static void search_free(struct search *s)
{
	if (s->again)
		again_free(s->again);
	buf_fini(&s->out);
	free(s);
}

/* NULL: the command has been answered. */
static struct search *search_new(struct command *c, unsigned most)
{
	struct search *s = xcalloc(1, sizeof *s);
	char why[512];
	uint64_t asked = command_number(c, "most");

	s->command = c;
	c->work = s;
	s->store = c->engine->store;
	s->most = asked && asked < most ? (unsigned)asked : most;
	s->filter = (struct letters_filter){ .from = command_number(c, "from"), .to = command_number(c, "to"),
		.since_us = (int64_t)command_number(c, "since"), .ident = given(c, "ident"), .reason = given(c, "reason"), .ids = given(c, "ids") };
	if (owner_find(c->engine->store, c->engine->plan, command_text(c, "name"), &s->owner, why, sizeof why) == 0)
		return s;
	command_fails(c, EX_DATAERR, "%s", why);
	search_free(s);
	return NULL;
}

static void answer(struct search *s)
{
	command_answer(s->command, s->out.p, s->out.len);
	search_free(s);
}

static void answered(void *arg)
{
	answer(arg);
}

/* ---- who has any ------------------------------------------------------------------------------------------------------------ */

struct owners { const struct plan *plan; struct buf *out; };

static bool buffer_owner(void *arg, uint32_t number, const char *name, const struct buffer_counts *n)
{
	const struct owners *o = arg;
	const struct stream *s = owner_stream(o->plan, number);

	if (n->dead_kept || s)
		letters_owner(o->out, s ? "stream" : "buffer", s ? s->name : name, name, n->dead_kept, n->dead_bytes, n->dead_gone);
	return true;
}

static bool channel_owner(void *arg, uint32_t number, const char *name, const struct buffer_counts *n)
{
	const struct owners *o = arg;

	(void)number;
	if (n->dead_kept || plan_channel(o->plan, name))
		letters_owner(o->out, "channel", name, "", n->dead_kept, n->dead_bytes, n->dead_gone);
	return true;
}

void command_dead_owners(struct command *c)
{
	struct buf out = BUF_INIT;
	struct owners o = { c->engine->plan, &out };

	store_each_name(c->engine->store, NAME_CHANNEL, channel_owner, &o);
	store_each_name(c->engine->store, NAME_BUFFER, buffer_owner, &o);
	buf_adds(&out, "{\"ok\":true}\n");
	command_answer(c, out.p, out.len);
	buf_fini(&out);
}

void command_dead_look(struct command *c)
{
	struct search *s = search_new(c, 0);
	struct buffer_counts n = { 0 };

	if (!s)
		return;
	buffer_counts(s->store, s->owner.number, &n);
	buf_addf(&s->out, "{\"ok\":true,\"letters\":%llu,\"position\":%llu}\n", (unsigned long long)n.dead_kept,
		(unsigned long long)store_position(s->store));
	answer(s);
}

/* ---- list ----------------------------------------------------------------------------------------------------------------------- */

static void list(void *arg)
{
	struct search *s = arg;

	letters_page(s->store, s->owner.number, &s->filter, s->most, command_flag(s->command, "whole"), &s->out);
}

void command_dead_list(struct command *c)
{
	struct search *s = search_new(c, LIST_MOST);

	if (s)
		desk_run(c->engine->desk, list, answered, s);
}

/* ---- drop ----------------------------------------------------------------------------------------------------------------------- */

/* A ticket wants a port and its loop: any worker's will do. */
static void dropped_back(void *arg)
{
	answer(arg);
}

static void dropped(void *arg, enum ticket_result result, const char *why)
{
	struct search *s = arg;

	if (result != TICKET_TAKEN) {
		s->looked = 0;
		s->next = s->filter.from;
	}
	buf_addf(&s->out, "{\"ok\":true,\"dropped\":%u,\"looked\":%llu,\"next\":%llu", result == TICKET_TAKEN ? s->again->n : 0,
		(unsigned long long)s->looked, (unsigned long long)s->next);
	if (result != TICKET_TAKEN) {
		buf_adds(&s->out, ",\"later\":");
		buf_addjson(&s->out, why, strlen(why));
	}
	buf_adds(&s->out, "}\n");
	mailbox_post(s->command->engine->mail, dropped_back, s);
}

static void drop(void *arg)
{
	struct search *s = arg;
	struct engine *e = s->command->engine;
	struct ticket *t = ticket_new(e->store, e->workers[0].port, dropped, s);

	for (const struct again_item *it = s->again->first; it; it = it->next)
		ticket_forgets(t, s->owner.number, it->position);
	ticket_submit(t);
}

static bool name_one(void *arg, const struct dead_letter *d)
{
	struct search *s = arg;
	const struct dead_letter bare = { .position = d->position, .ident = "", .peer = "" };

	again_add_letter(s->again, &bare);
	return true;
}

static void look_for_drop(void *arg)
{
	struct search *s = arg;

	s->next = letters_each(s->store, s->owner.number, &s->filter, s->most, &s->looked, name_one, s);
}

static void to_drop(void *arg)
{
	struct search *s = arg;
	struct engine *e = s->command->engine;

	worker_post(&e->workers[0], drop, s);
}

void command_dead_drop(struct command *c)
{
	struct search *s = search_new(c, LIST_MOST);

	if (!s)
		return;
	s->again = again_new(c->engine);
	desk_run(c->engine->desk, look_for_drop, to_drop, s);
}

/* ---- retry ------------------------------------------------------------------------------------------------------------------------ */

static bool copy_one(void *arg, const struct dead_letter *d)
{
	struct search *s = arg;

	again_add_letter(s->again, d);
	return s->again->bytes < RETRY_BYTES;
}

static void look_for_retry(void *arg)
{
	struct search *s = arg;

	s->next = letters_each(s->store, s->owner.number, &s->filter, s->most, &s->looked, copy_one, s);
	if (s->again->as_it_was)
		s->again->as_it_was_rendering = store_name(s->store, NAME_RENDERING, "as it was");
}

static void retried(struct again *a)
{
	struct search *s = a->arg;
	unsigned fates[AGAIN_DEAD + 1] = { 0 };

	for (const struct again_item *it = a->first; it; it = it->next) {
		if (it->fate == AGAIN_LATER) {
			s->looked -= s->looked > 0;
			s->next = s->next && s->next < it->position ? s->next : it->position;
			/* They stand in order: all behind it had no turn either, or will be found gone. */
		}
		fates[it->fate]++;
	}
	buf_addf(&s->out, "{\"ok\":true,\"sent\":%u,\"skipped\":%u,\"dead\":%u,\"left\":%u,\"looked\":%llu,\"next\":%llu", fates[AGAIN_SENT],
		fates[AGAIN_SKIPPED], fates[AGAIN_DEAD], fates[AGAIN_LEFT], (unsigned long long)s->looked, (unsigned long long)s->next);
	if (a->why[0]) {
		buf_addf(&s->out, ",\"%s\":", a->result == TICKET_FULL ? "full" : a->result == TICKET_FAILED ? "later" : "why");
		buf_addjson(&s->out, a->why, strlen(a->why));
	}
	buf_adds(&s->out, "}\n");
	answer(s);
}

static void to_retry(void *arg)
{
	struct search *s = arg;

	if (s->again->n == 0)
		retried(s->again);
	else if (s->again->as_it_was && !s->again->as_it_was_rendering) {
		command_fails(s->command, EX_TEMPFAIL, "the store could not record a new name (disk full or failing; see the log)");
		search_free(s);
	} else
		again_begin(s->again);
}

static int whither(struct search *s)
{
	struct command *c = s->command;
	const struct plan *p = c->engine->plan;
	const char *to = command_text(c, "to_stream");
	const struct stream *stream = *to ? plan_stream(p, to) : s->owner.stream;

	s->again->as_it_was = command_flag(c, "as_it_was");
	if (s->owner.channel && !*to) {
		s->again->channel = xstrdup(s->owner.channel->name);
		return 0;
	}
	if (!stream || !stream->enabled) {
		if (*to || s->owner.stream)
			command_fails(c, EX_DATAERR, "no enabled stream \"%s\"", *to ? to : s->owner.stream->name);
		else
			command_fails(c, EX_DATAERR, "no stream has the buffer \"%s\" any more: --to STREAM says where its letters are to go", command_text(c, "name"));
		return -1;
	}
	if (s->owner.channel || (s->again->as_it_was && stream->buffer != s->owner.number)) {
		command_fails(c, EX_DATAERR, "%s", s->owner.channel ? "the letters of a channel go through that channel, not to a stream" :
			"the bytes as they were are for another destination or in another form: without --as-it-was they are rendered anew");
		return -1;
	}
	s->again->stream = xstrdup(stream->name);
	return 0;
}

void command_dead_retry(struct command *c)
{
	struct search *s = search_new(c, RETRY_MOST);

	if (!s)
		return;
	s->again = again_new(c->engine);
	s->again->owner = s->owner.number;
	s->again->letters = true;
	s->again->ended = retried;
	s->again->arg = s;
	if (whither(s) < 0)
		search_free(s);
	else
		desk_run(c->engine->desk, look_for_retry, to_retry, s);
}
