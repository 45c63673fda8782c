/* ctx.c - what a script is told beside the message. Each part is made when it is asked for. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "transforms/convert.h"
#include "transforms/script.h"

static const char metatable; /* its address is the key of the metatable */

/* user values: OPTIONS and DEVICE are kept from call to call, of each a call has a copy (OURS); DECLARED is the adapter's `state`, or nil; BEFORE
 * what STATE was */
enum { OPTIONS = 1, OUR_OPTIONS, DEVICE, OUR_DEVICE, STATE, DECLARED, BEFORE, VALUES = BEFORE };

struct ctx {
	struct facts *facts;     /* NULL: between calls */
	const char *stream;
	const char *device_text; /* lives as long as the plan, so the same address is the same text */
	bool has_options, has_device; /* this call has its copy */
	bool has_state;          /* the state of this call has been read into STATE */
	unsigned nbefore;        /* fields of BEFORE */
};

RAISES static int push_json(lua_State *L, const char *p, size_t n, const char *what)
{
	const char *why;

	if (json_push_text(L, p, n, &why) < 0)
		return luaL_error(L, "%s: %s", what, why);
	return 1;
}

/* What a script writes into it is gone with the call: what belongs to one vehicle must not be found by the next. */
RAISES static void push_copy(lua_State *L, int from)
{
	luaL_checkstack(L, 8, NULL);
	lua_newtable(L);
	int to = lua_gettop(L);
	lua_pushnil(L);
	while (lua_next(L, from)) {
		if (lua_istable(L, -1)) {
			push_copy(L, lua_gettop(L));
			lua_remove(L, -2);
		}
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, to);
	}
	if (lua_getmetatable(L, from))
		lua_setmetatable(L, to); /* an array's */
}

/* This call's copy of a user value, made when it is first asked for. */
RAISES static int push_ours(lua_State *L, int original, int ours, bool *has)
{
	if (!*has) {
		lua_getiuservalue(L, 1, original);
		if (lua_istable(L, -1))
			push_copy(L, lua_gettop(L));
		lua_setiuservalue(L, 1, ours);
		*has = true;
	}
	lua_getiuservalue(L, 1, ours);
	return 1;
}

RAISES static int push_device(lua_State *L, struct ctx *c)
{
	const char *text = c->facts->call->device_data;

	if (!text && !c->has_device) {
		lua_newtable(L);
		lua_setiuservalue(L, 1, OUR_DEVICE);
		c->has_device = true;
	} else if (text && c->device_text != text) {
		push_json(L, text, strlen(text), "per-device data");
		lua_setiuservalue(L, 1, DEVICE);
		c->device_text = text;
	}
	return push_ours(L, DEVICE, OUR_DEVICE, &c->has_device);
}

/* ---- state ---------------------------------------------------------------------------------------------------------------- */

/* The whole state: each adapter of the rendering has a member of its own. */
RAISES static void push_states(lua_State *L, const struct facts *f)
{
	if (f->state->len)
		push_json(L, f->state->p, f->state->len, "state");
	else
		lua_newtable(L);
}

/* Is the value on top, under this key, as the adapter declares it? */
RAISES static bool fits(lua_State *L, int key, int declared)
{
	int value = lua_gettop(L);
	bool is = false;

	lua_pushvalue(L, key);
	if (lua_rawget(L, declared) == LUA_TSTRING) {
		const char *want = lua_tostring(L, -1);
		const char *have = lua_type(L, value) == LUA_TNUMBER && lua_isinteger(L, value) ? "integer" : luaL_typename(L, value);
		is = strcmp(want, have) == 0 || (strcmp(want, "number") == 0 && strcmp(have, "integer") == 0);
	}
	lua_settop(L, value);
	return is;
}

/* What was kept under another declaration than the one in force: the script would not know what to make of it, nor could it be kept again. */
RAISES static void drop_misfits(lua_State *L, int state, int declared)
{
	lua_pushnil(L);
	while (lua_next(L, state)) {
		bool keep = fits(L, lua_gettop(L) - 1, declared);
		lua_pop(L, 1);
		if (keep)
			continue;
		lua_pushvalue(L, -1);
		lua_pushnil(L);
		lua_rawset(L, state);
	}
}

/* Mostly a script looks and changes nothing: a copy to compare with costs a fraction of writing the state again to see that. */
RAISES static void copy_state(lua_State *L, int state, struct ctx *c)
{
	lua_createtable(L, 0, 8);
	c->nbefore = 0;
	lua_pushnil(L);
	while (lua_next(L, state)) {
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, -4);
		c->nbefore++;
	}
	lua_setiuservalue(L, 1, BEFORE);
}

