/* hash.c - 64 bits from bytes, for tables and lanes; not for secrets.
 *
 * The work is one step, `mix`: the two halves of a 64 x 64 -> 128 bit product, folded, with both factors put in again
 * so that a factor which happens to be zero does not swallow the other. Long input runs through three lanes to keep
 * the multiplier busy. hash_stable is a format promise (lanes and records on disk depend on it): a change of
 * anything here would be a new function; the unit test holds its values. */
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/map.h"

__extension__ typedef unsigned __int128 uint128;

/* Odd, half of the bits set: digits of pi in base 16, made odd. */
#define K0 UINT64_C(0x243F6A8885A308D3)
#define K1 UINT64_C(0x13198A2E03707345)
#define K2 UINT64_C(0xA4093822299F31D1)
#define K3 UINT64_C(0x082EFA98EC4E6C89)

static inline uint64_t mix(uint64_t a, uint64_t b)
{
	uint128 product = (uint128)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64) ^ a ^ (b << 32 | b >> 32);
}

static inline uint64_t hash64(const void *data, size_t n, uint64_t seed)
{
	const unsigned char *p = data;
	uint64_t a, b, h = mix(seed ^ K0, K1 ^ n);

	if (n <= 16) {
		if (n >= 8) {
			a = get_le64(p);
			b = get_le64(p + n - 8);
		} else if (n >= 4) {
			a = get_le32(p);
			b = get_le32(p + n - 4);
		} else if (n) {
			a = (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
			b = 0;
		} else {
			a = b = 0;
		}
	} else {
		size_t left = n;
		if (left > 48) {
			uint64_t h1 = h ^ K2, h2 = h ^ K3;
			for (; left > 48; p += 48, left -= 48) {
				h = mix(get_le64(p) ^ K1, get_le64(p + 8) ^ h);
				h1 = mix(get_le64(p + 16) ^ K2, get_le64(p + 24) ^ h1);
				h2 = mix(get_le64(p + 32) ^ K3, get_le64(p + 40) ^ h2);
			}
			h ^= (h1 << 21 | h1 >> 43) + h2;
		}
		for (; left > 16; p += 16, left -= 16)
			h = mix(get_le64(p) ^ K1, get_le64(p + 8) ^ h);
		a = get_le64(p + left - 16);
		b = get_le64(p + left - 8);
	}
	return mix(K3 ^ h, mix(a ^ K2, b ^ h));
}

static uint64_t process_seed, second_seed;

__attribute__((constructor)) static void seed_init(void)
{
	/* Early in boot there may be no entropy yet; starting late is worse than a weaker seed. */
	if (getrandom(&process_seed, sizeof(process_seed), GRND_NONBLOCK) != sizeof(process_seed))
		process_seed = mix((uint64_t)clock_real_us() ^ K2, (uint64_t)getpid() ^ (uint64_t)(uintptr_t)&process_seed);
	if (getrandom(&second_seed, sizeof(second_seed), GRND_NONBLOCK) != sizeof(second_seed))
		second_seed = mix(process_seed ^ K3, K0);
}

uint64_t hash_bytes(const void *p, size_t n)
{
	return hash64(p, n, process_seed);
}

void hash_twice(const void *p, size_t n, uint64_t out[2])
{
	out[0] = hash64(p, n, process_seed);
	out[1] = hash64(p, n, second_seed);
}

uint64_t hash_stable(const void *p, size_t n)
{
	return hash64(p, n, 0);
}
