/* fields.c - fields chosen and renamed, one pass over the slices.
 *
 * What happens to a name is looked up in tables made beforehand: exact names by one byte out of 256 (length, first and last letter), so that
 * most fields are decided without comparing anything; wildcards by what stands before their first asterisk. The hard part is never to write a
 * name twice, whatever it was called before: names are noted as they are written, and compared as they stand in the output. */
#include "plan/fields.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "message/message.h"
#include "plan/wildcard.h"
#include "spec/diag.h"
#include "spec/nearest.h"
#include "spec/tree.h"

enum notation { NOTATION_DOTS, NOTATION_SNAKE, NOTATION_CAMEL };

struct name {
	const char *text; /* as given */
	size_t n;
	size_t head;      /* bytes before the first asterisk; n: it has none */
	unsigned next;    /* exact: 1 + the next of the same hash */
	/* rename: the new name as JSON, without quotes; of a wildcard what stands before and behind the asterisk */
	const char *to;
	const char *before, *behind;
	size_t nbefore, nbehind;
};

/* Names in the order given; the exact ones by hash, the wildcards one after the other. */
struct names {
	struct name *all;
	unsigned n;
	unsigned *wild, nwild; /* numbers in `all` */
	unsigned first[256];   /* 1 + number */
};

struct fields {
	enum notation notation;
	struct names keep, drop, rename;
};

static inline uint8_t hash_of(const char *key, size_t len)
{
	return len == 0 ? 0 : (uint8_t)(len * 7 + (unsigned char)key[0] * 31 + (unsigned char)key[len - 1] * 113);
}

/* ---- compiling --------------------------------------------------------------------------------------------------------------- */

static bool name_add(struct arena *a, struct names *s, const struct node *n, struct diag *d)
{
	struct name *name = &s->all[s->n];
	const char *star;

	if (n->kind != NODE_SCALAR || n->len == 0) {
		diag_add(d, n->kind == NODE_SCALAR ? DIAG_LENGTH : DIAG_WRONG_KIND, &n->at, "the name of a parameter is expected, not %s",
			n->kind == NODE_SCALAR ? "an empty text" : node_kind_name(n));
		return false;
	}
	star = memchr(n->text, '*', n->len);
	*name = (struct name){ .text = arena_strndup(a, n->text, n->len), .n = n->len, .head = star ? (size_t)(star - n->text) : n->len };
	if (star) {
		s->wild[s->nwild++] = s->n++;
	} else {
		unsigned *at = &s->first[hash_of(n->text, n->len)];
		while (*at) /* behind those given before it */
			at = &s->all[*at - 1].next;
		*at = ++s->n;
	}
	return true;
}

static void names_begin(struct arena *a, struct names *s, unsigned n)
{
	s->all = arena_alloc(a, n * sizeof(*s->all));
	s->wild = arena_alloc(a, n * sizeof(*s->wild));
}

static bool compile_list(struct arena *a, struct names *s, const struct node *list, struct diag *d)
{
	bool ok = true;

	if (list->kind == NODE_SCALAR && !node_is_null(list)) {
		names_begin(a, s, 1);
		return name_add(a, s, list, d);
	}
	if (list->kind != NODE_LIST) {
		diag_add(d, DIAG_WRONG_KIND, &list->at, "a list of parameters is expected, not %s", node_kind_name(list));
		return false;
	}
	names_begin(a, s, list->n);
	for (unsigned i = 0; i < list->n; i++)
		ok = name_add(a, s, list->items[i], d) && ok;
	return ok;
}

static const char *escaped(struct arena *a, const char *p, size_t n, size_t *len)
{
	struct buf json = BUF_INIT;
	const char *text;

	buf_addjson(&json, p, n);
	*len = json.len - 2;
	text = arena_strndup(a, json.p + 1, *len);
	buf_fini(&json);
	return text;
}

static unsigned stars(const struct node *n)
{
	unsigned count = 0;

	for (size_t i = 0; i < n->len; i++)
		count += n->text[i] == '*';
	return count;
}

