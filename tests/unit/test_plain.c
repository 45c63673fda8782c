/* The quick reader of plain YAML says what libyaml says, to the last column, or leaves the text alone. */
#include "trees_alike.h"
#include "base/buf.h"
#include "unit.h"

#include <glob.h>

static void held(const char *text, int want)
{
	int got = read_twice(text, strlen(text));

	if (got != want)
		fail_msg("%d, not %d: %s", got, want, text);
}

static void test_plain_text_is_read_here(void **state)
{
	(void)state;
	held("a: 1\n", 1);
	held("# head\n\na: 1   # note\n\n  # more\nb:   two words  \n", 1);
	held("a:\n  b:\n    c: \"x: y # z\"\n  d: 'q'\ne: -5\n", 1);
	held("a:\n- 1\n- b: 2\n  c:\n  - x\n  -\n- - 3\n  - 4\nd:\n  - {e: [f, \"g\" , {}], \"h\":1, i: http://x:80/y}\n  -   k: [] # l\n", 1);
	held("żó: {ą: \"ę\", b: ć} # ł\nx: 𝄞\n", 1);
	held("a:\nb:\n  c:\n\n  d:\n   # e\n-f: 1\n", 0);
	held("a:\nb:\n  c:\n\n  d:\n   # e\nf: 1\n", 1);
	held("a: {\n  b: 1, # c\n\n  d: [x,\n y, \"z\"\n] # e\n}\n", 1);
	held("sub:\n  - stream: a\n    to: [b]\n  - stream: c\n\n", 1);
}

static void test_what_is_not_plain_is_left_to_libyaml(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"", "a: 1", "a\n", "- a\n", "{a: 1}\n", "--- \na: 1\n", "a: 1\n...\n", "a: &x 1\n", "a: *x\n", "a: !str 1\n", "a: |\n  text\n", "a: >\n  text\n", "a:\tb\n",
		"a: 1\r\n", "a: one\n  two\n", "a: \"one\n  two\"\n", "a: \"\\n\"\n", "a: 'it''s'\n", "? a\n: b\n", "a: {b}\n", "a: [b: c]\n", "a: [b,]\n", "a: {b: c,}\n",
		"a: 1\na: 2\n", "<<: 1\n", "~: 1\n", "a: b: c\n", "a: [b\n", "a: @b\n", "a: %b\n", "a: `b\n", "a: - b\n", "a:\n  b: 1\n c: 2\n", "a:\n- b\n c: 2\n", "a: {b: [c\n d]}\n",
		"a: 1\n  b: 2\n", "[a]: 1\n", "{a: 1}: 2\n", "a: {b: 1}: 2\n", "a: \"x\" y\n", "a: [x?]\n", "a: {b:, c: 1}\n", "... : 1\n", "a: 1\n--- : 2\n",
		"a: \xef\xbb\xbf\n", "a: x\xc2\x85y\n", "a: x\xe2\x80\xa8y\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		held(texts[i], 0);
}

static void test_every_specification_here_is_read_alike(void **state)
{
	(void)state;
	static const char *const patterns[] = { "tests/conf/good/*.yaml", "tests/conf/bad/*.yaml", "examples/*.yaml", "tests/conf/good/*.plan" };
	unsigned plain = 0;

	for (size_t k = 0; k < sizeof(patterns) / sizeof(*patterns); k++) {
		char pattern[4096];
		glob_t files;

		snprintf(pattern, sizeof(pattern), "%s/%s", getenv("SLUICE_SRC") ? getenv("SLUICE_SRC") : ".", patterns[k]);
		assert_int_equal(glob(pattern, 0, NULL, &files), 0);
		for (size_t i = 0; i < files.gl_pathc; i++) {
			static char text[1 << 20];
			FILE *f = fopen(files.gl_pathv[i], "rb");
			size_t n;
			int alike;

			assert_non_null(f);
			n = fread(text, 1, sizeof(text) - 1, f);
			text[n] = '\0';
			fclose(f);
			alike = read_twice(text, n);
			if (alike < 0)
				fail_msg("%s", files.gl_pathv[i]);
			plain += alike > 0;
		}
		globfree(&files);
	}
	assert_true(plain >= 60);
}

/* ---- made-up texts ---------------------------------------------------------------------------------------------------------------- */

