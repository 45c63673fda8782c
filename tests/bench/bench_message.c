/* bench_message.c - what the index, look-ups and stamps cost a message, beside memcpy of the same bytes.
 *
 * The message is a full tracker report, 38 fields. Each figure is the best of several rounds of processor time,
 * single messages and an array of a hundred. `make tests/bench/bench_message`, then run it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "message/body.h"
#include "message/scan.h"
#include "message/write.h"

#define COUNT 100
#define ROUNDS 40
#define TURNS 50

enum shape { COMPACT, SPACED, PRETTY };

static char *texts[COUNT];
static size_t lens[COUNT];
static struct buf list;

static void add_field(struct buf *b, enum shape shape, const char *key, const char *value)
{
	if (b->p[b->len - 1] != '{')
		buf_adds(b, shape == SPACED ? ", " : ",");
	buf_adds(b, shape == PRETTY ? "\n  \"" : "\"");
	buf_adds(b, key);
	buf_adds(b, shape == COMPACT ? "\":" : "\": ");
	buf_adds(b, value);
}

static void make_message(struct buf *b, unsigned i, enum shape shape)
{
	static const char *const keys[] = { "battery.current", "battery.voltage", "can.engine.rpm", "can.fuel.level", "can.vehicle.mileage",
		"device.type.id", "din", "dout", "driver.id", "engine.ignition.status", "event.enum", "external.powersource.voltage", "gnss.status",
		"gsm.cellid", "gsm.lac", "gsm.mcc", "gsm.mnc", "gsm.operator.code", "gsm.signal.level", "movement.status", "position.altitude",
		"position.hdop", "position.satellites", "position.valid", "protocol.id", "ble.sensor.temperature.1" };
	static const char *const values[] = { "0", "4.052", "1420", "63.5", "182311.42", "546", "1", "0", "null", "true", "0", "27.812", "true",
		"10023", "2321", "246", "1", "\"24601\"", "80", "true", "112", "0.8", "14", "true", "14", "-4.25" };
	char text[64];

	buf_adds(b, "{");
	snprintf(text, sizeof(text), "\"3520930%08u\"", i);
	add_field(b, shape, "ident", text);
	snprintf(text, sizeof(text), "%010u", 1000000000 + i);
	add_field(b, shape, "message.id", text);
	snprintf(text, sizeof(text), "%u", 4000000 + i);
	add_field(b, shape, "device.id", text);
	snprintf(text, sizeof(text), "\"Truck %04u\"", i);
	add_field(b, shape, "device.name", text);
	snprintf(text, sizeof(text), "%u", 1100 + i % 20);
	add_field(b, shape, "channel.id", text);
	snprintf(text, sizeof(text), "\"10.23.0.%u:40122\"", i);
	add_field(b, shape, "peer", text);
	add_field(b, shape, "timestamp", "1732300000.123");
	add_field(b, shape, "server.timestamp", "1732300000.456");
	snprintf(text, sizeof(text), "%.6f", 54.687157 + i * 1e-4);
	add_field(b, shape, "position.latitude", text);
	snprintf(text, sizeof(text), "%.6f", 25.279652 + i * 1e-4);
	add_field(b, shape, "position.longitude", text);
	snprintf(text, sizeof(text), "%u", i * 7 % 360);
	add_field(b, shape, "position.direction", text);
	snprintf(text, sizeof(text), "%u", 30 + i % 60);
	add_field(b, shape, "position.speed", text);
	for (size_t k = 0; k < sizeof(keys) / sizeof(*keys); k++)
		add_field(b, shape, keys[k], values[k]);
	buf_adds(b, "}");
}

static void make_all(enum shape shape)
{
	buf_clear(&list);
	buf_adds(&list, "[");
	for (unsigned i = 0; i < COUNT; i++) {
		struct buf b = BUF_INIT;
		make_message(&b, i, shape);
		lens[i] = b.len;
		if (i)
			buf_adds(&list, ",");
		buf_add(&list, b.p, b.len);
		buf_reserve(&b, MESSAGE_PAD);
		memset(b.p + b.len, 0, MESSAGE_PAD);
		free(texts[i]);
		texts[i] = buf_take(&b);
	}
	buf_adds(&list, "]");
	buf_reserve(&list, MESSAGE_PAD);
	memset(list.p + list.len, 0, MESSAGE_PAD);
}

typedef enum json_fault build_fn(struct index *, const char *, const char *, struct message *, const char **);
static build_fn *build;
static struct index ix;
static struct buf out;
static struct stamp_set set;
static struct stamp stamps[6];
static volatile size_t sink;

static void fail(void)
{
	fputs("bench_message: the bench's own messages are not JSON\n", stderr);
	exit(1);
}

static void run_copy(void)
{
	for (unsigned i = 0; i < COUNT; i++) {
		memcpy(out.p, texts[i], lens[i]);
		__asm__ volatile("" : : "r"(out.p) : "memory");
	}
}

static void index_one(unsigned i, struct message *m)
{
	const char *stop;
	if (build(&ix, texts[i], texts[i] + lens[i], m, &stop) != JSON_OK)
		fail();
	sink += m->n;
}

static void run_index(void)
{
	struct message m;
	for (unsigned i = 0; i < COUNT; i++)
		index_one(i, &m);
}

static void find_four(const struct message *m)
{
	sink += (message_find(m, "ident", 5) != NULL) + (message_find(m, "timestamp", 9) != NULL)
		+ (message_find(m, "position.latitude", 17) != NULL) + (message_find(m, "position.valid", 14) != NULL);
}

static void run_find(void)
{
	struct message m;
	for (unsigned i = 0; i < COUNT; i++) {
		index_one(i, &m);
		find_four(&m);
	}
}

static void run_stamp(void)
{
	struct message m;
	for (unsigned i = 0; i < COUNT; i++) {
		index_one(i, &m);
		buf_clear(&out);
		message_stamp(&out, &m, &set, stamps);
	}
}

static void run_list(void)
{
	struct body b;
	struct message m;
	enum body_step step;
	body_open(&b, list.p, list.len, NULL);
	while ((step = body_next(&b, &ix, &m)) == BODY_MESSAGE)
		sink += m.n;
	if (step != BODY_END)
		fail();
}

static void run_list_all(void)
{
	struct body b;
	struct message m;
	enum body_step step;
	body_open(&b, list.p, list.len, NULL);
	buf_clear(&out);
	while ((step = body_next(&b, &ix, &m)) == BODY_MESSAGE) {
		find_four(&m);
		message_stamp(&out, &m, &set, stamps);
	}
	if (step != BODY_END)
		fail();
}

static double cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void measure(const char *name, void (*run)(void))
{
	double best = 1e12;
	for (int r = 0; r < ROUNDS; r++) {
		double begin = cpu_ns();
		for (int t = 0; t < TURNS; t++)
			run();
		double ns = (cpu_ns() - begin) / (TURNS * COUNT);
		if (ns < best)
			best = ns;
	}
	printf("  %-34s %6.0f ns/message  %5.2f GB/s\n", name, best, (double)lens[0] / best);
}

int main(void)
{
	static const char *const keys[] = { "server.timestamp", "channel.id", "channel.name", "peer", "device.id", "device.name" };
	static const char *const values[] = { "1732300001.123456", "7", "\"trackers\"", "\"10.1.2.3:5000\"", "17", "\"Truck 17\"" };
	static const char *const names[] = { "compact", "blanks behind colons and commas", "a field a line" };
	struct { const char *name; build_fn *run; } all[] = {
		{ "scalar", message_index_scalar },
#if defined(__x86_64__)
		{ "SSE2", message_index_sse2 },
#endif
		{ "as this machine chooses", message_index },
	};

	index_init(&ix);
	stamp_set_init(&set);
	for (int i = 0; i < 6; i++) {
		stamp_set_add(&set, keys[i], strlen(keys[i]));
		stamps[i] = (struct stamp){ .p = values[i], .n = strlen(values[i]) };
	}
	buf_reserve(&out, 200000);
	for (int shape = COMPACT; shape <= PRETTY; shape++) {
		make_all((enum shape)shape);
		printf("38 fields, %zu bytes, %s\n", lens[0], names[shape]);
		measure("memcpy", run_copy);
		for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
			char name[64];
			build = all[i].run;
			snprintf(name, sizeof(name), "index, %s", all[i].name);
			measure(name, run_index);
		}
		measure("index + 4 finds", run_find);
		measure("index + 6 stamps", run_stamp);
		measure("array of 100: index", run_list);
		measure("array of 100: all of it", run_list_all);
	}
	for (int i = 0; i < COUNT; i++)
		free(texts[i]);
	buf_fini(&list);
	buf_fini(&out);
	stamp_set_fini(&set);
	index_fini(&ix);
	return 0;
}
