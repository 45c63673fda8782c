/* scalar_check.c - a single value against its rule. */
#include "spec/check.h"

#include "base/buf.h"
#include "base/network.h"
#include "spec/nearest.h"
#include "spec/scalar.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void check_hide(const struct node *n)
{
	if (n->len > 0 && n->at.source != NULL)
		source_hide(n->at.source, n->at.line, n->at.column, n->end_line, n->end_column);
}

void check_literal(struct check *c, const struct frame *f, const struct node *n)
{
	struct source *s = n->at.source;

	/* What the normal form puts in place of a secret is none. */
	if (s == NULL || n == s->literal || n->len == 0 || strcmp(n->text, "•••") == 0)
		return;
	if (s->literals++ == 0) {
		s->literal = n;
		s->literal_name = arena_strdup(s->arena, frame_name(c, f));
	}
}

bool sounds_secret(const char *name)
{
	static const char *const words[] = { "auth", "key", "token", "secret", "password", "cookie", "signature" };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		for (const char *p = name; *p != '\0'; p++)
			if (strncasecmp(p, words[i], strlen(words[i])) == 0)
				return true;
	return false;
}

/* A problem with a value: `"retry.first" of stream "copy": "5" is not a duration`. Secrets are not repeated. */
static struct problem *tell(struct check *c, enum diag_code code, const struct frame *f, const struct node *n, const char *words)
{
	bool hidden = f->rule->kind == KIND_SECRET || f->secret;

	return diag_add(c->diag, code, &n->at, "%s: %s %s", frame_name(c, f), hidden ? "the value" : diag_quote(c->diag, n->text, n->len), words);
}

/* `${NAME}` is what a shell would have, `{device name}` what people would. */
static const char *reference_meant(struct check *c, enum diag_code code, const char *text, size_t len)
{
	char *inside;

	if (len < 3 || text[len - 1] != '}')
		return NULL;
	if (code == DIAG_BAD_TEMPLATE && *text == '{' && memchr(text, '"', len) == NULL && memchr(text, '\'', len) == NULL && memchr(text, ' ', len) != NULL) {
		inside = arena_strndup(c->arena, text, len);
		for (char *p = inside; *p != '\0'; p++)
			*p = *p == ' ' ? '.' : *p;
		return inside[1] == '.' || inside[len - 2] == '.' ? NULL : inside;
	}
	inside = arena_strndup(c->arena, text + 2, len - 3);
	if (code == DIAG_BAD_REFERENCE && strncmp(text, "${", 2) == 0 && inside[strspn(inside, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] == '\0')
		return arena_printf(c->arena, "${env:%s}", inside);
	return NULL;
}

static void tell_inside(struct check *c, enum diag_code code, const struct frame *f, const struct node *n, const struct fault *fault)
{
	struct mark at = node_mark_inside(n, fault->from, fault->len);

	problem_near(diag_add(c->diag, code, &at, "%s: %s", frame_name(c, f), fault->why), reference_meant(c, code, n->text + fault->from, fault->len));
}

/* Yes and no in the words of other programs, said in ours; NULL: it is neither. */
static const char *meant_by(const char *text, const char *yes, const char *no)
{
	static const char *const words[][2] = { { "true", "false" }, { "yes", "no" }, { "on", "off" }, { "y", "n" }, { "1", "0" }, { "enabled", "disabled" } };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcasecmp(text, words[i][0]) == 0)
			return yes;
		if (strcasecmp(text, words[i][1]) == 0)
			return no;
	}
	return NULL;
}

/* ---- words from a list ----------------------------------------------------------------------------------------------------- */

static bool in_values(const struct rule *r, const char *text)
{
	for (unsigned i = 0; i < r->values->n; i++)
		if (node_is(r->values->items[i], text))
			return true;
	return false;
}

/* The one word of a list that the text holds, or begins: `per-device` of device, `warning` of warn. NULL: none, or more than one. */
static const char *word_in_common(const struct rule *r, const char *text)
{
	const char *found = NULL;

	for (unsigned i = 0; i < r->values->n; i++) {
		const char *word = r->values->items[i]->text;

		if (strlen(word) < 3 || strlen(text) < 3 || (strcasestr(text, word) == NULL && strncasecmp(word, text, strlen(text)) != 0))
			continue;
		if (found != NULL)
			return NULL;
		found = word;
	}
	return found;
}

