/* conn.c - ctx.conn: a table for each connection, which the adapter fills as it likes.
 *
 * It belongs to a Lua state, and a reload makes new ones; but the connection stays, and with it what its login said. So plain values
 * (booleans, numbers, strings, tables of them) are carried over under the same number; anything else a script put there is not. */
#include "transforms/script.h"

#define DEPTH_MAX 8
/* What a table, a member of one and a string take in Lua 5.4 at the least. */
#define TABLE_BYTES 56
#define MEMBER_BYTES 40
#define STRING_BYTES 25

static const char tables, sizes;   /* of the registry: number -> table, and what it took when it was last looked at */

RAISES static void push_all(lua_State *L, const void *key)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) == LUA_TTABLE)
		return;
	lua_pop(L, 1);
	lua_newtable(L);
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

RAISES void conn_push(lua_State *L, int *conn)
{
	struct vm *vm = vm_of(L);

	if (*conn == 0)
		*conn = ++*vm->last_conn;
	push_all(L, &tables);
	if (lua_rawgeti(L, -1, *conn) != LUA_TTABLE) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_rawseti(L, -3, *conn);
	}
	lua_remove(L, -2);
}

static size_t text_size(lua_State *L, int i)
{
	return lua_type(L, i) == LUA_TSTRING ? STRING_BYTES + lua_rawlen(L, i) : 0;
}

/* Of the table on top. Ends soon after SCRIPT_CONN_MAX, so a table within itself does no harm. */
RAISES static size_t size_of(lua_State *L, int depth)
{
	size_t size = TABLE_BYTES;

	luaL_checkstack(L, 4, NULL);
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		size += MEMBER_BYTES + text_size(L, -2) + text_size(L, -1);
		if (lua_istable(L, -1) && depth < DEPTH_MAX)
			size += size_of(L, depth + 1);
		lua_pop(L, 1);
		if (size > SCRIPT_CONN_MAX) {
			lua_pop(L, 1);
			break;
		}
	}
	return size;
}

/* A number that has its place already: nothing is allocated, so nothing raises. */
static void forget(lua_State *L, const void *key, int conn)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) == LUA_TTABLE && lua_rawgeti(L, -1, conn) != LUA_TNIL) {
		lua_pushnil(L);
		lua_rawseti(L, -3, conn);
	}
}

static size_t size_before(lua_State *L, int conn)
{
	int top = lua_gettop(L);
	size_t before = 0;

	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &sizes) == LUA_TTABLE && lua_rawgeti(L, -1, conn) == LUA_TNUMBER)
		before = (size_t)lua_tointeger(L, -1);
	lua_settop(L, top);
	return before;
}

RAISES void conn_settle(lua_State *L, const struct facts *f)
{
	struct vm *vm = vm_of(L);
	int top = lua_gettop(L), conn = f->conn ? *f->conn : 0;

	if (!conn || lua_rawgetp(L, LUA_REGISTRYINDEX, &tables) != LUA_TTABLE || lua_rawgeti(L, -1, conn) != LUA_TTABLE) {
		lua_settop(L, top);
		return;
	}
	size_t size = size_of(L, 0), before = size_before(L, conn);
	if (size > SCRIPT_CONN_MAX) {
		conn_end(vm, conn);
		luaL_error(L, "ctx.conn holds more than %d bytes", (int)SCRIPT_CONN_MAX);
	}
	if (size != before) {
		push_all(L, &sizes);
		lua_pushinteger(L, (lua_Integer)size);
		lua_rawseti(L, -2, conn);
		vm->kept += size - before;
	}
	lua_settop(L, top);
}

void conn_end(struct vm *vm, int conn)
{
	lua_State *L = vm->L;
	int top = lua_gettop(L);

	if (!conn)
		return;
	vm->kept -= size_before(L, conn);
	forget(L, &tables, conn);
	forget(L, &sizes, conn);
	lua_settop(L, top);
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
	const void *const keys[] = { &tables, &sizes };

	for (int i = 0; i < 2; i++) {
		if (lua_rawgetp(from, LUA_REGISTRYINDEX, keys[i]) == LUA_TTABLE) {
			copy(L, from, 0);
			lua_rawsetp(L, LUA_REGISTRYINDEX, keys[i]);
		}
		lua_settop(from, 0);
	}
	return 0;
}

void conns_take(struct vm *vm, struct vm *was)
{
	struct buf why = BUF_INIT;

	vm->kept = was->kept; /* room for them */
	if (vm_run(vm, take, was->L, 100, &why) < 0) { /* without memory for them they begin anew */
		lua_pushnil(vm->L);
		lua_rawsetp(vm->L, LUA_REGISTRYINDEX, &tables);
		lua_pushnil(vm->L);
		lua_rawsetp(vm->L, LUA_REGISTRYINDEX, &sizes);
		vm->kept = 0;
	}
	lua_settop(was->L, 0);
	buf_fini(&why);
}
