/* pipeline.h - a request's messages: indexed, routed, rendered, and handed to the store as one ticket. */
#ifndef SLUICE_PIPELINE_H
#define SLUICE_PIPELINE_H

struct intake;
struct worker;

/* On the worker's loop. in->done is called exactly once: from inside for a body that is refused whole, else after the commit. */
void pipeline_submit(struct worker *w, const struct intake *in);
/* Frees the worker's pooled jobs. */
void pipeline_fini(struct worker *w);

#endif
