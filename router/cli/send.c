/* send.c - `sluice send`: NDJSON into a channel, at any pace, until each message is taken or refused. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/send.h"
#include "spec/scalar.h"

#define BATCH_MAX 100000
#define CONNECTIONS_MAX 256

static const char help[] =
	"usage: sluice send FILE|- --to URL [OPTION…]\n"
	"\n"
	"Sends NDJSON (a message on each line) or CSV into a channel, until each message is taken or refused: over HTTP as JSON arrays,\n"
	"else line by line, or a message a datagram.\n"
	"The messages of one device keep their order. What was not answered is sent again.\n"
	"\n"
	"  --to URL             the channel: http://host:port/path, https://…, tcp://host:port, tcps://…, unix:///path, udp://host:port,\n"
	"                       file:///path (lines are appended), or mqtt://host/topic, mqtts://… ({ident} in the topic is the message's)\n"
	"  --acknowledge        the channel answers each line (`acknowledge: line`): wait for that, and send again what was not answered\n"
	"  --csv                FILE is CSV, the first row names the parameters (as is a FILE that ends in .csv)\n"
	"  --batch N            messages in a request (100)\n"
	"  --connections N      how many at once (1); a device keeps to one\n"
	"  --rate N/s           messages a second (200/s, 6000/m); as fast as can be if not given\n"
	"  --recorded [SPEED]   at the distances of their `timestamp`, so many times faster (1)\n"
	"  --loop N             read FILE so many times (1); 0 is until ctrl-C\n"
	"  --token T            Authorization: Bearer T\n"
	"  --header 'K: V'      any other header; may be repeated\n"
	"  --ca FILE            certificates to trust instead of the system's\n"
	"  --patience TIME      how long a request is tried again while the channel is away or busy (5m)\n"
	"  --json               the result as one JSON object\n"
	"\n"
	"Exit status: 0 all were taken; 65 some were refused, or lines were no messages (each is told with its line);\n"
	"69 the channel was not reached within patience; 77 it wants other credentials; 130 ended by a signal.\n"
	"\n"
	"examples:\n"
	"  sluice send tracks.ndjson --to http://127.0.0.1:8080/messages\n"
	"  sluice send tracks.ndjson --to https://in.example.com/messages --token \"$TOKEN\" --rate 200/s\n"
	"  sluice send fleet.csv --to tcp://127.0.0.1:7000 --acknowledge\n"
	"  sluice send day.ndjson --to http://127.0.0.1:8080/messages --recorded 60    # an hour in a minute\n"
	"  gps-source | sluice send - --to http://127.0.0.1:8080/messages\n";

volatile int send_interrupted;

static void on_signal(int number)
{
	send_interrupted = number;
}

static int wrong(const char *option, const char *value, const char *expected)
{
	fprintf(stderr, "sluice send: --%s %s: expected %s\n", option, value, expected);
	return EX_USAGE;
}

static int number(const char *text, int64_t least, int64_t most, int64_t *v)
{
	return scalar_int(text, v) < 0 || *v < least || *v > most ? -1 : 0;
}

static int option_header(struct send *s, const char *name, const char *value)
{
	struct buf line = BUF_INIT;

	buf_addf(&line, "%s%s", name, value);
	if (strpbrk(line.p, "\r\n") || !strchr(line.p, ':')) {
		buf_fini(&line);
		return wrong("header", value, "NAME: VALUE on one line");
	}
	s->headers = curl_slist_append(s->headers, line.p);
	buf_fini(&line);
	return 0;
}

/* Without user:password, which is not to be shown. */
static char *target_of(const char *url)
{
	const char *host = strstr(url, "://") + 3, *at = host + strcspn(host, "/?#");
	struct buf b = BUF_INIT;

	while (at > host && at[-1] != '@')
		at--;
	buf_add(&b, url, (size_t)(host - url));
	buf_adds(&b, at > host ? at : host);
	return buf_take(&b);
}

