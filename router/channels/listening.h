/* listening.h - addresses that channels listen on: bound, accepted from, and kept over a reload. On the main loop.
 *
 * What every type of channel that listens shares. The type's own half is a *part* on each worker (struct listening_ops): it is given sockets,
 * and told which listener's are to end. Channels that name one address share its listener if their type allows it. */
#ifndef SLUICE_CHANNELS_LISTENING_H
#define SLUICE_CHANNELS_LISTENING_H

#include "channels/channel.h"
#include "net/addr.h"

struct net_quota;
struct tls_server;

#define LISTENING_KEY_MAX (ADDR_TEXT_MAX + 8)

struct listening_ops {
	bool silent;   /* a connection too many is closed without a word of HTTP */
	bool (*is)(const struct channel *c);
	/* key names the address, the same however it was written. 0, or -1 and why. */
	int (*key)(const struct channel *c, struct addr *a, char key[LISTENING_KEY_MAX], char *why, size_t whylen);
	/* Two at one address, with the same tls: may they? 0, or -1 and why. */
	int (*check_pair)(const struct channel *a, const struct channel *b, char *why, size_t whylen);

	/* The same as text: more that two at one address must have in common (front), and what tells apart those that may (room). May be NULL. */
	void (*whereabouts)(const struct channel *c, struct buf *front, struct buf *room);

	/* On a worker's loop, but for part_free, which comes when no loop runs any more. */
	void **(*slot)(struct intake_loop *l);     /* where the loop keeps the part */
	void *(*part_new)(struct intake_loop *l, const struct channel_host *h, struct net_quota *connections, struct net_quota *memory);
	void (*part_free)(void *part);
	/* A connection to this address; id tells the address's present listener from earlier ones. The socket, a place in the quota of
	 * connections and in loop->connections, and the reference to tls are taken over. */
	void (*adopt)(void *part, uint64_t id, const char *key, int fd, const char *peer, struct tls_server *tls);
	/* The same for a socket of datagrams. NULL where the type has none. */
	void (*adopt_datagrams)(void *part, uint64_t id, const char *key, int fd);
	/* That listener's connections end after the requests under way. */
	void (*drain)(void *part, uint64_t id);
	/* Another plan is in force. */
	void (*refresh)(void *part);
	/* All connections end; emptied is called when the last has, maybe at once. */
	void (*stop)(void *part, void (*emptied)(void *arg), void *arg);
};

/* The members of struct channel_ops. */
int listening_check(const struct listening_ops *ops, const struct channel *c, const struct channel *beside, char *why, size_t whylen);
void listening_whereabouts(const struct listening_ops *ops, const struct channel *c, struct whereabouts *d);
struct channel_type *listening_new(const struct channel_host *h, const struct listening_ops *ops);
int listening_prepare(struct channel_type *t, const struct plan *next, char *why, size_t whylen);
void listening_abort(struct channel_type *t);
void listening_commit(struct channel_type *t, const struct plan *now);
void listening_stop(struct channel_type *t, void (*done)(void *arg), void *arg);
void listening_free(struct channel_type *t);

/* An address as a key. */
void listening_key(const struct addr *a, char key[LISTENING_KEY_MAX]);

#endif
