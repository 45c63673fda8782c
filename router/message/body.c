/* body.c - the messages of a body.
 *
 * Whether a body that begins with `{` is one object or NDJSON shows only behind that object, so both begin alike. The
 * objects around a list that `at` names are entered on the way down and read to their ends after the list. */
#include "message/body.h"

#include "message/scan.h"

static enum body_step broken(struct body *b, enum json_fault fault, const char *reason, const char *p)
{
	if (p >= b->end) {
		p = b->end;
		if (fault == JSON_SYNTAX && !reason)
			reason = "not JSON: the body ends too early";
	}
	b->state = BODY_BROKEN;
	b->fault = fault;
	b->reason = reason ? reason : json_fault_text(fault);
	b->position = (size_t)(p - b->start);
	b->item = NULL;
	b->item_len = 0;
	return BODY_FAULT;
}

/* White space; *lines tells whether a line ended in it. */
static const char *space(const struct body *b, const char *p, bool *lines)
{
	struct scan sc = { .end = b->end };

	p = scan_space(&sc, p);
	if (lines)
		*lines = sc.lines;
	return p;
}

void body_open(struct body *b, const char *p, size_t n, const char *at)
{
	*b = (struct body){ .start = p, .p = p, .end = p + n, .at = at };
	if (at && strncmp(at, "$.", 2) == 0)
		b->at += 2;
}

bool body_at_valid(const char *at)
{
	unsigned keys = 1;
	char before = '.';

	if (strncmp(at, "$.", 2) == 0)
		at += 2;
	for (; *at; before = *at++)
		if (*at == '.' && (before == '.' || ++keys > BODY_AT_MAX))
			return false;
	return before != '.';
}

/* Key number `level` of the path. */
static const char *path_key(const struct body *b, unsigned level, size_t *len)
{
	const char *key = b->at;

	for (; level > 0; level--)
		key = strchr(key, '.') + 1;
	*len = strcspn(key, ".");
	return key;
}

/* p at a key's quote -> at its value; *is tells whether the key is the path's at this level. NULL = b is broken. */
static const char *member(struct body *b, const char *p, unsigned level, bool *is)
{
	struct scan sc = { .end = b->end };
	size_t len;
	const char *want = path_key(b, level, &len);

	if (p >= b->end || *p != '"') {
		broken(b, JSON_SYNTAX, NULL, p);
		return NULL;
	}
	const char *key = p + 1;
	p = scan_string(&sc, key);
	if (!p) {
		broken(b, sc.fault, NULL, sc.stop);
		return NULL;
	}
	if (p - key > MESSAGE_KEY_MAX) {
		*is = false; /* a path has no such key */
	} else {
		const struct message m = { .bytes = key };
		const struct slice s = { .klen = (uint16_t)(p - key), .escaped = sc.escaped ? SLICE_KEY_ESCAPED : 0 };
		*is = slice_key_is(&m, &s, want, len);
	}
	p = space(b, p + 1, NULL);
	if (p >= b->end || *p != ':') {
		broken(b, JSON_SYNTAX, NULL, p);
		return NULL;
	}
	return space(b, p + 1, NULL);
}

static const char *skip_value(struct body *b, const char *p, unsigned depth)
{
	struct scan sc = { .end = b->end };

	p = scan_value(&sc, p, depth);
	if (!p)
		broken(b, sc.fault, NULL, sc.stop);
	return p;
}

/* From the body's `{` down the path, to the value it names; b->depth objects are then open around it. */
static const char *descend(struct body *b, const char *p)
{
	for (;;) {
		bool is;
		size_t len;
		const char *key = path_key(b, b->depth, &len);

		if (p >= b->end || *p != '{') {
			broken(b, JSON_SYNTAX, p < b->end ? "`at` leads through something that is no object" : NULL, p);
			return NULL;
		}
		p = space(b, p + 1, NULL);
		if (p < b->end && *p == '}') {
			broken(b, JSON_SYNTAX, "the body has nothing where `at` points", p);
			return NULL;
		}
		for (;;) {
			p = member(b, p, b->depth, &is);
			if (!p)
				return NULL;
			if (is)
				break;
			p = skip_value(b, p, b->depth + 1);
			if (!p)
				return NULL;
			p = space(b, p, NULL);
			if (p >= b->end || *p != ',') {
				if (p < b->end && *p == '}')
					broken(b, JSON_SYNTAX, "the body has nothing where `at` points", p);
				else
					broken(b, JSON_SYNTAX, NULL, p);
				return NULL;
			}
			p = space(b, p + 1, NULL);
		}
		b->depth++;
		if (key[len] == '\0')
			return p;
	}
}

