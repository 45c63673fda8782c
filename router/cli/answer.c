/* answer.c - what an instance answered, read and said as people say it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/arena.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "message/message.h"
#include "spec/scalar.h"

void lines_open(struct lines *l, struct buf *text)
{
	memset(l, 0, sizeof *l);
	index_init(&l->ix);
	buf_reserve(text, MESSAGE_PAD);
	memset(text->p + text->len, 0, MESSAGE_PAD);
	l->at = text->p;
	l->end = text->p + text->len;
}

bool lines_next(struct lines *l)
{
	const char *stop;

	while (l->at < l->end && *l->at == '\n')
		l->at++;
	if (l->at == l->end || message_index(&l->ix, l->at, l->end, &l->m, &stop) != JSON_OK)
		return false;
	l->at = stop;
	return true;
}

void lines_close(struct lines *l)
{
	index_fini(&l->ix);
	buf_fini(&l->scratch);
}

const char *lines_text(struct lines *l, const char *key, size_t *len)
{
	const struct slice *s = message_find(&l->m, key, strlen(key));
	const char *p = "";
	size_t n = 0;

	buf_clear(&l->scratch);
	if (s && slice_view(&l->m, s, &l->scratch, &p, &n) < 0) {
		p = l->m.bytes + s->value;
		n = s->vlen;
	}
	if (p != l->scratch.p) {
		buf_clear(&l->scratch);
		buf_add(&l->scratch, p, n);
	}
	buf_addc(&l->scratch, '\0');
	if (len)
		*len = n;
	return l->scratch.p;
}

bool lines_has(const struct lines *l, const char *key)
{
	return message_find(&l->m, key, strlen(key)) != NULL;
}

uint64_t lines_number(struct lines *l, const char *key)
{
	return strtoull(lines_text(l, key, NULL), NULL, 10);
}

double lines_seconds(struct lines *l, const char *key)
{
	return strtod(lines_text(l, key, NULL), NULL);
}

bool lines_flag(struct lines *l, const char *key)
{
	return strcmp(lines_text(l, key, NULL), "true") == 0;
}

/* ---- as people say it --------------------------------------------------------------------------------------------------------- */

const char *say_age(double s, char *out, size_t n)
{
	if (s < 0.0005)
		snprintf(out, n, "-");
	else if (s < 1)
		snprintf(out, n, "%.0f ms", s * 1000);
	else if (s < 120)
		snprintf(out, n, "%.0f s", s);
	else if (s < 7200)
		snprintf(out, n, "%.0f min", s / 60);
	else if (s < 172800)
		snprintf(out, n, "%.0f h", s / 3600);
	else
		snprintf(out, n, "%.0f d", s / 86400);
	return out;
}

const char *say_size(double b, char *out, size_t n)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	unsigned u = 0;

	while (b >= 1024 && u < 4) {
		b /= 1024;
		u++;
	}
	snprintf(out, n, u ? "%.1f %s" : "%.0f %s", b, units[u]);
	return out;
}

/* Nine digits and more: nobody means 1970 who forgets the unit of a duration. */
static bool is_unix_time(const char *text)
{
	static const char digits[] = "0123456789";
	size_t whole = strspn(text, digits), rest = text[whole] == '.' ? 1 + strspn(text + whole + 1, digits) : 0;

	return whole >= 9 && rest != 1 && text[whole + rest] == '\0';
}

int read_moment(const char *text, int64_t *us)
{
	struct buf quoted = BUF_INIT;
	int64_t age;
	int status;

	if (scalar_duration(text, &age) == 0) {
		*us = clock_real_us() - age;
		return 0;
	}
	if (is_unix_time(text))
		return json_time_us(text, strlen(text), us);
	buf_addf(&quoted, "\"%s\"", text);
	status = json_time_us(quoted.p, quoted.len, us);
	buf_fini(&quoted);
	return status;
}
