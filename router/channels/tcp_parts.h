/* tcp_parts.h - the inside of the TCP channel type: tcp.c (which channels they are, and their gates), tcp_conn.c (a connection),
 * tcp_datagrams.c (a socket of datagrams, for udp://). */
#ifndef SLUICE_CHANNELS_TCP_PARTS_H
#define SLUICE_CHANNELS_TCP_PARTS_H

#include "base/buf.h"
#include "channels/channel.h"
#include "channels/listening.h"

struct event;
struct net_quota;
struct plan;
struct tcp_conn;
struct tcp_datagrams;
struct tcp_gate;

/* What the type has on one worker; lives in intake_loop.tcp. */
struct tcp_part {
	struct intake_loop *loop;
	const struct channel_host *host;
	struct net_quota *connections, *memory;
	struct tcp_gate *gates;
	struct event *tick;          /* while there are connections */
	bool ticking;
	struct buf text;
	void (*emptied)(void *arg);
	void *emptied_arg;
};

/* A listening address on one worker. */
struct tcp_gate {
	struct tcp_part *part;
	struct tcp_gate *next;
	uint64_t id;
	char key[LISTENING_KEY_MAX];
	char object[128];            /* "channel/NAME", for logs */
	struct tls_server *tls;
	bool draining;
	struct tcp_conn *conns;
	struct tcp_datagrams *datagrams;
	/* What it stands for in the plan that is in force here; looked up anew when that changes. */
	const struct plan *plan;     /* compared, never followed */
	uint64_t generation, fingerprint;
	const struct channel *channel; /* NULL: none any more */
	bool adapter, acknowledge;
	int64_t idle_us;
	size_t line_max;
};

/* The channel that is in force, or NULL. */
const struct channel *tcp_gate_channel(struct tcp_gate *g);
/* A connection or the datagrams of it have gone. */
void tcp_gate_left(struct tcp_gate *g);
/* `ok`, or `refused` and why, as lines for n of them. */
void tcp_answer_lines(struct buf *out, const struct intake_result *r, unsigned n);

/* ---- tcp_conn.c ---- */

void tcp_conn_new(struct tcp_gate *g, int fd, const char *peer);
/* Go on: there is room, or another plan. */
void tcp_conn_look(struct tcp_conn *c);
/* End after what was read whole. */
void tcp_conn_drain(struct tcp_conn *c);
void tcp_conn_free(struct tcp_conn *c);
/* Deadlines. May free it. */
void tcp_conn_tick(struct tcp_conn *c, int64_t now);
struct tcp_conn *tcp_conn_next(struct tcp_conn *c);

/* ---- tcp_datagrams.c ---- */

struct tcp_datagrams *tcp_datagrams_new(struct tcp_gate *g, int fd);
void tcp_datagrams_resume(struct tcp_datagrams *d);
void tcp_datagrams_drain(struct tcp_datagrams *d);   /* may free it */
void tcp_datagrams_free(struct tcp_datagrams *d);

#endif
