/* conn.c - ctx.conn: a table for each connection, which the adapter fills as it likes.
 *
 * It belongs to a Lua state, and a reload makes new ones; but the connection stays, and with it what its login said. So plain values
 * (booleans, numbers, strings, tables of them) are carried over under the same number; anything else a script put there is not. */
#include "transforms/script.h"

#define DEPTH_MAX 8

static const char key;   /* of the registry: number -> table */

RAISES static void push_all(lua_State *L)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TTABLE)
		return;
	lua_pop(L, 1);
	lua_newtable(L);
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
}

RAISES void conn_push(lua_State *L, int *conn)
{
	struct vm *vm = vm_of(L);

	if (*conn == 0)
		*conn = ++vm->conns;
	push_all(L);
	if (lua_rawgeti(L, -1, *conn) != LUA_TTABLE) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_rawseti(L, -3, *conn);
	}
	lua_remove(L, -2);
}

void conn_end(struct vm *vm, int conn)
{
	lua_State *L = vm->L;

	/* A number that has its place already: nothing is allocated, so nothing raises. */
	if (conn && lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TTABLE && lua_rawgeti(L, -1, conn) == LUA_TTABLE) {
		lua_pop(L, 1);
		lua_pushnil(L);
		lua_rawseti(L, -2, conn);
	}
	lua_settop(L, 0);
}

/* The value on top of `from`, onto L; nil for what is not plain. */
RAISES static void copy(lua_State *L, lua_State *from, int depth)
{
	size_t n;

	luaL_checkstack(L, 6, NULL);
	switch (lua_type(from, -1)) {
	case LUA_TBOOLEAN:
		lua_pushboolean(L, lua_toboolean(from, -1));
		return;
	case LUA_TNUMBER:
		if (lua_isinteger(from, -1))
			lua_pushinteger(L, lua_tointeger(from, -1));
		else
			lua_pushnumber(L, lua_tonumber(from, -1));
		return;
	case LUA_TSTRING: {
		const char *s = lua_tolstring(from, -1, &n);
		lua_pushlstring(L, s, n);
		return;
	}
	case LUA_TTABLE:
		if (depth == DEPTH_MAX || !lua_checkstack(from, 6))
			break;
		lua_newtable(L);
		lua_pushnil(from);
		while (lua_next(from, -2)) {
			lua_pushvalue(from, -2);
			copy(L, from, depth + 1);
			lua_pop(from, 1);
			if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TTABLE) {
				copy(L, from, depth + 1);
				lua_rawset(L, -3);
			} else {
				lua_pop(L, 1);
			}
			lua_pop(from, 1);
		}
		return;
	default:
		break;
	}
	lua_pushnil(L);
}

static int take(lua_State *L)
{
	lua_State *from = lua_touserdata(L, 1);

	copy(L, from, 0);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
	return 0;
}

void scripts_take_conns(struct scripts *s, struct scripts *old)
{
	struct vm *vm = scripts_vm(s), *was = scripts_vm(old);
	struct buf why = BUF_INIT;

	vm->conns = was->conns;
	if (lua_rawgetp(was->L, LUA_REGISTRYINDEX, &key) == LUA_TTABLE)
		vm_run(vm, take, was->L, 100, &why); /* without memory for them they begin anew */
	lua_settop(was->L, 0);
	buf_fini(&why);
}

void scripts_conn_end(struct scripts *s, int conn)
{
	conn_end(scripts_vm(s), conn);
}
