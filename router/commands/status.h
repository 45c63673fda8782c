/* status.h - what a running instance says of itself. */
#ifndef SLUICE_COMMANDS_STATUS_H
#define SLUICE_COMMANDS_STATUS_H

struct command;

/* {"command":"status"}: answers with one object, told in sluice(8). */
void status_command(struct command *c);

#endif
