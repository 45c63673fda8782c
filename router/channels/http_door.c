/* http_door.c - which channel a request is for, and whether it may come in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "channels/http_parts.h"
#include "message/message.h"
#include "net/auth.h"
#include "plan/plan.h"

bool http_channel_is(const struct channel *c)
{
	return c->enabled && strcmp(c->type, channel_http.type) == 0;
}

int http_channel_key(const struct channel *c, struct addr *a, char key[HTTP_KEY_MAX], char *why, size_t whylen)
{
	char fault[200];

	if (addr_parse(a, options_text(c->options, "listen"), fault, sizeof fault) < 0) {
		snprintf(why, whylen, "channel '%s': listen: %s", c->name, fault);
		return -1;
	}
	if (a->udp) {
		snprintf(why, whylen, "channel '%s': listen: HTTP has no udp://", c->name);
		return -1;
	}
	listening_key(a, key);
	return 0;
}

unsigned http_channel_methods(const struct channel *c)
{
	unsigned methods = 0;

	for (unsigned i = 0; i < options_count(c->options, "methods"); i++) {
		const char *m = options_item(c->options, "methods", i);

		methods |= strcmp(m, "GET") == 0 ? METHOD_GET : strcmp(m, "PUT") == 0 ? METHOD_PUT : METHOD_POST;
	}
	return methods;
}

/* A header line can't be broken by what stands in the specification. */
static char *type_line(const char *type)
{
	struct buf b = BUF_INIT;

	buf_adds(&b, "Content-Type: ");
	for (; *type; type++)
		buf_addc(&b, (unsigned char)*type < ' ' || *type == 0x7f ? ' ' : *type);
	buf_adds(&b, "\r\n");
	return buf_take(&b);
}

static void door_fill(struct door *d, const struct channel *c)
{
	const struct options *o = c->options, *auth = options_map(o, "auth"), *answer = options_map(o, "answer"), *basic;
	const struct options *behind = options_map(o, "behind-proxy");

	*d = (struct door){ .channel = c, .path = options_text(o, "path"), .methods = http_channel_methods(c) };
	d->path_len = strlen(d->path);
	if (auth && (d->secret = options_text(auth, "bearer"))) {
		d->auth = AUTH_BEARER;
	} else if (auth && (basic = options_map(auth, "basic"))) {
		d->auth = AUTH_BASIC;
		d->key = options_text(basic, "username");
		d->secret = options_text(basic, "password");
	} else if (auth && options_count(auth, "query") > 0) {
		d->auth = AUTH_QUERY;
		d->secret = options_pair(auth, "query", 0, &d->key);
	} else if (auth) {
		d->auth = AUTH_HEADER;
		d->secret = options_pair(auth, "header", 0, &d->key);
	}
	if (behind) {
		d->forwarded = strcmp(options_text(behind, "tells"), "x-forwarded-for") == 0;
		d->proxies = xcalloc(options_count(behind, "from") + 1, sizeof *d->proxies);
		for (unsigned i = 0; i < options_count(behind, "from"); i++) /* the specification was checked for it */
			d->nproxies += network_parse(&d->proxies[d->nproxies], options_item(behind, "from", i)) == 0;
	}
	/* What a plan shows in place of a secret opens nothing: everybody knows it. */
	d->hidden = d->secret && strcmp(d->secret, "•••") == 0;
	if (answer) {
		d->fixed = true;
		d->status = (int)options_int(answer, "status");
		d->body = options_text(answer, "body");
		d->type = type_line(options_text(answer, "type"));
	}
}

void doors_fill(struct doors *d, const struct plan *p, const char *key)
{
	doors_fini(d);
	d->at = xcalloc(p->nchannels + 1, sizeof *d->at);
	for (unsigned i = 0; i < p->nchannels; i++) {
		const struct channel *c = &p->channels[i];
		char its[HTTP_KEY_MAX], why[300];
		struct addr a;

		if (http_channel_is(c) && http_channel_key(c, &a, its, why, sizeof why) == 0 && strcmp(its, key) == 0)
			door_fill(&d->at[d->n++], c);
	}
}

