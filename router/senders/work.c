/* work.c - a cut batch: its entries, its joined body, its url and headers.
 *
 * Entries that lie beside each other in a chunk already have the separator between them (store.h), so a run of them is one copy; only
 * where a destination joins otherwise are they copied one by one. Buffers belong to the work and works are used again, so that in steady
 * flow nothing is allocated, neither per message nor per batch. */
#include "senders/delivery_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/arena.h"
#include "base/topic.h"

/* ---- life ------------------------------------------------------------------------------------------------------------------ */

struct work *work_new(struct delivery *d, struct lane *l)
{
	struct work *w = d->spare;
	if (w)
		d->spare = w->next;
	else
		w = xcalloc(1, sizeof *w);
	w->d = d;
	w->lane = l;
	w->next = NULL;
	w->address = NULL;
	w->n = w->ntodo = w->attempts = 0;
	w->bytes = 0;
	w->flying = w->probe = w->side = false;
	w->accepts = d->accepts;
	w->epoch = d->epoch;
	w->not_before = w->sent = 0;
	buf_clear(&w->head);
	buf_clear(&w->topics);
	return w;
}

void work_add(struct work *w, const struct item *it, const struct entry *e)
{
	if (w->n == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 64;
		w->items = xrealloc(w->items, w->cap * sizeof *w->items);
		w->entries = xrealloc(w->entries, w->cap * sizeof *w->entries);
	}
	w->items[w->n] = *it;
	w->entries[w->n++] = *e;
	w->bytes += e->len + 1;
	w->todo[0] = (struct range){ 0, w->n };
	w->ntodo = 1;
}

void work_free(struct work *w)
{
	struct delivery *d = w->d;
	for (unsigned i = 0; i < w->n; i++)
		window_unref(d, w->items[i].slot);
	w->n = 0;
	w->next = d->spare;
	d->spare = w;
}

void work_dissolve(struct work *w)
{
	/* Only what is still to do: the others are settled, or suspects, which are elsewhere. */
	for (unsigned r = 0; r < w->ntodo; r++)
		for (unsigned i = w->todo[r].from; i < w->todo[r].to; i++) {
			w->items[i].slot->refs++;
			window_leave(w->d, &w->items[i]);
		}
	work_free(w);
}

void work_filter(struct work *w)
{
	unsigned kept = 0, gone_from[RANGES_MAX] = { 0 }, gone_to[RANGES_MAX] = { 0 };
	for (unsigned i = 0; i < w->n; i++) {
		if (bit_is(w->items[i].slot->open, w->items[i].i)) {
			w->items[kept] = w->items[i];
			w->entries[kept++] = w->entries[i];
			continue;
		}
		window_unref(w->d, w->items[i].slot);
		for (unsigned r = 0; r < w->ntodo; r++) {
			gone_from[r] += i < w->todo[r].from;
			gone_to[r] += i < w->todo[r].to;
		}
	}
	w->n = kept;
	unsigned left = 0;
	for (unsigned r = 0; r < w->ntodo; r++) {
		struct range to = { w->todo[r].from - gone_from[r], w->todo[r].to - gone_to[r] };
		if (to.from < to.to)
			w->todo[left++] = to;
	}
	w->ntodo = left;
	w->epoch = w->d->epoch;
}

/* ---- url and headers of a message ---------------------------------------------------------------------------------------------- */

bool work_is_personal(const struct destination *d)
{
	return d->per_device && d->transport == TRANSPORT_TCP;
}

/* What an address is made of. What was rendered need not be the message any more: the values were put beside it, by name. */
static struct message address_values(struct delivery *d, const struct slot *sl, const struct entry *e)
{
	bool rendered = chunk_rendering(sl->span.chunk) != 0;
	const char *p = rendered ? e->address : e->bytes, *stop;
	size_t len = rendered ? e->address_len : e->len;
	struct message m = { 0 };
	buf_clear(&d->padded);
	buf_reserve(&d->padded, len + MESSAGE_PAD);
	buf_add(&d->padded, p, len);
	memset(d->padded.p + d->padded.len, 0, MESSAGE_PAD);
	if (message_index(&d->index, d->padded.p, d->padded.p + d->padded.len, &m, &stop) != JSON_OK)
		m = (struct message){ 0 };
	buf_clear(&d->scratch);
	return m;
}

