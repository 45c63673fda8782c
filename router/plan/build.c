/* build.c - settings, channels and destinations of a faultless specification. */
#include "plan/compile.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/topic.h"
#include "plan/template.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct place place_of(struct compiler *c, const struct mark *at)
{
	return (struct place){ at->source != NULL ? at->source->name : c->plan->file, at->line, at->column };
}

const struct rule *rule_of(const char *definition)
{
	return schema_definition(schema_builtin(), definition);
}

static const char *text(struct compiler *c, struct conf v)
{
	return conf_has(v) ? text_resolved(c, v.rule, v.node, conf_text(v)) : NULL;
}

static bool has_key(const struct rule *r, const char *key)
{
	return rule_property(r, key) != NULL;
}

/* A member that not every type has. */
static struct conf optional(struct conf map, const char *key)
{
	static const struct rule nothing;

	return has_key(map.rule, key) ? conf_get(map, key) : (struct conf){ &nothing, NULL, NULL, false };
}

/* ---- settings ---------------------------------------------------------------------------------------------------------------- */

const char *const *adapter_dirs(struct compiler *c, struct conf settings, unsigned *n)
{
	struct conf dirs = conf_get(settings, "adapters");
	const char **list;

	*n = 0;
	if (dirs.node == NULL || dirs.node->kind != NODE_LIST)
		return NULL;
	list = arena_alloc(c->arena, (dirs.node->n + 1) * sizeof(*list));
	for (unsigned i = 0; i < dirs.node->n; i++)
		if (dirs.node->items[i]->kind == NODE_SCALAR && dirs.node->items[i]->len > 0)
			list[(*n)++] = text_resolved(c, dirs.rule->items, dirs.node->items[i], dirs.node->items[i]->text);
	return list;
}

