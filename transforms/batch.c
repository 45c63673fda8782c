/* batch.c - see batch.h. An item's table is made when it is asked for: most verdicts look at none. */
#include "transforms/batch.h"

#include <string.h>

#include "transforms/convert.h"
#include "transforms/script.h"

static const char metatable; /* its address is the key of the batches' metatable */

struct handle { const struct script_batch *b; uint64_t call; };

RAISES static const struct script_batch *live(lua_State *L)
{
	const struct handle *h = lua_touserdata(L, 1);

	if (h->call != vm_of(L)->calls)
		luaL_error(L, "a batch is used after its call has ended");
	return h->b;
}

RAISES static void push_item(lua_State *L, const struct script_batch *b, const struct script_item *item)
{
	const char *why, *device = item->device || !b->device ? item->device : b->device(b->device_arg, item->ident, item->ident_len);

	lua_createtable(L, 0, 5);
	lua_pushstring(L, item->id);
	lua_setfield(L, -2, "id");
	lua_pushlstring(L, item->ident, item->ident_len);
	lua_setfield(L, -2, "ident");
	lua_pushnumber(L, (lua_Number)item->time_us / 1e6);
	lua_setfield(L, -2, "timestamp");
	lua_pushlstring(L, item->bytes, item->len);
	lua_setfield(L, -2, "bytes");
	if (!device)
		lua_newtable(L);
	else if (json_push_text(L, device, strlen(device), &why) < 0)
		luaL_error(L, "per-device data: %s", why);
	lua_setfield(L, -2, "device");
}

static int get_field(lua_State *L)
{
	const struct script_batch *b = live(L);

	if (lua_isinteger(L, 2)) {
		lua_Integer i = lua_tointeger(L, 2);
		if (i < 1 || i > (lua_Integer)b->n)
			lua_pushnil(L);
		else
			push_item(L, b, &b->items[i - 1]);
	} else if (lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "body") == 0) {
		lua_pushlstring(L, b->body, b->body_len);
	} else {
		return luaL_error(L, "a batch has no field '%s'", luaL_tolstring(L, 2, NULL));
	}
	return 1;
}

static int count(lua_State *L)
{
	lua_pushinteger(L, live(L)->n);
	return 1;
}

RAISES void batch_open(lua_State *L)
{
	static const luaL_Reg events[] = { { "__index", get_field }, { "__len", count }, { NULL, NULL } };

	lua_newtable(L);
	luaL_setfuncs(L, events, 0);
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_pushliteral(L, "batch");
	lua_setfield(L, -2, "__name");
	lua_rawsetp(L, LUA_REGISTRYINDEX, &metatable);
}

RAISES void batch_push(lua_State *L, const struct script_batch *b)
{
	struct handle *h = lua_newuserdatauv(L, sizeof(*h), 0);

	h->b = b;
	h->call = vm_of(L)->calls;
	lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable);
	lua_setmetatable(L, -2);
}

void batch_end(struct vm *vm)
{
	vm->calls++;
}

/* Upvalue: the body. → its value, or nil and why not */
static int body_as_json(lua_State *L)
{
	size_t n;
	const char *s = lua_tolstring(L, lua_upvalueindex(1), &n), *why;

	if (json_push_text(L, s, n, &why) == 0)
		return 1;
	lua_pushnil(L);
	lua_insert(L, -2);
	return 2;
}

RAISES void answer_push(lua_State *L, const struct script_answer *a)
{
	lua_createtable(L, 0, 5);
	lua_pushinteger(L, a->status);
	lua_setfield(L, -2, "status");
	push_headers(L, a->nheaders, a->header_names, a->header_values);
	lua_setfield(L, -2, "headers");
	lua_pushlstring(L, a->body ? a->body : "", a->len);
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, "body");
	lua_pushcclosure(L, body_as_json, 1);
	lua_setfield(L, -2, "json");
	lua_pushboolean(L, a->cut);
	lua_setfield(L, -2, "cut");
}
