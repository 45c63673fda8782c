/* vectors.h - what vectors.c and vectors_far.c share; nobody else includes it. */
#ifndef SLUICE_TRANSFORMS_VECTORS_H
#define SLUICE_TRANSFORMS_VECTORS_H

#include "transforms/adapters.h"

/* Vectors are asked whether they are right, not how fast the machine is. */
#define VECTOR_PATIENCE 20

struct running { struct adapters *a; struct adapter *ad; struct diag *d; unsigned failed; };

/* A vector failed. */
void vector_told(struct running *r, const char *name, const char *what);
/* A field as JSON, or a string as it is, appended to out; false when there is none. */
RAISES bool vector_text(lua_State *L, int i, const char *key, struct buf *out);

/* Run item i of the list if it is a vector of `decode` or `answer`; else false. */
bool vector_far(struct running *r, int list, lua_Integer i);

#endif
