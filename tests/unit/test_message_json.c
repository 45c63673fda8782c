/* What is JSON and what is not, where the fault lies, and that every build of the pass says the same, byte for byte. */
#include "message_builds.h"

struct text { const char *text; enum json_fault fault; int stop; size_t len; };

/* stop -1: at the end of the text. len 0: strlen. */
#define OK(t) { t, JSON_OK, -1, 0 }
#define NO(t, f, s) { t, f, s, 0 }
#define NUL(t, f, s) { t, f, s, sizeof(t) - 1 }

static const struct text cases[] = {
	/* objects */
	OK("{}"), OK(" { } "), OK("\t\r\n{\n}"), OK("{\"a\":1}"), OK("{ \"a\" : 1 , \"b\" : 2 }"), OK("{\"\":0}"), OK("{\"a\":\"\"}"),
	OK("{\"a\":1,\"A\":2,\"b\":3}"), OK("{\"a\":true,\"b\":false,\"c\":null}"),
	NO("", JSON_SYNTAX, -1), NO("   ", JSON_SYNTAX, -1), NO("{", JSON_SYNTAX, -1), NO("{ ", JSON_SYNTAX, -1), NO("}", JSON_SYNTAX, 0),
	NO("{,}", JSON_SYNTAX, 1), NO("{\"a\"}", JSON_SYNTAX, 4), NO("{\"a\":}", JSON_SYNTAX, 5), NO("{\"a\" 1}", JSON_SYNTAX, 5),
	NO("{\"a\":1,}", JSON_SYNTAX, 7), NO("{\"a\":1 \"b\":2}", JSON_SYNTAX, 7), NO("{\"a\":1,,\"b\":2}", JSON_SYNTAX, 7),
	NO("{\"a\"::1}", JSON_SYNTAX, 5), NO("{a:1}", JSON_SYNTAX, 1), NO("{'a':1}", JSON_SYNTAX, 1), NO("{1:1}", JSON_SYNTAX, 1),
	NO("{null:1}", JSON_SYNTAX, 1), NO("{\"a\":1", JSON_SYNTAX, -1), NO("{\"a\":1,", JSON_SYNTAX, -1), NO("{\"a\":1,\"b\"", JSON_SYNTAX, -1),
	NO("{\"a\":1]", JSON_SYNTAX, 6), NO("{\"a\":1;\"b\":2}", JSON_SYNTAX, 6), NO("{\"a\":1/**/}", JSON_SYNTAX, 6), NO("{\"a\":1}}", JSON_OK, 7),
	NO("{}{}", JSON_OK, 2), NO("{}x", JSON_OK, 2), NO("{\"a\":\"b\"\"c\":1}", JSON_SYNTAX, 8), NO("{\"a\":{},}", JSON_SYNTAX, 8),
	NO("{[]:1}", JSON_SYNTAX, 1), NO("{\"a\":1}\v", JSON_OK, 7), NO("\v{}", JSON_SYNTAX, 0), NO("\xC2\xA0{}", JSON_SYNTAX, 0),
	NO("{\f}", JSON_SYNTAX, 1), NO("\xEF\xBB\xBF{}", JSON_SYNTAX, 0), NUL("\0{}", JSON_SYNTAX, 0), NUL("{\"a\":1\0}", JSON_SYNTAX, 6),
	NUL("{\0\"a\":1}", JSON_SYNTAX, 1),
	/* what is no object */
	NO("[]", JSON_NOT_OBJECT, 2), NO("[{}]", JSON_NOT_OBJECT, 4), NO("1", JSON_NOT_OBJECT, 1), NO("-0.5e-3 ", JSON_NOT_OBJECT, 7),
	NO("\"a\"", JSON_NOT_OBJECT, 3), NO("true", JSON_NOT_OBJECT, 4), NO(" null,", JSON_NOT_OBJECT, 5), NO("nul", JSON_SYNTAX, -1),
	NO("nulL", JSON_SYNTAX, 3), NO("\"a", JSON_SYNTAX, -1), NO("[", JSON_SYNTAX, -1), NO("1.", JSON_SYNTAX, -1), NO("-", JSON_SYNTAX, -1),
	NO("12", JSON_NOT_OBJECT, 2), NO("1e", JSON_SYNTAX, -1), NO("x", JSON_SYNTAX, 0), NO("+1", JSON_SYNTAX, 0), NO("NaN", JSON_SYNTAX, 0),
	/* arrays */
	OK("{\"a\":[]}"), OK("{\"a\":[1]}"), OK("{\"a\":[ 1 , 2 ]}"), OK("{\"a\":[[],[[]],{}]}"), OK("{\"a\":[1,\"b\",null,true,{\"c\":[]}]}"),
	NO("{\"a\":[1,]}", JSON_SYNTAX, 8), NO("{\"a\":[,1]}", JSON_SYNTAX, 6), NO("{\"a\":[1 2]}", JSON_SYNTAX, 8), NO("{\"a\":[1}", JSON_SYNTAX, 7),
	NO("{\"a\":[1", JSON_SYNTAX, -1), NO("{\"a\":[", JSON_SYNTAX, -1), NO("{\"a\":[\"b\":1]}", JSON_SYNTAX, 9), NO("{\"a\":]}", JSON_SYNTAX, 5),
	NO("{\"a\":[1,,2]}", JSON_SYNTAX, 8), NO("{\"a\":[-]}", JSON_SYNTAX, 7), NO("{\"a\":[01]}", JSON_SYNTAX, 7), NO("{\"a\":[\"\t\"]}", JSON_SYNTAX, 7),
	NO("{\"a\":[\"\xFF\"]}", JSON_UTF8, 7), NO("{\"a\":[nope]}", JSON_SYNTAX, 7),
	/* nested objects; their keys may repeat */
	OK("{\"a\":{\"b\":{\"c\":1}}}"), OK("{\"a\":{\"b\":1,\"b\":2}}"), OK("{\"a\":{ }}"), OK("{\"a\":{\"b\" : [ ] , \"c\":{} } }"),
	NO("{\"a\":{\"b\"}}", JSON_SYNTAX, 9), NO("{\"a\":{\"b\":}}", JSON_SYNTAX, 10), NO("{\"a\":{b:1}}", JSON_SYNTAX, 6), NO("{\"a\":{\"b\":1]}", JSON_SYNTAX, 11),
	NO("{\"a\":{\"b\":1,}}", JSON_SYNTAX, 12), NO("{\"a\":{,}}", JSON_SYNTAX, 6), NO("{\"a\":{\"b\":1", JSON_SYNTAX, -1), NO("{\"a\":{\"b", JSON_SYNTAX, -1),
	/* numbers */
	OK("{\"a\":0}"), OK("{\"a\":-0}"), OK("{\"a\":0.0}"), OK("{\"a\":-1}"), OK("{\"a\":10}"), OK("{\"a\":1.5}"), OK("{\"a\":1e5}"), OK("{\"a\":1E+5}"),
	OK("{\"a\":1e-5}"), OK("{\"a\":0e0}"), OK("{\"a\":1e00}"), OK("{\"a\":1E400}"), OK("{\"a\":123456789012345678901234567890}"), OK("{\"a\":-0.0e-0}"),
	OK("{\"a\":0.1234567890123456789012345678901234567890123456789012345678901234567890}"), OK("{\"a\":1.0}"), OK("{\"a\":100.0,\"b\":-1.50}"),
	OK("{\"a\":1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000}"),
	NO("{\"a\":01}", JSON_SYNTAX, 6), NO("{\"a\":-01}", JSON_SYNTAX, 7), NO("{\"a\":00}", JSON_SYNTAX, 6), NO("{\"a\":1.}", JSON_SYNTAX, 7),
	NO("{\"a\":.5}", JSON_SYNTAX, 5), NO("{\"a\":-.5}", JSON_SYNTAX, 6), NO("{\"a\":-}", JSON_SYNTAX, 6), NO("{\"a\":+1}", JSON_SYNTAX, 5),
	NO("{\"a\":1e}", JSON_SYNTAX, 7), NO("{\"a\":1e+}", JSON_SYNTAX, 8), NO("{\"a\":1.e1}", JSON_SYNTAX, 7), NO("{\"a\":1e1.5}", JSON_SYNTAX, 8),
	NO("{\"a\":0x10}", JSON_SYNTAX, 6), NO("{\"a\":1a}", JSON_SYNTAX, 6), NO("{\"a\":--1}", JSON_SYNTAX, 6), NO("{\"a\":1.2.3}", JSON_SYNTAX, 8),
	NO("{\"a\":Infinity}", JSON_SYNTAX, 5), NO("{\"a\":-Infinity}", JSON_SYNTAX, 6), NO("{\"a\":NaN}", JSON_SYNTAX, 5), NO("{\"a\":1_000}", JSON_SYNTAX, 6),
	NO("{\"a\":1 2}", JSON_SYNTAX, 7), NO("{\"a\":1.5e}", JSON_SYNTAX, 9), NO("{\"a\":\xEF\xBC\x91}", JSON_SYNTAX, 5), NO("{\"a\":1.", JSON_SYNTAX, -1),
	NO("{\"a\":012,\"b\":1}", JSON_SYNTAX, 6), NO("{\"a\":1.,\"b\":1}", JSON_SYNTAX, 7), NO("{\"a\":-,\"b\":1}", JSON_SYNTAX, 6), NO("{\"a\":,\"b\":1}", JSON_SYNTAX, 5),
	NO("{\"a\":1.2.3,\"b\":1}", JSON_SYNTAX, 8), NO("{\"a\":1-2,\"b\":1}", JSON_SYNTAX, 6), NO("{\"a\":1e5x,\"b\":1}", JSON_SYNTAX, 8),
	/* words */
	NO("{\"a\":tru}", JSON_SYNTAX, 8), NO("{\"a\":True}", JSON_SYNTAX, 5), NO("{\"a\":truee}", JSON_SYNTAX, 9), NO("{\"a\":nul", JSON_SYNTAX, -1),
	NO("{\"a\":falsee,\"b\":1}", JSON_SYNTAX, 10), NO("{\"a\":undefined}", JSON_SYNTAX, 5), NO("{\"a\":truf,\"b\":1}", JSON_SYNTAX, 8),
	/* strings: escapes */
	OK("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}"), OK("{\"a\":\"\\u0000\\u00e9\\uD83D\\uDE00\"}"), OK("{\"a\":\"\\ud800\"}"), OK("{\"a\":\"\\udc00\\ud800\"}"),
	OK("{\"\\u0061\":1,\"b\":2}"), OK("{\"a\\\"b\":1}"), OK("{\"a\":\"x\\\\\"}"), OK("{\"a\":\"\\uaBcD\"}"), OK("{\"a\":\"\x7F\"}"), OK("{\"a\":\"/\"}"),
	NO("{\"a\":\"\\x41\"}", JSON_SYNTAX, 7), NO("{\"a\":\"\\'\"}", JSON_SYNTAX, 7), NO("{\"a\":\"\\u12\"}", JSON_SYNTAX, 10), NO("{\"a\":\"\\u12g4\"}", JSON_SYNTAX, 10),
	NO("{\"a\":\"\\U0041\"}", JSON_SYNTAX, 7), NO("{\"a\":\"\\\"}", JSON_SYNTAX, -1), NO("{\"a\":\"\\", JSON_SYNTAX, -1), NO("{\"a\":\"\\u00", JSON_SYNTAX, -1),
	NO("{\"a\":\"b", JSON_SYNTAX, -1), NO("{\"a\":\"b\\\"}", JSON_SYNTAX, -1), NO("{\"a\\:1}", JSON_SYNTAX, 4), NO("{\"a\":\"\\0\"}", JSON_SYNTAX, 7),
	NO("{\"a\":\"\\\n\"}", JSON_SYNTAX, 7), NO("{\"a\":\"\\u 041\"}", JSON_SYNTAX, 8), NO("{\"a\":\"\\u-041\"}", JSON_SYNTAX, 8), NO("{\"a\":\"\\a\"}", JSON_SYNTAX, 7),
	/* strings: control characters */
	NO("{\"a\":\"\n\"}", JSON_SYNTAX, 6), NO("{\"a\":\"\t\"}", JSON_SYNTAX, 6), NO("{\"a\":\"\x1F\"}", JSON_SYNTAX, 6), NUL("{\"a\":\"\0\"}", JSON_SYNTAX, 6),
	NO("{\"a\nb\":1}", JSON_SYNTAX, 3), NUL("{\"a\0\":1}", JSON_SYNTAX, 3), NO("{\"a\":\"\x01\",\"b\":1}", JSON_SYNTAX, 6), NO("{\"a\r\":1,\"b\":1}", JSON_SYNTAX, 3),
	/* strings: UTF-8 */
	OK("{\"a\":\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"}"), OK("{\"\xC5\xA1\":1}"), OK("{\"a\":\"\xED\x9F\xBF\xEE\x80\x80\"}"), OK("{\"a\":\"\xF4\x8F\xBF\xBF\"}"),
	OK("{\"a\":\"\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80\"}"), OK("{\"a\":\"\xEF\xBB\xBF\"}"), OK("{\"a\":\"\xEF\xBF\xBE\"}"),
	NO("{\"a\":\"\xFF\"}", JSON_UTF8, 6), NO("{\"a\":\"\xC0\xAF\"}", JSON_UTF8, 6), NO("{\"a\":\"\xC1\xBF\"}", JSON_UTF8, 6), NO("{\"a\":\"\xE0\x9F\xBF\"}", JSON_UTF8, 6),
	NO("{\"a\":\"\xF0\x8F\xBF\xBF\"}", JSON_UTF8, 6), NO("{\"a\":\"\xED\xA0\x80\"}", JSON_UTF8, 6), NO("{\"a\":\"\xED\xBF\xBF\"}", JSON_UTF8, 6),
	NO("{\"a\":\"\xF4\x90\x80\x80\"}", JSON_UTF8, 6), NO("{\"a\":\"\xF5\x80\x80\x80\"}", JSON_UTF8, 6), NO("{\"a\":\"\x80\"}", JSON_UTF8, 6), NO("{\"a\":\"\xC3\"}", JSON_UTF8, 6),
	NO("{\"a\":\"\xE2\x82\"}", JSON_UTF8, 6), NO("{\"a\":\"\xF0\x9F\x98\"}", JSON_UTF8, 6), NO("{\"a\":\"\xC3", JSON_UTF8, 6), NO("{\"a\":\"\xE2\x82", JSON_UTF8, 6),
	NO("{\"\xFE\":1}", JSON_UTF8, 2), NO("{\"a\":\"x\xC3\xA9y\xC3(\"}", JSON_UTF8, 10), NO("{\"a\":\"\xF8\x88\x80\x80\x80\"}", JSON_UTF8, 6),
	NO("{\"a\":\xFF}", JSON_SYNTAX, 5), NO("{\"a\":1,\"\xC0\x80\":2}", JSON_UTF8, 8), NO("{\"a\":\"b\xE9\",\"c\":1}", JSON_UTF8, 7),
	/* keys that stand twice */
	NO("{\"a\":1,\"a\":2}", JSON_DUPLICATE, -1), NO("{\"a\":1,\"b\":2,\"a\":1} ", JSON_DUPLICATE, 19), NO("{\"\":1,\"\":2}", JSON_DUPLICATE, -1),
	NO("{\"a\":1,\"\\u0061\":2}", JSON_DUPLICATE, -1), NO("{\"\\u0061\":1,\"a\":2}", JSON_DUPLICATE, -1), NO("{\"\\u0061\":1,\"\\u0061\":2}", JSON_DUPLICATE, -1),
	NO("{\"\xC3\xA9\":1,\"\\u00E9\":2}", JSON_DUPLICATE, -1), NO("{\"/\":1,\"\\/\":2}", JSON_DUPLICATE, -1), NO("{\"\\ud83d\\ude00\":1,\"\xF0\x9F\x98\x80\":2}", JSON_DUPLICATE, -1),
	NO("{\"position.latitude\":1,\"position.longitude\":2,\"position.latitude\":3}", JSON_DUPLICATE, -1), NO("{\"a\":1,\"a\":2", JSON_SYNTAX, -1),
	NO("{\"a\":1,\"a\":x}", JSON_SYNTAX, 11), NO("{\"a\":1,\"a\":2,\"b\":\"\xFF\"}", JSON_UTF8, 18), OK("{\"a\":1,\"a\\u0000\":2}"), OK("{\"aaaaaaaa\":1,\"aaaaaaaaa\":2,\"aaaaaaa\":3}"),
	OK("{\"aaaaaaaabbbbbbbbccccccccdddddddd\":1,\"aaaaaaaabbbbbbbbCcccccccdddddddd\":2}"), NO("{\"\\ud800\":1,\"\\ufffd\":2}", JSON_DUPLICATE, -1),
};

