/* The HTTP channel type to the contract of channel.h, with an engine that holds every request until the test decides. The worker
 * and the main loop are one loop here; what is posted still runs later. */
#include "http_kit.h"

#include "channels/channel.h"
#include "fake_options.h"
#include "plan/plan.h"

/* ---- an engine that waits ---- */

struct rig {
	struct server s; /* for the kit's client; only its base is used */
	struct channel_host host;
	struct intake_loop loop;
	struct channel_type *type;
	struct plan plan;
	struct channel channels[4];
	struct options options[4];
	struct { void (*done)(void *arg, const struct intake_result *r); void *arg; const char *channel; } job[16];
	unsigned njobs, stopped;
	struct buf body;
	char peer[80], listen[64], other[64], why[400];
	bool may_read;
	uint16_t port, other_port;
};

struct posted { void (*fn)(void *arg); void *arg; };

static void run_posted(evutil_socket_t fd, short what, void *arg)
{
	struct posted p = *(struct posted *)arg;

	(void)fd; (void)what;
	free(arg);
	p.fn(p.arg);
}

static struct intake_loop *pick(void *arg) { return &((struct rig *)arg)->loop; }
static void post(void *arg, struct intake_loop *l, void (*fn)(void *arg2), void *arg2)
{
	struct rig *g = arg;
	struct posted *p = malloc(sizeof *p);

	assert_ptr_equal(l, &g->loop);
	*p = (struct posted){ fn, arg2 };
	event_base_once(g->s.base, -1, EV_TIMEOUT, run_posted, p, &(struct timeval){ 0, 0 });
}

static void submit(void *arg, const struct intake *in)
{
	struct rig *g = arg;

	buf_clear(&g->body);
	buf_add(&g->body, in->body, in->len);
	snprintf(g->peer, sizeof g->peer, "%s", in->peer);
	assert_ptr_equal(in->loop, &g->loop);
	if (in->len == 3 && memcmp(in->body, "bad", 3) == 0) { /* told from inside submit */
		in->done(in->arg, &(struct intake_result){ .outcome = INTAKE_REFUSED, .malformed = true, .why = "not JSON at byte 0" });
		return;
	}
	g->job[g->njobs].channel = in->channel->name;
	g->job[g->njobs].done = in->done;
	g->job[g->njobs++].arg = in->arg;
}

static bool may_read(void *arg, struct intake_loop *l)
{
	(void)l;
	return ((struct rig *)arg)->may_read;
}

static uint16_t free_port(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof sin;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof sin), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	close(fd);
	return ntohs(sin.sin_port);
}

static void channel(struct rig *g, const char *name, const char *listen, const char *path, struct pair a, struct pair b)
{
	static const char *const methods[] = { "POST", "PUT", NULL };
	unsigned i = g->plan.nchannels++;

	g->options[i] = (struct options){ { { .name = "listen", .text = listen }, { .name = "path", .text = path }, a, b, { .name = NULL } } };
	if (!a.name || strcmp(a.name, "methods") != 0) {
		unsigned k = a.name ? b.name ? 4 : 3 : 2;

		g->options[i].at[k] = (struct pair){ .name = "methods", .list = methods };
	}
	g->channels[i] = (struct channel){ .name = name, .ix = i, .enabled = true, .type = "http", .options = &g->options[i] };
}
#define NONE ((struct pair){ .name = NULL })

/* A plan in which nothing stands yet. */
static void plan_anew(struct rig *g)
{
	g->plan.generation++;
	g->plan.nchannels = 0;
	g->plan.channels = g->channels;
}

static void reload(struct rig *g)
{
	if (channel_http.prepare(g->type, &g->plan, g->why, sizeof g->why) != 0)
		fail_msg("%s", g->why);
	channel_http.commit(g->type, &g->plan);
	for (int i = 0; i < 5; i++)
		turn(&g->s);
}