void doors_fini(struct doors *d)
{
	for (unsigned i = 0; i < d->n; i++) {
		free(d->at[i].type);
		free(d->at[i].proxies);
	}
	free(d->at);
	*d = (struct doors){ NULL, 0 };
}

static unsigned method_of(struct http_text m)
{
	if (m.n == 4 && memcmp(m.p, "POST", 4) == 0)
		return METHOD_POST;
	if (m.n == 3 && memcmp(m.p, "PUT", 3) == 0)
		return METHOD_PUT;
	if ((m.n == 3 && memcmp(m.p, "GET", 3) == 0) || (m.n == 4 && memcmp(m.p, "HEAD", 4) == 0))
		return METHOD_GET;
	return 0;
}

/* The path with its escapes undone; false when they are bad. */
static bool path_of(const struct http_request *r, struct buf *scratch, struct http_text *path)
{
	*path = r->path;
	if (!memchr(path->p, '%', path->n))
		return true;
	buf_clear(scratch);
	if (http_percent_decode(*path, false, scratch) < 0)
		return false;
	*path = (struct http_text){ scratch->p, scratch->len };
	return true;
}

void doors_allow(const struct doors *d, const struct http_request *r, struct buf *scratch, struct buf *out)
{
	static const struct { unsigned method; const char *name; } names[] = { { METHOD_GET, "GET, HEAD" }, { METHOD_POST, "POST" }, { METHOD_PUT, "PUT" } };
	struct http_text path;
	unsigned methods = 0, n = 0;

	for (unsigned i = 0; path_of(r, scratch, &path) && i < d->n; i++)
		if (d->at[i].path_len == path.n && memcmp(d->at[i].path, path.p, path.n) == 0)
			methods |= d->at[i].methods;
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		if (methods & names[i].method)
			buf_addf(out, "%s%s", n++ ? ", " : "", names[i].name);
}

struct door *doors_find(const struct doors *d, const struct http_request *r, struct buf *scratch, int *status)
{
	struct http_text path;
	unsigned method = method_of(r->method);

	*status = 404;
	if (!path_of(r, scratch, &path))
		return NULL;
	for (unsigned i = 0; i < d->n; i++) {
		struct door *x = &d->at[i];

		if (x->path_len != path.n || memcmp(x->path, path.p, path.n) != 0)
			continue;
		if (x->methods & method)
			return x;
		*status = 405;
	}
	return NULL;
}

bool door_admits(const struct door *d, const struct http_request *r, struct buf *scratch)
{
	struct http_text shown = { NULL, 0 };
	size_t user;

	buf_clear(scratch);
	switch (d->auth) {
	case AUTH_NONE:
		return true;
	case AUTH_BEARER:
		if (!auth_scheme(r->authorization.p, r->authorization.n, "Bearer", &shown.p, &shown.n))
			return false;
		break;
	case AUTH_BASIC:
		if (auth_basic(r->authorization.p, r->authorization.n, scratch, &user) < 0)
			return false;
		if (!auth_equal(d->key, strlen(d->key), scratch->p, user))
			return false;
		shown = (struct http_text){ scratch->p + user + 1, scratch->len - user - 1 };
		break;
	case AUTH_QUERY:
		if (http_query_find(r->query, d->key, scratch) != 1)
			return false;
		shown = (struct http_text){ scratch->p, scratch->len };
		break;
	case AUTH_HEADER:
		shown = http_request_field(r, d->key);
		break;
	}
	return shown.p && !d->hidden && auth_equal(d->secret, strlen(d->secret), shown.p, shown.n);
}

/* ---- who asks ------------------------------------------------------------------------------------------------------- */

static bool is_believed(const struct door *d, const unsigned char at[16])
{
	for (unsigned i = 0; i < d->nproxies; i++)
		if (network_holds(&d->proxies[i], at))
			return true;
	return false;
}

