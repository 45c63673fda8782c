/* mqtt_parts.h - the inside of the MQTT channel type: mqtt.c (which channels there are, on the main loop), mqtt_source.c (one channel's connection,
 * on a worker's loop), mqtt_settings.c (what a connection is made with), mqtt_ident.c (an ident that stands in the topic). */
#ifndef SLUICE_CHANNELS_MQTT_PARTS_H
#define SLUICE_CHANNELS_MQTT_PARTS_H

#include "base/buf.h"
#include "channels/channel.h"
#include "net/mqtt_packet.h"
#include "net/wire.h"

struct index;
struct mqtt_source;
struct tls_client;

/* ---- mqtt_settings.c ---- */

/* Everything a connection is made with; copies, since it outlives the plan it was read from. */
struct mqtt_settings {
	struct wire_target to;
	struct tls_client *tls;
	char *peer;                   /* "broker:8883", for people and for the messages' `peer` */
	char *client_id, *username, *password;  /* the last two may be NULL */
	enum mqtt_version version;
	unsigned qos, window, keep_alive;
	uint32_t session;             /* seconds */
	char **topics;
	unsigned ntopics;
	size_t message_max;
	uint64_t fingerprint;         /* of the channel */
};
/* NULL and why. */
struct mqtt_settings *mqtt_settings_new(const struct channel *c, const struct plan *p, const char *instance, char *why, size_t whylen);
void mqtt_settings_free(struct mqtt_settings *s);   /* NULL is fine */

/* ---- mqtt_ident.c ---- */

/* The level of a topic, from 1; n 0: it has none of that number. */
struct mqtt_text mqtt_level(struct mqtt_text topic, unsigned level);
/* The messages of a payload, those without an ident with this one, as a list in out. False: they are to be taken as they are. */
bool mqtt_add_ident(struct buf *out, struct index *ix, const char *payload, size_t n, const char *field, struct mqtt_text ident);

/* ---- mqtt_source.c: on its loop, but for what says otherwise ---- */

/* Takes over the settings. One reference is the caller's. Main loop; nothing happens before mqtt_source_start. */
struct mqtt_source *mqtt_source_new(const struct channel_host *h, struct intake_loop *l, const char *name, struct mqtt_settings *s);
struct mqtt_source *mqtt_source_ref(struct mqtt_source *s);   /* any thread */
void mqtt_source_unref(struct mqtt_source *s);                /* any thread */
struct intake_loop *mqtt_source_loop(const struct mqtt_source *s);
void mqtt_source_status(struct mqtt_source *s, struct channel_status *out);  /* any thread */

void mqtt_source_start(struct mqtt_source *s);
/* Other settings (taken over): what was read is stored and acknowledged under the old ones, then it connects again. */
void mqtt_source_renew(struct mqtt_source *s, struct mqtt_settings *next);
/* No more is read; when all that was read is stored and acknowledged, it says goodbye and `gone` is called, if it is not NULL. */
void mqtt_source_stop(struct mqtt_source *s, void (*gone)(void *arg), void *arg);
void mqtt_source_resume(struct mqtt_source *s);
/* At once; the loop does not run any more. */
void mqtt_source_drop(struct mqtt_source *s);
/* The next on this loop; NULL gives the first. */
struct mqtt_source *mqtt_source_next(struct intake_loop *l, struct mqtt_source *after);

#endif
