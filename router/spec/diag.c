/* diag.c - the list of problems. It owns an arena, so every text in it is freed at once. */
#include "spec/diag_list.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/utf8.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define QUOTE_MAX 60

struct diag *diag_new(void)
{
	static atomic_ulong serial;
	struct diag *d = xcalloc(1, sizeof(*d));

	d->arena = arena_new();
	d->serial = atomic_fetch_add(&serial, 1) + 1;
	return d;
}

struct diag *diag_new_quiet(void)
{
	struct diag *d = diag_new();

	d->quiet = true;
	return d;
}

void diag_free(struct diag *d)
{
	if (d == NULL)
		return;
	arena_free(d->arena);
	free(d->items);
	free(d);
}

static const char *vtext(struct diag *d, const char *fmt, va_list ap)
{
	struct buf b = BUF_INIT;
	const char *s;

	buf_addv(&b, fmt, ap);
	s = arena_strndup(d->arena, b.len ? b.p : "", b.len);
	buf_fini(&b);
	return s;
}

/* The same place in the list's own copy of the source. */
static struct mark own(struct diag *d, const struct mark *at)
{
	struct mark copy = *at;

	if (copy.source != NULL)
		copy.source = source_twin(copy.source, d->arena, d->serial);
	return copy;
}

struct problem *diag_add(struct diag *d, enum diag_code code, const struct mark *at, const char *fmt, ...)
{
	struct problem *p;
	va_list ap;

	if (d->wanted != NULL && !d->wanted(d->wanted_arg, code)) {
		d->overflow = (struct problem){ .list = NULL };
		return &d->overflow;
	}
	if (code_is_error(code))
		d->errors++;
	else
		d->warnings++;
	if (code_exit(code) == EX_DATAERR)
		d->not_yaml = true;
	if (diag_is_full(d)) {
		d->untold++;
		d->overflow = (struct problem){ .list = NULL };
		return &d->overflow;
	}
	if (d->n == d->cap) {
		d->cap = d->cap ? 2 * d->cap : 16;
		d->items = xrealloc(d->items, d->cap * sizeof(struct problem *));
	}
	p = arena_alloc(d->arena, sizeof(*p));
	p->list = d;
	p->code = code;
	if (at != NULL)
		p->at = own(d, at);
	va_start(ap, fmt);
	p->message = vtext(d, fmt, ap);
	va_end(ap);
	p->tail = &p->notes;
	p->seq = d->n;
	d->items[d->n++] = p;
	return p;
}

void problem_near(struct problem *p, const char *word)
{
	if (p->list != NULL && word != NULL)
		p->near = arena_strdup(p->list->arena, word);
}

void problem_note(struct problem *p, const char *fmt, ...)
{
	struct note *note;
	va_list ap;

	if (p->list == NULL)
		return;
	note = arena_alloc(p->list->arena, sizeof(*note));
	va_start(ap, fmt);
	note->text = vtext(p->list, fmt, ap);
	va_end(ap);
	*p->tail = note;
	p->tail = &note->next;
}

void problem_second(struct problem *p, const struct mark *at, const char *fmt, ...)
{
	va_list ap;

	if (p->list == NULL)
		return;
	p->second = own(p->list, at);
	va_start(ap, fmt);
	p->second_text = vtext(p->list, fmt, ap);
	va_end(ap);
}

/* Length of the character at p, 0 when it is broken or must not reach a terminal. */
static size_t printable(const char *p, size_t n)
{
	unsigned char c = (unsigned char)*p;
	bool ok;
	size_t len = utf8_step(p, n, &ok);

	if (!ok || c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)p[1] < 0xa0))
		return 0;
	return len;
}

const char *diag_quote(struct diag *d, const char *s, size_t n)
{
	struct buf b = BUF_INIT;
	unsigned shown = 0;
	const char *text;

	buf_addc(&b, '"');
	for (size_t i = 0; i < n; shown++) {
		size_t len = printable(s + i, n - i);

		if (shown == QUOTE_MAX) {
			buf_adds(&b, "…");
			break;
		}
		if (len == 0) {
			if (s[i] == '\n')
				buf_adds(&b, "\\n");
			else if (s[i] == '\t')
				buf_adds(&b, "\\t");
			else
				buf_addf(&b, "\\x%02x", (unsigned char)s[i]);
			i++;
			continue;
		}
		if (s[i] == '"' || s[i] == '\\')
			buf_addc(&b, '\\');
		buf_add(&b, s + i, len);
		i += len;
	}
	buf_addc(&b, '"');
	text = arena_strndup(d->arena, b.p, b.len);
	buf_fini(&b);
	return text;
}

void diag_only(struct diag *d, bool (*wanted)(void *arg, enum diag_code code), void *arg)
{
	d->wanted = wanted;
	d->wanted_arg = arg;
}

bool diag_is_full(const struct diag *d)
{
	return d->n == DIAG_KEPT || d->quiet;
}

unsigned diag_errors(const struct diag *d)
{
	return d->errors;
}

unsigned diag_warnings(const struct diag *d)
{
	return d->warnings;
}

int diag_exit(const struct diag *d)
{
	if (d->errors == 0)
		return EX_OK;
	return d->not_yaml ? EX_DATAERR : EX_CONFIG;
}

static int by_mark(const void *x, const void *y)
{
	const struct problem *a = *(struct problem *const *)x, *b = *(struct problem *const *)y;
	unsigned ao = a->at.source ? a->at.source->order + 1 : 0, bo = b->at.source ? b->at.source->order + 1 : 0;

	if (ao != bo)
		return ao < bo ? -1 : 1;
	if (a->at.line != b->at.line)
		return a->at.line < b->at.line ? -1 : 1;
	if (a->at.column != b->at.column)
		return a->at.column < b->at.column ? -1 : 1;
	return a->seq < b->seq ? -1 : 1;
}

static bool is_same(const struct problem *a, const struct problem *b)
{
	return a->code == b->code && a->at.source == b->at.source && a->at.line == b->at.line &&
	       a->at.column == b->at.column && strcmp(a->message, b->message) == 0;
}

void diag_sort(struct diag *d)
{
	unsigned kept = 0;

	if (d->n == 0)
		return;
	qsort(d->items, d->n, sizeof(struct problem *), by_mark);
	for (unsigned i = 0; i < d->n; i++) {
		/* A node reached by two aliases, or by two rules, is told once. */
		if (kept > 0 && is_same(d->items[kept - 1], d->items[i])) {
			if (code_is_error(d->items[i]->code))
				d->errors--;
			else
				d->warnings--;
			continue;
		}
		d->items[kept++] = d->items[i];
	}
	d->n = kept;
}
