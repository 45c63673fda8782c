/* where_parse.c - an expression read into a tree.
 *
 * Precedence climbing: one loop for all binary operators. Where C's precedence is a known trap (`din & 1 == 1`, `!a == b`,
 * `1 < x < 5`) the expression is refused until brackets say what is meant. */
#include "plan/where_lex.h"

#include <string.h>

#include "base/arena.h"
#include "spec/diag.h"
#include "spec/tree.h"

/* What is read may nest deeper than what comes of it, by brackets: the normal form has at most two more for each node. */
#define NESTING_MAX (4 * WHERE_DEPTH_MAX)

struct parser {
	struct lexer x;
	struct where *w;
	unsigned nesting;
};

static struct expr *parse_binary(struct parser *p, enum level least);

static struct expr *parse_any(struct parser *p);

/* ---- nodes ------------------------------------------------------------------------------------------------------------------- */

static struct expr *expr_new(struct parser *p, enum op op, unsigned from, uint8_t can)
{
	struct expr *e = arena_alloc(p->x.arena, sizeof(*e));

	e->op = op;
	e->from = from;
	e->len = p->x.behind - from;
	e->can = can;
	e->depth = 1;
	return e;
}

/* A node is complete: its arguments are in place. NULL when it lies too deep. */
static struct expr *finish(struct parser *p, struct expr *e)
{
	unsigned depth = 0;

	e->nargs = 0;
	for (const struct expr *a = e->args; a; a = a->next) {
		e->nargs++;
		if (a->depth > depth)
			depth = a->depth;
	}
	if (depth >= WHERE_DEPTH_MAX) {
		lexer_tell(&p->x, DIAG_EXPRESSION, e->from, e->len, "more than %d operators inside one another", WHERE_DEPTH_MAX);
		return NULL;
	}
	e->depth = (uint8_t)(depth + 1);
	if (e->op == OP_IF)
		e->can = e->args->next->can | e->args->next->next->can;
	expr_check(&p->x, e);
	expr_fold(&p->x, p->w, e);
	return e;
}

static struct expr *param_new(struct parser *p, enum op op, unsigned from, const char *name, size_t n)
{
	struct expr *e = expr_new(p, op, from, op == OP_EXISTS ? CAN_BOOL : CAN_ALL);
	struct where *w = p->w;

	for (e->name = 0; e->name < w->nnames; e->name++)
		if (w->names[e->name].n == n && memcmp(w->names[e->name].p, name, n) == 0)
			return e;
	if (w->nnames == WHERE_NAMES_MAX) {
		lexer_tell(&p->x, DIAG_EXPRESSION, from, e->len, "more than %d different parameters", WHERE_NAMES_MAX);
		return NULL;
	}
	if (!w->names)
		w->names = arena_alloc(p->x.arena, WHERE_NAMES_MAX * sizeof(*w->names));
	w->names[w->nnames++] = (struct where_name){ .p = arena_strndup(p->x.arena, name, n), .n = n };
	return e;
}

/* ---- functions --------------------------------------------------------------------------------------------------------------- */

static struct expr *expected(struct parser *p, const char *what)
{
	struct lexer *x = &p->x;

	if (x->failed)
		return NULL;
	if (x->token == TOKEN_END)
		lexer_note_end(x, lexer_tell(x, DIAG_EXPRESSION, x->behind ? x->behind - 1 : 0, 1, "the expression ends where %s is expected", what));
	else
		lexer_tell(x, DIAG_EXPRESSION, x->from, x->n, "%s is expected, not %s", what, diag_quote(x->diag, x->text + x->from, x->n));
	return NULL;
}

/* Behind the opening bracket, to behind the closing one. False after an error. */
static bool parse_args(struct parser *p, struct expr **args, unsigned *n)
{
	struct expr **tail = args;

	*args = NULL;
	*n = 0;
	lexer_next(&p->x);
	if (!lexer_at_mark(&p->x, ')')) {
		for (;;) {
			struct expr *e = parse_any(p);
			if (!e)
				return false;
			*tail = e;
			tail = &e->next;
			++*n;
			if (!lexer_at_mark(&p->x, ','))
				break;
			lexer_next(&p->x);
		}
	}
	if (!lexer_at_mark(&p->x, ')')) {
		expected(p, ") or ,");
		return false;
	}
	lexer_next(&p->x);
	return true;
}

