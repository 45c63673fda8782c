/* values.c - numbers and booleans of a slice.
 *
 * A number is read only when someone asks for it. Most have few digits and a small exponent, and then the mantissa and
 * the power of ten are both exact in a double, so one multiplication or division rounds correctly (Clinger, 1990);
 * the others go to strtod, in the C locale whatever the process speaks. */
#include "message/message.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

static locale_t c_locale;

static void make_c_locale(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (!c_locale)
		abort(); /* the C locale is part of libc: this is no memory left */
}

static double slow_double(const char *p)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_c_locale);
	return strtod_l(p, NULL, c_locale);
}

int slice_double(const struct message *m, const struct slice *s, double *out)
{
	static const double tens[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
	const char *text = m->bytes + s->value, *p = text, *end = p + s->vlen;
	uint64_t mantissa = 0;
	unsigned digits = 0, fraction = 0;
	bool negative = false, behind_point = false;

	if (s->kind != SLICE_NUMBER)
		return -1;
	if (*p == '-') {
		negative = true;
		p++;
	}
	for (; p < end; p++) {
		if (*p == '.') {
			behind_point = true;
			continue;
		}
		if (*p < '0' || *p > '9' || digits == 19)
			break;
		mantissa = mantissa * 10 + (unsigned)(*p - '0');
		digits += mantissa != 0;
		fraction += behind_point;
	}
	if (p == end && mantissa <= (uint64_t)1 << 53 && fraction <= 22) {
		double d = (double)mantissa / tens[fraction];
		*out = negative ? -d : d;
		return 0;
	}
	/* The byte behind a value is never part of a number, so strtod stops there. */
	double d = slow_double(text);
	if (isinf(d))
		return -1;
	*out = d;
	return 0;
}

int slice_int64(const struct message *m, const struct slice *s, int64_t *out)
{
	const char *p = m->bytes + s->value, *end = p + s->vlen;
	bool negative = false;
	int64_t v = 0; /* kept negative: that side reaches further */

	if (s->kind != SLICE_NUMBER)
		return -1;
	if (*p == '-') {
		negative = true;
		p++;
	}
	for (; p < end; p++) {
		if (*p < '0' || *p > '9')
			return -1;
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, *p - '0', &v))
			return -1;
	}
	if (!negative && v == INT64_MIN)
		return -1;
	*out = negative ? v : -v;
	return 0;
}

int slice_bool(const struct message *m, const struct slice *s, bool *out)
{
	(void)m;
	if (s->kind != SLICE_TRUE && s->kind != SLICE_FALSE)
		return -1;
	*out = s->kind == SLICE_TRUE;
	return 0;
}
