/* schema_check.c - a tree against its rules, told in the words of the specification: `in "batch" of stream "copy"`.
 *
 * Rules say what is right; the work here is to say well what is wrong. A key that is unknown is looked for among its
 * neighbours' near names, among the words other programs use for it, one level deeper and one level up, because these are the slips
 * people make. scalar_check.c does the same for single values. */
#include "spec/check.h"

#include "base/buf.h"
#include "base/map.h"
#include "spec/nearest.h"

#include <string.h>

/* ---- names of places --------------------------------------------------------------------------------------------------- */

static void add_path(struct buf *out, const struct frame *from, const struct frame *to)
{
	if (to == from)
		return;
	add_path(out, from, to->up);
	if (to->key != NULL) {
		if (out->len > 0)
			buf_addc(out, '.');
		buf_adds(out, to->key);
	} else {
		buf_addf(out, "[%u]", to->index + 1);
	}
}

const char *frame_name(struct check *c, const struct frame *f)
{
	const struct frame *named = f;
	struct buf path = BUF_INIT;
	const char *name, *quoted;

	while (named->up != NULL && named->up->rule->label == NULL)
		named = named->up;
	if (named->up == NULL)
		named = c->root;
	add_path(&path, named, f);
	quoted = path.len > 0 ? diag_quote(c->diag, path.p, path.len) : NULL;
	if (named->up == NULL)
		name = quoted && c->what ? arena_printf(c->arena, "%s of %s", quoted, c->what) : quoted ? quoted : c->what ? c->what : "the top level";
	else if (named->key != NULL)
		name = arena_printf(c->arena, "%s%s%s %s", quoted ? quoted : "", quoted ? " of " : "", named->up->rule->label,
			diag_quote(c->diag, named->key, strlen(named->key)));
	else
		name = arena_printf(c->arena, "%s%s%s %u", quoted ? quoted : "", quoted ? " of " : "", named->up->rule->label, named->index + 1);
	buf_fini(&path);
	return name;
}

/* `in stream "copy"`, `at the top level` */
static const char *where(struct check *c, const struct frame *f)
{
	if (f == c->root && c->what == NULL)
		return "at the top level";
	return arena_printf(c->arena, "in %s", frame_name(c, f));
}

/* The key that leads to a value, or the value itself in a list: where to point when the value is missing or not there at all. */
static const struct mark *frame_mark(const struct frame *f)
{
	return f->key_at != NULL ? f->key_at : &f->node->at;
}

/* ---- unknown keys -------------------------------------------------------------------------------------------------------- */

static bool is_aka(const struct rule *r, const char *word)
{
	for (unsigned i = 0; r->aka != NULL && i < r->aka->n; i++)
		if (nearest_same(r->aka->items[i]->text, word))
			return true;
	return false;
}

static const char *near_key(const struct rule *r, const char *word)
{
	struct nearest near;

	for (unsigned i = 0; i < r->nproperties; i++)
		if (is_aka(r->properties[i].rule, word))
			return r->properties[i].name;
	nearest_begin(&near, word);
	for (unsigned i = 0; i < r->nproperties; i++)
		if (!r->properties[i].rule->planned)
			nearest_try(&near, r->properties[i].name);
	return nearest_found(&near);
}

/* The property among whose members the word, or one near it, is: people put `ttl` beside `buffer` instead of below it. */
static const char *key_below(const struct rule *r, const char *word, const char **near)
{
	for (unsigned i = 0; i < r->nproperties; i++)
		if ((r->properties[i].rule->types & TYPE_MAP) != 0 && rule_property(r->properties[i].rule, word) != NULL)
			return r->properties[i].name;
	for (unsigned i = 0; i < r->nproperties; i++)
		if ((r->properties[i].rule->types & TYPE_MAP) != 0 && (*near = near_key(r->properties[i].rule, word)) != NULL)
			return r->properties[i].name;
	return NULL;
}

static void note_allowed(struct problem *p, const struct rule *r)
{
	struct buf list = BUF_INIT;

	for (unsigned i = 0; i < r->nproperties; i++)
		if (!r->properties[i].rule->planned)
			buf_addf(&list, "%s%s", list.len ? ", " : "", r->properties[i].name);
	if (list.len > 0)
		problem_note(p, "allowed here: %s", list.p);
	buf_fini(&list);
}

