/* Any bytes: up to the first line break a condition, behind it a message. What can be read prints as a condition that says the same of the
 * message and prints the same; every answer can be explained; problems can be told. */
#include "base/arena.h"
#include "base/buf.h"
#include "message/message.h"
#include "plan/where.h"
#include "spec/diag.h"
#include "spec/tree.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1795385003500000LL

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct where *compiled(struct arena *a, const char *text, size_t len, struct diag *d)
{
	struct source *s = source_new(a, "fuzz", text, len, 0);
	struct node n = { .kind = NODE_SCALAR, .end_line = 1, .at = { s, 1, 1, (unsigned)len }, .text = arena_strndup(a, text, len), .len = len };

	return where_compile(a, &n, d);
}

static void check(struct arena *a, const struct where *w, const struct message *m)
{
	struct buf once = BUF_INIT, twice = BUF_INIT, why = BUF_INIT;
	struct diag *d = diag_new();
	bool is = where_true(w, m, NOW);

	where_explain(w, m, NOW, &why);
	if ((strcmp(why.p, "it is true") == 0) != is)
		abort();
	where_print(w, &once);
	if (once.len <= WHERE_LENGTH_MAX) {
		const struct where *again = compiled(a, once.p, once.len, d);
		if (!again || where_true(again, m, NOW) != is)
			abort();
		where_print(again, &twice);
		if (strcmp(once.p, twice.p) != 0)
			abort();
	}
	diag_free(d);
	buf_fini(&once);
	buf_fini(&twice);
	buf_fini(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const char none[] = "{\"a\":1}";
	const uint8_t *line = memchr(bytes, '\n', size);
	size_t len = line ? (size_t)(line - bytes) : size, left = line ? size - len - 1 : sizeof(none) - 1;
	struct arena *a = arena_new();
	struct diag *d = diag_new();
	struct buf out = BUF_INIT;
	struct where *w;

	if (memchr(bytes, '\0', len) || !utf8_valid((const char *)bytes, len, NULL)) /* YAML lets neither through */
		goto done;
	w = compiled(a, (const char *)bytes, len, d);
	if ((w == NULL) != (diag_errors(d) > 0))
		abort();
	diag_print(d, &out, true);
	if (w) {
		struct index ix;
		struct message m;
		const char *stop;
		char *room = arena_alloc(a, left + MESSAGE_PAD);

		memcpy(room, line ? (const char *)line + 1 : none, left);
		index_init(&ix);
		if (message_index(&ix, room, room + left, &m, &stop) == JSON_OK)
			check(a, w, &m);
		index_fini(&ix);
	}
done:
	buf_fini(&out);
	diag_free(d);
	arena_free(a);
	return 0;
}