static bool compile_rename(struct arena *a, struct names *s, const struct node *map, struct diag *d)
{
	bool ok = true;

	if (map->kind != NODE_MAP) {
		struct problem *p = diag_add(d, DIAG_WRONG_KIND, &map->at, "old and new names are expected, not %s", node_kind_name(map));
		problem_note(p, "{ident: imei, \"can.*\": \"bus.*\"}");
		return false;
	}
	names_begin(a, s, map->n);
	for (unsigned i = 0; i < map->n; i++) {
		const struct node *from = map->entries[i].key, *to = map->entries[i].value;
		struct name *name = &s->all[s->n];
		const char *star;

		if (to->kind != NODE_SCALAR || to->len == 0) {
			diag_add(d, to->kind == NODE_SCALAR ? DIAG_LENGTH : DIAG_WRONG_KIND, &to->at, "a new name is expected, not %s",
				to->kind == NODE_SCALAR ? "an empty text" : node_kind_name(to));
			ok = false;
			continue;
		}
		if (!name_add(a, s, from, d)) {
			ok = false;
			continue;
		}
		if (stars(from) > 1 || stars(from) != stars(to)) {
			struct problem *p = diag_add(d, DIAG_PATTERN, &to->at, "%s can't be made of %s", diag_quote(d, to->text, to->len),
				diag_quote(d, from->text, from->len));
			problem_note(p, "either both names have one asterisk or neither has: \"can.*\": \"bus.*\"");
			ok = false;
			continue;
		}
		name->to = arena_strndup(a, to->text, to->len);
		star = strchr(name->to, '*');
		name->before = escaped(a, name->to, star ? (size_t)(star - name->to) : to->len, &name->nbefore);
		if (star)
			name->behind = escaped(a, star + 1, strlen(star + 1), &name->nbehind);
	}
	return ok;
}

static bool compile_notation(struct fields *f, const struct node *n, struct diag *d)
{
	static const char *const words[] = { "dots", "snake", "camel" };
	struct nearest near;
	struct problem *p;

	for (unsigned i = 0; i < 3; i++)
		if (node_is(n, words[i])) {
			f->notation = (enum notation)i;
			return true;
		}
	p = diag_add(d, DIAG_NOT_ALLOWED, &n->at, "dots, snake or camel is expected, not %s",
		n->kind == NODE_SCALAR ? diag_quote(d, n->text, n->len) : node_kind_name(n));
	if (n->kind == NODE_SCALAR) {
		nearest_begin(&near, n->text);
		for (unsigned i = 0; i < 3; i++)
			nearest_try(&near, words[i]);
		problem_near(p, nearest_found(&near));
	}
	return false;
}

static bool unknown_key(const struct node *key, struct diag *d)
{
	static const char *const keys[] = { "notation", "keep", "drop", "rename" };
	struct problem *p = diag_add(d, DIAG_UNKNOWN_KEY, &key->at, "unknown key %s", diag_quote(d, key->text, key->len));
	struct nearest near;

	nearest_begin(&near, key->text);
	for (unsigned i = 0; i < 4; i++)
		nearest_try(&near, keys[i]);
	problem_near(p, nearest_found(&near));
	problem_note(p, "allowed here: notation, keep, drop, rename");
	return false;
}

struct fields *fields_compile(struct arena *a, const struct node *map, struct diag *d)
{
	struct fields *f = arena_alloc(a, sizeof(*f));
	bool ok = true;

	if (map->kind != NODE_MAP) {
		diag_add(d, DIAG_WRONG_KIND, &map->at, "a mapping is expected, not %s", node_kind_name(map));
		return NULL;
	}
	for (unsigned i = 0; i < map->n; i++) {
		const struct node *key = map->entries[i].key, *value = map->entries[i].value;
		bool good = node_is(key, "notation") ? compile_notation(f, value, d) : node_is(key, "keep") ? compile_list(a, &f->keep, value, d) :
			node_is(key, "drop") ? compile_list(a, &f->drop, value, d) : node_is(key, "rename") ?
			compile_rename(a, &f->rename, value, d) : unknown_key(key, d);
		ok = good && ok;
	}
	return ok ? f : NULL;
}

/* ---- one message -------------------------------------------------------------------------------------------------------------- */

static inline const struct name *names_find(const struct names *s, const char *key, size_t len)
{
	if (s->n == s->nwild)
		return NULL;
	for (unsigned i = s->first[hash_of(key, len)]; i; i = s->all[i - 1].next)
		if (s->all[i - 1].n == len && memcmp(s->all[i - 1].text, key, len) == 0)
			return &s->all[i - 1];
	return NULL;
}

