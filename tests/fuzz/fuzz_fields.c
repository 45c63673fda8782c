/* Any bytes: up to the first line break what stands under `fields:`, behind it a message. What comes out is a message in which no name
 * stands twice, the same for the normal form of the fields, and its values are among those that went in. */
#include "base/arena.h"
#include "base/buf.h"
#include "message/message.h"
#include "plan/fields.h"
#include "spec/diag.h"
#include "spec/tree.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct fields *compiled(struct arena *a, const char *text, size_t len, struct diag *d)
{
	struct node *map = tree_read_text(a, "fuzz", text, len, 0, d);

	return map ? fields_compile(a, map, d) : NULL;
}

static void check(struct arena *a, const struct fields *f, const struct message *m, struct diag *d)
{
	struct buf out = BUF_INIT, printed = BUF_INIT, again = BUF_INIT;
	struct index ix;
	struct message made;
	const char *stop;

	fields_apply(f, m, &out);
	fields_print(f, &printed);
	f = compiled(a, printed.p, printed.len, d);
	if (!f)
		abort();
	fields_apply(f, m, &again);
	if (out.len != again.len || memcmp(out.p, again.p, out.len) != 0)
		abort();
	buf_reserve(&out, MESSAGE_PAD);
	index_init(&ix);
	enum json_fault fault = message_index(&ix, out.p, out.p + out.len, &made, &stop);
	if (fault != JSON_OK && fault != JSON_KEY_LONG)
		abort();
	if (fault == JSON_OK && (made.n > m->n || made.lines))
		abort();
	index_fini(&ix);
	buf_fini(&out);
	buf_fini(&printed);
	buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const uint8_t *line = memchr(bytes, '\n', size);
	struct arena *a = arena_new();
	struct diag *d = diag_new();
	struct fields *f = line ? compiled(a, (const char *)bytes, (size_t)(line - bytes), d) : NULL;

	if (f) {
		size_t left = size - (size_t)(line - bytes) - 1;
		char *room = arena_alloc(a, left + MESSAGE_PAD);
		struct index ix;
		struct message m;
		const char *stop;

		memcpy(room, line + 1, left);
		index_init(&ix);
		if (message_index(&ix, room, room + left, &m, &stop) == JSON_OK)
			check(a, f, &m, d);
		index_fini(&ix);
	}
	diag_free(d);
	arena_free(a);
	return 0;
}