static void check_values(struct check *c, const struct rule *r, const struct frame *f, const struct node *n)
{
	struct nearest near;
	struct buf list = BUF_INIT;
	struct problem *p;

	if (in_values(r, n->text))
		return;
	nearest_begin(&near, n->text);
	for (unsigned i = 0; i < r->values->n; i++) {
		if (r->kind == KIND_SWITCH && i >= 2) /* true and false are for readers of YAML 1.1 */
			break;
		nearest_try(&near, r->values->items[i]->text);
		buf_addf(&list, "%s%s", list.len ? ", " : "", r->values->items[i]->text);
	}
	p = tell(c, DIAG_NOT_ALLOWED, f, n, "is not allowed");
	problem_near(p, r->kind == KIND_SWITCH && meant_by(n->text, "on", "off") ? meant_by(n->text, "on", "off") : nearest_found(&near) ? nearest_found(&near) :
		word_in_common(r, n->text));
	problem_note(p, "%s: %s", r->values->n > 1 ? "one of" : "only", list.p);
	buf_fini(&list);
}

/* ---- kinds -------------------------------------------------------------------------------------------------------------------- */

static bool is_within(const struct rule *r, const char *text, bool duration)
{
	uint64_t size = 0, bound = 0;
	int64_t us = 0, limit = 0;

	if (duration)
		return scalar_duration(text, &us) == 0 && (r->least == NULL || scalar_duration(r->least, &limit) < 0 || us >= limit) &&
			(r->most == NULL || scalar_duration(r->most, &limit) < 0 || us <= limit);
	return scalar_size(text, &size) == 0 && (r->least == NULL || scalar_size(r->least, &bound) < 0 || size >= bound) &&
		(r->most == NULL || scalar_size(r->most, &bound) < 0 || size <= bound);
}

/* A bare number with the unit that makes most sense of it; NULL: none makes any. */
static const char *with_unit(struct check *c, const struct rule *r, const char *text, size_t digits, bool duration)
{
	static const char *const durations[] = { "s", "ms", "m", "h", "d", NULL }, *const sizes[] = { "MiB", "GiB", "KiB", NULL };

	for (const char *const *unit = duration ? durations : sizes; *unit != NULL; unit++) {
		const char *whole = arena_printf(c->arena, "%.*s%s", (int)digits, text, *unit);

		if (is_within(r, whole, duration))
			return whole;
	}
	return NULL;
}

/* Durations and sizes are written with or without a blank, in capitals, in full words: what was meant is plain, so say it. */
static void note_unit(struct check *c, struct problem *p, const struct rule *r, const char *text, bool duration)
{
	static const char *const words[][2] = {
		{ "seconds", "s" }, { "second", "s" }, { "sec", "s" }, { "secs", "s" }, { "minutes", "m" }, { "minute", "m" }, { "min", "m" },
		{ "mins", "m" }, { "hours", "h" }, { "hour", "h" }, { "hr", "h" }, { "hrs", "h" }, { "days", "d" }, { "day", "d" },
		{ "millis", "ms" }, { "msec", "ms" }, { "milliseconds", "ms" }, { "d", "d" }, { "h", "h" }, { "m", "m" }, { "s", "s" }, { "ms", "ms" },
	};
	static const char *const sizes[][2] = {
		{ "k", "KiB" }, { "kb", "KiB" }, { "kib", "KiB" }, { "m", "MiB" }, { "mb", "MiB" }, { "mib", "MiB" }, { "g", "GiB" }, { "gb", "GiB" },
		{ "gib", "GiB" }, { "t", "TiB" }, { "tb", "TiB" }, { "tib", "TiB" }, { "b", "B" }, { "bytes", "B" },
	};
	size_t digits = strspn(text, "0123456789."), blanks = strspn(text + digits, " ");
	const char *unit = text + digits + blanks;

	if (digits == 0)
		return;
	if (*unit == '\0')
		problem_near(p, with_unit(c, r, text, digits, duration));
	for (size_t i = 0; duration && i < sizeof(words) / sizeof(*words); i++)
		if (strcasecmp(unit, words[i][0]) == 0)
			problem_near(p, arena_printf(c->arena, "%.*s%s", (int)digits, text, words[i][1]));
	for (size_t i = 0; !duration && i < sizeof(sizes) / sizeof(*sizes); i++)
		if (strcasecmp(unit, sizes[i][0]) == 0)
			problem_near(p, arena_printf(c->arena, "%.*s%s", (int)digits, text, sizes[i][1]));
}

