/* where.c - a condition asked about one message.
 *
 * The tree is walked as it was written, so that && and || and if leave out what they need not know. Parameters are looked for
 * when they are asked for; a condition with more than two of them finds all in one pass over the message instead, by one byte out of
 * a table of 256 chosen by length, first and last letter of the key, which says "none of mine" for almost every field. */
#include "plan/where_tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "message/message.h"
#include "plan/wildcard.h"
#include "spec/diag.h"
#include "spec/tree.h"

/* ---- one run ----------------------------------------------------------------------------------------------------------------- */

static inline uint8_t hash_of(const char *key, size_t len)
{
	return len == 0 ? 0 : (uint8_t)(len * 7 + (unsigned char)key[0] * 31 + (unsigned char)key[len - 1] * 113);
}

static void find_all(struct run *r)
{
	const struct where *w = r->w;
	const struct message *m = r->m;

	for (unsigned i = 0; i < w->nnames; i++)
		r->found[i] = (struct found){ .looked = true };
	for (const struct slice *s = m->slices, *last = s + m->n; s < last; s++) {
		if (s->escaped & SLICE_KEY_ESCAPED) {
			for (unsigned i = 0; i < w->nnames; i++)
				if (slice_key_is(m, s, w->names[i].p, w->names[i].n))
					r->found[i].slice = s;
			continue;
		}
		const char *key = m->bytes + s->key;
		for (unsigned i = w->first[hash_of(key, s->klen)]; i; i = w->names[i - 1].next)
			if (w->names[i - 1].n == s->klen && memcmp(w->names[i - 1].p, key, s->klen) == 0)
				r->found[i - 1].slice = s;
	}
}

void run_begin(struct run *r, const struct where *w, const struct message *m, long long now_us)
{
	r->w = w;
	r->m = m;
	r->now_us = now_us;
	r->spills = NULL;
	r->used = 0;
	if (w->nnames > 2)
		find_all(r);
	else
		for (unsigned i = 0; i < w->nnames; i++)
			r->found[i].looked = false;
}

void run_end(struct run *r)
{
	while (r->spills) {
		struct spill *next = r->spills->next;
		free(r->spills);
		r->spills = next;
	}
}

char *run_room(struct run *r, size_t n)
{
	if (n <= sizeof(r->room) - r->used) {
		r->used += n;
		return r->room + r->used - n;
	}
	struct spill *s = xmalloc(sizeof(*s) + n);
	s->next = r->spills;
	r->spills = s;
	return s->bytes;
}

static struct found *run_find(struct run *r, const struct expr *param)
{
	struct found *f = &r->found[param->name];

	if (!f->looked) {
		const struct where_name *name = &r->w->names[param->name];
		*f = (struct found){ .looked = true, .slice = message_find(r->m, name->p, name->n) };
	}
	return f;
}

const struct slice *run_slice(struct run *r, const struct expr *param)
{
	return run_find(r, param)->slice;
}

struct value slice_value(struct run *r, struct found *f)
{
	const struct slice *s = f->slice;
	struct value v;

	switch (s->kind) {
	case SLICE_NULL:
		return value_null();
	case SLICE_TRUE:
	case SLICE_FALSE:
		return value_bool(s->kind == SLICE_TRUE);
	case SLICE_NUMBER: {
		int64_t i;
		if (slice_int64(r->m, s, &i) == 0)
			return value_int(i);
		if (value_read(r->m->bytes + s->value, s->vlen, &v) == 0)
			return v;
		double d; /* written with more digits than value_read() copies */
		return slice_double(r->m, s, &d) == 0 ? value_double(NULL, d) : value_error(NULL, FAULT_LARGE);
	}
	case SLICE_STRING:
		if (!(s->escaped & SLICE_VALUE_ESCAPED))
			return value_text(r->m->bytes + s->value + 1, s->vlen - 2);
		if (!f->p) {
			struct buf text = { run_room(r, s->vlen + 1), 0, s->vlen + 1 }; /* undone it is never longer */
			slice_text(r->m, s, &text);
			f->p = text.p;
			f->n = text.len;
		}
		return value_text(f->p, f->n);
	default:
		return (struct value){ .kind = VALUE_JSON };
	}
}

/* ---- evaluating ---------------------------------------------------------------------------------------------------------- */

static struct value param_value(struct run *r, const struct expr *e)
{
	struct found *f = run_find(r, e);

	if (!f->slice)
		return e->op == OP_MAYBE ? value_null() : value_error(e, FAULT_MISSING);
	struct value v = slice_value(r, f);
	if (v.kind == VALUE_ERROR)
		v.at = e;
	return v;
}

/* What a value says where true or false is asked for: -1 when it is an error, which then stands in *v. */
static int truth(const struct expr *e, struct value *v)
{
	if (v->kind == VALUE_JSON)
		*v = value_error(e, FAULT_TRUTH);
	return v->kind == VALUE_ERROR ? -1 : value_is_true(*v);
}

static struct value and_or(struct run *r, const struct expr *e)
{
	bool stop = e->op == OP_OR;

