/* script.h - one adapter in one Lua state, and one call of it. Inside transforms/ only. */
#ifndef SLUICE_TRANSFORMS_SCRIPT_H
#define SLUICE_TRANSFORMS_SCRIPT_H

#include "transforms/host.h"
#include "transforms/vm.h"

/* So many spent budgets in a row, or so many that a tenth of the time would not pay for them, and the adapter is not called for this rendering (channel,
 * destination) but for one trial a second. The second rule is for one that does well in between: other streams share its thread. */
#define EXHAUSTED_MAX 5
#define SPENT_MAX 6
#define SPENT_SHARE 10
#define TRIAL_US 1000000

/* Run the file: the adapter's table as a registry reference in *ref. 0, or -1 with why. */
int script_load(struct vm *vm, const char *path, const char *text, size_t len, int *ref, struct buf *why);
void script_unload(struct vm *vm, int ref);

/* What ctx tells of; which members are set depends on what is called. */
struct facts {
	const struct call *call;         /* transform */
	const char *suffix;              /* follows the id: "" or "-3" */
	const struct arrival *arrival;   /* decode */
	const char *ident;               /* hello, reply: NULL unless the connection is a device's */
	int *conn;                       /* decode, hello, reply */
	int64_t now_us;
	const char *name;                /* of its part of the state */
	const struct program *steps; unsigned nsteps; /* those whose parts stay: the whole rendering's */
	struct buf *state;               /* transform: the whole state as JSON, read and written; NULL: no state */
	bool state_changed;
};

/* Push the options of an adapter whose table is at `table`: the JSON text, with what the adapter declares as default where nothing is given. */
RAISES void options_push(lua_State *L, int table, const char *json, const char *name);

/* One step of a rendering: an adapter's `transform` with its options. */
struct program {
	struct vm *vm;
	const char *name;
	char state_name[80];       /* of its part of the state: the name, with a number where it stands in the chain before */
	const struct program *chain; unsigned nchain; /* it is one of these */
	char log_name[80];
	int transform, topic, ctx; /* registry references; topic may be LUA_NOREF */
	unsigned exhausted_in_row;
	int64_t spent_us, spent_at_us; /* budgets that were spent, less a tenth of the time that has passed; and when that was reckoned */
	int64_t trial_us;          /* suspended: when it may be called next */
	struct stats_stream *suspended; /* the stream it is suspended for and that says so, or NULL */
	struct script_counts counts;
};

/* table: from script_load. options_json may be NULL ({}). name and stream are borrowed. 0, or -1 with why. */
int program_init(struct program *p, struct vm *vm, int table, const char *name, const char *options_json, const char *stream, struct buf *why);
void program_fini(struct program *p);

/* It is suspended no longer: it was well, or is gone. */
void program_resume(struct program *p);

/* One message through the step; its rows are appended to out. `suffix` follows the id in ctx.id ("" or "-3"). patience multiplies the
 * budgets. RENDER_OK with no row cannot be. */
enum render_result program_run(struct program *p, const struct message *m, const struct call *c, const char *suffix, unsigned patience,
                               struct rows *out, struct buf *why);

/* ctx.c. Push the ctx object: the options on top of the stack are taken into it, and the adapter's table at `table` says which state it keeps. */
RAISES void ctx_open(lua_State *L);
RAISES void ctx_push(lua_State *L, const char *stream, int table);
/* Tell it of the call; and, outside of Lua, that the call has ended. */
void ctx_begin(lua_State *L, int i, struct facts *f);
void ctx_end(struct vm *vm);
/* What the script did to ctx.state, into facts->state. */
RAISES void ctx_keep_state(lua_State *L, int i);

/* What an adapter may keep in ctx.conn of a connection; more is an error of the call, and the connection begins anew. A large number of
 * connections is no hoard: what is kept in them is not counted against the adapter's heap. */
#define SCRIPT_CONN_MAX ((size_t)64 << 10)
/* conn.c: push the table of this connection; 0 gets a number. Behind the script's function: see what it put there. */
RAISES void conn_push(lua_State *L, int *conn);
RAISES void conn_settle(lua_State *L, const struct facts *f);
void conn_end(struct vm *vm, int conn);
void conns_take(struct vm *vm, struct vm *was);

/* result.c: append what transform returned (at `first` and behind it) to out. */
RAISES enum render_result result_take(lua_State *L, int first, struct rows *out, struct buf *why);
void rows_end(struct rows *r);

/* Names of headers in lower case → values. */
RAISES void push_headers(lua_State *L, unsigned n, const char *const *names, const char *const *values);

/* ---- far.c: an adapter's other functions ---------------------------------------------------------------------------------- */

/* An adapter with the options of one channel or destination. */
struct far {
	struct vm *vm;
	const char *name, *of;     /* the adapter's, and the channel's or destination's */
	char log_name[80];
	int table, ctx;
	bool suspended;
	unsigned exhausted_in_row;
	int64_t spent_us, spent_at_us, trial_us;
};
int far_init(struct far *f, struct vm *vm, int table, const char *name, const char *options_json, const char *stream, struct buf *why);
void far_fini(struct far *f);
/* Inside a job: push the function and leave ctx to be pushed behind its arguments by far_ctx. False when the adapter has none. */
RAISES bool far_function(lua_State *L, const struct far *f, const char *function);
RAISES void far_ctx(lua_State *L, const struct far *f, struct facts *facts);
/* Run a job of this adapter. */
int far_run(struct far *f, lua_CFunction job, void *arg, unsigned patience, struct buf *why);
/* Of a call that may look at each message of a batch. */
static inline unsigned far_patience(const struct script_batch *b) { return 1 + b->n / 1000; }

int far_decode(struct far *f, const struct arrival *in, const char *bytes, size_t n, struct decoded *out, struct buf *why);
int far_verdict(struct far *f, const struct script_batch *b, const struct script_answer *a, struct script_judgement *out, struct buf *why);

/* What host.c does for the public functions in decode.c and far_*.c. */
struct far *scripts_channel(struct scripts *s, const struct channel *c);
struct far *scripts_destination(struct scripts *s, const struct destination *d);

#endif
