/* rule.c - asking a rule. */
#include "spec/rule.h"

#include "spec/tree.h"

#include <string.h>

const struct property *rule_property(const struct rule *r, const char *name)
{
	for (unsigned i = 0; i < r->nproperties; i++)
		if (strcmp(r->properties[i].name, name) == 0)
			return &r->properties[i];
	return NULL;
}

bool rule_has_required(const struct rule *r)
{
	for (unsigned i = 0; i < r->nproperties; i++)
		if (r->properties[i].required)
			return true;
	return false;
}

const struct rule *rule_of_type(const struct rule *r, const char *type, const struct schema_types *types)
{
	for (unsigned i = 0; i < r->ncases; i++)
		if (strcmp(r->cases[i].value, type) == 0)
			return r->cases[i].then;
	return types != NULL && r->family != NULL ? types->find(types->arg, r->family, type) : NULL;
}

const struct rule *rule_select(const struct rule *r, const struct node *map, const struct schema_types *types)
{
	const struct node *type;

	if (r->ncases == 0)
		return r;
	type = node_get(map, r->cases[0].key);
	if (type == NULL || type->kind != NODE_SCALAR)
		return NULL;
	return rule_of_type(r, type->text, types);
}
