/* Any bytes: read as YAML; what was read has sane places, the quick way says what libyaml says, and all problems can be printed both ways. */
#include "spec/diag.h"
#include "spec/tree.h"
#include "../unit/trees_alike.h"
#include "base/arena.h"
#include "base/buf.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Each character of a scalar has its place within it, and none stands before the one in front of it. */
static void places(const struct node *n, unsigned depth)
{
	struct mark before = n->at;

	for (unsigned i = 0; n->kind != NODE_SCALAR && depth < 20 && i < n->n && i < 50; i++) {
		places(n->kind == NODE_MAP ? n->entries[i].value : n->items[i], depth + 1);
		if (n->kind == NODE_MAP)
			places(n->entries[i].key, depth + 1);
	}
	for (size_t i = 0; n->kind == NODE_SCALAR && i < n->len && i < 300; i++) {
		struct mark at = node_mark_inside(n, i, 1 + i % 7);

		if (at.line < before.line || at.line > n->end_line || at.length == 0 || (at.line == before.line && at.column < before.column &&
			!(at.line == n->at.line && at.column == n->at.column)))
			abort();
		before = at;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct arena *arena = arena_new();
	struct diag *diag = diag_new();
	struct buf out = BUF_INIT;
	struct node *root = tree_read_text(arena, "fuzz.yaml", (const char *)bytes, size, 0, diag);

	if ((root == NULL) != (diag_errors(diag) > 0))
		abort();
	if (root != NULL && root->at.line == 0)
		abort();
	if (root != NULL)
		places(root, 0);
	if (root != NULL && read_twice((const char *)bytes, size) < 0)
		abort();
	diag_print(diag, &out, true);
	diag_json(diag, &out);
	buf_fini(&out);
	diag_free(diag);
	arena_free(arena);
	return 0;
}
