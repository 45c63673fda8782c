/* schema.h - a tree checked against JSON Schema: the same schemas/sluice.json that editors use.
 *
 * The schema is interpreted at load; there is no second list of keys anywhere. It keeps to what draft-07 and 2020-12 share: type,
 * enum, const, pattern (a POSIX extended expression), minimum, maximum, minLength, maxLength, minItems, maxItems, uniqueItems,
 * minProperties, maxProperties, properties, propertyNames, additionalProperties, required, items, anyOf, allOf with if/then by
 * a constant, $ref to definitions, default, description. House extensions, which foreign validators pass over:
 *
 *	x-kind      how a scalar is read: duration, size, rate, secret, path, listen, url, template, name, ident, parameter, expression, …
 *	x-min x-max bounds of durations and sizes, in their own notation
 *	x-schemes   of a url
 *	x-label     what the members are called in messages: stream "copy"
 *	x-aka       words people write in place of this key
 *	x-family    the mapping's `type` may also be an adapter's name
 *	x-planned   known to the language, but not to this version
 *	x-secret    the mapping's values may hold secrets
 *	x-always    the mapping counts as given, so that its members' defaults are shown
 *
 * In an adapter's options `type` may be a kind as well ({type = "secret"}), and `required = true` may stand in the option itself. */
#ifndef SLUICE_SPEC_SCHEMA_H
#define SLUICE_SPEC_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

struct diag;
struct node;
struct rule;
struct schema;

/* The embedded schemas/sluice.json, read once a process; any thread, never freed. */
const struct schema *schema_builtin(void);
const struct rule *schema_root(const struct schema *s);
/* NULL when there is no definition of that name. */
const struct rule *schema_definition(const struct schema *s, const char *name);

/* A place for further rules: definitions are looked up in `base`, and rules of both may refer to one another. */
struct schema *schema_new(const struct schema *base);
void schema_free(struct schema *s);   /* with all its rules; s may be NULL */
/* The rule a schema stands for: either {type: object, properties: …} or, as adapters give it, just the mapping of properties. NULL after
 * an error, which is told at its place. `json` must live as long as the schema. */
const struct rule *schema_rule(struct schema *s, const struct node *json, struct diag *d);
/* base (a rule for mappings) with these properties beside its own; a property of the same name takes the place of base's. */
const struct rule *schema_extend(struct schema *s, const struct rule *base, const struct node *properties, struct diag *d);

/* Types that the schema does not name: adapters. */
struct schema_types {
	void *arg;
	/* The rule for a mapping whose x-family is `family` and whose `type` is `type`; NULL: there is none. */
	const struct rule *(*find)(void *arg, const char *family, const char *type);
	/* Their names, for "did you mean": start with *i = 0, until NULL. */
	const char *(*next)(void *arg, const char *family, unsigned *i);
	/* Has a problem been told already that explains why `type` is not found? NULL: never. */
	bool (*told)(void *arg, const char *type);
};

/* Check a tree; all problems are told. `what` names the tree in messages ("options of transform \"x\""); NULL: the top level. types may be
 * NULL. Literal secrets are hidden in their source, whose arena is `a`, and the first is kept there. True when nothing was wrong. */
struct arena;
bool schema_check(struct arena *a, const struct rule *r, const struct node *n, const char *what, const struct schema_types *types, struct diag *d);
/* The same without telling anything; and what a partial node (tree.h) lacks counts. */
bool schema_satisfied(struct arena *a, const struct rule *r, const struct node *n, const struct schema_types *types);

#endif