static int rig_up(void **state)
{
	struct rig *g = calloc(1, sizeof *g);

	signal(SIGPIPE, SIG_IGN);
	g->s.base = event_base_new();
	g->may_read = true;
	g->port = free_port();
	g->other_port = free_port();
	snprintf(g->listen, sizeof g->listen, "127.0.0.1:%u", g->port);
	snprintf(g->other, sizeof g->other, "tcp://127.0.0.1:%u", g->other_port);
	g->host = (struct channel_host){ .base = g->s.base, .arg = g, .pick = pick, .post = post, .submit = submit, .may_read = may_read,
		.connections_max = 100 };
	g->loop = (struct intake_loop){ .base = g->s.base, .plan = &g->plan };
	g->plan.settings = (struct settings){ .limit_memory = 64 << 20, .limit_body = 1000 };
	g->type = channel_http.new(&g->host);
	plan_anew(g);
	channel(g, "one", g->listen, "/one", NONE, NONE);
	reload(g);
	*state = g;
	return 0;
}

static int rig_down(void **state)
{
	struct rig *g = *state;

	channel_http.free(g->type);
	assert_int_equal(g->loop.connections, 0);
	event_base_free(g->s.base);
	buf_fini(&g->body);
	free(g);
	return 0;
}

static int reach_port(struct rig *g, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&sin, sizeof sin) < 0) {
		close(fd);
		return -1;
	}
	for (int i = 0; i < 5; i++)
		turn(&g->s);
	return fd;
}

static void ask(struct rig *g, int fd, const char *line, const char *fields, const char *body)
{
	struct buf b = BUF_INIT;

	buf_addf(&b, "%s HTTP/1.1\r\nHost: h\r\n%sContent-Length: %zu\r\n\r\n%s", line, fields, strlen(body), body);
	says(&g->s, fd, b.p);
	for (int i = 0; i < 5; i++)
		turn(&g->s);
	buf_fini(&b);
}

/* What came, from `want` on. */
static const char *answer(struct rig *g, int fd, const char *want)
{
	return strstr(hear(&g->s, fd, want), want);
}

static void job_done(struct rig *g, unsigned i, struct intake_result r)
{
	g->job[i].done(g->job[i].arg, &r);
}

/* Invariant 1, as the channel sees it. */
static void test_answered_after_the_commit_only(void **state)
{
	struct rig *g = *state;
	int fd = reach_port(g, g->port);
	char c;

	assert_int_equal(g->loop.connections, 1);
	ask(g, fd, "POST /one?x=1", "", "[{},{}]");
	assert_int_equal(g->njobs, 1);
	assert_string_equal(g->body.p, "[{},{}]");
	assert_string_equal(g->job[0].channel, "one");
	assert_memory_equal(g->peer, "127.0.0.1:", 10);
	assert_int_equal(recv(fd, &c, 1, MSG_DONTWAIT), -1);
	job_done(g, 0, (struct intake_result){ .outcome = INTAKE_TAKEN, .taken = 2 });
	assert_non_null(answer(g, fd, "HTTP/1.1 200 OK"));
	ask(g, fd, "PUT /%6fne", "", "x");
	job_done(g, 1, (struct intake_result){ .outcome = INTAKE_TAKEN, .taken = 2 });
	assert_string_equal(answer(g, fd, "{\"taken\""), "{\"taken\":2}\n");
	close(fd);
}

static void test_what_each_outcome_is_told_as(void **state)
{
	static const struct refusal refused[] = { { 3, "no ident" }, { 5, "a key \"x\" twice" } };
	struct rig *g = *state;
	int fd = reach_port(g, g->port);

	ask(g, fd, "POST /one", "", "x");
	job_done(g, 0, (struct intake_result){ .outcome = INTAKE_TAKEN, .taken = 99, .nrefused = 2, .ntold = 2, .refused = refused });
	assert_string_equal(answer(g, fd, "{\"taken\""),
		"{\"taken\":99,\"refused\":[{\"index\":3,\"reason\":\"no ident\"},{\"index\":5,\"reason\":\"a key \\\"x\\\" twice\"}]}\n");
	ask(g, fd, "POST /one", "", "x");
	job_done(g, 1, (struct intake_result){ .outcome = INTAKE_TAKEN, .taken = 1, .nrefused = 200, .ntold = 1, .refused = refused });
	assert_string_equal(answer(g, fd, "{\"taken\""), "{\"taken\":1,\"refused\":[{\"index\":3,\"reason\":\"no ident\"}],\"more\":199}\n");
	ask(g, fd, "POST /one", "", "x");
	job_done(g, 2, (struct intake_result){ .outcome = INTAKE_REFUSED, .nrefused = 1, .ntold = 1, .refused = refused, .why = "none" });
	assert_non_null(strstr(answer(g, fd, "400 Bad Request"),
		"{\"errors\":[{\"code\":400,\"reason\":\"none\"}],\"taken\":0,\"refused\":[{\"index\":3,\"reason\":\"no ident\"}]}\n"));
	ask(g, fd, "POST /one", "", "bad");
	assert_non_null(strstr(answer(g, fd, "400 Bad Request"), "{\"errors\":[{\"code\":400,\"reason\":\"not JSON at byte 0\"}]}\n"));
	ask(g, fd, "POST /one", "", "x");
	job_done(g, 3, (struct intake_result){ .outcome = INTAKE_FULL, .why = "stream toll is full" });
	assert_non_null(strstr(answer(g, fd, "503 Service Unavailable"), "Retry-After: 5\r\n"));
	ask(g, fd, "POST /one", "", "x");
	job_done(g, 4, (struct intake_result){ .outcome = INTAKE_FAILED, .why = "the store cannot write" });
	assert_non_null(strstr(answer(g, fd, "503 Service Unavailable"), "the store cannot write"));
	close(fd);
}

