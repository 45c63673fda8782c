/* entries.h - what lies in buffers, told: for `sluice buffers`, of a running instance and of a store that lies still. */
#ifndef SLUICE_ADMIN_ENTRIES_H
#define SLUICE_ADMIN_ENTRIES_H

#include <stdint.h>

struct buf;
struct store;

/* A page: lines of entries, at least `most` of them if there are so many, and a last one: {"ok":true,"next":position}. Reads the disk. */
void entries_page(struct store *s, uint32_t buffer, uint64_t from, unsigned most, struct buf *out);

#endif
