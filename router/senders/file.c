/* file.c - appends batches of lines to a file or to standard output. Done is said when they are synced.
 *
 * Disks make one wait, and loops must not: a thread of the sender's own writes what has come, all of it with one sync, and tells the loop.
 *
 *   what happens                                          verdict
 *   written and synced (a pipe or terminal: written)       DONE
 *   no such folder, no permission, a folder, read-only     BLOCKED
 *   disk full, I/O error, nobody reads the pipe            RETRY    nothing of the batch stays in the file */
#include "senders/sender.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "net/mailbox.h"
#include "plan/plan.h"
#include "senders/file_parts.h"

struct job {
	struct job *next;
	struct sender *s;
	struct batch *b;             /* NULL: cancelled */
	const char *body;
	size_t len;
	enum file_result result;
	char why[300];
};

struct sender {
	struct sender_host host;
	struct mailbox *mail;
	pthread_t thread;
	bool started;
	_Atomic bool stop;
	pthread_mutex_t lock;
	pthread_cond_t wake, idle;
	/* guarded by lock */
	struct job *waiting, **end;  /* in order */
	struct job *writing;         /* what the thread has in hand */
	struct job *told;            /* on their way back to the loop */
	struct file_settings next;   /* path not NULL: other settings */
};

/* ---- the loop's side --------------------------------------------------------------------------------------------------- */

static void answer(void *arg)
{
	static const enum verdict verdicts[] = { [FILE_WRITTEN] = VERDICT_DONE, [FILE_RETRY] = VERDICT_RETRY, [FILE_BLOCKED] = VERDICT_BLOCKED };
	struct job *j = arg, **at;
	struct sender *s = j->s;
	struct sender_host host = s->host;
	struct batch *b;

	pthread_mutex_lock(&s->lock);
	for (at = &s->told; *at != j; at = &(*at)->next)
		;
	*at = j->next;
	b = j->b;
	pthread_mutex_unlock(&s->lock);
	if (b)
		host.judge(host.arg, b, &(struct judgement){ .verdict = verdicts[j->result], .reason = j->why, .answer = "", .reached = j->result == FILE_WRITTEN });
	free(j);
}

/* ---- the thread ---------------------------------------------------------------------------------------------------------- */

static void write_all(struct file_writer *w, struct job *list)
{
	struct job *last = NULL;
	char why[300] = "";
	enum file_result synced;

	for (struct job *j = list; j; j = j->next) {
		j->result = file_writer_append(w, j->body, j->len, j->why, sizeof j->why);
		last = j;
	}
	synced = last ? file_writer_sync(w, why, sizeof why) : FILE_WRITTEN;
	for (struct job *j = list; synced != FILE_WRITTEN && j; j = j->next)
		if (j->result == FILE_WRITTEN) {
			j->result = synced;
			memcpy(j->why, why, sizeof j->why);
		}
}

static void *run(void *arg)
{
	struct sender *s = arg;
	struct file_writer *w = file_writer_new(&s->stop);

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct file_settings next = s->next;

		s->next.path = NULL;
		if (next.path) {
			file_writer_set(w, &next);
			free(next.path);
		}
		if (!s->waiting && atomic_load(&s->stop))
			break;
		if (!s->waiting) {
			pthread_cond_wait(&s->wake, &s->lock);
			continue;
		}
		s->writing = s->waiting;
		s->waiting = NULL;
		s->end = &s->waiting;
		pthread_mutex_unlock(&s->lock);
		write_all(w, s->writing);
		pthread_mutex_lock(&s->lock);
		while (s->writing) {
			struct job *j = s->writing;

			s->writing = j->next;
			j->next = s->told;
			s->told = j;
			mailbox_post(s->mail, answer, j);
		}
		pthread_cond_broadcast(&s->idle);
	}
	pthread_mutex_unlock(&s->lock);
	file_writer_free(w);
	return NULL;
}

/* ---- the driver -------------------------------------------------------------------------------------------------------------- */

static void settings(struct sender *s, const struct destination *d)
{
	const struct options *rotate = options_map(d->options, "rotate");

	pthread_mutex_lock(&s->lock);
	free(s->next.path);
	s->next = (struct file_settings){ .path = xstrdup(options_text(d->options, "path")) };
	if (rotate) {
		s->next.rotate_size = options_has(rotate, "size") ? (uint64_t)options_int(rotate, "size") : 0;
		s->next.rotate_every_us = options_has(rotate, "every") ? options_int(rotate, "every") : 0;
		s->next.keep = (unsigned)options_int(rotate, "keep");
	}
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

static struct sender *file_new(const struct destination *d, const struct sender_host *h, char *why, size_t whylen)
{
	struct sender *s = xcalloc(1, sizeof *s);
	sigset_t all, old;

	s->host = *h;
	s->end = &s->waiting;
	s->mail = mailbox_new(h->base);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	pthread_cond_init(&s->idle, NULL);
	settings(s, d);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	s->started = pthread_create(&s->thread, NULL, run, s) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (s->started)
		return s;
	snprintf(why, whylen, "the system gives no thread to write with");
	sender_file.free(s);
	return NULL;
}

/* Every reload opens the file anew, so that SIGHUP does what it does for other programs that write files. */
static int file_update(struct sender *s, const struct destination *d, char *why, size_t whylen)
{
	(void)why; (void)whylen;
	settings(s, d);
	return 0;
}

static void file_send(struct sender *s, struct batch *b)
{
	struct job *j = xcalloc(1, sizeof *j);

	*j = (struct job){ .s = s, .b = b, .body = b->body, .len = b->body_len };
	b->driver = j;
	pthread_mutex_lock(&s->lock);
	*s->end = j;
	s->end = &j->next;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

static bool holds(const struct job *list, const struct job *j)
{
	while (list && list != j)
		list = list->next;
	return list != NULL;
}

static void file_cancel(struct sender *s, struct batch *b)
{
	struct job *j = b->driver, **at;

	pthread_mutex_lock(&s->lock);
	atomic_store(&s->stop, true); /* cancelled is what is left at the end */
	while (holds(s->writing, j))
		pthread_cond_wait(&s->idle, &s->lock);
	for (at = &s->waiting; *at && *at != j; at = &(*at)->next)
		;
	if (*at) {
		*at = j->next;
		if (!*at)
			s->end = at;
		free(j);
	} else {
		j->b = NULL;
	}
	pthread_mutex_unlock(&s->lock);
}

static void file_free(struct sender *s)
{
	struct job *j;

	pthread_mutex_lock(&s->lock);
	atomic_store(&s->stop, true);
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	if (s->started)
		pthread_join(s->thread, NULL);
	mailbox_free(s->mail);
	while ((j = s->told)) {
		s->told = j->next;
		free(j);
	}
	free(s->next.path);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->wake);
	pthread_cond_destroy(&s->idle);
	free(s);
}

const struct sender_ops sender_file = {
	.type = "file",
	.joins = true,
	.new = file_new,
	.update = file_update,
	.send = file_send,
	.cancel = file_cancel,
	.free = file_free,
};
