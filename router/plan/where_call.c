/* where_call.c - the functions of the expression language: one table, one C function each.
 *
 * Adding one is a row here and a row in EXPRESSIONS.md. Arguments come evaluated, in number and kind as the row says; what a kind can't tell
 * beforehand (a text that is no number) the function says itself, by an error. */
#include "plan/where_tree.h"

#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "message/message.h"

/* ---- numbers ---------------------------------------------------------------------------------------------------------------- */

static struct value run_abs(struct run *r, const struct expr *at, const struct value *args)
{
	struct value v = value_number(at, args[0]);

	(void)r;
	if (v.kind == VALUE_INT && v.i < 0)
		return value_uint(0 - (uint64_t)v.i);
	if (v.kind == VALUE_DOUBLE)
		v.d = fabs(v.d);
	return v;
}

static struct value extreme(const struct expr *at, const struct value *args, enum op better)
{
	struct expr compare = { .op = better };
	struct value best = value_number(at, args[0]);

	for (unsigned i = 1; i < at->nargs; i++) {
		struct value v = value_number(at, args[i]);
		if (value_compare(&compare, v, best).b)
			best = v;
	}
	return best;
}

static struct value run_min(struct run *r, const struct expr *at, const struct value *args)
{
	(void)r;
	return extreme(at, args, OP_LT);
}

static struct value run_max(struct run *r, const struct expr *at, const struct value *args)
{
	(void)r;
	return extreme(at, args, OP_GT);
}

static struct value rounded(const struct expr *at, struct value v, double (*how)(double))
{
	v = value_number(at, v);
	return v.kind == VALUE_DOUBLE ? value_whole(at, how(v.d)) : v;
}

static struct value run_floor(struct run *r, const struct expr *at, const struct value *args)
{
	(void)r;
	return rounded(at, args[0], floor);
}

static struct value run_ceil(struct run *r, const struct expr *at, const struct value *args)
{
	(void)r;
	return rounded(at, args[0], ceil);
}

static struct value run_round(struct run *r, const struct expr *at, const struct value *args)
{
	static const double tens[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };

	(void)r;
	if (at->nargs == 1)
		return rounded(at, args[0], round);
	struct value v = value_number(at, args[0]), digits = value_number(at, args[1]);
	if (digits.kind != VALUE_INT || digits.i < 0 || digits.i > 15)
		return value_error(at, FAULT_DIGITS);
	if (v.kind != VALUE_DOUBLE)
		return v;
	double scaled = v.d * tens[digits.i];
	return isfinite(scaled) && fabs(scaled) < 0x1p53 ? value_double(at, round(scaled) / tens[digits.i]) : v;
}

static struct value run_bit(struct run *r, const struct expr *at, const struct value *args)
{
	struct expr shift = { .op = OP_SHR }, mask = { .op = OP_BITAND };

	(void)r;
	struct value v = value_arithmetic(&shift, args[0], args[1]);
	if (v.kind == VALUE_ERROR)
		return value_error(at, (enum fault)v.fault);
	return value_bool(value_is_true(value_arithmetic(&mask, v, value_int(1))));
}

/* ---- kinds ------------------------------------------------------------------------------------------------------------------- */

static struct value run_tonumber(struct run *r, const struct expr *at, const struct value *args)
{
	struct value v;

	(void)r;
	if (args[0].kind != VALUE_TEXT)
		return value_number(at, args[0]);
	if (value_read(args[0].p, args[0].n, &v) != 0)
		return value_error(at, FAULT_NO_NUMBER);
	return v;
}

static struct value run_int(struct run *r, const struct expr *at, const struct value *args)
{
	struct value v = run_tonumber(r, at, args);

	return v.kind == VALUE_DOUBLE ? value_whole(at, trunc(v.d)) : v;
}

static struct value run_tostring(struct run *r, const struct expr *at, const struct value *args)
{
	char *room;
	struct buf text;

	(void)at;
	switch (args[0].kind) {
	case VALUE_TEXT:
		return args[0];
	case VALUE_NULL:
		return value_text("", 0);
	default:
		room = run_room(r, 64); /* the longest number has 24 bytes, and buf keeps one more */
		text = (struct buf){ room, 0, 64 };
		value_write(&text, args[0]);
		return value_text(room, text.len);
	}
}

static struct value run_toboolean(struct run *r, const struct expr *at, const struct value *args)
{
	struct value v = args[0];

