/* opinion.h - what a destination's adapter makes of an answer: the bridge from deliveries to the worker's Lua state. */
#ifndef SLUICE_OPINION_H
#define SLUICE_OPINION_H

#include <stdbool.h>

struct answer;
struct batch;
struct judgement;
struct opinions;
struct stream;
struct worker;

struct opinions *opinions_new(struct worker *w);
void opinions_free(struct opinions *o);   /* NULL is fine */

/* delivery_env.adapter_verdict, arg being a struct opinions. Texts put into *j are good until the next call. */
bool opinion_verdict(void *arg, const struct stream *s, struct batch *b, const struct answer *a, struct judgement *j);

#endif
