/* sink_stream.c - `sluice sink --as tcp | wialon-retranslator | wialon-ips`: far ends that talk over a connection.
 *
 * A form finds the messages in what comes and words the answers; what becomes of a message is decided in one place, as for HTTP. An answer is
 * given for each message, in order; --delay holds back all that follows. */
#include <event2/event.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "cli/sink.h"
#include "cli/sink_stream.h"
#include "net/wire.h"

#define ONCE_MAX 100000
#define LINGER_US 2000000
#define INPUT_MAX (64u << 20)

struct late { struct late *next; int64_t due_us; struct buf bytes; bool close; };

struct sink_stream {
	struct sink_stream *next, **at;
	struct sink *sink;
	struct wire *wire;
	struct sink_talk talk;
	struct event *timer;
	struct late *late, **late_end;
	bool over;                   /* nothing that comes is looked at any more */
	bool eof, finishing;
};

/* ---- answers --------------------------------------------------------------------------------------------------------------- */

static void stream_free(struct sink_stream *c)
{
	struct sink *s = c->sink;
	struct late *l;

	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	while ((l = c->late)) {
		c->late = l->next;
		buf_fini(&l->bytes);
		free(l);
	}
	wire_free(c->wire);
	event_free(c->timer);
	buf_fini(&c->talk.ident);
	free(c);
	if (s->ending && !s->streams)
		event_base_loopexit(s->base, NULL);
}

static void arm(struct sink_stream *c)
{
	int64_t left = c->late->due_us - clock_mono_us();
	const struct timeval tv = { left > 0 ? left / 1000000 : 0, left > 0 ? left % 1000000 : 0 };

	evtimer_add(c->timer, &tv);
}

static void finish(struct sink_stream *c)
{
	c->finishing = true;
	wire_finish(c->wire, LINGER_US);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct sink_stream *c = arg;

	(void)fd; (void)what;
	while (c->late && c->late->due_us <= clock_mono_us()) {
		struct late *l = c->late;
		bool close = l->close;

		c->late = l->next;
		if (!c->late)
			c->late_end = &c->late;
		wire_write(c->wire, l->bytes.p ? l->bytes.p : "", l->bytes.len);
		buf_fini(&l->bytes);
		free(l);
		if (close) {
			stream_free(c);
			return;
		}
	}
	if (c->late)
		arm(c);
	else if (c->sink->ending || c->eof)
		finish(c);
}

/* What is to be said, now or later; then, if it is so, the connection is closed without a word. */
static void say(struct sink_stream *c, const struct buf *text, bool close)
{
	struct late *l;

	c->over |= close;
	if (!c->sink->delay_us && !c->late && !close) {
		wire_write(c->wire, text->p ? text->p : "", text->len);
		return;
	}
	l = xcalloc(1, sizeof *l);
	l->due_us = clock_mono_us() + c->sink->delay_us;
	l->close = close;
	buf_add(&l->bytes, text->p, text->len);
	*c->late_end = l;
	c->late_end = &l->next;
	if (c->late == l)
		arm(c);
}

/* ---- what becomes of a message ------------------------------------------------------------------------------------------------- */

/* Every Nth message that is not one coming again is put off; when it comes again it is taken. */
static bool put_off_once(struct sink *s, const char *p, size_t n)
{
	uint64_t key = hash_bytes(p, n) & INT64_MAX;

	if (umap_del(&s->once, key) || ++s->fresh % s->once_per != 0)
		return false;
	if (s->once.n >= ONCE_MAX) {
		umap_fini(&s->once);
		umap_init(&s->once);
	}
	umap_put(&s->once, key, 1);
	return true;
}

static enum sink_fate fate_of(struct sink *s, const char *raw, size_t n, const char *json, size_t len, const char **why)
{
	struct message m;
	const char *stop;

