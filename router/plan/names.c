/* names.c - all that is named exists: destinations, streams, channels, groups, idents, adapters; conditions can be read.
 *
 * Works on trees that may have other faults, and looks only at what has the right shape: the schema has told the rest. */
#include "plan/compile.h"

#include "base/buf.h"
#include "plan/where.h"
#include "spec/nearest.h"

#include <string.h>

/* ---- telling ----------------------------------------------------------------------------------------------------------------- */

/* Hints that cost time are given for the first of many mistakes only. */
#define HINTS_MAX 50

/* A section that is there under a misspelt key, or as a list, or not all of it, has been told; that its names are missing is no second mistake. */
static bool is_misread(const struct compiler *c, const char *section, bool empty)
{
	for (unsigned i = 0; i < c->nfiles; i++) {
		const struct node *root = c->files[i].root, *own = node_get(root, section);

		if (own != NULL && own->partial)
			return true;
		if (!empty)
			continue;
		if (root == NULL || root->kind != NODE_MAP || (own != NULL && own->kind != NODE_MAP && !node_is_null(own)))
			return true;
		for (unsigned k = 0; k < root->n; k++)
			if (rule_property(schema_root(schema_builtin()), root->entries[k].key->text) == NULL)
				return true;
	}
	return false;
}

static void tell_undeclared(struct compiler *c, const struct section *s, const char *name, const struct mark *at)
{
	struct problem *p;
	struct nearest near;
	struct buf list = BUF_INIT;
	unsigned i;

	if (is_misread(c, s->key, s->node->n == 0))
		return;
	p = diag_add(c->diag, DIAG_UNDECLARED, at, "there is no %s %s", s->one, diag_quote(c->diag, name, strlen(name)));
	nearest_begin(&near, name);
	for (i = 0; i < s->node->n && diag_errors(c->diag) < HINTS_MAX; i++)
		nearest_try(&near, s->node->entries[i].key->text);
	problem_near(p, nearest_found(&near));
	for (i = 0; i < s->node->n && i < 10; i++)
		if (map_gets(&s->names, s->node->entries[i].key->text) == &s->node->entries[i])
			buf_addf(&list, "%s%s", i ? ", " : "", s->node->entries[i].key->text);
	if (s->node->n == 0)
		problem_note(p, "no %s is defined under %s:", s->one, s->key);
	else
		problem_note(p, "%s in %s: %s%s", s->key, s->node->entries[0].key->at.source->name, list.p, s->node->n > 10 ? ", …" : "");
	buf_fini(&list);
}

static bool named(struct compiler *c, const struct section *s, const struct node *n)
{
	struct entry *e;

	if (n == NULL || n->kind != NODE_SCALAR || n->len == 0)
		return false;
	e = map_get(&s->names, n->text, n->len);
	if (e != NULL)
		umap_put(&c->used, (uint64_t)(uintptr_t)e, 1);
	else if (schema_satisfied(c->arena, rule_of("name"), n, NULL)) /* else it was told to be no name */
		tell_undeclared(c, s, n->text, &n->at);
	return e != NULL;
}

/* Were there devices that could not be read? */
static bool devices_unknown(const struct compiler *c)
{
	return c->devices_lost || is_misread(c, "devices", c->kept->ndevices == 0);
}

static void ident_named(struct compiler *c, const struct node *n)
{
	struct problem *p;
	struct nearest near;

	if (n->kind != NODE_SCALAR || n->len == 0)
		return;
	if (strchr(n->text, '*') != NULL) {
		device_narrower(c, n->text, n->len);
		if (!device_any(c, n->text, n->len) && !devices_unknown(c))
			diag_add(c->diag, DIAG_NO_MATCH, &n->at, "no declared device matches %s", diag_quote(c->diag, n->text, n->len));
		return;
	}
	if (device_declared(c, n->text, n->len) != NULL || devices_unknown(c))
		return;
	p = diag_add(c->diag, DIAG_UNDECLARED_IDENT, &n->at, "no device %s is declared", diag_quote(c->diag, n->text, n->len));
	nearest_begin(&near, n->text);
	for (unsigned i = 0; i < c->kept->ndevices && diag_errors(c->diag) < HINTS_MAX; i++)
		nearest_try(&near, c->kept->devices[i]->ident);
	problem_near(p, nearest_found(&near));
	problem_note(p, "devices are declared under devices: or in the file devices-from: names; a wildcard there declares all it matches");
}

/* ---- adapters ------------------------------------------------------------------------------------------------------------------- */

static const struct type_info *adapter(struct compiler *c, const char *name)
{
	return c->catalogue != NULL ? c->catalogue->find(c->catalogue->arg, name) : NULL;
}

