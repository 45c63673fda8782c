/* sink_request.c - what becomes of a request that `sluice sink` gets: told, counted, answered.
 *
 * A body is read twice: whether it holds a message that --refuse names shows only at its end, and what is printed says how it was
 * answered. The verdict is made when the request is there; --delay holds back the answer alone. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "cli/sink.h"
#include "message/body.h"
#include "message/write.h"

#define OPAQUE_SHOWN 160
#define ONCE_MAX 100000 /* refused requests remembered; beyond that they are forgotten, and would be refused again */

enum body_kind { BODY_NONE, BODY_MESSAGES, BODY_OPAQUE };

struct verdict {
	int status;         /* 0: no answer, the connection is closed */
	const char *reason; /* of what is no 2xx */
	int64_t culprit;    /* index of the message that --refuse names, or -1 */
};

char *sink_time(char out[16])
{
	int64_t now = clock_real_us();
	time_t seconds = (time_t)(now / 1000000);
	struct tm tm;

	localtime_r(&seconds, &tm);
	snprintf(out, 16, "%02u:%02u:%02u.%03u", (unsigned)tm.tm_hour % 24, (unsigned)tm.tm_min % 60, (unsigned)tm.tm_sec % 61,
		(unsigned)(now / 1000 % 1000));
	return out;
}

bool sink_is_refused(struct sink *s, const struct message *m)
{
	for (unsigned i = 0; i < s->nrefuse; i++) {
		const char *value = s->refuse[i].value, *p;
		const struct slice *f = message_find(m, s->refuse[i].field, strlen(s->refuse[i].field));
		size_t n;

		if (!f)
			continue;
		if (f->kind != SLICE_STRING || slice_view(m, f, &s->scratch, &p, &n) < 0) {
			p = m->bytes + f->value;
			n = f->vlen;
		}
		if (n == strlen(value) && memcmp(p, value, n) == 0)
			return true;
	}
	return false;
}

static enum body_kind look(struct sink *s, const struct http_text *bytes, unsigned *n, int64_t *culprit)
{
	struct body b;
	struct message m;
	enum body_step step;

	*n = 0;
	*culprit = -1;
	if (bytes->n == 0)
		return BODY_NONE;
	body_open(&b, bytes->p, bytes->n, NULL);
	while ((step = body_next(&b, &s->ix, &m)) < BODY_END) {
		++*n;
		if (step == BODY_MESSAGE && *culprit < 0 && sink_is_refused(s, &m))
			*culprit = b.index;
	}
	if (step == BODY_FAULT) {
		*n = 1;
		*culprit = -1;
		return BODY_OPAQUE;
	}
	return BODY_MESSAGES;
}

/* Every Nth request that is not one coming again is refused; when it comes again it is taken. */
static bool refuse_once(struct sink *s, const struct http_request *r)
{
	uint64_t key = (hash_bytes(r->body.p, r->body.n) ^ hash_bytes(r->target.p, r->target.n) * 3) & INT64_MAX;

	if (umap_del(&s->once, key) || ++s->fresh % s->once_per != 0)
		return false;
	if (s->once.n >= ONCE_MAX) {
		umap_fini(&s->once);
		umap_init(&s->once);
	}
	umap_put(&s->once, key, 1);
	return true;
}

static struct verdict judge(struct sink *s, const struct http_request *r, int64_t culprit)
{
	if (s->drop_after >= 0 && s->since_drop++ >= (uint64_t)s->drop_after) {
		s->since_drop = 0;
		return (struct verdict){ .status = 0, .culprit = -1 };
	}
	if (s->down)
		return (struct verdict){ .status = 503, .reason = "out of service (SIGUSR1)", .culprit = -1 };
	if (s->once_per > 0 && refuse_once(s, r))
		return (struct verdict){ .status = 503, .reason = "refused once (--once-per)", .culprit = -1 };
	if (culprit >= 0)
		return (struct verdict){ .status = 400, .reason = "refused (--refuse)", .culprit = culprit };
	return (struct verdict){ .status = s->status ? s->status : 200, .reason = "told so (--status)", .culprit = -1 };
}

static bool is_success(int status) { return status / 100 == 2; }

static void line_head(struct sink *s, const struct http_request *r, const struct verdict *v)
{
	static const char *const colours[] = { "\033[36m", "\033[32m", "\033[33m", "\033[35m", "\033[34m", "\033[96m" };
	char now[16];

	buf_adds(&s->lines, sink_time(now));
	buf_addc(&s->lines, ' ');
	if (s->colour)
		buf_adds(&s->lines, colours[hash_stable(r->path.p, r->path.n) % (sizeof colours / sizeof *colours)]);
	buf_add(&s->lines, r->path.p, r->path.n);
	if (s->colour)
		buf_adds(&s->lines, "\033[0m");
	buf_addc(&s->lines, ' ');
	if (is_success(v->status))
		return;
	if (v->status)
		buf_addf(&s->lines, "%s(%d)%s ", s->colour ? "\033[31m" : "", v->status, s->colour ? "\033[0m" : "");
	else
		buf_addf(&s->lines, "%s(dropped)%s ", s->colour ? "\033[31m" : "", s->colour ? "\033[0m" : "");
}

/* Bytes of a body as one line; only in strings JSON may hold what is not shown as it is, and there it is escaped. */
static void one_line(struct buf *out, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_addc(out, p[i] == '\n' || p[i] == '\r' ? ' ' : p[i]);
}