static void tell_bounds(struct check *c, const struct rule *r, const struct frame *f, const struct node *n, const char *least, const char *most)
{
	struct problem *p = tell(c, DIAG_OUT_OF_BOUNDS, f, n, "is out of bounds");
	size_t digits = strspn(n->text, "0123456789");

	if (r->kind == KIND_SIZE && digits > 0 && n->text[digits] == '\0')
		problem_near(p, with_unit(c, r, n->text, digits, false));
	if (least != NULL && most != NULL)
		problem_note(p, "between %s and %s", least, most);
	else
		problem_note(p, "%s %s", least != NULL ? "at least" : "at most", least != NULL ? least : most);
}

static void check_duration(struct check *c, const struct rule *r, const struct frame *f, const struct node *n)
{
	int64_t us, bound;

	if (scalar_duration(n->text, &us) < 0) {
		struct problem *p = tell(c, DIAG_BAD_VALUE, f, n, "is not a duration");

		note_unit(c, p, r, n->text, true);
		problem_note(p, "a duration: 200ms 30s 10m 2h 10d");
		return;
	}
	if ((r->least != NULL && scalar_duration(r->least, &bound) == 0 && us < bound) ||
		(r->most != NULL && scalar_duration(r->most, &bound) == 0 && us > bound))
		tell_bounds(c, r, f, n, r->least, r->most);
}

static void check_size(struct check *c, const struct rule *r, const struct frame *f, const struct node *n)
{
	uint64_t bytes, bound;

	if (scalar_size(n->text, &bytes) < 0) {
		struct problem *p = tell(c, DIAG_BAD_VALUE, f, n, "is not a size");

		note_unit(c, p, r, n->text, false);
		problem_note(p, "a size: 64KiB 1MiB 2GiB, or bytes without a unit");
		return;
	}
	if ((r->least != NULL && scalar_size(r->least, &bound) == 0 && bytes < bound) ||
		(r->most != NULL && scalar_size(r->most, &bound) == 0 && bytes > bound))
		tell_bounds(c, r, f, n, r->least, r->most);
}

static void check_rate(struct check *c, const struct frame *f, const struct node *n)
{
	double v;
	struct problem *p;
	size_t digits = strspn(n->text, "0123456789");

	if (scalar_rate(n->text, &v) == 0)
		return;
	p = tell(c, DIAG_BAD_VALUE, f, n, "is not a rate");
	if (digits > 0)
		problem_near(p, arena_printf(c->arena, "%.*s/%s", (int)digits, n->text, strcasestr(n->text, "min") ? "m" : strcasestr(n->text, "hour") ? "h" : "s"));
	problem_note(p, "a rate: 200/s 600/m 10000/h");
}

static void check_bool(struct check *c, const struct frame *f, const struct node *n)
{
	struct problem *p;
	bool v;

	if (!n->quoted && scalar_bool(n->text, &v) == 0)
		return;
	p = tell(c, DIAG_BAD_VALUE, f, n, "is not true or false");
	if (n->quoted && scalar_bool(n->text, &v) == 0)
		problem_note(p, "without quotes");
	else
		problem_near(p, meant_by(n->text, "true", "false"));
}

static void check_network(struct check *c, const struct frame *f, const struct node *n)
{
	struct network net;

	if (network_parse(&net, n->text) < 0)
		problem_note(tell(c, DIAG_BAD_VALUE, f, n, "is not a network"), "an address, or one with the number of bits that count, the others 0: 192.0.2.7 10.0.0.0/8 fd00::/8");
}

static void tell_range(struct check *c, const struct rule *r, const struct frame *f, const struct node *n)
{
	char least[40], most[40];

	snprintf(least, sizeof(least), "%.17g", r->has_min ? r->min : -9223372036854775808.0);
	snprintf(most, sizeof(most), "%.17g", r->has_max ? r->max : 9223372036854775807.0);
	tell_bounds(c, r, f, n, r->has_min ? least : NULL, r->has_max || !r->has_min ? most : NULL);
}

