/* stream.c - streams, and the renderings they share.
 *
 * A rendering is known by what decides its bytes, written out as text: the fields, each step with its adapter's hash and its
 * options. Streams whose texts are equal share one. Where an adapter keeps state, or takes data that differs from subscription to
 * subscription, the stream's name is part of the text, and nothing is shared. */
#include "plan/compile.h"

#include "base/buf.h"
#include "plan/fields.h"
#include "plan/template.h"
#include "plan/where.h"

#include <string.h>

static const char *word(struct conf v)
{
	return conf_text(v) ? conf_text(v) : "";
}

static int choice(struct conf v, const char *const *words)
{
	for (int i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], word(v)) == 0)
			return i;
	return 0;
}

/* ---- renderings ---------------------------------------------------------------------------------------------------------------- */

static const struct type_info *adapter(struct compiler *c, const char *name)
{
	return name != NULL && c->catalogue != NULL ? c->catalogue->find(c->catalogue->arg, name) : NULL;
}

static void add_step(struct compiler *c, struct rendering *r, struct step *steps, const char *name, const struct node *with, const struct mark *at,
	const struct options *options, struct buf *identity, bool *own)
{
	const struct type_info *t = adapter(c, name);
	struct step *s = &steps[r->nsteps++];

	s->adapter = name;
	s->options = options != NULL ? options : options_make(c, adapter_options_rule(c, t), with, NULL);
	s->place = place_of(c, at);
	s->per_device = t->device_schema != NULL && t->device_schema->n > 0;
	s->destination = options != NULL;
	r->state = r->state || t->has_state;
	*own = *own || t->has_state || s->per_device;
	buf_addf(identity, " | %s#%016llx %s", name, (unsigned long long)t->hash, options_json(s->options));
}

static void add_params(const struct template *t, const char **list, unsigned *n)
{
	for (unsigned i = 0; i < t->nparams; i++) {
		bool known = false;

		for (unsigned k = 0; k < *n; k++)
			known = known || strcmp(list[k], t->params[i]) == 0;
		if (!known)
			list[(*n)++] = t->params[i];
	}
}

/* The parameters the destination's address needs: of url, headers and, where the type has one, topic or routing key. */
static void add_address(struct compiler *c, struct rendering *r, const struct destination *d, const struct entry *e, struct buf *identity)
{
	struct template topic = d->topic;
	const struct node *n = d->transport == TRANSPORT_MQTT ? NULL : node_get(e->value, d->transport == TRANSPORT_AMQP ? "key" : "topic");
	unsigned most = d->url.nparams, count = 0;
	const char **list;

	if (n != NULL && d->transport != TRANSPORT_HTTP && !template_parse(c->arena, n, &topic, c->diag))
		return;
	for (unsigned i = 0; i < d->nheaders; i++)
		most += d->header_values[i].nparams;
	list = arena_alloc(c->arena, (most + topic.nparams + 1) * sizeof(*list));
	add_params(&d->url, list, &count);
	for (unsigned i = 0; i < d->nheaders; i++)
		add_params(&d->header_values[i], list, &count);
	add_params(&topic, list, &count);
	r->address = list;
	r->naddress = count;
	for (unsigned i = 0; i < count; i++)
		buf_addf(identity, " @%s", list[i]);
}

/* Is each row a value inside a JSON text, which one that is none would spoil for all who share it? */
static bool joins_json(const struct destination *d)
{
	return d->transport == TRANSPORT_HTTP && (d->body_type == NULL || strstr(d->body_type, "json") != NULL) &&
		(d->body_separator == NULL || strcmp(d->body_separator, ",") == 0);
}

