/* inside.c - where in the file a part of a scalar's text stands, in all of YAML's ways to write one.
 *
 * The scalar is walked once more, from its mark on and beside the text it became: each byte of the text must come out of the file in its turn. So
 * nothing has to be decided anew (where a plain scalar ends, how deep a block of text is indented), and a place that is told is right: where the two
 * part, the whole scalar is told instead; and so it is once a file has cost enough, since one may hold a problem in each of a million places, all
 * on one line. */
#include "spec/tree.h"

#include "base/utf8.h"

#include <string.h>

#define WALKED_MAX (64u << 20) /* bytes for a file */

struct walk {
	const struct node *scalar;
	const char *p, *end;   /* in the file */
	unsigned line, column;
	size_t made;           /* bytes of the text so far */
	size_t from, to;       /* the part that is looked for */
	struct mark found;     /* its place; line 0: not reached yet */
	bool lost;             /* file and text differ */
};

static bool is_blank(const struct walk *w)
{
	return w->p < w->end && (*w->p == ' ' || *w->p == '\t');
}

/* Bytes of the line break at p, 0 when there is none. (U+2028 and U+2029 too are line breaks to libyaml: they part the walk from the text.) */
static size_t line_break(const struct walk *w)
{
	size_t left = (size_t)(w->end - w->p);

	if (left > 0 && *w->p == '\r')
		return left > 1 && w->p[1] == '\n' ? 2 : 1;
	if (left > 1 && memcmp(w->p, "\xc2\x85", 2) == 0)
		return 2;
	return left > 0 && *w->p == '\n';
}

static void new_line(struct walk *w, size_t n)
{
	w->p += n;
	w->line++;
	w->column = 1;
}

static void skip(struct walk *w, unsigned chars)
{
	w->p += chars;
	w->column += chars;
}

/* The file has made n bytes of text out of the next `width` characters. */
static void emit(struct walk *w, const char *bytes, size_t n, unsigned width)
{
	if (n > w->scalar->len - w->made || memcmp(w->scalar->text + w->made, bytes, n) != 0) {
		w->lost = true;
		return;
	}
	for (size_t i = 0; i < n; i++, w->made++) {
		if (w->made == w->from)
			w->found = (struct mark){ w->scalar->at.source, w->line, w->column, width ? width : 1 };
		else if (w->made > w->from && w->made < w->to && w->line == w->found.line && width > 0)
			w->found.length = w->column + width - w->found.column;
	}
}

/* A character that stands for itself. */
static void emit_char(struct walk *w)
{
	bool ok;
	size_t n;

	if (w->p >= w->end) {
		w->lost = true;
		return;
	}
	n = utf8_step(w->p, (size_t)(w->end - w->p), &ok);
	emit(w, w->p, n, 1);
	w->p += n;
	w->column++;
}

/* ---- on lines that flow into one ------------------------------------------------------------------------------------------------ */

/* Blanks within a line stand for themselves; around a line break they are nothing, and the break is a blank, or, of several, nothing. Behind a backslash
 * (`escaped`) the first break was read already, and is nothing. */
static void fold(struct walk *w, bool escaped)
{
	struct walk ahead = *w;
	bool blank = !escaped;
	size_t n;

	while (is_blank(&ahead))
		skip(&ahead, 1);
	if (!escaped && line_break(&ahead) == 0) {
		while (w->p < ahead.p)
			emit_char(w);
		return;
	}
	for (bool first = !escaped; (n = line_break(&ahead)) > 0; first = false) {
		if (!first) {
			emit(w, "\n", 1, 0);
			blank = false;
		}
		new_line(&ahead, n);
		while (is_blank(&ahead))
			skip(&ahead, 1);
	}
	if (blank)
		emit(w, " ", 1, 0);
	w->p = ahead.p;
	w->line = ahead.line;
	w->column = ahead.column;
}

