/* YAML becomes a tree whose nodes know their places; hostile text is refused quickly, and told where. */
#include "spec/diag.h"
#include "spec/tree.h"
#include "base/arena.h"
#include "base/buf.h"
#include "unit.h"

#include <time.h>

/* Of this process: others on the machine do not make it slower. */
static int64_t cpu_us(void)
{
	return (int64_t)clock() * 1000000 / CLOCKS_PER_SEC;
}

static struct arena *arena;
static struct diag *diag;
static struct buf out;

static int setup(void **state)
{
	(void)state;
	arena = arena_new();
	diag = diag_new();
	buf_init(&out);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buf_fini(&out);
	diag_free(diag);
	arena_free(arena);
	return 0;
}

static struct node *read_text(const char *text)
{
	return tree_read_text(arena, "t.yaml", text, strlen(text), 0, diag);
}

static void refused(const char *text, size_t len, const char *code)
{
	char want[20];

	assert_null(tree_read_text(arena, "t.yaml", text, len, 0, diag));
	buf_clear(&out);
	diag_print(diag, &out, false);
	snprintf(want, sizeof(want), "error[%s]", code);
	if (strstr(out.p, want) == NULL)
		fail_msg("wanted %s, got %s", code, out.p);
	diag_free(diag);
	diag = diag_new();
}

static void test_places_and_kinds(void **state)
{
	(void)state;
	struct node *root = read_text("a: 1\nżó: {b: \"true\", c: [x, ]}\nd: |\n  text\n  more\n");

	assert_non_null(root);
	assert_int_equal(root->kind, NODE_MAP);
	assert_int_equal(root->n, 3);
	struct node *a = node_get(root, "a");
	assert_true(node_is(a, "1"));
	assert_false(a->quoted);
	assert_int_equal(a->at.line, 1);
	assert_int_equal(a->at.column, 4);
	struct node *z = node_get(root, "żó"), *b = node_get(z, "b");
	assert_true(b->quoted);
	assert_int_equal(b->at.column, 9);
	assert_int_equal(b->at.length, 6);
	assert_int_equal(b->end_column, 15);
	struct node *c = node_get(z, "c");
	assert_int_equal(c->kind, NODE_LIST);
	assert_int_equal(c->n, 1);
	assert_true(node_is(node_get(root, "d"), "text\nmore\n"));
	assert_null(node_get(root, "e"));
	assert_null(node_get(NULL, "e"));
	assert_int_equal(diag_errors(diag), 0);
}

static void test_a_part_of_a_scalar_has_a_place(void **state)
{
	(void)state;
	struct node *root = read_text("a: żx && y\nb: 'it''s x'\nc: \"p && q\"\n");
	struct mark at = node_mark_inside(node_get(root, "a"), strlen("żx && "), 1);

	assert_int_equal(at.column, 10);
	assert_int_equal(at.length, 1);
	at = node_mark_inside(node_get(root, "b"), 5, 1);
	assert_int_equal(at.column, 11);
	assert_int_equal(at.length, 1);
	at = node_mark_inside(node_get(root, "c"), 5, 1);
	assert_int_equal(at.column, 10);
}

/* Each letter of the text stands in the file once, so where it stands there is known. */
static void check_letters(const char *yaml)
{
	struct node *root = read_text(yaml), *n = root != NULL ? node_get(root, "k") : NULL;

	if (n == NULL || n->kind != NODE_SCALAR) {
		buf_clear(&out);
		diag_print(diag, &out, false);
		fail_msg("not read:\n%s%s", yaml, out.p);
	}
	for (size_t i = 0; i < n->len; i++) {
		char c = n->text[i];
		struct mark at;
		unsigned line = 1, column = 1;

		if (c < 'A' || (c > 'Z' && c < 'a') || c > 'z')
			continue;
		for (const char *p = yaml + 2; *p != c; p++) { /* behind the key */
			if (p == yaml + 2)
				column = 3;
			if (*p == '\0')
				fail_msg("%c is not in:\n%s", c, yaml);
			column += ((unsigned char)*p & 0xc0) != 0x80;
			if (*p == '\n' || (*p == '\r' && p[1] != '\n')) {
				line++;
				column = 1;
			}
		}
		at = node_mark_inside(n, i, 1);
		if (at.line != line || at.column != column || at.length != 1)
			fail_msg("%c is told at %u:%u (%u long), and stands at %u:%u in:\n%s", c, at.line, at.column, at.length, line, column, yaml);
	}
}

