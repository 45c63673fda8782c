/* http_answer.c - answers, in the order of the requests, as few writes as possible.
 *
 * An answer whose turn it is goes straight into the connection's `out`; one that comes early waits in its request's slot. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/clock.h"
#include "net/http_conn.h"

static struct slot *slot_at(struct http_conn *c, uint64_t request)
{
	return &c->slots[request & (c->cap - 1)];
}

uint64_t slot_open(struct http_conn *c, const struct http_request *r)
{
	if (c->next - c->first == c->cap) {
		unsigned cap = c->cap ? c->cap * 2 : 4;
		struct slot *slots = xcalloc(cap, sizeof *slots);

		for (uint64_t i = c->first; i < c->next; i++)
			slots[i & (cap - 1)] = *slot_at(c, i);
		free(c->slots);
		c->slots = slots;
		c->cap = cap;
	}
	*slot_at(c, c->next) = (struct slot){
		.answer = BUF_INIT,
		.close = !r || !r->keep_alive || c->service->draining,
		.head_only = r && r->method.n == 4 && memcmp(r->method.p, "HEAD", 4) == 0,
		.minor0 = r && r->minor0,
	};
	c->waiting++;
	return c->next++;
}

static void write_answer(struct http_loop *l, struct buf *out, const struct slot *s, const struct http_answer *a)
{
	bool bodyless = a->status < 200 || a->status == 204 || a->status == 304;

	buf_reserve(out, 256 + a->len);
	buf_add(out, "HTTP/1.1 ", 9);
	buf_addu64(out, (uint64_t)a->status);
	buf_addc(out, ' ');
	buf_adds(out, http_status_text(a->status));
	buf_add(out, "\r\nDate: ", 8);
	buf_adds(out, loop_date(l));
	if (!bodyless) {
		buf_add(out, "\r\nContent-Length: ", 18);
		buf_addu64(out, a->len);
	}
	buf_add(out, "\r\n", 2);
	if (a->headers)
		buf_adds(out, a->headers);
	if (s->close)
		buf_adds(out, "Connection: close\r\n");
	else if (s->minor0)
		buf_adds(out, "Connection: keep-alive\r\n");
	buf_add(out, "\r\n", 2);
	if (!bodyless && !s->head_only)
		buf_add(out, a->body, a->len);
}

/* Answers from `first` on that are there go out; the first that closes is the last. */
static void slots_advance(struct http_conn *c)
{
	while (c->first < c->next && slot_at(c, c->first)->answered) {
		struct slot *s = slot_at(c, c->first++);

		if (!c->sealed && s->answer.len > 0)
			buf_add(&c->out, s->answer.p, s->answer.len);
		buf_fini(&s->answer);
		c->sealed |= s->close;
	}
}

void slot_answer(struct http_conn *c, uint64_t request, const struct http_answer *a)
{
	struct slot *s = slot_at(c, request);

	assert(request >= c->first && request < c->next && !s->answered);
	s->answered = true;
	c->waiting--;
	if (c->state == CONN_CLOSED)
		return;
	s->close |= a->close || (c->service->draining && request + 1 == c->next && c->in.len == 0);
	c->service->counters.answers[a->status / 100 < 6 ? a->status / 100 : 0]++;
	if (c->sent == c->out.len)
		c->out_since = clock_mono_us();
	if (request == c->first && !c->sealed)
		write_answer(c->loop, &c->out, s, a);
	else if (!c->sealed)
		write_answer(c->loop, &s->answer, s, a);
	slots_advance(c);
	if (s->close && c->state == CONN_OPEN) /* nothing more is read, even if earlier answers are still due */
		c->state = CONN_LAST;
	if (c->phase == PHASE_IDLE)
		c->since = clock_mono_us();
	loop_dirty(c);
}

void conn_refuse(struct http_conn *c, const struct http_request *r, int status, const char *reason, bool close)
{
	struct buf b = BUF_INIT;

	buf_addf(&b, "{\"errors\":[{\"code\":%d,\"reason\":", status);
	buf_addjson(&b, reason, strlen(reason));
	buf_adds(&b, "}]}\n");
	slot_answer(c, slot_open(c, r), &(struct http_answer){ .status = status, .headers = "Content-Type: application/json\r\n",
		.body = b.p, .len = b.len, .close = close });
	buf_fini(&b);
}

/* n > 0, 0 when it would block, -1 when the connection is no more. */
static ssize_t send_some(struct http_conn *c, const char *p, size_t n)
{
	if (c->ssl) {
		size_t done = 0;

		switch (tls_write(c->ssl, p, n, &done)) {
		case TLS_IO_OK: return (ssize_t)done;
		case TLS_IO_WANT_READ:
		case TLS_IO_WANT_WRITE: return 0;
		default: return -1;
		}
	}
	ssize_t k = send(c->fd, p, n, MSG_NOSIGNAL);

	return k >= 0 ? k : errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -1;
}

void conn_write(struct http_conn *c)
{
	while (c->sent < c->out.len) {
		ssize_t n = send_some(c, c->out.p + c->sent, c->out.len - c->sent);

		if (n < 0) {
			conn_close(c);
			return;
		}
		if (n == 0)
			break;
		c->sent += (size_t)n;
		c->out_mark += (size_t)n;
		c->service->counters.bytes_out += (uint64_t)n;
		if (c->out_mark >= 1024) { /* a client that takes a byte now and then does not live for ever */
			c->out_mark = 0;
			c->out_since = clock_mono_us();
		}
	}
	if (c->sent == c->out.len) {
		if (c->out.cap > PARTIAL_SMALL)
			buf_fini(&c->out);
		else
			buf_clear(&c->out);
		c->sent = 0;
		c->out_mark = 0;
	} else if (c->sent > OUT_HIGH) {
		buf_consume(&c->out, c->sent);
		c->sent = 0;
	}
}

void http_conn_answer(struct http_conn *c, uint64_t request, const struct http_answer *a)
{
	slot_answer(c, request, a);
	if (c->state == CONN_CLOSED && !c->busy)
		conn_update(c);
}
