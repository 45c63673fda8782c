/* wildcard.c - patterns in which an asterisk stands for any run of bytes. */
#include "plan/wildcard.h"

#include <stdint.h>

static unsigned char folded(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

bool wildcard_matches(const char *pattern, size_t np, char star, const char *text, size_t n, bool fold)
{
	size_t p = 0, t = 0, back = SIZE_MAX, from = 0;

	while (t < n) {
		if (p < np && pattern[p] == star) {
			back = ++p;
			from = t;
		} else if (p < np && (pattern[p] == text[t] || (fold && folded(pattern[p]) == folded(text[t])))) {
			p++;
			t++;
		} else if (back != SIZE_MAX) {
			p = back;
			t = ++from;
		} else {
			return false;
		}
	}
	while (p < np && pattern[p] == star)
		p++;
	return p == np;
}
