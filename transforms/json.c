/* json.c - the `json` library: encode, decode, null, array, number. */
#include <string.h>

#include "transforms/convert.h"
#include "transforms/digits.h"

static int encode(lua_State *L)
{
	struct buf *out = &vm_of(L)->text;

	luaL_checkany(L, 1);
	buf_clear(out);
	json_write(L, 1, out);
	vm_charge_bytes(L, out->len);
	lua_pushlstring(L, out->p, out->len);
	return 1;
}

/* → the value, or nil and why not */
static int decode(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n), *why;

	if (json_push_text(L, s, n, &why) == 0)
		return 1;
	lua_pushnil(L);
	lua_insert(L, -2);
	return 2;
}

static int array(lua_State *L)
{
	lua_settop(L, 1);
	if (lua_isnil(L, 1)) {
		lua_newtable(L);
		lua_replace(L, 1);
	}
	sandbox_plain_table(L, 1);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_of(L)->array_metatable);
	lua_setmetatable(L, 1);
	return 1;
}

RAISES void json_open(lua_State *L)
{
	static const luaL_Reg functions[] = { { "encode", encode }, { "decode", decode }, { "array", array },
		{ "number", digits_from_script }, { NULL, NULL } };

	digits_open(L);
	lua_createtable(L, 0, 1);
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	sandbox_close_metatable(L);
	vm_of(L)->array_metatable = lua_topointer(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &vm_of(L)->array_metatable);
	luaL_newlib(L, functions);
	json_push_null(L);
	lua_setfield(L, -2, "null");
}
