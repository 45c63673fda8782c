/* delivery_parts.h - the inside of a delivery, shared by its files and by nobody else.
 *
 * Understand these first:
 *   slot     a span of the buffer that we hold, with what became of its entries. Slots stand in the order of their positions: the window.
 *   item     one entry of a slot, on its way: it lies in a lane's queue, in a work, or among the suspects, or it was left.
 *   lane     a queue of items and the works that were cut from it: one, or where the driver lets batches follow each other, several.
 *   work     a cut batch with all that may happen to it: sent, held, bisected, settled in parts.
 *   hold     why nothing goes to the destination (or to one address of it) now, and when it is tried again.
 *   left     an entry whose address is held stays where it is, marked, so that it costs nothing; when the window needs the room, its
 *            span is given back to the buffer. A *pass* takes up again what was left, in order.
 *
 *   window.c   slots, passes, ttl, drop-oldest          lane.c     cutting, sending, rate, linger, the unrecorded rule
 *   hold.c     retry, blocked, addresses                 verdict.c  what an answer means for each item
 *   work.c     joining bodies, headers, templates        credentials.c logging in
 *   delivery.c life, settings, status, and the order of it all
 *
 * An entry is open until it is settled. Every open entry of a slot is exactly one of: queued, in a work, a suspect, left. */
#ifndef SLUICE_SENDERS_DELIVERY_PARTS_H
#define SLUICE_SENDERS_DELIVERY_PARTS_H

#include <pthread.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/seldom.h"
#include "base/stats.h"
#include "message/message.h"
#include "plan/plan.h"
#include "senders/delivery.h"

#define WINDOW_SPANS 64u
#define WINDOW_BYTES (2u << 20)
#define SPANS_MAX 4096u             /* whatever the batch size */
#define UNRECORDED_MAX 4u
#define FOLLOW_MAX 64u              /* batches of a lane under way */
#define REFUSED_RUN_MAX 20u
#define RETRY_AFTER_MAX_US (600 * INT64_C(1000000))
#define BLOCKED_PROBE_US (60 * INT64_C(1000000))
#define ADDRESSES_MAX 10000u        /* held at a time; one more failing and the destination as a whole counts as failing */
#define RANGES_MAX 32               /* bisecting 2^31 entries */
#define WORDS (SPAN_ENTRIES_MAX / 64)

struct slot {
	struct span span;
	struct slot *next, *prev;
	uint64_t open[WORDS], flying[WORDS], left[WORDS];
	unsigned nopen, nleft;
	unsigned refs;             /* items that point here; the slot goes when it is released and no item does */
	bool released;
	size_t bytes;
	int64_t taken_us;
};

struct item {
	struct slot *slot;
	uint32_t len;
	uint32_t topic;            /* in a work whose destination is topical: where its own lies in work.topics */
	uint16_t i;
};

struct queue {                     /* a ring */
	struct item *v;
	unsigned head, n, cap;
	uint64_t bytes;
};

struct hold {
	bool on, blocked;
	bool probing;              /* one batch is under way to find out */
	bool alarmed;              /* the operator has been told of the block */
	unsigned failures;
	int64_t since, next_try;   /* mono */
};

struct address {
	char *key;                 /* the expanded url (with NUL and ident, where work_is_personal), or topic */
	size_t len;
	struct hold hold;
	struct work *parked;       /* failed works, oldest first */
	bool left;                 /* older messages of it were left: none may go before a pass has brought these */
	bool due;                  /* nothing is parked: the next pass may cut one batch to probe with */
};

struct credentials {
	bool none;                 /* the destination wants none */
	bool have, doubted;        /* doubted: had after a 401, and nothing was accepted since */
	uint64_t serial;           /* of the set in hand, or of the last */
	int64_t renew, ends;       /* mono */
	unsigned nheaders;
	struct buf headers;        /* name NUL value NUL … */
	char *username, *password; /* or NULL */
	struct http_peer *peer;
	struct http_call *call;    /* asking for them */
	struct buf body;           /* … with this */
};

struct range { unsigned from, to; };

