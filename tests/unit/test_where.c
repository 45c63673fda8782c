/* The expression language, by its table (tests/conf/where.table) and by every example of EXPRESSIONS.md; what is printed reads as the same
 * condition; problems stand at their place. */
#include "base/arena.h"
#include "base/buf.h"
#include "message/message.h"
#include "plan/where.h"
#include "spec/diag.h"
#include "spec/tree.h"
#include "unit.h"

#define NOW 1795385003500000LL /* 2026-11-22T22:03:23.5Z */

static struct index ix;

struct read { struct arena *arena; struct diag *diag; struct where *where; struct buf out; };

static struct node scalar_of(struct arena *a, const char *text, size_t len)
{
	struct source *s = source_new(a, "t", text, len, 0);
	return (struct node){ .kind = NODE_SCALAR, .end_line = 1, .at = { s, 1, 1, (unsigned)len }, .text = arena_strndup(a, text, len), .len = len };
}

static void read_begin(struct read *r, const char *text, size_t len)
{
	r->arena = arena_new();
	r->diag = diag_new();
	buf_init(&r->out);
	struct node n = scalar_of(r->arena, text, len);
	r->where = where_compile(r->arena, &n, r->diag);
	diag_print(r->diag, &r->out, false);
	if ((r->where == NULL) != (diag_errors(r->diag) > 0))
		fail_msg("%.*s: errors and NULL do not agree", (int)len, text);
}

static void read_end(struct read *r)
{
	buf_fini(&r->out);
	diag_free(r->diag);
	arena_free(r->arena);
}

static struct message message_of(const char *text, size_t len, char **room)
{
	struct message m;
	const char *stop;

	*room = xcalloc(1, len + MESSAGE_PAD);
	memcpy(*room, text, len);
	if (message_index(&ix, *room, *room + len, &m, &stop) != JSON_OK)
		fail_msg("no message: %s", text);
	return m;
}

/* Printed, read again: prints the same and says the same. */
static void check_printed(const struct where *w, const struct message *m, bool want)
{
	struct buf once = BUF_INIT, twice = BUF_INIT;
	struct read again;

	where_print(w, &once);
	read_begin(&again, once.p, once.len);
	if (!again.where)
		fail_msg("printed %s:\n%s", once.p, again.out.p);
	where_print(again.where, &twice);
	if (strcmp(once.p, twice.p) != 0)
		fail_msg("printed `%s`, then `%s`", once.p, twice.p);
	if (where_true(again.where, m, NOW) != want)
		fail_msg("`%s` as printed says another thing", once.p);
	read_end(&again);
	buf_fini(&once);
	buf_fini(&twice);
}

static unsigned wrong; /* cases: all are told */

static void check_case(const char *file, unsigned line, char sort, const char *text, size_t len, const char *words, const struct message *m)
{
	struct read r;
	struct buf why = BUF_INIT;

	read_begin(&r, text, len);
	if (sort == '!') {
		if (r.where)
			wrong++, print_error("%s:%u: `%.*s` is not refused\n", file, line, (int)len, text);
		if (!words || !strstr(r.out.p, words))
			wrong++, print_error("%s:%u: wanted `%s`, got:\n%s\n", file, line, words ? words : "(words)", r.out.p);
	} else {
		if (!r.where) {
			wrong++, print_error("%s:%u: refused:\n%s\n", file, line, r.out.p);
			read_end(&r);
			return;
		}
		bool is = where_true(r.where, m, NOW);
		where_explain(r.where, m, NOW, &why);
		if (is != (sort == '+'))
			wrong++, print_error("%s:%u: `%.*s` is %s (%s)\n", file, line, (int)len, text, is ? "true" : "false", why.p);
		if ((strcmp(why.p, "it is true") == 0) != is)
			wrong++, print_error("%s:%u: explained as: %s\n", file, line, why.p);
		if (words && strcmp(why.p, words) != 0)
			wrong++, print_error("%s:%u: explained as: %s\n", file, line, why.p);
		check_printed(r.where, m, is);
	}
	buf_fini(&why);
	read_end(&r);
}

