/* trees_alike.h - two readings of one text: the same tree, to the last column? For test_plain.c and fuzz_yaml.c. */
#ifndef TREES_ALIKE_H
#define TREES_ALIKE_H

#include "spec/diag.h"
#include "spec/tree_build.h"
#include "base/arena.h"

#include <stdio.h>
#include <string.h>

static bool trees_differ(const struct node *a, const struct node *b)
{
	const struct node *first = NULL;

	if (a->kind != b->kind || a->quoted != b->quoted || a->end_line != b->end_line || a->end_column != b->end_column || a->at.line != b->at.line ||
		a->at.column != b->at.column || a->at.length != b->at.length || (a->kind != NODE_SCALAR && a->n != b->n) ||
		(a->kind == NODE_SCALAR && (a->len != b->len || memcmp(a->text, b->text, a->len + 1) != 0)))
		first = a;
	for (unsigned i = 0; first == NULL && a->kind == NODE_LIST && i < a->n; i++)
		if (trees_differ(a->items[i], b->items[i]))
			return true;
	for (unsigned i = 0; first == NULL && a->kind == NODE_MAP && i < a->n; i++)
		if (trees_differ(a->entries[i].key, b->entries[i].key) || trees_differ(a->entries[i].value, b->entries[i].value))
			return true;
	if (first != NULL)
		fprintf(stderr, "plain: %s %u:%u+%u to %u:%u; libyaml: %s %u:%u+%u to %u:%u\n", node_kind_name(a), a->at.line, a->at.column, a->at.length,
			a->end_line, a->end_column, node_kind_name(b), b->at.line, b->at.column, b->at.length, b->end_line, b->end_column);
	return first != NULL;
}

/* 1: both read it, and alike. 0: it was left to libyaml. -1: they differ. What tree_read() refuses by its bytes is asked of neither. */
static int read_twice(const char *text, size_t len)
{
	struct arena *arena = arena_new();
	struct diag *diag = diag_new();
	struct source *s = source_new(arena, "text", text, len, 0);
	struct node *quick = NULL, *slow;
	int alike = 0;

	if (tree_read(arena, s, diag) != NULL && plain_read(arena, s, &quick)) {
		slow = yaml_read(arena, s, diag);
		alike = quick != NULL && slow != NULL && diag_errors(diag) == 0 && !trees_differ(quick, slow) ? 1 : -1;
	}
	diag_free(diag);
	arena_free(arena);
	return alike;
}

#endif
