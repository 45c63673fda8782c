/* topic.c - see topic.h. */
#include "base/topic.h"

#include <string.h>

#include "base/utf8.h"

/* [MQTT-1.5.4-1], [MQTT-1.5.4-2] */
bool topic_text_is_good(const char *p, size_t n)
{
	while (n > 0) {
		bool ok;
		size_t step = utf8_step(p, n, &ok);

		if (!ok || *p == '\0')
			return false;
		p += step;
		n -= step;
	}
	return true;
}

bool topic_is_name(const char *p, size_t n)
{
	return n > 0 && n <= TOPIC_MAX && !memchr(p, '+', n) && !memchr(p, '#', n) && topic_text_is_good(p, n);
}

static bool levels_are_good(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool begins = i == 0 || p[i - 1] == '/', ends = i + 1 == n || p[i + 1] == '/';

		if (p[i] == '+' && !(begins && ends))
			return false;
		if (p[i] == '#' && !(begins && i + 1 == n))
			return false;
	}
	return n > 0;
}

/* The filter of a shared subscription; NULL: it is none; *rest is NULL where it is a broken one. */
static bool is_shared(const char *p, size_t n, const char **rest)
{
	const char *slash;

	if (n < 7 || memcmp(p, "$share/", 7) != 0)
		return false;
	slash = memchr(p + 7, '/', n - 7);
	*rest = slash && slash > p + 7 && !memchr(p + 7, '+', (size_t)(slash - p - 7)) && !memchr(p + 7, '#', (size_t)(slash - p - 7)) ? slash + 1 : NULL;
	return true;
}

bool topic_is_filter(const char *p, size_t n)
{
	const char *rest = p;

	if (n == 0 || n > TOPIC_MAX || !topic_text_is_good(p, n))
		return false;
	if (is_shared(p, n, &rest) && !rest)
		return false;
	return levels_are_good(rest, n - (size_t)(rest - p));
}

bool topic_matches(const char *f, const char *t, size_t n)
{
	const char *end = t + n, *rest;

	if (is_shared(f, strlen(f), &rest) && rest)
		f = rest;
	if (n && *t == '$' && (*f == '+' || *f == '#')) /* [MQTT-4.7.2-1] */
		return false;
	for (;;) {
		size_t have = strcspn(f, "/"), got = 0;

		if (*f == '#')
			return true;
		while (t + got < end && t[got] != '/')
			got++;
		if (!(have == 1 && *f == '+') && (have != got || memcmp(f, t, got) != 0))
			return false;
		f += have;
		t += got;
		if (t == end)
			return *f == '\0' || strcmp(f, "/#") == 0;
		if (*f == '\0')
			return false;
		f++;
		t++;
	}
}
