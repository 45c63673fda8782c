/* time.c - a message's time: Unix seconds or ISO 8601, to microseconds and back.
 *
 * Numbers are read by their decimal digits. A double holds today's time to about 0.2 us only, so going through one
 * would now and then change the last digit of a time that was written exactly. */
#include "message/scan.h"

#define SECOND 1000000

/* Negative like all of this file's sums in the making: that side of int64 reaches further. */
static int add_digit(int64_t *v, unsigned digit)
{
	return __builtin_mul_overflow(*v, 10, v) || __builtin_sub_overflow(*v, (int64_t)digit, v) ? -1 : 0;
}

static int number_us(const char *p, const char *end, int64_t *us)
{
	bool negative = *p == '-';
	const char *digits = negative ? p + 1 : p, *mantissa_end = digits;
	long exponent = 0, whole = 0; /* digits before the point, then before the point of the microseconds */
	int64_t v = 0;

	while (mantissa_end < end && *mantissa_end != 'e' && *mantissa_end != 'E')
		mantissa_end++;
	if (mantissa_end < end) {
		const char *e = mantissa_end + 1;
		bool less = *e == '-';
		if (*e == '-' || *e == '+')
			e++;
		for (; e < end && exponent < 100000000; e++)
			exponent = exponent * 10 + (*e - '0');
		if (less)
			exponent = -exponent;
	}
	while (digits + whole < mantissa_end && digits[whole] != '.')
		whole++;
	whole += exponent + 6;

	for (p = digits; p < mantissa_end; p++) {
		if (*p == '.')
			continue;
		if (whole <= 0) {
			if (whole == 0 && *p >= '5' && __builtin_sub_overflow(v, (int64_t)1, &v))
				return -1;
			whole = -1;
			break;
		}
		if (add_digit(&v, (unsigned)(*p - '0')) != 0)
			return -1;
		whole--;
	}
	for (; whole > 0 && v != 0; whole--)
		if (add_digit(&v, 0) != 0)
			return -1;
	if (!negative && v == INT64_MIN)
		return -1;
	*us = negative ? v : -v;
	return 0;
}

/* n digits at *p as a number, -1 if they are not digits. */
static int digits(const char **p, const char *end, int n)
{
	int v = 0;

	if (end - *p < n)
		return -1;
	for (; n > 0; n--, (*p)++) {
		if (**p < '0' || **p > '9')
			return -1;
		v = v * 10 + (**p - '0');
	}
	return v;
}

static bool one(const char **p, const char *end, char c)
{
	if (*p >= end || **p != c)
		return false;
	(*p)++;
	return true;
}

/* Days since 1970-01-01 in the Gregorian calendar, as ISO 8601 runs it back to year 0. */
static int64_t days_of(int year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year, m = month <= 2 ? month + 9 : month - 3; /* years begin in March: the leap day is last */
	int64_t leap = (y >= 0 ? y / 4 - y / 100 + y / 400 : -1); /* y is -1 at the least */

	return y * 365 + leap + (153 * m + 2) / 5 + day - 1 - 719468;
}

static int days_in(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

static int iso_us(const char *p, const char *end, int64_t *us)
{
	int year = digits(&p, end, 4);
	if (year < 0 || !one(&p, end, '-'))
		return -1;
	int month = digits(&p, end, 2);
	if (month < 1 || month > 12 || !one(&p, end, '-'))
		return -1;
	int day = digits(&p, end, 2);
	if (day < 1 || day > days_in(year, month) || !(one(&p, end, 'T') || one(&p, end, ' ')))
		return -1;
	int hour = digits(&p, end, 2);
	if (hour < 0 || hour > 23 || !one(&p, end, ':'))
		return -1;
	int minute = digits(&p, end, 2);
	if (minute < 0 || minute > 59 || !one(&p, end, ':'))
		return -1;
	int second = digits(&p, end, 2);
	if (second < 0 || second > 60)
		return -1;

	int64_t fraction = 0;
	if (one(&p, end, '.') || one(&p, end, ',')) {
		int64_t unit = SECOND;
		const char *first = p;
		for (; p < end && *p >= '0' && *p <= '9'; p++) {
			if (p == first + 6 && *p >= '5')
				fraction++;
			unit /= 10;
			fraction += unit * (*p - '0');
		}
		if (p == first)
			return -1;
	}

	int64_t offset = 0;
	if (!one(&p, end, 'Z')) {
		bool west = one(&p, end, '-');
		if (!west && !one(&p, end, '+'))
			return -1;
		int hours = digits(&p, end, 2), minutes = 0;
		if (p < end) {
			one(&p, end, ':');
			minutes = digits(&p, end, 2);
		}
		if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
			return -1;
		offset = (west ? -1 : 1) * (hours * 3600 + minutes * 60);
	}
	if (p != end)
		return -1;

	int64_t t = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
	if (second == 60 && t % 86400 != 0)
		return -1;
	*us = t * SECOND + fraction;
	return 0;
}

int json_time_us(const char *value, size_t len, int64_t *us)
{
	char text[64];

	if (len == 0 || *value != '"')
		return len > 0 && (*value == '-' || (*value >= '0' && *value <= '9')) ? number_us(value, value + len, us) : -1;
	value++;
	len -= 2;
	if (memchr(value, '\\', len)) {
		if (len > sizeof(text))
			return -1;
		len = text_unescape(text, value, len);
		value = text;
	}
	return iso_us(value, value + len, us);
}

int slice_time_us(const struct message *m, const struct slice *s, int64_t *us)
{
	return json_time_us(m->bytes + s->value, s->vlen, us);
}

void time_us_write(struct buf *out, int64_t us)
{
	uint64_t size = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
	unsigned fraction = (unsigned)(size % SECOND);

	if (us < 0)
		buf_addc(out, '-');
	buf_addu64(out, size / SECOND);
	if (fraction) {
		char text[7] = ".";
		size_t n = 1;
		for (unsigned unit = SECOND / 10; fraction; unit /= 10) {
			text[n++] = (char)('0' + fraction / unit);
			fraction %= unit;
		}
		buf_add(out, text, n);
	}
}
