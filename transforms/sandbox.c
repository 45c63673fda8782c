/* sandbox.c - what a script finds in its world: an allow-list, and why each thing that is missing is missing.
 *
 *   load loadstring loadfile dofile require package   would bring in code that nobody has read or checked
 *   debug                                             reaches around every wall
 *   io os                                             files and clocks: a rendering is a function of the message and ctx
 *   coroutine                                         a hook belongs to one thread; threads would run without
 *   collectgarbage                                    a full collection is long, and runs in C
 *   string.dump                                       bytecode can crash the machine that runs it
 *   math.random math.randomseed                       streams share a rendering: the same message gives the same bytes
 *   print                                             log.info says it where it is looked for
 *
 * Library tables are copied into each environment, so an adapter that changes its `string` changes only its own. Methods of strings come
 * from a table that no script can reach. */
#include "transforms/vm.h"

#include <assert.h>
#include <string.h>

#include "base/embedded.h"
#include "transforms/convert.h"
#include "transforms/libraries.h"

static const char *const allowed_base[] = { "assert", "error", "ipairs", "next", "pairs", "rawequal", "rawget", "rawlen",
	"select", "tostring", "type", "_VERSION", NULL };
static const char *const allowed_string[] = { "byte", "char", "format", "len", "lower", "pack", "packsize", "reverse", "sub", "unpack",
	"upper", NULL };
static const char *const allowed_math[] = { "abs", "acos", "asin", "atan", "ceil", "cos", "deg", "exp", "floor", "fmod", "huge", "log",
	"max", "maxinteger", "min", "mininteger", "modf", "pi", "rad", "sin", "sqrt", "tan", "tointeger", "type", "ult", NULL };
static const char *const allowed_utf8[] = { "char", "charpattern", "codepoint", "codes", NULL };

/* Metamethods an object may have. __gc, __close and __mode run or steer code where no bound looks: they are refused by name. */
static const char *const events[] = { "__index", "__newindex", "__call", "__tostring", "__name", "__pairs", "__len", "__eq", "__lt", "__le",
	"__concat", "__unm", "__add", "__sub", "__mul", "__div", "__idiv", "__mod", "__pow", "__band", "__bor", "__bxor", "__bnot", "__shl",
	"__shr", NULL };
static const char *const refused_events[] = { "__gc", "__close", "__mode", NULL };

static const char libraries, closed; /* their addresses are keys: of the tables to copy, and of "this metatable is protected" */

/* ---- calls that catch errors ---------------------------------------------------------------------------------------- */

RAISES static int caught(lua_State *L, int status)
{
	struct vm *vm = vm_of(L);

	if (status == LUA_ERRMEM)
		vm_spend(vm, SPENT_MEMORY);
	vm_check(L);
	luaL_checkstack(L, 1, "too many results");
	lua_pushboolean(L, status == LUA_OK);
	lua_insert(L, 1);
	return lua_gettop(L);
}

static int safe_pcall(lua_State *L)
{
	luaL_checkany(L, 1);
	int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
	return caught(L, status);
}

/* A script's message handler is called only for errors that are not the end of a budget: it would run with hooks off. */
static int handled(lua_State *L)
{
	if (vm_of(L)->spent)
		return 1;
	lua_settop(L, 1);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, 1, 1);
	return 1;
}

static int safe_xpcall(lua_State *L)
{
	int n = lua_gettop(L);

	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_pushvalue(L, 2);
	lua_pushcclosure(L, handled, 1);
	lua_replace(L, 2);
	lua_pushvalue(L, 1);
	lua_rotate(L, 3, 1); /* function, handler, function, arguments */
	int status = lua_pcall(L, n - 2, LUA_MULTRET, 2);
	lua_remove(L, 2);
	lua_remove(L, 1);
	return caught(L, status);
}

/* ---- metatables ----------------------------------------------------------------------------------------------------- */

