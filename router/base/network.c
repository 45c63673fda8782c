/* network.c - see network.h. */
#include "base/network.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* The bits an address of this text has, 0 when it is none. */
static unsigned read_address(unsigned char at[16], const char *text)
{
	if (inet_pton(AF_INET, text, at + 12) == 1) {
		memcpy(at, mapped, sizeof(mapped));
		return 32;
	}
	return inet_pton(AF_INET6, text, at) == 1 ? 128 : 0;
}

static bool bit(const unsigned char at[16], unsigned i)
{
	return (at[i / 8] >> (7 - i % 8) & 1) != 0;
}

int network_parse(struct network *n, const char *text)
{
	char host[64], *end = NULL;
	size_t len = strcspn(text, "/");
	unsigned has;

	if (len >= sizeof(host))
		return -1;
	memcpy(host, text, len);
	host[len] = '\0';
	has = read_address(n->at, host);
	if (has == 0)
		return -1;
	n->bits = 128;
	if (text[len] == '/') {
		const char *digits = text + len + 1;
		unsigned long bits = strtoul(digits, &end, 10);

		if (*digits < '0' || *digits > '9' || *end != '\0' || bits > has)
			return -1;
		n->bits = 128 - has + (unsigned)bits;
	}
	for (unsigned i = n->bits; i < 128; i++)
		if (bit(n->at, i))
			return -1;
	return 0;
}

int network_address(unsigned char at[16], const char *text, size_t len)
{
	char host[64];
	const char *from = text, *colon = memchr(text, ':', len), *close;

	if (len > 0 && *text == '[') {
		close = memchr(text, ']', len);
		if (close == NULL || (close + 1 < text + len && close[1] != ':'))
			return -1;
		from = text + 1;
		len = (size_t)(close - from);
	} else if (colon != NULL && memchr(colon + 1, ':', len - (size_t)(colon + 1 - text)) == NULL) {
		len = (size_t)(colon - text); /* one colon is a port; IPv6 has two at least */
	}
	if (len == 0 || len >= sizeof(host))
		return -1;
	memcpy(host, from, len);
	host[len] = '\0';
	return read_address(at, host) != 0 ? 0 : -1;
}

bool network_holds(const struct network *n, const unsigned char at[16])
{
	unsigned bytes = n->bits / 8, rest = n->bits % 8;

	return memcmp(n->at, at, bytes) == 0 && (rest == 0 || (n->at[bytes] ^ at[bytes]) >> (8 - rest) == 0);
}

const char *network_text(const unsigned char at[16], char out[NETWORK_TEXT_MAX])
{
	if (memcmp(at, mapped, sizeof(mapped)) == 0)
		return inet_ntop(AF_INET, at + 12, out, NETWORK_TEXT_MAX);
	return inet_ntop(AF_INET6, at, out, NETWORK_TEXT_MAX);
}
