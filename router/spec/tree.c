/* tree.c - looking things up in a tree. Mappings are searched one by one: the long ones (devices) are walked, never asked. */
#include "spec/tree.h"

#include <string.h>

const struct entry *node_entry(const struct node *map, const char *key)
{
	if (map == NULL || map->kind != NODE_MAP)
		return NULL;
	for (unsigned i = 0; i < map->n; i++)
		if (node_is(map->entries[i].key, key))
			return &map->entries[i];
	return NULL;
}

struct node *node_get(const struct node *map, const char *key)
{
	const struct entry *e = node_entry(map, key);

	return e ? e->value : NULL;
}

bool node_is(const struct node *n, const char *text)
{
	return n != NULL && n->kind == NODE_SCALAR && strcmp(n->text, text) == 0;
}

bool node_is_null(const struct node *n)
{
	return n->kind == NODE_SCALAR && !n->quoted &&
	       (n->len == 0 || strcmp(n->text, "~") == 0 || strcmp(n->text, "null") == 0);
}

const char *node_kind_name(const struct node *n)
{
	switch (n->kind) {
	case NODE_MAP: return "a mapping";
	case NODE_LIST: return "a list";
	default: return node_is_null(n) ? "nothing" : "a single value";
	}
}
