/* What a script costs: CPU nanoseconds per message of 38 fields and 860 bytes, index and the making of the bytes included.
 *
 *   make tests/bench/bench_lua && tests/bench/bench_lua [MESSAGES [NUMBER OF THE SCRIPT]]
 *
 * Each script runs through scripts_render, as a worker calls it: budgets, hook, counters and traceback handler are in the figures. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "message/message.h"
#include "plan/plan.h"
#include "spec/diag.h"
#include "transforms/host.h"
#include "transforms/vm.h"

#define DEVICES 1000
#define ROUNDS 7

/* A script's body, or what is in the program already: `is` names the adapter. `state` is what it kept of the device. */
static const struct { const char *name, *body, *is, *state; } scripts[] = {
	{ "no-op", "return msg", NULL, NULL },
	{ "filter on one field", "if msg['position.speed'] > 60 then return msg end return nil, 'slow'", NULL, NULL },
	{ "reads of 4 fields, 1 write", "msg.overspeed = msg['position.speed'] > 90 and msg['engine.ignition.status'] and msg['position.valid'] and msg.ident ~= '' "
				       "return msg", NULL, NULL },
	{ "new table of 11 fields", "return {id = msg.ident, ts = msg.timestamp, lat = msg['position.latitude'], lon = msg['position.longitude'],"
				    "alt = msg['position.altitude'], dir = msg['position.direction'], spd = msg['position.speed'],"
				    "sat = msg['position.satellites'], ign = msg['engine.ignition.status'], odo = msg['can.vehicle.mileage'],"
				    "mph = msg['position.speed'] * 0.621371}", NULL, NULL },
	{ "10 renames, field by field",
	  "for old, new in pairs(names) do msg[new] = msg[old] msg[old] = nil end return msg", NULL, NULL },
	{ "10 renames, written out",
	  "msg.lat = msg['position.latitude'] msg['position.latitude'] = nil msg.lon = msg['position.longitude'] msg['position.longitude'] = nil "
	  "msg.alt = msg['position.altitude'] msg['position.altitude'] = nil msg.dir = msg['position.direction'] msg['position.direction'] = nil "
	  "msg.spd = msg['position.speed'] msg['position.speed'] = nil msg.sat = msg['position.satellites'] msg['position.satellites'] = nil "
	  "msg.id = msg.ident msg.ident = nil msg.ts = msg.timestamp msg.timestamp = nil "
	  "msg.ign = msg['engine.ignition.status'] msg['engine.ignition.status'] = nil msg.odo = msg['can.vehicle.mileage'] msg['can.vehicle.mileage'] = nil "
	  "return msg", NULL, NULL },
	{ "10 renames, msg:rename", "return msg:rename(names)", NULL, NULL },
	{ "drop of 5, msg:drop", "return msg:drop(dropped)", NULL, NULL },
	{ "pick of 8, msg:pick", "return msg:pick(picked)", NULL, NULL },
	{ "text by string.format", "return string.format('%s;%d;%.6f;%.6f', msg.ident, msg.timestamp // 1 | 0, msg['position.latitude'], msg['position.longitude'])", NULL, NULL },
	{ "e-toll", NULL, "e-toll", "{\"fix\":true,\"ignition\":true,\"since\":1700000000}" },
	{ "no-op, state looked at", "if ctx.state.on == 5 then return nil, 'never' end return msg", NULL, "{\"n\":41,\"on\":true}" },
	{ "no-op, state changed", "local s = ctx.state s.n = s.n + msg.timestamp // 1 | 0 return msg", NULL, "{\"n\":41,\"on\":true}" },
};

static const char before[] =
	"local names = {['position.latitude'] = 'lat', ['position.longitude'] = 'lon', ['position.altitude'] = 'alt', ['position.direction'] = 'dir',"
	"['position.speed'] = 'spd', ['position.satellites'] = 'sat', ident = 'id', timestamp = 'ts', ['engine.ignition.status'] = 'ign',"
	"['can.vehicle.mileage'] = 'odo'}\n"
	"local dropped = {'gsm.*', 'peer', 'din', 'dout', 'driver.id'}\n"
	"local picked = {'ident', 'timestamp', 'position.latitude', 'position.longitude', 'position.speed', 'position.valid', 'din', 'peer'}\n";

static void make_message(struct buf *b, unsigned dev)
{
	buf_addf(b, "{\"ident\":\"3520930%08u\",\"message.id\":%010u,\"device.id\":%u,\"device.name\":\"Truck %04u\",\"device.type.id\":546,\"channel.id\":%u,"
		"\"protocol.id\":14,\"peer\":\"10.23.%u.%u:40122\",\"timestamp\":1732300000.123,\"server.timestamp\":1732300000.456,", dev, 1000000000 + dev,
		4000000 + dev, dev, 1100 + dev % 20, dev >> 8 & 255, dev & 255);
	buf_addf(b, "\"position.latitude\":%.6f,\"position.longitude\":%.6f,\"position.altitude\":112,\"position.direction\":%u,\"position.speed\":%u,"
		"\"position.satellites\":14,\"position.hdop\":0.8,\"position.valid\":true,\"engine.ignition.status\":true,\"movement.status\":true,",
		54.687157 + dev * 1e-4, 25.279652 + dev * 1e-4, dev % 360, 30 + dev % 60);
	buf_addf(b, "\"external.powersource.voltage\":27.812,\"battery.voltage\":4.052,\"battery.current\":0,\"gsm.signal.level\":80,\"gsm.mcc\":246,\"gsm.mnc\":1,"
		"\"gsm.cellid\":%u,\"gsm.lac\":2321,\"gsm.operator.code\":\"24601\",\"gnss.status\":true,\"din\":1,\"dout\":0,\"can.engine.rpm\":1420,"
		"\"can.fuel.level\":63.5,\"can.vehicle.mileage\":182311.42,\"ble.sensor.temperature.1\":-4.25,\"event.enum\":0,\"driver.id\":null}",
		10000 + dev);
}