/* A key without a colon, in braces: what stands behind the comma in a text that was to hold it. */
static bool is_rest(const struct entry *e)
{
	char behind = e->value->kind == NODE_SCALAR && e->value->len == 0 && !e->value->quoted ? *node_behind(e->key) : '\0';

	return behind == ',' || behind == '}';
}

/* The key of a secret that was meant: nobody may see it, were the problem not told either. */
static const char *near_secret(const struct rule *r, const char *word)
{
	struct nearest near;

	nearest_begin(&near, word);
	for (unsigned i = 0; i < r->nproperties; i++)
		if (r->properties[i].rule->kind == KIND_SECRET)
			nearest_try(&near, r->properties[i].name);
	return nearest_found(&near);
}

/* Returns the name that was meant, as far as can be guessed. */
static const char *tell_unknown(struct check *c, const struct rule *r, const struct frame *f, const struct entry *e)
{
	bool full = diag_is_full(c->diag);
	const char *word = e->key->text, *near = full ? near_secret(r, word) : near_key(r, word), *deeper = NULL;
	const char *below = near || full ? NULL : key_below(r, word, &deeper);
	struct problem *p = diag_add(c->diag, DIAG_UNKNOWN_KEY, &e->key->at, "unknown key %s %s", diag_quote(c->diag, word, e->key->len), where(c, f));

	if (is_rest(e)) {
		problem_note(p, "in braces a comma ends a text: one that holds commas needs quotes");
		return NULL;
	}
	problem_near(p, near ? near : deeper);
	if (e->value->kind == NODE_SCALAR && (sounds_secret(word) || (near != NULL && rule_property(r, near)->rule->kind == KIND_SECRET)))
		check_hide(e->value);
	if (below != NULL)
		problem_note(p, "\"%s\" belongs one level deeper, under \"%s\"", deeper ? deeper : word, below);
	else if (near == NULL && f->up != NULL && rule_property(f->up->rule, word) != NULL)
		problem_note(p, "\"%s\" belongs one level up: is it indented too far?", word);
	else if (near == NULL && f->up != NULL && rule_property(c->root->rule, word) != NULL)
		problem_note(p, "\"%s\" belongs at the top level", word);
	note_allowed(p, r);
	return near;
}

/* ---- mappings ------------------------------------------------------------------------------------------------------------- */

static void check_some_of(struct check *c, const struct rule *r, const struct frame *f, const struct node *n)
{
	struct buf list = BUF_INIT;

	for (unsigned i = 0; i < r->some_of->n; i++) {
		const char *key = node_get(r->some_of->items[i], "required")->items[0]->text;

		if (node_get(n, key) != NULL) {
			buf_fini(&list);
			return;
		}
		buf_addf(&list, "%s%s", i == 0 ? "" : i + 1 == r->some_of->n ? " or " : ", ", key);
	}
	diag_add(c->diag, DIAG_ALTERNATIVES, frame_mark(f), "%s needs at least one of %s", frame_name(c, f), list.p);
	buf_fini(&list);
}

/* Returns the rule of the type that was meant, as far as can be guessed: what else is wrong is said of that. */
static const struct rule *tell_unknown_type(struct check *c, const struct rule *r, const struct node *type)
{
	struct nearest near;
	struct buf list = BUF_INIT;
	struct problem *p;
	const char *name;

	if (c->types != NULL && c->types->told != NULL && c->types->told(c->types->arg, type->text))
		return NULL;
	nearest_begin(&near, type->text);
	for (unsigned i = 0; i < r->ncases; i++) {
		nearest_try(&near, r->cases[i].value);
		if (!r->cases[i].then->planned)
			buf_addf(&list, "%s%s", list.len ? ", " : "", r->cases[i].value);
	}
	if (c->types != NULL && r->family != NULL)
		for (unsigned i = 0; (name = c->types->next(c->types->arg, r->family, &i)) != NULL;) {
			nearest_try(&near, name);
			buf_addf(&list, "%s%s", list.len ? ", " : "", name);
		}
	p = diag_add(c->diag, DIAG_UNKNOWN_TYPE, &type->at, "unknown %s type %s", r->family ? r->family : "", diag_quote(c->diag, type->text, type->len));
	problem_near(p, nearest_found(&near));
	problem_note(p, "there are: %s", list.p ? list.p : "none");
	buf_fini(&list);
	return nearest_found(&near) != NULL ? rule_of_type(r, nearest_found(&near), c->types) : NULL;
}

