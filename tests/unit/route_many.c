/* route_many SPECIFICATION - which streams messages go to, for as many as one likes. A line on stdin is a channel's name, a blank and the message; its
 * line on stdout is the device's name (- when there is none), then STREAM LINE DATA of each target whose condition holds, all apart by
 * tabs. tests/system/test_routing.py holds it to a reference that is slow and simple. */
#include "base/buf.h"
#include "message/message.h"
#include "plan/plan.h"
#include "plan/where.h"
#include "reload.h"
#include "spec/diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static void answer(const struct plan *p, struct route_cache *cache, const struct channel *c, const struct message *m)
{
	const struct slice *s = message_find(m, "ident", 5);
	struct route r;

	if (c == NULL || s == NULL)
		abort();
	r = plan_route(p, c, m->bytes + s->value + 1, s->vlen - 2, cache);
	fputs(r.device != NULL && r.device->name != NULL ? r.device->name : "-", stdout);
	for (unsigned i = 0; i < r.n; i++) {
		const struct target *t = &r.targets[i];

		if (t->stream->where == NULL || where_true(t->stream->where, m, 0))
			printf("\t%s %u %s", t->stream->name, t->why.line, t->device_data ? t->device_data : "");
	}
	putchar('\n');
}

int main(int argc, char **argv)
{
	struct diag *d = diag_new();
	struct plan *p = argc == 2 ? reload_compile(argv[1], false, d) : NULL;
	struct route_cache *cache = route_cache_new();
	struct buf told = BUF_INIT;
	struct index ix;
	struct message m;
	static char line[8192 + MESSAGE_PAD];
	const char *stop;
	int status = diag_exit(d);

	diag_print(d, &told, false);
	fwrite(told.p, 1, told.len, stderr);
	if (p != NULL)
		plan_seal(p);
	index_init(&ix);
	while (p != NULL && fgets(line, 8192, stdin) != NULL) {
		char *message = strchr(line, ' ');

		*message++ = '\0';
		if (message_index(&ix, message, message + strlen(message), &m, &stop) != JSON_OK)
			abort();
		answer(p, cache, plan_channel(p, line), &m);
	}
	index_fini(&ix);
	route_cache_free(cache);
	plan_unref(p);
	buf_fini(&told);
	diag_free(d);
	return fflush(stdout) == 0 ? status : EX_IOERR;
}
