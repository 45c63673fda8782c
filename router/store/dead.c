/* dead.c - dead letters: written whole, kept within bounds, read page by page.
 *
 * The hard idea: they are found by position from a floor that the ledger keeps, so that trimming the oldest never walks over
 * what was trimmed before. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/commit.h"

#define TRIM_AT_ONCE 256            /* letters per owner and commit */
#define TTL_LOOK_US 60000000
#define PAGE_BYTES (1u << 20)
#define PAGE_LETTERS 200

void dead_write(struct store *s, struct buffer *owner, struct buf *value)
{
	uint64_t position = commit_position(s);
	struct key k = key_dead(owner->number, position);
	dead_seal(value, &k);
	commit_put(s, &k, value);
	s->commit->written += value->len;
	struct ledger *l = commit_ledger(s, owner);
	if (!l->dead_kept)
		l->dead_floor = position;
	l->dead_kept++;
	l->dead_bytes += value->len;
}

/* Deletes letters from..to of an owner as long as `go_on` says so of the next one. */
static void drop(struct store *s, struct buffer *owner, uint64_t from, uint64_t to, unsigned most,
	bool (*go_on)(const struct ledger *l, int64_t made, const struct buffer_options *o, int64_t now), const struct buffer_options *o)
{
	struct ledger *l = commit_ledger(s, owner);
	struct key k = key_dead(owner->number, from > l->dead_floor ? from : l->dead_floor);
	struct db_iter *it = db_iter_new(s->db, k.p, k.n);
	const void *key, *value;
	size_t keylen, len;
	int64_t now = store_elapsed(s);
	bool at_floor = from <= l->dead_floor;
	for (unsigned n = 0; n < most && db_iter_row(it, &key, &keylen, &value, &len); n++, db_iter_next(it)) {
		uint32_t number;
		uint64_t position;
		if (!key_is_dead(key, keylen, &number, &position) || number != owner->number || position > to)
			break;
		struct key found = key_dead(number, position);
		struct dead_letter d;
		if (steads_forgotten(s, position))
			continue;
		int64_t made = now;
		if (!dead_decode(&found, value, len, &d, &made))
			made = INT64_MIN / 2; /* unreadable: the sooner it goes the better */
		if (go_on && !go_on(l, made, o, now))
			break;
		commit_delete(s, &found);
		s->commit->garbage += len;
		l->dead_kept -= l->dead_kept > 0;
		l->dead_bytes -= l->dead_bytes > len ? len : l->dead_bytes;
		l->dead_gone++;
		if (at_floor)
			l->dead_floor = position + 1;
	}
	db_iter_free(it);
}

static bool beyond_bounds(const struct ledger *l, int64_t made, const struct buffer_options *o, int64_t now)
{
	return l->dead_bytes > o->dead_max || (o->dead_ttl_us && now - made > o->dead_ttl_us);
}

static void trim(struct store *s, struct buffer *owner, bool by_age)
{
	store_lock(s);
	struct buffer_options o = owner->options;
	store_unlock(s);
	const struct ledger *l = owner->changed ? &owner->next : &owner->ledger;
	if (l->dead_kept && (by_age || l->dead_bytes > o.dead_max))
		drop(s, owner, 0, UINT64_MAX, TRIM_AT_ONCE, beyond_bounds, &o);
}

void dead_trim(struct store *s)
{
	struct commit *c = s->commit;
	int64_t now = store_elapsed(s);
	if (now - c->dead_look < TTL_LOOK_US) {
		for (struct buffer *b = c->changed; b; b = b->changed_link)
			trim(s, b, false);
		return;
	}
	c->dead_look = now;
	store_lock(s);
	struct buffer **all = xcalloc(s->buffers.n + 1, sizeof(*all));
	size_t n = 0, i = 0;
	for (struct umap_slot *slot; (slot = umap_next(&s->buffers, &i));)
		all[n++] = (struct buffer *)(uintptr_t)slot->value;
	store_unlock(s);
	for (i = 0; i < n; i++)
		trim(s, all[i], true);
	free(all);
}

void dead_drops(struct store *s)
{
	for (struct dead_drop *d = s->commit->drops; d; d = d->next) {
		store_lock(s);
		struct buffer *owner = store_buffer(s, d->owner);
		store_unlock(s);
		drop(s, owner, d->from, d->to, UINT32_MAX, NULL, NULL);
	}
}

void store_drop_dead(struct store *s, uint32_t owner, uint64_t from, uint64_t to)
{
	struct dead_drop *d = xmalloc(sizeof(*d));
	*d = (struct dead_drop){ .owner = owner, .from = from, .to = to };
	store_lock(s);
	d->next = s->dead_drops;
	s->dead_drops = d;
	pthread_cond_signal(&s->work);
	store_unlock(s);
}

/* ---- reading */

struct page { struct buf values; struct { uint64_t position; size_t at, len; } letters[PAGE_LETTERS]; unsigned n; };

/* Copies a page, so that no callback runs while the database is held. Returns where the next begins, 0 at the end. */
static uint64_t read_page(struct store *s, uint32_t owner, uint64_t from, struct page *p)
{
	p->n = 0;
	buf_clear(&p->values);
	if (!store_db_enter(s))
		return 0;
	struct key k = key_dead(owner, from);
	struct db_iter *it = db_iter_new(s->db, k.p, k.n);
	const void *key, *value;
	size_t keylen, len;
	uint64_t position, next = 0;
	uint32_t number;
	for (; db_iter_row(it, &key, &keylen, &value, &len); db_iter_next(it)) {
		if (!key_is_dead(key, keylen, &number, &position) || number != owner)
			break;
		if (p->n == PAGE_LETTERS || (p->n && p->values.len + len > PAGE_BYTES)) {
			next = position;
			break;
		}
		p->letters[p->n].position = position;
		p->letters[p->n].at = p->values.len;
		p->letters[p->n++].len = len;
		buf_add(&p->values, value, len);
	}
	char why[160];
	enum db_result error = db_iter_error(it, why, sizeof(why));
	db_iter_free(it);
	store_db_leave(s);
	if (error != DB_OK)
		log_error("store", "unreadable", "what=dead why=%s", log_quote(why));
	return next;
}

void store_each_dead(struct store *s, uint32_t owner, uint64_t from, bool (*fn)(void *arg, const struct dead_letter *), void *arg)
{
	uint64_t value;
	store_lock(s);
	bool known = umap_get(&s->buffers, owner, &value);
	if (known) {
		const struct ledger *l = &((const struct buffer *)(uintptr_t)value)->ledger;
		known = l->dead_kept > 0;
		from = from > l->dead_floor ? from : l->dead_floor;
	}
	store_unlock(s);
	if (!known)
		return;
	struct page *p = xcalloc(1, sizeof(*p));
	bool more = true;
	do {
		from = read_page(s, owner, from, p);
		for (unsigned i = 0; i < p->n && more; i++) {
			struct key k = key_dead(owner, p->letters[i].position);
			struct dead_letter d;
			int64_t made;
			if (dead_decode(&k, p->values.p + p->letters[i].at, p->letters[i].len, &d, &made)) {
				more = fn(arg, &d);
			} else {
				store_lock(s);
				s->counts.records_lost++;
				store_unlock(s);
			}
		}
	} while (from && more);
	buf_fini(&p->values);
	free(p);
}
