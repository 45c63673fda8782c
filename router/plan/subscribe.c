/* subscribe.c - subscriptions become the routing table.
 *
 * Every device collects grants: a stream, why, and the data it is given for it. Of several grants for one stream the best
 * rank says why (exact ident, wildcard, group, channel), and the best rank that brings data says which. What is left is a set of
 * targets; devices with equal sets share it, and for each set and channel the union with the channel's own targets is made here,
 * once, so that routing a message is two look-ups however many subscriptions there are. */
#include "plan/compile.h"

#include "base/buf.h"
#include "plan/wildcard.h"

#include <stdlib.h>
#include <string.h>

enum rank { RANK_EXACT, RANK_WILDCARD, RANK_GROUP, RANK_CHANNEL };

struct grant {
	const struct stream *stream;
	enum rank rank, data_rank;
	struct mark at, data_at;
	const char *data;          /* JSON, or NULL */
	struct grant *next;
};

struct subscribing {
	struct compiler *c;
	struct grant **devices;    /* by declared->ix; each list sorted by stream->ix, a stream once */
	struct grant **channels;
	struct umap told;          /* pairs of values that were told to contradict */
	struct map sets;           /* content -> row of cells */
	struct map groups;         /* name -> bool for each device */
};

/* ---- data ------------------------------------------------------------------------------------------------------------------------ */

static const char *data_json(struct compiler *c, const struct rule *r, const struct node *map)
{
	if (r == NULL || map == NULL || map->kind != NODE_MAP || map->n == 0)
		return NULL;
	return options_json(options_make(c, r, map, NULL));
}

/* ---- grants ----------------------------------------------------------------------------------------------------------------------- */

static void contradict(struct subscribing *s, const struct grant *a, const struct grant *b)
{
	uint64_t key = hash_bytes(&a->data_at, sizeof(a->data_at)) ^ hash_bytes(&b->data_at, sizeof(b->data_at)), seen;

	key &= UINT64_MAX >> 1;
	if (umap_get(&s->told, key, &seen))
		return;
	umap_put(&s->told, key, 1);
	problem_second(diag_add(s->c->diag, DIAG_TWO_VALUES, &b->data_at, "devices of stream %s are given two different values",
		diag_quote(s->c->diag, b->stream->name, strlen(b->stream->name))), &a->data_at, "the other");
}

static void grant(struct subscribing *s, struct grant **list, const struct grant *g)
{
	struct grant *new;

	while (*list != NULL && (*list)->stream->ix < g->stream->ix)
		list = &(*list)->next;
	if (*list == NULL || (*list)->stream != g->stream) {
		new = arena_alloc(s->c->arena, sizeof(*new));
		*new = *g;
		new->next = *list;
		*list = new;
		return;
	}
	new = *list;
	if (g->rank < new->rank) {
		new->rank = g->rank;
		new->at = g->at;
	}
	if (g->data == NULL)
		return;
	if (new->data != NULL && new->data_rank == g->data_rank && strcmp(new->data, g->data) != 0)
		contradict(s, new, g);
	if (new->data == NULL || g->data_rank < new->data_rank) {
		new->data = g->data;
		new->data_rank = g->data_rank;
		new->data_at = g->data_at;
	}
}

/* Who belongs to a group: a flag for each device, made once a group. Groups don't loop: names.c has seen to that. */
static const bool *members(struct subscribing *s, const char *name)
{
	struct compiler *c = s->c;
	const struct entry *e = map_gets(&c->kept->groups.names, name);
	const struct node *devices = node_get(e->value, "devices"), *groups = node_get(e->value, "groups");
	bool *in = map_gets(&s->groups, name);

	if (in != NULL)
		return in;
	in = arena_alloc(c->arena, c->kept->ndevices + 1);
	for (unsigned i = 0; i < c->kept->ndevices; i++)
		for (unsigned k = 0; k < c->kept->devices[i]->ngroups; k++)
			in[i] = in[i] || strcmp(c->kept->devices[i]->groups[k], name) == 0;
	for (unsigned i = 0; devices != NULL && i < devices->n; i++) {
		const struct node *n = devices->items[i];

		if (strchr(n->text, '*') == NULL) {
			in[device_declared(c, n->text, n->len)->ix] = true;
			continue;
		}
		for (unsigned k = 0; k < c->kept->ndevices; k++)
			in[k] = in[k] || wildcard_matches(n->text, n->len, '*', c->kept->devices[k]->ident, c->kept->devices[k]->len, false);
	}
	for (unsigned i = 0; groups != NULL && i < groups->n; i++) {
		const bool *below = members(s, groups->items[i]->text);

		for (unsigned k = 0; k < c->kept->ndevices; k++)
			in[k] = in[k] || below[k];
	}
	map_put(&s->groups, e->key->text, e->key->len, in);
	return in;
}

