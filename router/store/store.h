/* store.h - what the router owes: messages held, durable, until their destination has answered.
 *
 * Meanings only; no keys, no LevelDB. One store per process, one commit at a time: everything a request leaves to
 * write is one *ticket*, tickets that wait together become one atomic, synced write, and only then are their
 * sources answered and their streams' senders woken.
 *
 * Understand these first:
 *   id        names a message for its whole life; drawn on receipt (store_ids), never reused.
 *   position  orders the store; given at commit, strictly rising, never reused, not even after a failed commit.
 *   block     up to about 100 messages committed together: one position. It holds one *chunk* per rendering: the
 *             source chunk (rendering 0: the message as received and stamped) and one for each transform's output.
 *   entry     one message, or one row of a transform's list, inside a chunk: (position, entry number).
 *   buffer    a stream's durable queue: per block one *ref* that says which entries are still outstanding.
 *             A buffer belongs to (stream, destination, form): the same three bring the same buffer back.
 *   form      what the bytes are ready for ("json", or transport/adapter/joiner/number); a sender sends only its own.
 *   history   what came in by one channel, kept for a while whether it is delivered or not: refs to source chunks that nobody sends.
 *   settle    an entry leaves a buffer in exactly one of the ways of enum outcome, and is counted as that.
 *
 * Conservation, per buffer, exact at every commit:
 *   matched = skipped + buffered + accepted + dead + expired + dropped + purged
 *
 * Threads. Workers build tickets, take spans, settle; they never wait for the disk. The commit thread is the only
 * writer. The reader thread reads ahead for buffers that lag. Results reach a worker through its *port*: callbacks
 * run only inside port_run(), on the thread that calls it. Unless a function says otherwise, a ticket belongs to one
 * thread at a time, a buffer to the thread of its port, and `struct store` may be used by all.
 *
 * Errors. Opening tells why in words. Afterwards the store heals itself (it closes and reopens the database after any
 * write error, since LevelDB answers OK and forgets once a write has failed); callers see TICKET_FAILED meanwhile.
 * Nothing settled is forgotten: what could not be recorded is recorded by a later commit. */
#ifndef SLUICE_STORE_STORE_H
#define SLUICE_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct store;
struct port;
struct ticket;
struct buffer;
struct chunk;
struct claim;

/* ---- opening ------------------------------------------------------------------------------------------------ */

enum durability { DURABILITY_FSYNC, DURABILITY_OS };

struct store_options {
	const char *path;          /* folder; created 0700, parents must exist */
	enum durability durability;
	uint64_t disk_limit;       /* bytes the store may take on disk (settings.limits.disk) */
	uint64_t memory_limit;     /* bytes of blocks held in memory for senders, all buffers together */
	uint8_t node;              /* 8 bits inside every id */
	bool as_it_lies;           /* to be looked at: no folder is made, and what is damaged is neither repaired nor set aside but refused */
};

/* NULL and words in why when it cannot be opened (locked by another process, not ours, no permission, newer format).
 * A corrupt database is repaired if it can be, else moved aside whole as PATH/quarantine-TIME; either is logged with what was lost. */
struct store *store_open(const struct store_options *o, char *why, size_t whylen);
/* Commits what was submitted and settled, stops the threads, closes. Ports that were not freed before go with it;
 * callbacks that did not run by then never run. */
void store_close(struct store *s);
/* The same without the last commit: what a test uses in place of kill -9. */
void store_abandon(struct store *s);
/* Sixteen hexadecimal digits, drawn when the store was made, the same for as long as it lives. */
const char *store_identity(const struct store *s);
/* New limits, from a reload; takes effect with the next commit. */
void store_set_limits(struct store *s, uint64_t disk_limit, uint64_t memory_limit);

/* ---- names and numbers ----------------------------------------------------------------------------------------- */

/* Names get small stable numbers (1 …) which are written into records in place of them. Blocking (one synced write for a
 * new name); called while a plan is prepared, never from a worker's loop. 0 = could not be recorded. */
enum name_kind { NAME_STREAM = 's', NAME_CHANNEL = 'c', NAME_RENDERING = 'r', NAME_BUFFER = 'b', NAME_HISTORY = 'h' };
uint32_t store_name(struct store *s, enum name_kind kind, const char *name);

