/* walk.h - the pass over a message, as a template: index_scalar.c, index_sse2.c and index_avx2.c include it.
 *
 * Before the include each defines
 *   WALK(name)            how its functions are called
 *   WALK_TARGET           the attribute that lets the compiler use the machine's instructions
 *   WALK(plain)(p, end)   the first byte at or behind p that is `"`, `\`, a control character or no ASCII; end if none
 *   WALK(digits)(p, end)  the first byte at or behind p that is no digit; end if none
 * and, if it can, WALK_WINDOW with
 *   WALK(window)(p, &odd) a bit for each `"` of the 64 bytes at p; `odd` has one for each byte that needs thought
 *   WALK(short_number)(p) behind the number without exponent at p; NULL if there is none, or not surely
 *
 * The hard idea is WALK(hop). Reading a message token by token is one long chain: where a field begins is known only when
 * the one before has been read. In a compact message all quotes are known at once, 64 bytes at a time, so where the tokens
 * lie follows from the quotes alone, and the processor checks many fields at the same time. What hop does not know it
 * leaves, without judging, to the patient code below, field by field: that code alone says what a fault is. */
#include "base/bytes.h"
#include "message/scan.h"

#define WALK_WORD(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

static inline WALK_TARGET const char *WALK(string)(struct scan *sc, const char *p)
{
	sc->escaped = false;
	for (;;) {
		p = WALK(plain)(p, sc->end);
		if (p >= sc->end)
			return scan_fail(sc, JSON_SYNTAX, p);
		if (*p == '"')
			return p;
		p = scan_odd(sc, p);
		if (!p)
			return NULL;
	}
}

static inline WALK_TARGET const char *WALK(space)(struct scan *sc, const char *p)
{
	return p < sc->end && (unsigned char)*p <= ' ' ? scan_space(sc, p) : p;
}

/* int [frac] [exp] of RFC 8259, section 6. */
static inline WALK_TARGET const char *WALK(number)(struct scan *sc, const char *p)
{
	const char *end = sc->end;

	if (*p == '-')
		p++;
	const char *digits = p;
	p = WALK(digits)(p, end);
	if (p == digits)
		return scan_fail(sc, JSON_SYNTAX, p);
	if (*digits == '0' && p != digits + 1)
		return scan_fail(sc, JSON_SYNTAX, digits + 1);
	if (p < end && *p == '.') {
		digits = ++p;
		p = WALK(digits)(p, end);
		if (p == digits)
			return scan_fail(sc, JSON_SYNTAX, p);
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		digits = p;
		p = WALK(digits)(p, end);
		if (p == digits)
			return scan_fail(sc, JSON_SYNTAX, p);
	}
	return p;
}

static inline WALK_TARGET const char *WALK(leaf)(struct scan *sc, const char *p, enum slice_kind *kind)
{
	if (*p == '"') {
		*kind = SLICE_STRING;
		p = WALK(string)(sc, p + 1);
		return p ? p + 1 : NULL;
	}
	if (*p == '-' || (*p >= '0' && *p <= '9')) {
		*kind = SLICE_NUMBER;
		return WALK(number)(sc, p);
	}
	return scan_word(sc, p, kind);
}

/* p at `{` or `[` -> behind the bracket that closes it. */
static WALK_TARGET const char *WALK(nested)(struct scan *sc, const char *p, unsigned depth)
{
	uint64_t objects = 0; /* a bit per open container, the innermost lowest */
	unsigned open = 0;
	enum slice_kind kind;

	_Static_assert(MESSAGE_DEPTH_MAX <= 64, "a bit per level");
	for (;;) {
		/* at a value */
		if (p < sc->end && (*p == '{' || *p == '[')) {
			if (depth + open >= MESSAGE_DEPTH_MAX)
				return scan_fail(sc, JSON_DEPTH, p);
			objects = objects << 1 | (*p == '{');
			open++;
			p = WALK(space)(sc, p + 1);
			if (p >= sc->end || *p != (objects & 1 ? '}' : ']')) {
				if (objects & 1)
					goto key;
				continue;
			}
			p++;
			objects >>= 1;
			open--;
		} else {
			if (p >= sc->end)
				return scan_fail(sc, JSON_SYNTAX, p);
			p = WALK(leaf)(sc, p, &kind);
			if (!p)
				return NULL;
		}
		/* behind a value */
		for (;;) {
			if (open == 0)
				return p;
			p = WALK(space)(sc, p);
			if (p >= sc->end || *p != (objects & 1 ? '}' : ']'))
				break;
			p++;
			objects >>= 1;
			open--;
		}
		if (p >= sc->end || *p != ',')
			return scan_fail(sc, JSON_SYNTAX, p);
		p = WALK(space)(sc, p + 1);
		if (!(objects & 1))
			continue;
key:
		if (p >= sc->end || *p != '"')
			return scan_fail(sc, JSON_SYNTAX, p);
		p = WALK(string)(sc, p + 1);
		if (!p)
			return NULL;
		p = WALK(space)(sc, p + 1);
		if (p >= sc->end || *p != ':')
			return scan_fail(sc, JSON_SYNTAX, p);
		p = WALK(space)(sc, p + 1);
	}
}

