/* proxy_header.c - see proxy_header.h. Source: https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt, sections 2.1 and 2.2. */
#include "net/proxy_header.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/network.h"

static const unsigned char signature[12] = { '\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };

#define V1_MAX 107   /* with its line end */

static void tell(char *peer, size_t peerlen, const char *host, unsigned port)
{
	snprintf(peer, peerlen, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
}

/* "PROXY TCP4 192.0.2.7 198.51.100.1 40122 443": the family, both addresses and both ports, one blank between them. */
static enum proxy_result read_v1(const struct proxy_header *h, char *peer, size_t peerlen)
{
	char line[V1_MAX + 1], family[8], from[64], to[64], text[NETWORK_TEXT_MAX];
	unsigned port, to_port;
	unsigned char at[16], ignored[16];
	int end = 0;

	memcpy(line, h->bytes, h->len - 2);
	line[h->len - 2] = '\0';
	if (strlen(line) != h->len - 2)
		return PROXY_BAD;
	if (strncmp(line, "PROXY UNKNOWN", 13) == 0 && (line[13] == '\0' || line[13] == ' '))
		return PROXY_OWN;
	if (sscanf(line, "PROXY %7s %63s %63s %5u %5u%n", family, from, to, &port, &to_port, &end) != 5 || line[end] != '\0' || port > 65535 || to_port > 65535)
		return PROXY_BAD;
	if (network_address(at, from, strlen(from)) < 0 || network_address(ignored, to, strlen(to)) < 0 || strchr(from, '[') != NULL)
		return PROXY_BAD;
	if ((strcmp(family, "TCP4") != 0 || strchr(from, ':') != NULL) && (strcmp(family, "TCP6") != 0 || strchr(from, ':') == NULL))
		return PROXY_BAD;
	tell(peer, peerlen, network_text(at, text), port);
	return PROXY_PEER;
}

static unsigned be16(const unsigned char *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static enum proxy_result read_v2(const struct proxy_header *h, char *peer, size_t peerlen)
{
	const unsigned char *p = h->bytes + 16;
	size_t len = h->len - 16;
	char text[INET6_ADDRSTRLEN];
	unsigned char at[16];

	if (h->bytes[12] == 0x20) /* LOCAL */
		return PROXY_OWN;
	if (h->bytes[12] != 0x21)
		return PROXY_BAD;
	switch (h->bytes[13]) {
	case 0x11:
		if (len < 12)
			return PROXY_BAD;
		inet_ntop(AF_INET, p, text, sizeof(text));
		tell(peer, peerlen, text, be16(p + 8));
		return PROXY_PEER;
	case 0x21:
		if (len < 36)
			return PROXY_BAD;
		memcpy(at, p, 16);
		tell(peer, peerlen, network_text(at, text), be16(p + 32));
		return PROXY_PEER;
	default: /* not TCP: what it says of the peer is nothing we have a name for */
		return PROXY_OWN;
	}
}

/* How many bytes are there to be read next, as far as is known: all that surely belongs to the header. 0: it is whole; -1: it is none. */
static int wanted(const struct proxy_header *h)
{
	static const char v1[] = "PROXY ";

	if (h->len < sizeof(signature))
		return (int)(sizeof(signature) - h->len);
	if (memcmp(h->bytes, signature, sizeof(signature)) == 0) {
		if (h->len < 16)
			return (int)(16 - h->len);
		unsigned all = 16 + be16(h->bytes + 14);

		return all > PROXY_HEADER_MAX ? -1 : (int)(all - h->len);
	}
	if (memcmp(h->bytes, v1, sizeof(v1) - 1) != 0)
		return -1;
	if (memcmp(h->bytes + h->len - 2, "\r\n", 2) == 0)
		return 0;
	/* A line is read to its end one byte at a time: nobody says how long it is, and what follows it is not ours. */
	return h->len < V1_MAX && memchr(h->bytes, '\n', h->len) == NULL ? 1 : -1;
}

enum proxy_result proxy_header_read(struct proxy_header *h, int fd, char *peer, size_t peerlen)
{
	for (;;) {
		int want = wanted(h);
		ssize_t n;

		if (want < 0)
			return PROXY_BAD;
		if (want == 0)
			return h->bytes[0] == 'P' ? read_v1(h, peer, peerlen) : read_v2(h, peer, peerlen);
		n = recv(fd, h->bytes + h->len, (size_t)want, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return PROXY_MORE;
		if (n <= 0)
			return PROXY_BAD;
		h->len += (size_t)n;
	}
}