	for (const struct expr *a = e->args; a; a = a->next) {
		struct value v = expr_value(r, a);
		int t = truth(a, &v);
		if (t < 0)
			return v;
		if (t == stop)
			return value_bool(stop);
	}
	return value_bool(!stop);
}

static struct value wildcard(const struct expr *e, struct value a, struct value b)
{
	const struct expr *left = e->args, *right = left->next;

	if (e->op != OP_LIKE) {
		const struct expr *pattern = right->starred ? right : left;
		struct value text = right->starred ? a : b;
		bool same = text.kind == VALUE_TEXT
			&& wildcard_matches(pattern->starred, pattern->value.n, '\0', text.p, text.n, false);
		return value_bool(same == (e->op == OP_EQ));
	}
	if (a.kind == VALUE_NULL || b.kind == VALUE_NULL)
		return value_bool(false);
	if (a.kind != VALUE_TEXT || b.kind != VALUE_TEXT)
		return value_error(e, FAULT_NO_TEXT);
	if (right->starred)
		return value_bool(wildcard_matches(right->starred, b.n, '\0', a.p, a.n, true));
	if (b.n > WHERE_PATTERN_MAX)
		return value_error(e, FAULT_PATTERN);
	return value_bool(wildcard_matches(b.p, b.n, right->op == OP_VALUE ? '\0' : '*', a.p, a.n, true));
}

static struct value binary(struct run *r, const struct expr *e)
{
	const struct expr *left = e->args, *right = left->next;
	struct value a = expr_value(r, left), b;

	if (a.kind == VALUE_ERROR)
		return a;
	b = expr_value(r, right);
	if (b.kind == VALUE_ERROR)
		return b;
	switch (e->op) {
	case OP_EQ: case OP_NE:
		if (left->starred || right->starred)
			return wildcard(e, a, b);
		return value_compare(e, a, b);
	case OP_LT: case OP_LE: case OP_GT: case OP_GE:
		return value_compare(e, a, b);
	case OP_LIKE:
		return wildcard(e, a, b);
	default:
		return value_arithmetic(e, a, b);
	}
}

static struct value call(struct run *r, const struct expr *e)
{
	struct value args[CALL_ARGS_MAX];
	unsigned n = 0;

	for (const struct expr *a = e->args; a; a = a->next) {
		args[n] = expr_value(r, a);
		if (args[n].kind == VALUE_ERROR)
			return args[n];
		if (!(value_can(args[n]) & e->call->takes))
			return value_error(e, args[n].kind == VALUE_TEXT ? FAULT_GIVEN_TEXT : args[n].kind == VALUE_JSON ? FAULT_GIVEN_JSON :
				FAULT_GIVEN_OTHER);
		n++;
	}
	return e->call->run(r, e, args);
}

struct value expr_value(struct run *r, const struct expr *e)
{
	struct value v;
	int t;

	if (e->constant)
		return e->value;
	switch (e->op) {
	case OP_VALUE:
		return e->value;
	case OP_PARAM:
	case OP_MAYBE:
		return param_value(r, e);
	case OP_EXISTS:
		return value_bool(run_slice(r, e) != NULL);
	case OP_AND:
	case OP_OR:
		return and_or(r, e);
	case OP_IF:
		v = expr_value(r, e->args);
		t = truth(e->args, &v);
		return t < 0 ? v : expr_value(r, t ? e->args->next : e->args->next->next);
	case OP_NOT:
		v = expr_value(r, e->args);
		t = truth(e->args, &v);
		return t < 0 ? v : value_bool(!t);
	case OP_NEGATE:
		v = expr_value(r, e->args);
		return v.kind == VALUE_ERROR ? v : value_arithmetic(e, value_int(0), v);
	case OP_COMPLEMENT:
		v = expr_value(r, e->args);
		return v.kind == VALUE_ERROR ? v : value_arithmetic(e, v, value_int(0));
	case OP_CALL:
		return call(r, e);
	default:
		return binary(r, e);
	}
}

bool where_true(const struct where *w, const struct message *m, long long now_us)
{
	struct run r;

	run_begin(&r, w, m, now_us);
	bool is = value_is_true(expr_value(&r, w->root)); /* neither an error nor an object is true */
	run_end(&r);
	return is;
}

/* ---- compiling ------------------------------------------------------------------------------------------------------------ */

struct where *where_compile(struct arena *a, const struct node *scalar, struct diag *d)
{
	struct where *w = arena_alloc(a, sizeof(*w));

	if (scalar->kind != NODE_SCALAR) {
		struct problem *p = diag_add(d, DIAG_WRONG_KIND, &scalar->at, "a condition is a text, not %s", node_kind_name(scalar));
		problem_note(p, "it may need quotes: where: \"position.speed > 20\"");
		return NULL;
	}
	w->text = scalar->text;
	w->root = where_parse(a, scalar, d, w);
	if (!w->root)
		return NULL;
	for (unsigned i = 0; i < w->nnames; i++) {
		uint8_t *first = &w->first[hash_of(w->names[i].p, w->names[i].n)];
		w->names[i].next = *first;
		*first = (uint8_t)(i + 1);
	}
	return w;
}

void where_print(const struct where *w, struct buf *out)
{
	expr_print(w, w->root, out);
}
