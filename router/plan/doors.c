/* doors.c - channels in each other's way: what would else be found out when they are opened.
 *
 * What types of channels say of two is asked of few pairs, however many channels there are: those at one port, of which all that share a front
 * (address, type, TLS) are alike to everybody else, and stand in each other's way only where they share a room (a path) as well. */
#include "plan/compile.h"

#include "base/buf.h"
#include "spec/nearest.h"

#include <string.h>

/* Channels in the order of their coming. */
struct row { unsigned channel; struct row *next, **tail; /* of the first: where the next one goes */ };

struct doors {
	struct compiler *c;
	struct map houses;   /* -> a row with the first channel of each front */
	struct map fronts;   /* house and front -> its first channel, as a row of one */
	struct map rooms;    /* house, front and room -> all its channels */
};

/* Where a channel says what it opens. */
static const struct mark *door_mark(const struct entry *e)
{
	const struct node *n = node_get(e->value, "listen");

	if (n == NULL)
		n = node_get(e->value, "path");
	return n != NULL ? &n->at : &e->key->at;
}

/* A reference that was not read may stand for anything. */
static bool is_open_question(const struct compiler *c, const struct entry *e)
{
	const struct node *listen = node_get(e->value, "listen"), *path = node_get(e->value, "path");

	return c->loader->no_secrets && ((listen != NULL && reference_in(listen->text)) || (path != NULL && reference_in(path->text)));
}

static bool is_door_key(const char *key)
{
	static const char *const keys[] = { "type", "listen", "path", "methods", "tls", "enabled", "behind-proxy" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (nearest_distance(key, keys[i]) <= 2)
			return true;
	return false;
}

/* Is all there that says where a channel stands? What was taken away for a mistake may have said so. */
static bool is_known(const struct compiler *c, const struct entry *e)
{
	const struct node *before = NULL;

	for (unsigned i = 0; e->value->partial && i < c->channels_written->n; i++)
		if (c->channels_written->entries[i].key == e->key)
			before = c->channels_written->entries[i].value;
	for (unsigned i = 0; before != NULL && i < before->n; i++) {
		const char *key = before->entries[i].key->text;
		const struct node *left = node_get(e->value, key);

		if (is_door_key(key) && (left == NULL || left->partial))
			return false;
	}
	return !is_open_question(c, e);
}

static void row_add(struct compiler *c, struct map *rows, const struct buf *key, unsigned channel)
{
	struct row *first = map_get(rows, key->p, key->len), *new = arena_alloc(c->arena, sizeof(*new));

	*new = (struct row){ .channel = channel };
	if (first == NULL) {
		new->tail = &new->next;
		map_put(rows, arena_strndup(c->arena, key->p, key->len), key->len, new);
	} else {
		*first->tail = new;
		first->tail = &new->next;
	}
}

/* The first channel of a row, and before `limit`, that this one cannot be open beside; limit: none is. */
static unsigned first_in_row(const struct doors *d, const struct row *r, unsigned ix, unsigned limit)
{
	const struct channel *channels = d->c->plan->channels;
	char unused[500];

	for (; r != NULL && r->channel < limit; r = r->next)
		if (d->c->loader->channel(&channels[ix], &channels[r->channel], unused, sizeof(unused)) < 0)
			return r->channel;
	return limit;
}

/* The first channel before this one that is in its way; ix: none is. Of its own front those in its room are asked, of each other front one. */
static unsigned in_the_way(struct doors *d, unsigned ix)
{
	struct buf key = BUF_INIT;
	unsigned found = ix;
	struct whereabouts door = { .house = BUF_INIT, .front = BUF_INIT, .room = BUF_INIT };
	const struct row *first;

	d->c->loader->whereabouts(&d->c->plan->channels[ix], &door);
	if (door.house.len > 0) {
		buf_addf(&key, "%s\n%s", door.house.p, door.front.p ? door.front.p : "");
		first = map_get(&d->fronts, key.p, key.len);
		if (first == NULL)
			row_add(d->c, &d->fronts, &key, ix);
		buf_addf(&key, "\n%s", door.room.p ? door.room.p : "");
		found = first_in_row(d, map_get(&d->rooms, key.p, key.len), ix, found);
		for (const struct row *r = map_get(&d->houses, door.house.p, door.house.len); r != NULL && r->channel < found; r = r->next)
			if (first == NULL || r->channel != first->channel)
				found = first_in_row(d, &(struct row){ .channel = r->channel }, ix, found);
		row_add(d->c, &d->rooms, &key, ix);
		if (first == NULL)
			row_add(d->c, &d->houses, &door.house, ix);
	}
	buf_fini(&door.house);
	buf_fini(&door.front);
	buf_fini(&door.room);
	buf_fini(&key);
	return found;
}

void doors_check(struct compiler *c)
{
	const struct channel *channels = c->plan->channels;
	const struct node *all = c->kept->channels.node;
	struct doors d = { .c = c };
	char why[500];
	unsigned other;

	map_init(&d.houses);
	map_init(&d.fronts);
	map_init(&d.rooms);
	for (unsigned i = 0; c->loader->channel != NULL && i < all->n; i++) {
		const struct entry *e = &all->entries[i];

		if (!channels[i].enabled || !is_known(c, e))
			continue;
		if (c->loader->channel(&channels[i], NULL, why, sizeof(why)) < 0)
			diag_add(c->diag, DIAG_PATTERN, door_mark(e), "%s", why);
		else if ((other = in_the_way(&d, i)) != i && c->loader->channel(&channels[i], &channels[other], why, sizeof(why)) < 0)
			problem_second(diag_add(c->diag, DIAG_CONFLICT, door_mark(e), "%s", why), door_mark(&all->entries[other]), "the other one");
	}
	map_fini(&d.houses);
	map_fini(&d.fronts);
	map_fini(&d.rooms);
}
