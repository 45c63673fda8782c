/* oauth2.c - see oauth2.h. What is asked of the token endpoint, and what its answer means; when, credentials.c knows.
 *
 * Secrets pass through here: buffers are wiped before they are used again and at the end, and no reason repeats what an answer said. */
#include "senders/oauth2.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "net/auth.h"
#include "plan/plan.h"
#include "senders/sender.h"

#define LIFE_MAX_S (INT64_C(3650) * 86400)

static void wipe(struct buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->cap);
	buf_clear(b);
}

void oauth2_init(struct oauth2 *o)
{
	memset(o, 0, sizeof *o);
	index_init(&o->index);
}

void oauth2_fini(struct oauth2 *o)
{
	struct buf *all[] = { &o->body, &o->headers, &o->text };

	for (unsigned i = 0; i < 3; i++) {
		wipe(all[i]);
		buf_fini(all[i]);
	}
	index_fini(&o->index);
}

/* application/x-www-form-urlencoded, for bodies and for the two halves of a client's name and secret (section 2.3.1). */
static void add_form(struct buf *out, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("-._*", *p))
			buf_addc(out, (char)*p);
		else if (*p == ' ')
			buf_addc(out, '+');
		else
			buf_addf(out, "%%%02X", *p);
	}
}

static void add_parameter(struct buf *out, const char *name, const char *value)
{
	if (!value)
		return;
	buf_addf(out, "%s%s=", out->len ? "&" : "", name);
	add_form(out, value);
}

static void add_header(struct buf *out, const char *name, const char *value)
{
	buf_add(out, name, strlen(name) + 1);
	buf_add(out, value, strlen(value) + 1);
}

static enum provided ask(struct oauth2 *o, const struct options *with, struct provision *out)
{
	const char *id = options_text(with, "client-id"), *secret = options_text(with, "client-secret");
	bool in_body = strcmp(options_text(with, "client-auth"), "body") == 0;

	add_parameter(&o->body, "grant_type", "client_credentials");
	add_parameter(&o->body, "scope", options_text(with, "scope"));
	add_parameter(&o->body, "audience", options_text(with, "audience"));
	if (in_body) {
		add_parameter(&o->body, "client_id", id);
		add_parameter(&o->body, "client_secret", secret);
	} else {
		add_form(&o->text, id);
		buf_addc(&o->text, ':');
		add_form(&o->text, secret);
		buf_add(&o->headers, "Authorization", sizeof "Authorization");
		buf_adds(&o->headers, "Basic ");
		auth_base64_add(&o->headers, o->text.p, o->text.len);
		buf_addc(&o->headers, '\0');
	}
	add_header(&o->headers, "Content-Type", "application/x-www-form-urlencoded");
	add_header(&o->headers, "Accept", "application/json");
	out->ask = (struct wording){ .url = options_text(with, "token-url"), .body = o->body.p, .body_len = o->body.len,
		.nheaders = in_body ? 2 : 3, .headers = o->headers.p };
	return PROVIDED_ASK;
}

/* Whole seconds; some servers say "3600". */
static int64_t life(struct oauth2 *o, const struct message *m)
{
	const struct slice *s = message_find(m, "expires_in", 10);
	const char *p;
	int64_t seconds = 0;
	size_t n;

	if (!s)
		return 0;
	if (s->kind == SLICE_NUMBER && slice_int64(m, s, &seconds) == 0)
		return seconds > LIFE_MAX_S ? LIFE_MAX_S : seconds;
	wipe(&o->text);
	if (s->kind != SLICE_STRING || slice_view(m, s, &o->text, &p, &n) < 0 || n == 0 || n > 9)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return 0;
		seconds = seconds * 10 + p[i] - '0';
	}
	return seconds > LIFE_MAX_S ? LIFE_MAX_S : seconds;
}

static enum provided understand(struct oauth2 *o, const struct answer *a, struct provision *out, char *why, size_t whylen)
{
	const struct slice *s;
	struct message m;
	const char *stop, *p;
	int64_t seconds;
	size_t n;

	buf_reserve(&o->body, a->len + MESSAGE_PAD);
	buf_add(&o->body, a->body, a->len);
	memset(o->body.p + o->body.len, 0, MESSAGE_PAD);
	if (message_index(&o->index, o->body.p, o->body.p + o->body.len, &m, &stop) != JSON_OK) {
		snprintf(why, whylen, "the answer of token-url is not a JSON object");
		return PROVIDED_NOT;
	}
	s = message_find(&m, "token_type", 10);
	if (s && (slice_view(&m, s, &o->text, &p, &n) < 0 || n != 6 || strncasecmp(p, "bearer", 6) != 0)) {
		snprintf(why, whylen, "the answer of token-url has a token_type that is not Bearer");
		return PROVIDED_NOT;
	}
	seconds = life(o, &m);
	wipe(&o->text);
	s = message_find(&m, "access_token", 12);
	if (!s || slice_view(&m, s, &o->text, &p, &n) < 0 || n == 0) {
		snprintf(why, whylen, "the answer of token-url has no access_token");
		return PROVIDED_NOT;
	}
	buf_add(&o->headers, "Authorization", sizeof "Authorization");
	buf_adds(&o->headers, "Bearer ");
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)p[i] <= ' ' || (unsigned char)p[i] >= 0x7f) {
			snprintf(why, whylen, "the access_token of token-url can't stand in a header");
			return PROVIDED_NOT;
		}
		buf_addc(&o->headers, p[i]);
	}
	buf_addc(&o->headers, '\0');
	*out = (struct provision){ .nheaders = 1, .headers = o->headers.p, .lives_us = seconds > 0 ? seconds * 1000000 : 0 };
	return PROVIDED;
}

enum provided oauth2_credentials(struct oauth2 *o, const struct stream *s, const struct answer *answer, struct provision *out, char *why, size_t whylen)
{
	const struct destination *d = s->destination;
	const struct options *auth = !d->adapter && d->transport == TRANSPORT_HTTP && d->options ? options_map(d->options, "auth") : NULL;
	const struct options *with = auth ? options_map(auth, "oauth2") : NULL;

	if (!with)
		return PROVIDED_NONE;
	wipe(&o->body);
	wipe(&o->headers);
	wipe(&o->text);
	return answer ? understand(o, answer, out, why, whylen) : ask(o, with, out);
}
