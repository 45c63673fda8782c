/* where_doubt.c - what a condition may say, and hardly means: warnings, once the whole of it is read.
 *
 * A warning that is wrong is worse than none. So each is about one slip that people make (a text where a comparison was to be said again, `or` for
 * `and` between two that are not equal, TRUE, a hyphen in a name), names what the condition does instead, and can be stilled by writing what is meant. */
#include "plan/where_lex.h"

#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "spec/diag.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* Written as it is called, without param() or $. */
static bool is_bare(struct lexer *x, const struct where *w, const struct expr *e)
{
	const char *p;
	size_t n;

	if (e->op != OP_PARAM)
		return false;
	expr_text(x->text, e, &p, &n);
	return n == w->names[e->name].n && memcmp(p, w->names[e->name].p, n) == 0;
}

static bool is_named(const struct where *w, const struct expr *e, const char *name)
{
	return (e->op == OP_PARAM || e->op == OP_MAYBE) && w->names[e->name].n == strlen(name) && memcmp(w->names[e->name].p, name, w->names[e->name].n) == 0;
}

/* ---- the same for every message ----------------------------------------------------------------------------------------------- */

/* true, false, 1 and 0 say so themselves. */
static bool is_frank(const struct expr *e)
{
	return e->op == OP_VALUE && (e->value.kind == VALUE_BOOL || (e->value.kind == VALUE_INT && (e->value.i == 0 || e->value.i == 1)));
}

static void doubt_constant(struct lexer *x, const struct expr *e, const struct expr *before)
{
	struct problem *p;

	if (!e->constant || is_frank(e))
		return;
	p = lexer_tell(x, DIAG_SAME, e->from, e->len, "%s is %s, whatever the message", expr_shown(x, e), value_is_true(e->value) ? "true" : "false");
	if (before && !before->constant && (before->op == OP_EQ || before->op == OP_NE || before->op == OP_LIKE) && (before->args->op == OP_PARAM || before->args->op == OP_MAYBE))
		problem_note(p, "each comparison is written in full: %.*s %s %.*s", (int)before->args->len, x->text + before->args->from, op_text(before->op), (int)e->len,
			x->text + e->from);
	else if (e->op == OP_VALUE)
		text_note(p, e);
}

/* A parameter beside something that needs no message. */
struct test { const struct expr *at; unsigned name; enum op op; struct value value; };

static enum op mirrored(enum op op)
{
	switch (op) {
	case OP_LT: return OP_GT;
	case OP_LE: return OP_GE;
	case OP_GT: return OP_LT;
	case OP_GE: return OP_LE;
	default: return op;
	}
}

static enum op denied(enum op op)
{
	switch (op) {
	case OP_EQ: return OP_NE;
	case OP_NE: return OP_EQ;
	case OP_LT: return OP_GE;
	case OP_LE: return OP_GT;
	case OP_GT: return OP_LE;
	default: return OP_LT;
	}
}

static bool test_of(const struct expr *e, struct test *t)
{
	const struct expr *a = e->args, *b;

	if (e->op != OP_EQ && e->op != OP_NE && e->op != OP_LT && e->op != OP_LE && e->op != OP_GT && e->op != OP_GE)
		return false;
	b = a->next;
	if (a->starred || b->starred)
		return false;
	*t = (struct test){ e, a->name, e->op, b->value };
	if ((a->op == OP_PARAM || a->op == OP_MAYBE) && b->constant)
		return true;
	*t = (struct test){ e, b->name, mirrored(e->op), a->value };
	return (b->op == OP_PARAM || b->op == OP_MAYBE) && a->constant;
}

static bool holds(enum op op, struct value a, struct value b)
{
	struct expr e = { .op = op };
	struct value v = value_compare(&e, a, b);

	return v.kind == VALUE_BOOL && v.b;
}

/* Is there no value for which both are true? */
static bool never_both(enum op p, struct value a, enum op q, struct value b)
{
	bool strict = p == OP_GT || q == OP_LT;

	if (p == OP_EQ)
		return !holds(q, a, b);
	if (q == OP_EQ)
		return !holds(p, b, a);
	if (p == OP_NE || q == OP_NE)
		return false;
	if (p == OP_LT || p == OP_LE)
		return q != OP_LT && q != OP_LE && never_both(q, b, p, a);
	return (q == OP_LT || q == OP_LE) && !holds(strict ? OP_LT : OP_LE, a, b);
}

/* Two members of `… && …` that are never true together, or two of `… || …` of which one always is. */
static void doubt_pairs(struct lexer *x, const struct expr *e)
{
	bool both = e->op == OP_AND;

	for (const struct expr *a = e->args; a; a = a->next)
		for (const struct expr *b = a->next; b; b = b->next) {
			struct test p, q;

			if (!test_of(a, &p) || !test_of(b, &q) || p.name != q.name)
				continue;
			if (!(both ? never_both(p.op, p.value, q.op, q.value) : never_both(denied(p.op), p.value, denied(q.op), q.value)))
				continue;
			problem_note(lexer_tell(x, DIAG_SAME, b->from, b->len, both ? "%s and %s are never true together" : "%s or %s is true whatever it is",
				expr_shown(x, a), expr_shown(x, b)), both ? "if one of them is enough, put || between them" : "if both must be true, put && between them");
			return;
		}
}

