/* convert.h - Lua values and JSON text, both ways. Inside transforms/ only.
 *
 *	JSON                     Lua
 *	integer in int64         integer
 *	integer beyond           a userdata that keeps its digits: prints and is written as they are, calculates as a float
 *	number with . or e       float; written as the shortest text that reads back the same ("1.0" stays "1.0")
 *	string                   string; must be UTF-8 to be written
 *	null                     json.null
 *	array                    table marked by json.array, so that it stays an array when empty
 *	object                   table; written with its keys in bytewise order
 *
 * A table that is not marked is an array if it has items 1..n and nothing else, an object if all its keys are strings; `{}` is an object. */
#ifndef SLUICE_TRANSFORMS_CONVERT_H
#define SLUICE_TRANSFORMS_CONVERT_H

#include "transforms/vm.h"

/* Push the `json` library's table; makes what the conversions need in this state. */
RAISES void json_open(lua_State *L);
bool json_is_array_metatable(lua_State *L, int i);

/* Push the value of a slice; base is what its offsets count from. The text is known to be well-formed, and the byte behind it readable. */
RAISES void json_push_slice(lua_State *L, const char *base, const struct slice *s);
/* Push the value of any text: 0, or -1 with words pushed that say why not (*why is the same). */
RAISES int json_push_text(lua_State *L, const char *p, size_t n, const char **why);
/* Push json.null. */
RAISES void json_push_null(lua_State *L);
bool json_is_null(lua_State *L, int i);

/* Append the value at i as JSON. Raises for what cannot be JSON (functions, not UTF-8, nan, cycles); out then holds a part. */
RAISES void json_write(lua_State *L, int i, struct buf *out);
/* The kind of what json_write would write. */
enum slice_kind json_kind(lua_State *L, int i);
/* n bytes as a JSON string; raises if they are not UTF-8. */
RAISES void json_write_string(lua_State *L, const char *s, size_t n, struct buf *out);

#endif