/* Names get other texts, and keep their numbers: whatever lies under a number goes by its new name from then on. All of them in one synced write,
 * or none: 0, or -1. Where the new text is another's, that one gets the old: they change places. A `from` that is not known is passed over.
 * Blocking, as store_name is; one caller at a time, and none of store_name meanwhile. */
struct renaming { enum name_kind kind; const char *from, *to; };
int store_rename(struct store *s, const struct renaming *list, unsigned n);

/* n fresh ids, consecutive in steps of 256 (the low 8 bits are the node): first returned. Lock-free. */
uint64_t store_ids(struct store *s, unsigned n);
#define STORE_ID_STEP 256

/* Elapsed store time in microseconds: rises with CLOCK_BOOTTIME while running, and over a restart by what is believed of
 * the gap. `span.arrived` is in it, so (store_elapsed() - arrived) is a message's age for ttl. */
int64_t store_elapsed(struct store *s);

/* Position of the last commit that senders know of: what comes later has a higher one. */
uint64_t store_position(struct store *s);

/* ---- ports ---------------------------------------------------------------------------------------------------------- */

struct port *port_new(struct store *s);
void port_free(struct port *p);       /* no callback comes after this; its buffers must be detached before */
int port_fd(const struct port *p);    /* readable when port_run has something to do */
void port_run(struct port *p);        /* runs due callbacks on this thread */

/* ---- how an entry leaves a buffer ------------------------------------------------------------------------------------ */

#define SPAN_ENTRIES_MAX 512  /* entries in one chunk, at most */

/* OUTCOME_MOVED: never by a sender, see ticket_settles. */
enum outcome { OUTCOME_ACCEPTED, OUTCOME_DEAD, OUTCOME_EXPIRED, OUTCOME_DROPPED, OUTCOME_PURGED, OUTCOME_MOVED };

/* Why an entry became a dead letter; strings are copied. */
struct death { const char *reason; int status; const char *answer; size_t answer_len; unsigned attempts; };

/* ---- tickets: what one request leaves to write ----------------------------------------------------------------------- */

enum ticket_result {
	TICKET_TAKEN,   /* durable for every stream it matched */
	TICKET_FULL,    /* nothing written: a stream with `full: block` has no room, or the disk limit is reached; why names it */
	TICKET_FAILED,  /* nothing written: the disk refused; why has the words. (Where a disk fails for more than 3 s, so that nobody can
	                   say what it kept of the last commit, that is answered so too; if it kept it after all, it is delivered.) */
};
/* Called once per submitted ticket, inside port_run of its port. The ticket is freed after it returns. */
typedef void ticket_done_fn(void *arg, enum ticket_result result, const char *why);

struct ticket *ticket_new(struct store *s, struct port *p, ticket_done_fn *done, void *arg);
/* Give up a ticket that was not submitted. */
void ticket_drop(struct ticket *t);
/* Take part in nothing more; to the commit thread. A ticket without messages, skips and dead letters is answered TAKEN
 * at the next port_run, without a write. */
void ticket_submit(struct ticket *t);
/* Bytes a ticket holds in memory by now (the intake bound is counted in it). */
size_t ticket_size(const struct ticket *t);

/* What is known of a message beside its bytes. `ident` is copied. */
struct message_head {
	uint64_t id;
	int64_t time_us;     /* its own timestamp, real clock */
	const char *ident;
	uint16_t ident_len;
};

/* One message at a time:
 *   b = ticket_message(t);  append the source bytes to b (only append: b already holds earlier messages);
 *   ticket_message_end(t, &head)  -> the message stands, wants may follow;   or ticket_message_undo(t).
 * What was appended begins at offset `*start` of b; pointers into b die at the next append. */
struct buf *ticket_message(struct ticket *t, size_t *start);
void ticket_message_end(struct ticket *t, const struct message_head *head);
/* Takes the last message back, whether ended or not; only while nothing wants it. */
void ticket_message_undo(struct ticket *t);

