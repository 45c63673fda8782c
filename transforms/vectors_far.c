/* vectors_far.c - vectors of what an adapter does beside transforming.
 *
 *	{"name", decode = "bytes", options = {…}, now = 0, method =, query =, topic =, peer =,
 *		want = {{…message…}, '…', used = n, now = "…", after = "…", refuse = "…"} or error = "part of it"}
 *	{"name", answer = {status = 400, body = "…"}, batch = {{id =, ident =, bytes =}, …}, options = {…}, now = 0,
 *		want = "blocked" or {"done", {"refused", "reason"}, …} or "none", or error = "part of it"}
 *
 * Of used, now, after and refuse those that are wanted are compared. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "transforms/convert.h"
#include "transforms/script.h"
#include "transforms/vectors.h"

enum part { PART_USED, PART_NOW, PART_AFTER, PART_REFUSE, PARTS };
static const char *const part_names[PARTS] = { "used", "now", "after", "refuse" };

static const char *const known_decode[] = { "decode", "options", "now", "method", "query", "topic", "peer", "want", "error", NULL };
static const char *const known_answer[] = { "answer", "batch", "options", "now", "want", "error", NULL };

struct item { struct buf id, ident, bytes; };

struct vector {
	int table;
	lua_Integer i;
	bool is_decode, is_answer, has_error;
	struct buf name, options, input, error, want, method, query, topic, peer;
	bool has[PARTS], has_method, has_query, has_topic, has_peer;
	int status;
	int64_t now_us;
	struct item *items;
	unsigned nitems;
	/* what came */
	const struct decoded *decoded;
	const struct script_judgement *judgement;
	struct buf got;
};

/* ---- reading ---------------------------------------------------------------------------------------------------------------- */

RAISES static void read_items(lua_State *L, struct vector *v)
{
	lua_getfield(L, 2, "batch");
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_newtable(L);
		lua_rawseti(L, -2, 1); /* one message of which nothing is said */
	}
	vector_expect(L, -1, LUA_TTABLE, "batch");
	int batch = lua_gettop(L);
	v->nitems = (unsigned)lua_rawlen(L, batch);
	v->items = xcalloc(v->nitems + 1, sizeof(*v->items));
	for (unsigned k = 0; k < v->nitems; k++) {
		lua_rawgeti(L, batch, k + 1);
		int item = lua_gettop(L);
		vector_expect(L, item, LUA_TTABLE, "what batch lists");
		if (!vector_text(L, item, "id", &v->items[k].id))
			buf_addf(&v->items[k].id, "%u", k + 1);
		if (!vector_text(L, item, "ident", &v->items[k].ident))
			buf_adds(&v->items[k].ident, "ident");
		vector_text(L, item, "bytes", &v->items[k].bytes);
		buf_add(&v->items[k].bytes, "", 0);
		lua_settop(L, batch);
	}
}

/* "{…messages…}" of what is wanted, in the form that make_got writes. */
RAISES static void read_want_decoded(lua_State *L, struct vector *v)
{
	lua_getfield(L, 2, "want");
	vector_expect(L, -1, LUA_TTABLE, "want");
	int want = lua_gettop(L);
	for (lua_Integer k = 1; k <= (lua_Integer)lua_rawlen(L, want); k++) {
		lua_rawgeti(L, want, k);
		const char *why;
		if (lua_type(L, -1) == LUA_TSTRING && json_push_text(L, lua_tostring(L, -1), lua_rawlen(L, -1), &why) < 0)
			luaL_error(L, "want, message %d: %s", (int)k, why);
		json_write(L, -1, &v->want);
		buf_addc(&v->want, '\n');
		lua_settop(L, want);
	}
	for (int p = 0; p < PARTS; p++) {
		size_t from = v->want.len;
		buf_addf(&v->want, "%s=", part_names[p]);
		v->has[p] = vector_text(L, want, part_names[p], &v->want);
		buf_addc(&v->want, '\n');
		if (!v->has[p] && v->want.len > from) {
			v->want.len = from;
			v->want.p[from] = '\0';
		}
	}
}

