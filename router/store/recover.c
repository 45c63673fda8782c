/* recover.c - from what lies on disk to a store that can go on.
 *
 * The hard idea: counts are in the ledgers, but what is outstanding is only in the ref rows; reading them all, each buffer from its
 * floor on, is the whole recovery (a row per hundred messages). Where the two disagree, rows were lost or came back by a repair, and the
 * ledger is made to tell so: conservation holds again, and the difference is logged. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/inside.h"

/* ---- reading */

static enum db_result read_last(struct store *s, struct last_row *last, char *why, size_t whylen)
{
	struct buf value = BUF_INIT;
	struct key k = key_last();
	enum db_result r = db_get(s->db, k.p, k.n, &value, why, whylen);
	if (r == DB_OK && !last_decode(value.p, value.len, last)) {
		snprintf(why, whylen, "the record of the last commit is damaged");
		r = DB_CORRUPT;
	}
	buf_fini(&value);
	return r;
}

static int read_format(struct store *s, bool *fresh, char *why, size_t whylen)
{
	struct buf value = BUF_INIT;
	struct key k = key_format();
	const void *p;
	size_t n;
	enum db_result r = db_get(s->db, k.p, k.n, &value, why, whylen);
	int result = 0;
	*fresh = r == DB_ABSENT;
	if (r == DB_OK && (!sealed_decode(&k, value.p, value.len, &p, &n) || n != 4)) {
		snprintf(why, whylen, "%s is not a store", s->folder);
		result = -1;
	} else if (r == DB_OK && get_le32(value.p) != STORE_FORMAT) {
		snprintf(why, whylen, "%s has format %u; this program knows %u (it was written by a newer version)", s->folder, get_le32(value.p),
			STORE_FORMAT);
		result = -1;
	} else if (r != DB_OK && r != DB_ABSENT) {
		result = -1;
	}
	buf_fini(&value);
	return result;
}

static int write_format(struct store *s, char *why, size_t whylen)
{
	struct db_batch *batch = db_batch_new();
	struct buf value = BUF_INIT;
	struct key k = key_format();
	char number[4];
	put_le32(number, STORE_FORMAT);
	sealed_encode(&value, &k, number, sizeof(number));
	db_put(batch, k.p, k.n, value.p, value.len);
	enum db_result r = db_write(s->db, batch, true, why, whylen);
	buf_fini(&value);
	db_batch_free(batch);
	return r == DB_OK ? 0 : -1;
}

/* Calls fn for every row from `from` on until it returns false. */
static void each_row(struct store *s, const struct key *from, bool (*fn)(struct store *s, const void *key, size_t keylen, const void *value,
	size_t len, void *arg), void *arg)
{
	struct db_iter *it = db_iter_new(s->db, from->p, from->n);
	const void *key, *value;
	size_t keylen, len;
	char why[160];
	while (db_iter_row(it, &key, &keylen, &value, &len) && fn(s, key, keylen, value, len, arg))
		db_iter_next(it);
	if (db_iter_error(it, why, sizeof(why)) != DB_OK) {
		s->counts.records_lost++;
		log_error("store", "unreadable", "why=%s", log_quote(why));
	}
	db_iter_free(it);
}

static bool read_name(struct store *s, const void *key, size_t keylen, const void *value, size_t len, void *arg)
{
	uint32_t number;
	const void *p;
	size_t n;
	(void)arg;
	if (!key_is_name(key, keylen, &number))
		return false;
	struct key k = key_name(number);
	if (sealed_decode(&k, value, len, &p, &n) && n > 1)
		names_know(s, number, (enum name_kind)*(const char *)p, (const char *)p + 1, n - 1);
	else
		s->counts.records_lost++;
	return true;
}

static bool read_ledger(struct store *s, const void *key, size_t keylen, const void *value, size_t len, void *arg)
{
	uint32_t owner;
	(void)arg;
	if (!key_is_ledger(key, keylen, &owner))
		return false;
	struct key k = key_ledger(owner);
	struct buffer *b = store_buffer(s, owner);
	if (!ledger_decode(&k, value, len, &b->ledger))
		s->counts.records_lost++;
	b->floor = b->ledger.floor;
	return true;
}

struct found { struct buffer *buffer; uint64_t entries, bytes, newest; int64_t oldest; };

static bool read_ref(struct store *s, const void *key, size_t keylen, const void *value, size_t len, void *arg)
{
	struct found *f = arg;
	uint32_t number, rendering;
	uint64_t position;
	if (!key_is_ref(key, keylen, &number, &position, &rendering) || number != f->buffer->number)
		return false;
	struct key k = key_ref(number, position, rendering);
	struct ref_row row;
	if (!ref_decode(&k, value, len, &row)) {
		s->counts.records_lost++;
		return true;
	}
	if (!f->entries)
		f->oldest = row.arrived;
	f->entries += bits_count(row.bits);
	f->bytes += row.bytes;
	f->newest = position;
	return true;
}

