/* Any bytes: the parser tells the same story of them whole and in random pieces, and reads nothing beyond them. */
#include <stdint.h>
#include <stdio.h>

#include "../unit/http1_story.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t piece_whole(void *arg)
{
	(void)arg;
	return SIZE_MAX;
}

static size_t piece_random(void *arg)
{
	uint32_t *x = arg;

	*x = *x * 1664525u + 1013904223u;
	return 1 + (*x >> 16) % ((*x >> 30) ? 4 : 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct http1_limits limits = { .head = 512, .target = 64, .body = 256 };
	static struct buf whole, split;
	uint32_t seed = 1;

	for (size_t i = 0; i < size; i++)
		seed = seed * 31 + data[i];
	buf_clear(&whole);
	story_tell(&whole, (const char *)data, size, &limits, piece_whole, NULL);
	for (int i = 0; i < 3; i++) {
		buf_clear(&split);
		story_tell(&split, (const char *)data, size, &limits, piece_random, &seed);
		if (split.len != whole.len || (whole.len && memcmp(split.p, whole.p, whole.len) != 0)) {
			fprintf(stderr, "whole:\n%s\nsplit:\n%s\n", whole.p ? whole.p : "", split.p ? split.p : "");
			abort();
		}
	}
	return 0;
}
