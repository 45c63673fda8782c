/* msg_natives.c - rename, drop, pick, copy: what would be many reads and writes, in one call.
 *
 * A name may end with `*` and then stands for every key that begins so. */
#include <string.h>

#include "transforms/proxy.h"

/* So much of what is cheaper than a look at the clock may go by without one. */
#define UNSEEN_MOST 65536

static bool is_wild(const char *name, size_t len)
{
	return len > 0 && name[len - 1] == '*';
}

/* Does field i live, and does its key begin with these bytes? */
static bool begins(struct vm *vm, const struct proxy *p, unsigned i, const char *prefix, size_t len)
{
	const struct slice *s = &p->slices[i];
	const char *key;
	size_t klen;

	if (s->escaped & FIELD_DEAD)
		return false;
	proxy_key_view(vm, p, s, &key, &klen);
	return klen >= len && memcmp(key, prefix, len) == 0;
}

/* A look-up of a name may walk all fields: it is paid for, and the clock is looked at now and then. */
RAISES static void pay_look_up(lua_State *L, struct vm *vm, const struct proxy *p)
{
	vm->steps -= 4 + p->n / 8;
	if ((vm->unseen += 64 + 8 * (size_t)p->n) > UNSEEN_MOST || vm->steps < 0)
		vm_charge(L, 0);
}

/* Set a flag on all fields that the list of names at 2 means. */
RAISES static void flag_named(lua_State *L, struct proxy *p, uint8_t flag)
{
	struct vm *vm = vm_of(L);

	luaL_checktype(L, 2, LUA_TTABLE);
	lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
	for (lua_Integer k = 1; k <= n; k++) {
		size_t len;
		if (lua_rawgeti(L, 2, k) != LUA_TSTRING)
			luaL_error(L, "item %d of the list of names is a %s, not a string", (int)k, luaL_typename(L, -1));
		const char *name = lua_tolstring(L, -1, &len);
		if (is_wild(name, len)) {
			vm_charge(L, p->n);
			for (unsigned i = 0; i < p->n; i++)
				if (begins(vm, p, i, name, len - 1))
					p->own[i].escaped |= flag;
		} else {
			int i = proxy_find(vm, p, name, len);
			if (i >= 0)
				p->own[i].escaped |= flag;
			pay_look_up(L, vm, p);
		}
		lua_pop(L, 1);
	}
	vm_charge(L, n);
}

static int drop(lua_State *L)
{
	struct proxy *p = proxy_check(L, 1);

	proxy_own(p);
	flag_named(L, p, FIELD_DEAD);
	lua_settop(L, 1);
	return 1;
}

static void unmark(struct proxy *p)
{
	for (unsigned i = 0; i < p->n; i++)
		p->own[i].escaped &= (uint8_t)~FIELD_MARK;
}

static int pick(lua_State *L)
{
	struct proxy *p = proxy_check(L, 1);

	proxy_own(p);
	unmark(p);
	flag_named(L, p, FIELD_MARK);
	for (unsigned i = 0; i < p->n; i++)
		if (!(p->own[i].escaped & FIELD_MARK))
			p->own[i].escaped |= FIELD_DEAD;
	unmark(p);
	lua_settop(L, 1);
	return 1;
}

/* The field that lives under this key and has not been renamed yet. */
static int find_unmarked(struct vm *vm, struct proxy *p, const char *key, size_t len)
{
	int i = proxy_find(vm, p, key, len);

	if (i < 0 || !(p->own[i].escaped & (FIELD_MARK | FIELD_DEAD)))
		return i;
	for (i = 0; i < (int)p->n; i++)
		if (!(p->own[i].escaped & (FIELD_MARK | FIELD_DEAD)) && proxy_key_is(p, &p->own[i], key, len))
			return i;
	return -1;
}

RAISES static void rename_field(lua_State *L, struct proxy *p, unsigned i, const char *key, size_t len)
{
	proxy_set_key(L, p, i, key, len);
	p->own[i].escaped |= FIELD_MARK;
}

/* "position.*" = "pos.*" */
RAISES static void rename_wild(lua_State *L, struct proxy *p, const char *from, size_t flen, const char *to, size_t tlen)
{
	struct vm *vm = vm_of(L);
	const char *key;
	size_t klen;

	if (!is_wild(to, tlen))
		luaL_error(L, "'%s' has a * at its end, and so must have what it is renamed to ('%s')", from, to);
	vm_charge(L, p->n);
	for (unsigned i = 0; i < p->n; i++) {
		if ((p->own[i].escaped & FIELD_MARK) || !begins(vm, p, i, from, flen - 1))
			continue;
		proxy_key_view(vm, p, &p->own[i], &key, &klen);
		buf_clear(&vm->text);
		buf_add(&vm->text, to, tlen - 1);
		buf_add(&vm->text, key + flen - 1, klen - (flen - 1));
		rename_field(L, p, i, vm->text.p, vm->text.len);
	}
}

