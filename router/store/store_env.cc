// store_env.cc - LevelDB's environment, with what the store adds (store_env.h says what and why).
//
// The hard idea is what "durable" means: fdatasync makes a file's bytes safe, but its *name* is safe only once the
// folder was synced too. So a file remembers whether its name is safe, and its first sync includes the folder's.
#include "store/store_env.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>
#include <atomic>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <leveldb/env.h>

namespace {

using leveldb::Slice;
using leveldb::Status;

std::string folder_of(const std::string &path)
{
	size_t slash = path.rfind('/');
	return slash == std::string::npos ? std::string(".") : path.substr(0, slash);
}

Status failure(const std::string &path, int error)
{
	if (error == ENOENT)
		return Status::NotFound(path, strerror(error));
	return Status::IOError(path, strerror(error));
}

// What a power cut would leave of one file.
struct Durable {
	uint64_t written = 0, synced = 0;
	bool name_safe = false;
};

class StoreEnv : public leveldb::EnvWrapper {
 public:
	StoreEnv() : EnvWrapper(leveldb::Env::Default()) {}

	Status NewRandomAccessFile(const std::string &name, leveldb::RandomAccessFile **out) override;
	Status NewWritableFile(const std::string &name, leveldb::WritableFile **out) override { return open_writable(name, O_TRUNC, out); }
	Status NewAppendableFile(const std::string &name, leveldb::WritableFile **out) override { return open_writable(name, O_APPEND, out); }
	Status RemoveFile(const std::string &name) override;
	Status DeleteFile(const std::string &name) override { return RemoveFile(name); }
	Status RenameFile(const std::string &from, const std::string &to) override;
	void Schedule(void (*function)(void *), void *arg) override;
	void hold(bool on);
	bool holds();

	int fault(env_op op);
	Status failed(const std::string &name, int error) { failures++; return failure(name, error); }
	Status sync_folder(const std::string &name);
	ssize_t write_some(int fd, const std::string &name, const char *p, size_t n);
	Status sync_file(int fd, const std::string &name, bool *name_safe);

	std::atomic<uint64_t> bytes{0}, syncs{0}, quota{0}, failures{0};
	std::atomic<uint64_t> done[ENV_OPS] = {};
	std::atomic<bool> faulty{false};
	bool tracking = false;
	// Held over every change while tracking, so that a picture shows one moment.
	std::recursive_mutex mutex;
	std::map<std::string, Durable> files;
	struct { uint64_t from, until; int error; } faults[ENV_OPS] = {};

 private:
	Status open_writable(const std::string &name, int how, leveldb::WritableFile **out);

	std::mutex work_mutex;
	bool holding = false;
	std::vector<std::pair<void (*)(void *), void *>> work;   // held back
};

class Guard {
 public:
	explicit Guard(StoreEnv *e) : e_(e->tracking ? e : nullptr) { if (e_) e_->mutex.lock(); }
	~Guard() { if (e_) e_->mutex.unlock(); }
	Guard(const Guard &) = delete;
	Guard &operator=(const Guard &) = delete;
 private:
	StoreEnv *e_;
};

class Reading : public leveldb::RandomAccessFile {
 public:
	Reading(StoreEnv *env, std::string name, int fd) : env_(env), name_(std::move(name)), fd_(fd) {}
	~Reading() override { close(fd_); }
	Status Read(uint64_t offset, size_t n, Slice *result, char *scratch) const override
	{
		if (int error = env_->fault(ENV_READ))
			return failure(name_, error);
		size_t got = 0;
		while (got < n) {
			ssize_t r = pread(fd_, scratch + got, n - got, static_cast<off_t>(offset + got));
			if (r < 0 && errno == EINTR)
				continue;
			if (r < 0)
				return failure(name_, errno);
			if (r == 0)
				break;
			got += static_cast<size_t>(r);
		}
		*result = Slice(scratch, got);
		return Status::OK();
	}
 private:
	StoreEnv *env_;
	std::string name_;
	int fd_;
};

class Writing : public leveldb::WritableFile {
 public:
	Writing(StoreEnv *env, std::string name, int fd, bool name_safe) : env_(env), name_(std::move(name)), fd_(fd), name_safe_(name_safe) {}
	~Writing() override { if (fd_ >= 0) (void)Close(); }

