/* The plan answers (channel, ident) -> streams: each stream once, exact before wildcard before group before channel, with that device's data;
 * options can be read by name; adapters are types; what decides bytes decides who shares them. */
#include "plan/plan.h"
#include "message/write.h"
#include "spec/diag.h"
#include "spec/tree.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "unit.h"

static struct buf out;
static struct arena *arena;

static int setup(void **state)
{
	(void)state;
	buf_init(&out);
	arena = arena_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buf_fini(&out);
	arena_free(arena);
	return 0;
}

/* ---- an outside made of texts ----------------------------------------------------------------------------------------------- */

struct text_file { const char *name, *text; };
static struct text_file files[4];

static char *text_read(void *arg, const char *path, size_t *len, char *why, size_t whylen)
{
	(void)arg;
	for (size_t i = 0; i < 4 && files[i].name != NULL; i++)
		if (strcmp(files[i].name, path) == 0) {
			*len = strlen(files[i].text);
			return xstrdup(files[i].text);
		}
	snprintf(why, whylen, "not there");
	return NULL;
}

static char **text_glob(void *arg, const char *pattern)
{
	char **names = xcalloc(5, sizeof(char *));
	unsigned n = 0;

	(void)arg;
	(void)pattern;
	for (size_t i = 1; i < 4 && files[i].name != NULL; i++)
		if (strstr(files[i].name, ".yaml") != NULL)
			names[n++] = xstrdup(files[i].name);
	return names;
}

static const char *text_env(void *arg, const char *name)
{
	(void)arg;
	return strcmp(name, "TOKEN") == 0 ? "s3{cr}et" : NULL;
}

static struct type_info adapters[] = {
	{ .name = "toll", .is_destination = true, .transport = TRANSPORT_HTTP, .has_transform = true, .form_number = 2, .hash = 7, .body_open = "<", .body_close = ">" },
	{ .name = "plain", .is_transform = true, .has_transform = true, .hash = 8 },
	{ .name = "counting", .is_transform = true, .has_transform = true, .has_state = true, .hash = 9 },
	{ .name = "osmand", .is_format = true },
};
static const struct type_info *find(void *arg, const char *name)
{
	(void)arg;
	for (size_t i = 0; i < sizeof(adapters) / sizeof(*adapters); i++)
		if (strcmp(adapters[i].name, name) == 0)
			return &adapters[i];
	return NULL;
}
static const struct type_info *next(void *arg, unsigned *i)
{
	(void)arg;
	return *i < sizeof(adapters) / sizeof(*adapters) ? &adapters[(*i)++] : NULL;
}

static const struct node *schema(const char *text)
{
	struct diag *d = diag_new();
	const struct node *n = tree_read_text(arena, "adapter", text, strlen(text), 0, d);

	diag_free(d);
	return n;
}

static const struct catalogue *catalogue(void *arg, const char *const *dirs, unsigned ndirs, struct diag *d)
{
	static const struct catalogue all = { .find = find, .next = next };

	(void)arg;
	(void)dirs;
	(void)ndirs;
	(void)d;
	adapters[0].options_schema = schema("{contract: {type: string, required: true}, wait: {type: duration, default: 5m}}");
	adapters[0].device_schema = schema("{serial: {type: string}, axles: {type: integer}}");
	adapters[0].defaults = schema("{batch: {messages: 1000}, buffer: {ttl: 10d}}");
	adapters[1].options_schema = schema("{digits: {type: integer, default: 5}}");
	return &all;
}

static struct plan *compiled(const char *text)
{
	static const struct loader l = { .read = text_read, .glob = text_glob, .env = text_env };
	struct diag *d = diag_new();
	struct plan *p;

	files[0] = (struct text_file){ "main.yaml", text };
	p = plan_compile("main.yaml", &l, catalogue, NULL, d);
	buf_clear(&out);
	diag_print(d, &out, false);
	diag_free(d);
	return p;
}

static struct plan *fine(const char *text)
{
	struct plan *p = compiled(text);

	if (p == NULL)
		fail_msg("%s", out.p);
	plan_seal(p);
	return p;
}

