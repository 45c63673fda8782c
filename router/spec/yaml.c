/* yaml.c - YAML text -> tree, through libyaml's events. The only file that knows libyaml.
 *
 * Everything hostile stops here. libyaml 0.2.5 is quadratic in open brackets and in %TAG directives, lets aliases stand for
 * billions of nodes, and accepts duplicate keys and second documents. So: %TAG is refused before libyaml sees it; depth is counted on
 * events, which libyaml hands out as it scans, so that reading stops after 64 levels and not after a megabyte of them; every anchor knows
 * how many nodes it stands for, aliases included, and what all aliases add is bounded. */
#include "spec/tree.h"

#include "base/arena.h"
#include "base/map.h"
#include "base/utf8.h"
#include "spec/diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define FEW_KEYS 8 /* compared one by one before a mapping gets a hash table */

struct anchor {
	struct node *node;
	size_t nodes; /* that it stands for; 0 while it is being read */
};

/* A list or mapping that is being read. */
struct level {
	struct node *node;
	struct anchor *anchor;
	struct node *key;     /* mapping: the key whose value comes next */
	bool skip;            /* that value is read, but not kept: its key was refused */
	bool flow;
	struct map keys;      /* text -> key node, of a mapping with more than a few keys */
	unsigned cap;
	size_t before;        /* nodes read and aliased before it began */
};

struct reader {
	struct arena *arena;
	struct source *source;
	struct diag *diag;
	struct level stack[TREE_DEPTH_MAX];
	unsigned depth, flow;
	struct map anchors;   /* name -> struct anchor */
	size_t nodes, aliased;
	struct node *root;
	unsigned documents;
	bool ended;           /* by a line `...` */
	bool stop;
};

static struct mark mark_of(const struct reader *r, const yaml_mark_t *from, const yaml_mark_t *to)
{
	struct mark at = { r->source, (unsigned)from->line + 1, (unsigned)from->column + 1, 1 };

	if (to != NULL && to->line == from->line && to->column > from->column)
		at.length = (unsigned)(to->column - from->column);
	return at;
}

static struct node *node_new(struct reader *r, enum node_kind kind, const yaml_event_t *e)
{
	struct node *n = arena_alloc(r->arena, sizeof(*n));

	n->kind = kind;
	n->at = mark_of(r, &e->start_mark, &e->end_mark);
	n->end_line = (unsigned)e->end_mark.line + 1;
	n->end_column = (unsigned)e->end_mark.column + 1;
	if (++r->nodes > TREE_NODES_MAX) {
		diag_add(r->diag, DIAG_TOO_BIG, &n->at, "the file holds more than %d values", TREE_NODES_MAX);
		r->stop = true;
	}
	return n;
}

static struct anchor *anchor_new(struct reader *r, const yaml_char_t *name, struct node *n)
{
	struct anchor *a;
	char *key;

	if (name == NULL)
		return NULL;
	key = arena_strdup(r->arena, (const char *)name);
	a = arena_alloc(r->arena, sizeof(*a));
	a->node = n;
	map_put(&r->anchors, key, strlen(key), a); /* a name may be given anew: the latest counts */
	return a;
}

/* ---- building --------------------------------------------------------------------------------------------------------- */

/* Room for one more child; the old array stays in the arena, which doubling keeps under twice the need. */
static void *grown(struct reader *r, struct level *level, void *old, size_t each)
{
	void *p;

	if (level->node->n < level->cap)
		return old;
	level->cap = level->cap ? 2 * level->cap : 4;
	p = arena_alloc(r->arena, level->cap * each);
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
			map_put(&level->keys, map->entries[i].key->text, map->entries[i].key->len, map->entries[i].key);
	return map_get(&level->keys, key->text, key->len);
}

