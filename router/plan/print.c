/* print.c - the plan in normal form: a specification that compiles to the same plan.
 *
 * Written from the checked tree with the schema's defaults filled in: includes merged, devices of CSV files listed, durations and
 * sizes in their shortest form, paths as the program would open them, keys in the schema's order. References stand for secrets; a literal secret is
 * shown as •••, which is a text and so parses, but opens nothing. JSON is the same tree written with JSON's punctuation. */
#include "plan/compile.h"

#include "base/buf.h"
#include "plan/where.h"
#include "spec/scalar.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

struct printer {
	struct buf *out;
	bool json;
	const struct plan *plan;
	const char *from;                /* the folder the program was started in: paths are made absolute; NULL: they stay relative to it */
	const struct stream *retrying;   /* the stream whose `retry` is being written */
};

/* ---- scalars ------------------------------------------------------------------------------------------------------------------- */

static bool is_plain(const char *s)
{
	static const char *const words[] = { "true", "false", "null", "yes", "no", "on", "off", "y", "n" };

	if (!isalpha((unsigned char)*s) && *s != '/' && *s != '_')
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcasecmp(s, words[i]) == 0)
			return false;
	for (; *s != '\0'; s++)
		if (!isalnum((unsigned char)*s) && strchr("_./-", *s) == NULL)
			return false;
	return true;
}

static void add_text(struct printer *p, const char *s)
{
	if (!p->json && is_plain(s))
		buf_adds(p->out, s);
	else
		buf_addjson(p->out, s, strlen(s));
}

static bool is_reference(const char *s)
{
	const char *end = strchr(s, '}');

	return strncmp(s, "${", 2) == 0 && end != NULL && end[1] == '\0';
}

/* The folder of the file a node stands in, as the program would find it from where it was started. */
static int folder(const struct node *n)
{
	const char *slash = n->at.source != NULL ? strrchr(n->at.source->name, '/') : NULL;

	return slash != NULL ? (int)(slash + 1 - n->at.source->name) : 0;
}

/* What stands in front of n's relative path. */
static void add_folder(const struct printer *p, struct buf *out, const struct node *n)
{
	const char *name = n->at.source != NULL ? n->at.source->name : "";

	if (p->from != NULL && *name != '/')
		buf_addf(out, "%s%s", p->from, p->from[strlen(p->from) - 1] == '/' ? "" : "/");
	buf_add(out, name, (size_t)folder(n));
}

/* The text of n from `s` on, with the folder in front of the paths of file references. */
static void add_referring(const struct printer *pr, struct buf *out, const struct node *n, const char *s)
{
	static const char file[] = "${file:";
	const char *p;

	while ((p = strstr(s, file)) != NULL) {
		p += sizeof(file) - 1;
		buf_add(out, s, (size_t)(p - s));
		if (*p != '/')
			add_folder(pr, out, n);
		s = p;
	}
	buf_adds(out, s);
}

static void add_with_references(struct printer *p, const struct node *n)
{
	struct buf b = BUF_INIT;

	add_referring(p, &b, n, n->text);
	add_text(p, b.p);
	buf_fini(&b);
}

static void add_url(struct printer *p, const struct node *n)
{
	struct buf b = BUF_INIT, hidden = BUF_INIT;

	url_hide(&hidden, n->text);
	add_referring(p, &b, n, hidden.p != NULL ? hidden.p : "");
	add_text(p, b.p != NULL ? b.p : "");
	buf_fini(&hidden);
	buf_fini(&b);
}

static void add_path(struct printer *p, const struct node *n)
{
	struct buf b = BUF_INIT;

	if (n->text[0] != '/' && n->text[0] != '$' && strcmp(n->text, "-") != 0)
		add_folder(p, &b, n);
	add_referring(p, &b, n, n->text);
	add_text(p, b.p);
	buf_fini(&b);
}