static bool way_of(struct send *s)
{
	static const struct { const char *scheme; enum send_way way; } ways[] = {
		{ "http://", SEND_HTTP }, { "https://", SEND_HTTP }, { "tcp://", SEND_STREAM }, { "tcps://", SEND_STREAM }, { "unix://", SEND_STREAM },
		{ "udp://", SEND_DATAGRAMS }, { "file://", SEND_FILE }, { "mqtt://", SEND_MQTT }, { "mqtts://", SEND_MQTT },
	};

	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
		if (strncmp(s->url, ways[i].scheme, strlen(ways[i].scheme)) == 0) {
			s->way = ways[i].way;
			return true;
		}
	return false;
}

/* 0, an exit status, or -1 when there is nothing left to do. */
static int options(struct send *s, int argc, char **argv)
{
	enum { TO = 256, ACKNOWLEDGE, CSV, BATCH, CONNECTIONS, RATE, RECORDED, LOOP, TOKEN, HEADER, CA, PATIENCE, JSON };
	static const struct option longs[] = {
		{ "to", required_argument, NULL, TO }, { "acknowledge", no_argument, NULL, ACKNOWLEDGE }, { "csv", no_argument, NULL, CSV }, { "batch", required_argument, NULL, BATCH },
		{ "connections", required_argument, NULL, CONNECTIONS }, { "rate", required_argument, NULL, RATE },
		{ "recorded", optional_argument, NULL, RECORDED }, { "loop", required_argument, NULL, LOOP },
		{ "token", required_argument, NULL, TOKEN }, { "header", required_argument, NULL, HEADER }, { "ca", required_argument, NULL, CA },
		{ "patience", required_argument, NULL, PATIENCE }, { "json", no_argument, NULL, JSON }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int64_t v;
	int o;

	optind = 0;
	while ((o = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (o) {
		case TO:
			s->url = optarg;
			break;
		case ACKNOWLEDGE:
			s->acknowledge = true;
			break;
		case CSV:
			s->csv = true;
			break;
		case BATCH:
			if (number(optarg, 1, BATCH_MAX, &v) < 0)
				return wrong("batch", optarg, "a number from 1 to 100000");
			s->batch = (unsigned)v;
			break;
		case CONNECTIONS:
			if (number(optarg, 1, CONNECTIONS_MAX, &v) < 0)
				return wrong("connections", optarg, "a number from 1 to 256");
			s->connections = (unsigned)v;
			break;
		case RATE:
			if ((scalar_rate(optarg, &s->rate) < 0 && scalar_number(optarg, &s->rate) < 0) || !(s->rate > 0))
				return wrong("rate", optarg, "a rate, as 200/s or 6000/m");
			break;
		case RECORDED:
			/* `--recorded 60` as well as `--recorded=60`. */
			s->speed = 1;
			if (!optarg && optind < argc && scalar_number(argv[optind], &s->speed) == 0)
				optind++;
			else if (optarg && scalar_number(optarg, &s->speed) < 0)
				s->speed = 0;
			if (!(s->speed > 0))
				return wrong("recorded", optarg ? optarg : argv[optind - 1], "a number above 0");
			break;
		case LOOP:
			if (number(optarg, 0, INT32_MAX, &s->loop) < 0)
				return wrong("loop", optarg, "a number, 0 for ever");
			break;
		case TOKEN:
			if (option_header(s, "Authorization: Bearer ", optarg) != 0)
				return EX_USAGE;
			break;
		case HEADER:
			if (option_header(s, "", optarg) != 0)
				return EX_USAGE;
			break;
		case CA:
			s->ca = optarg;
			break;
		case PATIENCE:
			if (scalar_duration(optarg, &s->patience_us) < 0)
				return wrong("patience", optarg, "a time, as 30s or 5m");
			break;
		case JSON:
			s->json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return -1;
		default:
			fputs("sluice send --help says more\n", stderr);
			return EX_USAGE;
		}
	}
	if (optind != argc - 1) {
		fputs(optind < argc ? "sluice send: one FILE at a time\n" : "sluice send: which FILE? (- is stdin)\n", stderr);
		return EX_USAGE;
	}
	s->file = argv[optind];
	if (!s->url) {
		fputs("sluice send: where to? as in --to http://127.0.0.1:8080/messages\n", stderr);
		return EX_USAGE;
	}
	if (!way_of(s))
		return wrong("to", s->url, "a URL that begins with http://, https://, tcp://, tcps://, unix://, udp://, file://, mqtt:// or mqtts://");
	s->csv |= strlen(s->file) > 4 && strcmp(s->file + strlen(s->file) - 4, ".csv") == 0;
	s->target = target_of(s->url);
	return 0;
}

/* What messages go in. */
static const char *parts(const struct send *s, uint64_t n)
{
	if (s->way == SEND_HTTP)
		return n == 1 ? "request" : "requests";
	return n == 1 ? "batch" : "batches";
}

static void report(struct send *s)
{
	const struct send_counts *c = &s->counts;
	double seconds = (double)(clock_mono_us() - s->began_us) * 1e-6, rate = (double)c->taken / seconds;
	char text[32];

	if (s->json) {
		struct buf b = BUF_INIT;
		struct map_slot *slot;
		bool first = true;

		buf_addf(&b, "{\"messages\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"taken\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"bad\":%" PRIu64
			",\"unsent\":%" PRIu64 ",\"again\":%" PRIu64 ",\"seconds\":%.3f,\"rate\":%.1f,\"reasons\":{",
			c->messages, c->requests, c->taken, c->refused, c->bad, c->unsent, c->again, seconds, rate);
		for (size_t i = 0; (slot = map_next(&s->reasons, &i)); first = false) {
			const struct send_reason *r = slot->value;
			buf_adds(&b, first ? "" : ",");
			buf_addjson(&b, r->text, strlen(r->text));
			buf_addf(&b, ":%" PRIu64, r->n);
		}
		printf("%s}}\n", b.p);
		buf_fini(&b);
		return;
	}
	printf("sent %" PRIu64 " message%s in %" PRIu64 " %s: %" PRIu64 " taken, %" PRIu64 " refused", c->taken + c->refused,
		c->taken + c->refused == 1 ? "" : "s", c->requests, parts(s, c->requests), c->taken, c->refused);
	if (c->bad)
		printf(", %" PRIu64 " bad line%s", c->bad, c->bad == 1 ? "" : "s");
	if (c->unsent)
		printf(", %" PRIu64 " not sent", c->unsent);
	if (c->again)
		printf(", %" PRIu64 " %s sent again", c->again, parts(s, c->again));
	printf(", %s/s\n", send_number(rate, text));
}

static void send_free(struct send *s)
{
	struct map_slot *slot;

	for (size_t i = 0; (slot = map_next(&s->reasons, &i));) {
		struct send_reason *r = slot->value;
		free(r->text);
		free(r);
	}
	map_fini(&s->reasons);
	curl_slist_free_all(s->headers);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->room);
	free(s->target);
}

/* The lanes' threads have them blocked, so that a signal ends the reader's wait. The second one ends the process. */
static int start(struct send *s)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
	sigset_t ends;
	int status;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	status = send_lanes_start(s);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	pthread_sigmask(SIG_UNBLOCK, &ends, NULL);
	return status;
}

