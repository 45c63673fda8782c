/* options.c - what a type, transform or adapter was given, checked, resolved and with defaults filled in.
 *
 * Made from a mapping and its rule, so that whatever the schema has can be asked for, given or not. Readers need neither
 * YAML nor schema; a name the schema does not have is a slip of the programmer's and stops the program. */
#include "plan/compile.h"

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum shape { SHAPE_NONE, SHAPE_SCALAR, SHAPE_LIST, SHAPE_PAIRS, SHAPE_MAP };

struct option {
	const char *name;
	enum shape shape;
	struct place place;
	const char *text;             /* scalar */
	int64_t i;
	double d;
	bool b;
	unsigned n;                   /* list, pairs */
	const char **texts, **keys;
	const struct options *map;
};

struct options {
	struct place place;
	unsigned n;
	struct option *list;
	const char *json;
};

/* Lua has no units: durations are seconds, sizes bytes, rates messages a second. */
static void write_json(struct buf *out, const struct option *o, struct conf v)
{
	switch (v.rule->kind) {
	case KIND_DURATION:
		buf_addf(out, "%.15g", (double)o->i / 1e6);
		break;
	case KIND_SIZE:
		buf_addf(out, "%lld", (long long)o->i);
		break;
	case KIND_RATE:
		buf_addf(out, "%.15g", o->d);
		break;
	case KIND_SWITCH:
		buf_adds(out, o->b ? "true" : "false");
		break;
	default:
		conf_write_json(out, v.rule, v.node, strcmp(o->text, v.node->text) == 0 ? NULL : o->text);
	}
}

/* What lies deeper than options are read by C: adapters get it as it was written, areas as lists of corners. */
static void write_deep(struct compiler *c, struct buf *json, const struct rule *r, const struct node *n)
{
	if (n->kind == NODE_SCALAR) {
		const char *text = r != NULL ? text_resolved(c, r, n, n->text) : n->text;

		conf_write_json(json, r, n, strcmp(text, n->text) == 0 ? NULL : text);
		return;
	}
	buf_addc(json, n->kind == NODE_LIST ? '[' : '{');
	for (unsigned i = 0; i < n->n; i++) {
		if (i > 0)
			buf_addc(json, ',');
		if (n->kind == NODE_LIST) {
			write_deep(c, json, r != NULL ? r->items : NULL, n->items[i]);
			continue;
		}
		const struct node *key = n->entries[i].key;
		const struct property *p = r != NULL ? rule_property(r, key->text) : NULL;

		buf_addjson(json, key->text, strlen(key->text));
		buf_addc(json, ':');
		write_deep(c, json, p != NULL ? p->rule : r != NULL ? r->others : NULL, n->entries[i].value);
	}
	buf_addc(json, n->kind == NODE_LIST ? ']' : '}');
}

static void make_list(struct compiler *c, struct option *o, const struct rule *items, const struct node *n, struct buf *json)
{
	o->shape = SHAPE_LIST;
	o->texts = arena_alloc(c->arena, (n->n + 1) * sizeof(*o->texts));
	buf_addc(json, '[');
	for (unsigned i = 0; i < n->n; i++) {
		const struct node *item = n->items[i];

		if (i > 0)
			buf_addc(json, ',');
		if (item->kind != NODE_SCALAR) {
			write_deep(c, json, items, item);
			continue;
		}
		o->texts[o->n] = items != NULL ? text_resolved(c, items, item, item->text) : item->text;
		conf_write_json(json, items, item, strcmp(o->texts[o->n], item->text) == 0 ? NULL : o->texts[o->n]);
		o->n++;
	}
	buf_addc(json, ']');
}

static void make_pairs(struct compiler *c, struct option *o, const struct rule *others, const struct node *n, struct buf *json)
{
	o->shape = SHAPE_PAIRS;
	o->texts = arena_alloc(c->arena, (n->n + 1) * sizeof(*o->texts));
	o->keys = arena_alloc(c->arena, (n->n + 1) * sizeof(*o->keys));
	buf_addc(json, '{');
	for (unsigned i = 0; i < n->n; i++) {
		const struct node *value = n->entries[i].value;

		if (i > 0)
			buf_addc(json, ',');
		buf_addjson(json, n->entries[i].key->text, strlen(n->entries[i].key->text));
		buf_addc(json, ':');
		if (value->kind != NODE_SCALAR) {
			write_deep(c, json, others, value);
			continue;
		}
		o->keys[o->n] = n->entries[i].key->text;
		o->texts[o->n] = others != NULL ? text_resolved(c, others, value, value->text) : value->text;
		conf_write_json(json, others, value, strcmp(o->texts[o->n], value->text) == 0 ? NULL : o->texts[o->n]);
		o->n++;
	}
	buf_addc(json, '}');
}