static void add_scalar(struct printer *p, const struct rule *r, const struct node *n, bool secret)
{
	struct conf c = { r, n, NULL, true };
	enum rule_kind kind = r != NULL ? r->kind : KIND_NONE;
	struct buf b = BUF_INIT;

	if ((kind == KIND_SECRET && !is_reference(n->text)) || (secret && !reference_in(n->text)))
		buf_addjson(p->out, "•••", strlen("•••"));
	else if (kind == KIND_DURATION)
		scalar_write_duration(&b, conf_int(c));
	else if (kind == KIND_SIZE)
		scalar_write_size(&b, (uint64_t)conf_int(c));
	else if (kind == KIND_SWITCH)
		buf_adds(&b, conf_bool(c) ? "on" : "off");
	else if (kind == KIND_URL)
		add_url(p, n);
	else if (kind == KIND_PATH)
		add_path(p, n);
	else if (r != NULL && kind == KIND_NONE && r->types != 0 && (r->types & TYPE_STRING) != 0 && (r->types & ~(unsigned)TYPE_NULL) == TYPE_STRING)
		add_with_references(p, n);
	else if (kind == KIND_SECRET || kind == KIND_TEMPLATE || kind == KIND_LISTEN)
		add_with_references(p, n);
	else if (kind == KIND_NONE && !n->quoted) {
		/* numbers, booleans, and words of lists */
		conf_write_json(&b, NULL, n, NULL);
		if (*b.p == '"') {
			add_text(p, n->text);
		} else {
			buf_add(p->out, b.p, b.len);
		}
		buf_clear(&b);
	} else {
		add_text(p, n->text);
	}
	if (b.len > 0 && (p->json || !isalnum((unsigned char)*b.p) || kind == KIND_SWITCH))
		buf_addjson(p->out, b.p, b.len);
	else if (b.len > 0)
		buf_add(p->out, b.p, b.len);
	buf_fini(&b);
}

/* ---- values on one line ------------------------------------------------------------------------------------------------------------- */

static void add_key(struct printer *p, const char *key, unsigned before)
{
	buf_adds(p->out, before > 0 ? (p->json ? "," : ", ") : "");
	add_text(p, key);
	buf_adds(p->out, p->json ? ":" : ": ");
}

static void add_value(struct printer *p, struct conf v, bool secret);

static bool is_shown(const struct property *of, struct conf v)
{
	if (of->rule->planned)
		return false;
	if (v.node != NULL)
		return v.given || v.node->kind == NODE_SCALAR || v.node->n > 0;
	return v.also != NULL || v.rule->always;
}

/* What of `retry` follows the other where one is left to its default, so that they do not contradict each other. False: this key does not. */
static bool add_retry(struct printer *p, const char *key)
{
	struct buf b = BUF_INIT;

	if (p->retrying == NULL || (strcmp(key, "first") != 0 && strcmp(key, "max") != 0))
		return false;
	scalar_write_duration(&b, *key == 'f' ? p->retrying->retry_first_us : p->retrying->retry_max_us);
	if (p->json)
		buf_addjson(p->out, b.p, b.len);
	else
		buf_add(p->out, b.p, b.len);
	buf_fini(&b);
	return true;
}

static void add_members(struct printer *p, struct conf map, bool secret)
{
	unsigned n = 0;

	buf_addc(p->out, '{');
	for (unsigned i = 0; i < map.rule->nproperties; i++) {
		struct conf v = conf_get(map, map.rule->properties[i].name);

		if (!is_shown(&map.rule->properties[i], v))
			continue;
		add_key(p, map.rule->properties[i].name, n++);
		if (!add_retry(p, map.rule->properties[i].name))
			add_value(p, v, map.rule->properties[i].rule->secret);
	}
	for (unsigned i = 0; map.node != NULL && map.node->kind == NODE_MAP && i < map.node->n; i++) {
		const struct entry *e = &map.node->entries[i];

		if (rule_property(map.rule, e->key->text) != NULL)
			continue;
		add_key(p, e->key->text, n++);
		add_value(p, (struct conf){ map.rule->others, e->value, NULL, true }, secret && sounds_secret(e->key->text));
	}
	buf_addc(p->out, '}');
}

