/* pipeline_read.c - what the messages of a request are: by the channel's adapter, line by line, or as one body. */
#include <stdio.h>
#include <string.h>

#include "message/body.h"
#include "pipeline_parts.h"
#include "plan/plan.h"
#include "store/store.h"

/* ---- formats that are adapters ----------------------------------------------------------------------------------------------- */

static void keep(struct buf *to, bool *has, const struct buf *from, bool given)
{
	*has = given;
	if (!given)
		return;
	buf_clear(to);
	buf_add(to, from->p, from->len);
}

/* Bytes that made the adapter fail may hold messages that nobody will send again: they are a dead letter, with the traceback; the source is
 * told the first line. */
static void set_aside(struct request *q, const struct intake *in, const char *why)
{
	struct job *j = q->job;

	buf_clear(&j->words);
	buf_add(&j->words, why, strcspn(why, "\n"));
	buf_addc(&j->words, '\0');
	j->nrefused = j->ntold = 1;
	j->told[0] = (struct refusal){ 0, j->words.p };
	ticket_refuse_raw(q->ticket, q->channel->number, why, in->body, in->len, q->peer);
}

/* The messages of a body, as the channel's adapter finds them. False with words in why: it is none of that format. */
static bool decode(struct request *q, const struct intake *in, char *why, size_t whylen)
{
	struct worker *w = q->w;
	struct decoded *d = &w->decoded;
	const struct arrival arrival = { .peer = in->peer, .method = in->method, .query = in->query, .topic = in->topic, .nheaders = in->nheaders,
		.header_names = in->header_names, .header_values = in->header_values, .now_us = q->now_us,
		.conn = in->piece ? &in->piece->conn : NULL };

	if (scripts_decode(w->scripts, q->channel, &arrival, in->body ? in->body : "", in->len, d, why, whylen) < 0) {
		if (in->piece)
			in->piece->broken = true;
		if (d->malformed && !q->job->mute)
			return false;
		set_aside(q, in, why);
		return true;
	}
	keep(&q->job->after, &q->job->has_after, &d->after, d->has_after);
	keep(&q->job->refuse, &q->job->has_refuse, &d->refuse, d->has_refuse);
	if (in->piece) {
		in->piece->used = d->used;
		in->piece->now = d->now.p;
		in->piece->now_len = d->has_now ? d->now.len : 0;
	} else if (d->used < in->len) {
		snprintf(why, whylen, "incomplete: format %s understands %zu of %zu bytes", q->channel->format, d->used, in->len);
		if (!q->job->mute)
			return false;
		set_aside(q, in, why);
		return true;
	}
	for (unsigned i = 0; i < d->messages.n; i++) {
		size_t from = i ? d->messages.ends[i - 1] : 0;
		const char *p = d->messages.bytes.p + from, *end = d->messages.bytes.p + d->messages.ends[i], *stop;
		struct message m;
		enum json_fault fault = message_index(&w->received, p, end, &m, &stop);

		if (fault == JSON_OK && stop == end)
			pipeline_take(q, &m, i);
		else
			pipeline_refuse(q, i, fault == JSON_OK ? "not one object" : json_fault_text(fault), p, (size_t)(end - p));
	}
	return true;
}

/* The messages of a body in the router's own format. */
static bool read_body(struct request *q, const struct intake *in, const char *at, char *why, size_t whylen)
{
	struct body body;
	struct message m;
	enum body_step step;

	body_open(&body, in->body, in->len, at);
	while ((step = body_next(&body, &q->w->received, &m)) < BODY_END) {
		if (step == BODY_MESSAGE)
			pipeline_take(q, &m, body.index);
		else
			pipeline_refuse(q, body.index, body.reason, body.item, body.item_len);
	}
	if (step == BODY_FAULT)
		snprintf(why, whylen, "%s at byte %zu", body.reason, body.position);
	return step != BODY_FAULT;
}

/* ---- lines: each stands alone ------------------------------------------------------------------------------------------------- */

