/* wire_parts.h - the inside of a wire: wire.c (bytes, and its end), wire_open.c (how it comes to be). */
#ifndef SLUICE_NET_WIRE_PARTS_H
#define SLUICE_NET_WIRE_PARTS_H

#include <sys/socket.h>

#include "base/buf.h"
#include "net/tls.h"
#include "net/wire.h"

struct event;
struct lookup;

enum wire_state { LOOKING_UP, CONNECTING, SHAKING, OPEN, ENDED };

struct wire {
	struct event_base *base;
	struct wire_calls calls;
	void *arg;
	struct wire_settings settings;
	char *bind;
	enum wire_state state;
	int fd;
	struct event *readable, *writable, *flush, *timer, *late;
	SSL *ssl;
	struct tls_client *client;
	struct wire_target to;
	struct lookup *lookup;
	struct { struct sockaddr_storage sa; socklen_t len; int family, protocol; } *addresses;
	unsigned naddresses, next_address;
	int64_t deadline;
	struct buf in, out;
	size_t sent;                    /* of out */
	bool held, eof, crowded;        /* crowded: the output stood above its bound */
	bool read_wants_write, write_wants_read;  /* TLS in its own words */
	bool dry;                       /* the last reading ended for want of bytes, not of room */
	bool finishing, shut;           /* nobody looks any more: write what is left; the far end was told that it is all */
	bool busy, doomed;
	char why[256];
	enum wire_end how;
};

/* ---- wire.c ---- */

void wire_turn(struct wire *w);   /* whatever the socket allows */
void wire_rearm(struct wire *w);  /* what the socket is asked about from here on */
void wire_end_now(struct wire *w, enum wire_end how, const char *why);
void wire_end_later(struct wire *w, enum wire_end how, const char *why);  /* from inside the owner's call */
void wire_drop_socket(struct wire *w);
void wire_on_late(int fd, short what, void *arg);
void wire_on_flush(int fd, short what, void *arg);

/* ---- wire_open.c ---- */

bool wire_connected(struct wire *w);    /* the socket says that connecting has ended; true: well */
void wire_arm(struct wire *w, int64_t us);

#endif
