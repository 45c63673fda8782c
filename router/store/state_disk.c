/* state_disk.c - states from disk, and those of whole streams off it.
 *
 * Only states that are not in memory are read, and a state stays in memory while a ticket is on its way with it: so what is read is never about to change. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/log.h"
#include "store/commit.h"
#include "store/states.h"

#define READ_AT_ONCE 256
#define DROP_AT_ONCE 2000

/* ---- reading: a thread of its own, for the reader may be busy with a compaction while a source waits for its answer */

void state_ask(struct states *x, struct state *st)
{
	st->read = STATE_READING;
	st->users++;
	st->next = NULL;
	*x->read_end = st;
	x->read_end = &st->next;
	pthread_cond_signal(&x->work);
}

struct reading { struct state *state; struct text *text; enum db_result result; };

static void read_one(struct store *s, struct reading *r, struct buf *value, char *why, size_t whylen)
{
	const char *p;
	size_t n;
	buf_clear(value);
	r->result = db_get(s->db, r->state->key, r->state->key_len, value, why, whylen);
	if (r->result != DB_OK)
		return;
	if (state_decode(r->state->key, r->state->key_len, value->p, value->len, &p, &n))
		r->text = text_new(p, n);
	else
		r->result = DB_CORRUPT;
}

static void read_done(struct store *s, struct reading *r, const char *why)
{
	struct state *st = r->state;
	if (r->result == DB_CORRUPT) {
		s->counts.records_lost++;
		log_error("store", "lost", "state=%.*s why=%s hint=%s", (int)(st->key_len - 5), st->key + 5, log_quote("its record is damaged"),
			log_quote("the adapter begins anew with this ident"));
	}
	if (r->result == DB_FAILED) {
		st->read = STATE_UNREAD;
	} else {
		st->read = STATE_READ;
		text_set(&st->latest, r->text);
		text_set(&st->soon, text_ref(r->text));
		text_set(&st->durable, text_ref(r->text));
		s->states->reads++;
	}
	claim_state_read(s, st, r->result == DB_FAILED ? why : NULL);
	state_unuse(s->states, st);
}

/* Not while the database is being reopened: a source is better told to come again than kept waiting. */
static bool db_enter_now(struct store *s)
{
	store_lock(s);
	bool open = !s->parked && s->db;
	s->db_users += open;
	store_unlock(s);
	return open;
}

static void *states_main(void *store)
{
	struct store *s = store;
	struct states *x = s->states;
	struct reading r[READ_AT_ONCE];
	struct buf value = BUF_INIT;
	char why[160];
	states_lock(s);
	while (!x->stop) {
		unsigned n = 0;
		if (!x->read_first) {
			pthread_cond_wait(&x->work, &x->lock);
			continue;
		}
		while (n < READ_AT_ONCE && x->read_first) {
			r[n++] = (struct reading){ .state = x->read_first, .result = DB_FAILED };
			x->read_first = x->read_first->next;
		}
		if (!x->read_first)
			x->read_end = &x->read_first;
		states_unlock(s);
		snprintf(why, sizeof(why), "the database is being reopened");
		if (db_enter_now(s)) {
			for (unsigned i = 0; i < n; i++)
				read_one(s, &r[i], &value, why, sizeof(why));
			store_db_leave(s);
		}
		store_lock(s);
		states_lock(s);
		for (unsigned i = 0; i < n; i++)
			read_done(s, &r[i], why);
		ports_signal(s);
		states_unlock(s);
		store_unlock(s);
		states_lock(s);
	}
	states_unlock(s);
	buf_fini(&value);
	return NULL;
}

int states_start(struct store *s)
{
	struct states *x = s->states;
	errno = pthread_create(&x->thread, NULL, states_main, s);
	x->runs = !errno;
	return x->runs ? 0 : -1;
}

void states_stop(struct store *s)
{
	struct states *x = s->states;
	states_lock(s);
	x->stop = true;
	pthread_cond_signal(&x->work);
	states_unlock(s);
	if (x->runs)
		pthread_join(x->thread, NULL);
}

/* ---- streams that are forgotten */

int64_t store_drop_states(struct store *s, uint32_t stream)
{
	struct state_drop d = { .stream = stream };
	store_lock(s);
	if (s->stop) {
		d.fate = DROP_FAILED;
	} else {
		d.next = s->state_drops;
		s->state_drops = &d;
		pthread_cond_signal(&s->work);
		while (d.fate == DROP_WAITS)
			pthread_cond_wait(&s->moved, &s->lock);
	}
	store_unlock(s);
	return d.fate == DROP_MADE ? d.n : -1;
}

void states_drop_some(struct store *s)
{
	struct states *x = s->states;
	const void *key, *value;
	size_t keylen, len;
	unsigned n = 0;
	store_lock(s);
	struct state_drop *d = s->state_drops;
	store_unlock(s);
	if (!d)
		return;
	buf_clear(&x->row);
	key_state(&x->row, d->stream, "", 0);
	struct db_iter *it = db_iter_new(s->db, x->row.p, x->row.len);
	states_lock(s);
	states_forget_unused(x, d->stream);
	for (; n < DROP_AT_ONCE && db_iter_row(it, &key, &keylen, &value, &len) && key_is_state_of(key, keylen, d->stream); db_iter_next(it)) {
		if (map_get(&x->all, key, keylen))
			continue;
		db_delete(s->commit->batch, key, keylen);
		s->commit->garbage += keylen + len;
		n++;
	}
	states_unlock(s);
	d->last = n < DROP_AT_ONCE;
	d->n += n;
	db_iter_free(it);
	s->commit->anything = true;
}

void states_drops_end(struct store *s, bool ok)
{
	struct state_drop **at = &s->state_drops;
	while (*at) {
		struct state_drop *d = *at;
		if (ok && !d->last) {
			at = &d->next;
			continue;
		}
		*at = d->next;
		d->fate = ok ? DROP_MADE : DROP_FAILED;
		pthread_cond_broadcast(&s->moved);
	}
}

/* ---- how many there are */

static char *stream_name(struct store *s, uint32_t number)
{
	uint64_t value;
	store_lock(s);
	const struct name *known = umap_get(&s->names_by_number, number, &value) ? (const struct name *)(uintptr_t)value : NULL;
	char *name = xstrdup(known && known->kind == NAME_STREAM ? known->text + 1 : "");
	store_unlock(s);
	return name;
}

void store_each_states(struct store *s, void (*fn)(void *arg, const char *stream, uint64_t states), void *arg)
{
	static const char first = ROW_STATE;
	const void *key, *value;
	size_t keylen, len;
	if (!store_db_enter(s))
		return;
	struct db_iter *it = db_iter_new(s->db, &first, 1);
	while (db_iter_row(it, &key, &keylen, &value, &len) && keylen >= 5 && *(const char *)key == ROW_STATE) {
		uint32_t stream = get_be32((const char *)key + 1);
		uint64_t n = 0;
		for (; db_iter_row(it, &key, &keylen, &value, &len) && key_is_state_of(key, keylen, stream); db_iter_next(it))
			n++;
		char *name = stream_name(s, stream);
		fn(arg, name, n);
		free(name);
	}
	db_iter_free(it);
	store_db_leave(s);
}
