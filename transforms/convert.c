/* convert.c - see convert.h for what becomes what. The libraries' `json` is in json.c. */
#include "transforms/convert.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "transforms/digits.h"
#include "transforms/msg.h"
#include "transforms/number.h"

/* ---- JSON -> Lua ------------------------------------------------------------------------------------------------------ */

bool json_is_array_metatable(lua_State *L, int i)
{
	return lua_topointer(L, i) == vm_of(L)->array_metatable;
}

RAISES void json_push_null(lua_State *L)
{
	lua_pushlightuserdata(L, NULL);
}

bool json_is_null(lua_State *L, int i)
{
	return lua_type(L, i) == LUA_TLIGHTUSERDATA && !lua_touserdata(L, i);
}

static const char *past_space(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')
		p++;
	return p;
}

/* p at an opening quote -> behind the closing one. */
static const char *past_string(const char *p, bool *escaped)
{
	*escaped = false;
	for (p++; *p != '"'; p++)
		if (*p == '\\') {
			*escaped = true;
			p++;
		}
	return p + 1;
}

RAISES static void push_string(lua_State *L, const char *base, const struct slice *s)
{
	struct buf *scratch = &vm_of(L)->scratch;
	const char *p;
	size_t n;

	if (!(s->escaped & SLICE_VALUE_ESCAPED)) {
		lua_pushlstring(L, base + s->value + 1, s->vlen - 2);
		return;
	}
	struct message m = { .bytes = base };
	buf_clear(scratch);
	slice_view(&m, s, scratch, &p, &n);
	lua_pushlstring(L, p, n);
}

RAISES static void push_number(lua_State *L, const char *base, const struct slice *s)
{
	struct message m = { .bytes = base };
	const char *text = base + s->value;
	int64_t i;
	double d;

	if (slice_int64(&m, s, &i) == 0 && !(i == 0 && *text == '-'))
		lua_pushinteger(L, i);
	else if ((memchr(text, '.', s->vlen) || memchr(text, 'e', s->vlen) || memchr(text, 'E', s->vlen) || (s->vlen == 2 && *text == '-')) &&
	         slice_double(&m, s, &d) == 0)
		lua_pushnumber(L, d);
	else
		digits_push(L, text, s->vlen);
}

/* Push the value at p -> behind it. */
RAISES static const char *push_value(lua_State *L, const char *p)
{
	struct slice s = { .value = 0 };
	const char *e;
	bool escaped;

	switch (*p) {
	case '"':
		e = past_string(p, &escaped);
		s.kind = SLICE_STRING;
		s.vlen = (uint32_t)(e - p);
		s.escaped = escaped ? SLICE_VALUE_ESCAPED : 0;
		push_string(L, p, &s);
		return e;
	case 't': lua_pushboolean(L, 1); return p + 4;
	case 'f': lua_pushboolean(L, 0); return p + 5;
	case 'n': json_push_null(L); return p + 4;
	case '{':
		luaL_checkstack(L, 4, "nested too deeply");
		lua_newtable(L);
		for (p = past_space(p + 1); *p != '}';) {
			p = push_value(L, p);
			p = past_space(past_space(p) + 1);
			p = past_space(push_value(L, p));
			lua_rawset(L, -3);
			if (*p == ',')
				p = past_space(p + 1);
		}
		return p + 1;
	case '[':
		luaL_checkstack(L, 4, "nested too deeply");
		lua_newtable(L);
		lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_of(L)->array_metatable);
		lua_setmetatable(L, -2);
		p = past_space(p + 1);
		for (lua_Integer i = 1; *p != ']'; i++) {
			p = past_space(push_value(L, p));
			lua_rawseti(L, -2, i);
			if (*p == ',')
				p = past_space(p + 1);
		}
		return p + 1;
	default:
		e = p + strspn(p, "+-.0123456789eE");
		s.kind = SLICE_NUMBER;
		s.vlen = (uint32_t)(e - p);
		push_number(L, p, &s);
		return e;
	}
}

RAISES void json_push_slice(lua_State *L, const char *base, const struct slice *s)
{
	switch (s->kind) {
	case SLICE_STRING: push_string(L, base, s); return;
	case SLICE_NUMBER: push_number(L, base, s); return;
	case SLICE_TRUE: lua_pushboolean(L, 1); return;
	case SLICE_FALSE: lua_pushboolean(L, 0); return;
	case SLICE_NULL: json_push_null(L); return;
	default:
		vm_charge(L, s->vlen / 8);
		push_value(L, base + s->value);
	}
}

