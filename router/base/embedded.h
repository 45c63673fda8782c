/* embedded.h - the files that are inside the binary: built-in adapters, schemas, the panel.
 *
 * Which they are is listed in Makefile.am. Paths are those of the source tree ("lua/traccar.lua"). Bytes are
 * followed by a NUL that `size` does not count, and live as long as the process. */
#ifndef SLUICE_BASE_EMBEDDED_H
#define SLUICE_BASE_EMBEDDED_H

#include <stddef.h>

struct embedded { const char *path; const unsigned char *bytes; size_t size; };

const struct embedded *embedded_find(const char *path); /* NULL = no such file */
/* Iterate in the order of paths (bytewise): for (size_t i = 0; (e = embedded_at(i)); i++) ... */
const struct embedded *embedded_at(size_t i);

/* The generated table, ended by a NULL path; use the two functions. */
extern const struct embedded embedded_table[];
extern const size_t embedded_count;

#endif
