/* mqtt_client.h - one connection to an MQTT server, of 3.1.1 or 5, on an event base.
 *
 * It speaks the protocol and decides nothing: no message is acknowledged but by its owner's word, none is sent a second time, and when the
 * connection ends it is over. Whether and when to connect again, and what becomes of what was not acknowledged, is its owner's.
 *
 * Conventions:
 *  1. Everything is called on the base's thread; callbacks come from the loop, never from inside a function of this header, and any of them may
 *     free the client.
 *  2. What is written in one turn of the loop leaves in one write; of what comes, all packets that are there are handed over in one turn.
 *  3. Bounded: messages larger than message_max are skipped while they come, only their front is kept; no more than `window` messages
 *     of ours, or what the server allows, are unacknowledged; a server that sends more than we allow is left. */
#ifndef SLUICE_NET_MQTT_CLIENT_H
#define SLUICE_NET_MQTT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/mqtt_packet.h"

struct event_base;
struct mqtt_client;
struct tls_client;
struct wire_target;

#define MQTT_PORT "1883"
#define MQTTS_PORT "8883"

/* What the server said when it took us. */
struct mqtt_granted {
	bool session_present;
	bool retain, shared;             /* available */
	unsigned window;                 /* of ours that may be unacknowledged: the smaller of both sides' wishes */
	unsigned qos;                    /* the highest it takes */
	uint64_t packet_max;             /* it takes no larger ones */
	unsigned keep_alive;             /* in force, seconds; 0: none */
	uint32_t session_expiry;         /* in force, seconds */
};

enum mqtt_how {
	MQTT_UNREACHABLE,    /* never got so far as MQTT: no name, no route, refused, TLS, silence; `absent` says whether it cost anybody anything */
	MQTT_CERTIFICATE,    /* a certificate, theirs or ours, is not accepted */
	MQTT_REFUSED,        /* the server does not want us; `reason` is why */
	MQTT_DISCONNECTED,   /* it said goodbye, and `reason` is why (MQTT 5) */
	MQTT_CLOSED,         /* it closed the connection without a word */
	MQTT_CUT,            /* reset, or a fault on the way */
	MQTT_SILENT,         /* it does not answer any more */
	MQTT_BROKEN,         /* what it sends is not MQTT, or not what was asked for: `why` */
};
struct mqtt_ending {
	enum mqtt_how how;
	unsigned reason;                 /* enum mqtt_reason; 0: none was given */
	const char *why;                 /* for people, one line */
	bool was_connected;              /* after a CONNACK that took us */
	bool absent;                     /* nobody took the connection */
};

/* A message as it came. Borrowed. */
struct mqtt_arrival {
	const struct mqtt_packet *packet;
	size_t whole;                    /* the packet's length; more than was kept where `cut` */
	bool cut;                        /* larger than message_max: the payload is only its front */
};

struct mqtt_client_calls {
	/* The server took us. */
	void (*connected)(void *arg, const struct mqtt_granted *g);
	/* The server's word on a message of ours, and its own words (may be empty). May be NULL. */
	void (*acked)(void *arg, uint32_t token, unsigned reason, struct mqtt_text words);
	/* A message came. With QoS 1 it is to be acknowledged, in the order of coming (mqtt_client_ack). May be NULL where nothing is subscribed to. 64 bytes
	 * behind the payload are readable. */
	void (*arrived)(void *arg, const struct mqtt_arrival *m);
	/* One code for each filter of a SUBSCRIBE; above 0x7F they are refusals. The answers come in the order of asking. May be NULL. */
	void (*subscribed)(void *arg, struct mqtt_text codes);
	/* The server has read all that was written before the oldest mqtt_client_ping that was not answered. May be NULL. */
	void (*pong)(void *arg);
	/* Look whether mqtt_client_has_room: acknowledgements came (once for all of a turn), or the output has room again. May be NULL. */
	void (*room)(void *arg);
	/* Once: it is over. Only mqtt_client_free may be called any more. */
	void (*ended)(void *arg, const struct mqtt_ending *e);
};

struct mqtt_client_settings {
	const struct wire_target *to;
	struct tls_client *tls;          /* NULL: plain */
	const char *bind;                /* local address or interface; NULL: any */
	struct mqtt_connect connect;     /* receive_maximum bounds what is read before it is acknowledged; 0: 65535 */
	unsigned window;                 /* of ours, at most; 1 to 65535 */
	unsigned others;                 /* SUBSCRIBE and UNSUBSCRIBE that will be under way at a time; up to 16 need not be told */
	size_t message_max;              /* of packets that come; 0: 64 KiB */
	int64_t timeout_us;              /* until the server has taken us, and for its answer to a ping or a subscription */
};

/* Begin to connect. Texts are needed during the call only. Never NULL: trouble is told by ended. */
struct mqtt_client *mqtt_client_new(struct event_base *base, const struct mqtt_client_settings *s, const struct mqtt_client_calls *calls, void *arg);
/* Close at once, with a goodbye if the socket takes one. NULL is fine. No callback comes any more. */
void mqtt_client_free(struct mqtt_client *c);
/* Write what is left, say goodbye (reason: MQTT 5), close. Only `ended` is still called, two seconds later at most. Not when it is over. */
void mqtt_client_finish(struct mqtt_client *c, unsigned reason);

bool mqtt_client_is_connected(const struct mqtt_client *c);
/* May a message be published now? Within the window, and with room in the output. */
bool mqtt_client_has_room(const struct mqtt_client *c);
/* Publish; the packet's id is given here. token comes back with `acked` (QoS 1). Connected, has_room, size at most packet_max. */
void mqtt_client_publish(struct mqtt_client *c, const struct mqtt_publish *m, uint32_t token);
/* Published and not acknowledged. */
unsigned mqtt_client_in_flight(const struct mqtt_client *c);
/* Acknowledge a message that came. reason: MQTT 5; from 0x80 on a refusal. */
void mqtt_client_ack(struct mqtt_client *c, uint16_t id, unsigned reason);
void mqtt_client_subscribe(struct mqtt_client *c, const char *const *filters, unsigned n, unsigned qos, bool new_only);
void mqtt_client_unsubscribe(struct mqtt_client *c, const char *const *filters, unsigned n);
void mqtt_client_ping(struct mqtt_client *c);
/* Hand over no more messages and read no more, or go on. */
void mqtt_client_hold(struct mqtt_client *c, bool hold);

#endif
