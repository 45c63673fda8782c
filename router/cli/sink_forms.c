/* sink_forms.c - the forms of `sluice sink` over a connection: lines, Wialon Retranslator 1.0, Wialon IPS 1.1 and 2.0.
 *
 * Wialon's facts are of Gurtam's descriptions of both protocols. Messages are printed as JSON in the router's own words where there are any;
 * what is not understood of them is left out, for this is a place to try things on and no platform. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/sink_stream.h"

#define FRAME_MAX (1u << 20)
#define PAD 64

static void pad(struct buf *b)
{
	buf_reserve(b, PAD);
	memset(b->p + b->len, 0, PAD);
}

/* ---- lines -------------------------------------------------------------------------------------------------------------- */

static size_t read_line(struct sink_talk *t, const char *p, size_t n, struct buf *said, bool *close)
{
	const char *nl = memchr(p, '\n', n), *why;
	size_t len = nl ? (size_t)(nl - p) : 0;

	if (!nl)
		return 0;
	if (len && p[len - 1] == '\r')
		len--;
	switch (len ? sink_take(t, p, len, p, len, &why) : SINK_REFUSED) {
	case SINK_TAKEN:
		buf_adds(said, "ok\n");
		break;
	case SINK_LATER:
		buf_addf(said, "retry %s\n", why);
		break;
	case SINK_REFUSED:
		if (len)
			buf_addf(said, "refused %s\n", why);
		break;
	case SINK_DROPPED:
		*close = true;
		break;
	}
	return (size_t)(nl - p) + 1;
}

/* ---- Wialon Retranslator ----------------------------------------------------------------------------------------------------- */

static uint32_t be32(const unsigned char *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }
static uint32_t le32(const unsigned char *p) { return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0]; }
static unsigned be16(const unsigned char *p) { return (unsigned)p[0] << 8 | p[1]; }
static uint64_t be64(const unsigned char *p) { return (uint64_t)be32(p) << 32 | be32(p + 4); }

static double le_double(const unsigned char *p)
{
	uint64_t v = (uint64_t)le32(p + 4) << 32 | le32(p);
	double d;

	memcpy(&d, &v, sizeof d);
	return d;
}

static void add_key(struct buf *b, const char *name)
{
	buf_addc(b, ',');
	buf_addjson(b, name, strlen(name));
	buf_addc(b, ':');
}

static void add_double(struct buf *b, const char *name, double v)
{
	if (!isfinite(v))
		return;
	add_key(b, name);
	buf_addf(b, "%.15g", v);
}

/* The value of one block; data type as the protocol numbers them. */
static void add_block(struct buf *b, const char *name, unsigned type, const unsigned char *v, size_t n)
{
	switch (type) {
	case 1:
		add_key(b, name);
		buf_addjson(b, (const char *)v, strnlen((const char *)v, n));
		break;
	case 2:
		if (strcmp(name, "posinfo") != 0 || n < 29)
			return;
		add_double(b, "position.longitude", le_double(v));
		add_double(b, "position.latitude", le_double(v + 8));
		add_double(b, "position.altitude", le_double(v + 16));
		buf_addf(b, ",\"position.speed\":%u,\"position.direction\":%u,\"position.satellites\":%u", be16(v + 24), be16(v + 26), v[28]);
		break;
	case 3:
		add_key(b, name);
		buf_addf(b, "%" PRId32, n >= 4 ? (int32_t)be32(v) : 0);
		break;
	case 4:
		add_double(b, name, n >= 8 ? le_double(v) : 0);
		break;
	case 5:
		add_key(b, name);
		buf_addf(b, "%" PRId64, n >= 8 ? (int64_t)be64(v) : 0);
		break;
	default:
		break;
	}
}

