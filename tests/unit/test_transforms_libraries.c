/* What scripts are given: crypto, geo, time, log. Known answers from RFC 4231, RFC 4648, FIPS 180 and openssl(1). */
#include "transforms_kit.h"

static void says(const char *expression, const char *want)
{
	struct buf body = BUF_INIT;
	buf_addf(&body, "return table.concat({%s}, ' ')", expression);
	kit_expect(body.p, "{}", want);
	buf_fini(&body);
}

static void test_crypto(void **state)
{
	(void)state;
	says("crypto.hex(crypto.sha256('abc'))", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	says("crypto.hex(crypto.sha1('abc')), crypto.hex(crypto.md5(''))", "a9993e364706816aba3e25717850c26c9cd0d89d d41d8cd98f00b204e9800998ecf8427e");
	says("crypto.hex(crypto.hmac_sha256('Jefe', 'what do ya want for nothing?'))", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	says("crypto.base64(''), crypto.base64('f'), crypto.base64('fo'), crypto.base64('foobar'), crypto.base64('\\xff\\xef\\xbe')", " Zg== Zm8= Zm9vYmFy /+++");
	says("crypto.base64url('\\xff\\xef\\xbe'), crypto.base64url('f')", "_--- Zg");
	says("crypto.unbase64('Zm9vYmFy'), crypto.unbase64('Zm8='), crypto.unbase64('Zg'), crypto.hex(crypto.unbase64('_--_'))", "foobar fo f ffefbf");
	says("tostring(crypto.unbase64('Z')), tostring(crypto.unbase64('Zg=x')), tostring(crypto.unbase64('*')), '<' .. crypto.unbase64('') .. '>'", "nil nil nil <>");
	kit_expect_error("crypto.sign_rs256('no key', 'x')", "{}", "not an RSA private key");
	kit_expect_error("crypto.sha256()", "{}", "bad argument #1 to 'sha256'");
	kit_expect_error("local s = ('x'):rep(1000000) while true do crypto.sha256(s) end", "{}", "too");
}

/* A signature made here is checked by openssl(1) with the public half. */
static void test_rs256(void **state)
{
	(void)state;
	struct kit k;
	struct buf before = BUF_INIT, command = BUF_INIT;
	char dir[] = "/tmp/sluice-rs256-XXXXXX", line[256], path[64];
	assert_non_null(mkdtemp(dir));
	buf_addf(&command, "cd %s && openssl genrsa -out key 2048 2>/dev/null && openssl rsa -in key -pubout -out pub 2>/dev/null && printf data >data", dir);
	assert_int_equal(system(command.p), 0);
	buf_adds(&before, "local key = [[");
	snprintf(path, sizeof(path), "%s/key", dir);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		buf_adds(&before, line);
	fclose(f);
	buf_adds(&before, "]]");
	kit_open(&k, before.p, "return crypto.sign_rs256(key, 'data')");
	kit_out(&k, "{}");
	snprintf(path, sizeof(path), "%s/sig", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fwrite(k.rows.bytes.p, 1, k.rows.bytes.len, f);
	fclose(f);
	kit_close(&k);
	buf_clear(&command);
	buf_addf(&command, "cd %s && openssl dgst -sha256 -verify pub -signature sig data >/dev/null", dir);
	assert_int_equal(system(command.p), 0);
	/* Under a passphrase its file could ask for any number of rounds. */
	buf_clear(&command);
	buf_addf(&command, "cd %s && openssl pkcs8 -topk8 -v2 aes128 -passout pass:x -in key -out locked", dir);
	assert_int_equal(system(command.p), 0);
	buf_clear(&before);
	buf_adds(&before, "local key = [[");
	snprintf(path, sizeof(path), "%s/locked", dir);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		buf_adds(&before, line);
	fclose(f);
	buf_adds(&before, "]]");
	kit_open(&k, before.p, "return crypto.sign_rs256(key, 'data')");
	assert_int_equal(kit_send(&k, "{}"), RENDER_FAILED);
	assert_non_null(strstr(k.why, "without a passphrase"));
	kit_close(&k);
	kit_expect_error("crypto.sign_rs256(('x'):rep(5000), 'x')", "{}", "4096 bits are the most");
	buf_clear(&command);
	buf_addf(&command, "rm -r %s", dir);
	assert_int_equal(system(command.p), 0);
	buf_fini(&before);
	buf_fini(&command);
}

static void test_geo(void **state)
{
	(void)state;
	says("math.floor(geo.distance(54.687157, 25.279652, 52.229676, 21.012229) / 1000 + 0.5)", "393"); /* Vilnius to Warsaw */
	says("math.floor(geo.distance(0, 0, 0, 180) + 0.5), geo.distance(1, 2, 1, 2)", "20015114 0.0");
	says("geo.bearing(0, 0, 1, 0), geo.bearing(0, 0, 0, 1), geo.bearing(0, 0, -1, 0), math.floor(geo.bearing(0, 0, 0, -1) + 0.5)", "0.0 90.0 180.0 270");
	says("tostring(geo.valid(45.1, 14)), tostring(geo.valid(0, 0)), tostring(geo.valid(91, 0)), tostring(geo.valid(nil, 1)), tostring(geo.valid('1', 1)), tostring(geo.valid(0/0, 1))",
		"true false false false false false");
	says("tostring(geo.inside(1, 1, {{0, 0}, {0, 2}, {2, 2}, {2, 0}})), tostring(geo.inside(3, 1, {{0, 0}, {0, 2}, {2, 2}, {2, 0}}))", "true false");
	kit_expect_error("geo.inside(1, 1, {{0, 0}, {0, 2}})", "{}", "three corners");
	kit_expect_error("geo.inside(1, 1, {1, 2, 3})", "{}", "corner 3");
}

static void test_time(void **state)
{
	(void)state;
	says("time.iso(0), time.iso(1732300000.123, 3), time.iso(-1), time.iso(951782400), time.iso(253402300799)",
		"1970-01-01T00:00:00Z 2024-11-22T18:26:40.123Z 1969-12-31T23:59:59Z 2000-02-29T00:00:00Z 9999-12-31T23:59:59Z");
	says("time.parse('2024-11-22T18:26:40Z'), time.parse('2024-11-22T19:26:40.5+01:00'), tostring(time.parse('yesterday'))", "1732300000 1732300000.5 nil");
	says("time.seconds{year = 2000, month = 2, day = 29, hour = 1, min = 2, sec = 3}, time.seconds{year = 1969, month = 12, day = 31}", "951786123 -86400");
	kit_expect("local t, n = {}, 0 for s = -62167219200, 253402300799, 86400 * 1009 + 12345 do local u = time.utc(s) if time.seconds(u) ~= s then return time.iso(s) end n = n + 1 end return 'same ' .. n",
		"{}", "same 3620");
	says("json.encode(time.utc(1732300000.25))", "{\"day\":22,\"hour\":18,\"min\":26,\"month\":11,\"sec\":40,\"usec\":250000,\"year\":2024}");
	kit_expect_error("time.seconds{year = 2023, month = 2, day = 29}", "{}", "day is 29");
	kit_expect_error("time.seconds{year = 2023, month = 2}", "{}", "day is missing");
	kit_expect_error("time.iso(1e18)", "{}", "years 0 to 9999");
}

static void test_log(void **state)
{
	(void)state;
	struct kit k;
	char line[1024];
	int lines = 0, saved = dup(2);
	FILE *told = tmpfile();
	assert_non_null(told);
	kit_open(&k, "", "for i = 1, 50 do log.info('number', i, msg.a) end log.debug('not shown') return msg");
	dup2(fileno(told), 2);
	kit_out(&k, "{\"a\":\"x\\ny\"}");
	dup2(saved, 2);
	close(saved);
	rewind(told);
	while (fgets(line, sizeof(line), told)) {
		if (lines++ == 0 && !strstr(line, "info adapter/t script text=\"number 1 x\\ny\""))
			fail_msg("%s", line);
	}
	assert_int_equal(lines, 10); /* the rest is counted */
	fclose(told);
	kit_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_crypto), cmocka_unit_test(test_rs256), cmocka_unit_test(test_geo), cmocka_unit_test(test_time),
		cmocka_unit_test(test_log) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