/* A rendering of the current message (rendering != 0), likewise appended: rows of a list are one call pair each, row 0, 1, … .
 * `address`: what url, headers or topic need at send time (opaque to the store, at most 4 KiB, copied; here a flat JSON object by
 * parameter name).
 * Returns the entry number for ticket_want. A rendering is made once per message and shared by the streams that want it. */
#define TICKET_ROWS_MAX 256  /* rows one message may become in one rendering; the caller refuses longer lists */
struct buf *ticket_rendering(struct ticket *t, uint32_t rendering, size_t *start);
unsigned ticket_rendering_end(struct ticket *t, uint32_t rendering, unsigned row, const void *address, size_t address_len);
void ticket_rendering_undo(struct ticket *t, uint32_t rendering);

/* The current message goes to this buffer, matched and buffered. rendering 0: the source itself, entry is ignored. Within one block a
 * buffer's order holds per rendering, so a plan gives a buffer one rendering. A second want of the same entry is none.
 * Each want is matched and buffered by one: a message that became a list of three rows counts as three. */
void ticket_want(struct ticket *t, uint32_t buffer, uint32_t rendering, unsigned entry);
/* The current message is kept in this history (its number is store_name(NAME_HISTORY, the channel's name)), wanted by a buffer or by none; see
 * store_set_history. Costs no second copy of it. Not for what came in before: a message that comes again is kept once. */
void ticket_keep(struct ticket *t, uint32_t history);
/* Matched, but not for sending: counted as skipped. */
void ticket_skip(struct ticket *t, uint32_t buffer);
/* Matched, but cannot be rendered: the current message becomes a dead letter of this buffer, with its source bytes. */
void ticket_dead(struct ticket *t, uint32_t buffer, const char *reason);
/* Not a message at all, or not one that may be taken: a dead letter of the channel (NAME_CHANNEL number), with the bytes as received. */
void ticket_refuse(struct ticket *t, uint32_t channel, const char *reason, const void *bytes, size_t n, const char *peer);
/* The same of bytes that no messages could be made of: the letter's status is LETTER_RAW. */
void ticket_refuse_raw(struct ticket *t, uint32_t channel, const char *reason, const void *bytes, size_t n, const char *peer);
#define LETTER_RAW 1
/* The current message has been tried so often before, in this buffer or another: its next dead letter goes on counting. */
void ticket_attempts(struct ticket *t, unsigned earlier);

/* What the ticket brings had its turn before. Nothing is dropped to make room for it, whatever `full` says, and it is not dropped itself: where a
 * buffer has no room for it now, it is refused whole, TICKET_FULL. What takes the stead of something (see below) is taken so of itself. */
void ticket_waits(struct ticket *t);

/* In the stead of what is there: with this ticket a dead letter goes, in the same commit; or entries go of a buffer that no sender has attached.
 * If it is not there any more (or somebody sends that buffer now), nothing of the ticket is written: TICKET_FAILED, and why names it. */
/* Its message is in this ticket again: the owner counts one dead and matched less. */
void ticket_retries(struct ticket *t, uint32_t owner, uint64_t letter);
/* Its message is given up: it stays counted as dead. */
void ticket_forgets(struct ticket *t, uint32_t owner, uint64_t letter);
/* These entries (a subset of what is outstanding) leave the buffer in this way; with OUTCOME_MOVED they are in this ticket again, for another
 * buffer, and counted there. */
void ticket_settles(struct ticket *t, uint32_t buffer, uint64_t position, uint32_t rendering, const uint64_t bits[SPAN_ENTRIES_MAX / 64],
	enum outcome o, const struct death *death);

/* Called when what the ticket holds goes, e.g. to unref the plan it was built with: on the commit thread, or on the caller's by ticket_drop
 * and by ticket_submit of a ticket that leaves nothing to write. */
void ticket_on_free(struct ticket *t, void (*fn)(void *), void *arg);

/* ---- states: what adapters keep of a stream's idents ------------------------------------------------------------------------- */

