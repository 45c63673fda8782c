/* where_words.c - functions and operators that other languages have: what there is here instead.
 *
 * A near name is proposed only where it does what was asked for; that `substring` looks like `isstring` helps nobody. */
#include "plan/where_lex.h"

#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"
#include "spec/diag.h"
#include "spec/nearest.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* words: separated by blanks. `ours` is said as "did you mean", `note` as it is. */
struct known { const char *words, *ours, *note; };

static const char wildcards[] = "a text is compared with wildcards: name == 'Truck*', or name ~ '*truck*', for which A to Z equal a to z";
static const char transform[] = "a function looks at one message; what was before it, or where it is on a map, is for a transform";

static const struct known functions[] = {
	{ "substring substr left right mid slice split contains includes startswith starts_with endswith ends_with like match matches regex regexp indexof find", NULL, wildcards },
	{ "lower upper tolower toupper lcase ucase lowercase uppercase", NULL, wildcards },
	{ "len strlen size count", "length", NULL },
	{ "isset has defined isdefined present", "exists", NULL },
	{ "float double tofloat num parsefloat", "tonumber", NULL },
	{ "integer parseint trunc", "int", NULL },
	{ "str", "tostring", NULL },
	{ "bool tobool", "toboolean", NULL },
	{ "iif cond", "if", NULL },
	{ "totime strtotime parsetime date datetime", "time", NULL },
	{ "dayofweek", "weekday", NULL },
	{ "bitand getbit testbit", "bit", NULL },
	{ "coalesce ifnull nvl default", NULL, "it is written if(exists('a'), a, b)" },
	{ "in between", NULL, "each value is compared: a == 1 || a == 2, or 10 <= a && a <= 20" },
	{ "xor", NULL, "of two conditions one is true: (a) != (b); bits: a ^ b" },
	{ "pow power", NULL, "a power is written as a product: a * a" },
	{ "previous mileage duration distance distance_to geofence geofences counter", NULL, transform },
};

static const struct known operators[] = {
	{ "eq equals is", "==", NULL }, { "ne neq", "!=", NULL }, { "gt", ">", NULL }, { "ge gte", ">=", NULL }, { "lt", "<", NULL }, { "le lte", "<=", NULL },
	{ "mod", "%", NULL }, { "div", "/", NULL }, { "like ilike", "~", wildcards }, { "matches contains startswith endswith", NULL, wildcards },
	{ "xor", NULL, "of two conditions one is true: (a) != (b); bits: a ^ b" },
	{ "in", NULL, "each value is compared: a == 1 || a == 2" },
	{ "between", NULL, "it is written 10 <= a && a <= 20" },
	{ "if unless", NULL, "it is written if(condition, then, else)" },
};

static const struct known *known_word(const struct known *all, size_t count, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i < count; i++)
		for (const char *p = all[i].words; *p; p += strcspn(p, " "), p += strspn(p, " "))
			if (strcspn(p, " ") == n && strncasecmp(p, word, n) == 0)
				return &all[i];
	return NULL;
}

static bool tell_known(struct problem *p, const struct known *k)
{
	if (!k)
		return false;
	problem_near(p, k->ours);
	if (k->note)
		problem_note(p, "%s", k->note);
	return true;
}

void unknown_function(struct lexer *x, unsigned from, const char *name, size_t n)
{
	static const char *const own[] = { "exists", "param", "if", "not" };
	const char *word = arena_strndup(x->arena, name, n);
	const struct where_function *f;
	struct nearest near;
	struct buf list = BUF_INIT;
	struct problem *p = lexer_tell(x, DIAG_EXPRESSION_FUNCTION, from, (unsigned)n, "unknown function %s", diag_quote(x->diag, name, n));

	if (tell_known(p, known_word(functions, COUNT(functions), word)))
		return;
	nearest_begin(&near, word);
	for (size_t i = 0; i < COUNT(own); i++) {
		nearest_try(&near, own[i]);
		buf_addf(&list, "%s ", own[i]);
	}
	for (unsigned i = 0; (f = function_next(&i));) {
		nearest_try(&near, f->name);
		if (f->also)
			nearest_try(&near, f->also);
		buf_addf(&list, "%s%s", i > 1 ? " " : "", f->name);
	}
	problem_near(p, nearest_found(&near));
	if (!nearest_found(&near))
		problem_note(p, "functions: %s", list.p);
	buf_fini(&list);
}

void unknown_operator(struct lexer *x, const struct expr *left)
{
	const char *word = arena_strndup(x->arena, x->text + x->from, x->n);
	struct nearest near;
	struct problem *p;

	if (left->op == OP_PARAM && left->len == 3 && strncasecmp(x->text + left->from, "not", 3) == 0) {
		p = lexer_tell(x, DIAG_EXPRESSION, left->from, left->len, "an operator is expected behind the parameter %.3s", x->text + left->from);
		problem_near(p, "not");
		return;
	}
	p = lexer_tell(x, DIAG_EXPRESSION, x->from, x->n, "an operator is expected, not %s", diag_quote(x->diag, word, x->n));
	if (tell_known(p, known_word(operators, COUNT(operators), word)))
		return;
	nearest_begin(&near, word);
	nearest_try(&near, "and");
	nearest_try(&near, "or");
	problem_near(p, nearest_found(&near));
	if (!nearest_found(&near))
		problem_note(p, "operators: && || == != < <= > >= ~ + - * / %% & | ^ << >>");
}
