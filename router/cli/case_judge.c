/* case_judge.c - what became of a case's messages, held against what was expected.
 *
 * What was sent is JSON, and JSON is YAML: both sides are read into trees, and compared by value where the case says values, byte for byte where
 * it says a text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "cli/cases.h"
#include "cli/explain.h"
#include "plan/plan.h"
#include "rehearsal.h"
#include "spec/diag.h"
#include "spec/scalar.h"
#include "spec/tree.h"

#define SHOWN_MAX 2000

/* ---- collecting ------------------------------------------------------------------------------------------------------------ */

/* Room for one more; old contents stay in the arena. */
static void *grown(struct arena *a, void *old, unsigned n, size_t size)
{
	void *more;

	if (n & (n - 1) || n == 0) {
		if (n)
			return old;
		return arena_alloc(a, size);
	}
	more = arena_alloc(a, 2 * n * size);
	memcpy(more, old, n * size);
	return more;
}

void happened_add(struct happened *h, const struct rehearsed *m)
{
	h->messages++;
	if (m->refused) {
		h->refused = grown(h->arena, h->refused, h->nrefused, sizeof *h->refused);
		h->refused[h->nrefused++] = arena_strdup(h->arena, m->refused);
		return;
	}
	h->wanted += m->wanted > 0 || m->repeats > 0;
	if (m->repeats > 0)
		return;
	if (!h->streams) {
		h->nstreams = m->nstreams;
		h->streams = arena_alloc(h->arena, (m->nstreams + 1) * sizeof *h->streams);
		for (unsigned i = 0; i < m->nstreams; i++)
			h->streams[i].name = m->streams[i].stream->name;
	}
	for (unsigned i = 0; i < m->nstreams; i++) {
		const struct rehearsed_stream *s = &m->streams[i];
		struct happened_stream *to = &h->streams[i];

		for (unsigned k = 0; s->fate == FATE_SENT && k < s->nrows; k++) {
			to->rows = grown(h->arena, to->rows, to->n, sizeof *to->rows);
			to->rows[to->n++] = (struct happened_row){ arena_strndup(h->arena, s->rows[k].bytes, s->rows[k].len), s->rows[k].len };
		}
		if (s->fate != FATE_SENT) {
			to->odds = grown(h->arena, to->odds, to->nodds, sizeof *to->odds);
			to->odds[to->nodds++] = (struct odd){ (int)s->fate, s->why ? arena_strdup(h->arena, s->why) : NULL };
		}
	}
}

/* ---- comparing ------------------------------------------------------------------------------------------------------------- */

enum scalar_type { IS_TEXT, IS_NULL, IS_BOOL, IS_NUMBER };

static enum scalar_type type_of(const struct node *n, double *number)
{
	bool b;

	if (n->quoted)
		return IS_TEXT;
	if (node_is_null(n))
		return IS_NULL;
	if (scalar_bool(n->text, &b) == 0)
		return IS_BOOL;
	return scalar_number(n->text, number) == 0 ? IS_NUMBER : IS_TEXT;
}

static bool alike(const struct node *want, const struct node *got, bool partly)
{
	double a = 0, b = 0;
	enum scalar_type type;

	if (want->kind != got->kind)
		return false;
	switch (want->kind) {
	case NODE_MAP:
		if (!partly && want->n != got->n)
			return false;
		for (unsigned i = 0; i < want->n; i++) {
			const struct node *value = node_get(got, want->entries[i].key->text);

			if (!value || !alike(want->entries[i].value, value, false))
				return false;
		}
		return true;
	case NODE_LIST:
		for (unsigned i = 0; want->n == got->n && i < want->n; i++)
			if (!alike(want->items[i], got->items[i], false))
				return false;
		return want->n == got->n;
	case NODE_SCALAR:
		break;
	}
	type = type_of(want, &a);
	if (type != type_of(got, &b))
		return false;
	if (type == IS_NULL || strcmp(want->text, got->text) == 0)
		return true;
	/* 72 and 72.0 are one value; integers are compared to the last digit, also where doubles end. */
	return type == IS_NUMBER && a == b && (strpbrk(want->text, ".eE") || strpbrk(got->text, ".eE"));
}

static bool row_is(struct arena *a, const struct node *want, const struct happened_row *row, bool partly)
{
	struct diag *quiet;
	const struct node *got;
	bool is;

	if (want->kind == NODE_SCALAR)
		return want->len == row->len && memcmp(want->text, row->bytes, row->len) == 0;
	quiet = diag_new_quiet();
	got = tree_read_text(a, "what was sent", row->bytes, row->len, 0, quiet);
	is = got && alike(want, got, partly);
	diag_free(quiet);
	return is;
}

/* ---- telling --------------------------------------------------------------------------------------------------------------- */

static void note(struct problem *p, const char *what, const char *bytes, size_t len)
{
	problem_note(p, "%s: %.*s%s", what, (int)(len < SHOWN_MAX ? len : SHOWN_MAX), bytes, len < SHOWN_MAX ? "" : "…");
}

static void note_got(struct problem *p, const struct happened_stream *s)
{
	for (unsigned i = 0; i < s->n && i < 20; i++)
		note(p, "sent", s->rows[i].bytes, s->rows[i].len);
	for (unsigned i = 0; i < s->nodds && i < 5; i++)
		problem_note(p, "%s%s%.300s", explain_fate((enum rehearsed_fate)s->odds[i].fate), s->odds[i].why ? ": " : "", s->odds[i].why ? s->odds[i].why : "");
	if (!s->n && !s->nodds)
		problem_note(p, "no message was taken");
}

