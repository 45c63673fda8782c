/* yaml.c - YAML text -> tree, through libyaml's events. The only file that knows libyaml.
 *
 * Everything hostile stops here or in tree_build.c. libyaml 0.2.5 is quadratic in open brackets and in %TAG directives, lets aliases stand for
 * billions of nodes, and accepts duplicate keys and second documents. So: %TAG is refused before libyaml sees it, and the tree is bounded
 * as its events come in. A large specification is thousands of lines of the plainest kind, for which libyaml takes longer than all that comes after
 * it: those plain.c reads, in a tenth of the time, and says what libyaml would. Whatever it does not understand is libyaml's. */
#include "spec/tree.h"

#include "base/arena.h"
#include "base/utf8.h"
#include "spec/diag.h"
#include "spec/tree_build.h"
#include "spec/yaml_mend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct reader {
	struct build b;
	unsigned documents;
	bool ended;           /* by a line `...` */
	bool cut;             /* not all was read */
};

static struct span span_of(const yaml_mark_t *from, const yaml_mark_t *to)
{
	return (struct span){ (unsigned)from->line + 1, (unsigned)from->column + 1, (unsigned)to->line + 1, (unsigned)to->column + 1 };
}

static struct mark mark_of(const struct reader *r, const yaml_mark_t *at)
{
	return (struct mark){ r->b.source, (unsigned)at->line + 1, (unsigned)at->column + 1, 1 };
}

/* ---- before and after libyaml ------------------------------------------------------------------------------------------- */

static struct mark mark_at(struct source *s, unsigned line, const char *begin, const char *p, unsigned length)
{
	struct mark at = { s, line, 1, length };

	for (; begin < p; begin++)
		at.column += ((unsigned char)*begin & 0xc0) != 0x80;
	return at;
}

/* What libyaml would not refuse, or not in time, or not in words. */
static void check_bytes(struct source *s, struct diag *d)
{
	const char *p = s->text, *end = p + s->len, *begin = p; /* of the line */
	unsigned line = 1;
	struct mark at;

	while (p < end) {
		unsigned char c = (unsigned char)*p;
		bool ok;
		size_t n;

		if (p == begin && c == '%' && strncmp(p, "%TAG", 4) == 0) {
			at = mark_at(s, line, begin, p, 4);
			diag_add(d, DIAG_TAG, &at, "%%TAG directives are not supported");
			return;
		}
		if (c >= 0x20 && c < 0x7f) {
			p++;
			continue;
		}
		n = utf8_step(p, (size_t)(end - p), &ok);
		if (!ok) {
			at = mark_at(s, line, begin, p, 1);
			diag_add(d, DIAG_UTF8, &at, "byte 0x%02x is not UTF-8", c);
			return;
		}
		if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f || (c == 0xc2 && (unsigned char)p[1] < 0xa0 && (unsigned char)p[1] != 0x85)) {
			at = mark_at(s, line, begin, p, 1);
			diag_add(d, DIAG_CONTROL, &at, "control character U+%04X", c == 0xc2 ? (unsigned char)p[1] : c);
			return;
		}
		if (c == '\n' || (c == '\r' && p[1] != '\n')) {
			line++;
			begin = p + n;
		}
		p += n;
	}
}

/* `line` up to `at` was read, and there it could not go on. */
static const char *advice(const yaml_parser_t *y, const char *line, const char *at, const char *end)
{
	const char *problem = y->problem, *context = y->context ? y->context : "", *before = at;

	if (at < end && *at == '\t')
		return "a tab can't indent: use blanks";
	if (strstr(problem, "escape character") != NULL)
		return "in double quotes a backslash begins an escape: write it twice, or use single quotes";
	if (at > line && at < end && *at == '{' && at[-1] == '$')
		return "a reference among braces needs quotes: \"${env:NAME}\"";
	if (strstr(context, "block scalar") != NULL)
		return "behind | or > nothing stands but a block of text on the lines below; a text that begins with these needs quotes";
	if (strstr(context, "scanning an anchor") != NULL || strstr(context, "scanning an alias") != NULL || strstr(context, "tag") != NULL)
		return "a text that begins with `&`, `*` or `!` needs quotes";
	if (strstr(problem, "cannot start any token") != NULL || strstr(problem, "block sequence entries") != NULL || strstr(problem, "mapping keys are not") != NULL ||
		(strstr(problem, "expected node content") != NULL && at < end))
		return "a text that begins with this character needs quotes";
	while (before > line && before[-1] == ' ')
		before--;
	if (before > line && before < at && at < end && (before[-1] == '"' || before[-1] == '\'') &&
		(strstr(problem, "expected key") != NULL || strstr(problem, "expected ','") != NULL))
		return "the text ended with its second quote: put all of it in quotes, of the other sort";
	if (strstr(problem, "expected ',' or") != NULL)
		return "a comma or the closing bracket is missing, or a text that holds a colon, brackets or ` #` needs quotes";
	if (strstr(problem, "mapping values are not allowed") != NULL)
		return "a colon and a blank make a key: put a text that holds them in quotes, and begin a new key on a line of its own";
	if (strstr(problem, "expected key") != NULL || strstr(problem, "'-' indicator") != NULL)
		return "this line is not indented like its neighbours, or the line above lacks its `:`";
	if (strstr(problem, "could not find expected ':'") != NULL)
		return "the line has no `: ` between a key and its value";
	return NULL;
}

