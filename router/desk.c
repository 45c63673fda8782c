/* desk.c - see desk.h. */
#include "desk.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/log.h"
#include "net/mailbox.h"

struct errand {
	void (*work)(void *arg);
	void (*then)(void *arg);
	void *arg;
	struct errand *next;
};

struct desk {
	struct mailbox *back;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool started, stop;             /* lock: stop */
	struct errand *first, **end;    /* lock */
};

struct desk *desk_new(struct mailbox *back)
{
	struct desk *d = xcalloc(1, sizeof *d);

	d->back = back;
	d->end = &d->first;
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->wake, NULL);
	return d;
}

static void *desk_main(void *arg)
{
	struct desk *d = arg;

	pthread_setname_np(pthread_self(), "desk");
	pthread_mutex_lock(&d->lock);
	while (!d->stop) {
		struct errand *e = d->first;

		if (!e) {
			pthread_cond_wait(&d->wake, &d->lock);
			continue;
		}
		d->first = e->next;
		if (!d->first)
			d->end = &d->first;
		pthread_mutex_unlock(&d->lock);
		e->work(e->arg);
		mailbox_post(d->back, e->then, e->arg);
		free(e);
		pthread_mutex_lock(&d->lock);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

void desk_run(struct desk *d, void (*work)(void *arg), void (*then)(void *arg), void *arg)
{
	struct errand *e = xcalloc(1, sizeof *e);
	sigset_t all, old;

	*e = (struct errand){ .work = work, .then = then, .arg = arg };
	pthread_mutex_lock(&d->lock);
	*d->end = e;
	d->end = &e->next;
	pthread_cond_signal(&d->wake);
	pthread_mutex_unlock(&d->lock);
	if (d->started)
		return;
	/* Signals are the main loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	d->started = pthread_create(&d->thread, NULL, desk_main, d) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!d->started)
		log_error("control", "no-thread", "hint=%s", log_quote("the command waits for the next one that finds a thread to be had"));
}

void desk_free(struct desk *d)
{
	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	d->stop = true;
	pthread_cond_signal(&d->wake);
	pthread_mutex_unlock(&d->lock);
	if (d->started)
		pthread_join(d->thread, NULL);
	while (d->first) {
		struct errand *e = d->first;

		d->first = e->next;
		free(e);
	}
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->wake);
	free(d);
}
