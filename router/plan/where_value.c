/* where_value.c - what values do with one another: numbers exact while they are whole, texts by their bytes.
 *
 * Whole numbers are computed in 128 bits, where no sum, product or shift of two of 64 can get lost, and come back as whole numbers if
 * they fit 64 bits again, else as the nearest double. */
#include "plan/where_tree.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "message/message.h"

__extension__ typedef __int128 wide;

static const char *const faults[] = {
	[FAULT_KINDS] = "compares a text with something else",
	[FAULT_JSON_SIZE] = "compares an object or array",
	[FAULT_JSON_EQUAL] = "compares objects or arrays",
	[FAULT_ZERO] = "divides by zero",
	[FAULT_BITS] = "gives more than 64 bits",
	[FAULT_PATTERN] = "has a pattern of more than 256 bytes",
	[FAULT_TRUTH] = "is an object or array, neither true nor false",
	[FAULT_MISSING] = "is missing",
	[FAULT_LARGE] = "is too large a number",
	[FAULT_DIGITS] = "rounds to 0 to 15 digits behind the point",
	[FAULT_SHIFT] = "shifts by less than 0 or more than 63 bits",
	[FAULT_WIDE] = "takes numbers of 64 bits, and was given a larger one",
	[FAULT_NUMBER_TEXT] = "takes numbers, and was given a text",
	[FAULT_NUMBER_JSON] = "takes numbers, and was given an object or array",
	[FAULT_NO_TEXT] = "takes texts, and was given something else",
	[FAULT_FRACTION] = "takes whole numbers, and was given a fraction",
	[FAULT_CALLED] = "was called",
	[FAULT_NO_BOOLEAN] = "was given a text that is neither true nor false nor a number",
	[FAULT_NO_NUMBER] = "was given a text that is no number",
	[FAULT_NO_TIME] = "was given a text that is no time",
	[FAULT_GIVEN_TEXT] = "was given a text",
	[FAULT_CALENDAR] = "was given a time out of the calendar",
	[FAULT_GIVEN_JSON] = "was given an object or array",
	[FAULT_GIVEN_OTHER] = "was given no text",
};

const char *fault_text(struct value v)
{
	return faults[v.fault];
}

struct value value_uint(uint64_t u)
{
	if (u <= INT64_MAX)
		return value_int((int64_t)u);
	return (struct value){ .kind = VALUE_UINT, .u = u };
}

struct value value_double(const struct expr *at, double d)
{
	if (!isfinite(d))
		return value_error(at, FAULT_LARGE);
	return (struct value){ .kind = VALUE_DOUBLE, .d = d };
}

struct value value_whole(const struct expr *at, double d)
{
	if (d >= -0x1p63 && d < 0x1p63)
		return value_int((int64_t)d);
	if (d >= 0 && d < 0x1p64)
		return value_uint((uint64_t)d);
	return value_double(at, d);
}

static int read_hex(const char *p, size_t n, struct value *v)
{
	uint64_t u = 0;

	if (n == 0 || n > 16)
		return -1;
	for (size_t i = 0; i < n; i++) {
		unsigned c = (unsigned char)p[i];
		unsigned digit = c - '0' <= 9 ? c - '0' : (c | 0x20) - 'a' <= 5 ? (c | 0x20) - 'a' + 10 : 16;
		if (digit == 16)
			return -1;
		u = u << 4 | digit;
	}
	*v = value_uint(u);
	return 0;
}

static size_t digits(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] >= '0' && p[i] <= '9')
		i++;
	return i;
}

/* The bytes behind a message's value end a number, whatever they are; for other texts a copy with an end is made. */
static int read_double(const char *p, size_t n, struct value *v)
{
	char text[400];
	struct slice s = { .value = 0, .vlen = (uint32_t)n, .kind = SLICE_NUMBER };
	double d;

	if (n >= sizeof(text))
		return -1;
	memcpy(text, p, n);
	text[n] = '\0';
	struct message m = { .bytes = text, .len = n, .slices = &s, .n = 1 };
	if (slice_double(&m, &s, &d) != 0)
		return -1;
	*v = (struct value){ .kind = VALUE_DOUBLE, .d = d };
	return 0;
}

int value_read(const char *p, size_t n, struct value *v)
{
	bool negative = n > 0 && *p == '-';
	const char *q = p + negative;
	size_t left = n - negative, whole = digits(q, left), i = whole;
	uint64_t u = 0;

	if (left > 2 && q[0] == '0' && (q[1] == 'x' || q[1] == 'X'))
		return negative ? -1 : read_hex(q + 2, left - 2, v);
	if (whole == 0 || (whole > 1 && *q == '0'))
		return -1;
	if (whole == left) {
		bool fits = true;
		for (size_t k = 0; k < whole && fits; k++)
			fits = !__builtin_mul_overflow(u, 10, &u) && !__builtin_add_overflow(u, (unsigned)(q[k] - '0'), &u);
		if (fits && (!negative || u <= (uint64_t)INT64_MAX + 1)) {
			*v = negative ? value_int(u == 0 ? 0 : -(int64_t)(u - 1) - 1) : value_uint(u);
			return 0;
		}
		return read_double(p, n, v);
	}
	if (q[i] == '.') {
		size_t fraction = digits(q + i + 1, left - i - 1);
		if (fraction == 0)
			return -1;
		i += 1 + fraction;
	}
	if (i < left && (q[i] | 0x20) == 'e') {
		i++;
		i += i < left && (q[i] == '+' || q[i] == '-');
		size_t exponent = digits(q + i, left - i);
		if (exponent == 0)
			return -1;
		i += exponent;
	}
	return i == left ? read_double(p, n, v) : -1;
}

