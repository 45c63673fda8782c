/* load.c - all files of a specification as one: read, includes followed, members put together.
 *
 * Each file is a tree of its own with its own places; the merged sections share the nodes. What stands in two files is no
 * override but an error that shows both places: whoever reads one file must be able to trust it. */
#include "plan/compile.h"

#include <stdlib.h>
#include <string.h>

#define FILES_MAX 1000

const char *load_path(struct compiler *c, const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');

	if (*path == '/' || slash == NULL)
		return arena_strdup(c->arena, path);
	return arena_printf(c->arena, "%.*s/%s", (int)(slash - file), file, path);
}

/* Are two paths one, once `DIR/..` and `.` are taken out? Files that include one another from other folders must not be read for ever. */
static const char *plain_path(struct arena *a, const char *path)
{
	char *out = arena_strdup(a, path), *to = out;

	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");
		char *last = NULL;

		for (char *q = out; q + 1 < to; q++)
			if (*q == '/')
				last = q;
		if (n == 2 && memcmp(p, "..", 2) == 0 && to > out + 1 && strncmp(last != NULL ? last + 1 : out, "../", 3) != 0)
			to = last != NULL ? last + 1 : out;
		else if (!(n == 1 && *p == '.') && !(n == 0 && to > out)) {
			memmove(to, p, n);
			to += n;
			if (p[n] == '/')
				*to++ = '/';
		}
		p += n + (p[n] == '/');
	}
	*to = '\0';
	return out;
}

bool load_known(const struct compiler *c, const char *path)
{
	const char *plain = plain_path(c->arena, path);

	for (unsigned i = 0; i < c->nfiles; i++)
		if (strcmp(plain_path(c->arena, c->files[i].path), plain) == 0)
			return true;
	return false;
}

static bool load_one(struct compiler *c, const char *path, const struct mark *named)
{
	char why[256] = "";
	size_t len;
	char *text;

	if (load_known(c, path))
		return true;
	if (c->nfiles == c->cap) {
		struct file *more = arena_alloc(c->arena, (c->cap = c->cap ? 2 * c->cap : 8) * sizeof(*more));

		if (c->nfiles > 0)
			memcpy(more, c->files, c->nfiles * sizeof(*more));
		c->files = more;
	}
	c->files[c->nfiles++] = (struct file){ NULL, path };
	text = c->loader->read(c->loader->arg, path, &len, why, sizeof(why));
	if (text == NULL) {
		diag_add(c->diag, DIAG_UNREADABLE, named, "%s can't be read: %s", path, why);
		return false;
	}
	c->files[c->nfiles - 1].root = tree_read_on(c->arena, path, text, len, c->order++, c->diag);
	free(text);
	return c->files[c->nfiles - 1].root != NULL && !c->files[c->nfiles - 1].root->partial;
}

static bool include(struct compiler *c, const char *file, const struct node *pattern)
{
	const char *path = load_path(c, file, pattern->text);
	char **names = c->loader->glob(c->loader->arg, path);
	bool ok = true;

	if (names[0] == NULL)
		diag_add(c->diag, DIAG_INCLUDE_EMPTY, &pattern->at, "no file matches %s", path);
	for (unsigned i = 0; names[i] != NULL; i++) {
		if (c->nfiles < FILES_MAX)
			ok = load_one(c, arena_strdup(c->arena, names[i]), &pattern->at) && ok;
		free(names[i]);
	}
	free(names);
	if (c->nfiles == FILES_MAX) {
		diag_add(c->diag, DIAG_TOO_BIG, &pattern->at, "more than %d files are included", FILES_MAX);
		ok = false;
	}
	return ok;
}

bool load_files(struct compiler *c, const char *path)
{
	bool ok = load_one(c, arena_strdup(c->arena, path), NULL);

	for (unsigned i = 0; i < c->nfiles && c->nfiles < FILES_MAX; i++) {
		const struct node *list = node_get(c->files[i].root, "include");

		for (unsigned k = 0; list != NULL && list->kind == NODE_LIST && k < list->n; k++)
			if (list->items[k]->kind == NODE_SCALAR && list->items[k]->len > 0)
				ok = include(c, c->files[i].path, list->items[k]) && ok;
	}
	return ok;
}

/* ---- merging ---------------------------------------------------------------------------------------------------------------- */

static struct node *node_of(struct compiler *c, enum node_kind kind, unsigned room, const struct mark *at)
{
	struct node *n = arena_alloc(c->arena, sizeof(*n));