static void tell_adapter(struct compiler *c, const struct node *n, const char *what, bool transforms)
{
	struct nearest near;
	struct buf list = BUF_INIT;
	const struct type_info *t;
	struct problem *p;

	if (c->catalogue != NULL && c->catalogue->told != NULL && c->catalogue->told(c->catalogue->arg, n->text))
		return;
	nearest_begin(&near, n->text);
	for (unsigned i = 0; c->catalogue != NULL && (t = c->catalogue->next(c->catalogue->arg, &i)) != NULL;)
		if (transforms ? t->is_transform : t->is_format) {
			nearest_try(&near, t->name);
			buf_addf(&list, "%s%s", list.len ? ", " : "", t->name);
		}
	p = diag_add(c->diag, DIAG_UNKNOWN_TYPE, &n->at, "there is no %s %s", what, diag_quote(c->diag, n->text, n->len));
	problem_near(p, nearest_found(&near));
	problem_note(p, "there are: %s%s", transforms ? "" : "flespi", list.len ? arena_printf(c->arena, "%s%s", transforms ? "" : ", ", list.p) : transforms ? "none" : "");
	buf_fini(&list);
}

const struct rule *adapter_options_rule(struct compiler *c, const struct type_info *t)
{
	char *key = arena_printf(c->arena, "options %s", t->name);
	struct rule *r = map_gets(&c->kept->rules, key);

	if (r != NULL)
		return r;
	r = (struct rule *)(t->options_schema != NULL ? schema_rule(c->kept->schema, t->options_schema, c->diag) : NULL);
	if (r == NULL) {
		r = arena_alloc(c->arena, sizeof(*r));
		r->types = TYPE_MAP;
		r->closed = t->options_schema == NULL;
	}
	map_put(&c->kept->rules, key, strlen(key), r);
	return r;
}

static void check_options(struct compiler *c, const struct type_info *t, const struct node *with, const struct mark *at)
{
	static const struct entry none;
	struct node empty = { .kind = NODE_MAP, .at = *at, .entries = (struct entry *)&none };

	if (with != NULL && with->kind != NODE_MAP && !node_is_null(with))
		return;
	schema_check(c->arena, adapter_options_rule(c, t), with != NULL && with->kind == NODE_MAP ? with : &empty,
		arena_printf(c->arena, "the options of %s \"%s\"", t->is_transform ? "transform" : "format", t->name), NULL, c->diag);
}

static void check_transform(struct compiler *c, const struct node *n)
{
	const struct node *use = n->kind == NODE_MAP ? node_get(n, "use") : n;
	const struct type_info *t;

	if (use == NULL || use->kind != NODE_SCALAR || use->len == 0)
		return;
	t = adapter(c, use->text);
	if (t == NULL || !t->is_transform)
		tell_adapter(c, use, "transform", true);
	else
		check_options(c, t, node_get(n, "with"), &use->at);
}

static void check_format(struct compiler *c, const struct node *channel)
{
	const struct node *format = node_get(channel, "format"), *with = node_get(channel, "with");
	const struct type_info *t;

	if (format == NULL || format->kind != NODE_SCALAR || format->len == 0 || node_is(format, "flespi")) {
		if (with != NULL)
			diag_add(c->diag, DIAG_CONFLICT, &with->at, "format flespi takes no options");
		return;
	}
	t = adapter(c, format->text);
	if (t == NULL || !t->is_format)
		tell_adapter(c, format, "format", false);
	else
		check_options(c, t, with, &format->at);
}

/* ---- per-device data ------------------------------------------------------------------------------------------------------------ */

/* *sure: nothing of what could take data is unknown. */
static const struct rule *data_rule(struct compiler *c, const struct node *stream, bool *sure)
{
	const struct node *to = node_get(stream, "to"), *transforms = node_get(stream, "transforms"), *type = NULL;
	const struct entry *destination = to != NULL && to->kind == NODE_SCALAR ? map_gets(&c->kept->destinations.names, to->text) : NULL;
	const struct rule *r = NULL;
	unsigned n = transforms != NULL && transforms->kind == NODE_LIST ? transforms->n : 0;

	if (destination != NULL)
		type = node_get(destination->value, "type");
	*sure = type != NULL && type->kind == NODE_SCALAR && rule_of_type(rule_of("destination"), type->text, &c->kept->types) != NULL;
	for (unsigned i = 0; i <= n; i++) {
		const struct node *name = i < n ? (transforms->items[i]->kind == NODE_MAP ? node_get(transforms->items[i], "use") : transforms->items[i]) : type;
		const struct type_info *t = name != NULL && name->kind == NODE_SCALAR ? adapter(c, name->text) : NULL;

		*sure = *sure && (t != NULL || i == n);
		if (t == NULL || t->device_schema == NULL || t->device_schema->n == 0)
			continue;
		r = r == NULL ? schema_rule(c->kept->schema, t->device_schema, c->diag) : schema_extend(c->kept->schema, r, t->device_schema, c->diag);
		if (r == NULL)
			return NULL;
	}
	return r;
}

