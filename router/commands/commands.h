/* commands.h - what a running instance does at the word of its operator: the other end of the control socket.
 *
 * A request is one flat JSON object with "command"; an answer is lines, each a flat JSON object (`status` alone answers with nested ones).
 * Its last line says "ok":true, or "error" in words with "status", the exit status of sysexits.h that fits. Nothing here takes long: what goes over many
 * messages is asked for page by page, each answer saying where the next begins, so a client shows how far it is, and may go away at any time. */
#ifndef SLUICE_COMMANDS_COMMANDS_H
#define SLUICE_COMMANDS_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct control_request;
struct engine;

/* A request under way. It belongs to its command until that answers. */
#define COMMAND_ARGUMENTS_MAX 16
struct command {
	struct engine *engine;
	struct control_request *request;
	void *work;                    /* what is done for it on other threads; it belongs to whoever does it */
	struct command *next, **before; /* commands.c */
	unsigned n;
	struct { char *key, *value; } arguments[COMMAND_ARGUMENTS_MAX];
};
const char *command_text(const struct command *c, const char *key);       /* "" when it was not given */
uint64_t command_number(const struct command *c, const char *key);        /* 0 when it was not given */
bool command_flag(const struct command *c, const char *key);              /* given as true */

/* Each ends the command, which is freed; on the main loop. */
void command_answer(struct command *c, const char *lines, size_t n);
void command_fails(struct command *c, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void command_no_stream(struct command *c, const char *name);

/* Handler of the control socket; arg is the engine. */
void commands_handle(void *engine, const char *line, size_t n, struct control_request *r);

#endif
