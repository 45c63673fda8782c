/* letters.c - see letters.h. */
#include "admin/letters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "message/message.h"
#include "store/store.h"

#define LOOK_MOST 5000              /* letters that a page looks at */
#define PAGE_BYTES (1u << 20)

static bool is_named(const char *ids, const struct dead_letter *d)
{
	for (const char *p = ids; *p;) {
		char *end;
		uint64_t id = strtoull(p, &end, 10);

		if (end != p && (id == d->position || id == d->id))
			return true;
		p = end + strcspn(end, ",");
		p += *p == ',';
	}
	return false;
}

static bool matches(const struct letters_filter *f, const struct dead_letter *d)
{
	return d->when_us >= f->since_us && (!f->ident || strcmp(f->ident, d->ident) == 0) && (!f->ids || is_named(f->ids, d)) &&
		(!f->reason || strstr(d->reason, f->reason) || strstr(d->answer, f->reason));
}

struct looking {
	const struct letters_filter *f;
	unsigned most, found;
	uint64_t looked, next;
	bool (*fn)(void *arg, const struct dead_letter *);
	void *arg;
};

static bool look(void *arg, const struct dead_letter *d)
{
	struct looking *l = arg;

	if (l->f->to && d->position > l->f->to)
		return false;
	if (l->found == l->most || l->looked == LOOK_MOST) {
		l->next = d->position;
		return false;
	}
	l->looked++;
	if (!matches(l->f, d))
		return true;
	l->found++;
	if (l->fn(l->arg, d))
		return true;
	l->next = d->position + 1;
	return false;
}

uint64_t letters_each(struct store *s, uint32_t owner, const struct letters_filter *f, unsigned most, uint64_t *looked,
	bool (*fn)(void *arg, const struct dead_letter *), void *arg)
{
	struct looking l = { .f = f, .most = most, .fn = fn, .arg = arg };

	store_each_dead(s, owner, f->from, look, &l);
	*looked = l.looked;
	return l.next;
}

/* ---- JSON ----------------------------------------------------------------------------------------------------------------- */

static void text(struct buf *b, const char *key, const char *value)
{
	if (!*value)
		return;
	buf_addf(b, ",\"%s\":", key);
	buf_addjson(b, value, strlen(value));
}

void letters_bytes(struct buf *b, const char *name, const char *p, size_t n)
{
	if (utf8_valid(p, n, NULL)) {
		buf_addf(b, ",\"%s\":", name);
		buf_addjson(b, p, n);
		return;
	}
	buf_addf(b, ",\"%s_hex\":\"", name);
	for (size_t i = 0; i < n; i++)
		buf_addf(b, "%02x", (unsigned char)p[i]);
	buf_addc(b, '"');
}

void letter_write(struct buf *out, const struct dead_letter *d, bool whole)
{
	/* As texts: they are longer than the numbers many a reader of JSON has. */
	buf_addf(out, "{\"letter\":\"%llu\",\"id\":\"%llu\"", (unsigned long long)d->position, (unsigned long long)(d->id - d->row));
	text(out, "ident", d->ident);
	buf_adds(out, ",\"when\":");
	time_us_write(out, d->when_us);
	if (d->time_us) {
		buf_adds(out, ",\"timestamp\":");
		time_us_write(out, d->time_us);
	}
	text(out, "reason", d->reason);
	if (d->status > LETTER_RAW)
		buf_addf(out, ",\"status\":%d", d->status);
	if (d->status == LETTER_RAW)
		buf_adds(out, ",\"raw\":true");
	buf_addf(out, ",\"attempts\":%u", d->attempts);
	if (d->rows > 1)
		buf_addf(out, ",\"row\":%u,\"rows\":%u", d->row, d->rows);
	text(out, "peer", d->peer);
	if (whole) {
		text(out, "answer", d->answer);
		letters_bytes(out, "source", d->source, d->source_len);
		if (d->len)
			letters_bytes(out, "bytes", d->bytes, d->len);
	} else {
		buf_addf(out, ",\"source_bytes\":%zu,\"rendered_bytes\":%zu", d->source_len, d->len);
	}
	buf_adds(out, "}\n");
}

struct page { struct buf *out; bool whole; };

static bool write_one(void *arg, const struct dead_letter *d)
{
	struct page *p = arg;

	letter_write(p->out, d, p->whole);
	return p->out->len < PAGE_BYTES;
}

void letters_page(struct store *s, uint32_t owner, const struct letters_filter *f, unsigned most, bool whole, struct buf *out)
{
	struct page p = { out, whole };
	uint64_t looked, next = letters_each(s, owner, f, most, &looked, write_one, &p);

	buf_addf(out, "{\"ok\":true,\"looked\":%llu,\"next\":%llu}\n", (unsigned long long)looked, (unsigned long long)next);
}

void letters_owner(struct buf *out, const char *kind, const char *name, const char *buffer, uint64_t letters, uint64_t bytes, uint64_t gone)
{
	buf_addf(out, "{\"kind\":\"%s\"", kind);
	text(out, "name", name);
	text(out, "buffer", buffer);
	buf_addf(out, ",\"letters\":%llu,\"bytes\":%llu,\"gone\":%llu}\n", (unsigned long long)letters, (unsigned long long)bytes,
		(unsigned long long)gone);
}