static const struct rendering *rendering_of(struct compiler *c, const struct entry *e, struct conf all, const struct destination *d)
{
	struct conf transforms = conf_get(all, "transforms");
	unsigned n = transforms.node != NULL ? transforms.node->n : 0;
	const struct type_info *last = adapter(c, d->adapter);
	struct rendering made = { .ix = c->plan->nrenderings }, *known;
	struct step *steps = arena_alloc(c->arena, (n + 2) * sizeof(*steps));
	struct buf identity = BUF_INIT;
	bool own = false;
	uint64_t hash;

	made.steps = steps;
	if (node_get(e->value, "fields") != NULL && node_get(e->value, "fields")->n > 0) {
		made.fields = fields_compile(c->arena, node_get(e->value, "fields"), c->diag);
		if (made.fields != NULL)
			fields_print(made.fields, &identity);
	}
	for (unsigned i = 0; i < n; i++) {
		const struct node *item = transforms.node->items[i];

		add_step(c, &made, steps, item->kind == NODE_MAP ? node_get(item, "use")->text : item->text, node_get(item, "with"), &item->at, NULL, &identity, &own);
	}
	if (last != NULL && last->has_transform)
		add_step(c, &made, steps, d->adapter, NULL, &c->kept->destinations.node->entries[d - c->plan->destinations].key->at, d->options, &identity, &own);
	if (made.fields == NULL && made.nsteps == 0) {
		buf_fini(&identity);
		return &c->plan->renderings[0];
	}
	add_address(c, &made, d, &c->kept->destinations.node->entries[d - c->plan->destinations], &identity);
	if (own)
		buf_addf(&identity, " ! %s", e->key->text);
	made.json = made.nsteps > 0 && joins_json(d);
	if (made.json)
		buf_adds(&identity, " json");
	/* What is recorded on disk is a hash: options may hold secrets. */
	hash = hash_stable(identity.p, identity.len);
	buf_addc(&identity, '2');
	made.identity = arena_printf(c->arena, "%016llx%016llx", (unsigned long long)hash, (unsigned long long)hash_stable(identity.p, identity.len));
	explicit_bzero(identity.p, identity.len);
	buf_fini(&identity);
	for (unsigned i = 1; i < c->plan->nrenderings; i++) {
		known = &c->plan->renderings[i];
		if (strcmp(known->identity, made.identity) == 0)
			return known;
	}
	known = &c->plan->renderings[c->plan->nrenderings++];
	*known = made;
	return known;
}

/* ---- streams --------------------------------------------------------------------------------------------------------------------- */

static const char *form_of(struct compiler *c, const struct destination *d)
{
	static const char *const transports[] = {
		[TRANSPORT_HTTP] = "http", [TRANSPORT_MQTT] = "mqtt", [TRANSPORT_TCP] = "tcp", [TRANSPORT_KAFKA] = "kafka",
		[TRANSPORT_AMQP] = "amqp", [TRANSPORT_FILE] = "file", [TRANSPORT_NULL] = "null",
	};
	const struct type_info *t = adapter(c, d->adapter);

	if (t == NULL || !t->has_transform)
		return "json";
	return arena_printf(c->arena, "%s/%s/%s%s%s/%u", transports[d->transport], t->name, d->body_open, d->body_separator, d->body_close, t->form_number);
}

/* What an adapter would rather have is checked like what users write. */
static const struct node *preferred(struct compiler *c, const struct destination *d)
{
	const struct type_info *t = adapter(c, d->adapter);
	const struct rule *r = rule_of("stream");

	for (unsigned i = 0; t != NULL && t->defaults != NULL && t->defaults->kind == NODE_MAP && i < t->defaults->n; i++) {
		const struct property *p = rule_property(r, t->defaults->entries[i].key->text);

		if (p == NULL)
			diag_add(c->diag, DIAG_UNKNOWN_KEY, &t->defaults->entries[i].key->at, "adapter %s: a stream has no key \"%s\"", t->name,
				t->defaults->entries[i].key->text);
		else
			schema_check(c->arena, p->rule, t->defaults->entries[i].value, arena_printf(c->arena, "the defaults of adapter %s", t->name), NULL, c->diag);
	}
	return t != NULL && t->defaults != NULL && t->defaults->kind == NODE_MAP ? t->defaults : NULL;
}

/* No more messages in a batch than the destination's type takes; a stream that asks for more by itself is told. */
static void bound_batch(struct compiler *c, struct stream *to, struct conf messages)
{
	const struct type_info *t = adapter(c, to->destination->adapter);

	if (t == NULL || t->body_most == 0 || to->batch_messages <= t->body_most)
		return;
	if (messages.given)
		diag_add(c->diag, DIAG_OUT_OF_BOUNDS, &messages.node->at, "%s takes at most %u messages in a batch", t->name, t->body_most);
	to->batch_messages = t->body_most;
}