static inline uint8_t hash_of(const char *key, size_t len)
{
	return len == 0 ? 0 : (uint8_t)(len * 31 + (unsigned char)key[len - 1] * 7 + (unsigned char)key[len / 2]);
}

/* One name, one field: a renamed field takes the place of another of that name; of two renamed alike the later stays. Most names are seen
 * to stand alone by a hash that no other has. */
RAISES static void settle_names(lua_State *L, struct proxy *p)
{
	struct vm *vm = vm_of(L);
	uint8_t alike[256] = { 0 };
	bool sure = true;
	const char *key;
	size_t klen;

	for (unsigned i = 0; i < p->n; i++) {
		const struct slice *s = &p->own[i];
		uint8_t *n = &alike[hash_of((s->escaped & FIELD_KEY_OVER ? p->overlay.p : p->bytes) + s->key, s->klen)];
		*n = (uint8_t)(*n < 2 ? *n + 1 : 2);
		sure = sure && !(s->escaped & SLICE_KEY_ESCAPED);
	}
	for (unsigned i = 0; i < p->n; i++) {
		if (!(p->own[i].escaped & FIELD_MARK) || (p->own[i].escaped & FIELD_DEAD))
			continue;
		proxy_key_view(vm, p, &p->own[i], &key, &klen);
		if (sure && alike[hash_of(key, klen)] < 2)
			continue;
		vm->steps -= p->n / 4;
		for (unsigned k = 0; k < p->n; k++) {
			struct slice *s = &p->own[k];
			if (k == i || !proxy_key_is(p, s, key, klen))
				continue;
			if ((s->escaped & FIELD_DEAD) || !(s->escaped & FIELD_MARK) || k < i)
				s->escaped |= FIELD_DEAD | FIELD_GONE;
		}
	}
	vm_charge(L, 0);
}

/* Rename by the names without `*`, or by those with it. Longer beginnings come first: the table's own order differs from run to run. */
RAISES static void rename_exact(lua_State *L, struct proxy *p)
{
	struct vm *vm = vm_of(L);

	lua_pushnil(L);
	while (lua_next(L, 2)) {
		size_t flen, tlen;
		if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
			luaL_error(L, "rename takes {[\"old name\"] = \"new name\"}");
		const char *from = lua_tolstring(L, -2, &flen), *to = lua_tolstring(L, -1, &tlen);
		if (is_wild(from, flen)) {
			p->longest = flen > p->longest ? flen : p->longest;
		} else {
			int i = find_unmarked(vm, p, from, flen);
			if (i >= 0 && !(p->own[i].escaped & FIELD_DEAD))
				rename_field(L, p, (unsigned)i, to, tlen);
			pay_look_up(L, vm, p);
		}
		lua_pop(L, 1);
	}
}

RAISES static size_t rename_by_length(lua_State *L, struct proxy *p, size_t length)
{
	size_t next = 0;

	lua_pushnil(L);
	while (lua_next(L, 2)) {
		size_t flen, tlen;
		const char *from = lua_tolstring(L, -2, &flen), *to = lua_tolstring(L, -1, &tlen);
		if (is_wild(from, flen)) {
			if (flen == length)
				rename_wild(L, p, from, flen, to, tlen);
			else if (flen < length && flen > next)
				next = flen;
		}
		lua_pop(L, 1);
	}
	return next;
}

static int rename_fields(lua_State *L)
{
	struct proxy *p = proxy_check(L, 1);

	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	proxy_own(p);
	unmark(p);
	p->longest = 0;
	rename_exact(L, p);
	for (size_t length = p->longest; length;)
		length = rename_by_length(L, p, length);
	settle_names(L, p);
	unmark(p);
	lua_settop(L, 1);
	return 1;
}

static int copy(lua_State *L)
{
	struct proxy *from = proxy_check(L, 1);
	struct proxy *to;

	vm_hold(L, sizeof(*to) + from->n * sizeof(*from->slices) + from->overlay.len);
	to = proxy_push(L);
	to->bytes = from->bytes;
	to->len = from->len;
	to->slices = from->slices;
	to->n = from->n;
	if (from->changed) {
		proxy_own(to);
		buf_add(&to->overlay, from->overlay.p, from->overlay.len);
	}
	return 1;
}

const luaL_Reg msg_natives[] = {
	{ "rename", rename_fields },
	{ "drop", drop },
	{ "pick", pick },
	{ "copy", copy },
	{ NULL, NULL },
};
