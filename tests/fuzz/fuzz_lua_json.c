/* JSON through Lua and back: decode, encode, decode again, encode again. The two texts must be the same, well-formed, and a message that is
 * only looked at must keep its bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "message/message.h"
#include "transforms/convert.h"
#include "transforms/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input { const char *p; size_t n; struct buf once, twice, copied; const struct message *m; bool decoded; };

static int there_and_back(lua_State *L)
{
	struct input *in = lua_touserdata(L, 1);
	const char *why;

	if (json_push_text(L, in->p, in->n, &why) < 0)
		return 0;
	json_write(L, -1, &in->once);
	if (json_push_text(L, in->once.p, in->once.len, &why) < 0)
		abort();
	json_write(L, -1, &in->twice);
	in->decoded = true;
	if (!in->m)
		return 0;
	/* every field read and written to itself, then the message as it is */
	msg_push(L, in->m);
	int msg = lua_gettop(L);
	luaL_getmetafield(L, msg, "__pairs");
	lua_pushvalue(L, msg);
	lua_call(L, 1, 1);
	for (;;) {
		lua_pushvalue(L, -1);
		lua_call(L, 0, 2);
		if (lua_isnil(L, -2))
			break;
		lua_settable(L, msg);
	}
	msg_write(L, msg, &in->copied);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vm *vm;
	static struct index ix, again;
	struct vm_limits limits = vm_limits_of(1 << 20, 200000);
	struct message m, copy;
	const char *stop;
	struct buf why = BUF_INIT, padded = BUF_INIT;

	if (!vm) {
		vm = vm_new(&limits);
		index_init(&ix);
		index_init(&again);
	}
	buf_add(&padded, data, size);
	buf_reserve(&padded, MESSAGE_PAD);
	struct input in = { .p = padded.p, .n = size };
	enum json_fault fault = message_index(&ix, padded.p, padded.p + size, &m, &stop);
	in.m = fault == JSON_OK ? &m : NULL;
	if (vm_run(vm, there_and_back, &in, 1, &why) == 0 && in.decoded) {
		if (in.once.len != in.twice.len || memcmp(in.once.p, in.twice.p, in.once.len) != 0)
			abort();
		if (in.m) {
			buf_reserve(&in.copied, MESSAGE_PAD);
			if (message_index(&again, in.copied.p, in.copied.p + in.copied.len, &copy, &stop) != JSON_OK || copy.n != m.n)
				abort();
		}
	}
	msg_end(vm);
	buf_fini(&in.once);
	buf_fini(&in.twice);
	buf_fini(&in.copied);
	buf_fini(&why);
	buf_fini(&padded);
	return 0;
}