/* 10k, 16,000 and 500.0 are numbers to people; NULL: the text is none to anybody. */
static const char *number_meant(struct check *c, const char *text, bool whole)
{
	char digits[40];
	size_t n = 0, fraction;

	for (const char *p = text; *p != '\0' && n < 30; p++)
		if (*p >= '0' && *p <= '9')
			digits[n++] = *p;
		else if ((*p != ',' && *p != '_' && *p != ' ' && *p != '\'') || n == 0 || strspn(p + 1, "0123456789") != 3)
			break;
	digits[n] = '\0';
	text += strcspn(text, "kKM.abcdefghijlmnopqrstuvwxyzABCDEFGHIJLNOPQRSTUVWXYZ%");
	if (n == 0)
		return NULL;
	fraction = *text == '.' ? 1 + strspn(text + 1, "0") : 0;
	if (strcmp(text, "k") == 0 || strcmp(text, "K") == 0)
		return arena_printf(c->arena, "%s000", digits);
	if (strcmp(text, "M") == 0)
		return arena_printf(c->arena, "%s000000", digits);
	return *text == '\0' || (whole && fraction > 1 && text[fraction] == '\0') ? arena_strdup(c->arena, digits) : NULL;
}

static void check_number(struct check *c, const struct rule *r, const struct frame *f, const struct node *n)
{
	bool whole = (r->types & TYPE_NUMBER) == 0;
	double v;
	int64_t i;

	if (n->quoted || scalar_number(n->text, &v) < 0 || (whole && scalar_int(n->text, &i) < 0)) {
		struct problem *p;

		if (!n->quoted && scalar_number(n->text, &v) == 0 && n->text[strspn(n->text, "-0123456789")] == '\0') {
			tell_range(c, r, f, n); /* more digits than a number can have here */
			return;
		}
		p = tell(c, DIAG_BAD_VALUE, f, n, whole ? "is not a whole number" : "is not a number");
		if (n->quoted && scalar_number(n->text, &v) == 0)
			problem_note(p, "without quotes");
		else
			problem_near(p, number_meant(c, n->text, whole));
		return;
	}
	if ((r->has_min && v < r->min) || (r->has_max && v > r->max))
		tell_range(c, r, f, n);
}

static void check_name(struct check *c, const struct rule *r, const struct frame *f, const struct node *n)
{
	const char *bad = r->kind == KIND_IDENT ? "#+/" : "/*,{}[]\"'\\";
	const char *at = strpbrk(n->text, bad), *words = NULL;

	for (const char *p = n->text; *p != '\0' && at == NULL; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f || (*p == ' ' && (r->kind == KIND_IDENT || p == n->text)))
			at = p;
	if (n->len == 0)
		words = "is empty";
	else if (n->len > r->max_length)
		words = "is too long";
	else if (at != NULL)
		words = "holds a character that is not allowed";
	if (words == NULL)
		return;
	struct problem *p = diag_add(c->diag, DIAG_BAD_NAME, &n->at, "the %s %s %s", r->kind == KIND_IDENT ? "ident" : "name",
		diag_quote(c->diag, n->text, n->len), words);

	(void)f;
	if (r->kind == KIND_IDENT)
		problem_note(p, "an ident has 1 to %llu characters, no blanks and none of # + /", (unsigned long long)r->max_length);
	else
		problem_note(p, "a name has 1 to %llu characters, none of %s", (unsigned long long)r->max_length, bad);
}

static void hide_inside(const struct node *n, size_t from, size_t len)
{
	struct mark at;

	if (n->at.source == NULL)
		return;
	at = node_mark_inside(n, from, len);
	if (n->end_line == n->at.line)
		source_hide(at.source, at.line, at.column, at.line, at.column + at.length);
	else
		check_hide(n); /* the rest of it may stand on the next line */
}

/* A URL without its beginning, with it: the encrypted one where there is one; what is secret in it stays so. */
static const char *with_scheme(struct check *c, const struct rule *r, const char *text)
{
	const char *scheme = r->schemes->items[0]->text, *shown;
	struct buf whole = BUF_INIT, hidden = BUF_INIT;

	for (unsigned i = 0; i < r->schemes->n; i++)
		if (strcmp(r->schemes->items[i]->text, "https") == 0)
			scheme = "https";
	buf_addf(&whole, "%s://%s", scheme, text);
	url_hide(&hidden, whole.p);
	shown = arena_strdup(c->arena, hidden.p);
	buf_fini(&whole);
	buf_fini(&hidden);
	return shown;
}

