/* pipeline_parts.h - the inside of the pipeline: pipeline.c (a request's way, and each message's), pipeline_read.c (what a body's messages are). */
#ifndef SLUICE_PIPELINE_PARTS_H
#define SLUICE_PIPELINE_PARTS_H

#include "base/buf.h"
#include "base/stats.h"
#include "channels/channel.h"
#include "pipeline.h"
#include "stamping.h"
#include "worker.h"

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
};

/* What is the same for all messages of a request. */
struct request {
	struct worker *w;
	const struct plan *plan;
	const struct channel *channel;
	const char *peer;
	bool lines;
	struct ticket *ticket;
	struct job *job;
	int64_t now_us;
	struct stamping stamping;
};

/* ---- pipeline.c ---- */

/* This message, and this element of the request that is none. */
void pipeline_take(struct request *q, const struct message *received, unsigned index);
void pipeline_refuse(struct request *q, unsigned index, const char *reason, const char *bytes, size_t len);

/* ---- pipeline_read.c ---- */

/* Every message of the request. False with words in why: it is refused whole. */
bool pipeline_read(struct request *q, const struct intake *in, char *why, size_t whylen);

#endif
