/* host.c - a worker's Lua states, and the way of a message through a rendering.
 *
 * Each adapter has a state of its own: what one hoards in the variables of its file fills its own heap, and no neighbour's. */
#include "transforms/host.h"

#include <assert.h>
#include <stdlib.h>

#include "base/arena.h"
#include "message/message.h"
#include "plan/fields.h"
#include "plan/plan.h"
#include "transforms/adapters.h"
#include "transforms/script.h"

/* An adapter in its state. */
struct cell { const char *name; struct vm *vm; int table; };

struct scripts {
	struct vm_limits limits;
	unsigned ncells; struct cell *cells;
	int conns;                 /* conn.c: the last number given, in whichever state */
	unsigned nrenderings;
	struct chain { unsigned n; struct program *steps; } *chains; /* by rendering->ix */
	unsigned nchannels, ndestinations;
	struct far *channels, *destinations; /* by ix, and by place in plan->destinations; name NULL: no adapter */
	const struct destination *first_destination;
	struct index index;        /* of what a step made */
	struct rows rows[2];       /* of all steps but the last */
	struct buf fields, why;
	const struct render_watch *watch;
};

static const char *first_stream(const struct plan *p, const struct rendering *r)
{
	for (unsigned i = 0; i < p->nstreams; i++)
		if (p->streams[i].rendering == r)
			return p->streams[i].name;
	return "";
}

/* The adapter's cell, made when it is first asked for. NULL with s->why. */
static const struct cell *cell_of(struct scripts *s, struct adapters *a, const char *name)
{
	for (unsigned i = 0; i < s->ncells; i++)
		if (strcmp(s->cells[i].name, name) == 0)
			return &s->cells[i];
	const struct adapter *file = adapter_find(a, name);
	if (!file) {
		buf_addf(&s->why, "there is no adapter %s", name);
		return NULL;
	}
	struct cell c = { .name = file->name, .vm = vm_new(&s->limits) };
	if (!c.vm) {
		buf_adds(&s->why, "no memory for a Lua state");
		return NULL;
	}
	c.vm->last_conn = &s->conns;
	if (script_load(c.vm, file->path, file->text, file->len, &c.table, &s->why) < 0) {
		vm_free(c.vm);
		return NULL;
	}
	s->cells = xrealloc(s->cells, (s->ncells + 1) * sizeof(*s->cells));
	s->cells[s->ncells] = c;
	return &s->cells[s->ncells++];
}

/* The steps of a rendering keep their states apart, also where one adapter is used twice. */
static void place_in_chain(const struct chain *c, const struct rendering *r)
{
	struct program *p = &c->steps[c->n];
	unsigned before = 0;

	for (unsigned i = 0; i < c->n; i++)
		before += strcmp(r->steps[i].adapter, p->name) == 0;
	if (before)
		snprintf(p->state_name, sizeof(p->state_name), "%.64s#%u", p->name, before + 1);
	p->chain = c->steps;
	p->nchain = r->nsteps;
}

static int make_chain(struct scripts *s, struct adapters *a, const struct plan *p, const struct rendering *r)
{
	struct chain *c = &s->chains[r->ix];

	c->steps = xcalloc(r->nsteps ? r->nsteps : 1, sizeof(*c->steps));
	for (; c->n < r->nsteps; c->n++) {
		const struct step *step = &r->steps[c->n];
		const struct cell *cell = cell_of(s, a, step->adapter);
		if (!cell)
			return -1;
		if (program_init(&c->steps[c->n], cell->vm, cell->table, step->adapter, step->options ? options_json(step->options) : NULL,
			    first_stream(p, r), &s->why) < 0)
			return -1;
		place_in_chain(c, r);
	}
	return 0;
}

/* Adapters of channels' formats and of destinations, each with its options. */
static int make_fars(struct scripts *s, struct adapters *a, const struct plan *p)
{
	const struct cell *cell;

	s->nchannels = p->nchannels;
	s->channels = xcalloc(p->nchannels + 1, sizeof(*s->channels));
	s->ndestinations = p->ndestinations;
	s->destinations = xcalloc(p->ndestinations + 1, sizeof(*s->destinations));
	s->first_destination = p->destinations;
	for (unsigned i = 0; i < p->nchannels; i++) {
		const struct channel *c = &p->channels[i];
		if (!c->format || !adapter_find(a, c->format))
			continue; /* a native format */
		if (!(cell = cell_of(s, a, c->format)) ||
		    far_init(&s->channels[i], cell->vm, cell->table, c->format, c->decoder_options ? options_json(c->decoder_options) : NULL, c->name, &s->why) < 0)
			return -1;
	}
	for (unsigned i = 0; i < p->ndestinations; i++) {
		const struct destination *d = &p->destinations[i];
		if (!d->adapter)
			continue;
		if (!(cell = cell_of(s, a, d->adapter)) ||
		    far_init(&s->destinations[i], cell->vm, cell->table, d->adapter, d->options ? options_json(d->options) : NULL, d->name, &s->why) < 0)
			return -1;
	}
	return 0;
}