#ifdef WALK_WHOLE /* one build serves the callers that only want a value checked */
const char *scan_string(struct scan *sc, const char *p)
{
	return WALK(string)(sc, p);
}

const char *scan_value(struct scan *sc, const char *p, unsigned depth)
{
	return WALK(nested)(sc, p, depth);
}
#endif

#ifdef WALK_WINDOW

/* Quotes ahead, 64 bytes at a time, as far as no byte on the way needs thought. */
struct WALK(view) {
	const char *base, *end;
	uint64_t quotes; /* not yet passed, at base + bit */
	bool last;       /* there is something behind this window that is not to be hopped over */
};

static inline WALK_TARGET void WALK(look)(struct WALK(view) *v)
{
	uint64_t odd, quotes = WALK(window)(v->base, &odd);

	v->last = false;
	if (v->end - v->base < 64)
		odd |= (uint64_t)1 << (v->end - v->base);
	if (odd) {
		quotes &= (odd & -odd) - 1;
		v->last = true;
	}
	v->quotes = quotes;
}

/* The next quote, NULL if none is in sight. */
static inline WALK_TARGET const char *WALK(quote)(struct WALK(view) *v)
{
	while (__builtin_expect(v->quotes == 0, 0)) {
		if (v->last)
			return NULL;
		v->base += 64;
		WALK(look)(v);
	}
	const char *p = v->base + __builtin_ctzll(v->quotes);
	v->quotes &= v->quotes - 1;
	return p;
}

/* Fields from p on, which is at a key's quote, as long as they are compact: nothing but single blanks between the tokens, no
 * nesting, no escapes, no exponents. Returns p of the first field that is not; with *closed, p is
 * at the brace that ends the message. */
static inline WALK_TARGET const char *WALK(hop)(struct index *ix, const char *bytes, const char *p, const char *end, unsigned *fields,
	bool *closed)
{
	struct WALK(view) view = { .base = p, .end = end };
	unsigned n = *fields, cap = ix->cap;

	WALK(look)(&view);
	const char *open = WALK(quote)(&view);
	while (open == p && n < cap) {
		const char *close = WALK(quote)(&view);
		if (!close || close[1] != ':' || close - open > MESSAGE_KEY_MAX)
			break;
		const char *value = close + 2, *behind;
		value += *value == ' ';
		enum slice_kind kind;
		if (*value == '"') {
			kind = SLICE_STRING;
			WALK(quote)(&view);
			behind = WALK(quote)(&view);
			if (!behind)
				break;
			behind++;
		} else if ((unsigned char)*value <= '9') {
			kind = SLICE_NUMBER;
			behind = WALK(short_number)(value);
			if (!behind)
				break;
		} else if (get_le32(value) == WALK_WORD('t', 'r', 'u', 'e')) {
			kind = SLICE_TRUE;
			behind = value + 4;
		} else if (get_le32(value) == WALK_WORD('n', 'u', 'l', 'l')) {
			kind = SLICE_NULL;
			behind = value + 4;
		} else if (get_le32(value) == WALK_WORD('f', 'a', 'l', 's') && value[4] == 'e') {
			kind = SLICE_FALSE;
			behind = value + 5;
		} else {
			break;
		}
		if (behind >= end || (*behind != ',' && *behind != '}'))
			break;

		struct slice *s = &ix->slices[n];
		*s = (struct slice){ .key = (uint32_t)(open + 1 - bytes), .value = (uint32_t)(value - bytes), .vlen = (uint32_t)(behind - value),
			.klen = (uint16_t)(close - open - 1), .kind = (uint8_t)kind };
		n++;
		p = behind;
		if (*p == '}') {
			*closed = true;
			break;
		}
		/* Where the next field begins follows from `behind`, but the quotes know it sooner. */
		p++;
		p += *p == ' ';
		open = WALK(quote)(&view);
	}
	*fields = n;
	return p;
}

