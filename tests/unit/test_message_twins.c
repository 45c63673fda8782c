/* The builds of the pass are twins: for any bytes they tell the same fault at the same place, or make the same slices. */
#include "message_builds.h"

static uint64_t seed = 1;

static unsigned draw(unsigned below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % below;
}

static void add_string(struct buf *b)
{
	static const char *const parts[] = { "position.", "latitude", "a", "Škoda", "\\n", "\\u00e9", "\\ud83d\\ude00", "\\\"", "日本", "😀", " ", "0", "x.y.z", "{", "}", ",", ":" };
	buf_adds(b, "\"");
	for (unsigned n = draw(4) ? draw(4) : draw(40); n > 0; n--)
		buf_adds(b, parts[draw(2) ? draw(3) : draw(sizeof(parts) / sizeof(*parts))]);
	buf_adds(b, "\"");
}

static void add_space(struct buf *b, unsigned style)
{
	static const char *const spaces[] = { "", " ", "\n\t", "   ", "\r\n" };
	buf_adds(b, style < 2 ? spaces[style] : spaces[draw(5)]);
}

static void add_object(struct buf *b, unsigned fields, unsigned style, unsigned depth);

static void add_value(struct buf *b, unsigned style, unsigned depth)
{
	static const char *const leaves[] = { "0", "-0", "1", "12", "-4.25", "54.687157", "1732300000.123", "1e5", "1E-7", "12345678901234567890", "true", "false", "null",
		"0.333333333333333333333333333333333333", "123456789012345678901234567890123456789012345678901234567890" };
	unsigned what = draw(depth < 3 ? 20 : 16);
	if (what < 12)
		buf_adds(b, leaves[draw(draw(4) ? 7 : sizeof(leaves) / sizeof(*leaves))]);
	else if (what < 16)
		add_string(b);
	else if (what < 18)
		add_object(b, draw(4), style, depth + 1);
	else {
		buf_adds(b, "[");
		for (unsigned n = draw(4), i = 0; i < n; i++) {
			if (i)
				buf_adds(b, ",");
			add_space(b, style);
			add_value(b, style, depth + 1);
		}
		buf_adds(b, "]");
	}
}

static void add_object(struct buf *b, unsigned fields, unsigned style, unsigned depth)
{
	buf_adds(b, "{");
	for (unsigned i = 0; i < fields; i++) {
		if (i) {
			buf_adds(b, ",");
			add_space(b, style);
		}
		if (draw(3))
			buf_addf(b, "\"%s%u\"", draw(2) ? "position.speed." : "d", i);
		else
			add_string(b);
		buf_adds(b, ":");
		add_space(b, style);
		add_value(b, style, depth);
	}
	buf_adds(b, "}");
}

static void mutate(struct buf *b)
{
	static const char bytes[] = "\"\\{}[]:, \n\t\x01\x1f\x80\xff\xc3\xe2\xf0" "0123456789-+.eEtfnu";
	for (unsigned n = draw(3); n > 0 && b->len > 1; n--) {
		size_t at = draw((unsigned)b->len);
		switch (draw(5)) {
		case 0: b->p[at] = (char)draw(256); break;
		case 1: b->p[at] = bytes[draw(sizeof(bytes) - 1)]; break;
		case 2: memmove(b->p + at, b->p + at + 1, b->len - at); b->len--; break;
		case 3: b->len = at; b->p[at] = '\0'; break;
		default:
			buf_addc(b, 'x');
			memmove(b->p + at + 1, b->p + at, b->len - at - 1);
			b->p[at] = bytes[draw(sizeof(bytes) - 1)];
		}
	}
}

static void test_twins_on_mutated_messages(void **state)
{
	(void)state;
	static const char *const behinds[] = { " ", "\"", "}", "1", "\\", ",\"k\":1}", "\"}", "\x80\xBF", ":" };
	struct buf b = BUF_INIT;
	struct edge e;
	struct index ix[4];
	unsigned good = 0, bad = 0;
	edge_init(&e, 65536);
	for (int i = 0; i < 4; i++)
		index_init(&ix[i]);
	for (int turn = 0; turn < 40000; turn++) {
		struct message m = { 0 };
		const char *stop;
		buf_clear(&b);
		add_object(&b, draw(8) ? draw(8) : draw(120), draw(4), 0);
		if (draw(4) == 0)
			buf_adds(&b, draw(2) ? ",{\"next\":\"one\"}" : "\n{\"next\":\"one\"}");
		if (draw(2))
			mutate(&b);
		if (b.len > e.size - MESSAGE_PAD)
			continue;
		const char *p = edge_put(&e, b.p, b.len, behinds[draw(9)]);
		if (index_all(ix, p, e.end, &m, &stop) == JSON_OK)
			good++;
		else
			bad++;
	}
	assert_true(good > 10000 && bad > 5000); /* or the mutations test nothing */
	for (int i = 0; i < 4; i++)
		index_fini(&ix[i]);
	buf_fini(&b);
	edge_fini(&e);
}

/* Every cut of a message, at every distance from the end of its block. */
static void test_twins_on_every_cut(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	struct edge e;
	struct index ix[4];
	edge_init(&e, 4096);
	for (int i = 0; i < 4; i++)
		index_init(&ix[i]);
	buf_adds(&b, "{\"ident\":\"352093081234567\",\"timestamp\":1732300000.123456,\"position.latitude\":-54.687157,\"valid\":true, \"x\": null,"
		"\"name\":\"Truck\xC3\xA9\",\"n\":[1,{\"a\":\"b\"}],\"e\":1e-5,\"q\":\"\\u00e9\\\"\",\"last\":false}");
	for (size_t n = 0; n <= b.len; n++) {
		static const char *const behinds[] = { "\"", "}", "0", ",\"a\":1}", "e" };
		for (size_t k = 0; k < 5; k++) {
			struct message m;
			const char *stop, *p = edge_put(&e, b.p, n, behinds[k]);
			enum json_fault fault = index_all(ix, p, e.end, &m, &stop);
			assert_int_equal(fault == JSON_OK, n == b.len);
			if (n < b.len)
				assert_true(stop == e.end || fault == JSON_UTF8);
		}
	}
	for (int i = 0; i < 4; i++)
		index_fini(&ix[i]);
	buf_fini(&b);
	edge_fini(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_twins_on_mutated_messages),
		cmocka_unit_test(test_twins_on_every_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
