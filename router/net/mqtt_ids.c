/* mqtt_ids.c - see mqtt_ids.h. */
#include "net/mqtt_ids.h"

#include <assert.h>
#include <stdlib.h>

#include "base/arena.h"

void mqtt_ids_init(struct mqtt_ids *t, unsigned most)
{
	unsigned places = 64;

	/* Twice as many places as can be in flight, so that one is soon found. */
	while (places < 2 * most && places < 65536)
		places *= 2;
	*t = (struct mqtt_ids){ .places = xcalloc(places, sizeof *t->places), .mask = places - 1 };
}

void mqtt_ids_fini(struct mqtt_ids *t)
{
	free(t->places);
}

uint16_t mqtt_ids_take(struct mqtt_ids *t, enum mqtt_use use, uint32_t token)
{
	struct mqtt_id *at;
	unsigned tries = 0;

	do {
		assert(tries++ < 65536);
		t->last = t->last == 65535 ? 1 : (uint16_t)(t->last + 1);
		at = &t->places[t->last & t->mask];
	} while (at->use != MQTT_FREE);
	*at = (struct mqtt_id){ .token = token, .id = t->last, .use = (uint8_t)use };
	return t->last;
}

struct mqtt_id *mqtt_ids_find(struct mqtt_ids *t, uint16_t id, enum mqtt_use use)
{
	struct mqtt_id *at = &t->places[id & t->mask];

	return at->use == use && at->id == id ? at : NULL;
}
