/* vectors.c - an adapter's own examples, run before it is trusted.
 *
 *	{"name", transform = {…} or '…', options = {…}, device = {…}, id = "…", ident = "…", now = 0,
 *		want = '…' (these bytes) or {…} (this value) or {n = 2, …} (rows), or skipped = "reason", or error = "part of it"}
 *	{"steps", steps = {…vectors…}}          one after the other, each with the state that the one before left
 *
 * Vectors of formats and of answers are run by vectors_far.c. A vector that fails is told with its line (where its name stands in the file), what was wanted and what came. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "message/message.h"
#include "spec/diag.h"
#include "transforms/adapters.h"
#include "transforms/convert.h"
#include "transforms/script.h"
#include "transforms/vectors.h"

#define SHOWN 400

static const char *const known[] = { "transform", "options", "device", "state", "id", "ident", "now", "want", "skipped", "error", NULL };

struct vector {
	int table;                      /* reference of the list it stands in */
	lua_Integer i;
	struct buf name, input, options, device, state, ident, skipped, error;
	uint64_t id;
	int64_t now_us;
	bool has_input, has_device, has_skipped, has_error;
	struct rows want;               /* of tables in canonical form */
	bool *exact;                    /* by row: bytes, not a value */
	struct rows got;                /* made canonical where want is */
};

void vector_told(struct running *r, const char *name, const char *what)
{
	struct buf words = BUF_INIT;
	unsigned line = 0;

	/* A name may stand in the file elsewhere too; in a list of vectors it comes first. */
	if (name && *name) {
		buf_addf(&words, "{\"%s\"", name);
		line = adapter_line(r->ad, words.p);
		line = line ? line : adapter_line(r->ad, words.p + 1);
		memmove(words.p, words.p + 1, words.len--);
	} else {
		buf_addf(&words, "%lld", (long long)r->i);
		if (r->step)
			buf_addf(&words, ", step %lld", (long long)r->step);
	}
	struct mark at = adapter_mark(r->ad, line ? line : adapter_line(r->ad, "vectors"));
	diag_add(r->d, DIAG_VECTOR, &at, "adapter %s, vector %s: %s", r->ad->name, words.p, what);
	r->failed++;
	buf_fini(&words);
}

/* ---- reading ---------------------------------------------------------------------------------------------------------------- */

/* A field as JSON, or a string as it is. */
RAISES bool vector_text(lua_State *L, int i, const char *key, struct buf *out)
{
	size_t n;

	lua_pushstring(L, key);
	int kind = lua_rawget(L, i);
	if (kind == LUA_TSTRING) {
		const char *s = lua_tolstring(L, -1, &n);
		buf_add(out, s, n);
	} else if (kind != LUA_TNIL) {
		json_write(L, -1, out);
	}
	lua_pop(L, 1);
	return kind != LUA_TNIL;
}

RAISES void vector_expect(lua_State *L, int i, int type, const char *what)
{
	if (lua_type(L, i) != type)
		luaL_error(L, "%s is a %s, and must be a %s", what, luaL_typename(L, i), lua_typename(L, type));
}

RAISES void vector_keys(lua_State *L, int i, const char *const *names)
{
	lua_pushnil(L);
	while (lua_next(L, i)) {
		const char *const *k = names;
		if (lua_type(L, -2) == LUA_TSTRING) {
			while (*k && strcmp(*k, lua_tostring(L, -2)) != 0)
				k++;
			if (!*k)
				luaL_error(L, "unknown key %s", lua_tostring(L, -2));
		}
		lua_pop(L, 1);
	}
}

RAISES int64_t vector_now(lua_State *L, int i)
{
	lua_pushliteral(L, "now");
	if (lua_rawget(L, i) != LUA_TNIL)
		vector_expect(L, -1, LUA_TNUMBER, "now");
	return (int64_t)llround(lua_tonumber(L, -1) * 1e6);
}

RAISES static void read_want(lua_State *L, struct vector *v)
{
	bool list = false;

	lua_pushliteral(L, "want");
	if (lua_rawget(L, 2) == LUA_TNIL)
		return;
	int want = lua_gettop(L);
	if (lua_istable(L, want)) {
		lua_pushliteral(L, "n");
		list = lua_rawget(L, want) == LUA_TNUMBER && (lua_rawgeti(L, want, 1) != LUA_TNIL);
	}
	lua_Integer n = list ? (lua_Integer)lua_rawlen(L, want) : 1;
	v->exact = calloc((size_t)n + 1, sizeof(*v->exact));
	for (lua_Integer k = 1; k <= n; k++) {
		size_t len;
		if (list)
			lua_rawgeti(L, want, k);
		else
			lua_pushvalue(L, want);
		v->exact[k - 1] = lua_type(L, -1) == LUA_TSTRING;
		if (v->exact[k - 1]) {
			const char *s = lua_tolstring(L, -1, &len);
			buf_add(&v->want.bytes, s, len);
		} else {
			json_write(L, -1, &v->want.bytes);
		}
		rows_end(&v->want);
		lua_settop(L, want);
	}
}