	(void)r;
	if (v.kind != VALUE_TEXT)
		return value_bool(value_is_true(v));
	if (v.n == 0 || (v.n == 5 && memcmp(v.p, "false", 5) == 0))
		return value_bool(false);
	if (v.n == 4 && memcmp(v.p, "true", 4) == 0)
		return value_bool(true);
	if (value_read(v.p, v.n, &v) != 0)
		return value_error(at, FAULT_NO_BOOLEAN);
	return value_bool(value_is_true(v));
}

static struct value run_isnull(struct run *r, const struct expr *at, const struct value *args)
{
	(void)r; (void)at;
	return value_bool(value_can(args[0]) == CAN_NULL);
}

static struct value run_isboolean(struct run *r, const struct expr *at, const struct value *args)
{
	(void)r; (void)at;
	return value_bool(value_can(args[0]) == CAN_BOOL);
}

static struct value run_isnumber(struct run *r, const struct expr *at, const struct value *args)
{
	(void)r; (void)at;
	return value_bool(value_can(args[0]) == CAN_NUMBER);
}

static struct value run_isstring(struct run *r, const struct expr *at, const struct value *args)
{
	(void)r; (void)at;
	return value_bool(value_can(args[0]) == CAN_TEXT);
}

static struct value run_isjson(struct run *r, const struct expr *at, const struct value *args)
{
	(void)r; (void)at;
	return value_bool(value_can(args[0]) == CAN_JSON);
}

static struct value run_length(struct run *r, const struct expr *at, const struct value *args)
{
	int64_t n = 0;

	(void)r; (void)at;
	for (size_t i = 0; i < args[0].n; i++)
		n += ((unsigned char)args[0].p[i] & 0xc0) != 0x80;
	return value_int(n);
}

static struct value run_error(struct run *r, const struct expr *at, const struct value *args)
{
	(void)r; (void)args;
	return value_error(at, FAULT_CALLED);
}

/* ---- time -------------------------------------------------------------------------------------------------------------------- */

static struct value seconds(int64_t us)
{
	if (us % 1000000 == 0)
		return value_int(us / 1000000);
	return (struct value){ .kind = VALUE_DOUBLE, .d = (double)us / 1e6 };
}

static struct value run_now(struct run *r, const struct expr *at, const struct value *args)
{
	(void)at; (void)args;
	return seconds(r->now_us);
}

static struct value run_time(struct run *r, const struct expr *at, const struct value *args)
{
	char quoted[64];
	int64_t us;
	size_t n;

	(void)r;
	if (args[0].kind != VALUE_TEXT)
		return value_number(at, args[0]);
	n = args[0].n;
	if (n > sizeof(quoted) - 2 || memchr(args[0].p, '\\', n))
		return value_error(at, FAULT_NO_TIME);
	quoted[0] = quoted[n + 1] = '"';
	memcpy(quoted + 1, args[0].p, n);
	if (json_time_us(quoted, n + 2, &us) != 0)
		return value_error(at, FAULT_NO_TIME);
	return seconds(us);
}

struct civil { int64_t year; int month, day, weekday, hour, minute, second; };

/* The calendar in UTC, moved by so many hours; years 0 to 9999. Years begin in March here, so that the leap day is the last. */
static int civil(const struct value *args, const struct expr *at, struct civil *c)
{
	double t = value_as_double(value_number(at, args[0]));

	if (at->nargs > 1) {
		double hours = value_as_double(value_number(at, args[1]));
		if (fabs(hours) > 24)
			return -1;
		t += hours * 3600;
	}
	t = floor(t);
	if (!(t >= -62167219200.0 && t < 253402300800.0))
		return -1;
	int64_t s = (int64_t)t + 719468LL * 86400, days = s / 86400, of_day = s % 86400;
	int64_t era = days / 146097, of_era = days % 146097;
	if (s < 0) { /* the two months before March of year 0 */
		of_day = (of_day + 86400) % 86400;
		days = (s - of_day) / 86400;
		era = -1;
		of_era = days + 146097;
	}
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
	c->day = (int)(of_year - (153 * month + 2) / 5 + 1);
	c->month = (int)(month < 10 ? month + 3 : month - 9);
	c->year = year + era * 400 + (c->month <= 2);
	c->weekday = (int)((days + 146097 + 2) % 7) + 1; /* day 0 is a Wednesday */
	c->hour = (int)(of_day / 3600);
	c->minute = (int)(of_day / 60 % 60);
	c->second = (int)(of_day % 60);
	return 0;
}

#define PART(part) \
static struct value run_##part(struct run *r, const struct expr *at, const struct value *args) \
{ \
	struct civil c; \
\
	(void)r; \
	return civil(args, at, &c) == 0 ? value_int(c.part) : value_error(at, FAULT_CALENDAR); \
}
PART(year)
PART(month)
PART(day)
PART(weekday)
PART(hour)
PART(minute)
PART(second)

