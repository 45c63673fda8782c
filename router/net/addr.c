/* addr.c - reading, writing and binding addresses. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int fail(char *why, size_t whylen, const char *text, const char *what)
{
	snprintf(why, whylen, "'%s': %s", text, what);
	return -1;
}

static int port_of(const char *p)
{
	int port = 0;

	if (!*p)
		return -1;
	for (; *p; p++) {
		if (*p < '0' || *p > '9' || port > 65535)
			return -1;
		port = port * 10 + (*p - '0');
	}
	return port <= 65535 ? port : -1;
}

static int parse_local(struct addr *a, const char *text, char *why, size_t whylen)
{
	struct sockaddr_un *sun = (struct sockaddr_un *)&a->sa;
	const char *path = text + strlen("unix://");

	if (*path != '/' || strlen(path) >= sizeof sun->sun_path)
		return fail(why, whylen, text, "expected the whole path of a socket, at most 107 bytes, as in unix:///run/feed.sock");
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, path, strlen(path) + 1);
	a->len = sizeof *sun;
	a->local = true;
	return 0;
}

int addr_parse(struct addr *a, const char *text, char *why, size_t whylen)
{
	const char *p = text, *colon, *scheme = strstr(text, "://");
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a->sa;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a->sa;
	char host[64];
	size_t n;
	int port;

	memset(a, 0, sizeof *a);
	if (strncmp(text, "unix://", 7) == 0)
		return parse_local(a, text, why, whylen);
	if (scheme) {
		a->udp = strncmp(text, "udp://", 6) == 0;
		if (!a->udp && strncmp(text, "tcp://", 6) != 0)
			return fail(why, whylen, text, "expected tcp://, udp://, unix:// or no scheme");
		p = scheme + 3;
	}
	colon = strrchr(p, ':');
	if (!colon || (*p == '[' && colon[-1] != ']'))
		return fail(why, whylen, text, "expected a port, as in 0.0.0.0:8080");
	port = port_of(colon + 1);
	if (port < 0)
		return fail(why, whylen, text, "the port is not a number from 0 to 65535");
	n = (size_t)(colon - p);
	if (n >= sizeof host)
		return fail(why, whylen, text, "the host is not an address");
	memcpy(host, p, n);
	host[n] = '\0';
	if (n == 0) {
		a->any = true;
		v6->sin6_family = AF_INET6;
		v6->sin6_addr = in6addr_any;
	} else if (host[0] == '[') {
		host[n - 1] = '\0';
		v6->sin6_family = AF_INET6;
		if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) != 1)
			return fail(why, whylen, text, "not an IPv6 address in the brackets");
	} else if (strchr(host, ':')) {
		return fail(why, whylen, text, "an IPv6 address needs brackets, as in [::1]:8080");
	} else {
		v4->sin_family = AF_INET;
		if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &v4->sin_addr) != 1)
			return fail(why, whylen, text, "expected an IP address to listen on, not a name");
	}
	if (a->sa.ss_family == AF_INET6) {
		v6->sin6_port = htons((uint16_t)port);
		a->len = sizeof *v6;
	} else {
		v4->sin_port = htons((uint16_t)port);
		a->len = sizeof *v4;
	}
	return 0;
}

char *addr_format(const struct sockaddr *sa, char out[ADDR_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN] = "";

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)sa;

		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
		snprintf(out, ADDR_TEXT_MAX, "%s:%u", host, ntohs(v4->sin_port));
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)sa;

		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
			inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, host, sizeof host);
			snprintf(out, ADDR_TEXT_MAX, "%s:%u", host, ntohs(v6->sin6_port));
		} else {
			inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
			snprintf(out, ADDR_TEXT_MAX, "[%s]:%u", host, ntohs(v6->sin6_port));
		}
	} else if (sa->sa_family == AF_UNIX && ((const struct sockaddr_un *)(const void *)sa)->sun_path[0]) {
		snprintf(out, ADDR_TEXT_MAX, "unix://%.107s", ((const struct sockaddr_un *)(const void *)sa)->sun_path);
	} else {
		snprintf(out, ADDR_TEXT_MAX, "local");
	}
	return out;
}

void addr_share(int fd, bool share)
{
	int on = share;

	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
}

bool addr_same_port(const struct addr *a, const struct addr *b)
{
	/* The port stands at the same place in both families. */
	return !a->local && !b->local && a->udp == b->udp && ((const struct sockaddr_in *)&a->sa)->sin_port == ((const struct sockaddr_in *)&b->sa)->sin_port;
}

