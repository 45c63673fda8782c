/* adapters.c - finding adapters and answering the compiler's questions about them.
 *
 * Files are read at once and run only when someone asks for them by name: a broken file that nobody uses stops nobody. */
#include "transforms/adapters.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/embedded.h"
#include "base/map.h"
#include "spec/diag.h"
#include "transforms/script.h"

#define FILE_MAX ((size_t)1 << 20)
#define NAME_MAX_BYTES 64
/* The checking state has the defaults of limits.message and limits.script: whether an adapter is right must not depend on the machine. */
#define CHECK_MESSAGE (1u << 20)
#define CHECK_SCRIPT_US 20000
/* Behind those of the specification. */
#define FIRST_ORDER 100000

static struct adapter *add(struct adapters *a, const char *name, size_t nlen, const char *path, const char *text, size_t len)
{
	struct adapter *ad = arena_alloc(a->arena, sizeof(*ad));

	ad->name = arena_strndup(a->arena, name, nlen);
	ad->path = arena_strdup(a->arena, path);
	ad->source = source_new(a->arena, ad->path, text, len, a->order++);
	ad->text = ad->source->text;
	ad->len = len;
	ad->table = LUA_NOREF;
	ad->info.name = ad->name;
	ad->info.hash = hash_stable(text, len);
	a->list = xrealloc(a->list, (a->n + 1) * sizeof(struct adapter *));
	a->list[a->n++] = ad;
	return ad;
}

struct adapter *adapter_find(struct adapters *a, const char *name)
{
	for (unsigned i = 0; i < a->n; i++)
		if (strcmp(a->list[i]->name, name) == 0)
			return a->list[i];
	return NULL;
}

/* NAME.lua -> length of NAME; 0 if it is no adapter's name. */
static size_t name_length(const char *file)
{
	size_t n = strlen(file);

	if (n <= 4 || n - 4 > NAME_MAX_BYTES || strcmp(file + n - 4, ".lua") != 0 || file[0] == '.')
		return 0;
	return n - 4;
}

static void read_file(struct adapters *a, const char *dir, const char *file, struct diag *d)
{
	char *path = arena_printf(a->arena, "%s/%s", dir, file);
	char *name = arena_strndup(a->arena, file, name_length(file));
	char *text;
	FILE *f;

	if (adapter_find(a, name))
		return;
	f = fopen(path, "rb");
	if (!f) {
		diag_add(d, DIAG_UNREADABLE, NULL, "adapter %s: %s", path, strerror(errno));
		return;
	}
	text = xmalloc(FILE_MAX + 1);
	size_t len = fread(text, 1, FILE_MAX + 1, f);
	if (ferror(f))
		diag_add(d, DIAG_UNREADABLE, NULL, "adapter %s: %s", path, strerror(errno));
	else if (len > FILE_MAX)
		diag_add(d, DIAG_TOO_BIG, NULL, "adapter %s has more than %zu bytes", path, FILE_MAX);
	else
		add(a, name, strlen(name), path, text, len);
	free(text);
	fclose(f);
}

/* prelude.lua is what all adapters are given, and none itself. */
static bool is_adapter_name(const char *file)
{
	return name_length(file) > 0 && strcmp(file, "prelude.lua") != 0;
}

static int is_adapter_file(const struct dirent *e)
{
	return is_adapter_name(e->d_name);
}

static void read_dir(struct adapters *a, const char *dir, struct diag *d)
{
	struct dirent **files;
	int n = scandir(dir, &files, is_adapter_file, alphasort);

	if (n < 0) {
		struct problem *p = diag_add(d, DIAG_UNREADABLE, NULL, "folder of adapters %s: %s", dir, strerror(errno));
		problem_note(p, "it is named by settings.adapters");
		return;
	}
	for (int i = 0; i < n; i++) {
		read_file(a, dir, files[i]->d_name, d);
		free(files[i]);
	}
	free(files);
}

static void read_built_in(struct adapters *a)
{
	const struct embedded *e;

	for (size_t i = 0; (e = embedded_at(i)); i++) {
		const char *file = e->path + 4;
		if (strncmp(e->path, "lua/", 4) != 0 || strchr(file, '/') || !is_adapter_name(file))
			continue;
		char *name = arena_strndup(a->arena, file, name_length(file));
		if (!adapter_find(a, name))
			add(a, name, strlen(name), e->path, (const char *)e->bytes, e->size);
	}
}

static int by_name(const void *x, const void *y)
{
	return strcmp((*(struct adapter *const *)x)->name, (*(struct adapter *const *)y)->name);
}

/* ---- what the compiler asks ----------------------------------------------------------------------------------------------- */

static const struct type_info *find(void *arg, const char *name)
{
	struct adapters *a = arg;
	struct adapter *ad = adapter_find(a, name);

	return ad && adapter_check(a, ad, a->d) ? &ad->info : NULL;
}

static const struct type_info *next(void *arg, unsigned *i)
{
	struct adapters *a = arg;

	while (*i < a->n) {
		struct adapter *ad = a->list[(*i)++];
		if (adapter_check(a, ad, NULL))
			return &ad->info;
	}
	return NULL;
}

static bool told(void *arg, const char *name)
{
	const struct adapter *ad = adapter_find(arg, name);

	return ad && ad->state == ADAPTER_BROKEN && ad->told;
}