/* ---- the table ----------------------------------------------------------------------------------------------------------------- */

#define ANY (CAN_COUNT | CAN_TEXT)

static const struct where_function functions[] = {
	{ "abs", NULL, 1, 1, CAN_COUNT, CAN_NUMBER, false, run_abs, "abs(x)" },
	{ "bit", NULL, 2, 2, CAN_COUNT, CAN_BOOL, false, run_bit, "bit(x, n)" },
	{ "ceil", NULL, 1, 1, CAN_COUNT, CAN_NUMBER, false, run_ceil, "ceil(x)" },
	{ "day", NULL, 1, 2, CAN_COUNT, CAN_NUMBER, false, run_day, "day(time), day(time, hours east of UTC)" },
	{ "error", NULL, 0, 0, 0, CAN_ALL, true, run_error, "error()" },
	{ "floor", NULL, 1, 1, CAN_COUNT, CAN_NUMBER, false, run_floor, "floor(x)" },
	{ "hour", NULL, 1, 2, CAN_COUNT, CAN_NUMBER, false, run_hour, "hour(time), hour(time, hours east of UTC)" },
	{ "int", "toint", 1, 1, ANY, CAN_NUMBER, false, run_int, "int(x)" },
	{ "isboolean", NULL, 1, 1, CAN_ALL, CAN_BOOL, false, run_isboolean, "isboolean(x)" },
	{ "isjson", NULL, 1, 1, CAN_ALL, CAN_BOOL, false, run_isjson, "isjson(x)" },
	{ "isnull", NULL, 1, 1, CAN_ALL, CAN_BOOL, false, run_isnull, "isnull(x)" },
	{ "isnumber", NULL, 1, 1, CAN_ALL, CAN_BOOL, false, run_isnumber, "isnumber(x)" },
	{ "isstring", NULL, 1, 1, CAN_ALL, CAN_BOOL, false, run_isstring, "isstring(x)" },
	{ "length", NULL, 1, 1, CAN_TEXT, CAN_NUMBER, false, run_length, "length(text)" },
	{ "max", NULL, 1, CALL_ARGS_MAX, CAN_COUNT, CAN_NUMBER, false, run_max, "max(a, b, …)" },
	{ "min", NULL, 1, CALL_ARGS_MAX, CAN_COUNT, CAN_NUMBER, false, run_min, "min(a, b, …)" },
	{ "minute", NULL, 1, 2, CAN_COUNT, CAN_NUMBER, false, run_minute, "minute(time), minute(time, hours east of UTC)" },
	{ "month", NULL, 1, 2, CAN_COUNT, CAN_NUMBER, false, run_month, "month(time), month(time, hours east of UTC)" },
	{ "now", NULL, 0, 0, 0, CAN_NUMBER, true, run_now, "now()" },
	{ "round", NULL, 1, 2, CAN_COUNT, CAN_NUMBER, false, run_round, "round(x), round(x, digits)" },
	{ "second", NULL, 1, 2, CAN_COUNT, CAN_NUMBER, false, run_second, "second(time), second(time, hours east of UTC)" },
	{ "time", NULL, 1, 1, ANY, CAN_NUMBER, false, run_time, "time('2026-11-22T22:03:23Z')" },
	{ "toboolean", "boolean", 1, 1, ANY, CAN_BOOL, false, run_toboolean, "toboolean(x)" },
	{ "tonumber", "number", 1, 1, ANY, CAN_NUMBER, false, run_tonumber, "tonumber(x)" },
	{ "tostring", "string", 1, 1, ANY, CAN_TEXT, false, run_tostring, "tostring(x)" },
	{ "weekday", NULL, 1, 2, CAN_COUNT, CAN_NUMBER, false, run_weekday, "weekday(time), weekday(time, hours east of UTC)" },
	{ "year", NULL, 1, 2, CAN_COUNT, CAN_NUMBER, false, run_year, "year(time), year(time, hours east of UTC)" },
};

const struct where_function *function_next(unsigned *i)
{
	return *i < sizeof(functions) / sizeof(*functions) ? &functions[(*i)++] : NULL;
}

const struct where_function *function_find(const char *name, size_t n)
{
	const struct where_function *f;

	for (unsigned i = 0; (f = function_next(&i));)
		if ((strlen(f->name) == n && memcmp(f->name, name, n) == 0) ||
		    (f->also && strlen(f->also) == n && memcmp(f->also, name, n) == 0))
			return f;
	return NULL;
}
