/* sound.c - what is sound of a specification with mistakes, put together so that the checks that need a faultless tree find theirs as well.
 *
 * What an error stands at is taken away, then whatever no longer satisfies the schema, then whatever names something that is gone. What is left
 * compiles; the plan is thrown away. Nothing is told twice or for another's fault: a member of which something was taken is `partial`, and
 * what it lacks is not missed (compile.c). */
#include "plan/compile.h"


#include <string.h>

typedef bool keep_fn(struct compiler *c, const struct section *s, struct entry *e);

static void section_filter(struct compiler *c, struct section *s, keep_fn *keep)
{
	struct node *left = arena_alloc(c->arena, sizeof(*left));

	*left = *s->node;
	left->entries = arena_alloc(c->arena, (s->node->n + 1) * sizeof(*left->entries));
	left->n = 0;
	for (unsigned i = 0; i < s->node->n; i++)
		if (keep(c, s, &s->node->entries[i]))
			left->entries[left->n++] = s->node->entries[i];
	map_fini(&s->names);
	map_init(&s->names);
	for (unsigned i = 0; i < left->n; i++)
		map_put(&s->names, left->entries[i].key->text, left->entries[i].key->len, &left->entries[i]);
	s->node = left;
}

static bool is_member(struct compiler *c, const struct section *s, struct entry *e)
{
	return schema_satisfied(c->arena, rule_property(schema_root(schema_builtin()), s->key)->rule->others, e->value, &c->kept->types);
}

/* ---- what names something ------------------------------------------------------------------------------------------------------- */

static const struct type_info *adapter(struct compiler *c, const struct node *name)
{
	return name != NULL && c->catalogue != NULL ? c->catalogue->find(c->catalogue->arg, name->text) : NULL;
}

static bool is_decoded(struct compiler *c, const struct section *s, struct entry *e)
{
	const struct node *format = node_get(e->value, "format");
	const struct type_info *t = adapter(c, format);

	(void)s;
	return format == NULL || node_is(format, "flespi") || (t != NULL && t->is_format);
}

static bool leads_somewhere(struct compiler *c, const struct section *s, struct entry *e)
{
	const struct node *transforms = node_get(e->value, "transforms");

	(void)s;
	for (unsigned i = 0; transforms != NULL && i < transforms->n; i++) {
		const struct node *item = transforms->items[i];
		const struct type_info *t = adapter(c, item->kind == NODE_MAP ? node_get(item, "use") : item);

		if (t == NULL || !t->is_transform)
			return false;
	}
	return map_gets(&c->kept->destinations.names, node_get(e->value, "to")->text) != NULL;
}

static bool is_there(struct compiler *c, const struct section *s, const struct node *name)
{
	if (name->kind != NODE_SCALAR)
		return false;
	if (s != NULL)
		return map_get(&s->names, name->text, name->len) != NULL;
	return strchr(name->text, '*') != NULL || device_declared(c, name->text, name->len) != NULL;
}

/* The names of a list, or keys of a mapping, that are still there; s NULL: idents. */
static void names_filter(struct compiler *c, struct entry *e, const struct section *s)
{
	const struct node *from = e->value;
	struct node *left = arena_alloc(c->arena, sizeof(*left));

	*left = *from;
	left->n = 0;
	if (from->kind == NODE_MAP)
		left->entries = arena_alloc(c->arena, (from->n + 1) * sizeof(*left->entries));
	else if (from->kind == NODE_LIST)
		left->items = arena_alloc(c->arena, (from->n + 1) * sizeof(struct node *));
	for (unsigned i = 0; from->kind != NODE_SCALAR && i < from->n; i++) {
		if (!is_there(c, s, from->kind == NODE_MAP ? from->entries[i].key : from->items[i]))
			continue;
		if (from->kind == NODE_MAP)
			left->entries[left->n++] = from->entries[i];
		else
			left->items[left->n++] = from->items[i];
	}
	e->value = left;
}

/* A copy of a mapping with its lists of names filtered. */
static struct node *filtered(struct compiler *c, const struct node *map)
{
	struct node *copy = arena_alloc(c->arena, sizeof(*copy));

	*copy = *map;
	copy->entries = arena_alloc(c->arena, (map->n + 1) * sizeof(*copy->entries));
	for (unsigned i = 0; i < map->n; i++) {
		struct entry *e = &copy->entries[i];

		*e = map->entries[i];
		if (node_is(e->key, "channels"))
			names_filter(c, e, &c->kept->channels);
		else if (node_is(e->key, "groups"))
			names_filter(c, e, &c->kept->groups);
		else if (node_is(e->key, "devices"))
			names_filter(c, e, NULL);
	}
	return copy;
}

static bool is_any_group(struct compiler *c, const struct section *s, struct entry *e)
{
	(void)s;
	if (e->value->kind == NODE_MAP)
		e->value = filtered(c, e->value);
	return true; /* whoever names it finds it, were it empty */
}

static void subscriptions_filter(struct compiler *c)
{
	const struct rule *r = rule_property(schema_root(schema_builtin()), "subscriptions")->rule->items;
	struct node *all = c->kept->subscriptions;
	unsigned kept = 0;

	for (unsigned i = 0; i < all->n; i++)
		if (schema_satisfied(c->arena, r, all->items[i], &c->kept->types) && is_there(c, &c->kept->streams, node_get(all->items[i], "stream")))
			all->items[kept++] = filtered(c, all->items[i]);
	all->n = kept;
}

/* ---- all of it -------------------------------------------------------------------------------------------------------------------- */

static void settings_filter(struct compiler *c)
{
	struct node *all = c->kept->settings;

	if (!schema_satisfied(c->arena, rule_of("settings"), all, &c->kept->types))
		all->n = 0;
}

bool sound_only(struct compiler *c)
{
	struct kept *k = c->kept;

	for (unsigned i = 0; i < c->nfiles; i++)
		if ((c->files[i].root = tree_without_errors(c->arena, c->files[i].root, c->diag)) == NULL)
			return false;
	c->channels_written = k->channels.node;
	sections_fini(k);
	load_merge(c);
	settings_filter(c);
	section_filter(c, &k->channels, is_member);
	section_filter(c, &k->channels, is_decoded);
	section_filter(c, &k->destinations, is_member);
	section_filter(c, &k->streams, is_member);
	section_filter(c, &k->streams, leads_somewhere);
	section_filter(c, &k->groups, is_any_group);
	subscriptions_filter(c);
	return true;
}
