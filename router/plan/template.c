/* template.c - {parameters} in url, headers and topic: read at compile time, filled in for each message. */
#include "plan/template.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "message/message.h"
#include "plan/plan.h"
#include "spec/diag.h"
#include "spec/tree.h"

/* ---- reading ------------------------------------------------------------------------------------------------------------ */

static bool tell(struct diag *d, const struct node *scalar, const char *from, size_t n, const char *words)
{
	struct mark at = node_mark_inside(scalar, (size_t)(from - scalar->text), n);
	struct problem *p = diag_add(d, DIAG_BAD_TEMPLATE, &at, "%s", words);

	problem_note(p, "a parameter is written {position.speed}, a brace {{ or }}");
	return false;
}

/* The end of {name} at p, or NULL when it is told to be none. */
static const char *param_end(const char *p, const struct node *scalar, struct diag *d)
{
	const char *end = p + 1 + strcspn(p + 1, "{}");

	if (*end != '}')
		return tell(d, scalar, p, (size_t)(end - p), "the { is never closed by }"), NULL;
	if (end == p + 1)
		return tell(d, scalar, p, 2, "no parameter is named between { and }"), NULL;
	for (const char *c = p + 1; c < end; c++)
		if ((unsigned char)*c <= ' ' || *c == '"')
			return tell(d, scalar, p, (size_t)(end + 1 - p), "a parameter's name has no blanks or quotes"), NULL;
	return end;
}

bool template_parse(struct arena *a, const struct node *scalar, struct template *t, struct diag *d)
{
	unsigned most = 0, n = 0;
	struct buf literal = BUF_INIT;
	bool ok = true;

	if (scalar->kind != NODE_SCALAR) {
		diag_add(d, DIAG_WRONG_KIND, &scalar->at, "a text is expected, not %s", node_kind_name(scalar));
		return false;
	}
	for (const char *p = scalar->text; *p; p++)
		most += *p == '{';
	const char **params = arena_alloc(a, most * sizeof(*params)), **literals = arena_alloc(a, (most + 1) * sizeof(*literals));
	for (const char *p = scalar->text; *p; p++) {
		if (p[0] == '$' && p[1] == '{') { /* a reference; one that is never closed is told by who resolves it */
			const char *end = strchr(p, '}');
			size_t len = end ? (size_t)(end + 1 - p) : strlen(p);
			buf_add(&literal, p, len);
			p += len - 1;
		} else if (p[0] == p[1] && (*p == '{' || *p == '}')) {
			buf_addc(&literal, *p++);
		} else if (*p == '}') {
			ok = tell(d, scalar, p, 1, "no { stands before this }");
		} else if (*p == '{') {
			const char *end = param_end(p, scalar, d);
			if (!end) {
				ok = false;
				break;
			}
			literals[n] = arena_strndup(a, literal.p ? literal.p : "", literal.len);
			params[n++] = arena_strndup(a, p + 1, (size_t)(end - p - 1));
			buf_clear(&literal);
			p = end;
		} else {
			buf_addc(&literal, *p);
		}
	}
	literals[n] = arena_strndup(a, literal.p ? literal.p : "", literal.len);
	buf_fini(&literal);
	*t = (struct template){ .source = arena_strdup(a, scalar->text), .nparams = n, .params = params, .literals = literals };
	return ok;
}

/* ---- writing ------------------------------------------------------------------------------------------------------------ */

/* RFC 3986, section 2.3. */
static bool is_unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

/* Encode what stands in out behind `from`, from the end on, so that no second buffer is needed. */
static void percent_encode(struct buf *out, size_t from)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t more = 0;

	for (size_t i = from; i < out->len; i++)
		more += is_unreserved((unsigned char)out->p[i]) ? 0 : 2;
	if (!more)
		return;
	buf_reserve(out, more);
	size_t i = out->len, to = out->len + more;
	out->p[to] = '\0';
	out->len = to;
	while (i > from) {
		unsigned char c = (unsigned char)out->p[--i];
		if (is_unreserved(c)) {
			out->p[--to] = (char)c;
			continue;
		}
		out->p[--to] = hex[c & 15];
		out->p[--to] = hex[c >> 4];
		out->p[--to] = '%';
	}
}

int template_write(const struct template *t, const struct message *m, bool encode, struct buf *out, const char **missing)
{
	size_t begin = out->len;

	buf_adds(out, t->literals[0]);
	for (unsigned i = 0; i < t->nparams; i++) {
		const struct slice *s = message_find(m, t->params[i], strlen(t->params[i]));
		if (!s || s->kind == SLICE_NULL || s->kind == SLICE_OBJECT || s->kind == SLICE_ARRAY) {
			*missing = t->params[i];
			out->len = begin;
			if (out->p)
				out->p[begin] = '\0';
			return -1;
		}
		size_t from = out->len;
		if (s->kind == SLICE_STRING)
			slice_text(m, s, out);
		else
			buf_add(out, m->bytes + s->value, s->vlen);
		if (encode)
			percent_encode(out, from);
		buf_adds(out, t->literals[i + 1]);
	}
	return 0;
}
