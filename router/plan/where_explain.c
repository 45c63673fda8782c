/* where_explain.c - why a condition is false for a message, told about the smallest part of it that decides.
 *
 * The tree is walked down the path that evaluation took: of && to the operand that stopped it, of || to all of them, of if to the branch
 * taken. What is left is a comparison, a parameter or a function, and its operands are named with their values. */
#include "plan/where_tree.h"

#include <string.h>

#include "base/buf.h"
#include "message/message.h"

#define SHOWN_MAX 60 /* bytes of a value or of the condition's text that are shown */

/* At most SHOWN_MAX bytes, cut between characters. */
static void add_cut(struct buf *out, const char *p, size_t n)
{
	size_t end = n;

	if (n > SHOWN_MAX)
		for (end = SHOWN_MAX - 3; end > 0 && ((unsigned char)p[end] & 0xc0) == 0x80;)
			end--;
	for (size_t i = 0; i < end; i++)
		buf_addc(out, p[i] == '\n' || p[i] == '\r' || p[i] == '\t' ? ' ' : p[i]);
	if (end < n)
		buf_adds(out, "…");
}

static void add_value(struct buf *out, struct value v)
{
	struct buf text = BUF_INIT;

	value_write(&text, v);
	add_cut(out, text.p, text.len);
	buf_fini(&text);
}

static bool is_param(const struct expr *e)
{
	return e->op == OP_PARAM || e->op == OP_MAYBE;
}

/* A parameter by its name, everything else as it was written. */
static void add_part(struct run *r, const struct expr *e, struct buf *out)
{
	if (is_param(e)) {
		add_cut(out, r->w->names[e->name].p, r->w->names[e->name].n);
	} else {
		const char *p;
		size_t n;
		expr_text(r->w->text, e, &p, &n);
		buf_addc(out, '`');
		add_cut(out, p, n);
		buf_addc(out, '`');
	}
}

/* The parameters inside, each once: "a is 1, b is missing". */
static void add_params(struct run *r, const struct expr *e, bool *told, unsigned *n, struct buf *out)
{
	if (is_param(e) && !told[e->name]) {
		const struct slice *s = run_slice(r, e);
		told[e->name] = true;
		if ((*n)++)
			buf_adds(out, ", ");
		add_part(r, e, out);
		if (s) {
			buf_adds(out, " is ");
			add_cut(out, r->m->bytes + s->value, s->vlen);
		} else {
			buf_adds(out, " is missing");
		}
	}
	for (const struct expr *a = e->args; a; a = a->next)
		add_params(r, a, told, n, out);
}

static void add_where(struct run *r, const struct expr *e, struct buf *out)
{
	bool told[WHERE_NAMES_MAX] = { false };
	struct buf params = BUF_INIT;
	unsigned n = 0;

	for (const struct expr *a = e->args; a; a = a->next)
		add_params(r, a, told, &n, &params);
	if (n) {
		buf_adds(out, " (");
		buf_add(out, params.p, params.len);
		buf_addc(out, ')');
	}
	buf_fini(&params);
}

static void add_error(struct run *r, struct value v, struct buf *out)
{
	const struct expr *at = v.at;

	add_part(r, at, out);
	buf_addc(out, ' ');
	buf_adds(out, fault_text(v));
	add_where(r, at, out);
}

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

/* "position.speed is 12, not > 20" */
static void tell_comparison(struct run *r, const struct expr *e, struct buf *out)
{
	const struct expr *left = e->args, *right = left->next;
	enum op op = e->op;

	if (left->constant && !right->constant && op != OP_LIKE) {
		right = left;
		left = e->args->next;
		op = mirrored(op);
	}
	struct value a = expr_value(r, left), b = expr_value(r, right);
	add_part(r, left, out);
	buf_adds(out, left->op == OP_MAYBE && !run_slice(r, left) ? " is missing" : " is ");
	if (!(left->op == OP_MAYBE && !run_slice(r, left)))
		add_value(out, a);
	if (!is_param(left))
		add_where(r, left, out);
	buf_adds(out, ", not ");
	buf_adds(out, op_text(op));
	buf_addc(out, ' ');
	if (right->op == OP_VALUE) {
		const char *p;
		size_t n;
		expr_text(r->w->text, right, &p, &n);
		add_cut(out, p, n);
	} else {
		add_part(r, right, out);
		buf_adds(out, ", which is ");
		add_value(out, b);
	}
}

/* e was evaluated, and came out as `v`: say why that is not the other. */
static void tell(struct run *r, const struct expr *e, bool want, struct buf *out)
{
	struct value v = expr_value(r, e);
	unsigned n = 0;

	if (v.kind == VALUE_ERROR) {
		add_error(r, v, out);
		return;
	}
	switch (e->op) {
	case OP_AND:
	case OP_OR:
		for (const struct expr *a = e->args; a; a = a->next) {
			if (value_is_true(expr_value(r, a)) == want)
				continue;
			if (n++)
				buf_adds(out, " and ");
			tell(r, a, want, out);
			if (want == (e->op == OP_AND))
				break;
		}
		return;
	case OP_NOT:
		tell(r, e->args, !want, out);
		return;
	case OP_IF: {
		bool yes = value_is_true(expr_value(r, e->args));
		add_part(r, e->args, out);
		buf_adds(out, yes ? " is true, and " : " is false, and ");
		tell(r, yes ? e->args->next : e->args->next->next, want, out);
		return;
	}
	case OP_EXISTS:
		add_cut(out, r->w->names[e->name].p, r->w->names[e->name].n);
		buf_adds(out, want ? " is missing" : " exists");
		return;
	case OP_EQ: case OP_NE: case OP_LIKE: case OP_LT: case OP_LE: case OP_GT: case OP_GE:
		if (want) {
			tell_comparison(r, e, out);
			return;
		}
		break;
	case OP_MAYBE:
		if (!run_slice(r, e)) {
			add_part(r, e, out);
			buf_adds(out, " is missing");
			return;
		}
		break;
	default:
		break;
	}
	add_part(r, e, out);
	buf_adds(out, " is ");
	if (v.kind == VALUE_JSON)
		buf_adds(out, "an object or array, neither true nor false");
	else
		add_value(out, v);
	if (!is_param(e))
		add_where(r, e, out);
}

void where_explain(const struct where *w, const struct message *m, long long now_us, struct buf *out)
{
	struct run r;

	run_begin(&r, w, m, now_us);
	if (value_is_true(expr_value(&r, w->root)))
		buf_adds(out, "it is true");
	else
		tell(&r, w->root, true, out);
	run_end(&r);
}
