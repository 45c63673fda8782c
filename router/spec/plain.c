/* plain.c - the plainest YAML, read in one pass without tokens: what a large specification mostly is.
 *
 * Understood are block mappings and lists, flow ones, and scalars on one line without escapes, anchors, tags or tabs. Everything else, and
 * everything wrong, makes it give up, and libyaml reads the text from its start: so there is one judge of what YAML is, and one voice for
 * errors. What is understood must come out as libyaml's events would have it, to the last column; tests/unit/test_plain.c and fuzz_yaml hold it
 * to that. */
#include "spec/tree_build.h"

#include "base/arena.h"
#include "spec/diag.h"

#include <stdlib.h>
#include <string.h>

#define KEY_MAX 1000 /* bytes; libyaml's bound is 1024 characters with what stands before the colon */

/* What stands behind a scalar. OPEN: the end of the line, and a plain scalar may go on in the next. */
enum after { ENDED, COLON, OPEN };

struct plain {
	struct build *b;
	const char *p, *end;
	const char *begin;    /* of the line p is in */
	unsigned line;
	unsigned wide;        /* bytes since begin that are no characters of their own */
	unsigned level;
};

static unsigned column(const struct plain *t)
{
	return (unsigned)(t->p - t->begin) - t->wide + 1;
}

static struct span here(const struct plain *t)
{
	unsigned c = column(t);

	return (struct span){ t->line, c, t->line, c };
}

static void up_to_here(const struct plain *t, struct span *at)
{
	at->end_line = t->line;
	at->end_column = column(t);
}

static bool at_end_of_line(const struct plain *t)
{
	return t->p == t->end || *t->p == '\n';
}

static void new_line(struct plain *t)
{
	t->p++;
	t->line++;
	t->begin = t->p;
	t->wide = 0;
}

static void skip_blanks(struct plain *t)
{
	while (t->p < t->end && *t->p == ' ')
		t->p++;
}

/* Blanks, and a comment behind them or at the line's start. False: something stands there. */
static bool rest_is_empty(struct plain *t)
{
	skip_blanks(t);
	if (t->p < t->end && *t->p == '#' && (t->p == t->begin || t->p[-1] == ' ')) {
		const char *nl = memchr(t->p, '\n', (size_t)(t->end - t->p));

		for (nl = nl != NULL ? nl : t->end; t->p < nl; t->p++)
			t->wide += ((unsigned char)*t->p & 0xc0) == 0x80;
	}
	return at_end_of_line(t);
}

/* To the first thing on a line of its own. False: to the end of the text. */
static bool next_thing(struct plain *t)
{
	while (t->p < t->end && rest_is_empty(t)) {
		if (t->p == t->end)
			break;
		new_line(t);
	}
	return t->p < t->end;
}

/* ---- scalars ---------------------------------------------------------------------------------------------------------------- */

static bool quoted(struct plain *t)
{
	char q = *t->p;

	for (t->p++; t->p < t->end && *t->p != q; t->p++) {
		if (*t->p == '\\' || *t->p == '\n')
			return false;
		t->wide += ((unsigned char)*t->p & 0xc0) == 0x80;
	}
	if (t->p == t->end || (q == '\'' && t->p + 1 < t->end && t->p[1] == '\''))
		return false;
	t->p++;
	return true;
}

/* The first character of a plain scalar, as far as it is no matter of what follows. */
static bool begins_plain(const struct plain *t)
{
	unsigned char c = (unsigned char)*t->p;

	if (c == '-')
		return t->p + 1 < t->end && t->p[1] >= '0' && t->p[1] <= '9';
	return c >= 0x80 || (c > ' ' && strchr("?:,[]{}#&*!|>'\"%@`", c) == NULL);
}

