// db.cc - db.h in LevelDB's own words. In C++ because the environment (store_env.cc) can be handed to LevelDB through its
// C++ interface only: the C one has no public way to name an Env of one's own.
#include "store/db.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/dumpfile.h>
#include <leveldb/env.h>
#include <leveldb/iterator.h>
#include <leveldb/options.h>
#include <leveldb/write_batch.h>

#include "store/store_env.h"

extern "C" {
#include "base/buf.h"
}

namespace {

// LevelDB's own LOG file would be written at every open and compaction, and nobody reads it.
class Silent : public leveldb::Logger {
 public:
	void Logv(const char *, std::va_list) override {}
};

db_result result_of(const leveldb::Status &s, char *why, size_t whylen)
{
	if (s.ok())
		return DB_OK;
	if (why && whylen)
		snprintf(why, whylen, "%s", s.ToString().c_str());
	if (s.IsNotFound())
		return DB_ABSENT;
	// A database with a part missing says "invalid argument" or "corruption", depending on the part.
	return s.IsCorruption() || s.IsInvalidArgument() ? DB_CORRUPT : DB_FAILED;
}

leveldb::Slice slice(const void *p, size_t n)
{
	return leveldb::Slice(static_cast<const char *>(p), n);
}

// Reads what DumpFile tells of a MANIFEST: each change of the database names the first file number that was still free then, in a
// line of its own. Keys are escaped there, so no line begins so by chance.
class NextFile : public leveldb::WritableFile {
 public:
	leveldb::Status Append(const leveldb::Slice &text) override
	{
		static const char word[] = "\n  NextFile: ";
		std::string s = text.ToString();
		for (size_t at = 0; (at = s.find(word, at)) != std::string::npos;) {
			at += sizeof(word) - 1;
			number = strtoull(s.c_str() + at, nullptr, 10);
		}
		return leveldb::Status::OK();
	}
	leveldb::Status Close() override { return leveldb::Status::OK(); }
	leveldb::Status Flush() override { return leveldb::Status::OK(); }
	leveldb::Status Sync() override { return leveldb::Status::OK(); }
	uint64_t number = 0;
};

}  // namespace

struct db {
	struct store_env *env;
	std::unique_ptr<Silent> log;
	std::unique_ptr<leveldb::Cache> cache;
	std::unique_ptr<leveldb::DB> rep;
};

struct db_batch {
	leveldb::WriteBatch rep;
};

struct db_iter {
	std::unique_ptr<leveldb::Iterator> rep;
};

static leveldb::Options options_for(struct store_env *env, size_t write_buffer, Silent *log)
{
	leveldb::Options o;
	o.env = static_cast<leveldb::Env *>(store_env_leveldb(env));
	o.info_log = log;
	o.write_buffer_size = write_buffer ? write_buffer : DB_WRITE_BUFFER;
	o.max_file_size = DB_TABLE_SIZE;
	// A chunk is larger than any block, so blocks are chunks; compression costs more processor than it saves disk (LIMITS).
	o.compression = leveldb::kNoCompression;
	o.max_open_files = 500;
	o.paranoid_checks = false;
	return o;
}

struct db *db_open(const char *path, struct store_env *env, bool create, size_t write_buffer, enum db_result *result, char *why, size_t whylen)
{
	auto d = std::make_unique<db>();
	d->env = env;
	d->log = std::make_unique<Silent>();
	d->cache.reset(leveldb::NewLRUCache(1 << 20));
	leveldb::Options o = options_for(env, write_buffer, d->log.get());
	o.create_if_missing = create;
	o.block_cache = d->cache.get();
	leveldb::DB *rep = nullptr;
	leveldb::Status s = leveldb::DB::Open(o, path, &rep);
	if (!s.ok()) {
		*result = result_of(s, why, whylen);
		// What LevelDB says of a held LOCK file is an IOError like any other but for its words.
		if (*result == DB_FAILED && s.ToString().find("lock ") != std::string::npos)
			*result = DB_LOCKED;
		return nullptr;
	}
	d->rep.reset(rep);
	*result = DB_OK;
	return d.release();
}

void db_close(struct db *d)
{
	// LevelDB waits for the work that it has asked for.
	if (d)
		store_env_hold(d->env, false);
	delete d;
}

