/* opinion.h - what a destination's adapter has to say of requests, answers and credentials: the bridge from deliveries to the worker's Lua state. */
#ifndef SLUICE_OPINION_H
#define SLUICE_OPINION_H

#include <stdbool.h>
#include <stddef.h>

#include "senders/credentials.h"

struct answer;
struct batch;
struct buf;
struct judgement;
struct opinions;
struct stream;
struct tcp_reply;
struct worker;

struct opinions *opinions_new(struct worker *w);
void opinions_free(struct opinions *o);   /* NULL is fine */

/* delivery_env.adapter_verdict, arg being a struct opinions. Texts put into *j are good until the next call. */
bool opinion_verdict(void *arg, const struct stream *s, struct batch *b, const struct answer *a, struct judgement *j);

/* delivery_env.adapter_request and .credentials, in the same way. */
int opinion_request(void *arg, const struct stream *s, const struct batch *b, struct wording *out, char *why, size_t whylen);
credentials_fn opinion_credentials;

/* delivery_env.hello, .reply and .conn_end. */
int opinion_hello(void *arg, const struct stream *s, const char *ident, int *conn, struct buf *out, bool *wait, char *why, size_t whylen);
int opinion_reply(void *arg, const struct stream *s, const char *ident, int *conn, const char *bytes, size_t n, unsigned waiting, size_t *used,
                  struct tcp_reply *out, char *why, size_t whylen);
void opinion_conn_end(void *arg, int conn);

#endif