static void test_a_part_of_a_text_has_its_place_however_it_is_written(void **state)
{
	(void)state;
	static const char *const ways[] = {
		"k: a b  c\n", "k: a\n  b\n\n\n  c d\n", "k:\n  a\n   b # c\n", "k: &one a b\n", "k: !!str  a b\n", "k: &one !!str\n  a\n  b\n", "k: ! 'a b'\n",
		"k: 'a ''b'' c'\n", "k: ' a\n\n  b '' c\n  '\n", "k: \"\\x40\\u00e9 \\\"b\\\" \\U0001f600 c\\td\"\n", "k: \"a \\\n     b\\\n   \\  c\n\n   d\"\n", "k: \"é a\\/b\\\\ é c\"\n",
		"k: |\n  a\n\n    b\n  c\n", "k: >\n  a\n  b\n\n  c\n\n    d\n    e\n\n  f\n\n\n", "k: >-\n  a &&\n  b\n", "k: |+\n\n\n  a\n\n", "k: >2 # why\n    a\n  b\n",
		"k: |1-\n  a\n b\n", "k: >\n\n\n   a\n\n   \tb\n   c\n", "k: >\r\n  a\r\n  b\r\n\r\n  c\r\n", "k: é a\n", "k: >\n  é a\n  ü b\n",
	};

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		check_letters(ways[i]);
}

static void test_a_part_of_made_up_texts_has_its_place(void **state)
{
	(void)state;
	static const char *const between[] = { "", "", "", " ", "  ", "\n  ", " \n  ", "\n\n  ", "\n \n   ", "é", ".", "\n    " },
		*const double_only[] = { "\\x40", "\\u2020", "\\U00010600", "\\\\", "\\\"", "\\\n  ", " \\\n\n  ", "\\/", "\\_" };
	static const char *const begin[] = { "k: ", "k: '", "k: \"", "k: >\n  ", "k: |-\n  ", "k: >+\n\n  ", "k: |2\n  " }, *const end[] = { "\n", "'\n", "\"\n", "\n", "\n", "\n\n", "\n" };
	struct buf text = BUF_INIT;
	uint32_t seed = 7;

	for (unsigned round = 0; round < 4000 / UNIT_PATIENCE; round++) {
		unsigned way = round % 7, letters = 1 + round % 17;

		buf_clear(&text);
		buf_adds(&text, begin[way]);
		for (unsigned i = 0; i < letters; i++) {
			unsigned k = (seed = seed * 1664525 + 1013904223) >> 16;

			buf_addc(&text, "abcdefghijlmopqrst"[i]); /* no letter that an escape has, nor the key */
			if (way == 1 && k % 16 == 1)
				buf_adds(&text, "''");
			else if (way == 2 && k % 3 == 1)
				buf_adds(&text, double_only[k / 3 % 9]);
			else
				buf_adds(&text, between[k % 12]);
		}
		buf_adds(&text, "z");
		buf_adds(&text, end[way]);
		check_letters(text.p);
	}
	buf_fini(&text);
}

static void test_places_are_not_looked_for_without_end(void **state)
{
	(void)state;
	struct buf text = BUF_INIT;
	int64_t began;
	struct node *root;
	struct mark at;

	buf_addc(&text, '[');
	for (unsigned i = 0; i < 20000; i++)
		buf_adds(&text, "\"0123456789012345678901234567890123456789012345678901234567890123456789\",");
	buf_adds(&text, "\"\"]\n");
	root = read_text(text.p);
	assert_non_null(root);
	at = node_mark_inside(root->items[100], 5, 2);
	assert_int_equal(at.column, 2 + 100 * 73 + 1 + 5);
	assert_int_equal(at.length, 2);
	began = cpu_us();
	for (unsigned i = 0; i < 20000; i++)
		at = node_mark_inside(root->items[i], 5, 2);
	assert_int_equal(at.length, 72); /* all of it */
	assert_true(cpu_us() - began < 2000000 * UNIT_PATIENCE);
	buf_fini(&text);
}

static void test_json_is_yaml(void **state)
{
	(void)state;
	struct node *root = read_text("{\"a\":[1,2.50,true,null,\"x\\u00e9\"],\"b\":{\"c\":\"d\"}}");

	assert_int_equal(node_get(root, "a")->n, 5);
	assert_true(node_is(node_get(root, "a")->items[4], "xé"));
	assert_true(node_is_null(node_get(root, "a")->items[3]));
	assert_true(node_is(node_get(node_get(root, "b"), "c"), "d"));
}

static void test_nothing_is_an_empty_mapping(void **state)
{
	(void)state;
	static const char *const empty[] = { "", "# only a comment\n", "---\n", "\xef\xbb\xbf", "~" };

	for (size_t i = 0; i < sizeof(empty) / sizeof(*empty); i++) {
		struct node *root = read_text(empty[i]);

		assert_non_null(root);
		assert_int_equal(root->kind, NODE_MAP);
		assert_int_equal(root->n, 0);
	}
}

static void test_a_byte_order_mark_moves_nothing(void **state)
{
	(void)state;
	assert_int_equal(node_get(read_text("\xef\xbb\xbf" "a: b"), "a")->at.column, 4);
}

static void test_aliases_share_nodes(void **state)
{
	(void)state;
	struct node *root = read_text("a: &r {first: 1s}\nb: *r\nc: &s x\nd: *s\n");

	assert_ptr_equal(node_get(root, "a"), node_get(root, "b"));
	assert_true(node_is(node_get(root, "d"), "x"));
}

