/* msg.h - a message as a script sees it. Inside transforms/ only.
 *
 * `msg` is a handle on a proxy over the message's slices. Reading converts one value; the first write copies the slices (not the
 * bytes); what a script writes is turned into JSON text at once and lies in the proxy's overlay. So a script pays for the fields it
 * touches, and what it does not touch comes out byte for byte, in the order it came.
 *
 * Values are read and written whole: a table that was read is a copy, and changes the message when it is assigned again. */
#ifndef SLUICE_TRANSFORMS_MSG_H
#define SLUICE_TRANSFORMS_MSG_H

#include "transforms/vm.h"

RAISES void msg_open(lua_State *L);
void msg_close(struct vm *vm);

/* Push a handle; m and its index must stay until msg_end. */
RAISES void msg_push(lua_State *L, const struct message *m);
/* Every handle given out so far is dead from now on: using one is an error that says so. */
void msg_end(struct vm *vm);

bool msg_is(lua_State *L, int i);
/* Append the message at i as it now is; false when the value is none. */
RAISES bool msg_write(lua_State *L, int i, struct buf *out);

#endif