struct work {
	struct batch b;
	struct delivery *d;
	struct lane *lane;
	struct address *address;   /* held; NULL: none */
	struct work *next;
	const struct plan *plan;   /* referenced while under way: the driver may look at its texts */
	struct item *items;
	struct entry *entries;
	unsigned n, cap;
	struct range todo[RANGES_MAX];
	unsigned ntodo;            /* the last one is next, or under way */
	struct buf body, head;     /* head: url and header values, or the first topic, expanded, each with its NUL */
	size_t keylen;             /* so many bytes of head name its address: the url (and ident, where work_is_personal), or the topic */
	struct buf topics;         /* of each item, with its NUL */
	const char **topic_list;   /* of the batch */
	unsigned topic_cap;
	struct buf own;            /* the adapter's url and headers, then the credentials; or why the adapter could not word it */
	struct work *unsent;       /* the next one that could not be worded */
	uint64_t credentials;      /* serial of those it was sent with */
	size_t bytes;
	const char **names, **values;
	unsigned header_cap;
	char id[24];
	bool flying, probe, side;
	unsigned attempts;         /* failed ones, of the range that is next */
	uint64_t accepts, accepts_sent;  /* d->accepts when it was cut, and when it was sent */
	uint64_t epoch;
	int64_t not_before, sent;  /* mono */
};

struct lane {
	struct delivery *d;
	struct queue q;
	struct work *works;        /* oldest first; those that are not under way are to be sent again */
	uint64_t unrecorded[UNRECORDED_MAX + 1];
	unsigned nunrecorded;
};

struct note;                       /* why something was refused; shared by the suspects of one answer */
struct suspect { struct item item; struct note *note; };

struct delivery {
	struct delivery_env env;
	struct sender_host host;
	const struct plan *plan, *next_plan;
	const struct stream *s, *next_s;
	char *object;              /* "stream/NAME", for logs */
	struct stats_stream *stats;
	struct buffer *buffer;
	const struct sender_ops *ops;
	struct sender *sender;
	struct event *kick, *timer;
	int64_t deadline, armed;

	struct slot *first, *last; /* the window */
	unsigned nslots;
	size_t window_bytes;
	uint64_t epoch;            /* rises when items outside of a batch were settled or left */

	struct lane *lanes;
	unsigned nlanes, nqueues, turn;
	unsigned under_way;
	struct work *spare;
	struct work *ready;        /* works to addresses that were held, to be sent beside the lanes */
	struct work *beside;       /* … and those that are under way there, nside of them */
	unsigned nside;
	double tokens;
	int64_t tokens_at;

	struct credentials credentials;
	struct work *unsent;       /* works that could not be worded, to be judged when the lanes have run */

	struct hold hold;
	struct map addresses;
	unsigned nheld;
	int64_t addresses_at;      /* none of them is due before */
	bool addresses_wait;       /* one is, but for room beside the lanes */
	int64_t address_logged;
	bool templated;            /* url or headers have parameters: a batch is for one expansion */
	bool addressed;            /* the url has: a hold may be for one address alone */
	bool topical;              /* each message has its own topic: a batch is for any of them, a hold may be for one alone */
	struct index index;
	struct buf scratch, padded;

	bool want_pass, in_pass, behind;   /* behind: spans with left entries were given back */
	bool want_relay;                   /* see window_relay */
	bool hungry;                       /* something is at hand that this turn did not get to */
	uint64_t passed;                   /* slots up to this position have had their turn in the pass */
	int64_t behind_arrived, pass_at, pass_wait;

	struct suspect *suspects;
	unsigned nsuspects, suspects_cap;
	unsigned refused_run;
	uint64_t accepts;
	int64_t refused_logged;
	uint64_t refused_unlogged;
	struct seldom told_expired, told_dropped, told_unaddressed, told_doubt, told_failing;
	bool doubt_told;           /* of the suspects as they are now */
	bool failing_told;         /* the hold that is on was told of, so its end is */
	uint64_t dropped_number;   /* the settlement of the last drop: no more are dropped before it is recorded */

	uint64_t clear_to;         /* everything up to this position is to go; 0: nothing */
	enum outcome clear_as;
	char clear_why[300];       /* of the letters they become: what held the stream when the command came is the news in it */
	uint64_t clear_number;     /* of its last settlement */
	uint64_t cleared_before;   /* of status.cleared: told of already */

	bool unusable;             /* the driver did not take the settings */
	bool running, paused, stopping;
	void (*done)(void *arg);
	void *done_arg;
	uint64_t random;

	struct delivery_status status;
	pthread_mutex_t lock;      /* guards shown, a copy of status */
	struct delivery_status shown;
	char reason[256];
};

static inline bool bit_is(const uint64_t *bits, unsigned i) { return bits[i / 64] >> (i % 64) & 1; }
static inline void bit_set(uint64_t *bits, unsigned i) { bits[i / 64] |= UINT64_C(1) << (i % 64); }
static inline void bit_clear(uint64_t *bits, unsigned i) { bits[i / 64] &= ~(UINT64_C(1) << (i % 64)); }