static void check(struct edge *e, struct index *ix, const struct text *c, size_t blanks, const char *behind)
{
	size_t len = c->len ? c->len : strlen(c->text);
	char *padded = malloc(len + blanks + 1);
	struct message m;
	const char *stop;

	memset(padded, ' ', blanks);
	memcpy(padded + blanks, c->text, len);
	const char *p = edge_put(e, padded, len + blanks, behind);
	enum json_fault fault = index_all(ix, p, p + len + blanks, &m, &stop);
	size_t want = blanks + (c->stop >= 0 ? (size_t)c->stop : len);
	if (fault == JSON_OK && c->fault == JSON_OK && c->stop < 0)
		while (stop < p + len + blanks && strchr(" \t\r\n", *stop))
			stop++;
	if (fault != c->fault || (size_t)(stop - p) != want)
		fail_msg("%.*s: fault %d at %ld, not %d at %zu", (int)len, c->text, (int)fault, (long)(stop - p), (int)c->fault, want);
	free(padded);
}

static const char *const behinds[] = { " ", "\"", "}", "1", "\\", ",\"k\":1}", "\"}", "\x80\xBF", ":", "e5,", "l,\"u\":null}" };

static void test_grammar(void **state)
{
	(void)state;
	struct edge e;
	struct index ix[4];
	edge_init(&e, 4096);
	for (int i = 0; i < 4; i++)
		index_init(&ix[i]);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		for (size_t k = 0; k < sizeof(behinds) / sizeof(*behinds); k++)
			check(&e, ix, &cases[i], k, behinds[k]);
	for (int i = 0; i < 4; i++)
		index_fini(&ix[i]);
	edge_fini(&e);
}