/* Behind the list: the rest of the objects around it. */
static const char *ascend(struct body *b, const char *p)
{
	while (b->depth > 0) {
		p = space(b, p, NULL);
		while (p < b->end && *p == ',') {
			bool is;
			const char *key = space(b, p + 1, NULL);
			p = member(b, key, b->depth - 1, &is);
			if (!p)
				return NULL;
			if (is) {
				broken(b, JSON_SYNTAX, "a key of `at` stands twice", key);
				return NULL;
			}
			p = skip_value(b, p, b->depth);
			if (!p)
				return NULL;
			p = space(b, p, NULL);
		}
		if (p >= b->end || *p != '}') {
			broken(b, JSON_SYNTAX, NULL, p);
			return NULL;
		}
		p++;
		b->depth--;
	}
	return p;
}

static enum body_step finish(struct body *b, const char *p)
{
	if (b->depth > 0) {
		p = ascend(b, p);
		if (!p)
			return BODY_FAULT;
	}
	p = space(b, p, NULL);
	if (p < b->end)
		return broken(b, JSON_SYNTAX, "not JSON: something follows the end of the value", p);
	b->p = p;
	b->state = BODY_DONE;
	b->item = NULL;
	b->item_len = 0;
	return BODY_END;
}

/* p at a value. Its index, and where the next one is looked for. */
static enum body_step element(struct body *b, const char *p, struct index *ix, struct message *m)
{
	const char *stop;
	enum json_fault fault = message_index(ix, p, b->end, m, &stop);

	if (fault != JSON_OK && !json_fault_is_alone(fault))
		return broken(b, fault, NULL, stop);
	b->index = b->next++;
	b->item = p;
	b->item_len = (size_t)(stop - p);
	b->p = stop;
	b->fault = fault;
	b->reason = fault == JSON_OK ? NULL : json_fault_text(fault);
	return fault == JSON_OK ? BODY_MESSAGE : BODY_BAD_MESSAGE;
}

/* The first element behind `[`, if there is one. */
static enum body_step list_first(struct body *b, const char *p, struct index *ix, struct message *m)
{
	b->state = BODY_LIST;
	p = space(b, p + 1, NULL);
	if (p < b->end && *p == ']')
		return finish(b, p + 1);
	return element(b, p, ix, m);
}

static enum body_step first(struct body *b, struct index *ix, struct message *m)
{
	const char *p = b->start;

	if (b->end - p >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0)
		return broken(b, JSON_SYNTAX, "begins with a byte order mark: send UTF-8 without one", p);
	if (b->end - p >= 2 && (memcmp(p, "\xFE\xFF", 2) == 0 || memcmp(p, "\xFF\xFE", 2) == 0))
		return broken(b, JSON_UTF8, "UTF-16: send UTF-8", p);
	p = space(b, p, NULL);
	if (p == b->end)
		return broken(b, JSON_SYNTAX, p == b->start ? "the body is empty" : "the body is nothing but white space", p);
	if (b->at) {
		if (*p != '{')
			return broken(b, JSON_SYNTAX, "an object was expected, for `at` to look into", p);
		p = descend(b, p);
		if (!p)
			return BODY_FAULT;
		if (p < b->end && *p == '[')
			return list_first(b, p, ix, m);
		if (p >= b->end || *p != '{')
			return broken(b, JSON_SYNTAX, p < b->end ? "`at` points to neither an array nor an object" : NULL, p);
		b->state = BODY_ONLY;
		return element(b, p, ix, m);
	}
	if (*p == '[')
		return list_first(b, p, ix, m);
	if (*p != '{')
		return broken(b, JSON_SYNTAX, "not JSON: an object or an array was expected", p);
	b->state = BODY_LINES;
	return element(b, p, ix, m);
}

enum body_step body_next(struct body *b, struct index *ix, struct message *m)
{
	const char *p;
	bool lines;

	switch (b->state) {
	case BODY_FIRST:
		return first(b, ix, m);
	case BODY_LIST:
		p = space(b, b->p, NULL);
		if (p < b->end && *p == ']')
			return finish(b, p + 1);
		if (p >= b->end || *p != ',')
			return broken(b, JSON_SYNTAX, NULL, p);
		return element(b, space(b, p + 1, NULL), ix, m);
	case BODY_LINES:
		p = space(b, b->p, &lines);
		if (p >= b->end)
			return finish(b, p);
		if (!lines)
			return broken(b, JSON_SYNTAX, "not JSON: each object must begin on a line of its own", p);
		return element(b, p, ix, m);
	case BODY_ONLY:
		return finish(b, b->p);
	case BODY_DONE:
		return BODY_END;
	case BODY_BROKEN:
		break;
	}
	return BODY_FAULT;
}
