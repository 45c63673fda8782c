/* fake_store.c - see fake_store.h. Also takes the place of base/clock.c. */
#include "unit.h"

#include "fake_store.h"

#include "base/clock.h"
#include "base/map.h"

int64_t fake_now = 1000000;

int64_t clock_mono_us(void) { return fake_now; }
int64_t clock_real_us(void) { return 1700000000000000 + fake_now; }
int64_t clock_boot_us(void) { return fake_now; }
char *clock_format(int64_t real_us, char *out)
{
	snprintf(out, 32, "%lld", (long long)real_us);
	return out;
}
const char *store_identity(const struct store *s)
{
	(void)s;
	return "0123456789abcdef";
}

int64_t store_elapsed(struct store *s)
{
	(void)s;
	return fake_now;
}

struct chunk *fake_append(struct store *s, const struct fake_message *m, unsigned n)
{
	static uint64_t position, id = 1 << 20;
	assert_true(n <= SPAN_ENTRIES_MAX);
	struct chunk *c = calloc(1, sizeof *c);
	c->position = ++position;
	c->arrived = fake_now;
	c->n = n;
	c->entries = calloc(n, sizeof *c->entries);
	size_t len = 0;
	for (unsigned i = 0; i < n; i++)
		len += strlen(m[i].bytes) + 1;
	char *p = c->bytes = malloc(len);
	for (unsigned i = 0; i < n; i++) {
		struct entry *e = &c->entries[i].e;
		e->bytes = p;
		e->len = (uint32_t)strlen(m[i].bytes);
		memcpy(p, m[i].bytes, e->len);
		p[e->len] = ',';
		p += e->len + 1;
		e->ident = strdup(m[i].ident);
		e->ident_len = (uint16_t)strlen(m[i].ident);
		e->ident_hash = (uint32_t)hash_stable(e->ident, e->ident_len);
		e->id = id += STORE_ID_STEP;
		e->rows = 1;
		if (m[i].address) {
			char *a = malloc(m[i].address_len);
			memcpy(a, m[i].address, m[i].address_len);
			e->address = a;
			e->address_len = (uint16_t)m[i].address_len;
		}
	}
	if (s->nchunks == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 64;
		s->chunks = realloc(s->chunks, s->cap * sizeof(struct chunk *));
	}
	s->chunks[s->nchunks++] = c;
	if (s->said_no && s->wake) {
		s->said_no = false;
		s->wake(s->arg);
	}
	return c;
}

void fake_record(struct store *s)
{
	s->recorded = s->number;
	if (s->hurried && s->wake) {
		s->hurried = false;
		s->wake(s->arg);
	}
}

void fake_free(struct store *s)
{
	assert_int_equal(s->held, 0);
	for (unsigned k = 0; k < s->nchunks; k++) {
		struct chunk *c = s->chunks[k];
		for (unsigned i = 0; i < c->n; i++) {
			free((char *)(uintptr_t)c->entries[i].e.ident);
			free((char *)(uintptr_t)c->entries[i].e.address);
			free(c->entries[i].reason);
		}
		free(c->bytes);
		free(c->entries);
		free(c);
	}
	free(s->chunks);
	memset(s, 0, sizeof *s);
}

unsigned fake_outstanding(const struct store *s)
{
	unsigned n = 0;
	for (unsigned k = 0; k < s->nchunks; k++)
		for (unsigned i = 0; i < s->chunks[k]->n; i++)
			n += !s->chunks[k]->entries[i].settled;
	return n;
}

unsigned fake_count(const struct store *s, enum outcome o)
{
	unsigned n = 0;
	for (unsigned k = 0; k < s->nchunks; k++)
		for (unsigned i = 0; i < s->chunks[k]->n; i++)
			n += s->chunks[k]->entries[i].settled && s->chunks[k]->entries[i].outcome == o;
	return n;
}

/* ---- what a sender calls ---------------------------------------------------------------------------------------------------- */

/* The store itself is the buffer. */
static struct store *of(const struct buffer *b) { return (struct store *)(uintptr_t)b; }

struct buffer *buffer_attach(struct store *s, uint32_t number, struct port *p, void (*wake)(void *arg), void *arg)
{
	(void)number, (void)p;
	if (s->attached)
		return NULL;
	s->attached = true;
	s->cursor = 0;
	s->wake = wake;
	s->arg = arg;
	return (struct buffer *)s;
}

