/* listing.h - which buffers there are, told: for `sluice buffers`, of a running instance and of a store that lies still.
 *
 * Listed are those that a stream of the plan has, those with messages or dead letters in them, and one of each stream that is gone and left nothing
 * behind but what its adapters kept: what takes room can be seen, and got rid of. */
#ifndef SLUICE_ADMIN_LISTING_H
#define SLUICE_ADMIN_LISTING_H

struct buf;
struct listing;
struct plan;
struct store;

/* Reads the disk. */
struct listing *listing_read(struct store *s);
/* A line for each: {"name":…,"stream":…,"messages":n,…}; without "stream" where none has it, and "sent" where that one is enabled. "states": the
 * idents of which adapters keep something, where there are such; they are the stream's, and told on its line, or on each that it left. plan NULL:
 * nobody knows which streams there are. */
void listing_write(const struct listing *l, const struct plan *plan, struct buf *out);
void listing_free(struct listing *l);

#endif
