/* names.c - names get small numbers, which are written into rows in place of them.
 *
 * One sequence for all kinds, so that a number alone says whose dead letters lie under it. A number is handed out only when it is on
 * disk: rows that use it must never meet another meaning of it. */
#include <stdlib.h>

#include "store/commit.h"

static struct name *name_make(uint32_t number, enum name_kind kind, const char *text, size_t n)
{
	struct name *e = xcalloc(1, sizeof(*e));
	e->number = number;
	e->kind = kind;
	e->text = xmalloc(n + 2);
	e->text[0] = (char)kind;
	memcpy(e->text + 1, text, n);
	e->text[n + 1] = '\0';
	return e;
}

static void name_enter(struct store *s, struct name *e)
{
	map_put(&s->names, e->text, strlen(e->text), e);
	umap_put(&s->names_by_number, e->number, (uint64_t)(uintptr_t)e);
	if (e->number > s->name_last)
		s->name_last = e->number;
}

static void name_free(struct name *e)
{
	free(e->text);
	free(e);
}

void names_know(struct store *s, uint32_t number, enum name_kind kind, const char *text, size_t n)
{
	struct name *e = name_make(number, kind, text, n);
	e->written = true;
	name_enter(s, e);
}

uint32_t store_find_name(struct store *s, enum name_kind kind, const char *name)
{
	struct name *e = name_make(0, kind, name, strlen(name));
	store_lock(s);
	const struct name *known = map_get(&s->names, e->text, strlen(e->text));
	uint32_t number = known && known->written ? known->number : 0;
	store_unlock(s);
	name_free(e);
	return number;
}

uint32_t store_name(struct store *s, enum name_kind kind, const char *name)
{
	struct name *e = name_make(0, kind, name, strlen(name));
	uint32_t number = 0;
	store_lock(s);
	for (;;) {
		struct name *known = map_get(&s->names, e->text, strlen(e->text));
		if (known && known->written) {
			number = known->number;
			break;
		}
		if (s->stop)
			break;
		if (!known) {
			/* Whoever asks first enters it; whoever asks meanwhile waits for the same. */
			known = e;
			e = name_make(0, kind, name, strlen(name));
			known->number = s->name_last + 1;
			name_enter(s, known);
			known->next = s->name_asks;
			s->name_asks = known;
			pthread_cond_signal(&s->work);
		}
		pthread_cond_wait(&s->moved, &s->lock);
		known = map_get(&s->names, e->text, strlen(e->text));
		if (!known)
			break; /* it could not be written and was taken back */
	}
	store_unlock(s);
	name_free(e);
	return number;
}

/* ---- other texts */

static struct name *written_name(struct store *s, enum name_kind kind, const char *text)
{
	char *key = xmalloc(strlen(text) + 2);
	key[0] = (char)kind;
	memcpy(key + 1, text, strlen(text) + 1);
	struct name *e = map_get(&s->names, key, strlen(key));
	free(key);
	return e && e->written ? e : NULL;
}

static void change(struct name_changes *c, struct name *e, const char *text)
{
	char *copy = xmalloc(strlen(text) + 2);
	copy[0] = (char)e->kind;
	memcpy(copy + 1, text, strlen(text) + 1);
	c->list[c->n++] = (struct name_change){ e, copy };
}

int store_rename(struct store *s, const struct renaming *list, unsigned n)
{
	struct name_changes c = { .list = xcalloc(2 * (size_t)n + 1, sizeof(*c.list)), .state = CHANGES_WAIT };
	store_lock(s);
	for (unsigned i = 0; i < n; i++) {
		struct name *from = written_name(s, list[i].kind, list[i].from), *to = written_name(s, list[i].kind, list[i].to);
		if (!from || from == to)
			continue;
		change(&c, from, list[i].to);
		if (to)
			change(&c, to, list[i].from);
	}
	if (s->stop && c.n)
		c.state = CHANGES_FAILED;
	else if (c.n) {
		s->name_changes = &c;
		pthread_cond_signal(&s->work);
		while (c.state == CHANGES_WAIT)
			pthread_cond_wait(&s->moved, &s->lock);
	}
	store_unlock(s);
	for (unsigned i = 0; i < c.n; i++)
		free(c.list[i].text);
	free(c.list);
	return c.state == CHANGES_FAILED ? -1 : 0;
}

/* They are on disk: the texts change hands. Old ones go out first, for two may have changed places. */
static void changes_written(struct store *s, struct name_changes *c, bool ok)
{
	for (unsigned i = 0; ok && i < c->n; i++)
		map_del(&s->names, c->list[i].name->text, strlen(c->list[i].name->text));
	for (unsigned i = 0; ok && i < c->n; i++) {
		struct name *e = c->list[i].name;
		char *old = e->text;
		e->text = c->list[i].text;
		c->list[i].text = old;
		map_put(&s->names, e->text, strlen(e->text), e);
	}
	c->state = ok ? CHANGES_MADE : CHANGES_FAILED;
}

/* ---- on the commit thread */

static void write_row(struct store *s, uint32_t number, const char *text)
{
	struct key k = key_name(number);
	buf_clear(&s->commit->row);
	sealed_encode(&s->commit->row, &k, text, strlen(text));
	commit_put(s, &k, &s->commit->row);
}

void names_write(struct store *s)
{
	struct commit *c = s->commit;
	for (unsigned i = 0; c->changes && i < c->changes->n; i++)
		write_row(s, c->changes->list[i].name->number, c->changes->list[i].text);
	for (struct name *e = c->names; e; e = e->next) {
		write_row(s, e->number, e->text);
	}
}

void names_written(struct store *s, bool ok)
{
	struct commit *c = s->commit;
	if (c->changes)
		changes_written(s, c->changes, ok);
	c->changes = NULL;
	while (c->names) {
		struct name *e = c->names;
		c->names = e->next;
		e->written = ok;
		if (ok)
			continue;
		map_del(&s->names, e->text, strlen(e->text));
		umap_del(&s->names_by_number, e->number);
		name_free(e);
	}
	pthread_cond_broadcast(&s->moved);
}

void names_fini(struct store *s)
{
	size_t i = 0;
	for (struct umap_slot *slot; (slot = umap_next(&s->names_by_number, &i));)
		name_free((struct name *)(uintptr_t)slot->value);
	map_fini(&s->names);
	umap_fini(&s->names_by_number);
}
