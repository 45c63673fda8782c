/* confidence.c - what a destination was told in confidence, and words from outside without it.
 *
 * An answer, a redirect or a library's error may repeat what it was asked with: a key of the query, a password, a header. Whatever a specification
 * names by reference or writes out as a secret is known here by its text, and is put back as the reference, or as `•••`, before anybody else
 * sees the words. */
#include "plan/compile.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

#define LEAST 4 /* bytes; what is shorter stands in any text by chance */

struct collection {
	struct compiler *c;
	struct secret_text *list;
	unsigned n, cap;
};

static void add(struct collection *l, const char *text, size_t len, const char *shown)
{
	if (len < LEAST)
		return;
	for (unsigned i = 0; i < l->n; i++)
		if (l->list[i].len == len && memcmp(l->list[i].text, text, len) == 0)
			return;
	if (l->n == l->cap) {
		struct secret_text *more = arena_alloc(l->c->arena, (l->cap = l->cap ? 2 * l->cap : 4) * sizeof(*more));

		if (l->n > 0)
			memcpy(more, l->list, l->n * sizeof(*more));
		l->list = more;
	}
	l->list[l->n++] = (struct secret_text){ arena_strndup(l->c->arena, text, len), len, shown };
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* As it is written, and what that means in a URL. */
static void add_both(struct collection *l, const char *text, size_t len, const char *shown)
{
	struct buf plain = BUF_INIT;

	add(l, text, len, shown);
	if (memchr(text, '%', len) == NULL)
		return;
	for (size_t i = 0; i < len; i++)
		if (text[i] == '%' && i + 2 < len && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
			buf_addc(&plain, (char)(hex(text[i + 1]) << 4 | hex(text[i + 2])));
			i += 2;
		} else {
			buf_addc(&plain, text[i]);
		}
	add(l, plain.p, plain.len, shown);
	explicit_bzero(plain.p, plain.len);
	buf_fini(&plain);
}

/* Of `Bearer abc` and `ops:abc` the last part is what matters. */
static void add_literal(struct collection *l, const char *text, size_t len)
{
	const char *part = memrchr(text, ' ', len);

	if (part == NULL)
		part = memchr(text, ':', len);
	add_both(l, text, len, "•••");
	if (part != NULL)
		add_both(l, part + 1, (size_t)(text + len - part - 1), "•••");
}

static void add_scalar(struct collection *l, const struct rule *r, const struct node *n, bool secret)
{
	struct fault part = { 0, 0, NULL };
	const char *p = n->text, *end;

	while ((p = strstr(p, "${")) != NULL && (end = strchr(p, '}')) != NULL) {
		char *reference = arena_strndup(l->c->arena, p, (size_t)(end + 1 - p));

		if (p == n->text || p[-1] != '$') {
			const char *text = text_resolved(l->c, rule_of("secret"), n, reference);

			if (strcmp(text, reference) != 0)
				add_both(l, text, strlen(text), reference);
		}
		p = end + 1;
	}
	if ((secret || r->kind == KIND_SECRET) && !reference_in(n->text))
		add_literal(l, n->text, n->len);
	while (r->kind == KIND_URL && url_secret(n->text, &part)) {
		add_literal(l, n->text + part.from, part.len);
		part.from += part.len;
	}
}

/* secret: the texts below may be secrets, by their keys. */
static void collect(struct collection *l, const struct rule *r, const struct node *n, bool secret)
{
	r = r != NULL ? rule_shape(r, n) : NULL;
	if (r != NULL && n->kind == NODE_MAP)
		r = rule_select(r, n, &l->c->kept->types);
	if (r == NULL)
		return;
	if (n->kind == NODE_SCALAR)
		add_scalar(l, r, n, secret);
	for (unsigned i = 0; n->kind == NODE_LIST && r->items != NULL && i < n->n; i++)
		collect(l, r->items, n->items[i], secret);
	for (unsigned i = 0; n->kind == NODE_MAP && i < n->n; i++) {
		const struct property *p = rule_property(r, n->entries[i].key->text);

		collect(l, p != NULL ? p->rule : r->others, n->entries[i].value, p != NULL ? p->rule->secret : secret && sounds_secret(n->entries[i].key->text));
	}
}

static int longest_first(const void *x, const void *y)
{
	const struct secret_text *a = x, *b = y;

	return a->len != b->len ? (a->len > b->len ? -1 : 1) : strcmp(a->text, b->text);
}

const struct secret_text *secrets_told(struct compiler *c, const struct rule *r, const struct node *n, unsigned *count)
{
	struct collection l = { .c = c };

	collect(&l, r, n, false);
	if (l.n > 1)
		qsort(l.list, l.n, sizeof(*l.list), longest_first);
	*count = l.n;
	return l.list;
}

bool destination_hides(const struct destination *d, const char *words, size_t n, struct buf *out)
{
	size_t done = 0, before = out->len;
	bool found = false;

	for (size_t i = 0; i < n && d->nsecrets > 0;) {
		const struct secret_text *s = NULL;

		for (unsigned k = 0; k < d->nsecrets && s == NULL; k++)
			if (d->secrets[k].len <= n - i && words[i] == d->secrets[k].text[0] && memcmp(words + i, d->secrets[k].text, d->secrets[k].len) == 0)
				s = &d->secrets[k];
		if (s == NULL) {
			i++;
			continue;
		}
		buf_add(out, words + done, i - done);
		buf_adds(out, s->shown);
		done = i += s->len;
		found = true;
	}
	if (found)
		buf_add(out, words + done, n - done);
	else
		out->len = before;
	return found;
}
