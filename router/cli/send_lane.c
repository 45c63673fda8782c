/* send_lane.c - a lane of `sluice send`: one thread, one keep-alive connection, one batch after the other.
 *
 * A batch is settled before the next is touched. What was not answered is sent again, at least once in all: a channel that took a
 * batch and could not say so gets it twice. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "cli/send.h"

#define RETRY_FIRST_US 100000
#define RETRY_MAX_US 5000000
#define ANSWER_TIMEOUT_MS 30000
#define CONNECT_TIMEOUT_MS 10000
#define ANSWER_MAX (4u << 20) /* of an answer that is longer, the rest is not read */
#define REASONS_MAX 64        /* reasons counted one by one */

static struct timespec in_us(int64_t us)
{
	int64_t at = clock_real_us() + us;

	return (struct timespec){ .tv_sec = at / 1000000, .tv_nsec = at % 1000000 * 1000 };
}

static size_t on_answer(char *p, size_t size, size_t n, void *arg)
{
	struct buf *answer = arg;

	if (answer->len + size * n <= ANSWER_MAX)
		buf_add(answer, p, size * n);
	return size * n;
}

static CURL *easy_new(struct send_lane *lane)
{
	struct send *s = lane->send;
	CURL *easy = curl_easy_init();
	int64_t patience_ms = s->patience_us / 1000 > 1000 ? s->patience_us / 1000 : 1000;

	if (!easy)
		return NULL;
	curl_easy_setopt(easy, CURLOPT_URL, s->url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, s->headers);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(patience_ms < ANSWER_TIMEOUT_MS ? patience_ms : ANSWER_TIMEOUT_MS));
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, &lane->answer);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, lane->error);
	if (s->ca)
		curl_easy_setopt(easy, CURLOPT_CAINFO, s->ca);
	return easy;
}

/* Another attempt would fail alike. */
static bool is_hopeless(CURLcode code)
{
	return code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_PEER_FAILED_VERIFICATION ||
		code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM;
}

static void count_reason(struct send *s, const char *text, uint64_t n)
{
	struct send_reason *r;

	pthread_mutex_lock(&s->lock);
	if (!map_gets(&s->reasons, text) && s->reasons.n >= REASONS_MAX)
		text = "other reasons";
	r = map_gets(&s->reasons, text);
	if (!r) {
		r = xcalloc(1, sizeof *r);
		r->text = xstrdup(text);
		map_put(&s->reasons, r->text, strlen(r->text), r);
	}
	r->n += n;
	pthread_mutex_unlock(&s->lock);
}

struct range {
	struct send_lane *lane;
	const struct send_batch *batch;
	unsigned from, n;
};

static void on_refused(void *arg, unsigned index, const char *reason)
{
	const struct range *r = arg;
	struct send *s = r->lane->send;

	send_tell(s, "%s:%llu: refused: %s", s->file, (unsigned long long)r->batch->items[r->from + index].line, reason);
	count_reason(s, reason, 1);
}

static void settle(const struct range *r, const struct send_answer *a)
{
	struct send *s = r->lane->send;
	unsigned refused = r->n - a->taken, unlisted = refused > a->listed ? refused - a->listed : 0;

	if (unlisted > 0) {
		const char *why = a->listed > 0 ? "not taken, because others of the same request were refused" : a->why.p;

		if (a->listed == 0)
			send_tell(s, "%s:%llu: refused: %s (%u messages from this line on)", s->file,
				(unsigned long long)r->batch->items[r->from].line, why, unlisted);
		count_reason(s, why, unlisted);
	}
	pthread_mutex_lock(&s->lock);
	s->counts.taken += a->taken;
	s->counts.refused += refused;
	if (s->outage) {
		send_undraw(s);
		fprintf(stderr, "sluice send: %s: takes messages again\n", s->target);
		s->outage = false;
	}
	pthread_mutex_unlock(&s->lock);
}

static void give_up(struct send *s, int status, const char *why, const char *hint)
{
	pthread_mutex_lock(&s->lock);
	if (!s->stop) {
		s->stop = true;
		s->status = status;
		send_undraw(s);
		fprintf(stderr, "sluice send: %s: %s%s\n", s->target, why, hint);
		for (unsigned i = 0; i < s->connections; i++)
			pthread_cond_signal(&s->lanes[i].wake);
		pthread_cond_signal(&s->room);
	}
	pthread_mutex_unlock(&s->lock);
}

static void lose(const struct range *r)
{
	pthread_mutex_lock(&r->lane->send->lock);
	r->lane->send->counts.unsent += r->n;
	pthread_mutex_unlock(&r->lane->send->lock);
}

