/* http_client.c - libcurl's multi interface on a libevent loop.
 *
 * The hard part is what is kept. A peer keeps easy handles with all its settings in them, since making one costs as much as a small
 * request; the client's one multi handle keeps the connections, and libcurl finds one that fits by comparing settings, certificates
 * included (they are given as bytes, not as names of files). So neither a peer nor a handle owns a connection, and a peer that is
 * made anew in a reload finds the old connections if nothing that matters has changed.
 *
 * libcurl calls us for sockets and timers and is called when these are due; it is never called from inside its own callbacks. */
#include "net/http_client.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <curl/curl.h>
#include <event2/event.h>
#include <zlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "config.h"
#include "net/http_address.h"

#define HEAD_KEPT 8192
#define BODY_KEPT 4096
#define HEADERS_KEPT 64
#define ANSWER_MAX (1 << 20)
#define IDLE_HANDLES_MAX 64
/* A body goes out in pieces of at most this; 64 KiB (libcurl's default) costs a third more at 900 KB a batch. */
#define UPLOAD_PIECE (512 * 1024)

struct http_client {
	struct event_base *base;
	CURLM *multi;
	struct event *timer;
	unsigned worth_keeping;   /* idle connections, of all peers */
	uint64_t connections;
	bool deflating;
	z_stream deflater;
};

/* A socket of libcurl's. Two events, so that wanting to write for a moment is one change and not four. */
struct watch {
	struct event *in, *out;
};

struct http_peer {
	struct http_client *client;
	unsigned refs;            /* the owner's and one for each call under way */
	struct buf ca, cert, key;
	bool verify;
	char *proxy, *bind;
	unsigned connections;
	struct http_call *idle;   /* handles ready to be used */
	unsigned nidle;
};

struct http_call {
	struct http_peer *peer;
	CURL *easy;
	struct http_call *next;
	http_reply_fn *done;
	void *arg;
	struct curl_slist *headers;
	struct buf line, packed, head, body;
	size_t answered;          /* bytes of the answer, kept or not */
	bool over;                /* more than we read */
	bool host_from_outside, refused;
	int64_t began;
	char error[CURL_ERROR_SIZE];
	const char *names[HEADERS_KEPT], *values[HEADERS_KEPT];
};

static void no_memory(void)
{
	fprintf(stderr, "sluice: no memory for an HTTP request\n");
	abort();
}

/* ---- the loop ----------------------------------------------------------------------------------------------------------- */

static void finish(struct http_call *call, CURLcode code);

static void collect(struct http_client *c)
{
	CURLMsg *m;
	int left;
	while ((m = curl_multi_info_read(c->multi, &left))) {
		if (m->msg != CURLMSG_DONE)
			continue;
		struct http_call *call;
		CURLcode code = m->data.result;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		curl_multi_remove_handle(c->multi, call->easy);
		finish(call, code);
	}
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct http_client *c = arg;
	int running;
	curl_multi_socket_action(c->multi, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0), &running);
	collect(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	struct http_client *c = arg;
	int running;
	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(c);
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
	(void)multi;
	struct http_client *c = arg;
	const struct timeval wait = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	if (ms < 0)
		evtimer_del(c->timer);
	else
		evtimer_add(c->timer, &wait);
	return 0;
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	(void)easy;
	struct http_client *c = arg;
	struct watch *w = socket_arg;
	if (what == CURL_POLL_REMOVE) {
		if (w) {
			event_free(w->in);
			event_free(w->out);
			free(w);
			curl_multi_assign(c->multi, fd, NULL);
		}
		return 0;
	}
	if (!w) {
		w = xcalloc(1, sizeof *w);
		w->in = event_new(c->base, fd, EV_READ | EV_PERSIST, on_socket, c);
		w->out = event_new(c->base, fd, EV_WRITE | EV_PERSIST, on_socket, c);
		curl_multi_assign(c->multi, fd, w);
	}
	if (what & CURL_POLL_IN)
		event_add(w->in, NULL);
	else
		event_del(w->in);
	if (what & CURL_POLL_OUT)
		event_add(w->out, NULL);
	else
		event_del(w->out);
	return 0;
}

static void init_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct http_client *http_client_new(struct event_base *base)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, init_curl);
	struct http_client *c = xcalloc(1, sizeof *c);
	c->base = base;
	c->multi = curl_multi_init();
	c->timer = evtimer_new(base, on_timer, c);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	return c;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	curl_multi_cleanup(c->multi);
	event_free(c->timer);
	if (c->deflating)
		deflateEnd(&c->deflater);
	free(c);
}

