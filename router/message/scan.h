/* scan.h - what the passes over JSON text share, inside router/message only.
 *
 * The builds of the pass (walk.h) differ in how they skip bytes that need no thought. Everything that needs thought is
 * here, once, and so all builds give one answer: what an escape is, what a UTF-8 sequence is, what a fault is. */
#ifndef SLUICE_MESSAGE_SCAN_H
#define SLUICE_MESSAGE_SCAN_H

#include "message/message.h"

struct scan {
	const char *end;        /* nothing at or behind it is believed, though MESSAGE_PAD bytes there may be read */
	const char *stop;       /* where the fault lies */
	enum json_fault fault;
	bool escaped;           /* the string read last holds a backslash */
	bool lines;             /* a line break was met between tokens */
};

/* Notes the fault; returns NULL, as every function here does on a fault. A fault behind the end is a text that ends too early. */
const char *scan_fail(struct scan *sc, enum json_fault fault, const char *p);
/* p at a byte inside a string that is neither plain nor the closing quote -> behind the escape or the run of UTF-8 it begins. */
const char *scan_odd(struct scan *sc, const char *p);
/* p at what must be `true`, `false` or `null` -> behind it. */
const char *scan_word(struct scan *sc, const char *p, enum slice_kind *kind);
/* p at white space -> at the first byte that is none, or at the end. */
const char *scan_space(struct scan *sc, const char *p);
/* p behind the opening quote -> at the closing one. */
const char *scan_string(struct scan *sc, const char *p);
/* p at a value, `depth` containers open around it -> behind it. */
const char *scan_value(struct scan *sc, const char *p, unsigned depth);

/* Length of the well-formed UTF-8 sequence at p (Unicode table 3-7), 0 if there is none. p < end. */
unsigned utf8_sequence(const char *p, const char *end);

/* p behind a number's sign, `others` a bit for each byte from there on that is no digit or not known to be one. Returns the end of the number, short of any exponent; NULL if it is none. */
static inline const char *number_by_digits(const char *p, uint32_t others)
{
	unsigned whole = others ? (unsigned)__builtin_ctz(others) : 32;

	if (whole - 1 >= 30 || (*p == '0' && whole > 1))
		return NULL;
	if (p[whole] != '.')
		return p + whole;
	others >>= whole + 1;
	unsigned fraction = others ? (unsigned)__builtin_ctz(others) : 0;
	return fraction ? p + whole + 1 + fraction : NULL;
}

/* Undo the escapes of n bytes that a pass has found valid; out has room for n bytes. Returns how many were written. */
size_t text_unescape(char *out, const char *p, size_t n);

/* Double the room for slices. */
void index_grow(struct index *ix);
/* Does a key stand twice among the first n slices? */
bool index_has_twins(struct index *ix, const char *bytes, unsigned n);

/* The builds of the pass. */
enum json_fault message_index_sse2(struct index *ix, const char *p, const char *end, struct message *m, const char **stop);
enum json_fault message_index_avx2(struct index *ix, const char *p, const char *end, struct message *m, const char **stop);

#endif
