/* stamping.h - what becomes of a message before it is routed: may it be taken, whose is it, when was it, and what the router sets in it.
 *
 * The same for the router at work and for whoever only wants to know (explain, test): no store, no worker, no clock. */
#ifndef SLUICE_STAMPING_H
#define SLUICE_STAMPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message/write.h"

struct buf;
struct channel;
struct device;
struct message;
struct message_head;   /* store/store.h */
struct plan;

/* Of one request: all its messages came on one channel, from one peer, now. */
struct stamping {
	const struct plan *plan;
	const struct channel *channel;
	int64_t now_us;
	struct stamp stamps[STAMPS_MAX];
	struct buf *text;              /* of the stamps: peer, channel.name, server.timestamp, timestamp */
	size_t time_at;                /* where the message's own timestamp is written */
	bool dated;                    /* the message that stamping_head looked at last has a timestamp of its own */
	struct buf *ident;             /* of an ident that is written with escapes */
};

/* text and ident are room that stays the caller's, and must live as long. */
void stamping_open(struct stamping *s, const struct plan *plan, const struct channel *channel, const char *peer, int64_t now_us,
                   struct buf *text, struct buf *ident);
/* The ident and the time of a message; id is not touched. NULL, or why it cannot be taken. The ident is borrowed from the message or s->ident. */
const char *stamping_head(struct stamping *s, const struct message *m, struct message_head *head);
/* The message that stamping_head looked at last, stamped, appended to out. device: NULL when it is not declared. */
void stamping_write(struct stamping *s, const struct device *device, const struct message *m, struct buf *out);

#endif
