/* utf8.h - one step through text that may not be UTF-8. */
#ifndef SLUICE_BASE_UTF8_H
#define SLUICE_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length of the sequence at p (n > 0 bytes readable). *ok = false: what stands there is no UTF-8, and the length is
 * that of the part to be replaced by one U+FFFD (the "maximal subpart" of the Unicode standard, chapter 3.9). */
static inline size_t utf8_step(const char *s, size_t n, bool *ok)
{
	const unsigned char *p = (const unsigned char *)s;
	*ok = true;
	if (p[0] < 0x80)
		return 1;
	*ok = false;
	if (p[0] < 0xC2 || p[0] > 0xF4)
		return 1;
	/* The second byte carries the bounds against overlong forms, surrogates and what is beyond U+10FFFF. */
	unsigned low = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
	unsigned high = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
	size_t want = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
	if (n < 2 || p[1] < low || p[1] > high)
		return 1;
	for (size_t i = 2; i < want; i++)
		if (i >= n || (p[i] & 0xC0) != 0x80)
			return i;
	*ok = true;
	return want;
}

#endif
