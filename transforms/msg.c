/* msg.c - reading, writing and walking a message from a script. */
#include "transforms/msg.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "transforms/convert.h"
#include "transforms/proxy.h"

static const char metatable; /* its address is the key of the handles' metatable */

struct handle { struct proxy *p; uint32_t age; };

/* ---- handles ------------------------------------------------------------------------------------------------------------ */

RAISES struct proxy *proxy_push(lua_State *L)
{
	struct vm *vm = vm_of(L);
	struct proxy *p = vm->proxies;

	while (p && p->busy)
		p = p->next;
	if (!p) {
		p = xcalloc(1, sizeof(*p));
		p->next = vm->proxies;
		vm->proxies = p;
	}
	struct handle *h = lua_newuserdatauv(L, sizeof(*h), 0);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable);
	lua_setmetatable(L, -2);
	h->p = p;
	h->age = p->age;
	p->busy = true;
	p->changed = false;
	buf_clear(&p->overlay);
	return p;
}

RAISES void msg_push(lua_State *L, const struct message *m)
{
	struct proxy *p = proxy_push(L);

	p->bytes = m->bytes;
	p->len = m->len;
	p->slices = m->slices;
	p->n = m->n;
}

void msg_end(struct vm *vm)
{
	for (struct proxy *p = vm->proxies; p; p = p->next)
		if (p->busy) {
			p->busy = false;
			p->age++;
		}
}

static struct handle *to_handle(lua_State *L, int i)
{
	if (lua_type(L, i) != LUA_TUSERDATA || !lua_getmetatable(L, i))
		return NULL;
	bool is = lua_topointer(L, -1) == vm_of(L)->msg_metatable;
	lua_pop(L, 1);
	return is ? lua_touserdata(L, i) : NULL;
}

bool msg_is(lua_State *L, int i)
{
	return to_handle(L, i) != NULL;
}

RAISES static inline struct proxy *live(lua_State *L, const struct handle *h)
{
	if (!h->p->busy || h->p->age != h->age)
		luaL_error(L, "a message is used after its call has ended: keep what you need of it in locals of the call");
	return h->p;
}

RAISES struct proxy *proxy_check(lua_State *L, int i)
{
	struct handle *h = to_handle(L, i);

	if (!h)
		luaL_argerror(L, i, "not a message (a native is called with a colon: msg:drop{…})");
	return live(L, h);
}

/* ---- fields ------------------------------------------------------------------------------------------------------------- */

static inline const char *key_base(const struct proxy *p, const struct slice *s)
{
	return s->escaped & FIELD_KEY_OVER ? p->overlay.p : p->bytes;
}

static inline const char *value_base(const struct proxy *p, const struct slice *s)
{
	return s->escaped & FIELD_VALUE_OVER ? p->overlay.p : p->bytes;
}

bool proxy_key_is_slowly(const struct proxy *p, const struct slice *s, const char *key, size_t len)
{
	struct message m = { .bytes = key_base(p, s) };

	return !(s->escaped & FIELD_GONE) && slice_key_is(&m, s, key, len);
}

void proxy_key_view(struct vm *vm, const struct proxy *p, const struct slice *s, const char **key, size_t *len)
{
	struct message m = { .bytes = key_base(p, s) };

	buf_clear(&vm->scratch);
	slice_key_view(&m, s, &vm->scratch, key, len);
}

/* Messages of one device list their fields in the same order, and Lua keeps one copy of a short string: so where the string at this
 * address was found last is where it is now. */
int proxy_find(struct vm *vm, struct proxy *p, const char *key, size_t len)
{
	uint16_t *slot = &vm->slots[((uintptr_t)key >> 4 ^ (uintptr_t)key >> 12) & 255];

	if (*slot < p->n && proxy_key_is(p, &p->slices[*slot], key, len))
		return *slot;
	for (unsigned i = 0; i < p->n; i++)
		if (proxy_key_is(p, &p->slices[i], key, len)) {
			*slot = (uint16_t)i;
			return (int)i;
		}
	return -1;
}

static void own_room(struct proxy *p, unsigned n)
{
	if (n <= p->cap)
		return;
	p->cap = n < 64 ? 64 : n < MESSAGE_FIELDS_MAX / 2 ? n * 2 : MESSAGE_FIELDS_MAX;
	p->own = xrealloc(p->own, p->cap * sizeof(*p->own));
}

