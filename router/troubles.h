/* troubles.h - tell the operator what a channel had to turn away and which scripts fail, seldom enough to be read. */
#ifndef SLUICE_TROUBLES_H
#define SLUICE_TROUBLES_H

#include <stddef.h>
#include <stdint.h>

/* Requests that sources were told to bring again, and why. Any thread. */
void troubles_unavailable(const char *channel, const char *why);
/* Messages that became dead letters of the channel, and why the first of them did. */
void troubles_refused(const char *channel, uint64_t messages, const char *why);
/* A body of which nothing was taken and nothing kept. */
void troubles_malformed(const char *channel, const char *peer, const char *why);
/* Messages that the channel's dedupe forgot before their time, of `max` that it may remember. */
void troubles_forgotten(const char *channel, uint64_t messages, uint64_t max);
/* A message that became a dead letter of the stream because its transforms failed, and where. */
void troubles_script(const char *stream, uint64_t id, const char *ident, size_t ident_len, const char *why);

#endif
