/* diag_print.c - problems for people, and for programs.
 *
 * The hard part is the source line: it may be a megabyte long, hold tabs, terminal escapes or a secret, and the carets
 * must stand under the right characters all the same. So the shown line and the carets are built side by side, one character
 * of the source at a time. */
#include "spec/diag_list.h"

#include "base/buf.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHOWN_MAX 110   /* characters of a source line */
#define SHOWN_BEFORE 40 /* of these, before the place, when the line is cut */

struct paint { const char *error, *warning, *bold, *rule, *caret, *off; };

static const struct paint colours = { "\033[1;31m", "\033[1;35m", "\033[1m", "\033[1;34m", "\033[1;32m", "\033[0m" };
static const struct paint plain = { "", "", "", "", "", "" };

bool diag_colour(FILE *f)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return (no == NULL || *no == '\0') && (term == NULL || strcmp(term, "dumb") != 0) && isatty(fileno(f));
}

static bool is_hidden(const struct source *s, unsigned line, unsigned column)
{
	for (const struct hidden *h = s->hidden; h != NULL; h = h->next) {
		bool after = line > h->line || (line == h->line && column >= h->column);
		bool before = line < h->end_line || (line == h->end_line && column < h->end_column);

		if (after && before)
			return true;
	}
	return false;
}

/* Append the character at *p to line as it may be shown; advance *p. */
static void add_char(struct buf *line, const char **p, const char *end)
{
	unsigned char c = (unsigned char)**p;
	bool ok;
	size_t len = utf8_step(*p, (size_t)(end - *p), &ok);

	if (c == '\t')
		buf_addc(line, ' ');
	else if (!ok || c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)(*p)[1] < 0xa0))
		buf_adds(line, "?");
	else
		buf_add(line, *p, len);
	*p += len;
}

static void add_source(struct buf *out, const struct mark *at, const struct paint *paint, const char *underline)
{
	struct buf line = BUF_INIT, under = BUF_INIT;
	unsigned column = 1, first = 1, shown = 0, len = at->length ? at->length : 1;
	const char *p, *end;
	size_t n;
	bool hiding = false, caret = false;

	if (at->source == NULL || (p = source_line(at->source, at->line, &n)) == NULL)
		return;
	end = p + n;
	if (n > SHOWN_MAX && at->column > SHOWN_BEFORE) {
		first = at->column - SHOWN_BEFORE;
		buf_adds(&line, "…");
		buf_addc(&under, ' ');
	}
	for (; p < end && shown < SHOWN_MAX; column++) {
		const char *mark = column >= at->column && column < at->column + len ? underline : " ";

		if (column < first) {
			do
				p++;
			while (p < end && ((unsigned char)*p & 0xc0) == 0x80);
			continue;
		}
		if (is_hidden(at->source, at->line, column)) {
			if (!hiding) {
				buf_adds(&line, "•••");
				for (int i = 0; i < 3; i++)
					buf_adds(&under, mark);
				caret = caret || *mark != ' ';
			}
			hiding = true;
			do
				p++;
			while (p < end && ((unsigned char)*p & 0xc0) == 0x80);
			continue;
		}
		hiding = false;
		caret = caret || *mark != ' ';
		add_char(&line, &p, end);
		buf_adds(&under, mark);
		shown++;
	}
	if (p < end)
		buf_adds(&line, "…");
	if (!caret && p >= end && at->column >= column) { /* behind the end of the line */
		while (column++ < at->column && shown++ < SHOWN_MAX)
			buf_addc(&under, ' ');
		buf_adds(&under, underline);
	}
	while (under.len > 0 && under.p[under.len - 1] == ' ')
		under.p[--under.len] = '\0';
	buf_addf(out, "%s%4u |%s %s\n", paint->rule, at->line, paint->off, line.len ? line.p : "");
	buf_addf(out, "%s     |%s %s%s%s\n", paint->rule, paint->off, paint->caret, under.len ? under.p : "", paint->off);
	buf_fini(&line);
	buf_fini(&under);
}

static void add_mark(struct buf *out, const struct mark *at)
{
	if (at->source == NULL)
		return;
	buf_adds(out, at->source->name);
	if (at->line > 0)
		buf_addf(out, ":%u:%u", at->line, at->column);
}

static void add_problem(struct buf *out, const struct problem *p, const struct paint *paint)
{
	bool error = code_is_error(p->code);

	buf_adds(out, paint->bold);
	add_mark(out, &p->at);
	buf_addf(out, "%s%s", p->at.source ? ": " : "", paint->off);
	buf_addf(out, "%s%s[%s]%s: %s%s%s\n", error ? paint->error : paint->warning, error ? "error" : "warning",
		code_name(p->code), paint->off, paint->bold, p->message, paint->off);
	add_source(out, &p->at, paint, "^");
	if (p->near != NULL)
		buf_addf(out, "     %s=%s did you mean \"%s\"?\n", paint->rule, paint->off, p->near);
	for (const struct note *note = p->notes; note != NULL; note = note->next)
		buf_addf(out, "     %s=%s %s\n", paint->rule, paint->off, note->text);
	if (p->second_text != NULL) {
		buf_addf(out, "     %s=%s %s: ", paint->rule, paint->off, p->second_text);
		add_mark(out, &p->second);
		buf_addc(out, '\n');
		add_source(out, &p->second, paint, "-");
	}
}

void diag_print(struct diag *d, struct buf *out, bool colour)
{
	diag_sort(d);
	for (unsigned i = 0; i < d->n; i++)
		add_problem(out, d->items[i], colour ? &colours : &plain);
	if (d->untold > 0)
		buf_addf(out, "and %u more, not shown\n", d->untold);
}

static void add_json_mark(struct buf *out, const struct mark *at)
{
	buf_adds(out, "\"file\":");
	if (at->source != NULL)
		buf_addjson(out, at->source->name, strlen(at->source->name));
	else
		buf_adds(out, "null");
	buf_addf(out, ",\"line\":%u,\"column\":%u,\"length\":%u", at->line, at->column, at->length);
}

void diag_json(struct diag *d, struct buf *out)
{
	diag_sort(d);
	buf_addc(out, '[');
	for (unsigned i = 0; i < d->n; i++) {
		const struct problem *p = d->items[i];

		buf_addf(out, "%s{\"code\":\"%s\",\"severity\":\"%s\",", i ? ",\n " : "", code_name(p->code),
			code_is_error(p->code) ? "error" : "warning");
		add_json_mark(out, &p->at);
		buf_adds(out, ",\"message\":");
		buf_addjson(out, p->message, strlen(p->message));
		buf_adds(out, ",\"hint\":");
		if (p->near != NULL)
			buf_addjson(out, p->near, strlen(p->near));
		else
			buf_adds(out, "null");
		buf_adds(out, ",\"notes\":[");
		for (const struct note *note = p->notes; note != NULL; note = note->next) {
			buf_addjson(out, note->text, strlen(note->text));
			if (note->next != NULL)
				buf_addc(out, ',');
		}
		buf_adds(out, "],\"also\":");
		if (p->second_text != NULL) {
			buf_addc(out, '{');
			add_json_mark(out, &p->second);
			buf_adds(out, ",\"message\":");
			buf_addjson(out, p->second_text, strlen(p->second_text));
			buf_addc(out, '}');
		} else {
			buf_adds(out, "null");
		}
		buf_addc(out, '}');
	}
	buf_adds(out, "]\n");
}