/* Lines of a table; in a .md file only those between ```where and ```. */
static unsigned check_file(const char *file)
{
	char path[4096], *line = NULL, *room = NULL;
	size_t cap = 0;
	ssize_t len;
	unsigned number = 0, cases = 0;
	bool fenced = strstr(file, ".md") != NULL, on = !fenced;
	struct message m = { 0 };
	wrong = 0;
	const char *src = getenv("SLUICE_SRC");

	snprintf(path, sizeof(path), "%s/%s", src ? src : ".", file);
	FILE *f = fopen(path, "r");
	if (!f)
		fail_msg("%s can't be read", path);
	while ((len = getline(&line, &cap, f)) > 0) {
		number++;
		if (line[len - 1] == '\n')
			line[--len] = '\0';
		if (fenced && strncmp(line, "```", 3) == 0) {
			on = strcmp(line, "```where") == 0;
			continue;
		}
		if (!on || *line == '#' || len == 0)
			continue;
		if (*line == '{') {
			free(room);
			m = message_of(line, (size_t)len, &room);
			continue;
		}
		if (!strchr("+-!", *line) || line[1] != ' ')
			fail_msg("%s:%u: no case: %s", file, number, line);
		char *text = line + 2, *words = strstr(text - 1, " ## ");
		size_t n = words ? (size_t)(words > text ? words - text : 0) : strlen(text);
		check_case(file, number, *line, text, n, words ? words + 4 : NULL, &m);
		cases++;
	}
	free(room);
	free(line);
	fclose(f);
	if (wrong)
		fail_msg("%u cases of %s are wrong", wrong, file);
	return cases;
}

static void test_the_table(void **state)
{
	(void)state;
	assert_true(check_file("tests/conf/where.table") >= 300);
}

static void test_the_examples_of_the_manual(void **state)
{
	(void)state;
	assert_true(check_file("router/plan/EXPRESSIONS.md") >= 50);
}

/* ---- normal form -------------------------------------------------------------------------------------------------------------- */

static void test_normal_form(void **state)
{
	(void)state;
	static const char *const pairs[][2] = {
		{ "a  and(b or c)", "a && (b || c)" }, { "!a", "not(a)" }, { "not a==1", "not(a == 1)" }, { "a=1", "a == 1" },
		{ "((a))", "a" }, { "(a + b) * c", "(a + b) * c" }, { "a + (b * c)", "a + b * c" }, { "a - (b - c)", "a - (b - c)" },
		{ "(a - b) - c", "a - b - c" }, { "a ? b : c", "if(a, b, c)" }, { "number(a)", "tonumber(a)" }, { "\"it's\"", "'it\\'s'" },
		{ "a == \"3*\"", "a == '3*'" }, { "a == '3\\*'", "a == '3\\*'" }, { "(din&0x1)==1", "(din & 0x1) == 1" }, { "- -a", "-(-a)" },
		{ "a && (b && c) && d", "a && b && c && d" }, { "(a || b) || c", "a || b || c" }, { "(a == b) == c", "(a == b) == c" },
		{ "a & (b == c)", "a & (b == c)" }, { "exists( \"x y\" )", "exists('x y')" }, { "param('a')", "a" }, { "param('not')", "param('not')" },
		{ "$and", "$and" }, { "-(a + b)", "-(a + b)" }, { "~(a)", "~a" }, { "( (0x1F ) ) + 1", "0x1F + 1" }, { "a == '\xc3\xa4\\u0007'", "a == '\xc3\xa4\\u0007'" },
	};
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		struct read r;
		struct buf out = BUF_INIT;
		read_begin(&r, pairs[i][0], strlen(pairs[i][0]));
		assert_non_null(r.where);
		where_print(r.where, &out);
		assert_string_equal(out.p, pairs[i][1]);
		buf_fini(&out);
		read_end(&r);
	}
}

