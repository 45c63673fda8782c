/* null.c - the destination that accepts everything: for trying things on, and the smallest correct driver.
 *
 * What every driver must do is all here: answer each batch once, later than send() returns, and forget a batch that is cancelled. */
#include "senders/sender.h"

#include <stdlib.h>

#include <event2/event.h>

#include "base/arena.h"

struct sender {
	struct sender_host host;
};

static struct sender *null_new(const struct destination *d, const struct sender_host *h, char *why, size_t whylen)
{
	(void)d, (void)why, (void)whylen;
	struct sender *s = xcalloc(1, sizeof *s);
	s->host = *h;
	return s;
}

static int null_update(struct sender *s, const struct destination *d, char *why, size_t whylen)
{
	(void)s, (void)d, (void)why, (void)whylen;
	return 0;
}

struct answering {
	struct sender *s;
	struct batch *b;
	struct event *soon;
};

static void answer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	struct answering *a = arg;
	a->s->host.judge(a->s->host.arg, a->b, &(struct judgement){ .verdict = VERDICT_DONE, .reason = "", .answer = "", .reached = true });
	event_free(a->soon);
	free(a);
}

static void null_send(struct sender *s, struct batch *b)
{
	struct answering *a = xcalloc(1, sizeof *a);
	*a = (struct answering){ .s = s, .b = b };
	a->soon = evtimer_new(s->host.base, answer, a);
	b->driver = a;
	event_active(a->soon, EV_TIMEOUT, 0);
}

static void null_cancel(struct sender *s, struct batch *b)
{
	(void)s;
	struct answering *a = b->driver;
	event_free(a->soon);
	free(a);
}

static void null_free(struct sender *s)
{
	free(s);
}

const struct sender_ops sender_null = {
	.type = "null",
	.joins = true,
	.new = null_new,
	.update = null_update,
	.send = null_send,
	.cancel = null_cancel,
	.free = null_free,
};
