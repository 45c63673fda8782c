/* rule.h - a schema made ready for checking: one struct rule per subschema. For spec/ and the compiler in plan/. */
#ifndef SLUICE_SPEC_RULE_H
#define SLUICE_SPEC_RULE_H

#include "spec/schema.h"

#include <regex.h>
#include <stdbool.h>
#include <stdint.h>

enum rule_type {
	TYPE_MAP = 1, TYPE_LIST = 2, TYPE_STRING = 4, TYPE_INTEGER = 8, TYPE_NUMBER = 16, TYPE_BOOL = 32, TYPE_NULL = 64,
	TYPE_SCALAR = TYPE_STRING | TYPE_INTEGER | TYPE_NUMBER | TYPE_BOOL,
};

enum rule_kind {
	KIND_NONE, KIND_DURATION, KIND_SIZE, KIND_RATE, KIND_SECRET, KIND_PATH, KIND_LISTEN, KIND_NETWORK, KIND_URL, KIND_TEMPLATE, KIND_NAME, KIND_IDENT,
	KIND_PARAMETER, KIND_EXPRESSION, KIND_TYPE, KIND_FORMAT, KIND_OPTIONS, KIND_SWITCH,
};

struct property { const char *name; const struct rule *rule; bool required; };
/* `then` holds for mappings whose `key` is `value`. */
struct rule_case { const char *key, *value; const struct rule *then; };

struct rule {
	unsigned types;              /* enum rule_type; 0: any */
	enum rule_kind kind;
	bool planned, secret, unique, closed;
	bool always;                 /* x-always: there with its defaults even when it is not given */
	const char *label, *family, *description;
	const struct node *fallback; /* `default` */
	const struct node *aka;
	/* scalars */
	const struct node *values;   /* `enum` */
	const char *constant;
	const char *pattern_text;
	regex_t *pattern;
	bool has_min, has_max;
	double min, max;
	const char *least, *most;    /* x-min, x-max */
	uint64_t min_length, max_length;
	const struct node *schemes;
	/* lists */
	const struct rule *items;
	uint64_t min_items, max_items;
	/* mappings */
	struct property *properties;
	unsigned nproperties;
	const struct rule *names, *others;
	uint64_t min_properties, max_properties;
	struct rule_case *cases;
	unsigned ncases;
	const struct node *some_of;  /* anyOf of one `required` each */
	/* alternatives */
	const struct rule **any;
	unsigned nany;
};

const struct property *rule_property(const struct rule *r, const char *name);
bool rule_has_required(const struct rule *r);
/* That of a type by its name; NULL: there is none. */
const struct rule *rule_of_type(const struct rule *r, const char *type, const struct schema_types *types);
/* The rule that a mapping with cases falls under by its `type`; r itself when it has none; NULL when there is no such type (or no type). */
const struct rule *rule_select(const struct rule *r, const struct node *map, const struct schema_types *types);
/* Of alternatives the one for this node's shape (mapping, list, scalar); r itself when it has no alternatives. */
const struct rule *rule_shape(const struct rule *r, const struct node *n);

struct buf;

/* References and templates in texts (reference.c): 0, or -1 with the offending bytes and words. */
struct fault { size_t from, len; const char *why; };
int reference_check(const char *text, struct fault *f);
bool reference_in(const char *text);        /* does it hold a reference? */
/* Is this the name of a header or the like whose value is a secret? */
bool sounds_secret(const char *name);
int template_check(const char *text, struct fault *f);
/* The next literal secret of a URL at or behind f->from: user:password@, and the values of parameters that are named like one (`?token=…`). References,
 * parameters of messages and ••• are none. False: no more of them. */
bool url_secret(const char *url, struct fault *f);
/* The URL with ••• in the place of each. */
void url_hide(struct buf *out, const char *url);

#endif
