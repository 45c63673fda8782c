/* lib_geo.c - `geo`: distances, directions and areas on the mean sphere (R = 6371008.8 m, IUGG), which is within 0.6 % of the ellipsoid. */
#include <math.h>

#include "transforms/libraries.h"

#define RADIUS 6371008.8

/* Are the first n arguments numbers? What a message lacks is no mistake of the script. */
static bool are_numbers(lua_State *L, int n)
{
	for (int i = 1; i <= n; i++)
		if (lua_type(L, i) != LUA_TNUMBER)
			return false;
	return true;
}

static double radians(lua_State *L, int arg)
{
	return lua_tonumber(L, arg) * (M_PI / 180);
}

/* distance(lat1, lon1, lat2, lon2) → metres (haversine: exact for small distances too); nil if one is no number */
static int distance(lua_State *L)
{
	if (!are_numbers(L, 4))
		return lua_pushnil(L), 1;
	double a = radians(L, 1), b = radians(L, 3), dlat = b - a, dlon = radians(L, 4) - radians(L, 2);
	double h = sin(dlat / 2) * sin(dlat / 2) + cos(a) * cos(b) * sin(dlon / 2) * sin(dlon / 2);

	lua_pushnumber(L, 2 * RADIUS * asin(fmin(1, sqrt(h))));
	return 1;
}

/* bearing(lat1, lon1, lat2, lon2) → degrees from north, clockwise, [0, 360); nil if one is no number */
static int bearing(lua_State *L)
{
	if (!are_numbers(L, 4))
		return lua_pushnil(L), 1;
	double a = radians(L, 1), b = radians(L, 3), dlon = radians(L, 4) - radians(L, 2);
	double degrees = atan2(sin(dlon) * cos(b), cos(a) * sin(b) - sin(a) * cos(b) * cos(dlon)) * (180 / M_PI);

	degrees = fmod(degrees + 360, 360);
	lua_pushnumber(L, degrees);
	return 1;
}

/* valid(lat, lon): both numbers, within bounds, and not the 0, 0 of a receiver without a fix */
static int valid(lua_State *L)
{
	int isa, iso;
	double lat = lua_type(L, 1) == LUA_TNUMBER ? lua_tonumberx(L, 1, &isa) : (isa = 0, 0);
	double lon = lua_type(L, 2) == LUA_TNUMBER ? lua_tonumberx(L, 2, &iso) : (iso = 0, 0);

	lua_pushboolean(L, isa && iso && fabs(lat) <= 90 && fabs(lon) <= 180 && (lat != 0 || lon != 0));
	return 1;
}

RAISES static void corner(lua_State *L, lua_Integer i, double *lat, double *lon)
{
	lua_rawgeti(L, 3, i);
	if (!lua_istable(L, -1))
		luaL_error(L, "corner %d of the area is no {lat, lon}", (int)i);
	if (lua_rawgeti(L, -1, 1) != LUA_TNUMBER || lua_rawgeti(L, -2, 2) != LUA_TNUMBER)
		luaL_error(L, "corner %d of the area is no {lat, lon}", (int)i);
	*lat = lua_tonumber(L, -2);
	*lon = lua_tonumber(L, -1);
	lua_pop(L, 3);
}

/* inside(lat, lon, {{lat, lon}, …}): a polygon, by counting the edges that a ray crosses; false if lat or lon is no number */
static int inside(lua_State *L)
{
	double lat = lua_tonumber(L, 1), lon = lua_tonumber(L, 2), alat, alon, blat, blon;
	bool here = are_numbers(L, 2), in = false;

	sandbox_plain_table(L, 3);
	lua_Integer n = (lua_Integer)lua_rawlen(L, 3);
	luaL_argcheck(L, n >= 3, 3, "an area has three corners or more");
	vm_charge(L, n * 8);
	corner(L, n, &alat, &alon);
	for (lua_Integer i = 1; i <= n; i++) {
		corner(L, i, &blat, &blon);
		if ((alat > lat) != (blat > lat) && lon < (alon - blon) * (lat - blat) / (alat - blat) + blon)
			in = !in;
		alat = blat;
		alon = blon;
	}
	lua_pushboolean(L, here && in);
	return 1;
}

RAISES void geo_open(lua_State *L)
{
	static const luaL_Reg functions[] = { { "distance", distance }, { "bearing", bearing }, { "valid", valid }, { "inside", inside }, { NULL, NULL } };

	luaL_newlib(L, functions);
}
