/* write.h - a message written anew with some values set: how the router stamps what it takes.
 *
 * The keys are compiled once (a channel's, a device's); the values come with each message. Everything else is copied
 * as it came, byte for byte. */
#ifndef SLUICE_MESSAGE_WRITE_H
#define SLUICE_MESSAGE_WRITE_H

#include "message/message.h"

#define STAMPS_MAX 256

/* Immutable once compiled; may be shared by threads. */
struct stamp_set {
	struct stamp_key *keys;
	unsigned n;
	uint8_t first[256]; /* hash of a key -> 1 + the first stamp that has it; 0 = none */
};

/* A value as ready JSON text. With p == NULL the stamp is left out this time: the message keeps what it has. */
struct stamp {
	const char *p;
	size_t n;
	bool keep; /* a value the message brings of its own stays */
};

/* No keys yet. */
void stamp_set_init(struct stamp_set *set);
void stamp_set_fini(struct stamp_set *set);
/* Adds a key (unescaped UTF-8 text, copied). Returns its number, counted from 0; the number it has if it is there already;
 * -1 when the set is full (STAMPS_MAX - 1 keys) or the key is longer than MESSAGE_KEY_MAX. */
int stamp_set_add(struct stamp_set *set, const char *key, size_t len);

/* Appends m to out with stamps[i] for key number i of the set: in place where m has the key, behind its last field, in
 * order, where it has not. What is appended is one line: line breaks between tokens become blanks. out must not hold m. */
void message_stamp(struct buf *out, const struct message *m, const struct stamp_set *set, const struct stamp *stamps);

#endif
