/* fields_compile.c - `fields:` read from the specification into tables of names, and printed again in normal form. */
#include "plan/fields_names.h"

#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"
#include "plan/wildcard.h"
#include "spec/diag.h"
#include "spec/nearest.h"
#include "spec/tree.h"

/* ---- reading --------------------------------------------------------------------------------------------------------------- */

static unsigned stars(const struct node *n)
{
	unsigned count = 0;

	for (size_t i = 0; i < n->len; i++)
		count += n->text[i] == '*';
	return count;
}

static bool name_add(struct arena *a, struct names *s, const struct node *n, struct diag *d)
{
	struct name *name = &s->all[s->n];
	const char *star;

	if (n->kind != NODE_SCALAR || n->len == 0) {
		diag_add(d, n->kind == NODE_SCALAR ? DIAG_LENGTH : DIAG_WRONG_KIND, &n->at, "the name of a parameter is expected, not %s",
			n->kind == NODE_SCALAR ? "an empty text" : node_kind_name(n));
		return false;
	}
	star = memchr(n->text, '*', n->len);
	*name = (struct name){ .at = n->at, .text = arena_strndup(a, n->text, n->len), .n = n->len, .head = star ? (size_t)(star - n->text) : n->len,
		.single = stars(n) == 1 };
	if (star) {
		s->wild[s->nwild++] = s->n++;
	} else {
		unsigned *at = &s->first[hash_of(n->text, n->len)];
		while (*at) /* behind those given before it */
			at = &s->all[*at - 1].next;
		*at = ++s->n;
	}
	return true;
}

static void names_begin(struct arena *a, struct names *s, unsigned n)
{
	s->all = arena_alloc(a, n * sizeof(*s->all));
	s->wild = arena_alloc(a, n * sizeof(*s->wild));
}

static bool compile_list(struct arena *a, struct names *s, const struct node *list, struct diag *d)
{
	bool ok = true;

	if (list->kind == NODE_SCALAR && !node_is_null(list)) {
		names_begin(a, s, 1);
		return name_add(a, s, list, d);
	}
	if (list->kind != NODE_LIST) {
		diag_add(d, DIAG_WRONG_KIND, &list->at, "a list of parameters is expected, not %s", node_kind_name(list));
		return false;
	}
	names_begin(a, s, list->n);
	for (unsigned i = 0; i < list->n; i++)
		ok = name_add(a, s, list->items[i], d) && ok;
	return ok;
}

static const char *escaped(struct arena *a, const char *p, size_t n, size_t *len)
{
	struct buf json = BUF_INIT;
	const char *text;

	buf_addjson(&json, p, n);
	*len = json.len - 2;
	text = arena_strndup(a, json.p + 1, *len);
	buf_fini(&json);
	return text;
}

static bool compile_rename(struct arena *a, struct names *s, const struct node *map, struct diag *d)
{
	bool ok = true;

	if (map->kind != NODE_MAP) {
		struct problem *p = diag_add(d, DIAG_WRONG_KIND, &map->at, "old and new names are expected, not %s", node_kind_name(map));
		problem_note(p, "{ident: imei, \"can.*\": \"bus.*\"}");
		return false;
	}
	names_begin(a, s, map->n);
	for (unsigned i = 0; i < map->n; i++) {
		const struct node *from = map->entries[i].key, *to = map->entries[i].value;
		struct name *name = &s->all[s->n];
		const char *star;

		if (to->kind != NODE_SCALAR || to->len == 0) {
			diag_add(d, to->kind == NODE_SCALAR ? DIAG_LENGTH : DIAG_WRONG_KIND, &to->at, "a new name is expected, not %s",
				to->kind == NODE_SCALAR ? "an empty text" : node_kind_name(to));
			ok = false;
			continue;
		}
		if (!name_add(a, s, from, d)) {
			ok = false;
			continue;
		}
		if (stars(from) > 1 || stars(from) != stars(to)) {
			struct problem *p = diag_add(d, DIAG_PATTERN, &to->at, "%s can't be made of %s", diag_quote(d, to->text, to->len),
				diag_quote(d, from->text, from->len));
			problem_note(p, "either both names have one asterisk or neither has: \"can.*\": \"bus.*\"");
			ok = false;
			continue;
		}
		name->to = arena_strndup(a, to->text, to->len);
		star = strchr(name->to, '*');
		name->before = escaped(a, name->to, star ? (size_t)(star - name->to) : to->len, &name->nbefore);
		if (star)
			name->behind = escaped(a, star + 1, strlen(star + 1), &name->nbehind);
	}
	return ok;
}

