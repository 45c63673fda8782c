/* check.h - what schema_check.c and scalar_check.c share; nobody else includes it. */
#ifndef SLUICE_SPEC_CHECK_H
#define SLUICE_SPEC_CHECK_H

#include "base/arena.h"
#include "spec/diag.h"
#include "spec/rule.h"
#include "spec/tree.h"

/* One step of the way from the root to the node that is being checked. */
struct frame {
	struct frame *up;
	const struct rule *rule;
	const struct node *node;
	const char *key;           /* of a mapping's member */
	const struct mark *key_at;
	unsigned index;            /* of a list's */
	bool secret;               /* its text, or its members' texts, may be secrets */
};

struct check {
	struct arena *arena;
	struct diag *diag;
	const struct schema_types *types;
	const char *what;
	const struct frame *root;
	bool strict;               /* what a partial node lacks counts */
};

void check_node(struct check *c, const struct rule *r, struct frame *f, const struct node *n);
void check_scalar(struct check *c, const struct rule *r, const struct frame *f, const struct node *n);
/* "batch.messages" of stream "copy", in words; lives with the check's arena or its problems. */
const char *frame_name(struct check *c, const struct frame *f);
/* Never show this scalar's text. */
void check_hide(const struct node *n);
/* A secret is written out here: its source is told, for whoever looks at who may read that. */
void check_literal(struct check *c, const struct frame *f, const struct node *n);

#endif