static inline const struct name *names_match(const struct names *s, const char *key, size_t len)
{
	const struct name *name = names_find(s, key, len);

	for (unsigned i = 0; !name && i < s->nwild; i++) {
		const struct name *wild = &s->all[s->wild[i]];
		if (len + 1 < wild->n && wild->head + 1 == wild->n)
			continue;
		if (wild->head > len || (wild->head && (*wild->text != *key || memcmp(wild->text, key, wild->head) != 0)))
			continue;
		if (wild->head + 1 == wild->n ||
		    wildcard_matches(wild->text + wild->head, wild->n - wild->head, '*', key + wild->head, len - wild->head, false))
			name = wild;
	}
	return name;
}

/* The key's bytes in another notation; no byte that JSON escapes comes or goes. */
static void add_notated(enum notation notation, const char *key, size_t len, struct buf *out)
{
	size_t begin = out->len;
	bool capital = true;
	char *o;

	buf_reserve(out, len);
	o = out->p + begin;
	if (notation == NOTATION_SNAKE) {
		for (size_t i = 0; i < len; i++)
			*o++ = key[i] == '.' || key[i] == '#' ? '_' : key[i];
	} else {
		for (size_t i = 0; i < len; i++) {
			if (key[i] == '.' || key[i] == '#') {
				capital = true;
				continue;
			}
			*o++ = (char)(capital && key[i] >= 'a' && key[i] <= 'z' ? key[i] - 'a' + 'A' : key[i]);
			capital = false;
		}
		if (o == out->p + begin) { /* nothing but separators: better that than no name */
			memcpy(o, key, len);
			o += len;
		}
	}
	out->len = (size_t)(o - out->p);
	*o = '\0';
}

static void add_name(const struct fields *f, const struct name *renamed, const char *key, size_t len, struct buf *out)
{
	if (renamed) {
		buf_add(out, renamed->before, renamed->nbefore);
		if (renamed->behind) {
			size_t tail = renamed->n - renamed->head - 1;
			buf_add(out, key + renamed->head, len - renamed->head - tail);
			buf_add(out, renamed->behind, renamed->nbehind);
		}
	} else if (f->notation == NOTATION_DOTS) {
		buf_add(out, key, len);
	} else {
		add_notated(f->notation, key, len, out);
	}
}

/* A key that came with escapes is undone, named anew, and escaped again. (What is taken of it may need escapes, so that a new name is made
 * from the text as given, not from the one that is ready as JSON.) */
static void add_escaped_name(const struct fields *f, const struct name *renamed, const char *key, size_t len, struct buf *out)
{
	struct buf plain = BUF_INIT, json = BUF_INIT;

	if (renamed) {
		const char *star = strchr(renamed->to, '*');
		buf_add(&plain, renamed->to, star ? (size_t)(star - renamed->to) : strlen(renamed->to));
		if (star) {
			size_t tail = renamed->n - renamed->head - 1;
			buf_add(&plain, key + renamed->head, len - renamed->head - tail);
			buf_adds(&plain, star + 1);
		}
	} else {
		add_name(f, NULL, key, len, &plain);
	}
	buf_addjson(&json, plain.p, plain.len);
	buf_add(out, json.p + 1, json.len - 2);
	buf_fini(&plain);
	buf_fini(&json);
}

struct emitted { uint32_t start, klen; bool renamed; };

/* What has been written: `,"name":value` one after the other from `begin` on. */
struct writer {
	struct buf *out;
	size_t begin;
	unsigned n, mask;
	struct emitted fields[MESSAGE_FIELDS_MAX];
	uint16_t seen[2 * MESSAGE_FIELDS_MAX]; /* 1 + number of the field */
};

static void writer_begin(struct writer *w, struct buf *out, unsigned fields)
{
	w->out = out;
	w->begin = out->len;
	w->n = 0;
	for (w->mask = 15; w->mask < 2 * fields - 1 && fields; w->mask = w->mask * 2 + 1)
		;
	memset(w->seen, 0, (w->mask + 1) * sizeof(*w->seen));
}

/* Take out a field written before. */
static void writer_remove(struct writer *w, unsigned at)
{
	struct buf *out = w->out;
	size_t from = w->begin + w->fields[at].start, to = w->begin + w->fields[at + 1].start;

	memmove(out->p + from, out->p + to, out->len - to + 1);
	out->len -= to - from;
	for (unsigned i = at + 1; i <= w->n; i++)
		w->fields[i].start -= (uint32_t)(to - from);
}

