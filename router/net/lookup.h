/* lookup.h - a name's addresses, without blocking the loop that asks.
 *
 * The system's own resolver (files, DNS, whatever nsswitch.conf says) on a thread of its own for each question; an address that is written
 * as a number needs none. */
#ifndef SLUICE_NET_LOOKUP_H
#define SLUICE_NET_LOOKUP_H

struct addrinfo;
struct event_base;
struct lookup;

/* `done` is called once, on this loop, never from inside: with a list that is good until it returns, or NULL and why. */
struct lookup *lookup_new(struct event_base *base, const char *host, const char *port, void (*done)(void *arg, const struct addrinfo *list, const char *why),
                          void *arg);
/* No answer is wanted any more; only before it was given. */
void lookup_cancel(struct lookup *l);

#endif
