/* dot.c - the plan as a picture: channels, devices and groups on the left, streams, destinations on the right. */
#include "plan/compile.h"

#include "base/buf.h"

#include <stdio.h>
#include <string.h>

static void add_id(struct buf *out, const char *kind, const char *name)
{
	struct buf b = BUF_INIT;

	buf_addf(&b, "%s %s", kind, name);
	buf_addjson(out, b.p, b.len);
	buf_fini(&b);
}

static void add_node(struct buf *out, const char *kind, const char *name, const char *shape)
{
	buf_adds(out, "\t");
	add_id(out, kind, name);
	buf_adds(out, " [shape=");
	buf_adds(out, shape);
	buf_adds(out, ", label=");
	buf_addjson(out, name, strlen(name));
	buf_adds(out, "];\n");
}

/* Devices of a subscription are one node: a fleet would bury the picture. */
static void add_subscription(struct buf *out, const struct node *n, unsigned ix)
{
	static const struct { const char *key, *kind, *shape; } sides[] = {
		{ "channels", "channel", "cds" }, { "groups", "group", "folder" }, { "devices", "devices", "component" },
	};
	const char *stream = node_get(n, "stream")->text;

	for (unsigned s = 0; s < sizeof(sides) / sizeof(*sides); s++) {
		const struct node *list = node_get(n, sides[s].key);
		bool devices = strcmp(sides[s].key, "devices") == 0;
		char label[64];

		for (unsigned i = 0; list != NULL && i < (devices ? 1 : list->n); i++) {
			const char *name = list->kind == NODE_MAP ? list->entries[i].key->text : list->items[i]->text;

			snprintf(label, sizeof(label), "%u devices of subscription %u", list->n, ix + 1);
			if (devices && list->n > 1)
				name = label;
			add_node(out, sides[s].kind, name, sides[s].shape);
			buf_adds(out, "\t");
			add_id(out, sides[s].kind, name);
			buf_adds(out, " -> ");
			add_id(out, "stream", stream);
			buf_adds(out, ";\n");
		}
	}
}

void plan_print_dot(const struct plan *p, struct buf *out)
{
	buf_adds(out, "digraph sluice {\n\trankdir=LR;\n");
	for (unsigned i = 0; i < p->nchannels; i++)
		add_node(out, "channel", p->channels[i].name, "cds");
	for (unsigned i = 0; i < p->nstreams; i++) {
		add_node(out, "stream", p->streams[i].name, "box");
		buf_adds(out, "\t");
		add_id(out, "stream", p->streams[i].name);
		buf_adds(out, " -> ");
		add_id(out, "destination", p->streams[i].destination->name);
		buf_adds(out, ";\n");
	}
	for (unsigned i = 0; i < p->ndestinations; i++)
		add_node(out, "destination", p->destinations[i].name, "house");
	for (unsigned i = 0; i < p->kept->subscriptions->n; i++)
		add_subscription(out, p->kept->subscriptions->items[i], i);
	buf_adds(out, "}\n");
}