const struct rule *device_data_rule(struct compiler *c, const struct node *stream)
{
	bool sure;

	return data_rule(c, stream, &sure);
}

static void check_data(struct compiler *c, const struct node *map, const struct entry *stream, const char *what)
{
	bool sure = false;
	const struct rule *r = stream != NULL ? data_rule(c, stream->value, &sure) : NULL;

	for (unsigned i = 0; map->kind == NODE_MAP && stream != NULL && i < map->n; i++) {
		const struct entry *e = &map->entries[i];

		if (e->value->kind != NODE_MAP || e->value->n == 0)
			continue;
		if (r == NULL && !sure)
			return;
		if (r == NULL) {
			diag_add(c->diag, DIAG_CONFLICT, &e->key->at, "nothing in stream %s takes data of single devices",
				diag_quote(c->diag, stream->key->text, stream->key->len));
			return;
		}
		schema_check(c->arena, r, e->value, arena_printf(c->arena, "the data of %s \"%s\"", what, e->key->text), NULL, c->diag);
	}
}

/* ---- sections -------------------------------------------------------------------------------------------------------------------- */

static const struct node *member_name(const struct node *n, unsigned i)
{
	return n->kind == NODE_MAP ? n->entries[i].key : n->items[i];
}

static unsigned member_count(const struct node *n)
{
	return n != NULL && n->kind != NODE_SCALAR ? n->n : 0;
}

static void check_subscription(struct compiler *c, const struct node *n)
{
	const struct node *channels = node_get(n, "channels"), *devices = node_get(n, "devices"), *groups = node_get(n, "groups"), *stream = node_get(n, "stream");
	const struct entry *e = named(c, &c->kept->streams, stream) ? map_gets(&c->kept->streams.names, stream->text) : NULL;

	for (unsigned i = 0; i < member_count(channels); i++)
		named(c, &c->kept->channels, member_name(channels, i));
	for (unsigned i = 0; i < member_count(groups); i++)
		named(c, &c->kept->groups, member_name(groups, i));
	for (unsigned i = 0; i < member_count(devices); i++)
		ident_named(c, member_name(devices, i));
	if (devices != NULL)
		check_data(c, devices, e, "device");
	if (groups != NULL)
		check_data(c, groups, e, "group");
}

static void check_stream(struct compiler *c, const struct entry *e)
{
	const struct node *where = node_get(e->value, "where"), *transforms = node_get(e->value, "transforms");

	named(c, &c->kept->destinations, node_get(e->value, "to"));
	if (where != NULL && where->kind == NODE_SCALAR && where->len > 0)
		where_compile(c->arena, where, c->diag);
	for (unsigned i = 0; transforms != NULL && transforms->kind == NODE_LIST && i < transforms->n; i++)
		check_transform(c, transforms->items[i]);
}

enum { GROUP_NEW, GROUP_OPEN, GROUP_DONE };

static void check_loop(struct compiler *c, const struct entry *e, struct umap *state)
{
	const struct node *groups = node_get(e->value, "groups");
	uint64_t key = (uint64_t)(uintptr_t)e, s;

	umap_put(state, key, GROUP_OPEN);
	for (unsigned i = 0; groups != NULL && groups->kind == NODE_LIST && i < groups->n; i++) {
		const struct entry *below = groups->items[i]->kind == NODE_SCALAR ? map_gets(&c->kept->groups.names, groups->items[i]->text) : NULL;

		if (below == NULL)
			continue;
		if (!umap_get(state, (uint64_t)(uintptr_t)below, &s))
			check_loop(c, below, state);
		else if (s == GROUP_OPEN)
			problem_second(diag_add(c->diag, DIAG_GROUP_LOOP, &groups->items[i]->at, "group %s would contain itself",
				diag_quote(c->diag, below->key->text, below->key->len)), &below->key->at, "defined here");
	}
	umap_put(state, key, GROUP_DONE);
}

static void check_groups(struct compiler *c)
{
	const struct node *all = c->kept->groups.node;
	struct umap state;
	uint64_t s;

	umap_init(&state);
	for (unsigned i = 0; i < all->n; i++) {
		const struct node *devices = node_get(all->entries[i].value, "devices"), *groups = node_get(all->entries[i].value, "groups");

		for (unsigned k = 0; devices != NULL && devices->kind == NODE_LIST && k < devices->n; k++)
			ident_named(c, devices->items[k]);
		for (unsigned k = 0; groups != NULL && groups->kind == NODE_LIST && k < groups->n; k++)
			named(c, &c->kept->groups, groups->items[k]);
		if (!umap_get(&state, (uint64_t)(uintptr_t)&all->entries[i], &s))
			check_loop(c, &all->entries[i], &state);
	}
	umap_fini(&state);
	for (unsigned i = 0; i < c->kept->ndevices; i++) {
		const struct declared *d = c->kept->devices[i];

		for (unsigned k = 0; k < d->ngroups && !d->implied; k++) {
			struct entry *e = map_gets(&c->kept->groups.names, d->groups[k]);

			if (e == NULL)
				tell_undeclared(c, &c->kept->groups, d->groups[k], &d->groups_at[k]);
			else
				umap_put(&c->used, (uint64_t)(uintptr_t)e, 1);
		}
	}
}

