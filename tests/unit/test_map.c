/* Maps agree with the simplest model that can be written, through any sequence of puts and deletes. */
#include "base/map.h"
#include "unit.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

#define KEYS 600

static void test_map_against_model(void **state)
{
	(void)state;
	static char keys[KEYS][24];
	static int values[KEYS][2];
	void *model[KEYS] = { NULL };
	size_t count = 0;
	struct map m;
	map_init(&m);
	for (int i = 0; i < KEYS; i++)
		snprintf(keys[i], sizeof(keys[i]), "%015d", i * 7);
	for (int step = 0; step < 200000; step++) {
		int k = (int)(random64() % KEYS);
		size_t len = strlen(keys[k]);
		/* Phases that mostly fill and phases that mostly empty. */
		bool put = random64() % 100 < (step / 20000 % 2 ? 30u : 70u);
		if (put) {
			void *v = &values[k][random64() & 1];
			assert_ptr_equal(map_put(&m, keys[k], len, v), model[k]);
			count += !model[k];
			model[k] = v;
		} else {
			assert_ptr_equal(map_del(&m, keys[k], len), model[k]);
			count -= model[k] != NULL;
			model[k] = NULL;
		}
		assert_int_equal(m.n, count);
		int other = (int)(random64() % KEYS);
		assert_ptr_equal(map_gets(&m, keys[other]), model[other]);
		if (step % 5000 == 0) {
			size_t seen = 0;
			struct map_slot *s;
			for (size_t i = 0; (s = map_next(&m, &i)); seen++)
				assert_ptr_equal(s->value, model[atoi(s->key) / 7]);
			assert_int_equal(seen, count);
			for (int i = 0; i < KEYS; i++)
				assert_ptr_equal(map_gets(&m, keys[i]), model[i]);
		}
	}
	map_fini(&m);
	assert_null(map_gets(&m, "x"));
}

static void test_map_keys_are_bytes(void **state)
{
	(void)state;
	struct map m;
	int a, b, c;
	map_init(&m);
	assert_null(map_get(&m, "", 0));
	assert_null(map_del(&m, "", 0));
	assert_null(map_put(&m, "a\0b", 3, &a));
	assert_null(map_put(&m, "a\0c", 3, &b));
	assert_null(map_put(&m, "", 0, &c));
	assert_ptr_equal(map_get(&m, "a\0b", 3), &a);
	assert_ptr_equal(map_get(&m, "a\0c", 3), &b);
	assert_ptr_equal(map_get(&m, NULL, 0), &c);
	assert_null(map_get(&m, "a", 1));
	map_fini(&m);
}

static void test_a_replaced_key_is_not_borrowed_any_longer(void **state)
{
	(void)state;
	struct map m;
	int a, b;
	map_init(&m);
	char *old = strdup("ident");
	map_put(&m, old, 5, &a);
	char *new = strdup("ident");
	assert_ptr_equal(map_put(&m, new, 5, &b), &a);
	memset(old, 'x', 5);
	free(old);
	assert_ptr_equal(map_gets(&m, "ident"), &b);
	map_fini(&m);
	free(new);
}

static void test_umap_against_model(void **state)
{
	(void)state;
	static struct { bool there; uint64_t value; } model[KEYS];
	size_t count = 0;
	struct umap m;
	umap_init(&m);
	uint64_t v;
	assert_false(umap_get(&m, 0, &v));
	assert_false(umap_del(&m, 0));
	for (int step = 0; step < 200000; step++) {
		uint64_t k = random64() % KEYS;
		uint64_t key = k << 32; /* keys that differ in high bits only */
		if (random64() % 100 < (step / 20000 % 2 ? 30u : 70u)) {
			v = random64();
			umap_put(&m, key, v);
			count += !model[k].there;
			model[k].there = true;
			model[k].value = v;
		} else {
			assert_int_equal(umap_del(&m, key), model[k].there);
			count -= model[k].there;
			model[k].there = false;
		}
		assert_int_equal(m.n, count);
		k = random64() % KEYS;
		assert_int_equal(umap_get(&m, k << 32, &v), model[k].there);
		if (model[k].there)
			assert_int_equal(v, model[k].value);
		if (step % 5000 == 0) {
			size_t seen = 0;
			struct umap_slot *s;
			for (size_t i = 0; (s = umap_next(&m, &i)); seen++)
				assert_int_equal(s->value, model[s->key >> 32].value);
			assert_int_equal(seen, count);
		}
	}
	assert_false(umap_get(&m, UINT64_MAX, &v));
	umap_fini(&m);
}

static void test_hash_stable_never_changes(void **state)
{
	(void)state;
	/* Lanes and records on disk depend on these values. If this fails, hash.c is wrong, not the test. */
	static const uint64_t want[] = {
		0x4280B4DD32BBF55D,
		0x90798A1181120AF5,
		0x11D42D91418123E7,
		0xC9F2A0B84F4BEB66,
		0x6219EFEB722FFB02,
		0xF906621B1EB3D5BC,
		0xB9A9C2EDCEFE7544,
		0xBF3D09453EF7E8AE,
		0xE75B7EBF4098E05D,
		0x56F3E1B718AF09F7,
		0xEB1F0E74DFE286C7,
		0x5287075ACEDF8789,
		0x0886E8A4FDD664EE,
		0x81D8C492CA54D2BE,
		0xB6FD7514870CF05F,
		0x828DFF99593F0B1B,
		0x9AD23D67C84B8044,
		0xC01C8E4E1DC624B3,
		0xBD5F64B9DBE250C0,
		0xEB193ADB5F1F9FE7,
	};
	unsigned char text[200];
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (unsigned char)(i * 7 + 1);
	static const size_t lengths[] = { 0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 49, 64, 96, 97, 200 };
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
		assert_int_equal(hash_stable(text, lengths[i]), want[i]);
	assert_int_equal(hash_stable("352093081234567", 15), 0x64127014F678CCE5);
}

static void test_hash_spreads(void **state)
{
	(void)state;
	/* Every bit of the input moves about half the bits of the output, and idents fill lanes evenly. */
	for (size_t n = 1; n <= 100; n++) {
		unsigned char p[100];
		for (size_t i = 0; i < n; i++)
			p[i] = (unsigned char)random64();
		uint64_t h = hash_stable(p, n);
		unsigned sum = 0;
		for (size_t bit = 0; bit < 8 * n; bit++) {
			p[bit / 8] ^= (unsigned char)(1 << bit % 8);
			unsigned moved = (unsigned)__builtin_popcountll(h ^ hash_stable(p, n));
			assert_in_range(moved, 10, 54);
			sum += moved;
			p[bit / 8] ^= (unsigned char)(1 << bit % 8);
		}
		assert_in_range(sum / (8 * n), 27, 37);
	}
	unsigned lanes[16] = { 0 };
	for (int i = 0; i < 16000; i++) {
		char ident[16];
		snprintf(ident, sizeof(ident), "35209308%07d", i);
		lanes[hash_stable(ident, 15) % 16]++;
	}
	for (int i = 0; i < 16; i++)
		assert_in_range(lanes[i], 850, 1150);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map_against_model),
		cmocka_unit_test(test_map_keys_are_bytes),
		cmocka_unit_test(test_a_replaced_key_is_not_borrowed_any_longer),
		cmocka_unit_test(test_umap_against_model),
		cmocka_unit_test(test_hash_stable_never_changes),
		cmocka_unit_test(test_hash_spreads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
