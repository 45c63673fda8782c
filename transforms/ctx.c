/* ctx.c - what a script is told beside the message. Each part is made when it is asked for. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "transforms/convert.h"
#include "transforms/script.h"

static const char metatable; /* its address is the key of the metatable */

/* User values: 1 options, 2 the table made of device_text. */
struct ctx {
	const struct call *call; /* NULL: between calls */
	const char *stream, *suffix;
	const char *device_text; /* lives as long as the plan, so the same address is the same text */
};

RAISES static int push_device(lua_State *L, struct ctx *c)
{
	const char *why;

	if (!c->call->device_data) {
		lua_newtable(L);
		return 1;
	}
	if (c->device_text == c->call->device_data) {
		lua_getiuservalue(L, 1, 2);
		return 1;
	}
	if (json_push_text(L, c->call->device_data, strlen(c->call->device_data), &why) < 0)
		return luaL_error(L, "per-device data: %s", why);
	c->device_text = c->call->device_data;
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, 1, 2);
	return 1;
}

static int get_field(lua_State *L)
{
	struct ctx *c = lua_touserdata(L, 1);
	const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
	char id[96];

	if (strcmp(key, "options") == 0) {
		lua_getiuservalue(L, 1, 1);
		return 1;
	}
	if (strcmp(key, "stream") == 0) {
		lua_pushstring(L, c->stream);
		return 1;
	}
	if (!c->call)
		return luaL_error(L, "ctx is used after its call has ended");
	if (strcmp(key, "device") == 0)
		return push_device(L, c);
	if (strcmp(key, "ident") == 0) {
		lua_pushlstring(L, c->call->ident, c->call->ident_len);
		return 1;
	}
	if (strcmp(key, "id") == 0) {
		snprintf(id, sizeof(id), "%" PRIu64 "%s", c->call->id, c->suffix);
		lua_pushstring(L, id);
		return 1;
	}
	if (strcmp(key, "now") == 0) {
		lua_pushnumber(L, (lua_Number)c->call->now_us / 1e6);
		return 1;
	}
	return luaL_error(L, "ctx has no field '%s'", luaL_tolstring(L, 2, NULL));
}

static int set_field(lua_State *L)
{
	return luaL_error(L, "ctx cannot be written to (field '%s')", luaL_tolstring(L, 2, NULL));
}

RAISES void ctx_open(lua_State *L)
{
	static const luaL_Reg events[] = { { "__index", get_field }, { "__newindex", set_field }, { NULL, NULL } };

	lua_newtable(L);
	luaL_setfuncs(L, events, 0);
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_pushliteral(L, "ctx");
	lua_setfield(L, -2, "__name");
	lua_rawsetp(L, LUA_REGISTRYINDEX, &metatable);
}

RAISES void ctx_push(lua_State *L, const char *stream)
{
	struct ctx *c = lua_newuserdatauv(L, sizeof(*c), 2);

	*c = (struct ctx){ .stream = stream };
	lua_insert(L, -2);
	lua_setiuservalue(L, -2, 1);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable);
	lua_setmetatable(L, -2);
}

void ctx_call(lua_State *L, int i, const struct call *call, const char *suffix)
{
	struct ctx *c = lua_touserdata(L, i);

	c->call = call;
	c->suffix = suffix;
	c->device_text = call && c->device_text == call->device_data ? c->device_text : NULL;
}
