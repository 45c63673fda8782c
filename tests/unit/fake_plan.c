/* fake_plan.c - see fake_plan.h; with the few functions of plan/ that senders call. */
#include "unit.h"

#include "fake_plan.h"

#include "base/buf.h"
#include "message/message.h"

void fake_plan_init(struct fake_plan *p, const char *url)
{
	memset(p, 0, sizeof *p);
	const char *open = strchr(url, '{'), *close = open ? strchr(open, '}') : NULL;
	if (open) {
		p->url_literals[0] = strndup(url, (size_t)(open - url));
		p->url_params[0] = strndup(open + 1, (size_t)(close - open - 1));
		p->url_literals[1] = strdup(close + 1);
	} else {
		p->url_literals[0] = strdup(url);
	}
	p->destination = (struct destination){
		.name = "there", .type = "http", .transport = TRANSPORT_HTTP,
		.url = { .source = url, .nparams = open ? 1 : 0, .params = p->url_params, .literals = p->url_literals },
		.url_shown = url, .connections = 1, .tls_verify = true, .fingerprint = 1,
	};
	p->stream = (struct stream){
		.name = "s", .enabled = true, .destination = &p->destination, .rendering = &p->rendering, .form = "json", .buffer_name = "s there json",
		.number = 1, .buffer = 1, .batch_messages = 100, .batch_bytes = 1 << 20, .ordering = ORDER_STREAM, .in_flight = 1,
		.retry_first_us = 1000000, .retry_max_us = 30000000, .retry_timeout_us = 20000000, .refused = REFUSED_DEAD_LETTER,
	};
	p->plan.renderings = &p->rendering;
	p->plan.nrenderings = 1;
	p->plan.refs = 1;
}

unsigned fake_plan_refs(const struct fake_plan *p)
{
	return p->plan.refs;
}

void fake_plan_fini(struct fake_plan *p)
{
	assert_int_equal(p->plan.refs, 1);
	for (unsigned i = 0; i < 2; i++) {
		free((char *)(uintptr_t)p->url_literals[i]);
		free((char *)(uintptr_t)p->url_params[i]);
	}
}

const struct plan *plan_ref(const struct plan *p)
{
	((struct plan *)(uintptr_t)p)->refs++;
	return p;
}

void plan_unref(const struct plan *p)
{
	if (p) {
		assert_true(p->refs > 0);
		((struct plan *)(uintptr_t)p)->refs--;
	}
}

__attribute__((weak)) const char *options_text(const struct options *o, const char *name)
{
	(void)o, (void)name;
	return NULL;
}