uint64_t http_client_connections(const struct http_client *c)
{
	return c->connections;
}

static void keep_connections(struct http_client *c, int change)
{
	c->worth_keeping += (unsigned)change;
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)c->worth_keeping + 16);
}

/* ---- what libcurl asks and tells during a call ------------------------------------------------------------------------------ */

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	(void)purpose;
	struct http_call *call = arg;
	if (http_address_is_internal(&a->addr)) {
		const char *url = call->peer->proxy;
		if (!url)
			curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &url);
		if (call->host_from_outside || !url || !http_address_is_literal(url, &a->addr)) {
			call->refused = true;
			return CURL_SOCKET_BAD;
		}
	}
	call->peer->client->connections++;
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static size_t on_header(char *p, size_t one, size_t n, void *arg)
{
	(void)one;
	struct http_call *call = arg;
	call->answered += n;
	if (call->answered > ANSWER_MAX)
		return 0;
	if (n >= 5 && memcmp(p, "HTTP/", 5) == 0)
		buf_clear(&call->head); /* the final answer's head replaces those of 1xx */
	else if (call->head.len + n <= HEAD_KEPT)
		buf_add(&call->head, p, n);
	return n;
}

static size_t on_body(char *p, size_t one, size_t n, void *arg)
{
	(void)one;
	struct http_call *call = arg;
	size_t room = BODY_KEPT - call->body.len;
	buf_add(&call->body, p, n < room ? n : room);
	call->answered += n;
	call->over = call->answered > ANSWER_MAX;
	return call->over ? 0 : n;
}

/* ---- peers -------------------------------------------------------------------------------------------------------------------- */

static int read_file(const char *path, struct buf *out, char *why, size_t whylen)
{
	FILE *f = fopen(path, "re");
	if (!f) {
		snprintf(why, whylen, "%s: %s", path, strerror(errno));
		return -1;
	}
	size_t n;
	do {
		buf_reserve(out, 8192);
		n = fread(out->p + out->len, 1, 8192, f);
		out->len += n;
	} while (n && out->len < (16u << 20));
	int bad = ferror(f);
	fclose(f);
	if (bad || !out->len) {
		snprintf(why, whylen, "%s: %s", path, bad ? "cannot be read" : "is empty");
		return -1;
	}
	return 0;
}

struct http_peer *http_peer_new(struct http_client *c, const struct http_peer_settings *s, char *why, size_t whylen)
{
	struct http_peer *p = xcalloc(1, sizeof *p);
	p->client = c;
	p->refs = 1;
	p->verify = s->verify;
	p->proxy = s->proxy ? xstrdup(s->proxy) : NULL;
	p->bind = s->bind ? xstrdup(s->bind) : NULL;
	p->connections = s->connections ? s->connections : 1;
	keep_connections(c, (int)p->connections);
	const char *key = s->key ? s->key : s->cert;
	if ((s->ca && read_file(s->ca, &p->ca, why, whylen)) || (s->cert && read_file(s->cert, &p->cert, why, whylen)) ||
	    (s->cert && read_file(key, &p->key, why, whylen))) {
		http_peer_free(p);
		return NULL;
	}
	return p;
}

static void call_free(struct http_call *call)
{
	curl_easy_cleanup(call->easy);
	buf_fini(&call->line);
	buf_fini(&call->packed);
	buf_fini(&call->head);
	buf_fini(&call->body);
	free(call);
}

static void peer_unref(struct http_peer *p)
{
	if (--p->refs)
		return;
	for (struct http_call *call; (call = p->idle);) {
		p->idle = call->next;
		call_free(call);
	}
	keep_connections(p->client, -(int)p->connections);
	buf_fini(&p->ca);
	buf_fini(&p->cert);
	if (p->key.p)
		explicit_bzero(p->key.p, p->key.cap);
	buf_fini(&p->key);
	free(p->proxy);
	free(p->bind);
	free(p);
}

void http_peer_free(struct http_peer *p)
{
	if (p)
		peer_unref(p);
}

static void set_blob(CURL *easy, CURLoption option, const struct buf *b)
{
	struct curl_blob blob = { .data = b->p, .len = b->len, .flags = CURL_BLOB_NOCOPY };
	if (b->len)
		curl_easy_setopt(easy, option, &blob);
}

