/* The schema is the one master of every key: what it says is checked, for the language and for what adapters declare at run time. */
#include "spec/diag.h"
#include "spec/scalar.h"
#include "spec/schema.h"
#include "spec/tree.h"
#include "base/arena.h"
#include "base/buf.h"
#include "unit.h"

#include <time.h>

static struct arena *arena;
static struct diag *diag;
static struct schema *own;
static struct buf out;

static int setup(void **state)
{
	(void)state;
	arena = arena_new();
	diag = diag_new();
	own = schema_new(schema_builtin());
	buf_init(&out);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buf_fini(&out);
	schema_free(own);
	schema_free(NULL);
	diag_free(diag);
	arena_free(arena);
	return 0;
}

static struct node *tree(const char *text)
{
	struct node *n = tree_read_text(arena, "t.yaml", text, strlen(text), 0, diag);

	assert_non_null(n);
	return n;
}

static const char *printed(void)
{
	buf_clear(&out);
	diag_print(diag, &out, false);
	return out.p ? out.p : "";
}

static bool language(const char *text)
{
	return schema_check(arena, schema_root(schema_builtin()), tree(text), NULL, NULL, diag);
}

static void test_a_plain_specification(void **state)
{
	(void)state;
	if (!language("sluice: 1\n"
		"settings: {workers: auto, durability: os, limits: {disk: 20GiB, script: 20ms}, log: {level: info}}\n"
		"channels:\n"
		"  trackers: {type: http, listen: 0.0.0.0:8080, path: /messages, auth: {bearer: \"${env:T}\"}, tls: {cert: c.pem, key: k.pem}}\n"
		"  health: {type: http, listen: \"[::]:8082\", answer: {status: 200, body: OK}, stamp: off}\n"
		"devices:\n"
		"  352093081234567: {id: 17, name: Truck 17, groups: [poland], fields: {vehicle.plate: WX 12345, axles: 3, eu: true}}\n"
		"  \"3590*\":\n"
		"groups:\n"
		"  poland: {devices: [\"3520*\", 352093081234567]}\n"
		"destinations:\n"
		"  lake: {type: http, url: \"https://x/{device.id}?k=${env:K}\", headers: {X-Key: \"${env:L}\"}, rate: 200/s, accept: [200, 201]}\n"
		"  hole: {type: null}\n"
		"streams:\n"
		"  copy: {to: lake, where: \"position.valid\", fields: {notation: snake, keep: [ident, \"position.*\"], rename: {ident: imei}},\n"
		"    transforms: [plain, {use: round, with: {digits: 5}}], batch: {messages: 500, bytes: 1MiB, linger: 200ms}, ordering: device,\n"
		"    in-flight: 4, retry: {first: 1s, max: 30s}, refused: dead-letter, buffer: {ttl: 10d, max: 2GiB, full: block}, dead: {ttl: 30d}}\n"
		"subscriptions:\n"
		"  - {stream: copy, groups: [poland]}\n"
		"  - {stream: copy, devices: {\"352093081234567\": {serial: X}, \"3590*\": }}\n"))
		fail_msg("%s", printed());
	assert_true(language(""));
	assert_true(language("streams:\n"));
}

static void test_text_is_read_by_the_kind_the_schema_expects(void **state)
{
	(void)state;
	/* 017 and 1e3 are names where names are expected, and no numbers where numbers are. */
	assert_true(language("groups: {017: {}, 1e3: {}, true: {}}\n"));
	assert_false(language("settings: {limits: {connections: 1e3}}\n"));
	assert_true(language("settings: {limits: {message: 4096}}\n"));
	assert_false(language("settings: {limits: {message: 0x1000}}\n"));
}

static void test_what_an_adapter_declares(void **state)
{
	(void)state;
	const struct rule *r = schema_rule(own, tree("{\"service\":{\"type\":\"string\",\"required\":true,\"pattern\":\"^\\\\d+$\"},"
		"\"digits\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":9,\"default\":5},\"key\":{\"type\":\"secret\"},\"wait\":{\"type\":\"duration\"},"
		"\"mode\":{\"enum\":[\"a\",\"b\"]}}"), diag);

	assert_non_null(r);
	assert_true(schema_check(arena, r, tree("{service: \"12\", digits: 3, key: x, wait: 5m, mode: b}"), "options of adapter \"x\"", NULL, diag));
	assert_int_equal(diag_errors(diag), 0);
	assert_false(schema_check(arena, r, tree("{service: x, digits: 10, wait: 5, mode: c, serivce: 1}"), "options of adapter \"x\"", NULL, diag));
	assert_int_equal(diag_errors(diag), 5);
	assert_non_null(strstr(printed(), "unknown key \"serivce\" in options of adapter \"x\""));
	assert_non_null(strstr(out.p, "did you mean \"service\"?"));
	assert_false(schema_check(arena, r, tree("{}"), "options of adapter \"x\"", NULL, diag));
	assert_non_null(strstr(printed(), "missing key \"service\" in options of adapter \"x\""));
}

static void test_a_full_schema_works_as_well(void **state)
{
	(void)state;
	const struct rule *r = schema_rule(own, tree("{type: object, required: [a], additionalProperties: false, properties: {a: {type: array, items: {type: number}, maxItems: 2}}}"), diag);

	assert_non_null(r);
	assert_true(schema_check(arena, r, tree("a: [1.5, 2]"), "x", NULL, diag));
	assert_false(schema_check(arena, r, tree("a: [1.5, 2, 3]"), "x", NULL, diag));
	assert_non_null(strstr(printed(), "E019"));
}