static bool counted(struct parser *p, struct expr *e, const char *name, const char *use, unsigned n, unsigned min, unsigned max)
{
	if (n >= min && n <= max)
		return true;
	struct problem *pr = lexer_tell(&p->x, DIAG_EXPRESSION_FUNCTION, e->from, e->len, min == max ? "%s takes %u argument%s, not %u" :
		n < min ? "%s takes at least %u argument%s, not %u" : "%s takes at most %u argument%s, not %u", name, n < min ? min : max,
		(n < min ? min : max) == 1 ? "" : "s", n);
	problem_note(pr, "it is used so: %s", use);
	return false;
}

/* exists('name') and param('name'): the argument is a name, not a value. */
static struct expr *named(struct parser *p, enum op op, unsigned from, const struct expr *arg)
{
	const char *function = op == OP_EXISTS ? "exists" : "param";

	if (arg->op != OP_VALUE || arg->value.kind != VALUE_TEXT) {
		struct problem *pr = lexer_tell(&p->x, DIAG_EXPRESSION_FUNCTION, arg->from, arg->len, "%s takes a name in quotes", function);
		if (arg->op == OP_PARAM)
			problem_note(pr, "%s('%.*s')", function, (int)p->w->names[arg->name].n, p->w->names[arg->name].p);
		return NULL;
	}
	if (arg->starred) {
		struct problem *pr = lexer_tell(&p->x, DIAG_EXPRESSION_FUNCTION, arg->from, arg->len, "%s takes one name, no wildcard", function);
		problem_note(pr, "an asterisk that belongs to the name is written \\*");
		return NULL;
	}
	return param_new(p, op, from, arg->value.p, arg->value.n);
}

static struct expr *parse_call(struct parser *p, unsigned from, const char *name, size_t n)
{
	struct expr *e = expr_new(p, OP_CALL, from, CAN_ALL);
	unsigned nargs;
	const struct where_function *f = function_find(name, n);
	bool is_if = n == 2 && memcmp(name, "if", 2) == 0, is_exists = n == 6 && memcmp(name, "exists", 6) == 0,
	     is_param = n == 5 && memcmp(name, "param", 5) == 0;

	if (!f && !is_if && !is_exists && !is_param)
		return unknown_function(&p->x, from, name, n), NULL;
	if (!parse_args(p, &e->args, &nargs))
		return NULL;
	e->len = p->x.behind - from;
	if (is_if) {
		e->op = OP_IF;
		return counted(p, e, "if", "if(condition, then, else)", nargs, 3, 3) ? finish(p, e) : NULL;
	}
	if (is_exists || is_param)
		return counted(p, e, is_exists ? "exists" : "param", is_exists ? "exists('position.latitude')" : "param('fuel-level')", nargs, 1, 1) ?
			named(p, is_exists ? OP_EXISTS : OP_PARAM, from, e->args) : NULL;
	e->call = f;
	e->can = f->gives;
	return counted(p, e, f->name, f->use, nargs, f->min, f->max) ? finish(p, e) : NULL;
}

/* ---- operands --------------------------------------------------------------------------------------------------------------- */

static struct expr *literal(struct parser *p, struct value v)
{
	struct expr *e;
	unsigned from = p->x.from;
	const char *starred = p->x.starred;

	lexer_next(&p->x);
	e = expr_new(p, OP_VALUE, from, (uint8_t)value_can(v));
	e->value = v;
	e->constant = true;
	e->starred = starred;
	return e;
}

static struct expr *parse_name(struct parser *p)
{
	struct lexer *x = &p->x;
	unsigned from = x->from;
	bool dollar = x->token == TOKEN_DOLLAR;
	const char *name = x->value.p;
	size_t n = x->value.n;