/* The object gets a copy of the events: fields given to the metatable later on are not seen, so the refused ones stay out. */
static int safe_setmetatable(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
	lua_settop(L, 2);
	if (lua_getmetatable(L, 1)) {
		if (lua_rawgetp(L, -1, &closed) != LUA_TNIL)
			return luaL_error(L, "cannot change a protected metatable");
		lua_pop(L, 2);
	}
	if (lua_isnil(L, 2)) {
		lua_setmetatable(L, 1);
		return 1;
	}
	for (const char *const *name = refused_events; *name; name++) {
		lua_pushstring(L, *name);
		if (lua_rawget(L, 2) != LUA_TNIL)
			return luaL_error(L, "%s is not available to adapters", *name);
		lua_pop(L, 1);
	}
	lua_newtable(L);
	for (const char *const *name = events; *name; name++) {
		lua_pushstring(L, *name);
		lua_pushvalue(L, -1);
		if (lua_rawget(L, 2) == LUA_TNIL)
			lua_pop(L, 2);
		else
			lua_rawset(L, 3);
	}
	lua_pushliteral(L, "__metatable");
	if (lua_rawget(L, 2) == LUA_TNIL) {
		lua_pop(L, 1);
		lua_pushvalue(L, 2);
	} else {
		lua_pushboolean(L, 1);
		lua_rawsetp(L, -3, &closed);
	}
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, 1);
	lua_settop(L, 1);
	return 1;
}

static int safe_getmetatable(lua_State *L)
{
	luaL_checkany(L, 1);
	/* Other kinds have only metatables of the host. */
	if (!lua_istable(L, 1) || !luaL_getmetafield(L, 1, "__metatable"))
		lua_pushnil(L);
	return 1;
}

RAISES void sandbox_close_metatable(lua_State *L)
{
	lua_pushboolean(L, 1);
	lua_rawsetp(L, -2, &closed);
}

RAISES void sandbox_plain_table(lua_State *L, int arg)
{
	luaL_checktype(L, arg, LUA_TTABLE);
	if (!lua_getmetatable(L, arg))
		return;
	if (!json_is_array_metatable(L, -1))
		luaL_argerror(L, arg, "a table with a metatable is not taken here");
	lua_pop(L, 1);
}

static int set_global(lua_State *L);

/* The world's metatable sees each write that its owner makes: rawset would go past it. */
static int safe_rawset(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkany(L, 2);
	luaL_checkany(L, 3);
	lua_settop(L, 3);
	if (lua_getmetatable(L, 1)) {
		lua_getfield(L, -1, "__newindex");
		bool world = lua_tocfunction(L, -1) == set_global;
		lua_settop(L, 3);
		if (world) {
			lua_settable(L, 1);
			lua_settop(L, 1);
			return 1;
		}
	}
	lua_rawset(L, 1);
	return 1;
}

/* ---- table: lengths may lie (a border can be anywhere), so each loop is paid for before it is begun ---------------------- */

