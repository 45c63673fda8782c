/* number.c - shortest exact decimals, without printf on the usual way.
 *
 * Between 10^-14 and 10^17 the double, the middle to its neighbours on both sides and any 17-digit decimal are exact in 128-bit
 * integers: v = m * 2^e becomes m * 5^k with the powers of two taken out, so "does this decimal read back as v" is a comparison. The shortest
 * answer is found by rounding to one digit less for as long as that stays between the middles. Measured values mostly have few digits;
 * those are seen by one multiplication. Beyond these bounds printf tries 15, 16 and 17 digits. */
#include "transforms/number.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 u128;

unsigned number_write_int(char *out, int64_t v)
{
	char digits[20];
	unsigned n = 0, len = 0;
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do
		digits[n++] = (char)('0' + u % 10);
	while (u /= 10);
	if (v < 0)
		out[len++] = '-';
	while (n)
		out[len++] = digits[--n];
	return len;
}

/* digits * 10^-places, without trailing zeros but one behind the point. */
static unsigned write_places(char *out, uint64_t digits, unsigned places)
{
	char text[20];
	unsigned n = 0, len = 0;

	while (places > 1 && digits % 10 == 0) {
		digits /= 10;
		places--;
	}
	while (digits || n <= places) {
		text[n++] = (char)('0' + digits % 10);
		digits /= 10;
	}
	while (n > places)
		out[len++] = text[--n];
	out[len++] = '.';
	while (n)
		out[len++] = text[--n];
	return len;
}

/* a > 0. Decimals of up to 15 digits are unique, so one that reads back as a is the shortest. */
static unsigned write_few_digits(char *out, double a)
{
	unsigned places = a < 1e6 ? 9 : 6;
	double scale = a < 1e6 ? 1e9 : 1e6;

	if (a >= 1e9)
		return 0;
	uint64_t u = (uint64_t)(a * scale + 0.5);
	if ((double)u / scale != a)
		return 0;
	return write_places(out, u, places);
}

/* 10^-14 < a < 10^17. */
static unsigned write_exactly(char *out, double a)
{
	static const double tens[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17 };
	int e;
	uint64_t m = (uint64_t)ldexp(frexp(a, &e), 53);
	unsigned k = 16; /* a * 10^k has 17 digits before the point, or 16 */

	e -= 53;
	if (a >= 1) {
		while (k && a >= tens[17 - k])
			k--;
	} else {
		for (double b = a; b < 1 && k < 30; k++)
			b *= 10;
	}
	u128 five = 1;
	for (unsigned i = 0; i < k; i++)
		five *= 5;
	/* In units of 2^shift: a * 10^k = m * 5^k * 2^(e + k); two bits more for the middles. */
	int shift = -(e + (int)k) + 2;
	u128 v = (u128)m * five * 4, up = five * 2, down = m == (uint64_t)1 << 52 ? five : five * 2;
	bool even = m % 2 == 0;
	if (shift < 0 || shift > 120)
		return 0;

	uint64_t whole = (uint64_t)(v >> shift), best = 0, ten = 1;
	for (;;) {
		/* the two multiples of `ten` beside a; the nearer one first */
		uint64_t low = whole / ten * ten, high = low + ten, near, far;
		u128 below = v - ((u128)low << shift), above = ((u128)high << shift) - v;
		bool nearer_low = below < above || (below == above && low / ten % 2 == 0);
		near = nearer_low ? low : high;
		far = nearer_low ? high : low;
		bool low_in = below < down || (even && below == down), high_in = above < up || (even && above == up);
		if (near == low ? low_in : high_in)
			best = near;
		else if (far == low ? low_in : high_in)
			best = far;
		else
			break;
		ten *= 10;
		if (ten > whole)
			break;
	}
	if (!best)
		return 0;
	if (k <= 18)
		return write_places(out, best, k);
	/* small: digits behind zeros */
	unsigned len = 2;
	while (best % 10 == 0) {
		best /= 10;
		k--;
	}
	char digits[20];
	unsigned n = number_write_int(digits, (int64_t)best);
	if (k - n > 5)
		return 0; /* better with an exponent */
	memcpy(out, "0.", 2);
	for (unsigned zeros = k - n; zeros; zeros--)
		out[len++] = '0';
	memcpy(out + len, digits, n);
	return len + n;
}

unsigned number_write_double(char *out, double v)
{
	unsigned sign = 0, n;

	if (signbit(v)) {
		*out++ = '-';
		sign = 1;
		v = -v;
	}
	if (v == 0) {
		memcpy(out, "0.0", 3);
		return sign + 3;
	}
	if (v > 1e-5 && v < 1e16) {
		n = write_few_digits(out, v);
		if (!n)
			n = write_exactly(out, v);
		if (n)
			return sign + n;
	}
	for (int digits = 15; digits <= 17; digits++) {
		n = (unsigned)snprintf(out, NUMBER_TEXT_MAX, "%.*g", digits, v);
		if (strtod(out, NULL) == v)
			break;
	}
	if (!strpbrk(out, ".e")) {
		memcpy(out + n, ".0", 2);
		n += 2;
	}
	return sign + n;
}