static void bad_line(struct request *q, const struct body *b, unsigned index, const char *p, size_t n)
{
	struct job *j = q->job;
	size_t at = j->words.len;
	char why[200];

	/* Where the words are borrowed from must not move: enough for all that are told. */
	snprintf(why, sizeof why, "%s at byte %zu of the line", b->reason, b->position);
	if (at + sizeof why > j->words.cap) {
		pipeline_refuse(q, index, b->reason, p, n);
		return;
	}
	buf_add(&j->words, why, strlen(why) + 1);
	pipeline_refuse(q, index, j->words.p + at, p, n);
}

/* Is the whole of it well-formed? Nothing may be taken of a line that is not. */
static bool well_formed(struct request *q, struct body *body, const char *p, size_t n)
{
	struct message m;
	enum body_step step;

	body_open(body, p, n, q->channel->at);
	while ((step = body_next(body, &q->w->received, &m)) < BODY_END)
		;
	return step == BODY_END;
}

static void read_line(struct request *q, unsigned index, const char *p, size_t n)
{
	struct body body;
	struct message m;
	enum body_step step;
	const char *stop;

	/* One object alone, as nearly all are, is looked at once. */
	if (*p == '{' && !q->channel->at && message_index(&q->w->received, p, p + n, &m, &stop) == JSON_OK && stop == p + n) {
		pipeline_take(q, &m, index);
		return;
	}
	if (!well_formed(q, &body, p, n)) {
		bad_line(q, &body, index, p, n);
		return;
	}
	body_open(&body, p, n, q->channel->at);
	while ((step = body_next(&body, &q->w->received, &m)) < BODY_END) {
		if (step == BODY_MESSAGE)
			pipeline_take(q, &m, index);
		else
			pipeline_refuse(q, index, body.reason, body.item, body.item_len);
	}
}

static void read_lines(struct request *q, const struct intake *in)
{
	const char *p = in->body, *end = p + in->len, *nl;
	unsigned index = 0;

	q->lines = true;
	buf_clear(&q->job->words);
	buf_reserve(&q->job->words, 4096);
	for (; p < end; p = nl + 1) {
		const char *stop;

		nl = memchr(p, '\n', (size_t)(end - p));
		if (!nl)
			nl = end;
		stop = nl;
		while (stop > p && (stop[-1] == '\r' || stop[-1] == ' ' || stop[-1] == '\t'))
			stop--;
		while (p < stop && (*p == ' ' || *p == '\t' || *p == '\r'))
			p++;
		if (p < stop)
			read_line(q, index++, p, (size_t)(stop - p));
	}
}

/* A body whose source hears no refusal: whole as it is, if it is none. */
static void read_mute(struct request *q, const struct intake *in, char *why, size_t whylen)
{
	const char *p = in->body ? in->body : "", *stop;
	struct message m;
	struct body body;

	if (in->len && *p == '{' && !q->channel->at && message_index(&q->w->received, p, p + in->len, &m, &stop) == JSON_OK && stop == p + in->len) {
		pipeline_take(q, &m, 0);
	} else if (well_formed(q, &body, p, in->len)) {
		read_body(q, in, q->channel->at, why, whylen);
	} else {
		snprintf(why, whylen, "%s at byte %zu", body.reason, body.position);
		set_aside(q, in, why);
	}
}

bool pipeline_read(struct request *q, const struct intake *in, char *why, size_t whylen)
{
	if (in->refuse)
		set_aside(q, in, in->refuse);
	else if (in->channel->decoder_options)
		return decode(q, in, why, whylen);
	else if (in->lines)
		read_lines(q, in);
	else if (in->mute)
		read_mute(q, in, why, whylen);
	else
		return read_body(q, in, in->channel->at, why, whylen);
	return true;
}

bool pipeline_read_again(struct request *q, const struct intake *in, bool raw, char *why, size_t whylen)
{
	if (raw && in->channel->decoder_options)
		return decode(q, in, why, whylen);
	return read_body(q, in, raw ? in->channel->at : NULL, why, whylen);
}
