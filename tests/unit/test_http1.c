/* A byte stream means the same requests, and the same refusal, however it was split; what is ambiguous is refused. */
#include "unit.h"

#include "http1_story.h"

#define R(line, rest) line "\r\nHost: h\r\n" rest
#define GET R("GET / HTTP/1.1", "\r\n")
#define CHUNKED R("POST /m HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\n")

struct stream {
	const char *name, *bytes, *want;
	size_t n; /* 0: strlen(bytes) */
};

static const struct stream good[] = {
	{ "get", GET, "GET / host=h\n", 0 },
	{ "query", R("GET /a/b?x=1&y HTTP/1.1", "\r\n"), "GET /a/b ?x=1&y host=h\n", 0 },
	{ "empty query", R("GET /a? HTTP/1.1", "\r\n"), "GET /a ? host=h\n", 0 },
	{ "absolute target", "GET http://other:81/p?q HTTP/1.1\r\nHost: h\r\n\r\n", "GET /p ?q host=other:81\n", 0 },
	{ "absolute target without path", "GET HTTPS://o?q HTTP/1.1\r\nHost: h\r\n\r\n", "GET / ?q host=o\n", 0 },
	{ "asterisk", R("OPTIONS * HTTP/1.1", "\r\n"), "OPTIONS * host=h\n", 0 },
	{ "odd method", R("M-SEARCH / HTTP/1.1", "\r\n"), "M-SEARCH / host=h\n", 0 },
	{ "one empty line before", "\r\n" GET, "GET / host=h\n", 0 },
	{ "empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / host=\n", 0 },
	{ "v6 host", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "GET / host=[::1]:8080\n", 0 },
	{ "blanks around a value", "GET / HTTP/1.1\r\nhOST: \t h \t\r\n\r\n", "GET / host=h\n", 0 },
	{ "known fields", R("POST / HTTP/1.1", "content-TYPE: application/json; a=b\r\nContent-Encoding: gzip\r\nAuthorization: Bearer x y\r\n"
		"X: \xc3\xa9\r\nContent-Length: 2\r\n\r\nhi"), "POST / host=h type=application/json; a=b coding=gzip auth=Bearer x y body=hi\n", 0 },
	{ "length 0", R("POST / HTTP/1.1", "Content-Length: 0\r\n\r\n"), "POST / host=h\n", 0 },
	{ "leading zeros", R("POST / HTTP/1.1", "Content-Length: 0003\r\n\r\nabc"), "POST / host=h body=abc\n", 0 },
	{ "close", R("GET / HTTP/1.1", "Connection: foo , Close\r\n\r\n"), "GET / host=h close\n", 0 },
	{ "close goes before keep-alive", R("GET / HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n\r\n"), "GET / host=h close\n", 0 },
	{ "1.0", "GET / HTTP/1.0\r\n\r\n", "GET / 1.0 close\n", 0 },
	{ "1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / 1.0\n", 0 },
	{ "expect", R("POST / HTTP/1.1", "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx"), "POST / host=h expects body=x\n", 0 },
	{ "expect without body", R("POST / HTTP/1.1", "Expect: 100-continue\r\n\r\n"), "POST / host=h\n", 0 },
	{ "chunks", CHUNKED "3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n", "POST /m host=h body=abc0123456789\n", 0 },
	{ "no chunks", CHUNKED "0\r\n\r\n", "POST /m host=h\n", 0 },
	{ "chunk holds line ends", CHUNKED "8\r\n\r\n0\r\n\r\n\r\r\n00000\r\n\r\n", "POST /m host=h body=\r\n0\r\n\r\n\r\n", 0 },
	{ "chunk extensions", CHUNKED "3;a=b;c=\"d\"\r\nabc\r\n0;z\r\n\r\n", "POST /m host=h body=abc\n", 0 },
	{ "trailers", CHUNKED "1\r\na\r\n0\r\nX-Sum: 1\r\nContent-Length: 5\r\n\r\n" GET, "POST /m host=h body=a\nGET / host=h\n", 0 },
	{ "coding in capitals", R("POST / HTTP/1.1", "Transfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"), "POST / host=h body=a\n", 0 },
	{ "pipeline", GET R("POST /1 HTTP/1.1", "Content-Length: 3\r\n\r\nGET") CHUNKED "2\r\nxy\r\n1\r\nz\r\n0\r\n\r\n" GET "\r\n" GET,
		"GET / host=h\nPOST /1 host=h body=GET\nPOST /m host=h body=xyz\nGET / host=h\nGET / host=h\n", 0 },
	{ "half a request", R("POST / HTTP/1.1", "Content-Length: 3\r\n\r\nab"), "", 0 },
};

