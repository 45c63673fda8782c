/* digits.c - see digits.h. Such a number prints as its digits, compares and calculates as a float. */
#include "transforms/digits.h"

#include <stdlib.h>
#include <string.h>

struct digits { size_t n; char text[]; };

RAISES void digits_push(lua_State *L, const char *text, size_t n)
{
	struct digits *d = lua_newuserdatauv(L, sizeof(*d) + n + 1, 0);

	d->n = n;
	memcpy(d->text, text, n);
	d->text[n] = '\0';
	lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_of(L)->digits_metatable);
	lua_setmetatable(L, -2);
}

static struct digits *to_digits(lua_State *L, int i)
{
	if (lua_type(L, i) != LUA_TUSERDATA || !lua_getmetatable(L, i))
		return NULL;
	bool is = lua_topointer(L, -1) == vm_of(L)->digits_metatable;
	lua_pop(L, 1);
	return is ? lua_touserdata(L, i) : NULL;
}

const char *digits_text(lua_State *L, int i, size_t *n)
{
	struct digits *d = to_digits(L, i);

	if (!d)
		return NULL;
	*n = d->n;
	return d->text;
}

RAISES static lua_Number as_float(lua_State *L, int i)
{
	struct digits *d = to_digits(L, i);

	return d ? strtod(d->text, NULL) : luaL_checknumber(L, i);
}

static int calculate(lua_State *L)
{
	int op = (int)lua_tointeger(L, lua_upvalueindex(1));
	lua_Number a = as_float(L, 1), b = as_float(L, 2);

	lua_pushnumber(L, a);
	if (op != LUA_OPUNM)
		lua_pushnumber(L, b);
	lua_arith(L, op);
	return 1;
}

static int is_equal(lua_State *L)
{
	size_t n, k;
	const char *a = digits_text(L, 1, &n), *b = digits_text(L, 2, &k);

	lua_pushboolean(L, a && b && n == k && memcmp(a, b, n) == 0);
	return 1;
}

static int is_less(lua_State *L)
{
	lua_pushboolean(L, as_float(L, 1) < as_float(L, 2));
	return 1;
}

static int is_not_more(lua_State *L)
{
	lua_pushboolean(L, as_float(L, 1) <= as_float(L, 2));
	return 1;
}

static int to_string(lua_State *L)
{
	size_t n;
	const char *s = digits_text(L, 1, &n);

	lua_pushlstring(L, s ? s : "", s ? n : 0);
	return 1;
}

static int join(lua_State *L)
{
	luaL_tolstring(L, 1, NULL);
	luaL_tolstring(L, 2, NULL);
	lua_concat(L, 2);
	return 1;
}

/* Is it a number as RFC 8259 writes them? */
static bool is_number(const char *p)
{
	if (*p == '-')
		p++;
	size_t n = strspn(p, "0123456789");
	if (n == 0 || (*p == '0' && n > 1))
		return false;
	p += n;
	if (*p == '.') {
		n = strspn(++p, "0123456789");
		if (n == 0)
			return false;
		p += n;
	}
	if (*p == 'e' || *p == 'E') {
		p++;
		if (*p == '+' || *p == '-')
			p++;
		n = strspn(p, "0123456789");
		if (n == 0)
			return false;
		p += n;
	}
	return *p == '\0';
}

int digits_from_script(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);

	vm_charge(L, (int64_t)(n / 8));
	if (strlen(s) != n || !is_number(s))
		return luaL_argerror(L, 1, "not a number as JSON writes it");
	digits_push(L, s, n);
	return 1;
}

RAISES void digits_open(lua_State *L)
{
	static const struct { const char *event; int op; } ops[] = { { "__add", LUA_OPADD }, { "__sub", LUA_OPSUB }, { "__mul", LUA_OPMUL },
		{ "__div", LUA_OPDIV }, { "__mod", LUA_OPMOD }, { "__pow", LUA_OPPOW }, { "__idiv", LUA_OPIDIV }, { "__unm", LUA_OPUNM } };
	static const luaL_Reg rest[] = { { "__eq", is_equal }, { "__lt", is_less }, { "__le", is_not_more }, { "__tostring", to_string },
		{ "__concat", join }, { NULL, NULL } };

	lua_newtable(L);
	luaL_setfuncs(L, rest, 0);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		lua_pushinteger(L, ops[i].op);
		lua_pushcclosure(L, calculate, 1);
		lua_setfield(L, -2, ops[i].event);
	}
	lua_pushliteral(L, "number");
	lua_setfield(L, -2, "__name");
	vm_of(L)->digits_metatable = lua_topointer(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &vm_of(L)->digits_metatable);
}
