/* addr.h - addresses as people write them. */
#ifndef SLUICE_NET_ADDR_H
#define SLUICE_NET_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct addr {
	struct sockaddr_storage sa;
	socklen_t len;
	bool udp;      /* written with udp:// */
	bool any;      /* no host was written: every address, IPv6 too where the machine has it */
	bool local;    /* a Unix socket */
};

#define ADDR_TEXT_MAX 128 /* the longest text of addr_format, NUL included */

/* An address to listen on: `host:port`, `[v6]:port`, `:port`, each also behind `tcp://` or `udp://`; or `unix:///path`. The host is a number
 * (a name would have to be looked up, and may have several addresses) or `localhost`. 0, or -1 and why, which says what
 * was expected. */
int addr_parse(struct addr *a, const char *text, char *why, size_t whylen);

/* "192.0.2.7:40122", "[2001:db8::1]:40122", "unix:///run/feed.sock"; an IPv4 address inside IPv6 is written as IPv4, and a Unix socket without
 * a name, as a client's is, as "local". Returns out. */
char *addr_format(const struct sockaddr *sa, char out[ADDR_TEXT_MAX]);

/* A listening, non-blocking socket (stream or datagram, bound). A Unix socket that nobody listens on any more is replaced. -1 and why
 * ("address in use", …). */
int addr_listen(const struct addr *a, char *why, size_t whylen);
/* The same where a socket of this process that covers the address is about to be closed (0.0.0.0:8080, moving to 127.0.0.1:8080): both
 * may stand beside each other for a moment, once addr_share(that socket, true) was called. */
int addr_listen_beside(const struct addr *a, char *why, size_t whylen);
void addr_share(int fd, bool share);
/* Do these two claim the same port? */
bool addr_same_port(const struct addr *a, const struct addr *b);
/* Would a socket on one be in the way of a socket on the other? Two that are the same; 0.0.0.0:80 and 127.0.0.1:80; :80 and any :80. */
bool addr_overlaps(const struct addr *a, const struct addr *b);

#endif
