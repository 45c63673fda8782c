/* types.c - every channel type, every native destination type. */
#include "types.h"

#include <string.h>

#include "plan/plan.h"

const struct channel_ops *const types_channels[] = {
	&channel_http,
	&channel_mqtt,
	&channel_tcp,
	&channel_file,
	NULL,
};

int types_check_channel(const struct channel *c, const struct channel *beside, char *why, size_t whylen)
{
	for (const struct channel_ops *const *t = types_channels; *t; t++)
		if (strcmp((*t)->type, c->type) == 0)
			return (*t)->check ? (*t)->check(c, beside, why, whylen) : 0;
	return 0;
}

void types_whereabouts(const struct channel *c, struct whereabouts *d)
{
	for (const struct channel_ops *const *t = types_channels; *t; t++)
		if (strcmp((*t)->type, c->type) == 0 && (*t)->whereabouts)
			(*t)->whereabouts(c, d);
}

static const struct sender_ops *const senders[] = {
	[TRANSPORT_HTTP] = &sender_http,
	[TRANSPORT_TCP] = &sender_tcp,
	[TRANSPORT_FILE] = &sender_file,
	[TRANSPORT_MQTT] = &sender_mqtt,
	[TRANSPORT_NULL] = &sender_null,
};

const struct sender_ops *types_sender(int transport)
{
	if (transport < 0 || (unsigned)transport >= sizeof senders / sizeof senders[0])
		return NULL;
	return senders[transport];
}
