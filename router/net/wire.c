/* wire.c - see wire.h: bytes, and the end.
 *
 * One function, wire_turn(), does whatever the socket allows: handshake, write, read; every event only calls it. A wire that is freed by
 * one of its own callbacks meanwhile is doomed: it stays until the turn has ended. */
#include "net/wire_parts.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net/lookup.h"

#define INPUT_PAD 64
#define READ_LEAST 16384u
#define READ_TURN (256u << 10)      /* read from one wire before others have their turn */

/* ---- the end ------------------------------------------------------------------------------------------------------------- */

void wire_drop_socket(struct wire *w)
{
	if (w->readable)
		event_free(w->readable);
	if (w->writable)
		event_free(w->writable);
	w->readable = w->writable = NULL;
	SSL_free(w->ssl);
	w->ssl = NULL;
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

void wire_free(struct wire *w)
{
	if (!w)
		return;
	if (w->busy) {
		w->doomed = true;
		return;
	}
	if (w->lookup)
		lookup_cancel(w->lookup);
	wire_drop_socket(w);
	event_free(w->flush);
	event_free(w->timer);
	event_free(w->late);
	tls_client_unref(w->client);
	free(w->addresses);
	free(w->bind);
	buf_fini(&w->in);
	buf_fini(&w->out);
	free(w);
}

void wire_end_now(struct wire *w, enum wire_end how, const char *why)
{
	if (w->state == ENDED || w->doomed)
		return;
	w->state = ENDED;
	evtimer_del(w->timer);
	wire_drop_socket(w);
	w->how = how;
	if (why != w->why)
		snprintf(w->why, sizeof w->why, "%s", why);
	w->calls.end(w->arg, how, w->why);
}

/* From inside the owner's call: told later. */
void wire_end_later(struct wire *w, enum wire_end how, const char *why)
{
	w->how = how;
	if (why != w->why)
		snprintf(w->why, sizeof w->why, "%s", why);
	event_active(w->late, EV_TIMEOUT, 0);
}

void wire_on_late(evutil_socket_t fd, short what, void *arg)
{
	struct wire *w = arg;

	(void)fd; (void)what;
	wire_end_now(w, w->how, w->why);
}

/* Directly after what failed: what to say of it. */
static enum wire_end fault_of(struct wire *w, const char *doing)
{
	bool certificate = false;
	const char *words = w->ssl ? tls_fault(w->ssl, &certificate) : strerror(errno);

	snprintf(w->why, sizeof w->why, "%s%s%s", certificate ? "" : doing, certificate ? "" : ": ", words);
	return certificate ? WIRE_CERTIFICATE : w->state == SHAKING ? WIRE_UNREACHABLE : WIRE_CUT;
}

/* ---- bytes --------------------------------------------------------------------------------------------------------------------- */

enum did { DID_ALL, DID_SOME, DID_END };

static enum did write_some(struct wire *w)
{
	w->write_wants_read = false;
	while (w->sent < w->out.len) {
		size_t n = 0;
		enum tls_io io = TLS_IO_OK;

		if (w->ssl) {
			io = tls_write(w->ssl, w->out.p + w->sent, w->out.len - w->sent, &n);
		} else {
			ssize_t k = send(w->fd, w->out.p + w->sent, w->out.len - w->sent, MSG_NOSIGNAL);

			if (k < 0 && errno == EINTR)
				continue;
			io = k >= 0 ? TLS_IO_OK : errno == EAGAIN ? TLS_IO_WANT_WRITE : TLS_IO_ERROR;
			n = k > 0 ? (size_t)k : 0;
		}
		w->sent += n;
		if (io == TLS_IO_WANT_READ)
			w->write_wants_read = true;
		if (io == TLS_IO_WANT_READ || io == TLS_IO_WANT_WRITE)
			return DID_SOME;
		if (io != TLS_IO_OK)
			return DID_END;
	}
	buf_fini(&w->out);
	w->sent = 0;
	return DID_ALL;
}

static enum tls_io read_once(struct wire *w, size_t want, size_t *n)
{
	buf_reserve(&w->in, want + INPUT_PAD);
	if (w->ssl)
		return tls_read(w->ssl, w->in.p + w->in.len, want, n);
	ssize_t k;
	do
		k = recv(w->fd, w->in.p + w->in.len, want, 0);
	while (k < 0 && errno == EINTR);
	*n = k > 0 ? (size_t)k : 0;
	return k > 0 ? TLS_IO_OK : k == 0 ? TLS_IO_EOF : errno == EAGAIN ? TLS_IO_WANT_READ : TLS_IO_ERROR;
}

/* Into the input, as much as it may hold. *got says whether anything came. */
static enum did read_some(struct wire *w, bool *got)
{
	size_t turned = 0, want = READ_LEAST;

	w->read_wants_write = w->dry = false;
	while (!w->held && w->in.len < w->settings.input_max && turned < READ_TURN) {
		size_t n = 0, room = w->settings.input_max - w->in.len;
		enum tls_io io = read_once(w, want < room ? want : room, &n);

		if (io == TLS_IO_WANT_READ || io == TLS_IO_WANT_WRITE) {
			w->read_wants_write = io == TLS_IO_WANT_WRITE;
			w->dry = true;
			return DID_SOME;
		}
		if (io == TLS_IO_EOF)
			w->eof = true;
		if (io != TLS_IO_OK)
			return DID_END;
		w->in.len += n;
		turned += n;
		*got = true;
		if (!w->ssl && n < want && n < room)
			return DID_SOME;
		if (want < READ_TURN)
			want *= 2;
	}
	return DID_ALL;
}

static bool wants_read(const struct wire *w)
{
	return w->state == OPEN && !w->eof && !w->held && w->in.len < w->settings.input_max && !w->read_wants_write;
}

/* What the socket is asked about from here on. */
void wire_rearm(struct wire *w)
{
	if (!w->readable)
		return;
	if (wants_read(w) || w->write_wants_read || (w->state == SHAKING && !w->read_wants_write))
		event_add(w->readable, NULL);
	else
		event_del(w->readable);
	if (w->state == CONNECTING || w->read_wants_write || (w->state == OPEN && w->sent < w->out.len && !w->write_wants_read))
		event_add(w->writable, NULL);
	else
		event_del(w->writable);
	/* What OpenSSL has read ahead makes no socket readable; but half a record is no news either. */
	if (wants_read(w) && w->ssl && !w->dry && SSL_has_pending(w->ssl))
		event_active(w->readable, EV_READ, 0);
}

static bool shaken(struct wire *w)
{
	enum tls_io io = w->ssl ? tls_handshake(w->ssl) : TLS_IO_OK;

	if (io == TLS_IO_WANT_READ || io == TLS_IO_WANT_WRITE) {
		w->read_wants_write = io == TLS_IO_WANT_WRITE;
		return false;
	}
	if (io != TLS_IO_OK) {
		wire_end_now(w, fault_of(w, "TLS handshake"), w->why);
		return false;
	}
	w->read_wants_write = false;
	w->state = OPEN;
	evtimer_del(w->timer);
	return true;
}

/* All has left: the far end is told so. What it still sends is read and forgotten until it closes. */
static void shut(struct wire *w)
{
	w->shut = true;
	if (w->ssl)
		SSL_shutdown(w->ssl);
	if (w->eof) {
		wire_end_now(w, WIRE_CLOSED, "closed");
		return;
	}
	shutdown(w->fd, SHUT_WR);
	w->held = false;
	buf_clear(&w->in);
}

/* Writing failed; what the far end said before is still worth reading. */
static void write_failed(struct wire *w)
{
	enum wire_end how = fault_of(w, "writing");
	bool got = false;

	if (!w->finishing && !w->eof)
		read_some(w, &got);
	if (got)
		w->calls.input(w->arg);
	wire_end_now(w, how, w->why);
}

/* A far end that answers in many small writes, and leaves Nagle's algorithm on (Mosquitto does), keeps the second until it knows that the first has
 * come. Where nothing goes back that would tell it, the system would wait 40 ms before it does. */
static void acknowledge(struct wire *w)
{
	static const int now = 1;

	if (w->sent == w->out.len)
		setsockopt(w->fd, IPPROTO_TCP, TCP_QUICKACK, &now, sizeof now); /* of a Unix socket: refused, and not needed */
}

static void turn_open(struct wire *w)
{
	bool got = false;
	enum did did = write_some(w);
	enum wire_end how = WIRE_CLOSED;

	if (did == DID_END) {
		write_failed(w);
		return;
	}
	if (w->crowded && w->out.len - w->sent <= w->settings.output_max / 2) {
		w->crowded = false;
		if (w->calls.room && !w->finishing)
			w->calls.room(w->arg);
	}
	if (w->finishing && did == DID_ALL && !w->shut)
		shut(w);
	if (w->doomed || w->state != OPEN || w->eof)
		return;
	did = read_some(w, &got);
	if (did == DID_END && !w->eof)
		how = fault_of(w, "reading");
	if (w->finishing)
		buf_clear(&w->in);
	else if (got)
		w->calls.input(w->arg);
	if (did != DID_END || w->doomed) {
		if (got && !w->doomed)
			acknowledge(w);
		return;
	}
	if (!w->eof)
		wire_end_now(w, how, w->why);
	else if (w->shut)
		wire_end_now(w, WIRE_CLOSED, "closed");
	else if (!w->finishing)
		w->calls.end(w->arg, WIRE_CLOSED, "the far end closed the connection");
}

void wire_turn(struct wire *w)
{
	w->busy = true;
	if (w->state != CONNECTING || wire_connected(w)) {
		if (w->state == SHAKING && shaken(w) && w->calls.open && !w->finishing)
			w->calls.open(w->arg);
		if (w->state == OPEN && !w->doomed)
			turn_open(w);
	}
	w->busy = false;
	if (w->doomed)
		wire_free(w);
	else
		wire_rearm(w);
}

void wire_on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct wire *w = arg;

	(void)fd; (void)what;
	if (w->state == OPEN)
		wire_turn(w);
}

