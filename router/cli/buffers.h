/* buffers.h - the inside of `sluice buffers`. */
#ifndef SLUICE_CLI_BUFFERS_H
#define SLUICE_CLI_BUFFERS_H

#include "cli/cli.h"
#include "cli/pages.h"

struct buffers {
	struct place_of_store place;
	char name[1024];           /* the buffer's whole name, once it was found */
	char stream[256];          /* the stream that has it now, or "" */
	uint32_t number;           /* of a store that lies still */
	uint64_t messages, bytes;
	uint64_t states;           /* of its stream */
	const char *to_stream;
	bool json, yes, as_it_is;
	uint64_t newest, oldest;
	struct buf answer;
};

/* A request about the buffer to a running instance; `more` begins with a comma. */
int buffers_command(struct buffers *b, const char *command, uint64_t from, const char *more);

/* buffers_verify.c: reads all of a store that lies still, and mends it */
int buffers_verify(const char *data, bool mend, bool json);

/* buffers_look.c */
int buffers_list(struct buffers *b);
int buffers_peek(struct buffers *b);
int buffers_export(struct buffers *b);
/* Finds the buffer that is meant: by its whole name, or by the stream's it begins with. Where there are several, the one that the stream sends, or with
 * `kept` the one that it does not. */
int buffers_find(struct buffers *b, const char *name, bool kept);

#endif
