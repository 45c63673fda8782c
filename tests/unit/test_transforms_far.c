/* State, formats, and what a destination's adapter says of requests, answers and credentials. */
#include "transforms_kit.h"

/* What an adapter kept before it was changed: fields it still declares stay, others go, and so do those of steps that have gone. */
static void test_state_of_another_declaration(void **state)
{
	(void)state;
	static const char before[] = "{\"gone\":{\"z\":1},\"t\":{\"a\":true,\"b\":\"text\",\"c\":7,\"d\":2.5}}";
	struct kit k;
	kit_begin(&k);
	kit_file(&k, "t", "return {state = {a = 'boolean', b = 'integer', c = 'number', e = 'table'}, transform = function(msg, ctx)\n"
			  "local s = ctx.state msg.a = s.a msg.b = tostring(s.b) msg.c = s.c msg.d = tostring(s.d) s.b = 1 return msg end}");
	kit_steps(&k, (const char *const[]){ "t", NULL });
	k.call.state = before;
	k.call.state_len = sizeof(before) - 1;
	assert_string_equal(kit_out(&k, "{}"), "{\"a\":true,\"b\":\"nil\",\"c\":7,\"d\":\"nil\"}");
	assert_true(k.rows.state_changed);
	assert_string_equal(k.rows.state.p, "{\"t\":{\"a\":true,\"b\":1,\"c\":7}}");
	kit_close(&k);
}

static void test_one_adapter_twice_keeps_two_states(void **state)
{
	(void)state;
	struct kit k;
	struct buf kept = BUF_INIT;
	kit_begin(&k);
	kit_file(&k, "t", "return {state = {n = 'integer'}, transform = function(msg, ctx)\n"
			  "local s = ctx.state s.n = (s.n or 0) + 1 msg.sum = (msg.sum or 0) * 10 + s.n if msg.half and s.n == 1 then return nil, 'half' end return msg end}");
	kit_steps(&k, (const char *const[]){ "t", "t", NULL });
	assert_int_equal(kit_send(&k, "{\"half\":1}"), RENDER_SKIPPED);
	buf_add(&kept, k.rows.state.p, k.rows.state.len);
	k.call.state = kept.p;
	k.call.state_len = kept.len;
	assert_string_equal(kit_out(&k, "{}"), "{\"sum\":21}");
	buf_fini(&kept);
	kit_close(&k);
}

static void test_state(void **state)
{
	(void)state;
	struct kit k;
	struct buf kept = BUF_INIT;
	kit_begin(&k);
	kit_file(&k, "t", "return {state = {ignition = 'boolean', n = 'integer'}, transform = function(msg, ctx)\n"
			  "local s = ctx.state if s.ignition == msg.ign then return nil, 'unchanged' end\n"
			  "s.ignition = msg.ign s.n = (s.n or 0) + 1 msg.n = s.n if msg.bad then s.x = 1 end if msg.kind then s.n = 'x' end\n"
			  "if msg.fail then error('failed') end if msg.count then s.n = 99 return nil, 'counted' end return msg end}");
	kit_file(&k, "after", "return {state = {last = 'string'}, transform = function(msg, ctx) msg.last = ctx.state.last ctx.state.last = 'was ' .. tostring(msg.ign) return msg end}");
	kit_steps(&k, (const char *const[]){ "t", "after", NULL });
	assert_string_equal(kit_out(&k, "{\"ign\":true}"), "{\"ign\":true,\"n\":1}");
	assert_true(k.rows.state_changed);
	assert_string_equal(k.rows.state.p, "{\"after\":{\"last\":\"was true\"},\"t\":{\"ignition\":true,\"n\":1}}");
	buf_add(&kept, k.rows.state.p, k.rows.state.len);
	k.call.state = kept.p;
	k.call.state_len = kept.len;
	assert_int_equal(kit_send(&k, "{\"ign\":true}"), RENDER_SKIPPED);
	assert_false(k.rows.state_changed);
	assert_string_equal(kit_out(&k, "{\"ign\":false}"), "{\"ign\":false,\"n\":2,\"last\":\"was true\"}");
	assert_true(k.rows.state_changed);
	assert_int_equal(kit_send(&k, "{\"ign\":false,\"count\":1}"), RENDER_SKIPPED); /* skipped, and yet remembered */
	assert_true(k.rows.state_changed);
	assert_non_null(strstr(k.rows.state.p, "\"n\":99"));
	assert_int_equal(kit_send(&k, "{\"ign\":false,\"fail\":1}"), RENDER_FAILED);
	assert_false(k.rows.state_changed);
	assert_int_equal(kit_send(&k, "{\"ign\":false,\"bad\":1}"), RENDER_FAILED);
	assert_non_null(strstr(k.why, "ctx.state.x is not declared"));
	assert_int_equal(kit_send(&k, "{\"ign\":false,\"kind\":1}"), RENDER_FAILED);
	assert_non_null(strstr(k.why, "ctx.state.n is declared as integer, and is a string"));
	buf_fini(&kept);
	kit_close(&k);
	kit_expect_error("ctx.state.x = 1 return msg", "{}", "declares no state");
	kit_begin(&k);
	kit_file(&k, "t", "return {state = {s = 'string'}, transform = function(msg, ctx) ctx.state.s = ('x'):rep(2000) return msg end}");
	kit_steps(&k, (const char *const[]){ "t", NULL });
	assert_int_equal(kit_send(&k, "{}"), RENDER_FAILED);
	assert_non_null(strstr(k.why, "1024 is the most"));
	kit_close(&k);
}

