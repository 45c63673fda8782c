/* template.h - texts with {parameters} in them, read once: url, headers, topic. struct template and template_write() stand in plan.h.
 *
 * `{{` and `}}` are a brace. ${env:NAME}, ${file:PATH} and $${ are left in the literals as they are written, so that a secret with a
 * brace in it never becomes a parameter: whoever resolves references does so in each literal afterwards. */
#ifndef SLUICE_PLAN_TEMPLATE_H
#define SLUICE_PLAN_TEMPLATE_H

#include <stdbool.h>

struct arena;
struct diag;
struct node;
struct template;

/* False after an error (told to d, at its place inside the scalar). */
bool template_parse(struct arena *a, const struct node *scalar, struct template *t, struct diag *d);

#endif