/* Random conditions, random messages: what is printed says the same of all of them. */
static uint64_t seed = 88172645463325252;

static unsigned chance(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % n;
}

static void any_condition(struct buf *out, unsigned depth)
{
	static const char *const leaves[] = { "a", "b.c", "$d", "e#1", "1", "0", "2.5", "0xF", "'x'", "'x*'", "\"y\\*\"", "true", "null", "exists('a')", "now()",
		"param('x-y')", "$missing" };
	static const char *const binary[] = { " || ", " && ", " and ", " or ", " | ", " ^ ", " & ", " == ", " = ", " != ", " ~ ", " < ", " <= ", " > ", " >= ",
		" << ", " >> ", " + ", " - ", " * ", " / ", " % " };
	static const char *const unary[] = { "!", "-", "~", "not ", "not", "abs", "tostring", "tonumber", "toboolean", "isnumber", "floor", "int" };

	unsigned sort = depth == 0 ? 0 : chance(8);
	if (sort < 2) {
		buf_adds(out, leaves[chance(sizeof(leaves) / sizeof(*leaves))]);
	} else if (sort < 6) {
		bool brackets = chance(3) != 0;
		buf_adds(out, brackets ? "(" : "");
		any_condition(out, depth - 1);
		buf_adds(out, binary[chance(sizeof(binary) / sizeof(*binary))]);
		any_condition(out, depth - 1);
		buf_adds(out, brackets ? ")" : "");
	} else if (sort == 6) {
		buf_adds(out, unary[chance(sizeof(unary) / sizeof(*unary))]);
		buf_addc(out, '(');
		any_condition(out, depth - 1);
		buf_addc(out, ')');
	} else {
		bool mark = chance(2);
		buf_adds(out, mark ? "(" : chance(2) ? "if(" : "max(");
		any_condition(out, depth - 1);
		buf_adds(out, mark ? " ? " : ", ");
		any_condition(out, depth - 1);
		buf_adds(out, mark ? " : " : ", ");
		any_condition(out, depth - 1);
		buf_addc(out, ')');
	}
}

static void any_message(struct buf *out)
{
	static const char *const keys[] = { "a", "b.c", "d", "e#1", "x-y" };
	static const char *const values[] = { "0", "1", "-3", "2.5", "\"x\"", "\"xyz\"", "\"\"", "\"y*\"", "true", "false", "null", "[1]", "\"12\"", "1e300", "\"\\u0078\"",
		"18446744073709551615" };
	const char *comma = "";

	buf_addc(out, '{');
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		if (chance(4) == 0)
			continue;
		buf_addf(out, "%s\"%s\":%s", comma, keys[i], values[chance(sizeof(values) / sizeof(*values))]);
		comma = ",";
	}
	buf_addc(out, '}');
}

static void test_what_is_printed_says_the_same(void **state)
{
	(void)state;
	struct buf text = BUF_INIT, json = BUF_INIT;
	unsigned reads = 0, trues = 0;

	for (unsigned round = 0; round < 20000 / UNIT_PATIENCE; round++) {
		struct read r;
		buf_clear(&text);
		any_condition(&text, 1 + chance(4));
		read_begin(&r, text.p, text.len);
		reads += r.where != NULL;
		for (unsigned k = 0; r.where && k < 4; k++) {
			char *room;
			struct buf why = BUF_INIT;
			buf_clear(&json);
			any_message(&json);
			struct message m = message_of(json.p, json.len, &room);
			bool is = where_true(r.where, &m, NOW);
			trues += is;
			where_explain(r.where, &m, NOW, &why);
			assert_true(why.len > 0);
			check_printed(r.where, &m, is);
			buf_fini(&why);
			free(room);
		}
		read_end(&r);
	}
	buf_fini(&text);
	buf_fini(&json);
	assert_true(reads > 2000 / UNIT_PATIENCE && trues > 1000 / UNIT_PATIENCE); /* the cases are not all of one sort */
}

