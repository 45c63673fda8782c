/* budget.c - the three bounds of a call: steps, time, memory.
 *
 * Time is that of the clock on the wall, less what the machine took away: when more passes between two looks than a hundred
 * instructions can explain, the thread was perhaps not running at all, and from then on the call is measured by the thread's
 * CPU clock (slower to read, and exact). A busy machine so never makes a dead letter of a good message, and one long call of a C
 * function is not forgiven: what the thread has used since its CPU clock was last read, some calls before, says how long it was. */
#include "transforms/vm.h"

#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "transforms/batch.h"
#include "transforms/msg.h"
#include "transforms/script.h"

/* About what Lua does in a microsecond, so that steps, which are the same on every machine, and time say nearly the same. */
#define STEPS_PER_US 250
/* A script that turns one message into another needs a few copies of it: room for 16 of the largest. */
#define HEAP_MESSAGES 16
#define HEAP_LEAST ((size_t)16 << 20)
#define BLOCK_LEAST ((size_t)256 << 10)
/* Fresh memory costs about this many bytes a step. */
#define BYTES_PER_STEP 64
/* `<` on two texts of NULs takes about 10 ns for each of them, and a loop of it is three instructions: so the larger the texts alive, the
 * fewer instructions from look to look, and the last one is over within about the budget again. Lua says that a block is a text as it asks for
 * it and not as it gives it back: a byte behind a large one knows. */
static const struct { size_t size; int stride; } large[LARGE_KINDS] = { { 16 << 10, 20 }, { 64 << 10, 5 }, { 256 << 10, 1 } };
#define LOOK_BYTES ((size_t)64 << 10)
/* For the words that tell of the end, when the heap is full. */
#define HEAP_RESERVE ((size_t)256 << 10)
/* A look may cost at most this part of the time without being doubted. */
#define DOUBT 16
#define FRAMES_TOLD 8
#define TOLD_MAX 1000 /* bytes of what the script says of it */
/* The thread's CPU clock is read as often as this, for the day it is needed. */
#define CPU_READ_NS 5000000
/* Its reading is dear: in a call that is measured by it, it is asked when so much has passed on the wall. */
#define CPU_LOOK_NS 100000

static const char spent_mark; /* its address is the error that is raised */
static const char called;     /* … and of this one the registry's key for the function that was called last */

struct vm_limits vm_limits_of(uint64_t limit_message, int64_t limit_script_us)
{
	size_t block = limit_message < BLOCK_LEAST ? BLOCK_LEAST : (size_t)limit_message;
	size_t heap = block > SIZE_MAX / HEAP_MESSAGES ? SIZE_MAX : block * HEAP_MESSAGES;

	return (struct vm_limits){
		.block = block,
		.heap = heap < HEAP_LEAST ? HEAP_LEAST : heap,
		.time_us = limit_script_us,
		.steps = limit_script_us * STEPS_PER_US,
	};
}

static int64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void on_count(lua_State *L, lua_Debug *ar);

void vm_spend(struct vm *vm, enum spent what)
{
	if (vm->spent)
		return;
	vm->spent = what;
	/* From here on every instruction ends the call. lua_sethook may be called from anywhere, allocators included. */
	lua_sethook(vm->L, on_count, LUA_MASKCOUNT, 1);
}

static const char *const spent_words[] = {
	[SPENT_STEPS] = "too many instructions",
	[SPENT_TIME] = "too much time",
	[SPENT_MEMORY] = "too much memory",
};

static void read_cpu(struct vm *vm, int64_t now)
{
	pthread_t self = pthread_self();

	if (now - vm->cpu.at < CPU_READ_NS && pthread_equal(self, vm->cpu.thread))
		return;
	vm->cpu.ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	vm->cpu.at = now;
	vm->cpu.thread = self;
}

static void look(struct vm *vm)
{
	int64_t most = vm->limits.time_us * 1000 / DOUBT;
	int64_t wall = clock_ns(CLOCK_MONOTONIC);

	vm->unseen = 0;
	if (vm->by_cpu && wall - vm->wall_ns < CPU_LOOK_NS)
		return;
	int64_t now = vm->by_cpu ? clock_ns(CLOCK_THREAD_CPUTIME_ID) : wall;
	int64_t took = now - vm->seen_ns;
	vm->wall_ns = wall;
	if (took > most && !vm->by_cpu) {
		now = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		/* Before the gap the thread cannot have used more than passed. */
		int64_t used = now - vm->cpu.ns - (vm->seen_ns - vm->cpu.at);
		took = used > most ? used : most;
		vm->by_cpu = true;
	}
	vm->seen_ns = now;
	vm->time_ns -= took;
	if (vm->time_ns < 0)
		vm_spend(vm, SPENT_TIME);
}

RAISES static void raise_spent(lua_State *L)
{
	lua_pushlightuserdata(L, (void *)&spent_mark);
	lua_error(L);
}

