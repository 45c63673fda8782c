/* http_client_parts.h - the inside of the HTTP client, shared by http_client.c (loop, peers) and http_call.c (requests, answers). */
#ifndef SLUICE_NET_HTTP_CLIENT_PARTS_H
#define SLUICE_NET_HTTP_CLIENT_PARTS_H

#include <curl/curl.h>
#include <zlib.h>

#include "base/buf.h"
#include "net/http_client.h"

#define HEAD_KEPT 8192
#define BODY_KEPT 4096
#define HEADERS_KEPT 64
#define ANSWER_MAX (1 << 20)

struct http_client {
	struct event_base *base;
	CURLM *multi;
	struct event *timer;
	curl_socket_t turn;       /* the socket that is being looked at; -1 when libcurl wants nothing more of it */
	bool heard;               /* some of an answer came in this turn */
	unsigned worth_keeping;   /* idle connections, of all peers */
	uint64_t connections;
	bool deflating;
	z_stream deflater;
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
	size_t keep;              /* most that is kept of its body */
	bool cut;                 /* not all of its body was */
	bool headed;              /* the answer's head came whole */
	bool over;                /* more than we read */
	bool host_from_outside, refused;
	int64_t began;
	char error[CURL_ERROR_SIZE];
	const char *names[HEADERS_KEPT], *values[HEADERS_KEPT];
};

/* http_client.c */
void http_client_no_memory(void) __attribute__((noreturn));
void http_peer_unref(struct http_peer *p);

/* http_call.c */
struct http_call *http_call_new(struct http_peer *p);     /* a handle with all that does not change from request to request */
void http_call_free(struct http_call *call);
void http_call_finish(struct http_call *call, CURLcode code);

#endif
