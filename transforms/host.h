/* host.h - Lua, contained: what the rest of the router may ask of adapters.
 *
 * Lua stays inside transforms/; nothing here shows a lua_State. Three lives:
 *   struct adapters   the files found in the adapters folders and the built-in ones, read and checked: a struct catalogue for the
 *                     compiler. Belongs to the plan that was compiled with it (plan->scripts).
 *   struct scripts    one Lua state for one worker and one plan, with every adapter the plan uses loaded.
 *   a call            one message through one rendering: bounded in instructions, wall time and memory.
 *
 * Containment (DESIGN, "Lua, contained"): own environment per file, text chunks only, allow-listed library, budgets that pcall
 * cannot swallow. An error in Lua is a result, never an exit, never a passed-on message. */
#ifndef SLUICE_TRANSFORMS_HOST_H
#define SLUICE_TRANSFORMS_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct catalogue;
struct diag;
struct message;
struct plan;
struct rendering;
struct adapters;
struct scripts;

/* Read every *.lua of the folders (first found wins; a folder's file hides a built-in one of the same name) and the built-in ones; only
 * those that are asked for through the catalogue are run. Never NULL; problems go to d with the file's place. */
struct adapters *adapters_open(const char *const *dirs, unsigned ndirs, struct diag *d);
void adapters_free(struct adapters *a);
const struct catalogue *adapters_catalogue(struct adapters *a);
/* Run the vectors of every adapter that was found and is used by the plan (NULL: of all): problems go to d. Number that failed. */
unsigned adapters_run_vectors(struct adapters *a, const struct plan *p, struct diag *d);

/* A Lua state for one worker, with every step of the plan's renderings made ready. Made on the main thread, used by one worker. NULL with
 * words in why (a script that fails to load has been told by adapters_open; this is memory or a bug). */
struct scripts *scripts_new(struct adapters *a, const struct plan *p, char *why, size_t whylen);
void scripts_free(struct scripts *s);

/* What a call is told beside the message. */
struct call {
	const char *stream;          /* the first stream of this rendering: for ctx.stream and logs */
	const char *device_data;     /* JSON or NULL */
	uint64_t id;
	const char *ident; size_t ident_len;
	int64_t now_us;              /* ctx.now */
};

enum render_result { RENDER_OK, RENDER_SKIPPED, RENDER_FAILED };

/* What came out: rows one behind the other in bytes; row i is [ends[i-1], ends[i]). Reused from call to call. */
struct rows { struct buf bytes; unsigned n, cap; size_t *ends; };
void rows_init(struct rows *r);
void rows_fini(struct rows *r);

/* One message through the whole rendering: fields, then the steps. RENDER_SKIPPED and RENDER_FAILED fill why (reason; for failures file:line
 * and traceback; cut at whylen). The message is only read. Never longjmps out. */
enum render_result scripts_render(struct scripts *s, const struct rendering *r, const struct message *m, const struct call *c,
                                  struct rows *out, char *why, size_t whylen);

/* Counters of one rendering's steps on this worker. */
struct script_counts { uint64_t calls, errors, exhausted, suspended; int64_t us; };
void scripts_counts(const struct scripts *s, const struct rendering *r, struct script_counts *out);

#endif
