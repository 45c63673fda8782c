/* net.h - what a worker's loop offers to everything that talks to the network from it.
 *
 * One per event loop, used on that loop's thread only. Channels and senders share it, so that connections, resolved
 * names and loaded certificates are shared too. */
#ifndef SLUICE_NET_NET_H
#define SLUICE_NET_NET_H

struct event_base;
struct http_client;

struct net {
	struct event_base *base;
	struct http_client *http;
};

/* Any number of loops, any thread; never NULL. The base must outlive it. */
struct net *net_new(struct event_base *base);
/* Every call must have ended or been cancelled, every peer been freed. n may be NULL. */
void net_free(struct net *n);

#endif