RAISES void vm_call(lua_State *L, int nargs, int nresults)
{
	lua_pushvalue(L, -nargs - 1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &called);
	vm_of(L)->called = true;
	lua_call(L, nargs, nresults);
}

RAISES void vm_check(lua_State *L)
{
	if (vm_of(L)->spent)
		raise_spent(L);
}

RAISES void vm_charge(lua_State *L, int64_t steps)
{
	struct vm *vm = vm_of(L);

	if (!vm->spent) {
		vm->steps -= steps;
		if (vm->steps < 0)
			vm_spend(vm, SPENT_STEPS);
		look(vm);
	}
	if (vm->spent)
		raise_spent(L);
}

RAISES void vm_charge_bytes(lua_State *L, size_t n)
{
	struct vm *vm = vm_of(L);

	vm->steps -= (int64_t)(n / BYTES_PER_STEP);
	if ((vm->unseen += n) > LOOK_BYTES)
		vm_charge(L, 0);
}

RAISES void vm_hold(lua_State *L, size_t n)
{
	struct vm *vm = vm_of(L);

	vm->held += n;
	if (vm->held > vm->limits.heap) {
		vm_spend(vm, SPENT_MEMORY);
		raise_spent(L);
	}
	vm_charge_bytes(L, n);
}

RAISES static void on_count(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	vm_charge(L, vm_of(L)->stride);
}

static void count_large(struct vm *vm, const char *block, size_t size, unsigned by)
{
	if (size < large[0].size || !block[size])
		return;
	for (int i = LARGE_KINDS; i-- > 0;)
		if (size >= large[i].size) {
			vm->large[i] += by;
			return;
		}
}

static int stride_of(const struct vm *vm)
{
	for (int i = LARGE_KINDS; i-- > 0;)
		if (vm->large[i])
			return large[i].stride;
	return HOOK_STEPS;
}

static void set_stride(struct vm *vm, int stride)
{
	vm->stride = stride;
	lua_sethook(vm->L, on_count, LUA_MASKCOUNT, stride);
}

static void *vm_alloc(void *ud, void *p, size_t old, size_t size)
{
	struct vm *vm = ud;
	bool text = !p && old == LUA_TSTRING;

	if (!p)
		old = 0; /* it said what kind of object is wanted */
	if (size == 0) {
		vm->heap -= old;
		if (p)
			count_large(vm, p, old, -1u);
		free(p);
		return NULL;
	}
	if (size > old) {
		size_t more = size - old, reserve = vm->spent ? HEAP_RESERVE : 0;
		if (size > vm->limits.block) {
			if (vm->L)
				vm_spend(vm, SPENT_MEMORY); /* no collection will help */
			return NULL;
		}
		/* Lua collects and asks once more before it gives up. */
		if (vm->heap + more > vm->limits.heap + vm->kept + reserve)
			return NULL;
		vm->steps -= (int64_t)(more / BYTES_PER_STEP);
		if (vm->L && !vm->spent) {
			if ((vm->unseen += more) > LOOK_BYTES)
				look(vm);
			if (vm->steps < 0)
				vm_spend(vm, SPENT_STEPS);
		}
	}
	bool is_large = size >= large[0].size;
	char *q = realloc(p, size + is_large);
	if (!q) {
		if (size > old)
			return NULL;
		q = p; /* smaller it is all the same */
	}
	vm->heap += size - old;
	if (is_large) {
		q[size] = text; /* a text never changes its size */
		count_large(vm, q, size, 1);
		if (vm->L && !vm->spent && vm->stride > stride_of(vm))
			set_stride(vm, stride_of(vm));
	}
	return q;
}

static int panic(lua_State *L)
{
	/* Everything that may raise runs inside vm_run, so this is a bug in transforms/. */
	const char *s = lua_tostring(L, -1);
	fprintf(stderr, "sluice: unprotected Lua error: %s\n", s ? s : "?");
	return 0; /* Lua aborts */
}

static int open_state(lua_State *L)
{
	sandbox_open(L);
	msg_open(L);
	ctx_open(L);
	batch_open(L);
	return 0;
}

struct vm *vm_new(const struct vm_limits *limits)
{
	struct vm *vm = xcalloc(1, sizeof(*vm));
	struct buf why = BUF_INIT;

	vm->limits = *limits;
	vm->name = "lua";
	vm->last_conn = &vm->own_conns;
	vm->steps = INT64_MAX;
	index_init(&vm->index);
	vm->L = lua_newstate(vm_alloc, vm);
	if (!vm->L) {
		vm_free(vm);
		return NULL;
	}
	*(struct vm **)lua_getextraspace(vm->L) = vm;
	lua_atpanic(vm->L, panic);
	set_stride(vm, HOOK_STEPS);
	int failed = vm_run(vm, open_state, NULL, 1000, &why);
	buf_fini(&why);
	if (failed) {
		vm_free(vm);
		return NULL;
	}
	return vm;
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	if (vm->L)
		lua_close(vm->L);
	msg_close(vm);
	buf_fini(&vm->scratch);
	buf_fini(&vm->sorted);
	buf_fini(&vm->text);
	free(vm->entries);
	index_fini(&vm->index);
	free(vm);
}