/* A name stands at the end of the output, from `start` on: may it stay? */
static bool writer_keeps(struct writer *w, size_t start, bool renamed)
{
	struct buf *out = w->out;
	size_t klen = out->len - start - 2;
	const char *key = out->p + start + 2;

	w->fields[w->n] = (struct emitted){ (uint32_t)(start - w->begin), (uint32_t)klen, renamed };
	for (unsigned i = (unsigned)hash_bytes(key, klen) & w->mask;; i = (i + 1) & w->mask) {
		if (!w->seen[i]) {
			w->seen[i] = (uint16_t)(w->n + 1);
			break;
		}
		unsigned other = w->seen[i] - 1u;
		const struct emitted *e = &w->fields[other];
		if (e->klen != klen || memcmp(out->p + w->begin + e->start + 2, key, klen) != 0)
			continue;
		if (e->renamed || !renamed)
			return false;
		w->seen[i] = (uint16_t)(w->n + 1);
		writer_remove(w, other);
		break;
	}
	w->n++;
	return true;
}

static void add_value(const struct message *m, const struct slice *s, struct buf *out)
{
	size_t from = out->len;

	buf_add(out, m->bytes + s->value, s->vlen);
	if (m->lines && (s->kind == SLICE_OBJECT || s->kind == SLICE_ARRAY))
		for (char *p = out->p + from; p < out->p + out->len; p++)
			if (*p == '\n' || *p == '\r')
				*p = ' ';
}

void fields_apply(const struct fields *f, const struct message *m, struct buf *out)
{
	struct writer w;
	struct buf scratch = BUF_INIT;
	bool changes = f->notation != NOTATION_DOTS || f->rename.n;

	writer_begin(&w, out, changes ? m->n : 0);
	for (const struct slice *s = m->slices, *last = s + m->n; s < last; s++) {
		const char *key = m->bytes + s->key;
		size_t len = s->klen, start = out->len;
		const struct name *renamed = NULL;
		bool odd = s->escaped & SLICE_KEY_ESCAPED;

		if (odd)
			slice_key_view(m, s, &scratch, &key, &len);
		if (f->keep.n && !names_match(&f->keep, key, len))
			continue;
		if (f->drop.n && names_match(&f->drop, key, len))
			continue;
		if (f->rename.n)
			renamed = names_match(&f->rename, key, len);
		buf_reserve(out, 2);
		buf_addc(out, ',');
		buf_addc(out, '"');
		if (odd)
			add_escaped_name(f, renamed, key, len, out);
		else
			add_name(f, renamed, key, len, out);
		if (changes && !writer_keeps(&w, start, renamed != NULL)) {
			out->len = start;
			continue;
		}
		buf_add(out, "\":", 2);
		add_value(m, s, out);
	}
	buf_fini(&scratch);
	if (out->len == w.begin)
		buf_addc(out, '{');
	else
		out->p[w.begin] = '{';
	buf_addc(out, '}');
}

/* ---- normal form --------------------------------------------------------------------------------------------------------------- */

static void print_name(const char *p, size_t n, struct buf *out)
{
	static const char *const words[] = { "null", "true", "false", "yes", "no", "on", "off", "y", "n" };
	bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_';

	for (size_t i = 0; i < n && plain; i++)
		plain = (p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= '0' && p[i] <= '9') || p[i] == '.' || p[i] == '_' ||
			p[i] == '#';
	for (size_t i = 0; i < sizeof(words) / sizeof(*words) && plain; i++)
		plain = strlen(words[i]) != n || strncasecmp(words[i], p, n) != 0;
	if (plain)
		buf_add(out, p, n);
	else
		buf_addjson(out, p, n);
}

static void print_names(const char *key, const struct names *s, struct buf *out, const char **comma)
{
	if (!s->n)
		return;
	buf_adds(out, *comma);
	*comma = ", ";
	buf_adds(out, key);
	buf_adds(out, s->all->to ? ": {" : ": [");
	for (unsigned i = 0; i < s->n; i++) {
		if (i)
			buf_adds(out, ", ");
		print_name(s->all[i].text, s->all[i].n, out);
		if (s->all[i].to) {
			buf_adds(out, ": ");
			print_name(s->all[i].to, strlen(s->all[i].to), out);
		}
	}
	buf_adds(out, s->all->to ? "}" : "]");
}

void fields_print(const struct fields *f, struct buf *out)
{
	const char *comma = "";

	buf_addc(out, '{');
	if (f->notation != NOTATION_DOTS) {
		buf_adds(out, f->notation == NOTATION_SNAKE ? "notation: snake" : "notation: camel");
		comma = ", ";
	}
	print_names("keep", &f->keep, out, &comma);
	print_names("drop", &f->drop, out, &comma);
	print_names("rename", &f->rename, out, &comma);
	buf_addc(out, '}');
}