/* What it lacks may stand in what could not be read. */
static bool may_lack(const struct check *c, const struct node *n)
{
	return n->partial && !c->strict;
}

/* People write the type as a key, and its settings below it. */
static void note_type(struct check *c, const struct rule *r, const struct node *n, struct problem *p)
{
	const struct rule *chosen;

	for (unsigned i = 0; i < n->n; i++)
		if ((chosen = rule_of_type(r, n->entries[i].key->text, c->types)) != NULL && !chosen->planned) {
			problem_note(p, "\"%s\" is a type: %s: %s, and its keys beside it", n->entries[i].key->text, r->cases[0].key, n->entries[i].key->text);
			return;
		}
}

/* The rule a mapping with a `type` falls under, NULL when that can't be said (and has been told). */
static const struct rule *select_case(struct check *c, const struct rule *r, struct frame *f, const struct node *n)
{
	const struct node *type = node_get(n, r->cases[0].key);
	const struct rule *chosen;

	if (type == NULL) {
		for (unsigned i = 0; i < n->n; i++)
			if (nearest_distance(n->entries[i].key->text, r->cases[0].key) == 1) {
				chosen = n->entries[i].value->kind == NODE_SCALAR ? rule_of_type(r, n->entries[i].value->text, c->types) : NULL;
				if (chosen != NULL && !chosen->planned)
					return chosen; /* by which the key will be told to be unknown */
				problem_near(diag_add(c->diag, DIAG_UNKNOWN_KEY, &n->entries[i].key->at, "unknown key %s %s",
					diag_quote(c->diag, n->entries[i].key->text, n->entries[i].key->len), where(c, f)), r->cases[0].key);
				return NULL;
			}
		if (may_lack(c, n))
			return NULL;
		note_type(c, r, n, diag_add(c->diag, DIAG_MISSING_KEY, frame_mark(f), "missing key \"%s\" %s", r->cases[0].key, where(c, f)));
		return NULL;
	}
	if (type->partial)
		return NULL;
	if (type->kind != NODE_SCALAR || (node_is_null(type) && !node_is(type, "null"))) {
		diag_add(c->diag, DIAG_WRONG_KIND, &type->at, "\"%s\" must be a name, not %s", r->cases[0].key, node_kind_name(type));
		return NULL;
	}
	chosen = rule_select(r, n, c->types);
	if (chosen == NULL) {
		chosen = tell_unknown_type(c, r, type);
		return chosen == NULL || chosen->planned ? NULL : chosen;
	}
	if (chosen->planned) {
		diag_add(c->diag, DIAG_PLANNED, &type->at, "%s type %s is not available in this version", r->family ? r->family : "the",
			diag_quote(c->diag, type->text, type->len));
		return NULL;
	}
	return chosen;
}

static void check_entry(struct check *c, const struct rule *r, struct frame *f, const struct entry *e, bool hide)
{
	struct frame below = { .up = f, .rule = r, .node = e->value, .key = e->key->text, .key_at = &e->key->at, .secret = hide };

	check_node(c, r, &below, e->value);
}