/* told: what stands in its braces is wrong, which may be a blank. */
static void check_url(struct check *c, const struct rule *r, const struct frame *f, const struct node *n, bool told)
{
	const char *rest = strstr(n->text, "://"), *user;
	struct fault secret = { 0, 0, NULL };
	bool literal = false;
	struct buf list = BUF_INIT;
	struct nearest near;
	struct problem *p;
	struct mark at;
	const char *blank;
	char word[40];
	bool known = false;

	if (rest != NULL && (user = strchr(rest + 3, '@')) != NULL && (size_t)(user - rest) <= strcspn(rest + 3, "/?#") + 3)
		hide_inside(n, (size_t)(rest + 3 - n->text), (size_t)(user - rest - 3)); /* a reference too: a quoted line may be a slip of the pen */
	while (url_secret(n->text, &secret)) {
		const char *from = n->text + secret.from;

		hide_inside(n, secret.from, secret.len);
		/* A user's name alone is none. */
		literal = literal || from[-1] == '=' || memchr(from, ':', secret.len) != NULL;
		secret.from += secret.len;
	}
	if (literal)
		check_literal(c, f, n);
	if (r->schemes == NULL || (n->text[0] == '$' && n->text[1] == '{'))
		return; /* looked at once the reference is resolved */
	snprintf(word, sizeof(word), "%.*s", rest != NULL ? (int)(rest - n->text) : 0, n->text);
	nearest_begin(&near, word);
	for (unsigned i = 0; i < r->schemes->n; i++) {
		if (strcmp(word, r->schemes->items[i]->text) == 0 && rest[3] != '\0' && (rest[3] == '/') == (strcmp(word, "unix") == 0) && (told || strpbrk(n->text, " \t\n") == NULL)) {
			buf_fini(&list);
			return;
		}
		known = known || strcmp(word, r->schemes->items[i]->text) == 0;
		nearest_try(&near, r->schemes->items[i]->text);
		buf_addf(&list, "%s%s://…", list.len ? " or " : "", r->schemes->items[i]->text);
	}
	blank = n->text + strcspn(n->text, " \t\n");
	if (known && rest[3] != '\0' && *blank != '\0' && !told) {
		at = node_mark_inside(n, (size_t)(blank - n->text), 1);
		problem_note(diag_add(c->diag, DIAG_PATTERN, &at, "%s: a URL holds no blanks", frame_name(c, f)), "a blank is written %%20");
		buf_fini(&list);
		return;
	}
	p = diag_add(c->diag, DIAG_PATTERN, &n->at, "%s: this URL can't be used here", frame_name(c, f));
	if (rest == NULL && n->text[0] != '/' && *blank == '\0')
		problem_near(p, with_scheme(c, r, n->text));
	else
		problem_near(p, *word != '\0' && strcmp(word, nearest_found(&near) ? nearest_found(&near) : "") != 0 ? nearest_found(&near) : NULL);
	problem_note(p, "%s, without blanks", list.p);
	buf_fini(&list);
}

/* ---- strings ---------------------------------------------------------------------------------------------------------------- */

