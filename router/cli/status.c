/* status.c - `sluice status` and `sluice reload`: a look at a running instance, and the word to read its file again. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "cli/cli.h"
#include "spec/diag.h"
#include "spec/tree.h"

/* The answer is JSON, which is YAML: the tree reader takes it. */
static const struct node *answer_tree(struct arena *a, const struct buf *b)
{
	struct diag *d = diag_new();
	const struct node *n = tree_read_text(a, "answer", b->p, b->len, 0, d);

	diag_free(d);
	return n;
}

static const char *text(const struct node *map, const char *key)
{
	const struct node *n = node_get(map, key);

	return n && n->kind == NODE_SCALAR ? n->text : "";
}

static double number(const struct node *map, const char *key)
{
	return strtod(text(map, key), NULL);
}

static void print_channels(const struct node *list)
{
	printf("\n%-20s %-8s %12s %12s %10s %10s\n", "CHANNEL", "TYPE", "RECEIVED", "TAKEN", "REFUSED", "UNROUTED");
	for (unsigned i = 0; list && i < list->n; i++) {
		const struct node *c = list->items[i];

		printf("%-20s %-8s %12s %12s %10s %10s\n", text(c, "name"), text(c, "type"), text(c, "received"), text(c, "taken"),
			text(c, "refused"), text(c, "unrouted"));
		if (number(c, "duplicates") > 0)
			printf("    %s duplicates were answered as taken, and not taken again\n", text(c, "duplicates"));
		if (number(c, "lost") > 0)
			printf("    %s datagrams were lost for want of room, ours or the kernel's\n", text(c, "lost"));
	}
}

static void print_streams(const struct node *list)
{
	char a[32], b[32];

	printf("\n%-20s %-10s %12s %10s %9s %12s %8s %8s  %s\n", "STREAM", "STATE", "MATCHED", "BUFFERED", "OLDEST", "ACCEPTED", "DEAD",
		"SKIPPED", "DESTINATION");
	for (unsigned i = 0; list && i < list->n; i++) {
		const struct node *s = list->items[i];

		printf("%-20s %-10s %12s %10s %9s %12s %8s %8s  %s\n", text(s, "name"), text(s, "state"), text(s, "matched"),
			text(s, "buffered"), say_age(number(s, "oldest_age"), a, sizeof a), text(s, "accepted"), text(s, "dead"),
			text(s, "skipped"), text(s, "destination"));
		if (*text(s, "paused_by"))
			printf("%-20s   paused by %s\n", "", strcmp(text(s, "paused_by"), "command") == 0 ? "command: `sluice resume`, or the next start, ends it" :
				"the specification");
		if (*text(s, "alarm"))
			printf("%-20s   ALARM: %s\n", "", text(s, "alarm"));
		if (*text(s, "reason"))
			printf("%-20s   %s (%s waiting)\n", "", text(s, "reason"), say_size(number(s, "bytes"), b, sizeof b));
	}
}

static void print_retired(const struct node *list)
{
	char a[32], b[32];

	if (!list || list->n == 0)
		return;
	printf("\n%-40s %10s %10s %9s\n", "KEPT BUFFER (no stream sends it)", "MESSAGES", "SIZE", "OLDEST");
	for (unsigned i = 0; i < list->n; i++) {
		const struct node *r = list->items[i];

		printf("%-40s %10s %10s %9s\n", text(r, "name"), text(r, "buffered"), say_size(number(r, "bytes"), a, sizeof a),
			say_age(number(r, "oldest_age"), b, sizeof b));
	}
}

static void print_history(const struct node *h)
{
	char a[32], b[32], c[32];

	if (!h)
		return;
	printf("history: %s messages, %s", text(h, "messages"), say_size(number(h, "bytes"), a, sizeof a));
	if (*text(h, "oldest"))
		printf(", back to %s ago", say_age(number(h, "oldest_age"), b, sizeof b));
	if (number(h, "asked") > 0)
		printf(", of %s asked for\n", say_age(number(h, "asked"), c, sizeof c));
	else
		printf(", going: it is switched off\n");
	if (number(h, "dropped") > 0)
		printf("    %s messages went before their time, for want of room\n", text(h, "dropped"));
}