RAISES static int original(lua_State *L)
{
	return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static lua_Integer distance(lua_Integer from, lua_Integer to)
{
	lua_Integer n;
	return from > to ? 0 : __builtin_sub_overflow(to, from, &n) ? LUA_MAXINTEGER : n;
}

static int table_insert(lua_State *L)
{
	sandbox_plain_table(L, 1);
	if (lua_gettop(L) == 3)
		vm_charge(L, distance(luaL_checkinteger(L, 2), (lua_Integer)lua_rawlen(L, 1)));
	return original(L);
}

static int table_remove(lua_State *L)
{
	sandbox_plain_table(L, 1);
	if (lua_gettop(L) >= 2)
		vm_charge(L, distance(luaL_checkinteger(L, 2), (lua_Integer)lua_rawlen(L, 1)));
	return original(L);
}

static int table_move(lua_State *L)
{
	sandbox_plain_table(L, 1);
	if (!lua_isnoneornil(L, 5))
		sandbox_plain_table(L, 5);
	vm_charge(L, distance(luaL_checkinteger(L, 2), luaL_checkinteger(L, 3)));
	return original(L);
}

static int table_concat(lua_State *L)
{
	sandbox_plain_table(L, 1);
	/* It stops at the first value that is neither string nor number, so it is as long as the table really is. */
	vm_charge(L, 1);
	return original(L);
}

static int table_unpack(lua_State *L)
{
	sandbox_plain_table(L, 1);
	vm_charge(L, 1);
	return original(L);
}

static int compare(lua_State *L)
{
	size_t len = lua_type(L, 1) == LUA_TSTRING ? lua_rawlen(L, 1) : 0;

	struct vm *vm = vm_of(L);
	vm->steps -= 2 + (int64_t)(len / 16);
	/* The clock costs more than most comparisons. */
	if ((vm->unseen += 256 + len) > 65536 || vm->steps < 0)
		vm_charge(L, 0);
	lua_pushboolean(L, lua_compare(L, 1, 2, LUA_OPLT));
	return 1;
}

static int table_sort(lua_State *L)
{
	sandbox_plain_table(L, 1);
	if (lua_isnoneornil(L, 2)) {
		lua_settop(L, 1);
		lua_pushcfunction(L, compare);
	}
	return original(L);
}

/* ---- texts that are walked in C, a million bytes at a time ------------------------------------------------------------------------ */

#define TEXT_FREE 64

RAISES static void pay_text(lua_State *L, int arg)
{
	size_t n = lua_type(L, arg) == LUA_TSTRING ? lua_rawlen(L, arg) : 0;

	if (n > TEXT_FREE)
		vm_charge(L, (int64_t)(n / 4));
}

/* tonumber, and what walks a text of UTF-8 */
static int guarded_text(lua_State *L)
{
	pay_text(L, 1);
	return original(L);
}

/* Each of any number of arguments may be a text that is read as a number. */
static int guarded_texts(lua_State *L)
{
	for (int i = lua_gettop(L); i > 0; i--)
		pay_text(L, i);
	return original(L);
}

/* The field of the table at `from`, guarded, into the one on top. */
RAISES static void guard(lua_State *L, int from, const char *name, lua_CFunction guarded)
{
	lua_getfield(L, from, name);
	lua_pushcclosure(L, guarded, 1);
	lua_setfield(L, -2, name);
}

RAISES static void guard_text(lua_State *L, int from, const char *name)
{
	guard(L, from, name, guarded_text);
}

/* What the metatable of strings has for + and its like. */
static int guarded_arithmetic(lua_State *L)
{
	pay_text(L, 1);
	pay_text(L, 2);
	return original(L);
}

RAISES static void guard_arithmetic(lua_State *L, int metatable)
{
	static const char *const names[] = { "__add", "__sub", "__mul", "__mod", "__pow", "__div", "__idiv", "__unm" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (lua_getfield(L, metatable, names[i]) == LUA_TFUNCTION) {
			lua_pushcclosure(L, guarded_arithmetic, 1);
			lua_setfield(L, metatable, names[i]);
		} else {
			lua_pop(L, 1);
		}
	}
}

static const luaL_Reg table_guarded[] = {
	{ "insert", table_insert },
	{ "remove", table_remove },
	{ "move", table_move },
	{ "concat", table_concat },
	{ "unpack", table_unpack },
	{ "sort", table_sort },
	{ NULL, NULL },
};

/* ---- putting it together --------------------------------------------------------------------------------------------- */

/* Copy the named fields of the table at `from` into the one on top. */
RAISES static void copy_fields(lua_State *L, int from, const char *const *names)
{
	for (; *names; names++) {
		lua_getfield(L, from, *names);
		lua_setfield(L, -2, *names);
	}
}

RAISES static void open_library(lua_State *L, lua_CFunction open, const char *name)
{
	lua_pushcfunction(L, open);
	lua_pushstring(L, name);
	lua_call(L, 1, 1);
}

/* The table on top gets a copy of what the table at `from` has; tables in it are copied too, one level deep. */
RAISES static void copy_into(lua_State *L, int from, bool deep);

/* lua/prelude.lua, run in an environment of its own: the libraries it returns join those of C. */
RAISES static void open_prelude(lua_State *L)
{
	const struct embedded *e = embedded_find("lua/prelude.lua");

	assert(e);
	if (luaL_loadbufferx(L, (const char *)e->bytes, e->size, "@lua/prelude.lua", "t") != LUA_OK)
		lua_error(L);
	sandbox_env(L);
	lua_setupvalue(L, -2, 1);
	lua_call(L, 0, 1);
	int made = lua_gettop(L);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &libraries);
	int libs = made + 1;
	lua_pushnil(L);
	while (lua_next(L, made)) {
		int library = lua_gettop(L);
		lua_pushvalue(L, library - 1);
		if (lua_rawget(L, libs) == LUA_TNIL) {
			lua_pop(L, 1);
			lua_pushvalue(L, library - 1);
			lua_newtable(L);
			lua_pushvalue(L, -1);
			lua_insert(L, -3);
			lua_rawset(L, libs);
		}
		copy_into(L, library, false);
		lua_settop(L, library - 1);
	}
	lua_settop(L, made - 1);
}

