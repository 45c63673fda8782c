/* reader.c - the reader thread: reads ahead for buffers that lag, and gives space back when nobody lags.
 *
 * The hard idea is which rows it may believe. Rows above store.published belong to a commit whose senders do not know of it yet, and a
 * row seen through an iterator may have been settled since; so it reads up to `published` only, and asks the block in
 * memory, if there is one, or the row itself again, what is left. */
#include <assert.h>
#include <stdlib.h>

#include <unistd.h>

#include "base/log.h"
#include "store/inside.h"
#include "store/pack.h"

#define RETRY_US 50000  /* after the disk refused to be read */

bool store_db_enter(struct store *s)
{
	store_lock(s);
	while (s->parked && !s->reader_stop)
		pthread_cond_wait(&s->moved, &s->lock);
	bool open = s->db && !s->reader_stop;
	if (open)
		s->db_users++;
	store_unlock(s);
	return open;
}

void store_db_leave(struct store *s)
{
	store_lock(s);
	if (--s->db_users == 0)
		pthread_cond_broadcast(&s->moved);
	store_unlock(s);
}

/* ---- blocks from disk */

enum db_result chunk_load(struct store *s, struct block *b, uint32_t rendering)
{
	store_lock(s);
	struct chunk *c = block_chunk(b, rendering);
	bool there = c && c->present;
	store_unlock(s);
	if (there)
		return DB_OK;
	struct buf value = BUF_INIT;
	struct key k = key_chunk(b->position, rendering);
	enum db_result r = db_get(s->db, k.p, k.n, &value, NULL, 0);
	size_t written = value.len;
	if (r == DB_OK && !chunk_unpack(&value))
		r = DB_CORRUPT;
	if (r == DB_OK) {
		store_lock(s);
		/* Every rendering of the block was given its struct when it was read, so nothing moves. */
		c = block_chunk(b, rendering);
		if (c && !c->present)
			c->written = written;
		if (!c)
			r = DB_CORRUPT;
		else if (!c->present && !chunk_adopt(c, &value, b->position))
			r = DB_CORRUPT;
		else if (b->mapped) {
			s->memory -= b->memory;
			b->memory = block_measure(b);
			s->memory += b->memory;
		}
		store_unlock(s);
	}
	buf_fini(&value);
	return r;
}

/* What is left of one ref; false when its row is not there (settled) or not to be believed. */
static enum db_result read_ref(struct store *s, uint32_t buffer, uint64_t position, uint32_t rendering, struct ref_row *row)
{
	struct buf value = BUF_INIT;
	struct key k = key_ref(buffer, position, rendering);
	enum db_result r = db_get(s->db, k.p, k.n, &value, NULL, 0);
	if (r == DB_OK && !ref_decode(&k, value.p, value.len, row))
		r = DB_CORRUPT;
	buf_fini(&value);
	return r;
}

static void add_read_ref(struct block *b, uint32_t buffer, uint32_t rendering, const struct ref_row *row)
{
	struct ref *r = block_ref_make(b, buffer, rendering);
	r->total = row->total;
	r->bytes = row->bytes;
	memcpy(r->left, row->bits, sizeof(r->left));
	b->arrived = row->arrived;
}

/* The block with what is left of every ref it had. Where the chunk of `rendering` cannot be read, nor then the list of refs, a
 * partial block with the ref of `buffer` alone, so that it can be counted and let go. NULL: nothing is outstanding for it any more. */
struct block *block_load(struct store *s, uint32_t buffer, uint64_t position, uint32_t rendering, enum db_result *result)
{
	struct block *b = block_new(s);
	b->position = position;
	struct chunk *c = block_chunk_make(b, rendering);
	struct buf value = BUF_INIT;
	struct key k = key_chunk(position, rendering);
	struct ref_row row;
	*result = db_get(s->db, k.p, k.n, &value, NULL, 0);
	c->written = value.len;
	if (*result == DB_OK && (!chunk_unpack(&value) || !chunk_adopt(c, &value, position)))
		*result = DB_CORRUPT;
	buf_fini(&value);
	bool wanted = false;
	if (*result == DB_OK) {
		b->arrived = c->head.arrived;
		block_chunk_make(b, 0);
		for (unsigned i = 0; i < c->head.nrefs && *result != DB_FAILED; i++) {
			struct ref_name n = chunk_ref(&c->head, i);
			block_chunk_make(b, n.rendering);
			enum db_result r = read_ref(s, n.buffer, position, n.rendering, &row);
			if (r == DB_FAILED)
				*result = r;
			else if (r == DB_CORRUPT)
				b->partial = true;
			else if (r == DB_OK)
				add_read_ref(b, n.buffer, n.rendering, &row);
			if (r == DB_OK && n.buffer == buffer && n.rendering == rendering)
				wanted = true;
		}
	} else if (*result != DB_FAILED) {
		enum db_result r = read_ref(s, buffer, position, rendering, &row);
		if (r == DB_FAILED)
			*result = r;
		wanted = r == DB_OK;
		b->partial = true;
		if (wanted)
			add_read_ref(b, buffer, rendering, &row);
	}
	if (wanted && *result != DB_FAILED)
		return b;
	block_recycle(s, b);
	return NULL;
}

/* ---- reading ahead */

