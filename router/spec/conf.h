/* conf.h - a checked tree read with its rules at hand: what was not given is what the schema says it is by default.
 *
 * For trees that schema_check() has passed; asking for a key the schema does not have is a bug and stops the program. */
#ifndef SLUICE_SPEC_CONF_H
#define SLUICE_SPEC_CONF_H

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct node;
struct rule;

struct conf {
	const struct rule *rule;
	const struct node *node;  /* NULL: neither given nor defaulted */
	const struct node *also;  /* of a mapping: consulted before the schema's defaults (what an adapter prefers), or NULL */
	bool given;               /* written by the user */
};

/* rule: as rule_select() gives it. */
struct conf conf_of(const struct rule *rule, const struct node *node, const struct node *also);
/* A member; keys may be joined by dots ("batch.messages"), and mappings on the way need not be there. */
struct conf conf_get(struct conf map, const char *key);

bool conf_has(struct conf c);                 /* given or defaulted */
const char *conf_text(struct conf c);         /* NULL when it has no value */
int64_t conf_int(struct conf c);              /* integers; durations in microseconds; sizes in bytes; 0 when it has no value */
double conf_number(struct conf c);            /* numbers; rates per second */
bool conf_bool(struct conf c);                /* booleans and switches (on, off) */

/* A scalar as JSON text of the kind its rule demands (rule may be NULL): numbers as they are written. `text` stands in for the scalar's own
 * text (a resolved secret), NULL: its own. */
void conf_write_json(struct buf *out, const struct rule *rule, const struct node *scalar, const char *text);

#endif
