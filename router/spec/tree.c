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

struct mark node_mark_inside(const struct node *scalar, size_t from, size_t len)
{
	struct mark at = scalar->at;
	unsigned before = 0, chars = 0, under = 0;

	for (size_t i = 0; i < scalar->len; i++) {
		if (((unsigned char)scalar->text[i] & 0xc0) == 0x80)
			continue;
		chars++;
		before += i < from;
		under += i >= from && i < from + len;
	}
	/* Only where the text stands in the file as it is, one character for one, can a part of it be pointed at. */
	if (scalar->end_line != at.line || at.length != chars + (scalar->quoted ? 2 : 0))
		return at;
	at.column += before + (scalar->quoted ? 1 : 0);
	at.length = under;
	return at;
}
