/* wire_target.c - a URL's far end. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "net/wire.h"

/* The URL is not repeated: it may hold a secret. */
static int fail(char *why, size_t whylen, const char *what)
{
	snprintf(why, whylen, "url: %s", what);
	return -1;
}

static int take(char *out, size_t room, const char *p, size_t n)
{
	if (n == 0 || n >= room || memchr(p, '\0', n))
		return -1;
	memcpy(out, p, n);
	out[n] = '\0';
	return 0;
}

int wire_target_parse(struct wire_target *t, const char *url, const char *default_port, char *why, size_t whylen)
{
	const char *rest = strstr(url, "://"), *end, *port;

	memset(t, 0, sizeof *t);
	if (!rest || rest == url)
		return fail(why, whylen, "no URL, as in tcp://host:port");
	t->tls = rest[-1] == 's';
	if (strncasecmp(url, "unix://", 7) == 0) {
		t->tls = false;
		if (rest[3] != '/' || take(t->path, sizeof t->path, rest + 3, strlen(rest + 3)) < 0)
			return fail(why, whylen, "expected the whole path of a socket, at most 107 bytes, as in unix:///run/feed.sock");
		return 0;
	}
	rest += 3;
	end = rest + strcspn(rest, "/?#");
	for (const char *p = rest; p < end; p++)
		if (*p == '@')
			rest = p + 1;
	if (*rest == '[') {
		const char *close = memchr(rest, ']', (size_t)(end - rest));

		if (!close || take(t->host, sizeof t->host, rest + 1, (size_t)(close - rest) - 1) < 0)
			return fail(why, whylen, "no IPv6 address in the brackets");
		port = close + 1;
	} else {
		port = memchr(rest, ':', (size_t)(end - rest));
		if (!port)
			port = end;
		if (take(t->host, sizeof t->host, rest, (size_t)(port - rest)) < 0)
			return fail(why, whylen, "the host is missing, or longer than 255 bytes");
	}
	if (port == end) {
		if (!default_port)
			return fail(why, whylen, "the port is missing, as in tcp://host:port");
		return take(t->port, sizeof t->port, default_port, strlen(default_port));
	}
	if (*port != ':' || take(t->port, 6, port + 1, (size_t)(end - port) - 1) < 0 || t->port[strspn(t->port, "0123456789")] ||
		strcmp(t->port, "0") == 0 || (strlen(t->port) == 5 && strcmp(t->port, "65535") > 0))
		return fail(why, whylen, "the port is not a number from 1 to 65535");
	return 0;
}