int work_topic(struct delivery *d, const struct slot *sl, const struct entry *e, size_t *len, const char **missing, const char **why)
{
	const struct destination *to = d->s->destination;
	struct message m = address_values(d, sl, e);
	const struct slice *own = to->own_topics ? message_find(&m, ADDRESS_TOPIC, strlen(ADDRESS_TOPIC)) : NULL;
	*missing = NULL;
	*why = NULL;
	if (own && own->kind == SLICE_STRING)
		slice_text(&m, own, &d->scratch);
	else if (!to->topic.source)
		*why = "neither its adapter nor its settings have a topic for the message";
	else if (template_write(&to->topic, &m, true, &d->scratch, missing))
		return -1;
	if (!*why && (d->scratch.len == 0 || d->scratch.len > TOPIC_MAX))
		*why = d->scratch.len ? "the topic would be longer than MQTT allows" : "the topic would be empty";
	*len = d->scratch.len;
	buf_addc(&d->scratch, '\0');
	return *why ? -1 : 0;
}

int work_expand(struct delivery *d, const struct slot *sl, const struct entry *e, size_t *urllen, const char **missing)
{
	const struct destination *to = d->s->destination;
	struct message m = address_values(d, sl, e);
	for (unsigned i = 0; i <= to->nheaders; i++) {
		const struct template *t = i ? &to->header_values[i - 1] : &to->url;
		if (i && !t->nparams)
			continue;
		if (!t->nparams)
			buf_adds(&d->scratch, t->literals[0]);
		else if (template_write(t, &m, true, &d->scratch, missing))
			return -1;
		if (!i && work_is_personal(to)) {
			buf_addc(&d->scratch, '\0');
			buf_add(&d->scratch, e->ident, e->ident_len);
		}
		if (!i)
			*urllen = d->scratch.len;
		buf_addc(&d->scratch, '\0');
	}
	return 0;
}

/* ---- the batch ------------------------------------------------------------------------------------------------------------------ */

static void join(struct work *w, struct range r)
{
	const struct destination *to = w->d->s->destination;
	const char *open = to->body_open ? to->body_open : "[";
	const char *separator = to->body_separator ? to->body_separator : ",";
	const char *close = to->body_close ? to->body_close : "]";
	size_t slen = strlen(separator);
	bool runs = slen == 1 && separator[0] == ',';
	buf_clear(&w->body);
	buf_reserve(&w->body, w->bytes + strlen(open) + strlen(close) + slen * (r.to - r.from));
	buf_adds(&w->body, open);
	for (unsigned i = r.from; i < r.to;) {
		const char *start = w->entries[i].bytes, *end = start + w->entries[i].len;
		for (i++; runs && i < r.to && w->entries[i].bytes == end + 1 && w->items[i].slot == w->items[i - 1].slot; i++)
			end = w->entries[i].bytes + w->entries[i].len;
		buf_add(&w->body, start, (size_t)(end - start));
		if (i < r.to)
			buf_add(&w->body, separator, slen);
	}
	buf_adds(&w->body, close);
}

/* A name that is there already gives way: the adapter knows better than the settings, and credentials than both. */
static void add_header(struct work *w, const char *name, const char *value)
{
	for (unsigned i = 0, kept = 0, n = w->b.nheaders; i < n; i++) {
		if (strcasecmp(w->names[i], name) == 0) {
			w->b.nheaders--;
			continue;
		}
		w->names[kept] = w->names[i];
		w->values[kept++] = w->values[i];
	}
	if (w->b.nheaders == w->header_cap) {
		w->header_cap = w->header_cap ? w->header_cap * 2 : 8;
		w->names = xrealloc(w->names, w->header_cap * sizeof *w->names);
		w->values = xrealloc(w->values, w->header_cap * sizeof *w->values);
	}
	w->names[w->b.nheaders] = name;
	w->values[w->b.nheaders++] = value;
}