static void take_key(struct reader *r, struct level *level, struct node *key)
{
	const struct node *first;
	struct problem *p;

	level->key = key;
	level->skip = true;
	if (key->kind != NODE_SCALAR || node_is_null(key)) {
		diag_add(r->diag, DIAG_BAD_KEY, &key->at, "a key must be a text, not %s", node_kind_name(key));
		return;
	}
	if (!key->quoted && strcmp(key->text, "<<") == 0) {
		p = diag_add(r->diag, DIAG_MERGE_KEY, &key->at, "merge keys (`<<`) are not supported");
		problem_note(p, "aliases of whole values are: retry: *patient");
		return;
	}
	first = key_known(level, key);
	if (first != NULL) {
		p = diag_add(r->diag, DIAG_DUPLICATE_KEY, &key->at, "key %s is given twice", diag_quote(r->diag, key->text, key->len));
		problem_second(p, &first->at, "first given here");
		return;
	}
	level->skip = false;
}

/* Hang a node where it belongs: as the root, an item, a key or the value of the key before. */
static void attach(struct reader *r, struct node *n)
{
	struct level *level = r->depth > 0 ? &r->stack[r->depth - 1] : NULL;
	struct node *parent;

	if (level == NULL) {
		r->root = n;
		return;
	}
	parent = level->node;
	if (parent->kind == NODE_LIST) {
		parent->items = grown(r, level, parent->items, sizeof(struct node *));
		parent->items[parent->n++] = n;
		return;
	}
	if (level->key == NULL) {
		take_key(r, level, n);
		return;
	}
	if (!level->skip) {
		parent->entries = grown(r, level, parent->entries, sizeof(struct entry));
		parent->entries[parent->n++] = (struct entry){ level->key, n };
		if (level->keys.n > 0)
			map_put(&level->keys, level->key->text, level->key->len, level->key);
	}
	level->key = NULL;
}

/* The tags of YAML's core schema are understood; whether they fit is for the schema to say. */
static void check_tag(struct reader *r, struct node *n, const yaml_char_t *tag)
{
	static const char core[] = "tag:yaml.org,2002:";
	static const char *const known[] = { "int", "float", "bool", "null", "map", "seq" };
	const char *name = (const char *)tag;

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
	problem_note(diag_add(r->diag, DIAG_TAG, &n->at, "unknown tag %s", diag_quote(r->diag, (const char *)tag, strlen((const char *)tag))),
		"a text that begins with `!` needs quotes");
}

static void take_scalar(struct reader *r, const yaml_event_t *e)
{
	struct node *n = node_new(r, NODE_SCALAR, e);
	struct anchor *a;

	n->text = arena_strndup(r->arena, (const char *)e->data.scalar.value, e->data.scalar.length);
	n->len = e->data.scalar.length;
	n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	check_tag(r, n, e->data.scalar.tag);
	if (memchr(n->text, '\0', n->len) != NULL) {
		diag_add(r->diag, DIAG_CONTROL, &n->at, "the text holds a NUL character");
		n->len = strlen(n->text);
	}
	attach(r, n);
	a = anchor_new(r, e->data.scalar.anchor, n);
	if (a != NULL)
		a->nodes = 1;
}

static void begin(struct reader *r, enum node_kind kind, const yaml_event_t *e, const yaml_char_t *anchor, const yaml_char_t *tag, bool flow)
{
	struct node *n = node_new(r, kind, e);
	struct level *level;

	check_tag(r, n, tag);
	if (r->depth == TREE_DEPTH_MAX || (flow && r->flow == TREE_FLOW_MAX)) {
		diag_add(r->diag, DIAG_TOO_DEEP, &n->at, "nested more than %d levels deep", flow ? TREE_FLOW_MAX : TREE_DEPTH_MAX);
		r->stop = true;
		return;
	}
	attach(r, n);
	level = &r->stack[r->depth++];
	*level = (struct level){ .node = n, .flow = flow, .before = r->nodes + r->aliased - 1 };
	level->anchor = anchor_new(r, anchor, n);
	map_init(&level->keys);
	r->flow += flow;
}

