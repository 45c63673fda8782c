/* types.h - the two tables: every channel type and every native destination type. A new one is one line in types.c. */
#ifndef SLUICE_TYPES_H
#define SLUICE_TYPES_H

#include "channels/channel.h"
#include "senders/sender.h"

extern const struct channel_ops *const types_channels[];  /* ended by NULL */
/* struct loader's question: the type's check(). */
int types_check_channel(const struct channel *c, const struct channel *beside, char *why, size_t whylen);
struct whereabouts;
void types_whereabouts(const struct channel *c, struct whereabouts *d);
/* The driver of a transport (enum transport), or NULL when this build has none. */
const struct sender_ops *types_sender(int transport);

#endif
