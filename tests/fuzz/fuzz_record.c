/* Any bytes as any row: nothing is read beyond them, and what is believed can be read entry by entry. The CRC is made right
 * first, or nothing but it would be tested. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/crc.h"
#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink;

static void touch(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sink += (unsigned char)p[i];
}

static void chunk(char *p, size_t n)
{
	struct chunk_head h;
	if (n >= 4)
		put_le32(p + n - 4, crc32c(0, p, n - 4));
	if (!chunk_decode(p, n, &h))
		return;
	for (unsigned i = 0; i < h.n; i++) {
		struct entry_row e = chunk_row(&h, i);
		touch(p + e.offset, e.len);
		touch(h.texts + e.text, (size_t)e.ident_len + e.address_len);
		if (chunk_index(&h, e.number) != (int)i)
			abort();
	}
	for (unsigned i = 0; i < h.nrefs; i++)
		sink += chunk_ref(&h, i).buffer;
}

static void keyed(char *p, size_t n)
{
	struct key k = key_dead(1, 2);
	struct dead_letter d;
	struct ref_row r;
	struct ledger l;
	struct last_row last;
	const void *q;
	int64_t made;
	size_t m;
	if (n < 4)
		return;
	put_le32(p + n - 4, crc32c(crc32c(0, k.p, k.n), p, n - 4));
	if (dead_decode(&k, p, n, &d, &made)) {
		touch(d.ident, strlen(d.ident));
		touch(d.reason, strlen(d.reason));
		touch(d.answer, strlen(d.answer));
		touch(d.peer, strlen(d.peer));
		touch(d.source, d.source_len);
		touch(d.bytes, d.len);
	}
	if (ref_decode(&k, p, n, &r) && bits_next(r.bits, r.total) != SPAN_ENTRIES_MAX)
		abort();
	if (ledger_decode(&k, p, n, &l))
		sink += (unsigned)l.floor;
	if (sealed_decode(&k, p, n, &q, &m))
		touch(q, m);
	k = key_last();
	put_le32(p + n - 4, crc32c(crc32c(0, k.p, k.n), p, n - 4));
	if (last_decode(p, n, &last))
		touch(last.boot_id, strlen(last.boot_id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1);
	if (size)
		memcpy(copy, data, size);
	chunk(copy, size);
	keyed(copy, size);
	free(copy);
	return 0;
}
