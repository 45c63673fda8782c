/* secret.c - ${env:NAME} and ${file:PATH} become their texts, paths get their folder.
 *
 * Each reference is read once a compilation, so that all who name it see the same text. What was read is never told: problems
 * name the reference. */
#include "plan/compile.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

#define SECRET_MAX (1u << 20)

/* The text of env:NAME or file:PATH; NULL after telling why there is none. */
static const char *fetch(struct compiler *c, const char *reference, const char *file, const struct mark *at)
{
	const char *text;
	char *content, why[256] = "";
	size_t len;

	if (strncmp(reference, "env:", 4) == 0) {
		text = c->loader->env(c->loader->arg, reference + 4);
		if (text == NULL) {
			problem_note(diag_add(c->diag, DIAG_SECRET, at, "${%s}: the variable is not set", reference), "it must stand in the environment of the program");
			return NULL;
		}
		return arena_strdup(c->arena, text);
	}
	content = c->loader->read(c->loader->arg, load_path(c, file, reference + 5), &len, why, sizeof(why));
	if (content == NULL) {
		diag_add(c->diag, DIAG_SECRET, at, "${%s}: %s", reference, why);
		return NULL;
	}
	while (len > 0 && (content[len - 1] == '\n' || content[len - 1] == '\r'))
		len--;
	if (len > SECRET_MAX || memchr(content, '\0', len) != NULL || memchr(content, '\n', len) != NULL) {
		diag_add(c->diag, DIAG_SECRET, at, "${%s}: the file holds more than one line of text", reference);
		free(content);
		return NULL;
	}
	text = arena_strndup(c->arena, content, len);
	free(content);
	return text;
}

static const char *fetched(struct compiler *c, const char *p, size_t n, const char *file, const struct mark *at)
{
	const char *slash = strrchr(file, '/');
	char *reference = arena_strndup(c->arena, p, n);
	char *key = arena_printf(c->arena, "%.*s %s", slash ? (int)(slash - file) : 0, file, reference);
	char *text = map_gets(&c->secrets, key);

	if (text == NULL) {
		const char *found = fetch(c, reference, file, at);

		/* Remembered even when it is not there, so that it is told once. */
		text = arena_strdup(c->arena, found != NULL ? found : "");
		map_put(&c->secrets, key, strlen(key), text);
	}
	return text;
}

const char *text_resolved(struct compiler *c, const struct rule *r, const struct node *scalar, const char *text)
{
	/* A default stands in the schema, or in an adapter: its paths start where the specification's do. */
	const char *file = scalar->at.source != NULL && load_known(c, scalar->at.source->name) ? scalar->at.source->name : c->plan->file, *p, *end;
	struct buf out = BUF_INIT;
	struct fault fault;

	if (text == NULL || reference_check(text, &fault) < 0)
		return text; /* what is wrong has been told */
	if (r->kind == KIND_NONE || r->kind == KIND_SECRET || r->kind == KIND_PATH || r->kind == KIND_LISTEN || r->kind == KIND_URL || r->kind == KIND_TEMPLATE) {
		while ((p = strstr(text, "${")) != NULL && (end = strchr(p, '}')) != NULL) {
			if (p > text && p[-1] == '$') { /* $${ is a literal ${ */
				buf_add(&out, text, (size_t)(p - 1 - text));
				buf_adds(&out, "${");
				text = p + 2;
				continue;
			}
			buf_add(&out, text, (size_t)(p - text));
			if (c->loader->no_secrets)
				buf_add(&out, p, (size_t)(end + 1 - p));
			else
				buf_adds(&out, fetched(c, p + 2, (size_t)(end - p - 2), file, &scalar->at));
			text = end + 1;
		}
	}
	buf_adds(&out, text);
	text = arena_strndup(c->arena, out.p ? out.p : "", out.len);
	buf_fini(&out);
	/* "-" is standard input or output wherever a path is asked for. */
	if (r->kind == KIND_PATH && *text != '\0' && strcmp(text, "-") != 0)
		text = load_path(c, file, text);
	return text;
}

/* Every text below a node, as far as the rules say what it is. */
static void visit(struct compiler *c, const struct rule *r, const struct node *n)
{
	r = r != NULL ? rule_shape(r, n) : NULL;
	if (r == NULL)
		return;
	if (n->kind == NODE_SCALAR) {
		text_resolved(c, r, n, n->text);
		return;
	}
	if (n->kind == NODE_MAP && (r = rule_select(r, n, &c->kept->types)) == NULL)
		return;
	for (unsigned i = 0; i < n->n; i++) {
		if (n->kind == NODE_LIST) {
			visit(c, r->items, n->items[i]);
			continue;
		}
		const struct property *p = rule_property(r, n->entries[i].key->text);

		visit(c, p != NULL ? p->rule : r->others, n->entries[i].value);
	}
}

/* One problem a file: its permissions are what is wrong, and mending them mends it for every secret in it. */
void secrets_exposed(struct compiler *c)
{
	if (c->loader->exposed == NULL || c->loader->no_secrets)
		return;
	for (unsigned i = 0; i < c->nfiles; i++) {
		const struct source *s = c->files[i].root != NULL ? c->files[i].root->at.source : NULL;
		unsigned mode = s != NULL && s->literals > 0 ? c->loader->exposed(c->loader->arg, c->files[i].path) : 0;
		struct problem *p;

		if (mode == 0)
			continue;
		p = diag_add(c->diag, DIAG_EXPOSED, &s->literal->at, "%s: the secret stands in a file that others may read (mode %04o)", s->literal_name, mode);
		if (s->literals > 1)
			problem_note(p, "the first of %u secrets in this file", s->literals);
		problem_note(p, "chmod 600 %s, or write ${env:NAME} or ${file:PATH} in its place", c->files[i].path);
	}
}

void secrets_check(struct compiler *c)
{
	for (unsigned i = 0; i < c->nfiles; i++)
		if (c->files[i].root != NULL)
			visit(c, schema_root(schema_builtin()), c->files[i].root);
}