static void show_opaque(struct sink *s, const struct http_text *bytes)
{
	size_t n = bytes->n < OPAQUE_SHOWN ? bytes->n : OPAQUE_SHOWN;

	while (n < bytes->n && n > OPAQUE_SHOWN - 4 && (bytes->p[n] & 0xC0) == 0x80)
		n--; /* not in the middle of a letter */
	bool text = utf8_valid(bytes->p, n, NULL);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)bytes->p[i];
		buf_addc(&s->lines, c < ' ' || c == 127 || (c > 127 && !text) ? '.' : (char)c);
	}
	if (n < bytes->n)
		buf_adds(&s->lines, "…");
	buf_addf(&s->lines, " (%zu bytes)\n", bytes->n);
}

static void show(struct sink *s, const struct http_request *r, enum body_kind kind, const struct verdict *v)
{
	bool print = !s->quiet && !s->count, keep = s->out && is_success(v->status);

	buf_clear(&s->lines);
	if (print && kind == BODY_NONE) {
		line_head(s, r, v);
		buf_addf(&s->lines, "(%.*s, no body)\n", (int)r->method.n, r->method.p);
	} else if (print && kind == BODY_OPAQUE) {
		line_head(s, r, v);
		show_opaque(s, &r->body);
	} else if (kind == BODY_MESSAGES && (print || keep)) {
		const struct stamp_set nothing = { .n = 0 };
		struct body b;
		struct message m;
		enum body_step step;

		body_open(&b, r->body.p, r->body.n, NULL);
		while ((step = body_next(&b, &s->ix, &m)) < BODY_END) {
			buf_clear(&s->text);
			if (step == BODY_MESSAGE)
				message_stamp(&s->text, &m, &nothing, NULL);
			else
				one_line(&s->text, b.item, b.item_len);
			buf_addc(&s->text, '\n');
			if (print) {
				line_head(s, r, v);
				buf_add(&s->lines, s->text.p, s->text.len);
			}
			if (keep)
				fwrite(s->text.p, 1, s->text.len, s->out);
		}
	}
	if (s->lines.len) {
		fwrite(s->lines.p, 1, s->lines.len, stdout);
		if (fflush(stdout) != 0 || ferror(stdout))
			event_base_loopbreak(s->base); /* whoever read it has gone */
	}
	if (keep)
		fflush(s->out);
}

static struct sink_path *path_of(struct sink *s, const struct http_text *path)
{
	struct sink_path *p = map_get(&s->paths, path->p, path->n);

	if (!p) {
		p = xcalloc(1, sizeof *p);
		p->name = xmalloc(path->n + 1);
		memcpy(p->name, path->p, path->n);
		p->name[path->n] = '\0';
		map_put(&s->paths, p->name, path->n, p);
	}
	return p;
}

struct sink_path *sink_path(struct sink *s, const char *name)
{
	return path_of(s, &(struct http_text){ .p = name, .n = strlen(name) });
}

static void answer_body(struct buf *out, const struct verdict *v, unsigned n)
{
	if (is_success(v->status)) {
		buf_addf(out, "{\"taken\":%u}", n);
		return;
	}
	buf_addf(out, "{\"errors\":[{\"code\":%d,\"reason\":", v->status);
	buf_addjson(out, v->reason, strlen(v->reason));
	buf_adds(out, "}]");
	if (v->culprit >= 0) {
		buf_addf(out, ",\"taken\":0,\"refused\":[{\"index\":%u,\"reason\":", (unsigned)v->culprit);
		buf_addjson(out, v->reason, strlen(v->reason));
		buf_adds(out, "}]");
	}
	buf_addc(out, '}');
}

static void reply(struct http_conn *c, uint64_t request, int status, const struct buf *body)
{
	bool bodyless = status == 204 || status == 304;

	http_conn_answer(c, request, &(struct http_answer){ .status = status, .headers = bodyless ? NULL : "Content-Type: application/json\r\n",
		.body = bodyless ? NULL : body->p, .len = bodyless ? 0 : body->len });
}

void sink_late_free(struct sink_late *late)
{
	*late->at = late->next;
	if (late->next)
		late->next->at = late->at;
	event_free(late->timer);
	buf_fini(&late->body);
	free(late);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct sink_late *late = arg;

	(void)fd; (void)what;
	reply(late->c, late->request, late->status, &late->body);
	sink_late_free(late);
}

static void reply_later(struct sink *s, struct http_conn *c, uint64_t request, int status, const struct buf *body)
{
	struct sink_late *late = xcalloc(1, sizeof *late);
	struct timeval tv = { .tv_sec = s->delay_us / 1000000, .tv_usec = s->delay_us % 1000000 };

	*late = (struct sink_late){ .next = s->late, .at = &s->late, .sink = s, .c = c, .request = request, .status = status };
	buf_add(&late->body, body->p, body->len);
	if (s->late)
		s->late->at = &late->next;
	s->late = late;
	late->timer = evtimer_new(s->base, on_late, late);
	event_add(late->timer, &tv);
}

void sink_request(struct http_conn *c, uint64_t request, const struct http_request *r, void *arg)
{
	struct sink *s = arg;
	unsigned n;
	int64_t culprit;
	enum body_kind kind = look(s, &r->body, &n, &culprit);
	struct verdict v = judge(s, r, culprit);
	struct sink_path *path = path_of(s, &r->path);

	s->requests++;
	if (is_success(v.status)) {
		s->accepted += n;
		path->accepted += n;
	} else {
		s->refused += n;
	}
	show(s, r, kind, &v);
	if (!v.status) {
		s->dropped++;
		http_conn_abort(c);
		http_conn_answer(c, request, &(struct http_answer){ .status = 503 }); /* unheard, but owed */
		return;
	}
	buf_clear(&s->scratch);
	answer_body(&s->scratch, &v, n);
	if (s->delay_us > 0)
		reply_later(s, c, request, v.status, &s->scratch);
	else
		reply(c, request, v.status, &s->scratch);
}
