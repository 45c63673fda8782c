/* script.h - one adapter in one Lua state, and one call of it. Inside transforms/ only. */
#ifndef SLUICE_TRANSFORMS_SCRIPT_H
#define SLUICE_TRANSFORMS_SCRIPT_H

#include "transforms/host.h"
#include "transforms/vm.h"

/* Run the file: the adapter's table as a registry reference in *ref. 0, or -1 with why. */
int script_load(struct vm *vm, const char *path, const char *text, size_t len, int *ref, struct buf *why);
void script_unload(struct vm *vm, int ref);

/* One step of a rendering: an adapter's `transform` with its options. */
struct program {
	struct vm *vm;
	const char *name;
	char log_name[80];
	int transform, ctx;        /* registry references */
	unsigned exhausted_in_row;
	int64_t trial_us;          /* suspended: when it may be called next */
	struct script_counts counts;
};

/* table: from script_load. options_json may be NULL ({}). name and stream are borrowed. 0, or -1 with why. */
int program_init(struct program *p, struct vm *vm, int table, const char *name, const char *options_json, const char *stream, struct buf *why);
void program_fini(struct program *p);

/* One message through the step; its rows are appended to out. `suffix` follows the id in ctx.id ("" or "-3"). patience multiplies the
 * budgets. RENDER_OK with no row cannot be. */
enum render_result program_run(struct program *p, const struct message *m, const struct call *c, const char *suffix, unsigned patience,
                               struct rows *out, struct buf *why);

/* ctx.c: push the ctx object (options on top of the stack are taken into it), and tell it of the call (NULL: ended). */
RAISES void ctx_open(lua_State *L);
RAISES void ctx_push(lua_State *L, const char *stream);
void ctx_call(lua_State *L, int i, const struct call *c, const char *suffix);

/* result.c: append what transform returned (at `first` and behind it) to out. */
RAISES enum render_result result_take(lua_State *L, int first, struct rows *out, struct buf *why);
void rows_end(struct rows *r);

#endif