RAISES static void read_want_judged(lua_State *L, struct vector *v)
{
	lua_getfield(L, 2, "want");
	if (lua_istable(L, -1))
		json_write(L, -1, &v->want);
	else if (lua_type(L, -1) == LUA_TSTRING)
		buf_adds(&v->want, lua_tostring(L, -1));
	else
		luaL_error(L, "want is a %s, and must be a verdict, a list of verdicts or \"none\"", luaL_typename(L, -1));
}

static int read_vector(lua_State *L)
{
	struct vector *v = lua_touserdata(L, 1);

	lua_rawgeti(L, LUA_REGISTRYINDEX, v->table);
	lua_rawgeti(L, -1, v->i);
	lua_replace(L, 2);
	if (!lua_istable(L, 2))
		return 0;
	if (lua_rawgeti(L, 2, 1) == LUA_TSTRING)
		buf_adds(&v->name, lua_tostring(L, -1));
	v->is_decode = lua_getfield(L, 2, "decode") != LUA_TNIL;
	v->is_answer = lua_getfield(L, 2, "answer") != LUA_TNIL;
	if (!v->is_decode && !v->is_answer)
		return 0;
	if (!vector_text(L, 2, "options", &v->options))
		buf_adds(&v->options, "{}");
	if (v->name.len == 0)
		luaL_error(L, "it begins with no name");
	vector_keys(L, 2, v->is_decode ? known_decode : known_answer);
	v->now_us = vector_now(L, 2);
	v->has_error = vector_text(L, 2, "error", &v->error);
	v->has_method = vector_text(L, 2, "method", &v->method);
	v->has_query = vector_text(L, 2, "query", &v->query);
	v->has_topic = vector_text(L, 2, "topic", &v->topic);
	v->has_peer = vector_text(L, 2, "peer", &v->peer);
	if (v->is_decode) {
		vector_text(L, 2, "decode", &v->input);
		if (!v->has_error)
			read_want_decoded(L, v);
		return 0;
	}
	read_items(L, v);
	lua_getfield(L, 2, "answer");
	vector_expect(L, -1, LUA_TTABLE, "answer");
	int answer = lua_gettop(L);
	v->status = 200;
	lua_pushliteral(L, "status");
	if (lua_rawget(L, answer) != LUA_TNIL) {
		vector_expect(L, -1, LUA_TNUMBER, "answer.status");
		v->status = (int)lua_tointeger(L, -1);
	}
	vector_text(L, answer, "body", &v->input);
	if (!v->has_error)
		read_want_judged(L, v);
	return 0;
}

/* ---- what came, in the form of what is wanted ------------------------------------------------------------------------------ */

static const char *const verdict_words[] = { "none", "done", "retry", "split", "refused", "blocked" };

static int make_got(lua_State *L)
{
	struct vector *v = lua_touserdata(L, 1);
	const struct decoded *d = v->decoded;
	const struct script_judgement *j = v->judgement;
	const char *why;

	if (d) {
		for (unsigned i = 0; i < d->messages.n; i++) {
			size_t from = i ? d->messages.ends[i - 1] : 0;
			if (json_push_text(L, d->messages.bytes.p + from, d->messages.ends[i] - from, &why) < 0)
				return luaL_error(L, "message %d: %s", (int)i + 1, why);
			json_write(L, -1, &v->got);
			buf_addc(&v->got, '\n');
			lua_settop(L, 1);
		}
		if (v->has[PART_USED])
			buf_addf(&v->got, "used=%zu\n", d->used);
		const struct buf *texts[PARTS] = { NULL, &d->now, &d->after, &d->refuse };
		for (int p = PART_NOW; p < PARTS; p++)
			if (v->has[p])
				buf_addf(&v->got, "%s=%s\n", part_names[p], texts[p]->p ? texts[p]->p : "");
		return 0;
	}
	if (!j->has_each) {
		buf_adds(&v->got, verdict_words[j->verdict]);
		return 0;
	}
	lua_newtable(L);
	for (unsigned i = 0; i < j->n; i++) {
		const char *reason = j->words.p + j->each[i].reason;
		lua_pushstring(L, verdict_words[j->each[i].verdict]);
		if (*reason) {
			lua_createtable(L, 2, 0);
			lua_insert(L, -2);
			lua_rawseti(L, -2, 1);
			lua_pushstring(L, reason);
			lua_rawseti(L, -2, 2);
		}
		lua_rawseti(L, -2, i + 1);
	}
	json_write(L, -1, &v->got);
	return 0;
}

