/* owners.h - what a name on the command line means: a stream's buffer, a channel, or a buffer that no stream has. */
#ifndef SLUICE_OWNERS_H
#define SLUICE_OWNERS_H

#include <stddef.h>
#include <stdint.h>

struct plan;
struct stream;
struct store;
struct channel;

struct owner {
	uint32_t number;
	const struct stream *stream;     /* of the plan; NULL: another */
	const struct channel *channel;
};
/* 0, or -1 with words in why. */
int owner_find(struct store *s, const struct plan *p, const char *name, struct owner *out, char *why, size_t whylen);
/* The stream of the plan whose buffer this is, or NULL. */
const struct stream *owner_stream(const struct plan *p, uint32_t buffer);

#endif