static int read_vector(lua_State *L)
{
	struct vector *v = lua_touserdata(L, 1);
	const char *why;

	lua_rawgeti(L, LUA_REGISTRYINDEX, v->table);
	lua_rawgeti(L, -1, v->i);
	lua_replace(L, 2);
	vector_expect(L, 2, LUA_TTABLE, "it");
	if (lua_rawgeti(L, 2, 1) == LUA_TSTRING)
		buf_adds(&v->name, lua_tostring(L, -1));
	else
		luaL_error(L, "it begins with no name");
	vector_keys(L, 2, known);
	v->has_input = vector_text(L, 2, "transform", &v->input);
	if (!vector_text(L, 2, "options", &v->options))
		buf_adds(&v->options, "{}");
	vector_text(L, 2, "state", &v->state);
	v->has_device = vector_text(L, 2, "device", &v->device);
	v->has_skipped = vector_text(L, 2, "skipped", &v->skipped);
	v->has_error = vector_text(L, 2, "error", &v->error);
	read_want(L, v);
	lua_settop(L, 2);
	v->id = 1;
	lua_pushliteral(L, "id");
	if (lua_rawget(L, 2) != LUA_TNIL) {
		if (!lua_isstring(L, -1))
			luaL_error(L, "id is a %s, and must be a text of digits", luaL_typename(L, -1));
		v->id = strtoull(lua_tostring(L, -1), NULL, 10);
	}
	v->now_us = vector_now(L, 2);
	if (!v->has_input)
		luaL_error(L, "it has nothing to do: transform = {…} is missing");
	if (v->has_skipped + v->has_error + (v->want.n > 0) != 1)
		luaL_error(L, "exactly one of want, skipped and error says what is expected");
	if (!vector_text(L, 2, "ident", &v->ident)) {
		if (json_push_text(L, v->input.p, v->input.len, &why) < 0)
			luaL_error(L, "its message: %s", why);
		if (lua_istable(L, -1))
			vector_text(L, lua_gettop(L), "ident", &v->ident);
	}
	return 0;
}

static void vector_fini(struct vector *v)
{
	struct buf *bufs[] = { &v->name, &v->input, &v->options, &v->device, &v->state, &v->ident, &v->skipped, &v->error };

	for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
		buf_fini(bufs[i]);
	rows_fini(&v->want);
	rows_fini(&v->got);
	free(v->exact);
}

/* ---- comparing -------------------------------------------------------------------------------------------------------------- */

/* Rows that came in the form of those wanted: JSON with its keys in order, where a value is wanted. */
struct canonical { const struct vector *v; const struct rows *from; struct rows *to; };

static int make_canonical(lua_State *L)
{
	struct canonical *c = lua_touserdata(L, 1);
	const char *why;

	for (unsigned i = 0; i < c->from->n; i++) {
		size_t from = i ? c->from->ends[i - 1] : 0;
		const char *p = c->from->bytes.p + from;
		size_t n = c->from->ends[i] - from;
		if (i < c->v->want.n && !c->v->exact[i] && json_push_text(L, p, n, &why) == 0)
			json_write(L, -1, &c->to->bytes);
		else
			buf_add(&c->to->bytes, p, n);
		rows_end(c->to);
		lua_settop(L, 1);
	}
	return 0;
}

static bool same_rows(const struct rows *a, const struct rows *b)
{
	return a->n == b->n && a->bytes.len == b->bytes.len && memcmp(a->ends, b->ends, a->n * sizeof(*a->ends)) == 0 &&
	       (a->bytes.len == 0 || memcmp(a->bytes.p, b->bytes.p, a->bytes.len) == 0);
}

static void add_rows(struct buf *out, const struct rows *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		size_t from = i ? r->ends[i - 1] : 0, n = r->ends[i] - from;
		if (i)
			buf_adds(out, " | ");
		buf_add(out, r->bytes.p + from, n > SHOWN ? SHOWN : n);
		if (n > SHOWN)
			buf_adds(out, "…");
	}
}

static void judge(struct running *r, struct vector *v, enum render_result result, const struct rows *raw, const struct buf *why)
{
	struct buf words = BUF_INIT, text = BUF_INIT;
	bool fine;

	if (v->has_skipped) {
		fine = result == RENDER_SKIPPED && strcmp(why->p, v->skipped.p) == 0;
		buf_addf(&words, "want skipped \"%s\"", v->skipped.p);
	} else if (v->has_error) {
		fine = result == RENDER_FAILED && strstr(why->p, v->error.p);
		buf_addf(&words, "want an error with \"%s\"", v->error.p);
	} else {
		struct canonical c = { .v = v, .from = raw, .to = &v->got };
		fine = result == RENDER_OK && vm_run(r->a->vm, make_canonical, &c, VECTOR_PATIENCE, &text) == 0 && same_rows(&v->want, &v->got);
		buf_adds(&words, "want ");
		add_rows(&words, &v->want);
	}
	if (!fine) {
		buf_adds(&words, ", got ");
		if (result == RENDER_OK)
			add_rows(&words, v->got.n ? &v->got : raw);
		else
			buf_addf(&words, "%s %s", result == RENDER_SKIPPED ? "skipped" : "an error:", why->p);
		vector_told(r, v->name.p, words.p);
	}
	buf_fini(&words);
	buf_fini(&text);
}

