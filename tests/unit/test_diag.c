/* Problems are told in order, once, with the source line and carets under the right characters, and never show what must not be seen. */
#include "spec/diag.h"
#include "spec/nearest.h"
#include "base/arena.h"
#include "base/buf.h"
#include "unit.h"

#include <limits.h>

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
	diag_free(NULL);
	arena_free(arena);
	return 0;
}

static struct source *source(const char *text)
{
	return source_new(arena, "s.yaml", text, strlen(text), 0);
}

static const char *printed(void)
{
	buf_clear(&out);
	diag_print(diag, &out, false);
	return out.p ? out.p : "";
}

static void test_the_whole_shape(void **state)
{
	(void)state;
	struct source *s = source("streams:\n  copy:\n    tiemout: 5s\n");
	struct problem *p = diag_add(diag, DIAG_UNKNOWN_KEY, &(struct mark){ s, 3, 5, 7 }, "unknown key \"%s\"", "tiemout");

	problem_near(p, "timeout");
	problem_note(p, "allowed here: %s", "timeout, retry");
	problem_second(p, &(struct mark){ s, 2, 3, 4 }, "in this stream");
	assert_string_equal(printed(),
		"s.yaml:3:5: error[E012]: unknown key \"tiemout\"\n"
		"   3 |     tiemout: 5s\n"
		"     |     ^^^^^^^\n"
		"     = did you mean \"timeout\"?\n"
		"     = allowed here: timeout, retry\n"
		"     = in this stream: s.yaml:2:3\n"
		"   2 |   copy:\n"
		"     |   ----\n");
	assert_int_equal(diag_exit(diag), 78);
}

static void test_in_order_of_place_and_told_once(void **state)
{
	(void)state;
	struct source *a = source("a\nb\n"), *b = source_new(arena, "t.yaml", "c\n", 2, 1);
	const char *first, *second, *third;

	diag_add(diag, DIAG_BAD_VALUE, &(struct mark){ b, 1, 1, 1 }, "third");
	diag_add(diag, DIAG_BAD_VALUE, &(struct mark){ a, 2, 1, 1 }, "second");
	diag_add(diag, DIAG_BAD_VALUE, &(struct mark){ a, 2, 1, 1 }, "second");
	diag_add(diag, DIAG_BAD_VALUE, NULL, "first");
	first = strstr(printed(), "error[E015]: first");
	second = strstr(out.p, "second");
	third = strstr(out.p, "third");
	assert_ptr_equal(first, out.p);
	assert_true(first < second && second < third);
	assert_null(strstr(second + 1, "second"));
	assert_int_equal(diag_errors(diag), 3);
}

static void test_exit_status(void **state)
{
	(void)state;
	assert_int_equal(diag_exit(diag), 0);
	diag_add(diag, DIAG_UNKNOWN_KEY, NULL, "x");
	assert_int_equal(diag_exit(diag), 78);
	diag_add(diag, DIAG_SYNTAX, NULL, "x");
	assert_int_equal(diag_exit(diag), 65);
}

static void test_wide_characters_tabs_and_escapes_keep_carets_in_place(void **state)
{
	(void)state;
	struct source *s = source("\tżółw: \033[31m \xff x\n");

	diag_add(diag, DIAG_BAD_VALUE, &(struct mark){ s, 1, 2, 4 }, "m");
	assert_non_null(strstr(printed(), "   1 |  żółw: ?[31m ? x\n     |  ^^^^\n"));
}

static void test_a_megabyte_line_is_cut_around_the_place(void **state)
{
	(void)state;
	char *text = xmalloc(1000001);

	memset(text, 'a', 1000000);
	text[1000000] = '\0';
	memcpy(text + 500000, "HERE", 4);
	diag_add(diag, DIAG_BAD_VALUE, &(struct mark){ source(text), 1, 500001, 4 }, "m");
	printed();
	assert_true(out.len < 600);
	const char *here = strstr(out.p, "HERE"), *line = here, *carets = strstr(out.p, "^^^^");
	assert_non_null(carets);
	while (line > out.p && line[-1] != '\n')
		line--;
	const char *under = carets;
	while (under[-1] != '\n')
		under--;
	assert_int_equal(here - line, carets - under + 2); /* the … in front has three bytes and one column */
	free(text);
}