static void end(struct reader *r, const yaml_event_t *e)
{
	struct level *level = &r->stack[--r->depth];

	level->node->end_line = (unsigned)e->end_mark.line + 1;
	level->node->end_column = (unsigned)e->end_mark.column + 1;
	if (level->anchor != NULL)
		level->anchor->nodes = r->nodes + r->aliased - level->before;
	r->flow -= level->flow;
	map_fini(&level->keys);
}

static void take_alias(struct reader *r, const yaml_event_t *e)
{
	const char *name = (const char *)e->data.alias.anchor;
	struct mark at = mark_of(r, &e->start_mark, &e->end_mark);
	const struct anchor *a = map_gets(&r->anchors, name);
	struct node *n;

	if (a == NULL) {
		problem_note(diag_add(r->diag, DIAG_ALIAS_UNKNOWN, &at, "no anchor &%s stands before this alias", name),
			"a text that begins with `*` needs quotes");
	} else if (a->nodes == 0) {
		problem_second(diag_add(r->diag, DIAG_ALIAS_LOOP, &at, "alias *%s stands inside the value it stands for", name),
			&a->node->at, "which begins here");
	} else if (r->aliased + a->nodes > TREE_ALIASED_MAX) {
		diag_add(r->diag, DIAG_ALIAS_BOMB, &at, "the aliases of this file stand for more than %d values", TREE_ALIASED_MAX);
		r->stop = true;
	} else {
		r->aliased += a->nodes;
		attach(r, a->node);
		return;
	}
	n = node_new(r, NODE_SCALAR, e);
	n->text = "";
	n->quoted = true;
	attach(r, n);
}

/* ---- before and after libyaml ------------------------------------------------------------------------------------------- */

/* What libyaml would not refuse, or not in time, or not in words. */
static void check_bytes(struct reader *r)
{
	const char *p = r->source->text, *end = p + r->source->len;
	struct mark at = { r->source, 1, 1, 1 };

	while (p < end) {
		unsigned char c = (unsigned char)*p;
		bool ok;
		size_t n;

		if (at.column == 1 && c == '%' && strncmp(p, "%TAG", 4) == 0) {
			at.length = 4;
			diag_add(r->diag, DIAG_TAG, &at, "%%TAG directives are not supported");
			return;
		}
		n = utf8_step(p, (size_t)(end - p), &ok);
		if (!ok) {
			diag_add(r->diag, DIAG_UTF8, &at, "byte 0x%02x is not UTF-8", c);
			return;
		}
		if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f || (c == 0xc2 && (unsigned char)p[1] < 0xa0 && (unsigned char)p[1] != 0x85)) {
			diag_add(r->diag, DIAG_CONTROL, &at, "control character U+%04X", c == 0xc2 ? (unsigned char)p[1] : c);
			return;
		}
		if (c == '\n' || (c == '\r' && p[1] != '\n')) {
			at.line++;
			at.column = 1;
		} else {
			at.column++;
		}
		p += n;
	}
}

static const char *advice(const char *problem, char c)
{
	if (c == '\t')
		return "a tab can't indent: use blanks";
	if (strstr(problem, "cannot start any token") != NULL)
		return "a text that begins with this character needs quotes";
	if (strstr(problem, "mapping values are not allowed") != NULL)
		return "a colon and a blank make a key: put a text that holds them in quotes, and begin a new key on a line of its own";
	if (strstr(problem, "expected key") != NULL || strstr(problem, "'-' indicator") != NULL)
		return "this line is not indented like its neighbours, or the line above lacks its `:`";
	if (strstr(problem, "could not find expected ':'") != NULL)
		return "the line has no `: ` between a key and its value";
	return NULL;
}

