/* buffers.c - see buffers.h.
 *
 * The hard idea: a buffer that a stream sends is its delivery's, and is left alone here. Whether somebody has it is asked by the commit thread,
 * when the ticket is written (ticket_settles); what is asked before is only for better words. */
#include "commands/buffers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "admin/entries.h"
#include "admin/listing.h"
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

#define PEEK_MOST 1000
#define MOVE_MOST 100
#define MOVE_BYTES (2u << 20)
#define SETTLE_BLOCKS 64

/* ---- which there are -------------------------------------------------------------------------------------------------------- */

struct list { struct command *command; struct listing *listing; };

static void look_for_list(void *arg)
{
	struct list *l = arg;

	l->listing = listing_read(l->command->engine->store);
}

static void answer_list(void *arg)
{
	struct list *l = arg;
	struct buf out = BUF_INIT;

	listing_write(l->listing, l->command->engine->plan, &out);
	listing_free(l->listing);
	buf_adds(&out, "{\"ok\":true}\n");
	command_answer(l->command, out.p, out.len);
	buf_fini(&out);
	free(l);
}

void command_buffers_list(struct command *c)
{
	struct list *l = xcalloc(1, sizeof *l);

	l->command = c;
	c->work = l;
	desk_run(c->engine->desk, look_for_list, answer_list, l);
}

/* ---- work on one ------------------------------------------------------------------------------------------------------------- */

struct page {
	struct command *command;
	struct store *store;
	struct owner owner;
	uint64_t from, next;
	unsigned from_entry, next_entry;
	struct again *again;
	struct buf out;
	bool dead;
	unsigned settled, nblocks, damaged;
	int64_t states;
	char stream[1024], later[256];
	struct { uint64_t position; uint32_t rendering; uint64_t bits[SPAN_ENTRIES_MAX / 64]; } blocks[SETTLE_BLOCKS];
};

static void page_free(struct page *p)
{
	if (p->again)
		again_free(p->again);
	buf_fini(&p->out);
	free(p);
}

static struct page *page_new(struct command *c)
{
	struct page *p = xcalloc(1, sizeof *p);
	char why[512];

	p->command = c;
	c->work = p;
	p->store = c->engine->store;
	p->from = command_number(c, "from");
	p->from_entry = (unsigned)command_number(c, "entry");
	if (owner_find(p->store, c->engine->plan, command_text(c, "name"), &p->owner, why, sizeof why) == 0) {
		if (!p->owner.channel)
			return p;
		snprintf(why, sizeof why, "a channel has no buffer");
	}
	command_fails(c, EX_DATAERR, "%s", why);
	page_free(p);
	return NULL;
}

static void answer(void *arg)
{
	struct page *p = arg;

	command_answer(p->command, p->out.p, p->out.len);
	page_free(p);
}

/* Nobody may send it: true after the command has been answered. */
static bool is_sent(struct page *p)
{
	const struct stream *s = p->owner.stream;

	if (!s || !s->enabled)
		return false;
	command_fails(p->command, EX_DATAERR, "stream \"%s\" sends this buffer itself", s->name);
	page_free(p);
	return true;
}

/* ---- peek ---------------------------------------------------------------------------------------------------------------------- */

static void peek(void *arg)
{
	struct page *p = arg;
	uint64_t most = command_number(p->command, "most");

	entries_page(p->store, p->owner.number, p->from, most && most < PEEK_MOST ? (unsigned)most : PEEK_MOST, &p->out);
}

void command_buffers_peek(struct command *c)
{
	struct page *p = page_new(c);

	if (p)
		desk_run(c->engine->desk, peek, answer, p);
}

/* ---- move ---------------------------------------------------------------------------------------------------------------------- */

static bool copy_block(void *arg, const struct kept *k)
{
	struct page *p = arg;

	for (unsigned w = 0; !k->chunk && w < SPAN_ENTRIES_MAX / 64; w++)
		p->damaged += (unsigned)__builtin_popcountll(k->bits[w]);
	for (unsigned i = k->position == p->from ? p->from_entry : 0; k->chunk && i < k->n; i++) {
		if (!(k->bits[i / 64] >> (i % 64) & 1))
			continue;
		if (p->again->n == MOVE_MOST || p->again->bytes >= MOVE_BYTES) {
			p->next = k->position;
			p->next_entry = i;
			return false;
		}
		again_add_kept(p->again, k, i);
	}
	return true;
}

