/* request.c - requests and credentials as an adapter words them.
 *
 *	request(batch, ctx)   → {url = …, headers = {…}, body = …}
 *	credentials(ctx)      → {headers = {…}} or {username = …, password = …} [, seconds to live]; or {request = {…}}: ask that first
 *	token(answer, ctx)    → what that answer makes of it: credentials, seconds to live
 *	                        both: nil, "why not" */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "transforms/batch.h"
#include "transforms/script.h"

void script_request_init(struct script_request *r)
{
	*r = (struct script_request){ .nheaders = 0 };
}

void script_request_fini(struct script_request *r)
{
	buf_fini(&r->url);
	buf_fini(&r->body);
	buf_fini(&r->headers);
	script_request_init(r);
}

void script_credentials_init(struct script_credentials *c)
{
	*c = (struct script_credentials){ .wanted = false };
}

void script_credentials_fini(struct script_credentials *c)
{
	script_request_fini(&c->request);
	buf_fini(&c->username);
	buf_fini(&c->password);
	script_credentials_init(c);
}

static void clear_request(struct script_request *r)
{
	r->has_url = r->has_body = false;
	r->nheaders = 0;
	buf_clear(&r->url);
	buf_clear(&r->body);
	buf_clear(&r->headers);
}

RAISES static bool take_text(lua_State *L, int table, const char *key, struct buf *out)
{
	size_t n;

	lua_pushstring(L, key);
	int kind = lua_rawget(L, table);
	if (kind != LUA_TSTRING && kind != LUA_TNIL)
		luaL_error(L, "%s is a %s, not a string", key, luaL_typename(L, -1));
	if (kind == LUA_TSTRING) {
		const char *s = lua_tolstring(L, -1, &n);
		if (strcmp(key, "body") != 0 && strlen(s) != n)
			luaL_error(L, "%s has a NUL in it", key);
		for (size_t i = 0; strcmp(key, "url") == 0 && i < n; i++)
			if ((unsigned char)s[i] <= ' ' || s[i] == 0x7F)
				luaL_error(L, "url has a blank or a control character at byte %d: percent-encode what comes from a message", (int)i + 1);
		buf_add(out, s, n);
	}
	lua_pop(L, 1);
	return kind == LUA_TSTRING;
}

static bool is_header_name(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~");

	return n > 0 && s[n] == '\0';
}

/* A header that a message's content slipped a line break into would be a second header, or a second request. */
RAISES static void take_headers(lua_State *L, int table, struct script_request *out)
{
	lua_pushliteral(L, "headers");
	int kind = lua_rawget(L, table);
	if (kind != LUA_TTABLE && kind != LUA_TNIL)
		luaL_error(L, "headers is a %s, not a table", luaL_typename(L, -1));
	if (kind == LUA_TTABLE) {
		int headers = lua_gettop(L);
		lua_pushnil(L);
		while (lua_next(L, headers)) {
			size_t n;
			if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING || !is_header_name(lua_tostring(L, -2)))
				luaL_error(L, "headers are {[\"Name\"] = \"value\"}");
			const char *value = lua_tolstring(L, -1, &n);
			if (strlen(value) != n || strpbrk(value, "\r\n"))
				luaL_error(L, "header %s: the value has a line break or NUL", lua_tostring(L, -2));
			buf_add(&out->headers, lua_tostring(L, -2), lua_rawlen(L, -2) + 1);
			buf_add(&out->headers, value, n + 1);
			out->nheaders++;
			lua_pop(L, 1);
		}
	}
	lua_pop(L, 1);
}

RAISES static void take_request(lua_State *L, int table, struct script_request *out)
{
	if (!lua_istable(L, table))
		luaL_error(L, "a request is a table {url =, headers =, body =}, not a %s", luaL_typename(L, table));
	out->has_url = take_text(L, table, "url", &out->url);
	out->has_body = take_text(L, table, "body", &out->body);
	take_headers(L, table, out);
}

struct job {
	struct far *f;
	struct facts facts;
	const struct script_batch *b;
	const struct script_answer *a;
	struct script_request *request;
	struct script_credentials *credentials;
	bool called;
};

static int word_request(lua_State *L)
{
	struct job *j = lua_touserdata(L, 1);

	if (!far_function(L, j->f, "request"))
		return 0;
	batch_push(L, j->b);
	far_ctx(L, j->f, &j->facts);
	vm_call(L, 2, 1);
	take_request(L, 2, j->request);
	j->called = true;
	return 0;
}

int scripts_request(struct scripts *s, const struct destination *d, const struct script_batch *b, struct script_request *out, char *why, size_t whylen)
{
	struct job j = { .f = scripts_destination(s, d), .facts = { .now_us = b->now_us }, .b = b, .request = out };
	struct buf words = BUF_INIT;

	clear_request(out);
	if (!j.f)
		return 0;
	int failed = far_run(j.f, word_request, &j, far_patience(b), &words);
	batch_end(j.f->vm);
	if (failed)
		snprintf(why, whylen, "%s", words.p);
	buf_fini(&words);
	return failed ? -1 : j.called;
}

static int word_credentials(lua_State *L)
{
	struct job *j = lua_touserdata(L, 1);
	struct script_credentials *out = j->credentials;

	if (!far_function(L, j->f, j->a ? "token" : "credentials"))
		return 0;
	if (j->a)
		answer_push(L, j->a);
	far_ctx(L, j->f, &j->facts);
	vm_call(L, j->a ? 2 : 1, 2);
	if (lua_isnil(L, 2) && lua_type(L, 3) == LUA_TSTRING) {
		vm_of(L)->called = false; /* the script's own words, of no fault of it */
		return lua_error(L);      /* nil, why: they cannot be had */
	}
	if (!lua_istable(L, 2))
		return luaL_error(L, "credentials are a table, not a %s", luaL_typename(L, 2));
	lua_pushliteral(L, "request");
	out->wanted = lua_rawget(L, 2) == LUA_TTABLE;
	if (out->wanted) {
		if (j->a)
			return luaL_error(L, "token returned another request");
		take_request(L, lua_gettop(L), &out->request);
	} else {
		take_headers(L, 2, &out->request);
		out->has_username = take_text(L, 2, "username", &out->username);
		out->has_password = take_text(L, 2, "password", &out->password);
	}
	lua_Number seconds = luaL_optnumber(L, 3, 0);
	if (!(seconds >= 0 && seconds < 1e10))
		return luaL_error(L, "credentials live for %f seconds", seconds);
	out->lives_us = (int64_t)(seconds * 1e6);
	j->called = true;
	return 0;
}

int scripts_credentials(struct scripts *s, const struct destination *d, int64_t now_us, const struct script_answer *answer,
                        struct script_credentials *out, char *why, size_t whylen)
{
	struct job j = { .f = scripts_destination(s, d), .facts = { .now_us = now_us }, .a = answer, .credentials = out };
	struct buf words = BUF_INIT;

	clear_request(&out->request);
	out->wanted = out->has_username = out->has_password = false;
	out->lives_us = 0;
	buf_clear(&out->username);
	buf_clear(&out->password);
	if (!j.f)
		return 0;
	int failed = far_run(j.f, word_credentials, &j, 1, &words);
	if (failed)
		snprintf(why, whylen, "%s", words.p);
	buf_fini(&words);
	return failed ? -1 : j.called;
}
