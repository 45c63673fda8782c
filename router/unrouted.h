/* unrouted.h - the last 100 idents that matched no stream, for `status`: the first question of every new installation. Thread-safe. */
#ifndef SLUICE_UNROUTED_H
#define SLUICE_UNROUTED_H

#include <stddef.h>

struct buf;

void unrouted_add(const char *ident, size_t len);
/* JSON strings with commas between, the latest first. */
void unrouted_write(struct buf *out);

#endif
