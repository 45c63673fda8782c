/* control.h - the control socket: how `sluice status`, `reload` and the others reach a running instance.
 *
 * A unix stream socket DATA/control.sock, mode 0600: whoever may open the store may command it. A client writes one flat JSON object on one
 * line ({"command":"status"}) and reads the answer, JSON too, until the end of the connection. Requests of more than 64 KiB are refused,
 * clients that say nothing for 10 s, or take nothing of an answer for as long, are let go. Answers are pages, not streams: what is long is asked
 * for piece by piece (commands.h), so nothing is held here for a client that is slow or gone. */
#ifndef SLUICE_ADMIN_CONTROL_H
#define SLUICE_ADMIN_CONTROL_H

#include <stddef.h>

struct control;
struct control_request;
struct event_base;

/* `handle` runs on the base's loop for each request (the line without its end, followed by MESSAGE_PAD bytes); it answers by control_answer,
 * at once or later, exactly once. NULL with the reason logged when the socket cannot be made. */
struct control *control_new(struct event_base *base, const char *path,
	void (*handle)(void *arg, const char *line, size_t n, struct control_request *r), void *arg);
/* Closes and removes the socket. Requests not answered yet are cut; control_answer for them does nothing afterwards… and must still be called. */
void control_free(struct control *c);
void control_answer(struct control_request *r, const char *json, size_t n);

#endif