/* The packet's content as JSON; false: it is broken inside. */
static bool packet_json(struct buf *b, const unsigned char *p, size_t n)
{
	size_t id = strnlen((const char *)p, n);

	buf_adds(b, "{\"ident\":");
	buf_addjson(b, (const char *)p, id);
	if (id == 0 || id + 9 > n)
		return false;
	buf_addf(b, ",\"timestamp\":%" PRIu32, be32(p + id + 1));
	if (be32(p + id + 5) & 0x10)
		buf_adds(b, ",\"alarm.event.trigger\":true");
	for (size_t at = id + 9; at < n;) {
		size_t size, name;

		if (at + 6 > n || be16(p + at) != 0x0BBB)
			return false;
		size = be32(p + at + 2);
		at += 6;
		if (size < 3 || size > n - at)
			return false;
		name = strnlen((const char *)p + at + 2, size - 2);
		if (name + 3 > size)
			return false;
		add_block(b, (const char *)p + at + 2, p[at + 1], p + at + 3 + name, size - 3 - name);
		at += size;
	}
	buf_addc(b, '}');
	return true;
}

static size_t read_packet(struct sink_talk *t, const char *p, size_t n, struct buf *said, bool *close)
{
	const unsigned char *u = (const unsigned char *)p;
	struct buf json = BUF_INIT;
	size_t size;
	const char *why;
	bool whole;

	if (n < 4)
		return 0;
	size = le32(u);
	if (size < 10 || size > FRAME_MAX) {
		sink_take(t, p, n < 16 ? n : 16, NULL, 0, &why);
		*close = true;
		return n;
	}
	if (n < 4 + size)
		return 0;
	whole = packet_json(&json, u + 4, size);
	pad(&json);
	/* There is no other answer than yes: whoever gets none comes again. */
	if (sink_take(t, p, 4 + size, whole ? json.p : NULL, json.len, &why) == SINK_TAKEN)
		buf_addc(said, 0x11);
	else
		*close = true;
	buf_fini(&json);
	return 4 + size;
}

/* ---- Wialon IPS ------------------------------------------------------------------------------------------------------------------ */

static bool field(const char **p, const char *end, char out[64])
{
	const char *stop;
	size_t n;

	if (*p > end) /* behind the last one */
		return false;
	stop = memchr(*p, ';', (size_t)(end - *p));
	if (!stop)
		stop = end;
	n = (size_t)(stop - *p) < 63 ? (size_t)(stop - *p) : 63;
	memcpy(out, *p, n);
	out[n] = '\0';
	*p = stop + 1;
	return true;
}

static bool given(const char *text) { return *text && strcmp(text, "NA") != 0; }

/* DDMM.mmmm with the hemisphere. */
static double degrees(const char *text, const char *side)
{
	double v = strtod(text, NULL), whole = floor(v / 100);

	v = whole + (v - whole * 100) / 60;
	return *side == 'S' || *side == 'W' ? -v : v;
}

static void add_number(struct buf *b, const char *name, const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (given(text) && end != text)
		add_double(b, name, v);
}

/* NAME:TYPE:VALUE,… */
static void add_parameters(struct buf *b, const char *p, const char *end)
{
	for (const char *stop; p < end; p = stop + 1) {
		const char *type, *value;
		char name[64];

		stop = memchr(p, ',', (size_t)(end - p));
		if (!stop)
			stop = end;
		type = memchr(p, ':', (size_t)(stop - p));
		value = type ? memchr(type + 1, ':', (size_t)(stop - type - 1)) : NULL;
		if (!value || type - p > 60)
			continue;
		snprintf(name, sizeof name, "%.*s", (int)(type - p), p);
		if (type[1] == '3') {
			add_key(b, name);
			buf_addjson(b, value + 1, (size_t)(stop - value) - 1);
		} else {
			char number[64];

			snprintf(number, sizeof number, "%.*s", (int)(stop - value - 1 < 63 ? stop - value - 1 : 63), value + 1);
			add_number(b, name, number);
		}
	}
}