/* Sleeps before the next attempt; false when there is to be none. */
static bool wait_again(struct send_lane *lane, int64_t us, const char *why)
{
	struct send *s = lane->send;
	struct timespec until = in_us(us);
	bool on;

	pthread_mutex_lock(&s->lock);
	if (!s->outage && !s->stop) {
		s->outage = true;
		send_undraw(s);
		fprintf(stderr, "sluice send: %s: %s; trying again\n", s->target, why);
	}
	while (!s->stop && pthread_cond_timedwait(&lane->wake, &s->lock, &until) != ETIMEDOUT)
		;
	on = !s->stop;
	if (on)
		s->counts.again++;
	pthread_mutex_unlock(&s->lock);
	return on;
}

/* Full jitter between the first wait and a bound that doubles; what the channel asks for goes before. */
static int64_t wait_of(struct send_lane *lane, unsigned attempt)
{
	int64_t bound = RETRY_FIRST_US << (attempt < 6 ? attempt : 6);
	curl_off_t asked = 0;

	if (lane->easy && curl_easy_getinfo(lane->easy, CURLINFO_RETRY_AFTER, &asked) == CURLE_OK && asked > 0)
		return asked < 86400 ? (int64_t)asked * 1000000 : INT64_C(86400000000);
	if (bound > RETRY_MAX_US)
		bound = RETRY_MAX_US;
	return RETRY_FIRST_US / 2 + (int64_t)((double)rand_r(&lane->seed) / RAND_MAX * (double)bound);
}

static void body_of(const struct range *r)
{
	const struct send_batch *b = r->batch;
	size_t start = r->from ? b->items[r->from - 1].end : 0, end = b->items[r->from + r->n - 1].end;
	struct buf *body = &r->lane->body;

	buf_clear(body);
	buf_addc(body, '[');
	buf_add(body, b->bytes.p + start, end - start);
	body->p[body->len - 1] = ']'; /* the last comma */
}

static CURLcode post(struct send_lane *lane, long *status)
{
	struct send *s = lane->send;
	CURLcode code;

	buf_clear(&lane->answer);
	lane->error[0] = '\0';
	curl_easy_setopt(lane->easy, CURLOPT_POSTFIELDS, lane->body.p);
	curl_easy_setopt(lane->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)lane->body.len);
	code = curl_easy_perform(lane->easy);
	curl_easy_getinfo(lane->easy, CURLINFO_RESPONSE_CODE, status);
	buf_reserve(&lane->answer, MESSAGE_PAD);
	pthread_mutex_lock(&s->lock);
	s->counts.requests++;
	pthread_mutex_unlock(&s->lock);
	return code;
}

static const char *hint_of(long status)
{
	if (status == 401 || status == 403)
		return " (the channel wants other credentials: --token or --header)";
	if (status == 404 || status == 405)
		return " (is the path that of the channel?)";
	return status / 100 == 3 ? " (redirects are not followed: give the final URL)" : "";
}

static void send_range(struct send_lane *lane, const struct send_batch *b, unsigned from, unsigned n)
{
	struct send *s = lane->send;
	struct range r = { .lane = lane, .batch = b, .from = from, .n = n };
	struct send_answer a = { .why = BUF_INIT };
	int64_t began = clock_mono_us(), wait, left;
	bool settled = false;

	for (unsigned attempt = 0; !settled; attempt++) {
		long status = 0;
		enum send_verdict verdict = SEND_AGAIN;

		CURLcode code = CURLE_OK;

		if (s->way == SEND_HTTP) {
			body_of(&r);
			code = post(lane, &status);
		}
		if (s->way != SEND_HTTP) {
			verdict = s->way == SEND_MQTT ? send_mqtt_try(lane->mqtt, b, from, n, attempt == 0, &a, on_refused, &r) :
				send_wire_try(lane->wire, b, from, n, attempt == 0, &a, on_refused, &r);
			pthread_mutex_lock(&s->lock);
			s->counts.requests++;
			pthread_mutex_unlock(&s->lock);
		} else if (code == CURLE_OK) {
			verdict = send_answer_read(&a, status, lane->answer.p, lane->answer.len, n, &lane->ix, on_refused, &r);
		} else {
			buf_clear(&a.why);
			buf_adds(&a.why, lane->error[0] ? lane->error : curl_easy_strerror(code));
			if (is_hopeless(code))
				verdict = SEND_NEVER;
		}
		switch (verdict) {
		case SEND_DONE:
			settle(&r, &a);
			settled = true;
			break;
		case SEND_SPLIT:
			send_range(lane, b, from, n / 2);
			send_range(lane, b, from + n / 2, n - n / 2);
			settled = true;
			break;
		case SEND_NEVER:
			give_up(s, status == 401 || status == 403 ? EX_NOPERM : EX_UNAVAILABLE, a.why.p, hint_of(status));
			lose(&r);
			settled = true;
			break;
		case SEND_AGAIN:
			wait = wait_of(lane, attempt);
			left = began + s->patience_us - clock_mono_us();
			if (left <= 0)
				give_up(s, EX_UNAVAILABLE, a.why.p, " (patience is at its end: --patience)");
			if (left <= 0 || !wait_again(lane, wait < left ? wait : left, a.why.p)) {
				lose(&r);
				settled = true;
			}
			break;
		}
	}
	buf_fini(&a.why);
}

