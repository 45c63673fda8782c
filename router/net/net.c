/* net.c - the parts of a loop's network, made and freed together. */
#include "net/net.h"

#include <stdlib.h>

#include "base/arena.h"
#include "net/http_client.h"

struct net *net_new(struct event_base *base)
{
	struct net *n = xcalloc(1, sizeof *n);
	n->base = base;
	n->http = http_client_new(base);
	return n;
}

void net_free(struct net *n)
{
	if (!n)
		return;
	http_client_free(n->http);
	free(n);
}
