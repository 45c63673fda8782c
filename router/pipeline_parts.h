/* pipeline_parts.h - the inside of the pipeline: pipeline.c (a request's way, and each message's), pipeline_read.c (what a body's messages are),
 * pipeline_await.c (requests that wait for adapters' states). */
#ifndef SLUICE_PIPELINE_PARTS_H
#define SLUICE_PIPELINE_PARTS_H

#include "base/buf.h"
#include "base/stats.h"
#include "channels/channel.h"
#include "dedupe.h"
#include "pipeline.h"
#include "stamping.h"
#include "store/store.h"
#include "worker.h"

struct claim;
struct term;
struct ticket;

/* A request on its way to the store; lives until its source is answered. */
struct job {
	struct job *next;              /* in the worker's free list */
	struct worker *worker;
	struct stats_channel *stats;
	void (*done)(void *arg, const struct intake_result *r);
	void *arg;
	unsigned taken, nrefused, ntold;
	size_t bytes;                  /* counted in engine.pending */
	struct refusal told[INTAKE_REFUSALS_MAX];
	/* Of a format's adapter; `words` is why nothing could be decoded. */
	struct buf after, refuse, words;
	bool has_after, has_refuse;
	bool mute;                     /* the source cannot be told no */
	uint64_t letter;               /* not 0: it is this dead letter of the channel, once more */

	/* pipeline_await.c: messages that are not taken before their states may be gone on from */
	struct claim *claim;           /* NULL: nothing is held */
	struct buf held, peer;
	struct held { size_t end; unsigned index; } *messages;
	unsigned nheld, held_cap;
	/* while it waits */
	struct ticket *ticket;
	struct term *term;
	const struct channel *channel;
	int64_t now_us;
	bool lines;
	struct job *before, *behind;   /* in the worker's list of those that wait */

	/* Of `dedupe:`. What the source will be told waits until nothing is awaited. */
	struct dedupe *table;          /* the channel's memory, NULL: it has none */
	struct dedupe_request dedupe;
	unsigned duplicates, awaited;
	bool lost;                     /* a first one was not kept: its duplicate here must not be answered as taken */
	struct { enum intake_outcome outcome; char why[256]; bool malformed, due; } end;
};

/* What is the same for all messages of a request. */
struct request {
	struct worker *w;
	const struct plan *plan;
	struct scripts *scripts;       /* of that plan */
	const struct channel *channel;
	const char *peer;
	bool lines;
	struct ticket *ticket;
	struct job *job;
	int64_t now_us;
	struct stamping stamping;
};

/* ---- pipeline.c ---- */

/* All is read: to the store, or back to the source. */
void pipeline_end(struct request *q);
void pipeline_failed(struct job *j, const char *why);
/* This message, and this element of the request that is none. */
void pipeline_take(struct request *q, const struct message *received, unsigned index);
void pipeline_take_now(struct request *q, const struct message *received, unsigned index);
void pipeline_refuse(struct request *q, unsigned index, const char *reason, const char *bytes, size_t len);

/* ---- pipeline_read.c ---- */

/* Every message of the request. False with words in why: it is refused whole. */
bool pipeline_read(struct request *q, const struct intake *in, char *why, size_t whylen);
/* The same of a dead letter: a message by itself, or (raw) what was received. */
bool pipeline_read_again(struct request *q, const struct intake *in, bool raw, char *why, size_t whylen);

/* ---- pipeline_await.c ---- */

/* Before anything of the request is taken. */
void await_begin(struct request *q);
/* False: it is to be taken now. True: it was put by, and comes to pipeline_take_now when its states may be gone on from; or it was refused. */
bool await_message(struct request *q, const struct message *m, unsigned index);
/* All is read: take what was put by, now or when it can be. True: later; the request is ended there. */
bool await_end(struct request *q);
/* The request is refused whole. */
void await_drop(struct job *j);
void await_fini(struct worker *w);
void await_free(struct job *j);

#endif
