/* store.c - opening and closing, ids and clocks, and what is counted of the whole.
 *
 * The hard idea is elapsed time. Wall clocks step; CLOCK_BOOTTIME does not, but begins anew with every boot. So every commit records both and
 * the boot's name: within a boot the gap since is exact, over a boot it is what the wall clock says, believed up to an hour
 * unless that clock is synchronised. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timex.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/inside.h"

#define GAP_BELIEVED_US INT64_C(3600000000)
#define SECOND_OF_IDS (UINT64_C(1000000) << 8)

/* ---- ids and clocks */

uint64_t store_ids(struct store *s, unsigned n)
{
	uint64_t last = atomic_load_explicit(&s->id_last, memory_order_relaxed), first;
	do {
		first = (uint64_t)clock_real_us() << 8 | s->node;
		if (first <= last)
			first = last + STORE_ID_STEP;
	} while (!atomic_compare_exchange_weak(&s->id_last, &last, first + (n ? n - 1 : 0) * (uint64_t)STORE_ID_STEP));
	return first;
}

int64_t store_elapsed(struct store *s)
{
	return atomic_load_explicit(&s->elapsed_base, memory_order_relaxed) + clock_boot_us();
}

static void read_boot_id(char *out, size_t n)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t r = fd < 0 ? 0 : read(fd, out, n - 1);
	if (fd >= 0)
		close(fd);
	out[r > 0 ? r : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

static bool clock_is_synchronised(void)
{
	struct timex t = { .modes = 0 };
	int state = adjtimex(&t);
	return state >= 0 && state != TIME_ERROR && !(t.status & STA_UNSYNC);
}

/* How long the store was away, as far as that can be believed. */
static int64_t gap_since(const struct store *s, const struct last_row *last)
{
	int64_t gap;
	if (s->boot_id[0] && strcmp(s->boot_id, last->boot_id) == 0) {
		gap = clock_boot_us() - last->boot_us;
	} else {
		gap = clock_real_us() - last->real_us;
		if (gap > GAP_BELIEVED_US && !clock_is_synchronised()) {
			log_warn("store", "gap", "claimed_s=%lld believed_s=%lld hint=%s", (long long)(gap / 1000000),
				(long long)(GAP_BELIEVED_US / 1000000), log_quote("the clock is not synchronised, so messages expire later than it says"));
			gap = GAP_BELIEVED_US;
		}
	}
	return gap > 0 ? gap : 0;
}

void store_clock_from(struct store *s, const struct last_row *last)
{
	read_boot_id(s->boot_id, sizeof(s->boot_id));
	/* Ids drawn after the last commit are not recorded; leave room for a second of them, should the clock have gone back. */
	uint64_t id = (uint64_t)clock_real_us() << 8 | s->node;
	if (last && last->id + SECOND_OF_IDS > id)
		id = ((last->id + SECOND_OF_IDS) & ~UINT64_C(255)) | s->node;
	atomic_store(&s->id_last, last ? id : 0);
	int64_t elapsed = last ? last->elapsed + gap_since(s, last) : 0;
	atomic_store(&s->elapsed_base, elapsed - clock_boot_us());
}

struct last_row store_clock_row(struct store *s, uint64_t position)
{
	struct last_row l = {
		.position = position,
		.id = atomic_load(&s->id_last),
		.elapsed = store_elapsed(s),
		.real_us = clock_real_us(),
		.boot_us = clock_boot_us(),
	};
	memcpy(l.boot_id, s->boot_id, sizeof(l.boot_id));
	return l;
}

uint64_t store_position(struct store *s)
{
	store_lock(s);
	uint64_t position = s->published;
	store_unlock(s);
	return position;
}

/* ---- opening and closing */

static void free_all(struct store *s)
{
	size_t i = 0;
	struct umap_slot *slot;
	/* Blocks that settlements or a window still hold are the store's to free. */
	while (i = 0, (slot = umap_next(&s->blocks, &i))) {
		struct block *b = (struct block *)(uintptr_t)slot->value;
		umap_del(&s->blocks, b->position);
		b->users = 0;
		b->mapped = b->queued = false;
		block_recycle(s, b);
	}
	umap_fini(&s->blocks);
	i = 0;
	while ((slot = umap_next(&s->buffers, &i))) {
		struct buffer *b = (struct buffer *)(uintptr_t)slot->value;
		free(b->stream);
		free(b);
	}
	umap_fini(&s->buffers);
	names_fini(s);
	ports_fini(s);
	block_pool_fini(s);
	while (s->free_tickets) {
		struct ticket *t = s->free_tickets;
		s->free_tickets = t->next;
		free(t->skips);
		free(t);
	}
	while (s->settlements) {
		struct settlement *e = s->settlements;
		s->settlements = e->next;
		free(e->death);
		free(e);
	}
	while (s->free_settlements) {
		struct settlement *e = s->free_settlements;
		s->free_settlements = e->next;
		free(e);
	}
	while (s->dead_drops) {
		struct dead_drop *d = s->dead_drops;
		s->dead_drops = d->next;
		free(d);
	}
	states_fini(s);
	claims_fini(s);
	commit_fini(s);
	space_free(s->space);
	db_close(s->db);
	if (s->env_owned)
		store_env_free(s->env);
	pthread_cond_destroy(&s->work);
	pthread_cond_destroy(&s->read_work);
	pthread_cond_destroy(&s->moved);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->pool_lock);
	free(s->folder);
	free(s->path);
	free(s);
}