struct far_kit { struct kit k; struct channel channel; struct destination destination; };

static void far_open(struct far_kit *f, const char *text)
{
	kit_begin(&f->k);
	kit_file(&f->k, "far", text);
	f->channel = (struct channel){ .name = "in", .format = "far" };
	f->destination = (struct destination){ .name = "out", .type = "far", .adapter = "far" };
	f->k.plan.channels = &f->channel;
	f->k.plan.nchannels = 1;
	f->k.plan.destinations = &f->destination;
	f->k.plan.ndestinations = 1;
	kit_steps(&f->k, (const char *const[]){ NULL });
}

/* What spends its budget five times in a row, or every other time, is not called any more but for one trial a second. */
static void test_what_spends_its_budget_is_suspended(void **state)
{
	(void)state;
	struct far_kit f;
	struct decoded d;
	struct arrival in = { .now_us = 5000000 };
	unsigned called = 0, suspended = 0;
	far_open(&f, "return {decode = function(bytes) if bytes == 'loop' then while true do end end return {'{}'} end}");
	decoded_init(&d);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(scripts_decode(f.k.s, &f.channel, &in, "loop", 4, &d, f.k.why, sizeof(f.k.why)), -1);
		assert_false(d.malformed);
		if (strstr(f.k.why, "is suspended"))
			suspended++;
		else
			called++;
	}
	assert_int_equal(called, 5);
	assert_int_equal(suspended, 3);
	assert_int_equal(scripts_decode(f.k.s, &f.channel, &in, "well", 4, &d, f.k.why, sizeof(f.k.why)), -1);
	/* One trial a second: the first that is well ends it. */
	for (unsigned i = 0; scripts_decode(f.k.s, &f.channel, &in, "well", 4, &d, f.k.why, sizeof(f.k.why)) < 0; i++) {
		assert_true(i < 2000);
		usleep(10000);
	}
	f.k.why[0] = '\0';
	for (called = 0; called < 20 && !strstr(f.k.why, "is suspended"); called++) {
		scripts_decode(f.k.s, &f.channel, &in, "loop", 4, &d, f.k.why, sizeof(f.k.why));
		if (!strstr(f.k.why, "is suspended"))
			scripts_decode(f.k.s, &f.channel, &in, "well", 4, &d, f.k.why, sizeof(f.k.why));
	}
	assert_true(called < 20);
	decoded_fini(&d);
	kit_close(&f.k);
}