static void check_map(struct check *c, const struct rule *r, struct frame *f, const struct node *n)
{
	const char *meant[8];
	unsigned nmeant = 0, unknown = 0;
	const char *chosen_by = r->ncases > 0 ? r->cases[0].key : NULL;

	if (r->ncases > 0) {
		r = select_case(c, r, f, n);
		if (r == NULL)
			return;
		f->rule = r;
	}
	for (unsigned i = 0; i < n->n; i++) {
		const struct entry *e = &n->entries[i];
		const struct property *p = rule_property(r, e->key->text);

		if (p != NULL && chosen_by != NULL && strcmp(p->name, chosen_by) == 0)
			continue;
		if (p != NULL) {
			if (p->rule->planned)
				diag_add(c->diag, DIAG_PLANNED, &e->key->at, "\"%s\" %s is not available in this version", p->name, where(c, f));
			else
				check_entry(c, p->rule, f, e, p->rule->secret);
		} else if (r->others != NULL) {
			if (r->names != NULL)
				check_scalar(c, r->names, &(struct frame){ .up = f, .rule = r->names, .node = e->key, .key = e->key->text }, e->key);
			check_entry(c, r->others, f, e, f->secret && sounds_secret(e->key->text));
		} else if (r->closed) {
			const char *near = tell_unknown(c, r, f, e);

			unknown++;
			/* What stands behind a misspelt key will have to be right too. */
			if (near != NULL && node_get(n, near) == NULL && !rule_property(r, near)->rule->planned)
				check_entry(c, rule_property(r, near)->rule, f, e, rule_property(r, near)->rule->secret);
			if (near != NULL && nmeant < sizeof(meant) / sizeof(*meant))
				meant[nmeant++] = near;
		}
	}
	for (unsigned i = 0; i < r->nproperties; i++) {
		const struct property *p = &r->properties[i];
		bool told = false;

		if (!p->required || may_lack(c, n) || node_get(n, p->name) != NULL)
			continue;
		/* A misspelt key is one mistake, not two. */
		for (unsigned k = 0; k < nmeant; k++)
			told = told || strcmp(meant[k], p->name) == 0;
		if (!told)
			diag_add(c->diag, DIAG_MISSING_KEY, frame_mark(f), "missing key \"%s\" %s", p->name, where(c, f));
	}
	if (r->some_of != NULL && nmeant == 0 && !may_lack(c, n))
		check_some_of(c, r, f, n);
	if (r->min_properties > 0 && n->n < r->min_properties && !may_lack(c, n))
		note_allowed(diag_add(c->diag, DIAG_LENGTH, frame_mark(f), "%s needs at least %llu %s", frame_name(c, f),
			(unsigned long long)r->min_properties, r->min_properties == 1 ? "entry" : "entries"), r);
	if (r->max_properties > 0 && n->n - unknown > r->max_properties)
		note_allowed(diag_add(c->diag, DIAG_LENGTH, frame_mark(f), "%s takes no more than %llu %s, here are %u", frame_name(c, f),
			(unsigned long long)r->max_properties, r->max_properties == 1 ? "entry" : "entries", n->n), r);
}

/* ---- lists ------------------------------------------------------------------------------------------------------------------ */

static void check_unique(struct check *c, const struct frame *f, const struct node *n)
{
	struct map seen;

	map_init(&seen);
	for (unsigned i = 0; i < n->n; i++) {
		struct node *item = n->items[i], *first;

		if (item->kind != NODE_SCALAR)
			continue;
		first = map_get(&seen, item->text, item->len);
		if (first == NULL) {
			map_put(&seen, item->text, item->len, item);
			continue;
		}
		problem_second(diag_add(c->diag, DIAG_REPEATED_ITEM, &item->at, "%s stands twice in %s", diag_quote(c->diag, item->text, item->len),
			frame_name(c, f)), &first->at, "first given here");
	}
	map_fini(&seen);
}

static void check_list(struct check *c, const struct rule *r, struct frame *f, const struct node *n)
{
	for (unsigned i = 0; i < n->n && r->items != NULL; i++) {
		struct frame below = { .up = f, .rule = r->items, .node = n->items[i], .index = i };

		check_node(c, r->items, &below, n->items[i]);
	}
	if (r->unique)
		check_unique(c, f, n);
	if (n->n < r->min_items && !may_lack(c, n))
		diag_add(c->diag, DIAG_LENGTH, frame_mark(f), "%s needs at least %llu item%s", frame_name(c, f), (unsigned long long)r->min_items,
			r->min_items == 1 ? "" : "s");
	if (r->max_items > 0 && n->n > r->max_items)
		diag_add(c->diag, DIAG_LENGTH, frame_mark(f), "%s takes no more than %llu items, here are %u", frame_name(c, f),
			(unsigned long long)r->max_items, n->n);
}

/* ---- any node ----------------------------------------------------------------------------------------------------------------- */