static unsigned seed = 1;

static unsigned any(unsigned n)
{
	seed = seed * 1103515245u + 12345u;
	return seed / 65536u % n;
}

static const char *pick(void)
{
	static const char *const words[] = {
		"a", "b: ", "c:", " ", "  ", "    ", "\n", "\n", "\n  ", "\n    ", "\n- ", "\n  - ", "\n-", "- ", "{", "}", "[", "]", ", ", ",", ": ", ":", "#", " # x", "\"q\"", "'s'", "\"", "1",
		"-1", "key: ", "\nkey: ", "\nd: ", "x y", "é", "…", "http://h:1/p", "?", "! ", "&a", "*a", "|", ">", "...", "---", "k1: v\n", "k2: {a: 1, b: [2, \"3\"]}\n", "null", "~", "\t",
	};

	return words[any(sizeof(words) / sizeof(*words))];
}

static void add_value(struct buf *b, unsigned deep, bool flow)
{
	static const char *const scalars[] = { "x", "two words", "\"q: # ,\"", "'s'", "-12", "1.5", "é x", "http://h:1/p?q", "a#b", "\"\"", "10ms" };
	unsigned n;

	if (deep < 4 && any(3) == 0) {
		bool map = any(2) == 0;

		buf_addc(b, map ? '{' : '[');
		n = any(4);
		for (unsigned i = 0; i < n; i++) {
			if (i > 0)
				buf_adds(b, any(6) == 0 ? ",\n      " : any(4) == 0 ? " ," : ", ");
			if (map)
				buf_addf(b, any(4) == 0 ? "\"k%u\":" : "k%u: ", i);
			add_value(b, deep + 1, true);
		}
		buf_addc(b, map ? '}' : ']');
		return;
	}
	n = any(sizeof(scalars) / sizeof(*scalars));
	buf_adds(b, flow && n == 7 ? "h:1" : scalars[n]);
}

static void add_block(struct buf *b, unsigned indent, unsigned deep)
{
	bool list = deep > 0 && any(3) == 0;
	unsigned n = 1 + any(4);

	for (unsigned i = 0; i < n; i++) {
		for (unsigned k = 0; k < indent; k++)
			buf_addc(b, ' ');
		if (list)
			buf_addc(b, '-');
		else
			buf_addf(b, any(5) == 0 ? "\"k%u\":" : any(9) == 0 ? "k%u :" : "key %u:", i);
		if (deep < 4 && any(3) == 0) {
			buf_adds(b, any(4) == 0 ? " # c\n" : "\n");
			add_block(b, indent + 1 + any(3) - (!list && any(4) == 0), deep + 1);
		} else if (any(8) == 0) {
			buf_adds(b, any(2) ? "\n" : "  # nothing\n\n");
		} else {
			buf_addc(b, ' ');
			if (list && any(3) == 0)
				buf_adds(b, "m: ");
			add_value(b, deep, false);
			buf_adds(b, any(5) == 0 ? " # c\n" : any(9) == 0 ? "  \n\n" : "\n");
		}
	}
}

static void test_a_hundred_thousand_made_up_texts(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	unsigned plain = 0;

	for (unsigned i = 0; i < 100000; i++) {
		int alike;

		buf_clear(&b);
		if (i % 2 == 0) {
			add_block(&b, 0, 0);
			for (unsigned k = any(3); k > 0; k--) { /* a slip of the pen */
				const char *slip = pick();
				size_t at = any((unsigned)b.len);

				if (any(2) == 0)
					b.p[at] = *slip;
				else
					buf_adds(&b, slip);
			}
		} else {
			buf_adds(&b, "a: ");
			for (unsigned k = any(20); k > 0; k--)
				buf_adds(&b, pick());
		}
		buf_addc(&b, '\n');
		alike = read_twice(b.p, b.len);
		if (alike < 0)
			fail_msg("read otherwise: %s", b.p);
		plain += alike > 0;
	}
	print_message("%u of 100000 were plain\n", plain);
	assert_true(plain > 20000);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_text_is_read_here), cmocka_unit_test(test_what_is_not_plain_is_left_to_libyaml),
		cmocka_unit_test(test_every_specification_here_is_read_alike), cmocka_unit_test(test_a_hundred_thousand_made_up_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
