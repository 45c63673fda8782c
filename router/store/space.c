/* space.c - how much the store may take, and giving back what it no longer needs.
 *
 * The hard idea: deleting a row frees nothing. LevelDB gives space back only when it rewrites the tables the row lies in, and
 * of itself it does that for busy key ranges alone. So the bytes of deleted rows are counted as garbage, and when there is enough of it the
 * reader thread walks once over all keys in slices, while the commit thread is not busy.
 *
 * And what lies on disk is more than what is there: the log holds what its table will, and a compaction its old tables and its new ones, for a
 * moment as much again as a small limit allows. Who is to give something back for good is judged by what will lie there afterwards (`settled`). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/commit.h"

#define RESERVE_BYTES (2u * DB_WRITE_BUFFER)
#define FLOOR_MAX (256u << 20)
#define LOOK_US 100000
#define LOOK_BYTES (1u << 20)        /* … and after so much was written: a small disk fills in less than that */
#define SLICE_BYTES (32u << 20)
#define COMPACTION_MOST (128u << 20) /* what one compaction writes at most: a dozen tables of the first level and what they overlap */
#define HOLD_US 60000000             /* what is known of what lies on disk is an estimate: so often compaction may try */
#define WAIT_US 3000000              /* so long what comes in waits for room that is being made, before it is refused */
#define WRITE_BUFFER_LEAST (1u << 20)
#define WORKING_BYTES (40u << 20)    /* the second level, rewritten with each compaction of the first; and what becomes garbage while that is tidied away */

struct space {
	/* commit thread */
	int64_t looked;
	uint64_t written;               /* bytes_written at that time */
	char refuses[128];              /* empty: intake is allowed */
	struct buffer *pressed;
	bool all_pressed;
	char reserve[4096];
	bool stopped;
	int64_t held;                   /* mono: since when compaction is held back, and */
	uint64_t held_written;          /* bytes_written at that time */
	bool releases;
	/* lock */
	bool has_reserve;
	uint64_t live;                  /* bytes of rows that are there: counted, and never more than lies on disk */
	uint64_t packed, unpacked;      /* of the last chunks put: how much smaller packing makes them */
	uint64_t garbage;               /* bytes of rows deleted since the walk in progress began, or the last one ended */
	uint64_t garbage_before;        /* as the walk began */
	uint64_t yielded, yielded_before; /* of garbage: what history left, all of it at the old end */
	uint64_t wants;                 /* what history should give back yet */
	bool walking, urgent, waits;
	int64_t passes;                 /* mono: since when the limit is near for what will go by itself; 0: it is not */
	uint64_t walk_next, walk_end;   /* position the next slice begins at; and so far the walk goes */
};

struct space *space_new(struct store *s)
{
	struct space *sp = xcalloc(1, sizeof(*sp));
	snprintf(sp->reserve, sizeof(sp->reserve), "%s/reserve", s->path);
	sp->looked = INT64_MIN / 2;
	sp->has_reserve = access(sp->reserve, F_OK) == 0;
	return sp;
}

void space_free(struct space *sp)
{
	free(sp);
}

/* A store with a small limit works with small tables: what it takes for a moment beside what is in it is a matter of their size. */
size_t space_write_buffer(const struct store *s)
{
	uint64_t fits = s->disk_limit / 64;
	return s->disk_limit == 0 || fits > DB_WRITE_BUFFER ? DB_WRITE_BUFFER : fits > WRITE_BUFFER_LEAST ? (size_t)fits : WRITE_BUFFER_LEAST;
}

static uint64_t garbage_least(const struct store *s)
{
	return 2 * s->write_buffer;
}

void space_changed(struct store *s, const struct commit *c)
{
	struct space *sp = s->space;
	sp->garbage += c->garbage;
	sp->live += c->written;
	sp->live -= c->garbage < sp->live ? c->garbage : sp->live;
	sp->packed += c->packed_chunks;
	sp->unpacked += c->unpacked;
	if (sp->unpacked > 16u << 20) {
		sp->packed /= 2;
		sp->unpacked /= 2;
	}
}