/* Every case as the value, the string or the tail of a message long enough to lie across blocks of 16, 32 and 64 bytes. */
static void test_grammar_at_every_alignment(void **state)
{
	(void)state;
	struct edge e;
	struct index ix[4];
	edge_init(&e, 4096);
	for (int i = 0; i < 4; i++)
		index_init(&ix[i]);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct text *c = &cases[i];
		size_t len = c->len ? c->len : strlen(c->text);
		if (len < 2 || c->text[0] != '{' || c->text[1] != '"')
			continue;
		for (size_t fill = 0; fill < 130; fill++) {
			char text[1024] = "{\"fill\":\"";
			size_t n = 9, stop_want;
			memset(text + n, 'x', fill);
			n += fill;
			memcpy(text + n, "\",", 2);
			n += 2;
			memcpy(text + n, c->text + 1, len - 1);
			struct text moved = { text, c->fault, -1, n + len - 1 };
			stop_want = c->stop >= 0 ? (size_t)c->stop - 1 + n : 0;
			moved.stop = c->stop >= 0 ? (int)stop_want : -1;
			check(&e, ix, &moved, 0, behinds[fill % (sizeof(behinds) / sizeof(*behinds))]);
		}
	}
	for (int i = 0; i < 4; i++)
		index_fini(&ix[i]);
	edge_fini(&e);
}