RAISES void sandbox_open(lua_State *L)
{
	lua_newtable(L);
	int libs = lua_gettop(L);

	open_library(L, luaopen_base, "_G");
	int from = lua_gettop(L);
	lua_newtable(L);
	copy_fields(L, from, allowed_base);
	static const luaL_Reg own[] = { { "pcall", safe_pcall }, { "xpcall", safe_xpcall }, { "setmetatable", safe_setmetatable }, { "rawset", safe_rawset },
		{ "getmetatable", safe_getmetatable }, { NULL, NULL } };
	luaL_setfuncs(L, own, 0);
	guard_text(L, from, "tonumber");
	lua_setfield(L, libs, "");
	/* Nothing looks into the globals table, but nothing shall be found in it either. */
	lua_newtable(L);
	lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
	lua_settop(L, libs);

	open_library(L, luaopen_string, "string");
	from = lua_gettop(L);
	for (int hidden = 0; hidden < 2; hidden++) {
		lua_newtable(L);
		copy_fields(L, from, allowed_string);
		guard_text(L, from, "unpack");
		guard_text(L, from, "packsize");
		guard(L, from, "char", guarded_texts);
		guard(L, from, "format", guarded_texts);
		guard(L, from, "pack", guarded_texts);
		luaL_setfuncs(L, strings_own, 0);
		if (!hidden) {
			lua_setfield(L, libs, "string");
			continue;
		}
		lua_pushliteral(L, "");
		lua_getmetatable(L, -1);
		lua_pushvalue(L, -3);
		lua_setfield(L, -2, "__index");
		guard_arithmetic(L, lua_gettop(L));
		lua_pushboolean(L, 0);
		lua_setfield(L, -2, "__metatable");
	}
	lua_settop(L, libs);

	open_library(L, luaopen_table, "table");
	from = lua_gettop(L);
	lua_newtable(L);
	lua_getfield(L, from, "pack");
	lua_setfield(L, -2, "pack");
	for (const luaL_Reg *r = table_guarded; r->name; r++) {
		lua_getfield(L, from, r->name);
		lua_pushcclosure(L, r->func, 1);
		lua_setfield(L, -2, r->name);
	}
	lua_setfield(L, libs, "table");
	lua_settop(L, libs);

	static const struct { const char *name; lua_CFunction open; const char *const *allowed; } rest[] = {
		{ "math", luaopen_math, allowed_math }, { "utf8", luaopen_utf8, allowed_utf8 } };
	for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
		open_library(L, rest[i].open, rest[i].name);
		from = lua_gettop(L);
		lua_newtable(L);
		copy_fields(L, from, rest[i].allowed);
		if (strcmp(rest[i].name, "math") == 0) {
			guard(L, from, "max", guarded_texts);
			guard(L, from, "min", guarded_texts);
		} else {
			guard(L, from, "char", guarded_texts);
			guard_text(L, from, "len");
			guard_text(L, from, "offset");
		}
		lua_setfield(L, libs, rest[i].name);
		lua_settop(L, libs);
	}

	static const struct { const char *name; void (*open)(lua_State *L); } given[] = { { "json", json_open }, { "crypto", crypto_open },
		{ "geo", geo_open }, { "time", time_open }, { "log", log_open } };
	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
		given[i].open(L);
		lua_setfield(L, libs, given[i].name);
	}
	lua_rawsetp(L, LUA_REGISTRYINDEX, &libraries);
	open_prelude(L);
}

RAISES static void copy_into(lua_State *L, int from, bool deep)
{
	int to = lua_gettop(L);

	lua_pushnil(L);
	while (lua_next(L, from)) {
		if (deep && lua_istable(L, -1) && *lua_tostring(L, -2) == '\0') {
			int base = lua_gettop(L);
			lua_pushvalue(L, to);
			copy_into(L, base, false);
			lua_settop(L, base - 1);
			continue;
		}
		if (deep && lua_istable(L, -1)) {
			int library = lua_gettop(L);
			lua_newtable(L);
			copy_into(L, library, false);
			lua_remove(L, library);
		}
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, to);
	}
}

/* Upvalue: the table that holds the globals. */
static int set_global(lua_State *L)
{
	if (!vm_of(L)->loading)
		return luaL_error(L, "global '%s' is set while a message is being worked on: say local", luaL_tolstring(L, 2, NULL));
	lua_settop(L, 3);
	lua_rawset(L, lua_upvalueindex(1));
	return 0;
}

RAISES void sandbox_env(lua_State *L)
{
	lua_newtable(L); /* what the script knows as _ENV: always empty, so that each write is seen */
	lua_createtable(L, 0, 3);
	lua_newtable(L);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &libraries);
	int libs = lua_gettop(L);
	lua_pushvalue(L, -2);
	copy_into(L, libs, true);
	lua_settop(L, libs - 1);
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, "__index");
	lua_pushcclosure(L, set_global, 1);
	lua_setfield(L, -2, "__newindex");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	sandbox_close_metatable(L);
	lua_setmetatable(L, -2);
}
