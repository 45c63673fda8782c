/* tree_build.c - nodes get their parents; everything hostile that shows only in the structure stops here.
 *
 * Depth is counted as levels begin, so that reading stops after 64 levels and not after a megabyte of them; every anchor knows how many nodes
 * it stands for, aliases included, and what all aliases add is bounded; no mapping holds a key twice. */
#include "spec/tree_build.h"

#include "base/arena.h"
#include "spec/diag.h"

#include <string.h>

#define FEW_KEYS 8 /* compared one by one before a mapping gets a hash table */

struct anchor {
	struct node *node;
	size_t nodes; /* that it stands for; 0 while it is being read */
};

void build_init(struct build *b, struct arena *a, struct source *s, struct diag *d)
{
	*b = (struct build){ .arena = a, .source = s, .diag = d };
	map_init(&b->anchors);
}

void build_fini(struct build *b)
{
	while (b->depth > 0)
		map_fini(&b->stack[--b->depth].keys);
	map_fini(&b->anchors);
}

struct mark build_mark(const struct build *b, const struct span *at)
{
	struct mark m = { b->source, at->line, at->column, 1 };

	if (at->end_line == at->line && at->end_column > at->column)
		m.length = at->end_column - at->column;
	return m;
}

static struct node *node_new(struct build *b, enum node_kind kind, const struct span *at)
{
	struct node *n = arena_alloc(b->arena, sizeof(*n));

	n->kind = kind;
	n->at = build_mark(b, at);
	n->end_line = at->end_line;
	n->end_column = at->end_column;
	if (++b->nodes > TREE_NODES_MAX) {
		diag_add(b->diag, DIAG_TOO_BIG, &n->at, "the file holds more than %d values", TREE_NODES_MAX);
		b->stop = true;
	}
	return n;
}

static struct anchor *anchor_new(struct build *b, const char *name, struct node *n)
{
	struct anchor *a;
	char *key;

	if (name == NULL)
		return NULL;
	key = arena_strdup(b->arena, name);
	a = arena_alloc(b->arena, sizeof(*a));
	a->node = n;
	map_put(&b->anchors, key, strlen(key), a); /* a name may be given anew: the latest counts */
	return a;
}

/* Room for one more child; the old array stays in the arena, which doubling keeps under twice the need. */
static void *grown(struct build *b, struct level *level, void *old, size_t each)
{
	void *p;

	if (level->node->n < level->cap)
		return old;
	level->cap = level->cap ? 2 * level->cap : 4;
	p = arena_alloc(b->arena, level->cap * each);
	if (level->node->n > 0)
		memcpy(p, old, level->node->n * each);
	return p;
}

static const struct node *key_known(struct level *level, struct node *key)
{
	struct node *map = level->node;

	if (map->n < FEW_KEYS) {
		for (unsigned i = 0; i < map->n; i++)
			if (strcmp(map->entries[i].key->text, key->text) == 0)
				return map->entries[i].key;
		return NULL;
	}
	if (level->keys.n == 0)
		for (unsigned i = 0; i < map->n; i++)
			if (map_get(&level->keys, map->entries[i].key->text, map->entries[i].key->len) == NULL)
				map_put(&level->keys, map->entries[i].key->text, map->entries[i].key->len, map->entries[i].key);
	return map_get(&level->keys, key->text, key->len);
}

static void take_key(struct build *b, struct level *level, struct node *key)
{
	const struct node *first;
	struct problem *p;

	level->key = key;
	level->skip = true;
	if (key->partial) {
		level->node->partial = true;
		return;
	}
	if (key->kind != NODE_SCALAR || node_is_null(key)) {
		diag_add(b->diag, DIAG_BAD_KEY, &key->at, "a key must be a text, not %s", node_kind_name(key));
		level->node->partial = true;
		return;
	}
	if (!key->quoted && strcmp(key->text, "<<") == 0) {
		p = diag_add(b->diag, DIAG_MERGE_KEY, &key->at, "merge keys (`<<`) are not supported");
		problem_note(p, "aliases of whole values are: retry: *patient");
		level->node->partial = true;
		return;
	}
	first = key_known(level, key);
	if (first != NULL) {
		p = diag_add(b->diag, DIAG_DUPLICATE_KEY, &key->at, "key %s is given twice", diag_quote(b->diag, key->text, key->len));
		problem_second(p, &first->at, "first given here");
	}
	level->skip = false;
}

/* Hang a node where it belongs: as the root, an item, a key or the value of the key before. */
static void attach(struct build *b, struct node *n)
{
	struct level *level = b->depth > 0 ? &b->stack[b->depth - 1] : NULL;
	struct node *parent;

	if (level == NULL) {
		b->root = n;
		return;
	}
	parent = level->node;
	if (parent->kind == NODE_LIST) {
		parent->items = grown(b, level, parent->items, sizeof(struct node *));
		parent->items[parent->n++] = n;
		return;
	}
	if (level->key == NULL) {
		take_key(b, level, n);
		return;
	}
	if (!level->skip) {
		parent->entries = grown(b, level, parent->entries, sizeof(struct entry));
		parent->entries[parent->n++] = (struct entry){ level->key, n };
		if (level->keys.n > 0 && map_get(&level->keys, level->key->text, level->key->len) == NULL)
			map_put(&level->keys, level->key->text, level->key->len, level->key);
	}
	level->key = NULL;
}

