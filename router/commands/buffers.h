/* buffers.h - buffers of a running instance: which there are, what lies in them, and what becomes of those that no stream sends.
 *
 * "name" as in dead.h. An answer's last line says "next", the position where the next page begins, 0 at the end. */
#ifndef SLUICE_COMMANDS_BUFFERS_H
#define SLUICE_COMMANDS_BUFFERS_H

struct command;

void command_buffers_list(struct command *c);
/* What lies in one, from "from" on: a line for each entry. */
void command_buffers_peek(struct command *c);
/* Entries into the buffer of "to_stream", rendered anew or ("as_it_was") as they are, if its form is the same. From "from", and there from "entry"
 * on; the answer counts "sent", "skipped", "left". */
void command_buffers_move(struct command *c);
/* Entries become dead letters ("dead") or are given up: "settled" counts them. */
void command_buffers_settle(struct command *c);

#endif
