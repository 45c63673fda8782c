/* strings.c - find, match, gmatch, gsub and rep with bounds; the rest of `string` is Lua's own.
 *
 * They answer as the stock functions do (tests/unit/test_transforms_strings.c holds them to it). */
#include <string.h>

#include "transforms/pattern.h"

static size_t start_at(lua_Integer init, size_t len)
{
	if (init > 0)
		return (size_t)init - 1;
	if (init == 0)
		return 0;
	return init < -(lua_Integer)len ? 0 : len - (size_t)-init;
}

static bool has_specials(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strchr("^$*+?.([%-", p[i]) && p[i])
			return true;
	return false;
}

RAISES static int search(lua_State *L, bool find)
{
	size_t len, plen;
	const char *s = luaL_checklstring(L, 1, &len), *p = luaL_checklstring(L, 2, &plen);
	size_t init = start_at(luaL_optinteger(L, 3, 1), len);

	if (init > len) {
		luaL_pushfail(L);
		return 1;
	}
	if (find && (lua_toboolean(L, 4) || !has_specials(p, plen))) {
		/* Paid for as far as it went: a body is walked line by line. */
		const char *at = memmem(s + init, len - init, p, plen);
		vm_charge(L, (at ? at - (s + init) : (int64_t)(len - init)) / 16);
		if (!at) {
			luaL_pushfail(L);
			return 1;
		}
		lua_pushinteger(L, at - s + 1);
		lua_pushinteger(L, at - s + (lua_Integer)plen);
		return 2;
	}
	struct pattern m;
	bool anchored = plen > 0 && *p == '^';
	pattern_init(&m, L, s, len, p, plen);
	for (const char *from = s + init; from <= m.text_end; from++) {
		m.ncaptures = 0;
		const char *e = pattern_match(&m, from, p + anchored);
		if (e) {
			if (!find)
				return pattern_push_captures(&m, from, e);
			lua_pushinteger(L, from - s + 1);
			lua_pushinteger(L, e - s);
			return 2 + pattern_push_captures(&m, NULL, NULL);
		}
		if (anchored)
			break;
	}
	luaL_pushfail(L);
	return 1;
}

static int str_find(lua_State *L)
{
	return search(L, true);
}

static int str_match(lua_State *L)
{
	return search(L, false);
}

/* Upvalues: text, pattern, where to go on, where the last match ended (an empty match there would be the same again). */
static int gmatch_next(lua_State *L)
{
	size_t len, plen;
	const char *s = lua_tolstring(L, lua_upvalueindex(1), &len), *p = lua_tolstring(L, lua_upvalueindex(2), &plen);
	lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
	struct pattern m;

	pattern_init(&m, L, s, len, p, plen);
	for (size_t at = (size_t)lua_tointeger(L, lua_upvalueindex(3)); at <= len; at++) {
		m.ncaptures = 0;
		const char *e = pattern_match(&m, s + at, p);
		if (e && e - s != last) {
			lua_pushinteger(L, e - s);
			lua_copy(L, -1, lua_upvalueindex(3));
			lua_replace(L, lua_upvalueindex(4));
			return pattern_push_captures(&m, s + at, e);
		}
	}
	return 0;
}

static int str_gmatch(lua_State *L)
{
	size_t len;

	luaL_checklstring(L, 1, &len);
	luaL_checkstring(L, 2);
	size_t init = start_at(luaL_optinteger(L, 3, 1), len);
	lua_settop(L, 2);
	lua_pushinteger(L, (lua_Integer)(init > len ? len + 1 : init));
	lua_pushinteger(L, -1);
	lua_pushcclosure(L, gmatch_next, 4);
	return 1;
}