static size_t characters(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static bool takes_references(enum rule_kind kind)
{
	return kind == KIND_NONE || kind == KIND_SECRET || kind == KIND_PATH || kind == KIND_LISTEN || kind == KIND_URL || kind == KIND_TEMPLATE;
}

static void check_string(struct check *c, const struct rule *r, const struct frame *f, const struct node *n)
{
	size_t len = characters(n->text);
	struct fault fault;
	bool reference = false, told = false;

	if ((r->kind == KIND_SECRET || f->secret) && !reference_in(n->text)) {
		check_hide(n);
		check_literal(c, f, n);
	}
	if (takes_references(r->kind)) {
		reference = reference_in(n->text);
		if ((told = reference_check(n->text, &fault) < 0))
			tell_inside(c, DIAG_BAD_REFERENCE, f, n, &fault);
	}
	if ((r->kind == KIND_URL || r->kind == KIND_TEMPLATE) && template_check(n->text, &fault) < 0) {
		tell_inside(c, DIAG_BAD_TEMPLATE, f, n, &fault);
		told = true;
	}
	if (r->kind == KIND_URL && n->len > 0)
		check_url(c, r, f, n, told);
	if (len < r->min_length || (r->max_length > 0 && len > r->max_length)) {
		struct problem *p = tell(c, DIAG_LENGTH, f, n, n->len == 0 ? "is empty" : len < r->min_length ? "is too short" : "is too long");

		if (r->max_length > 0)
			problem_note(p, "%llu to %llu characters", (unsigned long long)r->min_length, (unsigned long long)r->max_length);
	} else if (r->pattern != NULL && !reference && regexec(r->pattern, n->text, 0, NULL, 0) != 0) {
		struct problem *p = tell(c, DIAG_PATTERN, f, n, "does not have the right form");

		if (r->kind == KIND_LISTEN) {
			if (n->text[strspn(n->text, "0123456789")] == '\0' && n->len <= 5)
				problem_near(p, arena_printf(c->arena, "0.0.0.0:%s", n->text));
			problem_note(p, "an address and a port: 0.0.0.0:8080, 127.0.0.1:8080, [::]:8080");
		}
		if (r->kind == KIND_NONE && *n->text != '/' && f->rule->kind != KIND_SECRET && !f->secret) {
			const char *rooted = arena_printf(c->arena, "/%s", n->text);

			if (regexec(r->pattern, rooted, 0, NULL, 0) == 0)
				problem_near(p, rooted);
		}
		if (r->kind == KIND_NONE)
			problem_note(p, "it must match %s", r->pattern_text);
	} else if (r->kind == KIND_LISTEN && !reference && strncmp(n->text, "unix:", 5) != 0 && strrchr(n->text, ':') != NULL &&
		   strtol(strrchr(n->text, ':') + 1, NULL, 10) > 65535) {
		tell(c, DIAG_OUT_OF_BOUNDS, f, n, "has a port beyond 65535");
	}
}

/* ---- alternatives ---------------------------------------------------------------------------------------------------------- */

/* Two single values to choose from: a word or a number. */
static void check_any(struct check *c, const struct rule *r, const struct frame *f, const struct node *n)
{
	struct buf list = BUF_INIT;
	struct problem *p;

	for (unsigned i = 0; i < r->nany; i++) {
		const struct rule *one = r->any[i];
		struct diag *quiet = diag_new_quiet();
		struct check trial = *c;
		bool fits;

		trial.diag = quiet;
		check_scalar(&trial, one, f, n);
		fits = diag_errors(quiet) == 0;
		diag_free(quiet);
		if (fits) {
			buf_fini(&list);
			return;
		}
		if (list.len > 0)
			buf_adds(&list, " or ");
		for (unsigned k = 0; one->values != NULL && k < one->values->n; k++)
			buf_addf(&list, "%s%s", k ? ", " : "", one->values->items[k]->text);
		if (one->values == NULL && one->has_min && one->has_max)
			buf_addf(&list, "%g to %g", one->min, one->max);
	}
	p = tell(c, DIAG_BAD_VALUE, f, n, "can't be used here");
	if (list.len > 0)
		problem_note(p, "%s", list.p);
	buf_fini(&list);
}

void check_scalar(struct check *c, const struct rule *r, const struct frame *f, const struct node *n)
{
	if (r->kind == KIND_TYPE || r->kind == KIND_OPTIONS)
		return; /* chosen by it already; or checked by those who know */
	if (r->nany > 0) {
		check_any(c, r, f, n);
		return;
	}
	if (r->constant != NULL) {
		if (strcmp(n->text, r->constant) != 0)
			problem_note(tell(c, DIAG_NOT_ALLOWED, f, n, "is not allowed"), "only: %s", r->constant);
		return;
	}
	if (r->values != NULL) {
		check_values(c, r, f, n);
		return;
	}
	switch (r->kind) {
	case KIND_DURATION:
		check_duration(c, r, f, n);
		return;
	case KIND_SIZE:
		check_size(c, r, f, n);
		return;
	case KIND_RATE:
		check_rate(c, f, n);
		return;
	case KIND_NETWORK:
		check_network(c, f, n);
		return;
	case KIND_NAME:
	case KIND_IDENT:
		check_name(c, r, f, n);
		return;
	default:
		break;
	}
	if (r->types == 0 || (r->types & TYPE_STRING) != 0)
		check_string(c, r, f, n);
	else if ((r->types & TYPE_BOOL) != 0)
		check_bool(c, f, n);
	else
		check_number(c, r, f, n);
}
