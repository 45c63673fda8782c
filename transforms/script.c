/* script.c - loading an adapter's file, and calling its transform.
 *
 * Everything between the two vm_run's walls may raise; nothing outside of them touches the Lua state. */
#include "transforms/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "spec/scalar.h"
#include "transforms/convert.h"
#include "transforms/msg.h"

/* Reading a file may take longer than a message: tables are built, functions made. */
#define LOAD_PATIENCE 10
/* MQTT counts a topic's bytes in 16 bits. */
#define TOPIC_MAX 65535

struct load { const char *path, *text; size_t len; int ref; };

static int load(lua_State *L)
{
	struct load *l = lua_touserdata(L, 1);

	lua_pushfstring(L, "@%s", l->path);
	if (luaL_loadbufferx(L, l->text, l->len, lua_tostring(L, -1), "t") != LUA_OK)
		return lua_error(L);
	sandbox_env(L);
	lua_setupvalue(L, -2, 1);
	lua_call(L, 0, 1);
	if (!lua_istable(L, -1))
		return luaL_error(L, "%s: an adapter returns a table, this file a %s", l->path, luaL_typename(L, -1));
	l->ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

int script_load(struct vm *vm, const char *path, const char *text, size_t len, int *ref, struct buf *why)
{
	struct load l = { .path = path, .text = text, .len = len };

	vm->loading = true;
	vm->name = path;
	int failed = vm_run(vm, load, &l, LOAD_PATIENCE, why);
	vm->loading = false;
	if (!failed)
		*ref = l.ref;
	return failed;
}

void script_unload(struct vm *vm, int ref)
{
	luaL_unref(vm->L, LUA_REGISTRYINDEX, ref);
}

/* Scripts get durations in seconds, sizes in bytes, rates in messages a second. The specification has read them so already; a vector and a
 * `default` are written as users write them. */
RAISES static void read_kind(lua_State *L, int schema, int options, int name)
{
	int64_t us;
	uint64_t bytes;
	double rate;

	lua_pushliteral(L, "type");
	const char *kind = lua_rawget(L, schema) == LUA_TSTRING ? lua_tostring(L, -1) : "";
	lua_pushvalue(L, name);
	const char *text = lua_rawget(L, options) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
	lua_pushvalue(L, name);
	if (text && strcmp(kind, "duration") == 0 && scalar_duration(text, &us) == 0)
		lua_pushnumber(L, (lua_Number)us / 1e6);
	else if (text && strcmp(kind, "size") == 0 && scalar_size(text, &bytes) == 0)
		lua_pushinteger(L, (lua_Integer)bytes);
	else if (text && strcmp(kind, "rate") == 0 && scalar_rate(text, &rate) == 0)
		lua_pushnumber(L, rate);
	else
		lua_pushvalue(L, -2);
	if (lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) == (lua_Number)(lua_Integer)lua_tonumber(L, -1))
		lua_pushinteger(L, (lua_Integer)lua_tonumber(L, -1)), lua_replace(L, -2); /* 30, as the specification's JSON has it */
	lua_rawset(L, options);
	lua_settop(L, name + 1);
}

/* The specification has filled them in already; a vector says only what it is about. */
RAISES static void fill_defaults(lua_State *L, int declared, int options)
{
	lua_pushliteral(L, "properties");
	if (lua_rawget(L, declared) == LUA_TTABLE)
		declared = lua_gettop(L); /* {type = "object", properties = {…}} */
	lua_pushnil(L);
	while (lua_next(L, declared)) {
		lua_pushvalue(L, -2);
		bool given = lua_rawget(L, options) != LUA_TNIL;
		lua_pop(L, 1);
		if (!given && lua_istable(L, -1)) {
			lua_pushvalue(L, -2);
			lua_pushliteral(L, "default");
			lua_rawget(L, -3);
			lua_rawset(L, options);
		}
		if (lua_istable(L, -1))
			read_kind(L, lua_gettop(L), options, lua_gettop(L) - 1);
		lua_pop(L, 1);
	}
}

RAISES void options_push(lua_State *L, int table, const char *json, const char *name)
{
	const char *why;

	if (json_push_text(L, json, strlen(json), &why) < 0)
		luaL_error(L, "options of %s: %s", name, why);
	int options = lua_gettop(L);
	lua_pushliteral(L, "options");
	if (lua_rawget(L, table) == LUA_TTABLE && lua_istable(L, options))
		fill_defaults(L, lua_gettop(L), options);
	lua_settop(L, options);
}

struct making { struct program *p; int table; const char *options, *stream; };