	if (!dollar && n == 4 && memcmp(name, "true", 4) == 0)
		return literal(p, value_bool(true));
	if (!dollar && n == 5 && memcmp(name, "false", 5) == 0)
		return literal(p, value_bool(false));
	if (!dollar && n == 4 && memcmp(name, "null", 4) == 0)
		return literal(p, value_null());
	lexer_next(x);
	if (!dollar && lexer_at_mark(x, '('))
		return parse_call(p, from, name, n);
	return param_new(p, dollar ? OP_MAYBE : OP_PARAM, from, name, n);
}

static struct expr *parse_unary(struct parser *p);

static struct expr *prefixed(struct parser *p, enum op op, enum level level)
{
	unsigned from = p->x.from;
	struct expr *arg, *e;

	lexer_next(&p->x);
	arg = level == LEVEL_UNARY ? parse_unary(p) : parse_binary(p, level);
	if (!arg)
		return NULL;
	e = expr_new(p, op, from, op == OP_NOT ? CAN_BOOL : CAN_NUMBER);
	e->args = arg;
	return finish(p, e);
}

static struct expr *parse_unary(struct parser *p)
{
	struct lexer *x = &p->x;
	struct expr *e = NULL;
	unsigned from = x->from;

	if (p->nesting == NESTING_MAX) {
		lexer_tell(x, DIAG_EXPRESSION, from, x->n, "more than %d brackets or operators inside one another", NESTING_MAX);
		return NULL;
	}
	p->nesting++;
	switch (x->token) {
	case TOKEN_NUMBER:
	case TOKEN_TEXT:
		e = literal(p, x->value);
		break;
	case TOKEN_NAME:
	case TOKEN_DOLLAR:
		e = parse_name(p);
		break;
	case TOKEN_NOT: { /* not(x) is a function; `not a == b` denies the comparison, as the word does elsewhere */
		unsigned pos = x->pos;
		while (pos < x->len && strchr(" \t\r\n", x->text[pos]))
			pos++;
		e = prefixed(p, OP_NOT, pos < x->len && x->text[pos] == '(' ? LEVEL_UNARY : LEVEL_BITOR);
		if (e)
			e->bracketed = true;
		break;
	}
	default:
		if (lexer_at_mark(x, '!')) {
			e = prefixed(p, OP_NOT, LEVEL_UNARY);
		} else if (x->token == TOKEN_BINARY && x->mark == '-') {
			e = prefixed(p, OP_NEGATE, LEVEL_UNARY);
		} else if (x->token == TOKEN_BINARY && x->mark == '~') {
			e = prefixed(p, OP_COMPLEMENT, LEVEL_UNARY);
		} else if (lexer_at_mark(x, '(')) {
			lexer_next(x);
			e = parse_any(p);
			if (e && !lexer_at_mark(x, ')'))
				e = expected(p, ")");
			if (!e)
				break;
			lexer_next(x);
			e->bracketed = true;
			e->brackets++;
			e->from = from;
			e->len = x->behind - from;
		} else {
			expected(p, "a value");
		}
	}
	p->nesting--;
	return e;
}

/* ---- operators ---------------------------------------------------------------------------------------------------------------- */

static bool is_comparison(const struct expr *e)
{
	return op_level(e->op) == LEVEL_EQUAL || op_level(e->op) == LEVEL_ORDER;
}

/* What C reads otherwise than people do. */
static bool trapped(struct parser *p, enum op op, const struct expr *left, const struct expr *right)
{
	enum level level = op_level(op);
	struct problem *pr;
	unsigned from = left->from, n = right->from + right->len - from;
	const char *words = NULL, *note = NULL;

	if (level >= LEVEL_BITOR && level <= LEVEL_BITAND &&
	    ((is_comparison(left) && !left->bracketed) || (is_comparison(right) && !right->bracketed))) {
		words = "a comparison binds tighter than";
		note = "put brackets around what belongs together: (din & 0x1) == 1";
	} else if ((level == LEVEL_EQUAL || level == LEVEL_ORDER) &&
	           ((is_comparison(left) && !left->bracketed) || (is_comparison(right) && !right->bracketed))) {
		words = "comparisons do not chain:";
		note = "a < b && b < c, or brackets around one of them";
	} else if ((level == LEVEL_EQUAL || level == LEVEL_ORDER) && left->op == OP_NOT && !left->bracketed) {
		words = "! binds tighter than";
		note = "not(a == b), or (!a) == b";
	}
	if (!words)
		return false;
	pr = lexer_tell(&p->x, DIAG_EXPRESSION, from, n, "%s %s", words, op_text(op));
	problem_note(pr, "%s", note);
	return true;
}

