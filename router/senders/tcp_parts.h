/* tcp_parts.h - the inside of the TCP sender: tcp.c (the driver: which connection a batch goes over), tcp_link.c (a connection: what is said
 * on it, and what its answers mean). */
#ifndef SLUICE_SENDERS_TCP_PARTS_H
#define SLUICE_SENDERS_TCP_PARTS_H

#include "base/buf.h"
#include "net/wire.h"
#include "senders/sender.h"

struct event;
struct tcp_flight;
struct tcp_link;
struct tls_client;

enum tcp_talk {
	TCP_LINES,      /* each message is a line, and so is its answer */
	TCP_ADAPTER,    /* the adapter's `reply` knows */
	TCP_UNANSWERED, /* nothing comes back: taken is what the far end's kernel has acknowledged */
};

struct sender {
	struct sender_host host;
	const struct destination *d;
	struct tls_client *tls;
	enum tcp_talk talk;
	bool framed;                /* the bytes are an adapter's: no newline behind them */
	uint64_t serial;            /* of the settings; connections made with others end when they can */
	struct tcp_link *links;
	unsigned nlinks;
};

/* A batch under way. */
struct tcp_flight {
	struct batch *b;
	struct tcp_link *link;
	struct tcp_flight *next;
	unsigned sent, judged, done; /* entries; judged and done from the front */
	struct entry_verdict *each;
	struct buf reasons;          /* their texts, each with its NUL; each[].reason is an offset until the end */
	bool mixed;                  /* not all of them are done */
};

struct tcp_link {
	struct tcp_link *next, **at;
	struct sender *sender;
	struct wire *wire;
	char *url, *key;             /* where to, and whose (an ident, or "") */
	uint64_t serial;
	struct tcp_flight *first, **end;
	unsigned nflights, waiting;  /* batches; messages that were sent and not judged */
	bool ready;                  /* greeted: messages may go */
	bool greeting;               /* the adapter wants an answer to its hello first */
	char *fault;                 /* why the url cannot be used */
	int conn;                    /* the adapter's ctx.conn */
	struct event *timer;
	int64_t progress_us, used_us, look_us;
};

struct tcp_link *tcp_link_new(struct sender *s, const char *url, const char *key);
/* Nothing is under way on it. */
void tcp_link_free(struct tcp_link *l);
void tcp_link_send(struct tcp_link *l, struct batch *b);
/* Forget this batch; the others of the connection, which cannot be used any more, are tried again. */
void tcp_link_cancel(struct tcp_link *l, struct batch *b);

#endif
