/* thin and fill over made-up drives: what passes is what a slow reference says, whatever the messages hold nothing fails, and what is kept of a
 * device always fits. */
#include "transforms_kit.h"

#include <math.h>

struct hold { struct adapters *a; };

static const struct catalogue *open_them(void *arg, const char *const *dirs, unsigned ndirs, struct diag *d)
{
	struct hold *h = arg;
	h->a = adapters_open(dirs, ndirs, d);
	return adapters_catalogue(h->a);
}

struct drive { struct kit k; struct hold h; struct plan *p; struct buf kept; };

static void drive_open(struct drive *v, const char *transforms)
{
	char path[128];
	struct buf text = BUF_INIT;
	memset(v, 0, sizeof(*v));
	kit_begin(&v->k);
	snprintf(path, sizeof(path), "%s/sluice.yaml", v->k.dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "sluice: 1\nsettings: {data: data}\nchannels: {in: {type: http, listen: 127.0.0.1:0}}\ndestinations: {out: {type: 'null'}}\n"
		   "streams: {copy: {to: out, transforms: [%s]}}\nsubscriptions: [{stream: copy, channels: [in]}]\n", transforms);
	fclose(f);
	v->p = plan_compile(path, &loader_files, open_them, &v->h, v->k.d);
	diag_print(v->k.d, &text, false);
	if (!v->p)
		fail_msg("%s", text.p);
	buf_fini(&text);
	v->p->settings.limit_script_us = 20000 * UNIT_PATIENCE;
	v->k.s = scripts_new(v->h.a, v->p, v->k.why, sizeof(v->k.why));
	if (!v->k.s)
		fail_msg("%s", v->k.why);
}

static void drive_close(struct drive *v)
{
	scripts_free(v->k.s);
	v->k.s = NULL;
	plan_unref(v->p);
	adapters_free(v->h.a);
	buf_fini(&v->kept);
	kit_close(&v->k);
}

/* One message; the state is carried along as the router does. */
static bool drive_on(struct drive *v, const char *json)
{
	struct kit *k = &v->k;
	struct message m;
	const char *stop;
	buf_clear(&k->input);
	buf_adds(&k->input, json);
	buf_reserve(&k->input, MESSAGE_PAD);
	assert_int_equal(message_index(&k->index, k->input.p, k->input.p + k->input.len, &m, &stop), JSON_OK);
	k->call.state = v->kept.len ? v->kept.p : NULL;
	k->call.state_len = v->kept.len;
	enum render_result r = scripts_render(k->s, plan_stream(v->p, "copy")->rendering, &m, &k->call, &k->rows, k->why, sizeof(k->why));
	if (r == RENDER_FAILED)
		fail_msg("%s: %s", json, k->why);
	if (k->rows.state_changed) {
		buf_clear(&v->kept);
		buf_add(&v->kept, k->rows.state.p, k->rows.state.len);
		assert_true(v->kept.len <= SCRIPT_STATE_MAX);
	}
	return r == RENDER_OK;
}

static unsigned drawn = 1;
static unsigned draw(unsigned below)
{
	drawn = drawn * 1103515245 + 12345;
	return (drawn >> 8) % below;
}

/* A live drive with a late one in between, seconds apart; the parameter changes now and then, and is not always told. */
static void test_thin_passes_what_a_slow_reference_says(void **state)
{
	(void)state;
	const double every = 30;
	struct drive v;
	char json[256];
	double front = NAN, late = NAN, live = 100000, past = 1000;
	int known = -1, value = 0, passed = 0;
	drive_open(&v, "{use: thin, with: {every: 30s, on-change: [din]}}");
	for (int i = 0; i < 4000; i++) {
		bool is_late = i % 1000 > 600 && draw(2), told = draw(4) > 0;
		double at = is_late ? (past += draw(20)) : (live += draw(20) + 0.5);
		if (draw(15) == 0)
			value = (int)draw(3);
		if (told)
			snprintf(json, sizeof(json), "{\"ident\":\"d\",\"timestamp\":%.1f,\"din\":%d}", at, value);
		else
			snprintf(json, sizeof(json), "{\"ident\":\"d\",\"timestamp\":%.1f}", at);
		bool want = isnan(front) || (at >= front ? at - front >= every : front - at >= every && (isnan(late) || fabs(at - late) >= every));
		want |= told && known >= 0 && value != known;
		assert_int_equal(drive_on(&v, json), want);
		if (!want)
			continue;
		passed++;
		if (told)
			known = value;
		if (isnan(front) || at >= front)
			front = at;
		else
			late = at;
	}
	assert_true(passed > 400 && passed < 3000);
	drive_close(&v);
}

static void add_value(struct buf *b)
{
	switch (draw(6)) {
	case 0: buf_addf(b, "%u", draw(1000000)); break;
	case 1: buf_addf(b, "%u.%06u", draw(1000), draw(1000000)); break;
	case 2: buf_adds(b, draw(2) ? "null" : "true"); break;
	case 3: buf_adds(b, "[1,{\"a\":\"b\"}]"); break;
	case 4: buf_adds(b, "123456789012345678901234567890"); break;
	default:
		buf_addc(b, '"');
		for (unsigned n = draw(draw(8) ? 20 : 2000); n > 0; n--)
			buf_adds(b, draw(3) ? "x" : draw(2) ? "\\\"" : "\\u0001");
		buf_addc(b, '"');
	}
}

static void test_what_is_kept_of_a_device_always_fits(void **state)
{
	(void)state;
	struct drive v;
	struct buf names = BUF_INIT, json = BUF_INIT;
	for (int i = 0; i < 24; i++)
		buf_addf(&names, "%sparam.%d", i ? ", " : "", i);
	buf_adds(&json, "{use: thin, with: {every: 1s, on-change: [");
	buf_add(&json, names.p, (size_t)(strstr(names.p, ", param.16") - names.p));
	buf_addf(&json, "]}}, {use: fill, with: {fields: [%s], max-age: 10d}}", names.p);
	drive_open(&v, json.p);
	size_t most = 0;
	for (int i = 0; i < 3000 / UNIT_PATIENCE + 100; i++) {
		buf_clear(&json);
		buf_addf(&json, "{\"ident\":\"d\",\"timestamp\":%d.123456", 1767323045 + i * (draw(9) ? 1 : -1));
		for (int f = 0; f < 24; f++)
			if (draw(3)) {
				buf_addf(&json, ",\"param.%d\":", f);
				add_value(&json);
			}
		buf_addc(&json, '}');
		drive_on(&v, json.p);
		most = v.kept.len > most ? v.kept.len : most;
	}
	assert_true(most > 700); /* it was near the bound */
	buf_fini(&names);
	buf_fini(&json);
	drive_close(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_thin_passes_what_a_slow_reference_says),
		cmocka_unit_test(test_what_is_kept_of_a_device_always_fits) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
