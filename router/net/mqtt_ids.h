/* mqtt_ids.h - the packet ids of a client that wait for an answer, and what each is for.
 *
 * The hard idea: ids rise from 1 to 65535 and begin again, so that an acknowledgement which comes twice, or late, finds nothing: its id is given
 * again only 65535 messages later. What is in flight therefore lies close together, and a small table with the id's low bits as place holds
 * it; where a place is still taken (an old message that is not acknowledged while younger ones are), its id is passed over. */
#ifndef SLUICE_NET_MQTT_IDS_H
#define SLUICE_NET_MQTT_IDS_H

#include <stdint.h>

enum mqtt_use { MQTT_FREE, MQTT_PUBLISHED, MQTT_SUBSCRIBING, MQTT_UNSUBSCRIBING };
struct mqtt_id { uint32_t token; uint16_t id; uint8_t use; };   /* token: its user's own */
struct mqtt_ids { struct mqtt_id *places; unsigned mask; uint16_t last; };

/* For `most` at a time; there are never more than 65535. */
void mqtt_ids_init(struct mqtt_ids *t, unsigned most);
void mqtt_ids_fini(struct mqtt_ids *t);
/* A free id. There must be one: fewer than `most` are taken. */
uint16_t mqtt_ids_take(struct mqtt_ids *t, enum mqtt_use use, uint32_t token);
/* What this id was taken for, to be read, or made free (use = MQTT_FREE); NULL: it is not in flight for that. */
struct mqtt_id *mqtt_ids_find(struct mqtt_ids *t, uint16_t id, enum mqtt_use use);

#endif