/* All that does not change from request to request. */
static struct http_call *call_new(struct http_peer *p)
{
	struct http_call *call = xcalloc(1, sizeof *call);
	CURL *e = call->easy = curl_easy_init();
	if (!e)
		no_memory();
	call->peer = p;
	curl_easy_setopt(e, CURLOPT_PRIVATE, call);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, call->error);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(e, CURLOPT_PROXY, p->proxy ? p->proxy : "");
	if (p->bind)
		curl_easy_setopt(e, CURLOPT_INTERFACE, p->bind);
	curl_easy_setopt(e, CURLOPT_USERAGENT, PACKAGE_NAME "/" PACKAGE_VERSION);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, call);
	curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_PIECE);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, 60L);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, p->verify ? 1L : 0L);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, p->verify ? 2L : 0L);
	set_blob(e, CURLOPT_CAINFO_BLOB, &p->ca);
	set_blob(e, CURLOPT_SSLCERT_BLOB, &p->cert);
	set_blob(e, CURLOPT_SSLKEY_BLOB, &p->key);
	return call;
}

/* ---- calls ---------------------------------------------------------------------------------------------------------------------- */

static void recycle(struct http_call *call)
{
	struct http_peer *p = call->peer;
	curl_slist_free_all(call->headers);
	call->headers = NULL;
	buf_fini(&call->packed);
	/* A handle keeps the body of its last request only as a pointer; leave none that has gone. */
	curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, NULL);
	if (p->nidle < IDLE_HANDLES_MAX && p->refs > 1) {
		call->next = p->idle;
		p->idle = call;
		p->nidle++;
	} else {
		call_free(call);
	}
	peer_unref(p);
}

static void add_header(struct http_call *call, const char *name, const char *value)
{
	buf_clear(&call->line);
	buf_adds(&call->line, name);
	buf_adds(&call->line, *value ? ": " : ";"); /* with ";" libcurl sends a header that is empty, with ":" none */
	buf_adds(&call->line, value);
	call->headers = curl_slist_append(call->headers, call->line.p);
}

static void pack(struct http_client *c, const char *p, size_t n, struct buf *out)
{
	z_stream *z = &c->deflater;
	/* Level 1: telemetry is so repetitive that more effort saves a tenth of the bytes for three times the work. */
	if (!c->deflating && deflateInit2(z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		no_memory();
	c->deflating = true;
	deflateReset(z);
	buf_reserve(out, deflateBound(z, n));
	z->next_in = (Bytef *)(uintptr_t)p;
	z->avail_in = (uInt)n;
	z->next_out = (Bytef *)out->p;
	z->avail_out = (uInt)out->cap;
	deflate(z, Z_FINISH);
	out->len = (size_t)z->total_out;
}

struct http_call *http_call(struct http_peer *p, const struct http_outgoing *o, http_reply_fn *done, void *arg)
{
	struct http_call *call = p->idle;
	if (call) {
		p->idle = call->next;
		p->nidle--;
	} else {
		call = call_new(p);
	}
	p->refs++;
	CURL *e = call->easy;
	call->next = NULL;
	call->done = done;
	call->arg = arg;
	call->answered = 0;
	call->over = call->refused = false;
	call->host_from_outside = o->host_from_outside;
	call->error[0] = '\0';
	buf_clear(&call->head);
	buf_clear(&call->body);
	call->began = clock_mono_us();

	for (unsigned i = 0; i < o->nheaders; i++)
		add_header(call, o->names[i], o->values[i]);
	call->headers = curl_slist_append(call->headers, "Expect:");
	const char *body = o->body;
	size_t len = o->body_len;
	if (o->gzip && len) {
		pack(p->client, body, len, &call->packed);
		body = call->packed.p;
		len = call->packed.len;
		add_header(call, "Content-Encoding", "gzip");
	}
	curl_easy_setopt(e, CURLOPT_URL, o->url);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, call->headers);
	long ms = (long)((o->timeout_us + 999) / 1000);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, ms > 0 ? ms : 1L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, ms > 0 ? ms : 1L);
	bool post = strcmp(o->method, "POST") == 0;
	if (body || post) {
		curl_easy_setopt(e, CURLOPT_POST, 1L);
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, body ? body : "");
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
	} else {
		curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
	}
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, post || (!body && strcmp(o->method, "GET") == 0) ? NULL : o->method);
	curl_multi_add_handle(p->client->multi, e);
	return call;
}