static bool compile_notation(struct fields *f, const struct node *n, struct diag *d)
{
	static const char *const words[] = { "dots", "snake", "camel" };
	struct nearest near;
	struct problem *p;

	for (unsigned i = 0; i < 3; i++)
		if (node_is(n, words[i])) {
			f->notation = (enum notation)i;
			return true;
		}
	p = diag_add(d, DIAG_NOT_ALLOWED, &n->at, "dots, snake or camel is expected, not %s",
		n->kind == NODE_SCALAR ? diag_quote(d, n->text, n->len) : node_kind_name(n));
	if (n->kind == NODE_SCALAR) {
		nearest_begin(&near, n->text);
		for (unsigned i = 0; i < 3; i++)
			nearest_try(&near, words[i]);
		problem_near(p, nearest_found(&near));
	}
	return false;
}

static bool unknown_key(const struct node *key, struct diag *d)
{
	static const char *const keys[] = { "notation", "keep", "drop", "rename" };
	struct problem *p = diag_add(d, DIAG_UNKNOWN_KEY, &key->at, "unknown key %s", diag_quote(d, key->text, key->len));
	struct nearest near;

	nearest_begin(&near, key->text);
	for (unsigned i = 0; i < 4; i++)
		nearest_try(&near, keys[i]);
	problem_near(p, nearest_found(&near));
	problem_note(p, "allowed here: notation, keep, drop, rename");
	return false;
}

/* ---- what hardly is meant ---------------------------------------------------------------------------------------------------- */

/* The first that takes all of what `name` stands for: the name itself, or the whole of its wildcard. */
static const struct name *taking(const struct names *s, const struct name *name)
{
	for (unsigned i = 0; i < s->n; i++)
		if (wildcard_matches(s->all[i].text, s->all[i].n, '*', name->text, name->n, false))
			return &s->all[i];
	return NULL;
}

static struct problem *doubt(struct diag *d, const struct name *name, const char *words)
{
	return diag_add(d, DIAG_FIELDS, &name->at, "%s %s", diag_quote(d, name->text, name->n), words);
}

static void doubt_rename(const struct fields *f, const struct name *name, struct diag *d)
{
	bool exact = name->head == name->n;
	const struct name *other;

	if (exact && f->keep.n && taking(&f->keep, name) == NULL) {
		problem_note(doubt(d, name, "is not kept, so it is not renamed either"), "keep names parameters as they come in, not as they are to be called");
		return;
	}
	if ((other = taking(&f->drop, name)) != NULL) {
		problem_second(doubt(d, name, "is dropped, so it is not renamed either"), &other->at, "dropped here");
		return;
	}
	for (other = f->rename.all; other < name; other++)
		if (strcmp(other->to, name->to) == 0) {
			problem_second(doubt(d, name, "gets the name of another: of a message that has both only the first is sent"), &other->at, "the other");
			return;
		}
	for (unsigned i = 0; f->notation == NOTATION_DOTS && i < f->keep.n; i++) {
		other = &f->keep.all[i];
		if (strcmp(other->text, name->to) == 0 && taking(&f->drop, other) == NULL && taking(&f->rename, other) == NULL) {
			problem_second(doubt(d, name, "gets the name of one that is kept: of a message that has both only the renamed one is sent"), &other->at, "kept here");
			return;
		}
	}
}

static void doubt_fields(const struct fields *f, struct diag *d)
{
	for (unsigned i = 0; i < f->keep.n; i++) {
		const struct name *dropped = taking(&f->drop, &f->keep.all[i]);

		if (dropped != NULL)
			problem_second(doubt(d, &f->keep.all[i], "is kept and dropped: it is dropped"), &dropped->at, "dropped here");
	}
	for (unsigned i = 0; i < f->rename.n; i++)
		doubt_rename(f, &f->rename.all[i], d);
}

