/* dead.h - dead letters of a running instance: who has any, which, and what is to become of them.
 *
 * "name" of the request is a stream, a channel, stream/NAME or channel/NAME where both are called so, or a buffer's whole name. The letters are
 * chosen by "from" (where a page begins), "to", "since", "ident", "reason", "ids" and "most"; an answer's last line says "next", where the
 * next page begins, 0 at the end. */
#ifndef SLUICE_COMMANDS_DEAD_H
#define SLUICE_COMMANDS_DEAD_H

struct command;

void command_dead_owners(struct command *c);
void command_dead_look(struct command *c);    /* "letters" it has, and the "position" behind which later ones are */
void command_dead_list(struct command *c);    /* "whole": with the messages */
void command_dead_drop(struct command *c);
/* Rendered anew with the plan in force; "as_it_was": the same bytes; "to_stream": of a buffer that no stream has. The answer counts
 * "sent", "skipped", "dead" (again, without being sent) and "left"; "why" is the first reason, "full" says that there is no room now. */
void command_dead_retry(struct command *c);

#endif
