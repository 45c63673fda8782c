/* fields_names.h - compiled `fields:` from inside: shared by fields.c and fields_compile.c, nobody else. */
#ifndef SLUICE_PLAN_FIELDS_NAMES_H
#define SLUICE_PLAN_FIELDS_NAMES_H

#include "plan/fields.h"
#include "spec/source.h"

#include <stdbool.h>
#include <stdint.h>

enum notation { NOTATION_DOTS, NOTATION_SNAKE, NOTATION_CAMEL };

struct name {
	struct mark at;
	const char *text; /* as given */
	size_t n;
	size_t head;      /* bytes before the first asterisk; n: it has none */
	bool single;      /* it has one asterisk */
	unsigned next;    /* exact: 1 + the next of the same hash */
	/* rename: the new name as JSON, without quotes; of a wildcard what stands before and behind the asterisk */
	const char *to;
	const char *before, *behind;
	size_t nbefore, nbehind;
};

/* Names in the order given; the exact ones by hash, the wildcards one after the other. */
struct names {
	struct name *all;
	unsigned n;
	unsigned *wild, nwild; /* numbers in `all` */
	unsigned first[256];   /* 1 + number */
};

struct fields {
	enum notation notation;
	struct names keep, drop, rename;
};

static inline uint8_t hash_of(const char *key, size_t len)
{
	return len == 0 ? 0 : (uint8_t)(len * 7 + (unsigned char)key[0] * 31 + (unsigned char)key[len - 1] * 113);
}

#endif