void reader_lost(struct store *s, struct ref *r, const char *why)
{
	struct settlement *e = settlement_new(s);
	e->ref = r;
	e->outcome = OUTCOME_DROPPED;
	e->bytes = r->bytes;
	memcpy(e->bits, r->left, sizeof(e->bits));
	memcpy(r->gone, r->left, sizeof(r->gone));
	e->number = ++r->buffer->settle_last;
	r->buffer->gone_bytes += e->bytes;
	r->block->users++;
	*s->settlements_end = e;
	s->settlements_end = &e->next;
	s->hurry = true;
	s->counts.records_lost++;
	pthread_cond_signal(&s->work);
	log_error("store", "lost", "stream=%s position=%llu entries=%u bytes=%u why=%s", log_quote(r->buffer->stream ? r->buffer->stream : ""),
		(unsigned long long)r->block->position, bits_count(r->left), r->bytes, log_quote(why));
}

enum served { GO_ON, ENOUGH, FAILED };

/* One ref into the window of b. */
static enum served serve(struct store *s, struct buffer *b, unsigned generation, uint64_t position, uint32_t rendering)
{
	enum db_result result = DB_OK;
	store_lock(s);
	struct block *blk = block_find(s, position);
	if (blk)
		blk->users++;
	store_unlock(s);
	if (blk)
		result = chunk_load(s, blk, rendering);
	else
		blk = block_load(s, b->number, position, rendering, &result);
	store_lock(s);
	if (blk && !blk->mapped) {
		for (unsigned i = 0; i < blk->nrefs; i++)
			blk->refs[i].buffer = store_buffer(s, blk->refs[i].number);
		blk->users++;
		block_map(s, blk);
	}
	enum served served = ENOUGH;
	unsigned hint = 0;
	struct ref *r = blk ? block_ref(blk, b->number, rendering, &hint) : NULL;
	if (!b->attached || b->generation != generation || b->fed) {
		served = ENOUGH;
	} else if (result == DB_FAILED || (blk && blk->partial && !r)) {
		/* A partial block knows one buffer alone; it is gone as soon as that one is settled. */
		served = FAILED;
	} else {
		if (r && r->state == REF_LOOSE && bits_any(r->left)) {
			if (result != DB_OK)
				reader_lost(s, r, result == DB_ABSENT ? "its chunk is missing" : "its chunk is damaged");
			window_insert(b, r);
		}
		/* Two chunks at least, or one while the memory of all together is used up. */
		bool room = s->memory < s->memory_limit;
		served = b->ready_n < (room ? 2 : 1) || (room && b->ready < READ_AHEAD) ? GO_ON : ENOUGH;
	}
	if (blk)
		block_unuse(s, blk);
	ports_signal(s);
	store_unlock(s);
	return served;
}

static void read_ahead(struct store *s, struct buffer *b)
{
	store_lock(s);
	unsigned generation = b->generation;
	uint64_t from = b->read_next, published = s->published;
	bool due = b->attached && !b->fed;
	store_unlock(s);
	if (!due)
		return;
	struct key k = key_ref(b->number, from, 0);
	struct db_iter *it = db_iter_new(s->db, k.p, k.n);
	const void *key, *value;
	size_t keylen, len;
	enum served served = GO_ON;
	uint64_t position = 0, next = published + 1;  /* where to go on; all that is published, unless stopped before */
	while (db_iter_row(it, &key, &keylen, &value, &len)) {
		uint32_t number, rendering;
		uint64_t before = position;
		if (!key_is_ref(key, keylen, &number, &position, &rendering) || number != b->number || position > published)
			break;
		/* Two renderings at one position are two rows; both are served before it counts as read. */
		if (served == ENOUGH && position != before) {
			next = position;
			break;
		}
		enum served one = serve(s, b, generation, position, rendering);
		if (one == FAILED) {
			served = FAILED;
			next = position;
			break;
		}
		if (one == ENOUGH)
			served = ENOUGH;
		db_iter_next(it);
	}
	char why[160];
	enum db_result error = db_iter_error(it, why, sizeof(why));
	db_iter_free(it);
	if (error == DB_FAILED) {
		served = FAILED;
		next = position > from ? position : from;
	}
	if (served == FAILED)
		usleep(RETRY_US);
	store_lock(s);
	if (error == DB_CORRUPT) {
		s->counts.records_lost++;
		log_error("store", "unreadable", "stream=%s why=%s", log_quote(b->stream ? b->stream : ""), log_quote(why));
	}
	if (b->attached && b->generation == generation && !b->fed) {
		buffer_read_on(b, next);
		if (!b->fed && served != ENOUGH)
			reader_ask(b);
	}
	ports_signal(s);
	store_unlock(s);
}

void *reader_main(void *store)
{
	struct store *s = store;
	store_lock(s);
	while (!s->reader_stop) {
		struct buffer *b = s->read_first;
		if (!b) {
			struct timespec until;
			clock_gettime(CLOCK_MONOTONIC, &until);
			until.tv_nsec += 200 * 1000 * 1000;
			until.tv_sec += until.tv_nsec / 1000000000;
			until.tv_nsec %= 1000000000;
			pthread_cond_timedwait(&s->read_work, &s->lock, &until);
			if (!s->read_first && !s->reader_stop) {
				store_unlock(s);
				while (space_tidy(s)) {
					store_lock(s);
					bool wanted = s->read_first || s->reader_stop;
					store_unlock(s);
					if (wanted)
						break;
				}
				store_lock(s);
			}
			continue;
		}
		s->read_first = b->read_link;
		if (!s->read_first)
			s->read_end = &s->read_first;
		b->reading = false;
		store_unlock(s);
		if (store_db_enter(s)) {
			read_ahead(s, b);
			store_db_leave(s);
		}
		store_lock(s);
	}
	store_unlock(s);
	return NULL;
}
