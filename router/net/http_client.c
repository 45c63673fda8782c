/* http_client.c - libcurl's multi interface on a libevent loop; see http_client.h.
 *
 * The hard part is what is kept. A peer keeps easy handles with all its settings in them, since making one costs as much as a small
 * request; the client's one multi handle keeps the connections, and libcurl finds one that fits by comparing settings, certificates
 * included (they are given as bytes, not as names of files). So neither a peer nor a handle owns a connection, and a peer that is
 * made anew in a reload finds the old connections if nothing that matters has changed.
 *
 * libcurl calls us for sockets and timers and is called when these are due; it is never called from inside its own callbacks. */
#include "net/http_client_parts.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/arena.h"

/* A socket of libcurl's. Two events, so that wanting to write for a moment is one change and not four. */
struct watch {
	struct event *in, *out;
};

void http_client_no_memory(void)
{
	fprintf(stderr, "sluice: no memory for an HTTP request\n");
	abort();
}

/* ---- the loop ----------------------------------------------------------------------------------------------------------- */

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
		http_call_finish(call, code);
	}
}

/* A server that writes head and body one by one, and leaves Nagle's algorithm on, keeps the body until it knows that the head has come; the system
 * would wait 40 ms before it says so. */
static void acknowledge(curl_socket_t fd)
{
	static const int now = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &now, sizeof now);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct http_client *c = arg;
	int running;
	c->turn = fd;
	c->heard = false;
	curl_multi_socket_action(c->multi, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0), &running);
	if (what & EV_READ && c->turn == fd)
		acknowledge(fd);
	collect(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	struct http_client *c = arg;
	int running;
	c->heard = false;
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
		if (c->turn == fd)
			c->turn = -1;
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
	if (what & CURL_POLL_IN) {
		event_add(w->in, NULL);
		if (c->heard) /* the request has just left, and libcurl has looked for an answer already */
			acknowledge(fd);
	} else {
		event_del(w->in);
	}
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

void http_peer_unref(struct http_peer *p)
{
	if (--p->refs)
		return;
	for (struct http_call *call; (call = p->idle);) {
		p->idle = call->next;
		http_call_free(call);
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
		http_peer_unref(p);
}
