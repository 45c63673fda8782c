/* device.c - the devices: declared in YAML and (device_csv.c) CSV, and made ready for routing and stamping.
 *
 * An exact ident beats wildcards, of wildcards the one with most text. An ident that is named somewhere and covered by a wildcard
 * only becomes a device of its own, with all the wildcard has, so that it can have data of its own; and so does a wildcard that is named and
 * is a part of a declared one. */
#include "plan/compile.h"

#include "base/buf.h"
#include "plan/wildcard.h"
#include "spec/scalar.h"

#include <stdlib.h>
#include <string.h>

/* What the router sets itself, in the order of enum stamp_number. */
static const char *const own_stamps[STAMP_OWN] = {
	"server.timestamp", "channel.id", "channel.name", "peer", "timestamp", "device.id", "device.name",
};

struct declared *declared_new(struct compiler *c, const char *ident, const struct mark *at)
{
	struct kept *k = c->kept;
	struct declared *d = arena_alloc(c->arena, sizeof(*d));

	if ((k->ndevices & (k->ndevices - 1)) == 0) { /* 0, 1, 2, 4 …: full */
		struct declared **more = arena_alloc(c->arena, (k->ndevices ? 2 * k->ndevices : 1) * sizeof(*more));

		if (k->ndevices > 0)
			memcpy(more, k->devices, k->ndevices * sizeof(*more));
		k->devices = more;
	}
	*d = (struct declared){ .ident = ident, .len = strlen(ident), .at = *at, .wildcard = strchr(ident, '*') != NULL, .ix = k->ndevices };
	k->devices[k->ndevices++] = d;
	return d;
}

/* ---- YAML ------------------------------------------------------------------------------------------------------------------ */

static void declare_groups(struct compiler *c, struct declared *d, const struct node *list)
{
	if (list == NULL || list->kind != NODE_LIST)
		return;
	d->groups = arena_alloc(c->arena, (list->n + 1) * sizeof(*d->groups));
	d->groups_at = arena_alloc(c->arena, (list->n + 1) * sizeof(*d->groups_at));
	for (unsigned i = 0; i < list->n; i++)
		if (list->items[i]->kind == NODE_SCALAR) {
			d->groups[d->ngroups] = list->items[i]->text;
			d->groups_at[d->ngroups++] = list->items[i]->at;
		}
}

void device_field_check(struct compiler *c, const char *key, const struct mark *at)
{
	bool own = strcmp(key, "ident") == 0;

	for (unsigned i = 0; i < STAMP_OWN; i++)
		own = own || strcmp(key, own_stamps[i]) == 0;
	if (own)
		diag_add(c->diag, DIAG_CONFLICT, at, "a device can't set %s", diag_quote(c->diag, key, strlen(key)));
}

static void declare_fields(struct compiler *c, struct declared *d, const struct node *map)
{
	struct buf b = BUF_INIT;

	if (map == NULL || map->kind != NODE_MAP)
		return;
	d->keys = arena_alloc(c->arena, (map->n + 1) * sizeof(*d->keys));
	d->values = arena_alloc(c->arena, (map->n + 1) * sizeof(*d->values));
	for (unsigned i = 0; i < map->n; i++) {
		if (map->entries[i].value->kind != NODE_SCALAR)
			continue;
		device_field_check(c, map->entries[i].key->text, &map->entries[i].key->at);
		buf_clear(&b);
		conf_write_json(&b, NULL, map->entries[i].value, NULL);
		d->keys[d->nfields] = map->entries[i].key->text;
		d->values[d->nfields++] = arena_strndup(c->arena, b.p, b.len);
	}
	buf_fini(&b);
}

static void declare_yaml(struct compiler *c, const struct node *in, const struct entry *e)
{
	struct declared *d = declared_new(c, e->key->text, &e->key->at);
	const struct node *id = node_get(e->value, "id"), *name = node_get(e->value, "name");

	d->in = in;
	d->has_id = id != NULL && id->kind == NODE_SCALAR && scalar_int(id->text, &d->id) == 0;
	d->name = name != NULL && name->kind == NODE_SCALAR ? name->text : NULL;
	declare_groups(c, d, node_get(e->value, "groups"));
	declare_fields(c, d, node_get(e->value, "fields"));
}

