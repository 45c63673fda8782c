/* send_answer.c - what a channel's answer says of the messages of a request.
 *
 * `{"taken":N,"refused":[{"index":I,"reason":"…"}]}`, as the HTTP channel answers; any other 2xx takes all, any other 400 refuses all.
 * A message that was refused is never sent again: it would be refused again. */
#include <string.h>

#include "cli/send.h"
#include "message/body.h"

#define WHY_MAX 200

/* Calls each() for the objects of the list that `at` names; false when there is no such list. */
static bool each_of(const char *body, size_t len, const char *at, struct index *ix, void (*each)(void *arg, const struct message *m), void *arg)
{
	struct body b;
	struct message m;
	enum body_step step;

	body_open(&b, body, len, at);
	while ((step = body_next(&b, ix, &m)) < BODY_END)
		if (step == BODY_MESSAGE)
			each(arg, &m);
	return step == BODY_END;
}

static void text_of(const struct message *m, const char *key, struct buf *out)
{
	const struct slice *f = message_find(m, key, strlen(key));

	if (f && slice_text(m, f, out) < 0)
		buf_add(out, m->bytes + f->value, f->vlen);
}

struct listing {
	unsigned n, listed;
	void (*refused)(void *arg, unsigned index, const char *reason);
	void *arg;
	struct buf reason;
};

static void on_refused(void *arg, const struct message *m)
{
	struct listing *l = arg;
	const struct slice *f = message_find(m, "index", 5);
	int64_t index;

	if (!f || slice_int64(m, f, &index) < 0 || index < 0 || index >= l->n)
		return;
	buf_clear(&l->reason);
	text_of(m, "reason", &l->reason);
	l->listed++;
	l->refused(l->arg, (unsigned)index, l->reason.len ? l->reason.p : "no reason was given");
}

static void on_error(void *arg, const struct message *m)
{
	struct buf *why = arg;

	if (why->len == 0)
		text_of(m, "reason", why);
}

/* Some bytes of an answer that says it in its own way, fit for a terminal. */
static void shorten(struct buf *why, const char *body, size_t len)
{
	bool blank = true;

	for (size_t i = 0; i < len && why->len < WHY_MAX; i++) {
		unsigned char c = (unsigned char)body[i];

		if (c <= ' ' || c == 127) {
			if (!blank)
				buf_addc(why, ' ');
			blank = true;
		} else {
			buf_addc(why, c < 127 ? (char)c : '?');
			blank = false;
		}
	}
}

static void explain(struct buf *why, long status, const char *body, size_t len, struct index *ix)
{
	buf_clear(why);
	if (!each_of(body, len, "errors", ix, on_error, why) || why->len == 0) {
		buf_clear(why);
		shorten(why, body, len);
	}
	if (why->len == 0)
		buf_addf(why, "answered %ld", status);
}

static enum send_verdict verdict_of(long status, unsigned n)
{
	if (status / 100 == 2 || status == 400 || status == 422)
		return SEND_DONE;
	if (status == 413)
		return n > 1 ? SEND_SPLIT : SEND_DONE;
	if (status >= 500 || status == 408 || status == 421 || status == 425 || status == 429)
		return SEND_AGAIN;
	return SEND_NEVER;
}

enum send_verdict send_answer_read(struct send_answer *a, long status, const char *body, size_t len, unsigned n, struct index *ix,
	void (*refused)(void *arg, unsigned index, const char *reason), void *arg)
{
	enum send_verdict verdict = verdict_of(status, n);
	struct listing l = { .n = n, .refused = refused, .arg = arg };
	struct message m;
	const char *stop;
	int64_t taken = -1;

	a->taken = a->listed = 0;
	explain(&a->why, status, body, len, ix);
	if (verdict != SEND_DONE)
		return verdict;
	each_of(body, len, "refused", ix, on_refused, &l);
	buf_fini(&l.reason);
	a->listed = l.listed < n ? l.listed : n;
	if (status / 100 == 2) {
		if (len > 0 && message_index(ix, body, body + len, &m, &stop) == JSON_OK) {
			const struct slice *f = message_find(&m, "taken", 5);

			if (!f || slice_int64(&m, f, &taken) < 0)
				taken = -1;
		}
		a->taken = taken < 0 || taken > n - a->listed ? n - a->listed : (unsigned)taken;
	}
	return verdict;
}
