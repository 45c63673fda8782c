/* owners.c - see owners.h. */
#include "commands/owners.h"

#include <stdio.h>
#include <string.h>

#include "plan/plan.h"
#include "spec/nearest.h"
#include "store/store.h"

const struct stream *owner_stream(const struct plan *p, uint32_t buffer)
{
	for (unsigned i = 0; i < p->nstreams; i++)
		if (p->streams[i].buffer == buffer)
			return &p->streams[i];
	return NULL;
}

#define LETTER_MORE 300   /* bytes of a letter beside its message, about */

bool owner_has_room(const struct buffer_counts *n, char *why, size_t whylen)
{
	/* A letter keeps the message as it came and as it was rendered. */
	uint64_t need = n->bytes * 2 + n->buffered * LETTER_MORE;

	if (n->dead_bytes + need <= n->dead_max)
		return true;
	snprintf(why, whylen, "%llu messages would make about %llu MiB of dead letters, and dead.max keeps %llu: the oldest would be lost. Make it larger first, "
		"and reload", (unsigned long long)n->buffered, (unsigned long long)(need >> 20), (unsigned long long)(n->dead_max >> 20));
	return false;
}

const char *owner_form(const char *buffer_name)
{
	const char *form = strstr(buffer_name, " > ");

	form = form ? strstr(form + 3, " > ") : NULL;
	return form ? form + 3 : "";
}

static void unknown(const struct plan *p, const char *name, char *why, size_t whylen)
{
	struct nearest near;

	nearest_begin(&near, name);
	for (unsigned i = 0; i < p->nstreams; i++)
		nearest_try(&near, p->streams[i].name);
	for (unsigned i = 0; i < p->nchannels; i++)
		nearest_try(&near, p->channels[i].name);
	if (nearest_found(&near))
		snprintf(why, whylen, "no stream, channel or buffer \"%s\"; did you mean \"%s\"?", name, nearest_found(&near));
	else
		snprintf(why, whylen, "no stream, channel or buffer \"%s\"", name);
}

int owner_find(struct store *s, const struct plan *p, const char *name, struct owner *out, char *why, size_t whylen)
{
	bool stream = strncmp(name, "stream/", 7) == 0, channel = strncmp(name, "channel/", 8) == 0;

	*out = (struct owner){ .number = 0 };
	out->stream = channel ? NULL : plan_stream(p, stream ? name + 7 : name);
	out->channel = stream ? NULL : plan_channel(p, channel ? name + 8 : name);
	if (out->stream && out->channel) {
		snprintf(why, whylen, "there is a stream and a channel \"%s\": say stream/%s or channel/%s", name, name, name);
		return -1;
	}
	out->number = out->stream ? out->stream->buffer : out->channel ? out->channel->number : store_find_name(s, NAME_BUFFER, name);
	if (!out->number) {
		unknown(p, name, why, whylen);
		return -1;
	}
	if (!out->stream && !out->channel)
		out->stream = owner_stream(p, out->number);
	return 0;
}
