/* letters.h - dead letters, looked for and told: what `sluice dead` shows, of a running instance and of a store that lies still. */
#ifndef SLUICE_ADMIN_LETTERS_H
#define SLUICE_ADMIN_LETTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct dead_letter;
struct store;

/* Which of an owner's letters; a zero or NULL asks for nothing. */
struct letters_filter {
	uint64_t from, to;         /* letters (positions), inclusive; to 0: no end */
	int64_t since_us;          /* real clock */
	const char *ident;         /* this one */
	const char *reason;        /* a part of it, or of the answer */
	const char *ids;           /* letters or messages by number, separated by commas */
};

/* Calls fn for the letters that match, oldest first, until it says false or `most` have been; many others are passed over at most, so that a page
 * never takes long. Returns where the next page begins, 0 at the end; *looked counts what was looked at. Reads the disk. */
uint64_t letters_each(struct store *s, uint32_t owner, const struct letters_filter *f, unsigned most, uint64_t *looked,
	bool (*fn)(void *arg, const struct dead_letter *), void *arg);
/* As a line of flat JSON; `whole` with the message, what was made of it, and the destination's answer. */
void letter_write(struct buf *out, const struct dead_letter *d, bool whole);
/* One page of lines, and a last one: {"ok":true,"looked":n,"next":letter}. */
void letters_page(struct store *s, uint32_t owner, const struct letters_filter *f, unsigned most, bool whole, struct buf *out);
/* {"name":…,"letters":n,"bytes":n,"gone":n}: a line of who has letters. */
void letters_owner(struct buf *out, const char *kind, const char *name, const char *buffer, uint64_t letters, uint64_t bytes, uint64_t gone);
/* A member of a JSON object that holds bytes: a text, or NAME_hex where they are not UTF-8. */
void letters_bytes(struct buf *out, const char *name, const char *p, size_t n);

#endif
