/* test_http_sender.c - the http driver and its client against a far end that misbehaves. */
#include "http_sender_kit.h"

#include <dlfcn.h>
#include <netdb.h>
#include <unistd.h>
#include <zlib.h>

#include "base/buf.h"

/* ---- what a status means ------------------------------------------------------------------------------------------------------------ */

static void each_status_is_the_verdict_of_the_table(void **state)
{
	(void)state;
	struct world w;
	begin(&w, sink_new(NULL, NULL, NULL));
	make(&w);
	static const struct { int status; enum verdict verdict; } table[] = {
		{ 200, VERDICT_DONE }, { 201, VERDICT_BLOCKED }, { 202, VERDICT_BLOCKED }, { 301, VERDICT_BLOCKED }, { 307, VERDICT_BLOCKED },
		{ 400, VERDICT_SPLIT }, { 401, VERDICT_BLOCKED }, { 403, VERDICT_BLOCKED }, { 404, VERDICT_BLOCKED }, { 405, VERDICT_BLOCKED },
		{ 407, VERDICT_BLOCKED }, { 408, VERDICT_RETRY }, { 409, VERDICT_SPLIT }, { 411, VERDICT_SPLIT }, { 413, VERDICT_SPLIT },
		{ 415, VERDICT_SPLIT }, { 418, VERDICT_SPLIT }, { 422, VERDICT_SPLIT }, { 425, VERDICT_RETRY }, { 429, VERDICT_RETRY },
		{ 500, VERDICT_RETRY }, { 502, VERDICT_RETRY }, { 503, VERDICT_RETRY }, { 504, VERDICT_RETRY }, { 599, VERDICT_RETRY },
	};
	for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++) {
		char path[32];
		snprintf(path, sizeof path, "/status/%d", table[i].status);
		ask(&w, path);
		assert_int_equal(w.status, table[i].status);
		assert_int_equal(w.verdict, table[i].verdict);
		assert_true(w.reached);
		assert_string_equal(w.answer, "it is said\n");
		if (table[i].verdict == VERDICT_SPLIT || table[i].verdict == VERDICT_RETRY)
			assert_non_null(strstr(w.reason, ": it is said"));
	}
	ask(&w, "/status/202");
	assert_non_null(strstr(w.reason, "add 202 to `accept:`"));
	w.sink->extra = "Location: https://else.where/\r\n";
	ask(&w, "/status/302");
	assert_non_null(strstr(w.reason, "https://else.where/"));
	w.sink->extra = NULL;
	static const int accept[] = { 202, 409 };
	w.plan.destination.accept = accept;
	w.plan.destination.naccept = 2;
	char why[100];
	assert_int_equal(sender_http.update(w.sender, &w.plan.destination, why, sizeof why), 0);
	ask(&w, "/status/202");
	assert_int_equal(w.verdict, VERDICT_DONE);
	ask(&w, "/status/409");
	assert_int_equal(w.verdict, VERDICT_DONE);
	ask(&w, "/status/200");
	assert_int_equal(w.verdict, VERDICT_BLOCKED);
	/* all of it on one connection, over an update that changed nothing of it */
	assert_int_equal(http_client_connections(w.net->http), 1);
	assert_int_equal(w.sink->connections, 1);
	end(&w);
}

