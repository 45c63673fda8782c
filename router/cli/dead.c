/* dead.c - `sluice dead`: the letters of a stream or a channel, listed, shown, retried, dropped. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/dead.h"
#include "store/store.h"

static const char usage[] =
	"usage: sluice dead list  [--newest N | --oldest N | --all | --count] [FILTER...] [--json] FILE [NAME]\n"
	"       sluice dead show  [--json] FILE NAME ID...\n"
	"       sluice dead retry [--as-it-was] [--to STREAM] [--json] --all | FILTER... FILE NAME [ID...]\n"
	"       sluice dead drop  [--yes] [--json] --all | FILTER... FILE NAME [ID...]\n"
	"filters: --ident IDENT  --reason TEXT  --since AGE-OR-TIME; --data FOLDER stands for FILE\n";

/* ---- asking ----------------------------------------------------------------------------------------------------------- */

static void argument(struct buf *b, const char *key, const char *value)
{
	if (!value)
		return;
	buf_addf(b, ",\"%s\":", key);
	buf_addjson(b, value, strlen(value));
}

int dead_command(struct dead *d, const char *command, uint64_t from, unsigned most, const char *more)
{
	const struct letters_filter *f = &d->filter;
	struct buf request = BUF_INIT;
	int status;

	buf_addf(&request, "{\"command\":\"%s\",\"from\":%llu,\"to\":%llu,\"since\":%lld,\"most\":%u%s", command, (unsigned long long)from,
		(unsigned long long)f->to, (long long)f->since_us, most, more);
	argument(&request, "name", d->name);
	argument(&request, "ident", f->ident);
	argument(&request, "reason", f->reason);
	argument(&request, "ids", f->ids);
	argument(&request, "to_stream", d->to_stream);
	buf_addc(&request, '}');
	buf_clear(&d->answer);
	status = client_command(d->place.data, request.p, &d->answer);
	buf_fini(&request);
	return status;
}

int dead_page(struct dead *d, const char *command, uint64_t from, unsigned most, bool whole)
{
	struct letters_filter f = d->filter;

	if (d->place.running)
		return dead_command(d, command, from, most, whole ? ",\"whole\":true" : "");
	f.from = from;
	buf_clear(&d->answer);
	letters_page(d->place.store, d->owner, &f, most, whole, &d->answer);
	return 0;
}

/* ---- whose letters, of a store that lies still ------------------------------------------------------------------------------ */

struct finding { struct dead *d; const char *stream, *channel; struct buf several; unsigned n; };

static bool a_channel(void *arg, uint32_t number, const char *name, const struct buffer_counts *c)
{
	struct finding *f = arg;

	if (f->channel && strcmp(name, f->channel) == 0) {
		f->d->owner = number;
		f->d->kept = c->dead_kept;
		f->n++;
		buf_addf(&f->several, "  channel/%s\n", name);
	}
	return true;
}

static bool a_buffer(void *arg, uint32_t number, const char *name, const struct buffer_counts *c)
{
	struct finding *f = arg;
	size_t n = f->stream ? strlen(f->stream) : 0;

	/* A buffer is called STREAM > DESTINATION > FORM; one that never had a letter is not meant. */
	if (strcmp(name, f->d->name) == 0 || (n && strncmp(name, f->stream, n) == 0 && strncmp(name + n, " > ", 3) == 0 && c->dead_kept)) {
		f->d->owner = number;
		f->d->kept = c->dead_kept;
		f->n++;
		buf_addf(&f->several, "  %s\n", name);
	}
	return true;
}

static int find_still(struct dead *d)
{
	struct finding f = { .d = d };
	int status = 0;

	f.stream = strncmp(d->name, "channel/", 8) == 0 ? NULL : strncmp(d->name, "stream/", 7) == 0 ? d->name + 7 : d->name;
	f.channel = strncmp(d->name, "stream/", 7) == 0 ? NULL : strncmp(d->name, "channel/", 8) == 0 ? d->name + 8 : d->name;
	store_each_name(d->place.store, NAME_CHANNEL, a_channel, &f);
	store_each_name(d->place.store, NAME_BUFFER, a_buffer, &f);
	if (f.n > 1) {
		fprintf(stderr, "sluice: \"%s\" may be any of these; name one:\n%s", d->name, f.several.p);
		status = EX_DATAERR;
	} else if (f.n == 0) {
		fprintf(stderr, "sluice: no stream, channel or buffer \"%s\" with dead letters\n", d->name);
		status = EX_DATAERR;
	}
	buf_fini(&f.several);
	return status;
}

