/* hush.h - what the far end said, without the secrets it was told: before it is logged, shown or kept with a dead letter. */
#ifndef SLUICE_SENDERS_HUSH_H
#define SLUICE_SENDERS_HUSH_H

#include "base/buf.h"
#include "senders/sender.h"

struct hushed { struct judgement j; struct buf words; struct entry_verdict *each; };

/* j, or, where its words hold a secret of the destination, a copy without, which lives until hush_fini. n: entries of the batch. */
const struct judgement *hush(struct hushed *h, const struct destination *d, const struct judgement *j, unsigned n);
void hush_fini(struct hushed *h);

#endif