/* state: what the step before left; the vector's own comes first. */
static void run_one(struct running *r, int list, lua_Integer i, struct buf *state)
{
	struct vector v = { .table = list, .i = i };
	struct buf why = BUF_INIT;
	struct rows raw;
	struct index ix;
	struct message m;
	const char *stop;

	rows_init(&raw);
	index_init(&ix);
	if (vm_run(r->a->vm, read_vector, &v, VECTOR_PATIENCE, &why) < 0) {
		vector_told(r, v.name.p, why.p);
		goto out;
	}
	buf_reserve(&v.input, MESSAGE_PAD);
	enum json_fault fault = message_index(&ix, v.input.p, v.input.p + v.input.len, &m, &stop);
	if (fault != JSON_OK) {
		buf_clear(&why);
		buf_addf(&why, "its message: %s at byte %zu", json_fault_text(fault), (size_t)(stop - v.input.p) + 1);
		vector_told(r, v.name.p, why.p);
		goto out;
	}
	if (v.state.len) {
		buf_clear(state);
		buf_adds(state, "{");
		buf_addjson(state, r->ad->name, strlen(r->ad->name));
		buf_addf(state, ":%s}", v.state.p);
	}
	if (state->len)
		buf_add(&raw.state, state->p, state->len);
	struct call call = { .stream = "vector", .device_data = v.has_device ? v.device.p : NULL, .id = v.id, .ident = v.ident.p ? v.ident.p : "",
		.ident_len = v.ident.len, .now_us = v.now_us };
	struct program p;
	if (program_init(&p, r->a->vm, r->ad->table, r->ad->name, v.options.p, "vector", &why) < 0)
		vector_told(r, v.name.p, why.p);
	else
		judge(r, &v, program_run(&p, &m, &call, "", VECTOR_PATIENCE, &raw, &why), &raw, &why);
	program_fini(&p);
	buf_clear(state);
	if (raw.state.len)
		buf_add(state, raw.state.p, raw.state.len);
out:
	rows_fini(&raw);
	index_fini(&ix);
	buf_fini(&why);
	vector_fini(&v);
}

/* References of the lists to run: the vectors, and the steps inside of them. */
struct listing { int table; lua_Integer i; int list; lua_Integer n; };

static int open_list(lua_State *L)
{
	struct listing *l = lua_touserdata(L, 1);

	lua_rawgeti(L, LUA_REGISTRYINDEX, l->table);
	if (l->i) {
		lua_rawgeti(L, -1, l->i);
		lua_pushliteral(L, "steps");
	} else {
		lua_pushliteral(L, "vectors");
	}
	if (!lua_istable(L, -2) || lua_rawget(L, -2) != LUA_TTABLE)
		return 0;
	lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		lua_pop(L, 1);
		/* One that no list has would never be run. */
		if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1 || lua_tointeger(L, -1) > n)
			return luaL_error(L, "%s is a list, and has [%s]", l->i ? "steps" : "vectors", luaL_tolstring(L, -1, NULL));
	}
	l->n = n;
	l->list = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

static void list_told(struct running *r, const char *what)
{
	struct mark at = adapter_mark(r->ad, adapter_line(r->ad, "vectors"));

	diag_add(r->d, DIAG_VECTOR, &at, "adapter %s: %s", r->ad->name, what);
	r->failed++;
}

unsigned vectors_run(struct adapters *a, struct adapter *ad, struct diag *d)
{
	struct running r = { .a = a, .ad = ad, .d = d };
	struct listing all = { .table = ad->table, .list = LUA_NOREF };
	struct buf why = BUF_INIT, state = BUF_INIT;

	if (vm_run(a->vm, open_list, &all, VECTOR_PATIENCE, &why) < 0)
		list_told(&r, why.p);
	for (r.i = 1; r.i <= all.n; r.i++) {
		struct listing steps = { .table = all.list, .i = r.i, .list = LUA_NOREF };
		bool wrong = vm_run(a->vm, open_list, &steps, VECTOR_PATIENCE, &why) < 0;
		buf_clear(&state);
		r.step = 0;
		if (wrong)
			vector_told(&r, NULL, why.p);
		else if (steps.list == LUA_NOREF && !vector_far(&r, all.list, r.i))
			run_one(&r, all.list, r.i, &state);
		while (++r.step <= steps.n)
			run_one(&r, steps.list, r.step, &state);
		script_unload(a->vm, steps.list);
	}
	script_unload(a->vm, all.list);
	buf_fini(&why);
	buf_fini(&state);
	return r.failed;
}