/* Tables may have changed inside. */
RAISES static bool is_as_before(lua_State *L, int state, int before, unsigned nbefore)
{
	unsigned n = 0;
	bool same = true;

	lua_pushnil(L);
	while (same && lua_next(L, state)) {
		lua_pushvalue(L, -2);
		int kind = lua_rawget(L, before);
		same = kind == lua_type(L, -2) && kind != LUA_TTABLE && lua_isinteger(L, -1) == lua_isinteger(L, -2) && lua_rawequal(L, -1, -2);
		lua_pop(L, 2);
		n++;
	}
	return same && n == nbefore;
}

RAISES static int push_state(lua_State *L, struct ctx *c)
{
	if (lua_getiuservalue(L, 1, DECLARED) != LUA_TTABLE)
		return luaL_error(L, "ctx.state: the adapter declares no state");
	if (!c->has_state) {
		push_states(L, c->facts);
		if (lua_getfield(L, -1, c->facts->name) == LUA_TTABLE)
			drop_misfits(L, lua_gettop(L), lua_absindex(L, -3));
		else
			lua_newtable(L);
		copy_state(L, lua_gettop(L), c);
		lua_setiuservalue(L, 1, STATE);
		c->has_state = true;
	}
	lua_getiuservalue(L, 1, STATE);
	return 1;
}

RAISES static void check_state(lua_State *L, int state, int declared)
{
	lua_pushnil(L);
	while (lua_next(L, state)) {
		const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
		if (!fits(L, lua_gettop(L) - 1, declared)) {
			lua_pushvalue(L, -2);
			if (lua_rawget(L, declared) != LUA_TSTRING)
				luaL_error(L, "ctx.state.%s is not declared in the adapter's `state`", key);
			luaL_error(L, "ctx.state.%s is declared as %s, and is a %s", key, lua_tostring(L, -1),
				lua_type(L, -2) == LUA_TNUMBER && lua_isinteger(L, -2) ? "integer" : luaL_typename(L, -2));
		}
		lua_pop(L, 1);
	}
}

static bool has_step(const struct facts *f, const char *name)
{
	for (unsigned i = 0; i < f->nsteps; i++)
		if (strcmp(f->steps[i].state_name, name) == 0)
			return true;
	return false;
}

/* Members of steps that the rendering does not have any more. */
RAISES static void drop_others(lua_State *L, int states, const struct facts *f)
{
	lua_pushnil(L);
	while (lua_next(L, states)) {
		lua_pop(L, 1);
		if (lua_type(L, -1) == LUA_TSTRING && has_step(f, lua_tostring(L, -1)))
			continue;
		lua_pushvalue(L, -1);
		lua_pushnil(L);
		lua_rawset(L, states);
	}
}

RAISES void ctx_keep_state(lua_State *L, int i)
{
	struct ctx *c = lua_touserdata(L, i);
	struct facts *f = c->facts;
	struct buf *text = &vm_of(L)->text;

	if (!c->has_state)
		return;
	lua_settop(L, i);
	lua_getiuservalue(L, i, STATE);
	lua_getiuservalue(L, i, BEFORE);
	if (is_as_before(L, i + 1, i + 2, c->nbefore))
		return;
	lua_settop(L, i + 1);
	lua_getiuservalue(L, i, DECLARED);
	check_state(L, i + 1, i + 2);
	push_states(L, f);
	drop_others(L, i + 3, f);
	lua_pushvalue(L, i + 1);
	lua_setfield(L, -2, f->name);
	buf_clear(text);
	json_write(L, -1, text);
	if (text->len > SCRIPT_STATE_MAX)
		luaL_error(L, "the state takes %d bytes; %d is the most", (int)text->len, SCRIPT_STATE_MAX);
	if (text->len == f->state->len && memcmp(text->p, f->state->p, text->len) == 0)
		return;
	buf_clear(f->state);
	buf_add(f->state, text->p, text->len);
	f->state_changed = true;
}

/* ---- what came with the bytes of a channel ----------------------------------------------------------------------------------- */

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

RAISES static void push_decoded(lua_State *L, const char *p, const char *end)
{
	luaL_Buffer b;

	luaL_buffinit(L, &b);
	for (; p < end; p++) {
		if (*p == '%' && end - p > 2 && digit(p[1]) >= 0 && digit(p[2]) >= 0) {
			luaL_addchar(&b, (char)(digit(p[1]) << 4 | digit(p[2])));
			p += 2;
		} else {
			luaL_addchar(&b, *p == '+' ? ' ' : *p);
		}
	}
	luaL_pushresult(&b);
}