	n->kind = kind;
	if (at != NULL)
		n->at = *at;
	if (kind == NODE_MAP)
		n->entries = arena_alloc(c->arena, (room + 1) * sizeof(*n->entries));
	else
		n->items = arena_alloc(c->arena, (room + 1) * sizeof(*n->items));
	return n;
}

/* The values of a key of the top level in all files. One in which it stands twice has been told of; both count. */
static const struct node **all_parts(struct compiler *c, const char *key, enum node_kind kind, unsigned *n)
{
	const struct node **parts = NULL;

	for (bool room = true; room || parts == NULL; room = false) {
		if (!room)
			parts = arena_alloc(c->arena, (*n + 1) * sizeof(*parts));
		*n = 0;
		for (unsigned i = 0; i < c->nfiles; i++) {
			const struct node *root = c->files[i].root;

			for (unsigned k = 0; root != NULL && root->kind == NODE_MAP && k < root->n; k++)
				if (root->entries[k].value->kind == kind && node_is(root->entries[k].key, key)) {
					if (parts != NULL)
						parts[*n] = root->entries[k].value;
					++*n;
				}
		}
	}
	return parts;
}

/* A name given twice is looked at each time; whoever names it means the first. */
static void merge_section(struct compiler *c, struct section *s, const char *key, const char *one)
{
	const struct node **parts;
	unsigned room = 0, n;

	s->key = key;
	s->one = one;
	map_init(&s->names);
	parts = all_parts(c, key, NODE_MAP, &n);
	for (unsigned i = 0; i < n; i++)
		room += parts[i]->n;
	s->node = node_of(c, NODE_MAP, room, NULL);
	for (unsigned i = 0; i < n; i++) {
		const struct entry *begin = &s->node->entries[s->node->n];

		for (unsigned k = 0; k < parts[i]->n; k++) {
			struct entry *e = &s->node->entries[s->node->n++], *first;

			*e = parts[i]->entries[k];
			first = map_get(&s->names, e->key->text, e->key->len);
			if (first == NULL)
				map_put(&s->names, e->key->text, e->key->len, e);
			else if (first < begin) /* else it was told when the file was read */
				problem_second(diag_add(c->diag, DIAG_DUPLICATE_KEY, &e->key->at, "%s %s is defined twice", one,
					diag_quote(c->diag, e->key->text, e->key->len)), &first->key->at, "first defined here");
		}
	}
}

static void merge_settings(struct compiler *c)
{
	struct node *all = node_of(c, NODE_MAP, 64, NULL);
	const struct node **parts;
	unsigned n;

	parts = all_parts(c, "settings", NODE_MAP, &n);
	for (unsigned i = 0; i < n; i++) {
		const struct entry *begin = &all->entries[all->n];

		for (unsigned k = 0; k < parts[i]->n && all->n < 64; k++) {
			const struct entry *e = &parts[i]->entries[k], *first = node_entry(all, e->key->text);

			if (first == NULL)
				all->entries[all->n++] = *e;
			else if (first < begin)
				problem_second(diag_add(c->diag, DIAG_DUPLICATE_KEY, &e->key->at, "settings.%s is given twice", e->key->text),
					&first->key->at, "first given here");
		}
	}
	c->kept->settings = all;
}

void load_merge(struct compiler *c)
{
	const struct node **lists;
	unsigned room = 0, n;

	merge_section(c, &c->kept->channels, "channels", "channel");
	merge_section(c, &c->kept->groups, "groups", "group");
	merge_section(c, &c->kept->destinations, "destinations", "destination");
	merge_section(c, &c->kept->streams, "streams", "stream");
	merge_settings(c);
	lists = all_parts(c, "subscriptions", NODE_LIST, &n);
	for (unsigned i = 0; i < n; i++)
		room += lists[i]->n;
	c->kept->subscriptions = node_of(c, NODE_LIST, room, NULL);
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < lists[i]->n; k++)
			c->kept->subscriptions->items[c->kept->subscriptions->n++] = lists[i]->items[k];
	c->devices = all_parts(c, "devices", NODE_MAP, &c->ndevices);
	c->csv = all_parts(c, "devices-from", NODE_SCALAR, &c->ncsv);
}

void sections_fini(struct kept *k)
{
	map_fini(&k->channels.names);
	map_fini(&k->groups.names);
	map_fini(&k->destinations.names);
	map_fini(&k->streams.names);
}
