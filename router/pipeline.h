/* pipeline.h - a request's messages: indexed, routed, rendered, and handed to the store as one ticket. */
#ifndef SLUICE_PIPELINE_H
#define SLUICE_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

struct intake;
struct worker;

/* On the worker's loop. in->done is called exactly once: from inside for a body that is refused whole, else after the commit. */
void pipeline_submit(struct worker *w, const struct intake *in);
/* A dead letter of the channel, once more: a message, or (raw) bytes as they were received. What comes of it takes the letter's place; if nothing
 * can be taken this time either, the outcome is INTAKE_REFUSED and the letter stays as it is. */
void pipeline_again(struct worker *w, const struct intake *in, bool raw, uint64_t letter);
/* Frees the worker's pooled jobs. */
void pipeline_fini(struct worker *w);

#endif
