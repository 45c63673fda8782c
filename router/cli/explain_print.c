/* explain_print.c - a rehearsed message, for people and for programs. */
#include <stdio.h>
#include <string.h>

#include "cli/explain.h"
#include "message/message.h"
#include "plan/plan.h"

const char *explain_fate(enum rehearsed_fate fate)
{
	static const char *const words[] = {
		[FATE_NOT_SUBSCRIBED] = "not-subscribed", [FATE_NOT_ENABLED] = "not-enabled", [FATE_FILTERED] = "filtered", [FATE_SKIPPED] = "skipped",
		[FATE_FAILED] = "failed", [FATE_UNADDRESSED] = "unaddressed", [FATE_SENT] = "sent",
	};

	return words[fate];
}

/* ---- for people ------------------------------------------------------------------------------------------------------- */

static const char *colour_of(enum rehearsed_fate fate)
{
	return fate == FATE_SENT ? "\033[32m" : fate == FATE_FAILED || fate == FATE_UNADDRESSED ? "\033[31m" : "\033[33m";
}

static void painted(struct explainer *x, const char *colour, const char *text)
{
	buf_addf(&x->out, "%s%s%s", x->colour ? colour : "", text, x->colour ? "\033[0m" : "");
}

/* Text from outside, on one line and harmless to a terminal. */
static void plain(struct buf *out, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c < 0x20 || c == 0x7f)
			buf_addf(out, "\\x%02x", c);
		else
			buf_addc(out, (char)c);
	}
}

static void place(struct buf *out, struct place at)
{
	buf_addf(out, "%s:%u:%u", at.file, at.line, at.column);
}

/* Words that may have lines (a traceback), each behind the same margin. */
static void indented(struct buf *out, const char *margin, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		buf_adds(out, margin);
		plain(out, text, n);
		buf_addc(out, '\n');
		text += n + (text[n] == '\n');
	}
}

static void stream_text(struct explainer *x, const struct rehearsed_stream *s)
{
	struct buf *out = &x->out;
	char name[80];

	snprintf(name, sizeof name, "  %-16s ", s->stream->name);
	buf_adds(out, name);
	painted(x, colour_of(s->fate), explain_fate(s->fate));
	if (s->target) {
		buf_adds(out, "  subscribed at ");
		place(out, s->target->why);
	}
	if (s->fate == FATE_SENT && s->stream->paused)
		buf_adds(out, "  (paused: kept, not sent)");
	if (s->fate == FATE_FILTERED) {
		buf_adds(out, "\n      where (stream at ");
		place(out, s->stream->place);
		buf_adds(out, "): ");
		plain(out, s->why, strlen(s->why));
	}
	buf_addc(out, '\n');
	if (s->why && s->fate != FATE_FILTERED)
		indented(out, "      ", s->why);
	for (unsigned i = 0; i < s->nlines; i++) {
		const struct rehearsed_line *l = &s->lines[i];

		buf_addf(out, "      log: %s %s %s ", l->level, l->object, l->event);
		plain(out, l->pairs, strlen(l->pairs));
		buf_addc(out, '\n');
	}
	for (unsigned i = 0; x->verbose && i < s->nsteps; i++) {
		buf_addf(out, "      after %s", s->steps[i].name);
		if (s->steps[i].row || (i + 1 < s->nsteps && s->steps[i + 1].row))
			buf_addf(out, ", row %u", s->steps[i].row + 1);
		buf_adds(out, ": ");
		plain(out, s->steps[i].bytes, s->steps[i].len);
		buf_addc(out, '\n');
	}
	if (s->fate != FATE_SENT)
		return;
	buf_addf(out, "      to %s%s%s", s->stream->destination->name, s->url ? " " : "", s->url ? s->url : "");
	buf_addc(out, '\n');
	for (unsigned i = 0; i < s->nheaders; i++) {
		buf_adds(out, "      ");
		plain(out, s->headers[i], strlen(s->headers[i]));
		buf_addc(out, '\n');
	}
	for (unsigned i = 0; i < s->nrows; i++) {
		buf_adds(out, "      ");
		if (s->rows[i].topic)
			buf_addf(out, "[topic %s] ", s->rows[i].topic);
		plain(out, s->rows[i].bytes, s->rows[i].len);
		buf_addc(out, '\n');
	}
}