void http_cancel(struct http_call *call)
{
	curl_multi_remove_handle(call->peer->client->multi, call->easy);
	recycle(call);
}

/* TLS 1.3 tells of a refused client certificate only when we first read, so libcurl reports a failed read and the alert's name. */
static bool tells_certificate(const char *error)
{
	return strstr(error, "alert") && (strstr(error, "certificate") || strstr(error, "unknown ca") || strstr(error, "access denied"));
}

static enum http_trouble trouble_of(const struct http_call *call, CURLcode code)
{
	switch (code) {
	case CURLE_OK:
		return HTTP_ANSWERED;
	case CURLE_WRITE_ERROR:
		return call->over ? HTTP_ANSWERED : HTTP_CUT;
	case CURLE_OPERATION_TIMEDOUT:
		return HTTP_TIMEOUT;
	case CURLE_UNSUPPORTED_PROTOCOL: /* also what libcurl says of an answer without a status line */
		return strstr(call->error, "HTTP/0.9") ? HTTP_CUT : HTTP_MISUSE;
	case CURLE_URL_MALFORMAT:
	case CURLE_INTERFACE_FAILED:
		return HTTP_MISUSE;
	case CURLE_COULDNT_CONNECT:
		return call->refused ? HTTP_MISUSE : HTTP_UNREACHABLE;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
	case CURLE_SSL_CLIENTCERT:
		return HTTP_CERTIFICATE;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return HTTP_UNREACHABLE;
	default:
		if (tells_certificate(call->error))
			return HTTP_CERTIFICATE;
		return code == CURLE_RECV_ERROR || code == CURLE_PARTIAL_FILE || code == CURLE_GOT_NOTHING || code == CURLE_WEIRD_SERVER_REPLY
		               ? HTTP_CUT : HTTP_UNREACHABLE;
	}
}

/* Cut the kept head into lines "Name: value", in place. */
static unsigned cut_head(struct http_call *call)
{
	unsigned n = 0;
	char *p = call->head.p, *end = p + call->head.len;
	while (p < end && n < HEADERS_KEPT) {
		char *eol = memchr(p, '\n', (size_t)(end - p));
		char *next = eol ? eol + 1 : end;
		char *stop = eol ? eol : end;
		while (stop > p && isspace((unsigned char)stop[-1]))
			stop--;
		char *colon = memchr(p, ':', (size_t)(stop - p));
		if (colon) {
			*stop = '\0';
			*colon = '\0';
			for (char *q = p; q < colon; q++)
				*q = (char)tolower((unsigned char)*q);
			char *value = colon + 1;
			while (value < stop && isspace((unsigned char)*value))
				value++;
			call->names[n] = p;
			call->values[n++] = value;
		}
		p = next;
	}
	return n;
}

static void finish(struct http_call *call, CURLcode code)
{
	long status = 0;
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	enum http_trouble trouble = trouble_of(call, code);
	struct http_reply r = {
		.trouble = trouble,
		.why = trouble == HTTP_ANSWERED ? "" : call->refused ? "its name leads to a link-local or metadata address" :
		       call->error[0] ? call->error : curl_easy_strerror(code),
		.status = (int)status,
		.nheaders = cut_head(call),
		.names = call->names, .values = call->values,
		.body = call->body.p ? call->body.p : "", .len = call->body.len,
		.took_us = clock_mono_us() - call->began,
	};
	call->done(call->arg, &r);
	recycle(call);
}

const char *http_reply_header(const struct http_reply *r, const char *name)
{
	for (unsigned i = 0; i < r->nheaders; i++)
		if (strcmp(r->names[i], name) == 0)
			return r->values[i];
	return NULL;
}

int64_t http_reply_retry_after_us(const struct http_reply *r)
{
	const char *v = http_reply_header(r, "retry-after");
	if (!v)
		return 0;
	char *end;
	long long seconds = strtoll(v, &end, 10);
	if (end == v || *end) {
		time_t at = curl_getdate(v, NULL);
		if (at == (time_t)-1)
			return 0;
		seconds = (long long)at - clock_real_us() / 1000000;
	}
	if (seconds > INT_MAX)
		seconds = INT_MAX;
	return seconds > 0 ? (int64_t)seconds * 1000000 : 0;
}
