/* result.c - what `transform` returned, made into rows.
 *
 *	msg, a table          one row: an object (json.array{…}: an array)
 *	a string              one row: these bytes
 *	{n = 2, …}            as many rows, each of them one of the above
 *	nil, "reason"         skipped
 *	all else              an error that names it: a forgotten `return` must not lose a message */
#include <stdlib.h>

#include "base/arena.h"
#include "transforms/convert.h"
#include "transforms/msg.h"
#include "transforms/script.h"

void rows_init(struct rows *r)
{
	*r = (struct rows){ .bytes = BUF_INIT };
}

void rows_fini(struct rows *r)
{
	buf_fini(&r->bytes);
	buf_fini(&r->state);
	free(r->ends);
	free(r->topic_ends);
	buf_fini(&r->topics);
	rows_init(r);
}

void rows_end(struct rows *r)
{
	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 4;
		r->ends = xrealloc(r->ends, r->cap * sizeof(*r->ends));
		r->topic_ends = xrealloc(r->topic_ends, r->cap * sizeof(*r->topic_ends));
	}
	r->topic_ends[r->n] = r->topics.len;
	r->ends[r->n++] = r->bytes.len;
}

/* {n = …} and no other name: a list of rows. A message may have a field "n" as well. */
RAISES static bool is_rows(lua_State *L, int i, lua_Integer *n)
{
	if (lua_getmetatable(L, i)) {
		lua_pop(L, 1);
		return false;
	}
	lua_pushliteral(L, "n");
	bool is = lua_rawget(L, i) == LUA_TNUMBER && lua_isinteger(L, -1);
	*n = lua_tointeger(L, -1);
	lua_pop(L, 1);
	if (!is)
		return false;
	lua_pushnil(L);
	while (lua_next(L, i)) {
		lua_pop(L, 1);
		if (lua_type(L, -1) == LUA_TSTRING && *lua_tostring(L, -1) == 'n' && lua_rawlen(L, -1) == 1)
			continue;
		if (!lua_isinteger(L, -1)) {
			lua_pop(L, 1);
			return false;
		}
	}
	return true;
}

RAISES static void take_row(lua_State *L, int i, struct rows *out)
{
	size_t from = out->bytes.len, n, limit = vm_of(L)->limits.block;

	if (lua_type(L, i) == LUA_TSTRING) {
		const char *s = lua_tolstring(L, i, &n);
		buf_add(&out->bytes, s, n);
		out->ready = true;
	} else if (lua_istable(L, i)) {
		if (lua_rawlen(L, i) > 0 && json_kind(L, i) == SLICE_ARRAY && !lua_getmetatable(L, i))
			luaL_error(L, "transform returned a table of items without n: {n = %d, …} is a list of rows, json.array{…} one row",
				(int)lua_rawlen(L, i));
		json_write(L, i, &out->bytes);
	} else if (!msg_write(L, i, &out->bytes)) {
		luaL_error(L, "transform returned a %s: expected are msg, a table, a string, a list of them with n, or nil and a reason",
			luaL_typename(L, i));
	}
	if (out->bytes.len - from > limit)
		luaL_error(L, "transform returned %I bytes, more than limits.message allows (%I)", (LUAI_UACINT)(out->bytes.len - from),
			(LUAI_UACINT)limit);
	vm_hold(L, out->bytes.len - from + sizeof(*out->ends));
	rows_end(out);
}

RAISES enum render_result result_take(lua_State *L, int first, struct rows *out, struct buf *why)
{
	lua_Integer n;

	if (lua_isnil(L, first)) {
		if (lua_type(L, first + 1) != LUA_TSTRING)
			luaL_error(L, "transform returned nil without a reason: return msg, or nil and why it is skipped");
		buf_clear(why);
		buf_adds(why, lua_tostring(L, first + 1));
		return RENDER_SKIPPED;
	}
	if (!lua_istable(L, first) || !is_rows(L, first, &n)) {
		take_row(L, first, out);
		return RENDER_OK;
	}
	if (n < 0)
		luaL_error(L, "transform returned a list of %I rows", (LUAI_UACINT)n);
	for (lua_Integer k = 1; k <= n; k++) {
		if (lua_rawgeti(L, first, k) == LUA_TNIL)
			luaL_error(L, "transform returned a list of %I rows, but row %I is nil", (LUAI_UACINT)n, (LUAI_UACINT)k);
		take_row(L, lua_gettop(L), out);
		lua_pop(L, 1);
	}
	if (n == 0) {
		buf_clear(why);
		buf_adds(why, "transform returned an empty list");
		return RENDER_SKIPPED;
	}
	return RENDER_OK;
}