/* A state is up to STATE_MAX bytes under (stream, ident), opaque to the store: written in the one write of the ticket that stages it, or not at
 * all. Whoever renders must go on from the state that the ident's message before left, and must come to the commit after it: hence the claim.
 *
 * A *claim* is the right of one request to go on from the states of its pairs. It asks for all of them at once; claims that have a pair in common are
 * granted one after the other, in the order in which they began, so none waits for one that waits for it. Given to a ticket it ends with
 * ticket_submit: in one step the ticket takes its place in the row to the commit, what it stages becomes what the next claim goes on from, and that
 * claim is granted. So tickets come to the commit in the order in which their states were chained; there is no other way.
 *
 * What is staged is not durable yet. If its ticket is not taken, the state falls back to what it was, and each ticket that went on from it is not
 * taken either (TICKET_FAILED; its messages may be sent again and are then rendered anew). A commit that failed never happened.
 *
 * States are read from disk by a thread of the store's own when a claim asks for one that is not in memory. */
#define STATE_MAX 1024
#define STATE_IDENT_MAX 256

struct claim *claim_new(struct store *s, struct port *p);
/* Stream 0 is no stream: such a pair has no state, and keeps requests in order that have nothing else in common but, say, their connection. A pair
 * may be added twice. */
void claim_add(struct claim *c, uint32_t stream, const char *ident, size_t len);
unsigned claim_pairs(const struct claim *c);
/* True: granted at once, and ready is never called. Else ready comes inside port_run: when it is granted (why NULL), or when a state cannot be read
 * now; then the claim is to be ended. Before its port is freed, a claim must have been ended or given to a ticket. */
bool claim_begin(struct claim *c, void (*ready)(void *arg, const char *why), void *arg);
/* Give it up, granted or not; NULL is none. Not one that was given to a ticket. */
void claim_end(struct claim *c);
/* Granted: to the ticket, which ends it when it is submitted or dropped. Until then it may be read and staged to. */
void ticket_claim(struct ticket *t, struct claim *c);
/* Of a granted claim: the state as it is after what was staged here, NULL when there is none. The pair must have been added. The pointer lives until
 * the pair is staged anew or the claim ends. Costs next to nothing where pairs are asked for in the order in which they were added. */
const char *claim_state(struct claim *c, uint32_t stream, const char *ident, size_t len, size_t *n);
/* The state is to be this; n 0: nothing any more. */
void claim_stage(struct claim *c, uint32_t stream, const char *ident, size_t len, const void *state, size_t n);

/* States are kept in memory, the last used ones, up to so many bytes; what claims and tickets under way need stays beyond that. 0: none. */
void store_set_state_memory(struct store *s, size_t bytes);
/* Forget all states of a stream that nobody sends to any more (it is in no plan): those that are claimed all the same stay. Some thousands go with
 * each commit; returns how many went when that is recorded, or -1 when a commit failed or the store closes: then some may be there still. Blocking,
 * as store_name is. */
int64_t store_drop_states(struct store *s, uint32_t stream);
/* How many states each stream that has any has on disk, by its name. Reads them all, and holds the database meanwhile. Any thread but workers. */
void store_each_states(struct store *s, void (*fn)(void *arg, const char *stream, uint64_t states), void *arg);

/* ---- buffers: a stream's durable queue, seen by its sender ---------------------------------------------------------------- */

enum full_policy { FULL_BLOCK, FULL_DROP_OLDEST, FULL_DROP_NEWEST };

struct buffer_options {
	uint64_t max;             /* bytes of outstanding messages; 0: a quarter of the disk limit */
	enum full_policy full;
	uint64_t dead_max;        /* bytes of dead letters kept; beyond it the oldest go, counted */
	int64_t dead_ttl_us;
};

/* Make a buffer known for appending (its number is store_name(NAME_BUFFER, …)), with its policy; again with new options at each
 * reload. stream is the name for people (why texts, logs). A number never made known is FULL_BLOCK with the default size. Any thread. */
void buffer_configure(struct store *s, uint32_t buffer, const char *stream, const struct buffer_options *o);

/* Attach the one sender of a buffer. `wake` runs inside port_run when something new is at hand after buffer_next said no, or when
 * the recorded mark moved while somebody waits for it, or when the store wants messages dropped (buffer_excess). Reading starts at the oldest
 * outstanding entry. Returns NULL if another sender is attached. */