/* ---- as text -------------------------------------------------------------------------------------------------------------- */

void text_write(struct buf *out, const char *p, size_t n, const char *starred)
{
	buf_addc(out, '\'');
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];
		if (c == '\'' || c == '\\' || (c == '*' && !(starred && starred[i] == '\0')))
			buf_addc(out, '\\');
		if (c == '\n')
			buf_adds(out, "\\n");
		else if (c == '\t')
			buf_adds(out, "\\t");
		else if (c == '\r')
			buf_adds(out, "\\r");
		else if (c < 0x20 || c == 0x7f)
			buf_addf(out, "\\u%04x", c);
		else
			buf_addc(out, (char)c);
	}
	buf_addc(out, '\'');
}

static void double_write(struct buf *out, double d)
{
	char text[32];

	for (int precision = 15; precision <= DBL_DECIMAL_DIG; precision++) {
		snprintf(text, sizeof(text), "%.*g", precision, d);
		if (strtod(text, NULL) == d)
			break;
	}
	for (char *c = text; *c; c++) /* whatever the process's locale calls a decimal point */
		if (*c == ',')
			*c = '.';
	buf_adds(out, text);
}

void value_write(struct buf *out, struct value v)
{
	switch (v.kind) {
	case VALUE_NULL: buf_adds(out, "null"); break;
	case VALUE_BOOL: buf_adds(out, v.b ? "true" : "false"); break;
	case VALUE_INT:
		if (v.i < 0)
			buf_addc(out, '-');
		buf_addu64(out, v.i < 0 ? 0 - (uint64_t)v.i : (uint64_t)v.i);
		break;
	case VALUE_UINT: buf_addu64(out, v.u); break;
	case VALUE_DOUBLE: double_write(out, v.d); break;
	case VALUE_TEXT: text_write(out, v.p, v.n, NULL); break;
	case VALUE_JSON: buf_adds(out, "an object or array"); break;
	case VALUE_ERROR: buf_adds(out, "an error"); break;
	}
}

/* ---- kinds ------------------------------------------------------------------------------------------------------------------ */

unsigned value_can(struct value v)
{
	switch (v.kind) {
	case VALUE_NULL: return CAN_NULL;
	case VALUE_BOOL: return CAN_BOOL;
	case VALUE_TEXT: return CAN_TEXT;
	case VALUE_JSON: return CAN_JSON;
	case VALUE_ERROR: return 0;
	default: return CAN_NUMBER;
	}
}

bool value_is_true(struct value v)
{
	switch (v.kind) {
	case VALUE_BOOL: return v.b;
	case VALUE_INT: return v.i != 0;
	case VALUE_UINT: return true;
	case VALUE_DOUBLE: return v.d != 0;
	case VALUE_TEXT: return v.n != 0;
	default: return false;
	}
}

struct value value_number(const struct expr *at, struct value v)
{
	switch (v.kind) {
	case VALUE_NULL: return value_int(0);
	case VALUE_BOOL: return value_int(v.b);
	case VALUE_TEXT: return value_error(at, FAULT_NUMBER_TEXT);
	case VALUE_JSON: return value_error(at, FAULT_NUMBER_JSON);
	default: return v;
	}
}

double value_as_double(struct value v)
{
	switch (v.kind) {
	case VALUE_BOOL: return v.b;
	case VALUE_INT: return (double)v.i;
	case VALUE_UINT: return (double)v.u;
	case VALUE_DOUBLE: return v.d;
	default: return 0;
	}
}

static bool is_whole(struct value v)
{
	return v.kind == VALUE_INT || v.kind == VALUE_UINT;
}

static wide widened(struct value v)
{
	return v.kind == VALUE_UINT ? (wide)v.u : (wide)v.i;
}

/* ---- computing -------------------------------------------------------------------------------------------------------------- */

static struct value narrowed(const struct expr *at, wide w)
{
	if (w >= INT64_MIN && w <= INT64_MAX)
		return value_int((int64_t)w);
	if (w > 0 && w <= (wide)UINT64_MAX)
		return value_uint((uint64_t)w);
	return value_double(at, (double)w);
}

/* For operators on bits: a whole number of 64 bits, or an error. */
static struct value bits(const struct expr *at, struct value v)
{
	if (v.kind == VALUE_DOUBLE) {
		if (v.d != trunc(v.d))
			return value_error(at, FAULT_FRACTION);
		v = value_whole(at, v.d);
		if (v.kind == VALUE_DOUBLE)
			return value_error(at, FAULT_WIDE);
	}
	return v;
}

