/* hush.c - see hush.h. */
#include "senders/hush.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "plan/plan.h"

/* Where the words will stand in h->words, behind a NUL, plus one; 0: they are fine as they are. */
static size_t place(struct hushed *h, const struct destination *d, const char *words, size_t n, size_t *len)
{
	size_t at = h->words.len;

	if (!words || !destination_hides(d, words, n, &h->words))
		return 0;
	*len = h->words.len - at;
	buf_addc(&h->words, '\0');
	return at + 1;
}

const struct judgement *hush(struct hushed *h, const struct destination *d, const struct judgement *j, unsigned n)
{
	size_t unused, len = 0, reason, answer, *each;

	*h = (struct hushed){ .j = *j };
	if (d->nsecrets == 0 || j->verdict == VERDICT_DONE)
		return j;
	each = xcalloc(n + 1, sizeof *each);
	reason = place(h, d, j->reason, j->reason ? strlen(j->reason) : 0, &unused);
	answer = place(h, d, j->answer, j->answer_len, &len);
	for (unsigned i = 0; j->each && i < n; i++)
		each[i] = place(h, d, j->each[i].reason, j->each[i].reason ? strlen(j->each[i].reason) : 0, &unused);
	if (reason)
		h->j.reason = h->words.p + reason - 1;
	if (answer) {
		h->j.answer = h->words.p + answer - 1;
		h->j.answer_len = len;
	}
	if (j->each) {
		h->each = xcalloc(n + 1, sizeof *h->each);
		for (unsigned i = 0; i < n; i++)
			h->each[i] = (struct entry_verdict){ j->each[i].verdict, each[i] ? h->words.p + each[i] - 1 : j->each[i].reason };
		h->j.each = h->each;
	}
	free(each);
	return &h->j;
}

void hush_fini(struct hushed *h)
{
	buf_fini(&h->words);
	free(h->each);
}