struct far *scripts_channel(struct scripts *s, const struct channel *c)
{
	struct far *f = c->ix < s->nchannels ? &s->channels[c->ix] : NULL;

	return f && f->name ? f : NULL;
}

struct far *scripts_destination(struct scripts *s, const struct destination *d)
{
	size_t i = (size_t)(d - s->first_destination);

	return i < s->ndestinations && s->destinations[i].name ? &s->destinations[i] : NULL;
}

static struct vm *vm_named(const struct scripts *s, const char *name)
{
	for (unsigned i = 0; i < s->ncells; i++)
		if (strcmp(s->cells[i].name, name) == 0)
			return s->cells[i].vm;
	return NULL;
}

void scripts_take_conns(struct scripts *s, struct scripts *old)
{
	struct vm *renamed = NULL, *gone = NULL;
	unsigned nrenamed = 0, ngone = 0;

	s->conns = old->conns;
	for (unsigned i = 0; i < s->ncells; i++)
		if (!vm_named(old, s->cells[i].name))
			renamed = s->cells[i].vm, nrenamed++;
	for (unsigned i = 0; i < old->ncells; i++) {
		struct vm *to = vm_named(s, old->cells[i].name);
		if (to)
			conns_take(to, old->cells[i].vm);
		else
			gone = old->cells[i].vm, ngone++;
	}
	if (ngone == 1 && nrenamed == 1)
		conns_take(renamed, gone);
}

void scripts_conn_end(struct scripts *s, int conn)
{
	for (unsigned i = 0; i < s->ncells; i++)
		conn_end(s->cells[i].vm, conn);
}

struct scripts *scripts_new(struct adapters *a, const struct plan *p, char *why, size_t whylen)
{
	struct scripts *s = xcalloc(1, sizeof(*s));

	s->limits = vm_limits_of(p->settings.limit_message, p->settings.limit_script_us);
	index_init(&s->index);
	rows_init(&s->rows[0]);
	rows_init(&s->rows[1]);
	s->nrenderings = p->nrenderings;
	s->chains = xcalloc(p->nrenderings ? p->nrenderings : 1, sizeof(*s->chains));
	bool ok = true;
	for (unsigned i = 0; ok && i < p->nrenderings; i++)
		ok = make_chain(s, a, p, &p->renderings[i]) == 0;
	if (ok && make_fars(s, a, p) == 0)
		return s;
	snprintf(why, whylen, "%s", s->why.p);
	scripts_free(s);
	return NULL;
}

void scripts_free(struct scripts *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->nrenderings; i++) {
		for (unsigned k = 0; k < s->chains[i].n; k++)
			program_resume(&s->chains[i].steps[k]);
		free(s->chains[i].steps);
	}
	free(s->chains);
	free(s->channels);
	free(s->destinations);
	for (unsigned i = 0; i < s->ncells; i++)
		vm_free(s->cells[i].vm);
	free(s->cells);
	index_fini(&s->index);
	rows_fini(&s->rows[0]);
	rows_fini(&s->rows[1]);
	buf_fini(&s->fields);
	buf_fini(&s->why);
	free(s);
}

/* Bytes made by a step as a message for the next. */
static bool read_row(struct scripts *s, const char *maker, const char *p, size_t n, struct message *m)
{
	const char *stop;
	enum json_fault fault = message_index(&s->index, p, p + n, m, &stop);

	if (fault == JSON_OK && stop == p + n)
		return true;
	buf_clear(&s->why);
	buf_addf(&s->why, "what %s made is no message that the next step could read: %s at byte %zu", maker,
		fault == JSON_OK ? "more text" : json_fault_text(fault), (size_t)(stop - p) + 1);
	return false;
}