int cli_send(int argc, char **argv)
{
	struct send s = { .batch = 100, .connections = 1, .loop = 1, .patience_us = INT64_C(300000000), .fd = -1 };
	int status;

	pthread_mutex_init(&s.lock, NULL);
	pthread_cond_init(&s.room, NULL);
	map_init(&s.reasons);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	status = options(&s, argc, argv);
	if (status == 0) {
		s.headers = curl_slist_append(s.headers, "Content-Type: application/json");
		s.headers = curl_slist_append(s.headers, "Expect:"); /* no question before each large body */
		s.terminal = isatty(STDERR_FILENO);
		s.began_us = clock_mono_us();
		status = start(&s);
		if (status != 0)
			return status; /* lanes that did start end with the process */
		status = send_read(&s);
		send_lanes_end(&s);
		if (status != EX_NOINPUT && status != EX_USAGE)
			report(&s);
		if (status == 0 && s.status != 0)
			status = s.status;
		else if (status == 0 && send_interrupted)
			status = 128 + send_interrupted;
		else if (status == 0 && s.counts.refused + s.counts.bad > 0)
			status = EX_DATAERR;
		if (fflush(stdout) != 0 && status == 0)
			status = EX_IOERR;
	}
	send_free(&s);
	curl_global_cleanup();
	return status < 0 ? 0 : status;
}
