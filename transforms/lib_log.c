/* lib_log.c - `log`: a script's words in the router's log, under the adapter's name. At most LINES a second for each state; what is over is
 * counted and said with the next line. Who has diverted the log wants all of them. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "transforms/libraries.h"

#define LINES 10

RAISES static int write_line(lua_State *L, enum log_level level)
{
	struct vm *vm = vm_of(L);
	int n = lua_gettop(L);
	luaL_Buffer b;

	if (vm->quiet || !log_enabled(level))
		return 0;
	int64_t now = clock_mono_us();
	if (now - vm->log_second_us >= 1000000) {
		vm->log_second_us = now;
		vm->log_lines = 0;
	}
	if (vm->log_lines >= LINES && !log_diverted()) {
		vm->log_withheld++;
		return 0;
	}
	vm->log_lines++;
	luaL_buffinit(L, &b);
	for (int i = 1; i <= n; i++) {
		if (i > 1)
			luaL_addchar(&b, ' ');
		luaL_tolstring(L, i, NULL);
		luaL_addvalue(&b);
	}
	luaL_pushresult(&b);
	if (vm->log_withheld)
		log_event(level, vm->name, "script", "text=%s withheld=%u", log_quote(lua_tostring(L, -1)), vm->log_withheld);
	else
		log_event(level, vm->name, "script", "text=%s", log_quote(lua_tostring(L, -1)));
	vm->log_withheld = 0;
	vm_charge(L, 500);
	return 0;
}

static int debug(lua_State *L)
{
	return write_line(L, LOG_DEBUG);
}

static int info(lua_State *L)
{
	return write_line(L, LOG_INFO);
}

static int warn(lua_State *L)
{
	return write_line(L, LOG_WARN);
}

RAISES void log_open(lua_State *L)
{
	static const luaL_Reg functions[] = { { "debug", debug }, { "info", info }, { "warn", warn }, { NULL, NULL } };

	luaL_newlib(L, functions);
}
