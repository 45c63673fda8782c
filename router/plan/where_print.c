/* where_print.c - a condition in normal form: one way to write each thing, brackets only where they are needed (and where parsing asks
 * for them though precedence would not). What is printed parses to the same condition, and prints the same again. */
#include "plan/where_lex.h"

#include <string.h>

#include "base/buf.h"

void expr_text(const char *text, const struct expr *e, const char **p, size_t *n)
{
	const char *from = text + e->from, *end = from + e->len;

	for (unsigned i = 0; i < e->brackets; i++) {
		for (from++; strchr(" \t\r\n", *from);)
			from++;
		for (end--; strchr(" \t\r\n", end[-1]);)
			end--;
	}
	*p = from;
	*n = (size_t)(end - from);
}

static void print_name(const struct where_name *name, const struct expr *e, struct buf *out)
{
	if (e->op == OP_MAYBE)
		buf_addc(out, '$');
	if (e->op != OP_EXISTS && name_is_plain(name->p, name->n, e->op == OP_MAYBE)) {
		buf_add(out, name->p, name->n);
		return;
	}
	buf_adds(out, e->op == OP_EXISTS ? "exists(" : "param(");
	text_write(out, name->p, name->n, NULL);
	buf_addc(out, ')');
}

/* As it was written: 0x1F stays 0x1F. */
static void print_literal(const struct where *w, const struct expr *e, struct buf *out)
{
	const char *p;
	size_t n;

	expr_text(w->text, e, &p, &n);
	buf_add(out, p, n);
}

static void print_args(const struct where *w, const struct expr *e, const char *name, struct buf *out)
{
	buf_adds(out, name);
	buf_addc(out, '(');
	for (const struct expr *a = e->args; a; a = a->next) {
		expr_print(w, a, out);
		if (a->next)
			buf_adds(out, ", ");
	}
	buf_addc(out, ')');
}

static bool is_comparison(enum level level)
{
	return level == LEVEL_EQUAL || level == LEVEL_ORDER;
}

static void print_operand(const struct where *w, const struct expr *e, enum level of, bool first, struct buf *out)
{
	enum level own = op_level(e->op);
	bool brackets = own < of || (own == of && !first)
		|| (is_comparison(own) && (is_comparison(of) || (of >= LEVEL_BITOR && of <= LEVEL_BITAND)));

	if (brackets)
		buf_addc(out, '(');
	expr_print(w, e, out);
	if (brackets)
		buf_addc(out, ')');
}

void expr_print(const struct where *w, const struct expr *e, struct buf *out)
{
	switch (e->op) {
	case OP_VALUE:
		if (e->value.kind == VALUE_TEXT)
			text_write(out, e->value.p, e->value.n, e->starred);
		else
			print_literal(w, e, out);
		break;
	case OP_PARAM: case OP_MAYBE: case OP_EXISTS:
		print_name(&w->names[e->name], e, out);
		break;
	case OP_IF:
		print_args(w, e, "if", out);
		break;
	case OP_NOT:
		print_args(w, e, "not", out);
		break;
	case OP_CALL:
		print_args(w, e, e->call->name, out);
		break;
	case OP_NEGATE: case OP_COMPLEMENT:
		buf_addc(out, e->op == OP_NEGATE ? '-' : '~');
		print_operand(w, e->args, LEVEL_UNARY, false, out);
		break;
	default:
		for (const struct expr *a = e->args; a; a = a->next) {
			print_operand(w, a, op_level(e->op), a == e->args, out);
			if (a->next) {
				buf_addc(out, ' ');
				buf_adds(out, op_text(e->op));
				buf_addc(out, ' ');
			}
		}
	}
}
