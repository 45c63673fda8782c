/* sink.h - the inside of `sluice sink`: sink.c is its life, sink_request.c what becomes of a request. */
#ifndef SLUICE_CLI_SINK_H
#define SLUICE_CLI_SINK_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/map.h"
#include "message/message.h"
#include "net/http_server.h"

struct sink_stream;
struct sink_talk;

#define SINK_REFUSE_MAX 16

struct sink_path {
	char *name;
	uint64_t accepted; /* messages */
};

/* An answer that --delay keeps back. */
struct sink_late {
	struct sink_late *next, **at; /* at: what points here */
	struct sink *sink;
	struct event *timer;
	struct http_conn *c;
	uint64_t request;
	int status;
	struct buf body;
};

struct sink {
	/* What the options say. */
	const char *listen, *out_name;
	struct { const char *field, *value; } refuse[SINK_REFUSE_MAX];
	unsigned nrefuse;
	int status;           /* 0: not said, so 200 */
	int64_t delay_us;
	int64_t drop_after;   /* -1: never */
	uint64_t once_per;    /* 0: never */
	bool quiet, count, json, colour;

	const struct sink_talk *as; /* NULL: HTTP */
	struct sink_stream *streams;

	struct event_base *base;
	struct http_loop *loop;
	struct http_service service;
	struct http_listener *listener;
	FILE *out;
	struct index ix;
	struct buf lines, text, scratch;
	struct sink_late *late;
	bool down;            /* SIGUSR1 */
	bool ending;

	/* What is counted. */
	uint64_t requests, connections, dropped;
	uint64_t accepted, refused; /* messages */
	uint64_t fresh;             /* requests that --once-per has counted */
	uint64_t since_drop;
	uint64_t told;              /* messages, when --count printed last */
	struct umap once;           /* hash of a request that was refused once and has not come again */
	struct map paths;           /* struct sink_path, by name */
};

/* http_service.on_request; arg is the sink. */
void sink_request(struct http_conn *c, uint64_t request, const struct http_request *r, void *arg);
void sink_late_free(struct sink_late *late);
/* Does --refuse name it? */
bool sink_is_refused(struct sink *s, const struct message *m);
/* The counters of that name. */
struct sink_path *sink_path(struct sink *s, const char *name);

/* sink_stream.c: a connection of the form s->as; no more is read; all end now. */
void sink_stream_new(struct sink *s, int fd);
void sink_streams_drain(struct sink *s);
void sink_streams_free(struct sink *s);
/* "12:00:01.123", local time; returns out. */
char *sink_time(char out[16]);

#endif
