/* log.h - what the operator reads.
 *
 * One line an event: `time level object event key=value…` (logfmt) or the same as one JSON object. `object` is
 * what the line is about ("stream/toll", "channel/trackers", "store", "reload"); `event` is a stable word that people grep for.
 * The rest is a printf format that yields `key=value` pairs, values quoted by LOG_Q where they may hold blanks.
 * Each warning names what the operator can do. No payloads above debug, no secret ever.
 * Thread-safe; a line is written with one write(2) to stderr. */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

void log_setup(enum log_level least, enum log_format format);
bool log_enabled(enum log_level level);
/* fmt may be NULL for an event without pairs. The pairs are `key=value`, value either without blanks, quotes and `=`,
 * or in double quotes with backslash escapes (log_quote makes that). */
void log_event(enum log_level level, const char *object, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* s quoted for a value, in one of eight rotating per-thread buffers of 512 bytes (longer text is cut with "…"). */
const char *log_quote(const char *s);

/* From here on lines of this thread go to fn, without a time, and not to stderr: for who tells them beside what they belong to. NULL ends it. Everything
 * is borrowed during the call; pairs may be empty. */
typedef void log_line_fn(void *arg, enum log_level level, const char *object, const char *event, const char *pairs);
void log_divert(log_line_fn *fn, void *arg);
bool log_diverted(void);
const char *log_level_name(enum log_level level);

#define log_debug(...) (log_enabled(LOG_DEBUG) ? log_event(LOG_DEBUG, __VA_ARGS__) : (void)0)
#define log_info(...) log_event(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_event(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_event(LOG_ERROR, __VA_ARGS__)

#endif