static void refused(const char *text, const char *words)
{
	struct plan *p = compiled(text);

	if (p != NULL || strstr(out.p, words) == NULL)
		fail_msg("wanted %s, got %s", words, out.p ? out.p : "a plan");
}

#define HEAD "sluice: 1\nchannels: {a: {type: http, listen: 127.0.0.1:1}, b: {type: http, listen: 127.0.0.1:2}}\n" \
	"destinations: {hole: {type: null}, kas: {type: toll, url: \"http://x/{device.id}\", contract: c}}\n" \
	"streams: {one: {to: hole, buffer: {full: drop-newest}}, two: {to: hole, buffer: {full: drop-newest}}, toll: {to: kas, buffer: {full: drop-newest}}, off: {to: hole, enabled: false}}\n"

/* "one@3 two@4{data}" */
static const char *route(const struct plan *p, const char *channel, const char *ident)
{
	static char text[500];
	struct route r = plan_route(p, plan_channel(p, channel), ident, strlen(ident), NULL), cached;
	struct route_cache *cache = route_cache_new();
	size_t n = 0;

	for (int i = 0; i < 2; i++) {
		cached = plan_route(p, plan_channel(p, channel), ident, strlen(ident), cache);
		assert_ptr_equal(cached.device, r.device);
		assert_ptr_equal(cached.targets, r.targets);
	}
	route_cache_free(cache);
	text[0] = '\0';
	n += (size_t)snprintf(text, sizeof(text), "%s:", r.device ? r.device->ident : "-");
	for (unsigned i = 0; i < r.n; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %s@%u%s", r.targets[i].stream->name, r.targets[i].why.line,
			r.targets[i].device_data ? r.targets[i].device_data : "");
	return text;
}

static void test_union_of_subscriptions_each_stream_once(void **state)
{
	(void)state;
	struct plan *p = fine(HEAD
		"devices: {\"11\": {groups: [g]}, \"12\": {}, \"2*\": {}, \"21*\": {}}\n"
		"groups: {g: {}, h: {groups: [g], devices: [\"2*\"]}}\n"
		"subscriptions:\n"
		"  - {stream: one, channels: [a]}\n"          /* 8 */
		"  - {stream: two, groups: [h]}\n"            /* 9 */
		"  - {stream: one, devices: [\"11\"]}\n"      /* 10 */
		"  - {stream: off, channels: [a, b]}\n"
		"  - {stream: two, devices: [\"12\", \"219\"]}\n"); /* 12 */

	assert_string_equal(route(p, "a", "11"), "11: one@10 two@9");
	assert_string_equal(route(p, "b", "11"), "11: one@10 two@9");
	assert_string_equal(route(p, "a", "12"), "12: one@8 two@12");
	assert_string_equal(route(p, "b", "12"), "12: two@12");
	assert_string_equal(route(p, "a", "99"), "-: one@8");
	assert_string_equal(route(p, "b", "99"), "-:");
	assert_string_equal(route(p, "b", "25"), "2*: two@9");
	/* Of two wildcards the one with more text; 219 is named, so it is a device of its own. */
	assert_string_equal(route(p, "b", "215"), "21*: two@9");
	assert_string_equal(route(p, "b", "219"), "219: two@12");
	assert_null(strstr(out.p ? out.p : "", "error"));
	plan_unref(p);
}