RAISES static void add_template(struct pattern *m, luaL_Buffer *b, const char *s, const char *e)
{
	lua_State *L = m->L;
	size_t n;
	const char *r = lua_tolstring(L, 3, &n), *end = r + n;

	while (r < end) {
		const char *percent = memchr(r, '%', (size_t)(end - r));
		if (!percent) {
			luaL_addlstring(b, r, (size_t)(end - r));
			return;
		}
		luaL_addlstring(b, r, (size_t)(percent - r));
		r = percent + 1;
		char c = r < end ? *r : '\0';
		if (c == '%')
			luaL_addchar(b, '%');
		else if (c == '0')
			luaL_addlstring(b, s, (size_t)(e - s));
		else if (c >= '1' && c <= '9') {
			pattern_push_capture(m, c - '1', s, e);
			luaL_tolstring(L, -1, NULL); /* a place is a number */
			lua_remove(L, -2);
			luaL_addvalue(b);
		} else
			luaL_error(L, "invalid use of '%%' in replacement string");
		r++;
	}
}

/* Was anything replaced? */
RAISES static bool add_replacement(struct pattern *m, luaL_Buffer *b, const char *s, const char *e)
{
	lua_State *L = m->L;

	switch (lua_type(L, 3)) {
	case LUA_TFUNCTION:
		lua_pushvalue(L, 3);
		lua_call(L, pattern_push_captures(m, s, e), 1);
		break;
	case LUA_TTABLE:
		pattern_push_capture(m, 0, s, e);
		lua_gettable(L, 3);
		break;
	default:
		add_template(m, b, s, e);
		return true;
	}
	if (!lua_toboolean(L, -1)) {
		lua_pop(L, 1);
		luaL_addlstring(b, s, (size_t)(e - s));
		return false;
	}
	if (!lua_isstring(L, -1))
		luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
	luaL_addvalue(b);
	return true;
}

static int str_gsub(lua_State *L)
{
	size_t len, plen;
	const char *s = luaL_checklstring(L, 1, &len), *p = luaL_checklstring(L, 2, &plen);
	int kind = lua_type(L, 3);
	lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)len + 1), n = 0;
	bool anchored = plen > 0 && *p == '^', changed = false;
	const char *from = s, *last = NULL;
	struct pattern m;
	luaL_Buffer b;

	luaL_argexpected(L, kind == LUA_TNUMBER || kind == LUA_TSTRING || kind == LUA_TFUNCTION || kind == LUA_TTABLE, 3,
		"string/function/table");
	if (kind == LUA_TNUMBER)
		lua_tostring(L, 3);
	pattern_init(&m, L, s, len, p, plen);
	luaL_buffinit(L, &b);
	while (n < most) {
		m.ncaptures = 0;
		const char *e = pattern_match(&m, from, p + anchored);
		if (e && e != last) {
			n++;
			changed |= add_replacement(&m, &b, from, e);
			from = last = e;
		} else if (from < m.text_end) {
			luaL_addchar(&b, *from++);
		} else {
			break;
		}
		if (anchored)
			break;
	}
	if (!changed) {
		lua_pushvalue(L, 1);
	} else {
		luaL_addlstring(&b, from, (size_t)(m.text_end - from));
		luaL_pushresult(&b);
	}
	lua_pushinteger(L, n);
	return 2;
}

static int str_rep(lua_State *L)
{
	size_t len, slen;
	const char *s = luaL_checklstring(L, 1, &len);
	lua_Integer n = luaL_checkinteger(L, 2);
	const char *sep = luaL_optlstring(L, 3, "", &slen);
	size_t each = len + slen;
	luaL_Buffer b;

	if (n <= 0 || each == 0) {
		lua_pushliteral(L, "");
		return 1;
	}
	if ((lua_Unsigned)n > vm_of(L)->limits.block / each) {
		vm_spend(vm_of(L), SPENT_MEMORY);
		vm_check(L);
	}
	vm_charge(L, n / 16);
	size_t total = each * (size_t)n - slen;
	char *p = luaL_buffinitsize(L, &b, total);
	for (lua_Integer i = 0; i < n; i++) {
		memcpy(p, s, len);
		p += len;
		if (i < n - 1) {
			memcpy(p, sep, slen);
			p += slen;
		}
	}
	luaL_pushresultsize(&b, total);
	return 1;
}

const luaL_Reg strings_own[] = {
	{ "find", str_find },
	{ "match", str_match },
	{ "gmatch", str_gmatch },
	{ "gsub", str_gsub },
	{ "rep", str_rep },
	{ NULL, NULL },
};
