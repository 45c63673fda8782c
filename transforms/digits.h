/* digits.h - numbers that are kept as they were written, because no Lua number holds them exactly. Inside transforms/ only. */
#ifndef SLUICE_TRANSFORMS_DIGITS_H
#define SLUICE_TRANSFORMS_DIGITS_H

#include "transforms/vm.h"

/* Once per state. */
RAISES void digits_open(lua_State *L);
RAISES void digits_push(lua_State *L, const char *text, size_t n);
/* The text of such a number, or NULL when the value is something else. */
const char *digits_text(lua_State *L, int i, size_t *n);
/* json.number(text) */
int digits_from_script(lua_State *L);

#endif
