/* describe.c - what an adapter's table says of it: the one list of its keys. */
#include <limits.h>
#include <string.h>

#include "base/arena.h"
#include "spec/diag.h"
#include "spec/nearest.h"
#include "spec/tree.h"
#include "transforms/adapters.h"
#include "transforms/convert.h"
#include "transforms/declared.h"

/* The transports a key has a meaning for; what the program would never look at is refused, like a slip of the pen. */
enum { ANY = 0, HTTP = 1 << TRANSPORT_HTTP, MQTT = 1 << TRANSPORT_MQTT, TCP = 1 << TRANSPORT_TCP };

static const struct { const char *name; int kind; const char *words; int transports; } keys[] = {
	{ "summary", LUA_TSTRING, "a line of text", ANY },
	{ "transport", LUA_TSTRING, "\"http\", \"mqtt\" or \"tcp\"", ANY },
	{ "connection", LUA_TSTRING, "\"stream\" or \"device\"", MQTT | TCP },
	{ "certificate", LUA_TBOOLEAN, "true: an https far end of this type knows its clients by a certificate", HTTP },
	{ "form", LUA_TNUMBER, "a number that rises when the form of what is buffered changes", ANY },
	{ "options", LUA_TTABLE, "a table of options", ANY },
	{ "device", LUA_TTABLE, "a table of per-device data", ANY },
	{ "state", LUA_TTABLE, "a table of kinds", ANY },
	{ "defaults", LUA_TTABLE, "a table of stream keys", HTTP | MQTT | TCP },
	{ "body", LUA_TTABLE, "a table with open, separator, close, type, most", HTTP },
	{ "vectors", LUA_TTABLE, "a list of vectors", ANY },
	{ "transform", LUA_TFUNCTION, "a function (msg, ctx)", ANY },
	{ "decode", LUA_TFUNCTION, "a function (bytes, ctx)", ANY },
	{ "request", LUA_TFUNCTION, "a function (batch, ctx)", HTTP },
	{ "topic", LUA_TFUNCTION, "a function (msg, ctx)", MQTT },
	{ "hello", LUA_TFUNCTION, "a function (ctx)", TCP },
	{ "reply", LUA_TFUNCTION, "a function (bytes, ctx)", TCP },
	{ "verdict", LUA_TFUNCTION, "a function (answer, batch, ctx)", HTTP },
	{ "credentials", LUA_TFUNCTION, "a function (ctx)", HTTP | MQTT },
	{ "token", LUA_TFUNCTION, "a function (answer, ctx)", HTTP | MQTT },
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

struct reading { lua_State *L; struct adapters *a; struct adapter *ad; struct diag *d; bool *broken; };

static struct problem *fault(struct reading *r, const char *near, const char *fmt, const char *a, const char *b)
{
	struct mark at = adapter_mark(r->ad, near ? adapter_line(r->ad, near) : 0);

	*r->broken = true;
	return diag_add(r->d, DIAG_ADAPTER, &at, fmt, r->ad->name, a, b);
}

/* Every key is known and of its kind. */
RAISES static void check_keys(struct reading *r, int table)
{
	lua_State *L = r->L;

	lua_pushnil(L);
	while (lua_next(L, table)) {
		const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
		size_t k = 0;
		while (key && k < KEYS && strcmp(keys[k].name, key) != 0)
			k++;
		if (!key) {
			fault(r, NULL, "adapter %s: the table it returns has a key that is a %s%s", luaL_typename(L, -2), "");
		} else if (k == KEYS) {
			struct nearest near;
			nearest_begin(&near, key);
			for (k = 0; k < KEYS; k++)
				nearest_try(&near, keys[k].name);
			problem_near(fault(r, key, "adapter %s: unknown key %s%s", diag_quote(r->d, key, strlen(key)), ""), nearest_found(&near));
		} else if (lua_type(L, -1) != keys[k].kind) {
			problem_note(fault(r, key, "adapter %s: %s is a %s", key, luaL_typename(L, -1)), "expected: %s", keys[k].words);
		}
		lua_pop(L, 1);
	}
}

RAISES static bool has(struct reading *r, int i, const char *key, int kind)
{
	lua_pushstring(r->L, key);
	bool is = lua_rawget(r->L, i) == kind;
	lua_pop(r->L, 1);
	return is;
}

/* What is declared has a meaning for the transport, and has what it needs. */
RAISES static void check_transport(struct reading *r, int table)
{
	static const char *const none = "without a transport";
	const struct type_info *info = &r->ad->info;
	const char *words = !info->is_destination ? none : info->transport == TRANSPORT_HTTP ? "with transport http" :
		info->transport == TRANSPORT_MQTT ? "with transport mqtt" : "with transport tcp";
	int is = info->is_destination ? 1 << info->transport : 0;

	for (size_t k = 0; k < KEYS; k++)
		if (keys[k].transports != ANY && !(keys[k].transports & is) && has(r, table, keys[k].name, keys[k].kind))
			fault(r, keys[k].name, "adapter %s: %s has no meaning %s", keys[k].name, words);
	if (has(r, table, "token", LUA_TFUNCTION) && !has(r, table, "credentials", LUA_TFUNCTION))
		fault(r, "token", "adapter %s: token reads the answer to a request that only credentials can ask for, and there is no %s%s", "credentials", "");
}

/* A text of the table at i, in the arena; NULL when it is not there. */
RAISES static const char *text_of(struct reading *r, int i, const char *key)
{
	const char *s = NULL;

	lua_pushstring(r->L, key);
	if (lua_rawget(r->L, i) == LUA_TSTRING)
		s = arena_strdup(r->a->arena, lua_tostring(r->L, -1));
	lua_pop(r->L, 1);
	return s;
}

/* A table as the tree the schema checker reads; its places are in a text made of it. */
RAISES static const struct node *tree_of(struct reading *r, int i, const char *key)
{
	struct buf *text = &vm_of(r->L)->text;
	const struct node *n = NULL;

	lua_pushstring(r->L, key);
	if (lua_rawget(r->L, i) == LUA_TTABLE) {
		buf_clear(text);
		json_write(r->L, -1, text);
		unsigned errors = diag_errors(r->d);
		n = tree_read_text(r->a->arena, arena_printf(r->a->arena, "%s (%s)", r->ad->path, key), text->p, text->len, r->a->order++, r->d);
		if (diag_errors(r->d) > errors)
			*r->broken = true;
	}
	lua_pop(r->L, 1);
	return n;
}

RAISES static const struct node *declared(struct reading *r, int table, const char *key)
{
	const struct node *n = tree_of(r, table, key);

	if (n && !declared_check(r->a, r->ad, n, key, r->d))
		*r->broken = true;
	return n;
}

static bool is_one_of(const char *s, const char *a, const char *b, const char *c)
{
	return strcmp(s, a) == 0 || strcmp(s, b) == 0 || (c && strcmp(s, c) == 0);
}

RAISES static void read_connection(struct reading *r, int table)
{
	const char *s = text_of(r, table, "connection");

	if (s && !is_one_of(s, "stream", "device", "device"))
		problem_note(fault(r, "connection", "adapter %s: there is no connection %s%s", diag_quote(r->d, s, strlen(s)), ""), "expected: stream or device");
	r->ad->info.per_device = s && strcmp(s, "device") == 0;
}

RAISES static void read_transport(struct reading *r, int table)
{
	struct type_info *info = &r->ad->info;
	const char *s = text_of(r, table, "transport");

	if (!s)
		return;
	if (!is_one_of(s, "http", "mqtt", "tcp")) {
		problem_note(fault(r, "transport", "adapter %s: there is no transport %s%s", diag_quote(r->d, s, strlen(s)), ""), "expected: http, mqtt or tcp");
		return;
	}
	info->is_destination = true;
	info->transport = *s == 'h' ? TRANSPORT_HTTP : *s == 'm' ? TRANSPORT_MQTT : TRANSPORT_TCP;
}

RAISES static void read_body(struct reading *r, int table)
{
	struct type_info *info = &r->ad->info;

	lua_pushliteral(r->L, "body");
	if (lua_rawget(r->L, table) == LUA_TTABLE) {
		int body = lua_gettop(r->L);
		info->body_open = text_of(r, body, "open");
		info->body_separator = text_of(r, body, "separator");
		info->body_close = text_of(r, body, "close");
		info->body_type = text_of(r, body, "type");
		lua_pushnil(r->L);
		while (lua_next(r->L, body)) {
			const char *key = lua_type(r->L, -2) == LUA_TSTRING ? lua_tostring(r->L, -2) : "?";
			if (strcmp(key, "most") == 0 && lua_isinteger(r->L, -1) && lua_tointeger(r->L, -1) > 0 && lua_tointeger(r->L, -1) <= UINT_MAX)
				info->body_most = (unsigned)lua_tointeger(r->L, -1);
			else if (!(is_one_of(key, "open", "separator", "close") || strcmp(key, "type") == 0) || lua_type(r->L, -1) != LUA_TSTRING)
				fault(r, "body", "adapter %s: body takes the texts open, separator, close, type and the number most, not %s (a %s)", key, luaL_typename(r->L, -1));
			lua_pop(r->L, 1);
		}
	}
	lua_pop(r->L, 1);
}

/* What may be kept: a name and a kind each. */
RAISES static void check_state(struct reading *r, int table)
{
	lua_State *L = r->L;

	lua_pushliteral(L, "state");
	if (lua_rawget(L, table) == LUA_TTABLE) {
		lua_pushnil(L);
		while (lua_next(L, -2)) {
			const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
			const char *kind = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, -1);
			if (lua_type(L, -1) != LUA_TSTRING || lua_type(L, -2) != LUA_TSTRING ||
			    !(is_one_of(kind, "boolean", "integer", "number") || is_one_of(kind, "string", "table", NULL)))
				problem_note(fault(r, "state", "adapter %s: state.%s is no kind of value (%s)", name, kind),
					"expected: boolean, integer, number, string or table");
			lua_pop(L, 1);
		}
	}
	lua_pop(L, 1);
}

