/* scalar.c - durations, sizes, rates and numbers, read strictly. */
#include "spec/scalar.h"

#include "base/buf.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct unit { const char *name; uint64_t value; };

/* Largest first: writing takes the first that divides. */
static const struct unit durations[] = {
	{ "d", 86400000000 }, { "h", 3600000000 }, { "m", 60000000 }, { "s", 1000000 }, { "ms", 1000 }, { NULL, 0 },
};
static const struct unit sizes[] = {
	{ "TiB", 1ull << 40 }, { "GiB", 1ull << 30 }, { "MiB", 1ull << 20 }, { "KiB", 1ull << 10 },
	{ "TB", 1000000000000 }, { "GB", 1000000000 }, { "MB", 1000000 }, { "kB", 1000 }, { "B", 1 }, { NULL, 0 },
};
static const struct unit rates[] = { { "/s", 1 }, { "/m", 60 }, { "/h", 3600 }, { NULL, 0 } };

/* [0-9]+(\.[0-9]+)? and what follows it. */
static int digits(const char *s, double *v, const char **rest)
{
	const char *p = s;

	if (!isdigit((unsigned char)*p))
		return -1;
	while (isdigit((unsigned char)*p))
		p++;
	if (*p == '.') {
		if (!isdigit((unsigned char)*++p))
			return -1;
		while (isdigit((unsigned char)*p))
			p++;
	}
	*v = strtod(s, NULL);
	*rest = p;
	return 0;
}

static const struct unit *unit_find(const struct unit *units, const char *name)
{
	for (; units->name != NULL; units++)
		if (strcmp(units->name, name) == 0)
			return units;
	return NULL;
}

/* A number with a unit, in the unit's base; whole numbers are exact to 2^63. */
static int with_unit(const char *s, const struct unit *units, uint64_t *v)
{
	const char *rest;
	const struct unit *unit;
	double number;

	if (digits(s, &number, &rest) < 0 || (unit = unit_find(units, rest)) == NULL)
		return -1;
	number *= (double)unit->value;
	if (number >= 9.2e18)
		return -1;
	*v = (uint64_t)llround(number);
	if (memchr(s, '.', (size_t)(rest - s)) == NULL)
		*v = strtoull(s, NULL, 10) * unit->value;
	return 0;
}

int scalar_duration(const char *s, int64_t *us)
{
	uint64_t v = 0;

	if (strcmp(s, "0") != 0 && with_unit(s, durations, &v) < 0)
		return -1;
	*us = (int64_t)v;
	return 0;
}

int scalar_size(const char *s, uint64_t *bytes)
{
	int64_t v;

	if (scalar_int(s, &v) == 0 && v >= 0 && *s != '-') {
		*bytes = (uint64_t)v;
		return 0;
	}
	return with_unit(s, sizes, bytes);
}

int scalar_rate(const char *s, double *per_second)
{
	const char *rest;
	const struct unit *unit;
	double v;

	if (digits(s, &v, &rest) < 0 || (unit = unit_find(rates, rest)) == NULL || !(v > 0) || v > 1e12)
		return -1;
	*per_second = v / (double)unit->value;
	return 0;
}

int scalar_int(const char *s, int64_t *v)
{
	const char *p = s + (*s == '-');

	if (!isdigit((unsigned char)*p))
		return -1;
	while (isdigit((unsigned char)*p))
		p++;
	if (*p != '\0')
		return -1;
	errno = 0;
	*v = strtoll(s, NULL, 10);
	return errno == 0 ? 0 : -1;
}

int scalar_number(const char *s, double *v)
{
	const char *rest;
	double whole;

	if (digits(s + (*s == '-'), &whole, &rest) < 0)
		return -1;
	if (*rest == 'e' || *rest == 'E') {
		rest++;
		rest += *rest == '+' || *rest == '-';
		if (!isdigit((unsigned char)*rest))
			return -1;
		while (isdigit((unsigned char)*rest))
			rest++;
	}
	if (*rest != '\0')
		return -1;
	*v = strtod(s, NULL);
	return isfinite(*v) ? 0 : -1;
}

int scalar_bool(const char *s, bool *v)
{
	*v = strcmp(s, "true") == 0;
	return *v || strcmp(s, "false") == 0 ? 0 : -1;
}

void scalar_write_duration(struct buf *out, int64_t us)
{
	const struct unit *u = durations;

	if (us == 0) {
		buf_addc(out, '0');
		return;
	}
	while (u->name != NULL && (uint64_t)us % u->value != 0)
		u++;
	if (u->name != NULL)
		buf_addf(out, "%llu%s", (unsigned long long)((uint64_t)us / u->value), u->name);
	else
		buf_addf(out, "%.3fms", (double)us / 1e3);
}

void scalar_write_size(struct buf *out, uint64_t bytes)
{
	const struct unit *u = sizes;

	while (u->name != NULL && (bytes == 0 || bytes % u->value != 0))
		u++;
	buf_addf(out, "%llu", (unsigned long long)(u->name != NULL ? bytes / u->value : bytes));
	if (u->name != NULL && u->value > 1)
		buf_adds(out, u->name);
}