struct adapters *adapters_open(const char *const *dirs, unsigned ndirs, struct diag *d)
{
	struct adapters *a = xcalloc(1, sizeof(*a));
	struct vm_limits limits = vm_limits_of(CHECK_MESSAGE, CHECK_SCRIPT_US);

	a->arena = arena_new();
	a->order = FIRST_ORDER;
	a->d = d;
	a->catalogue = (struct catalogue){ .arg = a, .find = find, .next = next, .told = told };
	a->vm = vm_new(&limits);
	if (!a->vm)
		diag_add(d, DIAG_ADAPTER, NULL, "no memory for a Lua state");
	else
		a->vm->quiet = true;
	for (unsigned i = 0; i < ndirs; i++)
		read_dir(a, dirs[i], d);
	read_built_in(a);
	if (a->n)
		qsort(a->list, a->n, sizeof(struct adapter *), by_name);
	return a;
}

void adapters_free(struct adapters *a)
{
	if (!a)
		return;
	vm_free(a->vm);
	free(a->list);
	arena_free(a->arena);
	free(a);
}

const struct catalogue *adapters_catalogue(struct adapters *a)
{
	return &a->catalogue;
}

const char *adapters_path(const struct adapters *a, const struct type_info *t)
{
	for (unsigned i = 0; i < a->n; i++)
		if (&a->list[i]->info == t)
			return a->list[i]->path;
	return "native";
}

/* ---- checking a file -------------------------------------------------------------------------------------------------------- */

unsigned adapter_line(const struct adapter *ad, const char *needle)
{
	const char *at = strstr(ad->text, needle);
	unsigned line = 1;

	if (!at)
		return 0;
	for (const char *p = ad->text; p < at; p++)
		line += *p == '\n';
	return line;
}

struct mark adapter_mark(const struct adapter *ad, unsigned line)
{
	return (struct mark){ .source = ad->source, .line = line, .column = line ? 1 : 0 };
}

unsigned error_line(const char *why)
{
	for (const char *p = why; *p && *p != '\n'; p++)
		if (*p == ':' && p[1] >= '1' && p[1] <= '9') {
			char *end;
			unsigned long line = strtoul(p + 1, &end, 10);
			if (*end == ':')
				return (unsigned)line;
		}
	return 0;
}

struct describing { struct adapters *a; struct adapter *ad; struct diag *d; bool broken; };

static int describe_job(lua_State *L)
{
	struct describing *j = lua_touserdata(L, 1);

	lua_rawgeti(L, LUA_REGISTRYINDEX, j->ad->table);
	describe(L, j->a, j->ad, j->d, &j->broken);
	return 0;
}

bool adapter_check(struct adapters *a, struct adapter *ad, struct diag *d)
{
	struct buf why = BUF_INIT;

	if (ad->state == ADAPTER_FINE)
		return true;
	if (!a->vm || (ad->state == ADAPTER_BROKEN && (ad->told || !d)))
		return false;
	ad->state = ADAPTER_BROKEN;
	ad->told = d != NULL;
	struct diag *to = d ? d : diag_new();
	struct describing j = { .a = a, .ad = ad, .d = to };
	bool failed = ad->table == LUA_NOREF && script_load(a->vm, ad->path, ad->text, ad->len, &ad->table, &why) < 0;
	if (!failed)
		failed = vm_run(a->vm, describe_job, &j, 10, &why) < 0;
	if (failed) {
		struct mark at = adapter_mark(ad, error_line(why.p));
		struct problem *p = diag_add(to, DIAG_ADAPTER, &at, "adapter %s: %.*s", ad->name, (int)strcspn(why.p, "\n"), why.p);
		for (const char *line = strchr(why.p, '\n'); line; line = strchr(line + 1, '\n'))
			problem_note(p, "%.*s", (int)strcspn(line + 1, "\n"), line + 1);
	} else if (!j.broken) {
		ad->state = ADAPTER_FINE;
	}
	if (!d)
		diag_free(to);
	buf_fini(&why);
	return ad->state == ADAPTER_FINE;
}

/* ---- vectors ---------------------------------------------------------------------------------------------------------------- */

static bool is_used(const struct adapter *ad, const struct plan *p)
{
	if (!p)
		return true;
	for (unsigned i = 0; i < p->nrenderings; i++)
		for (unsigned k = 0; k < p->renderings[i].nsteps; k++)
			if (strcmp(p->renderings[i].steps[k].adapter, ad->name) == 0)
				return true;
	for (unsigned i = 0; i < p->ndestinations; i++)
		if (p->destinations[i].adapter && strcmp(p->destinations[i].adapter, ad->name) == 0)
			return true;
	for (unsigned i = 0; i < p->nchannels; i++)
		if (p->channels[i].format && strcmp(p->channels[i].format, ad->name) == 0)
			return true;
	return false;
}

unsigned adapters_run_vectors(struct adapters *a, const struct plan *p, struct diag *d)
{
	unsigned failed = 0;

	for (unsigned i = 0; i < a->n; i++)
		if (is_used(a->list[i], p))
			failed += adapter_check(a, a->list[i], d) ? vectors_run(a, a->list[i], d) : 1;
	return failed;
}