static void grant_devices(struct subscribing *s, struct grant *g, const struct node *list, const struct rule *data)
{
	for (unsigned i = 0; list != NULL && i < list->n; i++) {
		const struct node *name = list->kind == NODE_MAP ? list->entries[i].key : list->items[i];
		bool wildcard = strchr(name->text, '*') != NULL;

		g->at = g->data_at = name->at;
		g->data = list->kind == NODE_MAP ? data_json(s->c, data, list->entries[i].value) : NULL;
		g->rank = g->data_rank = wildcard ? RANK_WILDCARD : RANK_EXACT;
		if (!wildcard) {
			struct declared *d = device_declared(s->c, name->text, name->len);

			grant(s, &s->devices[d->ix], g);
			continue;
		}
		for (unsigned k = 0; k < s->c->kept->ndevices; k++) {
			const struct declared *d = s->c->kept->devices[k];

			if (wildcard_matches(name->text, name->len, '*', d->ident, d->len, false))
				grant(s, &s->devices[k], g);
		}
	}
}

static void grant_groups(struct subscribing *s, struct grant *g, const struct node *list, const struct rule *data)
{
	for (unsigned i = 0; list != NULL && i < list->n; i++) {
		const struct node *name = list->kind == NODE_MAP ? list->entries[i].key : list->items[i];

		g->at = g->data_at = name->at;
		g->data = list->kind == NODE_MAP ? data_json(s->c, data, list->entries[i].value) : NULL;
		g->rank = g->data_rank = RANK_GROUP;
		const bool *in = members(s, name->text);

		for (unsigned k = 0; k < s->c->kept->ndevices; k++)
			if (in[k])
				grant(s, &s->devices[k], g);
	}
}

static void grant_channels(struct subscribing *s, struct grant *g, const struct node *list)
{
	const struct section *channels = &s->c->kept->channels;

	g->data = NULL;
	g->rank = RANK_CHANNEL;
	for (unsigned i = 0; list != NULL && i < list->n; i++) {
		const struct entry *e = map_gets(&channels->names, list->items[i]->text);

		g->at = list->items[i]->at;
		grant(s, &s->channels[e - channels->node->entries], g);
	}
}

/* ---- sets -------------------------------------------------------------------------------------------------------------------------- */

static struct cell make_cell(struct subscribing *s, const struct grant *device, const struct grant *channel)
{
	unsigned n = 0;
	struct target *targets;

	for (const struct grant *g = device; g != NULL; g = g->next)
		n++;
	for (const struct grant *g = channel; g != NULL; g = g->next)
		n++;
	targets = arena_alloc(s->c->arena, (n + 1) * sizeof(*targets));
	n = 0;
	while (device != NULL || channel != NULL) {
		const struct grant *g = channel == NULL || (device != NULL && device->stream->ix <= channel->stream->ix) ? device : channel;

		if (channel != NULL && channel->stream == g->stream && channel != g)
			channel = channel->next; /* once, as the device's */
		targets[n++] = (struct target){ g->stream, g->data, place_of(s->c, &g->at) };
		if (g == device)
			device = device->next;
		else
			channel = channel->next;
	}
	return (struct cell){ targets, n };
}

/* What tells one set from another, as bytes: made for every device. */
static void add_grant(struct buf *content, const struct grant *g)
{
	const uintptr_t words[] = { g->stream->ix, g->at.line, g->at.column, (uintptr_t)g->at.source };

	buf_add(content, words, sizeof(words));
	if (g->data != NULL)
		buf_adds(content, g->data);
	buf_addc(content, '\n');
}

