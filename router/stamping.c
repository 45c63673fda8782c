/* stamping.c - see stamping.h. The stamps' texts lie one behind the other in one buffer; what does not change within a request is written once. */
#include "stamping.h"

#include <string.h>

#include "base/buf.h"
#include "plan/plan.h"
#include "store/store.h"

#define IDENT_MAX 256

/* ---- stamps: what the router sets in every message ---------------------------------------------------------------------- */

static void stamp(struct stamping *s, unsigned number, size_t from, size_t to)
{
	s->stamps[number] = (struct stamp){ s->text->p + from, to - from, number < STAMP_OWN ? s->channel->keep[number] : s->channel->keep_fields };
}

void stamping_open(struct stamping *s, const struct plan *plan, const struct channel *channel, const char *peer, int64_t now_us,
                   struct buf *text, struct buf *ident)
{
	struct buf *b = text;
	size_t id, name, from, end;

	s->plan = plan;
	s->channel = channel;
	s->now_us = now_us;
	s->text = text;
	s->ident = ident;
	buf_clear(b);
	memset(s->stamps, 0, plan->stamps->n * sizeof s->stamps[0]);
	/* The texts share one buffer, which may move while it grows: point into it when all are there. */
	buf_reserve(b, 512 + strlen(channel->name) * 6);
	time_us_write(b, now_us);
	id = b->len;
	buf_addu64(b, channel->number);
	name = b->len;
	buf_addjson(b, channel->name, strlen(channel->name));
	from = b->len;
	buf_addjson(b, peer, strlen(peer));
	end = b->len;
	buf_reserve(b, 64);
	s->time_at = end;
	if (!channel->stamp)
		return;
	stamp(s, STAMP_SERVER_TIMESTAMP, 0, id);
	stamp(s, STAMP_CHANNEL_ID, id, name);
	stamp(s, STAMP_CHANNEL_NAME, name, from);
	stamp(s, STAMP_PEER, from, end);
}

static void device_stamps(struct stamping *s, const struct device *d)
{
	if (!s->channel->stamp || !d)
		return;
	for (unsigned i = 0; i < d->nstamps; i++) {
		unsigned k = d->stamp_numbers[i];

		s->stamps[k] = (struct stamp){ d->stamp_values[i], strlen(d->stamp_values[i]),
			k < STAMP_OWN ? s->channel->keep[k] : s->channel->keep_fields };
	}
}

static void device_stamps_undo(struct stamping *s, const struct device *d)
{
	if (!s->channel->stamp || !d)
		return;
	for (unsigned i = 0; i < d->nstamps; i++)
		s->stamps[d->stamp_numbers[i]].p = NULL;
}

/* ---- what a message says of itself ------------------------------------------------------------------------------------------ */

static const char *time_refused(const struct stamping *s, int64_t time_us)
{
	const struct channel *c = s->channel;

	if (c->time_past_us && time_us < s->now_us - c->time_past_us)
		return "timestamp further back than time.past";
	if (c->time_future_us && time_us > s->now_us + c->time_future_us)
		return "timestamp further ahead than time.future";
	return NULL;
}

const char *stamping_head(struct stamping *s, const struct message *m, struct message_head *head)
{
	const struct slice *found = message_find(m, s->channel->ident_field, strlen(s->channel->ident_field));
	const char *ident, *why;
	size_t n;

	if (m->len > s->plan->settings.limit_message)
		return "larger than limits.message";
	if (!found)
		return "no ident";
	buf_clear(s->ident);
	if (slice_view(m, found, s->ident, &ident, &n) < 0)
		return "ident is not a text";
	if (n == 0 || n > IDENT_MAX)
		return "ident is empty or longer than 256 bytes";
	if (memchr(ident, '\0', n))
		return "ident with a NUL in it";
	head->ident = ident;
	head->ident_len = (uint16_t)n;

	found = message_find(m, "timestamp", 9);
	s->stamps[STAMP_TIMESTAMP].p = NULL;
	if (!found)
		head->time_us = s->now_us;
	else if (slice_time_us(m, found, &head->time_us) < 0)
		return "bad timestamp";
	s->dated = found != NULL;
	if (found && (why = time_refused(s, head->time_us))) {
		if (!s->channel->time_now)
			return why;
		head->time_us = s->now_us;
		found = NULL;
	}
	if (!found || found->kind != SLICE_NUMBER) {
		s->text->len = s->time_at;
		time_us_write(s->text, head->time_us);
		stamp(s, STAMP_TIMESTAMP, s->time_at, s->text->len);
		s->stamps[STAMP_TIMESTAMP].keep = false;
	}
	return NULL;
}

void stamping_write(struct stamping *s, const struct device *device, const struct message *m, struct buf *out)
{
	device_stamps(s, device);
	message_stamp(out, m, s->plan->stamps, s->stamps);
	device_stamps_undo(s, device);
}