static struct value on_bits(const struct expr *at, struct value a, struct value b)
{
	a = bits(at, a);
	b = bits(at, b);
	if (a.kind == VALUE_ERROR)
		return a;
	if (b.kind == VALUE_ERROR)
		return b;
	wide x = widened(a), y = widened(b);
	struct value v;
	switch (at->op) {
	case OP_BITOR: return narrowed(at, x | y);
	case OP_XOR: v = narrowed(at, x ^ y); break;
	case OP_BITAND: return narrowed(at, x & y);
	case OP_COMPLEMENT: v = narrowed(at, ~x); break;
	default:
		if (y < 0 || y > 63)
			return value_error(at, FAULT_SHIFT);
		v = narrowed(at, at->op == OP_SHL ? x * ((wide)1 << y) : x >> y);
	}
	return v.kind == VALUE_DOUBLE ? value_error(at, FAULT_BITS) : v;
}

static struct value on_doubles(const struct expr *at, double a, double b)
{
	switch (at->op) {
	case OP_ADD: return value_double(at, a + b);
	case OP_SUB: case OP_NEGATE: return value_double(at, a - b); /* what is negated is taken from 0 */
	case OP_MUL: return value_double(at, a * b);
	case OP_DIV: return b == 0 ? value_error(at, FAULT_ZERO) : value_double(at, a / b);
	default: return b == 0 ? value_error(at, FAULT_ZERO) : value_double(at, fmod(a, b));
	}
}

static struct value on_wholes(const struct expr *at, struct value a, struct value b)
{
	wide x = widened(a), y = widened(b), product;

	switch (at->op) {
	case OP_ADD: return narrowed(at, x + y);
	case OP_SUB: case OP_NEGATE: return narrowed(at, x - y);
	case OP_MUL:
		if (__builtin_mul_overflow(x, y, &product))
			break;
		return narrowed(at, product);
	default:
		if (y == 0)
			return value_error(at, FAULT_ZERO);
		if (at->op == OP_MOD)
			return narrowed(at, x % y);
		if (x % y == 0)
			return narrowed(at, x / y);
	}
	return on_doubles(at, value_as_double(a), value_as_double(b));
}

struct value value_arithmetic(const struct expr *at, struct value a, struct value b)
{
	a = value_number(at, a);
	if (a.kind == VALUE_ERROR)
		return a;
	b = value_number(at, b);
	if (b.kind == VALUE_ERROR)
		return b;
	switch (at->op) {
	case OP_BITOR: case OP_XOR: case OP_BITAND: case OP_SHL: case OP_SHR: case OP_COMPLEMENT:
		return on_bits(at, a, b);
	default:
		if (is_whole(a) && is_whole(b))
			return on_wholes(at, a, b);
		return on_doubles(at, value_as_double(a), value_as_double(b));
	}
}

/* ---- comparing -------------------------------------------------------------------------------------------------------------- */

static int compare_numbers(struct value a, struct value b)
{
	if (is_whole(a) && is_whole(b)) {
		wide x = widened(a), y = widened(b);
		return (x > y) - (x < y);
	}
	double x = value_as_double(a), y = value_as_double(b);
	return (x > y) - (x < y);
}

static int compare_texts(struct value a, struct value b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* Texts equal texts, numbers and booleans one another, null itself alone. */
static struct value equal(const struct expr *at, struct value a, struct value b)
{
	bool same = false;

	if (a.kind == VALUE_JSON && b.kind == VALUE_JSON)
		return value_error(at, FAULT_JSON_EQUAL);
	if (a.kind == VALUE_TEXT && b.kind == VALUE_TEXT)
		same = a.n == b.n && compare_texts(a, b) == 0;
	else if (a.kind == VALUE_NULL || b.kind == VALUE_NULL)
		same = a.kind == b.kind;
	else if (!((value_can(a) | value_can(b)) & (CAN_TEXT | CAN_JSON)))
		same = compare_numbers(value_number(at, a), value_number(at, b)) == 0;
	return value_bool(same == (at->op == OP_EQ));
}

struct value value_compare(const struct expr *at, struct value a, struct value b)
{
	int c;

	if (at->op == OP_EQ || at->op == OP_NE)
		return equal(at, a, b);
	if (a.kind == VALUE_TEXT && b.kind == VALUE_TEXT) {
		c = compare_texts(a, b);
	} else {
		if (a.kind == VALUE_TEXT || b.kind == VALUE_TEXT)
			return value_error(at, FAULT_KINDS);
		a = value_number(at, a);
		b = value_number(at, b);
		if (a.kind == VALUE_ERROR || b.kind == VALUE_ERROR)
			return value_error(at, FAULT_JSON_SIZE);
		c = compare_numbers(a, b);
	}
	switch (at->op) {
	case OP_LT: return value_bool(c < 0);
	case OP_LE: return value_bool(c <= 0);
	case OP_GT: return value_bool(c > 0);
	default: return value_bool(c >= 0);
	}
}