/* ---- all of them ---------------------------------------------------------------------------------------------------------------- */

static void index_devices(struct compiler *c)
{
	struct kept *k = c->kept;
	struct umap ids;
	uint64_t other;

	umap_init(&ids);
	c->wildcards = arena_alloc(c->arena, (k->ndevices + 1) * sizeof(*c->wildcards));
	for (unsigned i = 0; i < k->ndevices; i++) {
		struct declared *d = k->devices[i], *first = map_get(&c->idents, d->ident, d->len);

		if (first != NULL && (first->refused || d->refused)) { /* one mistake is told already, and is enough */
			if (d->refused)
				continue;
		} else if (first != NULL && first->in != NULL && first->in == d->in) {
			continue; /* a key given twice, which was told when the file was read */
		} else if (first != NULL) {
			problem_second(diag_add(c->diag, DIAG_DUPLICATE_KEY, &d->at, "device %s is declared twice", diag_quote(c->diag, d->ident, d->len)),
				&first->at, "first declared here");
			continue;
		}
		map_put(&c->idents, d->ident, d->len, d);
		if (d->wildcard)
			c->wildcards[c->nwildcards++] = d;
		if (!d->has_id || d->refused)
			continue;
		if (umap_get(&ids, (uint64_t)d->id, &other))
			problem_second(diag_add(c->diag, DIAG_SAME_ID, &d->at, "device %s has the id %lld of another", diag_quote(c->diag, d->ident, d->len),
				(long long)d->id), &k->devices[other]->at, "the other");
		else
			umap_put(&ids, (uint64_t)d->id, i);
	}
	umap_fini(&ids);
}

void devices_declare(struct compiler *c)
{
	for (unsigned i = 0; i < c->ndevices; i++)
		for (unsigned k = 0; k < c->devices[i]->n; k++)
			declare_yaml(c, c->devices[i], &c->devices[i]->entries[k]);
	for (unsigned i = 0; i < c->ncsv; i++)
		devices_from(c, c->csv[i]);
	index_devices(c);
}

static struct declared *device_covering(struct compiler *c, const char *ident, size_t len)
{
	struct declared *best = NULL;

	for (unsigned i = 0; i < c->nwildcards; i++) {
		struct declared *d = c->wildcards[i];

		if (wildcard_matches(d->ident, d->len, '*', ident, len, false) && (best == NULL || d->len > best->len))
			best = d;
	}
	return best;
}

bool device_any(struct compiler *c, const char *pattern, size_t len)
{
	for (unsigned i = 0; i < c->kept->ndevices; i++)
		if (wildcard_matches(pattern, len, '*', c->kept->devices[i]->ident, c->kept->devices[i]->len, false))
			return true;
	return false;
}

/* A device of its own, with all that the wildcard which covers it has. */
static struct declared *imply(struct compiler *c, const char *ident, size_t len, const struct declared *of)
{
	struct declared *d = declared_new(c, arena_strndup(c->arena, ident, len), &of->at);

	*d = (struct declared){ .ident = d->ident, .len = len, .wildcard = d->wildcard, .ix = d->ix, .at = of->at, .implied = true, .has_id = of->has_id,
		.id = of->id, .name = of->name, .ngroups = of->ngroups, .groups = of->groups, .groups_at = of->groups_at, .nfields = of->nfields,
		.keys = of->keys, .values = of->values };
	map_put(&c->idents, d->ident, d->len, d);
	return d;
}

struct declared *device_declared(struct compiler *c, const char *ident, size_t len)
{
	struct declared *d = map_get(&c->idents, ident, len), *of;

	if (d != NULL)
		return d;
	of = device_covering(c, ident, len);
	if (of == NULL)
		return NULL;
	return imply(c, ident, len, of);
}

void device_narrower(struct compiler *c, const char *pattern, size_t len)
{
	struct declared *of = device_covering(c, pattern, len), *d, **more;

	if (of == NULL || map_get(&c->idents, pattern, len) != NULL)
		return;
	d = imply(c, pattern, len, of);
	more = arena_alloc(c->arena, (c->nwildcards + 1) * sizeof(*more));
	memcpy(more, c->wildcards, c->nwildcards * sizeof(*more));
	more[c->nwildcards++] = d;
	c->wildcards = more;
}

