/* sink.c - `sluice sink`: a destination to try things on. It says what it got, and answers as it was told.
 *
 * One loop, one listener, the HTTP server of the router itself. On SIGTERM it takes nothing new, gives the answers it owes, and
 * tells the totals: a sender that was told 200 finds its messages in them. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/sink.h"
#include "cli/sink_stream.h"
#include "net/addr.h"
#include "spec/scalar.h"

#define ENDING_US 2000000 /* how long clients may take to fetch the last answers */
#define BODY_MAX (256u << 20)

static const char help[] =
	"usage: sluice sink [OPTION…]\n"
	"\n"
	"A destination to try things on: prints each message it gets on a line and answers that it is taken.\n"
	"\n"
	"  --as FORM             http, tcp (lines, each answered), wialon-retranslator or wialon-ips (http)\n"
	"  --listen ADDRESS      where to listen (127.0.0.1:9000), or unix:///path; with port 0 any free one; the first line says which\n"
	"  --quiet               do not print messages\n"
	"  --count               print how many came in each second instead of the messages\n"
	"  --out FILE            append the accepted messages to FILE, one on a line\n"
	"  --json                totals at the end as one JSON object\n"
	"\n"
	"How it answers:\n"
	"  --status N            answer N instead of 200\n"
	"  --delay TIME          answer so late (200ms, 2s)\n"
	"  --refuse FIELD=VALUE  answer 400 to a request that holds a message with this value; may be repeated\n"
	"  --once-per N          answer 503 to each Nth request; when it comes again, take it\n"
	"  --drop-after N        after N requests leave one without an answer and close its connection, and so on\n"
	"Over a connection these are for each message: tcp says `refused` for a --status from 300 on, and `retry` for 503 and --once-per;\n"
	"wialon-retranslator has no answer but yes, so anything else closes the connection, as what is put off does with wialon-ips.\n"
	"\n"
	"SIGUSR1 turns 503 for everything on, and off again. SIGTERM or ctrl-C ends it and prints totals: `accepted` and\n"
	"`refused` count messages (a body that is not JSON counts as one), and so do the paths, accepted messages alone.\n"
	"\n"
	"examples:\n"
	"  sluice sink --listen 127.0.0.1:9000\n"
	"  sluice sink --delay 2s --once-per 10            # a slow platform that stumbles\n"
	"  sluice sink --drop-after 20                     # a bad night\n"
	"  sluice sink --as wialon-retranslator --listen 127.0.0.1:20163\n"
	"  sluice sink --refuse ident=352093081234567      # one device is not welcome\n"
	"  sluice sink --quiet --json --out received.ndjson\n";

static int wrong(const char *option, const char *value, const char *expected)
{
	fprintf(stderr, "sluice sink: --%s %s: expected %s\n", option, value, expected);
	return EX_USAGE;
}

static int option_refuse(struct sink *s, char *text)
{
	char *equals = strchr(text, '=');

	if (!equals || equals == text)
		return wrong("refuse", text, "FIELD=VALUE, as in ident=352093081234567");
	if (s->nrefuse == SINK_REFUSE_MAX) {
		fprintf(stderr, "sluice sink: --refuse may stand %d times\n", SINK_REFUSE_MAX);
		return EX_USAGE;
	}
	*equals = '\0';
	s->refuse[s->nrefuse].field = text;
	s->refuse[s->nrefuse++].value = equals + 1;
	return 0;
}

