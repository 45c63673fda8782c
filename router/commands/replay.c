/* replay.c - see replay.h.
 *
 * The hard idea is the merge. Each channel has a history of its own, and messages of several channels lie in one block; what a stream got from all of them
 * it is to get again in the order of coming, which is that of position and entry. So a page takes the next of every history, goes no further
 * than where any of them was cut off, and begins again with the first that it did not take. */
#include "commands/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "again.h"
#include "base/arena.h"
#include "base/buf.h"
#include "commands/commands.h"
#include "desk.h"
#include "engine.h"
#include "plan/plan.h"
#include "store/store.h"

#define REPLAY_MOST 100
#define REPLAY_BYTES (2u << 20)
#define LOOK_MOST 20000         /* entries of one history in one page, where few are of the ident asked for */

struct where_at { uint64_t position; unsigned entry; };

struct replay {
	struct command *command;
	struct store *store;
	uint64_t to;
	struct where_at from, next;    /* next.position 0: it is the end */
	const char *ident;
	unsigned most;
	uint64_t begins;               /* position of the oldest message that any history holds; 0: there is none */
	struct again *again;        /* the page */
	/* while it is read: one history after the other, then all of them */
	struct again *one;
	const char *channel;
	unsigned looked;
	bool cut;
	struct where_at horizon;       /* where the first of them was cut off */
};

static bool is_before(struct where_at a, struct where_at b)
{
	return a.position != b.position ? a.position < b.position : a.entry < b.entry;
}

static struct where_at at_of(const struct again_item *it)
{
	return (struct where_at){ it->position, it->entry };
}

static void replay_free(struct replay *r)
{
	again_free(r->again);
	free(r);
}

/* ---- reading ------------------------------------------------------------------------------------------------------------- */

static bool is_asked_for(const struct replay *r, const struct kept *k, unsigned i)
{
	struct entry e;

	if (!(k->bits[i / 64] >> (i % 64) & 1))
		return false;
	/* Whose it is that cannot be read, nobody knows. */
	if (!r->ident || !k->chunk)
		return true;
	chunk_entry(k->chunk, i, &e);
	return e.ident_len == strlen(r->ident) && memcmp(e.ident, r->ident, e.ident_len) == 0;
}

static void cut_off(struct replay *r, struct where_at here)
{
	if (!r->cut || is_before(here, r->horizon))
		r->horizon = here;
	r->cut = true;
}

static bool copy_block(void *arg, const struct kept *k)
{
	struct replay *r = arg;
	unsigned first = k->position == r->from.position ? r->from.entry : 0;

	if (k->position >= r->to)
		return false;
	for (unsigned i = first; i < k->n; i++) {
		if (r->one->n == r->most || r->one->bytes >= REPLAY_BYTES || r->looked == LOOK_MOST) {
			cut_off(r, (struct where_at){ k->position, i });
			return false;
		}
		r->looked++;
		if (is_asked_for(r, k, i))
			again_add_history(r->one, k, i, r->channel);
	}
	return true;
}

/* Both in order; b is empty afterwards. */
static void merge(struct again *a, struct again *b)
{
	struct again_item *x = a->first, *y = b->first, **end = &a->first;

	for (struct again_item *it = y; it; it = it->next)
		it->page = a;
	while (x || y) {
		struct again_item **from = !y || (x && is_before(at_of(x), at_of(y))) ? &x : &y;

		*end = *from;
		*from = (*from)->next;
		end = &(*end)->next;
	}
	*end = NULL;
	a->end = end;
	a->n += b->n;
	a->bytes += b->bytes;
	b->first = NULL;
}

static bool note_first(void *arg, const struct kept *k)
{
	struct replay *r = arg;

	if (!r->begins || k->position < r->begins)
		r->begins = k->position;
	return false;
}

static bool read_history(void *arg, uint32_t number, const char *channel, const struct buffer_counts *n)
{
	struct replay *r = arg;

	(void)n;
	r->one = again_new(r->command->engine);
	r->channel = channel;
	r->looked = 0;
	store_each_kept(r->store, number, 0, note_first, r);
	store_each_kept(r->store, number, r->from.position, copy_block, r);
	merge(r->again, r->one);
	again_free(r->one);
	return true;
}

