/* verdict.c - what an adapter makes of a far end's answer; and of bytes on a connection.
 *
 * verdict(answer, batch, ctx) → "done" | "retry" | "split" | "refused" | "blocked" [, "reason"], or one verdict for each message:
 * {"done", {"refused", "reason"}, "retry", …}; or nil: no opinion.
 * hello(ctx) → bytes [, true: no message goes before `reply` has understood an answer to it].
 * reply(bytes, ctx) → bytes used [, verdicts of the oldest messages that wait for one]; or nil and a reason: the far end will not have us. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "transforms/batch.h"
#include "transforms/script.h"

void script_judgement_init(struct script_judgement *j)
{
	*j = (struct script_judgement){ .verdict = SCRIPT_NO_OPINION };
}

void script_judgement_fini(struct script_judgement *j)
{
	free(j->each);
	buf_fini(&j->words);
	script_judgement_init(j);
}

RAISES static enum script_verdict word(lua_State *L, int i, bool of_one)
{
	static const struct { const char *word; enum script_verdict verdict; bool of_one; } words[] = { { "done", SCRIPT_DONE, true },
		{ "retry", SCRIPT_RETRY, true }, { "refused", SCRIPT_REFUSED, true }, { "split", SCRIPT_SPLIT, false }, { "blocked", SCRIPT_BLOCKED, false } };

	for (size_t k = 0; lua_type(L, i) == LUA_TSTRING && k < sizeof(words) / sizeof(words[0]); k++)
		if (strcmp(lua_tostring(L, i), words[k].word) == 0 && (words[k].of_one || !of_one))
			return words[k].verdict;
	luaL_error(L, "verdict returned %s%s; expected is done, retry, refused%s", of_one ? "for one message " : "", luaL_tolstring(L, i, NULL),
		of_one ? "" : ", split or blocked");
	return SCRIPT_NO_OPINION;
}

/* The text at i (or nothing), kept in the judgement's words. */
RAISES static size_t keep(lua_State *L, int i, struct script_judgement *out)
{
	size_t at = out->words.len;

	if (lua_type(L, i) == LUA_TSTRING)
		buf_adds(&out->words, lua_tostring(L, i));
	buf_addc(&out->words, '\0');
	return at;
}

/* What is said of a message that there is not is a slip that would go unseen: the message that was meant has another verdict. */
RAISES static void check_each(lua_State *L, int table, unsigned n, const char *function)
{
	lua_pushnil(L);
	while (lua_next(L, table)) {
		lua_pop(L, 1);
		if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1 || lua_tointeger(L, -1) > (lua_Integer)n)
			luaL_error(L, "%s returned a verdict [%s]; the last message is [%d]", function, luaL_tolstring(L, -1, NULL), (int)n);
	}
}

RAISES static void take_each(lua_State *L, int table, unsigned n, struct script_judgement *out)
{
	if (out->cap < n) {
		out->each = xrealloc(out->each, n * sizeof(*out->each));
		out->cap = n;
	}
	for (unsigned k = 0; k < n; k++) {
		lua_rawgeti(L, table, k + 1);
		int at = lua_gettop(L);
		if (lua_istable(L, at)) {
			lua_rawgeti(L, at, 1);
			lua_rawgeti(L, at, 2);
		} else {
			lua_pushvalue(L, at);
			lua_pushnil(L);
		}
		out->each[k] = (struct script_each){ .verdict = word(L, at + 1, true), .reason = keep(L, at + 2, out) };
		lua_settop(L, table + 1);
	}
	out->n = n;
	out->has_each = true;
}

struct job { struct far *f; struct facts facts; const struct script_batch *b; const struct script_answer *a; struct script_judgement *out; };

static int judge(lua_State *L)
{
	struct job *j = lua_touserdata(L, 1);

	if (!far_function(L, j->f, "verdict"))
		return 0;
	answer_push(L, j->a);
	batch_push(L, j->b);
	far_ctx(L, j->f, &j->facts);
	vm_call(L, 3, 2);
	if (lua_isnil(L, 2))
		return 0;
	if (lua_istable(L, 2)) {
		check_each(L, 2, j->b->n, "verdict");
		if (lua_rawlen(L, 2) != j->b->n)
			return luaL_error(L, "verdict returned %d verdicts for a batch of %d messages", (int)lua_rawlen(L, 2), (int)j->b->n);
		take_each(L, 2, j->b->n, j->out);
		j->out->verdict = SCRIPT_DONE;
		return 0;
	}
	j->out->verdict = word(L, 2, false);
	j->out->reason = keep(L, 3, j->out);
	return 0;
}

/* ---- tcp: hello and reply ------------------------------------------------------------------------------------------------- */

struct talk {
	struct far *f;
	struct facts facts;
	const char *bytes; size_t n, *used;
	unsigned waiting;
	struct buf *hello;
	bool *wait;
	struct script_judgement *out;
	bool called;
};