/* ---- running ---------------------------------------------------------------------------------------------------------------- */

static int ask(struct running *r, struct vector *v, struct far *f, struct decoded *d, struct script_judgement *j, struct buf *why)
{
	if (v->is_decode) {
		int conn = 0;
		struct arrival in = { .peer = v->has_peer ? v->peer.p : NULL, .method = v->has_method ? v->method.p : NULL,
			.query = v->has_query ? v->query.p : NULL, .topic = v->has_topic ? v->topic.p : NULL, .now_us = v->now_us, .conn = &conn };
		int failed = far_decode(f, &in, v->input.p ? v->input.p : "", v->input.len, d, why);
		conn_end(r->a->vm, conn);
		v->decoded = d;
		return failed;
	}
	struct script_item *items = xcalloc(v->nitems + 1, sizeof(*items));
	struct buf body = BUF_INIT;
	for (unsigned k = 0; k < v->nitems; k++) {
		items[k] = (struct script_item){ .id = v->items[k].id.p, .ident = v->items[k].ident.p, .ident_len = v->items[k].ident.len,
			.bytes = v->items[k].bytes.p, .len = v->items[k].bytes.len };
		buf_add(&body, items[k].bytes, items[k].len);
	}
	buf_add(&body, "", 0);
	struct script_batch b = { .stream = "vector", .now_us = v->now_us, .n = v->nitems, .items = items, .body = body.p, .body_len = body.len };
	struct script_answer a = { .status = v->status, .body = v->input.p, .len = v->input.len };
	int failed = far_verdict(f, &b, &a, j, why);
	v->judgement = j;
	free(items);
	buf_fini(&body);
	return failed;
}

static void run(struct running *r, struct vector *v, struct buf *why)
{
	struct decoded d;
	struct script_judgement j;
	struct far f;
	struct buf words = BUF_INIT;

	decoded_init(&d);
	script_judgement_init(&j);
	int failed = far_init(&f, r->a->vm, r->ad->table, r->ad->name, v->options.p, "vector", why);
	if (!failed)
		failed = ask(r, v, &f, &d, &j, why);
	if (!failed)
		failed = vm_run(r->a->vm, make_got, v, VECTOR_PATIENCE, why);
	bool fine = v->has_error ? failed && strstr(why->p, v->error.p)
		: !failed && v->want.len == v->got.len && (v->want.len == 0 || memcmp(v->want.p, v->got.p, v->want.len) == 0);
	if (!fine) {
		buf_addf(&words, "want %s%s, got %s%s", v->has_error ? "an error with " : "", v->has_error ? v->error.p : v->want.p ? v->want.p : "nothing",
			failed ? "an error: " : "", failed ? why->p : v->got.p ? v->got.p : "nothing");
		vector_told(r, v->name.p, words.p);
	}
	far_fini(&f);
	decoded_fini(&d);
	script_judgement_fini(&j);
	buf_fini(&words);
}

bool vector_far(struct running *r, int list, lua_Integer i)
{
	struct vector v = { .table = list, .i = i };
	struct buf why = BUF_INIT;
	bool failed = vm_run(r->a->vm, read_vector, &v, VECTOR_PATIENCE, &why) < 0, is = v.is_decode || v.is_answer;

	if (is && failed)
		vector_told(r, v.name.p, why.p);
	else if (is)
		run(r, &v, &why);
	struct buf *bufs[] = { &v.name, &v.options, &v.input, &v.error, &v.want, &v.method, &v.query, &v.topic, &v.peer, &v.got, &why };
	for (size_t k = 0; k < sizeof(bufs) / sizeof(bufs[0]); k++)
		buf_fini(bufs[k]);
	for (unsigned k = 0; k < v.nitems; k++) {
		buf_fini(&v.items[k].id);
		buf_fini(&v.items[k].ident);
		buf_fini(&v.items[k].bytes);
	}
	free(v.items);
	return is;
}
