/* where_lex.c - an expression cut into words; and the names of operators that other languages have, to say what ours is. */
#include "plan/where_lex.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "spec/diag.h"
#include "spec/tree.h"

static const struct { const char *text; enum op op; } operators[] = { /* a longer one before those it begins with */
	{ "||", OP_OR }, { "&&", OP_AND }, { "==", OP_EQ }, { "!=", OP_NE }, { "<<", OP_SHL }, { ">>", OP_SHR }, { "<=", OP_LE }, { ">=", OP_GE },
	{ "=", OP_EQ }, { "~", OP_LIKE }, { "<", OP_LT }, { ">", OP_GT }, { "|", OP_BITOR }, { "^", OP_XOR }, { "&", OP_BITAND },
	{ "+", OP_ADD }, { "-", OP_SUB }, { "*", OP_MUL }, { "/", OP_DIV }, { "%", OP_MOD },
};
#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static const struct { const char *text, *ours, *note; } foreign[] = {
	{ "===", "==", NULL }, { "!==", "!=", NULL }, { "<>", "!=", NULL }, { "=<", "<=", NULL }, { "=>", ">=", NULL }, { "=~", "~", NULL }, { ":=", "==", NULL },
	{ "**", NULL, "a power is written as a product: a * a" }, { "!~", NULL, "it is written not(a ~ b)" }, { "??", NULL, "it is written if(exists('a'), a, b)" },
};

const char *op_text(enum op op)
{
	for (size_t i = 0; i < COUNT(operators); i++)
		if (operators[i].op == op)
			return operators[i].text;
	return "";
}

enum level op_level(enum op op)
{
	switch (op) {
	case OP_OR: return LEVEL_OR;
	case OP_AND: return LEVEL_AND;
	case OP_BITOR: return LEVEL_BITOR;
	case OP_XOR: return LEVEL_XOR;
	case OP_BITAND: return LEVEL_BITAND;
	case OP_EQ: case OP_NE: case OP_LIKE: return LEVEL_EQUAL;
	case OP_LT: case OP_LE: case OP_GT: case OP_GE: return LEVEL_ORDER;
	case OP_SHL: case OP_SHR: return LEVEL_SHIFT;
	case OP_ADD: case OP_SUB: return LEVEL_SUM;
	case OP_MUL: case OP_DIV: case OP_MOD: return LEVEL_PRODUCT;
	case OP_NEGATE: case OP_COMPLEMENT: return LEVEL_UNARY;
	default: return LEVEL_PRIMARY;
	}
}

struct problem *lexer_tell(struct lexer *x, int code, unsigned from, unsigned n, const char *fmt, ...)
{
	struct mark at = node_mark_inside(x->scalar, from, n ? n : 1);
	va_list ap;

	va_start(ap, fmt);
	struct buf words = BUF_INIT;
	buf_addv(&words, fmt, ap);
	va_end(ap);
	struct problem *p = diag_add(x->diag, (enum diag_code)code, &at, "%s", words.p);
	buf_fini(&words);
	x->failed = x->failed || code_is_error((enum diag_code)code);
	return p;
}

void lexer_note_end(const struct lexer *x, struct problem *p)
{
	char behind = x->scalar->quoted ? '\0' : *node_behind(x->scalar);

	if (behind == ',')
		problem_note(p, "in braces a comma ends a text: put the condition in quotes");
	else if (behind == '#')
		problem_note(p, "behind a blank # begins a comment: put the condition in quotes");
}

static bool in_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '#' || (c & 0x80);
}

static bool begins_name(char c)
{
	return in_name(c) && !(c >= '0' && c <= '9') && c != '.' && c != '#';
}

bool name_is_plain(const char *p, size_t n, bool dollar)
{
	static const char *const words[] = { "and", "or", "not" };

	if (n == 0 || p[n - 1] == '.' || (!dollar && !begins_name(*p)))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!in_name(p[i]))
			return false;
	if (!dollar && name_is_value(p, n)) /* TRUE, too: where it is meant, it is written so that nobody doubts it */
		return false;
	for (size_t i = 0; !dollar && i < COUNT(words); i++)
		if (strlen(words[i]) == n && memcmp(words[i], p, n) == 0)
			return false;
	return true;
}