/* The fields of #D# and #SD#; false: they are too few. */
static bool data_json(struct buf *b, const struct buf *ident, const char *p, const char *end)
{
	char date[64], hour[64], lat[64], ns[64], lon[64], ew[64], rest[64];
	struct tm tm = { 0 };

	buf_adds(b, "{\"ident\":");
	buf_addjson(b, ident->p ? ident->p : "", ident->len);
	if (!field(&p, end, date) || !field(&p, end, hour) || !field(&p, end, lat) || !field(&p, end, ns) || !field(&p, end, lon) || !field(&p, end, ew))
		return false;
	if (given(date) && sscanf(date, "%2d%2d%2d", &tm.tm_mday, &tm.tm_mon, &tm.tm_year) == 3 &&
		sscanf(hour, "%2d%2d%2d", &tm.tm_hour, &tm.tm_min, &tm.tm_sec) == 3) {
		tm.tm_mon--;
		tm.tm_year += 100;
		buf_addf(b, ",\"timestamp\":%" PRId64, (int64_t)timegm(&tm));
	}
	if (given(lat) && given(lon)) {
		add_double(b, "position.latitude", degrees(lat, ns));
		add_double(b, "position.longitude", degrees(lon, ew));
	}
	static const char *const names[] = { "position.speed", "position.direction", "position.altitude", "position.satellites", "position.hdop", "din", "dout" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (field(&p, end, rest))
			add_number(b, names[i], rest);
		else if (i < 4)
			return false;
	if (field(&p, end, rest) && field(&p, end, rest) && p <= end) {
		const char *stop = memchr(p, ';', (size_t)(end - p));

		add_parameters(b, p, stop ? stop : end);
	}
	buf_addc(b, '}');
	return true;
}

static enum sink_fate take_data(struct sink_talk *t, const char *raw, size_t n, const char *p, const char *end)
{
	struct buf json = BUF_INIT;
	bool whole = data_json(&json, &t->ident, p, end);
	const char *why;

	pad(&json);
	enum sink_fate fate = sink_take(t, raw, n, whole ? json.p : NULL, json.len, &why);
	buf_fini(&json);
	return fate;
}

static void login(struct sink_talk *t, const char *p, const char *end)
{
	char first[64], second[64];
	bool two = field(&p, end, first) && field(&p, end, second) && strcmp(first, "2.0") == 0;

	buf_clear(&t->ident);
	buf_adds(&t->ident, two ? second : first);
}

static size_t read_ips(struct sink_talk *t, const char *p, size_t n, struct buf *said, bool *close)
{
	const char *nl = memchr(p, '\n', n), *end = nl, *data, *why;
	char type[8] = "";
	enum sink_fate fate = SINK_TAKEN;
	unsigned taken = 0;

	if (!nl)
		return 0;
	if (end > p && end[-1] == '\r')
		end--;
	data = end > p + 1 && *p == '#' ? memchr(p + 1, '#', (size_t)(end - p - 1)) : NULL;
	if (data && data - p < 8)
		snprintf(type, sizeof type, "%.*s", (int)(data - p - 1), p + 1);
	if (strcmp(type, "L") == 0) {
		login(t, data + 1, end);
		buf_adds(said, "#AL#1\r\n");
	} else if (strcmp(type, "P") == 0) {
		buf_adds(said, "#AP#\r\n");
	} else if (strcmp(type, "D") == 0 || strcmp(type, "SD") == 0) {
		fate = take_data(t, p, (size_t)(end - p), data + 1, end);
		buf_addf(said, "#A%s#%s\r\n", type, fate == SINK_TAKEN ? "1" : "-1");
	} else if (strcmp(type, "B") == 0) {
		for (const char *at = data + 1, *stop; at < end && fate != SINK_DROPPED; at = stop + 1) {
			stop = memchr(at, '|', (size_t)(end - at));
			if (!stop)
				stop = end;
			if (stop > at && memchr(at, ';', (size_t)(stop - at))) { /* else the checksum */
				fate = take_data(t, at, (size_t)(stop - at), at, stop);
				taken += fate == SINK_TAKEN;
			}
		}
		buf_addf(said, "#AB#%u\r\n", taken);
	} else {
		fate = sink_take(t, p, (size_t)(end - p), NULL, 0, &why) == SINK_DROPPED ? SINK_DROPPED : SINK_REFUSED;
	}
	/* What is only put off gets no answer: "no" would be for good. */
	*close = fate == SINK_DROPPED || (fate == SINK_LATER && strcmp(type, "B") != 0);
	return (size_t)(nl - p) + 1;
}

const struct sink_talk *sink_form(const char *name)
{
	static const struct sink_talk forms[] = {
		{ .name = "tcp", .read = read_line }, { .name = "wialon-retranslator", .read = read_packet }, { .name = "wialon-ips", .read = read_ips },
	};

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		if (strcmp(forms[i].name, name) == 0)
			return &forms[i];
	return NULL;
}
