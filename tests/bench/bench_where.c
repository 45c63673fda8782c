/* What a message costs in a condition and in `fields:`, beside what it costs to index it.
 *
 *   make tests/bench/bench_where && tests/bench/bench_where [SECONDS]
 *
 * The message has 38 fields and 900 bytes, as trackers send them; best of five rounds, CPU time of this thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "message/message.h"
#include "plan/fields.h"
#include "plan/where.h"
#include "spec/diag.h"
#include "spec/tree.h"

static const char json[] =
	"{\"ident\":\"352093081234567\",\"timestamp\":1795384973,\"server.timestamp\":1795384973.792816,\"channel.id\":429,\"device.id\":182083,"
	"\"device.name\":\"Vehicle 01\",\"device.type.id\":744,\"protocol.id\":14,\"peer\":\"185.213.2.10:59924\",\"battery.voltage\":3.938,"
	"\"external.powersource.voltage\":12.64,\"engine.ignition.status\":true,\"movement.status\":true,\"event.enum\":240,\"event.priority.enum\":0,"
	"\"gnss.state.enum\":1,\"gnss.status\":true,\"gsm.cellid\":11511,\"gsm.lac\":108,\"gsm.mcc\":257,\"gsm.mnc\":1,\"gsm.operator.code\":\"25701\","
	"\"gsm.signal.level\":80,\"position.altitude\":244,\"position.direction\":281,\"position.hdop\":0.3,\"position.pdop\":0.6,"
	"\"position.latitude\":33.5731104,\"position.longitude\":-7.5898434,\"position.satellites\":15,\"position.speed\":45,\"position.valid\":true,"
	"\"din\":9,\"din.1\":true,\"can.engine.rpm\":1450,\"can.fuel.level\":62,\"sleep.mode.enum\":0,\"vehicle.mileage\":36713.703}";

static struct arena *arena;
static struct diag *diag;
static struct message message;
static struct index ix;
static struct buf out;
static char room[sizeof(json) + MESSAGE_PAD];
static double seconds = 0.3;
static volatile unsigned sink;

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void measure(const char *name, void (*once)(void *arg), void *arg)
{
	double best = 1e9;

	for (int round = 0; round < 5; round++) {
		double from = cpu_now(), spent;
		unsigned n = 0;
		do {
			for (int i = 0; i < 1000; i++)
				once(arg);
			n += 1000;
			spent = cpu_now() - from;
		} while (spent < seconds / 5);
		if (spent / n < best)
			best = spent / n;
	}
	printf("%8.1f ns  %s\n", best * 1e9, name);
}

static void index_once(void *arg)
{
	const char *stop;

	(void)arg;
	sink += message_index(&ix, room, room + sizeof(json) - 1, &message, &stop) == JSON_OK;
}

static void where_once(void *arg)
{
	sink += where_true(arg, &message, 1795385003500000LL);
}

static void fields_once(void *arg)
{
	buf_clear(&out);
	fields_apply(arg, &message, &out);
	sink += (unsigned)out.len;
}

static void condition(const char *text)
{
	size_t len = strlen(text);
	struct source *s = source_new(arena, "bench", text, len, 0);
	struct node n = { .kind = NODE_SCALAR, .end_line = 1, .at = { s, 1, 1, (unsigned)len }, .text = text, .len = len };
	struct where *w = where_compile(arena, &n, diag);

	if (!w || !where_true(w, &message, 1795385003500000LL)) {
		diag_print(diag, &out, false);
		printf("%s: %s\n", text, w ? "is false" : out.p);
		exit(1);
	}
	measure(text, where_once, w);
}

static void fields(const char *yaml)
{
	struct node *map = tree_read_text(arena, "bench", yaml, strlen(yaml), 0, diag);
	struct fields *f = map ? fields_compile(arena, map, diag) : NULL;

	if (!f) {
		printf("%s is refused\n", yaml);
		exit(1);
	}
	measure(yaml, fields_once, f);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = atof(argv[1]);
	arena = arena_new();
	diag = diag_new();
	index_init(&ix);
	memcpy(room, json, sizeof(json) - 1);
	measure("index", index_once, NULL);
	printf("             (%u fields, %zu bytes)\n", message.n, message.len);
	condition("position.valid");
	condition("position.valid && exists('position.latitude')");
	condition("position.valid && position.speed > 5 && position.speed < 200 && position.satellites >= 4 && position.hdop < 2 && "
		  "engine.ignition.status && gsm.signal.level > 10 && vehicle.mileage > 100 && device.name == 'Veh*' && (din & 0x1) == 1");
	condition("device.name ~ '*HICLE 0*'");
	condition("if(exists('ain.1'), ain.1 > 5, bit(din, 3))");
	condition("hour(timestamp, 1) >= 6 || weekday(timestamp) > 5");
	condition("abs(position.altitude - 200) * 2 < 100 && tonumber(gsm.operator.code) == 25701");
	fields("{}");
	fields("{notation: snake}");
	fields("{notation: camel}");
	fields("{keep: [\"position.*\", ident, timestamp], rename: {ident: imei}}");
	fields("{notation: snake, keep: [ident, timestamp, position.latitude, position.longitude, position.speed, position.direction, position.altitude, "
	       "position.valid, engine.ignition.status, vehicle.mileage]}");
	fields("{drop: [\"gsm.*\", \"can.*\", \"*.enum\"], rename: {\"position.*\": \"gps.*\"}}");
	buf_fini(&out);
	index_fini(&ix);
	diag_free(diag);
	arena_free(arena);
	return 0;
}
