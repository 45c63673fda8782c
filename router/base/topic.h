/* topic.h - what may stand as a topic in MQTT, and which topics a filter means. */
#ifndef SLUICE_BASE_TOPIC_H
#define SLUICE_BASE_TOPIC_H

#include <stdbool.h>
#include <stddef.h>

#define TOPIC_MAX 65535u

/* UTF-8 without a NUL, as all of MQTT's texts [MQTT-1.5.4-1, -2]. */
bool topic_text_is_good(const char *p, size_t n);
/* 1 to 65535 bytes; a name has no wildcards; in a filter + and # stand alone in a level, # is the last, and $share/GROUP/FILTER has both parts. */
bool topic_is_name(const char *p, size_t n);
bool topic_is_filter(const char *p, size_t n);
/* Does a topic match a filter (of a shared one: its last part)? Both valid. */
bool topic_matches(const char *filter, const char *topic, size_t n);

#endif