#define BYTES(s) s, .n = sizeof(s) - 1
static const struct stream hostile[] = {
	/* request line */
	{ "tls at a plain port", "\x16\x03\x01\x02", "!400 not HTTP\n", 0 },
	{ "two empty lines", "\r\n\r\n" GET, "!400 bad request line\n", 0 },
	{ "bare CR first", "\rGET / HTTP/1.1\r\n", "!400 not HTTP\n", 0 },
	{ "bare LF", "GET / HTTP/1.1\nHost: h\n\n", "!400 line ends without CR\n", 0 },
	{ "LF alone", "\n", "!400 not HTTP\n", 0 },
	{ "0.9", "GET /\r\n", "!400 bad request target\n", 0 },
	{ "two blanks", R("GET  / HTTP/1.1", "\r\n"), "!400 bad request target\n", 0 },
	{ "blank in target", R("GET /a b HTTP/1.1", "\r\n"), "!400 bad HTTP version\n", 0 },
	{ "tab", R("GET\t/ HTTP/1.1", "\r\n"), "!400 bad request line\n", 0 },
	{ "blank at the end", R("GET / HTTP/1.1 ", "\r\n"), "!400 bad HTTP version\n", 0 },
	{ "bare CR in the line", R("GET /\rx HTTP/1.1", "\r\n"), "!400 bad request target\n", 0 },
	{ "fragment", R("GET /a#b HTTP/1.1", "\r\n"), "!400 bad request target\n", 0 },
	{ "raw UTF-8 target", R("GET /\xc3\xa9 HTTP/1.1", "\r\n"), "!400 bad request target\n", 0 },
	{ "relative target", R("GET a HTTP/1.1", "\r\n"), "!400 request target is neither a path nor an absolute URL\n", 0 },
	{ "other scheme", R("GET ftp://h/ HTTP/1.1", "\r\n"), "!400 request target is neither a path nor an absolute URL\n", 0 },
	{ "asterisk for GET", R("GET * HTTP/1.1", "\r\n"), "!400 request target is neither a path nor an absolute URL\n", 0 },
	{ "user in the target", R("GET http://u@h/ HTTP/1.1", "\r\n"), "!400 bad authority in the request target\n", 0 },
	{ "no authority", R("GET http:///p HTTP/1.1", "\r\n"), "!400 bad authority in the request target\n", 0 },
	{ "connect", R("CONNECT h:443 HTTP/1.1", "\r\n"), "!501 CONNECT is not served\n", 0 },
	{ "long method", R("AAAAAAAAAAAAAAAAA / HTTP/1.1", "\r\n"), "!501 unknown method\n", 0 },
	{ "method with control", "G\x01T / HTTP/1.1\r\n", "!400 bad request line\n", 0 },
	{ "http/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "!505 HTTP/1.1 and HTTP/1.0 only\n", 0 },
	{ "1.2", R("GET / HTTP/1.2", "\r\n"), "!505 HTTP/1.1 and HTTP/1.0 only\n", 0 },
	{ "small letters", R("GET / http/1.1", "\r\n"), "!400 bad HTTP version\n", 0 },
	{ "long version", R("GET / HTTP/1.10", "\r\n"), "!400 bad HTTP version\n", 0 },
	/* fields */
	{ "no host", "GET / HTTP/1.1\r\n\r\n", "!400 no Host\n", 0 },
	{ "two hosts", R("GET / HTTP/1.1", "Host: h\r\n\r\n"), "!400 more than one Host\n", 0 },
	{ "bad host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "!400 bad Host\n", 0 },
	{ "two names in a host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "!400 bad Host\n", 0 },
	{ "folded", R("GET / HTTP/1.1", "A: b\r\n c\r\n\r\n"), "!400 folded header line\n", 0 },
	{ "fold at once", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", "!400 folded header line\n", 0 },
	{ "blank before colon", R("POST / HTTP/1.1", "Content-Length : 3\r\n\r\nabc"), "!400 bad header field name\n", 0 },
	{ "no colon", R("GET / HTTP/1.1", "Nothing\r\n\r\n"), "!400 bad header field name\n", 0 },
	{ "no name", R("GET / HTTP/1.1", ": x\r\n\r\n"), "!400 bad header field name\n", 0 },
	{ "non-ASCII name", R("GET / HTTP/1.1", "X\xc3\xa9: x\r\n\r\n"), "!400 bad header field name\n", 0 },
	{ "NUL in value", BYTES(R("GET / HTTP/1.1", "A: b\0c\r\n\r\n")), .want = "!400 control character in a header field\n" },
	{ "NUL in name", BYTES(R("GET / HTTP/1.1", "A\0: b\r\n\r\n")), .want = "!400 bad header field name\n" },
	{ "bare CR in value", R("GET / HTTP/1.1", "A: b\rHost: x\r\n\r\n"), "!400 control character in a header field\n", 0 },
	{ "DEL in value", R("GET / HTTP/1.1", "A: b\x7f\r\n\r\n"), "!400 control character in a header field\n", 0 },
	{ "bare LF between fields", R("GET / HTTP/1.1", "A: b\nC: d\r\n\r\n"), "!400 line ends without CR\n", 0 },
	{ "CR CR LF", R("GET / HTTP/1.1", "A: b\r\r\n\r\n"), "!400 control character in a header field\n", 0 },
	{ "bare LF ends the head", R("GET / HTTP/1.1", "A: b\r\n\n"), "!400 line ends without CR\n", 0 },
	{ "two types", R("GET / HTTP/1.1", "Content-Type: a\r\nContent-Type: b\r\n\r\n"), "!400 more than one Content-Type\n", 0 },
	{ "two credentials", R("GET / HTTP/1.1", "Authorization: a\r\nauthorization: b\r\n\r\n"), "!400 more than one Authorization\n", 0 },
	{ "other expectation", R("GET / HTTP/1.1", "Expect: tea\r\n\r\n"), "!417 only 100-continue can be expected\n", 0 },
	/* lengths */
	{ "two lengths", R("POST / HTTP/1.1", "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), "!400 more than one Content-Length\n", 0 },
	{ "two equal lengths", R("POST / HTTP/1.1", "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), "!400 more than one Content-Length\n", 0 },
	{ "list of lengths", R("POST / HTTP/1.1", "Content-Length: 3, 3\r\n\r\nabc"), "!400 bad Content-Length\n", 0 },
	{ "plus", R("POST / HTTP/1.1", "Content-Length: +5\r\n\r\nabcde"), "!400 bad Content-Length\n", 0 },
	{ "minus", R("POST / HTTP/1.1", "Content-Length: -1\r\n\r\n"), "!400 bad Content-Length\n", 0 },
	{ "hex length", R("POST / HTTP/1.1", "Content-Length: 0x5\r\n\r\nabcde"), "!400 bad Content-Length\n", 0 },
	{ "no length", R("POST / HTTP/1.1", "Content-Length:\r\n\r\n"), "!400 bad Content-Length\n", 0 },
	{ "length overflows 64 bits", R("POST / HTTP/1.1", "Content-Length: 18446744073709551617\r\n\r\na"), "!400 bad Content-Length\n", 0 },
	{ "length of 18 digits", R("POST / HTTP/1.1", "Content-Length: 999999999999999999\r\n\r\na"), "!413 body too large\n", 0 },
	{ "length beyond the limit", R("POST / HTTP/1.1", "Content-Length: 101\r\n\r\n"), "!413 body too large\n", 0 },
	{ "length and coding", R("POST / HTTP/1.1", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		"!400 Content-Length beside Transfer-Encoding\n", 0 },
	{ "coding and length", R("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\nContent-Length: 500\r\n\r\n"),
		"!400 Content-Length beside Transfer-Encoding\n", 0 },
	{ "coding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!400 Transfer-Encoding in HTTP/1.0\n", 0 },
	{ "two codings", R("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
		"!400 more than one Transfer-Encoding\n", 0 },
	{ "gzip, chunked", R("POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked\r\n\r\n"), "!501 only chunked transfer coding is served\n", 0 },
	{ "chunked, identity", R("POST / HTTP/1.1", "Transfer-Encoding: chunked, identity\r\n\r\n"), "!501 only chunked transfer coding is served\n", 0 },
	{ "xchunked", R("POST / HTTP/1.1", "Transfer-Encoding: xchunked\r\n\r\n"), "!501 only chunked transfer coding is served\n", 0 },
	{ "empty coding", R("POST / HTTP/1.1", "Transfer-Encoding:\r\n\r\n"), "!501 only chunked transfer coding is served\n", 0 },
	/* chunks */
	{ "0x size", CHUNKED "0x5\r\nabcde\r\n0\r\n\r\n", "!400 bad chunk size\n", 0 },
	{ "signed size", CHUNKED "+5\r\nabcde\r\n0\r\n\r\n", "!400 bad chunk size\n", 0 },
	{ "blank before size", CHUNKED " 5\r\nabcde\r\n0\r\n\r\n", "!400 bad chunk size\n", 0 },
	{ "blank after size", CHUNKED "5 \r\nabcde\r\n0\r\n\r\n", "!400 bad chunk size\n", 0 },
	{ "empty size", CHUNKED "\r\nabcde\r\n0\r\n\r\n", "!400 bad chunk size\n", 0 },
	{ "extension without size", CHUNKED ";a\r\n", "!400 bad chunk size\n", 0 },
	{ "nine digits", CHUNKED "000000005\r\nabcde\r\n0\r\n\r\n", "!400 bad chunk size\n", 0 },
	{ "size overflows", CHUNKED "10000000000000005\r\nabcde\r\n0\r\n\r\n", "!400 bad chunk size\n", 0 },
	{ "size beyond the limit", CHUNKED "ffffffff\r\n", "!413 body too large\n", 0 },
	{ "sizes beyond the limit", CHUNKED "5\r\nabcde\r\n60\r\n", "!413 body too large\n", 0 },
	{ "bare LF after size", CHUNKED "5\nabcde\r\n0\r\n\r\n", "!400 line ends without CR\n", 0 },
	{ "bare LF in an extension", CHUNKED "5;a\nabcde\r\n0\r\n\r\n", "!400 line ends without CR\n", 0 },
	{ "bare CR in an extension", CHUNKED "5;a\rb\r\nabcde\r\n0\r\n\r\n", "!400 bad chunk size\n", 0 },
	{ "chunk too long", CHUNKED "3\r\nabcd\r\n0\r\n\r\n", "!400 chunk longer than its size\n", 0 },
	{ "bare LF after chunk", CHUNKED "3\r\nabc\n0\r\n\r\n", "!400 chunk longer than its size\n", 0 },
	{ "folded trailer", CHUNKED "0\r\nA: b\r\n c\r\n\r\n", "!400 folded header line\n", 0 },
	{ "bad trailer", CHUNKED "0\r\nA\r\n\r\n", "!400 bad header field name\n", 0 },
	{ "request in place of a trailer", CHUNKED "0\r\nGET / HTTP/1.1\r\n\r\n", "!400 bad header field name\n", 0 },
	/* what went before is still served */
	{ "second is bad", GET "GET / HTTP/1.1\r\n\r\n", "GET / host=h\n!400 no Host\n", 0 },
	{ "smuggled", R("POST / HTTP/1.1", "Content-Length: 3\r\n\r\nabc") "def " GET, "POST / host=h body=abc\n!400 bad HTTP version\n", 0 },
};

static const struct http1_limits limits = { .head = 1024, .target = 64, .body = 100 };

static size_t piece_whole(void *arg) { (void)arg; return SIZE_MAX; }
static size_t piece_one(void *arg) { (void)arg; return 1; }
static size_t piece_random(void *arg)
{
	uint64_t *x = arg;

	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return 1 + *x % (*x & 0x100 ? 3 : 40);
}

static void check_splits(const char *name, const char *bytes, size_t n, const char *want)
{
	struct buf got = BUF_INIT;
	uint64_t seed = 88172645463325252u;

	for (int i = 0; i < 32; i++) {
		buf_clear(&got);
		story_tell(&got, bytes, n, &limits, i == 0 ? piece_whole : i == 1 ? piece_one : piece_random, &seed);
		if (strcmp(got.p ? got.p : "", want) != 0)
			fail_msg("%s, split %d:\nwant %s\ngot  %s", name, i, want, got.p ? got.p : "");
	}
	buf_fini(&got);
}

static void check_table(const struct stream *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_splits(s[i].name, s[i].bytes, s[i].n ? s[i].n : strlen(s[i].bytes), s[i].want);
}

static void test_good(void **state)
{
	(void)state;
	check_table(good, sizeof good / sizeof *good);
}

static void test_hostile(void **state)
{
	(void)state;
	check_table(hostile, sizeof hostile / sizeof *hostile);
}

/* A run of `fill` long enough to cross a limit, between two texts. */
static void check_limit(const char *name, const char *before, char fill, size_t times, const char *after, const char *want)
{
	struct buf b = BUF_INIT;

	buf_adds(&b, before);
	for (size_t i = 0; i < times; i++)
		buf_addc(&b, fill);
	buf_adds(&b, after);
	check_splits(name, b.p, b.len, want);
	buf_fini(&b);
}

static void test_limits(void **state)
{
	struct buf b = BUF_INIT, want = BUF_INIT;

	(void)state;
	check_limit("endless method", "", 'A', 3000, "", "!414 request line too long\n");
	check_limit("endless target", "GET /", 'a', 3000, "", "!414 request line too long\n");
	check_limit("target one too long", "GET /", 'a', 64, " HTTP/1.1\r\n", "!414 request target too long\n");
	check_limit("endless name", R("GET / HTTP/1.1", ""), 'a', 3000, "", "!431 header too large\n");
	check_limit("endless value", R("GET / HTTP/1.1", "A: "), 'a', 3000, "\r\n\r\n", "!431 header too large\n");
	check_limit("endless chunk line", CHUNKED "1;", 'a', 3000, "", "!400 chunk size line too long\n");
	check_limit("endless trailer", CHUNKED "0\r\nA:", 'a', 3000, "", "!431 trailers too large\n");
	check_limit("body at the limit", R("POST / HTTP/1.1", "Content-Length: 100\r\n\r\n"), 'b', 0, "", "");

	/* the head limit is exact: request line, Host, one field, empty line */
	size_t rest = limits.head - strlen(R("GET / HTTP/1.1", "A: \r\n\r\n"));
	check_limit("head one too large", R("GET / HTTP/1.1", "A: "), 'a', rest + 1, "\r\n\r\n", "!431 header too large\n");
	check_limit("head at the limit", R("GET / HTTP/1.1", "A: "), 'a', rest, "\r\n\r\n", "GET / host=h\n");

	buf_adds(&b, "GET / HTTP/1.1\r\nHost: h\r\n");
	for (int i = 1; i < HTTP1_FIELDS_MAX; i++)
		buf_adds(&b, "A: b\r\n");
	check_splits("fields at the limit", b.p, b.len, "");
	buf_adds(&b, "A: b\r\n\r\n");
	check_splits("one field too many", b.p, b.len, "!431 too many header fields\n");

	buf_clear(&b);
	buf_adds(&b, CHUNKED);
	buf_adds(&want, "POST /m host=h body=");
	for (int i = 0; i < 100; i++) {
		buf_adds(&b, "1\r\nx\r\n");
		buf_adds(&want, "x");
	}
	buf_adds(&b, "0\r\n\r\n");
	buf_adds(&want, "\n");
	check_splits("chunks up to the limit", b.p, b.len, want.p);
	buf_clear(&b);
	buf_adds(&b, CHUNKED);
	for (int i = 0; i < 99; i++)
		buf_adds(&b, "1;" "0123456789012345678901234567890123456789" "\r\nx\r\n");
	check_splits("extensions below the limit", b.p, b.len, "");
	for (int i = 0; i < 20; i++)
		buf_adds(&b, "0000001;" "0123456789012345678901234567890123456789" "\r\nx\r\n");
	check_splits("extensions beyond the limit", b.p, b.len, "!400 too many chunk extensions\n");
	buf_fini(&b);
	buf_fini(&want);
}

static void test_chunk_framing_takes_no_room(void **state)
{
	static const char head[] = CHUNKED;
	char p[sizeof head + 128];
	size_t len = sizeof head - 1;
	struct http1 h;
	struct http_request r;

	(void)state;
	memcpy(p, head, len);
	http1_init(&h, &limits);
	assert_int_equal(http1_parse(&h, p, &len, &r), HTTP1_HEAD);
	for (int i = 0; i < 100; i++) {
		memcpy(p + len, "1\r\nx\r\n", 6);
		len += 6;
		assert_int_equal(http1_parse(&h, p, &len, &r), HTTP1_MORE);
		assert_int_equal(len, sizeof head - 1 + (size_t)i + 1);
	}
	memcpy(p + len, "0\r\n\r\n", 5);
	len += 5;
	assert_int_equal(http1_parse(&h, p, &len, &r), HTTP1_DONE);
	assert_int_equal(r.body.n, 100);
	assert_int_equal(h.used, len);
}

static void test_size_is_known_from_the_head(void **state)
{
	char p[] = R("POST / HTTP/1.1", "Content-Length: 30\r\n\r\n") "abc";
	size_t len = sizeof p - 1;
	struct http1 h;
	struct http_request r;

	(void)state;
	http1_init(&h, &limits);
	assert_int_equal(http1_size(&h), 0);
	assert_int_equal(http1_parse(&h, p, &len, &r), HTTP1_HEAD);
	assert_true(r.has_body);
	assert_int_equal(http1_size(&h), sizeof p - 1 - 3 + 30);
	assert_int_equal(http1_parse(&h, p, &len, &r), HTTP1_MORE);
}

static struct http_text text(const char *s) { return (struct http_text){ s, strlen(s) }; }

static void test_percent(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	assert_int_equal(http_percent_decode(text("a%2Fb+%c3%A9"), false, &b), 0);
	assert_string_equal(b.p, "a/b+\xc3\xa9");
	assert_int_equal(http_percent_decode(text("+"), true, &b), 0);
	assert_string_equal(b.p, "a/b+\xc3\xa9 ");
	assert_int_equal(http_percent_decode(text("x%"), true, &b), -1);
	assert_int_equal(http_percent_decode(text("x%4"), true, &b), -1);
	assert_int_equal(http_percent_decode(text("x%4g"), true, &b), -1);
	assert_int_equal(http_percent_decode(text("x% 4"), true, &b), -1);
	assert_string_equal(b.p, "a/b+\xc3\xa9 ");
	buf_fini(&b);
}

static void test_query(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	assert_int_equal(http_query_find(text("a=1&to%6ben=x%20y&token=z"), "token", &b), 1);
	assert_string_equal(b.p, "x y");
	assert_int_equal(http_query_find(text("tokens=1&toke=2"), "token", &b), 0);
	assert_int_equal(http_query_find(text("token"), "token", &b), 1);
	assert_int_equal(http_query_find(text("token=%zz"), "token", &b), -1);
	assert_int_equal(http_query_find((struct http_text){ NULL, 0 }, "token", &b), 0);
	assert_string_equal(b.p, "x y");
	buf_fini(&b);
}

static void test_field_by_name(void **state)
{
	char p[] = R("GET / HTTP/1.1", "X-Key: one\r\nx-key: two\r\n\r\n");
	size_t len = sizeof p - 1;
	struct http1 h;
	struct http_request r;

	(void)state;
	http1_init(&h, &limits);
	assert_int_equal(http1_parse(&h, p, &len, &r), HTTP1_HEAD);
	assert_true(http_text_is(http_request_field(&r, "X-KEY"), "one"));
	assert_null(http_request_field(&r, "x-keys").p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_chunk_framing_takes_no_room),
		cmocka_unit_test(test_size_is_known_from_the_head),
		cmocka_unit_test(test_percent),
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_field_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
