/* wire.h - a connection that carries bytes both ways on an event base: TCP or a Unix socket, plain or TLS, made by us or accepted.
 *
 * What every protocol that is not HTTP stands on, in and out. 1. Everything is called on the base's thread; nothing blocks: names are
 * looked up on a thread of their own. 2. Callbacks come from the loop, never from inside a function of this header; any of them may free
 * the wire. 3. What comes gathers in an input buffer that the owner looks into and consumes when it likes; at `input_max` bytes
 * reading stops until something is consumed, which the far end feels as TCP's own back-pressure. 4. What goes out gathers in an output
 * buffer, and what was written in one turn of the loop leaves in one write. 5. The process ignores SIGPIPE. */
#ifndef SLUICE_NET_WIRE_H
#define SLUICE_NET_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct tls_client;
struct tls_server;
struct wire;

/* ---- where to ------------------------------------------------------------------------------------------------------------ */

struct wire_target {
	char host[256], port[8];  /* host without brackets; empty for a Unix socket */
	char path[108];           /* of a Unix socket; empty for TCP */
	bool tls;                 /* the scheme says so: tcps, mqtts */
};

/* `scheme://host:port`, `scheme://[v6]:port`, or `unix:///path`; what stands before an `@` or behind the port is not looked at. A scheme that
 * ends in s means TLS. default_port: where the url has none; NULL: it must have one. 0, or -1 and why. */
int wire_target_parse(struct wire_target *t, const char *url, const char *default_port, char *why, size_t whylen);

/* ---- life ------------------------------------------------------------------------------------------------------------------ */

enum wire_end {
	WIRE_CLOSED,       /* the far end will send no more (it may still read) */
	WIRE_CUT,          /* reset, or a fault on the way: what was written may or may not have arrived */
	WIRE_UNREACHABLE,  /* never open: no name, no route, refused, nobody answered in time */
	WIRE_CERTIFICATE,  /* a certificate, theirs or ours, is not accepted */
};

struct wire_calls {
	/* Connected, TLS and all: what was written before goes out now. May be NULL. */
	void (*open)(void *arg);
	/* More input is there. */
	void (*input)(void *arg);
	/* The output has fallen to half of output_max or under, after it stood above it. May be NULL. */
	void (*room)(void *arg);
	/* Nothing more comes; the input that was not consumed is still there. why is one line for people. Told once, but for WIRE_CLOSED: then one may
	 * still write, and an end of that is told too, as is that of wire_finish. */
	void (*end)(void *arg, enum wire_end how, const char *why);
};

struct wire_settings {
	size_t input_max, output_max;   /* bytes; 0: 1 MiB */
	int64_t connect_us;             /* until it is open, name, TLS and all; 0: 10 s */
	const char *bind;               /* local address or interface to connect from; NULL: any */
};

/* Begin to connect. tls: referenced as long as the wire needs it; NULL: plain. Never NULL: what goes wrong is told by end. */
struct wire *wire_connect(struct event_base *base, const struct wire_target *to, struct tls_client *tls, const struct wire_settings *s,
                          const struct wire_calls *calls, void *arg);
/* A socket that was accepted (taken over; non-blocking). tls: as above. */
struct wire *wire_accept(struct event_base *base, int fd, struct tls_server *tls, const struct wire_settings *s, const struct wire_calls *calls,
                         void *arg);
/* Close at once; output that was not written is lost. NULL is fine. No callback comes any more. */
void wire_free(struct wire *w);
/* Write what is left, tell the far end that no more comes, and read without looking until it closes, so that no reset overtakes our last bytes.
 * Only `end` is still called: when that is done, or could not be done, or after linger_us. */
void wire_finish(struct wire *w, int64_t linger_us);

/* ---- bytes ------------------------------------------------------------------------------------------------------------------ */

/* What has come and was not consumed; *n bytes, 64 readable ones behind them. Good until the loop goes on or wire_consume. */
const char *wire_input(const struct wire *w, size_t *n);
void wire_consume(struct wire *w, size_t n);
/* Another bound; what lies in the input beyond a smaller one stays. */
void wire_set_input_max(struct wire *w, size_t input_max);
/* Stop reading, or go on. */
void wire_hold(struct wire *w, bool hold);

/* Copied; goes out at the end of this turn. Also before the wire is open. Never refuses: an owner keeps to wire_has_room. */
void wire_write(struct wire *w, const void *p, size_t n);
/* Hand over now what the socket takes, for last words before wire_free. What goes wrong is found out by the loop. */
void wire_flush(struct wire *w);
/* Less than output_max waits to be written. */
bool wire_has_room(const struct wire *w);
/* Bytes that were written here and that the far end's kernel has not acknowledged (TCP), or the far end has not read (Unix socket). What TLS
 * and TCP add is counted in. */
size_t wire_unacknowledged(const struct wire *w);
bool wire_is_open(const struct wire *w);

#endif
