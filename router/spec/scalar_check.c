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

static void tell_inside(struct check *c, enum diag_code code, const struct frame *f, const struct node *n, const struct fault *fault)
{
	struct mark at = node_mark_inside(n, fault->from, fault->len);

	diag_add(c->diag, code, &at, "%s: %s", frame_name(c, f), fault->why);
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
	problem_near(p, r->kind == KIND_SWITCH && meant_by(n->text, "on", "off") ? meant_by(n->text, "on", "off") : nearest_found(&near));
	problem_note(p, "%s: %s", r->values->n > 1 ? "one of" : "only", list.p);
	buf_fini(&list);
}

/* ---- kinds -------------------------------------------------------------------------------------------------------------------- */

/* Durations and sizes are written with or without a blank, in capitals, in full words: what was meant is plain, so say it. */
static void note_unit(struct check *c, struct problem *p, const char *text, bool duration)
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
	if (duration && *unit == '\0')
		problem_near(p, arena_printf(c->arena, "%.*ss", (int)digits, text));
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

	(void)r;
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

		note_unit(c, p, n->text, true);
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

		note_unit(c, p, n->text, false);
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

	if (scalar_rate(n->text, &v) == 0)
		return;
	p = tell(c, DIAG_BAD_VALUE, f, n, "is not a rate");
	if (scalar_number(n->text, &v) == 0 && v > 0)
		problem_near(p, arena_printf(c->arena, "%s/s", n->text));
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

static void check_number(struct check *c, const struct rule *r, const struct frame *f, const struct node *n)
{
	bool whole = (r->types & TYPE_NUMBER) == 0;
	double v;
	int64_t i;
	char least[40], most[40];

	if (n->quoted || scalar_number(n->text, &v) < 0 || (whole && scalar_int(n->text, &i) < 0)) {
		struct problem *p = tell(c, DIAG_BAD_VALUE, f, n, whole ? "is not a whole number" : "is not a number");

		if (n->quoted && scalar_number(n->text, &v) == 0)
			problem_note(p, "without quotes");
		return;
	}
	if ((r->has_min && v < r->min) || (r->has_max && v > r->max)) {
		snprintf(least, sizeof(least), "%.17g", r->min);
		snprintf(most, sizeof(most), "%.17g", r->max);
		tell_bounds(c, r, f, n, r->has_min ? least : NULL, r->has_max ? most : NULL);
	}
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

/* told: what stands in its braces is wrong, which may be a blank. */
static void check_url(struct check *c, const struct rule *r, const struct frame *f, const struct node *n, bool told)
{
	const char *rest = strstr(n->text, "://"), *user;
	struct fault secret = { 0, 0, NULL };
	bool literal = false;
	struct buf list = BUF_INIT;
	struct nearest near;
	struct problem *p;
	char word[40];

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
		nearest_try(&near, r->schemes->items[i]->text);
		buf_addf(&list, "%s%s://…", list.len ? " or " : "", r->schemes->items[i]->text);
	}
	p = diag_add(c->diag, DIAG_PATTERN, &n->at, "%s: this URL can't be used here", frame_name(c, f));
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

		if (r->kind == KIND_LISTEN)
			problem_note(p, "an address and a port: 0.0.0.0:8080, 127.0.0.1:8080, [::]:8080");
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