enum db_result db_repair(const char *path, struct store_env *env, char *why, size_t whylen)
{
	Silent log;
	leveldb::Options o = options_for(env, 0, &log);
	/* Or it takes over blocks whose checksum is wrong, and every later reading stumbles over them again. */
	o.paranoid_checks = true;
	return result_of(leveldb::RepairDB(path, o), why, whylen);
}

uint64_t db_sweep(const char *path, struct store_env *env)
{
	auto *e = static_cast<leveldb::Env *>(store_env_leveldb(env));
	std::string folder = std::string(path) + "/", current;
	std::vector<std::string> names;
	NextFile next;
	uint64_t before = store_env_bytes(env);
	if (!leveldb::ReadFileToString(e, folder + "CURRENT", &current).ok() || current.empty() || current.back() != '\n')
		return 0;
	current.pop_back();
	if (!leveldb::DumpFile(e, folder + current, &next).ok() || !next.number || !e->GetChildren(path, &names).ok())
		return 0;
	// A table in use was numbered before the change that took it in was written, and that change says what was free after it.
	for (const auto &name : names) {
		char *end;
		uint64_t number = strtoull(name.c_str(), &end, 10);
		if (end != name.c_str() && std::string(end) == ".ldb" && number >= next.number)
			(void)e->RemoveFile(folder + name);
	}
	uint64_t after = store_env_bytes(env);
	return before > after ? before - after : 0;
}

enum db_result db_get(struct db *d, const void *key, size_t keylen, struct buf *out, char *why, size_t whylen)
{
	static thread_local std::string value;
	leveldb::ReadOptions o;
	o.verify_checksums = true;
	o.fill_cache = false;
	leveldb::Status s = d->rep->Get(o, slice(key, keylen), &value);
	if (s.ok())
		buf_add(out, value.data(), value.size());
	return result_of(s, why, whylen);
}

enum db_result db_write(struct db *d, struct db_batch *b, bool sync, char *why, size_t whylen)
{
	leveldb::WriteOptions o;
	o.sync = sync;
	db_result r = result_of(d->rep->Write(o, &b->rep), why, whylen);
	return r == DB_OK ? DB_OK : DB_FAILED;
}

struct db_batch *db_batch_new(void) { return new db_batch; }
void db_batch_free(struct db_batch *b) { delete b; }
void db_batch_clear(struct db_batch *b) { b->rep.Clear(); }
size_t db_batch_size(const struct db_batch *b) { return b->rep.ApproximateSize(); }

void db_put(struct db_batch *b, const void *key, size_t keylen, const void *value, size_t len)
{
	b->rep.Put(slice(key, keylen), slice(value, len));
}

void db_delete(struct db_batch *b, const void *key, size_t keylen)
{
	b->rep.Delete(slice(key, keylen));
}

struct db_iter *db_iter_new(struct db *d, const void *from, size_t fromlen)
{
	leveldb::ReadOptions o;
	o.verify_checksums = true;
	o.fill_cache = false;
	auto it = std::make_unique<db_iter>();
	it->rep.reset(d->rep->NewIterator(o));
	it->rep->Seek(slice(from, fromlen));
	return it.release();
}

void db_iter_free(struct db_iter *it) { delete it; }

bool db_iter_row(struct db_iter *it, const void **key, size_t *keylen, const void **value, size_t *len)
{
	if (!it->rep->Valid())
		return false;
	*key = it->rep->key().data();
	*keylen = it->rep->key().size();
	*value = it->rep->value().data();
	*len = it->rep->value().size();
	return true;
}

void db_iter_next(struct db_iter *it) { it->rep->Next(); }

enum db_result db_iter_error(struct db_iter *it, char *why, size_t whylen)
{
	return result_of(it->rep->status(), why, whylen);
}

void db_compact(struct db *d, const void *from, size_t fromlen, const void *to, size_t tolen)
{
	leveldb::Slice a = slice(from, fromlen), b = slice(to, tolen);
	d->rep->CompactRange(&a, &b);
}

uint64_t db_range_size(struct db *d, const void *from, size_t fromlen, const void *to, size_t tolen)
{
	leveldb::Range r(slice(from, fromlen), slice(to, tolen));
	uint64_t size = 0;
	d->rep->GetApproximateSizes(&r, 1, &size);
	return size;
}
