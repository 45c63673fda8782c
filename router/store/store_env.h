/* store_env.h - how the database meets the disk: LevelDB's environment, with what the store adds to it.
 *
 *   - tables are read with pread, not mapped: a backlog does not become resident memory;
 *   - a file created or renamed is in its directory durably before the first sync of it returns (LevelDB 1.23 leaves that
 *     to the next manifest write);
 *   - the bytes on disk are counted as they come and go;
 *   - tests can make any operation fail, give the disk an end, and ask for the picture a power cut would leave.
 *
 * Thread-safe. One environment serves one database folder. */
#ifndef SLUICE_STORE_STORE_ENV_H
#define SLUICE_STORE_STORE_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct store_env;

struct store_env *store_env_new(void);
void store_env_free(struct store_env *e);
void *store_env_leveldb(struct store_env *e); /* a leveldb::Env *, for db.cc */

/* Bytes of the files written through it that still exist. */
uint64_t store_env_bytes(const struct store_env *e);
uint64_t store_env_syncs(const struct store_env *e);
/* Writes, syncs and new files that failed so far. The database works in the background, and tells nobody until somebody writes. */
uint64_t store_env_failures(const struct store_env *e);
/* Count what is there already; at opening. */
void store_env_count(struct store_env *e, const char *folder);
/* Free bytes of the file system that holds path and its size; false when it cannot be told. */
bool store_env_space(struct store_env *e, const char *path, uint64_t *free_bytes, uint64_t *size);

/* Keeps the database's work in the background, compaction, from starting; or lets what waits start. Where the disk has no room for it, it
 * would fail, and take every write with it. Turned on only while the database is closed; then at most half of DB_WRITE_BUFFER may be
 * written before it is turned off, or a write waits for what never comes. db_close turns it off. */
void store_env_hold(struct store_env *e, bool hold);
bool store_env_holds(struct store_env *e);

/* ---- faults, for tests */

enum env_op { ENV_CREATE, ENV_WRITE, ENV_SYNC, ENV_SYNC_DIR, ENV_RENAME, ENV_REMOVE, ENV_READ, ENV_OPS };

/* The n-th operation of this kind from now (1 = the next) and the `times` - 1 after it fail with the errno; times 0: all after it.
 * A failing write leaves half of its bytes behind, as a full disk does. */
void store_env_fail(struct store_env *e, enum env_op op, uint64_t n, uint64_t times, int error);
void store_env_heal(struct store_env *e);              /* no more failures, no quota */
uint64_t store_env_done(const struct store_env *e, enum env_op op); /* operations so far */
/* The disk has so many bytes for this environment: beyond, ENOSPC; store_env_space tells it too. 0: as it is. */
void store_env_quota(struct store_env *e, uint64_t bytes);

/* Keep account of what is durable, from now on; before the database is opened. */
void store_env_track(struct store_env *e);
/* Write into the (absent) folder `to` what would be found of `folder` after a power cut now: names that were not synced are missing, and
 * files end where they were synced, or, by `seed`, somewhere in the unsynced rest, or with that rest zeroed. */
bool store_env_power_cut(struct store_env *e, const char *folder, const char *to, uint64_t seed);

#ifdef __cplusplus
}
#endif

#endif