/* id=1&lat=2 → {id = "1", lat = "2"}; of a name given twice the last counts */
RAISES static int push_query(lua_State *L, const char *p)
{
	lua_newtable(L);
	while (p && *p) {
		const char *end = p + strcspn(p, "&"), *equals = memchr(p, '=', (size_t)(end - p));
		if (end > p) {
			push_decoded(L, p, equals ? equals : end);
			push_decoded(L, equals ? equals + 1 : end, end);
			lua_rawset(L, -3);
		}
		p = *end ? end + 1 : end;
	}
	return 1;
}

RAISES void push_headers(lua_State *L, unsigned n, const char *const *names, const char *const *values)
{
	lua_createtable(L, 0, (int)n);
	for (unsigned i = 0; i < n; i++) {
		luaL_Buffer b;
		luaL_buffinit(L, &b);
		for (const char *p = names[i]; *p; p++)
			luaL_addchar(&b, (char)tolower((unsigned char)*p));
		luaL_pushresult(&b);
		lua_pushstring(L, values[i]);
		lua_rawset(L, -3);
	}
}

RAISES static int push_conn(lua_State *L, int *conn)
{
	if (!conn)
		return luaL_error(L, "ctx.conn: there is no connection here");
	conn_push(L, conn);
	return 1;
}

RAISES static int of_arrival(lua_State *L, const struct arrival *in, const char *key)
{
	if (strcmp(key, "query") == 0)
		return push_query(L, in->query);
	if (strcmp(key, "headers") == 0) {
		push_headers(L, in->nheaders, in->header_names, in->header_values);
		return 1;
	}
	if (strcmp(key, "method") == 0)
		lua_pushstring(L, in->method);
	else if (strcmp(key, "topic") == 0)
		lua_pushstring(L, in->topic);
	else if (strcmp(key, "peer") == 0)
		lua_pushstring(L, in->peer);
	else
		return 0;
	return 1;
}

/* ---- the object ---------------------------------------------------------------------------------------------------------------- */

RAISES static int of_call(lua_State *L, struct ctx *c, const char *key)
{
	const struct call *call = c->facts->call;
	char id[96];

	if (strcmp(key, "device") == 0)
		return push_device(L, c);
	if (strcmp(key, "state") == 0)
		return push_state(L, c);
	if (strcmp(key, "ident") == 0) {
		lua_pushlstring(L, call->ident, call->ident_len);
		return 1;
	}
	if (strcmp(key, "id") == 0) {
		snprintf(id, sizeof(id), "%" PRIu64 "%s", call->id, c->facts->suffix);
		lua_pushstring(L, id);
		return 1;
	}
	return 0;
}

static int get_field(lua_State *L)
{
	struct ctx *c = lua_touserdata(L, 1);
	const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
	int n = 0;

	if (strcmp(key, "options") == 0) {
		bool between = false; /* calls: then there is none to keep it for */
		return push_ours(L, OPTIONS, OUR_OPTIONS, c->facts ? &c->has_options : &between);
	}
	if (strcmp(key, "stream") == 0) {
		lua_pushstring(L, c->stream);
		return 1;
	}
	if (!c->facts)
		return luaL_error(L, "ctx is used after its call has ended");
	if (strcmp(key, "now") == 0) {
		lua_pushnumber(L, (lua_Number)c->facts->now_us / 1e6);
		return 1;
	}
	if (strcmp(key, "conn") == 0)
		return push_conn(L, c->facts->conn);
	if (c->facts->ident && strcmp(key, "ident") == 0) {
		lua_pushstring(L, c->facts->ident);
		return 1;
	}
	if (c->facts->call)
		n = of_call(L, c, key);
	else if (c->facts->arrival)
		n = of_arrival(L, c->facts->arrival, key);
	if (n)
		return n;
	return luaL_error(L, "ctx has no field '%s' here", luaL_tolstring(L, 2, NULL));
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

RAISES void ctx_push(lua_State *L, const char *stream, int table)
{
	struct ctx *c = lua_newuserdatauv(L, sizeof(*c), VALUES);

	*c = (struct ctx){ .stream = stream };
	lua_insert(L, -2);
	lua_setiuservalue(L, -2, OPTIONS);
	lua_pushliteral(L, "state");
	lua_rawget(L, table);
	lua_setiuservalue(L, -2, DECLARED);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable);
	lua_setmetatable(L, -2);
}

void ctx_begin(lua_State *L, int i, struct facts *f)
{
	struct ctx *c = lua_touserdata(L, i);

	c->facts = f;
	c->has_options = c->has_device = c->has_state = false;
	if (f->call && f->call->device_data != c->device_text)
		c->device_text = NULL;
	vm_of(L)->ctx = c;
}

void ctx_end(struct vm *vm)
{
	if (vm->ctx)
		vm->ctx->facts = NULL;
	vm->ctx = NULL;
}
