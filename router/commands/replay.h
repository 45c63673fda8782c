/* replay.h - what history kept, once more to one stream.
 *
 * The request: "stream"; the window of coming "from" .. "to" (microseconds, to is not in it; 0: all that is there by now), "ident", "position" and "entry" where a page begins (0: at the
 * window's start), "most", "dry". The answer counts "sent", "skipped", "unwanted" (today's plan does not give them to the stream) and "left"; "next" and
 * "next_entry" are where the next page begins, next 0 at the end, and never before where this one began; "why" is the first reason of those left,
 * "full" says that there is no room now. "to" is the window's end, for the pages that follow, and "begins" the place of the oldest message that history
 * holds: what came before is not there. A page is one ticket: all that it counts as sent is durable in the stream's buffer. */
#ifndef SLUICE_COMMANDS_REPLAY_H
#define SLUICE_COMMANDS_REPLAY_H

struct command;

void command_replay(struct command *c);

#endif