static void take(struct lexer *x, enum token token, unsigned n)
{
	x->token = token;
	x->n = n;
	x->pos = x->from + n;
}

static void take_name(struct lexer *x, unsigned skip)
{
	unsigned n = skip;

	while (x->from + n < x->len && in_name(x->text[x->from + n]))
		n++;
	take(x, skip ? TOKEN_DOLLAR : TOKEN_NAME, n);
	x->value = value_text(x->text + x->from + skip, n - skip);
	if (n == skip || x->text[x->pos - 1] == '.') {
		lexer_tell(x, DIAG_EXPRESSION, x->from, n, n == skip ? "no parameter is named behind $" : "the name of a parameter does not end with a dot");
		x->token = TOKEN_BAD;
	}
}

static void take_number(struct lexer *x)
{
	const char *p = x->text + x->from;
	unsigned n = 0, left = x->len - x->from;
	bool lead = *p == '.'; /* .5 is 0.5 */
	char *copy;

	while (n < left && (in_name(p[n]) || ((p[n] == '+' || p[n] == '-') && (p[n - 1] | 0x20) == 'e' && p[1] != 'x' && p[1] != 'X')))
		n++;
	take(x, TOKEN_NUMBER, n);
	copy = arena_printf(x->arena, "%s%.*s", lead ? "0" : "", (int)n, p);
	if (value_read(copy, n + lead, &x->value) != 0) {
		struct problem *pr = lexer_tell(x, DIAG_EXPRESSION, x->from, n, "this is no number");
		problem_note(pr, "numbers: 12  -3.5  1e6  0x1F; they have no unit");
		x->token = TOKEN_BAD;
	}
}

/* Behind a backslash: how many bytes it takes (0: it stands for nothing), and what it means. */
static unsigned escape(const char *p, unsigned left, char *out, unsigned *nout)
{
	struct value v;
	char hex[7] = "0x";

	*nout = 1;
	switch (left ? *p : '\0') {
	case '\\': case '\'': case '"': case '*': *out = *p; return 1;
	case 'n': *out = '\n'; return 1;
	case 't': *out = '\t'; return 1;
	case 'r': *out = '\r'; return 1;
	case 'u':
		if (left < 5)
			return 0;
		memcpy(hex + 2, p + 1, 4);
		if (value_read(hex, 6, &v) != 0 || v.i == 0 || (v.i >= 0xD800 && v.i < 0xE000))
			return 0;
		*nout = v.i < 0x80 ? 1 : v.i < 0x800 ? 2 : 3;
		if (*nout == 1) {
			out[0] = (char)v.i;
		} else if (*nout == 2) {
			out[0] = (char)(0xC0 | v.i >> 6);
			out[1] = (char)(0x80 | (v.i & 0x3F));
		} else {
			out[0] = (char)(0xE0 | v.i >> 12);
			out[1] = (char)(0x80 | (v.i >> 6 & 0x3F));
			out[2] = (char)(0x80 | (v.i & 0x3F));
		}
		return 5;
	default:
		return 0;
	}
}