RAISES int json_push_text(lua_State *L, const char *p, size_t n, const char **why)
{
	struct vm *vm = vm_of(L);
	struct message m;
	const char *stop;

	vm_charge(L, (int64_t)(n / 8));
	vm_charge_bytes(L, n);
	/* A userdata holds the padded copy: push_value may raise, and uses the scratch. */
	char *copy = lua_newuserdatauv(L, n + MESSAGE_PAD, 0);
	memcpy(copy, p, n);
	memset(copy + n, 0, MESSAGE_PAD);
	enum json_fault fault = message_index(&vm->index, copy, copy + n, &m, &stop);
	if (fault == JSON_OK || json_fault_is_alone(fault)) {
		if (*past_space(stop) == '\0' && past_space(stop) == copy + n) {
			push_value(L, past_space(copy));
			lua_remove(L, -2);
			return 0;
		}
		fault = JSON_SYNTAX;
	}
	*why = lua_pushfstring(L, "%s at byte %d", json_fault_text(fault), (int)(stop - copy) + 1);
	/* The words stay on the stack as long as why is wanted: in place of the copy. */
	lua_replace(L, -2);
	return -1;
}

/* ---- Lua -> JSON ------------------------------------------------------------------------------------------------------ */

static inline bool plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

RAISES void json_write_string(lua_State *L, const char *s, size_t n, struct buf *out)
{
	size_t i = 0, bad;

	while (i < n && plain((unsigned char)s[i]))
		i++;
	if (i == n) {
		buf_reserve(out, n + 2);
		char *p = out->p + out->len;
		*p++ = '"';
		memcpy(p, s, n);
		p[n] = '"';
		p[n + 1] = '\0';
		out->len += n + 2;
		return;
	}
	if (!utf8_valid(s, n, &bad))
		luaL_error(L, "a string is not UTF-8 (byte %d): JSON cannot hold it", (int)bad + 1);
	buf_addjson(out, s, n);
}

static int by_key(const void *a, const void *b)
{
	const struct entry_ref *x = a, *y = b;
	size_t n = x->klen < y->klen ? x->klen : y->klen;
	int c = memcmp(x->key, y->key, n);

	return c ? c : (x->klen > y->klen) - (x->klen < y->klen);
}

static void sort_entries(struct entry_ref *e, unsigned n)
{
	if (n > 16) {
		qsort(e, n, sizeof(*e), by_key);
		return;
	}
	for (unsigned i = 1; i < n; i++) {
		struct entry_ref x = e[i];
		unsigned j = i;
		for (; j > 0 && by_key(&e[j - 1], &x) > 0; j--)
			e[j] = e[j - 1];
		e[j] = x;
	}
}

RAISES static void write_value(lua_State *L, int i, struct buf *out, unsigned depth);

RAISES static void write_array(lua_State *L, int i, struct buf *out, unsigned depth, lua_Integer n)
{
	buf_addc(out, '[');
	for (lua_Integer k = 1; k <= n; k++) {
		if (k > 1)
			buf_addc(out, ',');
		if (lua_rawgeti(L, i, k) == LUA_TNIL)
			luaL_error(L, "item %d of a list of %d is nil: json.null stands for nothing", (int)k, (int)n);
		write_value(L, lua_gettop(L), out, depth);
		lua_pop(L, 1);
	}
	buf_addc(out, ']');
}

/* Members are written as the table gives them and then put in order; the table's own order differs from run to run. */
RAISES static void write_object(lua_State *L, int i, struct buf *out, unsigned depth)
{
	struct vm *vm = vm_of(L);
	unsigned first = vm->nentries, n;
	size_t start;

	buf_addc(out, '{');
	start = out->len;
	lua_pushnil(L);
	while (lua_next(L, i)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "a table with a key that is a %s is neither object nor list", luaL_typename(L, -2));
		struct entry_ref e = { .at = out->len };
		e.key = lua_tolstring(L, -2, &e.klen);
		json_write_string(L, e.key, e.klen, out);
		buf_addc(out, ':');
		write_value(L, lua_gettop(L), out, depth);
		e.len = out->len - e.at;
		if (vm->nentries == vm->capentries) {
			vm->capentries = vm->capentries ? vm->capentries * 2 : 64;
			vm->entries = xrealloc(vm->entries, vm->capentries * sizeof(*vm->entries));
		}
		vm->entries[vm->nentries++] = e;
		lua_pop(L, 1);
	}
	n = vm->nentries - first;
	buf_clear(&vm->sorted);
	if (n) {
		sort_entries(vm->entries + first, n);
		buf_add(&vm->sorted, out->p + start, out->len - start);
	}
	out->len = start;
	for (unsigned k = 0; k < n; k++) {
		const struct entry_ref *e = &vm->entries[first + k];
		if (k)
			buf_addc(out, ',');
		buf_add(out, vm->sorted.p + (e->at - start), e->len);
	}
	vm->nentries = first;
	buf_addc(out, '}');
}

