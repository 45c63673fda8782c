/* codes.h - every problem a specification can have, by a code that never changes its meaning.
 *
 * A code that is no longer used is not given to anything else. Names are for the C code, "E012" for people. */
#ifndef SLUICE_SPEC_CODES_H
#define SLUICE_SPEC_CODES_H

#include <stdbool.h>

enum diag_code {
	/* reading the file */
	DIAG_SYNTAX,
	DIAG_UTF8,
	DIAG_CONTROL,
	DIAG_TOO_BIG,
	DIAG_TOO_DEEP,
	DIAG_ALIAS_BOMB,
	DIAG_ALIAS_LOOP,
	DIAG_ALIAS_UNKNOWN,
	DIAG_TAG,
	DIAG_SECOND_DOCUMENT,
	DIAG_DUPLICATE_KEY,
	DIAG_BAD_KEY,
	DIAG_MERGE_KEY,
	DIAG_UNREADABLE,
	/* against the schema */
	DIAG_UNKNOWN_KEY,
	DIAG_MISSING_KEY,
	DIAG_WRONG_KIND,
	DIAG_BAD_VALUE,
	DIAG_OUT_OF_BOUNDS,
	DIAG_NOT_ALLOWED,
	DIAG_PATTERN,
	DIAG_LENGTH,
	DIAG_REPEATED_ITEM,
	DIAG_PLANNED,
	DIAG_BAD_NAME,
	DIAG_BAD_REFERENCE,
	DIAG_UNKNOWN_TYPE,
	DIAG_ALTERNATIVES,
	DIAG_BAD_TEMPLATE,
	DIAG_BAD_SCHEMA,
	/* conditions: plan/EXPRESSIONS.md */
	DIAG_EXPRESSION,
	DIAG_EXPRESSION_KIND,
	DIAG_EXPRESSION_FUNCTION,
	/* adapters */
	DIAG_ADAPTER,
	DIAG_VECTOR,
	DIAG_CASE,
	/* names, and what does not go together */
	DIAG_UNDECLARED,
	DIAG_UNDECLARED_IDENT,
	DIAG_GROUP_LOOP,
	DIAG_TWO_VALUES,
	DIAG_SAME_ID,
	DIAG_SECRET,
	DIAG_CSV,
	DIAG_CONFLICT,
	DIAG_EXPOSED,
	/* warnings */
	DIAG_UNUSED,
	DIAG_INCLUDE_EMPTY,
	DIAG_NO_VERSION,
	DIAG_TWICE,
	DIAG_SHARED_BLOCK,
	DIAG_NO_MATCH,
	DIAG_NO_EFFECT,
	DIAG_PARTLY,
	DIAG_NOWHERE,
	DIAG_ONE_BY_ONE,
	DIAG_SAME,
	DIAG_MISREAD,
	DIAG_FIELDS,
	DIAG_COLUMN,
	DIAG_CODES /* how many there are */
};

struct code {
	const char *name;  /* E012 */
	int exit;          /* status of a run that meets it */
	const char *title; /* a line */
	const char *help;  /* what it means, why it is refused, what to do: a paragraph or two */
};

const struct code *code_at(enum diag_code code);
/* "E012" or "e012" -> its entry, NULL when there is no such code. */
const struct code *code_find(const char *name);
const char *code_name(enum diag_code code);
bool code_is_error(enum diag_code code);
int code_exit(enum diag_code code);

#endif
