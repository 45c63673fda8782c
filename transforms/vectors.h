/* vectors.h - what vectors.c and vectors_far.c share; nobody else includes it. */
#ifndef SLUICE_TRANSFORMS_VECTORS_H
#define SLUICE_TRANSFORMS_VECTORS_H

#include "transforms/adapters.h"

/* Vectors are asked whether they are right, not how fast the machine is. */
#define VECTOR_PATIENCE 20

struct running { struct adapters *a; struct adapter *ad; struct diag *d; unsigned failed; lua_Integer i, step; };

/* A vector failed: by its name, or where it has none by where it stands in the list. */
void vector_told(struct running *r, const char *name, const char *what);
/* A field as JSON, or a string as it is, appended to out; false when there is none. */
RAISES bool vector_text(lua_State *L, int i, const char *key, struct buf *out);

/* What stands at i is of this type, or an error says what it is; `what` names it. */
RAISES void vector_expect(lua_State *L, int i, int type, const char *what);
/* It has no other keys than these (the last is NULL): a slip of the pen would be an example of nothing. */
RAISES void vector_keys(lua_State *L, int i, const char *const *names);
/* The number of seconds in `now`, 0 without, as microseconds. */
RAISES int64_t vector_now(lua_State *L, int i);

/* Run item i of the list if it is a vector of `decode` or `answer`; else false. */
bool vector_far(struct running *r, int list, lua_Integer i);

#endif
