/* dead_list.c - `sluice dead list` and `show`. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/map.h"
#include "cli/dead.h"
#include "store/store.h"

#define PAGE 1000
#define NEWEST 20

/* ---- who has any --------------------------------------------------------------------------------------------------------------- */

static bool still_channel(void *arg, uint32_t number, const char *name, const struct buffer_counts *c)
{
	(void)number;
	if (c->dead_kept)
		letters_owner(arg, "channel", name, "", c->dead_kept, c->dead_bytes, c->dead_gone);
	return true;
}

static bool still_buffer(void *arg, uint32_t number, const char *name, const struct buffer_counts *c)
{
	(void)number;
	if (c->dead_kept)
		letters_owner(arg, "buffer", name, name, c->dead_kept, c->dead_bytes, c->dead_gone);
	return true;
}

int dead_owners(struct dead *d)
{
	struct lines l;
	char size[32];
	int status = 0;

	if (d->place.running) {
		status = dead_command(d, "dead-owners", 0, 0, "");
	} else {
		store_each_name(d->place.store, NAME_CHANNEL, still_channel, &d->answer);
		store_each_name(d->place.store, NAME_BUFFER, still_buffer, &d->answer);
	}
	if (status != 0)
		return status;
	if (!d->json)
		printf("%-8s %-40s %10s %10s\n", "OF", "NAME", "LETTERS", "SIZE");
	lines_open(&l, &d->answer);
	while (lines_next(&l)) {
		if (lines_has(&l, "ok"))
			break;
		if (d->json) {
			printf("%.*s\n", (int)l.m.len, l.m.bytes);
			continue;
		}
		printf("%-8s ", lines_text(&l, "kind", NULL));
		printf("%-40s ", lines_text(&l, "name", NULL));
		printf("%10" PRIu64 " %10s\n", lines_number(&l, "letters"), say_size((double)lines_number(&l, "bytes"), size, sizeof size));
	}
	lines_close(&l);
	return 0;
}

/* ---- a line for each ------------------------------------------------------------------------------------------------------------- */

static const char *moment(double when, char *out, size_t n)
{
	time_t t = (time_t)when;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, n, "%Y-%m-%d %H:%M:%SZ", &tm);
	return out;
}

static void print_head(void)
{
	printf("%-16s  %-20s  %-20s  %5s  %s\n", "LETTER", "WHEN", "IDENT", "TRIES", "REASON");
}

static void print_line(struct lines *l)
{
	char when[40];
	const char *reason;

	printf("%-16s  ", lines_text(l, "letter", NULL));
	printf("%-20s  ", moment(lines_seconds(l, "when"), when, sizeof when));
	printf("%-20s  ", lines_text(l, "ident", NULL));
	printf("%5" PRIu64 "  ", lines_number(l, "attempts"));
	reason = lines_text(l, "reason", NULL);
	/* The first line of a traceback says it. */
	printf("%.*s\n", (int)strcspn(reason, "\n"), reason);
}

/* The latest of many, which come oldest first. */
struct latest { char **texts; uint64_t n, most, at; };

static void latest_add(struct latest *x, const struct lines *l)
{
	char *text = xmalloc(l->m.len + 1);

	memcpy(text, l->m.bytes, l->m.len);
	text[l->m.len] = '\0';
	if (x->n == x->most)
		free(x->texts[x->at]);
	else
		x->n++;
	x->texts[x->at] = text;
	x->at = (x->at + 1) % x->most;
}

static void latest_print(struct latest *x, bool json)
{
	for (uint64_t i = 0; i < x->n; i++) {
		uint64_t at = (x->at + x->most - 1 - i) % x->most;
		struct buf text = BUF_INIT;
		struct lines l;

		if (json) {
			printf("%s\n", x->texts[at]);
		} else {
			buf_adds(&text, x->texts[at]);
			lines_open(&l, &text);
			if (lines_next(&l))
				print_line(&l);
			lines_close(&l);
			buf_fini(&text);
		}
		free(x->texts[at]);
	}
	free(x->texts);
}

struct reason { char *text; uint64_t n; };

static void count_reason(struct map *reasons, const char *text)
{
	size_t n = strcspn(text, "\n");
	struct reason *r = map_get(reasons, text, n);

	if (!r) {
		r = xcalloc(1, sizeof *r);
		r->text = xmalloc(n + 1);
		memcpy(r->text, text, n);
		r->text[n] = '\0';
		map_put(reasons, r->text, n, r);
	}
	r->n++;
}

static int more_first(const void *a, const void *b)
{
	const struct reason *const *x = a, *const *y = b;

	return (*x)->n < (*y)->n ? 1 : (*x)->n > (*y)->n ? -1 : strcmp((*x)->text, (*y)->text);
}

