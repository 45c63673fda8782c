/* credentials.h - what a destination wants to be shown with every request: who provides it, and how.
 *
 * A provider knows how to log in somewhere and nothing else: it words a request, and makes credentials of the answer. It sends nothing,
 * keeps nothing and waits for nothing; credentials.c does. Each stream's delivery has a set of its own, like its connections: streams live
 * on different loops, and none waits for another. */
#ifndef SLUICE_SENDERS_CREDENTIALS_H
#define SLUICE_SENDERS_CREDENTIALS_H

#include <stddef.h>
#include <stdint.h>

struct answer;
struct stream;

/* A request in somebody's words. All is borrowed. Headers: name NUL value NUL, one behind the other, nheaders of them; values are free of
 * CR, LF, NUL. */
struct wording {
	const char *url;              /* NULL: the destination's */
	const char *body; size_t body_len;  /* body NULL: the batch's; of a request for credentials: none, it is a GET */
	unsigned nheaders; const char *headers;
};

enum provided {
	PROVIDED_NONE,     /* this destination wants none */
	PROVIDED,          /* here they are */
	PROVIDED_ASK,      /* send `ask`, and give me a 2xx answer to it */
	PROVIDED_NOT,      /* they cannot be had now; why says so, and no secret */
};

struct provision {
	struct wording ask;                      /* PROVIDED_ASK */
	unsigned nheaders; const char *headers;  /* PROVIDED: what every request carries, as in struct wording */
	const char *username, *password;         /* …, or NULL; on http without an Authorization header among the headers they make one (Basic) */
	int64_t lives_us;                        /* from now on; 0: until it is refused */
};

/* Begin (answer NULL), or go on with the answer to what was asked for. The stream's destination as it is now decides. What *out points to
 * is good until the provider is called again. On the delivery's loop; never blocks. */
typedef enum provided credentials_fn(void *arg, const struct stream *s, const struct answer *answer, struct provision *out, char *why,
                                     size_t whylen);

#endif