/* ---- for the owner ---------------------------------------------------------------------------------------------------------------- */

void wire_finish(struct wire *w, int64_t linger_us)
{
	if (w->state != OPEN) {
		wire_end_later(w, WIRE_CUT, "closed before it was open");
		return;
	}
	w->finishing = true;
	w->held = true; /* until all is written */
	wire_arm(w, linger_us);
	event_active(w->flush, EV_WRITE, 0);
}

const char *wire_input(const struct wire *w, size_t *n)
{
	*n = w->in.len;
	return w->in.p ? w->in.p : "";
}

void wire_consume(struct wire *w, size_t n)
{
	if (n == w->in.len)
		buf_fini(&w->in); /* a connection that waits holds no memory */
	else
		buf_consume(&w->in, n);
	if (!w->busy)
		wire_rearm(w);
}

void wire_set_input_max(struct wire *w, size_t input_max)
{
	w->settings.input_max = input_max;
	if (!w->busy)
		wire_rearm(w);
}

void wire_hold(struct wire *w, bool hold)
{
	w->held = hold;
	if (!w->busy)
		wire_rearm(w);
}

void wire_write(struct wire *w, const void *p, size_t n)
{
	if (w->state == ENDED || n == 0)
		return;
	if (w->sent > READ_TURN) {
		buf_consume(&w->out, w->sent);
		w->sent = 0;
	}
	buf_add(&w->out, p, n);
	w->crowded |= w->out.len - w->sent >= w->settings.output_max;
	if (w->state == OPEN)
		event_active(w->flush, EV_WRITE, 0);
}

void wire_flush(struct wire *w)
{
	if (w->state == OPEN)
		write_some(w);
}

bool wire_has_room(const struct wire *w)
{
	return w->out.len - w->sent < w->settings.output_max;
}

size_t wire_unacknowledged(const struct wire *w)
{
	int queued = 0;

	if (w->fd >= 0 && ioctl(w->fd, SIOCOUTQ, &queued) < 0)
		queued = 0;
	return w->out.len - w->sent + (size_t)(queued > 0 ? queued : 0);
}

bool wire_is_open(const struct wire *w)
{
	return w->state == OPEN;
}
