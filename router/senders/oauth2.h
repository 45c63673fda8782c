/* oauth2.h - `auth: {oauth2: …}` of an http destination: a provider of credentials by RFC 6749's client credentials grant (section 4.4). */
#ifndef SLUICE_SENDERS_OAUTH2_H
#define SLUICE_SENDERS_OAUTH2_H

#include "base/buf.h"
#include "message/message.h"
#include "senders/credentials.h"

/* Room for what is said; one for each loop. */
struct oauth2 { struct buf body, headers, text; struct index index; };
void oauth2_init(struct oauth2 *o);
void oauth2_fini(struct oauth2 *o);

/* As credentials_fn, for a destination of the native type http; PROVIDED_NONE for any other, and where it asks for none. */
enum provided oauth2_credentials(struct oauth2 *o, const struct stream *s, const struct answer *answer, struct provision *out, char *why, size_t whylen);

#endif
