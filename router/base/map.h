/* map.h - open-addressing hash tables: bytes -> pointer, and u64 -> u64.
 *
 * Keys of a `struct map` are borrowed: they must live as long as the entry. Values are never NULL. Tables grow at
 * 3/4 load; deletion leaves no tombstones (backward shift). Hashing is seeded per process, because idents come
 * from outside. Not thread-safe; concurrent map_get on a table nobody changes is fine. */
#ifndef SLUICE_BASE_MAP_H
#define SLUICE_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot { const char *key; size_t len; uint64_t hash; void *value; };
struct map { struct map_slot *slots; size_t n, cap; };

void map_init(struct map *m);
void map_fini(struct map *m);
void *map_get(const struct map *m, const char *key, size_t len);          /* NULL = absent */
void *map_gets(const struct map *m, const char *key);
void *map_put(struct map *m, const char *key, size_t len, void *value);   /* the value replaced, or NULL */
void *map_del(struct map *m, const char *key, size_t len);                /* the value removed, or NULL */
/* Iterate: for (size_t i = 0; (slot = map_next(&m, &i)); ) ... ; the table must not change meanwhile. */
struct map_slot *map_next(const struct map *m, size_t *i);

/* u64 -> u64; any key but UINT64_MAX. */
struct umap_slot { uint64_t key, value; };
struct umap { struct umap_slot *slots; size_t n, cap; };
void umap_init(struct umap *m);
void umap_fini(struct umap *m);
bool umap_get(const struct umap *m, uint64_t key, uint64_t *value);
void umap_put(struct umap *m, uint64_t key, uint64_t value);
bool umap_del(struct umap *m, uint64_t key);
struct umap_slot *umap_next(const struct umap *m, size_t *i);

/* Seeded per process (differs from run to run): for tables in memory only. */
uint64_t hash_bytes(const void *p, size_t n);
/* 128 bits, likewise, for taking two texts for the same because their hashes are. */
void hash_twice(const void *p, size_t n, uint64_t out[2]);
/* The same on every machine and in every run: for what is written to disk or chooses a lane. */
uint64_t hash_stable(const void *p, size_t n);

#endif