#endif

static inline WALK_TARGET enum json_fault WALK(index)(struct index *ix, const char *p, const char *end, struct message *m, const char **stop)
{
	struct scan sc = { .end = (size_t)(end - p) > MESSAGE_LEN_MAX ? p + MESSAGE_LEN_MAX : end };
	enum json_fault alone = JSON_OK;
	unsigned n = 0;
#ifdef WALK_WINDOW
	unsigned idle = 0;
#endif

	p = WALK(space)(&sc, p);
	if (p >= sc.end)
		goto syntax;
	const char *bytes = p;
	if (*p != '{') {
		p = WALK(nested)(&sc, p, 0);
		if (!p)
			goto fault;
		*stop = p;
		return JSON_NOT_OBJECT;
	}
	sc.lines = false; /* of the message, not of what stands before it */
	p = WALK(space)(&sc, p + 1);
	if (p < sc.end && *p == '}')
		goto done;

	for (;;) {
		struct slice s;
		enum slice_kind kind;

		/* at a field */
#ifdef WALK_WINDOW
		if (alone == JSON_OK && idle < 3) {
			const char *from = p;
			bool closed = false;
			p = WALK(hop)(ix, bytes, p, sc.end, &n, &closed);
			if (closed)
				goto done;
			idle += p == from; /* this message is not compact: no use trying on */
			p = WALK(space)(&sc, p);
		}
#endif
		if (p >= sc.end || *p != '"')
			goto syntax;
		const char *key = p + 1;
		p = WALK(string)(&sc, key);
		if (!p)
			goto fault;
		size_t klen = (size_t)(p - key);
		s.key = (uint32_t)(key - bytes);
		s.klen = (uint16_t)klen;
		s.escaped = sc.escaped ? SLICE_KEY_ESCAPED : 0;
		p = WALK(space)(&sc, p + 1);
		if (p >= sc.end || *p != ':')
			goto syntax;
		p = WALK(space)(&sc, p + 1);
		if (p >= sc.end)
			goto syntax;

		const char *value = p;
		if (*p == '{' || *p == '[') {
			kind = *p == '{' ? SLICE_OBJECT : SLICE_ARRAY;
			p = WALK(nested)(&sc, p, 1);
		} else {
			p = WALK(leaf)(&sc, p, &kind);
		}
		if (!p)
			goto fault;
		if (kind == SLICE_STRING && sc.escaped)
			s.escaped |= SLICE_VALUE_ESCAPED;
		s.value = (uint32_t)(value - bytes);
		s.vlen = (uint32_t)(p - value);
		s.kind = (uint8_t)kind;

		if (alone == JSON_OK) {
			if (klen > MESSAGE_KEY_MAX)
				alone = JSON_KEY_LONG;
			else if (n == MESSAGE_FIELDS_MAX)
				alone = JSON_TOO_MANY;
			else {
				if (n == ix->cap)
					index_grow(ix);
				ix->slices[n++] = s;
			}
		}

		p = WALK(space)(&sc, p);
		if (p >= sc.end)
			goto syntax;
		if (*p == '}')
			break;
		if (*p != ',')
			goto syntax;
		p = WALK(space)(&sc, p + 1);
	}
done:
	p++;
	*stop = p;
	if (alone == JSON_OK && index_has_twins(ix, bytes, n))
		alone = JSON_DUPLICATE;
	if (alone != JSON_OK)
		return alone;
	*m = (struct message){ .bytes = bytes, .len = (size_t)(p - bytes), .slices = ix->slices, .n = n, .lines = sc.lines };
	return JSON_OK;
syntax:
	scan_fail(&sc, JSON_SYNTAX, p);
fault:
	*stop = sc.stop;
	return sc.fault;
}
