/* An event is one line in one write, in the format and from the level asked for; nothing in it can forge another line. */
#include "base/log.h"
#include "unit.h"

#include <errno.h>
#include <unistd.h>

static char text[8192];
static int saved_stderr, fds[2];

static void capture(void)
{
	assert_int_equal(pipe(fds), 0);
	saved_stderr = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
}

/* What was written since capture(), the time cut off after a look at its form. */
static const char *captured(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(fds[1]);
	ssize_t n = read(fds[0], text, sizeof(text) - 1);
	close(fds[0]);
	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static const char *behind_time(const char *line)
{
	int year, month, day, hour, minute, second, us, used = 0;
	assert_int_equal(sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%6dZ%n", &year, &month, &day, &hour, &minute, &second, &us, &used), 7);
	assert_int_equal(used, 27);
	return line + used;
}

static void test_logfmt(void **state)
{
	(void)state;
	log_setup(LOG_INFO, LOG_LOGFMT);
	capture();
	log_warn("stream/toll", "blocked", "status=%d reason=%s", 403, log_quote("not \"you\""));
	assert_string_equal(behind_time(captured()), " warn stream/toll blocked status=403 reason=\"not \\\"you\\\"\"\n");
	capture();
	log_info("reload", "done", NULL);
	assert_string_equal(behind_time(captured()), " info reload done\n");
}

static void test_json(void **state)
{
	(void)state;
	log_setup(LOG_INFO, LOG_JSON);
	capture();
	log_error("store", "failed", "n=%d x=-1.5 id=123456789012345678 zero=007 ok=true flag path=%s why=%s", 3, log_quote("/a b"),
		  log_quote("tab\tquote\" nl\n \x01 \xC5\xBC"));
	const char *line = captured();
	assert_memory_equal(line, "{\"time\":\"", 9);
	assert_string_equal(behind_time(line + 9),
			    "\",\"level\":\"error\",\"object\":\"store\",\"event\":\"failed\",\"n\":3,\"x\":-1.5,"
			    "\"id\":\"123456789012345678\",\"zero\":\"007\",\"ok\":true,\"flag\":true,\"path\":\"/a b\","
			    "\"why\":\"tab\\tquote\\\" nl\\n \\u0001 \xC5\xBC\"}\n");
	capture();
	log_info("reload", "done", NULL);
	assert_string_equal(behind_time(captured() + 9), "\",\"level\":\"info\",\"object\":\"reload\",\"event\":\"done\"}\n");
}

static void test_level(void **state)
{
	(void)state;
	log_setup(LOG_WARN, LOG_LOGFMT);
	assert_false(log_enabled(LOG_DEBUG));
	assert_false(log_enabled(LOG_INFO));
	assert_true(log_enabled(LOG_WARN));
	capture();
	log_debug("a", "b", NULL);
	log_info("a", "b", NULL);
	assert_string_equal(captured(), "");
	log_setup(LOG_DEBUG, LOG_LOGFMT);
	capture();
	log_debug("a", "b", NULL);
	assert_string_equal(behind_time(captured()), " debug a b\n");
}

static void test_no_value_begins_a_new_line(void **state)
{
	(void)state;
	for (int format = LOG_LOGFMT; format <= LOG_JSON; format++) {
		log_setup(LOG_INFO, (enum log_format)format);
		capture();
		log_info("chan\nnel", "ev\nent", "ident=%s \xFF\r", "1\n2026-01-01T00:00:00.000000Z error forged");
		const char *line = captured();
		assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
		assert_null(strchr(line, '\r'));
		assert_null(strchr(line, '\xFF'));
	}
}

static void test_errno_is_kept_and_printed(void **state)
{
	(void)state;
	log_setup(LOG_INFO, LOG_LOGFMT);
	capture();
	errno = ENOENT;
	log_info("a", "b", "why=%s", log_quote(strerror(errno)));
	assert_int_equal(errno, ENOENT);
	assert_string_equal(behind_time(captured()), " info a b why=\"No such file or directory\"\n");
}

static void test_quote(void **state)
{
	(void)state;
	assert_string_equal(log_quote(""), "\"\"");
	assert_string_equal(log_quote(NULL), "\"\"");
	assert_string_equal(log_quote("a=b c\\d"), "\"a=b c\\\\d\"");
	assert_string_equal(log_quote("\r\n\t\x1b\x7f"), "\"\\r\\n\\t\\u001b\\u007f\"");
	assert_string_equal(log_quote("\xC3"), "\"\xEF\xBF\xBD\"");
	const char *first = log_quote("first");
	for (int i = 0; i < 7; i++)
		log_quote("other");
	assert_string_equal(first, "\"first\"");
}

static void test_quote_cuts_long_text_between_characters(void **state)
{
	(void)state;
	char s[1200];
	for (size_t n = 480; n < 530; n++) {
		memset(s, 'x', n);
		s[n] = '\0';
		const char *q = log_quote(s);
		if (n <= 509) {
			assert_int_equal(strlen(q), n + 2);
		} else {
			assert_int_equal(strlen(q), 511);
			assert_string_equal(q + 511 - 4, "\xE2\x80\xA6\"");
		}
	}
	for (size_t lead = 0; lead < 4; lead++) {
		memset(s, 'x', lead);
		for (size_t i = lead; i + 3 < sizeof(s); i += 3)
			memcpy(s + i, "\xE2\x82\xAC", 4);
		const char *q = log_quote(s);
		size_t n = strlen(q);
		assert_in_range(n, 500, 511);
		assert_string_equal(q + n - 4, "\xE2\x80\xA6\"");
		assert_memory_equal(q + n - 7, "\xE2\x82\xAC", 3);
	}
	memset(s, '"', sizeof(s) - 1);
	s[sizeof(s) - 1] = '\0';
	const char *q = log_quote(s);
	assert_string_equal(q + strlen(q) - 6, "\\\"\xE2\x80\xA6\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logfmt),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_no_value_begins_a_new_line),
		cmocka_unit_test(test_errno_is_kept_and_printed),
		cmocka_unit_test(test_quote),
		cmocka_unit_test(test_quote_cuts_long_text_between_characters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