static int say_hello(lua_State *L)
{
	struct talk *t = lua_touserdata(L, 1);
	size_t n;

	if (!far_function(L, t->f, "hello"))
		return 0;
	far_ctx(L, t->f, &t->facts);
	vm_call(L, 1, 2);
	conn_settle(L, &t->facts);
	*t->wait = lua_toboolean(L, 3);
	if (lua_type(L, 2) != LUA_TSTRING)
		return luaL_error(L, "hello returned a %s, not a string", luaL_typename(L, 2));
	const char *s = lua_tolstring(L, 2, &n);
	buf_add(t->hello, s, n);
	t->called = true;
	return 0;
}

static int hear_reply(lua_State *L)
{
	struct talk *t = lua_touserdata(L, 1);

	if (!far_function(L, t->f, "reply"))
		return 0;
	lua_pushlstring(L, t->bytes, t->n);
	far_ctx(L, t->f, &t->facts);
	vm_call(L, 2, 2);
	conn_settle(L, &t->facts);
	if (lua_isnil(L, 2) && lua_type(L, 3) == LUA_TSTRING) {
		t->out->verdict = SCRIPT_BLOCKED;
		t->out->reason = keep(L, 3, t->out);
		t->called = true;
		return 0;
	}
	if (!lua_isinteger(L, 2) || lua_tointeger(L, 2) < 0 || (size_t)lua_tointeger(L, 2) > t->n)
		return luaL_error(L, "reply used %s of %d bytes", luaL_tolstring(L, 2, NULL), (int)t->n);
	*t->used = (size_t)lua_tointeger(L, 2);
	t->called = true;
	if (lua_isnil(L, 3))
		return 0;
	luaL_argexpected(L, lua_istable(L, 3), 3, "a list of verdicts");
	if (lua_rawlen(L, 3) > t->waiting)
		return luaL_error(L, "reply returned %d verdicts where %d messages wait for one", (int)lua_rawlen(L, 3), (int)t->waiting);
	check_each(L, 3, (unsigned)lua_rawlen(L, 3), "reply");
	take_each(L, 3, (unsigned)lua_rawlen(L, 3), t->out);
	t->out->verdict = SCRIPT_DONE;
	return 0;
}

static int talk(struct talk *t, lua_CFunction job, char *why, size_t whylen)
{
	struct buf words = BUF_INIT;

	if (!t->f)
		return 0;
	int failed = far_run(t->f, job, t, 1, &words);
	if (failed)
		snprintf(why, whylen, "%s", words.p);
	buf_fini(&words);
	return failed ? -1 : t->called;
}

int scripts_hello(struct scripts *s, const struct destination *d, int64_t now_us, const char *ident, int *conn, struct buf *out, bool *wait, char *why,
                  size_t whylen)
{
	struct talk t = { .f = scripts_destination(s, d), .facts = { .now_us = now_us, .ident = ident, .conn = conn }, .hello = out, .wait = wait };

	*wait = false;
	buf_clear(out);
	return talk(&t, say_hello, why, whylen);
}

static void clear(struct script_judgement *j)
{
	j->verdict = SCRIPT_NO_OPINION;
	j->has_each = false;
	j->n = 0;
	buf_clear(&j->words);
	buf_addc(&j->words, '\0');
	j->reason = 0;
}

int far_verdict(struct far *f, const struct script_batch *b, const struct script_answer *a, struct script_judgement *out, struct buf *why)
{
	struct job j = { .f = f, .facts = { .now_us = b->now_us }, .b = b, .a = a, .out = out };

	clear(out);
	int failed = far_run(f, judge, &j, far_patience(b), why);
	batch_end(f->vm);
	if (failed)
		clear(out);
	return failed;
}

int scripts_verdict(struct scripts *s, const struct destination *d, const struct script_batch *b, const struct script_answer *a,
                    struct script_judgement *out, char *why, size_t whylen)
{
	struct far *f = scripts_destination(s, d);
	struct buf words = BUF_INIT;

	clear(out);
	if (!f)
		return 0;
	int failed = far_verdict(f, b, a, out, &words);
	if (failed)
		snprintf(why, whylen, "%s", words.p);
	buf_fini(&words);
	return failed;
}

int scripts_reply(struct scripts *s, const struct destination *d, int64_t now_us, const char *ident, int *conn, const char *bytes, size_t n,
                  unsigned waiting, size_t *used, struct script_judgement *out, char *why, size_t whylen)
{
	struct talk t = { .f = scripts_destination(s, d), .facts = { .now_us = now_us, .ident = ident, .conn = conn }, .bytes = bytes, .n = n,
		.used = used, .waiting = waiting, .out = out };

	clear(out);
	*used = 0;
	int result = talk(&t, hear_reply, why, whylen);
	if (result < 0) {
		clear(out);
		*used = 0;
	}
	return result;
}