static void print_status(const struct node *s)
{
	const struct node *store = node_get(s, "store"), *reload = node_get(s, "reload"), *lost = node_get(s, "unrouted");
	char a[32], b[32];

	printf("%s  pid %s  up %s  generation %s\n", text(s, "file"), text(s, "pid"),
		say_age(number(s, "now") - number(s, "started"), a, sizeof a), text(s, "generation"));
	if (strcmp(text(reload, "ok"), "false") == 0)
		printf("the last reload FAILED, generation %s goes on: %s\n", text(s, "generation"), text(reload, "text"));
	printf("store: intake %s, %s on disk, commit %s\n", text(store, "intake"), say_size(number(store, "disk_bytes"), a, sizeof a),
		say_age(number(store, "commit_latency"), b, sizeof b));
	if (*text(store, "why"))
		printf("INTAKE IS STOPPED: %s\n", text(store, "why"));
	print_history(node_get(s, "history"));
	print_channels(node_get(s, "channels"));
	print_streams(node_get(s, "streams"));
	print_retired(node_get(s, "retired"));
	if (lost && lost->n > 0) {
		printf("\nidents that matched no stream, the latest first:");
		for (unsigned i = 0; i < lost->n && i < 10; i++)
			printf(" %s", lost->items[i]->text);
		printf("%s\n", lost->n > 10 ? " …" : "");
	}
}

/* FILE or --data FOLDER, and --json. 0, or an exit status. */
static int options(int argc, char **argv, const char *usage, char *data, size_t n, bool *json)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { "data", required_argument, NULL, 'd' }, { 0 } };
	int c;

	data[0] = '\0';
	*json = false;
	optind = 1;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'j')
			*json = true;
		else if (c == 'd')
			snprintf(data, n, "%s", optarg);
		else
			goto wrong;
	}
	if (data[0] ? optind != argc : optind + 1 != argc)
		goto wrong;
	if (!data[0] && client_data(argv[optind], data, n) < 0)
		return EX_NOINPUT;
	return 0;
wrong:
	fputs(usage, stderr);
	return EX_USAGE;
}

int cli_status(int argc, char **argv)
{
	struct buf answer = BUF_INIT;
	struct arena *a;
	const struct node *tree;
	char data[4096];
	bool json;
	int status = options(argc, argv, "usage: sluice status [--json] FILE | --data FOLDER\n", data, sizeof data, &json);

	if (status == 0)
		status = client_ask(data, "{\"command\":\"status\"}", &answer);
	if (status != 0) {
		buf_fini(&answer);
		return status;
	}
	if (json) {
		fwrite(answer.p, 1, answer.len, stdout);
	} else {
		a = arena_new();
		tree = answer_tree(a, &answer);
		if (tree) {
			print_status(tree);
		} else {
			fputs("sluice: the answer is cut\n", stderr);
			status = EX_PROTOCOL;
		}
		arena_free(a);
	}
	buf_fini(&answer);
	return status;
}

/* Asks, and waits for what came of it. */
int cli_reload(int argc, char **argv)
{
	struct buf answer = BUF_INIT;
	struct arena *a = arena_new();
	char data[4096];
	double tried = -1;
	bool json, ok = false;
	int status = options(argc, argv, "usage: sluice reload FILE | --data FOLDER\n", data, sizeof data, &json);

	for (unsigned i = 0; status == 0 && i < 600; i++) {
		const struct node *reload;

		buf_clear(&answer);
		status = client_ask(data, "{\"command\":\"status\"}", &answer);
		if (status != 0)
			break;
		reload = node_get(answer_tree(a, &answer), "reload");
		if (i == 0) {
			tried = number(reload, "tried");
			buf_clear(&answer);
			status = client_ask(data, "{\"command\":\"reload\"}", &answer);
		} else if (number(reload, "tried") > tried) {
			ok = strcmp(text(reload, "ok"), "true") == 0;
			if (node_get(reload, "problems"))
				fputs(text(reload, "problems"), stderr);
			printf("%s: %s\n", ok ? "reloaded" : "refused, the plan in force is unchanged", text(reload, "text"));
			if (!ok)
				status = EX_CONFIG;
			goto out;
		}
		usleep(i < 20 ? 10000 : 100000);
	}
	if (status == 0) {
		fputs("sluice: no result after 60 s; see the log\n", stderr);
		status = EX_TEMPFAIL;
	}
out:
	buf_fini(&answer);
	arena_free(a);
	return status;
}