/* Each proxy adds, at the end, the peer it saw. So the list is read from its end, and believed as long as who added the next one is. */
const char *door_peer(const struct door *d, const struct http_request *r, const char *socket, char *room)
{
	unsigned char at[16], next[16];
	bool told = false;

	if (!d->forwarded || network_address(at, socket, strlen(socket)) < 0)
		return socket;
	for (unsigned i = r->n; i-- > 0 && is_believed(d, at);) {
		struct http_text v = r->fields[i].value;

		if (r->fields[i].name.n != 15 || strncasecmp(r->fields[i].name.p, "X-Forwarded-For", 15) != 0)
			continue;
		while (v.n > 0 && is_believed(d, at)) {
			size_t from = v.n, end = v.n;

			while (from > 0 && v.p[from - 1] != ',')
				from--;
			v.n = from > 0 ? from - 1 : 0;
			while (from < end && (v.p[from] == ' ' || v.p[from] == '\t'))
				from++;
			while (end > from && (v.p[end - 1] == ' ' || v.p[end - 1] == '\t'))
				end--;
			if (network_address(next, v.p + from, end - from) < 0)
				return told ? network_text(at, room) : socket; /* "unknown", or no address at all */
			memcpy(at, next, sizeof at);
			told = true;
		}
	}
	return told ? network_text(at, room) : socket;
}

/* ---- a query that is a message -------------------------------------------------------------------------------------- */

/* A JSON number, as it would have to be written. */
static bool is_number(const char *p, size_t n)
{
	const char *end = p + n;

	p += p < end && *p == '-';
	if (p == end || *p < '0' || *p > '9' || (*p == '0' && p + 1 < end && p[1] >= '0' && p[1] <= '9'))
		return false;
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	if (p < end && *p == '.') {
		if (++p == end || *p < '0' || *p > '9')
			return false;
		while (p < end && *p >= '0' && *p <= '9')
			p++;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		p += p < end && (*p == '+' || *p == '-');
		if (p == end)
			return false;
		while (p < end && *p >= '0' && *p <= '9')
			p++;
	}
	return p == end;
}

static bool is_word(const char *p, size_t n, const char *word)
{
	return strlen(word) == n && memcmp(p, word, n) == 0;
}

static void add_parameter(const struct door *d, struct buf *out, const char *key, size_t nkey, const char *value, size_t n)
{
	const char *ident = d->channel->ident_field;

	if (out->p[out->len - 1] != '{')
		buf_addc(out, ',');
	buf_addjson(out, key, nkey);
	buf_addc(out, ':');
	if (!is_word(key, nkey, ident) && (is_number(value, n) || is_word(value, n, "true") || is_word(value, n, "false")))
		buf_add(out, value, n);
	else
		buf_addjson(out, value, n);
}

int door_query(const struct door *d, const struct http_request *r, struct buf *out, struct buf *scratch)
{
	const char *p = r->query.p, *end, *amp;
	bool ident = false;

	if (d->channel->decoder_options || r->query.n == 0)
		return 0;
	end = p + r->query.n;
	buf_addc(out, '{');
	for (; p < end; p = amp + 1) {
		const char *eq;
		size_t nkey, bad;

		amp = memchr(p, '&', (size_t)(end - p));
		if (!amp)
			amp = end;
		if (amp == p)
			continue;
		eq = memchr(p, '=', (size_t)(amp - p));
		buf_clear(scratch);
		if (http_percent_decode((struct http_text){ p, (size_t)((eq ? eq : amp) - p) }, true, scratch) < 0)
			return -1;
		nkey = scratch->len;
		if (eq && http_percent_decode((struct http_text){ eq + 1, (size_t)(amp - eq - 1) }, true, scratch) < 0)
			return -1;
		if (!utf8_valid(scratch->p ? scratch->p : "", scratch->len, &bad))
			return -1;
		if (nkey == 0 || (d->auth == AUTH_QUERY && is_word(scratch->p, nkey, d->key)))
			continue; /* the secret is no part of the message */
		ident |= is_word(scratch->p, nkey, d->channel->ident_field);
		add_parameter(d, out, scratch->p, nkey, scratch->p + nkey, scratch->len - nkey);
	}
	buf_addc(out, '}');
	return ident;
}