static void tell_syntax(struct reader *r, const yaml_parser_t *y)
{
	struct mark at = mark_of(r, &y->problem_mark);
	const char *problem = y->problem ? y->problem : "unreadable", *line, *note = NULL;
	struct problem *p;
	size_t n;

	if (r->ended) {
		diag_add(r->b.diag, DIAG_SECOND_DOCUMENT, &at, "`...` has ended the document above; a file holds one");
		return;
	}
	p = diag_add(r->b.diag, DIAG_SYNTAX, &at, "not YAML: %s", problem);
	line = source_line(r->b.source, at.line, &n);
	if (line != NULL) {
		unsigned column = 1;
		size_t i = 0;

		for (; i < n && column < at.column; column++)
			do
				i++;
			while (i < n && ((unsigned char)line[i] & 0xc0) == 0x80);
		note = y->problem != NULL ? advice(y, line, line + i, line + n) : NULL;
	}
	if (strstr(problem, "mapping values are not allowed") != NULL && mend_keyless(r->b.source, at.line) != 0)
		note = "the line above has no colon behind its key";
	if (note != NULL)
		problem_note(p, "%s", note);
	if (y->context != NULL && (y->context_mark.line != y->problem_mark.line || y->context_mark.column != y->problem_mark.column)) {
		struct mark context = mark_of(r, &y->context_mark);

		problem_second(p, &context, "%s that begins here", y->context);
	}
}

static void take_event(struct reader *r, const yaml_event_t *e)
{
	struct span at = span_of(&e->start_mark, &e->end_mark);
	struct mark begins;

	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (++r->documents > 1) {
			begins = mark_of(r, &e->start_mark);
			diag_add(r->b.diag, DIAG_SECOND_DOCUMENT, &begins, "a second document begins here; a file holds one");
			r->b.stop = true;
		}
		break;
	case YAML_DOCUMENT_END_EVENT:
		r->ended = !e->data.document_end.implicit;
		break;
	case YAML_SCALAR_EVENT:
		build_scalar(&r->b, &at, (const char *)e->data.scalar.value, e->data.scalar.length, e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE,
			(const char *)e->data.scalar.anchor, (const char *)e->data.scalar.tag);
		break;
	case YAML_ALIAS_EVENT:
		build_alias(&r->b, &at, (const char *)e->data.alias.anchor);
		break;
	case YAML_SEQUENCE_START_EVENT:
		build_begin(&r->b, NODE_LIST, e->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE, &at,
			(const char *)e->data.sequence_start.anchor, (const char *)e->data.sequence_start.tag);
		break;
	case YAML_MAPPING_START_EVENT:
		build_begin(&r->b, NODE_MAP, e->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE, &at,
			(const char *)e->data.mapping_start.anchor, (const char *)e->data.mapping_start.tag);
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		build_end(&r->b, &at);
		break;
	case YAML_STREAM_END_EVENT:
		r->b.stop = true;
		break;
	default:
		break;
	}
}

/* The line on which the thing that could not be read begins, where that says more than the line on which it stopped; else 0. */
static unsigned begins_at(struct source *s, const yaml_parser_t *y)
{
	static const char *const things[] = { "flow mapping", "flow sequence", "quoted scalar", "simple key" };

	for (size_t i = 0; y->context != NULL && i < sizeof(things) / sizeof(*things); i++)
		if (strstr(y->context, things[i]) != NULL)
			return (unsigned)y->context_mark.line + 1;
	return strstr(y->problem ? y->problem : "", "mapping values") != NULL ? mend_keyless(s, (unsigned)y->problem_mark.line + 1) : 0;
}

