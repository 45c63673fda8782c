/* rename.h - `was: OLD`: a stream that has a new name takes the buffers, counts, dead letters and adapters' state of the old one.
 *
 * All these lie under numbers in the store, and numbers have names: renaming is giving the numbers other names, in one write.
 * When it is done and when not is told in rename.c. */
#ifndef SLUICE_RENAME_H
#define SLUICE_RENAME_H

struct plan;
struct renames;
struct store;

/* What is to be renamed for the plan `next` to take the place of `now` (NULL: at the start); NULL when nothing is. The streams concerned get
 * their numbers, the old ones', before the plan is sealed. Touches nothing but them; tells in the log what is not renamed though a stream asks for it. */
struct renames *renames_find(struct store *s, struct plan *next, const struct plan *now);
/* One synced write: 0, or -1 and nothing has changed. Blocking; not on a loop that has begun. */
int renames_write(struct store *s, const struct renames *r);
void renames_free(struct renames *r);   /* r may be NULL */

#endif
