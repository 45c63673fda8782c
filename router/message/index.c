/* index.c - which build of the pass this machine runs, and the room it works in. */
#include "message/message.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/map.h"
#include "message/scan.h"

#define CAP_FIRST 64

_Static_assert((CAP_FIRST & (CAP_FIRST - 1)) == 0 && (MESSAGE_FIELDS_MAX & (MESSAGE_FIELDS_MAX - 1)) == 0, "the room doubles until it is all");

static void make_seen(struct index *ix)
{
	unsigned places = ix->cap * INDEX_SEEN_PER_SLICE;

	ix->seen = xcalloc(places, sizeof(*ix->seen));
	ix->shift = 32 - (unsigned)__builtin_ctz(places);
}

void index_init(struct index *ix)
{
	*ix = (struct index){ .cap = CAP_FIRST };
	for (unsigned i = 0; i < 3; i++)
		ix->secret[i] = hash_bytes(&i, sizeof(i)) | 1;
	ix->slices = xcalloc(CAP_FIRST, sizeof(*ix->slices));
	make_seen(ix);
	buf_init(&ix->text);
}

void index_fini(struct index *ix)
{
	free(ix->slices);
	free(ix->seen);
	buf_fini(&ix->text);
	*ix = (struct index){ 0 };
}

void index_grow(struct index *ix)
{
	ix->cap *= 2;
	ix->slices = xrealloc(ix->slices, ix->cap * sizeof(*ix->slices));
	free(ix->seen);
	make_seen(ix);
}

enum json_fault message_index(struct index *ix, const char *p, const char *end, struct message *m, const char **stop)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi"))
		return message_index_avx2(ix, p, end, m, stop);
	return message_index_sse2(ix, p, end, m, stop);
#else
	return message_index_scalar(ix, p, end, m, stop);
#endif
}

const char *json_fault_text(enum json_fault f)
{
	switch (f) {
	case JSON_OK: return "well-formed";
	case JSON_SYNTAX: return "not JSON";
	case JSON_UTF8: return "not UTF-8";
	case JSON_DEPTH: return "nested deeper than 64 levels";
	case JSON_TOO_MANY: return "more than 1024 fields";
	case JSON_DUPLICATE: return "a key stands twice";
	case JSON_NOT_OBJECT: return "not a JSON object";
	case JSON_KEY_LONG: return "a key longer than 65535 bytes";
	}
	return "unknown fault";
}
