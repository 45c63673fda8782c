/* compile.c - a specification becomes a plan: the order of the steps, and a plan's life. */
#include "plan/compile.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* ---- adapters as destination types -------------------------------------------------------------------------------------------- */

static const struct rule *find_type(void *arg, const char *family, const char *type)
{
	struct compiler *c = arg;
	static const char *const bases[] = { [TRANSPORT_HTTP] = "adapter-http", [TRANSPORT_MQTT] = "adapter-mqtt", [TRANSPORT_TCP] = "adapter-tcp" };
	const struct type_info *t;
	struct rule *r = map_gets(&c->kept->rules, type);

	if (r != NULL || c->catalogue == NULL || strcmp(family, "destination") != 0)
		return r;
	t = c->catalogue->find(c->catalogue->arg, type);
	if (t == NULL || t->native || !t->is_destination || t->transport > TRANSPORT_TCP)
		return NULL;
	r = (struct rule *)rule_of(bases[t->transport]);
	if (t->options_schema != NULL)
		r = (struct rule *)schema_extend(c->kept->schema, r, t->options_schema, c->diag);
	if (r != NULL)
		map_put(&c->kept->rules, t->name, strlen(t->name), r);
	return r;
}

static const char *next_type(void *arg, const char *family, unsigned *i)
{
	struct compiler *c = arg;
	const struct type_info *t;

	while (c->catalogue != NULL && strcmp(family, "destination") == 0 && (t = c->catalogue->next(c->catalogue->arg, i)) != NULL)
		if (!t->native && t->is_destination)
			return t->name;
	return NULL;
}

static bool type_told(void *arg, const char *type)
{
	struct compiler *c = arg;

	return c->catalogue != NULL && c->catalogue->told != NULL && c->catalogue->told(c->catalogue->arg, type);
}

/* ---- compiling ------------------------------------------------------------------------------------------------------------------- */

static void open_adapters(struct compiler *c, const struct catalogue *(*adapters)(void *, const char *const *, unsigned, struct diag *), void *arg)
{
	struct conf settings = conf_of(rule_of("settings"), c->kept->settings, NULL);
	unsigned n;
	const char *const *dirs = adapter_dirs(c, settings, &n);

	c->catalogue = adapters != NULL ? adapters(arg, dirs, n, c->diag) : NULL;
	c->kept->types = (struct schema_types){ c, find_type, next_type, type_told };
}

static void build(struct compiler *c)
{
	build_settings(c);
	devices_build(c);
	build_channels(c);
	build_destinations(c);
	build_streams(c);
	c->partial = false;
	build_routing(c);
}

/* What is missing may be what was taken away; what only deserves a warning may look different without it. */
static bool is_sure(void *arg, enum diag_code code)
{
	const struct compiler *c = arg;

	return code_is_error(code) && !(c->partial && (code == DIAG_MISSING_KEY || code == DIAG_ALTERNATIVES));
}

static void compile_sound(struct compiler *c)
{
	diag_only(c->diag, is_sure, c);
	if (sound_only(c))
		build(c);
	diag_only(c->diag, NULL, NULL);
}

static bool compile(struct compiler *c, const char *file, const struct catalogue *(*adapters)(void *, const char *const *, unsigned, struct diag *), void *arg)
{
	bool whole = load_files(c, file);

	load_merge(c);
	open_adapters(c, adapters, arg);
	for (unsigned i = 0; i < c->nfiles; i++)
		if (c->files[i].root != NULL)
			schema_check(c->arena, schema_root(schema_builtin()), c->files[i].root, NULL, &c->kept->types, c->diag);
	devices_declare(c);
	if (whole) /* else half of the names would be missing */
		names_check(c);
	secrets_exposed(c);
	if (diag_errors(c->diag) > 0) {
		secrets_check(c);
		if (whole)
			compile_sound(c);
		return false;
	}
	names_unused(c);
	names_partly(c);
	if (node_get(c->files[0].root, "sluice") == NULL)
		problem_note(diag_add(c->diag, DIAG_NO_VERSION, &c->files[0].root->at, "the file does not say which version of the language it is in"),
			"begin it with: sluice: 1");
	build(c);
	return diag_errors(c->diag) == 0;
}

struct plan *plan_compile(const char *file, const struct loader *l,
                          const struct catalogue *(*adapters)(void *arg, const char *const *dirs, unsigned ndirs, struct diag *d), void *adapters_arg,
                          struct diag *d)
{
	struct arena *a = arena_new();
	struct plan *p = arena_alloc(a, sizeof(*p));
	struct kept *k = arena_alloc(a, sizeof(*k));
	struct compiler c = { .arena = a, .plan = p, .kept = k, .loader = l, .diag = d };
	bool ok;

	p->arena = a;
	p->kept = k;
	p->file = arena_strdup(a, file);
	atomic_init(&p->refs, 1);
	k->schema = schema_new(schema_builtin());
	map_init(&k->rules);
	map_init(&c.secrets);
	map_init(&c.idents);
	umap_init(&c.used);
	ok = compile(&c, file, adapters, adapters_arg);
	map_fini(&c.secrets);
	map_fini(&c.idents);
	umap_fini(&c.used);
	k->types = (struct schema_types){ NULL, NULL, NULL, NULL }; /* they asked a compiler that is no more */
	if (!ok) {
		plan_unref(p);
		return NULL;
	}
	return p;
}

/* ---- life ------------------------------------------------------------------------------------------------------------------------- */

void plan_seal(struct plan *p)
{
	assert(!p->sealed);
	p->sealed = true;
}

const struct plan *plan_ref(const struct plan *p)
{
	atomic_fetch_add_explicit(&((struct plan *)p)->refs, 1, memory_order_relaxed);
	return p;
}

void kept_free(struct kept *k)
{
	sections_fini(k);
	map_fini(&k->rules);
	stamp_set_fini(&k->stamps);
	schema_free(k->schema);
}

void plan_unref(const struct plan *plan)
{
	struct plan *p = (struct plan *)plan;

	if (p == NULL || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (p->scripts != NULL && p->scripts_free != NULL)
		p->scripts_free(p->scripts);
	routing_free(p->routing);
	kept_free(p->kept);
	arena_free(p->arena);
}

#define FIND(kind, list, count)                                                     \
	const struct kind *plan_##kind(const struct plan *p, const char *name)      \
	{                                                                           \
		for (unsigned i = 0; i < p->count; i++)                             \
			if (strcmp(p->list[i].name, name) == 0)                     \
				return &p->list[i];                                 \
		return NULL;                                                        \
	}

FIND(stream, streams, nstreams)
FIND(channel, channels, nchannels)
FIND(destination, destinations, ndestinations)