/* Up to what ends it on its line; *stop is behind its last character, t->p at what ended it. False: leave it to libyaml. */
static bool plain(struct plain *t, bool flow, struct span *at, const char **stop)
{
	if (!begins_plain(t))
		return false;
	*stop = t->p;
	for (;;) {
		const char *word = t->p;

		while (t->p < t->end && *t->p != ' ' && *t->p != '\n') {
			char c = *t->p, next = t->p + 1 < t->end ? t->p[1] : '\n';

			if (c == ':' && (next == ' ' || next == '\n'))
				break;
			if (flow && (c == ',' || c == '[' || c == ']' || c == '{' || c == '}'))
				break;
			if (flow && c == '?')
				return false;
			if (flow && c == ':' && strchr(",?[]{}", next) != NULL)
				return false;
			t->wide += ((unsigned char)c & 0xc0) == 0x80;
			t->p++;
		}
		if (t->p > word) {
			*stop = t->p;
			up_to_here(t, at);
		}
		if (t->p == t->end || *t->p != ' ')
			return true;
		skip_blanks(t);
		if (at_end_of_line(t) || *t->p == '#')
			return true;
	}
}

static bool scalar(struct plain *t, bool flow, enum after *after)
{
	struct span at = here(t);
	const char *from = t->p, *stop;
	bool quotes = *from == '"' || *from == '\'';

	if (quotes) {
		if (!quoted(t))
			return false;
		up_to_here(t, &at);
		stop = t->p - 1;
		skip_blanks(t);
	} else if (!plain(t, flow, &at, &stop)) {
		return false;
	}
	*after = t->p < t->end && *t->p == ':' ? COLON : !quotes && at_end_of_line(t) ? OPEN : ENDED;
	if (*after == COLON && (t->p - from > KEY_MAX || (!flow && t->p + 1 < t->end && t->p[1] != ' ' && t->p[1] != '\n')))
		return false;
	build_scalar(t->b, &at, from + quotes, (size_t)(stop - from - quotes), quotes, NULL, NULL);
	return true;
}

static void nothing(struct plain *t, const struct span *at)
{
	build_scalar(t->b, at, "", 0, false, NULL, NULL);
}

/* ---- flow ---------------------------------------------------------------------------------------------------------------------- */

/* Over blanks and line ends to the next thing of a flow list or mapping. */
static bool flow_next(struct plain *t)
{
	while (t->p < t->end && rest_is_empty(t)) {
		if (t->p == t->end)
			return false;
		new_line(t);
	}
	return t->p < t->end && *t->p != '#';
}

static bool flow(struct plain *t)
{
	bool map = *t->p == '{';
	enum after after;
	char close = map ? '}' : ']';
	struct span at = here(t);

	if (++t->level > TREE_FLOW_MAX)
		return false;
	t->p++;
	up_to_here(t, &at);
	build_begin(t->b, map ? NODE_MAP : NODE_LIST, true, &at, NULL, NULL);
	if (!flow_next(t))
		return false;
	while (*t->p != close) {
		if (map) {
			if (!scalar(t, true, &after) || after != COLON)
				return false;
			t->p++;
			if (!flow_next(t) || *t->p == ',' || *t->p == '}')
				return false;
		}
		if (*t->p == '{' || *t->p == '[') {
			if (!flow(t))
				return false;
		} else if (!scalar(t, true, &after) || after != ENDED) {
			return false;
		}
		if (!flow_next(t))
			return false;
		if (*t->p == close)
			break;
		if (*t->p != ',')
			return false;
		t->p++;
		if (!flow_next(t) || *t->p == close)
			return false;
	}
	at = here(t);
	t->p++;
	up_to_here(t, &at);
	build_end(t->b, &at);
	t->level--;
	return !t->b->stop;
}

/* ---- blocks ----------------------------------------------------------------------------------------------------------------------- */

static bool block(struct plain *t, unsigned indent);

/* What stands behind a colon or dash on the same line, and is no block. The next thing must not stand deeper than its owner. */
static bool value(struct plain *t, unsigned indent)
{
	enum after after;

	if (*t->p == '{' || *t->p == '[') {
		if (!flow(t))
			return false;
	} else if (!scalar(t, false, &after) || after == COLON) {
		return false;
	}
	if (!rest_is_empty(t))
		return false;
	return !next_thing(t) || column(t) <= indent;
}

static bool is_dash(const struct plain *t)
{
	return t->p < t->end && *t->p == '-' && (t->p + 1 == t->end || t->p[1] == ' ' || t->p[1] == '\n');
}

