/* map.c - linear probing in a table whose size is a power of two.
 *
 * Deletion shifts the entries behind the hole back instead of leaving a tombstone: an entry may fill the hole if its
 * home slot does not lie (cyclically) between the hole and itself. Look-ups therefore never slow down with age. */
#include "base/map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

#define CAP_MIN 8

static bool is_full(size_t n, size_t cap)
{
	return n + 1 > cap - cap / 4;
}

/* May the entry at `from`, whose home is `home`, move to the hole? */
static bool may_fill(size_t hole, size_t from, size_t home, size_t mask)
{
	return ((from - home) & mask) >= ((from - hole) & mask);
}

/* --- bytes -> pointer */

void map_init(struct map *m)
{
	*m = (struct map){ 0 };
}

void map_fini(struct map *m)
{
	free(m->slots);
	map_init(m);
}

/* The slot of the key, or the empty slot where it would go. cap > 0. */
static struct map_slot *map_slot(const struct map *m, const char *key, size_t len, uint64_t hash)
{
	size_t mask = m->cap - 1;
	for (size_t i = hash & mask;; i = (i + 1) & mask) {
		struct map_slot *s = &m->slots[i];
		if (!s->value || (s->hash == hash && s->len == len && (!len || !memcmp(s->key, key, len))))
			return s;
	}
}

static void map_grow(struct map *m)
{
	struct map old = *m;
	m->cap = old.cap ? old.cap * 2 : CAP_MIN;
	m->slots = xcalloc(m->cap, sizeof(*m->slots));
	size_t mask = m->cap - 1;
	for (size_t i = 0; i < old.cap; i++) {
		if (!old.slots[i].value)
			continue;
		size_t at = old.slots[i].hash & mask;
		while (m->slots[at].value)
			at = (at + 1) & mask;
		m->slots[at] = old.slots[i];
	}
	free(old.slots);
}

void *map_get(const struct map *m, const char *key, size_t len)
{
	return m->n ? map_slot(m, key, len, hash_bytes(key, len))->value : NULL;
}

void *map_gets(const struct map *m, const char *key)
{
	return map_get(m, key, strlen(key));
}

void *map_put(struct map *m, const char *key, size_t len, void *value)
{
	assert(value);
	uint64_t hash = hash_bytes(key, len);
	struct map_slot *s = m->cap ? map_slot(m, key, len, hash) : NULL;
	if (s && s->value) {
		void *old = s->value;
		s->key = key; /* the old key may die with the old value */
		s->value = value;
		return old;
	}
	if (!s || is_full(m->n, m->cap)) {
		map_grow(m);
		s = map_slot(m, key, len, hash);
	}
	*s = (struct map_slot){ .key = key, .len = len, .hash = hash, .value = value };
	m->n++;
	return NULL;
}

void *map_del(struct map *m, const char *key, size_t len)
{
	if (!m->n)
		return NULL;
	struct map_slot *s = map_slot(m, key, len, hash_bytes(key, len));
	void *old = s->value;
	if (!old)
		return NULL;
	size_t mask = m->cap - 1, hole = (size_t)(s - m->slots);
	for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
		if (may_fill(hole, i, m->slots[i].hash & mask, mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct map_slot){ 0 };
	m->n--;
	return old;
}

struct map_slot *map_next(const struct map *m, size_t *i)
{
	while (*i < m->cap) {
		struct map_slot *s = &m->slots[(*i)++];
		if (s->value)
			return s;
	}
	return NULL;
}

/* --- u64 -> u64 */

#define EMPTY UINT64_MAX

void umap_init(struct umap *m)
{
	*m = (struct umap){ 0 };
}

void umap_fini(struct umap *m)
{
	free(m->slots);
	umap_init(m);
}

static size_t umap_home(const struct umap *m, uint64_t key)
{
	return hash_bytes(&key, sizeof(key)) & (m->cap - 1);
}

static struct umap_slot *umap_slot(const struct umap *m, uint64_t key)
{
	size_t i = umap_home(m, key);
	while (m->slots[i].key != EMPTY && m->slots[i].key != key)
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

static void umap_grow(struct umap *m)
{
	struct umap old = *m;
	m->cap = old.cap ? old.cap * 2 : CAP_MIN;
	m->slots = xmalloc(m->cap * sizeof(*m->slots));
	for (size_t i = 0; i < m->cap; i++)
		m->slots[i] = (struct umap_slot){ .key = EMPTY };
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].key != EMPTY)
			*umap_slot(m, old.slots[i].key) = old.slots[i];
	free(old.slots);
}

bool umap_get(const struct umap *m, uint64_t key, uint64_t *value)
{
	if (!m->n || key == EMPTY)
		return false;
	const struct umap_slot *s = umap_slot(m, key);
	if (s->key == EMPTY)
		return false;
	*value = s->value;
	return true;
}

void umap_put(struct umap *m, uint64_t key, uint64_t value)
{
	assert(key != EMPTY);
	struct umap_slot *s = m->cap ? umap_slot(m, key) : NULL;
	if (!s || (s->key == EMPTY && is_full(m->n, m->cap))) {
		umap_grow(m);
		s = umap_slot(m, key);
	}
	if (s->key == EMPTY)
		m->n++;
	*s = (struct umap_slot){ .key = key, .value = value };
}

bool umap_del(struct umap *m, uint64_t key)
{
	if (!m->n || key == EMPTY)
		return false;
	struct umap_slot *s = umap_slot(m, key);
	if (s->key == EMPTY)
		return false;
	size_t mask = m->cap - 1, hole = (size_t)(s - m->slots);
	for (size_t i = (hole + 1) & mask; m->slots[i].key != EMPTY; i = (i + 1) & mask) {
		if (may_fill(hole, i, umap_home(m, m->slots[i].key), mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole].key = EMPTY;
	m->n--;
	return true;
}

struct umap_slot *umap_next(const struct umap *m, size_t *i)
{
	while (*i < m->cap) {
		struct umap_slot *s = &m->slots[(*i)++];
		if (s->key != EMPTY)
			return s;
	}
	return NULL;
}