static void *lane_run(void *arg)
{
	struct send_lane *lane = arg;
	struct send *s = lane->send;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (!lane->next && !s->ended)
			pthread_cond_wait(&lane->wake, &s->lock);
		struct send_batch *b = lane->next;
		bool stop = s->stop;

		lane->next = NULL;
		pthread_cond_signal(&s->room);
		if (!b)
			break;
		if (stop) {
			s->counts.unsent += b->n;
		} else {
			pthread_mutex_unlock(&s->lock);
			send_range(lane, b, 0, b->n);
			pthread_mutex_lock(&s->lock);
		}
		send_batch_free(b);
	}
	pthread_mutex_unlock(&s->lock);
	send_wire_free(lane->wire);
	send_mqtt_free(lane->mqtt);
	pthread_mutex_lock(&s->lock);
	s->running--;
	pthread_cond_signal(&s->room);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

int send_lanes_start(struct send *s)
{
	s->lanes = xcalloc(s->connections, sizeof *s->lanes);
	for (unsigned i = 0; i < s->connections; i++) {
		struct send_lane *lane = &s->lanes[i];

		lane->send = s;
		lane->seed = (unsigned)clock_real_us() + i;
		pthread_cond_init(&lane->wake, NULL);
		index_init(&lane->ix);
		if (s->way == SEND_HTTP)
			lane->easy = easy_new(lane);
		else if (s->way == SEND_MQTT)
			lane->mqtt = send_mqtt_new(s);
		else
			lane->wire = send_wire_new(s);
		if ((!lane->easy && !lane->wire && !lane->mqtt) || pthread_create(&lane->thread, NULL, lane_run, lane) != 0) {
			fprintf(stderr, "sluice send: connection %u could not be set up: take fewer --connections\n", i + 1);
			return EX_OSERR;
		}
		pthread_mutex_lock(&s->lock);
		s->running++;
		pthread_mutex_unlock(&s->lock);
	}
	return 0;
}

/* A signal does not end a wait for the lock's condition: it is looked at a few times a second. The lock is held. */
static void wait_for_room(struct send *s)
{
	struct timespec until = in_us(SEND_LINGER_US);

	pthread_cond_timedwait(&s->room, &s->lock, &until);
	if (send_interrupted && !s->stop) {
		s->stop = true;
		for (unsigned i = 0; i < s->connections; i++)
			pthread_cond_signal(&s->lanes[i].wake);
	}
	send_draw(s);
}

void send_submit(struct send_lane *lane)
{
	struct send *s = lane->send;

	if (!lane->filling)
		return;
	pthread_mutex_lock(&s->lock);
	while (lane->next && !s->stop)
		wait_for_room(s);
	if (s->stop) {
		s->counts.unsent += lane->filling->n;
		send_batch_free(lane->filling);
	} else {
		lane->next = lane->filling;
		pthread_cond_signal(&lane->wake);
	}
	lane->filling = NULL;
	send_draw(s);
	pthread_mutex_unlock(&s->lock);
}

void send_lanes_end(struct send *s)
{
	pthread_mutex_lock(&s->lock);
	s->ended = true;
	for (unsigned i = 0; i < s->connections; i++)
		pthread_cond_signal(&s->lanes[i].wake);
	while (s->running > 0)
		wait_for_room(s);
	send_undraw(s);
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->connections; i++) {
		struct send_lane *lane = &s->lanes[i];

		pthread_join(lane->thread, NULL);
		curl_easy_cleanup(lane->easy);
		pthread_cond_destroy(&lane->wake);
		index_fini(&lane->ix);
		buf_fini(&lane->body);
		buf_fini(&lane->answer);
	}
	free(s->lanes);
}