static void look(void *arg)
{
	struct replay *r = arg;
	struct again *a = r->again;
	struct again_item **end = &a->first;
	size_t bytes = 0;

	store_each_name(r->store, NAME_HISTORY, read_history, r);
	a->n = 0;
	for (; *end && a->n < r->most && bytes < REPLAY_BYTES && !(r->cut && !is_before(at_of(*end), r->horizon)); end = &(*end)->next) {
		a->n++;
		bytes += (*end)->source_len;
	}
	r->next = *end ? at_of(*end) : r->cut ? r->horizon : (struct where_at){ 0, 0 };
	again_cut(a, end);
}

/* ---- sending ------------------------------------------------------------------------------------------------------------- */

static void replayed(struct again *a)
{
	struct replay *r = a->arg;
	unsigned fates[AGAIN_DEAD + 1] = { 0 };
	struct buf out = BUF_INIT;
	bool later = false;

	for (const struct again_item *it = a->first; it; it = it->next) {
		if (it->fate == AGAIN_LATER && !later) {
			r->next = at_of(it);
			later = true;
		}
		fates[it->fate]++;
	}
	buf_addf(&out, "{\"ok\":true,\"sent\":%u,\"skipped\":%u,\"unwanted\":%u,\"left\":%u,\"next\":%llu,\"next_entry\":%u", fates[AGAIN_SENT],
		fates[AGAIN_SKIPPED], fates[AGAIN_UNWANTED], fates[AGAIN_LEFT], (unsigned long long)r->next.position, r->next.entry);
	buf_addf(&out, ",\"to\":%llu,\"begins\":%llu", (unsigned long long)r->to, (unsigned long long)r->begins);
	if (a->why[0]) {
		buf_addf(&out, ",\"%s\":", a->result == TICKET_FULL ? "full" : a->result == TICKET_FAILED ? "later" : "why");
		buf_addjson(&out, a->why, strlen(a->why));
	}
	buf_adds(&out, "}\n");
	command_answer(r->command, out.p, out.len);
	buf_fini(&out);
	replay_free(r);
}

static void to_replay(void *arg)
{
	struct replay *r = arg;

	if (r->again->n == 0)
		replayed(r->again);
	else
		again_begin(r->again);
}

/* ---- the request ------------------------------------------------------------------------------------------------------------ */

/* NULL: the command has been answered. */
static const struct stream *whither(struct command *c)
{
	const struct plan *p = c->engine->plan;
	const char *name = command_text(c, "stream");
	const struct stream *s = plan_stream(p, name);
	struct history_counts h;

	if (!s) {
		command_no_stream(c, name);
		return NULL;
	}
	if (!s->enabled) {
		command_fails(c, EX_DATAERR, "stream \"%s\" is not enabled", name);
		return NULL;
	}
	store_history(c->engine->store, &h);
	if (h.held > 0)
		return s;
	if (p->settings.history_us > 0)
		command_fails(c, EX_DATAERR, "history holds no message yet, or none any more");
	else
		command_fails(c, EX_DATAERR, "no history is kept: settings.history says for how long, and begins with what comes after it is set");
	return NULL;
}

void command_replay(struct command *c)
{
	const struct stream *s = whither(c);
	struct replay *r;

	if (!s)
		return; /* and c is gone */
	uint64_t most = command_number(c, "most"), from = command_number(c, "from"), position = command_number(c, "position");
	r = xcalloc(1, sizeof *r);
	r->command = c;
	c->work = r;
	r->store = c->engine->store;
	r->from = position ? (struct where_at){ position, (unsigned)command_number(c, "entry") } : (struct where_at){ from, 0 };
	/* Without one: all that is there by now, whatever the clock says. */
	r->to = command_number(c, "to") ? command_number(c, "to") : store_position(r->store) + 1;
	r->ident = *command_text(c, "ident") ? command_text(c, "ident") : NULL;
	r->most = most && most < REPLAY_MOST ? (unsigned)most : REPLAY_MOST;
	r->again = again_new(c->engine);
	r->again->replays = true;
	r->again->dry = command_flag(c, "dry");
	r->again->stream = xstrdup(s->name);
	r->again->ended = replayed;
	r->again->arg = r;
	desk_run(c->engine->desk, look, to_replay, r);
}