static void test_slices_of_a_message(void **state)
{
	(void)state;
	static const char text[] = " {\"ident\":\"35\", \"n\" : -1.50e3,\"t\":true,\"f\":false,\"z\":null,\"o\":{\"x\":[1, \"}\"]},\"l\":[],\"e\\n\":\"q\\\"\"} ,";
	static const struct { const char *key, *value; enum slice_kind kind; int escaped; } want[] = {
		{ "ident", "\"35\"", SLICE_STRING, 0 }, { "n", "-1.50e3", SLICE_NUMBER, 0 }, { "t", "true", SLICE_TRUE, 0 },
		{ "f", "false", SLICE_FALSE, 0 }, { "z", "null", SLICE_NULL, 0 }, { "o", "{\"x\":[1, \"}\"]}", SLICE_OBJECT, 0 },
		{ "l", "[]", SLICE_ARRAY, 0 }, { "e\\n", "\"q\\\"\"", SLICE_STRING, SLICE_KEY_ESCAPED | SLICE_VALUE_ESCAPED },
	};
	struct edge e;
	struct index ix[4];
	struct message m;
	const char *stop;
	edge_init(&e, sizeof(text));
	for (int i = 0; i < 4; i++)
		index_init(&ix[i]);
	const char *p = edge_put(&e, text, sizeof(text) - 1, " ");
	assert_int_equal(index_all(ix, p, e.end, &m, &stop), JSON_OK);
	assert_ptr_equal(m.bytes, p + 1);
	assert_ptr_equal(stop, e.end - 2);
	assert_int_equal(m.len, sizeof(text) - 4);
	assert_int_equal(m.n, 8);
	assert_false(m.lines);
	for (unsigned i = 0; i < 8; i++) {
		const struct slice *s = &m.slices[i];
		assert_int_equal(s->klen, strlen(want[i].key));
		assert_memory_equal(m.bytes + s->key, want[i].key, s->klen);
		assert_int_equal(s->vlen, strlen(want[i].value));
		assert_memory_equal(m.bytes + s->value, want[i].value, s->vlen);
		assert_int_equal(s->kind, want[i].kind);
		assert_int_equal(s->escaped, want[i].escaped);
	}
	p = edge_put(&e, "\n{\"a\":1}", 8, " ");
	assert_int_equal(index_all(ix, p, e.end, &m, &stop), JSON_OK);
	assert_false(m.lines); /* what stands before the message is none of it */
	p = edge_put(&e, "{\"a\":[1,\r2]}", 12, " ");
	assert_int_equal(index_all(ix, p, e.end, &m, &stop), JSON_OK);
	assert_true(m.lines);
	for (int i = 0; i < 4; i++)
		index_fini(&ix[i]);
	edge_fini(&e);
}

