/* host.h - Lua, contained: what the rest of the router may ask of adapters.
 *
 * Lua stays inside transforms/; nothing here shows a lua_State. Three lives:
 *   struct adapters   the files found in the adapters folders and the built-in ones, read and checked: a struct catalogue for the
 *                     compiler. Belongs to the plan that was compiled with it (plan->scripts).
 *   struct scripts    for one worker and one plan, every adapter the plan uses, each in a Lua state of its own: a hoarder fills its own heap.
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
struct channel;
struct destination;
struct diag;
struct message;
struct plan;
struct rendering;
struct adapters;
struct scripts;
struct type_info;

/* Read every *.lua of the folders (first found wins; a folder's file hides a built-in one of the same name) and the built-in ones; only
 * those that are asked for through the catalogue are run. Never NULL; problems go to d with the file's place. */
struct adapters *adapters_open(const char *const *dirs, unsigned ndirs, struct diag *d);
void adapters_free(struct adapters *a);
const struct catalogue *adapters_catalogue(struct adapters *a);
/* The file of a type the catalogue gave; of a built-in one that in the source tree. */
const char *adapters_path(const struct adapters *a, const struct type_info *t);
/* Run the vectors of every adapter that was found and is used by the plan (NULL: of all): problems go to d. Number that failed. */
unsigned adapters_run_vectors(struct adapters *a, const struct plan *p, struct diag *d);

/* The Lua states of one worker, with every step of the plan's renderings made ready. Made on the main thread, used by one worker. NULL with
 * words in why (a script that fails to load has been told by adapters_open; this is memory or a bug). */
struct scripts *scripts_new(struct adapters *a, const struct plan *p, char *why, size_t whylen);
void scripts_free(struct scripts *s);

/* The connections of states that are about to go, under the same numbers; of ctx.conn plain values alone are carried over, to the adapter of
 * the same name, or where one went and one came, to that. */
void scripts_take_conns(struct scripts *s, struct scripts *old);

/* What a call is told beside the message. */
struct call {
	const char *stream;          /* the first stream of this rendering: for ctx.stream and logs */
	const char *device_data;     /* JSON or NULL */
	uint64_t id;
	const char *ident; size_t ident_len;
	int64_t now_us;              /* ctx.now */
	const char *state; size_t state_len; /* what this stream and ident last left in rows.state; NULL: nothing yet */
};
/* Most that the adapters of one rendering may keep for an ident; more is an error of the call. */
#define SCRIPT_STATE_MAX 1024

enum render_result { RENDER_OK, RENDER_SKIPPED, RENDER_FAILED };

/* What came out: rows one behind the other in bytes; row i is [ends[i-1], ends[i]). Reused from call to call. With state_changed, `state` is
 * to be kept in place of what was given (also for RENDER_SKIPPED): written with the message, or not at all. */
struct rows {
	struct buf bytes; unsigned n, cap; size_t *ends;
	struct buf topics; size_t *topic_ends;       /* the same for what the adapter's `topic` said; empty: the destination's own topic */
	struct buf state; bool state_changed;
	bool ready;                  /* some row is bytes as a script made them, which nobody has looked at */
};
void rows_init(struct rows *r);
void rows_fini(struct rows *r);

/* One message through the whole rendering: fields, then the steps. RENDER_SKIPPED and RENDER_FAILED fill why (reason; for failures file:line
 * and traceback; cut at whylen). The message is only read. Never longjmps out. */
enum render_result scripts_render(struct scripts *s, const struct rendering *r, const struct message *m, const struct call *c,
                                  struct rows *out, char *why, size_t whylen);

/* For who wants to see a rendering at work: told, row by row, what the fields (`step` is "fields") and each step made of the message. NULL
 * ends it. The watch must live as long. */
struct render_watch { void (*made)(void *arg, const char *step, unsigned row, const char *bytes, size_t len); void *arg; };
void scripts_watch(struct scripts *s, const struct render_watch *w);

/* ---- formats: what came on a channel, made into messages by an adapter's `decode` ---------------------------------------- */

struct arrival {
	const char *peer, *method, *query, *topic;   /* NULL where the transport has none; query as it stands behind the `?` */
	unsigned nheaders; const char *const *header_names, *const *header_values;
	int64_t now_us;
	int *conn;                   /* ctx.conn of this connection: points to 0 at first; give it back with scripts_conn_end. NULL: none */
};
struct decoded {
	struct rows messages;        /* JSON text of each */
	size_t used;                 /* bytes that were understood: all unless `decode` says otherwise; the rest comes again with more behind it */
	bool malformed;              /* of a failure: `decode` itself said nil and why; the bytes are none of this format */
	bool has_now, has_after, has_refuse;
	struct buf now;              /* to answer at once */
	struct buf after;            /* to answer when the messages are durable */
	struct buf refuse;           /* to answer when they cannot be taken */
};
void decoded_init(struct decoded *d);
void decoded_fini(struct decoded *d);
/* The channel's format must be an adapter. 0, or -1 with why (file:line, traceback; where out->malformed, the adapter's own words). */
int scripts_decode(struct scripts *s, const struct channel *c, const struct arrival *in, const char *bytes, size_t n, struct decoded *out,
                   char *why, size_t whylen);
