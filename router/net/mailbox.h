/* mailbox.h - run this on that loop: the one way threads talk to each other beside the store's ports.
 *
 * Functions posted to a mailbox run on its loop's thread, soon, in the order posted. Posting is a short lock and at most
 * one write to an eventfd for all that waits. */
#ifndef SLUICE_NET_MAILBOX_H
#define SLUICE_NET_MAILBOX_H

struct event_base;
struct mailbox;

struct mailbox *mailbox_new(struct event_base *base);
/* What was posted and did not run yet is dropped. Only when nobody posts any more. */
void mailbox_free(struct mailbox *m);
/* Any thread. */
void mailbox_post(struct mailbox *m, void (*fn)(void *arg), void *arg);

#endif
