/* source.h - the text a node or a problem came from, and places in it.
 *
 * A source is borrowed by every node that points into it and lives in the arena of the tree. The list of problems must outlive trees (a
 * specification that failed is gone when its problems are printed), so it makes itself a copy, the twin. Lines and columns count
 * from 1; columns count characters, as editors do. */
#ifndef SLUICE_SPEC_SOURCE_H
#define SLUICE_SPEC_SOURCE_H

#include <stddef.h>

struct arena;

/* A run of text that must never be shown (a literal secret): from line:column up to, not including, end_line:end_column. */
struct hidden { unsigned line, column, end_line, end_column; struct hidden *next; };

struct node;

struct source {
	const char *name;      /* as the user wrote or would write it: relative to where the program was started */
	const char *text;      /* followed by a NUL that len does not count */
	size_t len;
	unsigned order;        /* files are reported in the order they were read */
	struct arena *arena;
	struct hidden *hidden;
	const struct node *literal; /* the first secret that is written out, or NULL; kept by schema_check() */
	const char *literal_name;  /* "auth.bearer" of channel "in" */
	unsigned literals;
	struct source *twin;   /* the copy of the list of problems number twin_serial */
	unsigned long twin_serial;
	unsigned seen_line;    /* where source_line() was last, so that problems told in order cost one pass */
	size_t seen_offset;
	unsigned ended_line;   /* the line whose end source_line() looked for last: a file may be one line, with a problem at each of its bytes */
	size_t ended_offset;
	size_t walked;         /* bytes looked at for places inside scalars (inside.c) */
};

struct mark {
	struct source *source; /* NULL: the problem is in no file */
	unsigned line, column; /* 0: the file as a whole */
	unsigned length;       /* characters to underline; 0 is shown as 1 */
};

/* Text is copied into the arena. */
struct source *source_new(struct arena *a, const char *name, const char *text, size_t len, unsigned order);
/* The copy of s that belongs to the list of problems with this serial number; made on first use. */
struct source *source_twin(struct source *s, struct arena *a, unsigned long serial);
/* Show `•••` instead of this run from now on, in whatever problem quotes its line. */
void source_hide(struct source *s, unsigned line, unsigned column, unsigned end_line, unsigned end_column);
/* The bytes of a line without its line break; NULL when there is no such line. */
const char *source_line(struct source *s, unsigned line, size_t *len);

#endif
