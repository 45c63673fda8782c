/* commands.c - see commands.h: one table of all commands. */
#include "commands/commands.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "admin/control.h"
#include "base/arena.h"
#include "commands/buffers.h"
#include "commands/dead.h"
#include "commands/replay.h"
#include "commands/streams.h"
#include "engine.h"
#include "message/message.h"
#include "plan/plan.h"
#include "reload.h"
#include "spec/nearest.h"
#include "commands/status.h"

static void reload(struct command *c)
{
	reload_begin(c->engine);
	command_answer(c, "{\"ok\":true,\"asked\":true}\n", 25);
}

static const struct { const char *name; void (*run)(struct command *c); } table[] = {
	{ "status", status_command },
	{ "reload", reload },
	{ "pause", command_pause },
	{ "resume", command_resume },
	{ "purge", command_purge },
	{ "set-aside", command_set_aside },
	{ "buffers-list", command_buffers_list },
	{ "buffers-peek", command_buffers_peek },
	{ "buffers-move", command_buffers_move },
	{ "buffers-settle", command_buffers_settle },
	{ "dead-owners", command_dead_owners },
	{ "dead-look", command_dead_look },
	{ "dead-list", command_dead_list },
	{ "dead-drop", command_dead_drop },
	{ "dead-retry", command_dead_retry },
	{ "replay", command_replay },
};

/* All that are under way. What the end of the process overtakes is answered by nobody, and is still to be found here. */
static struct command *under_way;

/* ---- arguments ---------------------------------------------------------------------------------------------------------- */

const char *command_text(const struct command *c, const char *key)
{
	for (unsigned i = 0; i < c->n; i++)
		if (strcmp(c->arguments[i].key, key) == 0)
			return c->arguments[i].value;
	return "";
}

uint64_t command_number(const struct command *c, const char *key)
{
	return strtoull(command_text(c, key), NULL, 10);
}

bool command_flag(const struct command *c, const char *key)
{
	return strcmp(command_text(c, key), "true") == 0;
}

static char *copy(const char *p, size_t n)
{
	char *out = xmalloc(n + 1);

	memcpy(out, p, n);
	out[n] = '\0';
	return out;
}

/* Texts without their escapes, everything else as it is written. */
static int read_arguments(struct command *c, const struct message *m)
{
	struct buf scratch = BUF_INIT;
	int status = 0;

	for (unsigned i = 0; i < m->n && status == 0; i++) {
		const struct slice *s = &m->slices[i];
		const char *p;
		size_t n;

		if (c->n == COMMAND_ARGUMENTS_MAX || s->kind == SLICE_OBJECT || s->kind == SLICE_ARRAY) {
			status = -1;
			break;
		}
		slice_key_view(m, s, &scratch, &p, &n);
		c->arguments[c->n].key = copy(p, n);
		buf_clear(&scratch);
		if (slice_view(m, s, &scratch, &p, &n) < 0) {
			p = m->bytes + s->value;
			n = s->vlen;
		}
		c->arguments[c->n++].value = copy(p, n);
		buf_clear(&scratch);
	}
	buf_fini(&scratch);
	return status;
}

/* ---- answers ------------------------------------------------------------------------------------------------------------- */

static void command_free(struct command *c)
{
	*c->before = c->next;
	if (c->next)
		c->next->before = c->before;
	for (unsigned i = 0; i < c->n; i++) {
		free(c->arguments[i].key);
		free(c->arguments[i].value);
	}
	free(c);
}

void command_answer(struct command *c, const char *lines, size_t n)
{
	control_answer(c->request, lines, n);
	command_free(c);
}

void command_fails(struct command *c, int status, const char *fmt, ...)
{
	struct buf b = BUF_INIT;
	char why[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	buf_adds(&b, "{\"error\":");
	buf_addjson(&b, why, strlen(why));
	buf_addf(&b, ",\"status\":%d}\n", status);
	command_answer(c, b.p, b.len);
	buf_fini(&b);
}

void command_no_stream(struct command *c, const char *name)
{
	const struct plan *p = c->engine->plan;
	struct nearest near;

	nearest_begin(&near, name);
	for (unsigned i = 0; i < p->nstreams; i++)
		nearest_try(&near, p->streams[i].name);
	if (nearest_found(&near))
		command_fails(c, EX_DATAERR, "no stream \"%s\"; did you mean \"%s\"?", name, nearest_found(&near));
	else
		command_fails(c, EX_DATAERR, "no stream \"%s\"", name);
}

void commands_handle(void *engine, const char *line, size_t n, struct control_request *r)
{
	struct command *c = xcalloc(1, sizeof *c);
	struct index ix;
	struct message m;
	const char *stop, *name;
	bool read;

	c->engine = engine;
	c->request = r;
	c->next = under_way;
	c->before = &under_way;
	if (c->next)
		c->next->before = &c->next;
	under_way = c;
	index_init(&ix);
	read = message_index(&ix, line, line + n, &m, &stop) == JSON_OK && read_arguments(c, &m) == 0;
	index_fini(&ix);
	if (!read) {
		command_fails(c, EX_PROTOCOL, "a request is one line of flat JSON with \"command\"");
		return;
	}
	name = command_text(c, "command");
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (strcmp(name, table[i].name) == 0) {
			table[i].run(c);
			return;
		}
	command_fails(c, EX_PROTOCOL, "no such command (is the instance of another version?)");
}