struct buffer *buffer_attach(struct store *s, uint32_t number, struct port *p, void (*wake)(void *arg), void *arg);
/* All spans must have been released. What is outstanding stays. */
void buffer_detach(struct buffer *b);

/* A run of outstanding entries of one block, in order. */
struct span {
	const struct chunk *chunk;
	uint64_t position;
	int64_t arrived;                          /* store time of its commit, for ttl */
	unsigned n;                               /* entries in the chunk (bits beyond are 0) */
	uint64_t bits[SPAN_ENTRIES_MAX / 64];     /* outstanding when handed out */
	void *hold;                               /* the store's */
};

/* The next span after the last one handed out; false when nothing is at hand (wake comes when there is). The span is the caller's
 * until span_release, which must come after all its handed-out entries were settled, or when the sender gives up (detach, rewind). */
bool buffer_next(struct buffer *b, struct span *out);
void span_release(struct buffer *b, struct span *sp);
/* Hand out again from the oldest outstanding entry whose span is not held by the caller now (nor settled, recorded or not). Some of
 * it may have to be read from disk first: until buffer_rewinding says no, a buffer_next that says no does not mean that all has come
 * again, and wake comes when it has. */
void buffer_rewind(struct buffer *b);
bool buffer_rewinding(const struct buffer *b);

/* One entry of a chunk; pointers live as long as the span is held. */
struct entry {
	const char *bytes;       /* ready to send; entries i and i+1 are one run with a single ',' between when
	                            next.bytes == bytes + len + 1 */
	uint32_t len;
	uint32_t ident_hash;     /* hash_stable of the ident: chooses lanes */
	uint64_t id;             /* of the message; row k of a list is told as id-k */
	int64_t time_us;
	const char *ident;
	uint16_t ident_len;
	uint16_t row;            /* 0 unless a transform returned a list */
	uint16_t rows;           /* rows of this message in the chunk; 1 unless a list */
	uint16_t address_len;
	const char *address;     /* as given to ticket_rendering_end */
};
void chunk_entry(const struct chunk *c, unsigned i, struct entry *out);
uint32_t chunk_rendering(const struct chunk *c);


/* Entries given by `bits` (a subset of what the span handed out and of what was not settled before) leave the buffer. Recorded
 * with the next commit, at the latest 50 ms later. `death` for OUTCOME_DEAD only (one reason for all the entries named).
 * The number returned rises; the settlement is on disk once buffer_recorded() has reached it. */
uint64_t buffer_settle(struct buffer *b, struct span *sp, const uint64_t bits[SPAN_ENTRIES_MAX / 64], enum outcome o, const struct death *death);
uint64_t buffer_recorded(const struct buffer *b);
/* Ask for a commit of what is settled now instead of within 50 ms, and for `wake` when it is recorded. */
void buffer_hurry(struct buffer *b);
/* Bytes that should be settled OUTCOME_DROPPED, oldest first, to bring the buffer under its max (`drop-oldest`); 0 mostly. */
uint64_t buffer_excess(const struct buffer *b);

/* Is anything up to this position not settled yet (recorded or not)? */
bool buffer_owes(const struct buffer *b, uint64_t position);

struct buffer_counts {
	/* entries: a message counts as one, or as its rows where a transform made a list of it */
	uint64_t matched, skipped, buffered, accepted, dead, expired, dropped, purged;
	uint64_t bytes;               /* outstanding */
	uint64_t dead_max;            /* bytes of dead letters that may be kept */
	uint64_t dead_kept, dead_bytes, dead_gone;  /* dead letters on disk; gone by dead_max or dead_ttl */
	int64_t oldest_age_us;        /* of the oldest outstanding entry; 0 when none */
};
/* Any thread. False when the number is not known. */
bool buffer_counts(struct store *s, uint32_t buffer, struct buffer_counts *out);

/* ---- history: what came in, kept to be sent again ------------------------------------------------------------------------------ */