/* `a && b && c` is one node; so is `a && (b && c)`, which asks the same in the same order. */
static struct expr *chained(struct parser *p, struct expr *e, struct expr *left, struct expr *right)
{
	struct expr *last = left;

	e->args = left;
	if (left->op == e->op && !left->constant) {
		e->args = left->args;
		for (last = left->args; last->next;)
			last = last->next;
	}
	last->next = right->op == e->op && !right->constant ? right->args : right;
	return finish(p, e);
}

static struct expr *combined(struct parser *p, enum op op, struct expr *left, struct expr *right)
{
	struct expr *e;

	if (trapped(p, op, left, right))
		return NULL;
	e = expr_new(p, op, left->from, op == OP_OR || op == OP_AND || (op_level(op) >= LEVEL_EQUAL && op_level(op) <= LEVEL_ORDER) ? CAN_BOOL : CAN_NUMBER);
	if (op == OP_OR || op == OP_AND)
		return chained(p, e, left, right);
	e->args = left;
	left->next = right;
	return finish(p, e);
}

static struct expr *parse_binary(struct parser *p, enum level least)
{
	struct expr *left = parse_unary(p);

	while (left && p->x.token == TOKEN_BINARY && op_level(p->x.op) >= least) {
		enum op op = p->x.op;
		lexer_next(&p->x);
		struct expr *right = parse_binary(p, op_level(op) + 1);
		left = right ? combined(p, op, left, right) : NULL;
	}
	if (left && least == LEVEL_OR && (p->x.token == TOKEN_NAME || p->x.token == TOKEN_DOLLAR || p->x.token == TOKEN_NUMBER ||
	                                  p->x.token == TOKEN_TEXT || p->x.token == TOKEN_NOT))
		return unknown_operator(&p->x, left), NULL;
	return left;
}

static struct expr *parse_any(struct parser *p)
{
	struct expr *e = parse_binary(p, LEVEL_OR), *yes, *no, *chosen;

	if (!e || !lexer_at_mark(&p->x, '?'))
		return e;
	if (p->nesting == NESTING_MAX) {
		lexer_tell(&p->x, DIAG_EXPRESSION, p->x.from, 1, "more than %d operators inside one another", NESTING_MAX);
		return NULL;
	}
	p->nesting++;
	lexer_next(&p->x);
	yes = parse_any(p);
	if (!yes)
		return NULL;
	if (!lexer_at_mark(&p->x, ':'))
		return expected(p, ":");
	lexer_next(&p->x);
	no = parse_any(p);
	if (!no)
		return NULL;
	p->nesting--;
	chosen = expr_new(p, OP_IF, e->from, CAN_ALL);
	chosen->args = e;
	e->next = yes;
	yes->next = no;
	return finish(p, chosen);
}

struct expr *where_parse(struct arena *a, const struct node *scalar, struct diag *d, struct where *w)
{
	struct parser p = { .w = w };
	struct expr *e;

	if (scalar->len > WHERE_LENGTH_MAX) {
		diag_add(d, DIAG_EXPRESSION, &scalar->at, "the expression has %zu bytes; %d is the limit", scalar->len, WHERE_LENGTH_MAX);
		return NULL;
	}
	lexer_begin(&p.x, a, scalar, d);
	if (p.x.token == TOKEN_END) {
		struct problem *pr = diag_add(d, DIAG_EXPRESSION, &scalar->at, "the expression is empty");
		problem_note(pr, "to take every message, leave it out");
		return NULL;
	}
	e = parse_any(&p);
	if (e && !p.x.failed && p.x.token != TOKEN_END)
		expected(&p, "an operator");
	if (p.x.failed)
		return NULL;
	expr_doubt(&p.x, w, e);
	return e;
}