static void look_for_move(void *arg)
{
	struct page *p = arg;

	store_each_kept(p->store, p->owner.number, p->from, copy_block, p);
	if (p->again->as_it_was)
		p->again->as_it_was_rendering = store_name(p->store, NAME_RENDERING, "as it was");
}

static void moved(struct again *a)
{
	struct page *p = a->arg;
	unsigned fates[AGAIN_DEAD + 1] = { 0 };
	bool later = false;

	for (const struct again_item *it = a->first; it; it = it->next) {
		if (it->fate == AGAIN_LATER && !later) {
			p->next = it->position;
			p->next_entry = it->entry;
			later = true;
		}
		fates[it->fate]++;
	}
	fates[AGAIN_LEFT] += p->damaged;
	if (p->damaged && !a->why[0])
		snprintf(a->why, sizeof a->why, "%u cannot be read from the disk any more", p->damaged);
	buf_addf(&p->out, "{\"ok\":true,\"sent\":%u,\"skipped\":%u,\"left\":%u,\"next\":%llu,\"entry\":%u", fates[AGAIN_SENT], fates[AGAIN_SKIPPED],
		fates[AGAIN_LEFT], (unsigned long long)p->next, p->next_entry);
	if (a->why[0]) {
		buf_addf(&p->out, ",\"%s\":", a->result == TICKET_FULL ? "full" : a->result == TICKET_FAILED ? "later" : "why");
		buf_addjson(&p->out, a->why, strlen(a->why));
	}
	buf_adds(&p->out, "}\n");
	answer(p);
}

static void to_move(void *arg)
{
	struct page *p = arg;

	if (p->again->n == 0)
		moved(p->again);
	else if (p->again->as_it_was && !p->again->as_it_was_rendering) {
		command_fails(p->command, EX_TEMPFAIL, "the store could not record a new name (disk full or failing; see the log)");
		page_free(p);
	} else
		again_begin(p->again);
}

/* By its own name, unless another is said: a stream whose destination was changed has the name its old buffer begins with. */
static const struct stream *whither(const struct page *p, const char *buffer)
{
	const char *to = command_text(p->command, "to_stream"), *end = strstr(buffer, " > ");
	char name[256];

	if (*to)
		return plan_stream(p->command->engine->plan, to);
	snprintf(name, sizeof name, "%.*s", end ? (int)(end - buffer) : 0, buffer);
	return plan_stream(p->command->engine->plan, name);
}

void command_buffers_move(struct command *c)
{
	struct page *p = page_new(c);
	const char *buffer = command_text(c, "name");
	const struct stream *to;

	if (!p || is_sent(p))
		return;
	if (p->owner.stream)
		buffer = p->owner.stream->buffer_name;
	to = whither(p, buffer);
	if (!to || !to->enabled || to->buffer == p->owner.number) {
		command_fails(c, EX_DATAERR, "to which stream? --to names one that is enabled");
		page_free(p);
		return;
	}
	p->again = again_new(c->engine);
	p->again->as_it_was = command_flag(c, "as_it_was");
	if (p->again->as_it_was && strcmp(owner_form(buffer), to->form) != 0) {
		command_fails(c, EX_DATAERR, "what lies in it is ready for \"%s\", and stream \"%s\" sends \"%s\": `sluice buffers render` makes it anew",
			owner_form(buffer), to->name, to->form);
		page_free(p);
		return;
	}
	p->again->owner = p->owner.number;
	p->again->stream = xstrdup(to->name);
	p->again->ended = moved;
	p->again->arg = p;
	desk_run(c->engine->desk, look_for_move, to_move, p);
}

/* ---- dead and drop ---------------------------------------------------------------------------------------------------------------- */

