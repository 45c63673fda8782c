/* send.h - the inside of `sluice send`.
 *
 * The reader (the main thread, send_read.c) takes lines, holds each to message_index and fills batches; a lane (a thread and a
 * connection, send_lane.c) posts them one after the other. A device's messages all go over one lane, which does not touch the next batch
 * before the last is settled: so they keep their order, whatever has to be sent again. A lane holds one batch that waits and one
 * that is filled, so memory is bounded whatever the file's size.
 *
 * `lock` guards what is marked so; everything else belongs to the reader. */
#ifndef SLUICE_CLI_SEND_H
#define SLUICE_CLI_SEND_H

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"
#include "message/message.h"

#define SEND_LINGER_US 100000      /* a batch that waits for its next message goes after this */
#define SEND_BATCH_BYTES (1u << 20) /* a batch goes when it is as large, full or not */

struct send_item {
	size_t end;    /* of the message in the batch's bytes, its comma included */
	uint64_t line;
};

struct send_mqtt;
struct send_wire;

/* Where messages go. */
enum send_way { SEND_HTTP, SEND_STREAM, SEND_DATAGRAMS, SEND_FILE, SEND_MQTT };

/* A CSV file's columns, and the row in hand. */
struct send_csv { struct buf names, row, cell; unsigned n; };

struct send_batch {
	struct buf bytes; /* each message followed by a comma */
	struct send_item *items;
	unsigned n, cap;
	int64_t since_us; /* when its first message came */
};

struct send_lane {
	struct send *send;
	pthread_t thread;
	pthread_cond_t wake;
	struct send_batch *filling; /* the reader's */
	struct send_batch *next;    /* lock */
	struct send_wire *wire;     /* for what is neither HTTP nor MQTT; this and the rest: the lane's */
	struct send_mqtt *mqtt;
	CURL *easy;
	struct buf body, answer;
	struct index ix;
	unsigned seed;
	char error[CURL_ERROR_SIZE];
};

struct send_counts {
	uint64_t messages; /* lines that are messages */
	uint64_t bad;      /* lines that are none */
	uint64_t requests, again, taken, refused, unsent;
};

struct send {
	/* What the options say. */
	const char *file, *url, *ca;
	char *target;               /* the url without what identifies the user, to be shown */
	struct curl_slist *headers;
	enum send_way way;
	bool acknowledge;           /* each line is answered */
	bool csv;
	unsigned batch, connections;
	double rate;                /* 0: as fast as can be */
	double speed;               /* of recorded time; 0: not asked for */
	int64_t loop;               /* 0: for ever */
	int64_t patience_us;
	bool json;

	struct send_lane *lanes;
	pthread_mutex_t lock;
	pthread_cond_t room;        /* a lane took its batch, or ended */
	struct send_counts counts;  /* lock */
	struct map reasons;         /* lock; struct send_reason by its text */
	unsigned running;           /* lock: lanes not yet at their end */
	bool ended;                 /* lock: nothing more comes */
	_Atomic bool stop;          /* nothing more is to be sent; set under the lock */
	bool outage;                /* lock: it has been told that the channel does not take */
	int status;                 /* lock: why it stopped, an exit status */

	int fd;
	struct buf input;
	size_t at;                  /* first byte of input not yet taken */
	uint64_t line;
	int64_t rate_due;           /* when the next message may go, by rate */
	int64_t recorded_due;       /* when the last one went by recorded time */
	int64_t recorded_start, recorded_first; /* our time and theirs */
	bool recorded_began;

	int64_t began_us;
	uint64_t size, seen;        /* bytes of all passes, and those that were read; size 0: not known */
	int64_t drawn_us;           /* lock */
	bool terminal, drawn;       /* drawn: lock */
};

struct send_reason {
	char *text;
	uint64_t n;
};

extern volatile int send_interrupted; /* a signal asked for the end */

/* ---- send_read.c */

/* Reads it all, --loop times, and hands it to the lanes; returns when the last batch is with its lane. 0 or an exit status after saying why. */
int send_read(struct send *s);
void send_batch_free(struct send_batch *b); /* b may be NULL */

/* ---- send_lane.c */

int send_lanes_start(struct send *s); /* 0 or an exit status */
/* Takes the lane's batch, which it fills no longer, to the lane; waits until there is room. */
void send_submit(struct send_lane *lane);
/* The lanes end after what they have. */
void send_lanes_end(struct send *s);

/* ---- send_answer.c: what an answer says */

enum send_verdict {
	SEND_DONE,  /* settled: each message was taken or refused */
	SEND_AGAIN, /* later it may be taken */
	SEND_SPLIT, /* too large: in two halves it may be taken */
	SEND_NEVER, /* nothing of this would be taken, whatever is sent */
};

struct send_answer {
	unsigned taken;  /* of n */
	unsigned listed; /* refused ones that were told by refused() */
	struct buf why;  /* in words, for what is not listed and for the other verdicts */
};

/* body is followed by MESSAGE_PAD readable bytes. refused() is called for each message the channel names, index < n. */
enum send_verdict send_answer_read(struct send_answer *a, long status, const char *body, size_t len, unsigned n, struct index *ix,
	void (*refused)(void *arg, unsigned index, const char *reason), void *arg);

/* ---- send_wire.c: lines and datagrams */

struct send_wire *send_wire_new(struct send *s);
void send_wire_free(struct send_wire *w);   /* NULL is fine; waits for what was written to arrive */
/* n messages of the batch; `first` for the first attempt: later ones send what is not settled yet. a->taken and a->listed count all attempts. */
enum send_verdict send_wire_try(struct send_wire *w, const struct send_batch *b, unsigned from, unsigned n, bool first, struct send_answer *a,
	void (*refused)(void *arg, unsigned index, const char *reason), void *arg);

/* ---- send_mqtt.c: the same for MQTT */

struct send_mqtt *send_mqtt_new(struct send *s);
void send_mqtt_free(struct send_mqtt *q);   /* NULL is fine */
enum send_verdict send_mqtt_try(struct send_mqtt *q, const struct send_batch *b, unsigned from, unsigned n, bool first, struct send_answer *a,
	void (*refused)(void *arg, unsigned index, const char *reason), void *arg);

/* ---- send_csv.c */

enum send_row { SEND_ROW_WHOLE, SEND_ROW_MORE, SEND_ROW_BAD };
/* A line of the file: a row as a JSON object, or nothing yet (the first row, a line end inside a cell), or why not. */
enum send_row send_csv_row(struct send_csv *c, const char *p, size_t n, struct buf *json, const char **why);
void send_csv_fini(struct send_csv *c);

/* ---- send_progress.c: the line that moves, and what is told above it */

/* As printf, to stderr, with a newline behind it. Any thread; the lock is not held. */
void send_tell(struct send *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Draws, if it is time to; the lock is held. */
void send_draw(struct send *s);
/* Takes the line away; the lock is held. */
void send_undraw(struct send *s);
/* "1 500"; returns out. */
char *send_number(double v, char out[32]);

#endif
