/* tree_sound.c - what is left of a tree without its mistakes, for checks that stand on what is sound.
 *
 * The list of problems says what is wrong, by place: nothing has to be judged again. A value that an error stands at or in is taken away, a
 * key that one stands at with its value, and every list and mapping above is marked partial. */
#include "spec/diag_list.h"
#include "spec/tree.h"

#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct sieve {
	struct arena *arena;
	const struct diag *diag;
	struct mark *errors;   /* sorted */
	unsigned n;
};

static int compare(const struct mark *a, const struct mark *b)
{
	if (a->source != b->source)
		return (uintptr_t)a->source < (uintptr_t)b->source ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->column < b->column ? -1 : a->column > b->column;
}

static int by_place(const void *a, const void *b)
{
	return compare(a, b);
}

/* The first error at or behind a place of a tree; NULL: none in its file. */
static const struct mark *next_error(const struct sieve *s, const struct mark *at)
{
	struct mark place = *at;
	unsigned low = 0, high = s->n;

	if (at->source == NULL || at->source->twin_serial != s->diag->serial)
		return NULL;
	place.source = at->source->twin;
	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (compare(&s->errors[middle], &place) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->n && s->errors[low].source == place.source ? &s->errors[low] : NULL;
}

static bool error_at(const struct sieve *s, const struct mark *at)
{
	const struct mark *e = next_error(s, at);

	return e != NULL && e->line == at->line && e->column == at->column;
}

static bool error_in(const struct sieve *s, const struct node *n)
{
	const struct mark *e = next_error(s, &n->at);

	return e != NULL && (e->line < n->end_line || (e->line == n->end_line && e->column < n->end_column) ||
		(e->line == n->at.line && e->column == n->at.column));
}

static struct node *sift(struct sieve *s, struct node *n);

static struct node *sift_map(struct sieve *s, struct node *n)
{
	struct entry *entries = arena_alloc(s->arena, (n->n + 1) * sizeof(*entries));
	bool changed = n->partial;
	struct node *copy;
	unsigned kept = 0;

	for (unsigned i = 0; i < n->n; i++) {
		struct node *value = error_at(s, &n->entries[i].key->at) ? NULL : sift(s, n->entries[i].value);

		changed = changed || value != n->entries[i].value;
		if (value != NULL)
			entries[kept++] = (struct entry){ n->entries[i].key, value };
	}
	if (!changed)
		return n;
	copy = arena_alloc(s->arena, sizeof(*copy));
	*copy = *n;
	copy->partial = true;
	copy->n = kept;
	copy->entries = entries;
	return copy;
}

static struct node *sift_list(struct sieve *s, struct node *n)
{
	struct node **items = arena_alloc(s->arena, (n->n + 1) * sizeof(struct node *)), *copy;
	bool changed = n->partial;
	unsigned kept = 0;

	for (unsigned i = 0; i < n->n; i++) {
		struct node *item = sift(s, n->items[i]);

		changed = changed || item != n->items[i];
		if (item != NULL)
			items[kept++] = item;
	}
	if (!changed)
		return n;
	copy = arena_alloc(s->arena, sizeof(*copy));
	*copy = *n;
	copy->partial = true;
	copy->n = kept;
	copy->items = items;
	return copy;
}

static struct node *sift(struct sieve *s, struct node *n)
{
	if (n->kind == NODE_SCALAR)
		return n->partial || error_in(s, n) ? NULL : n;
	/* In a block of lines a mapping begins where its first key does: then the error is taken for that key's. */
	if (error_at(s, &n->at) && !(n->kind == NODE_MAP && n->n > 0 && n->entries[0].key->at.line == n->at.line && n->entries[0].key->at.column == n->at.column))
		return NULL;
	return n->kind == NODE_MAP ? sift_map(s, n) : sift_list(s, n);
}

struct node *tree_without_errors(struct arena *a, struct node *root, const struct diag *d)
{
	struct sieve s = { .arena = a, .diag = d };

	if (d->untold > 0)
		return NULL;
	s.errors = arena_alloc(a, (d->n + 1) * sizeof(*s.errors));
	for (unsigned i = 0; i < d->n; i++)
		if (code_is_error(d->items[i]->code) && d->items[i]->at.source != NULL)
			s.errors[s.n++] = d->items[i]->at;
	if (s.n > 0)
		qsort(s.errors, s.n, sizeof(*s.errors), by_place);
	return sift(&s, root);
}