/* All rows of `in` through one step. Rows that are skipped are left out. */
static enum render_result run_rows(struct scripts *s, struct program *step, const char *maker, const struct rows *in, const struct call *c,
                                   struct rows *out)
{
	enum render_result last = RENDER_SKIPPED;
	char suffix[16] = "";

	for (unsigned i = 0; i < in->n; i++) {
		size_t from = i ? in->ends[i - 1] : 0;
		struct message m;
		if (!read_row(s, maker, in->bytes.p + from, in->ends[i] - from, &m))
			return RENDER_FAILED;
		if (in->n > 1)
			snprintf(suffix, sizeof(suffix), "-%u", i + 1);
		last = program_run(step, &m, c, suffix, 1, out, &s->why);
		if (last == RENDER_FAILED)
			return last;
	}
	return out->n ? RENDER_OK : RENDER_SKIPPED;
}

static void clear(struct rows *r)
{
	r->n = 0;
	r->state_changed = r->ready = false;
	buf_clear(&r->topics);
	buf_clear(&r->state);
	buf_clear(&r->bytes);
	buf_reserve(&r->bytes, MESSAGE_PAD);
}

void scripts_watch(struct scripts *s, const struct render_watch *w)
{
	s->watch = w;
}

static void show(const struct scripts *s, const char *step, const struct rows *rows)
{
	for (unsigned i = 0; i < rows->n; i++) {
		size_t from = i ? rows->ends[i - 1] : 0;

		s->watch->made(s->watch->arg, step, i, rows->bytes.p + from, rows->ends[i] - from);
	}
}

enum render_result scripts_render(struct scripts *s, const struct rendering *r, const struct message *m, const struct call *c,
                                  struct rows *out, char *why, size_t whylen)
{
	assert(r->ix < s->nrenderings);
	const struct chain *chain = &s->chains[r->ix];
	enum render_result result = RENDER_OK;
	const struct rows *last = out;
	struct message chosen;

	clear(out);
	if (r->fields) {
		struct buf *to = chain->n ? &s->fields : &out->bytes;
		buf_clear(to);
		fields_apply(r->fields, m, to);
		buf_reserve(to, MESSAGE_PAD);
		if (s->watch)
			s->watch->made(s->watch->arg, "fields", 0, to->p, to->len);
		if (chain->n && !read_row(s, "fields", to->p, to->len, &chosen)) {
			snprintf(why, whylen, "%s", s->why.p);
			return RENDER_FAILED;
		}
		m = &chosen;
	} else if (!chain->n) {
		buf_add(&out->bytes, m->bytes, m->len);
	}
	if (!chain->n) {
		rows_end(out);
		return RENDER_OK;
	}
	for (unsigned i = 0; i < chain->n && result == RENDER_OK; i++) {
		struct rows *to = i + 1 == chain->n ? out : &s->rows[i & 1];
		last = to;
		clear(to);
		if (i > 0) {
			const struct rows *from = &s->rows[(i - 1) & 1];
			buf_add(&to->state, from->state.p, from->state.len);
			to->state_changed = from->state_changed;
		} else if (c->state) {
			buf_add(&to->state, c->state, c->state_len);
		}
		if (i == 0)
			result = program_run(&chain->steps[0], m, c, "", 1, to, &s->why);
		else
			result = run_rows(s, &chain->steps[i], chain->steps[i - 1].name, &s->rows[(i - 1) & 1], c, to);
		buf_reserve(&to->bytes, MESSAGE_PAD);
		if (s->watch && result == RENDER_OK)
			show(s, chain->steps[i].name, to);
	}
	if (result != RENDER_OK) {
		bool keep = result == RENDER_SKIPPED && last->state_changed;
		if (keep && last != out) {
			buf_clear(&out->state);
			buf_add(&out->state, last->state.p, last->state.len);
		}
		out->state_changed = keep;
		out->n = 0;
		buf_clear(&out->bytes);
		snprintf(why, whylen, "%s", s->why.p);
	}
	return result;
}

void scripts_counts(const struct scripts *s, const struct rendering *r, struct script_counts *out)
{
	const struct chain *chain = &s->chains[r->ix];

	*out = (struct script_counts){ .calls = 0 };
	for (unsigned i = 0; i < chain->n; i++) {
		const struct script_counts *c = &chain->steps[i].counts;
		out->calls += c->calls;
		out->errors += c->errors;
		out->exhausted += c->exhausted;
		out->suspended += c->suspended;
		out->us += c->us;
	}
}