static void judge_rows(const char *name, const struct node *want, const struct happened_stream *s, bool partly, const struct happened *h, struct diag *d)
{
	struct problem *p;

	for (unsigned i = 0; i < want->n && i < s->n; i++) {
		struct buf text = BUF_INIT;

		if (row_is(h->arena, want->items[i], &s->rows[i], partly))
			continue;
		p = diag_add(d, DIAG_CASE, &want->items[i]->at, "case \"%s\": stream %s sends something else", name, s->name);
		if (want->items[i]->kind == NODE_SCALAR)
			buf_add(&text, want->items[i]->text, want->items[i]->len);
		else
			node_json(&text, want->items[i]);
		note(p, partly ? "expected, among others" : "expected", text.p ? text.p : "", text.len);
		note(p, "sent", s->rows[i].bytes, s->rows[i].len);
		buf_fini(&text);
		return;
	}
	if (want->n == s->n)
		return;
	p = diag_add(d, DIAG_CASE, &want->at, "case \"%s\": stream %s sends %u, not %u", name, s->name, s->n, want->n);
	note_got(p, s);
}

static void judge_odd(const char *name, const struct entry *e, const struct happened_stream *s, struct diag *d)
{
	static const enum rehearsed_fate fates[] = { FATE_SKIPPED, FATE_FILTERED, FATE_FAILED, FATE_UNADDRESSED };
	const char *part = e->value->kind == NODE_SCALAR ? e->value->text : "";

	for (unsigned f = 0; f < sizeof fates / sizeof *fates; f++) {
		if (!node_is(e->key, explain_fate(fates[f])))
			continue;
		for (unsigned i = 0; i < s->nodds; i++)
			if (s->odds[i].fate == (int)fates[f] && (!s->odds[i].why || strstr(s->odds[i].why, part)))
				return;
		note_got(diag_add(d, DIAG_CASE, &e->value->at, "case \"%s\": stream %s: no message was %s so", name, s->name, explain_fate(fates[f])), s);
		return;
	}
	problem_note(diag_add(d, DIAG_CASE, &e->key->at, "case \"%s\": \"%s\" is no outcome", name, e->key->text),
		"expected is none, a list of what is sent, or one of: contains, skipped, filtered, failed, unaddressed");
}

static void judge_stream(const char *name, const struct entry *e, const struct happened *h, struct diag *d)
{
	const struct node *want = e->value;
	const struct happened_stream *s = NULL;

	for (unsigned i = 0; i < h->nstreams; i++)
		if (node_is(e->key, h->streams[i].name))
			s = &h->streams[i];
	if (!s) {
		diag_add(d, DIAG_CASE, &e->key->at, h->nstreams ? "case \"%s\": the specification has no stream \"%s\"" :
			"case \"%s\": no message was taken, so nothing is known of stream \"%s\"", name, e->key->text);
	} else if (want->kind == NODE_LIST) {
		judge_rows(name, want, s, false, h, d);
	} else if (want->kind == NODE_MAP && want->n == 1 && node_is(want->entries[0].key, "contains") && want->entries[0].value->kind == NODE_LIST) {
		judge_rows(name, want->entries[0].value, s, true, h, d);
	} else if (want->kind == NODE_MAP && want->n == 1) {
		judge_odd(name, &want->entries[0], s, d);
	} else if (node_is(want, "none")) {
		if (s->n)
			note_got(diag_add(d, DIAG_CASE, &want->at, "case \"%s\": stream %s sends what it should not", name, s->name), s);
	} else {
		problem_note(diag_add(d, DIAG_CASE, &want->at, "case \"%s\": not understood", name),
			"expected is none, a list of what is sent, or a mapping with one of: contains, skipped, filtered, failed, unaddressed");
	}
}

void case_judge(const struct node *item, const struct happened *h, struct diag *d)
{
	const char *name = node_get(item, "name")->text;
	const struct node *expect = node_get(item, "expect"), *refused = node_get(item, "refused"), *unrouted = node_get(item, "unrouted");
	unsigned nrefused = !refused ? 0 : refused->kind == NODE_LIST ? refused->n : 1;

	for (unsigned i = 0; i < nrefused && i < h->nrefused; i++) {
		const struct node *want = refused->kind == NODE_LIST ? refused->items[i] : refused;

		if (!strstr(h->refused[i], want->text))
			problem_note(diag_add(d, DIAG_CASE, &want->at, "case \"%s\": refused for another reason", name), "%s", h->refused[i]);
	}
	if (nrefused != h->nrefused) {
		struct problem *p = diag_add(d, DIAG_CASE, refused ? &refused->at : &node_get(item, "send")->at, "case \"%s\": %u of %u messages are refused, not %u",
			name, h->nrefused, h->messages, nrefused);

		for (unsigned i = 0; i < h->nrefused && i < 5; i++)
			problem_note(p, "%s", h->refused[i]);
	}
	if (unrouted && h->messages > h->nrefused && node_is(unrouted, "true") != (h->wanted == 0))
		diag_add(d, DIAG_CASE, &unrouted->at, "case \"%s\": %s", name, h->wanted ? "a stream wants it" : "it goes nowhere");
	for (unsigned i = 0; expect && i < expect->n; i++)
		judge_stream(name, &expect->entries[i], h, d);
}