static void test_a_place_behind_the_line_and_one_that_does_not_exist(void **state)
{
	(void)state;
	struct source *s = source("ab\n");

	diag_add(diag, DIAG_SYNTAX, &(struct mark){ s, 1, 3, 1 }, "end");
	diag_add(diag, DIAG_SYNTAX, &(struct mark){ s, 9, 1, 1 }, "nowhere");
	diag_add(diag, DIAG_TOO_BIG, &(struct mark){ .source = s }, "whole");
	assert_string_equal(printed(),
		"s.yaml: error[E004]: whole\n"
		"s.yaml:1:3: error[E001]: end\n   1 | ab\n     |   ^\n"
		"s.yaml:9:1: error[E001]: nowhere\n");
}

static void test_hidden_text_is_never_shown(void **state)
{
	(void)state;
	struct source *s = source("a: {password: hunter2, tiemout: 1s}\nb: \"hun\n  ter3\" \n");

	source_hide(s, 1, 15, 1, 22);
	source_hide(s, 2, 4, 3, 8);
	diag_add(diag, DIAG_UNKNOWN_KEY, &(struct mark){ s, 1, 24, 7 }, "m");
	diag_add(diag, DIAG_BAD_VALUE, &(struct mark){ s, 1, 15, 7 }, "m");
	diag_add(diag, DIAG_BAD_VALUE, &(struct mark){ s, 2, 1, 1 }, "m");
	diag_add(diag, DIAG_BAD_VALUE, &(struct mark){ s, 3, 3, 4 }, "m");
	printed();
	assert_null(strstr(out.p, "hun"));
	assert_null(strstr(out.p, "ter3"));
	assert_non_null(strstr(out.p, "   1 | a: {password: •••, tiemout: 1s}\n     |                    ^^^^^^^\n"));
	assert_non_null(strstr(out.p, "   1 | a: {password: •••, tiemout: 1s}\n     |               ^^^\n"));
}

static void test_colours_only_when_asked_for(void **state)
{
	(void)state;
	diag_add(diag, DIAG_BAD_VALUE, &(struct mark){ source("a"), 1, 1, 1 }, "m");
	assert_null(strchr(printed(), '\033'));
	buf_clear(&out);
	diag_print(diag, &out, true);
	assert_non_null(strchr(out.p, '\033'));
	FILE *f = tmpfile();
	assert_false(diag_colour(f));
	fclose(f);
}

static void test_json(void **state)
{
	(void)state;
	struct source *s = source("a: 1\nb: 2\n");
	struct problem *p = diag_add(diag, DIAG_UNKNOWN_KEY, &(struct mark){ s, 2, 1, 1 }, "say \"b\"");

	problem_near(p, "a");
	problem_note(p, "one");
	problem_note(p, "two");
	problem_second(p, &(struct mark){ s, 1, 1, 1 }, "here");
	diag_add(diag, DIAG_SYNTAX, NULL, "nowhere");
	diag_json(diag, &out);
	assert_string_equal(out.p,
		"[{\"code\":\"E001\",\"severity\":\"error\",\"file\":null,\"line\":0,\"column\":0,\"length\":0,\"message\":\"nowhere\",\"hint\":null,\"notes\":[],\"also\":null},\n"
		" {\"code\":\"E012\",\"severity\":\"error\",\"file\":\"s.yaml\",\"line\":2,\"column\":1,\"length\":1,\"message\":\"say \\\"b\\\"\",\"hint\":\"a\","
		"\"notes\":[\"one\",\"two\"],\"also\":{\"file\":\"s.yaml\",\"line\":1,\"column\":1,\"length\":1,\"message\":\"here\"}}]\n");
}

