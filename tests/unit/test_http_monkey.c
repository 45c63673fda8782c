/* Whatever order things happen in: clients that send in pieces, ahead, chunked, that half-close or vanish; answers given in any order,
 * sooner or later; pauses. A client that stays gets every answer, whole and in order; nothing is held when all is over. */
#include "http_kit.h"

#define CLIENTS 24
#define ROUNDS 40000

static uint64_t seed = 88172645463325252u;

static unsigned roll(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 11) % n;
}

struct client {
	int fd;
	unsigned sent, answered;  /* requests written whole into `out`, answers read */
	struct buf out, in;
	size_t at;                /* of out */
	bool shut;
};

struct held { struct http_conn *c; uint64_t request; struct buf body; };

struct monkey {
	struct server s;
	struct held held[4096];
	unsigned nheld;
	uint64_t checked;
};

static void monkey_request(struct http_conn *c, uint64_t request, const struct http_request *r, void *arg)
{
	struct monkey *m = arg;
	struct held h = { c, request, BUF_INIT };

	/* the answer repeats the target, and says how long the body was and what its bytes add up to */
	unsigned long sum = 0;
	for (size_t i = 0; i < r->body.n; i++)
		sum += (unsigned char)r->body.p[i];
	buf_addf(&h.body, "%.*s %zu %lu;", (int)r->target.n, r->target.p, r->body.n, sum);
	if (roll(3) == 0) {
		http_conn_answer(c, request, &(struct http_answer){ .status = 200, .body = h.body.p, .len = h.body.len });
		buf_fini(&h.body);
		return;
	}
	assert_true(m->nheld < sizeof m->held / sizeof *m->held);
	m->held[m->nheld++] = h;
}

static void answer_one(struct monkey *m)
{
	unsigned i = roll(m->nheld);
	struct held h = m->held[i];

	m->held[i] = m->held[--m->nheld];
	http_conn_answer(h.c, h.request, &(struct http_answer){ .status = 200, .body = h.body.p, .len = h.body.len });
	buf_fini(&h.body);
}

/* What client k's n-th request is: known to both sides. */
static void request_write(struct buf *out, unsigned k, unsigned n)
{
	unsigned size = n % 7 == 0 ? 0 : n % 29 == 0 ? 300000 : n * 37 % 3000;

	if (n % 3 == 1) {
		buf_addf(out, "POST /%u/%u HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", k, n);
		for (unsigned at = 0, step; at < size; at += step) {
			step = 1 + (at * 7 + n) % 5000;
			step = step > size - at ? size - at : step;
			buf_addf(out, "%x\r\n", step);
			for (unsigned i = at; i < at + step; i++)
				buf_addc(out, (char)(i + n));
			buf_adds(out, "\r\n");
		}
		buf_adds(out, "0\r\n\r\n");
		return;
	}
	buf_addf(out, "POST /%u/%u HTTP/1.1\r\nHost: h\r\nContent-Length: %u\r\n\r\n", k, n, size);
	for (unsigned i = 0; i < size; i++)
		buf_addc(out, (char)(i + n));
}

static void answer_want(struct buf *out, unsigned k, unsigned n)
{
	unsigned size = n % 7 == 0 ? 0 : n % 29 == 0 ? 300000 : n * 37 % 3000;
	unsigned long sum = 0;

	for (unsigned i = 0; i < size; i++)
		sum += (unsigned char)(i + n);
	buf_addf(out, "/%u/%u %u %lu;", k, n, size, sum);
}