/* With the lock. What was counted is put right by what lies there: after a restart nobody knows it better, and tables are merged unasked. */
static uint64_t settled(struct store *s)
{
	struct space *sp = s->space;
	uint64_t disk = store_env_bytes(s->env);
	sp->live = sp->live < disk ? sp->live : disk;
	sp->garbage = sp->garbage < disk - sp->live ? sp->garbage : disk - sp->live;
	sp->yielded = sp->yielded < sp->garbage ? sp->yielded : sp->garbage;
	return sp->live + sp->garbage + (sp->has_reserve ? RESERVE_BYTES : 0);
}

/* What was deleted before the restart nobody has counted: what is on disk and can belong to nobody. */
void space_guess(struct store *s)
{
	uint64_t disk = store_env_bytes(s->env), owed = 0;
	size_t i = 0;
	for (struct umap_slot *slot; (slot = umap_next(&s->buffers, &i));) {
		const struct ledger *l = &((const struct buffer *)(uintptr_t)slot->value)->ledger;
		owed += 2 * l->bytes + l->dead_bytes;
	}
	s->space->garbage = disk > owed ? disk - owed : 0;
	s->space->live = disk - s->space->garbage;
}

uint64_t space_taken(const struct store *s)
{
	return store_env_bytes(s->env) + (s->space->has_reserve ? RESERVE_BYTES : 0);
}

/* ---- the reserve: space that a full disk still has, for the deletes that free it */

