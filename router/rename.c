/* rename.c - see rename.h.
 *
 * The hard idea is that `was:` stays in the file. It is read again at every reload and start, when there is nothing to rename any more, and
 * perhaps something that must not be: OLD may be a stream's name again later, and NEW has a life of its own. So NEW takes over what was OLD's
 * only while it has nothing itself:
 *
 *	OLD is not known                                    nothing to do: it was done, or there never was such a stream
 *	NEW runs, or has messages or dead letters kept      nothing is moved; if OLD has some too, they stay under their name and that is told
 *	OLD does not run, has nothing kept, and NEW had a life   nothing to do
 *	else                                                OLD's numbers get NEW's names, and the other way round */
#include "rename.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "plan/plan.h"
#include "store/store.h"

#define BETWEEN " > " /* in the name of a buffer: stream > destination > form */

struct renames {
	struct renaming *list;
	unsigned n, cap;
	struct told { char *object, *was; uint64_t kept, lived; } *told;  /* for the log, once it is done */
	unsigned ntold;
};

/* What is known of all buffers of one stream. */
struct belongings {
	const char *prefix;           /* "OLD > " */
	uint64_t kept, lived;         /* messages and dead letters; all that were ever counted */
	struct renames *renames;      /* with another name for each of them, or NULL */
	const char *to;               /* that name's stream */
};

static void rename_add(struct renames *r, enum name_kind kind, char *from, char *to)
{
	if (r->n == r->cap)
		r->list = xrealloc(r->list, (r->cap = r->cap ? 2 * r->cap : 8) * sizeof *r->list);
	r->list[r->n++] = (struct renaming){ kind, from, to };
}

static char *joined(const char *stream, const char *rest)
{
	struct buf b = BUF_INIT;

	buf_adds(&b, stream);
	buf_adds(&b, rest);
	return buf_take(&b);
}

static bool look(void *arg, uint32_t number, const char *name, const struct buffer_counts *c)
{
	struct belongings *b = arg;
	const char *second;

	(void)number;
	/* "a > b > http > json" is no buffer of "a". */
	if (strncmp(name, b->prefix, strlen(b->prefix)) != 0 || !(second = strstr(name + strlen(b->prefix), BETWEEN)) || strstr(second + 1, BETWEEN))
		return true;
	b->kept += c->buffered + c->dead_kept;
	b->lived += c->matched;
	if (b->renames)
		rename_add(b->renames, NAME_BUFFER, xstrdup(name), joined(b->to, name + strlen(b->prefix) - strlen(BETWEEN)));
	return true;
}

static struct belongings belongings_of(struct store *s, const char *stream, struct renames *renames, const char *to)
{
	char *prefix = joined(stream, BETWEEN);
	struct belongings b = { .prefix = prefix, .renames = renames, .to = to };

	store_each_name(s, NAME_BUFFER, look, &b);
	free(prefix);
	b.prefix = NULL;
	return b;
}

static char *object_of(const struct stream *st)
{
	return joined("stream/", st->name);
}

static bool is_due(struct store *s, const struct stream *st, const struct plan *now, struct belongings *old)
{
	struct belongings new;
	char *object;
	bool in_use = now && plan_stream(now, st->name);

	if (!store_find_name(s, NAME_STREAM, st->was))
		return false;
	*old = belongings_of(s, st->was, NULL, NULL);
	new = belongings_of(s, st->name, NULL, NULL);
	if (in_use || new.kept > 0) {
		if (old->kept > 0) {
			object = object_of(st);
			log_warn(object, "not-renamed", "was=%s kept=%llu reason=%s hint=%s", log_quote(st->was), (unsigned long long)old->kept,
				log_quote(in_use ? "the new name is in use already" : "there are messages under the new name too"),
				log_quote("what lies under the old name stays there and is listed by status"));
			free(object);
		}
		return false;
	}
	if (now && plan_stream(now, st->was))
		return true;
	if (new.lived > 0)
		return old->kept > 0;
	return old->lived > 0 || old->kept > 0 || !store_find_name(s, NAME_STREAM, st->name);
}

static struct renames *renames_new(unsigned streams)
{
	struct renames *r = xcalloc(1, sizeof *r);

	r->told = xcalloc(streams, sizeof *r->told);
	return r;
}

struct renames *renames_find(struct store *s, struct plan *next, const struct plan *now)
{
	struct renames *r = NULL;

	for (unsigned i = 0; i < next->nstreams; i++) {
		struct stream *st = &next->streams[i];
		struct belongings old;
		char *buffer;

		if (!st->was || !is_due(s, st, now, &old))
			continue;
		if (!r)
			r = renames_new(next->nstreams);
		belongings_of(s, st->was, r, st->name);
		rename_add(r, NAME_STREAM, xstrdup(st->was), xstrdup(st->name));
		buffer = joined(st->was, st->buffer_name + strlen(st->name));
		st->number = store_find_name(s, NAME_STREAM, st->was);
		st->buffer = store_find_name(s, NAME_BUFFER, buffer);
		r->told[r->ntold++] = (struct told){ object_of(st), xstrdup(st->was), old.kept, old.lived };
		free(buffer);
	}
	return r;
}

int renames_write(struct store *s, const struct renames *r)
{
	if (store_rename(s, r->list, r->n) < 0)
		return -1;
	for (unsigned i = 0; i < r->ntold; i++) {
		const struct told *t = &r->told[i];
		const char *object = t->object;

		log_info(object, "renamed", "was=%s kept=%llu counted=%llu", log_quote(t->was), (unsigned long long)t->kept, (unsigned long long)t->lived);
	}
	return 0;
}

void renames_free(struct renames *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < r->n; i++) {
		free((char *)(uintptr_t)r->list[i].from);
		free((char *)(uintptr_t)r->list[i].to);
	}
	for (unsigned i = 0; i < r->ntold; i++) {
		free(r->told[i].object);
		free(r->told[i].was);
	}
	free(r->told);
	free(r->list);
	free(r);
}