static void make_option(struct compiler *c, struct option *o, struct conf v, struct buf *json)
{
	struct buf own = BUF_INIT;

	if (!conf_has(v))
		return;
	if (v.given)
		o->place = place_of(c, &v.node->at);
	if (v.node->kind == NODE_SCALAR) {
		o->shape = SHAPE_SCALAR;
		o->text = text_resolved(c, v.rule, v.node, v.node->text);
		o->i = conf_int(v);
		o->d = conf_number(v);
		o->b = conf_bool(v);
		write_json(&own, o, v);
	} else if (v.node->kind == NODE_LIST) {
		make_list(c, o, v.rule->items, v.node, &own);
	} else if (v.rule->nproperties > 0) {
		o->shape = SHAPE_MAP;
		o->map = options_make(c, v.rule, v.node, v.also);
		buf_adds(&own, o->map->json);
	} else {
		make_pairs(c, o, v.rule->others, v.node, &own);
	}
	if (json->len > 1)
		buf_addc(json, ',');
	buf_addjson(json, o->name, strlen(o->name));
	buf_addc(json, ':');
	buf_add(json, own.p, own.len);
	buf_fini(&own);
}

const struct options *options_make(struct compiler *c, const struct rule *rule, const struct node *map, const struct node *also)
{
	struct options *o = arena_alloc(c->arena, sizeof(*o));
	struct conf all = conf_of(rule, map, also);
	struct buf json = BUF_INIT;

	if (map != NULL)
		o->place = place_of(c, &map->at);
	o->n = rule->nproperties;
	o->list = arena_alloc(c->arena, (o->n + 1) * sizeof(*o->list));
	buf_addc(&json, '{');
	for (unsigned i = 0; i < o->n; i++) {
		o->list[i].name = rule->properties[i].name;
		o->list[i].place = o->place;
		make_option(c, &o->list[i], conf_get(all, rule->properties[i].name), &json);
	}
	buf_addc(&json, '}');
	o->json = arena_strndup(c->arena, json.p, json.len);
	buf_fini(&json);
	return o;
}

/* ---- reading ---------------------------------------------------------------------------------------------------------------- */

static const struct option *option(const struct options *o, const char *name)
{
	for (unsigned i = 0; i < o->n; i++)
		if (strcmp(o->list[i].name, name) == 0)
			return &o->list[i];
	fprintf(stderr, "the schema has no option %s here\n", name);
	abort();
}

bool options_has(const struct options *o, const char *name)
{
	return option(o, name)->shape != SHAPE_NONE;
}

const char *options_text(const struct options *o, const char *name)
{
	return option(o, name)->text;
}

int64_t options_int(const struct options *o, const char *name)
{
	return option(o, name)->i;
}

double options_number(const struct options *o, const char *name)
{
	return option(o, name)->d;
}

bool options_bool(const struct options *o, const char *name)
{
	return option(o, name)->b;
}

const struct options *options_map(const struct options *o, const char *name)
{
	return option(o, name)->map;
}

unsigned options_count(const struct options *o, const char *name)
{
	return option(o, name)->n;
}

const char *options_item(const struct options *o, const char *name, unsigned i)
{
	const struct option *list = option(o, name);

	return i < list->n ? list->texts[i] : NULL;
}

const char *options_pair(const struct options *o, const char *name, unsigned i, const char **key)
{
	const struct option *pairs = option(o, name);

	if (i >= pairs->n || pairs->keys == NULL)
		return NULL;
	if (key != NULL)
		*key = pairs->keys[i];
	return pairs->texts[i];
}

struct place options_place(const struct options *o, const char *name)
{
	return name != NULL ? option(o, name)->place : o->place;
}

const char *options_json(const struct options *o)
{
	return o->json;
}