static void add_fields(struct buf *b, unsigned n)
{
	buf_clear(b);
	buf_adds(b, "{");
	for (unsigned i = 0; i < n; i++)
		buf_addf(b, "%s\"key.%u\":%u", i ? "," : "", i, i);
	buf_adds(b, "}");
}

static void test_bounds(void **state)
{
	(void)state;
	struct edge e;
	struct index ix[4];
	struct message m;
	const char *stop, *p;
	struct buf b = BUF_INIT;
	edge_init(&e, 300000);
	for (int i = 0; i < 4; i++)
		index_init(&ix[i]);

	/* Fields: growing must not forget which keys were seen. */
	for (unsigned n = 60; n <= MESSAGE_FIELDS_MAX; n = n < 70 ? n + 1 : n * 2 > 1024 && n < 1024 ? 1024 : n * 2) {
		add_fields(&b, n);
		p = edge_put(&e, b.p, b.len, " ");
		assert_int_equal(index_all(ix, p, e.end, &m, &stop), JSON_OK);
		assert_int_equal(m.n, n);
	}
	add_fields(&b, MESSAGE_FIELDS_MAX + 1);
	p = edge_put(&e, b.p, b.len, " ");
	assert_int_equal(index_all(ix, p, e.end, &m, &stop), JSON_TOO_MANY);
	assert_ptr_equal(stop, e.end);
	for (int i = 0; i < 4; i++) {
		index_fini(&ix[i]);
		index_init(&ix[i]);
	}
	add_fields(&b, 900);
	buf_consume(&b, 0);
	b.p[b.len - 1] = ',';
	buf_adds(&b, "\"key.3\":1}");
	p = edge_put(&e, b.p, b.len, " ");
	assert_int_equal(index_all(ix, p, e.end, &m, &stop), JSON_DUPLICATE);
	assert_ptr_equal(stop, e.end);

	/* Depth: the message is level 1. */
	for (unsigned depth = 62; depth < 67; depth++) {
		buf_clear(&b);
		buf_adds(&b, "{\"a\":");
		for (unsigned i = 1; i < depth; i++)
			buf_adds(&b, i % 3 ? "[" : "{\"b\":");
		buf_adds(&b, "0");
		for (unsigned i = depth - 1; i > 0; i--)
			buf_adds(&b, i % 3 ? "]" : "}");
		buf_adds(&b, "}");
		p = edge_put(&e, b.p, b.len, " ");
		assert_int_equal(index_all(ix, p, e.end, &m, &stop), depth <= 64 ? JSON_OK : JSON_DEPTH);
	}
	buf_clear(&b);
	for (int i = 0; i < 100000; i++)
		buf_adds(&b, "[");
	p = edge_put(&e, b.p, b.len, "[");
	assert_int_equal(index_all(ix, p, e.end, &m, &stop), JSON_DEPTH);
	assert_ptr_equal(stop, p + 64);

	/* Keys. */
	for (unsigned n = 65534; n < 65538; n++) {
		buf_clear(&b);
		buf_adds(&b, "{\"");
		for (unsigned i = 0; i < n; i++)
			buf_addc(&b, 'k');
		buf_adds(&b, "\":1}");
		p = edge_put(&e, b.p, b.len, " ");
		assert_int_equal(index_all(ix, p, e.end, &m, &stop), n <= 65535 ? JSON_OK : JSON_KEY_LONG);
		assert_ptr_equal(stop, e.end);
	}
	buf_fini(&b);
	for (int i = 0; i < 4; i++)
		index_fini(&ix[i]);
	edge_fini(&e);
}

static void test_utf8_alone(void **state)
{
	(void)state;
	size_t bad = 99;
	assert_true(utf8_valid("", 0, &bad));
	assert_true(utf8_valid("abcdefgh\xC3\xA9" "abcdefgh", 18, &bad));
	assert_int_equal(bad, 99);
	assert_false(utf8_valid("abcdefghi\xC3", 10, &bad));
	assert_int_equal(bad, 9);
	assert_false(utf8_valid("\xED\xA0\x80", 3, NULL));
	assert_false(utf8_valid("abcdefg\x80zzzzzzzz", 16, &bad));
	assert_int_equal(bad, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_grammar_at_every_alignment),
		cmocka_unit_test(test_slices_of_a_message),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_utf8_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
