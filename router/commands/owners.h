/* owners.h - what a name on the command line means: a stream's buffer, a channel, or a buffer that no stream has. */
#ifndef SLUICE_COMMANDS_OWNERS_H
#define SLUICE_COMMANDS_OWNERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plan;
struct stream;
struct store;
struct channel;
struct buffer_counts;

struct owner {
	uint32_t number;
	const struct stream *stream;     /* of the plan; NULL: another */
	const struct channel *channel;
};
/* 0, or -1 with words in why. */
int owner_find(struct store *s, const struct plan *p, const char *name, struct owner *out, char *why, size_t whylen);
/* May all that waits in a buffer become dead letters without others, or these, going for want of room (dead.max)? */
bool owner_has_room(const struct buffer_counts *n, char *why, size_t whylen);
/* What the bytes of a buffer of this name are ready for. */
const char *owner_form(const char *buffer_name);
/* The stream of the plan whose buffer this is, or NULL. */
const struct stream *owner_stream(const struct plan *p, uint32_t buffer);

#endif