/* What ticket_keep kept stays for ttl_us of elapsed time (as `span.arrived` counts it), and goes then, some blocks with each commit; 0: all of it
 * goes. Until this has been called nothing goes by age. Any thread.
 *
 * History yields. Where disk_limit or the disk's free space comes near, the oldest of all histories goes, before any buffer's policy acts and before
 * intake stops; while disk_limit is passed all the same, nothing more is kept. Where the limit
 * is near only for what the database is merging or what is being tidied away, tickets wait for that, 3 s at most, before any of them is refused. It is read by store_each_kept, oldest first, a history at a time:
 * what was committed at the real time T (microseconds) or later lies at a position >= T. */
void store_set_history(struct store *s, int64_t ttl_us);

struct history_counts {
	/* messages; kept = held + expired + dropped, exact at every commit */
	uint64_t kept, held, expired;
	uint64_t dropped;             /* gone before their time, because the disk's room was wanted */
	uint64_t bytes;               /* held, before packing; what a buffer owes too is counted there as well */
	int64_t oldest_age_us;        /* so far back it reaches; 0 when nothing is held */
};
/* All histories together. Any thread. */
void store_history(struct store *s, struct history_counts *out);

/* ---- looking in ------------------------------------------------------------------------------------------------------------- */

/* Every buffer with anything in it, attached or not: fn returns false to stop. name as given to store_name. Any thread but workers. */
void store_each_buffer(struct store *s, bool (*fn)(void *arg, uint32_t buffer, const char *name, const struct buffer_counts *), void *arg);

struct dead_letter {
	uint64_t position, id;
	int64_t when_us, time_us;
	const char *ident, *reason, *answer, *peer;   /* NUL-terminated; empty when not known */
	int status; unsigned attempts;
	unsigned row, rows;                           /* of a transform's list; 0 of 1 unless it was one */
	const char *source; size_t source_len;        /* as received and stamped */
	const char *bytes; size_t len;                /* as it would have been sent; len 0 when it never was rendered */
};
/* Dead letters of a buffer or channel, oldest first, from position `from` on. Reads the disk. Any thread but workers. */
void store_each_dead(struct store *s, uint32_t owner, uint64_t from, bool (*fn)(void *arg, const struct dead_letter *), void *arg);

/* What is recorded as outstanding of a buffer in one block. Everything is borrowed during the call. */
struct kept {
	uint64_t position;
	int64_t arrived;
	uint32_t rendering;
	unsigned n;                                    /* bits beyond are 0 */
	const uint64_t *bits;
	const struct chunk *chunk, *source;            /* NULL: cannot be read */
};
/* A buffer as it lies on disk, whether somebody sends it or not, oldest first, from position `from` on; fn returns false to stop, and waits for
 * nothing: the database is held meanwhile. Any thread but workers. */
void store_each_kept(struct store *s, uint32_t buffer, uint64_t from, bool (*fn)(void *arg, const struct kept *k), void *arg);
/* The entry of the source chunk that an entry was made of; false when it is not there. */
bool chunk_source(const struct chunk *c, unsigned i, const struct chunk *source, struct entry *out);

/* The number of a name, if it has one; 0: it has none. */
uint32_t store_find_name(struct store *s, enum name_kind kind, const char *name);
/* Every name of a kind with its number and what is counted of it. Any thread but workers. */
void store_each_name(struct store *s, enum name_kind kind, bool (*fn)(void *arg, uint32_t number, const char *name, const struct buffer_counts *),
	void *arg);

/* Forget the dead letters of an owner with positions from..to (inclusive), after a retry or by an operator's wish; recorded by the next commit. */
void store_drop_dead(struct store *s, uint32_t owner, uint64_t from, uint64_t to);

struct store_counts {
	uint64_t commits, syncs, bytes_written, reopens, refused_full, refused_failed;
	uint64_t disk_bytes, memory_bytes, free_bytes;
	uint64_t states, state_bytes;                /* states in memory, and what they take there (not in memory_bytes) */
	uint64_t states_read;                        /* from disk */
	uint64_t commit_us_last, commit_us_max;
	uint64_t blocks_compacted, records_lost;     /* records_lost: rows whose CRC or position said so */
	bool intake_stopped; char intake_why[128];   /* the disk's free space, the limit, or a database that is being reopened */
};
void store_counts(struct store *s, struct store_counts *out);

#endif