/* ---- places and bounds ---------------------------------------------------------------------------------------------------------- */

/* A warning that is wrong is worse than none. */
static void test_what_may_be_meant_is_not_doubted(void **state)
{
	(void)state;
	static const char *const fine[] = {
		"true", "false", "1", "a && true", "a || false", "if(a > 5, 1, 0)", "a ? 'x' : 'y'", "fuel - level > 2", "a -1 > 0", "din-1 > 0", "param('fuel-level') > 2",
		"server.timestamp-timestamp > 60", "timestamp-server.timestamp < 60", "max.speed-min.speed > 5", "param('TRUE') == 1", "$yes", "a && on", "off > 1", "no.fix == 1",
		"status == 'yes'", "a == 1 || a == 2", "a != 1 && a != 2", "a > 1 && a < 5", "a < 1 || a > 5", "a >= 1 && a <= 1", "a == 1 && b == 2", "a != 1 || b != 1",
		"name == 'a*' && name == '*b'", "name != 'a*' || name != '*b'", "$a == null || a > 5", "$a >= 0 && $a == null", "a == 1 && a == true", "a != 1 || a > 5",
		"ident == '352*'", "ident == '352093081234567'", "ident != null", "$ident == null", "timestamp > 1795384973", "timestamp > time('2026-11-22T22:03:23Z')",
		"now() - timestamp < 3600", "a > 5 && a != 7", "speed > 5 || speed < 5", "name > 'a' && name < 'b'", "a < b || a >= b", "(a == 1) != (b == 1)", "true == a",
		"a.on == b.off", "yes.no",
	};

	for (size_t i = 0; i < sizeof(fine) / sizeof(*fine); i++) {
		struct read r;

		read_begin(&r, fine[i], strlen(fine[i]));
		if (!r.where || diag_warnings(r.diag))
			fail_msg("%s", r.out.p);
		read_end(&r);
	}
}

static void test_what_is_doubted_is_printed_so_that_it_is_not(void **state)
{
	(void)state;
	static const char *const doubted[] = { "a == TRUE", "fuel-level > 2", "a == yes", "Null", "yes", "Off" };

	for (size_t i = 0; i < sizeof(doubted) / sizeof(*doubted); i++) {
		struct read r;
		struct buf normal = BUF_INIT;

		read_begin(&r, doubted[i], strlen(doubted[i]));
		assert_non_null(r.where);
		assert_int_equal(diag_warnings(r.diag), 1);
		where_print(r.where, &normal);
		read_end(&r);
		read_begin(&r, normal.p, normal.len);
		assert_non_null(r.where);
		assert_int_equal(diag_warnings(r.diag), 0);
		read_end(&r);
		buf_fini(&normal);
	}
}

static void test_problems_stand_at_their_place_in_the_yaml(void **state)
{
	(void)state;
	static const char yaml[] = "streams:\n  toll:\n    where: 'position.valid && exist(\"ident\")'\n    wher: a &\n    where2: a == 1 && 'x' < 5\n";
	struct arena *a = arena_new();
	struct diag *d = diag_new();
	struct buf out = BUF_INIT;
	struct node *root = tree_read_text(a, "s.yaml", yaml, strlen(yaml), 0, d);
	const struct node *toll = node_get(node_get(root, "streams"), "toll");

	assert_null(where_compile(a, node_get(toll, "where"), d));
	assert_null(where_compile(a, node_get(toll, "wher"), d));
	assert_null(where_compile(a, node_get(toll, "where2"), d));
	diag_print(d, &out, false);
	assert_string_equal(out.p,
		"s.yaml:3:31: error[E033]: unknown function \"exist\"\n"
		"   3 |     where: 'position.valid && exist(\"ident\")'\n"
		"     |                               ^^^^^\n"
		"     = did you mean \"exists\"?\n"
		"s.yaml:4:13: error[E031]: the expression ends where a value is expected\n"
		"   4 |     wher: a &\n"
		"     |             ^\n"
		"s.yaml:5:23: error[E032]: `'x'` is a text and `5` is a number: neither is the greater\n"
		"   5 |     where2: a == 1 && 'x' < 5\n"
		"     |                       ^^^^^^^\n"
		"     = in quotes it is a text; a parameter has none: x\n");
	buf_fini(&out);
	diag_free(d);
	arena_free(a);
}

