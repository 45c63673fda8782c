/* auth.h - secrets that callers show. */
#ifndef SLUICE_NET_AUTH_H
#define SLUICE_NET_AUTH_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* Equal? Takes a time that depends on n alone, so that a secret can't be guessed byte by byte; that its length differs
 * may be learnt. `secret` is what is configured, `shown` what came. An empty secret equals nothing. */
bool auth_equal(const char *secret, size_t secret_n, const char *shown, size_t n);

/* The credentials in an Authorization value of this scheme ("Bearer", "Basic", case aside), blanks around them taken
 * off: true, and *p, *cn point into value. */
bool auth_scheme(const char *value, size_t n, const char *scheme, const char **p, size_t *cn);

/* n bytes in base64 (RFC 4648, section 4), appended. */
void auth_base64_add(struct buf *out, const char *p, size_t n);

/* Basic credentials `user:password`, decoded and appended to out with a NUL in place of the first colon; 0, and *user_n is the
 * length of the user. -1 when the value is not Basic, not base64, has no colon or holds a NUL. */
int auth_basic(const char *value, size_t n, struct buf *out, size_t *user_n);

#endif
