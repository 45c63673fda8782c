/* yaml_mend.c - see yaml_mend.h. The hard idea: lines are made blank, never moved, so every place stays what it is in the file.
 *
 * First the value is taken away and its key stays (`url: ~`), then the key as well (`~: ~`), then the lines. What took their place is told by its
 * place, and no value to anybody (tree_build.c). With a line go those that are indented further: they belong to it. */
#include "spec/yaml_mend.h"

#include "base/arena.h"

#include <stdint.h>
#include <string.h>

/* A line of the text as it is now; NULL: there is none. */
static char *line_at(const struct mend *m, unsigned line, size_t *len)
{
	const char *p = source_line(m->source, line, len);

	return p != NULL ? m->text + (p - m->source->text) : NULL;
}

static size_t indent_of(const char *p, size_t len)
{
	size_t n = 0;

	while (n < len && (p[n] == ' ' || p[n] == '\t'))
		n++;
	return n;
}

static bool is_empty(const char *p, size_t len)
{
	size_t n = indent_of(p, len);

	return n == len || p[n] == '#' || p[n] == '\r';
}

/* Bytes of `  - key: ` at the beginning of a line; as many as the indentation where no key is. */
static size_t head_of(const char *p, size_t len)
{
	size_t n = indent_of(p, len), at;

	while (n + 1 < len && p[n] == '-' && p[n + 1] == ' ')
		n += 1 + indent_of(p + n + 1, len - n - 1);
	at = n;
	if (at < len && (p[at] == '"' || p[at] == '\'')) {
		const char *close = memchr(p + at + 1, p[at], len - at - 1);

		at = close != NULL ? (size_t)(close - p) + 1 : len;
	}
	for (; at < len && strchr("{[,#&*!|>", p[at]) == NULL; at++)
		if (p[at] == ':' && (at + 1 == len || p[at + 1] == ' '))
			return at + 1;
	return n;
}

static void blank(char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != '\r')
			p[i] = ' ';
}

/* The line above that holds something, and how far its members are indented. */
static unsigned above(const struct mend *m, unsigned line, size_t *indent, bool *opens)
{
	size_t len;

	while (--line > 0) {
		char *p = line_at(m, line, &len);

		if (p == NULL || is_empty(p, len))
			continue;
		*indent = indent_of(p, len);
		while (*indent + 1 < len && p[*indent] == '-' && p[*indent + 1] == ' ')
			*indent += 2;
		while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\r'))
			len--;
		*opens = len > 0 && p[len - 1] == ':';
		return line;
	}
	*indent = 0;
	*opens = false;
	return 0;
}

/* How it is taken away this time: what stays of the line, and what is put behind it. */
static const char *attempt(const struct mend *m, unsigned line, const char *p, size_t len, size_t *keep, size_t *indent)
{
	bool tab = memchr(p, '\t', indent_of(p, len)) != NULL, opens = false;

	*indent = indent_of(p, len);
	if (tab) {
		above(m, line, indent, &opens);
		*keep = *indent + (opens ? 1 : 0);
		return m->attempts == 0 ? (opens ? "~" : "~: ~") : "";
	}
	*keep = m->attempts == 0 ? head_of(p, len) : *indent;
	if (m->attempts == 0 && *keep > 0 && p[*keep - 1] == ':')
		return " ~";
	return m->attempts == 0 && *keep > *indent ? "~" : m->attempts < 2 ? "~: ~" : "";
}

unsigned mend_keyless(struct source *s, unsigned line)
{
	struct mend m = { .source = s, .text = (char *)(uintptr_t)s->text };
	size_t indent, len, head;
	bool opens;
	unsigned before = above(&m, line, &indent, &opens);
	const char *p = before != 0 && !opens ? source_line(s, before, &len) : NULL;

	if (p == NULL)
		return 0;
	head = head_of(p, len);
	return (head == 0 || p[head - 1] != ':') && head < len && strchr("{[\"'|>#&*!", p[head]) == NULL ? before : 0;
}

bool mend_is_new(const struct mend *m, unsigned line)
{
	for (unsigned i = 0; i < m->n; i++)
		if (line <= m->lost[i].end_line)
			return false;
	return true;
}

bool mend(struct mend *m, unsigned line, unsigned begun, bool more)
{
	size_t len, keep, indent, own;
	unsigned from = begun != 0 ? begun : line, end = from;
	const char *put;
	char *p;

	if (m->text == NULL)
		m->text = arena_strndup(m->source->arena, m->source->text, m->source->len);
	/* What an error was made of may have been taken away already: then what is left of it goes as well. */
	for (unsigned i = 0; i < m->n; i++)
		if (from >= m->lost[i].line && from <= m->lost[i].end_line)
			from = m->lost[i].line;
	if (m->n > 0 && m->lost[m->n - 1].line == from) {
		if (++m->attempts > 2)
			return false;
		m->n--;
	} else {
		m->attempts = 0;
	}
	if (m->n == MENDS_MAX || (p = line_at(m, from, &len)) == NULL || is_empty(m->source->text + (p - m->text), len))
		return false;
	/* From what stands in the file: what an earlier attempt left is no guide. */
	memcpy(p, m->source->text + (p - m->text), len);
	put = attempt(m, from, p, len, &keep, &indent);
	own = memchr(p, '\t', indent_of(p, len)) != NULL ? indent : indent_of(p, len);
	if (keep + strlen(put) > len) {
		keep = 0;
		put = "";
	}
	if (memchr(p, '\t', indent_of(p, len)) != NULL)
		blank(p, keep);
	blank(p + keep, len - keep);
	memcpy(p + keep, put, strlen(put));
	m->lost[m->n] = (struct lost){ .line = from, .end_line = end, .indent = (unsigned)indent, .more = more };
	if (*put != '\0') {
		m->lost[m->n].column = 1;
		for (size_t i = 0; i < keep + (*put == ' '); i++)
			m->lost[m->n].column += ((unsigned char)p[i] & 0xc0) != 0x80;
	}
	while ((p = line_at(m, end + 1, &len)) != NULL && (is_empty(p, len) || indent_of(p, len) > own || (own > 0 && p[0] == '\t'))) {
		end++;
		if (!is_empty(p, len))
			m->lost[m->n].end_line = end;
		blank(p, len);
	}
	m->n++;
	return true;
}
