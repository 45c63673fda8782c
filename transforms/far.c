/* far.c - an adapter beside the way of messages: called with bytes that came, or about a far end. */
#include <stdio.h>
#include <string.h>

#include "transforms/convert.h"
#include "transforms/script.h"

struct making { struct far *f; const char *options, *stream; };

static int make(lua_State *L)
{
	struct making *k = lua_touserdata(L, 1);

	lua_rawgeti(L, LUA_REGISTRYINDEX, k->f->table);
	options_push(L, 2, k->options, k->f->name);
	ctx_push(L, k->stream, 2);
	k->f->ctx = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

int far_init(struct far *f, struct vm *vm, int table, const char *name, const char *options_json, const char *stream, struct buf *why)
{
	struct making k = { .f = f, .options = options_json ? options_json : "{}", .stream = stream };

	*f = (struct far){ .vm = vm, .name = name, .table = table, .ctx = LUA_NOREF };
	snprintf(f->log_name, sizeof(f->log_name), "adapter/%s", name);
	return vm_run(vm, make, &k, 10, why);
}

RAISES bool far_function(lua_State *L, const struct far *f, const char *function)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, f->table);
	lua_pushstring(L, function);
	bool has = lua_rawget(L, -2) == LUA_TFUNCTION;
	lua_remove(L, -2);
	return has;
}

RAISES void far_ctx(lua_State *L, const struct far *f, struct facts *facts)
{
	facts->name = f->name;
	lua_rawgeti(L, LUA_REGISTRYINDEX, f->ctx);
	ctx_begin(L, -1, facts);
}

void far_fini(struct far *f)
{
	luaL_unref(f->vm->L, LUA_REGISTRYINDEX, f->ctx);
}

int far_run(struct far *f, lua_CFunction job, void *arg, unsigned patience, struct buf *why)
{
	f->vm->name = f->log_name;
	int failed = vm_run(f->vm, job, arg, patience, why);
	ctx_end(f->vm);
	return failed;
}
