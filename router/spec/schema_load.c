/* schema_load.c - JSON Schema -> rules.
 *
 * $ref and allOf are merged into the rule that holds them, keywords of its own on top, so that checking never has to follow
 * anything. Definitions are made once and shared, which also lets them refer to themselves. */
#include "spec/rule.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/embedded.h"
#include "base/map.h"
#include "spec/diag.h"
#include "spec/scalar.h"
#include "spec/tree.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

struct pattern { regex_t re; struct pattern *next; };

struct schema {
	const struct schema *base;
	struct arena *arena;
	const struct node *json;
	struct map made;          /* name of a definition -> rule */
	struct pattern *patterns;
	const struct rule *root;
	struct diag *diag;        /* while rules are made */
	unsigned depth;
};

static struct rule *rule_make(struct schema *s, const struct node *json);

static void wrong(struct schema *s, const struct node *at, const char *what)
{
	diag_add(s->diag, DIAG_BAD_SCHEMA, &at->at, "%s", what);
}

/* ---- words of the schema language --------------------------------------------------------------------------------------- */

static const struct { const char *name; unsigned type; } type_names[] = {
	{ "object", TYPE_MAP }, { "array", TYPE_LIST }, { "string", TYPE_STRING }, { "integer", TYPE_INTEGER },
	{ "number", TYPE_NUMBER | TYPE_INTEGER }, { "boolean", TYPE_BOOL }, { "null", TYPE_NULL },
};
static const struct { const char *name; enum rule_kind kind; } kind_names[] = {
	{ "duration", KIND_DURATION }, { "size", KIND_SIZE }, { "rate", KIND_RATE }, { "secret", KIND_SECRET }, { "path", KIND_PATH },
	{ "listen", KIND_LISTEN }, { "network", KIND_NETWORK }, { "url", KIND_URL }, { "template", KIND_TEMPLATE }, { "name", KIND_NAME }, { "ident", KIND_IDENT },
	{ "parameter", KIND_PARAMETER }, { "expression", KIND_EXPRESSION }, { "type", KIND_TYPE }, { "format", KIND_FORMAT },
	{ "options", KIND_OPTIONS }, { "switch", KIND_SWITCH },
};

static bool kind_named(const char *name, enum rule_kind *kind)
{
	for (size_t i = 0; i < sizeof(kind_names) / sizeof(*kind_names); i++)
		if (strcmp(kind_names[i].name, name) == 0) {
			*kind = kind_names[i].kind;
			return true;
		}
	return false;
}

static const char *text_of(struct schema *s, const struct node *n)
{
	if (n->kind == NODE_SCALAR)
		return n->text;
	wrong(s, n, "a text is expected");
	return "";
}

static uint64_t count_of(struct schema *s, const struct node *n)
{
	int64_t v = 0;

	if (n->kind != NODE_SCALAR || scalar_int(n->text, &v) < 0 || v < 0)
		wrong(s, n, "a count is expected");
	return (uint64_t)v;
}

static void take_type(struct schema *s, struct rule *r, const struct node *n)
{
	for (size_t i = 0; i < sizeof(type_names) / sizeof(*type_names); i++)
		if (node_is(n, type_names[i].name)) {
			r->types |= type_names[i].type;
			return;
		}
	wrong(s, n, "unknown type");
}

/* [0-9] for \d, which extended regular expressions lack. */
static char *portable(struct schema *s, const char *pattern)
{
	char *out = arena_alloc(s->arena, strlen(pattern) * 5 + 1), *o = out;

	for (const char *p = pattern; *p != '\0'; p++) {
		if (p[0] == '\\' && p[1] == 'd') {
			memcpy(o, "[0-9]", 5);
			o += 5;
			p++;
			continue;
		}
		*o++ = *p;
		if (*p == '\\' && p[1] != '\0')
			*o++ = *++p;
	}
	return out;
}

static void take_pattern(struct schema *s, struct rule *r, const struct node *n)
{
	struct pattern *p = xcalloc(1, sizeof(*p));

	r->pattern_text = text_of(s, n);
	if (regcomp(&p->re, portable(s, r->pattern_text), REG_EXTENDED | REG_NOSUB) != 0) {
		wrong(s, n, "the pattern is no POSIX extended regular expression");
		free(p);
		return;
	}
	p->next = s->patterns;
	s->patterns = p;
	r->pattern = &p->re;
}

