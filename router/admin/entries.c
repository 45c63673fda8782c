/* entries.c - see entries.h. */
#include "admin/entries.h"

#include <stdbool.h>
#include <string.h>

#include "admin/letters.h"
#include "base/buf.h"
#include "message/message.h"
#include "store/store.h"

#define PAGE_BYTES (1u << 20)

struct page { struct buf *out; unsigned n, most; uint64_t next; };

static void one(struct page *p, const struct kept *k, unsigned i)
{
	struct entry e, source;

	chunk_entry(k->chunk, i, &e);
	buf_addf(p->out, "{\"position\":%llu,\"entry\":%u,\"id\":\"%llu\",\"ident\":", (unsigned long long)k->position, i,
		(unsigned long long)(e.id - e.row));
	buf_addjson(p->out, e.ident, e.ident_len);
	buf_adds(p->out, ",\"timestamp\":");
	time_us_write(p->out, e.time_us);
	if (e.rows > 1)
		buf_addf(p->out, ",\"row\":%u,\"rows\":%u", e.row, e.rows);
	if (k->rendering && chunk_source(k->chunk, i, k->source, &source))
		letters_bytes(p->out, "source", source.bytes, source.len);
	letters_bytes(p->out, "bytes", e.bytes, e.len);
	buf_adds(p->out, "}\n");
	p->n++;
}

static bool block(void *arg, const struct kept *k)
{
	struct page *p = arg;

	/* Whole blocks: the next page begins with the next. */
	if (p->n >= p->most || p->out->len >= PAGE_BYTES) {
		p->next = k->position;
		return false;
	}
	for (unsigned i = 0; k->chunk && i < k->n; i++)
		if (k->bits[i / 64] >> (i % 64) & 1)
			one(p, k, i);
	if (!k->chunk)
		buf_addf(p->out, "{\"position\":%llu,\"damaged\":true}\n", (unsigned long long)k->position);
	return true;
}

void entries_page(struct store *s, uint32_t buffer, uint64_t from, unsigned most, struct buf *out)
{
	struct page p = { .out = out, .most = most };

	store_each_kept(s, buffer, from, block, &p);
	buf_addf(out, "{\"ok\":true,\"next\":%llu}\n", (unsigned long long)p.next);
}