static unsigned digit(char c)
{
	return c >= '0' && c <= '9' ? (unsigned)(c - '0') : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (unsigned)((c | 0x20) - 'a' + 10) : 16;
}

/* \x41 \u0041 \U00000041 */
static void hexadecimal(struct walk *w, unsigned digits)
{
	unsigned long c = 0;
	char u[4];

	for (unsigned i = 0; i < digits; i++) {
		unsigned d = w->end - w->p > 2 + i ? digit(w->p[2 + i]) : 16;

		w->lost = w->lost || d == 16;
		c = c << 4 | (d & 15);
	}
	if (w->lost)
		return;
	if (c < 0x80)
		emit(w, (char[]){ (char)c }, 1, 2 + digits);
	else if (c < 0x800)
		emit(w, (char[]){ (char)(0xC0 | c >> 6), (char)(0x80 | (c & 0x3F)) }, 2, 2 + digits);
	else {
		unsigned n = c < 0x10000 ? 3 : 4;

		for (unsigned i = n; i-- > 1; c >>= 6)
			u[i] = (char)(0x80 | (c & 0x3F));
		u[0] = (char)((n == 3 ? 0xE0 : 0xF0) | c);
		emit(w, u, n, 2 + digits);
	}
	skip(w, 2 + digits);
}