static bool is_wildcard(const struct addr *a)
{
	return a->sa.ss_family == AF_INET ? ((const struct sockaddr_in *)&a->sa)->sin_addr.s_addr == htonl(INADDR_ANY)
		: IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)&a->sa)->sin6_addr);
}

bool addr_overlaps(const struct addr *a, const struct addr *b)
{
	char one[ADDR_TEXT_MAX], other[ADDR_TEXT_MAX];

	if (a->local && b->local)
		return strcmp(((const struct sockaddr_un *)&a->sa)->sun_path, ((const struct sockaddr_un *)&b->sa)->sun_path) == 0;
	if (!addr_same_port(a, b) || ((const struct sockaddr_in *)&a->sa)->sin_port == 0) /* 0: each gets a port of its own */
		return false;
	if (a->any || b->any)
		return true;
	if (a->sa.ss_family != b->sa.ss_family)
		return false;
	return is_wildcard(a) || is_wildcard(b) ||
		strcmp(addr_format((const struct sockaddr *)&a->sa, one), addr_format((const struct sockaddr *)&b->sa, other)) == 0;
}

/* A socket in the file system outlives who listened on it. */
static bool is_left_over(const struct addr *a)
{
	const char *path = ((const struct sockaddr_un *)&a->sa)->sun_path;
	struct stat st;
	int fd;
	bool refused;

	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	refused = fd >= 0 && connect(fd, (const struct sockaddr *)&a->sa, a->len) < 0 && errno == ECONNREFUSED;
	if (fd >= 0)
		close(fd);
	return refused;
}

static int open_bound(const struct addr *a, bool beside)
{
	int one = 1, zero = 0, saved;
	int fd = socket(a->sa.ss_family, (a->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (a->local && is_left_over(a))
		unlink(((const struct sockaddr_un *)&a->sa)->sun_path);
	if (!a->udp && !a->local)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (beside)
		addr_share(fd, true);
	if (a->sa.ss_family == AF_INET6) /* [::]:p is IPv6 alone, so that 0.0.0.0:p may stand beside it; :p is both */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, a->any ? &zero : &one, sizeof one);
	if (bind(fd, (const struct sockaddr *)&a->sa, a->len) == 0 && (a->udp || listen(fd, 1024) == 0))
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static int open_listening(const struct addr *a, bool beside, char *why, size_t whylen)
{
	char text[ADDR_TEXT_MAX];
	int fd = open_bound(a, beside);

	if (fd < 0 && a->any && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) { /* a machine without IPv6 */
		struct addr v4 = { .udp = a->udp, .len = sizeof(struct sockaddr_in) };
		struct sockaddr_in *sin = (struct sockaddr_in *)&v4.sa;

		sin->sin_family = AF_INET;
		sin->sin_port = ((const struct sockaddr_in6 *)&a->sa)->sin6_port;
		fd = open_bound(&v4, beside);
	}
	if (fd < 0)
		snprintf(why, whylen, "cannot listen on %s: %s", addr_format((const struct sockaddr *)&a->sa, text),
			errno == EADDRINUSE ? "another program (or channel) listens there" :
			errno == EACCES ? "ports below 1024 need the capability CAP_NET_BIND_SERVICE" : strerror(errno));
	return fd;
}

int addr_listen(const struct addr *a, char *why, size_t whylen)
{
	return open_listening(a, false, why, whylen);
}

int addr_listen_beside(const struct addr *a, char *why, size_t whylen)
{
	return open_listening(a, true, why, whylen);
}
