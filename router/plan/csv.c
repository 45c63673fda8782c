/* csv.c - comma-separated values: quotes may hold commas, line breaks and, doubled, quotes. */
#include "plan/csv.h"

#include "base/arena.h"
#include "base/buf.h"

#include <string.h>

void csv_begin(struct csv *c, struct arena *a, struct source *s)
{
	*c = (struct csv){ .arena = a, .source = s, .p = s->text, .line = 1 };
}

/* One cell at c->p; leaves c->p at the comma, line break or end behind it. */
static const char *cell(struct csv *c, struct buf *b)
{
	const char *end;

	buf_clear(b);
	if (*c->p != '"') {
		end = c->p + strcspn(c->p, ",\r\n");
		buf_add(b, c->p, (size_t)(end - c->p));
		c->p = end;
		return b->p;
	}
	for (c->p++;; c->p++) {
		if (*c->p == '\0' && c->p >= c->source->text + c->source->len) {
			c->fault = "the quote is never closed";
			return b->p;
		}
		if (*c->p == '"' && c->p[1] != '"')
			break;
		if (*c->p == '"')
			c->p++;
		c->line += *c->p == '\n';
		buf_addc(b, *c->p);
	}
	c->p++;
	if (*c->p != ',' && *c->p != '\r' && *c->p != '\n' && *c->p != '\0')
		c->fault = "something stands behind the closing quote";
	return b->p ? b->p : "";
}

static unsigned characters(const char *from, const char *to)
{
	unsigned n = 0;

	for (; from < to; from++)
		n += ((unsigned char)*from & 0xc0) != 0x80;
	return n;
}

bool csv_row(struct csv *c)
{
	const char *end = c->source->text + c->source->len, *line;
	struct buf b = BUF_INIT;

	while (c->p < end && (*c->p == '\n' || *c->p == '\r')) {
		c->line += *c->p == '\n';
		c->p++;
	}
	c->n = 0;
	if (c->p >= end || c->fault != NULL)
		return false;
	for (line = c->p;; c->p++) {
		const char *from = c->p;
		unsigned at = c->line;

		if (c->n == 255) {
			c->fault = "more than 255 columns";
			break;
		}
		c->at[c->n] = (struct mark){ c->source, at, at == c->line ? 1 + characters(line, from) : 1, 1 };
		cell(c, &b);
		if (c->fault != NULL)
			break;
		c->at[c->n].length = characters(from, c->p);
		c->cells[c->n++] = arena_strndup(c->arena, b.p ? b.p : "", b.len);
		if (*c->p != ',')
			break;
	}
	buf_fini(&b);
	return c->fault == NULL;
}
