/* engine.h - the process: one store, the workers, the channel types, and the plan in force.
 *
 * The engine belongs to the main loop. It wires the stations together and holds what is shared; nothing flows through it. */
#ifndef SLUICE_ENGINE_H
#define SLUICE_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"
#include "channels/channel.h"
#include "net/http_server.h"

struct control;
struct control_request;
struct desk;
struct event;
struct event_base;
struct mailbox;
struct plan;
struct reload;
struct store;
struct worker;

#define ENGINE_TYPES_MAX 16

/* The outcome of the last reload, for status. */
struct reload_report { uint64_t tried, failed; int64_t when_us; bool ok; char text[512]; struct buf problems; /* as `check` prints them */ };

struct engine {
	const char *file;
	struct event_base *base;
	struct mailbox *mail;
	struct store *store;
	struct worker *workers;
	unsigned nworkers;
	const struct plan *plan;        /* in force; a reference */
	uint64_t generation;
	struct channel_host host;
	struct net_quota connections;   /* host.connections */
	struct channel_type *channels[ENGINE_TYPES_MAX];  /* one for each of types_channels */
	struct map owners;              /* stream name -> its worker; names are never forgotten, so that a stream that returns meets its own past */
	unsigned next_owner;
	struct reload *reload;          /* under way, or NULL */
	bool reload_again;              /* asked for meanwhile: once more */
	struct reload_report report;
	struct control *control;
	struct desk *desk;
	struct event *signals[4];
	struct event *deadline;
	bool stopping;
	unsigned waiting;               /* parts that have not stopped yet */
	int exit_status;
	int64_t started_us;

	/* Shared: bytes between channel and store. At the bound reading stops; nothing is thrown away. */
	_Atomic size_t pending;
	size_t pending_max;
	_Atomic bool reading_stopped;
};

/* What answers on the control socket (admin/control.h), arg being the engine; commands/ are built on the engine, not the engine on them. */
typedef void engine_control_fn(void *engine, const char *line, size_t n, struct control_request *r);

/* Start from a specification, run until SIGTERM; the exit status (sysexits). Problems of the specification go to stderr. */
int engine_run(const char *file, engine_control_fn *control);

/* ---- for the parts of the engine ---------------------------------------------------------------------------------- */

/* Bytes of tickets on their way to the store; thread-safe. */
void engine_pending_add(struct engine *e, size_t bytes);
void engine_pending_sub(struct engine *e, size_t bytes);
/* Bytes of blocks the store may hold in memory. */
uint64_t engine_store_memory(const struct plan *p);
/* Bytes of adapters' states it may. */
size_t engine_state_memory(const struct plan *p);
/* Which worker serves each stream of this plan (malloc'ed). Main loop, or before it runs. */
unsigned *engine_owners(struct engine *e, const struct plan *p);
/* A stream that is not known yet goes to the worker of the one it was, which hands its buffer on. Main loop. */
void engine_owner_follows(struct engine *e, const char *name, const char *was);

#endif
