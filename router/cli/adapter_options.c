/* adapter_options.c - the keys of a type, as a table for people and as JSON in the notation that adapters declare theirs in. */
#include <string.h>

#include "base/buf.h"
#include "cli/adapters.h"
#include "spec/rule.h"
#include "spec/tree.h"

static const char *const kinds[] = { [KIND_DURATION] = "duration", [KIND_SIZE] = "size", [KIND_RATE] = "rate", [KIND_SECRET] = "secret",
	[KIND_PATH] = "path", [KIND_LISTEN] = "listen", [KIND_URL] = "url", [KIND_TEMPLATE] = "template", [KIND_NAME] = "name",
	[KIND_IDENT] = "ident", [KIND_PARAMETER] = "parameter", [KIND_EXPRESSION] = "expression", [KIND_OPTIONS] = "object",
	[KIND_SWITCH] = "switch", [KIND_TYPE] = "string", [KIND_FORMAT] = "string" };

static const char *kind_of(const struct rule *r)
{
	if (r->nany > 0)
		return kind_of(r->any[r->nany - 1]); /* the others are shorter ways to say it */
	if (r->kind != KIND_NONE)
		return kinds[r->kind];
	return r->types & TYPE_MAP ? "object" : r->types & TYPE_LIST ? "array" : r->types & TYPE_STRING ? "string" : r->types & TYPE_NUMBER ? "number"
		: r->types & TYPE_INTEGER ? "integer" : r->types & TYPE_BOOL ? "boolean" : "any";
}

/* As it was written: what stood in quotes is a text. */
static void write_value(struct buf *out, const struct node *n)
{
	if (n->kind == NODE_SCALAR) {
		if (n->quoted)
			buf_addjson(out, n->text, n->len);
		else
			buf_add(out, n->text, n->len);
		return;
	}
	buf_addc(out, n->kind == NODE_MAP ? '{' : '[');
	for (unsigned i = 0; i < n->n; i++) {
		if (i > 0)
			buf_addc(out, ',');
		if (n->kind == NODE_MAP) {
			buf_addjson(out, n->entries[i].key->text, n->entries[i].key->len);
			buf_addc(out, ':');
		}
		write_value(out, n->kind == NODE_MAP ? n->entries[i].value : n->items[i]);
	}
	buf_addc(out, n->kind == NODE_MAP ? '}' : ']');
}

static void member(struct buf *out, const char *name, const char *text)
{
	buf_addf(out, ",\"%s\":", name);
	buf_addjson(out, text, strlen(text));
}

static bool told(const struct property *p)
{
	return !p->rule->planned && strcmp(p->name, "type") != 0;
}

void options_write_json(struct buf *out, const struct rule *r)
{
	bool first = true;

	buf_addc(out, '{');
	for (unsigned i = 0; i < r->nproperties; i++) {
		const struct property *p = &r->properties[i];
		const struct rule *o = p->rule;
		if (!told(p))
			continue;
		if (!first)
			buf_addc(out, ',');
		first = false;
		buf_addjson(out, p->name, strlen(p->name));
		buf_addf(out, ":{\"type\":\"%s\",\"required\":%s", kind_of(o), p->required ? "true" : "false");
		if (o->values) {
			buf_adds(out, ",\"enum\":");
			write_value(out, o->values);
		}
		if (o->has_min)
			buf_addf(out, ",\"minimum\":%.15g", o->min);
		if (o->has_max)
			buf_addf(out, ",\"maximum\":%.15g", o->max);
		if (o->least)
			member(out, "x-min", o->least);
		if (o->most)
			member(out, "x-max", o->most);
		if (o->pattern_text)
			member(out, "pattern", o->pattern_text);
		if (o->fallback) {
			buf_adds(out, ",\"default\":");
			write_value(out, o->fallback);
		}
		if (o->nproperties > 0) {
			buf_adds(out, ",\"properties\":");
			options_write_json(out, o);
		}
		if (o->description)
			member(out, "description", o->description);
		buf_addc(out, '}');
	}
	buf_addc(out, '}');
}

static void write_table(struct buf *out, const struct rule *r, const char *prefix)
{
	struct buf name = BUF_INIT, value = BUF_INIT;

	for (unsigned i = 0; i < r->nproperties; i++) {
		const struct property *p = &r->properties[i];
		const struct rule *o = p->rule;
		if (!told(p))
			continue;
		buf_clear(&name);
		buf_clear(&value);
		buf_addf(&name, "%s%s", prefix, p->name);
		if (o->values && o->values->kind == NODE_LIST)
			for (unsigned k = 0; k < o->values->n; k++)
				buf_addf(&value, "%s%s", k ? " | " : "", o->values->items[k]->text);
		else
			buf_adds(&value, kind_of(o));
		if (p->required)
			buf_adds(&value, ", required");
		if (o->fallback && o->nproperties == 0) {
			buf_adds(&value, " = ");
			if (o->fallback->kind == NODE_SCALAR)
				buf_adds(&value, o->fallback->text);
			else
				write_value(&value, o->fallback);
		}
		buf_addf(out, "  %-24s %s\n", name.p, value.p);
		if (o->description)
			buf_addf(out, "  %-24s   %s\n", "", o->description);
		if (o->nproperties > 0) {
			buf_addc(&name, '.');
			write_table(out, o, name.p);
		}
	}
	buf_fini(&name);
	buf_fini(&value);
}

void options_write_text(struct buf *out, const struct rule *r)
{
	write_table(out, r, "");
}
