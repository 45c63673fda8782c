/* rehearsal.h - what the router would make of messages, without a store, a port or a connection: for `sluice explain` and `sluice test`.
 *
 * The very functions the daemon uses read, stamp, route and render; only what comes after them is left out. What adapters keep of an ident
 * (`state`) is kept from message to message of one rehearsal, and so is what a channel took, for its `dedupe`. */
#ifndef SLUICE_REHEARSAL_H
#define SLUICE_REHEARSAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct channel;
struct device;
struct plan;
struct rehearsal;
struct stream;
struct target;

enum rehearsed_fate {
	FATE_NOT_SUBSCRIBED,
	FATE_NOT_ENABLED,    /* `enabled: false` */
	FATE_FILTERED,       /* `where` is false; why says which part of it */
	FATE_SKIPPED,        /* a transform said no; why is its reason */
	FATE_FAILED,         /* a dead letter; why is file, line, traceback */
	FATE_UNADDRESSED,    /* a dead letter: url, headers or topic need what the message does not have */
	FATE_SENT,
};

struct rehearsed_step { const char *name; unsigned row; const char *bytes; size_t len; };
struct rehearsed_line { const char *level, *object, *event, *pairs; };   /* of the log */
struct rehearsed_row { const char *bytes; size_t len; const char *id; const char *topic; };

struct rehearsed_stream {
	const struct stream *stream;
	const struct target *target;     /* why it is meant; NULL when it is not */
	enum rehearsed_fate fate;
	const char *why;
	const char *url;                 /* as it would be asked for, secrets as references or •••; NULL where there is none */
	unsigned nheaders; const char *const *headers;   /* "Name: value", likewise: those the specification names */
	unsigned nrows; const struct rehearsed_row *rows;
	unsigned nsteps; const struct rehearsed_step *steps;   /* what the fields and each transform made, in order */
	unsigned nlines; const struct rehearsed_line *lines;   /* what would be in the log of it; written nowhere else */
};

struct rehearsed {
	unsigned index;                  /* in what was given, from 0 */
	const char *received; size_t received_len;
	const struct channel *channel;
	const char *refused;             /* why the channel does not take it; NULL: it does, and what follows is filled */
	unsigned repeats;                /* not 0: the channel's `dedupe` does not take it, as it is message number so many, from 1, again; it has no streams */
	const char *id, *ident; size_t ident_len;   /* a repeat has no id */
	int64_t time_us;
	const struct device *device;     /* NULL: not declared */
	const char *stamped; size_t stamped_len;
	unsigned wanted;                 /* streams that subscribe and whose `where` is true; 0: unrouted */
	unsigned nstreams; const struct rehearsed_stream *streams;   /* all of the plan's, in its order */
};

/* Everything the visitor is given lives until it returns. */
typedef void rehearsed_fn(void *arg, const struct rehearsed *m);

/* The plan stays the caller's; its channels are numbered in order, as a new store would, and it is sealed, unless it was already. NULL and
 * why. */
struct rehearsal *rehearsal_new(struct plan *p, char *why, size_t whylen);
void rehearsal_free(struct rehearsal *r);

struct rehearsal_input {
	const struct channel *channel;
	const char *bytes; size_t len;   /* MESSAGE_PAD readable bytes behind it */
	const char *query;               /* for formats that read it; NULL: none */
	int64_t now_us;
};
/* What a request with these bytes would do, message by message. False and why: it is refused whole. The first message has the id first_id,
 * later ones rise from there. */
bool rehearsal_run(struct rehearsal *r, const struct rehearsal_input *in, uint64_t first_id, rehearsed_fn *fn, void *arg, char *why, size_t whylen);

#endif