static void test_channels_share_an_address_by_path_and_method(void **state)
{
	static const char *const get[] = { "GET", NULL };
	static const struct options fixed = { { { .name = "status", .text = "203" }, { .name = "body", .text = "fine" },
		{ .name = "type", .text = "text/x-\r\nEvil: 1" } } };
	struct rig *g = *state;
	int fd;

	plan_anew(g);
	channel(g, "one", g->listen, "/one", NONE, NONE);
	channel(g, "two", g->listen, "/two", NONE, NONE);
	channel(g, "health", g->listen, "/one", (struct pair){ .name = "methods", .list = get }, (struct pair){ .name = "answer", .map = &fixed });
	reload(g);
	fd = reach_port(g, g->port);
	ask(g, fd, "POST /two", "", "x");
	assert_string_equal(g->job[0].channel, "two");
	job_done(g, 0, (struct intake_result){ .outcome = INTAKE_TAKEN });
	hear(&g->s, fd, "taken");
	ask(g, fd, "GET /one", "", "");
	const char *got = hear(&g->s, fd, "fine");
	assert_non_null(strstr(got, "HTTP/1.1 203 "));
	assert_null(strstr(got, "\r\nEvil"));
	assert_int_equal(g->njobs, 1); /* a health check submits nothing */
	ask(g, fd, "GET /two", "", "");
	hear(&g->s, fd, "405 Method Not Allowed");
	ask(g, fd, "GET /three", "", "");
	hear(&g->s, fd, "404 Not Found");
	/* with a body, the path's refusal comes before the body is taken */
	ask(g, fd, "POST /three", "", "x");
	assert_non_null(strstr(hear(&g->s, fd, NULL), "404 Not Found"));
	close(fd);
}

static void test_secrets(void **state)
{
	static const struct options bearer = { { { .name = "bearer", .text = "s3cret" } } },
		login = { { { .name = "username", .text = "u" }, { .name = "password", .text = "p:w" } } },
		basic = { { { .name = "basic", .map = &login } } },
		param = { { { .name = "key", .text = "a b" } } }, query = { { { .name = "query", .map = &param } } },
		name = { { { .name = "X-Key", .text = "k" } } }, header = { { { .name = "header", .map = &name } } };
	static const struct { const struct options *auth; const char *line, *fields; bool ok; } cases[] = {
		{ &bearer, "POST /one", "Authorization: Bearer s3cret\r\n", true },
		{ &bearer, "POST /one", "Authorization: Bearer s3creT\r\n", false },
		{ &bearer, "POST /one", "Authorization: Basic s3cret\r\n", false },
		{ &bearer, "POST /one", "", false },
		{ &basic, "POST /one", "Authorization: Basic dTpwOnc=\r\n", true },
		{ &basic, "POST /one", "Authorization: Basic dTpw\r\n", false },
		{ &basic, "POST /one", "Authorization: Basic djpwOnc=\r\n", false },
		{ &query, "POST /one?z=1&key=a%20b", "", true },
		{ &query, "POST /one?key=a", "", false },
		{ &query, "POST /one", "", false },
		{ &header, "POST /one", "x-key: k\r\n", true },
		{ &header, "POST /one", "x-key: kk\r\n", false },
		{ &header, "POST /one", "", false },
	};
	struct rig *g = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int fd;

		plan_anew(g);
		channel(g, "one", g->listen, "/one", (struct pair){ .name = "auth", .map = cases[i].auth }, NONE);
		reload(g);
		fd = reach_port(g, g->port);
		g->njobs = 0;
		ask(g, fd, cases[i].line, cases[i].fields, "x");
		if (g->njobs != cases[i].ok)
			fail_msg("%s %s", cases[i].line, cases[i].fields);
		if (cases[i].ok)
			job_done(g, 0, (struct intake_result){ .outcome = INTAKE_TAKEN });
		hear(&g->s, fd, cases[i].ok ? "200 OK" : "401 Unauthorized");
		close(fd);
	}
}

