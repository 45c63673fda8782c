/* scan.c - the thoughtful half of the pass: escapes, UTF-8, words, faults. */
#include "message/scan.h"

const char *scan_fail(struct scan *sc, enum json_fault fault, const char *p)
{
	if (p >= sc->end) {
		p = sc->end;
		fault = JSON_SYNTAX;
	}
	sc->fault = fault;
	sc->stop = p;
	return NULL;
}

unsigned utf8_sequence(const char *text, const char *end)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t have = (size_t)(end - text);
	unsigned lead = p[0];

	if (lead < 0x80)
		return 1;
	if (lead < 0xC2 || have < 2)
		return 0;
	if (lead < 0xE0)
		return (p[1] & 0xC0) == 0x80 ? 2 : 0;
	if (lead < 0xF0) {
		/* E0 would be overlong below A0, ED a surrogate above 9F. */
		unsigned least = lead == 0xE0 ? 0xA0 : 0x80, most = lead == 0xED ? 0x9F : 0xBF;
		return have >= 3 && p[1] >= least && p[1] <= most && (p[2] & 0xC0) == 0x80 ? 3 : 0;
	}
	if (lead < 0xF5) {
		/* F0 would be overlong below 90, F4 beyond U+10FFFF above 8F. */
		unsigned least = lead == 0xF0 ? 0x90 : 0x80, most = lead == 0xF4 ? 0x8F : 0xBF;
		return have >= 4 && p[1] >= least && p[1] <= most && (p[2] & 0xC0) == 0x80 && (p[3] & 0xC0) == 0x80 ? 4 : 0;
	}
	return 0;
}

bool utf8_valid(const char *p, size_t n, size_t *bad)
{
	const char *at = p, *end = p + n;

	while (at < end) {
		uint64_t eight;
		if (end - at >= 8 && (memcpy(&eight, at, 8), (eight & 0x8080808080808080u) == 0)) {
			at += 8;
			continue;
		}
		unsigned len = utf8_sequence(at, end);
		if (len == 0) {
			if (bad)
				*bad = (size_t)(at - p);
			return false;
		}
		at += len;
	}
	return true;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

const char *scan_odd(struct scan *sc, const char *p)
{
	if ((unsigned char)*p >= 0x80) {
		do {
			unsigned len = utf8_sequence(p, sc->end);
			if (len == 0)
				return scan_fail(sc, JSON_UTF8, p);
			p += len;
		} while (p < sc->end && (unsigned char)*p >= 0x80);
		return p;
	}
	if (*p != '\\')
		return scan_fail(sc, JSON_SYNTAX, p); /* a control character */
	sc->escaped = true;
	p++;
	if (p >= sc->end)
		return scan_fail(sc, JSON_SYNTAX, p);
	switch (*p) {
	case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't':
		return p + 1;
	case 'u':
		p++;
		for (int i = 0; i < 4; i++, p++)
			if (p >= sc->end || !is_hex(*p))
				return scan_fail(sc, JSON_SYNTAX, p);
		return p;
	default:
		return scan_fail(sc, JSON_SYNTAX, p);
	}
}

const char *scan_word(struct scan *sc, const char *p, enum slice_kind *kind)
{
	const char *word;

	switch (*p) {
	case 't': word = "true"; *kind = SLICE_TRUE; break;
	case 'f': word = "false"; *kind = SLICE_FALSE; break;
	case 'n': word = "null"; *kind = SLICE_NULL; break;
	default: return scan_fail(sc, JSON_SYNTAX, p);
	}
	for (; *word; word++, p++)
		if (p >= sc->end || *p != *word)
			return scan_fail(sc, JSON_SYNTAX, p);
	return p;
}

const char *scan_space(struct scan *sc, const char *p)
{
	for (; p < sc->end; p++) {
		if (*p == '\n' || *p == '\r')
			sc->lines = true;
		else if (*p != ' ' && *p != '\t')
			break;
	}
	return p;
}
