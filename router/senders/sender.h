/* sender.h - what every driver of a transport promises, and what it is given.
 *
 * A driver knows its protocol and nothing else: it never sleeps, retries, stores or decides. It sends a batch when told to,
 * and says once what the far end made of it: a verdict. senders/delivery.c cuts the batches, keeps lanes, times, holds and
 * turns verdicts into action. senders/null.c is the smallest correct driver; senders/http.c the first real one.
 *
 * Threads: a sender lives on one worker's loop; every function here is called on that loop, and a driver calls back on it only.
 * No function may block; none of the driver's functions is called from inside one of its own callbacks except free from inside
 * verdict, which delivery avoids by deferring it: a driver need not be re-entrant.
 *
 * One sender serves one stream. It outlives plans: a reload hands it new settings between batches (update). */
#ifndef SLUICE_SENDERS_SENDER_H
#define SLUICE_SENDERS_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

struct destination;
struct event_base;
struct buf;
struct net;      /* net/net.h: what a worker's loop offers: HTTP client, resolver, TLS contexts */
struct sender;   /* a driver's own object, one per stream */

/* ---- what is sent --------------------------------------------------------------------------------------------------- */

/* A cut batch. Owned by delivery; valid from send() until the driver has given its verdict (or cancel() returned). */
struct batch {
	unsigned n;                      /* entries, at least 1 */
	const struct entry *entries;     /* in order; bytes live as long as the batch */
	const char *body;                /* joined: open, entries with separators, close; for transports that send one body (joins), else NULL */
	size_t body_len;
	const char *url;                 /* the destination's url, expanded for this batch (all entries share it), or what its adapter put there */
	bool worded;                     /* url is the adapter's: what it holds may have come with a message */
	unsigned nheaders;
	const char *const *header_names; /* configured and expanded, with the id header first where `id:` is set; values are free of CR, LF, NUL */
	const char *const *header_values;
	unsigned ncredentials;           /* the last so many headers are credentials: for the far end, and for nobody else to see */
	const char *const *topics;       /* mqtt: one per entry, where they may differ; NULL: the destination's for all */
	unsigned attempt;                /* 1 on the first */
	int64_t timeout_us;              /* retry.timeout: an answer later than that is RETRY; the driver keeps the time */
	void *driver;                    /* the driver's own, NULL at send() */
	void *delivery;                  /* delivery's own */
};

/* ---- what came of it ------------------------------------------------------------------------------------------------ */

enum verdict {
	VERDICT_DONE,     /* accepted: it may leave the buffer */
	VERDICT_RETRY,    /* not now, or unknown (sent but not answered): the same again later */
	VERDICT_SPLIT,    /* something in it is not acceptable; bisected until the bad message is alone, which is then refused */
	VERDICT_REFUSED,  /* these very messages will never be accepted */
	VERDICT_BLOCKED,  /* nothing will be accepted until somebody mends the configuration or the far end (401, 403, 404, bad certificate) */
};

/* DONE, RETRY, REFUSED, or BLOCKED for what stands to be sent to this entry's own topic. */
struct entry_verdict { enum verdict verdict; const char *reason; };

/* Strings are borrowed until the verdict callback returns. */
struct judgement {
	enum verdict verdict;
	int status;                           /* HTTP status, MQTT reason code, …; 0: none came */
	const char *reason;                   /* for people, one line: what happened and, for BLOCKED, what to do */
	const char *answer; size_t answer_len;/* the far end's words, at most 4 KiB of them */
	int64_t retry_after_us;               /* asked for by the far end; 0: not */
	const struct entry_verdict *each;     /* per-message verdicts, n of them, or NULL; those that are RETRY are held as `verdict` says, if that is BLOCKED */
	bool unauthorized;                    /* it did not take the credentials it was shown */
	bool absent;                          /* nobody took the connection (refused, no route, no name): asking again costs the far end nothing */
	bool reached;                         /* the far end was reached and spoke (false: DNS, connect, TLS, reset, timeout) */
};

