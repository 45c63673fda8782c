/* sink_stream.h - forms of `sluice sink` over a connection: what sink_stream.c asks of them and gives them. */
#ifndef SLUICE_CLI_SINK_STREAM_H
#define SLUICE_CLI_SINK_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct sink;
struct sink_stream;

enum sink_fate { SINK_TAKEN, SINK_LATER, SINK_REFUSED, SINK_DROPPED };

/* A form, and a connection of it. */
struct sink_talk {
	const char *name;          /* as --as has it */
	/* What of n bytes is a whole message (or more than one): used, the answer into `said`, *close when there is to be none. 0: more is needed. */
	size_t (*read)(struct sink_talk *t, const char *p, size_t n, struct buf *said, bool *close);
	struct buf ident;          /* wialon-ips: who logged in */
	struct sink_stream *stream;
};

/* One message, as it came and as JSON (NULL: it is none; 64 readable bytes behind it): counted, printed, judged. */
enum sink_fate sink_take(struct sink_talk *t, const char *raw, size_t n, const char *json, size_t len, const char **why);

/* sink_forms.c: the form of that name, or NULL. */
const struct sink_talk *sink_form(const char *name);

#endif
