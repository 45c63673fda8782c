/* desk.h - a thread for what may wait for the disk: what an operator wants read from the store, off the loops that carry messages. */
#ifndef SLUICE_DESK_H
#define SLUICE_DESK_H

struct desk;
struct mailbox;

/* The thread starts with its first errand. */
struct desk *desk_new(struct mailbox *back);
/* Ends after the errand in hand; of what waits, `then` is not called. */
void desk_free(struct desk *d);
/* work(arg) on the desk's thread, in the order given; then(arg) on the loop of `back`. */
void desk_run(struct desk *d, void (*work)(void *arg), void (*then)(void *arg), void *arg);

#endif
