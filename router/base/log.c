/* log.c - one event, one line, one write.
 *
 * A caller formats pairs once, as logfmt text; JSON is made from that text, so that no call site knows of formats.
 * Whatever a peer sent can stand in a value: nothing that comes through here can begin a new line. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/utf8.h"

static _Atomic int least_level = LOG_INFO;
static _Atomic int line_format = LOG_LOGFMT;

static const char *const level_names[] = { "debug", "info", "warn", "error" };

static _Thread_local log_line_fn *diverted;
static _Thread_local void *diverted_arg;

void log_divert(log_line_fn *fn, void *arg)
{
	diverted = fn;
	diverted_arg = arg;
}

bool log_diverted(void)
{
	return diverted;
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

void log_setup(enum log_level least, enum log_format format)
{
	atomic_store_explicit(&least_level, (int)least, memory_order_relaxed);
	atomic_store_explicit(&line_format, (int)format, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

/* Control characters and broken UTF-8 in text that should have been quoted: made harmless, not trusted. */
static void add_harmless(struct buf *b, const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		bool ok;
		size_t step = utf8_step(s + i, n - i, &ok);
		unsigned char c = (unsigned char)s[i];
		if (!ok)
			buf_add(b, "\xEF\xBF\xBD", 3);
		else if (c == '\n')
			buf_add(b, "\\n", 2);
		else if (c < 0x20 || c == 0x7F)
			buf_addf(b, "\\u%04x", c);
		else
			buf_add(b, s + i, step);
		i += step;
	}
}

/* A JSON number or boolean as it stands, not long enough to be rounded by readers that know doubles only. */
static bool is_bare_json(const char *s, size_t n)
{
	if ((n == 4 && !memcmp(s, "true", 4)) || (n == 5 && !memcmp(s, "false", 5)))
		return true;
	size_t i = 0;
	if (i < n && s[i] == '-')
		i++;
	size_t whole = strspn(s + i, "0123456789");
	if (!whole || n > 15 || (whole > 1 && s[i] == '0'))
		return false;
	i += whole;
	if (i < n && s[i] == '.') {
		size_t part = strspn(s + ++i, "0123456789");
		if (!part)
			return false;
		i += part;
	}
	return i == n;
}

static int hex4(const char *s, size_t n)
{
	int v = 0;
	if (n < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		static const char digits[] = "0123456789abcdef";
		const char *d = s[i] ? strchr(digits, s[i] | 0x20) : NULL;
		if (!d)
			return -1;
		v = v * 16 + (int)(d - digits);
	}
	return v;
}

/* Undo the escapes of the quoted value that starts behind its quote; returns what lies behind the closing quote. */
static const char *unquote(const char *s, const char *end, struct buf *out)
{
	for (; s < end && *s != '"'; s++) {
		if (*s != '\\' || s + 1 == end) {
			buf_addc(out, *s);
			continue;
		}
		s++;
		int v = *s == 'u' ? hex4(s + 1, (size_t)(end - s - 1)) : -1;
		if (v >= 0 && v < 0x80) {
			buf_addc(out, (char)v);
			s += 4;
		} else {
			buf_addc(out, *s == 'n' ? '\n' : *s == 't' ? '\t' : *s == 'r' ? '\r' : *s);
		}
	}
	return s < end ? s + 1 : end;
}

static void add_json_pairs(struct buf *line, const char *s, size_t n)
{
	struct buf value = BUF_INIT;
	const char *end = s + n;
	while (s < end) {
		if (*s == ' ') {
			s++;
			continue;
		}
		const char *key = s;
		while (s < end && *s != '=' && *s != ' ')
			s++;
		buf_addc(line, ',');
		buf_addjson(line, key, (size_t)(s - key));
		buf_addc(line, ':');
		if (s == end || *s == ' ') {
			buf_adds(line, "true"); /* a word without a value is a flag */
			continue;
		}
		s++;
		if (s < end && *s == '"') {
			buf_clear(&value);
			s = unquote(s + 1, end, &value);
			buf_addjson(line, value.p, value.len);
			continue;
		}
		const char *bare = s;
		while (s < end && *s != ' ')
			s++;
		if (is_bare_json(bare, (size_t)(s - bare)))
			buf_add(line, bare, (size_t)(s - bare));
		else
			buf_addjson(line, bare, (size_t)(s - bare));
	}
	buf_fini(&value);
}

