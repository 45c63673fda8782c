/* source.c - find a line again. Problems are few, so a line is looked for by counting on from the last one, and no index is kept. */
#include "spec/source.h"

#include "base/arena.h"

struct source *source_new(struct arena *a, const char *name, const char *text, size_t len, unsigned order)
{
	struct source *s = arena_alloc(a, sizeof(*s));

	s->name = arena_strdup(a, name);
	s->text = arena_strndup(a, text, len);
	s->len = len;
	s->order = order;
	s->arena = a;
	return s;
}

struct source *source_twin(struct source *s, struct arena *a, unsigned long serial)
{
	if (s->twin == NULL || s->twin_serial != serial) {
		s->twin = source_new(a, s->name, s->text, s->len, s->order);
		s->twin_serial = serial;
		for (const struct hidden *h = s->hidden; h != NULL; h = h->next)
			source_hide(s->twin, h->line, h->column, h->end_line, h->end_column);
	}
	return s->twin;
}

void source_hide(struct source *s, unsigned line, unsigned column, unsigned end_line, unsigned end_column)
{
	struct hidden *h = arena_alloc(s->arena, sizeof(*h));

	*h = (struct hidden){ line, column, end_line, end_column, s->hidden };
	s->hidden = h;
	if (s->twin != NULL)
		source_hide(s->twin, line, column, end_line, end_column);
}

/* Behind the next line break, which is what libyaml counts as one: LF, CR, CR LF, NEL, LS, PS. NULL at the end. */
static const char *next_line(const char *p, const char *end, const char **stop)
{
	for (; p < end; p++) {
		unsigned char c = (unsigned char)*p;

		*stop = p;
		if (c == '\n')
			return p + 1;
		if (c == '\r')
			return p + 1 < end && p[1] == '\n' ? p + 2 : p + 1;
		if (c == 0xc2 && end - p > 1 && (unsigned char)p[1] == 0x85)
			return p + 2;
		if (c == 0xe2 && end - p > 2 && (unsigned char)p[1] == 0x80 && ((unsigned char)p[2] & 0xfe) == 0xa8)
			return p + 3;
	}
	*stop = end;
	return NULL;
}

const char *source_line(struct source *s, unsigned line, size_t *len)
{
	const char *end = s->text + s->len, *p, *stop;

	if (line == 0)
		return NULL;
	if (s->seen_line == 0 || s->seen_line > line) {
		s->seen_line = 1;
		s->seen_offset = 0;
	}
	for (p = s->text + s->seen_offset; s->seen_line < line; s->seen_line++) {
		p = next_line(p, end, &stop);
		if (p == NULL) {
			s->seen_line = 0;
			return NULL;
		}
		s->seen_offset = (size_t)(p - s->text);
	}
	if (s->ended_line != line) {
		next_line(p, end, &stop);
		s->ended_line = line;
		s->ended_offset = (size_t)(stop - s->text);
	}
	*len = s->ended_offset - (size_t)(p - s->text);
	return p;
}
