/* fake_plan.h - a plan of one stream and one destination, built by hand. */
#ifndef SLUICE_TESTS_FAKE_PLAN_H
#define SLUICE_TESTS_FAKE_PLAN_H

#include "plan/plan.h"

struct fake_plan {
	struct plan plan;
	struct rendering rendering;
	struct destination destination;
	struct stream stream;
	const char *url_literals[3];
	const char *url_params[2];
};

/* Defaults as SPEC.md gives them, to this url; `{name}` in it once at most. Give the address of a static or heap object. */
void fake_plan_init(struct fake_plan *p, const char *url);
unsigned fake_plan_refs(const struct fake_plan *p);
void fake_plan_fini(struct fake_plan *p);

#endif