static void test_per_device_data_exact_beats_wildcard_beats_group(void **state)
{
	(void)state;
	struct plan *p = fine(HEAD
		"devices: {\"11\": {groups: [g]}, \"12\": {groups: [g]}, \"13\": {groups: [g]}, \"2*\": {}}\n"
		"groups: {g: {}}\n"
		"subscriptions:\n"
		"  - {stream: toll, groups: {g: {serial: G}}}\n"                        /* 8 */
		"  - {stream: toll, devices: {\"11\": {serial: \"007\", axles: 3}, \"12\": }}\n" /* 9 */
		"  - {stream: toll, devices: {\"1*\": {serial: 12}}}\n"                 /* 10 */
		"  - {stream: toll, devices: [\"2*\"]}\n");                             /* 11 */

	assert_string_equal(route(p, "a", "11"), "11: toll@9{\"serial\":\"007\",\"axles\":3}");
	assert_string_equal(route(p, "a", "12"), "12: toll@9{\"serial\":\"12\"}");
	assert_string_equal(route(p, "a", "13"), "13: toll@10{\"serial\":\"12\"}");
	assert_string_equal(route(p, "a", "20"), "2*: toll@11");
	plan_unref(p);
	refused(HEAD "devices: {\"11\": {groups: [g, h]}}\ngroups: {g: {}, h: {}}\nsubscriptions:\n  - {stream: toll, groups: {g: {serial: G}, h: {serial: H}}}\n", "E053");
	refused(HEAD "devices: {\"11\": {}}\nsubscriptions:\n  - {stream: toll, devices: {\"11\": {seriel: G}}}\n", "did you mean \"serial\"?");
	refused(HEAD "devices: {\"11\": {}}\nsubscriptions:\n  - {stream: one, devices: {\"11\": {serial: G}}}\n", "takes data of single devices");
}

static void test_stamps_of_devices(void **state)
{
	(void)state;
	struct plan *p = fine(HEAD "devices: {\"11\": {id: 17, name: \"A \\\"b\\\"\", fields: {vehicle.plate: WX 1, axles: 3}}, \"12\": {fields: {axles: 4}}}\n"
		"subscriptions: [{stream: one, channels: [a]}]\n");
	const struct device *d = plan_route(p, plan_channel(p, "a"), "11", 2, NULL).device;

	assert_int_equal(d->nstamps, 4);
	assert_string_equal(d->stamp_values[0], "17");
	assert_int_equal(d->stamp_numbers[0], STAMP_DEVICE_ID);
	assert_string_equal(d->stamp_values[1], "\"A \\\"b\\\"\"");
	assert_int_equal(d->stamp_numbers[1], STAMP_DEVICE_NAME);
	assert_string_equal(d->stamp_values[2], "\"WX 1\"");
	assert_int_equal(d->stamp_numbers[2], STAMP_OWN);
	const struct device *e = plan_route(p, plan_channel(p, "a"), "12", 2, NULL).device;
	assert_int_equal(e->stamp_numbers[0], d->stamp_numbers[3]);
	assert_int_equal(p->stamps->n, STAMP_OWN + 2);
	plan_unref(p);
}