struct fields *fields_compile(struct arena *a, const struct node *map, struct diag *d)
{
	struct fields *f = arena_alloc(a, sizeof(*f));
	bool ok = true;

	if (map->kind != NODE_MAP) {
		diag_add(d, DIAG_WRONG_KIND, &map->at, "a mapping is expected, not %s", node_kind_name(map));
		return NULL;
	}
	for (unsigned i = 0; i < map->n; i++) {
		const struct node *key = map->entries[i].key, *value = map->entries[i].value;
		bool good = node_is(key, "notation") ? compile_notation(f, value, d) : node_is(key, "keep") ? compile_list(a, &f->keep, value, d) :
			node_is(key, "drop") ? compile_list(a, &f->drop, value, d) : node_is(key, "rename") ?
			compile_rename(a, &f->rename, value, d) : unknown_key(key, d);
		ok = good && ok;
	}
	if (!ok)
		return NULL;
	doubt_fields(f, d);
	return f;
}

/* ---- normal form --------------------------------------------------------------------------------------------------------------- */

/* As JSON does, and what YAML takes for line breaks or for nothing that can be printed escaped too. */
static void print_quoted(const char *p, size_t n, struct buf *out)
{
	buf_addc(out, '"');
	for (size_t i = 0; i < n; i++) {
		const unsigned char *u = (const unsigned char *)p + i;
		size_t left = n - i;
		if (*u == '"' || *u == '\\') {
			buf_addc(out, '\\');
			buf_addc(out, p[i]);
		} else if (*u < 0x20 || *u == 0x7F) {
			buf_addf(out, "\\u%04X", *u);
		} else if (left >= 2 && *u == 0xC2 && u[1] < 0xA0) {
			buf_addf(out, "\\u%04X", u[1]);
			i++;
		} else if (left >= 3 && ((*u == 0xE2 && u[1] == 0x80 && (u[2] == 0xA8 || u[2] == 0xA9)) ||
		                         (*u == 0xEF && ((u[1] == 0xBB && u[2] == 0xBF) || (u[1] == 0xBF && u[2] >= 0xBE))))) {
			buf_addf(out, "\\u%04X", (*u & 0x0Fu) << 12 | (u[1] & 0x3Fu) << 6 | (u[2] & 0x3Fu));
			i += 2;
		} else {
			buf_addc(out, p[i]);
		}
	}
	buf_addc(out, '"');
}

static void print_name(const char *p, size_t n, struct buf *out)
{
	static const char *const words[] = { "null", "true", "false", "yes", "no", "on", "off", "y", "n" };
	bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_';

	for (size_t i = 0; i < n && plain; i++)
		plain = (p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= '0' && p[i] <= '9') || p[i] == '.' || p[i] == '_' ||
			p[i] == '#';
	for (size_t i = 0; i < sizeof(words) / sizeof(*words) && plain; i++)
		plain = strlen(words[i]) != n || strncasecmp(words[i], p, n) != 0;
	if (plain)
		buf_add(out, p, n);
	else
		print_quoted(p, n, out);
}

static void print_names(const char *key, const struct names *s, struct buf *out, const char **comma)
{
	if (!s->n)
		return;
	buf_adds(out, *comma);
	*comma = ", ";
	buf_adds(out, key);
	buf_adds(out, s->all->to ? ": {" : ": [");
	for (unsigned i = 0; i < s->n; i++) {
		if (i)
			buf_adds(out, ", ");
		print_name(s->all[i].text, s->all[i].n, out);
		if (s->all[i].to) {
			buf_adds(out, ": ");
			print_name(s->all[i].to, strlen(s->all[i].to), out);
		}
	}
	buf_adds(out, s->all->to ? "}" : "]");
}

void fields_print(const struct fields *f, struct buf *out)
{
	const char *comma = "";

	buf_addc(out, '{');
	if (f->notation != NOTATION_DOTS) {
		buf_adds(out, f->notation == NOTATION_SNAKE ? "notation: snake" : "notation: camel");
		comma = ", ";
	}
	print_names("keep", &f->keep, out, &comma);
	print_names("drop", &f->drop, out, &comma);
	print_names("rename", &f->rename, out, &comma);
	buf_addc(out, '}');
}