void proxy_own(struct proxy *p)
{
	if (p->changed)
		return;
	own_room(p, p->n);
	if (p->n)
		memcpy(p->own, p->slices, p->n * sizeof(*p->own));
	p->slices = p->own;
	p->changed = true;
}

RAISES void proxy_set_key(lua_State *L, struct proxy *p, unsigned i, const char *key, size_t len)
{
	struct slice *s = &p->own[i];
	size_t at = p->overlay.len;

	if (len > MESSAGE_KEY_MAX)
		luaL_error(L, "a key is longer than %d bytes", MESSAGE_KEY_MAX);
	json_write_string(L, key, len, &p->overlay);
	size_t klen = p->overlay.len - at - 2;
	if (klen > MESSAGE_KEY_MAX)
		luaL_error(L, "a key is longer than %d bytes", MESSAGE_KEY_MAX);
	s->key = (uint32_t)at + 1;
	s->klen = (uint16_t)klen;
	s->escaped &= (uint8_t)~SLICE_KEY_ESCAPED;
	s->escaped |= FIELD_KEY_OVER | (klen != len ? SLICE_KEY_ESCAPED : 0);
}

/* What the overlay holds from `at` on becomes the value of field i. */
RAISES static void set_value(lua_State *L, struct proxy *p, unsigned i, size_t at)
{
	struct slice *s = &p->own[i];
	size_t len = p->overlay.len - at;

	if ((s->escaped & FIELD_VALUE_OVER) && len <= s->vlen) {
		/* written before: a loop that writes one field does not fill the overlay */
		memcpy(p->overlay.p + s->value, p->overlay.p + at, len);
		p->overlay.p[s->value + len] = ',';
		p->overlay.len = at;
	} else {
		vm_hold(L, len);
		buf_addc(&p->overlay, ',');
		s->value = (uint32_t)at;
	}
	s->vlen = (uint32_t)len;
	s->escaped &= (uint8_t)~(SLICE_VALUE_ESCAPED | FIELD_DEAD);
	s->escaped |= FIELD_VALUE_OVER;
	if (s->kind == SLICE_STRING && memchr(p->overlay.p + s->value, '\\', len))
		s->escaped |= SLICE_VALUE_ESCAPED;
}

/* ---- what Lua calls ----------------------------------------------------------------------------------------------------- */

static int get_field(lua_State *L)
{
	struct vm *vm = vm_of(L);
	struct proxy *p = live(L, lua_touserdata(L, 1));
	size_t len;

	if (lua_type(L, 2) != LUA_TSTRING) {
		lua_pushnil(L);
		return 1;
	}
	const char *key = lua_tolstring(L, 2, &len);
	for (unsigned k = 0; k < MSG_NATIVES; k++)
		if (key == vm->method_names[k]) {
			lua_pushcfunction(L, msg_natives[k].func);
			return 1;
		}
	int i = proxy_find(vm, p, key, len);
	if (i < 0 || (p->slices[i].escaped & FIELD_DEAD))
		lua_pushnil(L);
	else
		json_push_slice(L, value_base(p, &p->slices[i]), &p->slices[i]);
	return 1;
}

static int set_field(lua_State *L)
{
	struct vm *vm = vm_of(L);
	struct proxy *p = live(L, lua_touserdata(L, 1));
	size_t len;

	if (lua_type(L, 2) != LUA_TSTRING)
		return luaL_error(L, "a field's name is a string, not a %s", luaL_typename(L, 2));
	const char *key = lua_tolstring(L, 2, &len);
	int i = proxy_find(vm, p, key, len);
	if (lua_isnil(L, 3)) {
		if (i >= 0) {
			proxy_own(p);
			p->own[i].escaped |= FIELD_DEAD;
		}
		return 0;
	}
	proxy_own(p);
	if (i < 0) {
		if (p->n == MESSAGE_FIELDS_MAX)
			return luaL_error(L, "a message has more than %d fields", MESSAGE_FIELDS_MAX);
		own_room(p, p->n + 1);
		p->slices = p->own;
		p->own[p->n] = (struct slice){ .escaped = FIELD_DEAD };
		proxy_set_key(L, p, p->n, key, len);
		i = (int)p->n++;
	}
	size_t at = p->overlay.len;
	json_write(L, 3, &p->overlay);
	p->own[i].kind = (uint8_t)json_kind(L, 3);
	vm_charge_bytes(L, p->overlay.len - at);
	set_value(L, p, (unsigned)i, at);
	return 0;
}

