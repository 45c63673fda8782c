/* db.h - the database under the store, as little of it as the store needs.
 *
 * The one place that knows LevelDB (db.cc; its environment is store_env.cc). Everything else in router/store speaks
 * of rows through this header.
 *
 * Rules that come from LevelDB 1.23 and hold for every caller:
 *   - after any DB_FAILED from db_write the handle is spent: later synced writes answer DB_OK and are gone after the next
 *     open. Close it and open anew before the next write.
 *   - no iterator may live when db_close is called (it aborts the process).
 *   - an iterator skips what it cannot read and says nothing; ask db_iter_error when it has ended. */
#ifndef SLUICE_STORE_DB_H
#define SLUICE_STORE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct buf;
struct db;
struct db_batch;
struct db_iter;
struct store_env;

enum db_result {
	DB_OK,
	DB_ABSENT,   /* no such row, or (opening) no such database */
	DB_CORRUPT,  /* bytes are not what was written */
	DB_FAILED,   /* the disk or the system refused */
	DB_LOCKED,   /* another process has it open */
};

#define DB_WRITE_BUFFER (8u << 20)  /* memory before rows go to a table, at the most */
#define DB_TABLE_SIZE (8u << 20)     /* bytes of one table file */

/* why gets the words of whatever is not DB_OK; it may be NULL. `env` must outlive the database. What the database takes beside what is in it, for
 * a moment, is some fifteen times `write_buffer` (0: DB_WRITE_BUFFER). */
struct db *db_open(const char *path, struct store_env *env, bool create, size_t write_buffer, enum db_result *result, char *why, size_t whylen);
void db_close(struct db *d); /* d may be NULL */
/* Rebuild what can be rebuilt of a database that does not open. Deleted rows may come back. */
enum db_result db_repair(const char *path, struct store_env *env, char *why, size_t whylen);

/* Remove the tables that a closed database does not know: what a compaction or an opening had written when it failed. On a full disk they hold the
 * very space that opening needs, and LevelDB itself removes them only once it is open. Gives the bytes that came free. */
uint64_t db_sweep(const char *path, struct store_env *env);

/* The value appended to out. Checksums are verified; nothing is kept in the cache. */
enum db_result db_get(struct db *d, const void *key, size_t keylen, struct buf *out, char *why, size_t whylen);
enum db_result db_write(struct db *d, struct db_batch *b, bool sync, char *why, size_t whylen);

struct db_batch *db_batch_new(void);
void db_batch_free(struct db_batch *b);
void db_batch_clear(struct db_batch *b);
size_t db_batch_size(const struct db_batch *b); /* bytes it will write */
void db_put(struct db_batch *b, const void *key, size_t keylen, const void *value, size_t len);
void db_delete(struct db_batch *b, const void *key, size_t keylen);

/* Rows with keys >= from, in order, as they were when it was made. */
struct db_iter *db_iter_new(struct db *d, const void *from, size_t fromlen);
void db_iter_free(struct db_iter *it); /* it may be NULL */
/* False at the end; pointers live until the next call. */
bool db_iter_row(struct db_iter *it, const void **key, size_t *keylen, const void **value, size_t *len);
void db_iter_next(struct db_iter *it);
enum db_result db_iter_error(struct db_iter *it, char *why, size_t whylen);

/* Rewrite the tables that hold from..to (inclusive), so that deleted rows give their space back. Blocks. */
void db_compact(struct db *d, const void *from, size_t fromlen, const void *to, size_t tolen);
/* About how many bytes from..to takes on disk (not counting what is still in memory). */
uint64_t db_range_size(struct db *d, const void *from, size_t fromlen, const void *to, size_t tolen);

#ifdef __cplusplus
}
#endif

#endif
