/* transforms_kit.h - a script, a plan of one rendering with it, and messages sent through. */
#ifndef SLUICE_TESTS_TRANSFORMS_KIT_H
#define SLUICE_TESTS_TRANSFORMS_KIT_H

#include "unit.h"

#include <unistd.h>

#include "base/buf.h"
#include "message/message.h"
#include "plan/plan.h"
#include "spec/diag.h"
#include "transforms/host.h"

/* A budget as it is by default; tests that are about something else have time on a busy machine too. */
#ifndef KIT_SCRIPT_US
#define KIT_SCRIPT_US (20000 * UNIT_PATIENCE)
#endif

struct kit {
	char dir[64];
	struct diag *d;
	struct adapters *a;
	struct plan plan;
	struct rendering rendering;
	struct step steps[4];
	struct stream stream;
	struct scripts *s;
	struct index index;
	struct buf input;
	struct rows rows;
	struct call call;
	char why[4096];
};

static inline void kit_file(struct kit *k, const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s.lua", k->dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static inline void kit_begin(struct kit *k)
{
	memset(k, 0, sizeof(*k));
	snprintf(k->dir, sizeof(k->dir), "/tmp/sluice-transforms-XXXXXX");
	assert_non_null(mkdtemp(k->dir));
	k->d = diag_new();
	index_init(&k->index);
	rows_init(&k->rows);
	k->plan.settings.limit_message = 1 << 20;
	k->plan.settings.limit_script_us = KIT_SCRIPT_US;
	k->plan.renderings = &k->rendering;
	k->plan.nrenderings = 1;
	k->plan.streams = &k->stream;
	k->plan.nstreams = 1;
	k->stream.name = "copy";
	k->stream.rendering = &k->rendering;
	k->rendering.steps = k->steps;
	k->call = (struct call){ .stream = "copy", .id = 42, .ident = "dev1", .ident_len = 4, .now_us = 1732300000500000 };
}

/* Names of the files that are the rendering's steps, ended by NULL. Fails the test when the state cannot be made. */
static inline void kit_steps(struct kit *k, const char *const *names)
{
	const char *dirs[] = { k->dir };
	k->a = adapters_open(dirs, 1, k->d);
	for (; *names; names++)
		k->steps[k->rendering.nsteps++] = (struct step){ .adapter = *names };
	k->s = scripts_new(k->a, &k->plan, k->why, sizeof(k->why));
	if (!k->s)
		fail_msg("%s", k->why);
}

/* One file whose transform has this body. */
static inline void kit_open(struct kit *k, const char *before, const char *body)
{
	struct buf text = BUF_INIT;
	kit_begin(k);
	buf_addf(&text, "%s\nreturn {transform = function(msg, ctx)\n%s\nend}\n", before, body);
	kit_file(k, "t", text.p);
	buf_fini(&text);
	kit_steps(k, (const char *const[]){ "t", NULL });
}

static inline void kit_close(struct kit *k)
{
	char command[128];
	scripts_free(k->s);
	adapters_free(k->a);
	diag_free(k->d);
	index_fini(&k->index);
	rows_fini(&k->rows);
	buf_fini(&k->input);
	snprintf(command, sizeof(command), "rm -r %s", k->dir);
	assert_int_equal(system(command), 0);
}

static inline enum render_result kit_send(struct kit *k, const char *json)
{
	struct message m;
	const char *stop;
	buf_clear(&k->input);
	buf_adds(&k->input, json);
	buf_reserve(&k->input, MESSAGE_PAD);
	assert_int_equal(message_index(&k->index, k->input.p, k->input.p + k->input.len, &m, &stop), JSON_OK);
	k->why[0] = '\0';
	return scripts_render(k->s, &k->rendering, &m, &k->call, &k->rows, k->why, sizeof(k->why));
}

/* Rows that came out, one behind the other. */
static inline const char *kit_out(struct kit *k, const char *json)
{
	if (kit_send(k, json) != RENDER_OK)
		fail_msg("%s: %s", json, k->why);
	return k->rows.bytes.p;
}

/* Open, send one message, compare, close. */
static inline void kit_expect(const char *body, const char *json, const char *want)
{
	struct kit k;
	kit_open(&k, "", body);
	assert_string_equal(kit_out(&k, json), want);
	kit_close(&k);
}

static inline void kit_expect_error(const char *body, const char *json, const char *part)
{
	struct kit k;
	kit_open(&k, "", body);
	assert_int_equal(kit_send(&k, json), RENDER_FAILED);
	if (!strstr(k.why, part))
		fail_msg("'%s' is not in: %s", part, k.why);
	assert_int_equal(k.rows.n, 0);
	kit_close(&k);
}

#endif
