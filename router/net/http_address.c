/* http_address.c - the addresses that hand out a machine's credentials to whoever asks from it.
 *
 * Link-local covers the metadata services of AWS, Azure, Google and most others (169.254.169.254). The rest of the list: AWS over
 * IPv6 (fd00:ec2::/32), Alibaba (100.100.100.200), Oracle's older one (192.0.0.192). */
#include "net/http_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include <curl/curl.h>

static bool is_internal4(uint32_t a)
{
	return a >> 16 == 0xA9FE || a == 0x646464C8 || a == 0xC00000C0;
}

/* IPv4 inside IPv6: mapped (::ffff:a.b.c.d), compatible (::a.b.c.d) and NAT64 (64:ff9b::a.b.c.d). */
static bool inner4(const uint8_t b[16], uint32_t *out)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF };
	static const uint8_t compatible[12] = { 0 };
	static const uint8_t nat64[12] = { 0, 0x64, 0xFF, 0x9B };
	if (memcmp(b, mapped, 12) != 0 && memcmp(b, compatible, 12) != 0 && memcmp(b, nat64, 12) != 0)
		return false;
	*out = (uint32_t)b[12] << 24 | (uint32_t)b[13] << 16 | (uint32_t)b[14] << 8 | b[15];
	return true;
}

bool http_address_is_internal(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return is_internal4(ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr));
	if (sa->sa_family != AF_INET6)
		return false;
	const uint8_t *b = ((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr.s6_addr;
	uint32_t inner;
	if (inner4(b, &inner) && is_internal4(inner))
		return true;
	return (b[0] == 0xFE && (b[1] & 0xC0) == 0x80) || (b[0] == 0xFD && b[1] == 0 && b[2] == 0x0E && b[3] == 0xC2);
}

bool http_address_is_literal(const char *url, const struct sockaddr *sa)
{
	bool is = false;
	char *host = NULL;
	CURLU *u = curl_url();
	if (u && curl_url_set(u, CURLUPART_URL, url, CURLU_GUESS_SCHEME) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
		size_t n = strlen(host);
		struct in_addr a4;
		struct in6_addr a6;
		if (host[0] == '[' && n > 2) {
			host[n - 1] = '\0';
			is = sa->sa_family == AF_INET6 && inet_pton(AF_INET6, host + 1, &a6) == 1 &&
			     memcmp(&a6, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, sizeof a6) == 0;
		} else {
			is = sa->sa_family == AF_INET && inet_pton(AF_INET, host, &a4) == 1 &&
			     memcmp(&a4, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, sizeof a4) == 0;
		}
	}
	curl_free(host);
	curl_url_cleanup(u);
	return is;
}
