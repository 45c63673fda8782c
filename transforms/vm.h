/* vm.h - a Lua state that cannot do harm. Inside transforms/ only.
 *
 * The hard idea is that nothing a script can write stops the bounds. A count hook alone is no sandbox: pcall swallows
 * its error, it does not fire in C functions, and a message handler that runs inside the hook is never looked at. So:
 *   - steps are charged by the hook (every HOOK_STEPS instructions, fewer while there are large texts), by every C function that loops, and by allocation;
 *   - the clock is looked at wherever steps are charged;
 *   - memory is refused by the allocator, a single block over the limit at once;
 *   - a budget once spent stays spent until the call has ended: the hook then fires on every instruction, our own pcall and
 *     xpcall pass the error on, and no message handler of the script is called.
 *
 * Functions marked RAISES may leave by longjmp: whoever calls one holds nothing that would have to be given back. What C code needs
 * across such a call belongs to the vm (scratch, proxies) or to a userdata. */
#ifndef SLUICE_TRANSFORMS_VM_H
#define SLUICE_TRANSFORMS_VM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "base/buf.h"
#include "message/message.h"

#define RAISES /* may leave by longjmp */

#define HOOK_STEPS 100 /* at the most: budget.c */
#define LARGE_KINDS 3

enum spent { SPENT_NOTHING, SPENT_STEPS, SPENT_TIME, SPENT_MEMORY };

struct vm_limits {
	size_t block;     /* largest single block: limits.message */
	size_t heap;      /* all that the adapter of this state may hold */
	int64_t time_us;  /* of one call: limits.script */
	int64_t steps;    /* of one call, about an instruction each */
};
/* What follows from the settings; the heap and the steps are derived from them (budget.c says how). */
struct vm_limits vm_limits_of(uint64_t limit_message, int64_t limit_script_us);

struct entry_ref { const char *key; size_t klen, at, len; }; /* convert.c: a member of an object being written */

struct vm {
	lua_State *L;
	struct vm_limits limits;
	/* the budget of the call that runs */
	enum spent spent;
	int64_t steps;          /* left */
	int64_t time_ns;        /* left */
	int64_t seen_ns;        /* the clock when it was last looked at */
	struct { int64_t ns, at; pthread_t thread; } cpu; /* the thread's CPU clock as it was lately, and the clock on the wall then */
	bool called;            /* a function of the script has been called, and is known (budget.c) */
	bool by_cpu;            /* seen_ns is of the thread's CPU clock (budget.c) … */
	int64_t wall_ns;        /* … and this the clock on the wall then */
	unsigned large[LARGE_KINDS]; /* texts alive of sizes that Lua itself takes long to compare */
	int stride;             /* instructions from hook to hook */
	size_t unseen;          /* bytes allocated since the clock was looked at */
	size_t heap;            /* bytes that Lua holds now */
	size_t held;            /* bytes that the host holds for this call */
	size_t written_from;    /* convert.c: where in its buf the value being written begins */
	const char *name;       /* "adapter/NAME" of what runs, for its log lines */
	int64_t log_second_us;  /* lib_log.c: so many lines since then, so many not written */
	unsigned log_lines, log_withheld;
	bool quiet;             /* vectors run here: what scripts say to the log happened to nobody */
	bool loading;           /* an adapter's file runs: its globals are being made */
	/* scratch of one C function at a time; nobody keeps anything in it across a RAISES that may come here again */
	struct buf scratch, sorted, text;
	struct entry_ref *entries; unsigned nentries, capentries;
	struct index index;
	struct proxy *proxies;  /* msg.c */
	uint64_t calls;         /* batch.c: handles of an earlier call are dead */
	int own_conns, *last_conn; /* conn.c: the last number given: the scripts', whose states give no number twice */
	size_t kept;            /* conn.c: bytes in the tables of connections, about */
	struct ctx *ctx;        /* ctx.c: the one that knows of the call that runs */
	uint16_t slots[256];    /* msg.c: where a key was last found */
	const char *method_names[4];
	const void *array_metatable, *digits_metatable, *msg_metatable;
};

/* NULL when there is no memory. */
struct vm *vm_new(const struct vm_limits *limits);
void vm_free(struct vm *vm);

static inline struct vm *vm_of(lua_State *L) { return *(struct vm **)lua_getextraspace(L); }

/* Run fn(arg as light userdata) protected and within the budgets times `patience`. 0, or -1 with what happened in why: the error with
 * file:line and the functions it came through; vm->spent tells whether a budget ended it. The stack is empty afterwards. */
int vm_run(struct vm *vm, lua_CFunction fn, void *arg, unsigned patience, struct buf *why);

/* For C functions that loop: pay for steps, look at the clock. */
RAISES void vm_charge(lua_State *L, int64_t steps);
/* For C functions that make or read n bytes. */
RAISES void vm_charge_bytes(lua_State *L, size_t n);
/* Bytes the host holds outside of Lua until the call has ended. */
RAISES void vm_hold(lua_State *L, size_t n);
/* Mark a budget as spent, from anywhere (does not raise: the hook will). */
void vm_spend(struct vm *vm, enum spent what);
/* Raise if a budget is spent. */
/* lua_call for a function of the script: an error in what is made of its results afterwards is told with the place it is defined at. */
RAISES void vm_call(lua_State *L, int nargs, int nresults);
RAISES void vm_check(lua_State *L);

/* sandbox.c: make the libraries (once per state), and push a new environment for one file. Globals can be made
 * in it while vm->loading is set, and not afterwards. */
RAISES void sandbox_open(lua_State *L);
RAISES void sandbox_env(lua_State *L);
/* Refuse a table whose metatable could run code or bend its length. */
RAISES void sandbox_plain_table(lua_State *L, int arg);
/* Mark the metatable on top as one that scripts cannot replace. */
RAISES void sandbox_close_metatable(lua_State *L);

/* strings.c, pattern.c: own versions of find, match, gmatch, gsub, rep. */
extern const luaL_Reg strings_own[];

#endif
