/* Credentials: what is read out of an Authorization value, and what equals a secret. */
#include "unit.h"

#include "base/buf.h"
#include "net/auth.h"

static void test_equal(void **state)
{
	(void)state;
	assert_true(auth_equal("secret", 6, "secret", 6));
	assert_false(auth_equal("secret", 6, "secreT", 6));
	assert_false(auth_equal("secret", 6, "Secret", 6));
	assert_false(auth_equal("secret", 6, "secre", 5));
	assert_false(auth_equal("secret", 6, "secrets", 7));
	assert_false(auth_equal("", 0, "", 0));
	assert_false(auth_equal("a\0b", 3, "a\0c", 3));
}

static void test_scheme(void **state)
{
	static const struct { const char *value, *scheme, *want; } cases[] = {
		{ "Bearer abc", "Bearer", "abc" }, { "bEARER  abc ", "Bearer", "abc" }, { "Bearer a b", "Bearer", "a b" },
		{ "Bearer", "Bearer", NULL }, { "Bearer ", "Bearer", NULL }, { "Bearerabc", "Bearer", NULL },
		{ "Basic abc", "Bearer", NULL }, { "", "Bearer", NULL }, { "FlespiToken x", "FlespiToken", "x" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *p;
		size_t n;
		bool got = auth_scheme(cases[i].value, strlen(cases[i].value), cases[i].scheme, &p, &n);

		assert_int_equal(got, cases[i].want != NULL);
		if (got && (n != strlen(cases[i].want) || memcmp(p, cases[i].want, n) != 0))
			fail_msg("'%s' gave '%.*s'", cases[i].value, (int)n, p);
	}
	const char *p;
	size_t n;
	assert_false(auth_scheme(NULL, 0, "Bearer", &p, &n));
}

static void test_basic(void **state)
{
	static const struct { const char *value, *user, *password; } good[] = {
		{ "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame" }, /* RFC 7617 2 */
		{ "basic dGVzdDoxMjPCow==", "test", "123\xc2\xa3" },              /* RFC 7617 2.1 */
		{ "Basic YTpiOmM=", "a", "b:c" },
		{ "Basic YTpiOmM", "a", "b:c" },
		{ "Basic Og==", "", "" },
	};
	static const char *const bad[] = { "Basic", "Basic ====", "Basic YQ==", "Basic YTpi!", "Basic Y", "Bearer YTpi", "Basic AGE6Yg==", "Basic YT pi" };
	struct buf b = BUF_INIT;
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		buf_clear(&b);
		assert_int_equal(auth_basic(good[i].value, strlen(good[i].value), &b, &n), 0);
		assert_string_equal(b.p, good[i].user);
		assert_int_equal(n, strlen(good[i].user));
		assert_string_equal(b.p + n + 1, good[i].password);
		assert_int_equal(b.len, n + 1 + strlen(good[i].password));
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		buf_clear(&b);
		buf_adds(&b, "before");
		if (auth_basic(bad[i], strlen(bad[i]), &b, &n) != -1)
			fail_msg("'%s' was taken", bad[i]);
		assert_string_equal(b.p, "before");
	}
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_scheme),
		cmocka_unit_test(test_basic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