/* What the far end said, before judgement: given to the adapter's `verdict` where it has one. */
struct answer {
	int status;
	const char *body; size_t len;
	bool cut;                             /* there was more of the body than is kept */
	unsigned nheaders; const char *const *header_names; const char *const *header_values;
};

/* What an adapter read on a connection: verdicts of the oldest messages without one; borrowed. */
struct tcp_reply { unsigned n; const struct entry_verdict *each; bool blocked; /* of a failure: the far end will not have us */ };

/* Who we are, for transports that say it when they connect. NULL: nobody says. */
struct login { const char *username, *password; };

/* What delivery gives a driver; lives as long as the sender. */
struct sender_host {
	struct event_base *base;
	struct net *net;
	const char *stream;      /* name, for logs */
	const char *instance;    /* who we are: the same for as long as the store lives */
	void *arg;
	/* Exactly once per batch sent and not cancelled; later than send() returning (never from inside it). The batch is not the
	 * driver's any more when it returns. */
	void (*judge)(void *arg, struct batch *b, const struct judgement *j);
	/* The adapter's opinion of an answer: false = it has none, judge by the transport's own table. May be NULL. */
	bool (*adapter_verdict)(void *arg, struct batch *b, const struct answer *a, struct judgement *j);
	/* tcp: the adapter's words to begin a connection with (1; 0: it has none; -1: why), and what it makes of bytes that came back, *used of
	 * which it understood. ident: of a connection per device, else NULL. conn: 0 at first; given back with conn_end. */
	int (*hello)(void *arg, const char *ident, int *conn, struct buf *out, bool *wait, char *why, size_t whylen);
	int (*reply)(void *arg, const char *ident, int *conn, const char *bytes, size_t n, unsigned waiting, size_t *used, struct tcp_reply *out, char *why,
	             size_t whylen);
	void (*conn_end)(void *arg, int conn);
	/* What a provider of credentials (senders/credentials.h) says for a connection that is made now; it stands before what the settings say.
	 * Good until the loop goes on. May be NULL. */
	struct login (*login)(void *arg);
};

/* ---- the driver ------------------------------------------------------------------------------------------------------- */

struct sender_ops {
	const char *type;    /* "http", "null", … : the name in YAML */
	bool joins;          /* takes a whole batch as one body; otherwise entry by entry (window applies) */
	unsigned most;       /* batches one sender can have under way at once; 0: as many as delivery likes */
	bool follows;        /* batches of one lane may follow each other before the first is judged: the driver sends them in order, `window` messages
	                      * at a time on a connection, and what was not sent when one of them fails is RETRY */

	/* A sender for this destination. Opens nothing yet that can fail: connections are made at the first batch. The destination (and the
	 * plan it lies in) stays valid until update() or free(). NULL only when the settings cannot work at all (why has the words): the
	 * stream is then blocked with that reason. */
	struct sender *(*new)(const struct destination *d, const struct sender_host *h, char *why, size_t whylen);
	/* New settings for the same destination name, between batches or with batches under way (these end under the old ones or the new,
	 * as the driver likes). What did not change must not be disturbed: an unchanged url and tls keeps its connections. -1 as new(). */
	int (*update)(struct sender *s, const struct destination *d, char *why, size_t whylen);
	/* Send. Never fails here: trouble is a verdict. */
	void (*send)(struct sender *s, struct batch *b);
	/* Give it up: no verdict will come for it. Used at shutdown only, after the waiting time. */
	void (*cancel)(struct sender *s, struct batch *b);
	/* Nothing is under way any more. Close connections, free. */
	void (*free)(struct sender *s);
};

extern const struct sender_ops sender_file, sender_http, sender_mqtt, sender_null, sender_tcp;

/* http.c: how the far end of a destination is talked to over HTTP: its TLS, proxy, bind. As http_peer_new. */
struct http_peer;
struct http_peer *http_peer_of(struct net *n, const struct destination *d, char *why, size_t whylen);

#endif
