/* lib_time.c - `time`: calendars for Unix seconds, always UTC. No clock: the only now is ctx.now. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "message/message.h"
#include "transforms/libraries.h"

/* Years 0 to 9999: what ISO 8601 writes in four digits. */
#define FIRST (-62167219200.0)
#define LAST 253402300799.999999

struct moment { int64_t year; unsigned month, day, hour, minute, second, micros; };

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Days since 1970-01-01 of a day of the Gregorian calendar. Years are counted from March, so that the leap day is the last. */
static int64_t day_number(int64_t year, unsigned month, unsigned day)
{
	if (month <= 2)
		year--;
	int64_t era = floor_div(year, 400);
	int64_t of_era = year - era * 400, of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

RAISES static struct moment moment_of(lua_State *L, int arg)
{
	double seconds = lua_tonumber(L, arg);
	struct moment m;

	luaL_argcheck(L, seconds >= FIRST && seconds <= LAST, arg, "not within the years 0 to 9999");
	int64_t us = (int64_t)floor(seconds * 1e6 + 0.5), day = floor_div(us, 86400000000), rest = us - day * 86400000000;
	m.micros = (unsigned)(rest % 1000000);
	m.second = (unsigned)(rest / 1000000 % 60);
	m.minute = (unsigned)(rest / 60000000 % 60);
	m.hour = (unsigned)(rest / 3600000000);
	/* the inverse of day_number */
	day += 719468;
	int64_t era = floor_div(day, 146097), of_era = day - era * 146097;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
	m.day = (unsigned)(of_year - (153 * month + 2) / 5 + 1);
	m.month = (unsigned)(month < 10 ? month + 3 : month - 9);
	m.year = year + era * 400 + (m.month <= 2);
	return m;
}

/* utc(seconds) → {year, month, day, hour, min, sec, usec}; nil if it is no number */
static int utc(lua_State *L)
{
	if (lua_type(L, 1) != LUA_TNUMBER)
		return lua_pushnil(L), 1;
	struct moment m = moment_of(L, 1);
	const struct { const char *name; lua_Integer value; } fields[] = { { "year", m.year }, { "month", m.month }, { "day", m.day }, { "hour", m.hour },
		{ "min", m.minute }, { "sec", m.second }, { "usec", m.micros } };

	lua_createtable(L, 0, 7);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		lua_pushinteger(L, fields[i].value);
		lua_setfield(L, -2, fields[i].name);
	}
	return 1;
}

RAISES static lua_Integer field(lua_State *L, const char *name, lua_Integer least, lua_Integer most, lua_Integer otherwise)
{
	int is;

	lua_getfield(L, 1, name);
	lua_Integer v = lua_isnil(L, -1) && otherwise >= 0 ? otherwise : lua_tointegerx(L, -1, &is);
	if (!lua_isnil(L, -1) ? !is : otherwise < 0)
		luaL_error(L, "%s is missing or no integer", name);
	if (v < least || v > most)
		luaL_error(L, "%s is %I, not within %I to %I", name, (LUAI_UACINT)v, (LUAI_UACINT)least, (LUAI_UACINT)most);
	lua_pop(L, 1);
	return v;
}

/* seconds{year, month, day, hour = 0, min = 0, sec = 0} → Unix seconds */
static int seconds(lua_State *L)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_Integer year = field(L, "year", 0, 9999, -1), month = field(L, "month", 1, 12, -1);
	bool leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	lua_Integer day = field(L, "day", 1, days[month - 1] + leap, -1), hour = field(L, "hour", 0, 23, 0), min = field(L, "min", 0, 59, 0),
		sec = field(L, "sec", 0, 60, 0);
	lua_pushinteger(L, day_number(year, (unsigned)month, (unsigned)day) * 86400 + hour * 3600 + min * 60 + sec);
	return 1;
}

/* iso(seconds, digits = 0) → "2026-11-22T22:03:23Z", with so many digits of the second's fraction (cut, not rounded); nil if seconds are no number */
static int iso(lua_State *L)
{
	if (lua_type(L, 1) != LUA_TNUMBER)
		return lua_pushnil(L), 1;
	lua_Integer digits = luaL_optinteger(L, 2, 0);
	struct moment m = moment_of(L, 1);
	char out[64];

	luaL_argcheck(L, digits >= 0 && digits <= 6, 2, "0 to 6 digits");
	int n = snprintf(out, sizeof(out), "%04" PRId64 "-%02u-%02uT%02u:%02u:%02u.%06u", m.year, m.month, m.day, m.hour, m.minute, m.second, m.micros);
	n -= digits ? 6 - (int)digits : 7;
	out[n++] = 'Z';
	lua_pushlstring(L, out, (size_t)n);
	return 1;
}

/* parse("2026-11-22T22:03:23.5+01:00") → Unix seconds, an integer if it is one; nil if it is no such text */
static int parse(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	char quoted[80];
	int64_t us;

	if (n < sizeof(quoted) - 2 && !memchr(s, '"', n)) {
		quoted[0] = quoted[n + 1] = '"';
		memcpy(quoted + 1, s, n);
		if (json_time_us(quoted, n + 2, &us) == 0) {
			if (us % 1000000 == 0)
				lua_pushinteger(L, us / 1000000);
			else
				lua_pushnumber(L, (double)us / 1e6);
			return 1;
		}
	}
	lua_pushnil(L);
	return 1;
}

RAISES void time_open(lua_State *L)
{
	static const luaL_Reg functions[] = { { "utc", utc }, { "seconds", seconds }, { "iso", iso }, { "parse", parse }, { NULL, NULL } };

	luaL_newlib(L, functions);
}