/* 0, an exit status, or -1 when there is nothing left to do. */
static int options(struct sink *s, int argc, char **argv)
{
	enum { LISTEN = 256, AS, STATUS, DELAY, DROP_AFTER, REFUSE, ONCE_PER, QUIET, COUNT, JSON, OUT };
	static const struct option longs[] = {
		{ "listen", required_argument, NULL, LISTEN }, { "as", required_argument, NULL, AS }, { "status", required_argument, NULL, STATUS },
		{ "delay", required_argument, NULL, DELAY }, { "drop-after", required_argument, NULL, DROP_AFTER },
		{ "refuse", required_argument, NULL, REFUSE }, { "once-per", required_argument, NULL, ONCE_PER },
		{ "quiet", no_argument, NULL, QUIET }, { "count", no_argument, NULL, COUNT }, { "json", no_argument, NULL, JSON },
		{ "out", required_argument, NULL, OUT }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	int64_t v;
	int o, status;

	optind = 0;
	while ((o = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (o) {
		case LISTEN:
			s->listen = optarg;
			break;
		case AS:
			s->as = sink_form(optarg);
			if (!s->as && strcmp(optarg, "http") != 0)
				return wrong("as", optarg, "http, tcp, wialon-retranslator or wialon-ips");
			break;
		case STATUS:
			if (scalar_int(optarg, &v) < 0 || v < 200 || v > 599)
				return wrong("status", optarg, "a number from 200 to 599");
			s->status = (int)v;
			break;
		case DELAY:
			if (scalar_duration(optarg, &s->delay_us) < 0)
				return wrong("delay", optarg, "a time, as 200ms or 2s");
			break;
		case DROP_AFTER:
			if (scalar_int(optarg, &s->drop_after) < 0 || s->drop_after < 0)
				return wrong("drop-after", optarg, "a number of requests");
			break;
		case REFUSE:
			if ((status = option_refuse(s, optarg)) != 0)
				return status;
			break;
		case ONCE_PER:
			if (scalar_int(optarg, &v) < 0 || v < 1)
				return wrong("once-per", optarg, "a number of requests, 1 or more");
			s->once_per = (uint64_t)v;
			break;
		case QUIET:
			s->quiet = true;
			break;
		case COUNT:
			s->count = true;
			break;
		case JSON:
			s->json = true;
			break;
		case OUT:
			s->out_name = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			return -1;
		default:
			fputs("sluice sink --help says more\n", stderr);
			return EX_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "sluice sink: unexpected `%s`; sluice sink --help says more\n", argv[optind]);
		return EX_USAGE;
	}
	return 0;
}

static void on_accept(int fd, const char *peer, void *arg)
{
	struct sink *s = arg;

	(void)peer;
	s->connections++;
	if (s->as)
		sink_stream_new(s, fd);
	else
		http_conn_new(s->loop, &s->service, fd, peer);
}

static void on_drained(struct http_service *service, void *arg)
{
	struct sink *s = arg;

	(void)service;
	event_base_loopexit(s->base, NULL);
}

static void on_end(evutil_socket_t signal_number, short what, void *arg)
{
	struct sink *s = arg;
	struct timeval patience = { .tv_sec = (s->delay_us + ENDING_US) / 1000000, .tv_usec = s->delay_us % 1000000 };

	(void)signal_number; (void)what;
	if (s->ending) {
		event_base_loopbreak(s->base);
		return;
	}
	s->ending = true;
	http_listener_free(s->listener);
	s->listener = NULL;
	sink_streams_drain(s);
	if (http_service_drain(s->loop, &s->service) == 0 && !s->streams)
		event_base_loopbreak(s->base);
	else
		event_base_loopexit(s->base, &patience);
}

static void on_toggle(evutil_socket_t signal_number, short what, void *arg)
{
	struct sink *s = arg;
	char now[16];

	(void)signal_number; (void)what;
	s->down = !s->down;
	fprintf(stderr, "%s now answering %d\n", sink_time(now), s->down ? 503 : s->status ? s->status : 200);
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct sink *s = arg;
	uint64_t all = s->accepted + s->refused;
	char now[16];

	(void)fd; (void)what;
	if (all == s->told)
		return;
	printf("%s +%" PRIu64 " messages: %" PRIu64 " accepted, %" PRIu64 " refused in %" PRIu64 " requests\n", sink_time(now), all - s->told,
		s->accepted, s->refused, s->requests);
	s->told = all;
	if (fflush(stdout) != 0)
		event_base_loopbreak(s->base);
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct sink_path *const *)a)->name, (*(struct sink_path *const *)b)->name);
}

static void totals(struct sink *s)
{
	struct sink_path **paths = xcalloc(s->paths.n + 1, sizeof *paths);
	struct map_slot *slot;
	size_t n = 0;
	int width = 8;

	for (size_t i = 0; (slot = map_next(&s->paths, &i));)
		paths[n++] = slot->value;
	qsort(paths, n, sizeof *paths, by_name);
	if (s->json) {
		struct buf b = BUF_INIT;

		buf_addf(&b, "{\"accepted\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"connections\":%" PRIu64
			",\"dropped\":%" PRIu64 ",\"paths\":{", s->accepted, s->refused, s->requests, s->connections, s->dropped);
		for (size_t i = 0; i < n; i++) {
			buf_adds(&b, i ? "," : "");
			buf_addjson(&b, paths[i]->name, strlen(paths[i]->name));
			buf_addf(&b, ":%" PRIu64, paths[i]->accepted);
		}
		printf("%s}}\n", b.p);
		buf_fini(&b);
	} else {
		for (size_t i = 0; i < n; i++)
			width = (int)strlen(paths[i]->name) > width ? (int)strlen(paths[i]->name) : width;
		printf("\n%-*s %10s\n", width, "path", "accepted");
		for (size_t i = 0; i < n; i++)
			printf("%-*s %10" PRIu64 "\n", width, paths[i]->name, paths[i]->accepted);
		printf("\n%" PRIu64 " messages accepted, %" PRIu64 " refused in %" PRIu64 " requests on %" PRIu64 " connections", s->accepted,
			s->refused, s->requests, s->connections);
		if (s->dropped)
			printf("; %" PRIu64 " requests left without an answer", s->dropped);
		putchar('\n');
	}
	fflush(stdout);
	free(paths);
}