/* Streams that do not subscribe, in one line: there may be a thousand. */
static void others(struct explainer *x, const struct rehearsed *m, enum rehearsed_fate fate, const char *words)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->nstreams; i++)
		if (m->streams[i].fate == fate && (x->verbose || n < 5 || i + 1 == m->nstreams || fate == FATE_NOT_ENABLED)) {
			buf_addf(&x->out, "%s%s", n ? ", " : words, m->streams[i].stream->name);
			n++;
		} else if (m->streams[i].fate == fate) {
			n++;
		}
	if (!x->verbose && fate == FATE_NOT_SUBSCRIBED && n > 6)
		buf_addf(&x->out, " … (%u in all)", n);
	if (n)
		buf_addc(&x->out, '\n');
}

void explain_text(void *arg, const struct rehearsed *m)
{
	struct explainer *x = arg;
	struct buf *out = &x->out;
	char number[40];

	buf_clear(out);
	snprintf(number, sizeof number, "message %u", m->index + 1);
	painted(x, "\033[1m", number);
	buf_adds(out, ": ");
	if (m->refused) {
		x->refused++;
		painted(x, "\033[31m", "refused");
		buf_addf(out, ": %s\n  ", m->refused);
		plain(out, m->received, m->received_len < 300 ? m->received_len : 300);
		buf_adds(out, m->received_len < 300 ? "\n\n" : "…\n\n");
		fwrite(out->p, 1, out->len, stdout);
		return;
	}
	buf_adds(out, "ident ");
	plain(out, m->ident, m->ident_len);
	buf_adds(out, ", timestamp ");
	time_us_write(out, m->time_us);
	if (m->device) {
		buf_adds(out, ", device ");
		if (m->device->name)
			buf_addf(out, "\"%s\" ", m->device->name);
		buf_addf(out, "%sdeclared at ", m->device->wildcard ? "by a wildcard " : "");
		place(out, m->device->place);
		buf_addc(out, '\n');
	} else {
		buf_adds(out, ", not a declared device\n");
	}
	if (m->repeats) {
		buf_adds(out, "  ");
		painted(x, "\033[33m", "repeat");
		buf_addf(out, "  of message %u; `dedupe` of channel %s at ", m->repeats, m->channel->name);
		place(out, options_place(m->channel->options, "dedupe"));
		buf_adds(out, ": taken once, so its source is told \"taken\" and it goes nowhere\n\n");
		fwrite(out->p, 1, out->len, stdout);
		return;
	}
	if (x->verbose) {
		buf_adds(out, "  as taken: ");
		plain(out, m->stamped, m->stamped_len);
		buf_addc(out, '\n');
	}
	for (unsigned i = 0; i < m->nstreams; i++)
		if (m->streams[i].target)
			stream_text(x, &m->streams[i]);
	if (!m->wanted)
		buf_adds(out, "  it goes nowhere: taken, and counted as unrouted\n");
	others(x, m, FATE_NOT_SUBSCRIBED, "  not subscribed to its channel, device or groups: ");
	others(x, m, FATE_NOT_ENABLED, "  not enabled: ");
	buf_addc(out, '\n');
	fwrite(out->p, 1, out->len, stdout);
}

/* ---- for programs ------------------------------------------------------------------------------------------------------ */

static void key(struct buf *out, const char *name)
{
	buf_addf(out, "%s\"%s\":", out->len && out->p[out->len - 1] != '{' ? "," : "", name);
}

static void text(struct buf *out, const char *name, const char *value)
{
	key(out, name);
	buf_addjson(out, value, strlen(value));
}

static void place_json(struct buf *out, const char *name, struct place at)
{
	key(out, name);
	buf_adds(out, "{");
	text(out, "file", at.file);
	buf_addf(out, ",\"line\":%u,\"column\":%u}", at.line, at.column);
}

