/* channel.h - where messages come in: what a channel type promises, and what it is given.
 *
 * A channel type reads its protocol, hands the bytes of a request to the engine, and answers its source when the engine says what
 * became of them: after the commit, never before. It decodes nothing, stores nothing and routes nothing.
 *
 * A type is one object for all channels of that type in the plan (channels may share a listening address and differ by path; a listener
 * whose address stays keeps its socket and connections over a reload). Its main part lives on the main loop: binding, accepting, reload.
 * Connections live on a worker's loop, and look up their channel at each request in the plan that worker has in force: that is how
 * a reload takes effect at a request boundary. */
#ifndef SLUICE_CHANNELS_CHANNEL_H
#define SLUICE_CHANNELS_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct channel;
struct event_base;
struct plan;
struct diag;
struct whereabouts;
struct net_quota;

/* One worker as channels see it. Functions are called on that worker's loop unless told otherwise. */
struct intake_loop {
	struct event_base *base;
	const struct plan *plan;         /* in force on this worker now; may change between two events, never inside one */
	_Atomic unsigned connections;    /* kept by channel types, read by `pick` */
	void *worker;                    /* the engine's */
	void *http;                      /* the HTTP channel's own per-loop part (timers, buffers), made at its first connection */
	void *tcp;                       /* the same of the TCP channel */
	void *mqtt;                      /* the MQTT channel's sources on this loop */
	void *file;                      /* … and of the file channel */
};

enum intake_outcome {
	INTAKE_TAKEN,      /* durable, except for the refused ones, which are durable as dead letters of the channel */
	INTAKE_REFUSED,    /* nothing in it could be taken (400): all of it is durable as dead letters, or (malformed) nothing is */
	INTAKE_FULL,       /* a stream or the disk is full: nothing was written; try again later (503, Retry-After) */
	INTAKE_FAILED,     /* the store could not write: nothing counts as written (503) */
};
struct refusal { unsigned index; const char *reason; };   /* index in the request, from 0 */
struct intake_result {
	enum intake_outcome outcome;
	unsigned taken;
	unsigned nrefused; const struct refusal *refused;      /* at most INTAKE_REFUSALS_MAX are told one by one; nrefused counts all */
	unsigned ntold;
	const char *why;             /* one sentence for REFUSED as a whole (with the position of the fault), FULL and FAILED */
	bool malformed;              /* not JSON, not UTF-8: the body was refused whole */
	/* What the format's adapter wants answered to this outcome, in place of a report; NULL: nothing of its own. */
	const char *answer; size_t answer_len;
};
#define INTAKE_REFUSALS_MAX 100

/* A piece of a connection's bytes, for a format that is an adapter and finds its messages' ends itself. Filled in when submit() returns, except
 * `conn`, which the channel type keeps for the connection (0 at first; conn_end gives it back). */
struct intake_piece {
	int conn;                        /* ctx.conn of the adapter */
	size_t used;                     /* bytes that were understood; the rest is to come again with more behind it */
	const char *now; size_t now_len; /* to answer at once; good until the next submit */
	bool broken;                     /* none of the format, or the adapter failed: nothing after this can be understood */
};

/* One request's worth of messages. Filled by the channel type; the struct and all it points to are needed during submit() only. */
struct intake {
	struct intake_loop *loop;
	const struct channel *channel;   /* of loop->plan */
	const char *body; size_t len;    /* MESSAGE_PAD readable bytes behind it */
	const char *peer;                /* "192.0.2.7:40122", for the message's `peer` */
	/* For a format that is an adapter; NULL and 0 where the transport has none, or the format is native. */
	const char *method, *query;      /* query as it stands behind the `?` */
	const char *topic;
	unsigned nheaders; const char *const *header_names, *const *header_values;
	struct intake_piece *piece;      /* NULL: the body is whole */
	bool lines;                      /* native: each line that is not empty is a body of its own; indexes of refusals are lines, each told once */
	/* The source cannot be told no: what is none of the format becomes a dead letter too, and so nothing is refused whole. */
	bool mute;
	const char *refuse;              /* not NULL: this is no body but what is left of one; it becomes a dead letter with this reason */
	/* Called exactly once, on this loop, after submit() has returned or from inside it (malformed bodies); the result is borrowed. Of two requests
	 * under way the second may be done first. It is
	 * called even if the connection has gone: arg must know. With `mute` never from inside submit(). */
	void (*done)(void *arg, const struct intake_result *r);
	void *arg;
};

