/* tree_build.h - a tree put together from what is read, in the order it is read. For yaml.c and plain.c.
 *
 * Both readers say the same of the same text; what is counted, bounded and refused (depth, values, aliases, keys given twice) is decided here,
 * once. After `stop` nothing more needs to be read. */
#ifndef SLUICE_SPEC_TREE_BUILD_H
#define SLUICE_SPEC_TREE_BUILD_H

#include "base/map.h"
#include "spec/tree.h"

struct anchor;

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

/* Lines that were taken away because they are no YAML, and told: what was put in their place (column 0: nothing) is no value, and a mapping or list
 * around them that is indented like them, or nearly, may lack something. */
struct lost { unsigned line, column, end_line, indent; bool more; /* further keys of the mapping may have stood on the line */ };

struct build {
	struct arena *arena;
	struct source *source;
	struct diag *diag;
	struct level stack[TREE_DEPTH_MAX];
	unsigned depth, flow;
	struct map anchors;   /* name -> struct anchor */
	size_t nodes, aliased;
	struct node *root;    /* NULL: nothing was read */
	bool stop;
	const struct lost *lost;
	unsigned nlost;
};

/* Where a thing begins and ends; the mark underlines it as far as it stands on one line. */
struct span { unsigned line, column, end_line, end_column; };

void build_init(struct build *b, struct arena *a, struct source *s, struct diag *d);
void build_fini(struct build *b);
struct mark build_mark(const struct build *b, const struct span *at);

/* Texts are copied. anchor and tag may be NULL. */
struct node *build_scalar(struct build *b, const struct span *at, const char *text, size_t len, bool quoted, const char *anchor, const char *tag);
void build_alias(struct build *b, const struct span *at, const char *name);
void build_begin(struct build *b, enum node_kind kind, bool flow, const struct span *at, const char *anchor, const char *tag);
/* Of the innermost list or mapping; only the end of the span counts. */
void build_end(struct build *b, const struct span *at);

/* plain.c: the text as far as it is written in the plain way that nearly all of a large specification is. False: it is not, or something is
 * wrong with it, and nothing was told; what it left in the arena is of no use. The text has passed yaml.c's look at its bytes. */
bool plain_read(struct arena *a, struct source *s, struct node **root);

/* yaml.c: the same text through libyaml, all that is wrong told. NULL: it holds nothing. Where reading
 * ended before the text did, the root is partial, and so is what was read last at each depth: it may not be what was meant. */
struct node *yaml_read(struct arena *a, struct source *s, struct diag *d);

#endif
