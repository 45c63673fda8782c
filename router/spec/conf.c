/* conf.c - values by key, defaults from the schema. */
#include "spec/conf.h"

#include "base/buf.h"
#include "spec/rule.h"
#include "spec/scalar.h"
#include "spec/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct conf conf_of(const struct rule *rule, const struct node *node, const struct node *also)
{
	return (struct conf){ rule, node, also, node != NULL };
}

static struct conf member(struct conf map, const char *key, size_t len)
{
	char name[64];
	const struct property *p = NULL;
	struct conf c = { NULL, NULL, NULL, false };

	if (len < sizeof(name)) {
		memcpy(name, key, len);
		name[len] = '\0';
		p = rule_property(map.rule, name);
	}
	if (p == NULL) {
		fprintf(stderr, "the schema has no key %.*s here\n", (int)len, key);
		abort();
	}
	c.rule = p->rule;
	c.node = node_get(map.node, name);
	c.also = node_get(map.also, name);
	if (c.node != NULL && node_is_null(c.node) && (c.rule->types & TYPE_NULL) != 0)
		c.node = NULL;
	c.given = c.node != NULL;
	if (c.node == NULL && c.also != NULL && c.also->kind != NODE_MAP)
		c.node = c.also;
	if (c.node == NULL)
		c.node = c.rule->fallback;
	if (c.node != NULL)
		c.rule = rule_shape(c.rule, c.node);
	return c;
}

struct conf conf_get(struct conf map, const char *key)
{
	const char *dot;

	while ((dot = strchr(key, '.')) != NULL) {
		map = member(map, key, (size_t)(dot - key));
		key = dot + 1;
	}
	return member(map, key, strlen(key));
}

bool conf_has(struct conf c)
{
	return c.node != NULL;
}

const char *conf_text(struct conf c)
{
	return c.node != NULL && c.node->kind == NODE_SCALAR ? c.node->text : NULL;
}

int64_t conf_int(struct conf c)
{
	const char *text = conf_text(c);
	uint64_t bytes = 0;
	int64_t v = 0;

	if (text == NULL)
		return 0;
	if (c.rule->kind == KIND_DURATION)
		scalar_duration(text, &v);
	else if (c.rule->kind == KIND_SIZE && scalar_size(text, &bytes) == 0)
		v = bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
	else
		scalar_int(text, &v);
	return v;
}

double conf_number(struct conf c)
{
	const char *text = conf_text(c);
	double v = 0;

	if (text != NULL && c.rule->kind == KIND_RATE)
		scalar_rate(text, &v);
	else if (text != NULL)
		scalar_number(text, &v);
	return v;
}

bool conf_bool(struct conf c)
{
	const char *text = conf_text(c);

	return text != NULL && (strcmp(text, "true") == 0 || strcmp(text, "on") == 0);
}

/* 007, +1, 1e400 and .5 are words; so is what was quoted. */
static bool is_json_number(const char *s)
{
	double v;

	s += *s == '-';
	return scalar_number(s, &v) == 0 && !(s[0] == '0' && s[1] >= '0' && s[1] <= '9');
}

void conf_write_json(struct buf *out, const struct rule *rule, const struct node *scalar, const char *text)
{
	unsigned types = rule != NULL && rule->types != 0 && rule->kind == KIND_NONE ? rule->types : rule != NULL && rule->kind != KIND_NONE ? TYPE_STRING : TYPE_SCALAR | TYPE_NULL;
	bool plain = !scalar->quoted && text == NULL;
	bool b;

	if (text == NULL)
		text = scalar->text;
	if (plain && (types & TYPE_NULL) != 0 && node_is_null(scalar))
		buf_adds(out, "null");
	else if (plain && (types & TYPE_BOOL) != 0 && scalar_bool(text, &b) == 0)
		buf_adds(out, text);
	else if (plain && (types & (TYPE_NUMBER | TYPE_INTEGER)) != 0 && is_json_number(text))
		buf_adds(out, text);
	else
		buf_addjson(out, text, strlen(text));
}