static int make(lua_State *L)
{
	struct making *k = lua_touserdata(L, 1);

	lua_rawgeti(L, LUA_REGISTRYINDEX, k->table);
	lua_pushliteral(L, "transform");
	if (lua_rawget(L, -2) != LUA_TFUNCTION)
		return luaL_error(L, "adapter %s has no function transform", k->p->name);
	k->p->transform = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_pushliteral(L, "topic");
	k->p->topic = lua_rawget(L, 2) == LUA_TFUNCTION ? luaL_ref(L, LUA_REGISTRYINDEX) : LUA_NOREF;
	options_push(L, 2, k->options, k->p->name);
	ctx_push(L, k->stream, 2);
	k->p->ctx = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

int program_init(struct program *p, struct vm *vm, int table, const char *name, const char *options_json, const char *stream, struct buf *why)
{
	struct making k = { .p = p, .table = table, .options = options_json ? options_json : "{}", .stream = stream };

	*p = (struct program){ .vm = vm, .name = name, .chain = p, .nchain = 1, .transform = LUA_NOREF, .topic = LUA_NOREF, .ctx = LUA_NOREF };
	snprintf(p->state_name, sizeof(p->state_name), "%s", name);
	snprintf(p->log_name, sizeof(p->log_name), "adapter/%s", name);
	return vm_run(vm, make, &k, LOAD_PATIENCE, why);
}

void program_fini(struct program *p)
{
	program_resume(p);
	luaL_unref(p->vm->L, LUA_REGISTRYINDEX, p->transform);
	luaL_unref(p->vm->L, LUA_REGISTRYINDEX, p->topic);
	luaL_unref(p->vm->L, LUA_REGISTRYINDEX, p->ctx);
}

struct job {
	struct program *p;
	const struct message *m;
	struct facts facts;
	struct rows *out;
	struct buf *why;
	enum render_result result;
};

/* topic(msg, ctx) for the rows that this call made; nil leaves it to the destination. */
RAISES static void take_topic(lua_State *L, const struct job *j, int msg, int ctx, unsigned first)
{
	size_t n;

	lua_rawgeti(L, LUA_REGISTRYINDEX, j->p->topic);
	lua_pushvalue(L, msg);
	lua_pushvalue(L, ctx);
	vm_call(L, 2, 1);
	if (lua_isnil(L, -1))
		return;
	if (lua_type(L, -1) != LUA_TSTRING)
		luaL_error(L, "topic returned a %s, not a string", luaL_typename(L, -1));
	const char *topic = lua_tolstring(L, -1, &n);
	if (n == 0 || n > TOPIC_MAX || strlen(topic) != n || strpbrk(topic, "+#") || !utf8_valid(topic, n, NULL))
		luaL_error(L, "topic returned what is no topic to publish to");
	for (unsigned i = first; i < j->out->n; i++) {
		buf_add(&j->out->topics, topic, n);
		j->out->topic_ends[i] = j->out->topics.len;
	}
}

static int work(lua_State *L)
{
	struct job *j = lua_touserdata(L, 1);

	unsigned first = j->out->n;

	lua_rawgeti(L, LUA_REGISTRYINDEX, j->p->ctx);
	ctx_begin(L, 2, &j->facts);
	msg_push(L, j->m);
	lua_rawgeti(L, LUA_REGISTRYINDEX, j->p->transform);
	lua_pushvalue(L, 3);
	lua_pushvalue(L, 2);
	vm_call(L, 2, 2);
	j->result = result_take(L, 4, j->out, j->why);
	if (j->p->topic != LUA_NOREF && j->result == RENDER_OK)
		take_topic(L, j, 3, 2, first);
	ctx_keep_state(L, 2);
	return 0;
}

static void suspend(struct program *p, const struct call *c, int64_t now)
{
	int64_t drained = (now - p->spent_at_us) / SPENT_SHARE;

	/* A whole budget each, however long it took: that the machine is busy is not its fault. */
	p->spent_us = (p->spent_us > drained ? p->spent_us - drained : 0) + p->vm->limits.time_us;
	p->spent_at_us = now;
	if (++p->exhausted_in_row < EXHAUSTED_MAX && p->spent_us <= SPENT_MAX * p->vm->limits.time_us && !p->suspended)
		return;
	if (!p->suspended) {
		p->suspended = stats_stream(c->stream);
		stats_add(&p->suspended->suspended, 1);
		log_error(p->log_name, "suspended", "stream=%s exhausted=%llu hint=%s", log_quote(c->stream), (unsigned long long)p->counts.exhausted,
			log_quote("its messages become dead letters; put the adapter right and reload"));
	}
	p->trial_us = now + TRIAL_US;
}

void program_resume(struct program *p)
{
	if (p->suspended)
		stats_add(&p->suspended->suspended, (uint64_t)-1);
	p->suspended = NULL;
	p->exhausted_in_row = 0;
}

enum render_result program_run(struct program *p, const struct message *m, const struct call *c, const char *suffix, unsigned patience,
                               struct rows *out, struct buf *why)
{
	struct job j = { .p = p, .m = m, .out = out, .why = why,
		.facts = { .call = c, .suffix = suffix, .now_us = c->now_us, .name = p->state_name,
			.steps = p->chain, .nsteps = p->nchain, .state = &out->state } };
	size_t bytes = out->bytes.len;
	unsigned rows = out->n;
	int64_t begin = clock_mono_us();

	if (p->suspended && begin < p->trial_us) {
		p->counts.suspended++;
		buf_clear(why);
		buf_addf(why, "adapter %s is suspended: it spent its budget again and again", p->name);
		return RENDER_FAILED;
	}
	p->counts.calls++;
	p->vm->name = p->log_name;
	int failed = vm_run(p->vm, work, &j, patience, why);
	msg_end(p->vm);
	ctx_end(p->vm);
	int64_t end = clock_mono_us();
	p->counts.us += end - begin;
	if (!failed) {
		if (p->suspended)
			log_info(p->log_name, "resumed", "stream=%s", log_quote(c->stream));
		program_resume(p);
		out->state_changed |= j.facts.state_changed;
		return j.result;
	}
	out->n = rows;
	out->bytes.len = bytes;
	out->topics.len = rows ? out->topic_ends[rows - 1] : 0;
	p->counts.errors++;
	if (p->vm->spent) {
		p->counts.exhausted++;
		suspend(p, c, end);
	} else {
		program_resume(p);
	}
	return RENDER_FAILED;
}