static void test_what_is_no_text_is_refused(void **state)
{
	(void)state;
	struct arena *a = arena_new();
	struct diag *d = diag_new();
	struct node list = { .kind = NODE_LIST };

	assert_null(where_compile(a, &list, d));
	assert_int_equal(diag_errors(d), 1);
	diag_free(d);
	arena_free(a);
}

/* unit n times between head and tail: is it taken? */
static bool taken(const char *head, const char *unit, unsigned n, const char *tail)
{
	struct buf text = BUF_INIT;
	struct read r;

	buf_adds(&text, head);
	for (unsigned i = 0; i < n; i++)
		buf_addf(&text, unit, i);
	buf_adds(&text, tail);
	read_begin(&r, text.p, text.len);
	bool ok = r.where != NULL;
	read_end(&r);
	buf_fini(&text);
	return ok;
}

static void test_bounds(void **state)
{
	(void)state;
	assert_true(taken("a", "&&a", 2000, ""));
	assert_false(taken("a", "&&a", 3000, "")); /* bytes */
	assert_true(taken("", "(", 60, "a") == false); /* never closed */
	assert_true(taken("", "!", 60, "a")); /* and its normal form, not(not(… */
	assert_true(taken("a", " + 1", 60, ""));
	assert_false(taken("a", " + 1", 80, ""));
	assert_false(taken("", "not ", 1500, "a"));
	assert_false(taken("", "(", 8000, ""));
	assert_false(taken("", "-", 8000, ""));
	assert_false(taken("", "a?", 4000, ""));
	assert_false(taken("", "abs(", 2000, ""));
	assert_true(taken("a", " || p%u", 250, ""));
	assert_false(taken("a", " || p%u", 255, ""));
	assert_true(taken("a == '*", "%03u", 80, "'"));
	assert_false(taken("a == '*", "%03u", 90, "'"));
}

static void test_long_escaped_texts(void **state)
{
	(void)state;
	struct buf json = BUF_INIT;
	char *room;
	struct read r;
	static const char text[] = "length(a) == 3000 && length(b) == 3000 && a == b && a == '*é'";

	for (int k = 0; k < 2; k++) {
		buf_adds(&json, k ? ",\"b\":\"" : "{\"a\":\"");
		for (int i = 0; i < 3000; i++)
			buf_adds(&json, "\\u00e9");
		buf_adds(&json, "\"");
	}
	buf_adds(&json, "}");
	struct message m = message_of(json.p, json.len, &room);
	read_begin(&r, text, strlen(text));
	assert_true(where_true(r.where, &m, NOW));
	read_end(&r);
	free(room);
	buf_fini(&json);
}

static int teardown(void **state)
{
	(void)state;
	index_fini(&ix);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	index_init(&ix);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_table),
		cmocka_unit_test(test_the_examples_of_the_manual),
		cmocka_unit_test(test_normal_form),
		cmocka_unit_test(test_what_is_printed_says_the_same),
		cmocka_unit_test(test_what_may_be_meant_is_not_doubted),
		cmocka_unit_test(test_what_is_doubted_is_printed_so_that_it_is_not),
		cmocka_unit_test(test_problems_stand_at_their_place_in_the_yaml),
		cmocka_unit_test(test_what_is_no_text_is_refused),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_long_escaped_texts),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