RAISES void describe(lua_State *L, struct adapters *a, struct adapter *ad, struct diag *d, bool *broken)
{
	struct reading r = { .L = L, .a = a, .ad = ad, .d = d, .broken = broken };
	struct type_info *info = &ad->info;
	int table = lua_gettop(L);

	check_keys(&r, table);
	const char *summary = text_of(&r, table, "summary");
	info->summary = summary ? summary : "";
	read_transport(&r, table);
	check_transport(&r, table);
	read_connection(&r, table);
	check_state(&r, table);
	read_body(&r, table);
	info->options_schema = declared(&r, table, "options");
	info->device_schema = declared(&r, table, "device");
	info->defaults = tree_of(&r, table, "defaults");
	info->has_transform = has(&r, table, "transform", LUA_TFUNCTION);
	info->has_request = has(&r, table, "request", LUA_TFUNCTION);
	info->has_topic = has(&r, table, "topic", LUA_TFUNCTION);
	info->has_reply = has(&r, table, "reply", LUA_TFUNCTION);
	info->has_state = has(&r, table, "state", LUA_TTABLE);
	info->is_format = has(&r, table, "decode", LUA_TFUNCTION);
	lua_pushliteral(L, "certificate");
	info->certificate = lua_rawget(L, table) == LUA_TBOOLEAN && lua_toboolean(L, -1);
	lua_pop(L, 1);
	info->is_transform = info->has_transform && !info->is_destination;
	if (info->has_topic && !info->has_transform && info->is_destination && info->transport == TRANSPORT_MQTT)
		fault(&r, "topic", "adapter %s: topic runs with transform, and there is no transform%s%s", "", "");
	lua_pushliteral(L, "form");
	info->form_number = lua_rawget(L, table) == LUA_TNUMBER ? (unsigned)lua_tointeger(L, -1) : 1;
	if (!info->is_destination && !info->is_transform && !info->is_format && !*broken)
		fault(&r, NULL, "adapter %s does nothing: it has neither transport nor transform nor decode%s%s", "", "");
}
