/* proxy.h - what msg.c and msg_natives.c share; nobody else includes it. */
#ifndef SLUICE_TRANSFORMS_PROXY_H
#define SLUICE_TRANSFORMS_PROXY_H

#include <string.h>

#include "transforms/vm.h"

/* Beside SLICE_KEY_ESCAPED and SLICE_VALUE_ESCAPED in `escaped` of the proxy's own slices. */
#define FIELD_KEY_OVER 4    /* the key lies in the overlay */
#define FIELD_VALUE_OVER 8  /* the value does */
#define FIELD_DEAD 16       /* deleted */
#define FIELD_MARK 32       /* used within one native */
#define FIELD_GONE 64       /* deleted, and its name is another field's: found by no name */

struct proxy {
	struct proxy *next;
	uint32_t age;               /* handles of another age are dead */
	bool busy;
	bool changed;
	const char *bytes;          /* the message; borrowed until msg_end */
	size_t len;
	const struct slice *slices; /* the message's, or own */
	unsigned n;
	struct slice *own;
	unsigned cap;
	size_t longest;             /* rename: the longest name with a `*` */
	struct buf overlay;         /* each value in it is followed by a byte that cannot belong to a number */
};

/* The live proxy behind argument i. */
RAISES struct proxy *proxy_check(lua_State *L, int i);
/* Before any change. */
void proxy_own(struct proxy *p);
/* The field of a key, deleted ones included; -1. */
int proxy_find(struct vm *vm, struct proxy *p, const char *key, size_t len);
bool proxy_key_is_slowly(const struct proxy *p, const struct slice *s, const char *key, size_t len);
static inline bool proxy_key_is(const struct proxy *p, const struct slice *s, const char *key, size_t len)
{
	if (__builtin_expect(s->escaped & (SLICE_KEY_ESCAPED | FIELD_GONE), 0))
		return proxy_key_is_slowly(p, s, key, len);
	if (s->klen != len || len == 0)
		return s->klen == len;
	const char *have = (s->escaped & FIELD_KEY_OVER ? p->overlay.p : p->bytes) + s->key;
	/* Keys differ at their ends: position.latitude, position.longitude. */
	return have[len - 1] == key[len - 1] && memcmp(have, key, len) == 0;
}
/* The key without escapes: in the message, the overlay or the vm's scratch. */
void proxy_key_view(struct vm *vm, const struct proxy *p, const struct slice *s, const char **key, size_t *len);
/* Give field i this key. */
RAISES void proxy_set_key(lua_State *L, struct proxy *p, unsigned i, const char *key, size_t len);
RAISES struct proxy *proxy_push(lua_State *L);

extern const luaL_Reg msg_natives[];
#define MSG_NATIVES 4

#endif