static void test_reload_keeps_connections_and_takes_effect_between_requests(void **state)
{
	struct rig *g = *state;
	int fd = reach_port(g, g->port), gone;

	ask(g, fd, "POST /one", "", "x");
	plan_anew(g);
	channel(g, "renamed", g->listen, "/new", NONE, NONE);
	channel(g, "second", g->other, "/one", NONE, NONE);
	g->plan.settings.limit_body = 5;
	reload(g);
	job_done(g, 0, (struct intake_result){ .outcome = INTAKE_TAKEN });
	hear(&g->s, fd, "200 OK");
	ask(g, fd, "POST /new", "", "12345");
	assert_string_equal(g->job[1].channel, "renamed");
	job_done(g, 1, (struct intake_result){ .outcome = INTAKE_TAKEN });
	hear(&g->s, fd, "200 OK");
	ask(g, fd, "POST /new", "", "123456");
	assert_non_null(strstr(hear(&g->s, fd, NULL), "413 "));
	close(fd);

	/* an address that is named no more: closed to newcomers, ended after the request under way */
	gone = reach_port(g, g->other_port);
	ask(g, gone, "POST /one", "", "x");
	assert_string_equal(g->job[2].channel, "second");
	plan_anew(g);
	channel(g, "renamed", g->listen, "/new", NONE, NONE);
	reload(g);
	assert_int_equal(reach_port(g, g->other_port), -1);
	job_done(g, 2, (struct intake_result){ .outcome = INTAKE_TAKEN });
	assert_non_null(strstr(hear(&g->s, gone, NULL), "200 OK"));
	close(gone);
}

static void test_failed_prepare_changes_nothing(void **state)
{
	static const struct options tls = { { { .name = "cert", .text = "/no/cert" }, { .name = "key", .text = "/no/key" } } };
	struct rig *g = *state;
	char taken[64];
	struct addr a;
	int blocker, fd = reach_port(g, g->port);

	assert_int_equal(addr_parse(&a, "127.0.0.1:0", g->why, sizeof g->why), 0);
	blocker = addr_listen(&a, g->why, sizeof g->why);
	struct sockaddr_in sin;
	socklen_t len = sizeof sin;
	getsockname(blocker, (struct sockaddr *)&sin, &len);
	snprintf(taken, sizeof taken, "127.0.0.1:%u", ntohs(sin.sin_port));

	struct { const char *listen, *path; struct pair extra; const char *want; } bad[] = {
		{ taken, "/one", NONE, "channel 'bad': cannot listen on 127.0.0.1:" },
		{ "udp://:1", "/one", NONE, "channel 'bad': listen: HTTP has no udp://" },
		{ "[::1", "/one", NONE, "channel 'bad': listen: '[::1'" },
		{ g->other, "/bad", { .name = "tls", .map = &tls }, "channel 'bad': tls: /no/cert: " },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct plan now = g->plan;

		plan_anew(g);
		channel(g, "one", g->listen, "/one", NONE, NONE);
		channel(g, "third", g->other, "/one", NONE, NONE);
		g->channels[1].enabled = false; /* what is not opened can't be in the way */
		channel(g, "bad", bad[i].listen, bad[i].path, bad[i].extra, NONE);
		assert_int_equal(channel_http.prepare(g->type, &g->plan, g->why, sizeof g->why), -1);
		if (!strstr(g->why, bad[i].want))
			fail_msg("wanted '%s', told '%s'", bad[i].want, g->why);
		channel_http.abort(g->type);
		g->plan = now;
		assert_int_equal(reach_port(g, g->other_port), -1);
		g->njobs = 0;
		ask(g, fd, "POST /one", "", "x");
		assert_int_equal(g->njobs, 1);
		job_done(g, 0, (struct intake_result){ .outcome = INTAKE_TAKEN });
		hear(&g->s, fd, "200 OK");
	}
	close(blocker);
	close(fd);
}

