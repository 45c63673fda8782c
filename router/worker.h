/* worker.h - one event loop: its connections, its streams, its Lua state.
 *
 * What lies in a worker is touched by its own thread only, but for what says otherwise. Others talk to it through its mailbox
 * (worker_post) and the store through its port. A stream belongs to one worker for as long as its name lives; a message is indexed,
 * routed and rendered on the worker whose connection it came in on. */
#ifndef SLUICE_WORKER_H
#define SLUICE_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"
#include "channels/channel.h"
#include "message/message.h"
#include "senders/delivery.h"
#include "transforms/host.h"

struct engine;
struct again;
struct event;
struct job;
struct mailbox;
struct net;
struct opinions;
struct plan;
struct port;
struct route_cache;

/* A stream this worker delivers. */
struct live {
	char *name;
	struct delivery *delivery;     /* NULL while the next one waits for the last one's end */
	uint32_t buffer;
	bool stopping;
	bool paused;                   /* by command: over reloads, until it is resumed */
	const struct stream *again;    /* of again_plan: to be started when the one that is stopping has ended */
	const struct plan *again_plan;
	struct worker *worker;
};

/* A plan and its Lua state here, for as long as requests that came under them are on their way. */
struct term { struct worker *worker; const struct plan *plan; struct scripts *scripts; unsigned users; };

/* What a rendering made of the message in hand; kept per rendering so that it runs once for all streams that share it. */
struct rendered { uint64_t serial; enum render_result result; unsigned first, n; char why[1024]; };

struct worker {
	struct engine *engine;
	unsigned ix;
	pthread_t thread;
	struct event_base *base;
	struct mailbox *mail;
	struct port *port;
	struct event *port_event;
	struct net *net;
	struct intake_loop loop;       /* loop.plan is the plan in force here; this worker holds a reference to it */
	struct scripts *scripts;       /* belongs to loop.plan */
	struct term *term;             /* the two, counted */
	bool ending;                   /* the loops have ended */
	bool keeps_state;              /* an adapter of loop.plan does */
	struct route_cache *routes;
	struct opinions *opinions;     /* env.arg */
	struct delivery_env env;
	struct map streams;            /* name -> struct live */
	unsigned nstopping;

	/* the pipeline's rooms, reused from message to message */
	struct index received, stamped;
	struct rows rows;
	struct decoded decoded;
	struct buf text, ident, request;
	struct rendered *rendered; unsigned nrendered;
	uint64_t serial;
	struct job *jobs;              /* free list */
	struct again *again;           /* those that wait for states */
	struct job *waiting_first, *waiting_last; /* requests that wait for states, in the order in which they came */
};

/* Made on the main thread; the loop runs after worker_start. Ends the process with a message when the system gives no loop. */
void worker_init(struct worker *w, struct engine *e, unsigned ix);
void worker_start(struct worker *w);
void worker_post(struct worker *w, void (*fn)(void *arg), void *arg);
/* Ask the loop to end after what it has in hand, and wait for it. Main thread. */
void worker_join(struct worker *w);
/* After worker_join. Deliveries that are left are given up (their batches under way count as not answered). */
void worker_fini(struct worker *w);

/* On the worker: put this plan in force. `owners[i]` is the worker of plan->streams[i]. Takes over the reference to plan and the scripts. */
void worker_take_plan(struct worker *w, const struct plan *plan, struct scripts *scripts, const unsigned *owners);
/* On the worker: one more, and one less, that needs it. */
struct term *term_use(struct term *t);
void term_unuse(struct term *t);
/* On the worker: by an operator's command, whatever the specification says. */
void live_pause(struct live *l, bool paused);
/* On the worker: no new batches; `done` on this loop when no answer is awaited any more. */
void worker_stop_streams(struct worker *w, void (*done)(void *arg), void *arg);

#endif
