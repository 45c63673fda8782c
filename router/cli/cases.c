/* cases.c - see cases.h. */
#include "cli/cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/embedded.h"
#include "cli/explain.h"
#include "message/message.h"
#include "plan/plan.h"
#include "rehearsal.h"
#include "reload.h"
#include "spec/conf.h"
#include "spec/diag.h"
#include "spec/rule.h"
#include "spec/tree.h"

#define NOW_US INT64_C(1767225600000000)  /* 2026-01-01: the same every time, so that what is stamped is too */

void node_json(struct buf *out, const struct node *n)
{
	switch (n->kind) {
	case NODE_MAP:
		buf_addc(out, '{');
		for (unsigned i = 0; i < n->n; i++) {
			if (i)
				buf_addc(out, ',');
			buf_addjson(out, n->entries[i].key->text, n->entries[i].key->len);
			buf_addc(out, ':');
			node_json(out, n->entries[i].value);
		}
		buf_addc(out, '}');
		return;
	case NODE_LIST:
		buf_addc(out, '[');
		for (unsigned i = 0; i < n->n; i++) {
			if (i)
				buf_addc(out, ',');
			node_json(out, n->items[i]);
		}
		buf_addc(out, ']');
		return;
	case NODE_SCALAR:
		conf_write_json(out, NULL, n, NULL);
	}
}

static const char *text_of(const struct node *item, const char *key)
{
	const struct node *n = node_get(item, key);

	return n ? n->text : NULL;
}

struct running { struct happened h; const char *name; };

/* What scripts say goes beside the results, and says of which case it is. */
static void on_message(void *arg, const struct rehearsed *m)
{
	struct running *c = arg;

	happened_add(&c->h, m);
	for (unsigned i = 0; !m->refused && i < m->nstreams; i++)
		for (unsigned k = 0; k < m->streams[i].nlines; k++) {
			const struct rehearsed_line *l = &m->streams[i].lines[k];

			fprintf(stderr, "case \"%s\", message %u, stream %s: %s %s %s %s\n", c->name, m->index + 1, m->streams[i].stream->name, l->level,
				l->object, l->event, l->pairs);
		}
}

static void run_case(struct plan *p, const struct node *item, struct diag *d)
{
	struct running c = { .h = { .arena = arena_new() }, .name = text_of(item, "name") };
	struct rehearsal *r = NULL;
	struct buf bytes = BUF_INIT;
	const struct node *send = node_get(item, "send"), *now = node_get(item, "now"), *channel = node_get(item, "channel");
	struct rehearsal_input in = { .query = text_of(item, "query"), .now_us = NOW_US };
	const char *id = text_of(item, "id");
	unsigned enabled = 0;
	char why[1024] = "";

	for (unsigned i = 0; i < p->nchannels; i++)
		if (p->channels[i].enabled && (!channel || node_is(channel, p->channels[i].name))) {
			in.channel = &p->channels[i];
			enabled++;
		}
	if (enabled != 1) {
		diag_add(d, DIAG_CASE, channel ? &channel->at : &item->at, channel ? "the specification has no such channel that is enabled" :
			enabled ? "which channel do the messages come in on? There are several: `channel`" : "the specification has no channel that is enabled");
		goto out;
	}
	if (now && explain_time(now->text, &in.now_us) < 0) {
		diag_add(d, DIAG_CASE, &now->at, "neither Unix seconds nor ISO 8601");
		goto out;
	}
	if (send->kind == NODE_SCALAR)
		buf_add(&bytes, send->text, send->len);
	else
		node_json(&bytes, send);
	buf_reserve(&bytes, MESSAGE_PAD);
	in.bytes = bytes.p;
	in.len = bytes.len;
	r = rehearsal_new(p, why, sizeof why);
	if (!r)
		diag_add(d, DIAG_CASE, &item->at, "%s", why);
	else if (!rehearsal_run(r, &in, id ? strtoull(id, NULL, 10) : 1, on_message, &c, why, sizeof why)) {
		const struct node *refused = node_get(item, "refused");

		if (!refused || refused->kind != NODE_SCALAR || !strstr(why, refused->text))
			problem_note(diag_add(d, DIAG_CASE, &send->at, "case \"%s\": the channel refuses it whole", text_of(item, "name")), "%s", why);
	} else {
		case_judge(item, &c.h, d);
	}
out:
	rehearsal_free(r);
	buf_fini(&bytes);
	arena_free(c.h.arena);
}

/* The rule of schemas/tests.json. Everything lives in the arena and in *s. */
static const struct rule *rule_of_cases(struct arena *a, struct schema **s, struct diag *d)
{
	const struct embedded *file = embedded_find("schemas/tests.json");
	const struct node *json = tree_read_text(a, file->path, (const char *)file->bytes, file->size, 0, d);

	*s = schema_new(schema_builtin());
	return json ? schema_rule(*s, json, d) : NULL;
}

static char *beside(struct arena *a, const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	if (*name == '/' || !slash)
		return arena_strdup(a, name);
	return arena_printf(a, "%.*s/%s", (int)(slash - path), path, name);
}

static bool same_file(const char *one, const char *other)
{
	struct stat a, b;

	return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

unsigned cases_run(const char *path, const char *file, bool no_secrets, struct diag *d)
{
	struct arena *a = arena_new();
	struct schema *schema = NULL;
	struct plan *p = NULL;
	const struct node *root = NULL, *cases, *own;
	const struct rule *rule;
	unsigned n = 0, before = diag_errors(d);
	size_t len;
	char why[256] = "";
	char *text = loader_files.read(loader_files.arg, path, &len, why, sizeof why);

	if (!text) {
		diag_add(d, DIAG_UNREADABLE, NULL, "%s can't be read: %s", path, why);
		goto out;
	}
	rule = rule_of_cases(a, &schema, d);
	root = tree_read_text(a, path, text, len, 1, d);
	if (!rule || !root || !schema_check(a, rule, root, "the cases", NULL, d))
		goto out;
	own = node_get(root, "specification");
	if (own && file && !same_file(file, beside(a, path, own->text)))
		goto out; /* cases of another one */
	if (own)
		file = beside(a, path, own->text);
	if (!file) {
		problem_note(diag_add(d, DIAG_CASE, &root->at, "which specification are these cases of?"), "say `specification: ../sluice.yaml`, or `sluice test FILE`");
		goto out;
	}
	p = reload_compile(file, no_secrets, d);
	if (!p || diag_errors(d) > before)
		goto out;
	cases = node_get(root, "cases");
	for (; n < cases->n; n++)
		run_case(p, cases->items[n], d);
out:
	free(text);
	plan_unref(p);
	schema_free(schema);
	arena_free(a);
	return n;
}