static void tell_syntax(struct reader *r, const yaml_parser_t *y)
{
	struct mark at = mark_of(r, &y->problem_mark, NULL);
	const char *problem = y->problem ? y->problem : "unreadable", *line, *note = NULL;
	struct problem *p;
	size_t n;

	if (r->ended) {
		diag_add(r->diag, DIAG_SECOND_DOCUMENT, &at, "`...` has ended the document above; a file holds one");
		return;
	}
	p = diag_add(r->diag, DIAG_SYNTAX, &at, "not YAML: %s", problem);
	line = source_line(r->source, at.line, &n);
	if (line != NULL) {
		unsigned column = 1;
		size_t i = 0;

		for (; i < n && column < at.column; column++)
			do
				i++;
			while (i < n && ((unsigned char)line[i] & 0xc0) == 0x80);
		note = advice(problem, i < n ? line[i] : '\0');
	}
	if (note != NULL)
		problem_note(p, "%s", note);
	if (y->context != NULL && (y->context_mark.line != y->problem_mark.line || y->context_mark.column != y->problem_mark.column)) {
		struct mark context = mark_of(r, &y->context_mark, NULL);

		problem_second(p, &context, "%s that begins here", y->context);
	}
}

static void take_event(struct reader *r, const yaml_event_t *e)
{
	struct mark at = mark_of(r, &e->start_mark, NULL);

	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (++r->documents > 1) {
			diag_add(r->diag, DIAG_SECOND_DOCUMENT, &at, "a second document begins here; a file holds one");
			r->stop = true;
		}
		break;
	case YAML_DOCUMENT_END_EVENT:
		r->ended = !e->data.document_end.implicit;
		break;
	case YAML_SCALAR_EVENT:
		take_scalar(r, e);
		break;
	case YAML_ALIAS_EVENT:
		take_alias(r, e);
		break;
	case YAML_SEQUENCE_START_EVENT:
		begin(r, NODE_LIST, e, e->data.sequence_start.anchor, e->data.sequence_start.tag,
			e->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE);
		break;
	case YAML_MAPPING_START_EVENT:
		begin(r, NODE_MAP, e, e->data.mapping_start.anchor, e->data.mapping_start.tag,
			e->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE);
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		end(r, e);
		break;
	case YAML_STREAM_END_EVENT:
		r->stop = true;
		break;
	default:
		break;
	}
}

static void read_events(struct reader *r)
{
	yaml_parser_t y;

	if (!yaml_parser_initialize(&y)) {
		fputs("out of memory\n", stderr);
		abort();
	}
	yaml_parser_set_encoding(&y, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&y, (const unsigned char *)r->source->text, r->source->len);
	while (!r->stop) {
		yaml_event_t e;

		if (!yaml_parser_parse(&y, &e)) {
			tell_syntax(r, &y);
			break;
		}
		take_event(r, &e);
		yaml_event_delete(&e);
		if (diag_errors(r->diag) > DIAG_KEPT) /* nothing more would be shown */
			r->stop = true;
	}
	yaml_parser_delete(&y);
	while (r->depth > 0)
		map_fini(&r->stack[--r->depth].keys);
}

struct node *tree_read(struct arena *a, struct source *s, struct diag *d)
{
	struct reader *r = xcalloc(1, sizeof(*r));
	unsigned errors = diag_errors(d);
	struct node *root;

	r->arena = a;
	r->source = s;
	r->diag = d;
	map_init(&r->anchors);
	if (s->len > TREE_BYTES_MAX)
		diag_add(d, DIAG_TOO_BIG, &(struct mark){ .source = s }, "the file has %zu bytes; %u are allowed", s->len, TREE_BYTES_MAX);
	else
		check_bytes(r);
	if (diag_errors(d) == errors)
		read_events(r);
	root = r->root;
	if (root == NULL || node_is_null(root)) {
		root = arena_alloc(a, sizeof(*root));
		root->at = (struct mark){ s, 1, 1, 1 };
	}
	map_fini(&r->anchors);
	free(r);
	return diag_errors(d) == errors ? root : NULL;
}

struct node *tree_read_text(struct arena *a, const char *name, const char *text, size_t len, unsigned order, struct diag *d)
{
	/* The mark some editors put in front of UTF-8 is no part of the text. */
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	return tree_read(a, source_new(a, name, text, len, order), d);
}