static void test_decode(void **state)
{
	(void)state;
	struct far_kit f;
	struct decoded d;
	int conn = 0;
	const char *const names[] = { "X-Key", "Content-Type" }, *const values[] = { "k", "text/plain" };
	struct arrival in = { .peer = "192.0.2.7:1", .method = "GET", .query = "id=1%32&lat=54.6&name=a+b&id=7&flag", .nheaders = 2, .header_names = names,
		.header_values = values, .now_us = 5000000, .conn = &conn };
	far_open(&f, "return {decode = function(bytes, ctx)\n"
		     "if bytes == 'err' then error('broken frame') elseif bytes == 'num' then return 5 elseif bytes == 'bad' then return {ident = 1}\n"
		     "elseif bytes == 'used' then return {used = 99} elseif bytes == 'item' then return {5} elseif bytes == 'other' then return nil, 'no such frame' end\n"
		     "ctx.conn.n = (ctx.conn.n or 0) + 1\n"
		     "return {{ident = ctx.query.id, n = ctx.conn.n, name = ctx.query.name, flag = ctx.query.flag}, '{\"b\":1.0}', used = 3, now = ctx.headers['x-key'],\n"
		     "after = ctx.method .. ctx.now, refuse = ctx.peer} end}");
	decoded_init(&d);
	for (int i = 1; i <= 2; i++) {
		char want[128];
		if (scripts_decode(f.k.s, &f.channel, &in, "frame", 5, &d, f.k.why, sizeof(f.k.why)) < 0)
			fail_msg("%s", f.k.why);
		assert_int_equal(d.messages.n, 2);
		snprintf(want, sizeof(want), "{\"flag\":\"\",\"ident\":\"7\",\"n\":%d,\"name\":\"a b\"}{\"b\":1.0}", i);
		assert_string_equal(d.messages.bytes.p, want);
		assert_int_equal(d.used, 3);
		assert_string_equal(d.now.p, "k");
		assert_string_equal(d.after.p, "GET5.0");
		assert_string_equal(d.refuse.p, "192.0.2.7:1");
	}
	scripts_conn_end(f.k.s, conn);
	static const char *const bad[][2] = { { "err", "broken frame" }, { "num", "a number, not a table" }, { "bad", "key ident" }, { "used", "used = 99 of 4" },
		{ "item", "as message 1 a number" }, { "other", "no such frame" } };
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(scripts_decode(f.k.s, &f.channel, &in, bad[i][0], strlen(bad[i][0]), &d, f.k.why, sizeof(f.k.why)), -1);
		if (!strstr(f.k.why, bad[i][1]))
			fail_msg("%s: %s", bad[i][0], f.k.why);
		/* Only what decode itself calls none of the format is lost with the refusal; a failure is not. */
		assert_int_equal(d.malformed, i == 5);
		assert_int_equal(d.messages.n, 0);
	}
	f.channel.format = "flespi";
	struct channel other = { .name = "x", .ix = 9, .format = "flespi" };
	assert_int_equal(scripts_decode(f.k.s, &other, &in, "", 0, &d, f.k.why, sizeof(f.k.why)), -1);
	decoded_fini(&d);
	kit_close(&f.k);
}

static const struct script_item items[] = {
	{ .id = "7", .ident = "dev1", .ident_len = 4, .time_us = 1500000, .bytes = "{}", .len = 2, .device = "{\"serial\":\"S\"}" },
	{ .id = "8-1", .ident = "dev2", .ident_len = 4, .time_us = 2000000, .bytes = "ab", .len = 2 },
};
static const struct script_batch batch = { .stream = "copy", .now_us = 9000000, .n = 2, .items = items, .body = "[{},ab]", .body_len = 7 };

static void test_verdict(void **state)
{
	(void)state;
	struct far_kit f;
	struct script_judgement j;
	const char *const names[] = { "Retry-After" }, *const values[] = { "5" };
	struct script_answer a = { .status = 200, .body = "{\"failed\":[2]}", .len = 14, .nheaders = 1, .header_names = names, .header_values = values };
	far_open(&f, "local kept return {transport = 'http', verdict = function(answer, batch, ctx)\n"
		     "if answer.status == 200 then local failed = answer.json().failed local r = {} for i = 1, #batch do r[i] = 'done' end\n"
		     "  for _, i in ipairs(failed) do r[i] = {'refused', 'item ' .. batch[i].id .. batch[i].bytes .. tostring(batch[i].device.serial)} end return r end\n"
		     "if answer.status == 401 then return 'blocked', 'who are you: ' .. answer.headers['retry-after'] end\n"
		     "if answer.status == 500 then kept = batch return 'retry' end if answer.status == 501 then return kept.body end\n"
		     "if answer.status == 502 then return {'done'} end if answer.status == 503 then return 'maybe' end if answer.status == 504 then return {'done', 'split'} end\n"
		     "if answer.status == 505 then return {'done', 'done', [99] = 'refused'} end if answer.status == 506 then return {'done', 'done', why = 'x'} end\n"
		     "if answer.status == 400 then return 'split', batch.body .. batch[1].timestamp end end}");
	script_judgement_init(&j);
	assert_int_equal(scripts_verdict(f.k.s, &f.destination, &batch, &a, &j, f.k.why, sizeof(f.k.why)), 0);
	assert_true(j.has_each);
	assert_int_equal(j.each[0].verdict, SCRIPT_DONE);
	assert_int_equal(j.each[1].verdict, SCRIPT_REFUSED);
	assert_string_equal(j.words.p + j.each[1].reason, "item 8-1abnil");
	a.status = 401;
	assert_int_equal(scripts_verdict(f.k.s, &f.destination, &batch, &a, &j, f.k.why, sizeof(f.k.why)), 0);
	assert_int_equal(j.verdict, SCRIPT_BLOCKED);
	assert_false(j.has_each);
	assert_string_equal(j.words.p + j.reason, "who are you: 5");
	a.status = 400;
	assert_int_equal(scripts_verdict(f.k.s, &f.destination, &batch, &a, &j, f.k.why, sizeof(f.k.why)), 0);
	assert_int_equal(j.verdict, SCRIPT_SPLIT);
	assert_string_equal(j.words.p + j.reason, "[{},ab]1.5");
	a.status = 404;
	assert_int_equal(scripts_verdict(f.k.s, &f.destination, &batch, &a, &j, f.k.why, sizeof(f.k.why)), 0);
	assert_int_equal(j.verdict, SCRIPT_NO_OPINION);
	static const struct { int status; const char *part; } bad[] = { { 500, NULL }, { 501, "after its call" }, { 502, "1 verdicts for a batch of 2" },
		{ 503, "verdict returned maybe" }, { 504, "for one message split" }, { 505, "verdict returned a verdict [99]; the last message is [2]" },
		{ 506, "verdict returned a verdict [why]; the last message is [2]" } };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		a.status = bad[i].status;
		assert_int_equal(scripts_verdict(f.k.s, &f.destination, &batch, &a, &j, f.k.why, sizeof(f.k.why)), bad[i].part ? -1 : 0);
		if (bad[i].part && !strstr(f.k.why, bad[i].part))
			fail_msg("%d: %s", bad[i].status, f.k.why);
		assert_int_equal(j.verdict, bad[i].part ? SCRIPT_NO_OPINION : SCRIPT_RETRY);
	}
	script_judgement_fini(&j);
	kit_close(&f.k);
}

