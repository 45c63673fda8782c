/* Any bytes as packets of a server, of both versions: nothing beyond them is read, what is passed lies inside of them, and the front of a
 * message never says something else than the whole. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/topic.h"
#include "net/mqtt_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int is, const char *what)
{
	if (is)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static void inside(struct mqtt_text t, const char *p, size_t n)
{
	must(t.n == 0 || (t.p >= p && t.p + t.n <= p + n), "a text outside of its packet");
}

static void one(enum mqtt_version v, const uint8_t *data, size_t size)
{
	struct mqtt_text name, value;
	struct mqtt_packet m, part;
	const char *why = NULL;
	char *p = malloc(size + 1), *front;
	size_t head = 0, body = 0, at = 0;
	int framed;

	memcpy(p, data, size);
	framed = mqtt_frame(p, size, &head, &body, &why);
	if (framed == 1 && head + body < size)
		size = head + body;
	if (mqtt_read(v, p, size, &m, &why) == 0) {
		must(framed == 1 && head + body == size, "a packet that is no frame");
		inside(m.topic, p, size);
		inside(m.payload, p, size);
		inside(m.codes, p, size);
		while (mqtt_user_property(&m.properties, &at, &name, &value)) {
			inside(name, p, size);
			inside(value, p, size);
		}
		for (size_t n = head; n <= size && m.kind == MQTT_PUBLISH; n += 1 + n / 8) {
			front = malloc(n);
			memcpy(front, p, n);
			if (mqtt_read_part(v, front, n, size, &part, &why) == 1)
				must(part.id == m.id && part.topic.n == m.topic.n && memcmp(part.topic.p, m.topic.p, m.topic.n) == 0, "another front");
			else
				must(n < size, "no front");
			free(front);
		}
	} else {
		must(why != NULL, "no words");
	}
	topic_is_filter(p, size);
	free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	one(MQTT_311, data, size);
	one(MQTT_5, data, size);
	return 0;
}