static void retry_after_is_read_as_seconds_or_a_date(void **state)
{
	(void)state;
	struct world w;
	begin(&w, sink_new(NULL, NULL, NULL));
	make(&w);
	w.sink->extra = "Retry-After: 120\r\n";
	ask(&w, "/status/503");
	assert_int_equal(w.retry_after_us, 120000000);
	char date[100];
	time_t at = time(NULL) + 300;
	struct tm tm;
	strftime(date, sizeof date, "retry-after: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&at, &tm));
	w.sink->extra = date;
	ask(&w, "/status/429");
	assert_in_range(w.retry_after_us, 290000000, 301000000);
	static const char *const none[] = { "Retry-After: soon\r\n", "Retry-After: -5\r\n", "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "" };
	for (unsigned i = 0; i < 4; i++) {
		w.sink->extra = none[i];
		ask(&w, "/status/503");
		assert_int_equal(w.retry_after_us, 0);
	}
	end(&w);
}

static bool thinks(struct judgement *j, const struct answer *a)
{
	assert_int_equal(a->status, 200);
	assert_int_equal(a->len, 2);
	assert_memory_equal(a->body, "ok", 2);
	assert_true(a->nheaders >= 1);
	assert_string_equal(a->header_names[0], "content-length");
	assert_string_equal(a->header_values[0], "2");
	j->verdict = VERDICT_RETRY;
	j->reason = "it says ok but does not mean it";
	return true;
}

static void an_adapters_opinion_comes_first(void **state)
{
	(void)state;
	struct world w;
	begin(&w, sink_new(NULL, NULL, NULL));
	make(&w);
	w.opinion = thinks;
	ask(&w, "/ok");
	assert_int_equal(w.verdict, VERDICT_RETRY);
	assert_string_equal(w.reason, "it says ok but does not mean it");
	end(&w);
}

/* ---- the request ------------------------------------------------------------------------------------------------------------------------ */

static void the_request_is_what_was_asked_for(void **state)
{
	(void)state;
	struct world w;
	begin(&w, sink_new(NULL, NULL, NULL));
	make(&w);
	static const char *const names[] = { "X-Key", "Empty" }, *const values[] = { "secret", "" };
	char *body = malloc(3000000);
	memset(body, 'm', 3000000);
	struct batch b = { .nheaders = 2, .header_names = names, .header_values = values, .body = body, .body_len = 3000000 };
	snprintf(w.url, sizeof w.url, "http://localhost:%d/in/17?a=b%%20c", w.sink->port);
	send_to(&w, &b, w.url);
	await(&w, 1);
	assert_int_equal(w.verdict, VERDICT_DONE);
	assert_int_equal(w.sink->len, 3000000);
	assert_memory_equal(w.sink->body, body, 3000000);
	assert_non_null(strstr(w.sink->head, "POST /in/17?a=b%20c HTTP/1.1\r\n"));
	assert_non_null(strstr(w.sink->head, "\r\nX-Key: secret\r\n"));
	assert_non_null(strstr(w.sink->head, "\r\nEmpty:\r\n"));
	assert_non_null(strstr(w.sink->head, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(w.sink->head, "\r\nUser-Agent: sluice/"));
	assert_null(strstr(w.sink->head, "Expect:"));
	assert_null(strstr(w.sink->head, "Transfer-Encoding"));
	free(body);
	end(&w);
}

static void gzip_gives_the_same_bytes(void **state)
{
	(void)state;
	struct world w;
	begin(&w, sink_new(NULL, NULL, NULL));
	w.plan.destination.gzip = true;
	w.plan.destination.body_type = "text/x-test";
	make(&w);
	for (unsigned round = 0; round < 3; round++) {
		struct buf body = BUF_INIT, back = BUF_INIT;
		for (unsigned i = 0; i < 5000 * round + 1; i++)
			buf_addf(&body, "{\"ident\":\"%u\"}", i * 7919 + round);
		struct batch b = { .body = body.p, .body_len = body.len };
		snprintf(w.url, sizeof w.url, "http://localhost:%d/ok", w.sink->port);
		send_to(&w, &b, w.url);
		await(&w, round + 1);
		assert_int_equal(w.verdict, VERDICT_DONE);
		assert_non_null(strstr(w.sink->head, "\r\nContent-Encoding: gzip\r\n"));
		assert_non_null(strstr(w.sink->head, "\r\nContent-Type: text/x-test\r\n"));
		buf_reserve(&back, body.len);
		z_stream z = { .next_in = (Bytef *)w.sink->body, .avail_in = (uInt)w.sink->len, .next_out = (Bytef *)back.p, .avail_out = (uInt)back.cap };
		assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
		assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
		assert_int_equal(z.total_out, body.len);
		assert_memory_equal(back.p, body.p, body.len);
		assert_true(round == 0 || w.sink->len < body.len / 2);
		inflateEnd(&z);
		buf_fini(&body);
		buf_fini(&back);
	}
	end(&w);
}

/* ---- far ends that misbehave --------------------------------------------------------------------------------------------------------------- */

static void answers_that_end_early_or_are_none_are_retried(void **state)
{
	(void)state;
	struct world w;
	begin(&w, sink_new(NULL, NULL, NULL));
	make(&w);
	static const char *const paths[] = { "/cut", "/neck", "/close", "/garbage" };
	for (unsigned i = 0; i < 4; i++) {
		ask(&w, paths[i]);
		assert_int_equal(w.verdict, VERDICT_RETRY);
		assert_true(*w.reason);
	}
	ask(&w, "/ok");
	assert_int_equal(w.verdict, VERDICT_DONE);
	end(&w);
}

static void interim_answers_are_not_the_answer(void **state)
{
	(void)state;
	struct world w;
	begin(&w, sink_new(NULL, NULL, NULL));
	make(&w);
	ask(&w, "/early");
	assert_int_equal(w.verdict, VERDICT_DONE);
	assert_int_equal(w.status, 200);
	assert_int_equal(w.retry_after_us, 0); /* the 103 had one */
	end(&w);
}

static void big_answers_are_drained_and_endless_ones_cut_off(void **state)
{
	(void)state;
	struct world w;
	begin(&w, sink_new(NULL, NULL, NULL));
	make(&w);
	ask(&w, "/big");
	assert_int_equal(w.verdict, VERDICT_DONE);
	ask(&w, "/ok");
	assert_int_equal(w.sink->connections, 1);
	ask(&w, "/huge");
	assert_int_equal(w.verdict, VERDICT_DONE); /* its status had said so */
	ask(&w, "/ok");
	assert_int_equal(w.sink->connections, 2);
	ask(&w, "/heads");
	assert_int_equal(w.verdict, VERDICT_RETRY);
	assert_int_equal(w.retry_after_us, 5000000);
	end(&w);
}

static void an_answer_before_the_body_was_read_counts(void **state)
{
	(void)state;
	struct world w;
	begin(&w, sink_new(NULL, NULL, NULL));
	make(&w);
	char *body = calloc(1, 8000000);
	struct batch b = { .body = body, .body_len = 8000000 };
	snprintf(w.url, sizeof w.url, "http://localhost:%d/rude", w.sink->port);
	send_to(&w, &b, w.url);
	await(&w, 1);
	assert_int_equal(w.status, 400);
	assert_int_equal(w.verdict, VERDICT_SPLIT);
	free(body);
	end(&w);
}

static void silence_is_a_timeout(void **state)
{
	(void)state;
	struct world w;
	begin(&w, sink_new(NULL, NULL, NULL));
	make(&w);
	struct batch b = { .timeout_us = 200000 };
	snprintf(w.url, sizeof w.url, "http://localhost:%d/silent", w.sink->port);
	int64_t before = clock_mono_us();
	send_to(&w, &b, w.url);
	await(&w, 1);
	assert_in_range(clock_mono_us() - before, 190000, 3000000);
	assert_int_equal(w.verdict, VERDICT_RETRY);
	assert_int_equal(w.status, 0);
	assert_false(w.reached);
	end(&w);
}

static void nobody_there_is_retried_and_a_bad_url_blocks(void **state)
{
	(void)state;
	struct world w;
	begin(&w, sink_new(NULL, NULL, NULL));
	make(&w);
	int port = w.sink->port;
	sink_free(w.sink);
	w.sink = NULL;
	struct batch b = { 0 };
	snprintf(w.url, sizeof w.url, "http://127.0.0.1:%d/", port);
	send_to(&w, &b, w.url);
	await(&w, 1);
	assert_int_equal(w.verdict, VERDICT_RETRY);
	assert_false(w.reached);
	static const char *const bad[] = { "file:///etc/passwd", "ftp://localhost/", "http://[::1", "gopher://localhost/" };
	for (unsigned i = 0; i < 4; i++) {
		struct batch again = { 0 };
		send_to(&w, &again, bad[i]);
		await(&w, i + 2);
		assert_int_equal(w.verdict, VERDICT_BLOCKED);
	}
	end(&w);
}

/* Takes the place of libc's for libcurl too: a name server that does not answer. */
static _Atomic unsigned looking;
static _Atomic bool answering;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (node && strcmp(node, "slow.test") == 0) {
		looking++;
		for (int i = 0; i < 10000 && !answering; i++)
			usleep(1000);
		looking--;
		return EAI_AGAIN;
	}
	return real(node, service, hints, out);
}

static void a_name_server_that_does_not_answer_stops_nobody(void **state)
{
	(void)state;
	struct world w;
	begin(&w, sink_new(NULL, NULL, NULL));
	make(&w);
	ask(&w, "/ok");
	struct batch slow[2] = { { .timeout_us = 100000 }, { .timeout_us = 10000000 } };
	send_to(&w, &slow[0], "http://slow.test/");
	send_to(&w, &slow[1], "http://slow.test/");
	while (looking < 2)
		event_base_loop(w.base, EVLOOP_NONBLOCK);
	struct batch b = { 0 };
	char url[100];
	snprintf(url, sizeof url, "http://localhost:%d/ok", w.sink->port);
	send_to(&w, &b, url);
	await(&w, 2);
	assert_int_equal(w.verdict, VERDICT_DONE);
	await(&w, 3); /* the timeout */
	assert_int_equal(w.verdict, VERDICT_RETRY);
	sender_http.cancel(w.sender, &slow[1]);
	assert_int_equal(looking, 2);
	end(&w);
	assert_int_equal(looking, 2); /* nothing of this has waited for them */
	answering = true;
	while (looking)
		usleep(10000);
	usleep(100000);
}

static void many_at_once_and_connections_are_kept(void **state)
{
	(void)state;
	struct world w;
	begin(&w, sink_new(NULL, NULL, NULL));
	w.plan.destination.connections = 8;
	make(&w);
	snprintf(w.url, sizeof w.url, "http://localhost:%d/ok", w.sink->port);
	for (unsigned round = 0; round < 20; round++) {
		struct batch b[8] = { { 0 } };
		for (unsigned i = 0; i < 8; i++)
			send_to(&w, &b[i], w.url);
		await(&w, round * 8 + 8);
	}
	assert_int_equal(w.sink->requests, 160);
	assert_true(w.sink->connections <= 8);
	/* two of these are cancelled: nothing comes for them any more, and the others go on */
	struct batch b[4] = { { 0 } };
	for (unsigned i = 0; i < 4; i++)
		send_to(&w, &b[i], w.url);
	sender_http.cancel(w.sender, &b[0]);
	sender_http.cancel(w.sender, &b[2]);
	await(&w, 162);
	for (unsigned i = 0; i < 20; i++)
		event_base_loop(w.base, EVLOOP_NONBLOCK);
	assert_int_equal(w.judged, 162);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_status_is_the_verdict_of_the_table),
		cmocka_unit_test(retry_after_is_read_as_seconds_or_a_date),
		cmocka_unit_test(an_adapters_opinion_comes_first),
		cmocka_unit_test(the_request_is_what_was_asked_for),
		cmocka_unit_test(gzip_gives_the_same_bytes),
		cmocka_unit_test(answers_that_end_early_or_are_none_are_retried),
		cmocka_unit_test(interim_answers_are_not_the_answer),
		cmocka_unit_test(big_answers_are_drained_and_endless_ones_cut_off),
		cmocka_unit_test(an_answer_before_the_body_was_read_counts),
		cmocka_unit_test(silence_is_a_timeout),
		cmocka_unit_test(nobody_there_is_retried_and_a_bad_url_blocks),
		cmocka_unit_test(a_name_server_that_does_not_answer_stops_nobody),
		cmocka_unit_test(many_at_once_and_connections_are_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