static void test_what_is_refused(void **state)
{
	(void)state;
	static const struct { const char *text, *code; } cases[] = {
		{ "a: [1\n", "E001" }, { "a: b: c\n", "E001" }, { "\ta: 1\n", "E001" }, { "a: @x\n", "E001" }, { "a: \"x\n", "E001" },
		{ "a: \xff\n", "E002" }, { "a: \xed\xa0\x80\n", "E002" }, { "a: \x01\n", "E003" }, { "a: \"\\0\"\n", "E003" }, { "a: \xc2\x80\n", "E003" },
		{ "a: &a [*a]\n", "E007" }, { "a: &a\n  b: *a\n", "E007" }, { "a: *b\n", "E008" }, { "a: !include x\n", "E009" },
		{ "%TAG ! tag:x:\n---\na: 1\n", "E009" }, { "a: 1\n---\nb: 2\n", "E010" }, { "a: 1\n...\nb: 2\n", "E010" },
		{ "a: 1\na: 2\n", "E011" }, { "{a: 1, \"a\": 2}", "E011" }, { "[a]: 1\n", "E024" }, { "? {a: 1}\n: 2\n", "E024" }, { "{? : 2}\n", "E024" },
		{ "a: &x {b: 1}\nc: {<<: *x}\n", "E025" },
		{ "a: 1\nb: 1\nc: 1\nd: 1\ne: 1\nf: 1\ng: 1\nh: 1\ni: 1\nj: 1\nb: 2\n", "E011" },
		{ "a: 1\nb: 1\nc: 1\nd: 1\ne: 1\nf: 1\ng: 1\nh: 1\ni: 1\nj: 1\nj: 2\n", "E011" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		refused(cases[i].text, strlen(cases[i].text), cases[i].code);
	refused("a: x\0y\n", 7, "E003");
}

static void test_all_are_told_and_the_rest_is_still_read(void **state)
{
	(void)state;
	assert_null(read_text("a: 1\na: {x: 1, x: 2}\nb: *none\n[c]: !t 5\n"));
	assert_int_equal(diag_errors(diag), 5);
}

static void test_billion_laughs(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;

	buf_adds(&b, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
	for (int i = 1; i < 10; i++) {
		buf_addf(&b, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			buf_addf(&b, "*a%d,", i - 1);
		buf_adds(&b, "]\n");
	}
	refused(b.p, b.len, "E006");
	buf_fini(&b);
}

/* Each of these takes libyaml seconds or minutes when it is let run. */
static void test_hostile_text_is_refused_at_once(void **state)
{
	(void)state;
	static const struct { const char *unit, *code; } cases[] = {
		{ "[", "E005" }, { "{", "E005" }, { "[{", "E005" }, { "- ", "E005" }, { "? ", "E005" }, { "[\n", "E005" }, { "{a: ", "E005" },
	};
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int64_t t = cpu_us();

		buf_clear(&b);
		while (b.len < 1000000)
			buf_adds(&b, cases[i].unit);
		refused(b.p, b.len, cases[i].code);
		assert_true(cpu_us() - t < 1000000 * UNIT_PATIENCE);
	}
	buf_clear(&b);
	for (int i = 0; i < 70000; i++)
		buf_addf(&b, "%%TAG !a%d! b\n", i);
	int64_t t = cpu_us();
	refused(b.p, b.len, "E009");
	assert_true(cpu_us() - t < 1000000 * UNIT_PATIENCE);
	buf_clear(&b);
	while (b.len <= TREE_BYTES_MAX)
		buf_adds(&b, "a: b\n");
	refused(b.p, b.len, "E004");
	buf_fini(&b);
}

static void test_nesting_up_to_the_bound(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;

	for (int i = 0; i < TREE_FLOW_MAX; i++)
		buf_addc(&b, '[');
	for (int i = 0; i < TREE_FLOW_MAX; i++)
		buf_addc(&b, ']');
	assert_non_null(read_text(b.p));
	buf_clear(&b);
	for (int i = 0; i < TREE_DEPTH_MAX; i++)
		buf_addf(&b, "%*sa:\n", i, "");
	assert_non_null(read_text(b.p));
	buf_fini(&b);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_places_and_kinds), TEST(test_a_part_of_a_scalar_has_a_place), TEST(test_a_part_of_a_text_has_its_place_however_it_is_written),
		TEST(test_a_part_of_made_up_texts_has_its_place), TEST(test_places_are_not_looked_for_without_end), TEST(test_json_is_yaml),
		TEST(test_nothing_is_an_empty_mapping), TEST(test_a_byte_order_mark_moves_nothing), TEST(test_aliases_share_nodes),
		TEST(test_what_is_refused), TEST(test_all_are_told_and_the_rest_is_still_read), TEST(test_billion_laughs),
		TEST(test_hostile_text_is_refused_at_once), TEST(test_nesting_up_to_the_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
