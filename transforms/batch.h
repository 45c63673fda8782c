/* batch.h - a batch and an answer as scripts see them. Inside transforms/ only. */
#ifndef SLUICE_TRANSFORMS_BATCH_H
#define SLUICE_TRANSFORMS_BATCH_H

#include "transforms/host.h"
#include "transforms/vm.h"

RAISES void batch_open(lua_State *L);
/* batch[i].id, ident, timestamp, bytes, device; #batch; batch.body. Dead after batch_end. */
RAISES void batch_push(lua_State *L, const struct script_batch *b);
void batch_end(struct vm *vm);
/* {status, headers, body, cut, json()} */
RAISES void answer_push(lua_State *L, const struct script_answer *a);

#endif
