/* where_lex.h - the words of an expression. Inside router/plan/where_*.c only. */
#ifndef SLUICE_PLAN_WHERE_LEX_H
#define SLUICE_PLAN_WHERE_LEX_H

#include "plan/where_tree.h"

struct problem;

enum token { TOKEN_END, TOKEN_NUMBER, TOKEN_TEXT, TOKEN_NAME, TOKEN_DOLLAR, TOKEN_BINARY, TOKEN_NOT, TOKEN_MARK, TOKEN_BAD };

struct lexer {
	struct arena *arena;
	const struct node *scalar;
	struct diag *diag;
	const char *text;
	unsigned len, pos;
	/* the token at hand */
	enum token token;
	unsigned from, n;
	unsigned behind;       /* the end of the one before it */
	char mark;             /* ( ) , ? : ! ~ - and others by themselves */
	enum op op;            /* TOKEN_BINARY; `-` and `~` are binary here, and unary to who expects a value */
	struct value value;    /* TOKEN_NUMBER, TOKEN_TEXT; a name's bytes as a text */
	const char *starred;   /* TOKEN_TEXT: see struct expr */
	bool failed;           /* something was told */
};

void lexer_begin(struct lexer *x, struct arena *a, const struct node *scalar, struct diag *d);
void lexer_next(struct lexer *x); /* TOKEN_BAD is told already */
bool lexer_at_mark(const struct lexer *x, char mark);
/* A problem, or a warning, at some bytes of the text. */
struct problem *lexer_tell(struct lexer *x, int code, unsigned from, unsigned n, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* where_check.c: tell what can never work; compute what needs no message. */
void expr_check(struct lexer *x, const struct expr *e);
void expr_fold(struct lexer *x, const struct where *w, struct expr *e);
/* "`a + b`", cut where it is long; "`a` is a text" may be told of a name: how parameters are written. */
const char *expr_shown(struct lexer *x, const struct expr *e);
void text_note(struct problem *p, const struct expr *literal);
/* The expression ends too early: does YAML end it there? */
void lexer_note_end(const struct lexer *x, struct problem *p);
/* where_words.c: tell of a function or operator that there is not, and what it may be here. `left` stands in front of the operator. */
void unknown_function(struct lexer *x, unsigned from, const char *name, size_t n);
void unknown_operator(struct lexer *x, const struct expr *left);
/* where_doubt.c: warn of what is hardly meant, in a condition without errors. */
void expr_doubt(struct lexer *x, const struct where *w, const struct expr *root);
bool name_is_value(const char *p, size_t n); /* does it look like true, false or null? */
/* Can this be written without quotes? As `position.speed`, or, with `dollar`, as `$position.speed`. */
bool name_is_plain(const char *p, size_t n, bool dollar);

#endif