static void test_a_schema_that_is_not_understood_is_told(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"{a: {type: text}}", "{a: {type: string, pattern: \"(\"}}", "{a: {type: string, oneOf: []}}", "{a: {$ref: \"#/definitions/nowhere\"}}",
		"{a: {minimum: x}}", "{a: 5}", "{a: {type: string, enum: []}}", "{type: object, properties: {}, required: [a]}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		diag_free(diag);
		diag = diag_new();
		if (schema_rule(own, tree(bad[i]), diag) != NULL)
			fail_msg("taken: %s", bad[i]);
		assert_non_null(strstr(printed(), "error[E030]"));
	}
}

static const struct rule *lake;
static const struct rule *find(void *arg, const char *family, const char *type)
{
	(void)arg;
	return strcmp(family, "destination") == 0 && strcmp(type, "lake") == 0 ? lake : NULL;
}
static const char *next(void *arg, const char *family, unsigned *i)
{
	(void)arg;
	(void)family;
	return (*i)++ == 0 ? "lake" : NULL;
}

static void test_an_adapter_is_a_type(void **state)
{
	(void)state;
	const struct schema_types types = { .find = find, .next = next };
	const struct rule *root = schema_root(schema_builtin());

	lake = schema_extend(own, schema_definition(schema_builtin(), "adapter-http"), tree("{depth: {type: integer, required: true}}"), diag);
	assert_non_null(lake);
	assert_true(schema_check(arena, root, tree("destinations: {a: {type: lake, url: \"http://x\", depth: 5, rate: 5/s}}"), NULL, &types, diag));
	assert_false(schema_check(arena, root, tree("destinations: {a: {type: lake, url: \"http://x\", deph: 5}}"), NULL, &types, diag));
	assert_non_null(strstr(printed(), "did you mean \"depth\"?"));
	assert_int_equal(diag_errors(diag), 1);
	assert_false(schema_check(arena, root, tree("destinations: {a: {type: lacke}}"), NULL, &types, diag));
	assert_non_null(strstr(printed(), "did you mean \"lake\"?"));
}

static void test_durations_sizes_and_rates(void **state)
{
	(void)state;
	static const struct { const char *text; int64_t us; } durations[] = {
		{ "0", 0 }, { "200ms", 200000 }, { "30s", 30000000 }, { "10m", 600000000 }, { "2h", 7200000000 }, { "10d", 864000000000 }, { "1.5h", 5400000000 },
	};
	static const struct { const char *text; uint64_t bytes; } sizes[] = {
		{ "0", 0 }, { "512", 512 }, { "64KiB", 65536 }, { "2GiB", 2147483648 }, { "1MB", 1000000 }, { "1.5KiB", 1536 }, { "3B", 3 },
	};
	static const char *const bad[] = { "", "5", "s", "-5s", "5 s", "5S", "1h30m", "1e3s", ".5s", "5.s", "99999999999999999999d", "0x5s", "inf", "5s " };
	int64_t us;
	uint64_t bytes;
	double rate;

	for (size_t i = 0; i < sizeof(durations) / sizeof(*durations); i++) {
		assert_int_equal(scalar_duration(durations[i].text, &us), 0);
		assert_int_equal(us, durations[i].us);
		buf_clear(&out);
		scalar_write_duration(&out, us);
		assert_int_equal(scalar_duration(out.p, &us), 0);
		assert_int_equal(us, durations[i].us);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		assert_int_equal(scalar_size(sizes[i].text, &bytes), 0);
		assert_int_equal(bytes, sizes[i].bytes);
		buf_clear(&out);
		scalar_write_size(&out, bytes);
		assert_int_equal(scalar_size(out.p, &bytes), 0);
		assert_int_equal(bytes, sizes[i].bytes);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(scalar_duration(bad[i], &us), -1);
	assert_int_equal(scalar_size("-1", &bytes), -1);
	assert_int_equal(scalar_size("1K", &bytes), -1);
	assert_int_equal(scalar_size("16777216TiB", &bytes), -1);
	assert_int_equal(scalar_rate("600/m", &rate), 0);
	assert_true(rate == 10);
	assert_int_equal(scalar_rate("0/s", &rate), -1);
	assert_int_equal(scalar_rate("200", &rate), -1);
	assert_int_equal(scalar_rate("1/d", &rate), -1);
}

/* Of the processor, since the machine may be busy with other things. */
static int64_t cpu_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void test_ten_thousand_devices_in_time(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	int64_t t;

	buf_adds(&b, "devices:\n");
	for (int i = 0; i < 10000; i++)
		buf_addf(&b, "  \"%lld\": {id: %d, name: Truck %d, groups: [poland], fields: {vehicle.plate: WX %d}}\n", 352093081234567LL + i, i + 1, i, i);
	t = cpu_us();
	assert_true(language(b.p));
	/* The promise is 100 ms of the processor; slow machines get ten times that, sanitizers more. */
	t = cpu_us() - t;
	print_message("10000 devices read and checked in %.1f ms\n", (double)t / 1000);
	assert_true(t < 1000000 * UNIT_PATIENCE);
	buf_fini(&b);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_plain_specification), TEST(test_text_is_read_by_the_kind_the_schema_expects), TEST(test_what_an_adapter_declares),
		TEST(test_a_full_schema_works_as_well), TEST(test_a_schema_that_is_not_understood_is_told), TEST(test_an_adapter_is_a_type),
		TEST(test_durations_sizes_and_rates), TEST(test_ten_thousand_devices_in_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
