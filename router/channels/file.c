/* file.c - file channels: which files are followed, on the main loop. Each is read on one worker (file_follow.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "channels/file_parts.h"
#include "net/mailbox.h"
#include "plan/plan.h"

struct file {
	struct file *next;
	struct channel_type *type;
	char *name, *path, *data;
	uint32_t number;
	bool wanted, ending;
	struct intake_loop *loop;
	struct follow *follow;      /* the loop's */
};

struct channel_type {
	const struct channel_host *host;
	struct mailbox *mail;       /* of the main loop */
	struct file *files;
	void (*stopped)(void *arg);
	void *stopped_arg;
};

static bool is_file(const struct channel *c)
{
	return c->enabled && strcmp(c->type, channel_file.type) == 0;
}

static struct channel_type *file_new(const struct channel_host *h)
{
	struct channel_type *t = xcalloc(1, sizeof *t);

	t->host = h;
	t->mail = mailbox_new(h->base);
	return t;
}

/* Two that read one file would each take every line, and both keep their place in it; two of standard input would share its lines by chance. */
static int file_check(const struct channel *c, const struct channel *beside, char *why, size_t whylen)
{
	const char *path = options_text(c->options, "path");

	if (!beside || !is_file(beside) || strcmp(path, options_text(beside->options, "path")) != 0)
		return 0;
	snprintf(why, whylen, "channels '%s' and '%s' both read %s", beside->name, c->name, path);
	return -1;
}

static void file_whereabouts(const struct channel *c, struct whereabouts *d)
{
	buf_addf(&d->house, "file %s", options_text(c->options, "path"));
}

/* Files are opened, and waited for, once it runs. */
static int file_prepare(struct channel_type *t, const struct plan *next, char *why, size_t whylen)
{
	(void)t;
	(void)next;
	(void)why;
	(void)whylen;
	return 0;
}

static void file_abort(struct channel_type *t)
{
	(void)t;
}

/* ---- to the workers and back -------------------------------------------------------------------------------------------- */

static void file_free_one(struct file *f)
{
	free(f->name);
	free(f->path);
	free(f->data);
	free(f);
}

static void on_ended(void *arg)
{
	struct file *f = arg, **at;
	struct channel_type *t = f->type;

	for (at = &t->files; *at != f; at = &(*at)->next)
		;
	*at = f->next;
	file_free_one(f);
	if (!t->files && t->stopped)
		t->stopped(t->stopped_arg);
}

static void ended(void *arg)
{
	struct file *f = arg;

	mailbox_post(f->type->mail, on_ended, f);
}

static void run_start(void *arg)
{
	struct file *f = arg;

	f->follow = follow_new(f->loop, f->type->host, f->name, f->path, f->data, f->number);
}

static void run_end(void *arg)
{
	struct file *f = arg;

	follow_end(f->follow, ended, f);
}

static void end(struct file *f)
{
	if (f->ending)
		return;
	f->ending = true;
	f->type->host->post(f->type->host->arg, f->loop, run_end, f);
}

static void want(struct channel_type *t, const struct plan *now, const struct channel *c)
{
	const char *path = options_text(c->options, "path");
	struct file *f = t->files;

	while (f && (f->ending || strcmp(f->name, c->name) != 0 || strcmp(f->path, path) != 0))
		f = f->next;
	if (f) {
		f->wanted = true;
		return;
	}
	f = xcalloc(1, sizeof *f);
	f->type = t;
	f->name = xstrdup(c->name);
	f->path = xstrdup(path);
	f->data = xstrdup(now->settings.data);
	f->number = c->number;
	f->wanted = true;
	f->next = t->files;
	t->files = f;
	f->loop = t->host->pick(t->host->arg);
	t->host->post(t->host->arg, f->loop, run_start, f);
}

static void file_commit(struct channel_type *t, const struct plan *now)
{
	for (struct file *f = t->files; f; f = f->next)
		f->wanted = false;
	for (unsigned i = 0; i < now->nchannels; i++)
		if (is_file(&now->channels[i]))
			want(t, now, &now->channels[i]);
	for (struct file *f = t->files; f; f = f->next)
		if (!f->wanted)
			end(f);
}

static void file_resume(struct channel_type *t, struct intake_loop *l)
{
	(void)t;
	for (struct follow *f = l->file, *next; f; f = next) {
		next = follow_next(f);
		follow_look(f);
	}
}

static void file_stop(struct channel_type *t, void (*done)(void *arg), void *arg)
{
	t->stopped = done;
	t->stopped_arg = arg;
	if (!t->files) {
		t->stopped = NULL;
		done(arg);
	}
	for (struct file *f = t->files; f; f = f->next)
		end(f);
}

static void file_free(struct channel_type *t)
{
	struct file *f;

	while ((f = t->files)) {
		t->files = f->next;
		while (f->loop->file)
			follow_free(f->loop->file);
		file_free_one(f);
	}
	mailbox_free(t->mail);
	free(t);
}

const struct channel_ops channel_file = {
	.type = "file",
	.new = file_new,
	.check = file_check,
	.whereabouts = file_whereabouts,
	.prepare = file_prepare,
	.abort = file_abort,
	.commit = file_commit,
	.resume = file_resume,
	.stop = file_stop,
	.free = file_free,
};
