/* network.h - an address, or all addresses that begin with the same bits: 10.0.0.0/8, 127.0.0.1, fd00::/8. */
#ifndef SLUICE_BASE_NETWORK_H
#define SLUICE_BASE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

/* IPv4 as ::ffff:a.b.c.d, so that a peer is the same whatever socket it came to. */
struct network { unsigned char at[16]; unsigned bits; };

/* 0, or -1: no address, or more bits than it has, or bits set beyond those that count. */
int network_parse(struct network *n, const char *text);
/* An address as peers are written: "192.0.2.7", "192.0.2.7:40122", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:40122". 0, or -1 when it is none. */
int network_address(unsigned char at[16], const char *text, size_t len);
bool network_holds(const struct network *n, const unsigned char at[16]);
#define NETWORK_TEXT_MAX 46
/* "192.0.2.7", "2001:db8::1" */
const char *network_text(const unsigned char at[16], char out[NETWORK_TEXT_MAX]);

#endif