static void take_number(struct schema *s, const struct node *n, bool *has, double *v)
{
	*has = n->kind == NODE_SCALAR && scalar_number(n->text, v) == 0;
	if (!*has)
		wrong(s, n, "a number is expected");
}

/* ---- mappings ------------------------------------------------------------------------------------------------------------ */

static void take_properties(struct schema *s, struct rule *r, const struct node *n)
{
	struct property *all;

	if (n->kind != NODE_MAP) {
		if (n->kind != NODE_LIST || n->n > 0) /* an empty Lua table is an empty list */
			wrong(s, n, "a mapping of properties is expected");
		return;
	}
	all = arena_alloc(s->arena, (r->nproperties + n->n) * sizeof(*all));
	if (r->nproperties > 0)
		memcpy(all, r->properties, r->nproperties * sizeof(*all));
	r->properties = all;
	for (unsigned i = 0; i < n->n; i++) {
		const struct entry *e = &n->entries[i];
		struct property *p = (struct property *)rule_property(r, e->key->text);

		if (p == NULL)
			p = &all[r->nproperties++];
		p->name = e->key->text;
		p->rule = rule_make(s, e->value);
		p->required = node_is(node_get(e->value, "required"), "true");
	}
}

static void take_required(struct schema *s, struct rule *r, const struct node *n)
{
	if (n->kind == NODE_SCALAR && scalar_bool(n->text, &(bool){ false }) == 0)
		return; /* of an adapter's option: take_properties has seen it */
	if (n->kind != NODE_LIST) {
		wrong(s, n, "a list of keys is expected");
		return;
	}
	for (unsigned i = 0; i < n->n; i++) {
		struct property *p = n->items[i]->kind == NODE_SCALAR ? (struct property *)rule_property(r, n->items[i]->text) : NULL;

		if (p != NULL)
			p->required = true;
		else
			wrong(s, n->items[i], "there is no such property");
	}
}

static void take_case(struct schema *s, struct rule *r, const struct node *n)
{
	const struct node *conditions = node_get(node_get(n, "if"), "properties"), *then = node_get(n, "then"), *constant;
	struct rule_case *c;

	if (conditions == NULL || conditions->kind != NODE_MAP || conditions->n != 1 || then == NULL ||
		(constant = node_get(conditions->entries[0].value, "const")) == NULL || constant->kind != NODE_SCALAR) {
		wrong(s, n, "if/then is understood for one property with a const only");
		return;
	}
	c = &r->cases[r->ncases++];
	c->key = conditions->entries[0].key->text;
	c->value = constant->text;
	c->then = rule_make(s, then);
}

static void take_any(struct schema *s, struct rule *r, const struct node *n)
{
	bool required = true;

	if (n->kind != NODE_LIST || n->n == 0) {
		wrong(s, n, "a list of alternatives is expected");
		return;
	}
	for (unsigned i = 0; i < n->n; i++) {
		const struct node *list = node_get(n->items[i], "required");

		required = required && list != NULL && list->kind == NODE_LIST && list->n == 1 && n->items[i]->n == 1;
	}
	if (required) {
		r->some_of = n;
		return;
	}
	r->any = arena_alloc(s->arena, n->n * sizeof(*r->any));
	r->nany = n->n;
	for (unsigned i = 0; i < n->n; i++)
		r->any[i] = rule_make(s, n->items[i]);
}

/* ---- rules ---------------------------------------------------------------------------------------------------------------- */

static const struct rule *definition(struct schema *s, const char *name)
{
	const struct rule *made = NULL;
	const struct node *json;

	for (const struct schema *at = s; at != NULL && made == NULL; at = at->base)
		made = map_gets(&at->made, name);
	json = node_get(node_get(s->json, "definitions"), name);
	if (made == NULL && json != NULL) {
		struct rule *r = arena_alloc(s->arena, sizeof(*r));

		/* Known before it is made: a definition may hold itself, below its own mapping or list. */
		map_put(&s->made, name, strlen(name), r);
		*r = *rule_make(s, json);
		made = r;
	}
	return made;
}

static void take_ref(struct schema *s, struct rule *r, const struct node *n)
{
	static const char prefix[] = "#/definitions/";
	const char *name = text_of(s, n);
	const struct rule *d = NULL;

	if (strncmp(name, prefix, sizeof(prefix) - 1) == 0)
		d = definition(s, name + sizeof(prefix) - 1);
	if (d != NULL)
		*r = *d;
	else
		wrong(s, n, "there is no such definition");
}