static void test_options_and_templates(void **state)
{
	(void)state;
	files[1] = (struct text_file){ "c.pem", "one" };
	struct plan *p = fine("sluice: 1\nsettings: {data: store, workers: 3, limits: {disk: 1GiB}}\n"
		"channels:\n"
		"  a: {type: http, listen: 127.0.0.1:1, auth: {query: {key: \"${env:TOKEN}\"}}, tls: {cert: c.pem, key: c.pem}}\n"
		"  h: {type: http, listen: 127.0.0.1:1, path: /h, answer: {status: 204}}\n"
		"destinations:\n"
		"  kas: {type: toll, contract: \"x${env:TOKEN}\", url: \"http://${env:TOKEN}/{device.id}/{{b}}\", headers: {X: \"${env:TOKEN}\", Y: \"{ident}\"}, rate: 60/m}\n"
		"streams: {s: {to: kas, buffer: {full: drop-newest}}}\nsubscriptions: [{stream: s, channels: [a]}]\n");
	const struct channel *a = plan_channel(p, "a"), *h = plan_channel(p, "h");
	const struct destination *d = plan_destination(p, "kas");
	const char *key;

	assert_string_equal(options_text(a->options, "listen"), "127.0.0.1:1");
	assert_string_equal(options_text(a->options, "path"), "/");
	assert_int_equal(options_count(a->options, "methods"), 2);
	assert_int_equal(options_count(h->options, "methods"), 3);
	assert_null(options_map(a->options, "answer"));
	assert_int_equal(options_int(options_map(h->options, "answer"), "status"), 204);
	assert_string_equal(options_text(options_map(a->options, "tls"), "cert"), "c.pem");
	assert_string_equal(options_pair(options_map(a->options, "auth"), "query", 0, &key), "s3{cr}et");
	assert_string_equal(key, "key");
	assert_false(options_has(options_map(a->options, "auth"), "bearer"));
	assert_int_equal(options_place(a->options, "path").line, 4);
	assert_int_equal(options_int(d->options, "wait"), 300000000);
	assert_non_null(strstr(options_json(d->options), "\"contract\":\"xs3{cr}et\""));
	assert_non_null(strstr(options_json(d->options), "\"wait\":300"));
	assert_true(d->rate == 1);
	assert_string_equal(d->adapter, "toll");
	/* A brace in a secret is no parameter. */
	assert_int_equal(d->url.nparams, 1);
	assert_string_equal(d->url.literals[0], "http://s3{cr}et/");
	assert_string_equal(d->url.literals[1], "/{b}");
	assert_string_equal(d->url_shown, "http://${env:TOKEN}/{device.id}/{{b}}");
	assert_string_equal(d->header_values[0].literals[0], "s3{cr}et");
	assert_string_equal(d->header_values[1].params[0], "ident");
	assert_string_equal(d->body_open, "<");
	assert_int_equal(p->settings.workers, 3);
	assert_int_equal(p->settings.limit_disk, 1 << 30);
	/* What the adapter would rather have, where nothing is given. */
	assert_int_equal(plan_stream(p, "s")->batch_messages, 1000);
	assert_int_equal(plan_stream(p, "s")->ttl_us, 864000000000);
	assert_string_equal(plan_stream(p, "s")->form, "http/toll/<>/2");
	plan_unref(p);
}

static void test_equal_renderings_are_shared(void **state)
{
	(void)state;
	struct plan *p = fine("sluice: 1\nchannels: {a: {type: http, listen: 127.0.0.1:1}}\ndestinations: {h: {type: null}, i: {type: null}, t: {type: http, url: \"http://x/{ident}\"}}\n"
		"streams:\n  p: {to: h}\n  q: {to: i}\n  r: {to: h, fields: {notation: snake}}\n  s: {to: i, fields: {notation: snake}}\n  u: {to: h, transforms: [plain]}\n"
		"  v: {to: h, transforms: [{use: plain, with: {digits: 5}}]}\n  w: {to: h, transforms: [{use: plain, with: {digits: 4}}]}\n"
		"  x: {to: h, transforms: [counting]}\n  y: {to: h, transforms: [counting]}\n  z: {to: t, transforms: [plain]}\n"
		"subscriptions: [{stream: p, channels: [a]}]\n");

	assert_int_equal(plan_stream(p, "p")->rendering->ix, 0);
	assert_int_equal(plan_stream(p, "q")->rendering->ix, 0);
	assert_ptr_equal(plan_stream(p, "r")->rendering, plan_stream(p, "s")->rendering);
	assert_ptr_equal(plan_stream(p, "u")->rendering, plan_stream(p, "v")->rendering);
	assert_ptr_not_equal(plan_stream(p, "u")->rendering, plan_stream(p, "w")->rendering);
	assert_ptr_not_equal(plan_stream(p, "x")->rendering, plan_stream(p, "y")->rendering);
	assert_ptr_not_equal(plan_stream(p, "u")->rendering, plan_stream(p, "z")->rendering);
	assert_int_equal(plan_stream(p, "z")->rendering->naddress, 1);
	assert_string_equal(plan_stream(p, "z")->rendering->address[0], "ident");
	assert_string_equal(plan_stream(p, "p")->form, "json");
	plan_unref(p);
}

