/* tree.h - a specification as it was written: mappings, lists and scalars, each of which knows its place.
 *
 * Scalars are text, nothing more: what "10" is depends on who asks (schema.h). `quoted` is kept because a quoted "true" is
 * no boolean. A tree is never changed once made; aliases make two parents share a node. All of it lives in the caller's arena.
 *
 * A tree with mistakes in it can still be looked at (tree_read_on): a key given twice stands in its mapping twice, and what could not be read is
 * marked `partial`, so that nobody takes for a second mistake what the first one hides. */
#ifndef SLUICE_SPEC_TREE_H
#define SLUICE_SPEC_TREE_H

#include "spec/source.h"

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct diag;
struct node;

enum node_kind { NODE_MAP, NODE_LIST, NODE_SCALAR };

struct entry { struct node *key, *value; };

struct node {
	enum node_kind kind;
	bool quoted;                   /* scalar: in quotes, or a block of text */
	bool partial;                  /* not all of it could be read (told): what it lacks is no mistake; of a scalar, nothing: its text is empty */
	unsigned n;                    /* entries or items */
	unsigned end_line, end_column; /* just behind it */
	struct mark at;
	union {
		struct { const char *text; size_t len; }; /* scalar; NUL-terminated, and without NUL inside */
		struct entry *entries;
		struct node **items;
	};
};

#define TREE_BYTES_MAX (8u << 20)
#define TREE_DEPTH_MAX 64
#define TREE_FLOW_MAX 32
#define TREE_NODES_MAX 1000000
#define TREE_ALIASED_MAX 100000

/* Read the one document of a source. NULL on any error (all told to `d`). An empty document gives an empty mapping. */
struct node *tree_read(struct arena *a, struct source *s, struct diag *d);
/* As tree_read, with the source made of a text (copied; a byte order mark is skipped). */
struct node *tree_read_text(struct arena *a, const char *name, const char *text, size_t len, unsigned order, struct diag *d);

/* As tree_read_text, for whoever goes on after mistakes: what could be read. NULL: nothing. */
struct node *tree_read_on(struct arena *a, const char *name, const char *text, size_t len, unsigned order, struct diag *d);
/* What is left of a tree without what errors of d stand at; a copy where anything was taken away, and partial there. NULL: nothing. */
struct node *tree_without_errors(struct arena *a, struct node *root, const struct diag *d);

/* A value of a mapping, NULL when it is not there (or map is NULL or no mapping); of a key given twice, the first. */
struct node *node_get(const struct node *map, const char *key);
const struct entry *node_entry(const struct node *map, const char *key);
bool node_is(const struct node *n, const char *text); /* a scalar with this text? */
/* Plain and empty, `~` or `null`. */
bool node_is_null(const struct node *n);
const char *node_kind_name(const struct node *n); /* "a mapping", "a list", "a single value", "nothing" */
/* inside.c: the place of len bytes of a scalar's text, `from` bytes into it, as far as they stand on one line; the whole scalar where the text does not
 * stand in the file. */
struct mark node_mark_inside(const struct node *scalar, size_t from, size_t len);
/* The file from where a node begins, or from just behind it, without blanks; empty where that is not known. */
const char *node_begins(const struct node *n);
const char *node_behind(const struct node *n);

#endif