static void take_keyword(struct schema *s, struct rule *r, const char *word, const struct node *v)
{
	if (strcmp(word, "type") == 0) {
		enum rule_kind kind;

		r->types = 0;
		if (v->kind == NODE_LIST) {
			for (unsigned i = 0; i < v->n; i++)
				take_type(s, r, v->items[i]);
		} else if (v->kind == NODE_SCALAR && kind_named(v->text, &kind) && definition(s, v->text) != NULL) {
			*r = *definition(s, v->text);
		} else {
			take_type(s, r, v);
		}
	} else if (strcmp(word, "x-kind") == 0) {
		if (v->kind != NODE_SCALAR || !kind_named(v->text, &r->kind))
			wrong(s, v, "unknown kind");
	} else if (strcmp(word, "enum") == 0) {
		if (v->kind != NODE_LIST || v->n == 0)
			wrong(s, v, "a list of values is expected");
		else
			r->values = v;
	} else if (strcmp(word, "allOf") == 0) {
		if (v->kind != NODE_LIST) {
			wrong(s, v, "a list is expected");
			return;
		}
		r->cases = arena_alloc(s->arena, v->n * sizeof(*r->cases));
		for (unsigned i = 0; i < v->n; i++)
			take_case(s, r, v->items[i]);
	} else if (strcmp(word, "additionalProperties") == 0) {
		if (v->kind == NODE_MAP)
			r->others = rule_make(s, v);
		else
			r->closed = node_is(v, "false");
	} else if (strcmp(word, "const") == 0) {
		r->constant = text_of(s, v);
	} else if (strcmp(word, "pattern") == 0) {
		take_pattern(s, r, v);
	} else if (strcmp(word, "minimum") == 0) {
		take_number(s, v, &r->has_min, &r->min);
	} else if (strcmp(word, "maximum") == 0) {
		take_number(s, v, &r->has_max, &r->max);
	} else if (strcmp(word, "minLength") == 0) {
		r->min_length = count_of(s, v);
	} else if (strcmp(word, "maxLength") == 0) {
		r->max_length = count_of(s, v);
	} else if (strcmp(word, "minItems") == 0) {
		r->min_items = count_of(s, v);
	} else if (strcmp(word, "maxItems") == 0) {
		r->max_items = count_of(s, v);
	} else if (strcmp(word, "minProperties") == 0) {
		r->min_properties = count_of(s, v);
	} else if (strcmp(word, "maxProperties") == 0) {
		r->max_properties = count_of(s, v);
	} else if (strcmp(word, "uniqueItems") == 0) {
		r->unique = node_is(v, "true");
	} else if (strcmp(word, "items") == 0) {
		r->items = rule_make(s, v);
	} else if (strcmp(word, "propertyNames") == 0) {
		r->names = rule_make(s, v);
	} else if (strcmp(word, "anyOf") == 0) {
		take_any(s, r, v);
	} else if (strcmp(word, "default") == 0) {
		r->fallback = v;
	} else if (strcmp(word, "description") == 0) {
		r->description = text_of(s, v);
	} else if (strcmp(word, "x-min") == 0) {
		r->least = text_of(s, v);
	} else if (strcmp(word, "x-max") == 0) {
		r->most = text_of(s, v);
	} else if (strcmp(word, "x-schemes") == 0) {
		r->schemes = v;
	} else if (strcmp(word, "x-label") == 0) {
		r->label = text_of(s, v);
	} else if (strcmp(word, "x-aka") == 0) {
		r->aka = v;
	} else if (strcmp(word, "x-family") == 0) {
		r->family = text_of(s, v);
	} else if (strcmp(word, "x-planned") == 0) {
		r->planned = node_is(v, "true");
	} else if (strcmp(word, "x-always") == 0) {
		r->always = node_is(v, "true");
	} else if (strcmp(word, "x-secret") == 0) {
		r->secret = node_is(v, "true");
	} else if (strncmp(word, "x-", 2) != 0 && strcmp(word, "title") != 0 && strcmp(word, "examples") != 0 && strcmp(word, "$ref") != 0 &&
		   strcmp(word, "$schema") != 0 && strcmp(word, "$id") != 0 && strcmp(word, "definitions") != 0 && strcmp(word, "properties") != 0 &&
		   strcmp(word, "required") != 0) {
		/* A keyword that is not understood would be a check that is silently not made. */
		diag_add(s->diag, DIAG_BAD_SCHEMA, &v->at, "the schema keyword %s is not supported", diag_quote(s->diag, word, strlen(word)));
	}
}

