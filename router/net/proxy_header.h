/* proxy_header.h - what a proxy says before the first byte of a connection: whose it is (the PROXY protocol of HAProxy, versions 1 and 2).
 *
 * It is read from the socket to its last byte and not beyond: what follows may be TLS. */
#ifndef SLUICE_NET_PROXY_HEADER_H
#define SLUICE_NET_PROXY_HEADER_H

#include <stddef.h>

#define PROXY_HEADER_MAX 1024   /* addresses and what a proxy adds to them; more is refused */

struct proxy_header { unsigned char bytes[PROXY_HEADER_MAX]; size_t len; };

enum proxy_result {
	PROXY_MORE,     /* wait until the socket is readable */
	PROXY_PEER,     /* the peer was told */
	PROXY_OWN,      /* the connection is the proxy's own (a health check), or of a kind that has no address: its peer is the socket's */
	PROXY_BAD,      /* no such header: close */
};
/* fd: a non-blocking socket. peer: "192.0.2.7:40122" or "[2001:db8::1]:40122". */
enum proxy_result proxy_header_read(struct proxy_header *h, int fd, char *peer, size_t peerlen);

#endif
