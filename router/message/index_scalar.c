/* index_scalar.c - the pass, a byte at a time: for machines without SSE2, and the measure the others are held to. */
#include "message/message.h"

#define WALK(name) scalar_##name
#define WALK_TARGET
#define WALK_WHOLE

static inline const char *scalar_plain(const char *p, const char *end)
{
	while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}

static inline const char *scalar_digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

#include "message/walk.h"

enum json_fault message_index_scalar(struct index *ix, const char *p, const char *end, struct message *m, const char **stop)
{
	return scalar_index(ix, p, end, m, stop);
}
