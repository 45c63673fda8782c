/* declared.c - see declared.h.
 *
 * The hard idea: the schema comes as a Lua value, which has no places. What is wrong with an option is told where its name stands behind the word `options` in
 * the file: found by looking for it, as somebody who reads the message would. */
#include "transforms/declared.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "spec/diag.h"
#include "spec/rule.h"
#include "spec/schema.h"
#include "spec/tree.h"
#include "transforms/adapters.h"

static bool is_part_of_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* Where `name =`, `["name"] =` or `name = ` in a table behind `from` begins; NULL: nowhere. */
static const char *find_member(const char *from, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = strstr(from, name); p; p = strstr(p + 1, name)) {
		const char *end = p + n;

		if (is_part_of_name(p[-1]) || is_part_of_name(*end))
			continue;
		while (*end && strchr("\"']", *end))
			end++;
		end += strspn(end, " \t");
		if (*end == '=' && end[1] != '=')
			return p;
	}
	return NULL;
}

/* The place of a member of options or device, else of the whole of it. */
static struct mark mark_of(const struct adapter *ad, const char *key, const char *name)
{
	const char *whole = find_member(ad->text + 1, key), *at = whole && name ? find_member(whole + 1, name) : NULL;
	struct mark m = adapter_mark(ad, 0);

	if (!at && !(at = whole))
		return m;
	m.line = 1;
	const char *line = ad->text;
	for (const char *p = ad->text; p < at; p++)
		if (*p == '\n') {
			m.line++;
			line = p + 1;
		}
	m.column = 1;
	for (const char *p = line; p < at; p++)
		m.column += ((unsigned char)*p & 0xC0) != 0x80;
	m.length = (unsigned)strlen(at == whole ? key : name);
	return m;
}

/* A node of the tree and all below it. The tree is this adapter's own, and nobody else has seen it yet. */
static void put(const struct node *n, struct mark at)
{
	struct node *mine = (struct node *)n;

	mine->at = at;
	mine->end_line = at.line;
	mine->end_column = at.column + at.length;
	for (unsigned i = 0; i < n->n && n->kind != NODE_SCALAR; i++) {
		if (n->kind == NODE_MAP)
			put(n->entries[i].key, at);
		put(n->kind == NODE_MAP ? n->entries[i].value : n->items[i], at);
	}
}

bool declared_check(struct adapters *a, const struct adapter *ad, const struct node *tree, const char *key, struct diag *d)
{
	const struct node *type = node_get(tree, "type"), *members = type && type->kind == NODE_SCALAR ? node_get(tree, "properties") : tree;
	unsigned errors = diag_errors(d);
	struct schema *s = schema_new(schema_builtin());
	const struct rule *r;

	put(tree, mark_of(ad, key, NULL));
	for (unsigned i = 0; members && members->kind == NODE_MAP && i < members->n; i++) {
		struct mark at = mark_of(ad, key, members->entries[i].key->text);

		put(members->entries[i].key, at);
		put(members->entries[i].value, at);
	}
	r = schema_rule(s, tree, d);
	for (unsigned i = 0; r && i < r->nproperties; i++) {
		const struct property *p = &r->properties[i];
		const struct node *n = p->rule->fallback;
		char words[200];

		snprintf(words, sizeof words, "the default of %s.%s", key, p->name);
		/* In YAML a number is a text too where one is wanted; in Lua it would stay a number. */
		if (n && n->kind == NODE_SCALAR && !n->quoted && p->rule->types == TYPE_STRING && p->rule->kind == KIND_NONE)
			diag_add(d, DIAG_BAD_VALUE, &n->at, "%s is no text", words);
		else if (n)
			schema_check(a->arena, p->rule, n, words, NULL, d);
	}
	schema_free(s);
	return diag_errors(d) == errors;
}
