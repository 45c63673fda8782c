/* where_tree.h - a compiled condition from inside: what the where_*.c files share, nobody else.
 *
 * An expression is a tree of `struct expr`. Evaluating a node gives a `struct value`; an error is a value too, which every
 * operator passes on, so that it reaches the top and makes the condition false. It bears the node that erred, for people. */
#ifndef SLUICE_PLAN_WHERE_TREE_H
#define SLUICE_PLAN_WHERE_TREE_H

#include "plan/where.h"

#include <stdint.h>

struct expr;
struct slice;

enum value_kind { VALUE_ERROR, VALUE_NULL, VALUE_BOOL, VALUE_INT, VALUE_UINT, VALUE_DOUBLE, VALUE_TEXT, VALUE_JSON };

/* What went wrong: fits behind the text of the node where it did. */
enum fault {
	FAULT_KINDS, FAULT_JSON_SIZE, FAULT_JSON_EQUAL, FAULT_ZERO, FAULT_BITS, FAULT_PATTERN, FAULT_TRUTH, FAULT_MISSING,
	FAULT_LARGE, FAULT_DIGITS, FAULT_SHIFT, FAULT_WIDE, FAULT_NUMBER_TEXT, FAULT_NUMBER_JSON, FAULT_NO_TEXT, FAULT_FRACTION,
	FAULT_CALLED, FAULT_NO_BOOLEAN, FAULT_NO_NUMBER, FAULT_NO_TIME, FAULT_GIVEN_TEXT, FAULT_CALENDAR, FAULT_GIVEN_JSON, FAULT_GIVEN_OTHER,
};

/* A whole number is VALUE_INT wherever it fits, VALUE_UINT only above INT64_MAX, so that equal numbers look equal. A double is
 * always finite. VALUE_JSON is an object or array: it can be asked for its type, and nothing else. Sixteen bytes, which travel in two registers. */
struct value {
	uint32_t kind;               /* enum value_kind */
	union {
		uint32_t n;          /* bytes of a text */
		uint32_t fault;      /* enum fault, of an error */
	};
	union {
		bool b;
		int64_t i;
		uint64_t u;
		double d;
		const char *p;         /* of a text */
		const struct expr *at; /* of an error: where it happened; NULL in a value on its way to who knows */
	};
};

/* Which kinds a node can have: sets, to find at compile time what can never work. */
enum { CAN_NULL = 1, CAN_BOOL = 2, CAN_NUMBER = 4, CAN_TEXT = 8, CAN_JSON = 16, CAN_ALL = 31, CAN_COUNT = CAN_NULL | CAN_BOOL | CAN_NUMBER };

enum op {
	OP_VALUE, OP_PARAM, OP_MAYBE, OP_EXISTS, OP_IF, OP_CALL,
	OP_NOT, OP_NEGATE, OP_COMPLEMENT,
	OP_OR, OP_AND, OP_BITOR, OP_XOR, OP_BITAND, OP_EQ, OP_NE, OP_LIKE, OP_LT, OP_LE, OP_GT, OP_GE,
	OP_SHL, OP_SHR, OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_MOD,
};

/* How tightly an operator binds. */
enum level { LEVEL_ANY, LEVEL_OR, LEVEL_AND, LEVEL_BITOR, LEVEL_XOR, LEVEL_BITAND, LEVEL_EQUAL, LEVEL_ORDER, LEVEL_SHIFT, LEVEL_SUM,
	LEVEL_PRODUCT, LEVEL_UNARY, LEVEL_PRIMARY };
enum level op_level(enum op op);
const char *op_text(enum op op); /* of a binary operator */

struct expr {
	enum op op;
	uint8_t can;        /* the kinds it can have */
	uint8_t depth;
	bool bracketed;     /* what stands around it can't be misread */
	uint8_t brackets;   /* pairs around it, which `from` and `len` count in */
	bool constant;      /* `value` is its value for every message */
	unsigned from, len; /* where it stands in the text */
	unsigned nargs;
	struct expr *args, *next;
	struct value value;
	const char *starred;               /* a literal text with wildcards: its bytes, with NUL for each `*` that is one */
	unsigned name;                     /* of a parameter: in where->names */
	const struct where_function *call;
};

