/* Any bytes as a body: reading ends, each element lies behind the one before and inside the body, faults stay, and a body that
 * was read to its end is, element by element, what its elements are alone. The first byte chooses path and pad. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "message/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) do { if (!(x)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = { NULL, NULL, "a", "a.b" };
	static struct index ix, single;
	struct body b;
	struct message m, alone;
	const char *stop;

	if (size == 0)
		return 0;
	if (!ix.slices) {
		index_init(&ix);
		index_init(&single);
	}
	size_t n = size - 1;
	char *p = malloc(n + MESSAGE_PAD);
	memcpy(p, data + 1, n);
	memset(p + n, data[0], MESSAGE_PAD);
	body_open(&b, p, n, paths[data[0] & 3]);
	const char *last = p;
	for (unsigned i = 0;; i++) {
		enum body_step step = body_next(&b, &ix, &m);
		if (step == BODY_END) {
			MUST(body_next(&b, &ix, &m) == BODY_END);
			break;
		}
		if (step == BODY_FAULT) {
			MUST(b.position <= n && b.reason && body_next(&b, &ix, &m) == BODY_FAULT);
			MUST(b.fault != JSON_OK && !json_fault_is_alone(b.fault));
			break;
		}
		MUST(b.index == i && b.item >= last && b.item_len > 0 && b.item + b.item_len <= p + n);
		last = b.item + b.item_len;
		enum json_fault fault = message_index_scalar(&single, b.item, b.item + b.item_len, &alone, &stop);
		MUST(fault == b.fault && stop == last && (fault == JSON_OK) == (step == BODY_MESSAGE) && (b.reason == NULL) == (fault == JSON_OK));
		if (fault == JSON_OK)
			MUST(m.bytes == b.item && m.len == b.item_len && m.n == alone.n && memcmp(m.slices, alone.slices, m.n * sizeof(*m.slices)) == 0);
	}
	free(p);
	return 0;
}
