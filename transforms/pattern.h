/* pattern.h - Lua's patterns with a step budget. Inside transforms/ only. */
#ifndef SLUICE_TRANSFORMS_PATTERN_H
#define SLUICE_TRANSFORMS_PATTERN_H

#include "transforms/vm.h"

#define PATTERN_CAPTURES 32

/* What a capture holds instead of a length. */
#define CAPTURE_OPEN (-1)
#define CAPTURE_PLACE (-2)

struct pattern {
	lua_State *L;
	const char *text, *text_end;
	const char *pat_end;
	unsigned steps; /* not yet charged */
	unsigned depth;
	int ncaptures;
	struct { const char *at; ptrdiff_t len; } captures[PATTERN_CAPTURES];
};

void pattern_init(struct pattern *m, lua_State *L, const char *text, size_t len, const char *pat, size_t plen);
/* Match p (without its anchor) at s: the end of the match, or NULL. Raises for malformed patterns and when the budget is spent. */
RAISES const char *pattern_match(struct pattern *m, const char *s, const char *p);
/* Push capture i; of a pattern without captures the whole match [s, e) is capture 0. */
RAISES void pattern_push_capture(struct pattern *m, int i, const char *s, const char *e);
/* Push all of them (the whole match if there are none and s is not NULL). How many. */
RAISES int pattern_push_captures(struct pattern *m, const char *s, const char *e);

#endif