struct where_name { const char *p; size_t n; uint8_t next; };

struct where {
	const char *text; /* as written */
	struct expr *root;
	struct where_name *names;
	unsigned nnames;
	uint8_t first[256]; /* hash of a key -> 1 + the first name that has it; 0 = none */
};

/* ---- one evaluation ------------------------------------------------------------------------------------------------------- */

struct found { const struct slice *slice; const char *p; size_t n; bool looked; };

struct spill { struct spill *next; char bytes[]; };

struct run {
	const struct where *w;
	const struct message *m;
	long long now_us;
	struct spill *spills;
	size_t used;
	char room[1024]; /* texts that had to be made: escapes undone, numbers written */
	struct found found[WHERE_NAMES_MAX];
};

void run_begin(struct run *r, const struct where *w, const struct message *m, long long now_us);
void run_end(struct run *r);
char *run_room(struct run *r, size_t n); /* until run_end() */
struct value expr_value(struct run *r, const struct expr *e);
const struct slice *run_slice(struct run *r, const struct expr *param); /* NULL: missing */
struct value slice_value(struct run *r, struct found *f);

/* ---- values (where_value.c) ----------------------------------------------------------------------------------------------- */

static inline struct value value_error(const struct expr *at, enum fault fault)
{
	return (struct value){ .kind = VALUE_ERROR, .fault = fault, .at = at };
}
const char *fault_text(struct value v); /* "divides by zero" */
static inline struct value value_null(void) { return (struct value){ .kind = VALUE_NULL }; }
static inline struct value value_bool(bool b) { return (struct value){ .kind = VALUE_BOOL, .b = b }; }
static inline struct value value_int(int64_t i) { return (struct value){ .kind = VALUE_INT, .i = i }; }
struct value value_uint(uint64_t u);
struct value value_double(const struct expr *at, double d); /* an error when it is not finite */
static inline struct value value_text(const char *p, size_t n) { return (struct value){ .kind = VALUE_TEXT, .n = (uint32_t)n, .p = p }; }
/* A number as JSON writes one, n bytes of text; hexadecimal too. -1 when it is none. */
int value_read(const char *p, size_t n, struct value *v);
void value_write(struct buf *out, struct value v); /* as an expression would: numbers, 'text', true, null */
void text_write(struct buf *out, const char *p, size_t n, const char *starred);

unsigned value_can(struct value v); /* its one kind, as a set */
double value_as_double(struct value v); /* null, boolean or number */
bool value_is_true(struct value v);
/* A number out of null, boolean or number; an error of `at` for others. */
struct value value_number(const struct expr *at, struct value v);
struct value value_arithmetic(const struct expr *at, struct value a, struct value b);
struct value value_compare(const struct expr *at, struct value a, struct value b);
struct value value_whole(const struct expr *at, double d); /* of a double without fraction: an integer where one holds it */
#define WHERE_PATTERN_MAX 256 /* bytes of a pattern */

/* ---- functions (where_call.c) --------------------------------------------------------------------------------------------- */

#define CALL_ARGS_MAX 16

struct where_function {
	const char *name;
	const char *also;    /* another name for it, or NULL */
	unsigned min, max;   /* arguments */
	uint8_t takes;       /* kinds an argument must be able to have */
	uint8_t gives;
	bool varies;         /* not the same each time: never computed beforehand */
	struct value (*run)(struct run *r, const struct expr *at, const struct value *args);
	const char *use;     /* "round(x, digits)" */
};
const struct where_function *function_find(const char *name, size_t n);
const struct where_function *function_next(unsigned *i); /* NULL after the last */

/* ---- parsing (where_parse.c), printing (where_print.c) ----------------------------------------------------------------------- */

struct expr *where_parse(struct arena *a, const struct node *scalar, struct diag *d, struct where *w);
/* The part of the text that e was read from, without brackets around it. */
void expr_text(const char *text, const struct expr *e, const char **p, size_t *n);
void expr_print(const struct where *w, const struct expr *e, struct buf *out);

#endif