static void build_delivery(struct compiler *c, struct stream *to, struct conf all)
{
	static const char *const orderings[] = { "stream", "device", "none", NULL };
	static const char *const refused[] = { "dead-letter", "retry", "drop", NULL };
	static const char *const full[] = { "block", "drop-oldest", "drop-newest", NULL };
	struct conf first = conf_get(all, "retry.first"), max = conf_get(all, "retry.max");

	to->batch_messages = (unsigned)conf_int(conf_get(all, "batch.messages"));
	bound_batch(c, to, conf_get(all, "batch.messages"));
	to->batch_bytes = (uint64_t)conf_int(conf_get(all, "batch.bytes"));
	to->batch_linger_us = conf_int(conf_get(all, "batch.linger"));
	to->ordering = (enum ordering)choice(conf_get(all, "ordering"), orderings);
	to->in_flight = (unsigned)conf_int(conf_get(all, "in-flight"));
	to->retry_first_us = conf_int(first);
	to->retry_max_us = conf_int(max);
	to->retry_timeout_us = conf_int(conf_get(all, "retry.timeout"));
	to->refused = (enum refused_policy)choice(conf_get(all, "refused"), refused);
	to->ttl_us = conf_int(conf_get(all, "buffer.ttl"));
	to->buffer_max = (uint64_t)conf_int(conf_get(all, "buffer.max"));
	to->full = (enum full_setting)choice(conf_get(all, "buffer.full"), full);
	to->dead_max = (uint64_t)conf_int(conf_get(all, "dead.max"));
	to->dead_ttl_us = conf_int(conf_get(all, "dead.ttl"));
	if (to->retry_first_us > to->retry_max_us && max.given && first.given)
		diag_add(c->diag, DIAG_CONFLICT, &first.node->at, "retry.first (%s) is longer than retry.max (%s)", conf_text(first), conf_text(max));
	else if (to->retry_first_us > to->retry_max_us)
		*(max.given ? &to->retry_first_us : &to->retry_max_us) = max.given ? to->retry_max_us : to->retry_first_us;
	if (to->ordering == ORDER_STREAM && to->in_flight > 1 && conf_get(all, "in-flight").given)
		problem_note(diag_add(c->diag, DIAG_NO_EFFECT, &conf_get(all, "in-flight").node->at, "with ordering: stream one batch is under way at a time"),
			"ordering: device has as many lanes as in-flight says");
	/* One message a request leaves nothing to put together. */
	if (*to->destination->body_open == '\0' && *to->destination->body_separator == '\0' && *to->destination->body_close == '\0' &&
		to->destination->adapter == NULL && to->destination->transport == TRANSPORT_HTTP)
		to->batch_messages = 1;
}

/* names.c has compiled it before, without errors, and told what is doubtful. */
static struct where *where_again(struct compiler *c, const struct node *where)
{
	struct diag *quiet = diag_new_quiet();
	struct where *w = where_compile(c->arena, where, quiet);

	diag_free(quiet);
	return w;
}

static void build_stream(struct compiler *c, struct stream *to, const struct entry *e)
{
	const struct section *destinations = &c->kept->destinations;
	const struct entry *d = map_gets(&destinations->names, node_get(e->value, "to")->text);
	const struct node *where = node_get(e->value, "where");
	struct buf identity = BUF_INIT;
	struct conf all;

	c->partial = e->value->partial;
	to->destination = &c->plan->destinations[d - destinations->node->entries];
	c->kept->preferred[to->ix] = preferred(c, to->destination);
	all = conf_of(rule_of("stream"), e->value, c->kept->preferred[to->ix]);
	to->name = e->key->text;
	to->place = place_of(c, &e->key->at);
	to->was = conf_text(conf_get(all, "was"));
	to->enabled = conf_bool(conf_get(all, "enabled"));
	to->paused = conf_bool(conf_get(all, "paused"));
	to->rendering = rendering_of(c, e, all, to->destination);
	to->form = form_of(c, to->destination);
	to->buffer_name = arena_printf(c->arena, "%s > %s > %s", to->name, to->destination->name, to->form);
	if (where != NULL)
		to->where = where_again(c, where);
	build_delivery(c, to, all);
	buf_addf(&identity, "%d %d %s %s %016llx %u %llu %lld %d %u %lld %lld %lld %d %lld %llu %d %llu %lld", to->enabled, to->paused, to->buffer_name,
		to->rendering->ix ? to->rendering->identity : "", (unsigned long long)to->destination->fingerprint, to->batch_messages,
		(unsigned long long)to->batch_bytes, (long long)to->batch_linger_us, (int)to->ordering, to->in_flight, (long long)to->retry_first_us,
		(long long)to->retry_max_us, (long long)to->retry_timeout_us, (int)to->refused, (long long)to->ttl_us, (unsigned long long)to->buffer_max,
		(int)to->full, (unsigned long long)to->dead_max, (long long)to->dead_ttl_us);
	if (to->where != NULL)
		where_print(to->where, &identity);
	to->fingerprint = hash_stable(identity.p, identity.len);
	buf_fini(&identity);
}

void build_streams(struct compiler *c)
{
	const struct node *all = c->kept->streams.node;

	c->plan->nstreams = all->n;
	c->plan->streams = arena_alloc(c->arena, (all->n + 1) * sizeof(*c->plan->streams));
	c->plan->renderings = arena_alloc(c->arena, (all->n + 1) * sizeof(*c->plan->renderings));
	c->kept->preferred = arena_alloc(c->arena, (all->n + 1) * sizeof(*c->kept->preferred));
	c->plan->renderings[0].identity = "";
	c->plan->nrenderings = 1;
	for (unsigned i = 0; i < all->n; i++) {
		c->plan->streams[i].ix = i;
		build_stream(c, &c->plan->streams[i], &all->entries[i]);
	}
}