static void test_fingerprints_tell_what_changed(void **state)
{
	(void)state;
	static const char text[] = HEAD "subscriptions: [{stream: one, channels: [a]}]\n";
	struct plan *p = fine(text), *q = fine(text), *r;
	char *changed = xstrdup(text);

	memcpy(strstr(changed, "127.0.0.1:1"), "127.0.0.1:3", 11);
	r = fine(changed);
	assert_true(plan_channel(p, "a")->fingerprint == plan_channel(q, "a")->fingerprint);
	assert_true(plan_channel(p, "a")->fingerprint != plan_channel(r, "a")->fingerprint);
	assert_true(plan_channel(p, "b")->fingerprint == plan_channel(r, "b")->fingerprint);
	assert_true(plan_destination(p, "kas")->fingerprint == plan_destination(r, "kas")->fingerprint);
	assert_true(plan_stream(p, "toll")->fingerprint == plan_stream(r, "toll")->fingerprint);
	plan_unref(p);
	plan_unref(q);
	plan_unref(r);
	free(changed);
}

static void test_fingerprint_sees_the_certificate_itself(void **state)
{
	(void)state;
	static const char text[] = "sluice: 1\nchannels: {a: {type: http, listen: 127.0.0.1:1, tls: {cert: c.pem, key: c.pem}}}\n";
	struct plan *p, *q;

	files[1] = (struct text_file){ "c.pem", "one" };
	p = fine(text);
	files[1].text = "two";
	q = fine(text);
	assert_true(plan_channel(p, "a")->fingerprint != plan_channel(q, "a")->fingerprint);
	plan_unref(p);
	plan_unref(q);
}

static void test_a_hundred_thousand_devices_from_csv(void **state)
{
	(void)state;
	struct buf csv = BUF_INIT;
	struct plan *p;
	int64_t t;

	buf_adds(&csv, "ident,id,name,groups,vehicle.plate\n");
	for (int i = 0; i < 100000; i++)
		buf_addf(&csv, "%lld,%d,Truck %d,g%d,WX %d\n", 352093000000000LL + i, i + 1, i, i % 10, i);
	files[1] = (struct text_file){ "fleet.csv", csv.p };
	t = clock_mono_us();
	p = fine(HEAD "devices-from: fleet.csv\n"
		"groups: {g0: {}, g1: {}, g2: {}, g3: {}, g4: {}, g5: {}, g6: {}, g7: {}, g8: {}, g9: {}}\n"
		"subscriptions: [{stream: one, groups: [g3]}, {stream: two, channels: [a]}]\n");
	t = clock_mono_us() - t;
	print_message("100000 devices compiled in %.1f ms\n", (double)t / 1000);
	assert_true(t < 20000000);
	assert_string_equal(route(p, "a", "352093000000003"), "352093000000003: one@7 two@7");
	assert_string_equal(route(p, "b", "352093000000004"), "352093000000004:");
	t = clock_mono_us();
	for (int i = 0; i < 1000000; i++) {
		char ident[20] = "352093000000000";

		ident[12] = (char)('0' + i % 10);
		plan_route(p, &p->channels[0], ident, 15, NULL);
	}
	print_message("a route takes %.0f ns\n", (double)(clock_mono_us() - t) / 1000);
	plan_unref(p);
	buf_fini(&csv);
}

static void test_the_cache_of_wildcard_idents_is_bounded(void **state)
{
	(void)state;
	struct plan *p = fine(HEAD "devices: {\"3*\": {}}\nsubscriptions: [{stream: one, devices: [\"3*\"]}]\n");
	struct route_cache *cache = route_cache_new();
	char ident[20];

	for (int i = 0; i < 200000; i++) {
		snprintf(ident, sizeof(ident), "%d%09d", 3 + i % 2, i);
		assert_int_equal(plan_route(p, &p->channels[0], ident, 10, cache).n, i % 2 == 0);
	}
	route_cache_free(cache);
	plan_unref(p);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_union_of_subscriptions_each_stream_once), TEST(test_per_device_data_exact_beats_wildcard_beats_group),
		TEST(test_stamps_of_devices), TEST(test_options_and_templates), TEST(test_equal_renderings_are_shared),
		TEST(test_fingerprints_tell_what_changed), TEST(test_fingerprint_sees_the_certificate_itself),
		TEST(test_a_hundred_thousand_devices_from_csv), TEST(test_the_cache_of_wildcard_idents_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
