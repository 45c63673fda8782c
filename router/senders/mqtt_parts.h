/* mqtt_parts.h - the inside of the MQTT driver: mqtt.c (settings, batches, verdicts) and mqtt_link.c (one connection and what is on its way there).
 *
 * Understand these first:
 *   flight   a batch under way, and what is known of each of its messages by now.
 *   letter   one message of a flight, on its way through a link: it waits, or it is out (published, not acknowledged).
 *   link     one connection to the server, made when the first letter comes, and the order of its letters. Messages of one device always go
 *            through the same link. */
#ifndef SLUICE_SENDERS_MQTT_PARTS_H
#define SLUICE_SENDERS_MQTT_PARTS_H

#include "base/buf.h"
#include "base/map.h"
#include "base/seldom.h"
#include "net/mqtt_client.h"
#include "net/wire.h"
#include "plan/plan.h"
#include "senders/sender.h"

#define NONE UINT32_MAX

/* What became of one message. FATE_LINK: it went the way of its link, with all that were there. */
enum fate { FATE_OPEN, FATE_DONE, FATE_RETRY, FATE_REFUSED, FATE_BLOCKED, FATE_LINK };

struct flight {
	struct sender *s;
	struct batch *b;
	const char *topic;               /* of all its messages, where they have none of their own: settings may change meanwhile */
	struct flight *next;             /* among those that are to be judged, or the spare ones */
	unsigned n, left, cap;
	struct { uint8_t fate; uint32_t words; } *fates;   /* words: offset in `words` */
	struct entry_verdict *each;
	struct buf words;                /* texts with their NUL */
	enum verdict link_verdict;       /* for FATE_LINK */
	uint32_t link_words;
	int status;                      /* the last code that was no success */
	bool reached, absent;
};

struct letter {
	struct flight *f;                /* NULL: given up, its answer is awaited all the same */
	uint32_t i;                      /* entry of the batch */
	uint32_t next, prev;             /* in its link's list, or next spare */
	int64_t sent;                    /* mono */
};
struct letters { uint32_t first, last; unsigned n; };

struct link {
	struct sender *s;
	struct link *next;
	char *ident;                     /* of a connection per device; else NULL */
	size_t ident_len;
	unsigned number;
	struct mqtt_client *client;      /* NULL: not connected, and nobody waits for it */
	struct mqtt_granted granted;
	struct letters waiting, out;
	struct event *timer;             /* when the oldest that is out is too late, or the link idle for too long */
	unsigned covered;                /* QoS 0: of those that are out, so many the ping that is under way speaks for */
	bool stale;                      /* made with settings that are not in force any more */
	/* A message that makes the server hang up does so each time. */
	uint64_t suspect;                /* its id; 0: none */
	unsigned hung_up;                /* times in a row */
	bool careful;                    /* one at a time, until one is acknowledged */
};

struct sender {
	struct sender_host host;
	char *object;                    /* "stream/NAME" */
	const struct destination *d;
	struct wire_target to;
	struct tls_client *tls;
	uint64_t fingerprint;            /* of d */
	char *settings;                  /* what a connection is made with, as text: to see a change */
	enum mqtt_version version;
	unsigned qos;
	bool retain;
	struct link *links;
	struct map by_ident;             /* connection per device */
	unsigned nopen;
	struct letter *letters;
	uint32_t nletters, spare;
	struct flight *judged, **judged_end, *spare_flights;
	struct event *soon;              /* judge */
	struct seldom told_taken_over;
};

/* mqtt.c */
void flight_fate(struct flight *f, uint32_t i, enum fate fate, const char *words);
/* All of them at once: FATE_LINK. */
void flight_link_failed(struct flight *f, uint32_t i, enum verdict v, const char *words, int status, bool reached, bool absent);
uint32_t letter_new(struct sender *s, struct flight *f, uint32_t i);
void letter_free(struct sender *s, uint32_t k);

/* mqtt_link.c */
struct link *link_for(struct sender *s, const struct entry *e);
void link_add(struct link *l, uint32_t letter);    /* it waits */
void link_run(struct link *l);                     /* connect, publish: whatever can be done now */
void link_cancel(struct link *l, const struct flight *f);
void link_renew(struct link *l);                   /* other settings are in force */
void link_free(struct link *l);

#endif