static bool copy_bits(void *arg, const struct kept *k)
{
	struct page *p = arg;

	if (p->nblocks == SETTLE_BLOCKS) {
		p->next = k->position;
		return false;
	}
	p->blocks[p->nblocks].position = k->position;
	p->blocks[p->nblocks].rendering = k->rendering;
	memcpy(p->blocks[p->nblocks++].bits, k->bits, sizeof p->blocks[0].bits);
	for (unsigned w = 0; w < SPAN_ENTRIES_MAX / 64; w++)
		p->settled += (unsigned)__builtin_popcountll(k->bits[w]);
	return true;
}

static void look_for_settle(void *arg)
{
	struct page *p = arg;

	store_each_kept(p->store, p->owner.number, p->from, copy_bits, p);
}

static void answer_settled(void *arg)
{
	struct page *p = arg;

	buf_addf(&p->out, "{\"ok\":true,\"settled\":%u,\"states\":%lld,\"next\":%llu", p->settled, (long long)p->states, (unsigned long long)p->next);
	if (p->later[0]) {
		buf_adds(&p->out, ",\"later\":");
		buf_addjson(&p->out, p->later, strlen(p->later));
	}
	buf_adds(&p->out, "}\n");
	answer(p);
}

/* ---- with the last buffer of a stream that is gone goes what adapters kept */

struct others { const char *stream; size_t len; bool wait; };

static bool waits_too(void *arg, uint32_t number, const char *name, const struct buffer_counts *n)
{
	struct others *o = arg;

	(void)number;
	o->wait = n->buffered && strncmp(name, o->stream, o->len) == 0 && strncmp(name + o->len, " > ", 3) == 0;
	return !o->wait;
}

static void drop_states(void *arg)
{
	struct page *p = arg;
	struct others o = { p->stream, strlen(p->stream), false };

	store_each_name(p->store, NAME_BUFFER, waits_too, &o);
	uint32_t stream = store_find_name(p->store, NAME_STREAM, p->stream);

	if (o.wait || !stream)
		return;
	p->states = store_drop_states(p->store, stream);
	if (p->states >= 0)
		return;
	p->states = 0;
	p->next = p->from ? p->from : 1;
	snprintf(p->later, sizeof p->later, "what adapters kept could not be given up: the disk refused (see the log)");
}

static void to_drop_states(void *arg)
{
	struct page *p = arg;
	const char *buffer = command_text(p->command, "name"), *end = strstr(buffer, " > ");

	snprintf(p->stream, sizeof p->stream, "%.*s", end ? (int)(end - buffer) : 0, buffer);
	if (p->next || p->dead || !p->stream[0] || plan_stream(p->command->engine->plan, p->stream))
		answer_settled(p);
	else
		desk_run(p->command->engine->desk, drop_states, answer_settled, p);
}

static void settled(void *arg, enum ticket_result result, const char *why)
{
	struct page *p = arg;

	if (result != TICKET_TAKEN) {
		p->settled = 0;
		p->next = p->from ? p->from : 1;
		snprintf(p->later, sizeof p->later, "%s", why);
	}
	mailbox_post(p->command->engine->mail, to_drop_states, p);
}

static void settle(void *arg)
{
	static const struct death by_command = { .reason = "set aside by command", .answer = "" };
	struct page *p = arg;
	struct engine *e = p->command->engine;
	struct ticket *t = ticket_new(e->store, e->workers[0].port, settled, p);

	for (unsigned i = 0; i < p->nblocks; i++)
		ticket_settles(t, p->owner.number, p->blocks[i].position, p->blocks[i].rendering, p->blocks[i].bits, p->dead ? OUTCOME_DEAD : OUTCOME_PURGED,
			&by_command);
	ticket_submit(t);
}

static void to_settle(void *arg)
{
	struct page *p = arg;

	worker_post(&p->command->engine->workers[0], settle, p);
}

void command_buffers_settle(struct command *c)
{
	struct page *p = page_new(c);
	struct buffer_counts n = { 0 };
	char why[512];

	if (!p || is_sent(p))
		return;
	p->dead = command_flag(c, "dead");
	buffer_counts(p->store, p->owner.number, &n);
	if (p->dead && !owner_has_room(&n, why, sizeof why)) {
		command_fails(c, EX_DATAERR, "%s", why);
		page_free(p);
		return;
	}
	desk_run(c->engine->desk, look_for_settle, to_settle, p);
}
