/* body.h - the messages of a body: one JSON object, a JSON array of objects, or NDJSON (objects, each beginning on a
 * line of its own; blank lines are allowed).
 *
 *	body_open(&b, bytes, n, at);
 *	while ((step = body_next(&b, &ix, &m)) < BODY_END)
 *		step == BODY_MESSAGE ? take(&m) : refuse(b.index, b.reason, b.item, b.item_len);
 *
 * A body that is not JSON or not UTF-8 is refused whole, even when the fault is its last byte: on BODY_FAULT the caller
 * drops what it took before. In a well-formed body each element stands alone. */
#ifndef SLUICE_MESSAGE_BODY_H
#define SLUICE_MESSAGE_BODY_H

#include "message/message.h"

enum body_step {
	BODY_MESSAGE,     /* *m is the next message, borrowed from the bytes and the index */
	BODY_BAD_MESSAGE, /* this element is well-formed but no message; reading goes on */
	BODY_END,         /* all read, and all of it JSON */
	BODY_FAULT,       /* the body is refused: `reason` and `position` say why; stays so */
};

struct body {
	/* What a caller reads. */
	unsigned index;         /* of the element body_next told of, counted from 0 */
	const char *item;       /* its bytes */
	size_t item_len;
	enum json_fault fault;  /* of BODY_BAD_MESSAGE and BODY_FAULT */
	const char *reason;     /* the same in words; static */
	size_t position;        /* BODY_FAULT: offset of the offending byte */

	/* What body.c keeps. */
	const char *start, *p, *end, *at;
	enum body_state { BODY_FIRST, BODY_LIST, BODY_LINES, BODY_ONLY, BODY_DONE, BODY_BROKEN } state;
	unsigned depth;         /* objects open around the list that `at` names */
	unsigned next;          /* index of the next element */
};

#define BODY_AT_MAX 16 /* keys in a path */

/* p: n bytes, followed by MESSAGE_PAD readable ones; borrowed until the last body_next. `at`: NULL, or the path to the
 * list inside an object, keys joined by dots ("data.messages"; a leading "$." is allowed), borrowed too. What `at` names may be an array or
 * one object. With it the body is one JSON object, and a key of the path that stands twice is a fault. */
void body_open(struct body *b, const char *p, size_t n, const char *at);
enum body_step body_next(struct body *b, struct index *ix, struct message *m);
/* Is this a path body_open can follow? */
bool body_at_valid(const char *at);

#endif
