/* decode.c - bytes of a channel made into messages by an adapter.
 *
 * decode(bytes, ctx) → {messages…, used = n, now = bytes, after = bytes, refuse = bytes}; a message is a table, or its JSON text. Or nil and a
 * reason: the bytes are none of this format. What the messages are worth is for the channel to say; here they only become text. */
#include <stdio.h>
#include <string.h>

#include "plan/plan.h"
#include "transforms/convert.h"
#include "transforms/script.h"

void decoded_init(struct decoded *d)
{
	*d = (struct decoded){ .used = 0 };
	rows_init(&d->messages);
}

void decoded_fini(struct decoded *d)
{
	rows_fini(&d->messages);
	buf_fini(&d->now);
	buf_fini(&d->after);
	buf_fini(&d->refuse);
}

struct job { struct far *f; struct facts facts; const char *bytes; size_t n; struct decoded *out; struct buf *why; };

/* A text of the result's table, into out. */
RAISES static bool take_text(lua_State *L, int table, const char *key, struct buf *out)
{
	size_t n;

	lua_pushstring(L, key);
	int kind = lua_rawget(L, table);
	if (kind != LUA_TSTRING && kind != LUA_TNIL)
		luaL_error(L, "decode returned %s that is a %s, not a string", key, luaL_typename(L, -1));
	if (kind == LUA_TSTRING) {
		const char *s = lua_tolstring(L, -1, &n);
		buf_add(out, s, n);
	}
	lua_pop(L, 1);
	return kind == LUA_TSTRING;
}

RAISES static void check_keys(lua_State *L, int table)
{
	static const char *const known[] = { "used", "now", "after", "refuse", "n", NULL };

	lua_pushnil(L);
	while (lua_next(L, table)) {
		lua_pop(L, 1);
		if (lua_isinteger(L, -1))
			continue;
		const char *const *k = known;
		while (*k && (lua_type(L, -1) != LUA_TSTRING || strcmp(*k, lua_tostring(L, -1)) != 0))
			k++;
		if (!*k)
			luaL_error(L, "decode returned a table with the key %s: {messages…, used =, now =, after =, refuse =} is expected; one message is {message}",
				luaL_tolstring(L, -1, NULL));
	}
}

RAISES static void take_messages(lua_State *L, int table, struct decoded *out)
{
	lua_Integer n = (lua_Integer)lua_rawlen(L, table);
	size_t len, from;

	for (lua_Integer i = 1; i <= n; i++) {
		from = out->messages.bytes.len;
		switch (lua_rawgeti(L, table, i)) {
		case LUA_TSTRING: {
			const char *s = lua_tolstring(L, -1, &len);
			buf_add(&out->messages.bytes, s, len);
			break;
		}
		case LUA_TTABLE:
			json_write(L, lua_gettop(L), &out->messages.bytes);
			break;
		default:
			luaL_error(L, "decode returned as message %d a %s, not a table or JSON text", (int)i, luaL_typename(L, -1));
		}
		vm_hold(L, out->messages.bytes.len - from);
		rows_end(&out->messages);
		lua_pop(L, 1);
	}
}

static int decode(lua_State *L)
{
	struct job *j = lua_touserdata(L, 1);

	if (!far_function(L, j->f, "decode"))
		return luaL_error(L, "adapter %s has no function decode", j->f->name);
	vm_charge_bytes(L, j->n);
	lua_pushlstring(L, j->bytes, j->n);
	far_ctx(L, j->f, &j->facts);
	vm_call(L, 2, 2);
	conn_settle(L, &j->facts);
	if (lua_isnil(L, 2) && lua_type(L, 3) == LUA_TSTRING) {
		buf_adds(j->why, lua_tostring(L, 3));
		j->out->malformed = true;
		return 0;
	}
	if (!lua_istable(L, 2))
		return luaL_error(L, "decode returned a %s, not a table (or nil and a reason)", luaL_typename(L, 2));
	lua_settop(L, 2);
	check_keys(L, 2);
	take_messages(L, 2, j->out);
	j->out->has_now = take_text(L, 2, "now", &j->out->now);
	j->out->has_after = take_text(L, 2, "after", &j->out->after);
	j->out->has_refuse = take_text(L, 2, "refuse", &j->out->refuse);
	lua_pushliteral(L, "used");
	if (lua_rawget(L, 2) == LUA_TNIL)
		return 0;
	if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 0 || (size_t)lua_tointeger(L, -1) > j->n)
		return luaL_error(L, "decode returned used = %s of %d bytes", luaL_tolstring(L, -1, NULL), (int)j->n);
	j->out->used = (size_t)lua_tointeger(L, -1);
	return 0;
}

static void clear(struct decoded *d, size_t used)
{
	d->messages.n = 0;
	buf_clear(&d->messages.bytes);
	buf_clear(&d->now);
	buf_clear(&d->after);
	buf_clear(&d->refuse);
	d->malformed = false;
	d->has_now = d->has_after = d->has_refuse = false;
	d->used = used;
}

int far_decode(struct far *f, const struct arrival *in, const char *bytes, size_t n, struct decoded *out, struct buf *why)
{
	struct job j = { .f = f, .facts = { .arrival = in, .conn = in->conn, .now_us = in->now_us }, .bytes = bytes, .n = n, .out = out, .why = why };

	clear(out, n);
	int failed = far_run(f, decode, &j, 1, why);
	if (failed)
		clear(out, 0);
	else if (out->malformed)
		failed = -1;
	buf_reserve(&out->messages.bytes, MESSAGE_PAD);
	return failed;
}

int scripts_decode(struct scripts *s, const struct channel *c, const struct arrival *in, const char *bytes, size_t n, struct decoded *out,
                   char *why, size_t whylen)
{
	struct far *f = scripts_channel(s, c);
	struct buf words = BUF_INIT;

	if (!f) {
		clear(out, 0);
		snprintf(why, whylen, "format %s is no adapter", c->format ? c->format : "(none)");
		return -1;
	}
	int failed = far_decode(f, in, bytes, n, out, &words);
	if (failed)
		snprintf(why, whylen, "%s", words.p);
	buf_fini(&words);
	return failed;
}