/* Of what was read last nobody knows whether it was all, or meant like that. */
static void leave_open(struct node *n)
{
	while (n != NULL) {
		n->partial = true;
		n = n->kind == NODE_SCALAR || n->n == 0 ? NULL : n->kind == NODE_LIST ? n->items[n->n - 1] : n->entries[n->n - 1].value;
	}
}

/* The text (or what is left of it) once. *error: what kept it from being read to its end; line 0: nothing. */
static struct node *read_once(struct arena *a, struct source *s, const struct mend *m, struct diag *d, bool tell, unsigned *line, unsigned *begun, bool *more)
{
	struct reader *r = xcalloc(1, sizeof(*r));
	struct node *root;
	yaml_parser_t y;

	*line = *begun = 0;
	build_init(&r->b, a, s, d);
	r->b.lost = m->lost;
	r->b.nlost = m->n;
	if (!yaml_parser_initialize(&y)) {
		fputs("out of memory\n", stderr);
		abort();
	}
	yaml_parser_set_encoding(&y, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&y, (const unsigned char *)(m->text != NULL ? m->text : s->text), s->len);
	while (!r->b.stop) {
		yaml_event_t e;

		if (!yaml_parser_parse(&y, &e)) {
			r->cut = !r->ended;
			*line = r->cut ? (unsigned)y.problem_mark.line + 1 : 0;
			*begun = begins_at(s, &y);
			*more = strstr(y.problem ? y.problem : "", "mapping values") != NULL;
			if (tell && mend_is_new(m, *begun != 0 ? *begun : *line))
				tell_syntax(r, &y);
			break;
		}
		take_event(r, &e);
		yaml_event_delete(&e);
		if (diag_errors(d) > DIAG_KEPT) /* nothing more would be shown */
			r->b.stop = true;
	}
	yaml_parser_delete(&y);
	root = r->b.root;
	if (r->cut)
		leave_open(root);
	else if (r->b.depth > 0) /* stopped at a bound: it is not worth a look */
		root = NULL;
	build_fini(&r->b);
	free(r);
	return root;
}

struct node *yaml_read(struct arena *a, struct source *s, struct diag *d)
{
	struct mend m = { .source = s };
	unsigned line, begun;
	bool more = false;
	struct node *root = read_once(a, s, &m, d, true, &line, &begun, &more);
	size_t read = s->len;

	if (line == 0)
		return root;
	/* What is told of the whole is told when all of it can be read; until then only where it can't. */
	while (line != 0 && (read += s->len) < MENDED_MAX && mend(&m, line, begun, more)) {
		struct diag *quiet = diag_new_quiet();

		read_once(a, s, &m, quiet, false, &line, &begun, &more);
		diag_free(quiet);
		if (line != 0 && mend_is_new(&m, begun != 0 ? begun : line))
			read_once(a, s, &m, d, true, &line, &begun, &more);
	}
	return line == 0 ? read_once(a, s, &m, d, true, &line, &begun, &more) : root;
}

static struct node *read_on(struct arena *a, struct source *s, struct diag *d)
{
	unsigned errors = diag_errors(d);
	struct node *root = NULL;

	if (s->len > TREE_BYTES_MAX)
		diag_add(d, DIAG_TOO_BIG, &(struct mark){ .source = s }, "the file has %zu bytes; %u are allowed", s->len, TREE_BYTES_MAX);
	else
		check_bytes(s, d);
	if (diag_errors(d) > errors)
		return NULL;
	if (!plain_read(a, s, &root))
		root = yaml_read(a, s, d);
	if (root == NULL && diag_errors(d) > errors)
		return NULL;
	if (root == NULL || node_is_null(root)) {
		root = arena_alloc(a, sizeof(*root));
		root->at = (struct mark){ s, 1, 1, 1 };
	}
	return root;
}

struct node *tree_read(struct arena *a, struct source *s, struct diag *d)
{
	unsigned errors = diag_errors(d);
	struct node *root = read_on(a, s, d);

	return diag_errors(d) == errors ? root : NULL;
}

static struct source *source_of(struct arena *a, const char *name, const char *text, size_t len, unsigned order)
{
	/* The mark some editors put in front of UTF-8 is no part of the text. */
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	return source_new(a, name, text, len, order);
}

struct node *tree_read_text(struct arena *a, const char *name, const char *text, size_t len, unsigned order, struct diag *d)
{
	return tree_read(a, source_of(a, name, text, len, order), d);
}

struct node *tree_read_on(struct arena *a, const char *name, const char *text, size_t len, unsigned order, struct diag *d)
{
	return read_on(a, source_of(a, name, text, len, order), d);
}
