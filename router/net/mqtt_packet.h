/* mqtt_packet.h - MQTT packets as a client sends and reads them: 3.1.1 and 5, nothing but bytes.
 *
 * Conventions:
 *  1. Reading borrows: every text points into the bytes that were read, and lives as long as they do.
 *  2. Reading is strict. What the specifications forbid is a fault with words, never a guess: bits that are reserved, lengths that do not
 *     add up or are written longer than need be, texts that are no UTF-8 or hold a NUL, properties that are doubled or of another packet.
 *  3. Of what a server may send, QoS 2 and AUTH are faults too: a client that never asks for them is never sent them.
 *  4. Writing trusts its caller for lengths (texts at most MQTT_TEXT_MAX, a packet at most MQTT_PACKET_MAX: asserted); base/topic.h
 *     says what may stand where.
 *
 * Sources: OASIS MQTT 3.1.1 (2014) and MQTT 5.0 (2019); [MQTT-x.y.z-n] are their own marks. */
#ifndef SLUICE_NET_MQTT_PACKET_H
#define SLUICE_NET_MQTT_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define MQTT_TEXT_MAX 65535u
#define MQTT_PACKET_MAX 268435460u      /* fixed header included */

enum mqtt_version { MQTT_311 = 4, MQTT_5 = 5 };   /* as CONNECT writes them */
enum mqtt_kind {
	MQTT_CONNECT = 1, MQTT_CONNACK, MQTT_PUBLISH, MQTT_PUBACK, MQTT_PUBREC, MQTT_PUBREL, MQTT_PUBCOMP, MQTT_SUBSCRIBE,
	MQTT_SUBACK, MQTT_UNSUBSCRIBE, MQTT_UNSUBACK, MQTT_PINGREQ, MQTT_PINGRESP, MQTT_DISCONNECT, MQTT_AUTH,
};
struct mqtt_text { const char *p; size_t n; };

/* Those reason codes of MQTT 5 that decide something here. From 0x80 on they are refusals. */
enum mqtt_reason {
	MQTT_SUCCESS = 0x00, MQTT_NO_SUBSCRIBERS = 0x10, MQTT_REFUSAL = 0x80, MQTT_MALFORMED = 0x81, MQTT_PROTOCOL_ERROR = 0x82,
	MQTT_UNSUPPORTED_VERSION = 0x84, MQTT_BAD_CLIENT_ID = 0x85, MQTT_BAD_CREDENTIALS = 0x86, MQTT_NOT_AUTHORIZED = 0x87,
	MQTT_UNAVAILABLE = 0x88, MQTT_BUSY = 0x89, MQTT_BANNED = 0x8A, MQTT_SHUTTING_DOWN = 0x8B, MQTT_BAD_METHOD = 0x8C,
	MQTT_KEEP_ALIVE_TIMEOUT = 0x8D, MQTT_TAKEN_OVER = 0x8E, MQTT_BAD_FILTER = 0x8F, MQTT_BAD_TOPIC = 0x90, MQTT_ID_IN_USE = 0x91,
	MQTT_ID_NOT_FOUND = 0x92, MQTT_RECEIVE_MAXIMUM_EXCEEDED = 0x93, MQTT_BAD_ALIAS = 0x94, MQTT_TOO_LARGE = 0x95, MQTT_RATE_TOO_HIGH = 0x96,
	MQTT_QUOTA_EXCEEDED = 0x97, MQTT_ADMINISTRATIVE = 0x98, MQTT_BAD_PAYLOAD = 0x99, MQTT_NO_RETAIN = 0x9A, MQTT_NO_QOS = 0x9B,
	MQTT_USE_ANOTHER = 0x9C, MQTT_MOVED = 0x9D, MQTT_NO_SHARED = 0x9E, MQTT_CONNECTION_RATE = 0x9F,
};
/* What a code means, for people. Never NULL. */
const char *mqtt_reason_text(unsigned code);
/* A CONNACK that refuses us with this passes by itself (busy, unavailable, quota, …); after others somebody has to mend something. */
bool mqtt_refusal_passes(unsigned code);

/* ---- reading -------------------------------------------------------------------------------------------------------------- */

