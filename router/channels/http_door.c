/* http_door.c - which channel a request is for, and whether it may come in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "channels/http_parts.h"
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
	for (unsigned i = 0; i < d->n; i++)
		free(d->at[i].type);
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

struct door *doors_find(const struct doors *d, const struct http_request *r, struct buf *scratch, int *status)
{
	struct http_text path = r->path;
	unsigned method = method_of(r->method);

	*status = 404;
	if (memchr(path.p, '%', path.n)) {
		buf_clear(scratch);
		if (http_percent_decode(path, false, scratch) < 0)
			return NULL;
		path = (struct http_text){ scratch->p, scratch->len };
	}
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
	return shown.p && auth_equal(d->secret, strlen(d->secret), shown.p, shown.n);
}