static void warn_unused(struct compiler *c, const struct section *s)
{
	uint64_t used;

	for (unsigned i = 0; i < s->node->n; i++)
		if (!umap_get(&c->used, (uint64_t)(uintptr_t)&s->node->entries[i], &used))
			diag_add(c->diag, DIAG_UNUSED, &s->node->entries[i].key->at, "%s %s is not used by anything", s->one,
				diag_quote(c->diag, s->node->entries[i].key->text, s->node->entries[i].key->len));
}

/* A channel feeds devices' and groups' subscriptions too: it is unused only where there are none of these. */
static bool subscribed_by_device(struct compiler *c)
{
	for (unsigned i = 0; i < c->kept->subscriptions->n; i++)
		if (node_get(c->kept->subscriptions->items[i], "devices") != NULL || node_get(c->kept->subscriptions->items[i], "groups") != NULL)
			return true;
	return false;
}

static void warn_partly(struct compiler *c, const struct node *devices)
{
	const struct declared *d;

	for (unsigned i = 0; devices != NULL && i < devices->n; i++) {
		const struct node *n = member_name(devices, i);
		unsigned k = 0;

		while (strchr(n->text, '*') != NULL && (d = device_partly(c, n->text, n->len, &k)) != NULL)
			problem_second(diag_add(c->diag, DIAG_PARTLY, &n->at, "%s matches some idents of %s, and does not get these",
				diag_quote(c->diag, n->text, n->len), diag_quote(c->diag, d->ident, d->len)), &d->at, "declared here");
	}
}

void names_partly(struct compiler *c)
{
	for (unsigned i = 0; i < c->kept->subscriptions->n; i++)
		warn_partly(c, node_get(c->kept->subscriptions->items[i], "devices"));
	for (unsigned i = 0; i < c->kept->groups.node->n; i++)
		warn_partly(c, node_get(c->kept->groups.node->entries[i].value, "devices"));
}

/* The name a stream had can't be another stream's, now or before. */
static void check_was(struct compiler *c, const struct entry *e)
{
	const struct node *streams = c->kept->streams.node, *was = node_get(e->value, "was");
	const struct entry *other;

	if (was == NULL || was->kind != NODE_SCALAR || was->len == 0)
		return;
	other = map_gets(&c->kept->streams.names, was->text);
	if (other != NULL)
		problem_second(diag_add(c->diag, DIAG_CONFLICT, &was->at, "stream %s can't be what %s was: it is still there", diag_quote(c->diag, was->text, was->len),
			diag_quote(c->diag, e->key->text, e->key->len)), &other->key->at, "defined here");
	for (unsigned i = 0; other == NULL && &streams->entries[i] < e; i++) {
		const struct node *same = node_get(streams->entries[i].value, "was");

		if (node_is(same, was->text))
			problem_second(diag_add(c->diag, DIAG_CONFLICT, &was->at, "stream %s became another one already", diag_quote(c->diag, was->text, was->len)),
				&same->at, "which says so here");
	}
}

void names_check(struct compiler *c)
{
	for (unsigned i = 0; i < c->kept->channels.node->n; i++)
		check_format(c, c->kept->channels.node->entries[i].value);
	for (unsigned i = 0; i < c->kept->streams.node->n; i++)
		check_stream(c, &c->kept->streams.node->entries[i]);
	for (unsigned i = 0; i < c->kept->streams.node->n; i++)
		check_was(c, &c->kept->streams.node->entries[i]);
	for (unsigned i = 0; i < c->kept->subscriptions->n; i++)
		check_subscription(c, c->kept->subscriptions->items[i]);
	check_groups(c);
}

void names_unused(struct compiler *c)
{
	warn_unused(c, &c->kept->groups);
	warn_unused(c, &c->kept->destinations);
	warn_unused(c, &c->kept->streams);
	if (!subscribed_by_device(c))
		for (unsigned i = 0; i < c->kept->channels.node->n; i++)
			if (node_get(c->kept->channels.node->entries[i].value, "answer") != NULL) /* a health check feeds nothing */
				umap_put(&c->used, (uint64_t)(uintptr_t)&c->kept->channels.node->entries[i], 1);
	if (!subscribed_by_device(c))
		warn_unused(c, &c->kept->channels);
}
