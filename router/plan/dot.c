/* dot.c - the plan as a picture: where messages come in on the left, streams in the middle, destinations on the right.
 *
 * Each thing is drawn once, however many subscriptions name it, and the devices of one subscription are one thing: a fleet would bury the picture. What
 * does not run is dashed. */
#include "plan/compile.h"

#include "base/buf.h"
#include "plan/where.h"

#include <stdio.h>
#include <string.h>

struct picture {
	struct buf *out;
	struct arena *arena;
	struct map drawn;   /* ids */
};

static const char *id_of(struct picture *p, const char *kind, const char *name)
{
	return arena_printf(p->arena, "%s %s", kind, name);
}

static void add_quoted(struct picture *p, const char *text)
{
	buf_addjson(p->out, text, strlen(text));
}

/* A name and, under it, what it is. `words` may be NULL. */
static void draw(struct picture *p, const char *id, const char *name, const char *words, const char *look, bool runs)
{
	if (map_gets(&p->drawn, id) != NULL)
		return;
	map_put(&p->drawn, id, strlen(id), p);
	buf_adds(p->out, "\t");
	add_quoted(p, id);
	buf_adds(p->out, " [label=");
	add_quoted(p, words != NULL ? arena_printf(p->arena, "%s\n%s", name, words) : name);
	buf_addf(p->out, ", %s%s];\n", look, runs ? "" : ", style=\"rounded,dashed\"");
}

static void join(struct picture *p, const char *from, const char *to)
{
	buf_adds(p->out, "\t");
	add_quoted(p, from);
	buf_adds(p->out, " -> ");
	add_quoted(p, to);
	buf_adds(p->out, ";\n");
}

static const char CHANNEL[] = "fillcolor=\"#dcecf9\"", GROUP[] = "fillcolor=\"#eee8f6\"", STREAM[] = "fillcolor=\"#ffffff\"",
	DESTINATION[] = "fillcolor=\"#e2f2dc\"";

static void draw_channel(struct picture *p, const struct channel *c)
{
	const char *words = c->type;

	if (strcmp(c->type, "http") == 0)
		words = arena_printf(p->arena, "http %s%s", options_text(c->options, "listen"), options_text(c->options, "path"));
	else if (strcmp(c->type, "tcp") == 0)
		words = arena_printf(p->arena, "tcp %s", options_text(c->options, "listen"));
	draw(p, id_of(p, "channel", c->name), c->name, words, CHANNEL, c->enabled);
}

static void draw_stream(struct picture *p, const struct stream *s)
{
	struct buf words = BUF_INIT;

	if (s->where != NULL) {
		buf_adds(&words, "where ");
		where_print(s->where, &words);
	}
	if (!s->enabled || s->paused)
		buf_addf(&words, "%s%s", words.len > 0 ? "\n" : "", s->enabled ? "paused" : "not enabled");
	draw(p, id_of(p, "stream", s->name), s->name, words.len > 0 ? arena_strdup(p->arena, words.p) : NULL, STREAM, s->enabled && !s->paused);
	buf_fini(&words);
}

/* Devices of one subscription: the one there is, or how many. */
static const char *draw_devices(struct picture *p, const struct node *list, unsigned ix)
{
	const char *id, *name = list->kind == NODE_MAP ? list->entries[0].key->text : list->items[0]->text;

	if (list->n > 1) {
		id = arena_printf(p->arena, "devices of subscription %u", ix + 1);
		name = arena_printf(p->arena, "%u devices", list->n);
	} else {
		id = id_of(p, "device", name);
	}
	draw(p, id, name, NULL, GROUP, true);
	return id;
}

static void draw_subscription(struct picture *p, const struct node *n, unsigned ix)
{
	const struct node *channels = node_get(n, "channels"), *groups = node_get(n, "groups"), *devices = node_get(n, "devices");
	const char *stream = id_of(p, "stream", node_get(n, "stream")->text);

	for (unsigned i = 0; channels != NULL && i < channels->n; i++)
		join(p, id_of(p, "channel", channels->items[i]->text), stream);
	for (unsigned i = 0; groups != NULL && i < groups->n; i++) {
		const char *name = groups->kind == NODE_MAP ? groups->entries[i].key->text : groups->items[i]->text, *id = id_of(p, "group", name);

		draw(p, id, name, "group of devices", GROUP, true);
		join(p, id, stream);
	}
	if (devices != NULL && devices->n > 0)
		join(p, draw_devices(p, devices, ix), stream);
}

void plan_print_dot(const struct plan *plan, struct buf *out)
{
	struct picture p = { .out = out, .arena = arena_new() };

	map_init(&p.drawn);
	buf_adds(out, "digraph sluice {\n\trankdir=LR;\n\tranksep=1.2;\n\tnode [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=11, color=\"#6b7680\"];\n"
		"\tedge [color=\"#6b7680\", arrowsize=0.7];\n");
	for (unsigned i = 0; i < plan->nchannels; i++)
		draw_channel(&p, &plan->channels[i]);
	for (unsigned i = 0; i < plan->nstreams; i++)
		draw_stream(&p, &plan->streams[i]);
	for (unsigned i = 0; i < plan->ndestinations; i++) {
		const struct destination *d = &plan->destinations[i];

		draw(&p, id_of(&p, "destination", d->name), d->name, d->url_shown != NULL && *d->url_shown ? arena_printf(p.arena, "%s %s", d->type, d->url_shown) : d->type,
			DESTINATION, true);
	}
	for (unsigned i = 0; i < plan->kept->subscriptions->n; i++)
		draw_subscription(&p, plan->kept->subscriptions->items[i], i);
	for (unsigned i = 0; i < plan->nstreams; i++)
		join(&p, id_of(&p, "stream", plan->streams[i].name), id_of(&p, "destination", plan->streams[i].destination->name));
	buf_adds(out, "}\n");
	map_fini(&p.drawn);
	arena_free(p.arena);
}