	Status Append(const Slice &data) override
	{
		const char *p = data.data();
		size_t n = data.size();
		size_t room = sizeof(buffer_) - used_;
		if (n <= room) {
			memcpy(buffer_ + used_, p, n);
			used_ += n;
			return Status::OK();
		}
		Status s = Flush();
		if (!s.ok())
			return s;
		if (n < sizeof(buffer_)) {
			memcpy(buffer_, p, n);
			used_ = n;
			return Status::OK();
		}
		return out(p, n);
	}
	Status Flush() override
	{
		Status s = out(buffer_, used_);
		used_ = 0;
		return s;
	}
	Status Sync() override
	{
		Status s = Flush();
		return s.ok() ? env_->sync_file(fd_, name_, &name_safe_) : s;
	}
	Status Close() override
	{
		Status s = Flush();
		if (close(fd_) < 0 && s.ok())
			s = failure(name_, errno);
		fd_ = -1;
		return s;
	}
 private:
	Status out(const char *p, size_t n)
	{
		while (n > 0) {
			ssize_t w = env_->write_some(fd_, name_, p, n);
			if (w < 0 && errno == EINTR)
				continue;
			if (w < 0)
				return env_->failed(name_, errno);
			p += w;
			n -= static_cast<size_t>(w);
		}
		return Status::OK();
	}
	StoreEnv *env_;
	std::string name_;
	int fd_;
	bool name_safe_;
	size_t used_ = 0;
	char buffer_[65536];
};

int StoreEnv::fault(env_op op)
{
	uint64_t now = ++done[op];
	if (!faulty.load(std::memory_order_acquire))
		return 0;
	std::lock_guard<std::recursive_mutex> lock(mutex);
	const auto &f = faults[op];
	return f.error && now >= f.from && now < f.until ? f.error : 0;
}

Status StoreEnv::NewRandomAccessFile(const std::string &name, leveldb::RandomAccessFile **out)
{
	*out = nullptr;
	int fd = open(name.c_str(), O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return failure(name, errno);
	*out = new Reading(this, name, fd);
	return Status::OK();
}

Status StoreEnv::open_writable(const std::string &name, int how, leveldb::WritableFile **out)
{
	*out = nullptr;
	if (int error = fault(ENV_CREATE))
		return failed(name, error);
	Guard guard(this);
	struct stat st;
	bool existed = stat(name.c_str(), &st) == 0;
	int fd = open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | how, 0600);
	if (fd < 0)
		return failed(name, errno);
	if (existed && how == O_TRUNC)
		bytes -= static_cast<uint64_t>(st.st_size);
	if (tracking) {
		Durable &d = files[name];
		bool safe = existed && d.name_safe;
		if (!existed || how == O_TRUNC)
			d = Durable();
		d.name_safe = safe;
	}
	*out = new Writing(this, name, fd, false);
	return Status::OK();
}

ssize_t StoreEnv::write_some(int fd, const std::string &name, const char *p, size_t n)
{
	int error = fault(ENV_WRITE);
	Guard guard(this);
	uint64_t limit = quota.load();
	if (limit && bytes.load() + n > limit) {
		error = ENOSPC;
		uint64_t room = limit > bytes.load() ? limit - bytes.load() : 0;
		n = room < n ? static_cast<size_t>(room) : n;
	} else if (error) {
		n /= 2;
	}
	ssize_t w = n ? write(fd, p, n) : 0;
	if (w > 0) {
		bytes += static_cast<uint64_t>(w);
		if (tracking)
			files[name].written += static_cast<uint64_t>(w);
	}
	if (error) {
		errno = error;
		return -1;
	}
	return w;
}

Status StoreEnv::sync_file(int fd, const std::string &name, bool *name_safe)
{
	if (int error = fault(ENV_SYNC))
		return failed(name, error);
	++syncs;
	uint64_t reached = 0;
	if (tracking) {
		Guard guard(this);
		reached = files[name].written;
	}
	if (fdatasync(fd) < 0)
		return failed(name, errno);
	if (tracking) {
		Guard guard(this);
		Durable &d = files[name];
		d.synced = reached > d.synced ? reached : d.synced;
	}
	if (*name_safe)
		return Status::OK();
	Status s = sync_folder(name);
	*name_safe = s.ok();
	return s;
}

Status StoreEnv::sync_folder(const std::string &name)
{
	if (int error = fault(ENV_SYNC_DIR))
		return failed(name, error);
	std::string folder = folder_of(name);
	Guard guard(this);
	int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return failed(folder, errno);
	int r = fsync(fd), error = errno;
	close(fd);
	if (r < 0)
		return failed(folder, error);
	if (tracking)
		for (auto &f : files)
			f.second.name_safe = true;
	return Status::OK();
}

void StoreEnv::Schedule(void (*function)(void *), void *arg)
{
	std::lock_guard<std::mutex> lock(work_mutex);
	if (holding)
		work.emplace_back(function, arg);
	else
		target()->Schedule(function, arg);
}

void StoreEnv::hold(bool on)
{
	std::lock_guard<std::mutex> lock(work_mutex);
	holding = on;
	if (on)
		return;
	for (const auto &w : work)
		target()->Schedule(w.first, w.second);
	work.clear();
}

bool StoreEnv::holds()
{
	std::lock_guard<std::mutex> lock(work_mutex);
	return holding;
}

Status StoreEnv::RemoveFile(const std::string &name)
{
	if (int error = fault(ENV_REMOVE))
		return failure(name, error);
	Guard guard(this);
	struct stat st;
	bool known = stat(name.c_str(), &st) == 0;
	if (unlink(name.c_str()) < 0)
		return failure(name, errno);
	if (known)
		bytes -= static_cast<uint64_t>(st.st_size);
	files.erase(name);
	return Status::OK();
}

Status StoreEnv::RenameFile(const std::string &from, const std::string &to)
{
	if (int error = fault(ENV_RENAME))
		return failure(from, error);
	{
		Guard guard(this);
		struct stat st;
		bool replaces = stat(to.c_str(), &st) == 0;
		if (rename(from.c_str(), to.c_str()) < 0)
			return failure(from, errno);
		if (replaces)
			bytes -= static_cast<uint64_t>(st.st_size);
		if (tracking) {
			files[to] = files[from];
			files.erase(from);
		}
	}
	return sync_folder(to);
}

bool copy_durable(const std::string &from, const std::string &to, const Durable &d, uint64_t random)
{
	FILE *in = fopen(from.c_str(), "rb"), *out = fopen(to.c_str(), "wb");
	bool ok = in && out;
	if (ok) {
		std::vector<char> all(d.written);
		size_t got = fread(all.data(), 1, all.size(), in);
		uint64_t loose = got > d.synced ? got - d.synced : 0, keep = d.synced;
		if (loose && random % 3 == 1)
			keep += (random >> 8) % (loose + 1);
		if (loose && random % 3 == 2) {
			memset(all.data() + d.synced, 0, loose);
			keep = got;
		}
		ok = fwrite(all.data(), 1, keep, out) == keep;
	}
	if (in)
		fclose(in);
	if (out && fclose(out) != 0)
		ok = false;
	return ok;
}

}  // namespace