/* A conn belongs to the state it was made in, and to the next one if that takes it over. */
void scripts_conn_end(struct scripts *s, int conn);

/* ---- a destination's own words: request, verdict, credentials -------------------------------------------------------------- */

/* Messages on their way, as delivery knows them; strings are borrowed. A call about a batch has one budget more for each thousand of them. */
struct script_item { const char *id, *ident; size_t ident_len; int64_t time_us; const char *bytes; size_t len; const char *device; /* JSON or NULL */ };
struct script_batch {
	const char *stream; int64_t now_us; unsigned n; const struct script_item *items; const char *body; size_t body_len;
	/* batch[i].device where the item has none: asked for when a script looks. JSON or NULL; may be NULL. */
	const char *(*device)(void *arg, const char *ident, size_t len); void *device_arg;
};
struct script_answer { int status; const char *body; size_t len; bool cut; unsigned nheaders; const char *const *header_names, *const *header_values; };

enum script_verdict { SCRIPT_NO_OPINION, SCRIPT_DONE, SCRIPT_RETRY, SCRIPT_SPLIT, SCRIPT_REFUSED, SCRIPT_BLOCKED };
struct script_each { enum script_verdict verdict; size_t reason; }; /* offset in words, which holds NUL-terminated texts */
struct script_judgement {
	enum script_verdict verdict;
	size_t reason;               /* offset in words */
	bool has_each;
	unsigned n, cap; struct script_each *each;  /* DONE, RETRY or REFUSED for each message of the batch */
	struct buf words;
};
void script_judgement_init(struct script_judgement *j);
void script_judgement_fini(struct script_judgement *j);
/* What the destination's adapter makes of an answer. SCRIPT_NO_OPINION when it has no `verdict` or that returns nil: the transport's own table
 * decides. -1 with why when it failed. */
int scripts_verdict(struct scripts *s, const struct destination *d, const struct script_batch *b, const struct script_answer *a,
                    struct script_judgement *out, char *why, size_t whylen);

/* tcp: bytes to begin a connection with. `ident` is that of a connection per device, else NULL; conn as in struct arrival. *wait: messages
 * wait until scripts_reply has understood an answer. 1 when out was filled, 0 when the adapter has no `hello`, -1 with why. */
int scripts_hello(struct scripts *s, const struct destination *d, int64_t now_us, const char *ident, int *conn, struct buf *out, bool *wait, char *why,
                  size_t whylen);
/* tcp: bytes that came back. *used of them were understood; out->each has a verdict for each of the oldest messages without one, out->n of
 * them, at most `waiting`; or out->verdict is SCRIPT_BLOCKED: the far end will not have us, and says why. As scripts_hello. */
int scripts_reply(struct scripts *s, const struct destination *d, int64_t now_us, const char *ident, int *conn, const char *bytes, size_t n,
                  unsigned waiting, size_t *used, struct script_judgement *out, char *why, size_t whylen);

/* An HTTP request as an adapter wants it. Headers: name NUL value NUL, one behind the other. */
struct script_request { bool has_url, has_body; struct buf url, body, headers; unsigned nheaders; };
void script_request_init(struct script_request *r);
void script_request_fini(struct script_request *r);
/* 1 when `request` was called and out filled, 0 when the adapter has none, -1 with why. */
int scripts_request(struct scripts *s, const struct destination *d, const struct script_batch *b, struct script_request *out, char *why, size_t whylen);

struct script_credentials {
	bool wanted;                 /* ask this `request` first, and give its answer to the next call */
	struct script_request request;  /* wanted: the request; else its headers are what every request carries */
	bool has_username, has_password; struct buf username, password;
	int64_t lives_us;            /* from now; 0: for ever */
};
void script_credentials_init(struct script_credentials *c);
void script_credentials_fini(struct script_credentials *c);
/* `credentials` (answer NULL) or `token` (with what the wanted request answered). As scripts_request. */
int scripts_credentials(struct scripts *s, const struct destination *d, int64_t now_us, const struct script_answer *answer,
                        struct script_credentials *out, char *why, size_t whylen);

/* Counters of one rendering's steps on this worker. */
struct script_counts { uint64_t calls, errors, exhausted, suspended; int64_t us; };
void scripts_counts(const struct scripts *s, const struct rendering *r, struct script_counts *out);

#endif
