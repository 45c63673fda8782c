/* where_check.c - what is told of an expression though it can be read: that it can never work.
 *
 * Each node knows the kinds it can have, as a set: of a parameter all, of a comparison one. An operator that shares none with its operands
 * is refused, and so is what fails though it needs no message to be computed. */
#include "plan/where_lex.h"

#include <string.h>

#include "base/arena.h"
#include "message/message.h"
#include "spec/diag.h"

static const char *kinds_text(unsigned can)
{
	switch (can) {
	case CAN_NULL: return "null";
	case CAN_BOOL: return "true or false";
	case CAN_NUMBER: return "a number";
	case CAN_TEXT: return "a text";
	default: return can & CAN_TEXT ? "a text or something else" : can & CAN_JSON ? "an object or array" : "a number";
	}
}

const char *expr_shown(struct lexer *x, const struct expr *e)
{
	const char *p;
	size_t n;

	expr_text(x->text, e, &p, &n);
	if (n <= 60)
		return arena_printf(x->arena, "`%.*s`", (int)n, p);
	for (n = 57; n > 0 && ((unsigned char)p[n] & 0xc0) == 0x80;)
		n--;
	return arena_printf(x->arena, "`%.*s…`", (int)n, p);
}

static void tell_kind(struct lexer *x, const struct expr *e, const struct expr *arg, const char *takes)
{
	lexer_tell(x, DIAG_EXPRESSION_KIND, arg->from, arg->len, "%s takes %s, and %s is %s",
		e->op == OP_CALL ? e->call->name : op_text(e->op == OP_NEGATE ? OP_SUB : e->op == OP_COMPLEMENT ? OP_LIKE : e->op), takes,
		expr_shown(x, arg), kinds_text(arg->can));
}

/* A text that could be the name of a parameter: who writes it where a text does not fit means the parameter. */
void text_note(struct problem *p, const struct expr *literal)
{
	const struct value *v = &literal->value;
	bool plain;

	if (literal->op != OP_VALUE || v->kind != VALUE_TEXT || literal->starred || v->n == 0)
		return;
	plain = name_is_plain(v->p, v->n, false);
	for (size_t i = 0; i < v->n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz_.-#0123456789", v->p[i]) || (i == 0 && strchr("-#.", *v->p)))
			return;
	problem_note(p, plain ? "in quotes it is a text; a parameter has none: %.*s" : "in quotes it is a text; the parameter is param('%.*s')", (int)v->n, v->p);
}

static void tell_unlike(struct lexer *x, const struct expr *e, const char *words)
{
	const struct expr *a = e->args, *b = a->next;
	struct problem *p = lexer_tell(x, DIAG_EXPRESSION_KIND, e->from, e->len, "%s is %s and %s is %s: %s", expr_shown(x, a), kinds_text(a->can),
		expr_shown(x, b), kinds_text(b->can), words);

	text_note(p, a->can == CAN_TEXT ? a : b);
}

static void check_compare(struct lexer *x, const struct expr *e)
{
	const struct expr *a = e->args, *b = a->next;
	unsigned both = a->can & b->can;

	if ((both & CAN_TEXT) || ((a->can & CAN_COUNT) && (b->can & CAN_COUNT)))
		return;
	if (e->op != OP_EQ && e->op != OP_NE)
		tell_unlike(x, e, "neither is the greater");
	else if (!((a->can | b->can) & (CAN_NULL | CAN_JSON)))
		tell_unlike(x, e, "they are never equal");
}

static void check_pattern(struct lexer *x, const struct expr *arg)
{
	if (arg->starred && arg->value.n > WHERE_PATTERN_MAX)
		lexer_tell(x, DIAG_EXPRESSION, arg->from, arg->len, "the pattern is longer than %d bytes", WHERE_PATTERN_MAX);
}

void expr_check(struct lexer *x, const struct expr *e)
{
	switch (e->op) {
	case OP_OR: case OP_AND: case OP_NOT: case OP_IF:
		return;
	case OP_EQ: case OP_NE:
		if (e->args->starred && e->args->next->starred)
			lexer_tell(x, DIAG_EXPRESSION_KIND, e->from, e->len, "both sides are patterns");
		check_pattern(x, e->args);
		check_pattern(x, e->args->next);
		check_compare(x, e);
		return;
	case OP_LT: case OP_LE: case OP_GT: case OP_GE:
		check_compare(x, e);
		return;
	case OP_LIKE:
		check_pattern(x, e->args->next);
		for (const struct expr *a = e->args; a; a = a->next)
			if (!(a->can & (CAN_TEXT | CAN_NULL)))
				tell_kind(x, e, a, "texts");
		return;
	case OP_CALL:
		for (const struct expr *a = e->args; a; a = a->next)
			if (!(a->can & e->call->takes))
				tell_kind(x, e, a, e->call->takes == CAN_TEXT ? "a text" : "numbers");
		return;
	default:
		for (const struct expr *a = e->args; a; a = a->next)
			if (!(a->can & CAN_COUNT))
				tell_kind(x, e, a, "numbers");
		if ((e->op == OP_DIV || e->op == OP_MOD) && e->args->next->constant && (e->args->next->can & CAN_COUNT) &&
		    !value_is_true(e->args->next->value))
			lexer_tell(x, DIAG_EXPRESSION_KIND, e->from, e->len, "%s divides by zero, whatever the message", expr_shown(x, e));
	}
}

/* What consists of constants is one; an error in it would be there for every message. */
void expr_fold(struct lexer *x, const struct where *w, struct expr *e)
{
	static const struct slice none;
	static const struct message empty = { .bytes = "{}", .len = 2, .slices = &none };
	struct run r;
	struct value v;

	if (x->failed || (e->op == OP_CALL && e->call->varies))
		return;
	for (const struct expr *a = e->args; a; a = a->next)
		if (!a->constant)
			return;
	run_begin(&r, w, &empty, 0);
	v = expr_value(&r, e);
	if (v.kind == VALUE_ERROR) {
		lexer_tell(x, DIAG_EXPRESSION_KIND, e->from, e->len, "%s %s, whatever the message", expr_shown(x, e), fault_text(v));
	} else {
		if (v.kind == VALUE_TEXT)
			v.p = arena_strndup(x->arena, v.p, v.n);
		e->value = v;
		e->constant = true;
		e->can = (uint8_t)value_can(v);
	}
	run_end(&r);
}
