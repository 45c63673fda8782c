/* pattern.c - matching with Lua's patterns, and paying for every step of it.
 *
 * The language is that of the Lua 5.4 reference manual, section 6.4.1. What differs from the stock functions is that each comparison is
 * a step of the call's budget: backtracking can take exponential time, and no hook fires inside C. */
#include "transforms/pattern.h"

#include <ctype.h>
#include <string.h>

#define DEPTH_MAX 200
#define CHARGE_AT 1024

void pattern_init(struct pattern *m, lua_State *L, const char *text, size_t len, const char *pat, size_t plen)
{
	m->L = L;
	m->text = text;
	m->text_end = text + len;
	m->pat_end = pat + plen;
	m->steps = 0;
	m->depth = 0;
	m->ncaptures = 0;
}

RAISES static inline void step(struct pattern *m)
{
	if (++m->steps >= CHARGE_AT) {
		m->steps = 0;
		vm_charge(m->L, CHARGE_AT);
	}
}

/* p at the beginning of a single-character class -> behind it. */
RAISES static const char *class_end(struct pattern *m, const char *p)
{
	char c = *p++;

	if (c == '%') {
		if (p == m->pat_end)
			luaL_error(m->L, "malformed pattern (it ends with '%%')");
		return p + 1;
	}
	if (c != '[')
		return p;
	if (p < m->pat_end && *p == '^')
		p++;
	/* A ']' at the very beginning is a member, not the end. */
	do {
		step(m);
		if (p == m->pat_end)
			luaL_error(m->L, "malformed pattern (missing ']')");
		c = *p++;
		if (c == '%') {
			if (p == m->pat_end)
				luaL_error(m->L, "malformed pattern (missing ']')");
			p++;
		}
	} while (p == m->pat_end || *p != ']');
	return p + 1;
}

static bool in_class(unsigned char c, unsigned char class)
{
	bool is;

	switch (tolower(class)) {
	case 'a': is = isalpha(c); break;
	case 'c': is = iscntrl(c); break;
	case 'd': is = isdigit(c); break;
	case 'g': is = isgraph(c); break;
	case 'l': is = islower(c); break;
	case 'p': is = ispunct(c); break;
	case 's': is = isspace(c); break;
	case 'u': is = isupper(c); break;
	case 'w': is = isalnum(c); break;
	case 'x': is = isxdigit(c); break;
	case 'z': is = c == '\0'; break; /* of Lua 5.1, and still there */
	default: return class == c;
	}
	return isupper(class) ? !is : is;
}

/* [p, end) is a whole set, brackets included. */
RAISES static bool in_set(struct pattern *m, unsigned char c, const char *p, const char *end)
{
	bool wanted = true;

	end--; /* its ']' */
	if (*++p == '^') {
		wanted = false;
		p++;
	}
	for (; p < end; p++) {
		step(m);
		if (*p == '%') {
			p++;
			if (in_class(c, (unsigned char)*p))
				return wanted;
		} else if (p + 2 < end && p[1] == '-') {
			if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2])
				return wanted;
			p += 2;
		} else if ((unsigned char)*p == c) {
			return wanted;
		}
	}
	return !wanted;
}

/* Does the class [p, end) take the character at s? */
RAISES static bool takes(struct pattern *m, const char *s, const char *p, const char *end)
{
	step(m);
	if (s >= m->text_end)
		return false;
	switch (*p) {
	case '.': return true;
	case '%': return in_class((unsigned char)*s, (unsigned char)p[1]);
	case '[': return in_set(m, (unsigned char)*s, p, end);
	default: return *p == *s;
	}
}

RAISES static const char *balanced(struct pattern *m, const char *s, const char *p)
{
	if (m->pat_end - p < 2)
		luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
	if (s >= m->text_end || *s != p[0])
		return NULL;
	unsigned open = 1;
	while (++s < m->text_end) {
		step(m);
		if (*s == p[1]) {
			if (--open == 0)
				return s + 1;
		} else if (*s == p[0]) {
			open++;
		}
	}
	return NULL;
}

RAISES static const char *most(struct pattern *m, const char *s, const char *p, const char *end)
{
	ptrdiff_t n = 0;

	while (takes(m, s + n, p, end))
		n++;
	for (; n >= 0; n--) {
		const char *e = pattern_match(m, s + n, end + 1);
		if (e)
			return e;
	}
	return NULL;
}

RAISES static const char *fewest(struct pattern *m, const char *s, const char *p, const char *end)
{
	for (;;) {
		const char *e = pattern_match(m, s, end + 1);
		if (e)
			return e;
		if (!takes(m, s, p, end))
			return NULL;
		s++;
	}
}

