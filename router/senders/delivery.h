/* delivery.h - a stream's delivery: from its buffer to its sender and back.
 *
 * One struct delivery per stream name, on one worker's loop for its whole life; it outlives plans. It takes spans from the
 * buffer, cuts batches, runs lanes, keeps rate, times and holds, and turns verdicts into settlements. The rules it keeps:
 *
 *  order      ORDER_STREAM: one lane; ORDER_DEVICE: in_flight lanes by ident hash; ORDER_NONE: any in_flight batches.
 *             A lane offers its messages in buffer order and has one batch under way.
 *  unrecorded a lane does not start a batch while more than four of its accepted batches are not yet on disk, so that a crash
 *             repeats at most the batches in flight and four more per lane.
 *  retry      full jitter: a random wait in 0..min(max, first * 2^k), k = 0 as long as nobody even takes the connection; Retry-After honoured up to 10 minutes; while the destination
 *             has failed, one lane probes for all; on the first success all lanes go on at full speed.
 *  split      bisect, in order, until the bad message is alone: then it is refused.
 *  refused    by policy: dead letter, retry, drop. Held back (kept in memory, not yet settled) until an acceptance has shown that the
 *             destination works at all; 20 in a row without one: blocked.
 *  blocked    hold everything, alarm in the log once, probe each minute with one batch; an update that touches the destination, or
 *             delivery_resume(), ends the hold at once.
 *  address    where url (or headers, topic) has parameters, a batch holds one expanded url only, and retry and blocked hold that address
 *             alone, in every lane (with MQTT a batch holds any topics, and a server that does not allow one holds that topic); other devices go on, also when more lies in the buffer for held addresses than is kept in memory
 *             (window.c says how).
 *  logging in where the destination wants credentials, they are had before the first batch, had anew before they end and, once, after a
 *             401 (senders/credentials.h). While they cannot be had the stream holds, with that as the reason.
 *  ttl        what is older than ttl is settled as expired, also while held or retrying, never while in flight. */
#ifndef SLUICE_SENDERS_DELIVERY_H
#define SLUICE_SENDERS_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "senders/credentials.h"
#include "senders/sender.h"

struct delivery;
struct plan;
struct stream;
struct store;

/* What the worker gives all its deliveries. */
struct delivery_env {
	struct event_base *base;
	struct net *net;
	struct store *store;
	struct port *port;
	const struct sender_ops *(*ops)(int transport);  /* enum transport of plan.h; types.c */
	/* What the destination's own adapter has to say; any of these may be NULL. */
	bool (*adapter_verdict)(void *arg, const struct stream *s, struct batch *b, const struct answer *a, struct judgement *j);
	/* The batch as its adapter words it (transports that join): 1 with *out filled, its texts good until the next call; 0: as it is; -1: why
	 * it cannot be worded, which is a bug of the adapter: the batch is tried again later. */
	int (*adapter_request)(void *arg, const struct stream *s, const struct batch *b, struct wording *out, char *why, size_t whylen);
	credentials_fn *credentials;
	/* tcp: as in struct sender_host. */
	int (*hello)(void *arg, const struct stream *s, const char *ident, int *conn, struct buf *out, bool *wait, char *why, size_t whylen);
	int (*reply)(void *arg, const struct stream *s, const char *ident, int *conn, const char *bytes, size_t n, unsigned waiting, size_t *used,
	             struct tcp_reply *out, char *why, size_t whylen);
	void (*conn_end)(void *arg, int conn);
	/* After each answer and before it is acted upon, for the stream's log, its packets, tap and the latency histogram: of b's messages so many
	 * are accepted, so many rejected, the rest stays. Everything is borrowed. May be NULL. */
	void (*record)(void *arg, const struct stream *s, const struct batch *b, const struct judgement *j, unsigned accepted, unsigned rejected, int64_t ack_us);
	void *arg;
};

/* Begin to deliver what the stream's buffer holds (paused, if the stream is). The plan is referenced until update or free. */
struct delivery *delivery_new(const struct delivery_env *env, const struct plan *plan, const struct stream *s);
/* New settings (the same stream name and buffer; `paused` as the stream has it): taken between batches. A destination that changed ends a hold. Changed ordering or in_flight: waits for all answers, then lays
 * the lanes anew. Unchanged ones: nothing is disturbed. */
void delivery_update(struct delivery *d, const struct plan *plan, const struct stream *s);
/* No new batches; `done` is called (on this loop, never from inside this call) when nothing is under way; then free. What is outstanding
 * stays in the buffer. Settlements so far are with the store. */
void delivery_stop(struct delivery *d, void (*done)(void *arg), void *arg);
/* Cancel what is under way (its verdicts are lost: it will be sent again after a restart) and free. */
void delivery_free(struct delivery *d);

void delivery_pause(struct delivery *d, bool paused);
void delivery_resume(struct delivery *d);     /* end a hold now */
/* Settle what waits now as OUTCOME_PURGED or OUTCOME_DEAD; what is under way is awaited first, and nothing is sent until all of it is gone. A hold ends
 * with that. */
void delivery_clear(struct delivery *d, enum outcome o);

enum delivery_state { DELIVERY_IDLE, DELIVERY_SENDING, DELIVERY_RETRYING, DELIVERY_BLOCKED, DELIVERY_PAUSED, DELIVERY_STOPPING };
struct delivery_status {
	enum delivery_state state;
	char reason[256];            /* of the last failure, for RETRYING and BLOCKED */
	int64_t since_us;            /* real clock, when this state began */
	int64_t next_try_us;         /* real clock, 0: now */
	unsigned in_flight, held_addresses;
	uint64_t batches, accepted, retried, rejected, cleared;
	bool clearing;
	int64_t ack_us_last, ack_us_max;
	unsigned attempts;           /* of the batch that is being retried */
};
/* Any thread. */
void delivery_status(const struct delivery *d, struct delivery_status *out);

#endif