/* delivery.c */
void delivery_kick(struct delivery *d);                    /* look at everything again, soon */
void delivery_by(struct delivery *d, int64_t mono_us);     /* … or by then */
void delivery_reason(struct delivery *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* window.c */
bool window_take(struct delivery *d);      /* one more span into the queues; false: none at hand, or no room */
bool window_is_full(const struct delivery *d);
bool window_let_go(struct delivery *d);    /* give back spans of which all that is open was left; true when that made room */
void window_expire(struct delivery *d);
void window_drop_excess(struct delivery *d);
void window_clear(struct delivery *d);
void window_leave(struct delivery *d, const struct item *it);   /* takes over the item's reference */
void window_relay(struct delivery *d);     /* everything that is not under way, into the lanes anew, in order */
void window_pass(struct delivery *d);      /* begin a pass if one is wanted and due */
void window_unref(struct delivery *d, struct slot *sl);
void window_release_all(struct delivery *d);
/* Settle those of the items that are still open; their references stay. Returns the settlement's number, 0: none was open. *count (may be NULL) tells how many were. */
uint64_t window_settle(struct delivery *d, const struct item *items, unsigned n, enum outcome o, const struct death *death, unsigned *count);

/* lane.c */
void lanes_lay(struct delivery *d);        /* as the stream's ordering and in_flight say */
void lanes_drop(struct delivery *d);
void lanes_run(struct delivery *d);        /* start all that may start */
void lanes_judge_unsent(struct delivery *d);
void lane_remove(struct lane *l, struct work *w);
void lane_landed(struct delivery *d, struct work *w);   /* a work beside the lanes is not under way any more */
unsigned lanes_depth(const struct delivery *d);   /* messages that a lane may have under way before no further batch follows; 0: one batch at a time */
bool lanes_follow(const struct delivery *d);      /* are works of lanes under way behind which others stand, or may stand? */
void lane_recorded_later(struct delivery *d, struct lane *l, uint64_t number);
void queue_push(struct queue *q, struct item it);
bool queue_pop(struct queue *q, struct item *it);

/* work.c */
struct work *work_new(struct delivery *d, struct lane *l);
void work_add(struct work *w, const struct item *it, const struct entry *e);   /* takes over the reference */
void work_filter(struct work *w);          /* forget items that were settled meanwhile */
bool work_prepare(struct work *w);         /* the batch for the range that is next; false: its adapter cannot word it, why is w->own */
void work_free(struct work *w);            /* items lose their references */
void work_dissolve(struct work *w);        /* its items are left; free */
/* Has each device a connection of its own, and with it a batch, an address and a hold? */
bool work_is_personal(const struct destination *d);
/* url (and ident, where work_is_personal) and headers of an entry, NULs between, into d->scratch; *urllen of it are the url. -1: missing says which parameter is not there. */
int work_expand(struct delivery *d, const struct slot *sl, const struct entry *e, size_t *urllen, const char **missing);
/* Its topic, likewise. -1: missing says which parameter is not there, or is NULL where `why` has other words. */
int work_topic(struct delivery *d, const struct slot *sl, const struct entry *e, size_t *len, const char **missing, const char **why);

/* hold.c */
void hold_begin(struct delivery *d, struct hold *h, const struct judgement *j, bool blocked);
void hold_end(struct delivery *d, struct hold *h);
int64_t hold_backoff(struct delivery *d, unsigned failures, int64_t retry_after_us);
struct address *address_find(struct delivery *d, const char *key, size_t len);
void address_fail(struct delivery *d, struct work *w, const struct judgement *j);  /* takes the work */
void address_accepted(struct delivery *d, struct work *w);
void addresses_due(struct delivery *d);    /* move to d->ready what may be tried */
void addresses_pass(struct delivery *d);   /* a pass begins: what is not held any more may flow */
bool addresses_unpark(struct delivery *d); /* give up parked works to make room; true when there were any */
void addresses_clear(struct delivery *d);
void addresses_free(struct delivery *d);
void addresses_resume(struct delivery *d);

/* credentials.c */
bool credentials_ready(struct delivery *d);   /* may a batch go, as far as they are concerned? Begins to get them when they are needed. */
bool credentials_refused(struct delivery *d, const struct work *w);  /* it was not authorized: true: send it again with others */
void credentials_accepted(struct delivery *d);
struct login credentials_login(void *arg);    /* sender_host.login */
void credentials_forget(struct delivery *d);  /* other settings, or the end */

/* verdict.c */
void verdict_judge(void *arg, struct batch *b, const struct judgement *j);
void suspects_clear(struct delivery *d);   /* their items are left */
void suspects_tell(struct delivery *d);    /* there are some, and nothing is under way: reason and log say so */
void suspects_block(struct delivery *d);   /* too many, or no room for more: the destination is blocked, and they will be tried again */

#endif