/* What a specification must not ask for is found before anything is prepared. */
static void test_two_in_each_others_way(void **state)
{
	static const struct options tls = { { { .name = "cert", .text = "/no/cert" }, { .name = "key", .text = "/no/key" } } };
	struct rig *g = *state;
	struct { const char *listen, *path; struct pair extra; const char *want; } bad[] = {
		{ g->listen, "/one", NONE, "channels 'one' and 'bad' both take /one on 127.0.0.1:" },
		{ g->listen, "/bad", { .name = "tls", .map = &tls }, "so their tls must be the same" },
		{ g->other, "/one", NONE, NULL },
		{ g->listen, "/two", NONE, NULL },
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct plan now = g->plan;

		plan_anew(g);
		channel(g, "one", g->listen, "/one", NONE, NONE);
		channel(g, "bad", bad[i].listen, bad[i].path, bad[i].extra, NONE);
		assert_int_equal(channel_http.check(&g->channels[1], &g->channels[0], g->why, sizeof g->why), bad[i].want ? -1 : 0);
		if (bad[i].want && !strstr(g->why, bad[i].want))
			fail_msg("wanted '%s', told '%s'", bad[i].want, g->why);
		g->plan = now;
	}
}

static void test_reading_pauses_when_it_must_and_resumes(void **state)
{
	struct rig *g = *state;
	int fd = reach_port(g, g->port);

	g->may_read = false;
	ask(g, fd, "POST /one", "", "x");
	ask(g, fd, "POST /one", "", "y");
	assert_int_equal(g->njobs, 1);
	job_done(g, 0, (struct intake_result){ .outcome = INTAKE_TAKEN });
	hear(&g->s, fd, "200 OK"); /* answers go on */
	g->may_read = true;
	channel_http.resume(g->type, &g->loop);
	for (int i = 0; i < 5; i++)
		turn(&g->s);
	assert_int_equal(g->njobs, 2);
	assert_string_equal(g->body.p, "y");
	job_done(g, 1, (struct intake_result){ .outcome = INTAKE_TAKEN });
	close(fd);
}

static void on_stopped(void *arg)
{
	((struct rig *)arg)->stopped++;
}

static void test_stop_waits_for_answers(void **state)
{
	struct rig *g = *state;
	int fd = reach_port(g, g->port), idle = reach_port(g, g->port);

	ask(g, fd, "POST /one", "", "x");
	channel_http.stop(g->type, on_stopped, g);
	for (int i = 0; i < 10; i++)
		turn(&g->s);
	assert_int_equal(reach_port(g, g->port), -1);
	assert_int_equal(g->stopped, 0);
	assert_string_equal(hear(&g->s, idle, NULL), "");
	close(idle);
	job_done(g, 0, (struct intake_result){ .outcome = INTAKE_TAKEN, .taken = 1 });
	assert_non_null(strstr(hear(&g->s, fd, NULL), "{\"taken\":1}"));
	close(fd);
	for (int i = 0; i < 10; i++)
		turn(&g->s);
	assert_int_equal(g->stopped, 1);
}

static void test_stop_without_connections_and_free_amid_requests(void **state)
{
	struct rig *g = *state;
	int fd = reach_port(g, g->port);

	ask(g, fd, "POST /one", "", "x");
	assert_int_equal(g->njobs, 1);
	close(fd);
	channel_http.free(g->type); /* the answer never comes */
	assert_int_equal(g->loop.connections, 0);
	g->type = channel_http.new(&g->host);
	reload(g);
	channel_http.stop(g->type, on_stopped, g);
	for (int i = 0; i < 10; i++)
		turn(&g->s);
	assert_int_equal(g->stopped, 1);
}

#define R(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		R(test_answered_after_the_commit_only),
		R(test_what_each_outcome_is_told_as),
		R(test_channels_share_an_address_by_path_and_method),
		R(test_secrets),
		R(test_reload_keeps_connections_and_takes_effect_between_requests),
		R(test_failed_prepare_changes_nothing),
		R(test_two_in_each_others_way),
		R(test_reading_pauses_when_it_must_and_resumes),
		R(test_stop_waits_for_answers),
		R(test_stop_without_connections_and_free_amid_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
