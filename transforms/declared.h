/* declared.h - what adapters declare in the subset of JSON Schema (options, per-device data), checked as the file is loaded. Inside transforms/ only. */
#ifndef SLUICE_TRANSFORMS_DECLARED_H
#define SLUICE_TRANSFORMS_DECLARED_H

#include <stdbool.h>

struct adapters;
struct adapter;
struct diag;
struct node;

/* `tree` is what the adapter's table has under `key`. From here on its places are those of the
 * adapter's file. True when it is a schema, and each default is what it says that values are; else d knows why not. */
bool declared_check(struct adapters *a, const struct adapter *ad, const struct node *tree, const char *key, struct diag *d);

#endif
