/* libraries.h - what scripts are given beside Lua's own: crypto, geo, time, log. Inside transforms/ only. */
#ifndef SLUICE_TRANSFORMS_LIBRARIES_H
#define SLUICE_TRANSFORMS_LIBRARIES_H

#include "transforms/vm.h"

/* Each pushes its table. */
RAISES void crypto_open(lua_State *L);
RAISES void geo_open(lua_State *L);
RAISES void time_open(lua_State *L);
RAISES void log_open(lua_State *L);

#endif