/* The ledger says what should be there, the rows what is. */
static void reconcile(struct store *s, const struct found *f)
{
	struct ledger *l = &f->buffer->ledger;
	uint64_t ended = l->skipped + l->accepted + l->dead + l->expired + l->dropped + l->purged;
	if (l->buffered > f->entries) {
		s->counts.records_lost += l->buffered - f->entries;
		log_error("store", "lost", "buffer=%u entries=%llu hint=%s", f->buffer->number, (unsigned long long)(l->buffered - f->entries),
			log_quote("counted as dropped; the database was damaged"));
		l->dropped += l->buffered - f->entries;
		ended = l->skipped + l->accepted + l->dead + l->expired + l->dropped + l->purged;
	} else if (l->buffered < f->entries) {
		log_warn("store", "returned", "buffer=%u entries=%llu hint=%s", f->buffer->number,
			(unsigned long long)(f->entries - l->buffered), log_quote("a repair brought back messages; they will be sent again"));
	}
	l->buffered = f->entries;
	l->bytes = f->bytes;
	l->matched = ended + l->buffered;
	f->buffer->newest = f->newest;
	f->buffer->oldest_arrived = f->oldest;
}

static void read_refs(struct store *s)
{
	size_t i = 0;
	for (struct umap_slot *slot; (slot = umap_next(&s->buffers, &i));) {
		struct found f = { .buffer = (struct buffer *)(uintptr_t)slot->value };
		struct key from = key_ref(f.buffer->number, f.buffer->floor, 0);
		each_row(s, &from, read_ref, &f);
		reconcile(s, &f);
	}
}

/* ---- opening */

static int set_aside(struct store *s, char *why, size_t whylen)
{
	char to[4200], when[40];
	snprintf(to, sizeof(to), "%s/quarantine-%s", s->path, clock_format(clock_real_us(), when));
	if (rename(s->folder, to) < 0) {
		snprintf(why, whylen, "cannot move the damaged store to %s: %s", to, strerror(errno));
		return -1;
	}
	log_error("store", "quarantined", "folder=%s hint=%s", log_quote(to),
		log_quote("nothing of it could be read; everything that was outstanding is in there"));
	return 0;
}

/* LevelDB makes the folder before it looks whether there is a database in it. */
static bool is_there(const struct store *s)
{
	char current[4200];
	snprintf(current, sizeof(current), "%s/CURRENT", s->folder);
	return access(current, F_OK) == 0;
}

static struct db *try_db(struct store *s, bool create, enum db_result *r, char *why, size_t whylen)
{
	store_env_count(s->env, s->folder);
	s->failures = store_env_failures(s->env);
	s->write_buffer = space_write_buffer(s);
	s->db = db_open(s->folder, s->env, create, s->write_buffer, r, why, whylen);
	return s->db;
}

static int open_db(struct store *s, char *why, size_t whylen)
{
	enum db_result r;
	if (s->as_it_lies && !is_there(s)) {
		snprintf(why, whylen, "%s holds no store", s->path);
		return -1;
	}
	if (!try_db(s, !s->as_it_lies, &r, why, whylen) && r == DB_FAILED && !s->as_it_lies) {
		/* Opening turns the log into tables; on a full disk, what was put by for this makes room. */
		space_failed(s);
		try_db(s, true, &r, why, whylen);
	}
	if (s->db)
		return 0;
	if (r == DB_LOCKED)
		snprintf(why, whylen, "%s is in use by another process", s->path);
	if ((r != DB_CORRUPT && r != DB_ABSENT) || s->as_it_lies)
		return -1;
	log_error("store", "damaged", "why=%s hint=%s", log_quote(why), log_quote("repairing"));
	char repair[160];
	r = db_repair(s->folder, s->env, repair, sizeof(repair));
	if (r == DB_OK && try_db(s, true, &r, why, whylen)) {
		log_warn("store", "repaired", NULL);
		return 0;
	}
	if (set_aside(s, why, whylen) < 0)
		return -1;
	return try_db(s, true, &r, why, whylen) ? 0 : -1;
}

static int make_folder(const char *path, char *why, size_t whylen)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	snprintf(why, whylen, "cannot create %s: %s", path, strerror(errno));
	return -1;
}

int recover_open(struct store *s, char *why, size_t whylen)
{
	bool fresh;
	struct last_row last = { .position = 0 };
	if (!s->as_it_lies && (make_folder(s->path, why, whylen) < 0 || make_folder(s->folder, why, whylen) < 0))
		return -1;
	if (open_db(s, why, whylen) < 0 || read_format(s, &fresh, why, whylen) < 0)
		return -1;
	if (fresh && write_format(s, why, whylen) < 0)
		return -1;
	enum db_result r = read_last(s, &last, why, whylen);
	if (r == DB_FAILED)
		return -1;
	if (r == DB_CORRUPT)
		s->counts.records_lost++;
	s->position = s->published = last.position;
	store_clock_from(s, r == DB_OK ? &last : NULL);
	struct key from = key_names();
	each_row(s, &from, read_name, NULL);
	from = key_ledger(0);
	each_row(s, &from, read_ledger, NULL);
	read_refs(s);
	space_guess(s);
	return 0;
}

enum db_result recover_reopen(struct store *s, uint64_t *last_position, char *why, size_t whylen)
{
	enum db_result r;
	struct last_row last = { .position = 0 };
	if (!try_db(s, false, &r, why, whylen))
		return r;
	r = read_last(s, &last, why, whylen);
	if (r != DB_OK && r != DB_ABSENT) {
		db_close(s->db);
		s->db = NULL;
		return r;
	}
	*last_position = last.position;
	return DB_OK;
}
