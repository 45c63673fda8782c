/* buffers_verify.c - `sluice buffers verify` and `repair`: of a store that lies still. */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "cli/buffers.h"
#include "store/verify.h"

#define FAULTS_MOST 50

struct telling { struct progress progress; uint64_t faults; bool json; };

static void tell(void *arg, const char *words)
{
	struct telling *t = arg;

	progress_end(&t->progress);
	if (t->faults++ < FAULTS_MOST && !t->json)
		printf("%s\n", words);
}

static bool go_on(void *arg, uint64_t rows)
{
	struct telling *t = arg;

	progress_draw(&t->progress, rows);
	return !progress_interrupted();
}

int buffers_verify(const char *data, bool mend, bool json)
{
	struct telling t = { .json = json };
	struct verify v = { .path = data, .mend = mend, .fault = tell, .progress = go_on, .arg = &t };
	char why[400] = "";
	int status;

	progress_begin(&t.progress, "rows", 0);
	status = store_verify(&v, why, sizeof why);
	progress_end(&t.progress);
	if (status < 0) {
		fprintf(stderr, "sluice: %s\n", why);
		return progress_interrupted() ? 130 : EX_NOINPUT;
	}
	if (json) {
		printf("{\"sound\":%s,\"mended\":%s,\"rows\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"messages\":%" PRIu64 ",\"letters\":%" PRIu64
			",\"states\":%" PRIu64 ",\"bad_rows\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"orphans\":%" PRIu64 ",\"wrong_counts\":%" PRIu64 ",\"rebuilt\":%s}\n",
			verify_is_sound(&v) ? "true" : "false", mend && !verify_is_sound(&v) ? "true" : "false", v.rows, v.bytes, v.entries, v.letters, v.states,
			v.bad_rows, v.lost_entries, v.orphans, v.wrong_counts, v.rebuilt ? "true" : "false");
	} else {
		if (t.faults > FAULTS_MOST)
			printf("and %" PRIu64 " more\n", t.faults - FAULTS_MOST);
		printf("%" PRIu64 " rows: %" PRIu64 " messages wait, in %" PRIu64 " chunks; %" PRIu64 " dead letters, %" PRIu64 " states\n", v.rows, v.entries,
			v.chunks, v.letters, v.states);
		if (verify_is_sound(&v))
			printf("sound\n");
		else
			printf("%s: %" PRIu64 " rows damaged, %" PRIu64 " messages lost, %" PRIu64 " chunks of no use, %" PRIu64 " counts wrong%s\n",
				mend ? "mended" : "DAMAGED", v.bad_rows, v.lost_entries, v.orphans, v.wrong_counts,
				mend ? "; what is lost is counted as dropped" : "; `sluice buffers repair` mends what can be mended");
	}
	return verify_is_sound(&v) || mend ? 0 : EX_DATAERR;
}
