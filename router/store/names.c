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

void names_write(struct store *s)
{
	struct commit *c = s->commit;
	for (struct name *e = c->names; e; e = e->next) {
		struct key k = key_name(e->number);
		buf_clear(&c->row);
		sealed_encode(&c->row, &k, e->text, strlen(e->text));
		commit_put(s, &k, &c->row);
	}
}

void names_written(struct store *s, bool ok)
{
	struct commit *c = s->commit;
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