/* Upvalues: the handle, the field to begin with. */
static int next_field(lua_State *L)
{
	struct proxy *p = live(L, lua_touserdata(L, lua_upvalueindex(1)));
	unsigned i = (unsigned)lua_tointeger(L, lua_upvalueindex(2));
	const char *key;
	size_t len;

	while (i < p->n && (p->slices[i].escaped & FIELD_DEAD))
		i++;
	if (i >= p->n)
		return 0;
	lua_pushinteger(L, i + 1);
	lua_replace(L, lua_upvalueindex(2));
	proxy_key_view(vm_of(L), p, &p->slices[i], &key, &len);
	lua_pushlstring(L, key, len);
	json_push_slice(L, value_base(p, &p->slices[i]), &p->slices[i]);
	return 2;
}

static int all_fields(lua_State *L)
{
	lua_settop(L, 1);
	lua_pushinteger(L, 0);
	lua_pushcclosure(L, next_field, 2);
	return 1;
}

static void write_changed(const struct proxy *p, struct buf *out)
{
	const char *run = NULL, *run_end = NULL; /* untouched fields that follow one another are copied together */
	bool comma = false;

	buf_addc(out, '{');
	for (unsigned i = 0; i < p->n; i++) {
		const struct slice *s = &p->slices[i];
		bool whole = !(s->escaped & (FIELD_KEY_OVER | FIELD_VALUE_OVER | FIELD_DEAD));
		if (run && !whole) {
			buf_add(out, run, (size_t)(run_end - run));
			run = NULL;
		}
		if (s->escaped & FIELD_DEAD)
			continue;
		if (comma && !run)
			buf_addc(out, ',');
		comma = true;
		if (whole) {
			if (!run)
				run = p->bytes + s->key - 1;
			run_end = p->bytes + s->value + s->vlen;
			continue;
		}
		buf_addc(out, '"');
		buf_add(out, key_base(p, s) + s->key, s->klen);
		buf_add(out, "\":", 2);
		buf_add(out, value_base(p, s) + s->value, s->vlen);
	}
	if (run)
		buf_add(out, run, (size_t)(run_end - run));
	buf_addc(out, '}');
}

RAISES bool msg_write(lua_State *L, int i, struct buf *out)
{
	struct handle *h = to_handle(L, i);

	if (!h)
		return false;
	struct proxy *p = live(L, h);
	if (p->changed)
		write_changed(p, out);
	else
		buf_add(out, p->bytes, p->len);
	return true;
}

static int to_string(lua_State *L)
{
	struct buf *out = &vm_of(L)->text;

	buf_clear(out);
	msg_write(L, 1, out);
	vm_charge_bytes(L, out->len);
	lua_pushlstring(L, out->p, out->len);
	return 1;
}

RAISES void msg_open(lua_State *L)
{
	static const luaL_Reg events[] = { { "__index", get_field }, { "__newindex", set_field }, { "__pairs", all_fields },
		{ "__tostring", to_string }, { NULL, NULL } };
	struct vm *vm = vm_of(L);

	lua_newtable(L);
	luaL_setfuncs(L, events, 0);
	lua_pushliteral(L, "message");
	lua_setfield(L, -2, "__name");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	/* Names are compared by address, so they are kept alive. */
	for (unsigned k = 0; k < MSG_NATIVES; k++) {
		vm->method_names[k] = lua_pushstring(L, msg_natives[k].name);
		lua_rawsetp(L, -2, &vm->method_names[k]);
	}
	vm->msg_metatable = lua_topointer(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &metatable);
}

void msg_close(struct vm *vm)
{
	while (vm->proxies) {
		struct proxy *p = vm->proxies;
		vm->proxies = p->next;
		free(p->own);
		buf_fini(&p->overlay);
		free(p);
	}
}
