/* A stamped message has the values set, and every other byte as it came. */
#include "message/write.h"
#include "unit.h"

static struct index ix;

/* text with the stamps of `keys` (NULL ends), each of the value below it. */
static const char *stamped(const char *text, const char *const *keys, const struct stamp *values)
{
	static struct buf out = BUF_INIT;
	struct stamp_set set;
	struct message m;
	const char *stop;
	char *padded = calloc(1, strlen(text) + MESSAGE_PAD);

	memcpy(padded, text, strlen(text));
	stamp_set_init(&set);
	for (int i = 0; keys[i]; i++)
		assert_int_equal(stamp_set_add(&set, keys[i], strlen(keys[i])), i);
	assert_int_equal(message_index(&ix, padded, padded + strlen(text), &m, &stop), JSON_OK);
	buf_clear(&out);
	buf_adds(&out, "[");
	message_stamp(&out, &m, &set, values);
	stamp_set_fini(&set);
	free(padded);

	/* What is written must be a message again. */
	size_t len = out.len;
	buf_reserve(&out, MESSAGE_PAD);
	memset(out.p + len, 0, MESSAGE_PAD);
	assert_int_equal(message_index(&ix, out.p + 1, out.p + len, &m, &stop), JSON_OK);
	assert_ptr_equal(stop, out.p + len);
	return out.p + 1;
}

#define V(t) { .p = t, .n = sizeof(t) - 1 }

static void test_in_place_and_behind(void **state)
{
	(void)state;
	const char *const keys[] = { "server.timestamp", "peer", "a\"b", NULL };
	const struct stamp values[] = { V("17.5"), V("\"::1\""), V("null") };
	assert_string_equal(stamped("{}", keys, values), "{\"server.timestamp\":17.5,\"peer\":\"::1\",\"a\\\"b\":null}");
	assert_string_equal(stamped("{ }", keys, values), "{\"server.timestamp\":17.5,\"peer\":\"::1\",\"a\\\"b\":null }");
	assert_string_equal(stamped("{\"x\":1.0}", keys, values), "{\"x\":1.0,\"server.timestamp\":17.5,\"peer\":\"::1\",\"a\\\"b\":null}");
	assert_string_equal(stamped("{\"peer\":\"10.0.0.1\",\"x\":1.0,\"server.timestamp\" : 3 }", keys, values),
		"{\"peer\":\"::1\",\"x\":1.0,\"server.timestamp\" : 17.5,\"a\\\"b\":null }");
	assert_string_equal(stamped("{\"a\\\"b\":{\"peer\":1},\"p\\u0065er\":[],\"server.timestamp\":{}}", keys, values),
		"{\"a\\\"b\":null,\"p\\u0065er\":\"::1\",\"server.timestamp\":17.5}");
	assert_string_equal(stamped("{\"n\":12345678901234567890,\"d\":0.10000000000000000555,\"e\":1E400,\"s\":\"\\u00e9\\/\"}", keys, values),
		"{\"n\":12345678901234567890,\"d\":0.10000000000000000555,\"e\":1E400,\"s\":\"\\u00e9\\/\",\"server.timestamp\":17.5,\"peer\":\"::1\",\"a\\\"b\":null}");
}

static void test_kept_and_left_out(void **state)
{
	(void)state;
	const char *const keys[] = { "timestamp", "device.id", "x", NULL };
	const struct stamp values[] = { { .p = NULL }, { .p = "7", .n = 1, .keep = true }, V("1") };
	assert_string_equal(stamped("{\"timestamp\":1,\"device.id\":5}", keys, values), "{\"timestamp\":1,\"device.id\":5,\"x\":1}");
	assert_string_equal(stamped("{\"y\":2}", keys, values), "{\"y\":2,\"device.id\":7,\"x\":1}");
	const struct stamp none[3] = { { .p = NULL } };
	assert_string_equal(stamped("{\"x\" :2 }", keys, none), "{\"x\" :2 }");
	assert_string_equal(stamped("{}", keys, none), "{}");
}

static void test_one_line(void **state)
{
	(void)state;
	const char *const keys[] = { "x", NULL };
	const struct stamp values[] = { V("1") };
	assert_string_equal(stamped("{\n\t\"a\":\"\\n\",\r\n\t\"x\": 2,\n\t\"o\": [\n1]\n}", keys, values), "{ \t\"a\":\"\\n\",  \t\"x\": 1, \t\"o\": [ 1] }");
}

static void test_full_sets(void **state)
{
	(void)state;
	struct stamp_set set;
	struct stamp values[STAMPS_MAX];
	struct buf text = BUF_INIT, out = BUF_INIT;
	struct message m;
	const char *stop;
	char key[32];

	stamp_set_init(&set);
	for (int i = 0; i < STAMPS_MAX - 1; i++) {
		int n = snprintf(key, sizeof(key), "key.%d", i);
		assert_int_equal(stamp_set_add(&set, key, (size_t)n), i);
		values[i] = (struct stamp){ .p = "0", .n = 1 };
	}
	assert_int_equal(stamp_set_add(&set, "key.77", 6), 77);
	assert_int_equal(stamp_set_add(&set, "one.more", 8), -1);
	buf_adds(&text, "{");
	for (int i = 0; i < STAMPS_MAX; i++)
		buf_addf(&text, "%s\"key.%d\":%d", i ? "," : "", i * 2, i + 1);
	buf_adds(&text, "}");
	buf_reserve(&text, MESSAGE_PAD);
	memset(text.p + text.len, 0, MESSAGE_PAD);
	assert_int_equal(message_index(&ix, text.p, text.p + text.len, &m, &stop), JSON_OK);
	message_stamp(&out, &m, &set, values);
	size_t len = out.len;
	buf_reserve(&out, MESSAGE_PAD);
	memset(out.p + len, 0, MESSAGE_PAD);
	assert_int_equal(message_index(&ix, out.p, out.p + len, &m, &stop), JSON_OK);
	assert_int_equal(m.n, STAMPS_MAX + (STAMPS_MAX - 1) / 2);
	for (unsigned i = 0; i < m.n; i++) {
		int64_t v, number = strtol(m.bytes + m.slices[i].key + 4, NULL, 10);
		assert_int_equal(slice_int64(&m, &m.slices[i], &v), 0);
		assert_int_equal(v, number < STAMPS_MAX - 1 ? 0 : number / 2 + 1);
	}
	stamp_set_fini(&set);
	buf_fini(&text);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_place_and_behind),
		cmocka_unit_test(test_kept_and_left_out),
		cmocka_unit_test(test_one_line),
		cmocka_unit_test(test_full_sets),
	};
	index_init(&ix);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	index_fini(&ix);
	return failed;
}
