/* mqtt_ident.c - messages that do not say whose they are, since their topic does. */
#include <string.h>

#include "channels/mqtt_parts.h"
#include "message/body.h"

struct mqtt_text mqtt_level(struct mqtt_text topic, unsigned level)
{
	const char *p = topic.p, *end = topic.p + topic.n, *slash;

	while (--level > 0) {
		slash = memchr(p, '/', (size_t)(end - p));
		if (!slash)
			return (struct mqtt_text){ "", 0 };
		p = slash + 1;
	}
	slash = memchr(p, '/', (size_t)(end - p));
	return (struct mqtt_text){ p, (size_t)((slash ? slash : end) - p) };
}

bool mqtt_add_ident(struct buf *out, struct index *ix, const char *payload, size_t n, const char *field, struct mqtt_text ident)
{
	enum body_step step;
	struct message m;
	struct body body;

	buf_clear(out);
	buf_addc(out, '[');
	body_open(&body, payload, n, NULL);
	while ((step = body_next(&body, ix, &m)) < BODY_END) {
		if (out->len > 1)
			buf_addc(out, ',');
		if (step == BODY_BAD_MESSAGE) {
			buf_add(out, body.item, body.item_len);
			continue;
		}
		if (message_find(&m, field, strlen(field))) {
			buf_add(out, m.bytes, m.len);
			continue;
		}
		buf_addc(out, '{');
		buf_addjson(out, field, strlen(field));
		buf_addc(out, ':');
		buf_addjson(out, ident.p, ident.n);
		if (m.bytes[1 + strspn(m.bytes + 1, " \t\r\n")] != '}')
			buf_addc(out, ',');
		buf_add(out, m.bytes + 1, m.len - 1);
	}
	buf_addc(out, ']');
	/* 64 readable bytes behind, as for every body (message.h) */
	buf_reserve(out, MESSAGE_PAD);
	return step == BODY_END;
}