static void write_line(const struct buf *line)
{
	size_t done = 0;
	while (done < line->len) {
		ssize_t n = write(STDERR_FILENO, line->p + done, line->len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nobody can be told that nobody can be told */
		done += (size_t)n;
	}
}

void log_event(enum log_level level, const char *object, const char *event, const char *fmt, ...)
{
	if (!log_enabled(level))
		return;
	int saved = errno;
	char time[32];
	clock_format(clock_real_us(), time);
	struct buf pairs = BUF_INIT, line = BUF_INIT;
	if (fmt) {
		va_list ap;
		va_start(ap, fmt);
		errno = saved; /* for %m */
		buf_addv(&pairs, fmt, ap);
		va_end(ap);
	}

	if (diverted)
		diverted(diverted_arg, level, object, event, pairs.len ? pairs.p : "");
	else if (atomic_load_explicit(&line_format, memory_order_relaxed) == LOG_JSON) {
		buf_addf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"object\":", time, level_names[level]);
		buf_addjson(&line, object, strlen(object));
		buf_adds(&line, ",\"event\":");
		buf_addjson(&line, event, strlen(event));
		if (pairs.len)
			add_json_pairs(&line, pairs.p, pairs.len);
		buf_adds(&line, "}\n");
	} else {
		buf_addf(&line, "%s %s ", time, level_names[level]);
		add_harmless(&line, object, strlen(object));
		buf_addc(&line, ' ');
		add_harmless(&line, event, strlen(event));
		if (pairs.len)
			buf_addc(&line, ' ');
		add_harmless(&line, pairs.p, pairs.len);
		buf_addc(&line, '\n');
	}
	if (!diverted)
		write_line(&line);
	buf_fini(&pairs);
	buf_fini(&line);
	errno = saved;
}

const char *log_quote(const char *s)
{
	enum { SIZE = 512, ROOM = SIZE - 2 }; /* the closing quote and the NUL */
	static const char ellipsis[] = "\xE2\x80\xA6";
	static _Thread_local char ring[8][SIZE];
	static _Thread_local unsigned turn;
	char *out = ring[turn++ % 8];
	size_t at = 0, cut = 1, n = s ? strlen(s) : 0;

	out[at++] = '"';
	for (size_t i = 0; i < n;) {
		char token[8];
		bool ok;
		size_t step = utf8_step(s + i, n - i, &ok), len = step;
		unsigned char c = (unsigned char)s[i];
		if (!ok)
			memcpy(token, "\xEF\xBF\xBD", len = 3);
		else if (c == '"' || c == '\\')
			memcpy(token, (char[]){ '\\', (char)c }, len = 2);
		else if (c == '\n' || c == '\r' || c == '\t')
			memcpy(token, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t", len = 2);
		else if (c < 0x20 || c == 0x7F)
			memcpy(token, (char[]){ '\\', 'u', '0', '0', (char)('0' + (c >> 4)), "0123456789abcdef"[c & 15] }, len = 6);
		else
			memcpy(token, s + i, step);
		if (at + len > ROOM) {
			memcpy(out + cut, ellipsis, 3);
			at = cut + 3;
			break;
		}
		memcpy(out + at, token, len);
		at += len;
		if (at + 3 <= ROOM)
			cut = at; /* the last place where the ellipsis still fits */
		i += step;
	}
	out[at++] = '"';
	out[at] = '\0';
	return out;
}