/* Bytes as a text where they are one; else base64 would hide what people look for, so each odd byte is escaped. */
static void bytes(struct buf *out, const char *p, size_t n)
{
	struct buf safe = BUF_INIT;

	if (utf8_valid(p, n, NULL)) {
		buf_addjson(out, p, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < 0x80)
			buf_addc(&safe, p[i]);
		else
			buf_addf(&safe, "\\x%02x", (unsigned char)p[i]);
	buf_addjson(out, safe.p ? safe.p : "", safe.len);
	buf_fini(&safe);
}

static void stream_json(struct buf *out, const struct rehearsed_stream *s)
{
	buf_addc(out, '{');
	text(out, "stream", s->stream->name);
	text(out, "result", explain_fate(s->fate));
	if (s->target)
		place_json(out, "subscription", s->target->why);
	if (s->why)
		text(out, "why", s->why);
	if (s->fate == FATE_SENT) {
		text(out, "destination", s->stream->destination->name);
		if (s->url)
			text(out, "url", s->url);
		if (s->nheaders) {
			key(out, "headers");
			for (unsigned i = 0; i < s->nheaders; i++) {
				buf_addc(out, i ? ',' : '[');
				buf_addjson(out, s->headers[i], strlen(s->headers[i]));
			}
			buf_addc(out, ']');
		}
		key(out, "paused");
		buf_adds(out, s->stream->paused ? "true" : "false");
		key(out, "rows");
		buf_addc(out, '[');
		for (unsigned i = 0; i < s->nrows; i++) {
			buf_adds(out, i ? ",{" : "{");
			text(out, "id", s->rows[i].id);
			if (s->rows[i].topic)
				text(out, "topic", s->rows[i].topic);
			key(out, "bytes");
			bytes(out, s->rows[i].bytes, s->rows[i].len);
			buf_addc(out, '}');
		}
		buf_addc(out, ']');
	}
	for (unsigned i = 0; i < s->nlines; i++) {
		if (i == 0)
			key(out, "log");
		buf_adds(out, i ? ",{" : "[{");
		text(out, "level", s->lines[i].level);
		text(out, "object", s->lines[i].object);
		text(out, "event", s->lines[i].event);
		text(out, "pairs", s->lines[i].pairs);
		buf_adds(out, i + 1 == s->nlines ? "}]" : "}");
	}
	if (s->nsteps) {
		key(out, "steps");
		buf_addc(out, '[');
		for (unsigned i = 0; i < s->nsteps; i++) {
			buf_adds(out, i ? ",{" : "{");
			text(out, "step", s->steps[i].name);
			key(out, "row");
			buf_addf(out, "%u", s->steps[i].row + 1);
			key(out, "bytes");
			bytes(out, s->steps[i].bytes, s->steps[i].len);
			buf_addc(out, '}');
		}
		buf_addc(out, ']');
	}
	buf_addc(out, '}');
}

void explain_json(void *arg, const struct rehearsed *m)
{
	struct explainer *x = arg;
	struct buf *out = &x->out;

	buf_clear(out);
	buf_addf(out, "{\"message\":%u", m->index + 1);
	if (m->refused) {
		x->refused++;
		text(out, "refused", m->refused);
	} else {
		key(out, "ident");
		buf_addjson(out, m->ident, m->ident_len);
		if (m->id)
			text(out, "id", m->id);
		key(out, "timestamp");
		time_us_write(out, m->time_us);
		if (m->device)
			place_json(out, "device", m->device->place);
		if (m->repeats) {
			key(out, "repeats");
			buf_addf(out, "%u", m->repeats);
			place_json(out, "dedupe", options_place(m->channel->options, "dedupe"));
		}
		key(out, "unrouted");
		buf_adds(out, m->wanted || m->repeats ? "false" : "true");
		key(out, "taken");
		if (m->stamped)
			bytes(out, m->stamped, m->stamped_len);
		else
			buf_adds(out, "null");
		key(out, "streams");
		buf_addc(out, '[');
		for (unsigned i = 0; i < m->nstreams; i++) {
			if (i)
				buf_addc(out, ',');
			stream_json(out, &m->streams[i]);
		}
		buf_addc(out, ']');
	}
	buf_adds(out, "}\n");
	fwrite(out->p, 1, out->len, stdout);
}