/* Is the table at i a list, and of how many? */
RAISES static bool is_list(lua_State *L, int i, lua_Integer *n)
{
	*n = (lua_Integer)lua_rawlen(L, i);
	if (lua_getmetatable(L, i)) {
		bool marked = json_is_array_metatable(L, -1);
		lua_pop(L, 1);
		if (marked)
			return true;
	}
	return *n > 0;
}

RAISES static void write_table(lua_State *L, int i, struct buf *out, unsigned depth)
{
	lua_Integer n, keys = 0;

	if (depth >= MESSAGE_DEPTH_MAX)
		luaL_error(L, "tables are nested deeper than %d, or contain themselves", MESSAGE_DEPTH_MAX);
	luaL_checkstack(L, 6, "nested too deeply");
	vm_of(L)->steps -= 8;
	if ((vm_of(L)->unseen += 1024) > 65536)
		vm_charge(L, 0);
	if (!is_list(L, i, &n)) {
		write_object(L, i, out, depth + 1);
		return;
	}
	lua_pushnil(L);
	while (lua_next(L, i)) {
		lua_pop(L, 1);
		if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1 || lua_tointeger(L, -1) > n)
			luaL_error(L, "a table with items and a key %s is neither object nor list", luaL_tolstring(L, -1, NULL));
		keys++;
	}
	write_array(L, i, out, depth + 1, n);
}

RAISES static void write_value(lua_State *L, int i, struct buf *out, unsigned depth)
{
	struct vm *vm = vm_of(L);
	size_t n;
	const char *s;

	/* The same large value may stand in a table many times. */
	if (out->len - vm->written_from > vm->limits.block)
		luaL_error(L, "what is written has more than %I bytes (limits.message)", (LUAI_UACINT)vm->limits.block);
	switch (lua_type(L, i)) {
	case LUA_TSTRING:
		s = lua_tolstring(L, i, &n);
		json_write_string(L, s, n, out);
		break;
	case LUA_TNUMBER:
		buf_reserve(out, NUMBER_TEXT_MAX);
		if (lua_isinteger(L, i)) {
			out->len += number_write_int(out->p + out->len, lua_tointeger(L, i));
		} else {
			double d = lua_tonumber(L, i);
			if (!isfinite(d))
				luaL_error(L, "%s is no number that JSON can hold", isnan(d) ? "nan" : d > 0 ? "inf" : "-inf");
			out->len += number_write_double(out->p + out->len, d);
		}
		break;
	case LUA_TBOOLEAN:
		buf_adds(out, lua_toboolean(L, i) ? "true" : "false");
		break;
	case LUA_TTABLE:
		write_table(L, i, out, depth);
		break;
	default:
		if (json_is_null(L, i))
			buf_add(out, "null", 4);
		else if ((s = digits_text(L, i, &n)))
			buf_add(out, s, n);
		else if (!msg_write(L, i, out))
			luaL_error(L, "a %s cannot be written as JSON", luaL_typename(L, i));
	}
}

RAISES void json_write(lua_State *L, int i, struct buf *out)
{
	vm_of(L)->nentries = 0;
	vm_of(L)->written_from = out->len;
	write_value(L, lua_absindex(L, i), out, 0);
}

enum slice_kind json_kind(lua_State *L, int i)
{
	lua_Integer n;

	switch (lua_type(L, i)) {
	case LUA_TSTRING: return SLICE_STRING;
	case LUA_TNUMBER: return SLICE_NUMBER;
	case LUA_TBOOLEAN: return lua_toboolean(L, i) ? SLICE_TRUE : SLICE_FALSE;
	case LUA_TTABLE: return is_list(L, lua_absindex(L, i), &n) ? SLICE_ARRAY : SLICE_OBJECT;
	default: return json_is_null(L, i) ? SLICE_NULL : digits_text(L, i, &(size_t){ 0 }) ? SLICE_NUMBER : SLICE_OBJECT;
	}
}
