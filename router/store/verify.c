/* verify.c - see verify.h.
 *
 * The hard idea: rows lie in the order of their kinds (b d f m q s), so by the time a ref is read its chunk and its ledger are known, and
 * one pass over the disk is enough. Of each chunk is kept only which entries it has and which are wanted: some 150 bytes for a hundred messages. */
#include "store/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/map.h"
#include "store/db.h"
#include "store/pack.h"
#include "store/record.h"
#include "store/store_env.h"

#define PROGRESS_ROWS 512

struct seen_chunk { uint64_t position; uint32_t rendering; bool wanted; uint64_t has[BITS_WORDS]; };
struct seen_owner { uint32_t number; bool has_ledger; struct ledger ledger; uint64_t entries, bytes, letters, letter_bytes; char name[160]; };

struct verifying {
	struct verify *v;
	struct db *db;
	struct db_batch *batch;
	struct seen_chunk *chunks;
	size_t nchunks, chunks_cap;
	struct seen_owner *owners;
	size_t nowners, owners_cap;
	struct umap by_number;     /* -> index in owners */
	struct buf scratch;
};

static void fault(struct verifying *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fault(struct verifying *x, const char *fmt, ...)
{
	char words[400];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	x->v->fault(x->v->arg, words);
}

static struct seen_owner *owner(struct verifying *x, uint32_t number)
{
	uint64_t at;
	if (umap_get(&x->by_number, number, &at))
		return &x->owners[at];
	if (x->nowners == x->owners_cap) {
		x->owners_cap = x->owners_cap ? x->owners_cap * 2 : 64;
		x->owners = xrealloc(x->owners, x->owners_cap * sizeof(*x->owners));
	}
	umap_put(&x->by_number, number, x->nowners);
	struct seen_owner *o = &x->owners[x->nowners++];
	*o = (struct seen_owner){ .number = number };
	snprintf(o->name, sizeof(o->name), "number %u", number);
	return o;
}

static void bad_row(struct verifying *x, const void *key, size_t keylen, const char *what)
{
	x->v->bad_rows++;
	fault(x, "%s that is not what was written (%zu bytes of key)", what, keylen);
	db_delete(x->batch, key, keylen);
}

/* ---- row by row -------------------------------------------------------------------------------------------------------------- */

static void see_chunk(struct verifying *x, const void *key, size_t keylen, const void *value, size_t len)
{
	uint64_t position;
	uint32_t rendering;
	struct chunk_head h;
	buf_clear(&x->scratch);
	buf_add(&x->scratch, value, len);
	if (!key_is_chunk(key, keylen, &position, &rendering) || !chunk_unpack(&x->scratch) || !chunk_decode(x->scratch.p, x->scratch.len, &h) ||
		h.position != position || h.rendering != rendering) {
		bad_row(x, key, keylen, "a chunk of messages");
		return;
	}
	if (x->nchunks == x->chunks_cap) {
		x->chunks_cap = x->chunks_cap ? x->chunks_cap * 2 : 256;
		x->chunks = xrealloc(x->chunks, x->chunks_cap * sizeof(*x->chunks));
	}
	struct seen_chunk *c = &x->chunks[x->nchunks++];
	*c = (struct seen_chunk){ .position = position, .rendering = rendering };
	for (unsigned i = 0; i < h.n; i++)
		bits_set(c->has, chunk_row(&h, i).number);
	x->v->chunks++;
}

static void see_letter(struct verifying *x, const void *key, size_t keylen, const void *value, size_t len)
{
	uint64_t position;
	uint32_t number;
	struct dead_letter d;
	int64_t made;
	struct key k;
	bool good = key_is_dead(key, keylen, &number, &position);
	if (good) {
		k = key_dead(number, position);
		good = dead_decode(&k, value, len, &d, &made);
	}
	if (!good) {
		bad_row(x, key, keylen, "a dead letter");
		return;
	}
	x->v->letters++;
	owner(x, number)->letters++;
	owner(x, number)->letter_bytes += len;
}

static void see_ledger(struct verifying *x, const void *key, size_t keylen, const void *value, size_t len)
{
	uint32_t number;
	struct ledger l;
	struct key k;
	bool good = key_is_ledger(key, keylen, &number);
	if (good) {
		k = key_ledger(number);
		good = ledger_decode(&k, value, len, &l);
	}
	if (!good) {
		bad_row(x, key, keylen, "the counts of a stream");
		return;
	}
	owner(x, number)->ledger = l;
	owner(x, number)->has_ledger = true;
}

static void see_meta(struct verifying *x, const void *key, size_t keylen, const void *value, size_t len)
{
	uint32_t number;
	const void *p;
	size_t n;
	struct key k;
	struct last_row last;
	if (key_is_name(key, keylen, &number)) {
		k = key_name(number);
		if (!sealed_decode(&k, value, len, &p, &n) || n < 2) {
			bad_row(x, key, keylen, "a name");
			return;
		}
		x->v->names++;
		snprintf(owner(x, number)->name, sizeof(x->owners->name), "\"%.*s\"", (int)n - 1, (const char *)p + 1);
		return;
	}
	k = key_last();
	if (keylen == k.n && memcmp(key, k.p, k.n) == 0 && !last_decode(value, len, &last)) {
		/* The next commit writes it anew. */
		x->v->bad_rows++;
		fault(x, "the record of the last commit is not what was written");
	}
}

static int by_place(const void *a, const void *b)
{
	const struct seen_chunk *x = a, *y = b;
	if (x->position != y->position)
		return x->position < y->position ? -1 : 1;
	return x->rendering < y->rendering ? -1 : x->rendering > y->rendering;
}

static struct seen_chunk *find_chunk(struct verifying *x, uint64_t position, uint32_t rendering)
{
	const struct seen_chunk key = { .position = position, .rendering = rendering };
	return x->nchunks ? bsearch(&key, x->chunks, x->nchunks, sizeof(key), by_place) : NULL;
}

static void see_ref(struct verifying *x, const void *key, size_t keylen, const void *value, size_t len)
{
	uint64_t position;
	uint32_t number, rendering;
	struct ref_row row;
	struct key k;
	bool good = key_is_ref(key, keylen, &number, &position, &rendering);
	if (good) {
		k = key_ref(number, position, rendering);
		good = ref_decode(&k, value, len, &row);
	}
	if (!good) {
		bad_row(x, key, keylen, "what a stream owes of a chunk");
		return;
	}
	x->v->refs++;
	struct seen_owner *o = owner(x, number);
	struct seen_chunk *c = find_chunk(x, position, rendering), *source = find_chunk(x, position, 0);
	unsigned before = bits_count(row.bits);
	for (unsigned w = 0; w < BITS_WORDS; w++)
		row.bits[w] &= c ? c->has[w] : 0;
	unsigned left = bits_count(row.bits);
	if (c)
		c->wanted = true;
	if (source)
		source->wanted = true;
	if (left < before) {
		x->v->lost_entries += before - left;
		fault(x, "%u messages of %s: their chunk is %s", before - left, o->name, c ? "without them" : "missing");
		db_delete(x->batch, k.p, k.n);
		if (left) {
			/* Of those that are left nobody knows the bytes but by reading them: a share will do until the next is settled. */
			row.bytes = (uint32_t)((uint64_t)row.bytes * left / before);
			buf_clear(&x->scratch);
			ref_encode(&x->scratch, &k, &row);
			db_put(x->batch, k.p, k.n, x->scratch.p, x->scratch.len);
		}
	}
	o->entries += left;
	o->bytes += left ? row.bytes : 0;
	x->v->entries += left;
}

static void see_state(struct verifying *x, const void *key, size_t keylen, const void *value, size_t len)
{
	const char *p;
	size_t n;
	if (!state_decode(key, keylen, value, len, &p, &n))
		bad_row(x, key, keylen, "what an adapter keeps of a device");
	else
		x->v->states++;
}

static bool see(struct verifying *x, const void *key, size_t keylen, const void *value, size_t len)
{
	struct verify *v = x->v;
	v->rows++;
	v->bytes += keylen + len;
	switch (*(const char *)key) {
	case ROW_CHUNK: see_chunk(x, key, keylen, value, len); break;
	case ROW_REF: see_ref(x, key, keylen, value, len); break;
	case ROW_LEDGER: see_ledger(x, key, keylen, value, len); break;
	case ROW_DEAD: see_letter(x, key, keylen, value, len); break;
	case ROW_META: see_meta(x, key, keylen, value, len); break;
	case ROW_STATE: see_state(x, key, keylen, value, len); break;
	default: break; /* of a newer version, perhaps */
	}
	return v->rows % PROGRESS_ROWS || v->progress(v->arg, v->rows);
}

/* ---- what only shows when all has been seen ------------------------------------------------------------------------------------- */

static void look_at_orphans(struct verifying *x)
{
	for (size_t i = 0; i < x->nchunks; i++) {
		const struct seen_chunk *c = &x->chunks[i];
		struct key k = key_chunk(c->position, c->rendering);
		if (c->wanted)
			continue;
		x->v->orphans++;
		db_delete(x->batch, k.p, k.n);
	}
	if (x->v->orphans)
		fault(x, "%llu chunks that no stream wants take room", (unsigned long long)x->v->orphans);
}

static void look_at_counts(struct verifying *x)
{
	for (size_t i = 0; i < x->nowners; i++) {
		struct seen_owner *o = &x->owners[i];
		struct ledger *l = &o->ledger;
		struct key k = key_ledger(o->number);
		if (l->buffered == o->entries && l->bytes == o->bytes && l->dead_kept == o->letters && l->dead_bytes == o->letter_bytes)
			continue;
		if (!o->has_ledger && !o->entries && !o->letters)
			continue;
		x->v->wrong_counts++;
		fault(x, "the counts of %s say %llu messages and %llu letters, there are %llu and %llu", o->name, (unsigned long long)l->buffered,
			(unsigned long long)l->dead_kept, (unsigned long long)o->entries, (unsigned long long)o->letters);
		if (l->buffered > o->entries)
			l->dropped += l->buffered - o->entries;
		if (!o->has_ledger)
			l->dead = o->letters; /* whoever they were of: a channel's are not matched, but nobody knows any more */
		l->buffered = o->entries;
		l->bytes = o->bytes;
		l->dead_gone += l->dead_kept > o->letters ? l->dead_kept - o->letters : 0;
		l->dead_kept = o->letters;
		l->dead_bytes = o->letter_bytes;
		l->matched = l->skipped + l->buffered + l->accepted + l->dead + l->expired + l->dropped + l->purged;
		l->floor = l->dead_floor = 0;
		buf_clear(&x->scratch);
		ledger_encode(&x->scratch, &k, l);
		db_put(x->batch, k.p, k.n, x->scratch.p, x->scratch.len);
	}
}

/* ---- the way through ------------------------------------------------------------------------------------------------------------- */

static bool read_all(struct verifying *x, char *why, size_t whylen, enum db_result *result)
{
	struct db_iter *it = db_iter_new(x->db, "", 0);
	const void *key, *value;
	size_t keylen, len;
	bool on = true;
	for (; on && db_iter_row(it, &key, &keylen, &value, &len); db_iter_next(it))
		on = keylen == 0 || see(x, key, keylen, value, len);
	*result = db_iter_error(it, why, whylen);
	db_iter_free(it);
	return on;
}

static int rebuild(struct verify *v, const char *folder, struct store_env *env, const char *words, char *why, size_t whylen)
{
	char told[300];
	snprintf(told, sizeof(told), "the database: %s", words);
	v->fault(v->arg, told);
	v->rebuilt = true;
	return v->mend && db_repair(folder, env, why, whylen) != DB_OK ? -1 : 0;
}

static void start_over(struct verifying *x)
{
	struct verify *v = x->v;
	bool rebuilt = v->rebuilt;
	db_batch_clear(x->batch);
	x->nchunks = x->nowners = 0;
	umap_fini(&x->by_number);
	umap_init(&x->by_number);
	*v = (struct verify){ .path = v->path, .mend = v->mend, .fault = v->fault, .progress = v->progress, .arg = v->arg, .rebuilt = rebuilt };
}

static int verify(struct verifying *x, const char *folder, struct store_env *env, char *why, size_t whylen)
{
	enum db_result r;
	store_env_count(env, folder);
	x->db = db_open(folder, env, false, 0, &r, why, whylen);
	if (!x->db && r == DB_CORRUPT) {
		if (rebuild(x->v, folder, env, why, why, whylen) < 0)
			return -1;
		if (!x->v->mend)
			return 0;
		x->db = db_open(folder, env, false, 0, &r, why, whylen);
	}
	if (!x->db) {
		if (r == DB_LOCKED)
			snprintf(why, whylen, "%s is in use by another process", x->v->path);
		return -1;
	}
	if (!read_all(x, why, whylen, &r)) {
		snprintf(why, whylen, "interrupted");
		return -1;
	}
	if (r == DB_FAILED)
		return -1;
	if (r == DB_CORRUPT && !x->v->rebuilt) {
		/* Rows were passed over that cannot be read; once it is rebuilt, what they held is known to be gone. */
		db_close(x->db);
		x->db = NULL;
		if (rebuild(x->v, folder, env, why, why, whylen) < 0)
			return -1;
		if (x->v->mend) {
			start_over(x);
			return verify(x, folder, env, why, whylen);
		}
	}
	look_at_orphans(x);
	look_at_counts(x);
	if (x->v->mend && !verify_is_sound(x->v) && db_write(x->db, x->batch, true, why, whylen) != DB_OK)
		return -1;
	return 0;
}

int store_verify(struct verify *v, char *why, size_t whylen)
{
	struct verifying x = { .v = v };
	char folder[4200], current[4300];
	snprintf(folder, sizeof(folder), "%s/db", v->path);
	snprintf(current, sizeof(current), "%s/CURRENT", folder);
	if (access(folder, F_OK) < 0 || (access(current, F_OK) < 0 && !v->mend)) {
		snprintf(why, whylen, "%s holds no store%s", v->path, access(folder, F_OK) == 0 ? " that opens" : "");
		return -1;
	}
	struct store_env *env = store_env_new();
	x.batch = db_batch_new();
	umap_init(&x.by_number);
	int status = verify(&x, folder, env, why, whylen);
	db_close(x.db);
	db_batch_free(x.batch);
	store_env_free(env);
	umap_fini(&x.by_number);
	buf_fini(&x.scratch);
	free(x.chunks);
	free(x.owners);
	return status;
}