static int sink_open(struct sink *s)
{
	struct addr a;
	char why[200], address[ADDR_TEXT_MAX];
	int fd;

	if (addr_parse(&a, s->listen, why, sizeof why) < 0 || a.udp) {
		fprintf(stderr, "sluice sink: --listen %s\n", a.udp ? "expected a TCP address" : why);
		return EX_USAGE;
	}
	if (s->out_name && !(s->out = fopen(s->out_name, "a"))) {
		fprintf(stderr, "sluice sink: %s: %s\n", s->out_name, strerror(errno));
		return EX_CANTCREAT;
	}
	fd = addr_listen(&a, why, sizeof why);
	if (fd < 0) {
		fprintf(stderr, "sluice sink: %s: %s\n", s->listen, why);
		return EX_UNAVAILABLE;
	}
	s->listener = http_listener_new(s->base, fd, &(struct http_listener_config){ .object = "sink", .silent = s->as != NULL, .on_accept = on_accept, .arg = s });
	addr_format((struct sockaddr *)&a.sa, address);
	char *colon = strrchr(address, ':');
	if (a.local)
		printf("listening on %s\n", address);
	else
		printf("listening on %s://%.*s:%u%s\n", s->as ? "tcp" : "http", (int)(colon - address), address, http_listener_port(s->listener), s->as ? "" : "/");
	fflush(stdout);
	return 0;
}

static void sink_close(struct sink *s)
{
	struct map_slot *slot;

	while (s->late)
		sink_late_free(s->late);
	sink_streams_free(s);
	http_listener_free(s->listener);
	http_loop_free(s->loop);
	event_base_free(s->base);
	if (s->out)
		fclose(s->out);
	for (size_t i = 0; (slot = map_next(&s->paths, &i));) {
		struct sink_path *p = slot->value;
		free(p->name);
		free(p);
	}
	map_fini(&s->paths);
	umap_fini(&s->once);
	index_fini(&s->ix);
	buf_fini(&s->lines);
	buf_fini(&s->text);
	buf_fini(&s->scratch);
}

int cli_sink(int argc, char **argv)
{
	struct sink s = { .listen = "127.0.0.1:9000", .drop_after = -1 };
	struct { int number; event_callback_fn call; } signals[] = { { SIGTERM, on_end }, { SIGINT, on_end }, { SIGUSR1, on_toggle } };
	struct event *events[4] = { NULL };
	const struct timeval second = { .tv_sec = 1 };
	int status = options(&s, argc, argv);

	if (status != 0)
		return status < 0 ? 0 : status;
	log_setup(LOG_WARN, LOG_LOGFMT);
	signal(SIGPIPE, SIG_IGN);
	const char *plain = getenv("NO_COLOR");
	s.colour = isatty(STDOUT_FILENO) && !(plain && *plain);
	index_init(&s.ix);
	map_init(&s.paths);
	umap_init(&s.once);
	s.base = event_base_new();
	s.loop = http_loop_new(s.base);
	s.service = (struct http_service){ .limits = HTTP_LIMITS_DEFAULT, .on_request = sink_request, .on_drained = on_drained, .arg = &s };
	s.service.limits.parse.body = BODY_MAX;
	s.service.limits.idle_us = INT64_C(86400000000); /* whoever tries things on may take a pause */
	for (size_t i = 0; i < 3; i++) {
		events[i] = evsignal_new(s.base, signals[i].number, signals[i].call, &s);
		event_add(events[i], NULL);
	}
	if (s.count) {
		events[3] = event_new(s.base, -1, EV_PERSIST, on_second, &s);
		event_add(events[3], &second);
	}
	status = sink_open(&s);
	if (status == 0) {
		event_base_dispatch(s.base);
		totals(&s);
	}
	if (status == 0 && (ferror(stdout) || (s.out && ferror(s.out)))) {
		fputs("sluice sink: not all could be written\n", stderr);
		status = EX_IOERR;
	}
	for (size_t i = 0; i < 4; i++)
		if (events[i])
			event_free(events[i]);
	sink_close(&s);
	return status;
}
