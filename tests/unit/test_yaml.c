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
	assert_int_equal(at.column, 4); /* an escape shifts what follows: all of it is marked */
	assert_int_equal(at.length, 9);
	at = node_mark_inside(node_get(root, "c"), 5, 1);
	assert_int_equal(at.column, 10);
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
		TEST(test_places_and_kinds), TEST(test_a_part_of_a_scalar_has_a_place), TEST(test_json_is_yaml),
		TEST(test_nothing_is_an_empty_mapping), TEST(test_a_byte_order_mark_moves_nothing), TEST(test_aliases_share_nodes),
		TEST(test_what_is_refused), TEST(test_all_are_told_and_the_rest_is_still_read), TEST(test_billion_laughs),
		TEST(test_hostile_text_is_refused_at_once), TEST(test_nesting_up_to_the_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