static const struct cell *row_of(struct subscribing *s, const struct grant *device)
{
	struct compiler *c = s->c;
	struct buf content = BUF_INIT;
	struct cell *row, plain;
	char *key;

	for (const struct grant *g = device; g != NULL; g = g->next)
		add_grant(&content, g);
	row = map_get(&s->sets, content.p ? content.p : "", content.len);
	if (row == NULL) {
		row = arena_alloc(c->arena, (c->plan->nchannels + 1) * sizeof(*row));
		plain = make_cell(s, device, NULL);
		for (unsigned i = 0; i < c->plan->nchannels; i++)
			row[i] = s->channels[i] != NULL ? make_cell(s, device, s->channels[i]) : plain;
		key = arena_strndup(c->arena, content.p ? content.p : "", content.len);
		map_put(&s->sets, key, content.len, row);
	}
	buf_fini(&content);
	return row;
}

static int most_exact(const void *x, const void *y)
{
	const struct device *a = *(const struct device *const *)x, *b = *(const struct device *const *)y;

	if (a->ident_len != b->ident_len)
		return a->ident_len > b->ident_len ? -1 : 1;
	return a < b ? -1 : 1;
}

static void build_table(struct subscribing *s)
{
	struct compiler *c = s->c;
	struct routing *r = xcalloc(1, sizeof(*r));

	map_init(&r->idents);
	r->rows = arena_alloc(c->arena, (c->plan->ndevices + 1) * sizeof(*r->rows));
	r->wildcards = arena_alloc(c->arena, (c->plan->ndevices + 1) * sizeof(*r->wildcards));
	for (unsigned i = 0; i < c->plan->ndevices; i++) {
		const struct device *d = &c->plan->devices[i];

		r->rows[i] = row_of(s, s->devices[i]);
		if (d->wildcard)
			r->wildcards[r->nwildcards++] = d;
		else
			map_put(&r->idents, d->ident, d->ident_len, (void *)d);
	}
	r->rows[c->plan->ndevices] = row_of(s, NULL);
	if (r->nwildcards > 0)
		qsort(r->wildcards, r->nwildcards, sizeof(*r->wildcards), most_exact);
	c->plan->routing = r;
}

/* Would the device feed a stream that is not enabled, itself or through a channel? Flags by declared->ix. */
static const bool *idle_devices(struct compiler *c, const struct subscribing *idle)
{
	bool *flags = arena_alloc(c->arena, c->kept->ndevices + 1), channel = false;

	for (unsigned i = 0; i < c->plan->nchannels; i++)
		channel = channel || idle->channels[i] != NULL;
	for (unsigned i = 0; i < c->kept->ndevices; i++)
		flags[i] = channel || idle->devices[i] != NULL;
	return flags;
}

void build_routing(struct compiler *c)
{
	struct subscribing s = { .c = c }, idle;
	const struct node *all = c->kept->subscriptions;

	map_init(&s.groups);
	umap_init(&s.told);
	map_init(&s.sets);
	s.devices = arena_alloc(c->arena, (c->kept->ndevices + 1) * sizeof(*s.devices));
	s.channels = arena_alloc(c->arena, (c->plan->nchannels + 1) * sizeof(*s.channels));
	idle = (struct subscribing){ .c = c };
	map_init(&idle.groups);
	umap_init(&idle.told);
	idle.devices = arena_alloc(c->arena, (c->kept->ndevices + 1) * sizeof(*s.devices));
	idle.channels = arena_alloc(c->arena, (c->plan->nchannels + 1) * sizeof(*s.channels));
	for (unsigned i = 0; i < all->n; i++) {
		const struct entry *e = map_gets(&c->kept->streams.names, node_get(all->items[i], "stream")->text);
		struct grant g = { .stream = &c->plan->streams[e - c->kept->streams.node->entries] };
		const struct node *devices = node_get(all->items[i], "devices"), *groups = node_get(all->items[i], "groups");
		struct subscribing *to = g.stream->enabled ? &s : &idle; /* one that is not enabled neither appends nor sends */
		const struct rule *data = to == &s && ((devices != NULL && devices->kind == NODE_MAP) || (groups != NULL && groups->kind == NODE_MAP)) ?
			device_data_rule(c, e->value) : NULL;

		grant_devices(to, &g, devices, data);
		grant_groups(to, &g, groups, data);
		grant_channels(to, &g, node_get(all->items[i], "channels"));
	}
	build_table(&s);
	warn_routes(c, idle_devices(c, &idle));
	umap_fini(&s.told);
	map_fini(&s.sets);
	map_fini(&s.groups);
	umap_fini(&idle.told);
	map_fini(&idle.groups);
}