static void take_text(struct lexer *x)
{
	char quote = x->text[x->from], *text, *starred;
	unsigned end = x->from + 1, i = end, n = 0, step, made;
	bool stars = false;

	while (end < x->len && x->text[end] != quote)
		end += x->text[end] == '\\' && end + 1 < x->len ? 2 : 1;
	if (end >= x->len) {
		lexer_note_end(x, lexer_tell(x, DIAG_EXPRESSION, x->from, x->len - x->from, "the text is never closed by %c", quote));
		take(x, TOKEN_BAD, x->len - x->from);
		return;
	}
	text = arena_alloc(x->arena, end - i + 1);
	starred = arena_alloc(x->arena, end - i + 1);
	for (; i < end; i += step) {
		step = made = 1;
		text[n] = starred[n] = x->text[i];
		if (x->text[i] == '*') {
			starred[n] = '\0';
			stars = true;
		} else if (x->text[i] == '\\') {
			unsigned used = escape(x->text + i + 1, end - i - 1, text + n, &made);
			if (!used) {
				struct problem *p = lexer_tell(x, DIAG_EXPRESSION, i, 2, "this backslash stands for nothing");
				problem_note(p, "known are \\\\ \\' \\\" \\* \\n \\t \\r and \\u00e4");
				take(x, TOKEN_BAD, i - x->from);
				return;
			}
			memcpy(starred + n, text + n, made);
			step = 1 + used;
		}
		n += made;
	}
	take(x, TOKEN_TEXT, end + 1 - x->from);
	x->value = value_text(text, n);
	x->starred = stars ? starred : NULL;
}

static bool take_operator(struct lexer *x)
{
	const char *p = x->text + x->from;
	unsigned left = x->len - x->from;

	for (size_t i = 0; i < COUNT(foreign); i++) {
		size_t n = strlen(foreign[i].text);
		if (n > left || memcmp(p, foreign[i].text, n) != 0)
			continue;
		struct problem *pr = lexer_tell(x, DIAG_EXPRESSION, x->from, (unsigned)n, "unknown operator %s", foreign[i].text);
		problem_near(pr, foreign[i].ours);
		if (foreign[i].note)
			problem_note(pr, "%s", foreign[i].note);
		take(x, TOKEN_BAD, (unsigned)n);
		return true;
	}
	for (size_t i = 0; i < COUNT(operators); i++) {
		size_t n = strlen(operators[i].text);
		if (n > left || memcmp(p, operators[i].text, n) != 0)
			continue;
		take(x, TOKEN_BINARY, (unsigned)n);
		x->op = operators[i].op;
		x->mark = n == 1 ? *p : '\0';
		return true;
	}
	return false;
}

static bool is_word(const struct lexer *x, const char *word)
{
	return strlen(word) == x->n && memcmp(x->text + x->from, word, x->n) == 0;
}

void lexer_next(struct lexer *x)
{
	char c;

	x->behind = x->pos;
	while (x->pos < x->len && strchr(" \t\r\n", x->text[x->pos]))
		x->pos++;
	x->from = x->pos;
	x->mark = '\0';
	x->starred = NULL;
	if (x->pos == x->len) {
		take(x, TOKEN_END, 0);
		return;
	}
	c = x->text[x->pos];
	if ((c >= '0' && c <= '9') || (c == '.' && x->pos + 1 < x->len && x->text[x->pos + 1] >= '0' && x->text[x->pos + 1] <= '9')) {
		take_number(x);
	} else if (c == '\'' || c == '"') {
		take_text(x);
	} else if (c == '$') {
		take_name(x, 1);
	} else if (begins_name(c)) {
		take_name(x, 0);
		if (is_word(x, "and") || is_word(x, "or")) {
			x->op = c == 'a' ? OP_AND : OP_OR;
			x->token = TOKEN_BINARY;
		} else if (is_word(x, "not")) {
			x->token = TOKEN_NOT;
		}
	} else if (!take_operator(x)) {
		x->mark = c;
		take(x, TOKEN_MARK, 1);
		if (!strchr("(),?:!", c)) {
			lexer_tell(x, DIAG_EXPRESSION, x->from, 1, "%s means nothing in an expression", diag_quote(x->diag, &c, 1));
			x->token = TOKEN_BAD;
		}
	}
}

bool lexer_at_mark(const struct lexer *x, char mark)
{
	return x->token == TOKEN_MARK && x->mark == mark;
}

void lexer_begin(struct lexer *x, struct arena *a, const struct node *scalar, struct diag *d)
{
	*x = (struct lexer){ .arena = a, .scalar = scalar, .diag = d, .text = scalar->text, .len = (unsigned)scalar->len };
	lexer_next(x);
}