static const char *add_headers(struct work *w, const char *at, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const char *value = at + strlen(at) + 1;
		add_header(w, at, value);
		at = value + strlen(value) + 1;
	}
	return at;
}

static size_t headers_size(const char *at, unsigned n)
{
	const char *end = at;
	for (unsigned i = 0; i < 2 * n; i++)
		end += strlen(end) + 1;
	return (size_t)(end - at);
}

/* Url, headers and body as the destination's adapter says them, and the credentials; kept here, since they may have gone when the answer
 * is there. */
static bool word(struct work *w)
{
	struct delivery *d = w->d;
	struct wording said = { .url = NULL };
	const struct credentials *c = &d->credentials;
	char why[900];
	buf_clear(&w->own);
	int words = d->env.adapter_request && d->ops->joins ? d->env.adapter_request(d->env.arg, d->s, &w->b, &said, why, sizeof why) : 0;
	if (words < 0) {
		buf_adds(&w->own, why);
		return false;
	}
	if (words && said.url)
		buf_add(&w->own, said.url, strlen(said.url) + 1);
	if (words && said.nheaders)
		buf_add(&w->own, said.headers, headers_size(said.headers, said.nheaders));
	if (words && said.body) {
		buf_clear(&w->body);
		buf_add(&w->body, said.body, said.body_len);
		w->b.body = w->body.p;
		w->b.body_len = w->body.len;
	}
	buf_add(&w->own, c->headers.p, c->headers.len);
	const char *at = w->own.p;
	if (words && said.url) {
		w->b.url = at;
		w->b.worded = true;
		at += strlen(at) + 1;
	}
	at = add_headers(w, at, words ? said.nheaders : 0);
	add_headers(w, at, c->nheaders);
	w->b.ncredentials = c->nheaders;
	w->credentials = c->serial;
	return true;
}

static void list_topics(struct work *w, struct range r)
{
	if (w->topic_cap < r.to - r.from) {
		w->topic_cap = r.to - r.from;
		w->topic_list = xrealloc(w->topic_list, w->topic_cap * sizeof *w->topic_list);
	}
	for (unsigned i = r.from; i < r.to; i++)
		w->topic_list[i - r.from] = w->topics.p + w->items[i].topic;
	w->b.topics = w->topic_list;
}

bool work_prepare(struct work *w)
{
	struct delivery *d = w->d;
	const struct destination *to = d->s->destination;
	struct range r = w->todo[w->ntodo - 1];
	w->b = (struct batch){
		.n = r.to - r.from, .entries = w->entries + r.from,
		.url = d->templated ? w->head.p : to->url.literals ? to->url.literals[0] : "",
		.attempt = w->attempts + 1,
		.timeout_us = d->s->retry_timeout_us,
		.delivery = w,
	};
	if (to->id_name) {
		/* The same on every attempt, and each half of a split batch has its own: the id of the first message in it. */
		const struct entry *e = &w->entries[r.from];
		snprintf(w->id, sizeof w->id, "%llu", (unsigned long long)(e->id - e->row));
		add_header(w, to->id_name, w->id);
	}
	const char *expanded = w->head.p ? w->head.p + strlen(w->head.p) + 1 : NULL;
	for (unsigned i = 0; i < to->nheaders; i++) {
		const struct template *t = &to->header_values[i];
		add_header(w, to->header_names[i], t->nparams ? expanded : t->literals[0]);
		if (t->nparams)
			expanded += strlen(expanded) + 1;
	}
	if (d->topical)
		list_topics(w, r);
	if (d->ops->joins) {
		join(w, r);
		w->b.body = w->body.p;
		w->b.body_len = w->body.len;
	}
	if (!word(w))
		return false;
	w->b.header_names = w->names;
	w->b.header_values = w->values;
	return true;
}