/* Is there a text that both match? can[k]: one that the rest of `a` and the last k bytes of `b` match. */
static bool overlap(const char *a, size_t na, const char *b, size_t nb)
{
	bool *can = xcalloc(nb + 1, sizeof(*can)), now;

	for (size_t i = 0; i <= na; i++) {
		bool diagonal = false; /* what can[k - 1] was */

		for (size_t k = 0; k <= nb; k++) {
			char x = i > 0 ? a[na - i] : '\0', y = k > 0 ? b[nb - k] : '\0';

			if (i == 0 && k == 0)
				now = true;
			else if (x == '*' || y == '*')
				now = (i > 0 && can[k]) || (k > 0 && can[k - 1]); /* the star takes the other's byte, or ends */
			else
				now = i > 0 && k > 0 && x == y && diagonal;
			diagonal = can[k];
			can[k] = now;
		}
	}
	now = can[nb];
	free(can);
	return now;
}

const struct declared *device_partly(const struct compiler *c, const char *pattern, size_t len, unsigned *i)
{
	while (*i < c->nwildcards) {
		const struct declared *d = c->wildcards[(*i)++];

		if (wildcard_matches(pattern, len, '*', d->ident, d->len, false))
			continue; /* the whole of it */
		if (d->len < len && wildcard_matches(d->ident, d->len, '*', pattern, len, false))
			continue; /* device_narrower has taken its part out of it */
		if (overlap(pattern, len, d->ident, d->len))
			return d;
	}
	return NULL;
}

/* ---- ready for messages --------------------------------------------------------------------------------------------------------- */

static void stamp(struct compiler *c, struct device *to, const char **keys, const char **values, uint8_t *numbers, const char *key, const char *value)
{
	int number = stamp_set_add(&c->kept->stamps, key, strlen(key));

	if (number < 0) {
		if (!c->stamps_full)
			diag_add(c->diag, DIAG_TOO_BIG, NULL, "the devices' fields have more than %d different names", STAMPS_MAX - 1 - STAMP_OWN);
		c->stamps_full = true;
		return;
	}
	keys[to->nstamps] = key;
	values[to->nstamps] = value;
	numbers[to->nstamps++] = (uint8_t)number;
}

static void build_device(struct compiler *c, struct device *to, const struct declared *d)
{
	const char **keys = arena_alloc(c->arena, (d->nfields + 2) * sizeof(*keys)), **values = arena_alloc(c->arena, (d->nfields + 2) * sizeof(*values));
	uint8_t *numbers = arena_alloc(c->arena, d->nfields + 2);
	struct buf b = BUF_INIT;

	*to = (struct device){ .ident = d->ident, .ident_len = d->len, .place = place_of(c, &d->at), .wildcard = d->wildcard, .has_id = d->has_id, .id = d->id,
		.name = d->name };
	if (d->has_id)
		stamp(c, to, keys, values, numbers, "device.id", arena_printf(c->arena, "%lld", (long long)d->id));
	if (d->name != NULL) {
		buf_addjson(&b, d->name, strlen(d->name));
		stamp(c, to, keys, values, numbers, "device.name", arena_strndup(c->arena, b.p, b.len));
	}
	for (unsigned i = 0; i < d->nfields; i++)
		stamp(c, to, keys, values, numbers, d->keys[i], d->values[i]);
	to->stamp_keys = keys;
	to->stamp_values = values;
	to->stamp_numbers = numbers;
	buf_fini(&b);
}

void devices_build(struct compiler *c)
{
	stamp_set_init(&c->kept->stamps);
	for (unsigned i = 0; i < STAMP_OWN; i++)
		stamp_set_add(&c->kept->stamps, own_stamps[i], strlen(own_stamps[i]));
	c->plan->ndevices = c->kept->ndevices;
	c->plan->devices = arena_alloc(c->arena, (c->kept->ndevices + 1) * sizeof(*c->plan->devices));
	for (unsigned i = 0; i < c->kept->ndevices; i++)
		build_device(c, &c->plan->devices[i], c->kept->devices[i]);
	c->plan->stamps = &c->kept->stamps;
}

int stamp_own(const char *name)
{
	for (int i = 0; i < STAMP_OWN; i++)
		if (strcmp(own_stamps[i], name) == 0)
			return i;
	return -1;
}
