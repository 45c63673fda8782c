/* adapters.h - the adapters' files, and what each says of itself. Inside transforms/ only; the rest sees host.h. */
#ifndef SLUICE_TRANSFORMS_ADAPTERS_H
#define SLUICE_TRANSFORMS_ADAPTERS_H

#include "plan/plan.h"
#include "spec/source.h"
#include "transforms/host.h"
#include "transforms/vm.h"

struct arena;
struct diag;

enum adapter_state { ADAPTER_UNREAD, ADAPTER_FINE, ADAPTER_BROKEN };

struct adapter {
	const char *name, *path;   /* path: for people; of a built-in one that in the source tree */
	const char *text;
	size_t len;
	struct source *source;
	enum adapter_state state;
	bool told;                 /* of a broken one: its problems have been reported */
	int table;                 /* in the checking state; LUA_NOREF until it was loaded */
	struct type_info info;
};

struct adapters {
	struct arena *arena;
	struct adapter **list;     /* by name */
	unsigned n;
	unsigned order;            /* of the next source */
	struct vm *vm;             /* where files are checked and vectors run; main thread */
	struct diag *d;
	struct catalogue catalogue;
};

/* NULL: there is none of that name. Not yet checked. */
struct adapter *adapter_find(struct adapters *a, const char *name);
/* Load it into the checking state and read what it says of itself; problems to d, once. False when it is broken. */
bool adapter_check(struct adapters *a, struct adapter *ad, struct diag *d);
/* The line on which a text stands first, 0 if nowhere. */
unsigned adapter_line(const struct adapter *ad, const char *needle);
struct mark adapter_mark(const struct adapter *ad, unsigned line);
/* The line that an error of Lua names ("path:12: …"), 0 if none. */
unsigned error_line(const char *why);

/* describe.c: the table on top of the stack read into ad->info. */
RAISES void describe(lua_State *L, struct adapters *a, struct adapter *ad, struct diag *d, bool *broken);
/* vectors.c: run those of one adapter; how many failed. */
unsigned vectors_run(struct adapters *a, struct adapter *ad, struct diag *d);

#endif
