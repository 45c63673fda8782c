/* http_address.h - which resolved addresses a request may go to. */
#ifndef SLUICE_NET_HTTP_ADDRESS_H
#define SLUICE_NET_HTTP_ADDRESS_H

#include <stdbool.h>

struct sockaddr;

/* An address that serves only the machine that asks it: link-local (169.254.0.0/16, fe80::/10) or the metadata service of a cloud
 * outside of these, also when written as IPv4 inside IPv6. Loopback and private networks are not among them: people send there. */
bool http_address_is_internal(const struct sockaddr *sa);
/* Does the URL's host part name this very address as an address (not as a name)? */
bool http_address_is_literal(const char *url, const struct sockaddr *sa);

#endif
