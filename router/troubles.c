/* troubles.c - see troubles.h. Called on the paths of refusals alone, so a lock and a look into a map cost nothing that matters. */
#include "troubles.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/seldom.h"

struct troubles {
	char *object;              /* "channel/NAME" or "stream/NAME", for logs */
	struct seldom unavailable, refused, malformed, script;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map known;   /* by object; as stats.h's, one for every channel and stream in trouble there ever was */

static struct troubles *of(const char *kind, const char *name)
{
	struct buf object = BUF_INIT;
	struct troubles *t;

	buf_addf(&object, "%s/%s", kind, name);
	t = map_get(&known, object.p, object.len);
	if (t) {
		buf_fini(&object);
		return t;
	}
	t = xcalloc(1, sizeof *t);
	t->object = buf_take(&object);
	map_put(&known, t->object, strlen(t->object), t);
	return t;
}

void troubles_unavailable(const char *channel, const char *why)
{
	uint64_t n = 1;
	struct troubles *c;

	pthread_mutex_lock(&lock);
	c = of("channel", channel);
	if (seldom(&c->unavailable, clock_mono_us(), &n))
		log_warn(c->object, "unavailable", "requests=%llu reason=%s hint=%s", (unsigned long long)n, log_quote(why),
			log_quote("nothing is lost: sources were told to come again, and are taken by themselves once there is room; "
			"look at the destination of that stream, its `buffer:` and `limits.disk`"));
	pthread_mutex_unlock(&lock);
}

void troubles_refused(const char *channel, uint64_t messages, const char *why)
{
	uint64_t n = messages;
	struct troubles *c;

	pthread_mutex_lock(&lock);
	c = of("channel", channel);
	if (seldom(&c->refused, clock_mono_us(), &n))
		log_warn(c->object, "refused", "messages=%llu reason=%s hint=%s", (unsigned long long)n, log_quote(why),
			log_quote("they are kept as dead letters of the channel; the answer, where the source gets one, told which and why"));
	pthread_mutex_unlock(&lock);
}

void troubles_malformed(const char *channel, const char *peer, const char *why)
{
	uint64_t n = 1;
	struct troubles *c;

	pthread_mutex_lock(&lock);
	c = of("channel", channel);
	if (seldom(&c->malformed, clock_mono_us(), &n))
		log_warn(c->object, "malformed", "bodies=%llu peer=%s reason=%s hint=%s", (unsigned long long)n, log_quote(peer), log_quote(why),
			log_quote("answered 400, and nothing of it was taken or kept: mend the source"));
	pthread_mutex_unlock(&lock);
}

void troubles_forgotten(const char *channel, uint64_t messages, uint64_t max)
{
	struct troubles *c;

	pthread_mutex_lock(&lock);
	c = of("channel", channel);
	log_warn(c->object, "dedupe-full", "forgotten=%llu remembered=%llu hint=%s", (unsigned long long)messages, (unsigned long long)max,
		log_quote("nothing is lost, but what these messages repeat is taken again; raise limits.memory, of which an eighth is for this, or shorten dedupe"));
	pthread_mutex_unlock(&lock);
}

void troubles_script(const char *stream, uint64_t id, const char *ident, size_t ident_len, const char *why)
{
	uint64_t n = 1;
	char who[64];
	struct troubles *s;

	pthread_mutex_lock(&lock);
	s = of("stream", stream);
	snprintf(who, sizeof who, "%.*s", (int)ident_len, ident);
	if (seldom(&s->script, clock_mono_us(), &n))
		log_warn(s->object, "transform-failed", "messages=%llu id=%llu ident=%s reason=%s hint=%s", (unsigned long long)n, (unsigned long long)id,
			log_quote(who), log_quote(why),
			log_quote("they are kept as dead letters of the stream; put the adapter right and reload"));
	pthread_mutex_unlock(&lock);
}
