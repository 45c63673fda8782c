/* new.c - `sluice new adapter NAME`: a file that works, to be changed into the one that is wanted. `sluice new editor`: what editors and luacheck read, to
 * know what adapters may use. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/embedded.h"
#include "cli/adapters.h"
#include "cli/cli.h"
#include "spec/rule.h"

static const char usage[] =
	"usage: sluice new adapter NAME [--transport http|mqtt|tcp | --transform | --format | --like ADAPTER] [--file FILE]\n"
	"       sluice new editor\n"
	"\n"
	"Write NAME.lua, an adapter with examples that pass, into the first folder that settings.adapters of FILE names; else into ./lua.\n"
	"editor: write .luarc.json, .luacheckrc and lua/meta, by which lua-language-server and luacheck know what adapters may use.\n"
	"\n"
	"  --transport T   a destination type on this transport (http unless told otherwise)\n"
	"  --transform     a step of a stream\n"
	"  --format        a format that a channel decodes\n"
	"  --like ADAPTER  a copy of a built-in adapter, to be changed\n";

#define NAME_MOST 64

static bool is_name(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && (i == 0 || !strchr("-_", s[i])))
			return false;
	return n > 0 && n <= NAME_MOST;
}

/* A native type is looked for first, so an adapter of its name would never be found. */
static bool is_native(const char *name)
{
	static const char *const families[] = { "channel", "destination" };

	for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
		const struct rule *r = schema_definition(schema_builtin(), families[f]);
		for (unsigned i = 0; r && i < r->ncases; i++)
			if (strcmp(r->cases[i].value, name) == 0)
				return true;
	}
	return strcmp(name, "flespi") == 0 || strcmp(name, "prelude") == 0;
}

static void fill(struct buf *out, const char *text, const char *name)
{
	const char *at;

	while ((at = strstr(text, "NAME"))) {
		buf_add(out, text, (size_t)(at - text));
		buf_adds(out, name);
		text = at + 4;
	}
	buf_adds(out, text);
}

/* 0, or an exit status after saying why. What is there already is left alone. */
static int write_file(const char *path, const struct buf *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd < 0) {
		fprintf(stderr, "sluice: %s: %s\n", path, errno == EEXIST ? "there is such a file; it was left as it is" : strerror(errno));
		return EX_CANTCREAT;
	}
	ssize_t written = write(fd, text->p, text->len);
	if (close(fd) < 0 || written != (ssize_t)text->len) {
		fprintf(stderr, "sluice: %s: %s\n", path, strerror(errno));
		unlink(path);
		return EX_IOERR;
	}
	return EX_OK;
}

static void next_step(const char *path, const char *dir, const char *file, const char *name, const char *kind, bool hides, bool named)
{
	printf("%s: written\n", path);
	if (hides)
		printf("It stands before the built-in adapter of the same name.\n");
	printf("\nnext, in %s:\n", file ? file : "your specification");
	if (!named)
		printf("  settings: {adapters: [%s]}\n", dir);
	if (strcmp(kind, "transform") == 0)
		printf("  streams: {…: {to: …, transforms: [%s]}}\n", name);
	else if (strcmp(kind, "format") == 0)
		printf("  channels: {…: {type: http, listen: …, format: %s}}\n", name);
	else
		printf("  destinations: {…: {type: %s, url: …}}\n", name);
	printf("then `sluice test --watch %s` runs the examples at its end each time it is saved, and says which fail.\n", dir);
}

/* What a copy of this text will be. */
static const char *kind_of(const char *text)
{
	return strstr(text, "transport = \"") ? "http" : strstr(text, "function A.decode(") ? "format" : "transform";
}

static int new_editor(void)
{
	static const char *const files[] = { ".luarc.json", ".luacheckrc", "lua/meta/sluice.lua" };
	int status = EX_OK;

	mkdir("lua", 0777);
	mkdir("lua/meta", 0777);
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		const struct embedded *e = embedded_find(files[i]);
		struct buf text = BUF_INIT;

		buf_add(&text, e->bytes, e->size);
		int failed = write_file(files[i], &text);
		if (!failed)
			printf("%s: written\n", files[i]);
		status = status ? status : failed;
		buf_fini(&text);
	}
	return status;
}

int cli_new(int argc, char **argv)
{
	const char *name = NULL, *kind = NULL, *like = NULL, *file = NULL, *const *dirs;
	struct arena *a;
	struct buf text = BUF_INIT;
	int status = EX_USAGE;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		fputs(usage, stdout);
		return EX_OK;
	}
	if (argc == 2 && strcmp(argv[1], "editor") == 0) {
		int failed = new_editor();
		return fflush(stdout) == 0 ? failed : EX_IOERR;
	}
	for (int i = 2; i < argc && argc > 1 && strcmp(argv[1], "adapter") == 0; i++) {
		const char *given = strcmp(argv[i], "--transform") == 0 ? "transform" : strcmp(argv[i], "--format") == 0 ? "format" : NULL;
		if (strcmp(argv[i], "--transport") == 0 && i + 1 < argc)
			given = argv[++i];
		if (strcmp(argv[i], "--like") == 0 && i + 1 < argc)
			given = like = argv[++i];
		if (given) {
			if (kind)
				goto misused;
			kind = given;
		} else if (strcmp(argv[i], "--file") == 0 && i + 1 < argc) {
			file = argv[++i];
		} else if (argv[i][0] == '-' || name) {
			goto misused;
		} else {
			name = argv[i];
		}
	}
	kind = kind ? kind : "http";
	a = arena_new();
	const struct embedded *e = embedded_find(arena_printf(a, like ? "lua/%s.lua" : "lua/new/%s.lua", kind));
	if (!name || (!e && !like)) {
		arena_free(a);
		goto misused;
	}
	if (!e || (like && (strchr(like, '/') || strcmp(like, "prelude") == 0))) {
		fprintf(stderr, "sluice: there is no built-in adapter %s (`sluice adapters` lists them)\n", like);
		goto out;
	}
	if (!is_name(name)) {
		fprintf(stderr, "sluice: \"%s\" cannot be the name of an adapter: letters, digits, - and _, at most %d\n", name, NAME_MOST);
		goto out;
	}
	if (is_native(name)) {
		fprintf(stderr, "sluice: %s is a name that the program keeps for itself: a file of that name would not be used\n", name);
		goto out;
	}
	status = EX_NOINPUT;
	int n = adapter_folders(a, file, &dirs);
	if (n < 0)
		goto out;
	const char *slash = file ? strrchr(file, '/') : NULL;
	const char *dir = n > 0 ? dirs[0] : slash ? arena_printf(a, "%.*s/lua", (int)(slash - file), file) : "lua";
	const char *path = arena_printf(a, "%s/%s.lua", dir, name);
	status = EX_CANTCREAT;
	if (mkdir(dir, 0777) < 0 && errno != EEXIST) {
		fprintf(stderr, "sluice: %s: %s\n", dir, strerror(errno));
		goto out;
	}
	if (like) {
		buf_add(&text, e->bytes, e->size);
		kind = kind_of(text.p);
	} else {
		fill(&text, (const char *)e->bytes, name);
	}
	status = write_file(path, &text);
	if (status == EX_OK)
		next_step(path, n > 0 ? dir : "lua", file, name, kind, embedded_find(arena_printf(a, "lua/%s.lua", name)) != NULL, file && n > 0);
out:
	buf_fini(&text);
	arena_free(a);
	return fflush(stdout) == 0 ? status : EX_IOERR;
misused:
	fputs(usage, stderr);
	return EX_USAGE;
}