/* What each message has, and of which kind. */
static void doubt_kind(struct lexer *x, const struct where *w, const struct expr *e)
{
	static const struct { const char *name, *is; unsigned can; } known[] = {
		{ "ident", "a text", CAN_TEXT }, { "timestamp", "a number", CAN_NUMBER }, { "server.timestamp", "a number", CAN_NUMBER },
	};

	for (size_t i = 0; i < COUNT(known); i++) {
		const struct expr *a = e->args, *b = a->next;
		struct problem *p;
		const char *text;
		size_t n;

		if (is_named(w, b, known[i].name)) {
			a = b;
			b = e->args;
		}
		if (!is_named(w, a, known[i].name) || !b->constant || b->can & known[i].can || !(b->can & (CAN_TEXT | CAN_NUMBER)))
			continue;
		p = lexer_tell(x, DIAG_SAME, e->from, e->len, "%s is %s and %s is none: %s", known[i].name, known[i].is, expr_shown(x, b),
			e->op == OP_EQ ? "they are never equal" : e->op == OP_NE ? "they are never equal, and this is always true" : "neither is ever the greater");
		expr_text(x->text, b, &text, &n);
		if (b->can & CAN_NUMBER)
			problem_near(p, arena_printf(x->arena, "'%.*s'", (int)n, text));
		else
			problem_note(p, "time('2026-11-22T22:03:23Z') makes a number of a text");
	}
}

/* ---- not what it seems ---------------------------------------------------------------------------------------------------------- */

/* Words that are values elsewhere; here they are parameters, which no message has. The first ones wherever they stand, since no tracker writes
 * its parameters so; the others where something is compared with them, or they are all there is. */
static const struct { const char *word, *meant; bool anywhere; } words[] = {
	{ "true", "true", true }, { "false", "false", true }, { "null", "null", true },
	{ "yes", "true", false }, { "on", "true", false }, { "no", "false", false }, { "off", "false", false },
	{ "nil", "null", false }, { "none", "null", false }, { "undefined", "null", false },
};

bool name_is_value(const char *p, size_t n)
{
	for (size_t i = 0; i < COUNT(words); i++)
		if (strlen(words[i].word) == n && strncasecmp(words[i].word, p, n) == 0)
			return true;
	return false;
}

static void doubt_word(struct lexer *x, const struct where *w, const struct expr *e, bool compared)
{
	const struct where_name *name;

	if (!is_bare(x, w, e))
		return;
	name = &w->names[e->name];
	for (size_t i = 0; i < COUNT(words); i++) {
		struct problem *p;

		if (strlen(words[i].word) != name->n || strncasecmp(words[i].word, name->p, name->n) != 0 || !(compared || words[i].anywhere))
			continue;
		p = lexer_tell(x, DIAG_MISREAD, e->from, e->len, "%.*s is the name of a parameter here", (int)name->n, name->p);
		problem_near(p, words[i].meant);
		problem_note(p, "a text stands in quotes: '%.*s'; a parameter of this name is param('%.*s')", (int)name->n, name->p, (int)name->n, name->p);
	}
}

/* The parameters of a difference that is written like one name: fuel-level. False: it is not. */
static bool is_hyphened(struct lexer *x, const struct where *w, const struct expr *e)
{
	const struct expr *a = e->args, *b;

	if (e->op != OP_SUB || e->brackets)
		return e->op == OP_PARAM && is_bare(x, w, e) && !e->brackets && !is_named(w, e, "timestamp") && !is_named(w, e, "server.timestamp");
	b = a->next;
	return b->op == OP_PARAM && b->from == a->from + a->len + 1 && !memchr(w->names[b->name].p, '.', w->names[b->name].n) && is_hyphened(x, w, a) &&
		is_hyphened(x, w, b);
}

static void doubt_hyphen(struct lexer *x, const struct expr *e)
{
	problem_note(lexer_tell(x, DIAG_MISREAD, e->from, e->len, "%s is a difference, not one parameter", expr_shown(x, e)),
		"a parameter of this name is param('%.*s'); a difference has blanks around the minus", (int)e->len, x->text + e->from);
}

/* ---- the whole of it ------------------------------------------------------------------------------------------------------------ */

/* asked: is it true? Else its value is used. */
static void doubt(struct lexer *x, const struct where *w, const struct expr *e, bool asked)
{
	const struct expr *before = NULL;

	if (e->constant) {
		if (asked)
			doubt_constant(x, e, NULL);
		return;
	}
	switch (e->op) {
	case OP_AND: case OP_OR:
		for (const struct expr *a = e->args; a; before = a, a = a->next)
			if (a->constant)
				doubt_constant(x, a, before);
			else
				doubt(x, w, a, true);
		doubt_pairs(x, e);
		return;
	case OP_NOT:
		doubt(x, w, e->args, true);
		return;
	case OP_IF:
		doubt(x, w, e->args, true);
		doubt(x, w, e->args->next, false);
		doubt(x, w, e->args->next->next, false);
		return;
	case OP_PARAM:
		doubt_word(x, w, e, false);
		return;
	case OP_EQ: case OP_NE:
		doubt(x, w, e->args, false);
		doubt_kind(x, w, e);
		if (e->args->next->op == OP_PARAM)
			doubt_word(x, w, e->args->next, true);
		else
			doubt(x, w, e->args->next, false);
		return;
	case OP_LT: case OP_LE: case OP_GT: case OP_GE:
		doubt_kind(x, w, e);
		break;
	case OP_SUB:
		if (is_hyphened(x, w, e)) {
			doubt_hyphen(x, e);
			return;
		}
		break;
	default:
		break;
	}
	for (const struct expr *a = e->args; a; a = a->next)
		doubt(x, w, a, false);
}

void expr_doubt(struct lexer *x, const struct where *w, const struct expr *root)
{
	if (root->op == OP_PARAM)
		doubt_word(x, w, root, true); /* where: yes */
	else
		doubt(x, w, root, true);
}