static void end(struct store *s, bool abandon)
{
	if (!s)
		return;
	store_lock(s);
	s->stop = true;
	s->abandoned = abandon;
	pthread_cond_broadcast(&s->work);
	store_unlock(s);
	pthread_join(s->committer, NULL);
	store_lock(s);
	s->reader_stop = true;
	pthread_cond_broadcast(&s->read_work);
	pthread_cond_broadcast(&s->moved);
	store_unlock(s);
	pthread_join(s->reader, NULL);
	states_stop(s);
	free_all(s);
}

static char *join(const char *a, const char *b)
{
	struct buf out = BUF_INIT;
	buf_addf(&out, "%s/%s", a, b);
	return buf_take(&out);
}

struct store *store_open_with(const struct store_options *o, struct store_env *env, char *why, size_t whylen)
{
	struct store *s = xcalloc(1, sizeof(*s));
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->work, &attr);
	pthread_cond_init(&s->read_work, &attr);
	pthread_cond_init(&s->moved, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->pool_lock, NULL);
	s->path = xstrdup(o->path);
	s->folder = join(o->path, "db");
	s->durability = o->durability;
	s->node = o->node;
	s->as_it_lies = o->as_it_lies;
	s->disk_limit = o->disk_limit;
	s->memory_limit = o->memory_limit;
	s->history_ttl = -1;
	s->window_passed = WINDOW_PASSED;
	s->env = env ? env : store_env_new();
	s->env_owned = !env;
	s->tickets_end = &s->tickets;
	s->settlements_end = &s->settlements;
	s->compact_end = &s->compact;
	s->read_end = &s->read_first;
	umap_init(&s->blocks);
	umap_init(&s->buffers);
	umap_init(&s->names_by_number);
	map_init(&s->names);
	s->space = space_new(s);
	commit_init(s);
	states_init(s);
	if (recover_open(s, why, whylen) < 0) {
		free_all(s);
		return NULL;
	}
	identity_open(s);
	if (pthread_create(&s->committer, NULL, commit_main, s) != 0) {
		snprintf(why, whylen, "cannot start a thread: %s", strerror(errno));
		free_all(s);
		return NULL;
	}
	if (pthread_create(&s->reader, NULL, reader_main, s) != 0) {
		snprintf(why, whylen, "cannot start a thread: %s", strerror(errno));
		store_lock(s);
		s->stop = true;
		pthread_cond_signal(&s->work);
		store_unlock(s);
		pthread_join(s->committer, NULL);
		free_all(s);
		return NULL;
	}
	if (states_start(s) < 0) {
		snprintf(why, whylen, "cannot start a thread: %s", strerror(errno));
		end(s, true);
		return NULL;
	}
	return s;
}

struct store *store_open(const struct store_options *o, char *why, size_t whylen)
{
	return store_open_with(o, NULL, why, whylen);
}

void store_close(struct store *s)
{
	end(s, false);
}

void store_abandon(struct store *s)
{
	end(s, true);
}

void store_set_limits(struct store *s, uint64_t disk_limit, uint64_t memory_limit)
{
	store_lock(s);
	s->disk_limit = disk_limit;
	s->memory_limit = memory_limit;
	store_unlock(s);
}

void store_counts(struct store *s, struct store_counts *out)
{
	store_lock(s);
	*out = s->counts;
	out->syncs = store_env_syncs(s->env);
	out->disk_bytes = space_taken(s);
	out->memory_bytes = s->memory;
	states_count(s, out);
	store_unlock(s);
}
