/* http_parts.h - the inside of the HTTP channel type: http.c (which channels they are; channels/listening.h does the rest of the main loop's half), http_gate.c (connections and
 * requests, on the workers' loops), http_door.c (which channel a request is for, and whether it may come in). */
#ifndef SLUICE_CHANNELS_HTTP_PARTS_H
#define SLUICE_CHANNELS_HTTP_PARTS_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/network.h"
#include "base/seldom.h"
#include "channels/channel.h"
#include "channels/listening.h"
#include "net/http_server.h"

struct options;

/* ---- http_door.c ---- */

enum door_auth { AUTH_NONE, AUTH_BEARER, AUTH_BASIC, AUTH_QUERY, AUTH_HEADER };
enum { METHOD_GET = 1, METHOD_POST = 2, METHOD_PUT = 4 };

/* One channel as seen from a listening address. Texts are the plan's but for `type`, which is the door's own. */
struct door {
	const struct channel *channel;
	const char *path;
	size_t path_len;
	unsigned methods;
	enum door_auth auth;
	const char *key, *secret;    /* name of the parameter or header, or the user; what must be shown */
	bool hidden;                 /* the secret is the ••• of a printed plan: nobody is admitted */
	bool fixed;                  /* a fixed answer */
	int status;
	const char *body;
	char *type;                  /* "Content-Type: …\r\n" */
	struct network *proxies;     /* behind-proxy: whose word about peers is believed */
	unsigned nproxies;
	bool forwarded;              /* … in X-Forwarded-For; else at the beginning of the connection */
	struct seldom unauthorized, nameless;  /* told */
};
struct doors { struct door *at; unsigned n; };

/* Does this channel take HTTP requests, and where? key names the address, the same however it was written. 0, or -1 and why. */
#define HTTP_KEY_MAX LISTENING_KEY_MAX
bool http_channel_is(const struct channel *c);
int http_channel_key(const struct channel *c, struct addr *a, char key[HTTP_KEY_MAX], char *why, size_t whylen);

void doors_fill(struct doors *d, const struct plan *p, const char *key);
void doors_fini(struct doors *d);
/* The channel a request is for, or NULL and the status that says why not (404, 405). */
struct door *doors_find(const struct doors *d, const struct http_request *r, struct buf *scratch, int *status);
bool door_admits(const struct door *d, const struct http_request *r, struct buf *scratch);
unsigned http_channel_methods(const struct channel *c);
/* Who asks, by what this request says where that is believed; `socket` is the connection's own peer. room: at least NETWORK_TEXT_MAX. */
const char *door_peer(const struct door *d, const struct http_request *r, const char *socket, char *room);
/* The query of a request without a body as a message, where it names an ident: a JSON object, appended: 1. 0: it is none; -1: nobody can
 * say, so badly is it written. */
int door_query(const struct door *d, const struct http_request *r, struct buf *out, struct buf *scratch);
/* "GET, HEAD, POST": what a path takes. */
void doors_allow(const struct doors *d, const struct http_request *r, struct buf *scratch, struct buf *out);

/* ---- http_gate.c ---- */

struct gate;

/* What the type has on one worker; lives in intake_loop.http. All but part_free is called on that worker's loop. */
struct part {
	struct intake_loop *loop;
	const struct channel_host *host;
	struct net_quota *connections, *memory;
	struct http_loop *http;
	struct gate *gates;          /* one for each listening address that has or had connections here */
	struct asked *idle, *all;    /* requests under way, and their structs that are free */
	struct buf text, scratch, query;
	struct http_answer refusal;  /* what on_head answered last */
	void (*emptied)(void *arg);  /* set by part_stop */
	void *emptied_arg;
};

struct tls_server;
struct part *part_new(struct intake_loop *l, const struct channel_host *h, struct net_quota *connections, struct net_quota *memory);
void part_free(struct part *p);
/* A connection to this address; id tells the address's present listener from earlier ones. tls: the reference is taken over. */
void part_adopt(struct part *p, uint64_t id, const char *key, int fd, const char *peer, struct tls_server *tls);
/* Connections of that listener end after the requests under way. */
void part_drain(struct part *p, uint64_t id);
/* Limits of the plan now in force. */
void part_refresh(struct part *p);
/* All connections end; emptied is called when the last has, maybe at once. */
void part_stop(struct part *p, void (*emptied)(void *arg), void *arg);

#endif
