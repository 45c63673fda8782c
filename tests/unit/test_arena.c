/* An arena gives zeroed, aligned blocks that stay apart and are freed together; the x-functions never return NULL. */
#include "base/arena.h"
#include "unit.h"

#include <stdalign.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

static void test_blocks_are_zeroed_aligned_and_apart(void **state)
{
	(void)state;
	enum { N = 3000 };
	static unsigned char *blocks[N];
	static size_t sizes[N];
	struct arena *a = arena_new();
	size_t sum = 0;
	for (int i = 0; i < N; i++) {
		sizes[i] = i % 500 == 499 ? 700000 : (size_t)(i * 37 % 211);
		blocks[i] = arena_alloc(a, sizes[i]);
		sum += sizes[i];
		assert_non_null(blocks[i]);
		assert_int_equal((uintptr_t)blocks[i] % alignof(max_align_t), 0);
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal(blocks[i][k], 0);
		memset(blocks[i], i & 0xFF, sizes[i]);
	}
	for (int i = 0; i < N; i++)
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal(blocks[i][k], i & 0xFF);
	assert_true(arena_size(a) >= sum);
	assert_true(arena_size(a) < 3 * sum);
	arena_free(a);
	arena_free(NULL);
}

static void test_size_zero_gives_distinct_pointers(void **state)
{
	(void)state;
	struct arena *a = arena_new();
	assert_ptr_not_equal(arena_alloc(a, 0), arena_alloc(a, 0));
	arena_free(a);
}

static void test_strings(void **state)
{
	(void)state;
	struct arena *a = arena_new();
	assert_string_equal(arena_strdup(a, "kas"), "kas");
	assert_string_equal(arena_strdup(a, ""), "");
	assert_string_equal(arena_strndup(a, "kasetka", 3), "kas");
	assert_string_equal(arena_strndup(a, NULL, 0), "");
	char *s = arena_printf(a, "%s-%05d", "toll", 42);
	assert_string_equal(s, "toll-00042");
	s = arena_printf(a, "%*s", 100000, "x");
	assert_int_equal(strlen(s), 100000);
	arena_free(a);
}

static void test_x_functions(void **state)
{
	(void)state;
	char *p = xmalloc(0);
	assert_non_null(p);
	p = xrealloc(p, 10);
	memcpy(p, "123456789", 10);
	p = xrealloc(p, 100000);
	assert_string_equal(p, "123456789");
	free(p);
	p = xcalloc(10, 10);
	for (int i = 0; i < 100; i++)
		assert_int_equal(p[i], 0);
	free(p);
	p = xcalloc(0, 10);
	assert_non_null(p);
	free(p);
	p = xstrdup("ident");
	assert_string_equal(p, "ident");
	free(p);
}

static void child_asks_for_too_much(int how)
{
	struct arena *a = arena_new();
	if (how == 0)
		free(xmalloc(SIZE_MAX / 2 + 2));
	else if (how == 1)
		free(xcalloc(SIZE_MAX / 2, 3));
	else
		arena_alloc(a, SIZE_MAX - 4);
	arena_free(a);
	_exit(0);
}

static void test_no_memory_ends_the_process_with_a_message(void **state)
{
	(void)state;
	for (int how = 0; how < 3; how++) {
		int fds[2];
		assert_int_equal(pipe(fds), 0);
		pid_t pid = fork();
		if (pid == 0) {
			dup2(fds[1], STDERR_FILENO);
			child_asks_for_too_much(how);
		}
		close(fds[1]);
		char text[4096];
		ssize_t n = read(fds[0], text, sizeof(text) - 1);
		assert_true(n > 0);
		text[n] = '\0';
		close(fds[0]);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
#ifndef UNIT_SANITIZED
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), EX_OSERR);
		assert_non_null(strstr(text, "out of memory"));
#else
		assert_int_not_equal(status, 0); /* the sanitizer ends it in its own words */
#endif
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks_are_zeroed_aligned_and_apart),
		cmocka_unit_test(test_size_zero_gives_distinct_pointers),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_x_functions),
		cmocka_unit_test(test_no_memory_ends_the_process_with_a_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
