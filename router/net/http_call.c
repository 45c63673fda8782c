/* http_call.c - one request and its answer, on a libcurl handle that is used again and again. */
#include "net/http_client_parts.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/clock.h"
#include "config.h"
#include "net/http_address.h"

#define IDLE_HANDLES_MAX 64
/* A body goes out in pieces of at most this; 64 KiB (libcurl's default) costs a third more at 900 KB a batch. */
#define UPLOAD_PIECE (512 * 1024)

/* ---- what libcurl asks and tells ------------------------------------------------------------------------------------------ */

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
	call->peer->client->heard = true;
	if (call->answered > ANSWER_MAX)
		return 0;
	if (n >= 5 && memcmp(p, "HTTP/", 5) == 0) {
		buf_clear(&call->head); /* the final answer's head replaces those of 1xx */
		call->headed = false;
	} else if (n <= 2 && (*p == '\r' || *p == '\n')) {
		call->headed = true;
	} else if (call->head.len + n <= HEAD_KEPT) {
		buf_add(&call->head, p, n);
	}
	return n;
}

static size_t on_body(char *p, size_t one, size_t n, void *arg)
{
	(void)one;
	struct http_call *call = arg;
	size_t room = call->keep - call->body.len;
	buf_add(&call->body, p, n < room ? n : room);
	call->answered += n;
	call->over = call->answered > ANSWER_MAX;
	call->cut |= n > room || call->over;
	return call->over ? 0 : n;
}

/* ---- handles ---------------------------------------------------------------------------------------------------------------- */

static void set_blob(CURL *easy, CURLoption option, const struct buf *b)
{
	struct curl_blob blob = { .data = b->p, .len = b->len, .flags = CURL_BLOB_NOCOPY };
	if (b->len)
		curl_easy_setopt(easy, option, &blob);
}

/* All that does not change from request to request. */
struct http_call *http_call_new(struct http_peer *p)
{
	struct http_call *call = xcalloc(1, sizeof *call);
	CURL *e = call->easy = curl_easy_init();
	if (!e)
		http_client_no_memory();
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
	/* A call that ends while its name is still being looked up would otherwise wait for the resolver's thread, on our loop. */
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, p->verify ? 1L : 0L);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, p->verify ? 2L : 0L);
	set_blob(e, CURLOPT_CAINFO_BLOB, &p->ca);
	set_blob(e, CURLOPT_SSLCERT_BLOB, &p->cert);
	set_blob(e, CURLOPT_SSLKEY_BLOB, &p->key);
	return call;
}

void http_call_free(struct http_call *call)
{
	curl_easy_cleanup(call->easy);
	buf_fini(&call->line);
	buf_fini(&call->packed);
	buf_fini(&call->head);
	buf_fini(&call->body);
	free(call);
}

/* ---- calls ---------------------------------------------------------------------------------------------------------------------- */

static void recycle(struct http_call *call)
{
	struct http_peer *p = call->peer;
	curl_slist_free_all(call->headers);
	call->headers = NULL;
	buf_fini(&call->packed);
	if (call->body.cap > 2 * BODY_KEPT)
		buf_fini(&call->body);
	/* A handle keeps the body of its last request only as a pointer; leave none that has gone. */
	curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, NULL);
	if (p->nidle < IDLE_HANDLES_MAX && p->refs > 1) {
		call->next = p->idle;
		p->idle = call;
		p->nidle++;
	} else {
		http_call_free(call);
	}
	http_peer_unref(p);
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
		http_client_no_memory();
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
		call = http_call_new(p);
	}
	p->refs++;
	CURL *e = call->easy;
	call->next = NULL;
	call->done = done;
	call->arg = arg;
	call->answered = 0;
	call->over = call->refused = call->headed = call->cut = false;
	call->keep = !o->keep ? BODY_KEPT : o->keep < ANSWER_MAX ? o->keep : ANSWER_MAX;
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
	case CURLE_OK: /* also when the connection ended within the head: a status line alone is no answer */
		return call->headed ? HTTP_ANSWERED : HTTP_CUT;
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
	char *p = call->head.p, *end = p ? p + call->head.len : p;
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

void http_call_finish(struct http_call *call, CURLcode code)
{
	long status = 0;
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	enum http_trouble trouble = trouble_of(call, code);
	struct http_reply r = {
		.trouble = trouble,
		.why = trouble == HTTP_ANSWERED ? "" : call->refused ? "its name leads to a link-local or metadata address" :
		       code == CURLE_OK ? "the connection ended within the head of the answer" :
		       call->error[0] ? call->error : curl_easy_strerror(code),
		.status = (int)status,
		.nheaders = cut_head(call),
		.names = call->names, .values = call->values,
		.body = call->body.p ? call->body.p : "", .len = call->body.len, .cut = call->cut,
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