static struct rule *rule_make(struct schema *s, const struct node *json)
{
	struct rule *r = arena_alloc(s->arena, sizeof(*r));
	const struct node *n;

	if (json->kind != NODE_MAP) {
		wrong(s, json, "a schema is a mapping");
		return r;
	}
	if (++s->depth > TREE_DEPTH_MAX) { /* only an alias-like definition that is nothing but itself gets here */
		wrong(s, json, "the schema refers to itself");
		s->depth--;
		return r;
	}
	if ((n = node_get(json, "$ref")) != NULL)
		take_ref(s, r, n);
	if ((n = node_get(json, "type")) != NULL)
		take_keyword(s, r, "type", n);
	if ((n = node_get(json, "properties")) != NULL)
		take_properties(s, r, n);
	if ((n = node_get(json, "required")) != NULL)
		take_required(s, r, n);
	for (unsigned i = 0; i < json->n; i++)
		if (strcmp(json->entries[i].key->text, "type") != 0)
			take_keyword(s, r, json->entries[i].key->text, json->entries[i].value);
	s->depth--;
	return r;
}

/* ---- what schema.h promises ------------------------------------------------------------------------------------------------ */

struct schema *schema_new(const struct schema *base)
{
	struct schema *s = xcalloc(1, sizeof(*s));

	s->base = base;
	s->arena = arena_new();
	map_init(&s->made);
	return s;
}

void schema_free(struct schema *s)
{
	if (s == NULL)
		return;
	while (s->patterns != NULL) {
		struct pattern *p = s->patterns;

		s->patterns = p->next;
		regfree(&p->re);
		free(p);
	}
	map_fini(&s->made);
	arena_free(s->arena);
	free(s);
}

const struct rule *schema_rule(struct schema *s, const struct node *json, struct diag *d)
{
	const struct node *type = node_get(json, "type");
	unsigned errors = diag_errors(d);
	struct rule *r;

	s->diag = d;
	if (type != NULL && type->kind == NODE_SCALAR) {
		r = rule_make(s, json);
	} else {
		r = arena_alloc(s->arena, sizeof(*r));
		r->types = TYPE_MAP;
		r->closed = true;
		take_properties(s, r, json);
	}
	s->diag = NULL;
	return diag_errors(d) == errors ? r : NULL;
}

const struct rule *schema_extend(struct schema *s, const struct rule *base, const struct node *properties, struct diag *d)
{
	struct rule *r = arena_alloc(s->arena, sizeof(*r));
	unsigned errors = diag_errors(d);
	const struct node *type = node_get(properties, "type");

	*r = *base;
	s->diag = d;
	if (type != NULL && type->kind == NODE_SCALAR) {
		const struct node *required = node_get(properties, "required");

		if (node_get(properties, "properties") != NULL)
			take_properties(s, r, node_get(properties, "properties"));
		if (required != NULL)
			take_required(s, r, required);
	} else {
		take_properties(s, r, properties);
	}
	s->diag = NULL;
	return diag_errors(d) == errors ? r : NULL;
}

const struct rule *schema_root(const struct schema *s)
{
	return s->root;
}

const struct rule *schema_definition(const struct schema *s, const char *name)
{
	const struct rule *r = map_gets(&s->made, name);

	return r != NULL || s->base == NULL ? r : schema_definition(s->base, name);
}

static struct schema *builtin;

static void builtin_load(void)
{
	const struct embedded *file = embedded_find("schemas/sluice.json");
	struct diag *d = diag_new();
	struct buf out = BUF_INIT;
	const struct node *definitions;

	builtin = schema_new(NULL);
	if (file != NULL)
		builtin->json = tree_read_text(builtin->arena, file->path, (const char *)file->bytes, file->size, 0, d);
	if (builtin->json != NULL) {
		builtin->root = schema_rule(builtin, builtin->json, d);
		builtin->diag = d;
		definitions = node_get(builtin->json, "definitions");
		for (unsigned i = 0; i < definitions->n; i++)
			definition(builtin, definitions->entries[i].key->text);
		builtin->diag = NULL;
	}
	if (builtin->root == NULL || diag_errors(d) > 0) {
		diag_print(d, &out, false);
		fprintf(stderr, "the built-in schema is broken:\n%s", out.p ? out.p : "it is not there\n");
		exit(EX_SOFTWARE);
	}
	diag_free(d);
}

const struct schema *schema_builtin(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, builtin_load);
	return builtin;
}