static int log_level(const char *name)
{
	static const char *const names[] = { [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error" };

	for (int i = LOG_DEBUG; i <= LOG_ERROR; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return LOG_INFO;
}

void build_settings(struct compiler *c)
{
	struct conf s = conf_of(rule_of("settings"), c->kept->settings, NULL);
	struct settings *to = &c->plan->settings;
	const char *workers = conf_text(conf_get(s, "workers"));
	const struct node *limits = node_get(c->kept->settings, "limits");
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	to->data = text(c, conf_get(s, "data"));
	to->workers = strcmp(workers, "auto") == 0 ? (processors > 64 ? 64 : processors > 0 ? (unsigned)processors : 1) : (unsigned)strtoul(workers, NULL, 10);
	to->durability = strcmp(conf_text(conf_get(s, "durability")), "os") == 0 ? SETTING_OS : SETTING_FSYNC;
	to->limit_disk = (uint64_t)conf_int(conf_get(s, "limits.disk"));
	to->limit_memory = (uint64_t)conf_int(conf_get(s, "limits.memory"));
	to->limit_message = (uint64_t)conf_int(conf_get(s, "limits.message"));
	to->limit_body = (uint64_t)conf_int(conf_get(s, "limits.body"));
	to->limit_script_us = conf_int(conf_get(s, "limits.script"));
	to->history_us = conf_int(conf_get(s, "history"));
	to->limit_connections = (unsigned)conf_int(conf_get(s, "limits.connections"));
	to->log_level = log_level(conf_text(conf_get(s, "log.level")));
	to->log_format = strcmp(conf_text(conf_get(s, "log.format")), "json") == 0 ? LOG_JSON : LOG_LOGFMT;
	to->adapter_dirs = adapter_dirs(c, s, &to->nadapter_dirs);
	if (node_get(c->kept->settings, "admin") != NULL)
		to->admin_listen = text(c, conf_get(s, "admin.listen"));
	if (to->limit_message > to->limit_body && !(limits != NULL && limits->partial))
		diag_add(c->diag, DIAG_CONFLICT, conf_has(conf_get(s, "limits.message")) ? &conf_get(s, "limits.message").node->at : NULL,
			"limits.message is larger than limits.body, so that the largest message could not come in");
}

/* ---- files whose content counts ------------------------------------------------------------------------------------------------ */

/* Append what a file holds: certificates are changed in place, and a changed one must count as a change. */
static void add_content(struct compiler *c, struct buf *identity, struct conf v)
{
	char why[256] = "", *content;
	const char *path = text(c, v);
	size_t len;

	if (path == NULL || c->loader->no_secrets)
		return;
	content = c->loader->read(c->loader->arg, path, &len, why, sizeof(why));
	if (content == NULL) {
		diag_add(c->diag, DIAG_UNREADABLE, &v.node->at, "%s can't be read: %s", path, why);
		return;
	}
	buf_add(identity, content, len);
	explicit_bzero(content, len);
	free(content);
}

static void add_tls(struct compiler *c, struct buf *identity, struct conf all)
{
	struct conf tls = optional(all, "tls");

	if (tls.node == NULL)
		return;
	add_content(c, identity, conf_get(tls, "ca"));
	add_content(c, identity, conf_get(tls, "cert"));
	add_content(c, identity, conf_get(tls, "key"));
}

/* ---- channels --------------------------------------------------------------------------------------------------------------------- */

static void build_keep(struct channel *to, struct conf keep)
{
	for (unsigned i = 0; keep.node != NULL && i < keep.node->n; i++) {
		const char *name = keep.node->items[i]->text;
		int own = stamp_own(name);

		if (own >= 0)
			to->keep[own] = true;
		else
			to->keep_fields = true;
		for (int k = 0; k < STAMP_OWN && strcmp(name, "*") == 0; k++)
			to->keep[k] = true;
	}
}

/* What an MQTT server would not take. */
static void check_topics(struct compiler *c, struct conf all)
{
	struct conf topics = conf_get(all, "topics"), level = conf_get(all, "topic-ident"), at = conf_get(all, "at"), url = conf_get(all, "url");

	for (unsigned i = 0; topics.node != NULL && topics.node->kind == NODE_LIST && i < topics.node->n; i++)
		if (!topic_is_filter(topics.node->items[i]->text, topics.node->items[i]->len))
			problem_note(diag_add(c->diag, DIAG_PATTERN, &topics.node->items[i]->at, "no topic filter"),
				"+ and # stand alone between slashes, # is the last; a shared one is $share/GROUP/FILTER");
	if (level.given && at.given)
		diag_add(c->diag, DIAG_CONFLICT, &level.node->at, "topic-ident and at do not go together");
	if (conf_has(url) && strchr(url.node->text, '@') != NULL)
		diag_add(c->diag, DIAG_PATTERN, &url.node->at, "user name and password of an MQTT server stand beside the url, as username and password");
	if (strcmp(conf_text(conf_get(all, "version")), "3.1.1") == 0 && conf_get(all, "password").given && !conf_get(all, "username").given)
		diag_add(c->diag, DIAG_ALTERNATIVES, &conf_get(all, "password").node->at, "in MQTT 3.1.1 a password goes with a user name; add username, or use version: 5");
}

static void build_channel(struct compiler *c, struct channel *to, const struct entry *e)
{
	const struct rule *r = rule_select(rule_of("channel"), e->value, &c->kept->types);
	/* A fixed answer is mostly asked for by GET. */
	const struct node *also = node_get(e->value, "answer") != NULL ? c->kept->answering : NULL;
	struct conf all = conf_of(r, e->value, also);
	struct buf identity = BUF_INIT;
	const struct type_info *t;

	c->partial = e->value->partial;
	to->name = e->key->text;
	to->place = place_of(c, &e->key->at);
	to->enabled = conf_bool(conf_get(all, "enabled"));
	to->type = node_get(e->value, "type")->text;
	to->options = options_make(c, r, e->value, also);
	to->format = conf_text(optional(all, "format"));
	if (to->format == NULL)
		to->format = to->type;
	to->at = conf_text(optional(all, "at"));
	to->ident_field = conf_text(optional(all, "ident"));
	if (to->ident_field == NULL)
		to->ident_field = "ident";
	to->stamp = conf_bool(conf_get(all, "stamp"));
	build_keep(to, conf_get(all, "keep"));
	to->dedupe_us = conf_int(optional(all, "dedupe"));
	if (has_key(r, "time")) {
		to->time_past_us = conf_int(conf_get(all, "time.past"));
		to->time_future_us = conf_int(conf_get(all, "time.future"));
		to->time_now = strcmp(conf_text(conf_get(all, "time.else")), "now") == 0;
	}
	to->refuse_whole = has_key(r, "refuse") && strcmp(conf_text(conf_get(all, "refuse")), "whole") == 0;
	if (strcmp(to->type, "mqtt") == 0)
		check_topics(c, all);
	t = has_key(r, "format") && strcmp(to->format, "flespi") != 0 && c->catalogue != NULL ? c->catalogue->find(c->catalogue->arg, to->format) : NULL;
	if (t != NULL)
		to->decoder_options = options_make(c, adapter_options_rule(c, t), node_get(e->value, "with"), NULL);
	buf_addf(&identity, "%s %s %llu", to->type, options_json(to->options), t ? (unsigned long long)t->hash : 0);
	if (to->decoder_options != NULL)
		buf_adds(&identity, options_json(to->decoder_options));
	add_tls(c, &identity, all);
	to->fingerprint = hash_stable(identity.p, identity.len);
	explicit_bzero(identity.p, identity.len);
	buf_fini(&identity);
}

void build_channels(struct compiler *c)
{
	const struct node *all = c->kept->channels.node;

	c->kept->answering = tree_read_text(c->arena, "", "methods: [GET, POST, PUT]", strlen("methods: [GET, POST, PUT]"), 0, c->diag);
	c->plan->nchannels = all->n;
	c->plan->channels = arena_alloc(c->arena, (all->n + 1) * sizeof(*c->plan->channels));
	for (unsigned i = 0; i < all->n; i++) {
		c->plan->channels[i].ix = i;
		build_channel(c, &c->plan->channels[i], &all->entries[i]);
	}
	doors_check(c);
}

/* ---- destinations ------------------------------------------------------------------------------------------------------------------ */

static enum transport transport_of(const char *type, const struct type_info *t)
{
	static const char *const names[] = {
		[TRANSPORT_HTTP] = "http", [TRANSPORT_MQTT] = "mqtt", [TRANSPORT_TCP] = "tcp", [TRANSPORT_KAFKA] = "kafka",
		[TRANSPORT_AMQP] = "amqp", [TRANSPORT_FILE] = "file", [TRANSPORT_NULL] = "null",
	};

	if (t != NULL)
		return t->transport;
	for (int i = TRANSPORT_HTTP; i < TRANSPORT_NULL; i++)
		if (strcmp(names[i], type) == 0)
			return (enum transport)i;
	return TRANSPORT_NULL;
}

static void build_template(struct compiler *c, struct template *t, struct conf v)
{
	const char **literals;

	if (!conf_has(v) || !template_parse(c->arena, v.node, t, c->diag)) {
		static const char *const empty[] = { "" };

		*t = (struct template){ "", 0, NULL, empty };
		return;
	}
	/* Secrets come into the literals only now, so that a brace in one is a brace. */
	literals = arena_alloc(c->arena, (t->nparams + 1) * sizeof(*literals));
	for (unsigned i = 0; i <= t->nparams; i++)
		literals[i] = text_resolved(c, v.rule, v.node, t->literals[i]);
	t->literals = literals;
}

static const char *shown_url(struct compiler *c, const char *source)
{
	struct buf b = BUF_INIT;
	const char *shown;

	url_hide(&b, source);
	shown = arena_strdup(c->arena, b.p != NULL ? b.p : "");
	buf_fini(&b);
	return shown;
}

static void check_scheme(struct compiler *c, const struct template *t, struct conf url)
{
	const struct node *schemes = conf_has(url) ? url.rule->schemes : NULL;

	if (schemes == NULL || c->loader->no_secrets || url.node->text[0] != '$')
		return; /* looked at before its references were resolved */
	for (unsigned i = 0; i < schemes->n; i++) {
		size_t n = schemes->items[i]->len;

		if (strncmp(t->literals[0], schemes->items[i]->text, n) == 0 && strncmp(t->literals[0] + n, "://", 3) == 0)
			return;
	}
	diag_add(c->diag, DIAG_PATTERN, &url.node->at, "what the reference stands for is not a URL that can be used here");
}

/* A connection needs a port; where none is written there is none that everybody means. */
static void check_port(struct compiler *c, const struct destination *to, struct conf url)
{
	const char *rest = strstr(to->url.literals[0], "://"), *port;
	long number;

	if (to->transport != TRANSPORT_TCP || to->url.nparams > 0 || !conf_has(url) || rest == NULL || strncmp(to->url.literals[0], "unix:", 5) == 0)
		return;
	rest += 3;
	port = strrchr(rest, ':');
	number = port != NULL && strchr(port, ']') == NULL ? strtol(port + 1, NULL, 10) : 0;
	if (number < 1 || number > 65535 || port[1 + strspn(port + 1, "0123456789")] > '/')
		diag_add(c->diag, DIAG_PATTERN, &url.node->at, "the port is missing or no number from 1 to 65535, as in tcp://host:7000");
}

static void build_headers(struct compiler *c, struct destination *to, struct conf headers)
{
	const char **names;
	struct template *values;

	if (headers.node == NULL || headers.node->kind != NODE_MAP)
		return;
	names = arena_alloc(c->arena, (headers.node->n + 1) * sizeof(*names));
	values = arena_alloc(c->arena, (headers.node->n + 1) * sizeof(*values));
	for (unsigned i = 0; i < headers.node->n; i++) {
		names[i] = headers.node->entries[i].key->text;
		build_template(c, &values[i], conf_of(headers.rule->others, headers.node->entries[i].value, NULL));
	}
	to->nheaders = headers.node->n;
	to->header_names = names;
	to->header_values = values;
}

/* Parameters are percent-encoded, so what an MQTT server would not take can only be written here. */
static void build_topic(struct compiler *c, struct destination *to, const struct node *key, const struct type_info *t, struct conf all)
{
	struct conf topic = optional(all, "topic");

	to->own_topics = t != NULL && t->has_topic;
	if (to->transport != TRANSPORT_MQTT)
		return;
	build_template(c, &to->topic, topic);
	if (!conf_has(topic)) {
		to->topic.source = NULL;
		if (!to->own_topics)
			diag_add(c->diag, DIAG_MISSING_KEY, &key->at, "destination %s has no topic, and its adapter says none", to->name);
		return;
	}
	for (unsigned i = 0; i <= to->topic.nparams; i++)
		if (strpbrk(to->topic.literals[i], "+#") != NULL)
			diag_add(c->diag, DIAG_BAD_TEMPLATE, &topic.node->at, "a topic to publish to has no wildcards (+ and #)");
}

/* What a connection to an MQTT server is made with. */
static void check_mqtt(struct compiler *c, const struct node *key, struct conf all)
{
	struct conf url = optional(all, "url"), password = conf_get(all, "password"), id = optional(all, "id");
	bool old = strcmp(conf_text(conf_get(all, "version")), "3.1.1") == 0;

	if (!conf_has(url))
		diag_add(c->diag, DIAG_MISSING_KEY, &key->at, "the url of the MQTT server is missing");
	else if (strchr(url.node->text, '{') != NULL && strstr(url.node->text, "${") == NULL)
		diag_add(c->diag, DIAG_BAD_TEMPLATE, &url.node->at, "the address of an MQTT server takes no parameters");
	else if (strchr(url.node->text, '@') != NULL)
		diag_add(c->diag, DIAG_PATTERN, &url.node->at, "user name and password of an MQTT server stand beside the url, as username and password");
	if (old && password.given && !conf_get(all, "username").given)
		diag_add(c->diag, DIAG_ALTERNATIVES, &password.node->at, "in MQTT 3.1.1 a password goes with a user name; add username, or use version: 5");
	if (old && id.given)
		diag_add(c->diag, DIAG_NO_EFFECT, &id.node->at, "MQTT 3.1.1 has no user properties: id needs version: 5");
}

static void build_accept(struct compiler *c, struct destination *to, struct conf accept)
{
	int *list;

	if (accept.node == NULL)
		return;
	list = arena_alloc(c->arena, (accept.node->n + 1) * sizeof(*list));
	for (unsigned i = 0; i < accept.node->n; i++)
		list[i] = (int)strtol(accept.node->items[i]->text, NULL, 10);
	to->naccept = accept.node->n;
	to->accept = list;
}

/* How entries become one body. */
static void build_joiner(struct destination *to, const struct type_info *t, struct conf all)
{
	const char *body = conf_text(optional(all, "body")), *compress = conf_text(optional(all, "compress"));

	to->body_open = "[";
	to->body_separator = ",";
	to->body_close = "]";
	to->body_type = "application/json";
	if (to->transport == TRANSPORT_FILE || (body != NULL && strcmp(body, "lines") == 0)) {
		to->body_open = "";
		to->body_separator = to->body_close = "\n";
		to->body_type = "application/x-ndjson";
	} else if (body != NULL && strcmp(body, "single") == 0) {
		to->body_open = to->body_separator = to->body_close = "";
	}
	if (t != NULL && (t->body_open != NULL || t->body_separator != NULL || t->body_close != NULL || t->body_type != NULL)) {
		to->body_open = t->body_open ? t->body_open : "";
		to->body_separator = t->body_separator ? t->body_separator : "";
		to->body_close = t->body_close ? t->body_close : "";
		to->body_type = t->body_type ? t->body_type : "application/octet-stream";
	}
	to->gzip = compress != NULL && strcmp(compress, "gzip") == 0;
}

static void build_destination(struct compiler *c, struct destination *to, const struct entry *e)
{
	const struct rule *r = rule_select(rule_of("destination"), e->value, &c->kept->types);
	const struct node *type = node_get(e->value, "type");
	bool native = rule_select(rule_of("destination"), e->value, NULL) != NULL;
	const struct type_info *t = native || c->catalogue == NULL ? NULL : c->catalogue->find(c->catalogue->arg, type->text);
	struct conf all = conf_of(r, e->value, NULL), tls = optional(all, "tls");
	struct buf identity = BUF_INIT;

	c->partial = e->value->partial;
	to->name = e->key->text;
	to->place = place_of(c, &e->key->at);
	to->type = type->text;
	to->adapter = t != NULL ? to->type : NULL;
	to->transport = transport_of(to->type, t);
	to->options = options_make(c, r, e->value, NULL);
	build_template(c, &to->url, optional(all, "url"));
	check_scheme(c, &to->url, optional(all, "url"));
	check_port(c, to, optional(all, "url"));
	to->url_shown = shown_url(c, to->url.source);
	to->secrets = secrets_told(c, rule_of("destination"), e->value, &to->nsecrets);
	build_headers(c, to, optional(all, "headers"));
	build_topic(c, to, e->key, t, all);
	if (to->transport == TRANSPORT_MQTT)
		check_mqtt(c, e->key, all);
	build_accept(c, to, optional(all, "accept"));
	to->id_name = conf_text(optional(all, "id"));
	to->rate = conf_number(optional(all, "rate"));
	to->window = conf_has(optional(all, "window")) ? (unsigned)conf_int(optional(all, "window")) : 100;
	to->connections = conf_has(optional(all, "connections")) ? (unsigned)conf_int(optional(all, "connections")) : 1;
	to->replies = t != NULL && t->has_reply;
	to->per_device = t != NULL && t->per_device;
	build_joiner(to, t, all);
	to->tls_verify = true;
	if (tls.node != NULL) {
		to->tls_ca = text(c, conf_get(tls, "ca"));
		to->tls_cert = text(c, conf_get(tls, "cert"));
		to->tls_key = text(c, conf_get(tls, "key"));
		to->tls_verify = conf_bool(conf_get(tls, "verify"));
		if ((to->tls_cert == NULL) != (to->tls_key == NULL))
			diag_add(c->diag, DIAG_ALTERNATIVES, &tls.node->at, "a client certificate takes both cert and key");
	}
	if (t != NULL && t->transport == TRANSPORT_HTTP && !t->has_request && node_get(e->value, "url") == NULL)
		diag_add(c->diag, DIAG_MISSING_KEY, &e->key->at, "destination %s has no url, and its type %s makes none", diag_quote(c->diag, to->name, strlen(to->name)), to->type);
	if (t != NULL && t->certificate && to->tls_cert == NULL && strncmp(to->url.literals[0], "https:", 6) == 0)
		problem_note(diag_add(c->diag, DIAG_ALTERNATIVES, tls.node != NULL ? &tls.node->at : &node_get(e->value, "url")->at,
			"%s takes messages over https only from clients it knows by their certificate", to->type), "give it one: tls: {cert: client.pem, key: client.key}");
	buf_addf(&identity, "%s %d %s %llu", to->type, (int)to->transport, options_json(to->options), t ? (unsigned long long)t->hash : 0);
	add_tls(c, &identity, all);
	to->fingerprint = hash_stable(identity.p, identity.len);
	explicit_bzero(identity.p, identity.len);
	buf_fini(&identity);
}

void build_destinations(struct compiler *c)
{
	const struct node *all = c->kept->destinations.node;

	c->plan->ndestinations = all->n;
	c->plan->destinations = arena_alloc(c->arena, (all->n + 1) * sizeof(*c->plan->destinations));
	for (unsigned i = 0; i < all->n; i++)
		build_destination(c, &c->plan->destinations[i], &all->entries[i]);
}