static void add_value(struct printer *p, struct conf v, bool secret)
{
	static const struct rule anything;
	const struct rule *r = v.rule != NULL ? v.rule : &anything;

	if (v.node != NULL)
		r = rule_shape(r, v.node);
	if (v.node != NULL && v.node->kind == NODE_SCALAR) {
		if (node_is_null(v.node) && (r->types & TYPE_NULL) != 0)
			buf_adds(p->out, "{}");
		else
			add_scalar(p, r, v.node, secret);
	} else if (v.node != NULL && v.node->kind == NODE_LIST) {
		buf_addc(p->out, '[');
		for (unsigned i = 0; i < v.node->n; i++) {
			buf_adds(p->out, i == 0 ? "" : p->json ? "," : ", ");
			add_value(p, (struct conf){ r->items, v.node->items[i], NULL, true }, false);
		}
		buf_addc(p->out, ']');
	} else {
		add_members(p, (struct conf){ r, v.node, v.also, v.given }, secret);
	}
}

/* ---- sections ------------------------------------------------------------------------------------------------------------------------ */

static void open_section(struct printer *p, const char *name)
{
	if (p->json)
		buf_addf(p->out, ",\n\"%s\":{", name);
	else
		buf_addf(p->out, "\n%s:\n", name);
}

/* A member's own line; `line` breaks it into one line a key. */
static void open_member(struct printer *p, const char *key, unsigned before)
{
	if (p->json) {
		buf_adds(p->out, before ? ",\n " : "\n ");
	} else {
		buf_adds(p->out, "  ");
	}
	add_text(p, key);
	buf_adds(p->out, ":");
}

static void add_lines(struct printer *p, struct conf map, const struct stream *stream, const char *where)
{
	unsigned n = 0;

	if (p->json)
		buf_addc(p->out, '{');
	else
		buf_addc(p->out, '\n');
	for (unsigned i = 0; i < map.rule->nproperties; i++) {
		const char *name = map.rule->properties[i].name;
		struct conf v = conf_get(map, name);

		if (!is_shown(&map.rule->properties[i], v))
			continue;
		if (p->json)
			add_key(p, name, n++);
		else
			buf_addf(p->out, "    %s: ", name);
		p->retrying = strcmp(name, "retry") == 0 ? stream : NULL;
		if (where != NULL && strcmp(name, "where") == 0)
			add_text(p, where);
		else
			add_value(p, v, map.rule->properties[i].rule->secret);
		p->retrying = NULL;
		if (!p->json)
			buf_addc(p->out, '\n');
	}
	if (p->json)
		buf_addc(p->out, '}');
}

static void close_section(struct printer *p)
{
	if (p->json)
		buf_addc(p->out, '}');
}

static const struct rule *rule_for(const struct plan *plan, const char *family, const struct entry *e)
{
	const struct node *type = node_get(e->value, "type");
	const struct rule *r = rule_select(rule_of(family), e->value, NULL);

	return r != NULL ? r : map_gets(&plan->kept->rules, type->text);
}

static void add_family(struct printer *p, const struct section *s, const char *family)
{
	if (s->node->n == 0)
		return;
	open_section(p, s->key);
	for (unsigned i = 0; i < s->node->n; i++) {
		const struct entry *e = &s->node->entries[i];

		open_member(p, e->key->text, i);
		add_lines(p, conf_of(rule_for(p->plan, family, e), e->value, node_get(e->value, "answer") ? p->plan->kept->answering : NULL), NULL, NULL);
	}
	close_section(p);
}

static void add_devices(struct printer *p)
{
	const struct kept *k = p->plan->kept;
	unsigned shown = 0;

	if (k->ndevices == 0)
		return;
	open_section(p, "devices");
	for (unsigned i = 0; i < k->ndevices; i++) {
		const struct declared *d = k->devices[i];
		unsigned n = 0;

		if (d->implied)
			continue;
		open_member(p, d->ident, shown++);
		buf_adds(p->out, p->json ? "{" : " {");
		if (d->has_id) {
			add_key(p, "id", n++);
			buf_addf(p->out, "%lld", (long long)d->id);
		}
		if (d->name != NULL) {
			add_key(p, "name", n++);
			add_text(p, d->name);
		}
		if (d->ngroups > 0)
			add_key(p, "groups", n++);
		for (unsigned g = 0; g < d->ngroups; g++) {
			buf_adds(p->out, g ? (p->json ? "," : ", ") : "[");
			add_text(p, d->groups[g]);
		}
		buf_adds(p->out, d->ngroups > 0 ? "]" : "");
		if (d->nfields > 0)
			add_key(p, "fields", n++);
		for (unsigned f = 0; f < d->nfields; f++) {
			buf_adds(p->out, f ? "" : "{");
			add_key(p, d->keys[f], f);
			buf_adds(p->out, d->values[f]);
		}
		buf_adds(p->out, d->nfields > 0 ? "}" : "");
		buf_adds(p->out, p->json ? "}" : "}\n");
	}
	close_section(p);
}

