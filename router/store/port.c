/* port.c - results on their way to the worker that waits for them.
 *
 * The hard idea: one eventfd write per port and commit, not one per result. Whoever adds a result (with the lock) marks
 * the port dirty; ports_signal writes the eventfds once, and only of ports that are not signalled already. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "store/states.h"

struct port *port_new(struct store *s)
{
	struct port *p = xcalloc(1, sizeof(*p));
	p->store = s;
	p->refs = 1;
	p->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert(p->fd >= 0);
	TICKET_LIST_INIT(p->done_first, p->done_end);
	TICKET_LIST_INIT(p->claim_first, p->claim_end);
	p->wake_end = &p->wake_first;
	store_lock(s);
	p->all_next = s->ports;
	s->ports = p;
	store_unlock(s);
	return p;
}

static void port_destroy(struct port *p)
{
	struct port **at = &p->store->ports;
	while (*at != p)
		at = &(*at)->all_next;
	*at = p->all_next;
	close(p->fd);
	free(p);
}

void ports_fini(struct store *s)
{
	while (s->ports) {
		struct port *p = s->ports;
		while (p->done_first) {
			struct ticket *t = p->done_first;
			p->done_first = t->next;
			ticket_free(t);
		}
		port_destroy(p);
	}
}

void port_unref(struct port *p)
{
	if (--p->refs)
		return;
	assert(p->freed && !p->dirty);
	port_destroy(p);
}

void port_free(struct port *p)
{
	if (!p)
		return;
	struct store *s = p->store;
	store_lock(s);
	assert(!p->wake_first && !p->claim_first); /* its buffers must be detached, its claims ended */
	p->freed = true;
	struct ticket *t = p->done_first, *next;
	TICKET_LIST_INIT(p->done_first, p->done_end);
	unsigned n = 0;
	for (struct ticket *i = t; i; i = i->next)
		n++;
	while (n--)
		port_unref(p);
	port_unref(p);
	store_unlock(s);
	for (; t; t = next) {
		next = t->next;
		ticket_free(t);
	}
}

int port_fd(const struct port *p)
{
	return p->fd;
}

void port_dirty(struct port *p)
{
	if (p->dirty || p->signalled || p->freed)
		return;
	p->dirty = true;
	p->dirty_next = p->store->ports_dirty;
	p->store->ports_dirty = p;
}

void ports_signal(struct store *s)
{
	while (s->ports_dirty) {
		struct port *p = s->ports_dirty;
		s->ports_dirty = p->dirty_next;
		p->dirty = false;
		p->signalled = true;
		uint64_t one = 1;
		while (write(p->fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
	}
}

void port_done(struct port *p, struct ticket *t)
{
	if (p->freed) {
		port_unref(p);
		ticket_free(t);
		return;
	}
	t->next = NULL;
	*p->done_end = t;
	p->done_end = &t->next;
	port_dirty(p);
}

void port_claim(struct port *p, struct claim *c)
{
	c->due = true;
	c->next = NULL;
	*p->claim_end = c;
	p->claim_end = &c->next;
	port_dirty(p);
}

void port_claim_undo(struct port *p, struct claim *c)
{
	struct claim **at = &p->claim_first;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	if (!*at)
		p->claim_end = at;
	c->due = false;
}

/* One at a time: a callback may end a claim that is due. */
static void run_claims(struct port *p)
{
	struct store *s = p->store;
	store_lock(s);
	struct claim *last = NULL;
	for (struct claim *c = p->claim_first; c; c = c->next)
		last = c;
	for (bool more = last != NULL; more && p->claim_first;) {
		struct claim *c = p->claim_first;
		more = c != last;
		port_claim_undo(p, c);
		store_unlock(s);
		c->ready(c->arg, c->stage == CLAIM_FAILED ? "the state of a device cannot be read now" : NULL);
		store_lock(s);
	}
	store_unlock(s);
}

void port_run(struct port *p)
{
	struct store *s = p->store;
	uint64_t n;
	store_lock(s);
	while (read(p->fd, &n, sizeof(n)) < 0 && errno == EINTR)
		;
	p->signalled = false;
	/* What a callback adds is for the next run: the loop gets its turn in between. */
	struct ticket *done = p->done_first;
	TICKET_LIST_INIT(p->done_first, p->done_end);
	struct buffer *last_wake = NULL;
	for (struct buffer *b = p->wake_first; b; b = b->wake_next)
		last_wake = b;
	store_unlock(s);
	while (done) {
		struct ticket *t = done;
		done = t->next;
		if (t->done)
			t->done(t->arg, t->result, t->why);
		store_lock(s);
		port_unref(p);
		store_unlock(s);
		ticket_free(t);
	}
	run_claims(p);
	for (bool more = last_wake != NULL; more;) {
		store_lock(s);
		struct buffer *b = p->wake_first;
		if (b) {
			/* A buffer may have left the list since, even the last one: then the end comes of itself. */
			more = b != last_wake;
			p->wake_first = b->wake_next;
			if (!p->wake_first)
				p->wake_end = &p->wake_first;
			b->wake_due = false;
		}
		void (*wake)(void *) = b ? b->wake : NULL;
		void *arg = b ? b->wake_arg : NULL;
		store_unlock(s);
		if (!b)
			break;
		if (wake)
			wake(arg);
	}
}
