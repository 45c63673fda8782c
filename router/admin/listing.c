/* listing.c - see listing.h. */
#include "admin/listing.h"

#include <stdlib.h>
#include <string.h>

#include "admin/letters.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "message/message.h"
#include "plan/plan.h"
#include "store/store.h"

struct row {
	uint32_t number;
	char *name;
	size_t stream_len;           /* of the stream, with which the name begins */
	struct buffer_counts counts;
};

struct listing {
	struct row *rows;
	unsigned n, cap;
	struct map states;           /* stream -> struct states * */
};

struct states { uint64_t n; char stream[]; };

static bool note_buffer(void *arg, uint32_t number, const char *name, const struct buffer_counts *n)
{
	struct listing *l = arg;
	const char *end = strstr(name, " > ");

	if (l->n == l->cap)
		l->rows = xrealloc(l->rows, (l->cap = l->cap ? 2 * l->cap : 16) * sizeof *l->rows);
	l->rows[l->n++] = (struct row){ number, xstrdup(name), end ? (size_t)(end - name) : strlen(name), *n };
	return true;
}

static void note_states(void *arg, const char *stream, uint64_t states)
{
	struct listing *l = arg;
	size_t len = strlen(stream);
	struct states *st = xmalloc(sizeof *st + len + 1);

	st->n = states;
	memcpy(st->stream, stream, len + 1);
	free(map_put(&l->states, st->stream, len, st));
}

static int by_number(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

struct listing *listing_read(struct store *s)
{
	struct listing *l = xcalloc(1, sizeof *l);

	map_init(&l->states);
	store_each_states(s, note_states, l);
	store_each_name(s, NAME_BUFFER, note_buffer, l);
	if (l->n)
		qsort(l->rows, l->n, sizeof *l->rows, by_number);
	return l;
}

void listing_free(struct listing *l)
{
	size_t i = 0;

	for (struct map_slot *slot; (slot = map_next(&l->states, &i));)
		free(slot->value);
	map_fini(&l->states);
	for (unsigned k = 0; k < l->n; k++)
		free(l->rows[k].name);
	free(l->rows);
	free(l);
}

/* ---- which are told */

static const struct stream *stream_of(const struct plan *p, uint32_t buffer)
{
	for (unsigned i = 0; p && i < p->nstreams; i++)
		if (p->streams[i].buffer == buffer)
			return &p->streams[i];
	return NULL;
}

static bool holds(const struct row *r)
{
	return r->counts.buffered || r->counts.dead_kept;
}

/* Is the stream that has it one that the plan knows, with this buffer or another? */
static bool lives(const struct row *r, const struct plan *p)
{
	for (unsigned i = 0; p && i < p->nstreams; i++)
		if (strlen(p->streams[i].name) == r->stream_len && memcmp(p->streams[i].name, r->name, r->stream_len) == 0)
			return true;
	return false;
}

/* Of the buffers that a stream left, the one that stands for the states where none holds anything: the last. */
static bool stands_for_states(const struct listing *l, const struct row *r)
{
	for (unsigned i = 0; i < l->n; i++) {
		const struct row *other = &l->rows[i];

		if (other != r && other->stream_len == r->stream_len && memcmp(other->name, r->name, r->stream_len) == 0 && (holds(other) || other > r))
			return false;
	}
	return true;
}

static void line(struct buf *out, const struct row *r, const struct stream *s, uint64_t states)
{
	const struct buffer_counts *n = &r->counts;

	buf_adds(out, "{\"name\":");
	buf_addjson(out, r->name, strlen(r->name));
	if (s) {
		buf_adds(out, ",\"stream\":");
		buf_addjson(out, s->name, strlen(s->name));
		buf_addf(out, ",\"sent\":%s", s->enabled ? "true" : "false");
	}
	buf_addf(out, ",\"messages\":%llu,\"bytes\":%llu,\"letters\":%llu", (unsigned long long)n->buffered, (unsigned long long)n->bytes,
		(unsigned long long)n->dead_kept);
	if (states)
		buf_addf(out, ",\"states\":%llu", (unsigned long long)states);
	buf_adds(out, ",\"oldest_age\":");
	time_us_write(out, n->oldest_age_us);
	buf_adds(out, "}\n");
}

void listing_write(const struct listing *l, const struct plan *plan, struct buf *out)
{
	for (unsigned i = 0; i < l->n; i++) {
		const struct row *r = &l->rows[i];
		const struct stream *s = stream_of(plan, r->number);
		const struct states *kept = s || !lives(r, plan) ? map_get(&l->states, r->name, r->stream_len) : NULL;

		if (s || holds(r) || (kept && stands_for_states(l, r)))
			line(out, r, s, kept ? kept->n : 0);
	}
}
