/* mqtt_settings.c - see mqtt_parts.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/map.h"
#include "channels/mqtt_parts.h"
#include "net/mqtt_client.h"
#include "net/tls.h"
#include "plan/plan.h"

static char *copy(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

/* The same at every start, so that the broker knows us: what came while we were away waits under this name. */
static char *client_id(const struct channel *c, const char *instance)
{
	const char *given = options_text(c->options, "client-id");
	struct buf b = BUF_INIT;
	uint64_t own;

	if (given)
		return xstrdup(given);
	buf_addf(&b, "%s channel %s", instance, c->name);
	own = hash_stable(b.p, b.len);
	buf_clear(&b);
	buf_addf(&b, "sluice-%012" PRIx64, own & UINT64_C(0xFFFFFFFFFFFF));
	return buf_take(&b);
}

static int make_tls(struct mqtt_settings *s, const struct channel *c, char *why, size_t whylen)
{
	const struct options *o = options_map(c->options, "tls");

	if (!s->to.tls)
		return 0;
	s->tls = tls_client_new(&(struct tls_client_files){ .ca = o ? options_text(o, "ca") : NULL, .cert = o ? options_text(o, "cert") : NULL,
		.key = o ? options_text(o, "key") : NULL, .verify = !o || options_bool(o, "verify"), .alpn = options_text(c->options, "alpn") }, why, whylen);
	return s->tls ? 0 : -1;
}

struct mqtt_settings *mqtt_settings_new(const struct channel *c, const struct plan *p, const char *instance, char *why, size_t whylen)
{
	const struct options *o = c->options;
	const char *url = options_text(o, "url");
	struct mqtt_settings *s = xcalloc(1, sizeof *s);
	struct buf peer = BUF_INIT;
	char fault[300] = "";

	if (wire_target_parse(&s->to, url, strncmp(url, "mqtts:", 6) == 0 ? MQTTS_PORT : MQTT_PORT, fault, sizeof fault) < 0 ||
		make_tls(s, c, fault, sizeof fault) < 0) {
		snprintf(why, whylen, "channel '%s': %s", c->name, fault);
		mqtt_settings_free(s);
		return NULL;
	}
	buf_addf(&peer, strchr(s->to.host, ':') ? "[%s]:%s" : "%s:%s", s->to.host, s->to.port);
	s->peer = buf_take(&peer);
	s->client_id = client_id(c, instance);
	s->username = copy(options_text(o, "username"));
	s->password = copy(options_text(o, "password"));
	if ((s->username && strlen(s->username) > MQTT_TEXT_MAX) || (s->password && strlen(s->password) > MQTT_TEXT_MAX)) {
		snprintf(why, whylen, "channel '%s': user name or password is longer than %u bytes", c->name, MQTT_TEXT_MAX);
		mqtt_settings_free(s);
		return NULL;
	}
	s->version = strcmp(options_text(o, "version"), "3.1.1") == 0 ? MQTT_311 : MQTT_5;
	s->qos = (unsigned)options_int(o, "qos");
	s->window = (unsigned)options_int(o, "window");
	s->keep_alive = (unsigned)(options_int(o, "keep-alive") / 1000000);
	s->session = (uint32_t)(options_int(o, "session") / 1000000);
	s->ntopics = options_count(o, "topics");
	s->topics = xcalloc(s->ntopics + 1, sizeof *s->topics);
	for (unsigned i = 0; i < s->ntopics; i++)
		s->topics[i] = xstrdup(options_item(o, "topics", i));
	s->message_max = (size_t)p->settings.limit_body;
	s->fingerprint = c->fingerprint;
	return s;
}

void mqtt_settings_free(struct mqtt_settings *s)
{
	if (!s)
		return;
	tls_client_unref(s->tls);
	for (unsigned i = 0; i < s->ntopics; i++)
		free(s->topics[i]);
	free(s->topics);
	free(s->peer);
	free(s->client_id);
	free(s->username);
	free(s->password);
	free(s);
}