struct store_env {
	StoreEnv rep;
};

struct store_env *store_env_new(void) { return new store_env; }
void store_env_free(struct store_env *e) { delete e; }
void *store_env_leveldb(struct store_env *e) { return static_cast<leveldb::Env *>(&e->rep); }
uint64_t store_env_bytes(const struct store_env *e) { return e->rep.bytes.load(); }
uint64_t store_env_syncs(const struct store_env *e) { return e->rep.syncs.load(); }
void store_env_hold(struct store_env *e, bool hold) { e->rep.hold(hold); }
bool store_env_holds(struct store_env *e) { return e->rep.holds(); }
uint64_t store_env_failures(const struct store_env *e) { return e->rep.failures.load(); }

void store_env_count(struct store_env *e, const char *folder)
{
	std::vector<std::string> names;
	uint64_t total = 0;
	if (e->rep.GetChildren(folder, &names).ok())
		for (const auto &name : names) {
			struct stat st;
			if (stat((std::string(folder) + "/" + name).c_str(), &st) == 0 && S_ISREG(st.st_mode))
				total += static_cast<uint64_t>(st.st_size);
		}
	e->rep.bytes = total;
}

bool store_env_space(struct store_env *e, const char *path, uint64_t *free_bytes, uint64_t *size)
{
	struct statvfs v;
	uint64_t quota = e->rep.quota.load(), used = e->rep.bytes.load();
	if (quota) {
		*size = quota;
		*free_bytes = quota > used ? quota - used : 0;
		return true;
	}
	if (statvfs(path, &v) < 0)
		return false;
	*free_bytes = static_cast<uint64_t>(v.f_bavail) * v.f_frsize;
	*size = static_cast<uint64_t>(v.f_blocks) * v.f_frsize;
	return true;
}

void store_env_fail(struct store_env *e, enum env_op op, uint64_t n, uint64_t times, int error)
{
	std::lock_guard<std::recursive_mutex> lock(e->rep.mutex);
	uint64_t from = e->rep.done[op].load() + n;
	e->rep.faults[op].from = from;
	e->rep.faults[op].until = times ? from + times : UINT64_MAX;
	e->rep.faults[op].error = error;
	e->rep.faulty.store(true, std::memory_order_release);
}

void store_env_heal(struct store_env *e)
{
	std::lock_guard<std::recursive_mutex> lock(e->rep.mutex);
	for (auto &f : e->rep.faults)
		f.error = 0;
	e->rep.faulty = false;
	e->rep.quota = 0;
}

uint64_t store_env_done(const struct store_env *e, enum env_op op) { return e->rep.done[op].load(); }
void store_env_quota(struct store_env *e, uint64_t bytes) { e->rep.quota = bytes; }
void store_env_track(struct store_env *e) { e->rep.tracking = true; }

bool store_env_power_cut(struct store_env *e, const char *folder, const char *to, uint64_t seed)
{
	std::lock_guard<std::recursive_mutex> lock(e->rep.mutex);
	if (mkdir(to, 0700) < 0)
		return false;
	std::string prefix = std::string(folder) + "/";
	for (const auto &f : e->rep.files) {
		if (!f.second.name_safe || f.first.compare(0, prefix.size(), prefix) != 0)
			continue;
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		if (!copy_durable(f.first, std::string(to) + "/" + f.first.substr(prefix.size()), f.second, seed >> 33))
			return false;
	}
	return true;
}