static bool shape_fits(const struct rule *r, const struct node *n)
{
	if (r->types == 0 && (r->values != NULL || r->constant != NULL))
		return n->kind == NODE_SCALAR;
	if (r->types == 0)
		return true;
	if (n->kind == NODE_SCALAR)
		return (r->types & TYPE_SCALAR) != 0;
	return (r->types & (n->kind == NODE_MAP ? TYPE_MAP : TYPE_LIST)) != 0;
}

static void add_shapes(const struct rule *r, const char **names, unsigned *n)
{
	for (unsigned i = 0; i < r->nany; i++)
		add_shapes(r->any[i], names, n);
	if (r->nany > 0)
		return;
	for (int i = 0; i < 3; i++) {
		static const struct { unsigned types; const char *name; } shapes[] = {
			{ TYPE_MAP, "a mapping" }, { TYPE_LIST, "a list" }, { TYPE_SCALAR, "a single value" },
		};
		bool known = (r->types & shapes[i].types) == 0;

		for (unsigned k = 0; k < *n; k++)
			known = known || names[k] == shapes[i].name;
		if (!known)
			names[(*n)++] = shapes[i].name;
	}
}

/* Something stands behind the colon, which YAML takes for a comment or an anchor. */
static bool begins_oddly(const struct node *n)
{
	const char *p = node_begins(n);

	return p[0] == '&' || (p[0] == '#' && (unsigned char)p[1] > ' ');
}

/* Nothing stands behind the colon, because what was to stand there is not indented: the next key is told to belong there. */
static bool is_told_below(const struct rule *r, const struct frame *f)
{
	const struct node *all = f->up != NULL && f->key != NULL ? f->up->node : NULL;

	for (unsigned i = 0; all != NULL && all->kind == NODE_MAP && i + 1 < all->n; i++)
		if (strcmp(all->entries[i].key->text, f->key) == 0)
			return f->up->rule->closed && rule_property(f->up->rule, all->entries[i + 1].key->text) == NULL &&
				rule_property(r, all->entries[i + 1].key->text) != NULL;
	return false;
}

/* A value as the rule would have it written: `post` where only POST will do. */
static const char *value_meant(const struct rule *r, const struct node *n)
{
	for (unsigned i = 0; r != NULL && r->values != NULL && i < r->values->n; i++)
		if (nearest_same(r->values->items[i]->text, n->text))
			return r->values->items[i]->text;
	return n->text;
}

static const struct rule *items_of(const struct rule *r)
{
	for (unsigned i = 0; i < r->nany; i++)
		if (r->any[i]->items != NULL)
			return r->any[i]->items;
	return r->items;
}

static const struct rule *closed_map(const struct rule *r)
{
	for (unsigned i = 0; i < r->nany; i++)
		if (r->any[i]->nproperties > 0)
			return r->any[i];
	return r->nproperties > 0 ? r : NULL;
}

/* What the first item of a list calls itself. */
static const char *name_inside(const struct node *list)
{
	const struct node *name = list->n > 0 ? node_get(list->items[0], "ident") : NULL;

	if (name == NULL && list->n > 0)
		name = node_get(list->items[0], "name");
	return name != NULL && name->kind == NODE_SCALAR ? name->text : NULL;
}

/* How the shape that is there becomes one that is right. */
static void note_shape(struct problem *p, const struct rule *r, const struct node *n, bool map, bool list, bool scalar)
{
	if (list && n->kind == NODE_SCALAR)
		problem_note(p, "a list of one: [%s]", value_meant(items_of(r), n));
	else if (list && n->kind == NODE_MAP)
		problem_note(p, "a list: each of its items begins with a dash and a blank");
	else if (scalar && !map && n->kind == NODE_LIST && n->n == 1 && n->items[0]->kind == NODE_SCALAR)
		problem_near(p, n->items[0]->text);
	else if (map && n->kind == NODE_LIST && closed_map(r) == NULL && name_inside(n) != NULL)
		problem_note(p, "a mapping: in place of the dash stands the name and a colon, as in %s: {…}", name_inside(n));
	else if (map && n->kind == NODE_LIST && closed_map(r) == NULL)
		problem_note(p, "a mapping: each of its members is a name and a colon, without a dash");
	else if (map && n->kind != NODE_MAP && closed_map(r) != NULL)
		note_allowed(p, closed_map(r));
}

