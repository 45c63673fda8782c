/* stats.h - what has been counted since the process started.
 *
 * Counters belong to names, not to plans: a stream that goes on after a reload goes on counting, and one that comes
 * back finds its figures. An object is made on first use and never freed; hold the pointer, not the name. Adding is
 * one relaxed atomic add, from any thread. A field is added here and shows up wherever the lists are walked.
 *
 * For each stream: matched = skipped + buffered + accepted + dead + expired + dropped + purged (buffered is asked of
 * the store; `rejected` and `retried` count answers, not ends). */
#ifndef SLUICE_BASE_STATS_H
#define SLUICE_BASE_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#define STATS_STREAM(X)                                                       \
	X(matched, "messages that the stream's subscriptions and where took") \
	X(skipped, "messages that a transform left out, with a reason")       \
	X(accepted, "messages that the destination accepted")                 \
	X(rejected, "messages that the destination refused")                  \
	X(retried, "batches that were sent again")                            \
	X(dead, "messages that became dead letters")                          \
	X(expired, "messages that reached their ttl in the buffer")           \
	X(dropped, "messages that a full buffer or refused: drop discarded")  \
	X(purged, "messages that an operator purged")

#define STATS_CHANNEL(X)                                                      \
	X(requests, "requests, packets or lines received")                    \
	X(received, "messages received")                                      \
	X(taken, "messages committed and answered as taken")                  \
	X(duplicates, "of these, messages that dedupe knew")                  \
	X(forgotten, "messages that dedupe forgot for want of room")          \
	X(refused, "messages refused")                                        \
	X(unrouted, "messages taken that matched no stream")                  \
	X(unavailable, "requests turned away for want of room")               \
	X(lost, "datagrams lost for want of room, ours or the kernel's")

#define STATS_FIELD(name, help) _Atomic uint64_t name;

struct stats_stream {
	const char *name;
	struct stats_stream *_Atomic next; /* for stats_stream_next */
	STATS_STREAM(STATS_FIELD)
	_Atomic uint64_t suspended;        /* workers on which an adapter of this stream is suspended just now: a level, not a count */
};

struct stats_channel {
	const char *name;
	struct stats_channel *_Atomic next; /* for stats_channel_next */
	STATS_CHANNEL(STATS_FIELD)
};

struct stats_stream *stats_stream(const char *name);
struct stats_channel *stats_channel(const char *name);

/* Iterate in the order of first use, also while others add: NULL gives the first, the last gives NULL. */
struct stats_stream *stats_stream_next(const struct stats_stream *after);
struct stats_channel *stats_channel_next(const struct stats_channel *after);

static inline void stats_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static inline uint64_t stats_get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
