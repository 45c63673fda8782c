/* types.c - every channel type, every native destination type. */
#include "types.h"

#include "plan/plan.h"

const struct channel_ops *const types_channels[] = {
	&channel_http,
	&channel_mqtt,
	&channel_tcp,
	&channel_file,
	NULL,
};

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
