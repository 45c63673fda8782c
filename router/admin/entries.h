/* entries.h - what lies in buffers, told: for `sluice buffers`, of a running instance and of a store that lies still. */
#ifndef SLUICE_ADMIN_ENTRIES_H
#define SLUICE_ADMIN_ENTRIES_H

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct buffer_counts;
struct store;

/* {"name":…,"stream":…,"messages":n,…}: a line of a buffer; stream NULL: none has it. An enabled one sends it ("sent"). */
void entries_buffer(struct buf *out, const char *name, const char *stream, bool enabled, const struct buffer_counts *n);
/* A page: lines of entries, at least `most` of them if there are so many, and a last one: {"ok":true,"next":position}. Reads the disk. */
void entries_page(struct store *s, uint32_t buffer, uint64_t from, unsigned most, struct buf *out);

#endif