static void tell_shape(struct check *c, const struct rule *r, const struct frame *f, const struct node *n)
{
	const char *names[3] = { "a value" };
	unsigned count = 0;
	bool null = node_is_null(n), map = false, list = false, scalar = false, below = f->key_at != NULL && f->key_at->line != n->at.line;
	struct problem *p;

	if (null && is_told_below(r, f))
		return;
	add_shapes(r, names, &count);
	for (unsigned i = 0; i < count; i++) {
		map = map || names[i][2] == 'm';
		list = list || names[i][2] == 'l';
		scalar = scalar || names[i][2] == 's';
	}
	p = diag_add(c->diag, DIAG_WRONG_KIND, null || (n->kind != NODE_SCALAR && below) ? frame_mark(f) : &n->at, "%s must be %s%s%s, not %s", frame_name(c, f), names[0],
		count > 1 ? " or " : "", count > 1 ? names[1] : "", node_kind_name(n));
	if (null && f->key != NULL && strchr(",}", *node_begins(n)) != NULL && *node_begins(n) != '\0')
		problem_note(p, "among braces each key has a colon and a value: key: value");
	else if (null && begins_oddly(n))
		problem_note(p, "a text that begins with # or & needs quotes");
	else if (null)
		problem_note(p, "nothing stands behind the colon; are the lines below it indented?");
	else if (n->kind != NODE_SCALAR && r->kind == KIND_EXPRESSION)
		problem_note(p, "a condition that begins with a bracket, or holds a colon and a blank, needs quotes");
	else if (n->kind == NODE_SCALAR && f->key != NULL && strchr(n->text, ':') != NULL && map)
		problem_note(p, "a blank must follow the colon: `key: value`");
	else
		note_shape(p, r, n, map, list, scalar);
}

const struct rule *rule_shape(const struct rule *r, const struct node *n)
{
	const struct rule *fits = NULL;

	if (r->nany == 0)
		return r;
	for (unsigned i = 0; i < r->nany; i++)
		if (shape_fits(r->any[i], n)) {
			if (fits != NULL)
				return r; /* more than one alternative of this shape */
			fits = r->any[i];
		}
	return fits;
}

/* `type: null` names the destination type as well as "null" does. */
static bool takes_null(const struct rule *r)
{
	for (unsigned i = 0; r->values != NULL && i < r->values->n; i++)
		if (node_is_null(r->values->items[i]))
			return true;
	return (r->types & TYPE_NULL) != 0;
}

void check_node(struct check *c, const struct rule *r, struct frame *f, const struct node *n)
{
	const struct rule *shape = rule_shape(r, n);

	if (n->kind == NODE_SCALAR && n->partial)
		return;
	if (n->kind == NODE_SCALAR && node_is_null(n)) {
		if (takes_null(r)) {
			if (r->kind == KIND_NONE && rule_has_required(r))
				check_map(c, r, f, &(struct node){ .kind = NODE_MAP, .at = n->at });
			return;
		}
		tell_shape(c, r, f, n);
		return;
	}
	if (shape == NULL || (shape->nany == 0 && !shape_fits(shape, n))) {
		tell_shape(c, r, f, n);
		return;
	}
	f->rule = shape;
	if (n->kind == NODE_MAP)
		check_map(c, shape, f, n);
	else if (n->kind == NODE_LIST)
		check_list(c, shape, f, n);
	else
		check_scalar(c, shape, f, n);
}

bool schema_check(struct arena *a, const struct rule *r, const struct node *n, const char *what, const struct schema_types *types, struct diag *d)
{
	struct frame root = { .rule = r, .node = n };
	struct check c = { .arena = a, .diag = d, .types = types, .what = what, .root = &root };
	unsigned errors = diag_errors(d);

	check_node(&c, r, &root, n);
	return diag_errors(d) == errors;
}

bool schema_satisfied(struct arena *a, const struct rule *r, const struct node *n, const struct schema_types *types)
{
	struct frame root = { .rule = r, .node = n };
	struct check c = { .arena = a, .diag = diag_new_quiet(), .types = types, .root = &root, .strict = true };
	bool fits;

	check_node(&c, r, &root, n);
	fits = diag_errors(c.diag) == 0;
	diag_free(c.diag);
	return fits;
}