void buffer_detach(struct buffer *b)
{
	assert_int_equal(of(b)->held, 0);
	of(b)->attached = false;
	of(b)->wake = NULL;
}

bool buffer_next(struct buffer *b, struct span *out)
{
	struct store *s = of(b);
	for (; s->cursor < s->nchunks; s->cursor++) {
		struct chunk *c = s->chunks[s->cursor];
		if (c->held)
			continue;
		memset(out, 0, sizeof *out);
		unsigned any = 0;
		for (unsigned i = 0; i < c->n; i++)
			if (!c->entries[i].settled) {
				out->bits[i / 64] |= UINT64_C(1) << (i % 64);
				any++;
			}
		if (!any)
			continue;
		out->chunk = c;
		out->position = c->position;
		out->arrived = c->arrived;
		out->n = c->n;
		c->held = true;
		s->cursor++;
		s->handed++;
		if (++s->held > s->held_most)
			s->held_most = s->held;
		return true;
	}
	s->said_no = true;
	return false;
}

void span_release(struct buffer *b, struct span *sp)
{
	struct chunk *c = (struct chunk *)(uintptr_t)sp->chunk;
	assert_true(c->held);
	c->held = false;
	of(b)->held--;
}

void buffer_rewind(struct buffer *b)
{
	of(b)->cursor = 0;
	of(b)->rewinds++;
}

bool buffer_rewinding(const struct buffer *b)
{
	(void)b;
	return false;
}

void chunk_entry(const struct chunk *c, unsigned i, struct entry *out)
{
	assert_true(c->held && i < c->n);
	*out = c->entries[i].e;
}

uint32_t chunk_rendering(const struct chunk *c)
{
	assert_true(c->held);
	return c->rendering;
}

uint64_t buffer_settle(struct buffer *b, struct span *sp, const uint64_t bits[SPAN_ENTRIES_MAX / 64], enum outcome o, const struct death *death)
{
	struct store *s = of(b);
	struct chunk *c = (struct chunk *)(uintptr_t)sp->chunk;
	unsigned any = 0;
	assert_true(c->held);
	assert_int_equal(o == OUTCOME_DEAD, death != NULL);
	for (unsigned i = 0; i < SPAN_ENTRIES_MAX; i++) {
		if (!(bits[i / 64] >> (i % 64) & 1))
			continue;
		assert_true(i < c->n);
		struct fake_entry *e = &c->entries[i];
		assert_true(sp->bits[i / 64] >> (i % 64) & 1);
		assert_false(e->settled);
		e->settled = true;
		e->outcome = o;
		if (death) {
			e->reason = strdup(death->reason);
			e->attempts = death->attempts;
		}
		any++;
	}
	assert_true(any > 0);
	s->number++;
	if (!s->slow && !s->stuck)
		s->recorded = s->number;
	return s->number;
}

uint64_t buffer_recorded(const struct buffer *b)
{
	return of(b)->recorded;
}

void buffer_hurry(struct buffer *b)
{
	struct store *s = of(b);
	s->hurried = true;
	if (!s->stuck && !s->slow)
		fake_record(s);
}

bool buffer_owes(const struct buffer *b, uint64_t position)
{
	struct store *s = of(b);
	for (unsigned k = 0; k < s->nchunks; k++)
		for (unsigned i = 0; i < s->chunks[k]->n; i++)
			if (s->chunks[k]->position <= position && !s->chunks[k]->entries[i].settled)
				return true;
	return false;
}

uint64_t store_position(struct store *s)
{
	return s->nchunks ? s->chunks[s->nchunks - 1]->position : 0;
}

uint64_t buffer_excess(const struct buffer *b)
{
	struct store *s = of(b);
	uint64_t bytes = 0;
	if (!s->excess_max)
		return 0;
	for (unsigned k = 0; k < s->nchunks; k++)
		for (unsigned i = 0; i < s->chunks[k]->n; i++)
			if (!s->chunks[k]->entries[i].settled)
				bytes += s->chunks[k]->entries[i].e.len;
	return bytes > s->excess_max ? bytes - s->excess_max : 0;
}

bool buffer_counts(struct store *s, uint32_t buffer, struct buffer_counts *out)
{
	(void)buffer;
	memset(out, 0, sizeof *out);
	out->buffered = fake_outstanding(s);
	return true;
}