static void reserve_make(struct store *s)
{
	struct space *sp = s->space;
	int fd = open(sp->reserve, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	bool made = posix_fallocate(fd, 0, RESERVE_BYTES) == 0;
	if (!made)
		unlink(sp->reserve);
	close(fd);
	store_lock(s);
	sp->has_reserve = made;
	store_unlock(s);
}

void space_failed(struct store *s)
{
	struct space *sp = s->space;
	sp->looked = INT64_MIN / 2;
	uint64_t swept = db_sweep(s->folder, s->env);
	if (swept)
		log_warn("store", "unfinished-removed", "bytes=%llu", (unsigned long long)swept);
	if (!sp->has_reserve)
		return;
	if (unlink(sp->reserve) == 0)
		log_warn("store", "reserve-released", "bytes=%u hint=%s", RESERVE_BYTES, log_quote("the disk is full or failing; free some space"));
	store_lock(s);
	sp->has_reserve = false;
	store_unlock(s);
}

/* ---- what history is asked for */

/* So far from the limit history yields: well before others are stopped, because what it leaves must be tidied away before it is room, and
 * because LevelDB, busy, has tables that wait for their first compaction, and those that this writes, beside what is wanted. */
static uint64_t history_margin(const struct store *s)
{
	uint64_t limit = s->disk_limit, working = 14 * s->write_buffer + WORKING_BYTES, margin = limit / 5 > working ? limit / 5 : working;
	return margin < limit / 2 ? margin : limit / 2;
}

/* With the lock. What is garbage already need not be made once more; but what deliveries left lies among what history holds, and is tidied away when
 * there is much of it or the limit is near, which would be too late: in the last three quarters of the margin what history itself left counts alone. */
static uint64_t history_allowed(const struct store *s)
{
	const struct space *sp = s->space;
	uint64_t margin = history_margin(s), most = s->disk_limit - margin + sp->garbage, early = s->disk_limit - margin / 4 * 3 + sp->yielded;
	return s->disk_limit == 0 ? UINT64_MAX : most < early ? most : early;
}

/* With the lock. About what history could give back at the most: what some buffer is owed stays, whether history holds it too or not. Less is nothing. */
static uint64_t history_gives(const struct store *s, uint64_t most_owed)
{
	const struct space *sp = s->space;
	double stays = sp->unpacked ? (double)most_owed * (double)sp->packed / (double)sp->unpacked : 0;
	return stays < (double)sp->live / 16 * 15 ? sp->live - (uint64_t)stays : 0;
}

/* True: history has something to give. */
static bool look_at_history(struct store *s, uint64_t most_owed, uint64_t free_bytes, uint64_t needs)
{
	struct space *sp = s->space;
	uint64_t lies = settled(s), allowed = history_allowed(s), gives = history_gives(s, most_owed);
	uint64_t room = free_bytes + sp->garbage, wanted = needs + needs / 4;
	sp->wants = lies > allowed ? lies - allowed : 0;
	if (room < wanted && wanted - room > sp->wants)
		sp->wants = wanted - room;
	if (sp->wants > gives)
		sp->wants = gives;
	return gives > 0;
}

uint64_t space_wants(const struct store *s)
{
	return s->space->wants;
}

void space_yielded(struct store *s, uint64_t bytes, bool all)
{
	struct space *sp = s->space;
	store_lock(s);
	sp->wants -= all || bytes > sp->wants ? sp->wants : bytes;
	sp->yielded += bytes;
	store_unlock(s);
}

/* The first position that a history holds. With the lock. */
static uint64_t history_edge(const struct store *s)
{
	uint64_t edge = s->published;
	size_t i = 0;
	for (struct umap_slot *slot; (slot = umap_next(&s->buffers, &i));) {
		const struct buffer *b = (const struct buffer *)(uintptr_t)slot->value;
		if (b->history && b->ledger.buffered && b->floor < edge)
			edge = b->floor;
	}
	return edge;
}

/* ---- compaction on a disk that has no room for it */

/* What the largest compaction may write: no more than is alive. */
static uint64_t compaction_needs(struct store *s)
{
	store_lock(s);
	uint64_t disk = store_env_bytes(s->env), owed = 0, live = disk > s->space->garbage ? disk - s->space->garbage : 0;
	size_t i = 0;
	for (struct umap_slot *slot; (slot = umap_next(&s->buffers, &i));) {
		const struct ledger *l = &((const struct buffer *)(uintptr_t)slot->value)->ledger;
		owed += 2 * l->bytes + l->dead_bytes;
	}
	store_unlock(s);
	if (live > owed)
		live = owed;
	return (live < COMPACTION_MOST ? live : COMPACTION_MOST) + s->write_buffer;
}

void space_hold(struct store *s)
{
	uint64_t free_bytes, size;
	if (!store_env_space(s->env, s->folder, &free_bytes, &size) || free_bytes >= compaction_needs(s))
		return;
	s->space->held = clock_mono_us();
	s->space->held_written = s->counts.bytes_written;
	store_env_hold(s->env, true);
}

/* The bytes that must be free before compaction goes on; 0: it may. */
static uint64_t look_at_hold(struct store *s, int64_t now, uint64_t free_bytes)
{
	struct space *sp = s->space;
	sp->releases = false;
	if (!store_env_holds(s->env))
		return 0;
	uint64_t needs = compaction_needs(s);
	sp->releases = free_bytes >= needs || now - sp->held >= HOLD_US || s->counts.bytes_written - sp->held_written >= s->write_buffer / 2;
	return sp->releases ? 0 : needs;
}

bool space_releases(const struct store *s)
{
	return s->space->releases && store_env_holds(s->env);
}

/* ---- limits */

bool space_waits(const struct store *s)
{
	return s->space->waits;
}

/* With the lock. Near the limit, but not for what is there: tables that are being merged, garbage that is being tidied away. That passes, and who comes
 * meanwhile need not be told to come again. */
static void look_at_wait(struct store *s, int64_t now)
{
	struct space *sp = s->space;
	bool passes = sp->urgent && sp->live + (sp->has_reserve ? RESERVE_BYTES : 0) + history_margin(s) / 2 <= s->disk_limit;
	sp->passes = !passes ? 0 : sp->passes ? sp->passes : now;
	sp->waits = passes && !sp->refuses[0] && now - sp->passes < WAIT_US;
}

static void refuse(struct space *sp, const char *why)
{
	snprintf(sp->refuses, sizeof(sp->refuses), "%s", why);
}

static void look_at_limit(struct store *s, uint64_t free_bytes, uint64_t needs)
{
	struct space *sp = s->space;
	store_lock(s);
	uint64_t disk = space_taken(s), limit = s->disk_limit, soft = limit - limit / 20;
	bool waste = sp->garbage > disk / 4, held = false;
	struct buffer *most = NULL;
	sp->urgent = limit && disk > soft;
	sp->pressed = NULL;
	sp->all_pressed = limit && disk >= limit;
	size_t i = 0;
	for (struct umap_slot *slot; (slot = umap_next(&s->buffers, &i));) {
		struct buffer *b = (struct buffer *)(uintptr_t)slot->value;
		b->pressed = 0;
		held = held || (b->history && b->ledger.buffered);
		if (!b->history && (!most || b->ledger.bytes > most->ledger.bytes))
			most = b;
	}
	sp->wants = 0;
	look_at_wait(s, sp->looked);
	sp->all_pressed = sp->all_pressed && !sp->waits;
	held = held && look_at_history(s, most ? most->ledger.bytes : 0, free_bytes, needs);
	if (sp->urgent && !sp->waits && !held && most && most->ledger.bytes) {
		sp->pressed = most;
		/* Where much of what is on disk is garbage, dropping more messages would free nothing that tidying does not. */
		if (most->options.full == FULL_DROP_OLDEST && !waste)
			most->pressed = limit / 20 < most->ledger.bytes / 4 ? limit / 20 : most->ledger.bytes / 4;
		if (most->pressed)
			buffer_wake(most);
	}
	if (sp->urgent)
		pthread_cond_signal(&s->read_work);
	ports_signal(s);
	store_unlock(s);
}

void space_look(struct store *s)
{
	struct space *sp = s->space;
	int64_t now = clock_mono_us();
	if (now - sp->looked < (sp->waits ? LOOK_US / 10 : LOOK_US) && s->counts.bytes_written - sp->written < LOOK_BYTES)
		return;
	sp->looked = now;
	sp->written = s->counts.bytes_written;
	uint64_t free_bytes = 0, size = 0;
	bool known = store_env_space(s->env, s->folder, &free_bytes, &size);
	uint64_t floor = size / 20 > RESERVE_BYTES ? size / 20 : RESERVE_BYTES;
	if (floor > FLOOR_MAX)
		floor = FLOOR_MAX;
	refuse(sp, "");
	/* Nothing is taken in before the reserve is back: a disk that fills up without one may leave no room for opening the database. */
	uint64_t needs = floor + (sp->has_reserve ? 0 : RESERVE_BYTES), held = look_at_hold(s, now, free_bytes);
	if (needs < held)
		needs = held;
	if (known && free_bytes < needs) {
		char why[128];
		snprintf(why, sizeof(why), "the disk has %llu MiB free; intake needs %llu MiB", (unsigned long long)(free_bytes >> 20),
			(unsigned long long)(needs >> 20));
		refuse(sp, why);
	} else if (!sp->has_reserve) {
		reserve_make(s);
	}
	look_at_limit(s, known ? free_bytes : UINT64_MAX / 2, needs);
	bool stop = sp->refuses[0] || sp->all_pressed;
	store_lock(s);
	s->counts.free_bytes = free_bytes;
	s->counts.intake_stopped = stop;
	snprintf(s->counts.intake_why, sizeof(s->counts.intake_why), "%s", sp->refuses[0] ? sp->refuses : stop ? "limits.disk is reached" : "");
	store_unlock(s);
	if (stop && !sp->stopped)
		log_warn("store", "intake-stopped", "why=%s", log_quote(sp->refuses[0] ? sp->refuses : "limits.disk is reached"));
	if (!stop && sp->stopped)
		log_info("store", "intake-resumed", NULL);
	sp->stopped = stop;
}

const char *space_refuses(const struct store *s)
{
	return s->space->refuses[0] ? s->space->refuses : NULL;
}

struct buffer *space_pressed(const struct store *s, bool *all)
{
	*all = s->space->all_pressed;
	return s->space->pressed;
}

/* ---- giving space back */

static uint64_t size_between(struct store *s, uint64_t from, uint64_t to)
{
	struct key a = key_chunk(from, 0), b = key_chunk(to, UINT32_MAX);
	return db_range_size(s->db, a.p, a.n, b.p, b.n);
}

/* The last position up to which chunks from `begin` on take at most `most` bytes on disk, deleted ones too. Bisected, because deleted
 * rows can be seen in the sizes of tables only. */
static uint64_t reach(struct store *s, uint64_t begin, uint64_t newest, uint64_t most)
{
	uint64_t low = begin, high = newest;
	while (low < high) {
		uint64_t mid = low + (high - low + 1) / 2;
		if (size_between(s, begin, mid) > most)
			high = mid - 1;
		else
			low = mid;
	}
	return low;
}

/* Slices are cut by position; the rows that are not chunks are few and go in one more, the last. */
static bool next_slice(struct store *s, uint64_t newest, struct key *from, struct key *to)
{
	struct space *sp = s->space;
	uint64_t begin = sp->walk_next;
	if (begin <= newest)
		begin = reach(s, begin, newest, 0);
	if (begin >= newest) {
		*from = (struct key){ .n = 1, .p = { ROW_CHUNK + 1 } };
		*to = (struct key){ .n = 1, .p = { 0xff } };
		return false;
	}
	/* Of what history left next to nothing is written anew. */
	uint64_t end = reach(s, begin, newest, sp->walk_end == UINT64_MAX ? 4 * s->write_buffer : SLICE_BYTES);
	*from = key_chunk(begin, 0);
	*to = key_chunk(end, UINT32_MAX);
	sp->walk_next = end + 1;
	return true;
}

bool space_tidy(struct store *s)
{
	struct space *sp = s->space;
	store_lock(s);
	uint64_t newest = s->published, disk = store_env_bytes(s->env), kept = disk > sp->garbage ? disk - sp->garbage : 0;
	uint64_t least = garbage_least(s), margin = history_margin(s);
	bool near = s->disk_limit && disk + RESERVE_BYTES > s->disk_limit - margin;
	uint64_t among = sp->garbage > sp->yielded ? sp->garbage - sp->yielded : 0;
	bool all = among > least && (among > kept / 2 || sp->urgent);
	/* Where history yields, garbage is at the old end alone, and rewriting the rest would give nothing back. */
	bool old_end = !all && sp->yielded > least && (sp->yielded > kept / 16 || sp->urgent);
	bool due = sp->walking || all || old_end;
	/* Compaction has LevelDB's one background thread to itself; commits that are waiting would wait for it. */
	bool calm = !s->tickets || near || sp->urgent || sp->wants || sp->garbage > 8 * least;
	if (due && calm && !sp->walking) {
		sp->walking = true;
		sp->walk_next = 0;
		sp->walk_end = all ? UINT64_MAX : history_edge(s);
		sp->yielded_before = sp->yielded;
		sp->garbage_before = all || sp->yielded > sp->garbage ? sp->garbage : sp->yielded;
	}
	newest = sp->walk_end < newest ? sp->walk_end : newest;
	store_unlock(s);
	if (!due || !calm || !store_db_enter(s))
		return false;
	if (store_env_holds(s->env)) {
		store_db_leave(s);
		return false;
	}
	struct key from, to;
	bool more = next_slice(s, newest, &from, &to);
	db_compact(s->db, from.p, from.n, to.p, to.n);
	store_db_leave(s);
	if (more)
		return true;
	store_lock(s);
	sp->walking = false;
	sp->garbage -= sp->garbage_before < sp->garbage ? sp->garbage_before : sp->garbage;
	sp->yielded -= sp->yielded_before < sp->yielded ? sp->yielded_before : sp->yielded;
	store_unlock(s);
	return false;
}
