/* adapters.c - `sluice adapters [NAME]`: what a specification may name, native or Lua, and what each takes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "base/arena.h"
#include "base/buf.h"
#include "cli/adapters.h"
#include "cli/cli.h"
#include "plan/plan.h"
#include "spec/diag.h"
#include "spec/nearest.h"
#include "spec/rule.h"
#include "spec/tree.h"
#include "transforms/host.h"

static const char usage[] =
	"usage: sluice adapters [--json] [--file FILE] [NAME]\n"
	"\n"
	"What may be named in a specification: types of channels and destinations, transforms, formats; with NAME, what it takes.\n"
	"\n"
	"  --json        a list of {name, kind, summary, options, …}\n"
	"  --file FILE   with the adapters in the folders that FILE names; else those in ./lua\n";

int adapter_folders(struct arena *a, const char *file, const char *const **dirs)
{
	struct diag *d = diag_new();
	const struct node *tree, *list;
	const char **found, *slash;
	char why[256] = "", *text;
	struct stat st;
	size_t len;
	int n = 0;

	if (!file) {
		found = arena_alloc(a, sizeof(*found));
		if (stat("lua", &st) == 0 && S_ISDIR(st.st_mode))
			found[n++] = "lua";
		*dirs = found;
		diag_free(d);
		return n;
	}
	text = loader_files.read(NULL, file, &len, why, sizeof(why));
	tree = text ? tree_read_text(a, file, text, len, 0, d) : NULL;
	if (!text) {
		fprintf(stderr, "sluice: %s: %s\n", file, why);
	} else if (!tree) {
		struct buf told = BUF_INIT;
		diag_print(d, &told, diag_colour(stderr));
		fputs(told.p ? told.p : "", stderr);
		buf_fini(&told);
	}
	list = node_get(node_get(tree, "settings"), "adapters");
	slash = strrchr(file, '/');
	found = arena_alloc(a, (list && list->kind == NODE_LIST ? list->n + 1 : 1) * sizeof(*found));
	for (unsigned i = 0; list && list->kind == NODE_LIST && i < list->n; i++) {
		const char *dir = list->items[i]->kind == NODE_SCALAR ? list->items[i]->text : "";
		if (*dir)
			found[n++] = *dir == '/' || !slash ? dir : arena_printf(a, "%.*s/%s", (int)(slash - file), file, dir);
	}
	*dirs = found;
	free(text);
	diag_free(d);
	return tree ? n : -1;
}

/* ---- the list ------------------------------------------------------------------------------------------------------------ */

struct listing {
	struct arena *arena;
	struct schema *schema;
	struct diag *diag;
	const char *wanted;      /* NULL: all */
	bool json;
	unsigned n;
	struct buf out;
	struct nearest near;
};

/* What a stream to it has where it says nothing else: `batch.messages 1000`. */
static void add_defaults(struct buf *out, const struct node *n, const char *before)
{
	for (unsigned i = 0; n && n->kind == NODE_MAP && i < n->n; i++) {
		const struct entry *e = &n->entries[i];
		struct buf name = BUF_INIT;

		buf_addf(&name, "%s%s%s", before, *before ? "." : "", e->key->text);
		if (e->value->kind == NODE_MAP)
			add_defaults(out, e->value, name.p);
		else if (e->value->kind == NODE_SCALAR)
			buf_addf(out, "  %-24s %s\n", name.p, e->value->text);
		buf_fini(&name);
	}
}

/* Beside its options: what subscriptions give it by device, and what it does to a stream. */
static void add_more(struct listing *l, const struct type_info *t)
{
	const struct rule *device = t->device_schema && t->device_schema->n ? schema_rule(l->schema, t->device_schema, l->diag) : NULL;

	if (device && l->json) {
		buf_adds(&l->out, ",\"device\":");
		options_write_json(&l->out, device);
	} else if (device) {
		buf_adds(&l->out, "by device, in a subscription:\n");
		options_write_text(&l->out, device);
	}
	if (l->json || !t->is_destination)
		return;
	if (t->defaults || t->body_most)
		buf_adds(&l->out, "a stream to it, unless it says otherwise:\n");
	add_defaults(&l->out, t->defaults, "");
	if (t->body_most)
		buf_addf(&l->out, "  %-24s at most %u\n", "batch.messages", t->body_most);
	if (t->certificate)
		buf_adds(&l->out, "over https it wants tls.cert and tls.key\n");
}

