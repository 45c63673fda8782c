/* adapters.h - what the commands about adapters share: where adapters are looked for, and what is told of an option. */
#ifndef SLUICE_CLI_ADAPTERS_H
#define SLUICE_CLI_ADAPTERS_H

#include <stdbool.h>

struct arena;
struct buf;
struct rule;

/* settings.adapters of a specification that need not be free of mistakes, resolved against the file; without a file `lua`, if there is such
 * a folder. Number of folders, or -1 after saying why on stderr. All of it lives in the arena. */
int adapter_folders(struct arena *a, const char *file, const char *const **dirs);

/* The keys of a rule for mappings, leaving out `type` and what this version does not have yet. */
void options_write_json(struct buf *out, const struct rule *r);   /* {"url":{"type":"url","required":true,"description":"…"},…} */
void options_write_text(struct buf *out, const struct rule *r);   /* a line each, and what it is for */

#endif
