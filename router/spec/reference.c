/* reference.c - ${env:NAME} and ${file:PATH}, and {parameter}: whether a text holds them, and holds them well. */
#include "spec/rule.h"

#include <ctype.h>
#include <string.h>

bool reference_in(const char *text)
{
	for (const char *p = text; (p = strstr(p, "${")) != NULL; p += 2)
		if (p == text || p[-1] != '$')
			return true;
	return false;
}

static int at(struct fault *f, const char *text, const char *p, size_t len, const char *why)
{
	*f = (struct fault){ (size_t)(p - text), len, why };
	return -1;
}

int reference_check(const char *text, struct fault *f)
{
	const char *p = text, *end, *name;

	while ((p = strstr(p, "${")) != NULL) {
		if (p > text && p[-1] == '$') {
			p += 2;
			continue;
		}
		end = strchr(p, '}');
		if (end == NULL)
			return at(f, text, p, strlen(p), "the reference is never closed by }");
		if (strncmp(p, "${env:", 6) == 0) {
			name = p + 6;
			if (name == end)
				return at(f, text, p, (size_t)(end + 1 - p), "no variable is named");
			for (const char *c = name; c < end; c++)
				if (!isalnum((unsigned char)*c) && *c != '_')
					return at(f, text, p, (size_t)(end + 1 - p), "a variable's name has letters, digits and _ only");
		} else if (strncmp(p, "${file:", 7) == 0) {
			if (p + 7 == end)
				return at(f, text, p, (size_t)(end + 1 - p), "no file is named");
		} else {
			return at(f, text, p, (size_t)(end + 1 - p), "a reference is ${env:NAME} or ${file:PATH}");
		}
		p = end + 1;
	}
	return 0;
}

int template_check(const char *text, struct fault *f)
{
	for (const char *p = text; *p != '\0'; p++) {
		const char *end;

		if (p[0] == '$' && p[1] == '{') { /* a reference, checked by itself */
			end = strchr(p, '}');
			if (end == NULL)
				return 0;
			p = end;
			continue;
		}
		if (p[0] == p[1] && (*p == '{' || *p == '}')) {
			p++;
			continue;
		}
		if (*p == '}')
			return at(f, text, p, 1, "no { stands before this }");
		if (*p != '{')
			continue;
		end = p + 1 + strcspn(p + 1, "{}");
		if (*end != '}')
			return at(f, text, p, (size_t)(end - p), "the { is never closed by }");
		if (end == p + 1)
			return at(f, text, p, 2, "no parameter is named");
		for (const char *c = p + 1; c < end; c++)
			if ((unsigned char)*c <= ' ' || *c == '"')
				return at(f, text, p, (size_t)(end + 1 - p), "a parameter's name has no blanks or quotes");
		p = end;
	}
	return 0;
}
