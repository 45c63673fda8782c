/* Any bytes: read as YAML; what was read has sane places, the quick way says what libyaml says, and all problems can be printed both ways. */
#include "spec/diag.h"
#include "spec/tree.h"
#include "../unit/trees_alike.h"
#include "base/arena.h"
#include "base/buf.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

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
	if (root != NULL && read_twice((const char *)bytes, size) < 0)
		abort();
	diag_print(diag, &out, true);
	diag_json(diag, &out);
	buf_fini(&out);
	diag_free(diag);
	arena_free(arena);
	return 0;
}