static void add(struct listing *l, const char *name, const char *kind, const char *summary, const char *transport, const char *from,
                const struct rule *options, const struct type_info *t)
{
	nearest_try(&l->near, name);
	if (l->wanted && strcmp(l->wanted, name) != 0)
		return;
	if (l->json) {
		buf_adds(&l->out, l->n ? ",\n" : "");
		buf_adds(&l->out, "{\"name\":");
		buf_addjson(&l->out, name, strlen(name));
		buf_addf(&l->out, ",\"kind\":\"%s\",\"summary\":", kind);
		buf_addjson(&l->out, summary, strlen(summary));
		if (transport)
			buf_addf(&l->out, ",\"transport\":\"%s\"", transport);
		buf_adds(&l->out, ",\"from\":");
		buf_addjson(&l->out, from, strlen(from));
		buf_adds(&l->out, ",\"options\":");
		if (options)
			options_write_json(&l->out, options);
		else
			buf_adds(&l->out, "{}");
		if (t)
			add_more(l, t);
		buf_addc(&l->out, '}');
	} else if (l->wanted) {
		buf_addf(&l->out, "%s%s: %s%s%s, %s\n%s\n", l->n ? "\n" : "", name, kind, transport ? " over " : "", transport ? transport : "", from, summary);
		if (options)
			options_write_text(&l->out, options);
		if (t)
			add_more(l, t);
	} else {
		buf_addf(&l->out, "%-12s %-20s %s\n", kind, name, summary);
	}
	l->n++;
}

/* The types that the schema names for mappings of this definition, those alone that this version has. */
static void add_natives(struct listing *l, const char *kind)
{
	const struct rule *r = schema_definition(schema_builtin(), kind);

	for (unsigned i = 0; r && i < r->ncases; i++)
		if (!r->cases[i].then->planned)
			add(l, r->cases[i].value, kind, r->cases[i].then->description ? r->cases[i].then->description : "", NULL, "native", r->cases[i].then, NULL);
}

static void add_adapter(struct listing *l, const struct type_info *t, const char *path)
{
	static const char *const transports[] = { [TRANSPORT_HTTP] = "http", [TRANSPORT_MQTT] = "mqtt", [TRANSPORT_TCP] = "tcp" };
	const struct rule *own = t->options_schema ? schema_rule(l->schema, t->options_schema, l->diag) : NULL;

	if (t->is_destination) {
		const char *transport = transports[t->transport];
		const struct rule *base = schema_definition(schema_builtin(), arena_printf(l->arena, "adapter-%s", transport));
		const struct rule *all = t->options_schema ? schema_extend(l->schema, base, t->options_schema, l->diag) : base;
		add(l, t->name, "destination", t->summary, transport, path, all, t);
	}
	if (t->is_transform)
		add(l, t->name, "transform", t->summary, NULL, path, own, t);
	if (t->is_format)
		add(l, t->name, "format", t->summary, NULL, path, own, t);
}

int cli_adapters(int argc, char **argv)
{
	struct listing l = { .arena = arena_new(), .schema = schema_new(schema_builtin()), .diag = diag_new() };
	const char *file = NULL, *const *dirs;
	int status = EX_USAGE, ndirs;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			l.json = true;
		} else if (strcmp(argv[i], "--file") == 0 && i + 1 < argc) {
			file = argv[++i];
		} else if (strcmp(argv[i], "--help") == 0) {
			fputs(usage, stdout);
			status = EX_OK;
			goto out;
		} else if (argv[i][0] == '-' || l.wanted) {
			fputs(usage, stderr);
			goto out;
		} else {
			l.wanted = argv[i];
		}
	}
	nearest_begin(&l.near, l.wanted ? l.wanted : "");
	status = EX_NOINPUT;
	ndirs = adapter_folders(l.arena, file, &dirs);
	if (ndirs < 0)
		goto out;
	struct adapters *a = adapters_open(dirs, (unsigned)ndirs, l.diag);
	const struct catalogue *all = adapters_catalogue(a);
	const struct type_info *t;
	if (l.json)
		buf_adds(&l.out, "[");
	add_natives(&l, "channel");
	add_natives(&l, "destination");
	add(&l, "flespi", "format", "Flat JSON objects in flespi's names: one, an array, or one on each line", NULL, "native", NULL, NULL);
	/* Asked for by name a broken file is told of; in the list it is left out. */
	if (l.wanted)
		all->find(all->arg, l.wanted);
	for (unsigned i = 0; (t = all->next(all->arg, &i));)
		add_adapter(&l, t, adapters_path(a, t));
	if (l.json)
		buf_adds(&l.out, "]\n");
	struct buf told = BUF_INIT;
	diag_print(l.diag, &told, diag_colour(stderr));
	if (told.len)
		fputs(told.p, stderr);
	status = diag_exit(l.diag);
	if (l.wanted && l.n == 0 && status == EX_OK) {
		const char *near = nearest_found(&l.near);
		fprintf(stderr, "sluice: there is no adapter %s%s%s%s\n", l.wanted, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
		status = EX_NOINPUT;
	} else if (l.n > 0 || !l.wanted) {
		fwrite(l.out.p, 1, l.out.len, stdout);
	}
	buf_fini(&told);
	adapters_free(a);
out:
	buf_fini(&l.out);
	schema_free(l.schema);
	diag_free(l.diag);
	arena_free(l.arena);
	return fflush(stdout) == 0 ? status : EX_IOERR;
}
