/* send_read.c - the reader of `sluice send`: lines in, batches out, at the pace that was asked for.
 *
 * A batch goes when it is full, or when the reader has to wait for its next line (a pipe that is slow, a rate, recorded time) and the
 * batch's first message is older than the linger: a file goes in full batches, a slow source without delay. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "cli/send.h"

#define READ_SIZE 65536
#define LINE_MAX_BYTES (16u << 20)

struct reader {
	struct send *s;
	struct index ix;
	struct buf scratch, json;
	struct send_csv csv;
	bool skipping; /* in a line that was too long */
};

void send_batch_free(struct send_batch *b)
{
	if (!b)
		return;
	buf_fini(&b->bytes);
	free(b->items);
	free(b);
}

static bool is_over(const struct send *s)
{
	return atomic_load(&s->stop) || send_interrupted;
}

/* Submits what lingers; returns how long the next one may still, at most `most`. */
static int64_t flush_old(struct send *s, int64_t most)
{
	int64_t now = clock_mono_us();

	for (unsigned i = 0; i < s->connections; i++) {
		struct send_batch *b = s->lanes[i].filling;

		if (!b)
			continue;
		int64_t left = b->since_us + SEND_LINGER_US - now;
		if (left <= 0)
			send_submit(&s->lanes[i]);
		else if (left < most)
			most = left;
	}
	pthread_mutex_lock(&s->lock);
	send_draw(s);
	pthread_mutex_unlock(&s->lock);
	return most;
}

/* Until our clock reads `due`. */
static void wait_until(struct send *s, int64_t due)
{
	int64_t left;

	while (!is_over(s) && (left = due - clock_mono_us()) > 0) {
		int64_t nap = flush_old(s, left < SEND_LINGER_US ? left : SEND_LINGER_US);
		struct timespec ts = { .tv_sec = nap / 1000000, .tv_nsec = nap % 1000000 * 1000 };
		nanosleep(&ts, NULL);
	}
}

static void pace(struct send *s, const struct message *m)
{
	int64_t now = clock_mono_us(), due = now, theirs;
	const struct slice *f = s->speed > 0 ? message_find(m, "timestamp", 9) : NULL;

	if (s->rate > 0) {
		/* What was missed while the channel was slow is not made up for in one burst. */
		if (s->rate_due < now - SEND_LINGER_US)
			s->rate_due = now - SEND_LINGER_US;
		due = s->rate_due;
		s->rate_due += (int64_t)(1e6 / s->rate);
	}
	if (f && slice_time_us(m, f, &theirs) == 0) {
		if (!s->recorded_began) {
			s->recorded_began = true;
			s->recorded_first = theirs;
			s->recorded_start = now;
		}
		int64_t at = s->recorded_start + (int64_t)(((double)theirs - (double)s->recorded_first) / s->speed);
		if (at > due)
			due = at;
	}
	if (due > now)
		wait_until(s, due);
}

static struct send_lane *lane_of(struct reader *r, const struct message *m)
{
	const struct slice *f = message_find(m, "ident", 5);
	const char *ident = "";
	size_t n = 0;

	if (f && slice_view(m, f, &r->scratch, &ident, &n) < 0) {
		ident = m->bytes + f->value;
		n = f->vlen;
	}
	return &r->s->lanes[hash_stable(ident, n) % r->s->connections];
}

static void add(struct send_lane *lane, const struct message *m, uint64_t line)
{
	struct send_batch *b = lane->filling;

	if (!b) {
		b = lane->filling = xcalloc(1, sizeof *b);
		b->since_us = clock_mono_us();
	}
	if (b->n == b->cap) {
		b->cap = b->cap ? b->cap * 2 : 64;
		b->items = xrealloc(b->items, b->cap * sizeof *b->items);
	}
	buf_add(&b->bytes, m->bytes, m->len);
	buf_addc(&b->bytes, ',');
	b->items[b->n++] = (struct send_item){ .end = b->bytes.len, .line = line };
	if (b->n >= lane->send->batch || b->bytes.len >= SEND_BATCH_BYTES)
		send_submit(lane);
}

static void bad_line(struct send *s, const char *reason, size_t column)
{
	if (column > 0)
		send_tell(s, "%s:%llu:%zu: %s", s->file, (unsigned long long)s->line, column, reason);
	else
		send_tell(s, "%s:%llu: %s", s->file, (unsigned long long)s->line, reason);
	pthread_mutex_lock(&s->lock);
	s->counts.bad++;
	pthread_mutex_unlock(&s->lock);
}