RAISES static const char *capture_begins(struct pattern *m, const char *s, const char *p, ptrdiff_t what)
{
	if (m->ncaptures >= PATTERN_CAPTURES)
		luaL_error(m->L, "too many captures");
	m->captures[m->ncaptures].at = s;
	m->captures[m->ncaptures].len = what;
	m->ncaptures++;
	const char *e = pattern_match(m, s, p);
	if (!e)
		m->ncaptures--;
	return e;
}

RAISES static const char *capture_ends(struct pattern *m, const char *s, const char *p)
{
	int i = m->ncaptures - 1;

	while (i >= 0 && m->captures[i].len != CAPTURE_OPEN)
		i--;
	if (i < 0)
		luaL_error(m->L, "invalid pattern capture");
	m->captures[i].len = s - m->captures[i].at;
	const char *e = pattern_match(m, s, p);
	if (!e)
		m->captures[i].len = CAPTURE_OPEN;
	return e;
}

/* The text that capture number `digit` took, once more. */
RAISES static const char *again(struct pattern *m, const char *s, char digit)
{
	int i = digit - '1';

	if (i < 0 || i >= m->ncaptures || m->captures[i].len == CAPTURE_OPEN)
		luaL_error(m->L, "invalid capture index %%%d", i + 1);
	ptrdiff_t len = m->captures[i].len;
	if (len == CAPTURE_PLACE)
		return NULL;
	m->steps += (unsigned)(len / 16);
	if (m->text_end - s < len || memcmp(s, m->captures[i].at, (size_t)len) != 0)
		return NULL;
	return s + len;
}

RAISES static bool at_frontier(struct pattern *m, const char *s, const char *set, const char *end)
{
	unsigned char before = s == m->text ? '\0' : (unsigned char)s[-1];
	unsigned char here = s == m->text_end ? '\0' : (unsigned char)*s;

	return !in_set(m, before, set, end) && in_set(m, here, set, end);
}

RAISES static const char *walk(struct pattern *m, const char *s, const char *p)
{
	while (p < m->pat_end) {
		step(m);
		if (*p == '(')
			return p + 1 < m->pat_end && p[1] == ')' ? capture_begins(m, s, p + 2, CAPTURE_PLACE)
				: capture_begins(m, s, p + 1, CAPTURE_OPEN);
		if (*p == ')')
			return capture_ends(m, s, p + 1);
		if (*p == '$' && p + 1 == m->pat_end)
			return s == m->text_end ? s : NULL;
		if (*p == '%' && p + 1 < m->pat_end) {
			if (p[1] == 'b') {
				s = balanced(m, s, p + 2);
				if (!s)
					return NULL;
				p += 4;
				continue;
			}
			if (p[1] == 'f') {
				p += 2;
				if (p == m->pat_end || *p != '[')
					luaL_error(m->L, "missing '[' after '%%f' in pattern");
				const char *end = class_end(m, p);
				if (!at_frontier(m, s, p, end))
					return NULL;
				p = end;
				continue;
			}
			if (isdigit((unsigned char)p[1])) {
				s = again(m, s, p[1]);
				if (!s)
					return NULL;
				p += 2;
				continue;
			}
		}
		const char *end = class_end(m, p);
		char suffix = end < m->pat_end ? *end : '\0';
		if (suffix == '*')
			return most(m, s, p, end);
		if (suffix == '-')
			return fewest(m, s, p, end);
		bool taken = takes(m, s, p, end);
		if (suffix == '+')
			return taken ? most(m, s + 1, p, end) : NULL;
		if (suffix == '?') {
			const char *e;
			if (taken && (e = pattern_match(m, s + 1, end + 1)))
				return e;
			p = end + 1;
			continue;
		}
		if (!taken)
			return NULL;
		s++;
		p = end;
	}
	return s;
}

RAISES const char *pattern_match(struct pattern *m, const char *s, const char *p)
{
	if (++m->depth > DEPTH_MAX)
		luaL_error(m->L, "pattern too complex");
	const char *e = walk(m, s, p);
	m->depth--;
	return e;
}

RAISES void pattern_push_capture(struct pattern *m, int i, const char *s, const char *e)
{
	if (i >= m->ncaptures) {
		if (i != 0)
			luaL_error(m->L, "invalid capture index %%%d", i + 1);
		lua_pushlstring(m->L, s, (size_t)(e - s));
		return;
	}
	if (m->captures[i].len == CAPTURE_PLACE)
		lua_pushinteger(m->L, m->captures[i].at - m->text + 1);
	else if (m->captures[i].len == CAPTURE_OPEN)
		luaL_error(m->L, "unfinished capture");
	else
		lua_pushlstring(m->L, m->captures[i].at, (size_t)m->captures[i].len);
}

RAISES int pattern_push_captures(struct pattern *m, const char *s, const char *e)
{
	int n = m->ncaptures == 0 && s ? 1 : m->ncaptures;

	luaL_checkstack(m->L, n, "too many captures");
	for (int i = 0; i < n; i++)
		pattern_push_capture(m, i, s, e);
	return n;
}