static void test_hello_and_reply(void **state)
{
	bool wait;
	(void)state;
	struct far_kit f;
	struct script_judgement j;
	struct buf out = BUF_INIT;
	size_t used;
	int conn = 0;
	far_open(&f, "return {transport = 'tcp', hello = function(ctx) ctx.conn.n = 1 return 'login ' .. ctx.ident .. '\\n' end,\n"
		     "reply = function(bytes, ctx) local v = {} for ok in bytes:gmatch('(%a+)\\n') do v[#v + 1] = ok == 'OK' and 'done' or {'refused', ok} end\n"
		     "if bytes == 'all' then return 99 end return #bytes - #bytes:match('[^\\n]*$'), #v > 0 and v or nil end}");
	script_judgement_init(&j);
	assert_int_equal(scripts_hello(f.k.s, &f.destination, 0, "dev1", &conn, &out, &wait, f.k.why, sizeof(f.k.why)), 1);
	assert_string_equal(out.p, "login dev1\n");
	assert_true(conn != 0);
	assert_int_equal(scripts_reply(f.k.s, &f.destination, 0, "dev1", &conn, "OK\nBAD\nO", 8, 3, &used, &j, f.k.why, sizeof(f.k.why)), 1);
	assert_int_equal(used, 7);
	assert_int_equal(j.n, 2);
	assert_int_equal(j.each[1].verdict, SCRIPT_REFUSED);
	assert_string_equal(j.words.p + j.each[1].reason, "BAD");
	assert_int_equal(scripts_reply(f.k.s, &f.destination, 0, "dev1", &conn, "O", 1, 3, &used, &j, f.k.why, sizeof(f.k.why)), 1);
	assert_int_equal(used, 0);
	assert_int_equal(j.n, 0);
	assert_int_equal(scripts_reply(f.k.s, &f.destination, 0, "dev1", &conn, "OK\nOK\n", 6, 1, &used, &j, f.k.why, sizeof(f.k.why)), -1);
	assert_non_null(strstr(f.k.why, "2 verdicts where 1"));
	assert_int_equal(scripts_reply(f.k.s, &f.destination, 0, "dev1", &conn, "all", 3, 1, &used, &j, f.k.why, sizeof(f.k.why)), -1);
	assert_non_null(strstr(f.k.why, "99 of 3"));
	scripts_conn_end(f.k.s, conn);
	script_judgement_fini(&j);
	buf_fini(&out);
	kit_close(&f.k);
}

static void test_topic(void **state)
{
	(void)state;
	struct kit k;
	kit_begin(&k);
	kit_file(&k, "t", "return {transform = function(msg) if msg.two then return {msg, 'x', n = 2} end return msg end,\n"
			  "topic = function(msg, ctx) if msg.bad then return 'a/#' end return msg.none == nil and 'dev/' .. ctx.ident or nil end}");
	kit_steps(&k, (const char *const[]){ "t", NULL });
	kit_out(&k, "{\"two\":1}");
	assert_int_equal(k.rows.n, 2);
	assert_string_equal(k.rows.topics.p, "dev/dev1dev/dev1");
	assert_int_equal(k.rows.topic_ends[0], 8);
	assert_int_equal(k.rows.topic_ends[1], 16);
	kit_out(&k, "{\"none\":1}");
	assert_int_equal(k.rows.topic_ends[0], 0);
	assert_int_equal(kit_send(&k, "{\"bad\":1}"), RENDER_FAILED);
	assert_non_null(strstr(k.why, "no topic"));
	kit_close(&k);
}