static void print_reasons(struct map *reasons, bool json)
{
	struct reason **all = xcalloc(reasons->n + 1, sizeof *all);
	struct map_slot *slot;
	size_t n = 0;

	for (size_t i = 0; (slot = map_next(reasons, &i));)
		all[n++] = slot->value;
	qsort(all, n, sizeof *all, more_first);
	for (size_t i = 0; i < n; i++) {
		struct buf b = BUF_INIT;

		if (json) {
			buf_addf(&b, "{\"letters\":%" PRIu64 ",\"reason\":", all[i]->n);
			buf_addjson(&b, all[i]->text, strlen(all[i]->text));
			printf("%s}\n", b.p);
		} else {
			printf("%10" PRIu64 "  %s\n", all[i]->n, all[i]->text);
		}
		buf_fini(&b);
		free(all[i]->text);
		free(all[i]);
	}
	free(all);
	map_fini(reasons);
}

/* Calls fn for each letter's line until it says false. */
static int each_line(struct dead *d, bool whole, bool (*fn)(struct dead *d, struct lines *l, void *arg), void *arg)
{
	struct progress p;
	uint64_t next = 0, looked = 0;
	bool more = true;
	int status = 0;

	progress_begin(&p, "letters looked at", d->kept);
	do {
		struct lines l;

		status = dead_page(d, "dead-list", next, PAGE, whole);
		if (status != 0)
			break;
		next = 0;
		lines_open(&l, &d->answer);
		while (more && lines_next(&l)) {
			if (lines_has(&l, "ok")) {
				next = lines_number(&l, "next");
				looked += lines_number(&l, "looked");
			} else {
				progress_end(&p);
				more = fn(d, &l, arg);
			}
		}
		lines_close(&l);
		progress_draw(&p, looked);
	} while (next && more && !progress_interrupted());
	progress_end(&p);
	return status ? status : progress_interrupted() ? 130 : 0;
}

struct listing { struct latest latest; struct map reasons; uint64_t n, most; };

static bool list_one(struct dead *d, struct lines *l, void *arg)
{
	struct listing *x = arg;

	x->n++;
	if (d->count)
		count_reason(&x->reasons, lines_text(l, "reason", NULL));
	else if (x->latest.most)
		latest_add(&x->latest, l);
	else if (d->json)
		printf("%.*s\n", (int)l->m.len, l->m.bytes);
	else
		print_line(l);
	return !d->oldest || x->n < d->oldest;
}

int dead_list(struct dead *d)
{
	struct listing x = { .n = 0 };
	bool every = d->all || d->count || d->oldest || (d->json && !d->newest);
	int status;

	map_init(&x.reasons);
	x.latest.most = every ? 0 : d->newest ? d->newest : NEWEST;
	x.latest.texts = x.latest.most ? xcalloc(x.latest.most, sizeof *x.latest.texts) : NULL;
	if (!d->json && !d->count)
		print_head();
	status = each_line(d, d->json, list_one, &x);
	if (d->count)
		print_reasons(&x.reasons, d->json);
	else if (x.latest.most)
		latest_print(&x.latest, d->json);
	if (!d->json && status == 0) {
		if (x.latest.most && x.latest.n < x.n)
			printf("the newest %" PRIu64 " of %" PRIu64 "; --all, --oldest N, --newest N and --count show others\n", x.latest.n, x.n);
		else
			printf("%" PRIu64 " letters%s\n", x.n, d->oldest && x.n == d->oldest ? ", the oldest" : "");
	}
	return status;
}

/* ---- one, whole ----------------------------------------------------------------------------------------------------------------- */

static void part(struct lines *l, const char *key, const char *title)
{
	char hex[64];

	if (lines_has(l, key))
		printf("%-10s %s\n", title, lines_text(l, key, NULL));
	snprintf(hex, sizeof hex, "%s_hex", key);
	if (lines_has(l, hex))
		printf("%-10s (bytes that are no text, as hex) %s\n", title, lines_text(l, hex, NULL));
}

static bool show_one(struct dead *d, struct lines *l, void *arg)
{
	uint64_t *n = arg;
	char when[40];

	if ((*n)++ && !d->json)
		putchar('\n');
	if (d->json) {
		printf("%.*s\n", (int)l->m.len, l->m.bytes);
		return true;
	}
	part(l, "letter", "letter");
	part(l, "id", "message");
	if (lines_has(l, "row")) {
		printf("%-10s %" PRIu64, "row", lines_number(l, "row") + 1);
		printf(" of %" PRIu64 " that a transform made of it\n", lines_number(l, "rows"));
	}
	part(l, "ident", "ident");
	printf("%-10s %s\n", "set aside", moment(lines_seconds(l, "when"), when, sizeof when));
	part(l, "peer", "from");
	part(l, "attempts", "tries");
	part(l, "status", "status");
	part(l, "reason", "reason");
	part(l, "answer", "answer");
	part(l, "source", lines_flag(l, "raw") ? "received" : "message is");
	part(l, "bytes", "sent as");
	return true;
}

int dead_show(struct dead *d)
{
	uint64_t n = 0;
	int status;

	if (!d->filter.ids) {
		fputs("sluice: which letter? `sluice dead list` tells their numbers\n", stderr);
		return EX_USAGE;
	}
	status = each_line(d, true, show_one, &n);
	if (status == 0 && n == 0) {
		fprintf(stderr, "sluice: no such letter\n");
		return EX_DATAERR;
	}
	return status;
}