static void test_more_than_a_thousand_are_counted(void **state)
{
	(void)state;
	for (int i = 0; i < DIAG_KEPT + 5; i++) {
		struct problem *p = diag_add(diag, DIAG_BAD_VALUE, NULL, "number %d", i);

		problem_near(p, "x");
		problem_note(p, "y");
		problem_second(p, &(struct mark){ NULL, 0, 0, 0 }, "z");
	}
	assert_int_equal(diag_errors(diag), DIAG_KEPT + 5);
	assert_non_null(strstr(printed(), "and 5 more, not shown\n"));
}

static void test_quote(void **state)
{
	(void)state;
	assert_string_equal(diag_quote(diag, "a\"b\\\n\033\xff é\x00z", 12), "\"a\\\"b\\\\\\n\\x1b\\xff é\\x00z\"");
	char longer[400];
	memset(longer, 'x', sizeof(longer));
	const char *q = diag_quote(diag, longer, sizeof(longer));
	assert_int_equal(strlen(q), 2 + 60 + strlen("…"));
}

static void test_every_code_is_explained_and_unique(void **state)
{
	(void)state;
	for (unsigned i = 0; i < DIAG_CODES; i++) {
		const struct code *c = code_at((enum diag_code)i);

		assert_true((c->name[0] == 'E' || c->name[0] == 'W') && strlen(c->name) == 4);
		assert_ptr_equal(code_find(c->name), c);
		assert_true(strlen(c->title) > 3 && strlen(c->help) > 20);
		assert_true(c->exit == 65 || c->exit == 78);
	}
	assert_non_null(code_find("e012"));
	assert_null(code_find("E999"));
}

static const char *near(const char *word, const char *const *names)
{
	static struct nearest n;

	nearest_begin(&n, word);
	for (; *names != NULL; names++)
		nearest_try(&n, *names);
	return nearest_found(&n);
}

static void test_near_names(void **state)
{
	(void)state;
	static const char *const keys[] = { "timeout", "retry", "to", "in-flight", "where", "batch", NULL };

	assert_string_equal(near("tiemout", keys), "timeout");
	assert_string_equal(near("timout", keys), "timeout");
	assert_string_equal(near("in_flight", keys), "in-flight");
	assert_string_equal(near("Where", keys), "where");
	assert_string_equal(near("ot", keys), "to");
	assert_null(near("elephant", keys));
	assert_null(near("x", keys));
	assert_null(near("substring", (const char *const[]){ "isstring", NULL })); /* three slips make another word */
	assert_string_equal(near("of", (const char *const[]){ "on", "off", NULL }), "off");
	assert_string_equal(near("subscritpons", (const char *const[]){ "subscriptions", NULL }), "subscriptions");
	assert_int_equal(nearest_distance("ab", "ba"), 1);
	assert_int_equal(nearest_distance("", "abc"), 3);
	assert_int_equal(nearest_distance("kitten", "sitting"), 3);
	char longer[100];
	memset(longer, 'x', 99);
	longer[99] = '\0';
	assert_int_equal(nearest_distance(longer, "x"), UINT_MAX);
	assert_null(near(longer, keys));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_the_whole_shape), TEST(test_in_order_of_place_and_told_once), TEST(test_exit_status),
		TEST(test_wide_characters_tabs_and_escapes_keep_carets_in_place), TEST(test_a_megabyte_line_is_cut_around_the_place),
		TEST(test_a_place_behind_the_line_and_one_that_does_not_exist), TEST(test_hidden_text_is_never_shown),
		TEST(test_colours_only_when_asked_for), TEST(test_json), TEST(test_more_than_a_thousand_are_counted), TEST(test_quote),
		TEST(test_every_code_is_explained_and_unique), TEST(test_near_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