/* p: n bytes without the newline, with MESSAGE_PAD readable bytes behind them. */
static void take_line(struct reader *r, const char *p, size_t n)
{
	struct send *s = r->s;
	struct message m;
	const char *stop;
	enum json_fault fault;

	while (n > 0 && (p[n - 1] == '\r' || p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	if (n == 0)
		return;
	if (s->csv) {
		const char *why;
		enum send_row row = send_csv_row(&r->csv, p, n, &r->json, &why);

		if (row == SEND_ROW_BAD)
			bad_line(s, why, 0);
		if (row != SEND_ROW_WHOLE)
			return;
		buf_reserve(&r->json, MESSAGE_PAD);
		p = r->json.p;
		n = r->json.len;
	}
	fault = message_index(&r->ix, p, p + n, &m, &stop);
	if (fault != JSON_OK) {
		bad_line(s, json_fault_text(fault), json_fault_is_alone(fault) ? 0 : (size_t)(stop - p) + 1);
		return;
	}
	if (stop != p + n) {
		bad_line(s, "something follows the message: each stands on a line of its own", (size_t)(stop - p) + 1);
		return;
	}
	if (s->rate > 0 || s->speed > 0)
		pace(s, &m);
	if (is_over(s))
		return;
	pthread_mutex_lock(&s->lock);
	s->counts.messages++;
	pthread_mutex_unlock(&s->lock);
	add(lane_of(r, &m), &m, s->line);
}

/* The lines that are whole in s->input; at the end of the file also the last one. */
static void take_lines(struct reader *r, bool end)
{
	struct send *s = r->s;
	char *nl;

	while (!is_over(s) && s->at < s->input.len) {
		char *p = s->input.p + s->at;
		size_t left = s->input.len - s->at;

		nl = memchr(p, '\n', left);
		if (!nl && !end) {
			if (left > LINE_MAX_BYTES && !r->skipping) {
				r->skipping = true;
				s->line++;
				bad_line(s, "longer than 16 MiB", 0);
			}
			if (r->skipping)
				s->at = s->input.len;
			break;
		}
		s->at += nl ? (size_t)(nl - p) + 1 : left;
		if (r->skipping) {
			r->skipping = false;
			continue;
		}
		s->line++;
		take_line(r, p, nl ? (size_t)(nl - p) : left);
	}
}

/* Waits until there is something to read, batches that linger going meanwhile. */
static void wait_readable(struct send *s)
{
	struct pollfd fd = { .fd = s->fd, .events = POLLIN };

	while (!is_over(s) && poll(&fd, 1, 0) == 0) {
		int64_t nap = flush_old(s, SEND_LINGER_US);
		if (poll(&fd, 1, (int)(nap / 1000) + 1) != 0)
			break;
	}
}

static int read_pass(struct reader *r)
{
	struct send *s = r->s;

	s->at = s->line = 0;
	send_csv_fini(&r->csv);
	r->csv.n = 0;
	buf_clear(&s->input);
	r->skipping = false;
	s->recorded_began = false;
	for (;;) {
		buf_consume(&s->input, s->at);
		s->at = 0;
		buf_reserve(&s->input, READ_SIZE + MESSAGE_PAD);
		wait_readable(s);
		if (is_over(s))
			return 0;
		ssize_t n = read(s->fd, s->input.p + s->input.len, READ_SIZE);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0) {
			send_tell(s, "sluice send: %s: %s", s->file, strerror(errno));
			return EX_IOERR;
		}
		s->input.len += (size_t)n;
		s->seen += (uint64_t)n;
		take_lines(r, n == 0);
		if (n == 0)
			return 0;
	}
}

static int open_input(struct send *s)
{
	struct stat st;

	if (strcmp(s->file, "-") == 0) {
		s->fd = STDIN_FILENO;
		s->file = "stdin";
	} else {
		s->fd = open(s->file, O_RDONLY | O_CLOEXEC);
	}
	if (s->fd < 0 || fstat(s->fd, &st) < 0 || S_ISDIR(st.st_mode)) {
		send_tell(s, "sluice send: %s: %s", s->file, strerror(s->fd < 0 ? errno : EISDIR));
		return EX_NOINPUT;
	}
	if (S_ISREG(st.st_mode)) {
		s->size = (uint64_t)st.st_size * (uint64_t)s->loop;
	} else if (s->loop != 1) {
		send_tell(s, "sluice send: %s: cannot be read again, so --loop needs a file", s->file);
		return EX_USAGE;
	}
	return 0;
}

int send_read(struct send *s)
{
	struct reader r = { .s = s, .scratch = BUF_INIT };
	int status = open_input(s);

	if (status != 0)
		return status;
	index_init(&r.ix);
	s->rate_due = clock_mono_us();
	for (int64_t pass = 0; status == 0 && !is_over(s) && (s->loop == 0 || pass < s->loop); pass++) {
		if (pass > 0 && lseek(s->fd, 0, SEEK_SET) < 0)
			break;
		uint64_t before = s->counts.messages; /* the reader alone counts these */
		status = read_pass(&r);
		if (s->counts.messages == before)
			break; /* nothing in it, however often it is read */
	}
	for (unsigned i = 0; i < s->connections; i++)
		send_submit(&s->lanes[i]);
	if (s->fd != STDIN_FILENO)
		close(s->fd);
	index_fini(&r.ix);
	buf_fini(&r.scratch);
	buf_fini(&r.json);
	send_csv_fini(&r.csv);
	buf_fini(&s->input);
	return status;
}
