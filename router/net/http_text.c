/* http_text.c - small helpers around a request: fields, percent-encoding, queries, the names of the statuses. */
#include "net/http1.h"

#include <string.h>

#include "base/buf.h"

struct http_text http_request_field(const struct http_request *r, const char *name)
{
	for (unsigned i = 0; i < r->n; i++)
		if (http_text_is(r->fields[i].name, name))
			return r->fields[i].value;
	return (struct http_text){ NULL, 0 };
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int http_percent_decode(struct http_text t, bool form, struct buf *out)
{
	size_t before = out->len;

	buf_reserve(out, t.n);
	for (size_t i = 0; i < t.n; i++) {
		char c = t.p[i];

		if (c == '%') {
			int hi = i + 2 < t.n ? hex_digit(t.p[i + 1]) : -1, lo = hi < 0 ? -1 : hex_digit(t.p[i + 2]);

			if (lo < 0) {
				out->len = before;
				out->p[before] = '\0';
				return -1;
			}
			c = (char)(hi << 4 | lo);
			i += 2;
		} else if (c == '+' && form) {
			c = ' ';
		}
		buf_addc(out, c);
	}
	return 0;
}

int http_query_find(struct http_text query, const char *name, struct buf *out)
{
	const char *p = query.p, *end = p ? p + query.n : NULL;
	size_t before = out->len, n = strlen(name);

	while (p && p < end) {
		const char *amp = memchr(p, '&', (size_t)(end - p)), *stop = amp ? amp : end;
		const char *eq = memchr(p, '=', (size_t)(stop - p));
		struct http_text key = { p, (size_t)((eq ? eq : stop) - p) };

		if (http_percent_decode(key, true, out) < 0)
			return -1;
		bool hit = out->len - before == n && memcmp(out->p + before, name, n) == 0;

		out->len = before;
		if (hit)
			return http_percent_decode((struct http_text){ eq ? eq + 1 : stop, eq ? (size_t)(stop - eq) - 1 : 0 }, true, out) < 0
				? -1 : 1;
		p = amp ? amp + 1 : end;
	}
	return 0;
}

const char *http_status_text(int status)
{
	static const struct { int status; const char *text; } names[] = {
		{ 100, "Continue" }, { 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" },
		{ 301, "Moved Permanently" }, { 302, "Found" }, { 304, "Not Modified" },
		{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
		{ 405, "Method Not Allowed" }, { 406, "Not Acceptable" }, { 408, "Request Timeout" }, { 409, "Conflict" }, { 410, "Gone" },
		{ 411, "Length Required" }, { 413, "Content Too Large" }, { 414, "URI Too Long" }, { 415, "Unsupported Media Type" },
		{ 417, "Expectation Failed" }, { 421, "Misdirected Request" }, { 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" }, { 505, "HTTP Version Not Supported" }, { 507, "Insufficient Storage" },
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].status == status)
			return names[i].text;
	return "Status";
}