	*why = "";
	if (s->drop_after >= 0 && s->since_drop++ >= (uint64_t)s->drop_after) {
		s->since_drop = 0;
		return SINK_DROPPED;
	}
	*why = "out of service (SIGUSR1)";
	if (s->down)
		return SINK_LATER;
	*why = "put off once (--once-per)";
	if (s->once_per > 0 && put_off_once(s, raw, n))
		return SINK_LATER;
	*why = "not a message";
	if (!json || message_index(&s->ix, json, json + len, &m, &stop) != JSON_OK)
		return SINK_REFUSED;
	*why = "refused (--refuse)";
	if (sink_is_refused(s, &m))
		return SINK_REFUSED;
	*why = "told so (--status)";
	return s->status >= 500 ? SINK_LATER : s->status >= 300 ? SINK_REFUSED : SINK_TAKEN;
}

static void show(struct sink *s, const struct sink_stream *c, enum sink_fate fate, const char *text, size_t n)
{
	static const char *const words[] = { [SINK_TAKEN] = "", [SINK_LATER] = "(later) ", [SINK_REFUSED] = "(refused) ", [SINK_DROPPED] = "(dropped) " };
	char now[16];

	if (!s->quiet && !s->count) {
		printf("%s %s %s%.*s\n", sink_time(now), c->talk.name, words[fate], (int)n, text);
		if (fflush(stdout) != 0 || ferror(stdout))
			event_base_loopbreak(s->base);
	}
	if (s->out && fate == SINK_TAKEN) {
		fwrite(text, 1, n, s->out);
		fputc('\n', s->out);
		fflush(s->out);
	}
}

enum sink_fate sink_take(struct sink_talk *t, const char *raw, size_t n, const char *json, size_t len, const char **why)
{
	struct sink_stream *c = t->stream;
	struct sink *s = c->sink;
	enum sink_fate fate = fate_of(s, raw, n, json, len, why);

	s->requests++;
	s->dropped += fate == SINK_DROPPED;
	if (fate == SINK_TAKEN) {
		s->accepted++;
		sink_path(s, t->name)->accepted++;
	} else {
		s->refused++;
	}
	show(s, c, fate, json ? json : raw, json ? len : n < 200 ? n : 200);
	return fate;
}

/* ---- connections --------------------------------------------------------------------------------------------------------------- */

static void on_input(void *arg)
{
	struct sink_stream *c = arg;
	struct buf said = BUF_INIT;
	size_t n, used = 1;

	while (!c->over && used > 0) {
		const char *p = wire_input(c->wire, &n);
		bool close = false;

		if (n == 0)
			break;
		buf_clear(&said);
		used = c->talk.read(&c->talk, p, n, &said, &close);
		if (said.len || close)
			say(c, &said, close);
		wire_consume(c->wire, used);
	}
	if (c->over) {
		wire_input(c->wire, &n);
		wire_consume(c->wire, n);
	}
	buf_fini(&said);
}

static void on_end(void *arg, enum wire_end how, const char *why)
{
	struct sink_stream *c = arg;

	(void)why;
	c->eof = true;
	if (how != WIRE_CLOSED || c->finishing)
		stream_free(c);
	else if (!c->late) /* else its answers are still owed */
		finish(c);
}

static const struct wire_calls calls = { .input = on_input, .end = on_end };

void sink_stream_new(struct sink *s, int fd)
{
	struct sink_stream *c = xcalloc(1, sizeof *c);

	c->sink = s;
	c->late_end = &c->late;
	c->next = s->streams;
	c->at = &s->streams;
	if (c->next)
		c->next->at = &c->next;
	s->streams = c;
	c->talk = *s->as;
	c->talk.stream = c;
	c->timer = evtimer_new(s->base, on_late, c);
	c->wire = wire_accept(s->base, fd, NULL, &(struct wire_settings){ .input_max = INPUT_MAX }, &calls, c);
}

void sink_streams_drain(struct sink *s)
{
	for (struct sink_stream *c = s->streams, *next; c; c = next) {
		next = c->next;
		c->over = true;
		if (!c->late && !c->finishing)
			finish(c);
	}
}

void sink_streams_free(struct sink *s)
{
	while (s->streams)
		stream_free(s->streams);
}
