/* reference.c - ${env:NAME} and ${file:PATH}, and {parameter}: whether a text holds them, and holds them well; and the secrets that stand
 * in a URL without being references. */
#include "spec/rule.h"

#include "base/buf.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

bool reference_in(const char *text)
{
	for (const char *p = text; (p = strstr(p, "${")) != NULL; p += 2)
		if (p == text || p[-1] != '$')
			return true;
	return false;
}

static int at(struct fault *f, const char *text, const char *p, size_t len, const char *why)
{
	*f = (struct fault){ (size_t)(p - text), len, why };
	return -1;
}

int reference_check(const char *text, struct fault *f)
{
	const char *p = text, *end, *name;

	while ((p = strstr(p, "${")) != NULL) {
		if (p > text && p[-1] == '$') {
			p += 2;
			continue;
		}
		end = strchr(p, '}');
		if (end == NULL)
			return at(f, text, p, strlen(p), "the reference is never closed by }");
		if (strncmp(p, "${env:", 6) == 0) {
			name = p + 6;
			if (name == end)
				return at(f, text, p, (size_t)(end + 1 - p), "no variable is named");
			for (const char *c = name; c < end; c++)
				if (!isalnum((unsigned char)*c) && *c != '_')
					return at(f, text, p, (size_t)(end + 1 - p), "a variable's name has letters, digits and _ only");
		} else if (strncmp(p, "${file:", 7) == 0) {
			if (p + 7 == end)
				return at(f, text, p, (size_t)(end + 1 - p), "no file is named");
		} else {
			return at(f, text, p, (size_t)(end + 1 - p), "a reference is ${env:NAME} or ${file:PATH}");
		}
		p = end + 1;
	}
	return 0;
}

int template_check(const char *text, struct fault *f)
{
	for (const char *p = text; *p != '\0'; p++) {
		const char *end;

		if (p[0] == '$' && p[1] == '{') { /* a reference, checked by itself */
			end = strchr(p, '}');
			if (end == NULL)
				return 0;
			p = end;
			continue;
		}
		if (p[0] == p[1] && (*p == '{' || *p == '}')) {
			p++;
			continue;
		}
		if (*p == '}')
			return at(f, text, p, 1, "no { stands before this }");
		if (*p != '{')
			continue;
		end = p + 1 + strcspn(p + 1, "{}");
		if (*end != '}')
			return at(f, text, p, (size_t)(end - p), "the { is never closed by }");
		if (end == p + 1)
			return at(f, text, p, 2, "no parameter is named");
		for (const char *c = p + 1; c < end; c++)
			if ((unsigned char)*c <= ' ' || *c == '"')
				return at(f, text, p, (size_t)(end + 1 - p), "a parameter's name has no blanks or quotes");
		p = end;
	}
	return 0;
}

/* ---- secrets in URLs ------------------------------------------------------------------------------------------------- */

/* A name's last word decides: access_token, apiKey, X-Signature, but not keyword or monkey. */
static bool is_secret_parameter(const char *name, size_t n)
{
	static const char *const words[] = { "apikey", "auth", "authorization", "credential", "key", "passwd", "password", "pwd", "secret", "sig",
		"signature", "token" };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		size_t len = strlen(words[i]);
		const char *word = name + n - len;

		if (n >= len && strncasecmp(word, words[i], len) == 0 && (n == len || !isalnum((unsigned char)word[-1]) || isupper((unsigned char)*word)))
			return true;
	}
	return false;
}

static bool is_whole_reference(const char *p, size_t n)
{
	return n > 3 && p[0] == '$' && p[1] == '{' && memchr(p, '}', n) == p + n - 1;
}

static bool is_literal(const char *p, size_t n)
{
	const char *end = memchr(p, '}', n);

	if (n == 0 || (n == strlen("•••") && memcmp(p, "•••", n) == 0))
		return false;
	if (*p == '{' && n > 1 && p[1] != '{' && end == p + n - 1) /* of the message */
		return false;
	for (size_t i = 0; i + 1 < n; i++)
		if (p[i] == '$' && p[i + 1] == '{' && (i == 0 || p[i - 1] != '$'))
			return false;
	return true;
}

/* Is the password (or, without one, the user) more than a reference? */
static bool is_literal_user(const char *p, size_t n)
{
	/* The colon behind the user, not the one inside ${env:NAME}. */
	const char *from = n > 0 && *p == '$' ? memchr(p, '}', n) : p, *colon = from != NULL ? memchr(from, ':', n - (size_t)(from - p)) : NULL;

	if (colon != NULL) {
		n -= (size_t)(colon + 1 - p);
		p = colon + 1;
	}
	return !is_whole_reference(p, n) && !(n == strlen("•••") && memcmp(p, "•••", n) == 0);
}

bool url_secret(const char *url, struct fault *f)
{
	const char *rest = strstr(url, "://"), *p = url + f->from, *at, *query, *name, *value;

	if (rest == NULL)
		return false;
	rest += 3;
	at = p <= rest ? memchr(rest, '@', strcspn(rest, "/?#")) : NULL;
	if (at != NULL && is_literal_user(rest, (size_t)(at - rest))) {
		*f = (struct fault){ (size_t)(rest - url), (size_t)(at - rest), NULL };
		return true;
	}
	query = rest + strcspn(rest, "?#");
	for (p = p < query ? query : p + strcspn(p, "&;#"); *p != '\0' && *p != '#'; p = value + strcspn(value, "&;#")) {
		size_t n;

		name = p + 1;
		value = name + strcspn(name, "=&;#");
		if (*value != '=')
			continue;
		n = strcspn(++value, "&;#");
		if (!is_secret_parameter(name, (size_t)(value - 1 - name)) || !is_literal(value, n))
			continue;
		*f = (struct fault){ (size_t)(value - url), n, NULL };
		return true;
	}
	return false;
}

void url_hide(struct buf *out, const char *url)
{
	struct fault f = { 0, 0, NULL };
	size_t done = 0;

	while (url_secret(url, &f)) {
		buf_add(out, url + done, f.from - done);
		buf_adds(out, "•••");
		done = f.from + f.len;
		f.from = done;
	}
	buf_adds(out, url + done);
}