/* Its text is not what was meant. */
static void scalar_is_lost(struct node *n)
{
	n->partial = n->quoted = true;
	n->text = "";
	n->len = 0;
}

/* The tags of YAML's core schema are understood; whether they fit is for the schema to say. */
static void check_tag(struct build *b, struct node *n, const char *tag)
{
	static const char core[] = "tag:yaml.org,2002:";
	static const char *const known[] = { "int", "float", "bool", "null", "map", "seq" };
	const char *name = tag;

	if (name == NULL)
		return;
	if (strcmp(name, "!") == 0) {
		n->quoted = n->kind == NODE_SCALAR;
		return;
	}
	if (strncmp(name, core, sizeof(core) - 1) == 0) {
		name += sizeof(core) - 1;
		if (strcmp(name, "str") == 0 && n->kind == NODE_SCALAR) {
			n->quoted = true;
			return;
		}
		for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
			if (strcmp(name, known[i]) == 0)
				return;
	}
	problem_note(diag_add(b->diag, DIAG_TAG, &n->at, "unknown tag %s", diag_quote(b->diag, tag, strlen(tag))),
		"a text that begins with `!` needs quotes");
	if (n->kind == NODE_SCALAR)
		scalar_is_lost(n);
}

struct node *build_scalar(struct build *b, const struct span *at, const char *text, size_t len, bool quoted, const char *anchor, const char *tag)
{
	struct node *n = node_new(b, NODE_SCALAR, at);
	struct anchor *a;

	n->text = arena_strndup(b->arena, text, len);
	n->len = len;
	n->quoted = quoted;
	check_tag(b, n, tag);
	for (unsigned i = 0; i < b->nlost; i++)
		if (b->lost[i].column > 0 && at->line == b->lost[i].line && at->column >= b->lost[i].column) {
			scalar_is_lost(n);
			if (b->lost[i].more && b->depth > 0)
				b->stack[b->depth - 1].node->partial = true;
		}
	if (memchr(n->text, '\0', n->len) != NULL) {
		diag_add(b->diag, DIAG_CONTROL, &n->at, "the text holds a NUL character");
		scalar_is_lost(n);
	}
	attach(b, n);
	a = anchor_new(b, anchor, n);
	if (a != NULL)
		a->nodes = 1;
	return n;
}

void build_begin(struct build *b, enum node_kind kind, bool flow, const struct span *at, const char *anchor, const char *tag)
{
	struct node *n = node_new(b, kind, at);
	struct level *level;

	check_tag(b, n, tag);
	if (b->depth == TREE_DEPTH_MAX || (flow && b->flow == TREE_FLOW_MAX)) {
		diag_add(b->diag, DIAG_TOO_DEEP, &n->at, "nested more than %d levels deep", flow ? TREE_FLOW_MAX : TREE_DEPTH_MAX);
		b->stop = true;
		return;
	}
	attach(b, n);
	level = &b->stack[b->depth++];
	*level = (struct level){ .node = n, .flow = flow, .before = b->nodes + b->aliased - 1 };
	level->anchor = anchor_new(b, anchor, n);
	map_init(&level->keys);
	b->flow += flow;
}

void build_end(struct build *b, const struct span *at)
{
	struct level *level = &b->stack[--b->depth];

	level->node->end_line = at->end_line;
	level->node->end_column = at->end_column;
	if (level->anchor != NULL)
		level->anchor->nodes = b->nodes + b->aliased - level->before;
	b->flow -= level->flow;
	for (unsigned i = 0; i < b->nlost; i++)
		if (b->lost[i].column == 0 && level->node->at.line <= b->lost[i].end_line + 1 && at->end_line + 1 >= b->lost[i].line &&
			level->node->at.column >= b->lost[i].indent)
			level->node->partial = true;
	map_fini(&level->keys);
}

void build_alias(struct build *b, const struct span *place, const char *name)
{
	struct mark at = build_mark(b, place);
	const struct anchor *a = map_gets(&b->anchors, name);
	struct node *n;

	if (a == NULL) {
		problem_note(diag_add(b->diag, DIAG_ALIAS_UNKNOWN, &at, "no anchor &%s stands before this alias", name),
			"a text that begins with `*` needs quotes");
	} else if (a->nodes == 0) {
		problem_second(diag_add(b->diag, DIAG_ALIAS_LOOP, &at, "alias *%s stands inside the value it stands for", name),
			&a->node->at, "which begins here");
	} else if (b->aliased + a->nodes > TREE_ALIASED_MAX) {
		diag_add(b->diag, DIAG_ALIAS_BOMB, &at, "the aliases of this file stand for more than %d values", TREE_ALIASED_MAX);
		b->stop = true;
	} else {
		b->aliased += a->nodes;
		attach(b, a->node);
		return;
	}
	n = node_new(b, NODE_SCALAR, place);
	scalar_is_lost(n);
	attach(b, n);
}
