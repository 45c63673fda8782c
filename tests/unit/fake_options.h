/* fake_options.h - struct options by hand, for tests of channel types: up to eight pairs, in place of the compiler's own. One test
 * program is one source file, so what is defined here is linked before the library's. */
#ifndef SLUICE_TESTS_FAKE_OPTIONS_H
#define SLUICE_TESTS_FAKE_OPTIONS_H

#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"

struct pair { const char *name, *text; const struct options *map; const char *const *list; };
struct options { struct pair at[8]; };

static const struct pair *pair_of(const struct options *o, const char *name)
{
	for (unsigned i = 0; i < 8 && o->at[i].name; i++)
		if (strcmp(o->at[i].name, name) == 0)
			return &o->at[i];
	return NULL;
}

bool options_has(const struct options *o, const char *name) { return pair_of(o, name) != NULL; }
const char *options_text(const struct options *o, const char *name)
{
	const struct pair *p = pair_of(o, name);

	return p ? p->text : NULL;
}
int64_t options_int(const struct options *o, const char *name) { return atoll(options_text(o, name)); }
const struct options *options_map(const struct options *o, const char *name)
{
	const struct pair *p = pair_of(o, name);

	return p ? p->map : NULL;
}
unsigned options_count(const struct options *o, const char *name)
{
	const struct pair *p = pair_of(o, name);
	unsigned n = 0;

	if (!p)
		return 0;
	if (p->map)
		return 1;
	while (p->list[n])
		n++;
	return n;
}
const char *options_item(const struct options *o, const char *name, unsigned i) { return pair_of(o, name)->list[i]; }
const char *options_pair(const struct options *o, const char *name, unsigned i, const char **key)
{
	const struct pair *p = &pair_of(o, name)->map->at[i];

	*key = p->name;
	return p->text;
}

#endif
