/* far.c - an adapter beside the way of messages: called with bytes that came, or about a far end. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
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

	*f = (struct far){ .vm = vm, .name = name, .of = stream, .table = table, .ctx = LUA_NOREF };
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

/* It spent its budget, or did not. The rules are those of transforms. */
static void judge_budget(struct far *f, bool spent)
{
	int64_t now = clock_mono_us(), drained = (now - f->spent_at_us) / SPENT_SHARE;

	if (!spent) {
		if (f->suspended)
			log_info(f->log_name, "resumed", "of=%s", log_quote(f->of));
		f->suspended = false;
		f->exhausted_in_row = 0;
		return;
	}
	f->spent_us = (f->spent_us > drained ? f->spent_us - drained : 0) + f->vm->limits.time_us;
	f->spent_at_us = now;
	if (++f->exhausted_in_row < EXHAUSTED_MAX && f->spent_us <= SPENT_MAX * f->vm->limits.time_us && !f->suspended)
		return;
	if (!f->suspended)
		log_error(f->log_name, "suspended", "of=%s hint=%s", log_quote(f->of),
			log_quote("until it is put right and reloaded, what it is asked counts as an error of its own"));
	f->suspended = true;
	f->trial_us = now + TRIAL_US;
}

int far_run(struct far *f, lua_CFunction job, void *arg, unsigned patience, struct buf *why)
{
	if (f->suspended && clock_mono_us() < f->trial_us) {
		buf_clear(why);
		buf_addf(why, "adapter %s is suspended: it spent its budget again and again", f->name);
		return -1;
	}
	f->vm->name = f->log_name;
	int failed = vm_run(f->vm, job, arg, patience, why);
	judge_budget(f, failed && f->vm->spent);
	ctx_end(f->vm);
	return failed;
}
