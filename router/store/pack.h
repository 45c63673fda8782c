/* pack.h - chunks are written compressed.
 *
 * Messages of one fleet repeat their keys and most of their values: LZ4 makes a fifth of recorded tracks and a tenth of generated
 * traffic, at a gigabyte a second. What it takes it gives back several times over: every byte that goes into LevelDB is checksummed in
 * software and copied three times (log, table, compaction), and that was most of what a message cost. */
#ifndef SLUICE_STORE_PACK_H
#define SLUICE_STORE_PACK_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* A chunk's value as it is written: a byte that says how, then (packed) the length of the value in four bytes. out is replaced. */
void chunk_pack(struct buf *out, const void *value, size_t n);
/* And back, in place. False when it is not what chunk_pack makes; then value is undefined. Trusts nothing. */
bool chunk_unpack(struct buf *value);

#endif
