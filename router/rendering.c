/* rendering.c - see rendering.h. */
#include "rendering.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "message/message.h"
#include "plan/plan.h"
#include "store/store.h"

#define ADDRESS_VALUE_MAX 1024
#define ADDRESS_MAX 3072         /* with the names below what the store takes beside an entry */
#define TOPIC_MAX 640            /* so many that they fit there whatever is in them */

/* The rows are JSON values; else the first that is none is told. */
static bool are_json(struct index *ix, const struct rows *rows, char *why, size_t whylen)
{
	for (unsigned i = 0; i < rows->n; i++) {
		const char *p = rows->bytes.p + (i ? rows->ends[i - 1] : 0), *end = rows->bytes.p + rows->ends[i], *stop;
		struct message m;
		enum json_fault fault = message_index(ix, p, end, &m, &stop);
		bool value = fault == JSON_OK || json_fault_is_alone(fault);

		while (value && stop < end && strchr(" \t\r\n", *stop) && *stop)
			stop++;
		if (value && stop == end)
			continue;
		snprintf(why, whylen, "row %u of what the script made is bytes that are not one JSON value, as this destination joins them: %s at byte %zu", i + 1,
			value ? "more text" : json_fault_text(fault), (size_t)(stop - p) + 1);
		return false;
	}
	return true;
}

enum render_result rendering_run(struct scripts *s, const struct rendering *r, const struct message *m, const struct call *c, struct index *ix,
                                 struct rows *out, char *why, size_t whylen)
{
	enum render_result result = scripts_render(s, r, m, c, out, why, whylen);

	if (result != RENDER_OK)
		return result;
	if (out->n > TICKET_ROWS_MAX) {
		snprintf(why, whylen, "a list of %u rows; %d is the most a message may become", out->n, TICKET_ROWS_MAX);
		return RENDER_FAILED;
	}
	for (unsigned i = 0; i < out->n; i++) {
		if (out->topic_ends[i] - (i ? out->topic_ends[i - 1] : 0) <= TOPIC_MAX)
			continue;
		snprintf(why, whylen, "a topic longer than %d bytes", TOPIC_MAX);
		return RENDER_FAILED;
	}
	return r->json && out->ready && !are_json(ix, out, why, whylen) ? RENDER_FAILED : RENDER_OK;
}

void rendering_address(struct buf *out, const struct rendering *r, const struct message *m)
{
	buf_clear(out);
	buf_addc(out, '{');
	for (unsigned i = 0; i < r->naddress; i++) {
		const struct slice *s = message_find(m, r->address[i], strlen(r->address[i]));

		/* A value that could not stand in a url anyway is left out, and missed by name when the message is sent. */
		if (!s || s->kind == SLICE_OBJECT || s->kind == SLICE_ARRAY || s->vlen > ADDRESS_VALUE_MAX || out->len + s->vlen > ADDRESS_MAX)
			continue;
		if (out->len > 1)
			buf_addc(out, ',');
		buf_addjson(out, r->address[i], strlen(r->address[i]));
		buf_addc(out, ':');
		buf_add(out, m->bytes + s->value, s->vlen);
	}
	buf_addc(out, '}');
}

void rendering_row_address(struct buf *out, const struct rendering *r, const struct message *m, const struct rows *rows, unsigned i)
{
	size_t from = i ? rows->topic_ends[i - 1] : 0;

	if (rows->topic_ends[i] == from) {
		rendering_address(out, r, m);
		return;
	}
	buf_clear(out);
	buf_adds(out, "{\"" ADDRESS_TOPIC "\":");
	buf_addjson(out, rows->topics.p + from, rows->topic_ends[i] - from);
	buf_addc(out, '}');
}
