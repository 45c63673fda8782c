/* Channels in each other's way: what is told by asking about few pairs is what asking about every pair would tell; and thousands take no time. */
#include "base/arena.h"
#include "base/buf.h"
#include "plan/plan.h"
#include "spec/diag.h"
#include "unit.h"

#include <time.h>

static const struct buf *text; /* of the specification */

static char *read_text(void *arg, const char *path, size_t *len, char *why, size_t whylen)
{
	(void)arg;
	(void)path;
	(void)why;
	(void)whylen;
	*len = text->len;
	return xstrdup(text->p);
}

/* Every channel might be in every other one's way. */
static void everywhere(const struct channel *c, struct whereabouts *w)
{
	buf_adds(&w->house, "all");
	buf_adds(&w->front, c->name);
}

static unsigned told(const struct buf *spec, bool pairs, struct buf *out)
{
	struct loader loader = loader_files;
	struct diag *diag = diag_new();
	unsigned errors;

	text = spec;
	loader.read = read_text;
	if (pairs)
		loader.whereabouts = everywhere;
	plan_unref(plan_compile("doors.yaml", &loader, NULL, NULL, diag));
	diag_print(diag, out, false);
	errors = diag_errors(diag);
	diag_free(diag);
	return errors;
}

static uint32_t seed = 1;

static unsigned pick(unsigned n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static void add_channel(struct buf *b, unsigned i)
{
	static const char *const hosts[] = { "127.0.0.1", "0.0.0.0", "", "'[::1]'", "'[::]'", "127.0.0.2", "localhost" };
	static const char *const methods[] = { "", ", methods: [POST]", ", methods: [PUT]", ", methods: [PUT, POST]" };
	static const char *const tls[] = { "", "", "", ", tls: {cert: a.pem, key: a.key}", ", tls: {cert: b.pem, key: a.key}" };
	static const char *const proxy[] = { "", "", "", ", behind-proxy: {from: [10.0.0.0/8], tells: proxy-protocol}", ", behind-proxy: {from: [10.1.0.0/16], tells: proxy-protocol}" };
	const char *host = hosts[pick(7)];
	char listen[80];
	bool udp = pick(6) == 0;

	if (pick(12) == 0)
		snprintf(listen, sizeof(listen), "unix:///run/%u.sock", pick(4));
	else if (*host == '\'')
		snprintf(listen, sizeof(listen), "%s%.*s:%u", udp ? "udp://" : "", (int)strlen(host) - 2, host + 1, 8000 + pick(12));
	else
		snprintf(listen, sizeof(listen), "%s%s:%u", udp ? "udp://" : "", host, 8000 + pick(12));
	buf_addf(b, "  c%u: {", i);
	if (pick(8) == 0)
		buf_addf(b, "type: file, path: /var/%u", pick(6));
	else if (pick(2))
		buf_addf(b, "type: tcp, listen: '%s'%s", listen, tls[pick(5)]);
	else
		buf_addf(b, "type: http, listen: '%s', path: /p%u%s%s%s", listen, pick(5), methods[pick(4)], tls[pick(5)], proxy[pick(5)]);
	buf_addf(b, "%s}\n", pick(9) == 0 ? ", enabled: false" : "");
}

static void test_few_pairs_tell_what_all_pairs_do(void **state)
{
	(void)state;
	struct buf spec = BUF_INIT, few = BUF_INIT, all = BUF_INIT;
	unsigned errors = 0, fine = 0;

	for (unsigned round = 0; round < 200; round++) {
		unsigned n = 1 + pick(30), here;

		buf_clear(&spec);
		buf_clear(&few);
		buf_clear(&all);
		buf_adds(&spec, "sluice: 1\nchannels:\n");
		for (unsigned i = 0; i < n; i++)
			add_channel(&spec, i);
		here = told(&spec, false, &few);
		assert_int_equal(told(&spec, true, &all), here);
		if (strcmp(few.p, all.p) != 0)
			fail_msg("%s\n%s\nand of all pairs\n%s", spec.p, few.p, all.p);
		errors += here;
		fine += here == 0;
	}
	assert_true(errors > 500);
	assert_true(fine > 5);
	buf_fini(&spec);
	buf_fini(&few);
	buf_fini(&all);
}

/* Five thousand at one address took half a minute when each was compared with each. */
static void test_thousands_of_channels_take_no_time(void **state)
{
	(void)state;
	for (int http = 0; http < 2; http++) {
		struct buf spec = BUF_INIT, out = BUF_INIT;
		clock_t before = clock();

		buf_adds(&spec, "sluice: 1\nchannels:\n");
		for (unsigned i = 0; i < 5000; i++)
			if (http)
				buf_addf(&spec, "  c%u: {type: http, listen: 127.0.0.1:8080, path: /p%u}\n", i, i);
			else
				buf_addf(&spec, "  c%u: {type: tcp, listen: 127.0.0.1:%u}\n", i, 10000 + i);
		assert_int_equal(told(&spec, false, &out), 0);
		assert_true((clock() - before) / CLOCKS_PER_SEC < 2 * UNIT_PATIENCE);
		buf_fini(&spec);
		buf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_few_pairs_tell_what_all_pairs_do), cmocka_unit_test(test_thousands_of_channels_take_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
