/* message.h - a message: its bytes, and a flat index of where its fields are.
 *
 * Understand this structure first. A message is never parsed into a tree: it is the bytes it came as, plus one
 * slice per top-level field. Routing, `where`, `fields`, templates and Lua all read the slices; a value nobody
 * touched is copied as it came, which is why no number ever changes on its way through.
 *
 * The index is made by one strict pass (RFC 8259 and UTF-8, nesting allowed to 64 levels and kept as one slice).
 * There are two builds of that pass, SIMD and scalar, which give the same answer for every input. */
#ifndef SLUICE_MESSAGE_MESSAGE_H
#define SLUICE_MESSAGE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum slice_kind { SLICE_STRING = 1, SLICE_NUMBER, SLICE_TRUE, SLICE_FALSE, SLICE_NULL, SLICE_OBJECT, SLICE_ARRAY };

/* Offsets are from the start of the message (`struct message.bytes`), so that a message may be moved. */
struct slice {
	uint32_t key;     /* first byte of the key, behind its quote */
	uint32_t value;   /* first byte of the value; of a string, its opening quote */
	uint32_t vlen;    /* length of the value as written, quotes included */
	uint16_t klen;    /* length of the key as written, without quotes */
	uint8_t kind;     /* enum slice_kind */
	uint8_t escaped;  /* bit 0: the key holds a backslash; bit 1: the string value does */
};
#define SLICE_KEY_ESCAPED 1
#define SLICE_VALUE_ESCAPED 2

#define MESSAGE_FIELDS_MAX 1024  /* more fields than this in one message: refused */
#define MESSAGE_KEY_MAX 65535    /* a longer key (as written): refused */
#define MESSAGE_DEPTH_MAX 64     /* containers open at once, the message itself included */
#define MESSAGE_LEN_MAX UINT32_MAX /* offsets have 32 bits; what reaches further is cut there, and so no JSON */

struct message {
	const char *bytes;          /* `{` … `}`; borrowed */
	size_t len;
	const struct slice *slices; /* in order of appearance; borrowed from the index it was made with */
	unsigned n;
	bool lines;                 /* line breaks stand between its tokens (inside a string JSON has none) */
};

/* Reusable room for slices: one per worker. Grows up to MESSAGE_FIELDS_MAX, then stays.
 * `seen` finds a key that stands twice: an open table. A slot counts only while it bears the number of the current turn,
 * so nothing is cleared between messages. */
#define INDEX_SEEN_PER_SLICE 4
#define INDEX_FIELD_BITS 10
struct index {
	struct slice *slices;
	unsigned cap;
	unsigned shift;      /* 32 less the bits of a place in `seen` */
	uint32_t turn;
	uint32_t *seen;      /* turn and field number */
	uint64_t secret[3];  /* keys come from outside: nobody may choose where they fall */
	struct buf text;     /* an escaped key, unescaped */
};
void index_init(struct index *ix);
void index_fini(struct index *ix);

enum json_fault {
	JSON_OK = 0,
	JSON_SYNTAX,     /* not JSON at the position told */
	JSON_UTF8,       /* not UTF-8 at the position told */
	JSON_DEPTH,      /* nested deeper than MESSAGE_DEPTH_MAX */
	JSON_TOO_MANY,   /* well-formed, but more than MESSAGE_FIELDS_MAX fields: the message alone is refused */
	JSON_DUPLICATE,  /* well-formed, but a key stands twice (compared after escapes are undone): the message alone is refused */
	JSON_NOT_OBJECT, /* well-formed, but not an object: the message alone is refused */
	JSON_KEY_LONG,   /* well-formed, but a key is longer than MESSAGE_KEY_MAX: the message alone is refused */
};
const char *json_fault_text(enum json_fault f); /* "not UTF-8": fits behind "message 3: " */
/* Well-formed, and refused alone: reading goes on behind it. */
static inline bool json_fault_is_alone(enum json_fault f) { return f >= JSON_TOO_MANY; }

/* Index the JSON value at p (leading white space allowed); `end` is the end of the readable bytes, which must be
 * followed by at least MESSAGE_PAD readable bytes of any content. On JSON_OK *m is filled (m->bytes = the `{`).
 * *stop is where reading stopped: behind the value for JSON_OK and the faults that stand alone (the next value can be
 * read on from there), else at the offending byte; of an ill-formed UTF-8 sequence, its first; `end` when the text ends too early.
 * Of several faults that stand alone, JSON_DUPLICATE is told last. Keys inside nested objects may repeat, as RFC 8259 lets them. */
#define MESSAGE_PAD 64
enum json_fault message_index(struct index *ix, const char *p, const char *end, struct message *m, const char **stop);
/* The twin without SIMD: same contract, same answers. */
enum json_fault message_index_scalar(struct index *ix, const char *p, const char *end, struct message *m, const char **stop);

/* The slice of a key, or NULL. `key` is unescaped text. A key written with escapes is found too. */
const struct slice *message_find(const struct message *m, const char *key, size_t len);

/* Values of a slice. Each returns 0, or -1 when the value is of another kind or does not fit. */
int slice_double(const struct message *m, const struct slice *s, double *out);   /* numbers only; correctly rounded */
int slice_int64(const struct message *m, const struct slice *s, int64_t *out);   /* numbers written without '.', 'e' only */
int slice_bool(const struct message *m, const struct slice *s, bool *out);
/* Text of a string slice with escapes undone, appended to out (\u0000 becomes a NUL byte). A lone surrogate escape gives U+FFFD. */
int slice_text(const struct message *m, const struct slice *s, struct buf *out);
/* As slice_text, but without copying when there is nothing to undo: *p points into the message or into scratch. */
int slice_view(const struct message *m, const struct slice *s, struct buf *scratch, const char **p, size_t *n);
/* Is the key of s this unescaped text? */
bool slice_key_is(const struct message *m, const struct slice *s, const char *key, size_t len);
/* The key of s with escapes undone; as slice_view. */
void slice_key_view(const struct message *m, const struct slice *s, struct buf *scratch, const char **p, size_t *n);

/* `timestamp`: Unix seconds (number, rounded to the microsecond by its decimal digits, never through a double; negative
 * allowed) or an ISO 8601 text ("2026-11-22T22:03:23.5Z"; offset or Z required, 'T' or blank) -> microseconds. Second 60 is
 * the next second where a leap second can be, 23:59 UTC. -1 when it is neither, no such day, or beyond the range of int64. */
int slice_time_us(const struct message *m, const struct slice *s, int64_t *us);
/* The same for the bytes of a value as written, quotes included. */
int json_time_us(const char *value, size_t len, int64_t *us);
/* "1732300000.123456" as short as it is exact ("1732300000", "1732300000.5"), appended. */
void time_us_write(struct buf *out, int64_t us);

/* Strict checks by themselves. */
bool utf8_valid(const char *p, size_t n, size_t *bad); /* *bad = offset of the first offending byte; may be NULL */

#endif