static void escape(struct walk *w)
{
	static const struct { char c; const char *text; } known[] = {
		{ 'a', "\a" }, { 'b', "\b" }, { 't', "\t" }, { '\t', "\t" }, { 'n', "\n" }, { 'v', "\v" }, { 'f', "\f" }, { 'r', "\r" }, { 'e', "\033" }, { ' ', " " },
		{ '"', "\"" }, { '/', "/" }, { '\\', "\\" }, { 'N', "\xc2\x85" }, { '_', "\xc2\xa0" }, { 'L', "\xe2\x80\xa8" }, { 'P', "\xe2\x80\xa9" },
	};
	struct walk ahead = *w;
	char c = w->end - w->p > 1 ? w->p[1] : '\0';
	size_t n;

	ahead.p++;
	if ((n = line_break(&ahead)) > 0) {
		w->p++;
		new_line(w, n);
		fold(w, true);
		return;
	}
	if (c == 'x' || c == 'u' || c == 'U') {
		hexadecimal(w, c == 'x' ? 2 : c == 'u' ? 4 : 8);
		return;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (known[i].c == c) {
			emit(w, known[i].text, strlen(known[i].text), 2);
			skip(w, 2);
			return;
		}
	w->lost = true;
}

/* quote: what it stands in, NUL for a plain scalar. */
static void flowing(struct walk *w, char quote)
{
	if (quote != '\0')
		skip(w, 1);
	while (w->made < w->scalar->len && !w->lost) {
		if (is_blank(w) || line_break(w) > 0) {
			fold(w, false);
		} else if (quote == '\'' && w->end - w->p > 1 && memcmp(w->p, "''", 2) == 0) {
			emit(w, "'", 1, 2);
			skip(w, 2);
		} else if (quote == '"' && w->p < w->end && *w->p == '\\') {
			escape(w);
		} else {
			emit_char(w);
		}
	}
}

/* ---- blocks of text --------------------------------------------------------------------------------------------------------------- */

/* Blanks the block is indented by: those in front of its first text, but for what the text itself begins with. */
static unsigned indentation(struct walk w)
{
	const char *text = w.scalar->text + strspn(w.scalar->text, "\n");
	unsigned own = (unsigned)strspn(text, " "), n = 0;
	size_t step;

	for (; w.p < w.end; n = *w.p == ' ' ? n + 1 : 0, w.p += step ? step : 1)
		if ((step = line_break(&w)) == 0 && *w.p != ' ')
			break;
	return n > own ? n - own : 0;
}

static void block(struct walk *w)
{
	bool folded = *w->p == '>', behind_line = false, was_blank = false;
	unsigned indent, breaks = 0;
	size_t n;

	while (w->p < w->end && line_break(w) == 0)
		w->p++;
	new_line(w, line_break(w));
	indent = indentation(*w);
	while (w->made < w->scalar->len && !w->lost) {
		while (w->p < w->end && w->column <= indent && *w->p == ' ')
			skip(w, 1);
		if ((n = line_break(w)) > 0) {
			breaks++;
			new_line(w, n);
			continue;
		}
		if (w->p >= w->end || w->column <= indent)
			break; /* only the line breaks at its end are left */
		/* Of lines that are no further indented than the block, two flow into one. */
		if (behind_line && folded && !was_blank && !is_blank(w)) {
			if (breaks == 0)
				emit(w, " ", 1, 0);
		} else if (behind_line) {
			emit(w, "\n", 1, 0);
		}
		for (; breaks > 0; breaks--)
			emit(w, "\n", 1, 0);
		was_blank = is_blank(w);
		while (w->p < w->end && line_break(w) == 0 && !w->lost)
			emit_char(w);
		if (w->scalar->len - w->made == strspn(w->scalar->text + w->made, "\n"))
			break;
		new_line(w, line_break(w));
		behind_line = true;
	}
	while (w->made < w->scalar->len && !w->lost)
		emit(w, "\n", 1, 0);
}

/* ---- all of them ------------------------------------------------------------------------------------------------------------------- */

static bool walked(struct walk *w)
{
	char c = w->p < w->end ? *w->p : '\0';

	if (w->scalar->quoted && (c == '|' || c == '>'))
		block(w);
	else
		flowing(w, w->scalar->quoted && (c == '"' || c == '\'') ? c : '\0');
	return !w->lost && w->made == w->scalar->len && w->found.line > 0;
}

/* To a place in the file, from where `more` bytes will be read. False: there is no such line, or enough was read. */
static bool go_to(struct walk *w, struct source *s, unsigned line, unsigned column, size_t more)
{
	size_t n, known;

	*w = (struct walk){ .line = line };
	if (s == NULL || s->walked > WALKED_MAX)
		return false;
	known = line < s->seen_line ? 0 : s->seen_offset;
	if ((w->p = source_line(s, line, &n)) == NULL)
		return false;
	w->end = s->text + s->len;
	for (w->column = 1; w->column < column && w->p < w->end; w->column++)
		do
			w->p++;
		while (w->p < w->end && ((unsigned char)*w->p & 0xc0) == 0x80);
	s->walked += (size_t)(w->p - s->text) - known + n + more; /* source_line() looks for the end of the line */
	return true;
}

static const char *text_at(struct source *s, unsigned line, unsigned column)
{
	struct walk w;

	if (!go_to(&w, s, line, column, 0))
		return "";
	while (is_blank(&w))
		skip(&w, 1);
	return w.p;
}

const char *node_begins(const struct node *n)
{
	return text_at(n->at.source, n->at.line, n->at.column);
}

const char *node_behind(const struct node *n)
{
	return text_at(n->at.source, n->end_line, n->end_column);
}

struct mark node_mark_inside(const struct node *scalar, size_t from, size_t len)
{
	struct mark at = scalar->at;
	struct walk w;
	size_t n;

	if (from >= scalar->len || !go_to(&w, at.source, at.line, at.column, scalar->len))
		return at;
	w.scalar = scalar;
	w.from = from;
	w.to = from + len;
	/* The mark of a scalar with an anchor and a tag is where the first of these begins. */
	for (int properties = 0; properties <= 2; properties++) {
		struct walk trial = w;

		if (walked(&trial))
			return trial.found;
		if (w.p >= w.end || (*w.p != '&' && *w.p != '!'))
			break;
		while (w.p < w.end && !is_blank(&w) && line_break(&w) == 0)
			skip(&w, 1);
		while (is_blank(&w) || (n = line_break(&w)) > 0)
			if (is_blank(&w))
				skip(&w, 1);
			else
				new_line(&w, n);
	}
	return at;
}