static void add_groups(struct printer *p)
{
	const struct section *s = &p->plan->kept->groups;

	if (s->node->n == 0)
		return;
	open_section(p, "groups");
	for (unsigned i = 0; i < s->node->n; i++) {
		open_member(p, s->node->entries[i].key->text, i);
		buf_adds(p->out, p->json ? "" : " ");
		add_value(p, (struct conf){ rule_of("group"), s->node->entries[i].value, NULL, true }, false);
		buf_adds(p->out, p->json ? "" : "\n");
	}
	close_section(p);
}

static void add_streams(struct printer *p)
{
	const struct section *s = &p->plan->kept->streams;
	struct buf where = BUF_INIT;

	if (s->node->n == 0)
		return;
	open_section(p, "streams");
	for (unsigned i = 0; i < s->node->n; i++) {
		const struct entry *e = &s->node->entries[i];

		buf_clear(&where);
		if (p->plan->streams[i].where != NULL)
			where_print(p->plan->streams[i].where, &where);
		open_member(p, e->key->text, i);
		add_lines(p, conf_of(rule_of("stream"), e->value, p->plan->kept->preferred[i]), &p->plan->streams[i], where.len > 0 ? where.p : NULL);
	}
	close_section(p);
	buf_fini(&where);
}

static void add_settings(struct printer *p)
{
	const struct kept *k = p->plan->kept;
	struct conf settings = conf_of(rule_of("settings"), k->settings, NULL);

	if (p->json) {
		buf_adds(p->out, ",\n\"settings\":");
		add_members(p, settings, false);
		return;
	}
	buf_adds(p->out, "\nsettings:");
	buf_addc(p->out, '\n');
	for (unsigned i = 0; i < settings.rule->nproperties; i++) {
		struct conf v = conf_get(settings, settings.rule->properties[i].name);

		if (!is_shown(&settings.rule->properties[i], v))
			continue;
		buf_addf(p->out, "  %s: ", settings.rule->properties[i].name);
		add_value(p, v, false);
		buf_addc(p->out, '\n');
	}
}

static void add_subscriptions(struct printer *p)
{
	const struct node *all = p->plan->kept->subscriptions;

	if (all->n == 0)
		return;
	buf_adds(p->out, p->json ? ",\n\"subscriptions\":[" : "\nsubscriptions:\n");
	for (unsigned i = 0; i < all->n; i++) {
		buf_adds(p->out, p->json ? (i ? ",\n " : "\n ") : "  - ");
		add_value(p, (struct conf){ rule_of("subscription"), all->items[i], NULL, true }, false);
		buf_adds(p->out, p->json ? "" : "\n");
	}
	buf_adds(p->out, p->json ? "]" : "");
}

static void print(struct printer *p)
{
	const struct kept *k = p->plan->kept;

	buf_adds(p->out, p->json ? "{\"sluice\":1" : "sluice: 1\n");
	add_settings(p);
	add_family(p, &k->channels, "channel");
	add_devices(p);
	add_groups(p);
	add_family(p, &k->destinations, "destination");
	add_streams(p);
	add_subscriptions(p);
	buf_adds(p->out, p->json ? "}\n" : "");
}

void plan_print(const struct plan *plan, const char *from, struct buf *out)
{
	struct printer p = { .out = out, .plan = plan, .from = from };

	print(&p);
}

void plan_print_json(const struct plan *plan, const char *from, struct buf *out)
{
	struct printer p = { .out = out, .json = true, .plan = plan, .from = from };

	print(&p);
}
