/* explain.c - `sluice explain FILE`: messages on standard input; for each, where it goes, by which line of the specification, and as what;
 * and where it does not go, and why. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/explain.h"
#include "plan/plan.h"
#include "rehearsal.h"
#include "reload.h"
#include "spec/diag.h"

#define FIRST_ID 1

static const char usage[] =
	"usage: sluice explain [OPTION…] FILE <messages\n"
	"\n"
	"Messages as the channel would be given them: an object, an array, or an object a line. Nothing is opened, nothing is sent.\n"
	"\n"
	"  --channel NAME   on which channel they come in; needed where there are several\n"
	"  --query TEXT     what stands behind the `?`, for a format that reads it\n"
	"  --now TIME       the time of receipt: Unix seconds, or ISO 8601 (default: now)\n"
	"  --id N           the id of the first message (default 1)\n"
	"  -v, --verbose    what each transform made, and every stream that does not subscribe\n"
	"  --json           an object a message, for programs\n"
	"  --no-secrets     take ${env:…} and ${file:…} as given\n";

int explain_channel(const struct plan *p, const char *name, const struct channel **out)
{
	unsigned enabled = 0;

	*out = NULL;
	if (name) {
		*out = plan_channel(p, name);
		if (!*out)
			fprintf(stderr, "sluice: there is no channel \"%s\"\n", name);
		return *out ? 0 : -1;
	}
	for (unsigned i = 0; i < p->nchannels; i++) {
		if (!p->channels[i].enabled)
			continue;
		enabled++;
		*out = &p->channels[i];
	}
	if (enabled == 1)
		return 0;
	fprintf(stderr, enabled ? "sluice: which channel do they come in on? --channel" : "sluice: no channel is enabled");
	for (unsigned i = 0, told = 0; enabled && i < p->nchannels; i++)
		if (p->channels[i].enabled)
			fprintf(stderr, "%s%s", told++ ? ", " : " ", p->channels[i].name);
	fputc('\n', stderr);
	return -1;
}

int explain_time(const char *text, int64_t *us)
{
	char quoted[64];

	if (*text != '-' && (*text < '0' || *text > '9'))
		return -1;
	if (!strpbrk(text, "TZ: "))
		return json_time_us(text, strlen(text), us);
	if ((size_t)snprintf(quoted, sizeof quoted, "\"%s\"", text) >= sizeof quoted)
		return -1;
	return json_time_us(quoted, strlen(quoted), us);
}

static int read_all(struct buf *b, size_t most)
{
	ssize_t got;

	for (;;) {
		buf_reserve(b, (1 << 16) + MESSAGE_PAD);
		got = read(STDIN_FILENO, b->p + b->len, 1 << 16);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		b->len += (size_t)got;
		if (b->len > most) {
			fprintf(stderr, "sluice: more than limits.body (%zu bytes), which the channel would refuse whole\n", most);
			return EX_DATAERR;
		}
	}
	if (got < 0) {
		fprintf(stderr, "sluice: standard input: %s\n", strerror(errno));
		return EX_IOERR;
	}
	return EX_OK;
}

struct options { const char *file, *channel, *query; bool json, verbose, no_secrets; int64_t now_us; uint64_t id; };

/* 0, EX_USAGE, or -1: help was asked for and given. */
static int options_read(struct options *o, int argc, char **argv)
{
	*o = (struct options){ .now_us = clock_real_us(), .id = FIRST_ID };
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
		char *end;

		if (strcmp(a, "--help") == 0) {
			fputs(usage, stdout);
			return -1;
		}
		if (strcmp(a, "--json") == 0)
			o->json = true;
		else if (strcmp(a, "-v") == 0 || strcmp(a, "--verbose") == 0)
			o->verbose = true;
		else if (strcmp(a, "--no-secrets") == 0)
			o->no_secrets = true;
		else if (strcmp(a, "--channel") == 0 && value)
			o->channel = argv[++i];
		else if (strcmp(a, "--query") == 0 && value)
			o->query = argv[++i];
		else if (strcmp(a, "--now") == 0 && value && explain_time(value, &o->now_us) == 0)
			i++;
		else if (strcmp(a, "--id") == 0 && value && *value >= '0' && *value <= '9' && (o->id = strtoull(value, &end, 10), *end == '\0'))
			i++;
		else if (*a != '-' && !o->file)
			o->file = a;
		else
			return EX_USAGE;
	}
	return o->file ? 0 : EX_USAGE;
}

int cli_explain(int argc, char **argv)
{
	struct buf in = BUF_INIT, told = BUF_INIT;
	struct rehearsal *r = NULL;
	struct explainer x = { .out = BUF_INIT };
	const struct channel *channel;
	struct options o;
	struct diag *d;
	struct plan *p;
	char why[1024] = "";
	int status = options_read(&o, argc, argv);

	if (status != 0) {
		if (status > 0)
			fputs(usage, stderr);
		return status > 0 ? status : EX_OK;
	}
	d = diag_new();
	p = reload_compile(o.file, o.no_secrets, d);
	if (diag_errors(d) > 0 || !p) {
		diag_print(d, &told, diag_colour(stderr));
		fwrite(told.p ? told.p : "", 1, told.len, stderr);
		status = diag_exit(d);
		goto out;
	}
	status = explain_channel(p, o.channel, &channel) < 0 ? EX_USAGE : read_all(&in, p->settings.limit_body);
	if (status != EX_OK)
		goto out;
	r = rehearsal_new(p, why, sizeof why);
	if (!r) {
		fprintf(stderr, "sluice: %s\n", why);
		status = EX_SOFTWARE;
		goto out;
	}
	x.verbose = o.verbose;
	x.colour = !o.json && diag_colour(stdout);
	const struct rehearsal_input input = { .channel = channel, .bytes = in.p, .len = in.len, .query = o.query, .now_us = o.now_us };

	if (!rehearsal_run(r, &input, o.id, o.json ? explain_json : explain_text, &x, why, sizeof why)) {
		fprintf(stderr, "sluice: the channel would refuse this whole (400): %s\n", why);
		status = EX_DATAERR;
	} else if (x.refused && channel->refuse_whole) {
		fputs("sluice: `refuse: whole`: the channel would refuse all of it (400)\n", stderr);
	}
	if (fflush(stdout) != 0)
		status = EX_IOERR;
out:
	rehearsal_free(r);
	plan_unref(p);
	diag_free(d);
	buf_fini(&in);
	buf_fini(&told);
	buf_fini(&x.out);
	return status;
}