/* Of a channel that connects by itself. */
struct channel_status {
	bool connected;
	int64_t since_us;                /* real clock */
	char reason[256];                /* why it is not, or what is amiss though it is; may be empty */
};

/* What the engine gives all channel types. */
struct channel_host {
	struct event_base *base;                       /* the main loop */
	void *arg;
	/* The worker that should take a new connection (least loaded). Main loop. */
	struct intake_loop *(*pick)(void *arg);
	/* Run fn(arg2) on that worker's loop, soon, in order. Any thread. */
	void (*post)(void *arg, struct intake_loop *l, void (*fn)(void *arg2), void *arg2);
	/* Index, route, render and hand over to the store. On the intake's loop. */
	void (*submit)(void *arg, const struct intake *in);
	/* False while intake should stop (memory between channel and store is at its bound): reading from sockets pauses; `resume` of
	 * channel_ops is called when it may go on. On the loop. */
	bool (*may_read)(void *arg, struct intake_loop *l);
	/* The connection of an intake_piece has ended. On its loop; may be NULL. */
	void (*conn_end)(void *arg, struct intake_loop *l, int conn);
	const char *instance;                          /* who we are: the same for as long as the store lives */
	struct net_quota *connections;                 /* of all types together; NULL: each type has its own */
	unsigned connections_max;                      /* settings.limits.connections; main loop keeps it up to date */
};

struct channel_type;   /* the type's own object */

struct channel_ops {
	const char *type;
	struct channel_type *(*new)(const struct channel_host *h);
	/* Could this channel be opened, and, where `beside` (of any type) is not NULL, both at once? Judged by their settings alone, from any thread: what
	 * `sluice check` can know before prepare() finds it out. 0, or -1 and why. May be NULL. */
	int (*check)(const struct channel *c, const struct channel *beside, char *why, size_t whylen);
	/* What of its settings decides that (plan.h); only of one that `check` finds nothing wrong with by itself. NULL: others do not matter. */
	void (*whereabouts)(const struct channel *c, struct whereabouts *d);
	/* Open what `next` needs and is not open yet (bind, read certificates). May fail: told in why with the channel's name; then abort()
	 * follows and everything is as before. Nothing that runs is touched. Main loop. */
	int (*prepare)(struct channel_type *t, const struct plan *next, char *why, size_t whylen);
	void (*abort)(struct channel_type *t);
	/* Cannot fail. New listeners begin to accept; those `now` does not name stop accepting, and their connections end after the request under
	 * way. Called when every worker has `now` in force. Main loop. */
	void (*commit)(struct channel_type *t, const struct plan *now);
	/* Reading may go on on this loop (see may_read). On that loop. May be NULL. */
	void (*resume)(struct channel_type *t, struct intake_loop *l);
	/* How it stands with this channel; false: nothing to tell. Main loop. May be NULL. */
	bool (*status)(struct channel_type *t, const struct channel *c, struct channel_status *out);
	/* Stop intake: close listeners, read no new requests, answer those under way, close connections. `done` on the main loop when the last has gone. */
	void (*stop)(struct channel_type *t, void (*done)(void *arg), void *arg);
	/* After stop's done, or instead of it: close everything at once. Workers' loops do not run any more. */
	void (*free)(struct channel_type *t);
};

extern const struct channel_ops channel_file, channel_http, channel_mqtt, channel_tcp;

#endif