static void client_end(struct client *c, bool reset)
{
	struct linger now = { 1, 0 };

	if (reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(c->fd);
	buf_fini(&c->out);
	buf_fini(&c->in);
	*c = (struct client){ .fd = -1 };
}

static void client_send(struct client *c, unsigned k)
{
	size_t n;
	ssize_t sent;

	if (c->at == c->out.len && !c->shut) {
		buf_clear(&c->out);
		c->at = 0;
		for (unsigned i = roll(6); i > 0; i--)
			request_write(&c->out, k, c->sent++);
	}
	n = c->out.len - c->at;
	if (n == 0)
		return;
	if (roll(2))
		n = 1 + roll(n > 500 ? 500 : (unsigned)n);
	sent = send(c->fd, c->out.p + c->at, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		fail_msg("send: %s", strerror(errno));
	c->at += sent > 0 ? (size_t)sent : 0;
}

/* Answers that are whole are checked; true at the end of the stream. */
static bool client_read(struct monkey *m, struct client *c, unsigned k)
{
	struct buf want = BUF_INIT;
	ssize_t n;

	buf_reserve(&c->in, 65536);
	n = recv(c->fd, c->in.p + c->in.len, 1 + roll(65536), MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN)
		fail_msg("recv: %s", strerror(errno));
	if (n > 0) {
		c->in.len += (size_t)n;
		c->in.p[c->in.len] = '\0';
	}
	for (;;) {
		char *body = c->in.len ? strstr(c->in.p, "\r\n\r\n") : NULL, *end;

		if (!body || !(end = strchr(body, ';')))
			break;
		assert_memory_equal(c->in.p, "HTTP/1.1 200 OK\r\n", 17);
		buf_clear(&want);
		answer_want(&want, k, c->answered);
		*end = '\0';
		want.p[want.len - 1] = '\0';
		assert_string_equal(body + 4, want.p);
		c->answered++;
		m->checked++;
		buf_consume(&c->in, (size_t)(end + 1 - c->in.p));
	}
	buf_fini(&want);
	return n == 0;
}

static void test_nothing_is_lost_mixed_up_or_held(void **state)
{
	static struct monkey m;
	struct client clients[CLIENTS];
	char *chosen = getenv("SLUICE_SEED");
	void *s;

	(void)state;
	if (chosen)
		seed = strtoull(chosen, NULL, 10);
	assert_int_equal(set_up(&s), 0);
	m.s = *(struct server *)s;
	free(s);
	http_listener_free(m.s.listener);
	m.s.service.on_request = monkey_request;
	m.s.service.on_head = NULL;
	m.s.service.arg = &m;
	m.s.service.connections = &m.s.connections;
	m.s.service.memory = &m.s.memory;
	m.s.service.limits.pipeline = 16;
	struct addr a;
	char why[200];
	assert_int_equal(addr_parse(&a, "127.0.0.1:0", why, sizeof why), 0);
	m.s.listener = http_listener_new(m.s.base, addr_listen(&a, why, sizeof why), &(struct http_listener_config){ .object = "channel/test",
		.connections = &m.s.connections, .on_accept = on_accept, .arg = &m.s });
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = (struct client){ .fd = -1 };

	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned k = roll(CLIENTS);
		struct client *c = &clients[k];

		switch (roll(12)) {
		case 0:
			if (c->fd < 0)
				c->fd = dial(&m.s);
			break;
		case 1: case 2: case 3: case 4:
			if (c->fd >= 0 && !c->shut)
				client_send(c, k);
			break;
		case 5: case 6: case 7:
			if (c->fd >= 0 && client_read(&m, c, k)) {
				assert_true(c->shut && c->answered == c->sent); /* it ends only when we wanted it to, and not before the last answer */
				client_end(c, false);
			}
			break;
		case 8: case 9:
			if (m.nheld)
				answer_one(&m);
			break;
		case 10:
			if (m.nheld) {
				struct http_conn *conn = m.held[roll(m.nheld)].c;

				http_conn_pause(conn);
				if (roll(4))
					turn(&m.s);
				if (m.nheld && roll(8) == 0)
					http_loop_pause(m.s.loop);
				http_conn_resume(conn);
				http_loop_resume(m.s.loop);
			}
			break;
		default:
			if (c->fd >= 0 && roll(40) == 0)
				client_end(c, roll(2));
			else if (c->fd >= 0 && roll(20) == 0 && c->at == c->out.len && !c->shut) {
				shutdown(c->fd, SHUT_WR);
				c->shut = true;
			}
		}
		if (roll(3))
			turn(&m.s);
	}
	/* those that are left finish what they began and must get all their answers */
	for (int busy = 1; busy;) {
		busy = 0;
		while (m.nheld)
			answer_one(&m);
		for (unsigned k = 0; k < CLIENTS; k++) {
			struct client *c = &clients[k];

			if (c->fd < 0)
				continue;
			busy = 1;
			if (c->at < c->out.len) {
				client_send(c, k);
			} else if (!c->shut) {
				shutdown(c->fd, SHUT_WR);
				c->shut = true;
			}
			if (client_read(&m, c, k)) {
				assert_int_equal(c->answered, c->sent);
				client_end(c, false);
			}
		}
		turn(&m.s);
	}
	while (m.s.service.connected) {
		while (m.nheld)
			answer_one(&m);
		turn(&m.s);
	}
	assert_true(m.checked > 1000);
	assert_int_equal(m.s.service.counters.malformed, 0);
	assert_int_equal(m.s.memory.used, 0);
	assert_int_equal(m.s.connections.used, 0);
	http_listener_free(m.s.listener);
	http_loop_free(m.s.loop);
	event_base_free(m.s.base);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_nothing_is_lost_mixed_up_or_held) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
