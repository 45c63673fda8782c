/* Every file listed for embedding is found by its path, with the very bytes it has in the source tree. */
#include "base/embedded.h"
#include "unit.h"

static void test_bytes_are_those_of_the_tree(void **state)
{
	(void)state;
	const char *root = getenv("SLUICE_SRC");
	if (!root)
		root = ".";
	const struct embedded *e;
	for (size_t i = 0; (e = embedded_at(i)); i++) {
		char path[4096];
		snprintf(path, sizeof(path), "%s/%s", root, e->path);
		FILE *f = fopen(path, "rb");
		assert_non_null(f);
		unsigned char *bytes = malloc(e->size + 2);
		assert_non_null(bytes);
		assert_int_equal(fread(bytes, 1, e->size + 1, f), e->size);
		assert_memory_equal(bytes, e->bytes, e->size);
		assert_int_equal(e->bytes[e->size], 0);
		free(bytes);
		fclose(f);
		assert_ptr_equal(embedded_find(e->path), e);
	}
}

static void test_sorted_and_ended(void **state)
{
	(void)state;
	for (size_t i = 1; i < embedded_count; i++)
		assert_true(strcmp(embedded_at(i - 1)->path, embedded_at(i)->path) < 0);
	assert_null(embedded_at(embedded_count));
	assert_null(embedded_find("lua/no such file"));
	assert_null(embedded_find(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_are_those_of_the_tree),
		cmocka_unit_test(test_sorted_and_ended),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