static double cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* What each adapter costs each worker beside its own tables. */
static void bench_state(void)
{
	enum { N = 20 };
	struct vm_limits limits = vm_limits_of(1 << 20, 20000);
	struct vm *vms[N];
	double from = cpu_ns();

	for (int i = 0; i < N; i++)
		vms[i] = vm_new(&limits);
	printf("(a Lua state: %zu bytes, %.2f ms of CPU)\n", vms[0]->heap, (cpu_ns() - from) / N / 1e6);
	for (int i = 0; i < N; i++)
		vm_free(vms[i]);
}

int main(int argc, char **argv)
{
	unsigned messages = argc > 1 ? (unsigned)atoi(argv[1]) : 20000, n = sizeof(scripts) / sizeof(scripts[0]);
	char dir[] = "/tmp/bench-lua-XXXXXX", path[128], why[1024];
	struct rendering renderings[sizeof(scripts) / sizeof(scripts[0])];
	struct step steps[sizeof(scripts) / sizeof(scripts[0])];
	char names[sizeof(scripts) / sizeof(scripts[0])][8], states[sizeof(scripts) / sizeof(scripts[0])][128];
	struct plan plan = { .settings = { .limit_message = 1 << 20, .limit_script_us = 20000 }, .renderings = renderings, .nrenderings = n };
	struct buf text[DEVICES];
	struct index ix;
	struct rows rows;
	uint64_t sum = 0;
	int only = argc > 2 ? atoi(argv[2]) : -1;

	if (!mkdtemp(dir))
		return 1;
	for (unsigned i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "s%u", i);
		steps[i] = (struct step){ .adapter = scripts[i].is ? scripts[i].is : names[i] };
		renderings[i] = (struct rendering){ .ix = i, .nsteps = 1, .steps = &steps[i] };
		states[i][0] = '\0';
		if (scripts[i].state)
			snprintf(states[i], sizeof(states[i]), "{\"%s\":%s}", steps[i].adapter, scripts[i].state);
		if (scripts[i].is)
			continue;
		snprintf(path, sizeof(path), "%s/%s.lua", dir, names[i]);
		FILE *f = fopen(path, "w");
		if (!f)
			return 1;
		fprintf(f, "%s return {%stransform = function(msg, ctx) %s end}\n", before, scripts[i].state ? "state = {n = 'integer', on = 'boolean'}, " : "",
			scripts[i].body);
		fclose(f);
	}
	struct diag *d = diag_new();
	struct adapters *a = adapters_open((const char *const[]){ dir }, 1, d);
	struct scripts *s = scripts_new(a, &plan, why, sizeof(why));
	if (!s) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	for (unsigned i = 0; i < DEVICES; i++) {
		buf_init(&text[i]);
		make_message(&text[i], i);
		buf_reserve(&text[i], MESSAGE_PAD);
	}
	index_init(&ix);
	rows_init(&rows);
	printf("%-32s %8s %8s %8s   (ns of CPU per message, %d rounds of %u)\n", "", "median", "min", "max", ROUNDS, messages);
	for (int k = only; k < (only < 0 ? (int)n : only + 1) && k < (int)n; k++) {
		double took[ROUNDS];
		for (int round = -1; round < ROUNDS; round++) {
			double from = cpu_ns();
			for (unsigned i = 0; i < messages; i++) {
				struct buf *b = &text[i % DEVICES];
				struct message m;
				const char *stop;
				struct call c = { .stream = "bench", .id = i, .ident = b->p + 10, .ident_len = 15, .now_us = 1732300001000000 };
				if (k >= 0 && states[k][0]) {
					c.state = states[k];
					c.state_len = strlen(c.state);
				}
				if (message_index(&ix, b->p, b->p + b->len, &m, &stop) != JSON_OK)
					return 1;
				if (k < 0) {
					sum += m.n;
					continue;
				}
				if (scripts_render(s, &renderings[k], &m, &c, &rows, why, sizeof(why)) == RENDER_FAILED) {
					fprintf(stderr, "%s: %s\n", scripts[k].name, why);
					return 1;
				}
				sum += rows.bytes.len;
			}
			if (round >= 0)
				took[round] = (cpu_ns() - from) / messages;
		}
		qsort(took, ROUNDS, sizeof(took[0]), by_value);
		printf("%-32s %8.0f %8.0f %8.0f\n", k < 0 ? "index alone" : scripts[k].name, took[ROUNDS / 2], took[0], took[ROUNDS - 1]);
	}
	printf("(%zu bytes a message; sum %" PRIu64 ")\n", text[0].len, sum);
	for (unsigned i = 0; i < DEVICES; i++)
		buf_fini(&text[i]);
	bench_state();
	rows_fini(&rows);
	index_fini(&ix);
	scripts_free(s);
	adapters_free(a);
	diag_free(d);
	for (unsigned i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s.lua", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
	return 0;
}
