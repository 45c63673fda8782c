/* streams.h - pause, resume, purge: an operator's hand on one stream ("stream" of the request). */
#ifndef SLUICE_COMMANDS_STREAMS_H
#define SLUICE_COMMANDS_STREAMS_H

struct command;

/* Sending stops, appending goes on; until `resume`, over reloads, not over a restart. */
void command_pause(struct command *c);
/* Ends that, and whatever hold the destination's answers have brought about: it is tried now. */
void command_resume(struct command *c);
/* What waits now is settled as purged; batches under way are awaited first. Answers at once with how many were purged since the start
 * ("cleared") and whether it is still at it ("clearing"); with "look" it only tells. */
void command_purge(struct command *c);
/* The same, but what waits becomes dead letters. Refused where these would be more than are kept. */
void command_set_aside(struct command *c);

#endif