static void test_request_and_credentials(void **state)
{
	(void)state;
	struct far_kit f;
	struct script_request r;
	struct script_credentials c;
	struct script_answer a = { .status = 200, .body = "{\"token\":\"T\",\"expires\":3600}", .len = 28 };
	far_open(&f, "return {transport = 'http', request = function(batch, ctx) return {url = 'https://x/' .. batch[1].ident, headers = {['X-N'] = tostring(#batch)},\n"
		     "body = 'n=' .. batch.body .. '\\0'} end,\n"
		     "credentials = function(ctx) return {request = {url = 'https://auth', body = 'who=' .. ctx.now}} end,\n"
		     "token = function(answer, ctx) local t = answer.json() return {headers = {Authorization = 'Bearer ' .. t.token}}, t.expires - 60 end}");
	script_request_init(&r);
	script_credentials_init(&c);
	assert_int_equal(scripts_request(f.k.s, &f.destination, &batch, &r, f.k.why, sizeof(f.k.why)), 1);
	assert_string_equal(r.url.p, "https://x/dev1");
	assert_int_equal(r.body.len, 10);
	assert_int_equal(r.nheaders, 1);
	assert_memory_equal(r.headers.p, "X-N\0" "2", 6);
	assert_int_equal(scripts_credentials(f.k.s, &f.destination, 9000000, NULL, &c, f.k.why, sizeof(f.k.why)), 1);
	assert_true(c.wanted);
	assert_string_equal(c.request.body.p, "who=9.0");
	assert_int_equal(scripts_credentials(f.k.s, &f.destination, 9000000, &a, &c, f.k.why, sizeof(f.k.why)), 1);
	assert_false(c.wanted);
	assert_memory_equal(c.request.headers.p, "Authorization\0Bearer T", 23);
	assert_true(c.lives_us == 3540 * (int64_t)1000000);
	a.body = "{\"token\":\"T\\r\\nX: y\",\"expires\":1e20}";
	a.len = strlen(a.body);
	assert_int_equal(scripts_credentials(f.k.s, &f.destination, 9000000, &a, &c, f.k.why, sizeof(f.k.why)), -1);
	assert_non_null(strstr(f.k.why, "line break"));
	kit_close(&f.k);
	far_open(&f, "return {transport = 'http', request = function() return {url = 'https://x/a b'} end,\n"
		      "credentials = function() return nil, 'not before noon' end}");
	assert_int_equal(scripts_request(f.k.s, &f.destination, &batch, &r, f.k.why, sizeof(f.k.why)), -1);
	assert_non_null(strstr(f.k.why, "a blank or a control character at byte 12"));
	assert_int_equal(scripts_credentials(f.k.s, &f.destination, 0, NULL, &c, f.k.why, sizeof(f.k.why)), -1);
	assert_string_equal(f.k.why, "not before noon");
	script_request_fini(&r);
	script_credentials_fini(&c);
	kit_close(&f.k);
	far_open(&f, "return {transport = 'http', credentials = function() return {username = 'u', password = 'p'} end, request = function() return 5 end}");
	script_request_init(&r);
	script_credentials_init(&c);
	assert_int_equal(scripts_credentials(f.k.s, &f.destination, 0, NULL, &c, f.k.why, sizeof(f.k.why)), 1);
	assert_string_equal(c.username.p, "u");
	assert_string_equal(c.password.p, "p");
	assert_int_equal(scripts_credentials(f.k.s, &f.destination, 0, &a, &c, f.k.why, sizeof(f.k.why)), 0); /* no function token */
	assert_int_equal(scripts_request(f.k.s, &f.destination, &batch, &r, f.k.why, sizeof(f.k.why)), -1);
	script_request_fini(&r);
	script_credentials_fini(&c);
	kit_close(&f.k);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_state), cmocka_unit_test(test_state_of_another_declaration),
		cmocka_unit_test(test_one_adapter_twice_keeps_two_states), cmocka_unit_test(test_what_spends_its_budget_is_suspended), cmocka_unit_test(test_decode), cmocka_unit_test(test_verdict),
		cmocka_unit_test(test_hello_and_reply), cmocka_unit_test(test_topic),
		cmocka_unit_test(test_request_and_credentials) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
