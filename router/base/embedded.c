/* embedded.c - look up a file of the generated, sorted table. */
#include "base/embedded.h"

#include <stdlib.h>
#include <string.h>

static int by_path(const void *path, const void *entry)
{
	return strcmp(path, ((const struct embedded *)entry)->path);
}

const struct embedded *embedded_find(const char *path)
{
	return bsearch(path, embedded_table, embedded_count, sizeof(*embedded_table), by_path);
}

const struct embedded *embedded_at(size_t i)
{
	return i < embedded_count ? &embedded_table[i] : NULL;
}