/* ---- the command line --------------------------------------------------------------------------------------------------------- */

static bool number(const char *text, uint64_t *out)
{
	char *end;

	*out = strtoull(text, &end, 10);
	return *text && !*end && *out > 0;
}

enum { OPT_JSON = 1, OPT_DATA, OPT_IDENT, OPT_REASON, OPT_SINCE, OPT_NEWEST, OPT_OLDEST, OPT_ALL, OPT_COUNT, OPT_AS_IT_WAS, OPT_TO, OPT_YES };
static const struct option longs[] = {
	{ "json", no_argument, NULL, OPT_JSON }, { "data", required_argument, NULL, OPT_DATA }, { "ident", required_argument, NULL, OPT_IDENT },
	{ "reason", required_argument, NULL, OPT_REASON }, { "since", required_argument, NULL, OPT_SINCE },
	{ "newest", required_argument, NULL, OPT_NEWEST }, { "oldest", required_argument, NULL, OPT_OLDEST }, { "all", no_argument, NULL, OPT_ALL },
	{ "count", no_argument, NULL, OPT_COUNT }, { "as-it-was", no_argument, NULL, OPT_AS_IT_WAS }, { "to", required_argument, NULL, OPT_TO },
	{ "yes", no_argument, NULL, OPT_YES }, { 0 },
};

static int wrong(void)
{
	fputs(usage, stderr);
	return EX_USAGE;
}

static int options(struct dead *d, int argc, char **argv, const char **data)
{
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case OPT_JSON: d->json = true; break;
		case OPT_DATA: *data = optarg; break;
		case OPT_IDENT: d->filter.ident = optarg; d->chosen = true; break;
		case OPT_REASON: d->filter.reason = optarg; d->chosen = true; break;
		case OPT_SINCE:
			d->chosen = true;
			if (read_moment(optarg, &d->filter.since_us) < 0) {
				fprintf(stderr, "sluice: --since: a duration such as 2h, or a time such as 2026-11-22T03:00:00Z\n");
				return EX_USAGE;
			}
			break;
		case OPT_NEWEST: if (!number(optarg, &d->newest)) return wrong(); break;
		case OPT_OLDEST: if (!number(optarg, &d->oldest)) return wrong(); break;
		case OPT_ALL: d->all = true; break;
		case OPT_COUNT: d->count = true; break;
		case OPT_AS_IT_WAS: d->as_it_was = true; break;
		case OPT_TO: d->to_stream = optarg; break;
		case OPT_YES: d->yes = true; break;
		default: return wrong();
		}
	}
	return 0;
}

int cli_dead(int argc, char **argv)
{
	static const struct { const char *name; int (*run)(struct dead *d); bool still, ids; } verbs[] = {
		{ "list", dead_list, true, false }, { "show", dead_show, true, true }, { "retry", dead_retry, false, true }, { "drop", dead_drop, false, true },
	};
	struct dead d = { .name = NULL };
	const char *data = NULL;
	size_t verb = 0;
	int status;

	while (argc > 1 && verb < sizeof verbs / sizeof verbs[0] && strcmp(argv[1], verbs[verb].name) != 0)
		verb++;
	if (argc < 2 || verb == sizeof verbs / sizeof verbs[0])
		return wrong();
	status = options(&d, --argc, ++argv, &data);
	if (status != 0)
		return status;
	if (!data && optind == argc)
		return wrong();
	status = place_open(&d.place, data ? data : argv[optind++], data != NULL, verbs[verb].still);
	if (status != 0)
		return status;
	if (optind < argc)
		d.name = argv[optind++];
	for (; optind < argc; optind++)
		buf_addf(&d.ids, "%s%s", d.ids.len ? "," : "", argv[optind]);
	if (d.ids.len) {
		d.filter.ids = d.ids.p;
		d.chosen = true;
	}
	if ((!d.name && verb > 0) || (d.ids.len && !verbs[verb].ids))
		status = wrong();
	if (status == 0 && d.name && !d.place.running)
		status = find_still(&d);
	if (status == 0)
		status = d.name ? verbs[verb].run(&d) : dead_owners(&d);
	place_close(&d.place);
	buf_fini(&d.ids);
	buf_fini(&d.answer);
	return status;
}
