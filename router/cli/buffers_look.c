/* buffers_look.c - `sluice buffers list`, `peek` and `export`. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "admin/entries.h"
#include "admin/listing.h"
#include "base/arena.h"
#include "cli/buffers.h"
#include "store/store.h"

#define PAGE 1000
#define PEEK 10

static int read_list(struct buffers *b)
{
	if (b->place.running)
		return buffers_command(b, "buffers-list", 0, "");
	struct listing *l = listing_read(b->place.store);

	buf_clear(&b->answer);
	listing_write(l, NULL, &b->answer);
	listing_free(l);
	return 0;
}

int buffers_list(struct buffers *b)
{
	struct lines l;
	int status = read_list(b);
	char size[32], age[32];

	if (status != 0)
		return status;
	if (!b->json)
		printf("%-40s %-16s %10s %10s %9s %8s %8s\n", "BUFFER", "STREAM", "MESSAGES", "SIZE", "OLDEST", "LETTERS", "STATES");
	lines_open(&l, &b->answer);
	while (lines_next(&l)) {
		if (lines_has(&l, "ok"))
			break;
		if (b->json) {
			printf("%.*s\n", (int)l.m.len, l.m.bytes);
			continue;
		}
		printf("%-40s ", lines_text(&l, "name", NULL));
		printf("%-16s ", lines_has(&l, "stream") ? lines_text(&l, "stream", NULL) : b->place.running ? "none: kept" : "-");
		printf("%10" PRIu64 " %10s ", lines_number(&l, "messages"), say_size((double)lines_number(&l, "bytes"), size, sizeof size));
		printf("%9s %8" PRIu64 " %8" PRIu64 "\n", say_age(lines_seconds(&l, "oldest_age"), age, sizeof age), lines_number(&l, "letters"),
			lines_number(&l, "states"));
	}
	lines_close(&l);
	return 0;
}

static void take(struct buffers *b, struct lines *l)
{
	snprintf(b->name, sizeof b->name, "%s", lines_text(l, "name", NULL));
	snprintf(b->stream, sizeof b->stream, "%s", lines_flag(l, "sent") ? lines_text(l, "stream", NULL) : "");
	b->messages = lines_number(l, "messages");
	b->bytes = lines_number(l, "bytes");
	b->states = lines_number(l, "states");
}

int buffers_find(struct buffers *b, const char *name, bool kept)
{
	struct buf several = BUF_INIT;
	struct lines l;
	size_t len = strlen(name);
	unsigned n = 0, nfit = 0;
	bool exact = false;
	int status = read_list(b);

	if (status != 0)
		return status;
	lines_open(&l, &b->answer);
	while (!exact && lines_next(&l) && !lines_has(&l, "ok")) {
		const char *buffer = lines_text(&l, "name", NULL);

		exact = strcmp(buffer, name) == 0;
		if (!exact && (strncmp(buffer, name, len) != 0 || strncmp(buffer + len, " > ", 3) != 0))
			continue;
		buf_addf(&several, "  %s\n", buffer);
		/* A stream that changed its destination has one that it sends, and others begin with its name too. */
		if (exact || lines_flag(&l, "sent") != kept) {
			take(b, &l);
			nfit++;
		}
		n++;
	}
	lines_close(&l);
	if (!exact && nfit != 1 && n == 1) {
		lines_open(&l, &b->answer);
		while (lines_next(&l) && strncmp(lines_text(&l, "name", NULL), several.p + 2, several.len - 3) != 0)
			;
		take(b, &l);
		lines_close(&l);
		nfit = 1;
	}
	if (n == 0) {
		fprintf(stderr, "sluice: no buffer \"%s\" (`sluice buffers list` names them)\n", name);
		status = EX_DATAERR;
	} else if (nfit != 1 && !exact) {
		fprintf(stderr, "sluice: \"%s\" may be any of these; give its whole name:\n%s", name, several.p);
		status = EX_DATAERR;
	} else if (b->place.store) {
		b->number = store_find_name(b->place.store, NAME_BUFFER, b->name);
	}
	buf_fini(&several);
	return status;
}

/* ---- entries ---------------------------------------------------------------------------------------------------------------------- */

static int read_page(struct buffers *b, uint64_t from, uint64_t most)
{
	char more[48];

	if (b->place.running) {
		snprintf(more, sizeof more, ",\"most\":%" PRIu64, most);
		return buffers_command(b, "buffers-peek", from, more);
	}
	buf_clear(&b->answer);
	entries_page(b->place.store, b->number, from, (unsigned)most, &b->answer);
	return 0;
}

/* Calls fn for each entry's line until it says false. */
static int each_entry(struct buffers *b, uint64_t most, bool (*fn)(struct buffers *b, struct lines *l, void *arg), void *arg)
{
	struct progress p;
	uint64_t next = 0, n = 0;
	bool more = true;
	int status;

	progress_begin(&p, "messages", b->messages);
	do {
		struct lines l;

		status = read_page(b, next, most < PAGE ? most : PAGE);
		if (status != 0)
			break;
		next = 0;
		lines_open(&l, &b->answer);
		while (more && lines_next(&l)) {
			if (lines_has(&l, "ok")) {
				next = lines_number(&l, "next");
			} else {
				progress_end(&p);
				more = fn(b, &l, arg) && ++n < most;
			}
		}
		lines_close(&l);
		progress_draw(&p, n);
	} while (next && more && !progress_interrupted());
	progress_end(&p);
	return status ? status : progress_interrupted() ? 130 : 0;
}

static bool peek_one(struct buffers *b, struct lines *l, void *arg)
{
	(void)arg;
	if (b->json) {
		printf("%.*s\n", (int)l->m.len, l->m.bytes);
		return true;
	}
	if (lines_has(l, "damaged")) {
		printf("%s cannot be read from the disk any more\n", lines_text(l, "position", NULL));
		return true;
	}
	printf("%-18s ", lines_text(l, "id", NULL));
	printf("%-20s ", lines_text(l, "ident", NULL));
	printf("%s\n", lines_text(l, lines_has(l, "bytes") ? "bytes" : "bytes_hex", NULL));
	return true;
}

int buffers_peek(struct buffers *b)
{
	if (!b->json)
		printf("%-18s %-20s %s\n", "MESSAGE", "IDENT", "AS IT IS SENT");
	return each_entry(b, b->oldest ? b->oldest : PEEK, peek_one, NULL);
}

struct exporting { uint64_t n, lost; };

static bool export_one(struct buffers *b, struct lines *l, void *arg)
{
	struct exporting *x = arg;
	const char *key = !b->as_it_is && lines_has(l, "source") ? "source" : "bytes";
	size_t len;

	if (!lines_has(l, key)) {
		x->lost++;
		return true;
	}
	x->n++;
	const char *text = lines_text(l, key, &len);
	fwrite(text, 1, len, stdout);
	putchar('\n');
	return !ferror(stdout);
}

int buffers_export(struct buffers *b)
{
	struct exporting x = { 0 };
	int status = each_entry(b, UINT64_MAX, export_one, &x);

	if (fflush(stdout) != 0 || ferror(stdout)) {
		fputs("sluice: standard output cannot be written\n", stderr);
		return EX_IOERR;
	}
	fprintf(stderr, "%" PRIu64 " messages%s\n", x.n, status == 130 ? ", interrupted" : "");
	if (x.lost) {
		fprintf(stderr, "sluice: %" PRIu64 " others are no text, or cannot be read: `sluice buffers peek --json` shows them\n", x.lost);
		status = status ? status : EX_DATAERR;
	}
	return status;
}
