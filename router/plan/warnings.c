/* warnings.c - what is allowed, and is seldom meant: told once the routing table stands, since it shows who goes where.
 *
 * A warning must find mistakes and nothing else: each is told once, at the place where it is put right, however many devices, channels or streams
 * it is about. */
#include "plan/compile.h"

#include <string.h>

#define NAMED_MAX 5   /* of devices that are in the same case */

static const char *quoted(struct compiler *c, const char *name)
{
	return diag_quote(c->diag, name, strlen(name));
}

/* ---- subscriptions ---------------------------------------------------------------------------------------------------------- */

/* A stream fed by a channel and by devices: said once a stream. */
static void warn_twice(struct compiler *c, const struct stream *stream)
{
	const struct node *channel = NULL, *device = NULL, *all = c->kept->subscriptions;

	for (unsigned i = 0; i < all->n; i++) {
		const struct node *n = all->items[i];
		const struct node *list = node_get(n, "devices") ? node_get(n, "devices") : node_get(n, "groups");

		if (!node_is(node_get(n, "stream"), stream->name))
			continue;
		if (channel == NULL && node_get(n, "channels") != NULL)
			channel = node_get(n, "channels")->items[0];
		if (device == NULL && list != NULL)
			device = list->kind == NODE_MAP ? list->entries[0].key : list->items[0];
	}
	if (channel != NULL && device != NULL)
		problem_second(diag_add(c->diag, DIAG_TWICE, &channel->at, "stream %s is subscribed to a channel and to devices: each message goes once, as the device's",
			quoted(c, stream->name)), &device->at, "to devices here");
}

/* Does anything a device sends go anywhere, on some channel? */
static bool goes_somewhere(const struct compiler *c, const struct cell *row)
{
	for (unsigned i = 0; i < c->plan->nchannels; i++)
		if (row[i].n > 0)
			return true;
	return false;
}

/* Devices whose messages are all unrouted, which is said once for all of them. `idle`: what would be fed if every stream were enabled. */
static void warn_nowhere(struct compiler *c, const bool *idle)
{
	const struct routing *r = c->plan->routing;
	const struct declared *named[NAMED_MAX] = { NULL };
	unsigned n = 0;
	struct problem *p;

	if (c->plan->nchannels == 0 || c->plan->nstreams == 0) /* nothing goes anywhere, which is told already */
		return;
	for (unsigned i = 0; i < c->plan->ndevices; i++) {
		const struct declared *d = c->kept->devices[i];
		bool same = i > 0 && r->rows[i] == r->rows[i - 1] && n > 0 && named[(n < NAMED_MAX ? n : NAMED_MAX) - 1] == c->kept->devices[i - 1];

		if (d->implied || idle[i] || (!same && goes_somewhere(c, r->rows[i])))
			continue;
		if (n < NAMED_MAX)
			named[n] = d;
		n++;
	}
	if (n == 0)
		return;
	p = diag_add(c->diag, DIAG_NOWHERE, &named[0]->at, "no stream gets the messages of device %s", diag_quote(c->diag, named[0]->ident, named[0]->len));
	for (unsigned i = 1; i < n && i < NAMED_MAX; i++)
		problem_note(p, "nor of %s", diag_quote(c->diag, named[i]->ident, named[i]->len));
	if (n > NAMED_MAX)
		problem_note(p, "nor of %u more", n - NAMED_MAX);
	problem_note(p, "subscribe a stream to it, to a group it is in, or to its channel");
}

/* ---- one stream that holds up others ------------------------------------------------------------------------------------------ */

/* Streams that a channel feeds: by their own subscriptions, or because a device that comes in on it feeds them. */
struct fed { bool *is; unsigned n; const struct stream *block; };

static void fed_add(struct fed *f, const struct cell *cell)
{
	for (unsigned i = 0; i < cell->n; i++) {
		const struct stream *s = cell->targets[i].stream;

		if (f->block == NULL && s->full == SETTING_FULL_BLOCK)
			f->block = s;
		f->n += !f->is[s->ix];
		f->is[s->ix] = true;
	}
}

static void tell_block(struct compiler *c, const struct mark *at, const struct fed *f, bool always)
{
	const struct stream *all = c->plan->streams, *block = f->block, *other = NULL;
	struct problem *p;
	unsigned named = 1;

	for (unsigned i = 0; i < c->plan->nstreams && other == NULL; i++)
		other = f->is[i] && &all[i] != block ? &all[i] : NULL;
	p = diag_add(c->diag, DIAG_SHARED_BLOCK, at, "when the buffer of stream %s is full, this channel waits%s, and stream %s gets nothing either",
		quoted(c, block->name), always ? "" : " as soon as one of its devices reports", quoted(c, other->name));
	for (unsigned i = other->ix + 1; i < c->plan->nstreams && named < NAMED_MAX; i++)
		if (f->is[i] && &all[i] != block) {
			problem_note(p, "nor does stream %s%s", quoted(c, all[i].name), all[i].full == SETTING_FULL_BLOCK ? ", which makes it wait too" : "");
			named++;
		}
	if (f->n - 1 > named)
		problem_note(p, "nor do %u more", f->n - 1 - named);
}

/* A full buffer with `full: block` stops the channel, and with it the other streams it feeds. Channels that feed the same ones are told of once. */
static void warn_block(struct compiler *c)
{
	const struct routing *r = c->plan->routing;
	unsigned n = c->plan->nstreams;
	bool *told = arena_alloc(c->arena, n + 1), *is = arena_alloc(c->arena, n + 1);

	for (unsigned i = 0; i < c->plan->nchannels; i++) {
		const struct entry *e = &c->kept->channels.node->entries[i];
		struct fed f = { .is = is };
		bool always;

		if (!c->plan->channels[i].enabled || node_get(e->value, "answer") != NULL) /* a health check feeds nothing */
			continue;
		memset(is, 0, n);
		fed_add(&f, &r->rows[c->plan->ndevices][i]);
		always = f.block != NULL;
		for (unsigned k = 0; f.n < n && k < c->plan->ndevices; k++)
			if (k == 0 || r->rows[k] != r->rows[k - 1])
				fed_add(&f, &r->rows[k][i]);
		if (f.block == NULL || f.n < 2 || memcmp(told, is, n) == 0)
			continue;
		memcpy(told, is, n);
		tell_block(c, &e->key->at, &f, always);
	}
}

/* An address made of each message, and one batch at a time: each device waits for the answer to another. */
static void warn_one_by_one(struct compiler *c, const struct stream *s)
{
	const struct node *map = c->kept->streams.node->entries[s->ix].value, *ordering = node_get(map, "ordering");

	if (!s->enabled || s->ordering != ORDER_STREAM || s->destination->transport != TRANSPORT_HTTP || s->destination->url.nparams == 0)
		return;
	problem_note(diag_add(c->diag, DIAG_ONE_BY_ONE, ordering ? &ordering->at : &node_get(map, "to")->at,
		"the url of destination %s differs from message to message, and with ordering: stream one request is under way at a time",
		quoted(c, s->destination->name)), "ordering: device with in-flight: 8, say, keeps the order of each device");
}

void warn_routes(struct compiler *c, const bool *idle)
{
	for (unsigned i = 0; i < c->plan->nstreams; i++) {
		warn_twice(c, &c->plan->streams[i]);
		warn_one_by_one(c, &c->plan->streams[i]);
	}
	warn_block(c);
	warn_nowhere(c, idle);
}