/* Numbers of MQTT 5, 2.2.2.2. */
enum mqtt_property {
	MQTT_P_PAYLOAD_FORMAT = 1, MQTT_P_MESSAGE_EXPIRY = 2, MQTT_P_CONTENT_TYPE = 3, MQTT_P_RESPONSE_TOPIC = 8, MQTT_P_CORRELATION = 9,
	MQTT_P_SUBSCRIPTION_ID = 11, MQTT_P_SESSION_EXPIRY = 17, MQTT_P_ASSIGNED_ID = 18, MQTT_P_SERVER_KEEP_ALIVE = 19,
	MQTT_P_AUTH_METHOD = 21, MQTT_P_AUTH_DATA = 22, MQTT_P_RESPONSE_INFORMATION = 26, MQTT_P_SERVER_REFERENCE = 28, MQTT_P_REASON = 31,
	MQTT_P_RECEIVE_MAXIMUM = 33, MQTT_P_TOPIC_ALIAS_MAXIMUM = 34, MQTT_P_TOPIC_ALIAS = 35, MQTT_P_MAXIMUM_QOS = 36,
	MQTT_P_RETAIN_AVAILABLE = 37, MQTT_P_USER = 38, MQTT_P_MAXIMUM_PACKET = 39, MQTT_P_WILDCARD_AVAILABLE = 40,
	MQTT_P_SUBSCRIPTION_IDS_AVAILABLE = 41, MQTT_P_SHARED_AVAILABLE = 42, MQTT_PROPERTIES,
};
struct mqtt_properties {
	uint64_t given;                              /* bit i: property i stands there */
	uint32_t number[MQTT_PROPERTIES];            /* of those that are numbers; the last where it may repeat */
	struct mqtt_text text[MQTT_PROPERTIES];      /* of those that are texts or bytes */
	struct mqtt_text all;                        /* as they stand, for mqtt_user_property */
};
static inline bool mqtt_given(const struct mqtt_properties *p, enum mqtt_property i) { return p->given >> i & 1; }
/* A number, or what holds where it is not given. */
static inline uint32_t mqtt_number(const struct mqtt_properties *p, enum mqtt_property i, uint32_t otherwise)
{
	return mqtt_given(p, i) ? p->number[i] : otherwise;
}
/* The next user property from *at on (0 at first); false: no more. Only of properties that mqtt_read() has passed. */
bool mqtt_user_property(const struct mqtt_properties *p, size_t *at, struct mqtt_text *name, struct mqtt_text *value);

struct mqtt_packet {
	enum mqtt_kind kind;
	bool dup, retain;                            /* PUBLISH */
	unsigned qos;                                /* PUBLISH: 0 or 1 */
	uint16_t id;                                 /* 0: none (QoS 0, and packets without) */
	unsigned reason;                             /* CONNACK (of 3.1.1: the code of MQTT 5 that means the same), PUBACK, DISCONNECT */
	bool session_present;                        /* CONNACK */
	struct mqtt_text topic, payload;             /* PUBLISH */
	struct mqtt_text codes;                      /* SUBACK, UNSUBACK of MQTT 5: one byte for each filter */
	struct mqtt_properties properties;           /* MQTT 5 */
};

/* The fixed header at the front of n bytes: 1, and *head and *body are the lengths of header and rest; 0: more bytes are needed to tell; -1: it
 * is none that a server may send, why says what is wrong with it. */
int mqtt_frame(const char *p, size_t n, size_t *head, size_t *body, const char **why);
/* One whole packet, n = head + body. 0, or -1 and why. */
int mqtt_read(enum mqtt_version v, const char *p, size_t n, struct mqtt_packet *out, const char **why);
/* As much of a PUBLISH as n bytes show, of one whose whole length is `whole`: everything but its payload, of which there is what there is. 1;
 * 0: topic or properties are not whole yet; -1 and why. For messages that are too large to be kept. */
int mqtt_read_part(enum mqtt_version v, const char *p, size_t n, size_t whole, struct mqtt_packet *out, const char **why);

/* ---- writing: appended to out ------------------------------------------------------------------------------------------------ */

struct mqtt_connect {
	enum mqtt_version version;
	struct mqtt_text client_id;                  /* may be empty with clean */
	struct mqtt_text username, password;         /* p NULL: none */
	bool clean;                                  /* clean session, clean start */
	uint16_t keep_alive;                         /* seconds; 0: none */
	/* MQTT 5; 0: not written, so that the server takes its default */
	uint32_t session_expiry;                     /* seconds; UINT32_MAX: never */
	uint16_t receive_maximum;
	uint32_t maximum_packet;
};
void mqtt_write_connect(struct buf *out, const struct mqtt_connect *c);

struct mqtt_publish {
	struct mqtt_text topic, payload;
	unsigned qos;                                /* 0 or 1 */
	bool dup, retain;
	uint16_t id;                                 /* not 0 with QoS 1 */
	struct mqtt_text user_name, user_value;      /* MQTT 5: one user property; name.p NULL: none */
};
/* Its length as a packet: to be compared with the server's Maximum Packet Size, and with MQTT_PACKET_MAX, before it is written. */
uint64_t mqtt_publish_size(enum mqtt_version v, const struct mqtt_publish *m);
void mqtt_write_publish(struct buf *out, enum mqtt_version v, const struct mqtt_publish *m);
void mqtt_write_puback(struct buf *out, enum mqtt_version v, uint16_t id, unsigned reason); /* reason: MQTT 5 only */
/* new_only (MQTT 5): retained messages are sent for a subscription that did not exist. */
void mqtt_write_subscribe(struct buf *out, enum mqtt_version v, uint16_t id, const char *const *filters, unsigned n, unsigned qos, bool new_only);
void mqtt_write_unsubscribe(struct buf *out, enum mqtt_version v, uint16_t id, const char *const *filters, unsigned n);
void mqtt_write_pingreq(struct buf *out);
void mqtt_write_disconnect(struct buf *out, enum mqtt_version v, unsigned reason);

#endif
