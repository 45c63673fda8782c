/* route.c - which streams a message goes to: two look-ups.
 *
 * An exact ident is in the table. One that only a wildcard can cover is matched against the wildcards, the most exact first, and
 * the answer remembered in the worker's cache; the cache belongs to one plan, is bounded, and starts anew when it is full (idents come
 * from outside, so it must not be theirs to fill). */
#include "plan/compile.h"

#include "plan/wildcard.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_MAX 65536

struct route_cache {
	uint64_t generation;         /* of the plan the entries belong to */
	const struct plan *plan;
	struct arena *arena;
	struct map idents;           /* ident -> struct cached */
};

struct cached { const struct device *device; };

struct route_cache *route_cache_new(void)
{
	struct route_cache *c = xcalloc(1, sizeof(*c));

	map_init(&c->idents);
	return c;
}

static void forget(struct route_cache *c)
{
	map_fini(&c->idents);
	map_init(&c->idents);
	arena_free(c->arena);
	c->arena = NULL;
}

void route_cache_free(struct route_cache *c)
{
	if (c == NULL)
		return;
	forget(c);
	map_fini(&c->idents);
	free(c);
}

static const struct device *by_wildcard(const struct routing *r, const char *ident, size_t len)
{
	for (unsigned i = 0; i < r->nwildcards; i++)
		if (wildcard_matches(r->wildcards[i]->ident, r->wildcards[i]->ident_len, '*', ident, len, false))
			return r->wildcards[i];
	return NULL;
}

static const struct device *remembered(const struct plan *p, const char *ident, size_t len, struct route_cache *c)
{
	struct cached *hit;

	if (c->plan != p || c->generation != p->generation || c->idents.n >= CACHE_MAX) {
		forget(c);
		c->plan = p;
		c->generation = p->generation;
	}
	hit = map_get(&c->idents, ident, len);
	if (hit == NULL) {
		if (c->arena == NULL)
			c->arena = arena_new();
		hit = arena_alloc(c->arena, sizeof(*hit));
		hit->device = by_wildcard(p->routing, ident, len);
		map_put(&c->idents, arena_strndup(c->arena, ident, len), len, hit);
	}
	return hit->device;
}

struct route plan_route(const struct plan *p, const struct channel *c, const char *ident, size_t len, struct route_cache *cache)
{
	const struct routing *r = p->routing;
	const struct device *d = map_get(&r->idents, ident, len);
	const struct cell *cell;

	if (d == NULL && r->nwildcards > 0)
		d = cache != NULL ? remembered(p, ident, len, cache) : by_wildcard(r, ident, len);
	cell = &r->rows[d != NULL ? (size_t)(d - p->devices) : p->ndevices][c->ix];
	return (struct route){ d, cell->n, cell->targets };
}

void routing_free(struct routing *r)
{
	if (r == NULL)
		return;
	map_fini(&r->idents);
	free(r);
}