/* ---- what is told of an error --------------------------------------------------------------------------------------- */

RAISES static void add_place(lua_State *L, luaL_Buffer *b, const lua_Debug *ar)
{
	lua_pushfstring(L, "\n  %s:%d: in %s", ar->short_src, ar->currentline,
		*ar->what == 'm' ? "the file itself" : ar->name ? ar->name : "a function");
	luaL_addvalue(b);
}

/* The error with the functions it came through. Called with the budget perhaps spent, and perhaps from inside the hook: so it calls
 * nothing of the script's. */
static int tell(lua_State *L)
{
	struct vm *vm = vm_of(L);
	lua_Debug ar;
	luaL_Buffer b;
	size_t len;
	int frames = 0;

	lua_settop(L, 1);
	if (lua_touserdata(L, 1) == &spent_mark) {
		const char *where = "";
		for (int level = 0; lua_getstack(L, level, &ar); level++) {
			lua_getinfo(L, "Sl", &ar);
			if (ar.currentline > 0) {
				where = lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
				break;
			}
		}
		lua_pushfstring(L, "%s%s", where, spent_words[vm->spent]);
	} else if (lua_type(L, 1) == LUA_TSTRING || lua_type(L, 1) == LUA_TNUMBER) {
		lua_pushvalue(L, 1);
		lua_tostring(L, -1);
	} else if (lua_type(L, 1) == LUA_TTABLE && !lua_getmetatable(L, 1) && lua_getfield(L, 1, "message") == LUA_TSTRING) {
		/* error{message=…}: what it says */
	} else {
		lua_pushfstring(L, "an error that is a %s", luaL_typename(L, 1));
	}
	lua_replace(L, 1);
	lua_settop(L, 1);
	luaL_buffinit(L, &b);
	const char *text = lua_tolstring(L, 1, &len);
	size_t cut = len > TOLD_MAX ? TOLD_MAX : len;
	while (cut < len && ((unsigned char)text[cut] & 0xC0) == 0x80)
		cut--;
	luaL_addlstring(&b, text, cut);
	if (cut < len)
		luaL_addstring(&b, "…");
	for (int level = 0; frames < FRAMES_TOLD && lua_getstack(L, level, &ar); level++) {
		lua_getinfo(L, "Snl", &ar);
		if (ar.currentline <= 0)
			continue;
		add_place(L, &b, &ar);
		frames++;
	}
	luaL_pushresult(&b);
	if (frames == 0 && vm->called && lua_rawgetp(L, LUA_REGISTRYINDEX, &called) == LUA_TFUNCTION) {
		lua_getinfo(L, ">S", &ar);
		lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.linedefined);
		lua_insert(L, 2);
		lua_settop(L, 3);
		lua_concat(L, 2);
	}
	return 1;
}

int vm_run(struct vm *vm, lua_CFunction fn, void *arg, unsigned patience, struct buf *why)
{
	lua_State *L = vm->L;

	int stride = stride_of(vm);

	if (vm->spent || vm->stride != stride)
		set_stride(vm, stride);
	vm->spent = SPENT_NOTHING;
	vm->steps = vm->limits.steps * patience;
	vm->time_ns = vm->limits.time_us * 1000 * patience;
	vm->called = vm->by_cpu = false;
	vm->unseen = 0;
	vm->held = 0;
	vm->seen_ns = clock_ns(CLOCK_MONOTONIC);
	read_cpu(vm, vm->seen_ns);
	lua_pushcfunction(L, tell);
	lua_pushcfunction(L, fn);
	lua_pushlightuserdata(L, arg);
	int status = lua_pcall(L, 1, 0, 1);
	if (status == LUA_OK && !vm->spent)
		look(vm);
	if (status == LUA_OK && !vm->spent) {
		lua_settop(L, 0);
		return 0;
	}
	if (status == LUA_ERRMEM)
		vm_spend(vm, SPENT_MEMORY);
	buf_clear(why);
	const char *s = status == LUA_OK ? NULL : lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
	buf_adds(why, status == LUA_ERRMEM ? "too much memory" : s ? s : vm->spent ? spent_words[vm->spent] : "an error without words");
	lua_settop(L, 0);
	/* What one call left behind is not for the next to clear away in its own time. Finalizers do not exist, so this runs no script. */
	if (vm->spent == SPENT_MEMORY) {
		lua_gc(L, LUA_GCCOLLECT);
		size_t hoard = vm->heap > vm->kept ? vm->heap - vm->kept : 0;
		if (hoard > vm->limits.heap / 2)
			buf_addf(why, "\n  %zu MB of %zu are held by what the file keeps in its variables", hoard >> 20, vm->limits.heap >> 20);
	}
	return -1;
}