/* Items that begin in this column. A list below a key may stand in the key's own column. */
static bool list(struct plain *t, unsigned indent, bool own)
{
	struct span at = here(t);

	if (!own) { /* libyaml takes the first dash for the beginning of such a list */
		t->p++;
		up_to_here(t, &at);
		t->p--;
	}
	build_begin(t->b, NODE_LIST, false, &at, NULL, NULL);
	while (t->p < t->end && column(t) == indent && is_dash(t)) {
		t->p++;
		at = here(t);
		if (rest_is_empty(t) && (!next_thing(t) || column(t) <= indent))
			nothing(t, &at);
		else if (!block(t, indent))
			return false;
	}
	at = here(t);
	if (t->p < t->end && column(t) > indent)
		return false;
	if (t->p < t->end && column(t) == indent && own)
		return false;
	build_end(t->b, &at);
	return true;
}

static bool mapping(struct plain *t, unsigned indent)
{
	struct span at = here(t);
	enum after after;
	bool ok;

	build_begin(t->b, NODE_MAP, false, &at, NULL, NULL);
	do {
		if (is_dash(t) || !scalar(t, false, &after) || after != COLON)
			return false;
		t->p++;
		at = here(t);
		ok = true;
		if (!rest_is_empty(t))
			ok = value(t, indent);
		else if (next_thing(t) && column(t) > indent)
			ok = block(t, indent);
		else if (is_dash(t) && column(t) == indent)
			ok = list(t, indent, false);
		else
			nothing(t, &at);
	} while (ok && t->p < t->end && column(t) == indent);
	if (!ok)
		return false;
	if (t->p < t->end && column(t) > indent)
		return false;
	at = here(t);
	build_end(t->b, &at);
	return true;
}

/* Does a key begin here? */
static bool is_key(const struct plain *t)
{
	struct plain trial = *t;
	struct span at;
	const char *stop;

	if (*t->p == '"' || *t->p == '\'') {
		if (!quoted(&trial))
			return false;
		skip_blanks(&trial);
	} else if (!plain(&trial, false, &at, &stop)) {
		return false;
	}
	return trial.p < trial.end && *trial.p == ':';
}

/* The node that begins here, deeper than its owner's column. */
static bool block(struct plain *t, unsigned indent)
{
	bool ok;

	if (t->b->stop || ++t->level > TREE_FLOW_MAX || t->p - t->begin > KEY_MAX)
		return false;
	if (is_dash(t))
		ok = list(t, column(t), true);
	else if (is_key(t))
		ok = mapping(t, column(t));
	else
		ok = value(t, indent);
	t->level--;
	return ok;
}

/* Bytes that mean something to libyaml which is not looked at here: tabs, other line ends, byte order marks and their neighbours, lines that begin
 * or end a document. */
static bool is_plain(const struct source *s)
{
	for (size_t i = 0; i < s->len; i++) {
		unsigned char c = (unsigned char)s->text[i];

		if (c >= 0x20 && c < 0x7f && i > 0)
			continue;
		if (c == '\n' || i == 0) {
			const char *p = s->text + i + (c == '\n');

			if (strncmp(p, "---", 3) == 0 || strncmp(p, "...", 3) == 0)
				return false;
		}
		if (c == '\t' || c == '\r' || c == 0xee || c == 0xef || (c == 0xc2 && (unsigned char)s->text[i + 1] == 0x85) ||
			(c == 0xe2 && (unsigned char)s->text[i + 1] == 0x80 && ((unsigned char)s->text[i + 2] & 0xfe) == 0xa8))
			return false;
	}
	return true;
}

bool plain_read(struct arena *a, struct source *s, struct node **root)
{
	struct diag *quiet;
	struct build *b;
	struct plain t = { .p = s->text, .end = s->text + s->len, .begin = s->text, .line = 1 };
	bool ok;

	if (s->len == 0 || s->text[s->len - 1] != '\n' || !is_plain(s))
		return false;
	quiet = diag_new_quiet();
	t.b = b = xcalloc(1, sizeof(*b));
	build_init(b, a, s, quiet);
	ok = next_thing(&t) && column(&t) == 1 && is_key(&t) && block(&t, 0) && t.p == t.end && diag_errors(quiet) == 0 && !b->stop;
	if (ok)
		*root = b->root;
	build_fini(b);
	free(b);
	diag_free(quiet);
	return ok;
}
