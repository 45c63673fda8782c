/* status.h - what a running instance says of itself, and the commands of its control socket. */
#ifndef SLUICE_STATUS_H
#define SLUICE_STATUS_H

#include <stddef.h>

struct control_request;
struct engine;

/* Handler of control.h: {"command":"status"} and {"command":"reload"}. */
void status_command(void *engine, const char *line, size_t n, struct control_request *r);

#endif
