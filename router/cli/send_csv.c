/* send_csv.c - rows of a CSV file as messages: the first row names the parameters.
 *
 * A cell that is written as JSON writes a number, true or false is one, but for `ident`, which is always a text; an empty cell is no
 * parameter. So numbers keep their digits, and 007 stays a text. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "cli/send.h"
#include "message/message.h"

static bool is_number(const char *p, size_t n)
{
	size_t i = n && *p == '-', digits = i;

	while (i < n && p[i] >= '0' && p[i] <= '9')
		i++;
	if (i == digits || (p[digits] == '0' && i > digits + 1))
		return false;
	if (i < n && p[i] == '.') {
		digits = ++i;
		while (i < n && p[i] >= '0' && p[i] <= '9')
			i++;
		if (i == digits)
			return false;
	}
	if (i < n && (p[i] == 'e' || p[i] == 'E')) {
		i++;
		i += i < n && (p[i] == '+' || p[i] == '-');
		digits = i;
		while (i < n && p[i] >= '0' && p[i] <= '9')
			i++;
		if (i == digits)
			return false;
	}
	return i == n;
}

static bool is(const char *p, size_t n, const char *word)
{
	return n == strlen(word) && memcmp(p, word, n) == 0;
}

/* The next cell, quotes undone, into out; *p is moved behind its comma, NULL behind the last. False: quotes that do not end. */
static bool cell(const char **p, const char *end, struct buf *out)
{
	const char *at = *p, *stop;

	buf_clear(out);
	if (at == end || *at != '"') {
		stop = memchr(at, ',', (size_t)(end - at));
		if (!stop)
			stop = end;
		buf_add(out, at, (size_t)(stop - at));
	} else {
		for (at++;; at = stop + 2) {
			stop = memchr(at, '"', (size_t)(end - at));
			if (!stop)
				return false;
			buf_add(out, at, (size_t)(stop - at));
			if (stop + 1 == end || stop[1] != '"')
				break;
			buf_addc(out, '"');
		}
		stop++;
	}
	*p = stop < end && *stop == ',' ? stop + 1 : NULL;
	return true;
}

static bool header(struct send_csv *c, const char *p, const char *end)
{
	while (p) {
		if (!cell(&p, end, &c->cell))
			return false;
		buf_add(&c->names, c->cell.p ? c->cell.p : "", c->cell.len);
		buf_addc(&c->names, '\0');
		c->n++;
	}
	return true;
}

static void member(struct buf *json, const char *name, const struct buf *v)
{
	if (json->len > 1)
		buf_addc(json, ',');
	buf_addjson(json, name, strlen(name));
	buf_addc(json, ':');
	if (strcmp(name, "ident") != 0 && (is_number(v->p, v->len) || is(v->p, v->len, "true") || is(v->p, v->len, "false")))
		buf_add(json, v->p, v->len);
	else
		buf_addjson(json, v->p, v->len);
}

enum send_row send_csv_row(struct send_csv *c, const char *p, size_t n, struct buf *json, const char **why)
{
	const char *end, *name;
	unsigned quotes = 0;

	buf_add(&c->row, p, n);
	for (size_t i = 0; i < c->row.len; i++)
		quotes += c->row.p[i] == '"';
	if (quotes % 2) {
		buf_addc(&c->row, '\n'); /* a line end inside a cell */
		return SEND_ROW_MORE;
	}
	p = c->row.p;
	end = p + c->row.len;
	*why = NULL;
	if (!utf8_valid(p, c->row.len, NULL)) {
		*why = "not UTF-8";
	} else if (!c->n) {
		if (c->row.len >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0)
			p += 3;
		if (!header(c, p, end))
			*why = "quotes that do not end";
		buf_clear(&c->row);
		return *why ? SEND_ROW_BAD : SEND_ROW_MORE;
	}
	buf_clear(json);
	buf_addc(json, '{');
	name = c->names.p;
	for (unsigned i = 0; p && !*why; i++, name += strlen(name) + 1) {
		if (i == c->n)
			*why = "more cells than the first row names";
		else if (!cell(&p, end, &c->cell))
			*why = "quotes that do not end";
		else if (c->cell.len && *name)
			member(json, name, &c->cell);
	}
	buf_addc(json, '}');
	buf_clear(&c->row);
	return *why ? SEND_ROW_BAD : SEND_ROW_WHOLE;
}

void send_csv_fini(struct send_csv *c)
{
	buf_fini(&c->names);
	buf_fini(&c->row);
	buf_fini(&c->cell);
}
