/* rendering.h - a message through a stream's rendering, and whether what came out is fit for the destination.
 *
 * The same for the router at work and for whoever only wants to know (explain, test). */
#ifndef SLUICE_RENDERING_H
#define SLUICE_RENDERING_H

#include <stdbool.h>
#include <stddef.h>

#include "transforms/host.h"

struct buf;
struct index;
struct message;
struct rendering;

/* As scripts_render, within what a message may become: not too many rows, and where they are joined as JSON (rendering.json), bytes that a
 * script made ready must be one JSON value each, since one that is none would spoil the body for all who share it. ix: room to look at them. */
enum render_result rendering_run(struct scripts *s, const struct rendering *r, const struct message *m, const struct call *c, struct index *ix,
                                 struct rows *out, char *why, size_t whylen);
/* What url, headers or topic will need of a (stamped) message at send time, by name: a later plan may ask in another order, or for less. */
void rendering_address(struct buf *out, const struct rendering *r, const struct message *m);
/* The same of row i, where the adapter's `topic` may have said one for it: that is all then, as ADDRESS_TOPIC (plan.h). */
void rendering_row_address(struct buf *out, const struct rendering *r, const struct message *m, const struct rows *rows, unsigned i);

#endif
